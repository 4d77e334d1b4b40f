"""Entropic optimal transport to an L1 residual of both marginals: sparse Newton steps, both forms of sweeps, and libraries.

Costs are the random ones of an assignment problem, and squared distances between two densities on a grid. All sides may take the
same number of sweeps; one that does not come within the target by then is not timed, and says how close it came.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.peers import optional
from benchmarks.programs import written
from benchmarks.timing import Timing, interleaved
from vspec.runtime.stages import execute

Array = np.ndarray[Any, Any]
Rows = dict[str, Timing | str]

# A side whose first call takes longer than this is not called again; the first call, compiled on the way, is its sample.
ONCE = 30.0
# The most sweeps of any side.
MOST = 5000
# Sweeps between two looks at the residual; those of the libraries are their own.
LOOK = 20

TEXT = """\
vspec: 1
name: transport
precision: PRECISION
dims: {i: auto, j: auto}
constants: {eta: 1.0}
data:
  C[i, j]: real
  r[i]: real
  c[j]: real
params:
  x[i]: {init: 0}
  y[j]: {init: 0}
define:
  P[i, j]: exp(eta*(x[i] + y[j] - C[i, j]) - 1)
  residual: sum[i](abs(r[i] - sum[j](P[i, j]))) + sum[j](abs(c[j] - sum[i](P[i, j])))
objectives:
  dual: sum[i](r[i]*x[i]) + sum[j](c[j]*y[j]) - sum[i, j](P[i, j])/eta
solve:
"""
SWEEPS = """\
  repeat: ROUNDS
  stages:
    - {maximize: dual, method: "block_coordinate([x], [y], form=FORM)", steps: LOOK}
  until: residual < TARGET
"""
NEWTON = """\
  - {maximize: dual, method: "block_coordinate([x], [y])", steps: 20}
  - repeat: 60
    stages:
      - {maximize: dual, method: "newton(hessian=sparsified(KEEP*size(i)), linear=cg(rtol=1e-6), search=armijo)"}
POLISH
    until: residual < TARGET
"""
POLISH = '      - {maximize: dual, method: "block_coordinate([x], [y], form=log)"}'


@dataclass(frozen=True)
class Problem:
    """Costs, marginals, the strength of the costs, and how many entries of a row of the plan Newton's steps keep."""

    name: str
    cost: Array
    r: Array
    c: Array
    eta: float
    keep: int
    polish: bool

    def residual(self, x: Any, y: Any) -> float:
        """The L1 residual of both marginals of the plan of potentials, in float64."""
        return self.of_plan(np.exp(self.eta * (_wide(x)[:, None] + _wide(y)[None] - self.cost) - 1))

    def of_plan(self, plan: Any) -> float:
        """That of a plan."""
        plan = _wide(plan)
        return float(np.abs(plan.sum(1) - self.r).sum() + np.abs(plan.sum(0) - self.c).sum())


def _wide(x: Any) -> Array:
    return np.asarray(x, np.float64)


def assignment(n: int = 500, eta: float = 1200.0, seed: int = 0) -> Problem:
    """Uniform costs and marginals."""
    cost = np.random.default_rng(seed).random((n, n))
    even = np.full(n, 1 / n)
    return Problem(f"assignment {n}, eta {eta:g}", cost, even, even, eta, 5, False)


def grid(side: int = 20, eta: float = 1200.0, seed: int = 0) -> Problem:
    """Two mixtures of bumps on a grid, squared distances."""
    rng = np.random.default_rng(seed)
    axis = np.linspace(0, 1, side)
    z = np.stack(np.meshgrid(axis, axis, indexing="ij"), -1).reshape(-1, 2)

    def density() -> Array:
        means, widths, weights = rng.uniform(0.2, 0.8, (3, 2)), rng.uniform(0.05, 0.15, 3), rng.dirichlet(np.ones(3))
        bumps = np.exp(-((z[:, None] - means) ** 2).sum(-1) / (2 * widths**2)) @ weights
        flat = bumps / bumps.sum() + 0.01 / len(z)
        return np.asarray(flat / flat.sum())

    r, c = density(), density()
    cost = ((z[:, None] - z[None]) ** 2).sum(-1)
    return Problem(f"grid {side} x {side}, eta {eta:g}", cost / cost.max(), r, c, eta, 15, True)


Side = tuple[Callable[[], Any], Callable[[Any], float]]
"""A solve, and the residual of what it returns."""


def ours(problem: Problem, plan: str, precision: str, target: float) -> Side:
    """The plan of a spec."""
    text = TEXT.replace("PRECISION", precision) + plan.replace("TARGET", f"{target:g}").replace(
        "LOOK", str(LOOK)
    ).replace("ROUNDS", str(MOST // LOOK))
    program = written(text)
    bound = program.bind({"C": problem.cost, "r": problem.r, "c": problem.c}, {"eta": problem.eta})
    start = program.initial_params(bound)
    return lambda: execute(program, start, bound).params, lambda p: problem.residual(p["x"], p["y"])


def ott(problem: Problem, lse: bool, precision: str, target: float) -> Side | None:
    """OTT-JAX by logarithms or by a kernel; it stops by the L1 residual of the marginal that its last update leaves inexact."""
    geometry = optional("ott.geometry.geometry")
    linear = optional("ott.problems.linear.linear_problem")
    sinkhorn = optional("ott.solvers.linear.sinkhorn")
    if geometry is None or linear is None or sinkhorn is None:
        return None
    dtype = jnp.dtype(precision)
    cost, r, c = (jnp.asarray(a, dtype) for a in (problem.cost, problem.r, problem.c))
    solver = sinkhorn.Sinkhorn(lse_mode=lse, threshold=target, norm_error=1, inner_iterations=LOOK, max_iterations=MOST)

    @jax.jit
    def solve(cost: Any, r: Any, c: Any) -> Any:
        geom = geometry.Geometry(cost_matrix=cost, epsilon=1 / problem.eta)
        return solver(linear.LinearProblem(geom, r, c)).matrix

    return lambda: solve(cost, r, c), problem.of_plan


def pot(problem: Problem, method: str, target: float) -> Side | None:
    """POT on NumPy arrays; it stops by an L2 norm of one marginal, which is asked to be so small that the L1 norm is."""
    module = optional("ot")
    if module is None:
        return None
    tight = target / math.sqrt(len(problem.c))

    def solve() -> Any:
        return module.sinkhorn(
            problem.r,
            problem.c,
            problem.cost,
            1 / problem.eta,
            method=method,
            stopThr=tight,
            numItermax=MOST,
            warn=False,
        )

    return solve, problem.of_plan


def raced(problem: Problem, precision: str, target: float, repetitions: int) -> Rows:
    """The rows of a table: what comes within the target is timed, the others say how close they come."""
    newton = NEWTON.replace("KEEP", str(problem.keep)).replace("POLISH\n", f"{POLISH}\n" if problem.polish else "")
    sides: dict[str, Side | None] = {
        "vspec": ours(problem, newton, precision, target),
        "vspec scaling sweeps": ours(problem, SWEEPS.replace("FORM", "scaling"), precision, target),
        "vspec log sweeps": ours(problem, SWEEPS.replace("FORM", "log"), precision, target),
        "OTT-JAX, log": ott(problem, True, precision, target),
        "OTT-JAX, kernel": ott(problem, False, precision, target),
    }
    if precision == "float64":
        sides |= {name: pot(problem, name, target) for name in ("sinkhorn_log", "sinkhorn_stabilized")}
    rows: Rows = {}
    quick: dict[str, Callable[[], Any]] = {}
    first: dict[str, float] = {}
    notes: dict[str, str] = {}
    for name, side in sides.items():
        called = f"POT {name}" if name.startswith("sinkhorn") else name
        rows[called] = "not installed"
        if side is None:
            continue
        solve, residual = side
        print(f"{problem.name}, {precision}: {called}", file=sys.stderr, flush=True)
        begun = time.perf_counter()
        found = jax.block_until_ready(solve())
        seconds = time.perf_counter() - begun
        off = residual(found)
        if not off <= 1.5 * target:
            rows[called] = f"ends with a residual of {off:.1e} after {seconds:.1f} s and at most {MOST} sweeps"
            continue
        notes[called] = f"residual {off:.0e}"
        if seconds > ONCE:
            rows[called] = Timing(seconds, seconds, seconds, seconds, f"{notes[called]}, one call")
        else:
            quick[called], first[called] = solve, seconds
    timed = interleaved(quick, repetitions, least=0.0, first=first)
    for name, t in timed.items():
        rows[name] = Timing(t.first, t.median, t.low, t.high, notes[name])
    return rows


def transport(n: int = 500, side: int = 20, repetitions: int = 3) -> Mapping[str, Rows]:
    """Both problems, to 1e-9 in float64 and to 1e-4 in float32."""
    return {
        f"{p.name}: to {target:g} in {precision}": raced(p, precision, target, repetitions)
        for p in (assignment(n), grid(side))
        for precision, target in (("float64", 1e-9), ("float32", 1e-4))
    }


ALL: Mapping[str, Callable[[], Mapping[str, Rows]]] = {"transport": transport}
