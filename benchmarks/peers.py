"""Other solvers, each optional: what is not installed is None."""

from __future__ import annotations

import contextlib
import importlib
import io
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from benchmarks.programs import Flat
from benchmarks.reaching import Solver

TIGHTER = tuple(10.0**-k for k in range(1, 16))
_EVALUATIONS = 20_000


def optional(module: str) -> Any | None:
    """A module, or None where it is not installed."""
    try:
        return importlib.import_module(module)
    except ImportError:
        return None


def scipy(flat: Flat, method: str, keyword: str, settings: Sequence[float] = TIGHTER) -> Solver | None:
    """`scipy.optimize.minimize` with compiled derivatives of the program; L-BFGS-B keeps the box, SLSQP the constraints, too."""
    optimize = optional("scipy.optimize")
    if optimize is None:
        return None
    box = None if flat.box is None else list(zip(*flat.box, strict=True))
    bounded = {"bounds": box} if method in ("L-BFGS-B", "SLSQP", "trust-constr") else {}
    rules: list[Any] = []
    if flat.relations and method == "trust-constr":
        sides = [(0, 0.0), (1, -np.inf)]
        rules = [
            optimize.NonlinearConstraint(
                lambda x, k=k: flat.gaps(x)[k], low, 0.0, jac=lambda x, k=k: flat.rows(x)[k], hess=optimize.BFGS()
            )
            for k, low in sides
            if flat.gaps(flat.start)[k].size
        ]
    elif flat.relations:
        rules = [
            {"type": kind, "fun": lambda x, k=k: -flat.gaps(x)[k], "jac": lambda x, k=k: -flat.rows(x)[k]}
            for k, kind in enumerate(("eq", "ineq"))
            if flat.gaps(flat.start)[k].size
        ]

    # Of L-BFGS-B the gradient alone decides: where values stop falling says little.
    more = {"maxfun": 100_000, "ftol": 0.0} if method == "L-BFGS-B" else {}

    def at(setting: float) -> Callable[[], Any]:
        options = {**more, keyword: setting, "maxiter": 10_000}
        return lambda: (
            optimize.minimize(
                flat.value_and_gradient,
                flat.start,
                jac=True,
                method=method,
                constraints=rules,
                options=options,
                **bounded,
            ).x
        )

    return Solver(keyword, settings, at, flat.judged)


def scipy_least_squares(flat: Flat, settings: Sequence[float] = TIGHTER) -> Solver | None:
    """`scipy.optimize.least_squares` by MINPACK, with the program's residuals and their derivatives."""
    optimize = optional("scipy.optimize")
    if optimize is None:
        return None

    def at(setting: float) -> Callable[[], Any]:
        return lambda: (
            optimize.least_squares(
                flat.residuals,
                flat.start,
                jac=flat.jacobian,
                method="lm",
                x_scale="jac",
                ftol=max(setting, 1e-15),
                xtol=max(setting, 1e-15),
                gtol=max(setting, 1e-15),
                max_nfev=10_000,
            ).x
        )

    return Solver("ftol=xtol=gtol", settings, at, flat.judged)


def geno(flat: Flat, settings: Sequence[float] = TIGHTER) -> Solver | None:
    """genosolver, with the program's derivatives: L-BFGS-B, and an augmented Lagrangian around it for constraints."""
    module = optional("genosolver")
    if module is None:
        return None
    lower, upper = flat.box or (None, None)
    rules = [
        {"type": kind, "fun": lambda x, k=k: flat.gaps(x)[k], "jacprod": lambda x, v, k=k: v @ flat.rows(x)[k]}
        for k, kind in enumerate(("eq", "ineq"))
        if flat.relations and flat.gaps(flat.start)[k].size
    ]

    def at(setting: float) -> Callable[[], Any]:
        options = {"eps_pg": setting, "max_iter": 10_000} | ({"constraint_tol": setting} if rules else {})
        return lambda: quietly(
            lambda fg: (
                module.minimize(fg, flat.start, lb=lower, ub=upper, options=dict(options), constraints=rules or None).x
            ),
            flat.value_and_gradient,
        )

    return Solver("eps_pg" + ("=constraint_tol" if rules else ""), settings, at, flat.judged)


def quietly(solve: Callable[[Any], Any], both: Callable[[Any], tuple[float, Any]]) -> Any:
    """A solve whose prints are dropped, and which is ended after very many evaluations. Raises ArithmeticError where it fails."""
    left = _EVALUATIONS

    def counted(x: Any) -> tuple[float, Any]:
        nonlocal left
        left -= 1
        if left < 0:
            raise ArithmeticError(f"no end after {_EVALUATIONS} evaluations")
        return both(x)

    with contextlib.redirect_stdout(io.StringIO()):
        try:
            return solve(counted)
        except AssertionError:
            raise ArithmeticError("its line search has no direction that descends") from None
