"""Measure-valued derivatives: the derivative of a law by a parameter as a constant times the difference of two laws.

d E[f(v)] = c (E[f(v+)] - E[f(v-)]) d(parameter) (Pflug 1989; Mohamed et al. 2020, table 1).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from vspec.compiler.calculus.chance.noise import Repeated
from vspec.compiler.calculus.draws import Standard
from vspec.compiler.graph.builder import Builder
from vspec.compiler.graph.kernel import num, slot
from vspec.compiler.graph.node import Axis, Node

X, A, B = slot(0), slot(1), slot(2)


@dataclass(frozen=True)
class Branch:
    """A parameter and the constant, and draws of the two laws; `minus` is None where it is the law itself. `over`: the whole axes
    of the parameter, along which there is such a difference for each entry."""

    parameter: Node
    constant: Node
    plus: Node
    minus: Node | None
    over: tuple[Axis, ...] = ()


def _bernoulli(b: Builder, s: Repeated, value: Node, p: Node) -> list[Branch]:
    """1 against 0."""
    return [Branch(p, b.number(1.0), b.number(1), b.number(0))]


def _poisson(b: Builder, s: Repeated, value: Node, rate: Node) -> list[Branch]:
    """One more against as many, since d p(k)/d rate = p(k - 1) - p(k)."""
    return [Branch(rate, b.number(1.0), b.map(("add", X, num(1)), [value], "integer"), None)]


def _binomial(b: Builder, s: Repeated, value: Node, n: Node, p: Node) -> list[Branch]:
    """One success more among the others against none: E[f(w + 1) - f(w)] n for w of n - 1 trials."""
    fewer = b.map(("sub", X, num(1)), [n], "integer")
    less = s.other().draw("binomial", fewer, p, dtype="integer")
    return [Branch(p, b.map(("real", X), [n], "real"), b.map(("add", X, num(1)), [less], "integer"), less)]


def _normal(b: Builder, s: Repeated, value: Node, mean: Node, scale: Node) -> list[Branch]:
    """By the mean, a Rayleigh step up against one down; by the scale, a two-sided Maxwell against a normal coupled to it.

    With m two-sided Maxwell and u uniform, m*u is normal.
    """
    more: Standard = s.other()
    step = b.map(("sqrt", ("mul", num(2.0), X)), [more.draw("exponential")], "real")
    up = b.map(("add", A, ("mul", B, X)), [step, mean, scale], "real")
    down = b.map(("sub", A, ("mul", B, X)), [step, mean, scale], "real")
    by_mean = Branch(mean, b.map(("div", num(1 / math.sqrt(2 * math.pi)), X), [scale], "real"), up, down)
    more = s.other()
    length = b.map(("sqrt", ("mul", num(2.0), X)), [more.draw("gamma", b.number(1.5))], "real")
    sign = s.other().draw("rademacher", dtype="integer")
    maxwell = b.map(("mul", X, ("real", A)), [length, sign], "real")
    share = s.other().draw("uniform")
    wide = b.map(("add", A, ("mul", B, X)), [maxwell, mean, scale], "real")
    own = b.map(("add", A, ("mul", B, ("mul", X, slot(3)))), [maxwell, mean, scale, share], "real")
    return [by_mean, Branch(scale, b.map(("div", num(1.0), X), [scale], "real"), wide, own)]


def _exponential(b: Builder, s: Repeated, value: Node, scale: Node) -> list[Branch]:
    """A gamma of shape 2, the sum of this and of another, against the law itself."""
    other = b.map(("mul", X, A), [s.other().draw("exponential"), scale], "real")
    constant = b.map(("div", num(1.0), X), [scale], "real")
    return [Branch(scale, constant, b.map(("add", X, A), [value, other], "real"), None)]


def _categorical(b: Builder, s: Repeated, value: Node, p: Node) -> list[Branch]:
    """By each weight, its position against the law itself."""
    axis = next(a for a in p.axes if a.name in s.core)
    constant = b.map(("div", num(1.0), X), [b.reduce("sum", p, [axis.name])], "real")
    return [Branch(p, constant, b.index(axis), None, (axis,))]


RULES: Mapping[str, Callable[..., Sequence[Branch]]] = {
    "bernoulli": _bernoulli,
    "poisson": _poisson,
    "binomial": _binomial,
    "categorical": _categorical,
    "normal": _normal,
    "exponential": _exponential,
}
