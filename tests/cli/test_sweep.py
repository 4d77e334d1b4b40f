"""`vspec sweep` and `vspec.sweep`."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

import vspec as library
from tests.cli.conftest import LINE, Vspec
from vspec.grid import points, read_grid
from vspec.runtime.errors import ArtifactError
from vspec.runtime.folder import Lock
from vspec.runtime.sweep.store import Store

GRID = ["--grid", "lam=0.1,1,10"]


# --- the grid ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("a=1", (1,)),
        ("a=0.1, 1 ,1e1", (0.1, 1, 10.0)),
        ("a=lin(0,1,5)", (0.0, 0.25, 0.5, 0.75, 1.0)),
        ("a=log(1e-2,1e2,5)", (0.01, 0.1, 1.0, 10.0, 100.0)),
        ("a=log(100, 1, 3)", (100.0, 10.0, 1.0)),
        ("a=0,log(1,4,3),9", (0, 1.0, 2.0, 4.0, 9)),
        ("a=2,2.0,2", (2,)),
        ("a=lin(3,9,1)", (3.0,)),
        ("a=-1,lin(-1,-3,3)", (-1, -2.0, -3.0)),
    ],
)
def test_values_of_a_grid(text: str, values: tuple[Any, ...]) -> None:
    assert read_grid([text]) == {"a": values}
    assert [type(x) for x in read_grid([text])["a"]] == [type(x) for x in values]


@pytest.mark.parametrize(
    ("texts", "code"),
    [
        (["a"], "VS0880"),
        (["=1"], "VS0880"),
        (["a=one"], "VS0880"),
        (["a=1,,2"], "VS0880"),
        (["a=lin(0,1)"], "VS0880"),
        (["a=lin(0,1,2.5)"], "VS0880"),
        (["a=lin(0,1,0)"], "VS0880"),
        (["a=lin(0,1,3"], "VS0880"),
        (["a=1)"], "VS0880"),
        (["a=log(0,1,3)"], "VS0880"),
        (["a=geom(1,2,3)"], "VS0880"),
        (["a=inf"], "VS0880"),
        (["a=1", "a=2"], "VS0880"),
        (["a="], "VS0882"),
        (["a=lin(0,1,99999999)"], "VS0883"),
    ],
)
def test_grids_that_cannot_be_read(texts: list[str], code: str) -> None:
    with pytest.raises(library.SpecError) as raised:
        read_grid(texts)
    assert [d.code for d in raised.value.diagnostics] == [code]
    assert raised.value.diagnostics[0].help


def test_points_of_a_grid() -> None:
    found = points({"a": (1, 2), "b": (3,)}, (0, 7), 4)
    assert found == [({"a": a, "b": 3}, s) for a in (1, 2) for s in (0, 7)]
    with pytest.raises(library.SpecError, match="VS0883: the sweep has 4 points"):
        points({"a": (1, 2)}, (0, 7), 3)
    with pytest.raises(library.SpecError, match="VS0882"):
        points({}, (0,), 3)
    assert len(points({}, (0, 1), 3)) == 2


# --- the command ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def swept(program: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished sweep of `LINE`."""
    folder = tmp_path_factory.mktemp("swept") / "line"
    library.sweep(program, {"lam": [0.1, 1, 10]}, seeds=2, out=folder)
    return folder


def test_a_sweep(vspec: Vspec, program: Path, tmp_path: Path) -> None:
    result = vspec("sweep", program, *GRID)
    assert result.code == 0, result.err
    assert "3 points in" in result.out
    assert "3 of them side by side" in result.out
    assert "results: sweeps/line (table.csv, table.parquet, sweep.png)" in result.out
    lines = [line.split() for line in result.out.splitlines() if line.lstrip().startswith(("0.1 ", "1 ", "10 "))]
    # The slope solves a linear equation: its square costs lam.
    slopes = [float(line[1]) for line in lines]
    assert slopes == pytest.approx([10 / (5 + lam) for lam in (0.1, 1, 10)], rel=1e-5)
    assert [line[-1] for line in lines] == ["✓", "✓", "✗"]  # the claim 'steep'
    assert (tmp_path / "sweeps" / "line" / "sweep.png").read_bytes().startswith(b"\x89PNG")


def test_in_json(vspec: Vspec, program: Path) -> None:
    found = vspec("sweep", program, *GRID, "--seeds", "2", "--seed", "3", "--out", "here", "--format", "json").json
    assert found["swept"] == {"lam": [0.1, 1, 10]}
    assert found["seeds"] == [3, 4]
    assert found["columns"] == ["lam", "seed", "failure", "slope", "reason", "steps", "value", "holds", "seconds"]
    assert [(r["lam"], r["seed"]) for r in found["rows"]] == [(lam, s) for lam in (0.1, 1, 10) for s in (3, 4)]
    assert found["failed"] == []
    assert found["together"] == 6
    assert found["files"] == ["here/table.csv", "here/table.parquet", "here/sweep.png"]


def test_the_table(swept: Path) -> None:
    with (swept / "table.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    table = pq.read_table(swept / "table.parquet")
    assert table.column_names == list(rows[0])
    assert [float(r["lam"]) for r in rows] == table["lam"].to_pylist() == [0.1, 0.1, 1.0, 1.0, 10.0, 10.0]
    assert [int(r["seed"]) for r in rows] == table["seed"].to_pylist() == [0, 1] * 3
    assert [r["holds"] == "true" for r in rows] == table["holds"].to_pylist()
    assert [float(r["slope"]) for r in rows] == table["slope"].to_pylist()
    assert {r["failure"] for r in rows} == {""}
    assert table["failure"].to_pylist() == [None] * 6
    assert json.loads(table.schema.metadata[b"vspec.sweep"])["name"] == "line"


def test_arrays_of_a_point(program: Path, swept: Path) -> None:
    files = sorted((swept / "points").glob("*.npz"))
    assert len(files) == 6
    with np.load(files[0], allow_pickle=False) as found:
        assert set(found) == {"params/slope", "params/offset", "outputs/slope", "outputs/residual"}
    in_memory = library.sweep(program, {"lam": [0.1, 1]})
    point = in_memory.arrays(1)
    assert point["params"]["slope"] == pytest.approx(10 / 6)
    assert point["outputs"]["residual"].shape == (4,)
    assert in_memory.out is None


def test_a_point_is_what_a_run_gives(program: Path) -> None:
    found = library.sweep(program, {"lam": [0.5, 2.0]})
    for row, lam in zip(found.rows, (0.5, 2.0), strict=True):
        run = library.run(program, constants={"lam": lam})
        assert row["slope"] == pytest.approx(float(run.outputs["slope"]), rel=1e-12)
        assert (row["reason"], row["steps"]) == (run.stages[0].reason, run.stages[0].steps)
        assert row["holds"] == run.holds


def test_two_processes(program: Path, swept: Path) -> None:
    found = library.sweep(program, {"lam": [0.1, 1, 10]}, seeds=2, jobs=2, together=2)
    with (swept / "table.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [r["slope"] for r in found.rows] == pytest.approx([float(r["slope"]) for r in rows], rel=1e-12)
    assert found.arrays(5)["params"]["slope"] == pytest.approx(10 / 15)


SIZES = """\
vspec: 1
name: sizes
precision: float64
dims: {n: 3}
constants: {a: 1.0}
params: {"x[n]": {init: 0}}
objectives:
  loss: "sum[n]((x[n] - a)**2) + sum[n](log(x[n] + a))"
solve: {minimize: loss, method: newton, steps: 20}
outputs: {top: "sum[n](x[n])", seed: a}
"""


def test_sizes_and_failures(vspec: Vspec, tmp_path: Path) -> None:
    """Each size has a program; a size that cannot be and a value without a solution are rows with an error."""
    (tmp_path / "sizes.yaml").write_text(SIZES)
    found = vspec("sweep", "sizes.yaml", "--grid", "n=2,0,4", "--grid", "a=1,-1", "--format", "json").json
    rows = {(r["n"], r["a"]): r for r in found["rows"]}
    assert rows[2, 1]["failure"] is rows[4, 1]["failure"] is None
    assert rows[4, 1]["top"] == pytest.approx(2 * rows[2, 1]["top"])
    assert rows[2, -1]["failure"] == rows[4, -1]["failure"] == "VS0601"
    assert (
        rows[0, 1]["failure"]
        == rows[0, -1]["failure"]
        == vspec("check", "sizes.yaml", "--set", "n=0", "--format", "json").codes[0]
    )
    assert [(f["point"], f["code"]) for f in found["failed"]][-1] == ({"n": 4, "a": -1}, "VS0601")
    # An output may have the name of a column.
    assert rows[2, 1]["outputs.seed"] == 1.0
    assert rows[2, 1]["seed"] == 0
    shown = vspec("sweep", "sizes.yaml", "--grid", "a=1,-1", "--out", "other")
    assert shown.code == 0
    assert "1 of 2 points failed: VS0601: objective 'loss' is nan at the start" in shown.out


def test_all_points_fail(vspec: Vspec, tmp_path: Path) -> None:
    (tmp_path / "sizes.yaml").write_text(SIZES)
    found = vspec("sweep", "sizes.yaml", "--grid", "a=-1,-2", "--format", "json")
    assert found.code == 4
    assert found.codes == ["VS0601"]
    assert len(found.json["rows"]) == 2


@pytest.mark.parametrize(
    ("arguments", "code", "help"),
    [
        (["--grid", "lamda=1,2"], "VS0881", "it has lam"),
        (["--grid", "n=3,4"], "VS0881", "it has lam"),  # its size comes with the data
        (["--grid", "lam=1,2", "--set", "lam=3"], "VS0881", "leave out one of the two"),
        ([], "VS0882", "give a grid"),
        (["--grid", "lam=lin(0,1,40)", "--seeds", "40"], "VS0883", "--limit 1600"),
        (["--grid", "lam=1,2", "--resume"], "VS0885", "leave --resume out"),
        (["--grid", "lam=1,2", "--run", "quick"], "VS0809", "no 'runs'"),
    ],
)
def test_what_is_refused(vspec: Vspec, line: Path, arguments: list[str], code: str, help: str) -> None:
    result = vspec("sweep", line, *arguments, "--format", "json")
    assert result.code == 2
    assert result.codes == [code]
    assert help in " ".join(result.json["diagnostics"][0]["help"])
    assert not (line.parent / "sweeps").exists()


def test_an_array_is_not_swept(vspec: Vspec, tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(
        SIZES.replace("{a: 1.0}", '{a: 1.0, "c[n]": [1, 2, 3]}').replace("+ a))", "+ a)*c[n])")
    )
    assert vspec("sweep", "s.yaml", "--grid", "c=1,2", "--format", "json").codes == ["VS0881"]


# --- going on ---------------------------------------------------------------------------------------------------------


class StoppedError(Exception):
    """Stands for whatever ends a sweep before its time."""


@pytest.fixture
def broken(line: Path) -> Path:
    """A sweep that ended after two of three points."""
    folder = line.parent / "sweeps" / "line"

    def stop(done: int, of: int) -> None:
        if done == 2:
            raise StoppedError

    with pytest.raises(StoppedError):
        library.sweep(line, {"lam": [0.1, 1, 10]}, out=folder, together=1, progress=stop)
    return folder


def test_resume(vspec: Vspec, line: Path, broken: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what is missing runs, and the table is that of a sweep that nothing disturbed."""
    assert len(list((broken / "points").glob("*.json"))) == 2
    assert not (broken / "table.csv").exists()
    assert json.loads((broken / "sweep.json").read_text())["state"] == "running"
    refused = vspec("sweep", line, *GRID, "--format", "json")
    assert refused.codes == ["VS0885"]
    assert "has 2 points" in refused.json["diagnostics"][0]["message"]
    written = {p.name: p.stat().st_mtime_ns for p in (broken / "points").iterdir()}
    found = vspec("sweep", line, *GRID, "--resume", "--format", "json").json
    assert found["resumed"] == 2
    assert {n: (broken / "points" / n).stat().st_mtime_ns for n in written} == written
    assert json.loads((broken / "sweep.json").read_text())["state"] == "complete"
    whole = library.sweep(line, {"lam": [0.1, 1, 10]}, together=1)
    assert [{**r, "seconds": 0} for r in found["rows"]] == [{**r, "seconds": 0} for r in whole.rows]
    # Points that are done serve a larger grid; and a sweep that is complete is replaced without a word.
    larger = library.sweep(line, {"lam": [0.1, 1, 10, 100]}, out=broken, resume=True, together=1)
    assert larger.resumed == 3
    anew = vspec("sweep", line, "--grid", "lam=7,8", "--format", "json").json
    assert anew["resumed"] == 0
    assert len(list((broken / "points").glob("*.json"))) == 2


def test_an_interruption_says_how_to_go_on(vspec: Vspec, program: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from vspec.runtime.sweep import work

    real, batches = work.run_batch, []

    def interrupted(batch: work.Batch) -> list[work.Done]:
        batches.append(batch)
        if len(batches) == 2:
            raise KeyboardInterrupt
        return real(batch)

    monkeypatch.setattr(work, "run_batch", interrupted)
    result = vspec("sweep", program, *GRID, "--together", "2")
    assert result.code == 130
    assert "2 of 3 points are done; the same command with --resume does the rest" in result.err
    assert len(list((Path("sweeps") / "line" / "points").glob("*.json"))) == 2


def test_resume_is_refused_for_another_sweep(vspec: Vspec, line: Path, broken: Path) -> None:
    data = vspec("sweep", line, *GRID, "--resume", "--set", "n=4", "--format", "json")
    assert data.code == 2
    np.save(line.parent / "y.npy", [1.0, 3.0, 5.0, 8.0])
    other = vspec("sweep", line, *GRID, "--resume", "--data", "y=y.npy", "--format", "json")
    assert other.codes == ["VS0884"]
    assert "the data is not what it was" in other.json["diagnostics"][0]["message"]
    line.write_text(LINE.replace("lam/2*slope**2", "lam*slope**2"))
    changed = vspec("sweep", line, *GRID, "--resume", "--format", "json")
    assert changed.codes == ["VS0884"]
    assert "the spec is not what it was" in changed.json["diagnostics"][0]["message"]
    assert len(list((broken / "points").glob("*.json"))) == 2
    forced = vspec("sweep", line, *GRID, "--force", "--format", "json").json
    assert forced["resumed"] == 0
    assert forced["rows"][0]["slope"] == pytest.approx(10 / 5.2)


def test_half_a_file_is_no_point(vspec: Vspec, line: Path, broken: Path) -> None:
    first, second = sorted((broken / "points").glob("*.json"))
    first.write_text(first.read_text()[:40])
    second.with_name(f".{second.name}.tmp").write_text("left behind")
    found = vspec("sweep", line, *GRID, "--resume", "--format", "json").json
    assert found["resumed"] == 1
    assert len(found["rows"]) == 3


def test_other_files_are_left_alone(vspec: Vspec, line: Path) -> None:
    (line.parent / "mine").mkdir()
    (line.parent / "mine" / "thesis.tex").write_text("years of work")
    assert vspec("sweep", line, *GRID, "--out", "mine", "--format", "json").codes == ["VS0808"]
    assert [p.name for p in (line.parent / "mine").iterdir()] == ["thesis.tex"]
    (line.parent / "file").write_text("mine")
    assert vspec("sweep", line, *GRID, "--out", "file/x", "--format", "json").codes == ["VS0808"]


def test_two_sweeps_in_one_folder(vspec: Vspec, line: Path) -> None:
    folder = line.parent / "sweeps" / "line"
    folder.parent.mkdir()
    lock = Lock(folder)
    try:
        assert vspec("sweep", line, *GRID, "--force", "--format", "json").codes == ["VS0843"]
    finally:
        lock.release()
    assert vspec("sweep", line, *GRID, "--format", "json").code == 0
    assert not [p for p in folder.parent.iterdir() if p.name != "line"]


def test_points_that_were_changed(vspec: Vspec, line: Path) -> None:
    assert vspec("sweep", line, *GRID, "--format", "json").code == 0
    folder = line.parent / "sweeps" / "line"
    (path, *_) = (folder / "points").glob("*.npz")
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ArtifactError) as raised:
        Store(folder).arrays(path.stem)
    assert raised.value.code == "VS0844"


# --- the plot ---------------------------------------------------------------------------------------------------------

Row = Callable[..., dict[str, Any]]


def _row(values: dict[str, float], seed: int, output: float | None) -> dict[str, Any]:
    error = {"code": "VS0601", "message": "x"} if output is None else None
    outputs = {} if output is None else {"loss": output}
    return {"point": values, "seed": seed, "error": error, "outputs": outputs, "stages": []}


@pytest.mark.parametrize("swept", [[], ["a"], ["a", "b"], ["a", "b", "c"]])
def test_plots_of_any_number_of_constants(tmp_path: Path, swept: list[str]) -> None:
    import itertools

    from vspec.runtime.sweep.plots import draw

    values = {"a": (1.0, 10.0, 100.0), "b": tuple(range(7)), "c": (0.0, 1.0)}
    rows = [
        _row(dict(zip(swept, at, strict=True)), s, None if s == 1 and at[:1] == (10.0,) else sum(at) + s)
        for at in itertools.product(*(values[n] for n in swept))
        for s in range(3)
    ]
    with (tmp_path / "sweep.png").open("wb") as out:
        assert draw(out, "spec", swept, rows)
    assert (tmp_path / "sweep.png").read_bytes().startswith(b"\x89PNG")


def test_nothing_to_plot(tmp_path: Path) -> None:
    from vspec.runtime.sweep.plots import draw

    with (tmp_path / "sweep.png").open("wb") as out:
        assert not draw(out, "spec", ["a"], [_row({"a": 1.0}, 0, None)])


def test_scales_of_plots() -> None:
    from vspec.runtime.sweep.plots import geometric

    assert geometric([0.01, 0.1, 1, 10])
    assert not geometric([0, 1, 10])
    assert not geometric([1, 2, 3, 4])
    assert not geometric(np.linspace(1, 100, 9))
