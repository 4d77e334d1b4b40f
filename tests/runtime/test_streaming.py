"""Data that are read by chunks while a run goes on: the same results to the last bit, with a bound on the rows in memory."""

import errno
import io
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax.numpy as jnp
import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet as pq

import vspec
from tests.runtime.plans import derivatives, program, roles, stage
from vspec.runtime import DataError, Program
from vspec.runtime.errors import DataWarning
from vspec.runtime.keys import STAGES, key_of
from vspec.runtime.run import RunResult, run
from vspec.runtime.stages import execute
from vspec.runtime.stages.batches import Batches
from vspec.runtime.stages.feed import Part
from vspec.runtime.stages.record import resolve
from vspec.runtime.streams import amount
from vspec.runtime.whole import whole_use

SPEC = """\
vspec: 1
name: rows
dims: {n: auto, i: auto}
data:
  X[n, i]: real
  y[n]: {type: integer, in: [-1, 1]}
  k[n]: integer
  shift[i]: real
params:
  w[i]: {init: 0}
  b[n]: {init: 0}
  c: {init: 1.0}
define:
  z[n]: sum[i]((X[n, i] - shift[i])/2 * w[i])
objectives:
  loss: mean[n](log(1 + exp(-y[n]*(z[n] + b[n] + c*exp(shift[k[n]]))))) + 0.01*sum[i](w[i]**2)
  other: mean[n](exp(c*X[n, 0]))
  noise: mean[n]((z[n] + sample(normal(0, 1)) - y[n])**2)
solve:
  - {minimize: loss, over: [w, b], batch: {n: 8}, epochs: 3, method: adam(lr=1e-2)}
  - {minimize: noise, over: [w], batch: {n: 16}, steps: 9, method: sgd(lr=1e-2), average: 0.5}
  - repeat: 5
    stages:
      - {minimize: loss, over: [w], batch: {n: 8}, method: sgd(lr=0.1)}
      - update:
          c: 0.5*c + 0.5*mean[n](X[n, 0]*w[0])
        batch: {n: 4}
outputs:
  norm2:
    is: sum[i](w[i]**2)
    every: 3
"""
N = 103
RNG = np.random.default_rng(5)
DATA: dict[str, Any] = {
    "X": RNG.normal(size=(N, 3)),
    "y": np.sign(RNG.normal(size=N)).astype(int),
    "k": np.arange(N) % 3,
    "shift": np.array([0.1, 0.2, 0.3]),
}


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Program:
    path = tmp_path_factory.mktemp("spec") / "rows.yaml"
    path.write_text(SPEC)
    return vspec.compile(path)


@pytest.fixture(scope="module")
def whole(compiled: Program) -> RunResult:
    """The run with all data in memory."""
    return run(compiled, DATA, seed=3)


def same(found: RunResult, expected: RunResult) -> None:
    for name, value in expected.params.items():
        np.testing.assert_array_equal(found.params[name], value, err_msg=name)
    for name, value in expected.outputs.items():
        np.testing.assert_array_equal(found.outputs[name], value, err_msg=name)
    assert [s.value for s in found.stages] == [s.value for s in expected.stages]


def write(folder: Path) -> dict[str, Any]:
    np.save(folder / "X.npy", DATA["X"])
    pq.write_table(pa.table({"y": DATA["y"], "k": DATA["k"]}), folder / "t.parquet", row_group_size=10)
    return {"X": folder / "X.npy", "y": folder / "t.parquet", "k": folder / "t.parquet", "shift": DATA["shift"]}


@pytest.mark.filterwarnings("ignore::vspec.runtime.errors.DataWarning")
def test_results_are_the_same_and_only_the_rows_of_a_step_are_there(
    compiled: Program, whole: RunResult, tmp_path: Path
) -> None:
    """Without any memory a chunk is one step; each row is read once in an epoch of each stage."""
    found = run(compiled, write(tmp_path), seed=3, memory="0")
    assert [*found.bound.streams] == ["X", "y", "k"]
    same(found, whole)
    steps = 3 * (N // 8), 9, 5
    begins = 8 + 16 + 8 + 4  # each stage is evaluated where it begins
    rows = found.bound.streams["X"]
    assert rows.taken == steps[0] * 8 + steps[1] * 16 + steps[2] * (8 + 4) + begins
    assert rows.largest == 16
    assert found.bound.streams["y"].largest == 16  # the update does not read it
    assert found.bound.streams["y"].taken == rows.taken - steps[2] * 4 - 4


def test_chunks_fit_into_the_budget(compiled: Program, whole: RunResult) -> None:
    # A row of X has 12 bytes; all data have 103*20 + 12.
    found = run(compiled, DATA, seed=3, memory=2000)
    assert [*found.bound.streams] == ["X"]
    assert found.bound.streams["X"].largest == 2000 // 8 // (8 * 12) * 8
    same(found, whole)


def test_what_a_chunk_sees_is_a_function_of_its_steps(compiled: Program) -> None:
    """However steps are cut into chunks, and wherever one begins, a step sees the same rows: a resumed run can go on."""
    bound = compiled.bind(DATA, memory=1300)
    record = resolve(compiled, bound, compiled.manifest["plan"][0], (0,))

    def part() -> Part:
        return Part("0", Batches(compiled, record), key_of(3, STAGES, 0), bound.streams, (), (), {})

    epoch = N // 8
    all_rows = part().rows(bound, "n", 0, 3 * epoch)
    assert len(all_rows) == 3 * epoch * 8
    for k in range(3):
        assert len(set(all_rows[k * epoch * 8 : (k + 1) * epoch * 8])) == epoch * 8
    for first, last in [(0, 1), (5, 9), (epoch - 1, epoch + 2), (epoch, 3 * epoch), (1, 2 * epoch + 3)]:
        np.testing.assert_array_equal(part().rows(bound, "n", first, last), all_rows[first * 8 : last * 8])


def test_errors_while_rows_are_read_ahead_are_raised(compiled: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    bound = compiled.bind(DATA, memory=2000)
    calls = []

    def take(rows: Any) -> Any:
        calls.append(len(rows))
        if len(calls) > 3:
            raise DataError("VS0503", "the disk is gone")
        return DATA["X"][rows]

    monkeypatch.setattr(bound.streams["X"].source, "take", take)
    with pytest.raises(DataError, match="the disk is gone"):
        execute(compiled, compiled.initial_params(bound), bound)
    assert len(calls) <= 5


def test_values_are_checked_before_anything_runs(compiled: Program, tmp_path: Path) -> None:
    files = write(tmp_path)
    bad = DATA["X"].copy()
    bad[77, 2] = np.nan
    np.save(tmp_path / "X.npy", bad)
    for change, code, word, line in (
        ({}, "VS0508", "[77, 2]", 5),
        ({"X": DATA["X"], "y": DATA["y"] * 2}, "VS0509", "at [0]", 6),
        ({"X": DATA["X"], "k": DATA["k"] + 1}, "VS0518", "3 at [2]", 7),
        ({"X": DATA["X"], "k": DATA["k"] + 0.5}, "VS0507", "0.5 at [0]", 7),
    ):
        with pytest.raises(DataError) as caught:
            compiled.bind({**files, **change}, memory=0)
        assert caught.value.code == code
        assert word in str(caught.value)
        assert caught.value.line == line


def test_an_entry_that_needs_all_rows_says_so(compiled: Program) -> None:
    bound = compiled.bind(DATA, memory=1300)
    with pytest.raises(DataError, match="'loss' needs all of 'z'") as caught:
        compiled.call("loss", compiled.initial_params(bound), bound)
    assert caught.value.code == "VS0527"
    assert "read by chunks: X" in repr(bound)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"    every: 3": "    every: 3\n  new: mean[n](exp(c*X[n, 0]))"}, "outputs"),
        (
            {"z[n]: sum[i]((X[n, i] - shift[i])/2 * w[i])": "z[n]: sum[i]((X[n, i] - mean[n](X[n, i]))*w[i])"},
            "evaluated once",
        ),
        ({"batch: {n: 16}, ": ""}, "line 21"),
        (
            {"  - repeat: 5": "  - {minimize: other, over: [c], steps: 2, method: sgd(lr=0.1)}\n  - repeat: 5"},
            "each step",
        ),
        ({"over: [w], batch: {n: 8}, method": "over: [w], batch: {n: 8}, steps: 2, method"}, "inside of a repetition"),
        ({"epochs: 3,": "epochs: 3, until: loss < 0.01,"}, "until"),
    ],
)
def test_what_needs_an_array_whole_is_said(tmp_path: Path, change: dict[str, str], word: str) -> None:
    text = SPEC
    for old, new in change.items():
        assert old in text
        text = text.replace(old, new)
    path = tmp_path / "rows.yaml"
    path.write_text(text)
    made = vspec.compile(path)
    with pytest.warns(DataWarning, match="X") as caught:
        bound = made.bind(DATA, memory=1300)
    assert "X" not in bound.streams
    note = next(w.message for w in caught if "'X'" in str(w.message))
    assert isinstance(note, DataWarning)
    assert note.code == "VS0525"
    assert note.line == 5
    assert word in note.message, note.message
    assert note in bound.notes


def test_an_axis_that_is_not_the_first_is_read_whole() -> None:
    def loss(w: Any, X: Any) -> Any:
        return jnp.sum(X * w)

    plan = [stage("minimize", ("sgd", {"lr": 0.1}), names=["loss"], over=["w"], entries=roles("loss"), batch={"i": 2})]
    made = program(plan, derivatives(loss, ["w"]), {"w": []}, {"X": ["n", "i"]})
    assert "not its first axis" in str(whole_use(made.manifest, "X"))


@pytest.mark.parametrize(
    ("text", "bytes_"),
    [
        (17, 17),
        ("17", 17),
        ("1.5kB", 1500),
        ("2GB", 2 * 10**9),
        ("3 MiB", 3 * 2**20),
        ("1t", 10**12),
        (float("inf"), 2**62),
    ],
)
def test_amounts_of_memory(text: Any, bytes_: int) -> None:
    assert amount(text) == bytes_


@pytest.mark.parametrize("text", ["", "much", "-1", "2XB", "GB", -1, float("nan"), True, [1]])
def test_what_is_no_amount(text: Any) -> None:
    with pytest.raises(DataError) as caught:
        amount(text)
    assert caught.value.code == "VS0524"


def test_a_quarter_of_the_machine() -> None:
    assert 2**20 < amount(None) < 2**50


class Full(io.BytesIO):
    """A file on a disk without room."""

    def write(self, data: Any) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_no_room_for_a_copy(compiled: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = write(tmp_path)
    monkeypatch.setattr("tempfile.TemporaryFile", Full)
    for _ in range(2):
        with pytest.raises(DataError, match="TMPDIR") as caught:
            compiled.bind(files, memory=0)
        assert caught.value.code == "VS0526"
        assert caught.value.line == 6
        monkeypatch.setattr("shutil.disk_usage", lambda folder: SimpleNamespace(free=10))


TWO = """\
vspec: 1
name: two
precision: float64
dims: {n: auto, m: auto, i: auto}
data:
  X[n, m]: real
  U[n, i]: real
  V[m, i]: real
params:
  a[i]: {init: 1.0}
  r[m]: {init: 0}
define:
  u[n, i]: sin(U[n, i])
  uv[n, m]: exp(U[n, 0]*V[m, 0])
objectives:
  loss: mean[n](mean[m]((X[n, m] + uv[n, m] - sum[i](a[i]*u[n, i]*V[m, i]) - r[m])**2))
solve: {minimize: loss, batch: {n: 4, m: 3}, steps: 25, method: adam(lr=1e-2)}
"""


def test_rows_along_two_dims(tmp_path: Path) -> None:
    """Arrays along both, what is prepared of rows of one, and what is prepared of both, of which only one is read by rows."""
    path = tmp_path / "two.yaml"
    path.write_text(TWO)
    made = vspec.compile(path)
    rng = np.random.default_rng(1)
    data = {"X": rng.normal(size=(21, 10)), "U": rng.normal(size=(21, 2)), "V": rng.normal(size=(10, 2))}
    expected = run(made, data, seed=1)
    with pytest.warns(DataWarning, match=r"'V' .* rows of 'U' along another axis"):
        found = run(made, data, seed=1, memory=0)
    assert [*found.bound.streams] == ["X", "U"]
    assert [*found.bound.prepared] == []
    same(found, expected)
    same(run(made, data, seed=1, memory=2100), expected)


def test_data_that_nothing_reads_are_checked_and_left_where_they_are(tmp_path: Path) -> None:
    made = program([], {}, {}, {"X": ["n", "i"]})
    bound = made.bind({"X": np.ones((4, 2))}, memory=0)
    assert bound.streams["X"].taken == 0
    with pytest.raises(DataError, match="not finite"):
        made.bind({"X": np.full((4, 2), np.nan)}, memory=0)


SPLIT = """\
import sys
import numpy as np
import vspec

made = vspec.compile(sys.argv[1])
X = np.random.default_rng(0).normal(size=(40, 3))
whole = vspec.run(made, data={"X": X})
found = vspec.run(made, data={"X": X}, memory=0)
assert found.bound.layout.shape == {"data": 4}
assert [*found.bound.streams] == ["X"]
print([np.array_equal(whole.params[name], found.params[name]) for name in ("w", "b")])
"""


def test_on_several_devices(tmp_path: Path) -> None:
    path = tmp_path / "split.yaml"
    path.write_text(
        "vspec: 1\nname: split\ndims: {n: auto, i: auto}\ndata:\n  X[n, i]: real\nparams:\n  w[i]: {init: 0.1}\n"
        "  b[n]: {init: 0}\ndefine:\n  z[n, i]: sin(X[n, i])\nobjectives:\n"
        "  loss: mean[n]((sum[i](z[n, i]*w[i]) - 1 + b[n])**2)\nshard: {n: data}\n"
        "solve: {minimize: loss, batch: {n: 8}, steps: 12, method: adam(lr=1e-2)}\n"
    )
    env = {**os.environ, "XLA_FLAGS": "--xla_force_host_platform_device_count=4", "JAX_PLATFORMS": "cpu"}
    found = subprocess.run([sys.executable, "-c", SPLIT, path], env=env, capture_output=True, text=True, timeout=300)
    assert found.returncode == 0, found.stderr
    assert found.stdout.split("\n")[0] == "[True, True]"
