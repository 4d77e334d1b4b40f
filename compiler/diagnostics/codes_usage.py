"""The codes of the command line and of built artifacts: VS08xx."""

from __future__ import annotations

from vspec.compiler.diagnostics.code import Code

USAGE: tuple[Code, ...] = ()
