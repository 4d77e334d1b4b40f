"""Means and central moments of laws, as formulas of their arguments (Johnson, Kotz and Balakrishnan 1994)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import sympy as sp

Arguments = Sequence[Any]


def _normal(order: int, a: Arguments) -> Any:
    """(order - 1)!! scale**order for even orders."""
    return sp.factorial2(order - 1) * a[1] ** order if order % 2 == 0 else sp.Integer(0)


def _uniform(order: int, a: Arguments) -> Any:
    half = (a[1] - a[0]) / 2
    return half**order / (order + 1) if order % 2 == 0 else sp.Integer(0)


def _laplace(order: int, a: Arguments) -> Any:
    return sp.factorial(order) * a[1] ** order if order % 2 == 0 else sp.Integer(0)


def _exponential(order: int, a: Arguments) -> Any:
    """order! times the alternating sum of 1/k!: the subfactorial."""
    return sp.subfactorial(order) * a[0] ** order


def _listed(*formulas: Callable[..., Any]) -> Callable[[int, Arguments], Any]:
    """Formulas of the orders from 2 on."""

    def of(order: int, a: Arguments) -> Any:
        return formulas[order - 2](*a) if order - 2 < len(formulas) else None

    return of


MEANS: Mapping[str, Callable[..., Any]] = {
    "normal": lambda m, s: m,
    "uniform": lambda low, high: (low + high) / 2,
    "bernoulli": lambda p: p,
    "rademacher": lambda: sp.Integer(0),
    "exponential": lambda s: s,
    "laplace": lambda m, s: m,
    "logistic": lambda m, s: m,
    "gumbel": lambda m, s: m + sp.EulerGamma * s,
    "lognormal": lambda m, s: sp.exp(m + s**2 / 2),
    "gamma": lambda k, s: k * s,
    "beta": lambda a, b: a / (a + b),
    "chisquare": lambda k: k,
    "poisson": lambda r: r,
    "binomial": lambda n, p: n * p,
    "geometric": lambda p: 1 / p,
    # With its moments as further arguments (`truncated.py`).
    "truncated_normal": lambda m, s, low, high, mean, *central: mean,
}

CENTRAL: Mapping[str, Callable[[int, Arguments], Any]] = {
    "normal": _normal,
    "uniform": _uniform,
    "laplace": _laplace,
    "exponential": _exponential,
    "bernoulli": _listed(
        lambda p: p * (1 - p), lambda p: p * (1 - p) * (1 - 2 * p), lambda p: p * (1 - p) * (1 - 3 * p * (1 - p))
    ),
    "rademacher": _listed(lambda: sp.Integer(1), lambda: sp.Integer(0), lambda: sp.Integer(1)),
    "logistic": _listed(
        lambda m, s: sp.pi**2 * s**2 / 3, lambda m, s: sp.Integer(0), lambda m, s: 7 * sp.pi**4 * s**4 / 15
    ),
    "gumbel": _listed(lambda m, s: sp.pi**2 * s**2 / 6),
    "lognormal": _listed(lambda m, s: (sp.exp(s**2) - 1) * sp.exp(2 * m + s**2)),
    "gamma": _listed(lambda k, s: k * s**2, lambda k, s: 2 * k * s**3, lambda k, s: (3 * k**2 + 6 * k) * s**4),
    "beta": _listed(
        lambda a, b: a * b / ((a + b) ** 2 * (a + b + 1)),
        lambda a, b: 2 * a * b * (b - a) / ((a + b) ** 3 * (a + b + 1) * (a + b + 2)),
    ),
    "chisquare": _listed(lambda k: 2 * k, lambda k: 8 * k, lambda k: 12 * k**2 + 48 * k),
    "poisson": _listed(lambda r: r, lambda r: r, lambda r: r + 3 * r**2),
    "binomial": _listed(lambda n, p: n * p * (1 - p), lambda n, p: n * p * (1 - p) * (1 - 2 * p)),
    "geometric": _listed(lambda p: (1 - p) / p**2),
    "truncated_normal": lambda order, a: a[1] ** order * a[3 + order],
}

# The expectation of the logarithm of the variable.
LOGARITHMS: Mapping[str, Callable[[Callable[[Any], Any], Arguments], Any]] = {
    "lognormal": lambda digamma, a: a[0],
    "gamma": lambda digamma, a: digamma(a[0]) + sp.log(a[1]),
    "exponential": lambda digamma, a: sp.log(a[0]) - sp.EulerGamma,
    "beta": lambda digamma, a: digamma(a[0]) - digamma(a[0] + a[1]),
    "chisquare": lambda digamma, a: digamma(a[0] / 2) + sp.log(2),
}
