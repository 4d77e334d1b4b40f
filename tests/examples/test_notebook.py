"""The notebook runs from its first cell to its last, and is committed without what it showed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.examples.conftest import EXAMPLES

FOLDER = EXAMPLES / "notebook"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))


def test_no_outputs_are_committed() -> None:
    assert NOTEBOOKS
    for path in NOTEBOOKS:
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            assert not cell.get("outputs")
            assert cell.get("execution_count") is None


def test_the_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel")
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    notebook: Any = nbformat.read(FOLDER / "decay.ipynb", as_version=4)
    nbclient.NotebookClient(notebook, timeout=240, resources={"metadata": {"path": str(FOLDER)}}).execute()
    results = [
        output["data"]
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        if output.output_type == "execute_result"
    ]
    assert len(results) == 5
    spec, program, _, run, sweep = results
    for shown in (spec, program, run):
        assert "text/html" in shown
    assert "<math" in spec["text/html"]
    assert "half_life" in run["text/html"]
    assert "(1.0, 3.605, False)" in sweep["text/plain"]
