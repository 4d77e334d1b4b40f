"""What reductions over pairs of many points take of memory beyond their arguments: Sinkhorn's iteration, and sums of a Gaussian
kernel with their gradient.

Each case runs in a process of its own, whose largest resident size is read before and after; all pairs at once would take
n*m numbers several times over.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

HEAD = """\
vspec: 1
name: memory
dims: {n: auto, m: auto, k: 3, t: 3}
data:
  x[n, k]: real
  y[m, k]: real
"""
SINKHORN = """\
constants: {eps: 0.05}
params:
  start[n]: {init: 0}
define:
  C[n, m]: sum[k]((x[n, k] - y[m, k])**2)
  f[0, n]: start[n]
  f[t + 1, n]: -eps*logsumexp[m]((-eps*logsumexp[n]((f[t, n] - C[n, m])/eps - log(size(n))) - C[n, m])/eps - log(size(m)))
objectives:
  cost: mean[n](f[-1, n])
solve: {minimize: cost, steps: 1}
"""
KERNEL = """\
params:
  w[m]: {init: 1}
  z[m, k]: {init: 0}
objectives:
  cost: mean[n](sin(sum[m](w[m]*exp(-sum[k]((x[n, k] - y[m, k] - z[m, k])**2)))))
solve: {minimize: cost, steps: 1}
"""
SPECS = {"sinkhorn": SINKHORN, "kernel": KERNEL}
CASES = (("sinkhorn", "cost"), ("kernel", "cost_value_and_gradient"))
POINTS = 50_000


def measured(case: str, entry: str, points: int, options: Mapping[str, Any]) -> dict[str, float]:
    """Seconds of a call and megabytes beyond what there is before it, in a process of its own."""
    given = json.dumps([case, entry, points, dict(options)])
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.memory", given],
        check=True,
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[1],
    )
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def call(case: str, entry: str, points: int, options: Mapping[str, Any]) -> dict[str, float]:
    """The case in this process."""
    import tempfile

    import jax
    import numpy as np

    import vspec

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "memory.yaml"
        path.write_text(HEAD + SPECS[case])
        program = vspec.compile(path, **options)
    rng = np.random.default_rng(0)
    data = {name: rng.uniform(size=(points, 3)).astype(np.float32) for name in ("x", "y")}
    bound = program.bind(data)
    params = program.initial_params(bound)
    jax.block_until_ready(params)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.perf_counter()
    jax.block_until_ready(program.call(entry, params, bound))
    seconds = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"seconds": seconds, "megabytes": (after - before) / 1e3}


def memory(points: int = POINTS, small: int = 5_000) -> str:
    """A table: what each case takes in parts, and at a size where both fit, in parts and whole."""
    rows = [f"{'case':<10} {'points':>8} {'':<14} {'seconds':>8} {'MB beyond':>10}"]
    for case, entry in CASES:
        runs: list[tuple[int, str, dict[str, Any]]] = [
            (points, "some rows", {}),
            (small, "some rows", {"memory": "1MB"}),
            (small, "whole", {"disable": ["block"]}),
        ]
        for size, how, options in runs:
            found = measured(case, entry, size, options)
            rows.append(f"{case:<10} {size:>8} {how:<14} {found['seconds']:>8.2f} {found['megabytes']:>10.0f}")
    return "\n".join(rows)


ALL: dict[str, Callable[[], str]] = {"memory": memory}

if __name__ == "__main__":
    print(json.dumps(call(*json.loads(sys.argv[1]))))
