"""Constraints that nothing satisfies, or that have no value where the search begins, end a run with a coded error."""

from __future__ import annotations

from pathlib import Path

import pytest

from vspec.compiler import pipeline
from vspec.runtime.errors import NumericsError
from vspec.runtime.program import load
from vspec.runtime.run import run

HEAD = (
    "vspec: 1\nname: infeasible\nprecision: float64\nparams:\n  w: {init: 1}\nobjectives:\n  loss: w**2\nconstraints:\n"
)
CASES = [
    ("VS0610", "  low: w <= 1\n  high: w >= 2\nsolve: {minimize: loss, method: newton}\n"),
    ("VS0611", "  c: log(w - 2) <= 0\nsolve: {minimize: loss, method: newton}\n"),
]


@pytest.mark.parametrize(("code", "text"), CASES, ids=[code for code, _ in CASES])
def test_what_cannot_be_satisfied_is_an_error(code: str, text: str, tmp_path: Path) -> None:
    path = tmp_path / "infeasible.yaml"
    path.write_text(HEAD + text, encoding="utf-8")
    built = pipeline.build(path, tmp_path / "build", stablehlo=False)
    with pytest.raises(NumericsError) as caught:
        run(load(built.directory))
    assert caught.value.code == code
