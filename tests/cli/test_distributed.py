"""`vspec run --distributed`: two processes that run one spec together, and what is said where they cannot."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from click.testing import CliRunner

import vspec
from vspec.cli import main
from vspec.runtime.devices import layout_of
from vspec.runtime.errors import RunError

SPEC = """\
vspec: 1
name: together
doc: A linear fit, with an offset for each row.
precision: float64
dims: {n: 12, i: 3}
shard: {n: data}
data:
  X[n, i]: {source: table.npz, column: X}
params:
  w[i]: {init: "0.1*index(i)"}
  z[n]: {init: 0}
define:
  r[n]: sum[i](X[n, i]*w[i])/sqrt(mean[n](X[n, 0]**2)) + z[n] - 1
objectives:
  loss: mean[n](r[n]**2 + 0.1*z[n]**2)
solve: {minimize: loss, method: adam(0.1), epochs: 5, batch: {n: 4}, starts: 2}
outputs:
  fit[n]: r[n]
  value: {is: loss, every: 5}
claims:
  smaller: loss < 2
"""


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    np.savez(tmp_path / "table.npz", X=np.random.default_rng(0).normal(size=(12, 3)))
    path = tmp_path / "together.yaml"
    path.write_text(SPEC)
    return path


def together(spec: Path) -> list[tuple[int, str, str]]:
    """Exit code, stdout and stderr of two processes that run a spec together."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    env = {k: v for k, v in os.environ.items() if k != "XLA_FLAGS"}
    env |= {"JAX_PLATFORMS": "cpu", "VSPEC_COORDINATOR": f"127.0.0.1:{port}", "VSPEC_PROCESSES": "2"}
    command = [sys.executable, "-m", "vspec", "run", str(spec), "--distributed", "--format", "json", "--process"]
    running = [
        subprocess.Popen(
            [*command, str(k), "--out", f"out-{k}"],
            cwd=spec.parent,
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for k in range(2)
    ]
    try:
        said = [process.communicate(timeout=120) for process in running]
    finally:
        for process in running:
            process.kill()
    return [(process.returncode, *texts) for process, texts in zip(running, said, strict=True)]


def test_two_processes_give_what_one_gives(spec: Path) -> None:
    first, second = together(spec)
    assert (first[0], second[0]) == (0, 0), first[2][-2000:] + second[2][-2000:]
    # The first process speaks and writes; what libraries print does not get between.
    reply = json.loads(first[1])
    assert reply["ok"]
    assert reply["claims"][0]["holds"]
    assert second[1] == ""
    assert not (spec.parent / "out-1").exists()
    told = json.loads((spec.parent / "out-0" / "run.json").read_text())["device"]
    assert (told["count"], told["processes"], told["mesh"]) == (2, 2, {"data": 2})

    alone = vspec.run(spec)
    for file, arrays in (("params.npz", alone.params), ("outputs.npz", alone.outputs)):
        with np.load(spec.parent / "out-0" / file) as there:
            for name, x in arrays.items():
                np.testing.assert_allclose(there[name], x, rtol=1e-10, atol=1e-12)


def test_every_process_says_why_a_run_failed(spec: Path) -> None:
    start = SPEC.index("solve:")
    spec.write_text(SPEC[:start] + "solve: {minimize: loss, method: sgd(1e30), steps: 20}\n")
    for code, out, error in together(spec):
        assert code == 4, error[-2000:]
        assert "VS0602" in out
    with np.load(spec.parent / "out-0" / "last-good.npz") as kept:
        assert kept["z"].shape == (12,)  # of both processes
        assert np.all(np.isfinite(kept["z"]))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--coordinator", "127.0.0.1:9900"], "--processes and --process are missing"),
        (["--processes", "2", "--process", "0"], "--coordinator is missing"),
        (["--coordinator", "127.0.0.1:9900", "--processes", "2", "--process", "2"], "there is no process 2 of 2"),
    ],
)
def test_processes_that_cannot_find_each_other(spec: Path, options: list[str], told: str) -> None:
    done = CliRunner().invoke(main, ["run", str(spec), "--distributed", *options], standalone_mode=False)
    shown = str(done.exception) if done.exception is not None else done.output
    assert "VS0865" in shown
    assert told in shown


def test_several_processes_need_something_to_split(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    manifest = {"shard": {}, "dims": {}, "plan": []}
    with pytest.raises(RunError) as refused:
        layout_of(manifest, {}, None)
    assert refused.value.code == "VS0866"
    assert layout_of(manifest, {}, {}) is None
