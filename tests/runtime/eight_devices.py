"""Runs specs on eight simulated devices and on one, and prints as JSON how they differ. A process of its own, for the tests."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, PartitionSpec
from sklearn.datasets import load_diabetes, load_digits

import vspec
from vspec.runtime.errors import RunError, RunInterruptedError
from vspec.runtime.run import run
from vspec.runtime.stages import execute

ROWS = 64


def shipped() -> dict[str, tuple[str, dict[str, Any]]]:
    """Shipped specs that split nothing by themselves: an index to split, and so many rows of their data."""
    digits, diabetes = load_digits(), load_diabetes()
    return {
        "hopfield": ("i", {}),
        "lasso": ("n", {"X": diabetes.data[:ROWS], "y": diabetes.target[:ROWS]}),
        "nonnegative-matrix-factorisation": ("n", {"raw": digits.data[:ROWS]}),
    }


def compared(program: Any, data: dict[str, Any], **options: Any) -> dict[str, Any]:
    """The largest differences between eight devices and one, relative to the largest entry, and how the runs went."""
    many = vspec.run(program, data=data, **options)
    axis = next(iter(many.bound.layout.shape))
    one = vspec.run(program, data=data, mesh={axis: 1})
    worst = 0.0
    for there, here in ((many.params, one.params), (many.outputs, one.outputs)):
        assert there.keys() == here.keys()
        for name, x in there.items():
            size = max(1.0, float(np.max(np.abs(here[name]), initial=0.0)))
            worst = max(worst, float(np.max(np.abs(x - here[name]), initial=0.0)) / size)
    return {
        "mesh": many.bound.layout.shape,
        "single": one.bound.layout is None,
        "worst": worst,
        "ends": [[s.reason, s.steps] for s in many.stages],
        "same_ends": [[s.reason, s.steps] for s in one.stages] == [[s.reason, s.steps] for s in many.stages],
        "holds": [c.holds for c in many.claims],
        "same_claims": [c.holds for c in many.claims] == [c.holds for c in one.claims],
        "histories": {k: list(v) for k, v in many.histories.items()},
        "metrics": len(many.metrics),
    }


def refused(call: Any) -> dict[str, Any]:
    """What a call is refused with."""
    try:
        call()
    except RunError as error:
        return {"code": error.code, "message": error.message, "help": error.help, "line": error.line}
    return {}


def mapped(program: Any) -> dict[str, float]:
    """Objectives that are sums over rows, each device with its rows by `shard_map`: how value and slope differ from the whole."""
    mesh = Mesh(np.asarray(jax.devices()), ("data",))
    rows, whole = PartitionSpec("data"), PartitionSpec()
    b, x = jnp.asarray(0.3), jnp.linspace(0.0, 1.0, 32)
    found = {}
    # A search is a loop of whose values JAX cannot tell how they vary over devices: it is told not to check.
    for name, checked in (("moving", True), ("implicit", False)):
        function = getattr(program, name)

        def part(b: Any, x: Any, function: Any = function) -> Any:
            return jax.lax.psum(function(b, x), "data")

        spread = jax.shard_map(part, mesh=mesh, in_specs=(whole, rows), out_specs=whole, check_vma=checked)
        there, here = (jax.jit(jax.value_and_grad(f))(b, x) for f in (spread, function))
        found[name] = max(abs(float(a) - float(c)) / max(1.0, abs(float(c))) for a, c in zip(there, here, strict=True))
    return found


def resumed(program: Any, out: Path) -> float:
    """How a run that was stopped and gone on with differs from one that was not."""
    events: list[Any] = []

    def stop(event: Any) -> None:
        events.append(event)
        if len(events) == 4:
            os.kill(os.getpid(), signal.SIGTERM)

    whole = run(program)
    with contextlib.suppress(RunInterruptedError):
        run(program, out=out, progress=stop)
    assert (out / "checkpoints").is_dir(), "it was stopped"
    again = run(program, out=out, resume=True)
    assert again.bound.layout.shape == whole.bound.layout.shape
    return max(float(np.max(np.abs(again.params[k] - x))) for k, x in whole.params.items())


def main(folder: Path) -> dict[str, Any]:
    """Everything that the tests look at."""
    found: dict[str, Any] = {"devices": jax.device_count()}
    found["shard_map"] = mapped(vspec.compile(folder / "paths.yaml"))
    for name, (letter, data) in shipped().items():
        text = Path(f"specs/problems/{name}.yaml").read_text()
        path = folder / f"{name}.yaml"
        path.write_text(f"{text}\nshard: {{{letter}: data}}\n")
        found[name] = compared(vspec.compile(path), data)

    program = vspec.compile(folder / "training.yaml")
    found["training"] = compared(program, {})
    found["two_axes"] = compared(program, {}, mesh={"data": 4, "model": 2})

    found["resumed"] = resumed(program, folder / "results")
    bound = program.bind(mesh={"data": 8})
    done = execute(program, program.initial_params(bound), bound)
    arrays = {**bound.data, **bound.prepared, **done.params, "key": bound.key}
    found["split"] = {name: [list(x.addressable_shards[0].data.shape), list(x.shape)] for name, x in arrays.items()}
    both = program.bind(mesh={"data": 4, "model": 2})
    found["specs"] = {name: [*x.sharding.spec] for name, x in both.data.items()}
    own = program.bind(mesh=Mesh(np.asarray(jax.devices()).reshape(2, 4), ("model", "data")))
    found["own_mesh"] = [list(own.data["X"].addressable_shards[0].data.shape), own.layout.shape]

    odd = vspec.compile(folder / "training.yaml", overrides={"n": 60})
    found["default_of_60"] = odd.bind().layout.shape
    found["VS0863"] = refused(lambda: odd.bind(mesh={"data": 8}))
    batches = vspec.compile(folder / "training.yaml", overrides={"rows": 12})
    found["VS0864"] = refused(lambda: vspec.run(batches, mesh={"data": 8}))
    found["VS0862"] = refused(lambda: program.bind(mesh={"data": 16}))
    found["VS0861"] = refused(lambda: program.bind(mesh={"date": 8}))
    return found


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]))))
