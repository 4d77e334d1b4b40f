"""Functions of one variable with kinks: `abs`, `max`, branches at thresholds. Where they bend, and what they are in between.

The kinks are put in order by the signs of their differences; between two of them every `abs` and every condition is decided, so
that the function is smooth there. The minimum of a convex one follows from the stationary points of its pieces alone: with kinks
`t[1] <= .. <= t[m]` and `u[k]` that of piece k continued to all u,

    w[0] = u[0],    w[k] = min(w[k - 1], t[k]) + max(u[k] - t[k], 0),    the minimum is w[m]

since the first k pieces have their minimum below t[k] exactly where the rest adds nothing. Soft thresholding is the case of
`lam*abs(u)`: `min(v + lam, 0) + max(v - lam, 0)`.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cmp_to_key
from typing import Any

import sympy as sp

from vspec.compiler.calculus.functions import OPAQUE, v_where
from vspec.compiler.calculus.scalar import to_tree
from vspec.compiler.calculus.structure.forms import NoFormError
from vspec.compiler.graph.kernel import Tree, num

_COMPARISONS = {OPAQUE["gt"]: 1, OPAQUE["ge"]: 1, OPAQUE["lt"]: -1, OPAQUE["le"]: -1}


@dataclass(frozen=True, slots=True)
class Pieces:
    """A function of u: its kinks in ascending order and the smooth pieces around them, one more than kinks.

    `conditions`: what must be at least 0 for the order to hold.
    """

    kinks: tuple[Any, ...]
    pieces: tuple[Any, ...]
    conditions: tuple[Any, ...] = ()

    def jumps(self, u: Any) -> list[Any]:
        """By how much the slope jumps at each kink."""
        return [
            sp.cancel(sp.expand(sp.diff(after - before, u).subs(u, t)))
            for t, before, after in zip(self.kinks, self.pieces, self.pieces[1:], strict=False)
        ]


def has_kinks(expr: Any, u: Any) -> bool:
    """Whether an expression has an `abs` or a branch that u decides."""
    return any(u in e.free_symbols for e in expr.atoms(sp.Abs, v_where))


def split(expr: Any, u: Any) -> Pieces:
    """The pieces of a function. Raises NoFormError where a kink is no linear condition on u or the order is not known."""
    found = [_crossing(e.args[0], u)[0] for e in expr.atoms(sp.Abs) if u in e.free_symbols]
    for e in expr.atoms(v_where):
        if u in e.args[0].free_symbols:
            found += _thresholds(e.args[0], u)
    kinks, conditions = _ordered(found)
    line = _Line(u, tuple(kinks))
    pieces = [line.piece(expr, k) for k in range(len(kinks) + 1)]
    bends = [k for k, (p, q) in enumerate(itertools.pairwise(pieces)) if sp.expand(p - q) != 0]
    return Pieces(tuple(kinks[k] for k in bends), (*(pieces[k] for k in bends), pieces[-1]), tuple(conditions))


def _crossing(argument: Any, u: Any) -> tuple[Any, Any]:
    """Where an affine expression crosses zero, and its slope."""
    expanded = sp.expand(argument)
    slope = expanded.coeff(u, 1)
    rest = sp.expand(expanded - slope * u)
    if u in rest.free_symbols or u in slope.free_symbols or slope == 0:
        raise NoFormError("its kinks are not where something linear in it vanishes")
    return sp.cancel(-rest / slope), slope


def _thresholds(condition: Any, u: Any) -> list[Any]:
    if type(condition) in _COMPARISONS:
        inside = _band(condition, u)
        if inside is not None:
            middle, width, _ = inside
            return [middle - width, middle + width]
        return [_crossing(condition.args[0] - condition.args[1], u)[0]]
    if type(condition) in (OPAQUE["and"], OPAQUE["or"], OPAQUE["not"]):
        return [t for c in condition.args if u in c.free_symbols for t in _thresholds(c, u)]
    raise NoFormError("a condition of it is no comparison")


def _band(condition: Any, u: Any) -> tuple[Any, Any, int] | None:
    """A comparison with one `abs` that holds u: its middle, half its width, and the sign of the `abs`; else None."""
    difference = sp.expand(condition.args[0] - condition.args[1])
    found = [e for e in difference.atoms(sp.Abs) if u in e.free_symbols]
    if len(found) != 1:
        return None
    factor = difference.coeff(found[0])
    rest = sp.expand(difference - factor * found[0])
    sign = _sign(factor)
    if u in rest.free_symbols or u in factor.free_symbols or sign == 0:
        raise NoFormError("a condition of it is not linear in its absolute value")
    middle, slope = _crossing(found[0].args[0], u)
    return middle, sp.cancel(-rest / factor / sp.Abs(slope)), sign


def _sign(value: Any) -> int:
    return 1 if value.is_positive else -1 if value.is_negative else 0


def _ordered(found: list[Any]) -> tuple[list[Any], list[Any]]:
    """The kinks in ascending order, each once, and the differences of neighbours."""
    distinct: list[Any] = []
    for t in found:
        if not any(sp.expand(t - s) == 0 for s in distinct):
            distinct.append(t)

    def compare(s: Any, t: Any) -> int:
        sign = _sign(sp.factor(s - t))
        if sign == 0:
            raise NoFormError("it is not known which of its kinks comes first")
        return sign

    distinct.sort(key=cmp_to_key(compare))
    return distinct, [sp.expand(t - s) for s, t in itertools.pairwise(distinct)]


@dataclass(frozen=True, slots=True)
class _Line:
    """The line of u with its kinks; stretch k lies right of the first k of them."""

    u: Any
    kinks: tuple[Any, ...]

    def right(self, t: Any, k: int) -> bool:
        """Whether stretch k lies right of the kink t."""
        return next(j for j, s in enumerate(self.kinks) if sp.expand(s - t) == 0) < k

    def piece(self, expr: Any, k: int) -> Any:
        """The expression on a stretch."""
        decided: dict[Any, Any] = {}
        for e in expr.atoms(sp.Abs):
            if self.u in e.free_symbols:
                t, slope = _crossing(e.args[0], self.u)
                decided[e] = sp.Abs(slope) * (self.u - t) * (1 if self.right(t, k) else -1)
        branches = {e for e in expr.atoms(v_where) if self.u in e.args[0].free_symbols}
        for e in sorted(branches, key=sp.count_ops):
            taken = e.args[1] if self.holds(e.args[0], k) else e.args[2]
            decided[e] = taken
        while decided and expr.atoms(sp.Abs, v_where) & set(decided):
            expr = expr.xreplace(decided)
        return expr

    def holds(self, condition: Any, k: int) -> bool:
        """Whether a condition holds on a stretch."""
        kind = type(condition)
        if kind is OPAQUE["not"]:
            return not self.holds(condition.args[0], k)
        if kind in (OPAQUE["and"], OPAQUE["or"]):
            parts = [self.holds(c, k) for c in condition.args]
            return all(parts) if kind is OPAQUE["and"] else any(parts)
        band = _band(condition, self.u)
        if band is not None:
            middle, width, sign = band
            inside = self.right(middle - width, k) and not self.right(middle + width, k)
            positive = not inside if sign > 0 else inside
        else:
            t, slope = _crossing(condition.args[0] - condition.args[1], self.u)
            direction = _sign(slope)
            if direction == 0:
                raise NoFormError("it is not known on which side of a threshold a condition of it holds")
            positive = self.right(t, k) == (direction > 0)
        return positive == (_COMPARISONS[kind] > 0)


@dataclass(frozen=True, slots=True)
class Minimum:
    """The minimum of a function of one variable as a kernel tree, and what must be at least 0 for it to be one."""

    tree: Tree
    conditions: tuple[Any, ...]


def minimum(function: Pieces, u: Any, curvature: Any, slope: Any) -> Minimum:
    """The minimum of `curvature/2*u**2 + slope*u + function(u)`, where the function is convex and its pieces quadratic.

    The conditions are those under which the function is convex. Raises NoFormError where the pieces are not quadratic.
    """
    conditions = [*function.conditions, *function.jumps(u)]
    points: list[Any] = []
    for piece in function.pieces:
        rising = sp.expand(sp.diff(piece, u))
        own = sp.cancel(sp.diff(rising, u))
        if u in own.free_symbols or any(u in e.free_symbols for e in rising.atoms(sp.Function)):
            raise NoFormError("its pieces are not quadratic")
        if own + curvature == 0:
            raise NoFormError("it has a piece without curvature, so that its minimum is not unique")
        conditions.append(own)
        points.append(sp.cancel(-(rising.subs(u, 0) + slope) / (own + curvature)))
    tree = to_tree(points[0])
    for t, point in zip(function.kinks, points[1:], strict=True):
        below = ("minimum", tree, to_tree(t))
        above = ("maximum", to_tree(sp.cancel(point - t)), num(0))
        tree = ("add", below, above)
    return Minimum(tree, tuple(dict.fromkeys(conditions)))
