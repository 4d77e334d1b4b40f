"""Dims that are split over devices: eight simulated ones in one process of its own, and the same spec on one device."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import vspec
from vspec.compiler.diagnostics.diagnostic import SpecError
from vspec.runtime.devices import Layout, _most
from vspec.runtime.errors import RunError
from vspec.settings import read_mesh

ROOT = Path(__file__).parents[2]

# Everything that a run does: draws, prepared definitions, minibatches, a param per row, two stages, starts, histories.
TRAINING = """\
vspec: 1
name: training
doc: A linear fit with an offset for each row.
precision: float64
dims: {n: 64, i: 6, k: 2}
shard: {n: data, i: model}
constants: {rows: 16}
data:
  X[n, i]: {draw: "normal(0, 1)", seed: 1}
  group[n]: {draw: "integers(0, 2)", seed: 2, type: integer}
params:
  w[i]: {init: "0.1*index(i)"}
  z[n]: {init: 0}
  b[k]: {init: "sample(normal(0, 1))"}
define:
  scaled[n, i]: X[n, i]/sqrt(mean[n](X[n, i]**2) + 1)
  noise[n]: sample(normal(0, 1))
  r[n]: sum[i](scaled[n, i]*w[i]) + z[n] + b[group[n]] - 1
  jittered[n]: (r[n] + 0.01*noise[n])**2
objectives:
  noisy: mean[n](jittered[n] + 0.1*z[n]**2)
  exact: mean[n](r[n]**2 + 0.1*z[n]**2) + 0.01*sum[i](w[i]**2)
solve:
  - {minimize: noisy, method: adam(0.1), epochs: 5, batch: {n: rows}}
  - {minimize: exact, method: sgd(0.2), steps: 40, starts: 2}
outputs:
  fit[n]: r[n]
  value: {is: exact, every: epoch}
claims:
  small: exact < 0.5
  same: {identity: "mean[n](r[n])*size(n) == sum[n](r[n])", tolerance: 1e-9}
"""

# Sums over rows: of the end of a recurrence, and of an implicit quantity.
PATHS = """\
vspec: 1
name: paths
doc: What starts at each row.
precision: float64
dims: {n: auto, t: 10}
data:
  x[n]: real
params:
  b: {init: 0.3}
define:
  s[0, n]: x[n]
  s[t + 1, n]: s[t, n] + 0.1*(b - s[t, n]**3)
  y[n]: root[q[n]](q[n]**3 + q[n] - x[n]*b, start=0)
objectives:
  moving: sum[n]((s[-1, n] - 1)**2)
  implicit: sum[n]((y[n] - 1)**2)
solve:
  - {minimize: moving, method: sgd(0.1), steps: 1}
  - {minimize: implicit, method: sgd(0.1), steps: 1}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sharding")
    (path / "training.yaml").write_text(TRAINING)
    (path / "paths.yaml").write_text(PATHS)
    return path


@pytest.fixture(scope="module")
def eight(folder: Path) -> dict[str, Any]:
    """What `eight_devices.py` found."""
    env = {
        **os.environ,
        # Small programs that run once: what is spent on compiling them is most of the time.
        "XLA_FLAGS": "--xla_force_host_platform_device_count=8 --xla_backend_optimization_level=0 "
        "--xla_llvm_disable_expensive_passes=true",
        "JAX_PLATFORMS": "cpu",
        "PYTHONPATH": str(ROOT),
    }
    script = Path(__file__).parent / "eight_devices.py"
    done = subprocess.run(
        [sys.executable, str(script), str(folder)], cwd=ROOT, env=env, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout)
    assert found["devices"] == 8
    return found


@pytest.mark.parametrize("name", ["hopfield", "lasso", "nonnegative-matrix-factorisation"])
def test_shipped_specs_give_the_same(eight: dict[str, Any], name: str) -> None:
    found = eight[name]
    assert found["mesh"] == {"data": 8}
    assert found["single"]
    assert found["worst"] < (1e-6 if name == "hopfield" else 1e-9)  # which is of precision float32
    assert found["same_ends"]
    assert found["same_claims"]
    assert all(found["holds"])


@pytest.mark.parametrize(
    ("name", "mesh"),
    [("training", {"data": 8, "model": 1}), ("two_axes", {"data": 4, "model": 2})],
)
def test_training_gives_the_same(eight: dict[str, Any], name: str, mesh: dict[str, int]) -> None:
    found = eight[name]
    assert found["mesh"] == mesh
    assert found["worst"] < 1e-9
    assert found["same_ends"]
    assert found["same_claims"]
    assert all(found["holds"])
    assert found["ends"][0] == ["steps", 20]
    assert found["histories"]["value"][:6] == [0, 4, 8, 12, 16, 20]
    assert found["metrics"] > 2


def test_arrays_are_split(eight: dict[str, Any]) -> None:
    split = eight["split"]
    for name in ("X", "scaled"):
        assert split[name] == [[8, 6], [64, 6]]
    for name in ("group", "z"):
        assert split[name] == [[8], [64]]
    for name in ("w", "b", "key"):
        assert split[name][0] == split[name][1], "every device has all of it"
    assert eight["specs"] == {"X": ["data", "model"], "group": ["data"]}
    assert eight["own_mesh"] == [[16, 3], {"model": 2, "data": 4}]


def test_runs_are_gone_on_with(eight: dict[str, Any]) -> None:
    assert eight["resumed"] == 0.0


def test_entries_inside_of_shard_map(eight: dict[str, Any]) -> None:
    assert eight["shard_map"]["moving"] < 1e-12
    assert (
        eight["shard_map"]["implicit"] < 1e-9
    )  # all rows are one search, which ends at its tolerance: here there are eight


def test_devices_are_as_many_as_divide(eight: dict[str, Any]) -> None:
    assert eight["default_of_60"] == {"data": 6, "model": 1}
    plan = [{"stages": [{"batch": {"m": 12}}]}]
    manifest = {"shard": {"n": {"axis": "data"}}, "dims": {"n": {"letters": ["n", "m"]}}, "plan": plan}
    assert [_most(manifest, {"n": 60}, "data", there) for there in (1, 3, 5, 8, 64)] == [1, 3, 4, 6, 12]


def test_what_does_not_fit_is_said(eight: dict[str, Any]) -> None:
    assert {code for code in eight if code.startswith("VS")} == {eight[c]["code"] for c in eight if c.startswith("VS")}
    odd = eight["VS0863"]
    assert "'n' has size 60, which 8 devices of the axis 'data' do not divide" in odd["message"]
    assert "--mesh data=4" in odd["help"]
    assert odd["line"] == 6
    batch = eight["VS0864"]
    assert "12 rows of 'n'" in batch["message"]
    assert "batches of 8 or 16 rows" in batch["help"]
    assert batch["line"] == 24
    many = eight["VS0862"]
    assert "has 16 devices, and there are 8" in many["message"]
    assert "device_count=16" in many["help"]
    assert "'date'" in eight["VS0861"]["message"]
    assert "did you mean 'data'?" in eight["VS0861"]["help"]


def test_one_device_needs_no_mesh(folder: Path) -> None:
    program = vspec.compile(folder / "training.yaml")
    assert program.manifest["shard"] == {"n": {"axis": "data", "line": 6}, "i": {"axis": "model", "line": 6}}
    assert program.bind(mesh={"data": 1, "model": 1}).layout is None
    with pytest.raises(RunError) as refused:
        program.bind(mesh={"data": 10_000})
    assert refused.value.code == "VS0862"
    with pytest.raises(RunError) as refused:
        program.bind(mesh={"data": 0})
    assert refused.value.code == "VS0860"


def test_a_spec_that_splits_nothing_has_no_mesh() -> None:
    program = vspec.compile("problems/hopfield")
    assert program.manifest["shard"] == {}
    with pytest.raises(RunError) as refused:
        program.bind(mesh={"data": 1})
    assert refused.value.code == "VS0861"
    assert "shard: {n: data}" in refused.value.help


def test_runs_are_split_like_the_spec(folder: Path) -> None:
    text = TRAINING + "runs:\n  coarse: {constants: {rows: 8}}\n"
    checked = vspec.check(text)
    assert checked.runs["coarse"].shard == checked.shard
    assert checked.shard["n"].axis == "data"


def test_meshes_are_read() -> None:
    assert read_mesh([]) is None
    assert read_mesh(["data=4,model=2"]) == read_mesh(["data=4", "model=2"]) == {"data": 4, "model": 2}
    for wrong in ("data", "data=", "=8", "data=0", "data=x", "data=2,data=2", "data=-1", "data=1.5"):
        with pytest.raises(SpecError) as refused:
            read_mesh([wrong])
        assert refused.value.diagnostics[0].code == "VS0860"


def test_the_first_of_several_dims_on_one_axis_is_split() -> None:
    import jax
    import numpy as np
    from jax.sharding import Mesh, PartitionSpec

    layout = Layout(Mesh(np.asarray(jax.devices()[:1]), ("data",)), (("n", "data"), ("m", "data")))
    assert layout.of(["i", "n", "m"]).spec == PartitionSpec(None, "data", None)
    assert layout.of(["n", "n"]).spec == PartitionSpec("data", None)
    assert layout.of([]).spec == PartitionSpec()
