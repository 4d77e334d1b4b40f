"""Draws of data: NumPy's PCG64, one call per entry, so that published arrays can be reproduced."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from vspec.runtime.errors import DataError, near

Shape = tuple[int, ...]


def _uniform(g: np.random.Generator, shape: Shape, low: float = 0.0, high: float = 1.0) -> Any:
    return low + (high - low) * g.random(shape)


def _normal(g: np.random.Generator, shape: Shape, mean: float = 0.0, scale: float = 1.0) -> Any:
    if scale < 0:
        raise ValueError("the scale is negative")
    return mean + scale * g.standard_normal(shape)


def _bernoulli(g: np.random.Generator, shape: Shape, p: float) -> Any:
    if not 0 <= p <= 1:
        raise ValueError("the probability is not between 0 and 1")
    return g.random(shape) < p


_OWN: Mapping[str, Callable[..., Any]] = {"uniform": _uniform, "normal": _normal, "bernoulli": _bernoulli}

# fmt: off
_NUMPY = frozenset((
    "beta", "binomial", "chisquare", "exponential", "f", "gamma", "geometric", "gumbel", "hypergeometric",
    "laplace", "logistic", "lognormal", "logseries", "negative_binomial", "noncentral_chisquare", "pareto",
    "poisson", "power", "rayleigh", "standard_cauchy", "standard_exponential", "standard_gamma",
    "standard_normal", "standard_t", "triangular", "vonmises", "wald", "weibull", "zipf", "integers",
))
# fmt: on

LAWS = frozenset(_OWN) | _NUMPY


def draw(law: str, arguments: Sequence[float], shape: Shape, generator: np.random.Generator, what: str) -> Any:
    """One call of the generator: an array of `shape`. Raises `DataError` if the law or its arguments are wrong."""
    if law not in LAWS:
        raise DataError("VS0516", f"{what} is drawn from '{law}', which is no law of data", near(law, sorted(LAWS)))
    try:
        if law in _OWN:
            return _OWN[law](generator, shape, *arguments)
        if law == "integers":
            arguments = [int(a) for a in arguments]
        return getattr(generator, law)(*arguments, size=shape)
    except (TypeError, ValueError) as e:
        listed = ", ".join(f"{a:g}" for a in arguments)
        raise DataError("VS0516", f"{what} cannot be drawn from {law}({listed}): {e}") from None
