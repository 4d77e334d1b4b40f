"""`python -m vspec` is `vspec`."""

from __future__ import annotations

from vspec.cli import main

main()
