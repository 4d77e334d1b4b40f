"""The workflow runs from nothing to its table, and a second time does nothing."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path

import pytest

from tests.examples.conftest import EXAMPLES, run

pytest.importorskip("snakemake")


def test_the_workflow(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "snakemake", "-s", EXAMPLES / "snakemake" / "Snakefile", "--cores", "1"]
    run(*command, "--config", "lams=0.001,10", "--quiet", "all", folder=tmp_path)
    with (tmp_path / "results" / "table.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [r["lam"] for r in rows] == ["0.001", "10"]
    # The heavier the penalty on the background, the more of it the decay has to explain.
    assert float(rows[0]["half_life"]) < float(rows[1]["half_life"])
    verified = json.loads((tmp_path / "results" / "verified.json").read_text())
    assert verified["ok"]
    for lam in ("0.001", "10"):
        page = (tmp_path / "results" / f"lam-{lam}" / "report.html").read_text(encoding="utf-8")
        assert page.lstrip().lower().startswith("<!doctype html")
        assert "half_life" in page
    (tmp_path / "results" / "table.csv").unlink()
    again = run(*command, "--config", "lams=0.001,10", "--dry-run", folder=tmp_path)
    assert "rule table" in again
    assert "rule run" not in again
    assert "rule build" not in again
