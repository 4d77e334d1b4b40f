"""Each law with arguments and values, SciPy's distribution of it, and its log-density written out in JAX."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import jax.numpy as jnp
import jax.scipy.special as jss
from scipy import stats  # type: ignore[import-untyped]


@dataclass(frozen=True)
class Case:
    """A law at some arguments.

    Attributes:
        name: of the law, and of the parameter that is given instead of another behind a dot.
        parameters: the arguments, each for every point; whole axes last.
        inside: values in the support.
        outside: values that are not.
        scipy: SciPy's distribution at one point's arguments.
        density: the log-density at one point, by JAX's own differentiable functions.
    """

    name: str
    parameters: dict[str, list[Any]]
    inside: list[Any]
    scipy: Callable[..., Any]
    density: Callable[..., Any]
    outside: list[Any] = field(default_factory=list)
    integer: bool = False

    @property
    def law(self) -> str:
        """The name of the law alone."""
        return self.name.partition(".")[0]


def _discrete(values: list[int], p: Any) -> Any:
    return stats.rv_discrete(values=(values, p))


def _normal(x: Any, mean: Any, scale: Any) -> Any:
    return jnp.log(jnp.exp(-((x - mean) ** 2) / (2 * scale**2)) / jnp.sqrt(2 * jnp.pi * scale**2))


def _binomial(x: Any, n: Any, p: Any) -> Any:
    return jss.gammaln(n + 1) - jss.gammaln(x + 1) - jss.gammaln(n - x + 1) + x * jnp.log(p) + (n - x) * jnp.log(1 - p)


def _triangular(x: Any, low: Any, mode: Any, high: Any) -> Any:
    up = 2 * (x - low) / ((high - low) * (mode - low))
    return jnp.log(jnp.where(x < mode, up, 2 * (high - x) / ((high - low) * (high - mode))))


REALS = [-2.0, 0.3, 1.7]
POSITIVE = [0.2, 1.1, 4.5]
MEANS, SCALES, SHAPES = [0.4, -1.2, 2.0], [0.5, 1.3, 2.4], [0.7, 1.6, 3.2]

SCALAR: tuple[Case, ...] = (
    Case("normal", {"mean": MEANS, "scale": SCALES}, REALS, stats.norm, _normal),
    Case(
        "uniform",
        {"low": [-3.0, 0.0, 1.0], "high": [-1.0, 0.5, 4.0]},
        REALS,
        lambda low, high: stats.uniform(low, high - low),
        lambda x, low, high: jnp.log(1 / (high - low)),
        [-3.5, 0.6, 0.5],
    ),
    Case(
        "bernoulli",
        {"p": [0.2, 0.5, 0.9]},
        [0, 1, 0],
        stats.bernoulli,
        lambda x, p: jnp.log(x * p + (1 - x) * (1 - p)),
        [2, -1, 3],
        True,
    ),
    Case(
        "bernoulli.logits",
        {"logits": [-1.5, 0.3, 2.0]},
        [0, 1, 0],
        lambda logits: stats.bernoulli(1 / (1 + jnp.exp(-logits))),
        lambda x, logits: jnp.log(x / (1 + jnp.exp(-logits)) + (1 - x) / (1 + jnp.exp(logits))),
        [2, -1, 3],
        True,
    ),
    Case(
        "rademacher",
        {},
        [1, -1, 1],
        lambda: _discrete([-1, 1], [0.5, 0.5]),
        lambda x: jnp.log(0.5),
        [0, 2, -3],
        True,
    ),
    Case(
        "exponential",
        {"scale": SCALES},
        POSITIVE,
        lambda scale: stats.expon(scale=scale),
        lambda x, scale: jnp.log(jnp.exp(-x / scale) / scale),
        [-0.1, -2.0, -3.0],
    ),
    Case(
        "laplace",
        {"location": MEANS, "scale": SCALES},
        REALS,
        stats.laplace,
        lambda x, location, scale: jnp.log(jnp.exp(-jnp.abs(x - location) / scale) / (2 * scale)),
    ),
    Case(
        "logistic",
        {"location": MEANS, "scale": SCALES},
        REALS,
        stats.logistic,
        lambda x, location, scale: -jnp.log(4 * scale * jnp.cosh((x - location) / (2 * scale)) ** 2),
    ),
    Case(
        "gumbel",
        {"location": MEANS, "scale": SCALES},
        REALS,
        stats.gumbel_r,
        lambda x, location, scale: -(x - location) / scale - jnp.exp((location - x) / scale) - jnp.log(scale),
    ),
    Case(
        "cauchy",
        {"location": MEANS, "scale": SCALES},
        REALS,
        stats.cauchy,
        lambda x, location, scale: jnp.log(scale / (jnp.pi * (scale**2 + (x - location) ** 2))),
    ),
    Case(
        "half_normal",
        {"scale": SCALES},
        POSITIVE,
        lambda scale: stats.halfnorm(scale=scale),
        lambda x, scale: jnp.log(2.0) + _normal(x, 0.0, scale),
        [-0.1, -2.0, -3.0],
    ),
    Case(
        "half_cauchy",
        {"scale": SCALES},
        POSITIVE,
        lambda scale: stats.halfcauchy(scale=scale),
        lambda x, scale: jnp.log(2 * scale / (jnp.pi * (scale**2 + x**2))),
        [-0.1, -2.0, -3.0],
    ),
    Case(
        "von_mises",
        {"mean": MEANS, "concentration": SCALES},
        [0.9, 1.3, -0.7],
        lambda mean, concentration: stats.vonmises(concentration, mean),
        lambda x, mean, concentration: concentration * jnp.cos(x - mean) - jnp.log(2 * jnp.pi * jss.i0(concentration)),
    ),
    Case(
        "lognormal",
        {"mean": MEANS, "scale": SCALES},
        POSITIVE,
        lambda mean, scale: stats.lognorm(scale, scale=jnp.exp(mean)),
        lambda x, mean, scale: _normal(jnp.log(x), mean, scale) - jnp.log(x),
        [-0.1, 0.0, -3.0],
    ),
    Case(
        "gamma",
        {"shape": SHAPES, "scale": SCALES},
        POSITIVE,
        lambda shape, scale: stats.gamma(shape, scale=scale),
        lambda x, shape, scale: jnp.log(
            (x / scale) ** (shape - 1) * jnp.exp(-x / scale) / scale / jnp.exp(jss.gammaln(shape))
        ),
        [-0.1, -2.0, -3.0],
    ),
    Case(
        "beta",
        {"a": SHAPES, "b": [1.4, 0.6, 2.2]},
        [0.1, 0.5, 0.95],
        stats.beta,
        lambda x, a, b: jnp.log(x ** (a - 1) * (1 - x) ** (b - 1)) - jss.betaln(a, b),
        [-0.1, 1.2, -3.0],
    ),
    Case(
        "chisquare",
        {"degrees": SHAPES},
        POSITIVE,
        stats.chi2,
        lambda x, degrees: (
            jnp.log(x ** (degrees / 2 - 1) * jnp.exp(-x / 2) / 2 ** (degrees / 2)) - jss.gammaln(degrees / 2)
        ),
        [-0.1, -2.0, -3.0],
    ),
    Case(
        "student_t",
        {"degrees": SHAPES, "location": MEANS, "scale": SCALES},
        REALS,
        stats.t,
        lambda x, degrees, location, scale: (
            jss.gammaln((degrees + 1) / 2)
            - jss.gammaln(degrees / 2)
            - jnp.log(jnp.sqrt(degrees * jnp.pi) * scale)
            - (degrees + 1) / 2 * jnp.log(1 + ((x - location) / scale) ** 2 / degrees)
        ),
    ),
    Case(
        "weibull",
        {"shape": SHAPES, "scale": SCALES},
        POSITIVE,
        lambda shape, scale: stats.weibull_min(shape, scale=scale),
        lambda x, shape, scale: jnp.log(shape / scale * (x / scale) ** (shape - 1) * jnp.exp(-((x / scale) ** shape))),
        [-0.1, -2.0, -3.0],
    ),
    Case(
        "pareto",
        {"shape": SHAPES, "scale": SCALES},
        [0.9, 1.7, 6.0],
        lambda shape, scale: stats.pareto(shape, scale=scale),
        lambda x, shape, scale: jnp.log(shape * (scale / x) ** shape / x),
        [0.4, -2.0, 0.0],
    ),
    Case(
        "rayleigh",
        {"scale": SCALES},
        POSITIVE,
        lambda scale: stats.rayleigh(scale=scale),
        lambda x, scale: jnp.log(x / scale**2 * jnp.exp(-(x**2) / (2 * scale**2))),
        [-0.1, 0.0, -3.0],
    ),
    Case(
        "triangular",
        {"low": [-3.0, 0.0, 1.0], "mode": [-1.5, 0.2, 2.0], "high": [-1.0, 0.5, 4.0]},
        REALS,
        lambda low, mode, high: stats.triang((mode - low) / (high - low), low, high - low),
        _triangular,
        [-3.5, 0.6, 0.5],
    ),
    Case(
        "truncated_normal",
        {"mean": MEANS, "scale": SCALES, "low": [-3.0, 0.0, 1.0], "high": [-1.0, 0.5, 4.0]},
        REALS,
        lambda mean, scale, low, high: stats.truncnorm((low - mean) / scale, (high - mean) / scale, mean, scale),
        lambda x, mean, scale, low, high: (
            _normal(x, mean, scale)
            - jnp.log((jss.erf((high - mean) / scale / 2**0.5) - jss.erf((low - mean) / scale / 2**0.5)) / 2)
        ),
        [-3.5, 0.6, 0.5],
    ),
    Case(
        "poisson",
        {"rate": SCALES},
        [0, 2, 5],
        stats.poisson,
        lambda x, rate: jnp.log(rate**x * jnp.exp(-rate)) - jss.gammaln(x + 1.0),
        [-1, -2, -5],
        True,
    ),
    Case("binomial", {"n": [3, 4, 9], "p": [0.2, 0.5, 0.9]}, [0, 4, 7], stats.binom, _binomial, [-1, 5, 10], True),
    Case(
        "geometric",
        {"p": [0.2, 0.5, 0.9]},
        [1, 2, 5],
        stats.geom,
        lambda x, p: jnp.log(p * (1 - p) ** (x - 1)),
        [0, -1, -4],
        True,
    ),
    Case(
        "integers",
        {"low": [-2, 0, 3], "high": [3, 2, 4]},
        [2, 0, 3],
        stats.randint,
        lambda x, low, high: -jnp.log(high - low),
        [3, 2, -1],
        True,
    ),
    Case(
        "categorical",
        {"p": [[0.2, 0.5, 0.3, 0.1], [1.0, 2.0, 0.5, 0.3], [3.0, 0.1, 0.1, 0.2]]},
        [0, 3, 2],
        lambda p: _discrete([0, 1, 2, 3], p / p.sum()),
        lambda x, p: jnp.log(p[x] / p.sum()),
        [4, -1, 7],
        True,
    ),
    Case(
        "categorical.logits",
        {"logits": [[0.2, 0.5, -0.3, 0.1], [1.0, -2.0, 0.5, 0.3], [3.0, 0.1, 0.1, 0.2]]},
        [0, 3, 2],
        lambda logits: _discrete([0, 1, 2, 3], jnp.exp(logits) / jnp.exp(logits).sum()),
        lambda x, logits: jnp.log(jnp.exp(logits[x]) / jnp.exp(logits).sum()),
        [4, -1, 7],
        True,
    ),
)
