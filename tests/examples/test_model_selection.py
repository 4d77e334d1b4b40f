"""The example of model selection, as a program of its own."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests.examples.conftest import EXAMPLES, run

pytest.importorskip("sklearn")


def test_model_selection(tmp_path: Path) -> None:
    found = json.loads(run(sys.executable, EXAMPLES / "estimator" / "model_selection.py", folder=tmp_path))
    assert found["lam"] in (0.01, 0.1, 1.0)
    assert found["score"] > 0.45
    assert found["iris"] > 0.9
