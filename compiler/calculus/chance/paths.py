"""Draws as functions of their laws' arguments, through which derivatives flow: reparameterisations.

A location-scale law, and one that is a function of such a draw, is so as it is drawn. A gamma law is so implicitly (Figurnov et
al. 2018), and with it those that are made of gamma laws.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from vspec.compiler.calculus import draws
from vspec.compiler.calculus.chance.noise import Repeated
from vspec.compiler.calculus.vector_draws import shares
from vspec.compiler.graph.builder import Builder
from vspec.compiler.graph.kernel import Tree, num, slot
from vspec.compiler.graph.node import Node

X, A, B, C = slot(0), slot(1), slot(2), slot(3)

# Laws whose draws, as they are made, are functions of all their arguments and of noise that has none.
PLAIN = frozenset(
    {
        "normal",
        "uniform",
        "exponential",
        "laplace",
        "logistic",
        "gumbel",
        "cauchy",
        "lognormal",
        "weibull",
        "pareto",
        "rayleigh",
        "multivariate_normal",
    }
)


def _gamma(b: Builder, s: Repeated, shape: Node) -> Node:
    """A standard draw of shape `shape`, with the derivative by it."""
    return b.map(("gamma_draw", A, X), [s.draw("gamma", b.stop(shape)), shape], "real")


def _scaled_gamma(b: Builder, s: Repeated, shape: Node, scale: Node) -> Node:
    return b.mul([_gamma(b, s, shape), scale])


def _half(b: Builder, x: Node) -> Node:
    return b.map(("mul", num(0.5), X), [x], "real")


def _chisquare(b: Builder, s: Repeated, degrees: Node) -> Node:
    return b.map(("mul", num(2.0), X), [_gamma(b, s, _half(b, degrees))], "real")


def _beta(b: Builder, s: Repeated, first: Node, second: Node) -> Node:
    """x/(x + y) of two gamma draws."""
    x, y = _gamma(b, s, first), _gamma(b, s.apart(), second)
    return b.map(("div", X, ("add", X, A)), [x, y], "real")


def _student(b: Builder, s: Repeated, degrees: Node, location: Node, scale: Node) -> Node:
    """A normal draw over the root of a chi-squared one per degree of freedom."""
    square = _gamma(b, s.apart(), _half(b, degrees))
    ratio: Tree = ("div", X, ("sqrt", ("div", ("mul", num(2.0), A), B)))
    unit = b.map(ratio, [s.draw("normal"), square, degrees], "real")
    return b.map(("add", A, ("mul", B, X)), [unit, location, scale], "real")


def _truncated(b: Builder, s: Repeated, mean: Node, scale: Node, low: Node, high: Node) -> Node:
    """The normal quantile of a uniform draw between the probabilities of both ends."""

    def below(end: Node) -> Node:
        return b.map(("ndtr", ("div", ("sub", X, A), B)), [end, mean, scale], "real")

    u = s.draw("uniform")
    p = b.map(("add", A, ("mul", ("sub", B, A), X)), [u, below(low), below(high)], "real")
    root = num(math.sqrt(2))
    quantile: Tree = ("mul", root, ("erfinv", ("sub", ("mul", num(2.0), X), num(1.0))))
    return b.map(("add", A, ("mul", B, quantile)), [p, mean, scale], "real")


def _dirichlet(b: Builder, s: Repeated, alpha: Node) -> Node:
    return shares(s, _gamma(b, s, b.map(("add", X, num(1.0)), [alpha], "real")), alpha)


RULES: Mapping[str, Callable[..., Node]] = {
    "gamma": _scaled_gamma,
    "chisquare": _chisquare,
    "beta": _beta,
    "student_t": _student,
    "truncated_normal": _truncated,
    "dirichlet": _dirichlet,
}


def has_path(law: str) -> bool:
    """Whether draws of a law are functions of its arguments here."""
    return law in PLAIN or law in RULES


def path(b: Builder, law: str, noise: Repeated, *arguments: Node) -> Node:
    """A draw through which derivatives by the arguments flow, by the rule of a law or of the way in which it is given."""
    if law in RULES:
        return RULES[law](b, noise, *arguments)
    return draws.RULES[law](noise, *arguments)
