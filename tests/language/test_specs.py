"""The shipped specs check; what they need at most is known by name."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from vspec.compiler.diagnostics.policy import Policy
from vspec.compiler.pipeline import check_text

ROOT = Path(__file__).parents[2]
SPECS = sorted((ROOT / "specs").rglob("*.yaml"))


@pytest.mark.parametrize("path", SPECS, ids=lambda p: f"{p.parent.stem}-{p.stem}")
def test_shipped_specs_check(path: Path) -> None:
    # Identities and the library go to the edges of functions on purpose, and the laws of the systems are positive for reasons
    # of mathematics, where the pedantic level asks for proofs.
    pedantic = path.is_relative_to(ROOT / "specs" / "problems")
    spec, diagnostics = check_text(path.read_text(encoding="utf-8"), str(path), policy=Policy(pedantic=pedantic))
    assert spec is not None, [(d.code, d.message) for d in diagnostics]
    assert [(d.code, d.message, str(d.span)) for d in diagnostics] == [], (
        "allow what is meant: # vspec: allow CODE: why"
    )


def test_checking_imports_nothing_heavy() -> None:
    code = (
        "import sys, vspec.compiler.language.check\n"
        "print([m for m in ('jax', 'sympy', 'networkx', 'numpy', 'yaml') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
