"""Variables that are summed over: each gets an axis of values with weights, all values of its law or the nodes of a rule."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vspec.compiler.calculus.chance.variables import NoEstimate, Variable, new_axis, size_of
from vspec.compiler.graph.builder import Builder, is_number
from vspec.compiler.graph.kernel import Tree, num, slot
from vspec.compiler.graph.node import Axis, Node

# So many configurations of one variable are summed over, and so many nodes are laid out, at most.
MOST_CONFIGURATIONS = 2**20

X, A, B = slot(0), slot(1), slot(2)


@dataclass(frozen=True)
class Values:
    """A variable on an axis: its values there, and what the weights are besides its density, which is in them if `dense`."""

    axis: Axis
    value: Node
    factor: Node
    dense: bool


def count_of(b: Builder, v: Variable) -> int | None:
    """The number of values of a variable where it is known at build; None if there are infinitely many or it is open."""
    law, arguments = v.sample.law, v.arguments
    if v.links is not None:
        known = b.dims.get(v.links.dim) if v.links.dim else v.links.count
        return known if isinstance(known, int) else None
    if law in ("bernoulli", "rademacher"):
        return 2
    if law == "categorical":
        return size_of(b.dims, arguments[0].axis(v.sample.blocks[0].core[0]))
    if law == "binomial" and is_number(arguments[0]):
        return int(arguments[0].attrs[0]) + 1
    if law == "integers" and is_number(arguments[0]) and is_number(arguments[1]):
        return int(arguments[1].attrs[0]) - int(arguments[0].attrs[0])
    return None


def configurations(b: Builder, v: Variable, joint: Sequence[Axis]) -> int | None:
    """In how many ways the elements of a variable along the axes `joint` have values together."""
    count = count_of(b, v)
    places = 1
    for axis in joint:
        size = size_of(b.dims, axis)
        if size is None:
            return None
        places *= size
    return None if count is None else count**places


def enumerated(b: Builder, v: Variable, joint: Sequence[Axis]) -> Values:
    """All values of a variable, of its elements along `joint` together. Raises NoEstimate where they are too many."""
    total, count = configurations(b, v, joint), count_of(b, v)
    if count is None:
        raise NoEstimate("VS0695", f"'{v.name}' has no finite list of values to sum over", v.origin, _TIP)
    if total is None or total > MOST_CONFIGURATIONS:
        size = "so many" if total is None else f"{count}^{round(np.log(total) / np.log(count))} = {total}"
        over = ", ".join(a.name for a in joint)
        message = f"what depends on '{v.name}' reads all its values along {over} together: {size} configurations"
        raise NoEstimate("VS0695", message, v.origin, "estimate it by draws, or write the sum so that it splits")
    axis = new_axis(b, v.name, f"{v.name}_values", total)
    index = b.index(axis)
    if joint:
        # The digits of the number of the configuration to the base of the number of values.
        sizes = [size_of(b.dims, a) or 1 for a in joint]
        powers = np.array([count**k for k in range(math.prod(sizes))], dtype=object).reshape(sizes)
        stride = b.array(_nested(powers.tolist()), joint, "integer")
        index = b.map(("mod", ("floordiv", X, A), num(count)), [index, stride], "integer")
    value = index
    if v.links is not None and (v.links.stride, v.links.low) != (1, 0):
        value = b.map(("add", ("mul", num(v.links.stride), X), num(v.links.low)), [index], "integer")
    if v.sample.law == "rademacher":
        value = b.map(("sub", ("mul", num(2), X), num(1)), [index], "integer")
    elif v.sample.law == "integers":
        value = b.map(("add", X, num(int(v.arguments[0].attrs[0]))), [index], "integer")
    return Values(axis, value, b.number(1.0), True)


def laid_out(
    b: Builder,
    v: Variable,
    arguments: Sequence[Node],
    count: int,
    over: tuple[Node, Node] | None,
    joint: Sequence[Axis],
) -> Values:
    """The nodes of a rule for the law of a variable: the Gauss rule of its law, or the trapezoid rule on an interval.

    Raises NoEstimate where the variable has several elements together, or its law no such rule.
    """
    if joint:
        message = f"what depends on '{v.name}' reads several of its elements together, and a rule is for one"
        raise NoEstimate("VS0695", message, v.origin, "estimate it by draws: by=samples(64)")
    axis = new_axis(b, v.name, f"{v.name}_values", count)
    if over is not None:
        if count < 2:
            raise NoEstimate("VS0695", "a rule on an interval has at least two nodes", v.origin)
        low, high = over
        step = b.map(("div", ("sub", A, X), num(float(count - 1))), [low, high], "real")
        value = b.map(("add", X, ("mul", A, ("real", B))), [low, step, b.index(axis)], "real")
        ends: Tree = ("or", ("eq", A, num(0)), ("eq", A, num(count - 1)))
        factor = b.map(("mul", X, ("where", ends, num(0.5), num(1.0))), [step, b.index(axis)], "real")
        return Values(axis, value, factor, True)
    rule = _RULES.get(v.sample.law)
    if rule is None:
        tip = f"name the interval: by=quadrature({count}, over=[0, 10])"
        raise NoEstimate("VS0695", f"the law '{v.sample.law}' has no Gauss rule here", v.origin, tip)
    make, tree = rule
    nodes, weights = make(count)
    points = b.array(tuple(map(float, nodes)), (axis,), "real")
    factor = b.array(tuple(map(float, weights / weights.sum())), (axis,), "real")
    return Values(axis, b.map(tree, [points, *arguments], "real"), factor, False)


def _hermite(n: int) -> tuple[np.ndarray, np.ndarray]:
    return np.polynomial.hermite_e.hermegauss(n)  # type: ignore[no-any-return]


def _legendre(n: int) -> tuple[np.ndarray, np.ndarray]:
    return np.polynomial.legendre.leggauss(n)  # type: ignore[no-any-return]


def _laguerre(n: int) -> tuple[np.ndarray, np.ndarray]:
    return np.polynomial.laguerre.laggauss(n)  # type: ignore[no-any-return]


_RULES: Mapping[str, tuple[Callable[[int], tuple[np.ndarray, np.ndarray]], Tree]] = {
    "normal": (_hermite, ("add", A, ("mul", B, X))),
    "lognormal": (_hermite, ("exp", ("add", A, ("mul", B, X)))),
    "uniform": (_legendre, ("add", A, ("mul", ("sub", B, A), ("mul", num(0.5), ("add", X, num(1.0)))))),
    "exponential": (_laguerre, ("mul", A, X)),
}


def _nested(x: Any) -> Any:
    return tuple(map(_nested, x)) if isinstance(x, list) else x


_TIP = "its estimators are reparam and score"
