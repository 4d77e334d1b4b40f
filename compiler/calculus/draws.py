"""Draws: each law from standard draws of `jax.random`, whose key is the run's, folded with the number of the draw.

The number of a draw is fixed by the spec, so that every entry that evaluates it in one step draws the same. In the step of a
recurrence the key is folded with the time as well: the step and whoever reads along the whole path draw the same, too. No
derivative flows through the arguments of a law.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from vspec.compiler.calculus import vector_draws
from vspec.compiler.graph.builder import Builder, is_number
from vspec.compiler.graph.kernel import Tree, num, slot
from vspec.compiler.graph.node import Axis, Kind, Node
from vspec.compiler.language.expr import Sample
from vspec.compiler.language.laws import LAWS

if TYPE_CHECKING:
    from vspec.compiler.calculus.lower import Lowering


class Standard:
    """Makes the standard draws of one `sample`: one key, any axes. `event`: the axes along which a value is a vector."""

    def __init__(
        self, b: Builder, key: Node, axes: Sequence[Axis], core: Collection[str] = (), event: Sequence[str] = ()
    ) -> None:
        self.b = b
        self.key = key
        self.core = frozenset(core)
        self.event = tuple(event)
        self.branch = 0
        first = key.axes
        self.axes = (*first, *(a for a in axes if a.name not in key.names))

    def draw(self, op: str, *arguments: Node, dtype: str = "real") -> Node:
        """A RANDOM node over the axes of the draw, and over those of the arguments."""
        axes = {a.name: a for a in self.axes}
        axes.update({a.name: a for x in arguments for a in x.axes if a.name not in axes and a.name not in self.core})
        return self.b.make(Kind.RANDOM, op, (self.key, *arguments), tuple(axes.values()), dtype)

    def apart(self) -> Standard:
        """The same with independent draws."""
        self.branch += 1
        key = self.b.make(Kind.RANDOM, "fold", (self.key, self.b.number(self.branch)), self.key.axes, "key")
        return Standard(self.b, key, self.axes, self.core, self.event)

    def map(self, tree: Tree, *operands: Node) -> Node:
        """A real kernel of the draw and its arguments."""
        return self.b.map(tree, operands, "real")


Rule = Callable[..., Node]

X, A, B = slot(0), slot(1), slot(2)
SHIFTED: Tree = ("add", A, ("mul", B, X))


def _shifted(op: str) -> Rule:
    """location + scale*z for a standard z."""
    return lambda s, location, scale: s.map(SHIFTED, s.draw(op), location, scale)


def _scaled(op: str) -> Rule:
    """scale*z for a standard z that depends on the other arguments."""

    def rule(s: Standard, *arguments: Node) -> Node:
        *shape, scale = arguments
        return s.map(("mul", A, X), s.draw(op, *shape), scale)

    return rule


def _plain(op: str, dtype: str = "real") -> Rule:
    """A draw of JAX as it is."""
    return lambda s, *arguments: s.draw(op, *arguments, dtype=dtype)


def _uniform(s: Standard, low: Node, high: Node) -> Node:
    return s.map(("add", A, ("mul", ("sub", B, A), X)), s.draw("uniform"), low, high)


def _student(s: Standard, degrees: Node, location: Node, scale: Node) -> Node:
    return s.map(SHIFTED, s.draw("t", degrees), location, scale)


def _truncated(s: Standard, mean: Node, scale: Node, low: Node, high: Node) -> Node:
    ends = [s.map(("div", ("sub", X, A), B), end, mean, scale) for end in (low, high)]
    return s.map(SHIFTED, s.draw("truncated_normal", *ends), mean, scale)


def _weibull(s: Standard, shape: Node, scale: Node) -> Node:
    return s.map(("mul", B, ("pow", X, ("div", num(1.0), A))), s.draw("exponential"), shape, scale)


def _pareto(s: Standard, shape: Node, scale: Node) -> Node:
    return s.map(("mul", B, ("exp", ("div", X, A))), s.draw("exponential"), shape, scale)


def _rayleigh(s: Standard, scale: Node) -> Node:
    return s.map(("mul", A, ("sqrt", ("mul", num(2.0), X))), s.draw("exponential"), scale)


def _half(op: str) -> Rule:
    """scale*|z| for a standard z."""
    return lambda s, scale: s.map(("mul", A, ("abs", X)), s.draw(op), scale)


def _von_mises(s: Standard, mean: Node, concentration: Node) -> Node:
    # Whole turns are taken off, so that an angle that is in range already keeps its digits.
    angle: Tree = ("add", A, X)
    turn = num(6.283185307179586)
    wrapped: Tree = ("sub", angle, ("mul", turn, ("round", ("div", angle, turn))))
    return s.map(wrapped, s.draw("von_mises", concentration), mean)


def _point_mass(s: Standard, location: Node) -> Node:
    return s.b.order(location, (*location.axes, *(a for a in s.axes if a.name not in location.names)))


def _lognormal(s: Standard, mean: Node, scale: Node) -> Node:
    return s.map(("exp", SHIFTED), s.draw("normal"), mean, scale)


def _categorical(s: Standard, p: Node) -> Node:
    return s.draw("categorical", s.map(("log", X), p), dtype="integer")


RULES: Mapping[str, Rule] = {
    "normal": _shifted("normal"),
    "uniform": _uniform,
    "bernoulli": _plain("bernoulli", "integer"),
    "rademacher": _plain("rademacher", "integer"),
    "exponential": _scaled("exponential"),
    "laplace": _shifted("laplace"),
    "logistic": _shifted("logistic"),
    "gumbel": _shifted("gumbel"),
    "cauchy": _shifted("cauchy"),
    "half_normal": _half("normal"),
    "half_cauchy": _half("cauchy"),
    "von_mises": _von_mises,
    "lognormal": _lognormal,
    "gamma": _scaled("gamma"),
    "beta": _plain("beta"),
    "chisquare": _plain("chisquare"),
    "student_t": _student,
    "weibull": _weibull,
    "pareto": _pareto,
    "rayleigh": _rayleigh,
    "triangular": _plain("triangular"),
    "truncated_normal": _truncated,
    "poisson": _plain("poisson", "integer"),
    "binomial": _plain("binomial", "integer"),
    "geometric": _plain("geometric", "integer"),
    "integers": _plain("randint", "integer"),
    "categorical": _categorical,
    "point_mass": _point_mass,
    **vector_draws.RULES,
}
assert RULES.keys() >= {name for name, law in LAWS.items() if law.drawn and not law.of}

# What makes the first parameter of a law of the one that is given instead.
INSTEAD = {("bernoulli", "logits"): "sigmoid", ("categorical", "logits"): "exp"}


def key_of(low: Lowering, place: tuple[object, ...], times: Sequence[str]) -> Node:
    """The key of a draw: that of the run folded with its number, and with the times that it knows."""
    b = low.b
    key = b.make(Kind.RANDOM, "key", (low.key(),), (), "key", (low.ordinal(place),))
    for letter in times:
        index = low.bound.get(letter) or b.index(low.axis(letter))
        key = b.make(Kind.RANDOM, "fold", (key, index), (*key.axes, *index.axes), "key")
    return key


def arguments_of(low: Lowering, e: Sample) -> list[Node]:
    """The arguments of the law of a draw, of its first parameter or of what stands in its place."""
    found = []
    for block in e.blocks:
        x = low.lower(block.body)
        x = low.with_axes(x, block.core) if block.core else x
        # The first whole axis of an argument of a law of vectors is the one along which a value runs.
        found.append(low.b.rename(x, dict(zip(block.core, e.event))))
    return found


def core_of(e: Sample) -> frozenset[str]:
    """The whole axes of the arguments, less those along which a value runs."""
    return frozenset(x for block in e.blocks for x in block.core[len(e.event) :])


def form_of(e: Sample) -> str:
    """The name of the rule by which a law is drawn: of its own, or of the way in which it is given."""
    own = f"{e.law}.{e.instead}"
    return own if own in RULES else e.law


def in_place(b: Builder, e: Sample, arguments: Sequence[Node]) -> list[Node]:
    """The arguments by the parameters of the law."""
    if (e.law, e.instead) not in INSTEAD:
        return list(arguments)
    return [b.map((INSTEAD[e.law, e.instead], X), [arguments[0]], "real"), *arguments[1:]]


def drawn(low: Lowering, e: Sample) -> Node:
    """The node of a draw, through which no derivative flows."""
    b = low.b
    key = key_of(low, e.place, e.times)
    axes = [low.axis(x) for x in e.axes if x not in low.bound]
    arguments = in_place(b, e, arguments_of(low, e))
    value = RULES[form_of(e)](Standard(b, key, axes, core_of(e), e.event), *arguments)
    return value if all(is_number(x) for x in arguments) or value.dtype != "real" else b.stop(value)
