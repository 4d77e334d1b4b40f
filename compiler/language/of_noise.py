"""Draws of a step as functions of noise that has no parameters, one row for each law and way to give it.

`F(u, a, b)` has the law with the arguments a, b where u has the law of the noise. A vector is made of as many noises.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from vspec.compiler.language.context import Context
from vspec.compiler.language.expr import (
    Affine,
    Along,
    Block,
    Element,
    Expr,
    IndexValue,
    Linalg,
    Number,
    Pointwise,
    Reduction,
    Sample,
    SizeOf,
)
from vspec.compiler.language.links import relettered
from vspec.compiler.language.substitute import subscript_axes
from vspec.compiler.language.types import union


@dataclass(frozen=True, slots=True)
class Form:
    """How a law is drawn: the law of the noise, with its parameters, and the value as a function of noise and parameters.
    Without noise the value is known."""

    noise: str
    numbers: tuple[float, ...]
    value: Callable[..., Expr]


def op(name: str, *args: Expr, dtype: str = "real") -> Expr:
    """A pointwise operation."""
    return Pointwise(span=args[0].span, axes=union(args), dtype=dtype, op=name, args=args)  # type: ignore[arg-type]


def _number(like: Expr, value: float) -> Expr:
    dtype = "integer" if isinstance(value, int) else "real"
    return Number(span=like.span, dtype=dtype, value=value)  # type: ignore[arg-type]


def _shifted(u: Expr, location: Expr, scale: Expr) -> Expr:
    return op("add", location, op("mul", scale, u))


def _uniform(u: Expr, low: Expr, high: Expr) -> Expr:
    return op("add", low, op("mul", op("sub", high, low), u))


def _below(u: Expr, p: Expr) -> Expr:
    return op("integer", op("lt", u, p, dtype="boolean"), dtype="integer")


def _folded(u: Expr, scale: Expr) -> Expr:
    return op("mul", scale, op("abs", u))


def _weibull(u: Expr, shape: Expr, scale: Expr) -> Expr:
    return op("mul", scale, op("pow", u, op("div", _number(u, 1.0), shape)))


def _rayleigh(u: Expr, scale: Expr) -> Expr:
    return op("mul", scale, op("sqrt", op("mul", _number(u, 2.0), u)))


def _geometric(u: Expr, p: Expr) -> Expr:
    """An exponential time in units of that in which no trial succeeds with probability 1/e."""
    trials = op("floor", op("div", u, op("neg", op("log1p", op("neg", p)))))
    return op("integer", op("add", trials, _number(u, 1.0)), dtype="integer")


def _evenly(u: Expr, low: Expr, high: Expr) -> Expr:
    count = op("real", op("sub", high, low, dtype="integer"))
    return op("add", low, op("integer", op("floor", op("mul", u, count)), dtype="integer"), dtype="integer")


def _sign(u: Expr) -> Expr:
    twice = op("mul", _number(u, 2), _below(u, _number(u, 0.5)), dtype="integer")
    return op("sub", twice, _number(u, 1), dtype="integer")


_NORMAL, _UNIT, _TIME = ("normal", (0.0, 1.0)), ("uniform", (0.0, 1.0)), ("exponential", (1.0,))
FORMS: Mapping[tuple[str, str], Form] = MappingProxyType(
    {
        ("normal", ""): Form(*_NORMAL, _shifted),
        ("lognormal", ""): Form(*_NORMAL, lambda u, mean, scale: op("exp", _shifted(u, mean, scale))),
        ("half_normal", ""): Form(*_NORMAL, _folded),
        ("uniform", ""): Form(*_UNIT, _uniform),
        ("exponential", ""): Form(*_TIME, lambda u, scale: op("mul", scale, u)),
        ("weibull", ""): Form(*_TIME, _weibull),
        ("pareto", ""): Form(*_TIME, lambda u, shape, scale: op("mul", scale, op("exp", op("div", u, shape)))),
        ("rayleigh", ""): Form(*_TIME, _rayleigh),
        ("laplace", ""): Form("laplace", (0.0, 1.0), _shifted),
        ("logistic", ""): Form("logistic", (0.0, 1.0), _shifted),
        ("gumbel", ""): Form("gumbel", (0.0, 1.0), _shifted),
        ("cauchy", ""): Form("cauchy", (0.0, 1.0), _shifted),
        ("half_cauchy", ""): Form("cauchy", (0.0, 1.0), _folded),
        ("point_mass", ""): Form("", (), lambda u, location: location),
        ("bernoulli", ""): Form(*_UNIT, _below),
        ("bernoulli", "logits"): Form(*_UNIT, lambda u, a: _below(u, op("sigmoid", a))),
        ("rademacher", ""): Form(*_UNIT, _sign),
        ("integers", ""): Form(*_UNIT, _evenly),
        ("geometric", ""): Form(*_TIME, _geometric),
    }
)
# Laws whose arguments have whole axes: these make the value of a context, the blocks, and the noise.
VECTORS: Mapping[tuple[str, str], Callable[[Context, tuple[Block, ...], Element], Expr]]


def form_of(sample: Sample) -> Form | None:
    """How a law is drawn; None where it is no function of noise here. Of a law of vectors, the noise alone is told."""
    key = sample.law, sample.instead
    if key in VECTORS:
        noise, numbers = _UNIT if sample.law == "categorical" else _NORMAL
        return Form(noise, numbers, _shifted)
    return FORMS.get(key)


def value_of(ctx: Context, sample: Sample, blocks: tuple[Block, ...], noise: Element) -> Expr:
    """The draw as a function of noise that is read with the letters of the draw; `blocks`: the arguments of its law."""
    key = sample.law, sample.instead
    if key in VECTORS:
        return VECTORS[key](ctx, blocks, noise)
    return FORMS[key].value(noise, *(b.body for b in blocks))


def _categorical(ctx: Context, blocks: tuple[Block, ...], noise: Element) -> Expr:
    """How many sums of the first weights a uniform share of all weights exceeds."""
    body, (letter,) = blocks[0].body, blocks[0].core
    axes = body.axes if letter in body.axes else (*body.axes, letter)
    rest = tuple(x for x in axes if x != letter)
    sums = Along(span=body.span, axes=axes, dtype="real", op="cumsum", letter=letter, body=body)
    whole = Reduction(span=body.span, axes=rest, dtype="real", op="sum", letters=(letter,), body=body)
    above = op("integer", op("ge", op("mul", noise, whole), sums, dtype="boolean"), dtype="integer")
    over = tuple(x for x in above.axes if x != letter)
    count = Reduction(span=body.span, axes=over, dtype="integer", op="sum", letters=(letter,), body=above)
    last = op("sub", SizeOf(span=body.span, dtype="integer", letter=letter), _number(body, 1), dtype="integer")
    return op("minimum", count, last, dtype="integer")


def _by_logits(ctx: Context, blocks: tuple[Block, ...], noise: Element) -> Expr:
    body, (letter,) = blocks[0].body, blocks[0].core
    axes = body.axes if letter in body.axes else (*body.axes, letter)
    shares = Along(span=body.span, axes=axes, dtype="real", op="softmax", letter=letter, body=body)
    return _categorical(ctx, (Block(shares, (letter,)),), noise)


def _along(noise: Element, letter: str) -> Element:
    """The noise along another letter than that of its vector."""
    subscripts = (*noise.subscripts[:-1], Affine(letter))
    return replace(noise, subscripts=subscripts, axes=subscript_axes(subscripts))


def _row(noise: Element) -> str:
    last = noise.subscripts[-1]
    assert isinstance(last, Affine)
    return last.letter


def _moved(mean: Block, noise: Element, more: Expr) -> Expr:
    """The mean, along the letter of the draw, and more."""
    return op("add", relettered(mean.body, {mean.core[0]: _row(noise)}), more)


def _summed(x: Expr, letter: str) -> Expr:
    axes = tuple(a for a in x.axes if a != letter)
    return Reduction(span=x.span, axes=axes, dtype="real", op="sum", letters=(letter,), body=x)


def _cholesky(ctx: Context, blocks: tuple[Block, ...], noise: Element) -> Expr:
    """mean + L u, of which what is above the diagonal is not read."""
    mean, factor = blocks
    row, column = _row(noise), ctx.dims.fresh(ctx.dims.dim_of(factor.core[1]))
    body = relettered(factor.body, {factor.core[0]: row, factor.core[1]: column})
    span = body.span
    places = [IndexValue(span=span, axes=(x,), dtype="integer", letter=x) for x in (row, column)]
    lower = op("where", op("ge", *places, dtype="boolean"), body, _number(body, 0.0))
    return _moved(mean, noise, _summed(op("mul", lower, _along(noise, column)), column))


def _factor(ctx: Context, matrix: Block, row: str, column: str) -> Expr:
    """The Cholesky factor of a matrix, at two letters."""
    rest = tuple(x for x in matrix.body.axes if x not in matrix.core)
    return Linalg(
        span=matrix.body.span,
        axes=(*rest, row, column),
        dtype="real",
        op="cholesky",
        blocks=(matrix,),
        subscripts=(Affine(row), Affine(column)),
    )


def _covariance(ctx: Context, blocks: tuple[Block, ...], noise: Element) -> Expr:
    """mean + L u with the Cholesky factor L of the covariance."""
    mean, cov = blocks
    row, column = _row(noise), ctx.dims.fresh(ctx.dims.dim_of(cov.core[1]))
    return _moved(mean, noise, _summed(op("mul", _factor(ctx, cov, row, column), _along(noise, column)), column))


def _precision(ctx: Context, blocks: tuple[Block, ...], noise: Element) -> Expr:
    """mean + x with L' x = u, L the Cholesky factor of the precision."""
    mean, precision = blocks
    dim = ctx.dims.dim_of(precision.core[0])
    row, column = ctx.dims.fresh(dim), ctx.dims.fresh(dim)
    factor = _factor(ctx, precision, row, column)
    right = _along(noise, column)
    rest = tuple(dict.fromkeys(x for x in (*factor.axes, *right.axes) if x not in (row, column)))
    found = Linalg(
        span=factor.span,
        axes=(*rest, _row(noise)),
        dtype="real",
        op="solve",
        blocks=(Block(factor, (column, row)), Block(right, (column,))),
        subscripts=(Affine(_row(noise)),),
    )
    return _moved(mean, noise, found)


VECTORS = MappingProxyType(
    {
        ("categorical", ""): _categorical,
        ("categorical", "logits"): _by_logits,
        ("multivariate_normal", ""): _covariance,
        ("multivariate_normal", "cholesky"): _cholesky,
        ("multivariate_normal", "precision"): _precision,
    }
)
