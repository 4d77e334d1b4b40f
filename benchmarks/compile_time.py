"""What the compiler costs: check, cold and cached builds, spec to first step, and growth with the size of a spec."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from functools import cache
from pathlib import Path

from vspec.compiler import pipeline

SPECS = Path(__file__).resolve().parent.parent / "specs" / "problems"

FIRST_STEP = """
import time; start = time.perf_counter()
import vspec
from vspec.compiler import pipeline
import jax, sys, tempfile
imported = time.perf_counter()
built = pipeline.build(sys.argv[1], tempfile.mkdtemp() + "/out", stablehlo=False)
compiled = time.perf_counter()
program = vspec.load(built.directory); data = program.bind()
params = program.initial_params(data)
ready = time.perf_counter()
jax.block_until_ready(program.jitted("loss_newton")(params, data))
print(imported - start, compiled - imported, ready - compiled, time.perf_counter() - ready)
"""

BY_HAND = """
import time; start = time.perf_counter()
import jax, jax.numpy as jnp
from sklearn.datasets import load_breast_cancer
jax.config.update("jax_enable_x64", True)
imported = time.perf_counter()
raw, label = load_breast_cancer(return_X_y=True)
X = jnp.asarray((raw - raw.mean(0)) / raw.std(0)); y = jnp.asarray(2.0 * label - 1)
def loss(p, X, y, lam):
    return jnp.sum(jnp.log1p(jnp.exp(-y * (X @ p["w"] + p["c"])))) + lam / 2 * jnp.sum(p["w"] ** 2)
p = {"w": jnp.zeros(30), "c": jnp.zeros(())}
ready = time.perf_counter()
step = jax.jit(lambda p, X, y, lam: (loss(p, X, y, lam), jax.grad(loss)(p, X, y, lam), jax.hessian(loss)(p, X, y, lam)))
jax.block_until_ready(step(p, X, y, 1.0))
print(imported - start, 0.0, ready - imported, time.perf_counter() - ready)
"""


@cache
def compiled_modules() -> str:
    """A folder for compiled modules, filled by one build."""
    folder = tempfile.mkdtemp()
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    build = [sys.executable, "-m", "vspec", "build", str(SPECS / "logistic.yaml"), "--out", f"{folder}/out"]
    subprocess.run(
        build, check=True, capture_output=True, env={**environment, "PYTHONPYCACHEPREFIX": f"{folder}/modules"}
    )
    return f"{folder}/modules"


def seconds(arguments: list[str], repetitions: int = 5) -> float:
    """Median wall time of a whole process that finds its modules compiled, as it does once it has run where it is installed."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    environment["PYTHONPYCACHEPREFIX"] = compiled_modules()
    values = []
    for _ in range(repetitions):
        start = time.perf_counter()
        subprocess.run(arguments, check=True, capture_output=True, env=environment)
        values.append(time.perf_counter() - start)
    return statistics.median(values)


def phases(script: str, *arguments: str) -> list[float]:
    """Medians of the four phases that a script prints: imports, compile the spec, data, first step."""
    rows = []
    for _ in range(3):
        out = subprocess.run([sys.executable, "-c", script, *arguments], check=True, capture_output=True, text=True)
        rows.append([float(x) for x in out.stdout.split()])
    return [statistics.median(column) for column in zip(*rows, strict=True)]


def command_line() -> str:
    """Wall times of `vspec check` and of cold and cached `vspec build` for the logistic spec, whole processes."""
    spec = str(SPECS / "logistic.yaml")
    run = [sys.executable, "-m", "vspec"]
    with tempfile.TemporaryDirectory() as folder:
        cold = [*run, "build", spec, "--out", f"{folder}/out"]
        lines = [
            f"  vspec check                    {seconds([*run, 'check', spec]):6.2f} s",
            f"  vspec build, cold              {seconds([*cold, '--force'], 3):6.2f} s",
            f"  vspec build --no-stablehlo     {seconds([*cold, '--force', '--no-stablehlo'], 3):6.2f} s",
        ]
        seconds(cold, 1)
        lines.append(f"  vspec build, cached            {seconds(cold):6.2f} s")
    return "\n".join(["command line (whole processes)", *lines])


def first_step() -> str:
    """From nothing to the first value, gradient and Hessian: a spec against the same problem written by hand in JAX."""
    lines = ["spec to first step            imports   compile spec   data   XLA and first step   total"]
    for name, row in (("vspec", phases(FIRST_STEP, str(SPECS / "logistic.yaml"))), ("jax by hand", phases(BY_HAND))):
        lines.append(
            f"  {name:<26} {row[0]:6.2f} s {row[1]:11.2f} s {row[2]:7.2f} s {row[3]:15.2f} s {sum(row):10.2f} s"
        )
    return "\n".join(lines)


def chain(length: int) -> str:
    """A spec of `length` definitions, each a formula of the one before."""
    lines = ["vspec: 1", f"name: chain-{length}", "dims: {i: 16}", "params:", "  w[i]: {init: 0.1}", "define:"]
    before = "w"
    for k in range(length):
        lines.append(f"  x{k}[i]: 0.99*{before}[i] + 0.01*sin({before}[i])")
        before = f"x{k}"
    lines += [
        "objectives:",
        f"  loss: sum[i]({before}[i]**2)",
        "solve: {minimize: loss, method: adam(lr=0.1), steps: 1}",
    ]
    return "\n".join(lines) + "\n"


def growth() -> str:
    """Build time (no StableHLO, no XLA) of chains of definitions; linear growth keeps the last column flat."""
    lines = ["definitions       check   calculus     passes       emit      total   per definition"]
    for length in (10, 100, 1000, 10000):
        start = time.perf_counter()
        spec, diagnostics = pipeline.check_text(chain(length), "chain.yaml")
        if spec is None:
            raise RuntimeError(str(diagnostics[:1]))
        checked = time.perf_counter() - start
        compiled = pipeline.compile_spec(spec)
        s = compiled.seconds
        total = checked + sum(s.values())
        lines.append(
            f"  {length:>8}  {checked:8.2f} s {s['calculus']:8.2f} s {s['passes']:8.2f} s {s['emit']:8.2f} s"
            f" {total:8.2f} s"
            f"   {total / length * 1e6:8.0f} us"
        )
    return "\n".join(lines)


ALL = {"cli": command_line, "first-step": first_step, "growth": growth}
