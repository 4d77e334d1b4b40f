"""The codes of a run: VS05xx data that does not fit (exit 3), VS06xx numerics that fail (exit 4)."""

from __future__ import annotations

from vspec.compiler.diagnostics.code import Code

RUN: tuple[Code, ...] = ()
