"""Draws are rows: what is computed from a few of them for many points runs along the points."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.kernels.kernel import SPECS
from vspec.compiler import pipeline


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("svi")
    path = Path(folder / "svi-logistic.yaml")
    path.write_text((SPECS / path.name).read_text(encoding="utf-8"), encoding="utf-8")
    built = pipeline.build(path, folder / "out", stablehlo=False)
    program = (built.directory / "program.py").read_text(encoding="utf-8")
    return program[program.index("def outputs(") :]


def test_each_draw_is_a_row(text: str) -> None:
    assert "(8, 64)" in text
    assert ") @ X.T" in text


def test_slopes_by_means_and_scales_come_from_one_product(text: str) -> None:
    assert text.count(" @ ") == 2
    # No second array of the size of the data is made.
    assert "prepared" not in text
