"""The plain-Python pipeline finds what its data was made of."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

from tests.examples.conftest import EXAMPLES


def test_the_pipeline(tmp_path: Path) -> None:
    path = EXAMPLES / "pipeline" / "pipeline.py"
    made = importlib.util.spec_from_file_location("pipeline_example", path)
    assert made is not None
    assert made.loader is not None
    module = importlib.util.module_from_spec(made)
    made.loader.exec_module(module)
    found = module.main(tmp_path)
    # One value in ten is 40 too large: the mean would be off by 4, this is not.
    assert found["offset"] == pytest.approx(4.0, abs=0.3)
    with np.load(tmp_path / "params.npz") as params:
        assert params["slopes"] == pytest.approx([1.5, -0.1, 0.01], abs=0.05)
    assert json.loads((tmp_path / "results.json").read_text()) == found
    assert (tmp_path / "program" / "program.py").is_file()
