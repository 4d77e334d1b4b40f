"""The shell pipeline, its JSON taken apart by jq."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.examples.conftest import EXAMPLES, run


@pytest.mark.skipif(shutil.which("jq") is None, reason="jq is not installed")
def test_the_pipeline(tmp_path: Path) -> None:
    lines = run("sh", EXAMPLES / "shell" / "pipeline.sh", "out", folder=tmp_path).splitlines()
    assert lines[0] == "lam: 0.001"
    assert lines[1] == "half-life: 3.1 hours, after 9 steps"
    assert [line.split(",")[0] for line in lines[2:]] == ["holds: stationary", "holds: half_life"]
    assert json.loads((tmp_path / "out" / "run.json").read_text())["ok"]
    assert (tmp_path / "out" / "sweep" / "table.csv").is_file()
