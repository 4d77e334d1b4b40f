"""Data on the command line: files of several formats, memory, and what is said about them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from tests.cli.conftest import Vspec

SPEC = """\
vspec: 1
name: rows
dims: {n: auto, i: auto}
data:
  X[n, i]: {source: t.parquet, column: [a, b]}
  y[n]: real
params:
  w[i]: {init: 0}
objectives:
  loss: mean[n]((sum[i](X[n, i]*w[i]) - y[n])**2)
solve: {minimize: loss, batch: {n: 4}, epochs: 2, method: sgd(lr=0.1)}
outputs:
  top: max[n](y[n])
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rows.yaml").write_text(SPEC)
    rng = np.random.default_rng(0)
    a, b, y = rng.normal(size=(3, 20))
    parquet.write_table(pa.table({"a": a, "b": b, "y": y}), tmp_path / "t.parquet")
    return tmp_path


def test_memory(folder: Path, vspec: Vspec) -> None:
    found = vspec("run", "rows.yaml", "--data", "y=t.parquet:y", "--memory", "1B", "--format", "json")
    assert found.code == 0, found.out + found.err
    reply = found.json
    warnings = reply["diagnostics"]
    assert [w["code"] for w in warnings] == ["VS0525"]
    assert warnings[0]["severity"] == "warning"
    assert "the outputs are evaluated on all of it" in warnings[0]["message"]
    assert warnings[0]["line"] == 6
    wrong = vspec("run", "rows.yaml", "--data", "y=t.parquet:y", "--memory", "lots")
    assert wrong.code == 3
    assert "VS0524" in wrong.out + wrong.err


def test_errors_stand_at_the_entry(folder: Path, vspec: Vspec) -> None:
    parquet.write_table(pa.table({"y": [1.0, None, *range(18)]}), folder / "h.parquet")
    found = vspec("run", "rows.yaml", "--data", "y=h.parquet:y")
    assert found.code == 3
    assert "rows.yaml:6:3" in found.out + found.err
    assert "row 1, column 'y' of 'h.parquet'" in found.out + found.err


def test_what_may_be_read_by_chunks(folder: Path, vspec: Vspec) -> None:
    found = vspec("explain", "rows.yaml")
    assert "X  by chunks" in found.out + found.err
    assert "y  whole: the outputs are evaluated on all of it" in found.out + found.err
    whole = vspec("explain", "rows.yaml", "--format", "json").json["explanation"]["whole"]
    assert whole == {"X": None, "y": "the outputs are evaluated on all of it"}
