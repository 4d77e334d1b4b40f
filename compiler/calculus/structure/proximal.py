"""An objective as a smooth part and terms with a proximal map: `prox(v) = argmin over x of g(x) + |x - v|**2/(2 lr)`.

A term that is a convex function of each element with quadratic pieces has the map of that function (`piecewise.py`): soft
thresholds, hinges, pinballs. The norm of groups of elements shrinks the groups. Several terms on one param add up where they act
on elements; a norm of groups comes after what is homogeneous in each element (Yu 2013, "On decomposing the proximal map").
Boxes hold what comes out between their ends, which is exact for functions of one variable.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sympy as sp

from vspec.compiler.calculus.structure import piecewise
from vspec.compiler.calculus.structure.blocks import Domain
from vspec.compiler.calculus.structure.degree import Degrees
from vspec.compiler.calculus.structure.forms import NOTHING, Facts, NoFormError, Table, axes_of, element
from vspec.compiler.calculus.structure.pointwise import Condition, pointwise
from vspec.compiler.calculus.structure.separate import gathered
from vspec.compiler.calculus.structure.smooth import is_smooth
from vspec.compiler.calculus.structure.summands import Summand, summands
from vspec.compiler.graph.builder import Builder
from vspec.compiler.graph.kernel import num, slot
from vspec.compiler.graph.node import Kind, Node


class NoProxError(Exception):
    """A term that is not smooth has no proximal map in closed form: which, and why."""

    def __init__(self, reason: str, summand: Summand) -> None:
        super().__init__(reason)
        self.reason = reason
        self.summand = summand


@dataclass(frozen=True, slots=True)
class Proximal:
    """The smooth part, the proximal map of the rest for each param (None where it is the identity), what must hold for the rest
    to be convex, and what each map is."""

    smooth: Node
    maps: tuple[Node | None, ...]
    conditions: tuple[Condition, ...]
    terms: tuple[tuple[Summand, ...], ...]


@dataclass(frozen=True, slots=True)
class Group:
    """`weight * sqrt(sum over (over) of (x - centre)**2)` with the axes of x; weight and centre are nodes, None for 1 and 0."""

    over: tuple[str, ...]
    weight: Node
    centre: Node | None
    summand: Summand


@dataclass(slots=True)
class _Param:
    x: Node
    domain: Domain
    pointwise: list[Summand] = field(default_factory=list)
    groups: list[Group] = field(default_factory=list)


def proximal(
    b: Builder,
    value: Node,
    xs: Sequence[Node],
    length: Node,
    domains: Sequence[Domain] = (),
    facts: Facts = NOTHING,
) -> Proximal:
    """The parts of a scalar that is to be minimised; `length` is the node of the step length. Raises NoProxError."""
    domains = domains or [Domain()] * len(xs)
    params = [_Param(x, d) for x, d in zip(xs, domains, strict=True)]
    degrees = Degrees(xs)
    smooth: list[Summand] = []
    for s in summands(b, value, xs):
        if under_root(s.body) is None and is_smooth(b, s.body, degrees):
            smooth.append(s)
        else:
            _place(b, s, params, degrees, facts)
    conditions: list[Condition] = []
    maps = tuple(_map(b, p, length, degrees, facts, conditions) for p in params)
    terms = tuple((*p.pointwise, *(g.summand for g in p.groups)) for p in params)
    total = b.add([s.value(b) for s in smooth]) if smooth else b.number(0.0)
    return Proximal(total, maps, tuple(conditions), terms)


def _place(b: Builder, s: Summand, params: Sequence[_Param], degrees: Degrees, facts: Facts) -> None:
    """Finds the param of a term and what kind of term it is."""
    touched = [p for p in params if Degrees([p.x]).depends(s.body)]
    if len(touched) > 1:
        names = " and ".join(f"'{p.x.attrs[0]}'" for p in touched)
        raise NoProxError(f"it has {names} in one term", s)
    (param,) = touched
    try:
        found = group_norm(b, s, param.x, degrees, facts)
        if found is not None:
            param.groups.append(found)
            return
        element(Table(b, facts), s, param.x, degrees)
    except NoFormError as e:
        raise NoProxError(str(e), s) from None
    param.pointwise.append(s)


def _map(
    b: Builder, p: _Param, length: Node, degrees: Degrees, facts: Facts, conditions: list[Condition]
) -> Node | None:
    """The proximal map of all terms of a param, with its axes."""
    x, bounds = p.x, p.domain.bounds
    if not p.pointwise and not p.groups and bounds.lower is None and bounds.upper is None:
        return None
    table = Table(b, Facts(facts.given | {length.attrs[0]}, facts.likely))
    function = sp.Integer(0)
    for s in p.pointwise:
        try:
            function += gathered(table, element(table, s, x, degrees))
        except NoFormError as e:
            raise NoProxError(str(e), s) from None
    u, at, step = table.u, table.symbol(x), table.symbol(length)
    found: Node = x
    if p.pointwise or not p.groups:
        try:
            formula = pointwise(table, function, 1 / step, -at / step, bounds)
        except NoFormError as e:
            raise NoProxError(str(e), p.pointwise[0]) from None
        conditions.extend(formula.conditions)
        found = b.order(formula.node(x), x.axes)
    if p.groups:
        if len(p.groups) > 1:
            raise NoProxError("there are several norms of groups of it", p.groups[1].summand)
        free = bounds.lower is None and bounds.upper is None
        first = p.groups[0].centre is None and _is_cone(function, u)
        if not free or (p.pointwise and not first):
            reason = "a norm of groups meets other terms or bounds of the same param"
            raise NoProxError(reason, p.groups[0].summand)
        found = b.order(_shrunk(b, found, p.groups[0], length), x.axes)
        weight = table.symbol(p.groups[0].weight)
        if not table.known(weight).is_nonnegative:
            conditions.append(Condition(p.groups[0].weight, weight))
    return found


def _is_cone(function: Any, u: Any) -> bool:
    """Whether a function is positively homogeneous: linear on both sides of a kink at zero."""
    if function == 0:
        return True
    try:
        parts = piecewise.split(function, u)
    except NoFormError:
        return False
    straight = all(sp.expand(sp.diff(q, u, 2)) == 0 and sp.expand(q.subs(u, 0)) == 0 for q in parts.pieces)
    return straight and all(t == 0 for t in parts.kinks)


def _shrunk(b: Builder, v: Node, group: Group, length: Node) -> Node:
    """`c + (v - c)*max(0, 1 - lr*weight/norm(v - c))`."""
    apart = v if group.centre is None else b.map(("sub", slot(0), slot(1)), [v, group.centre], "real")
    square = b.reduce("sum", b.map(("pow", slot(0), num(2)), [apart], "real"), group.over)
    size = b.map(("sqrt", slot(0)), [square], "real")
    less = ("mul", slot(1), slot(2))
    # Where the norm is below the threshold, that of zero included, nothing is left of the group.
    share = ("where", ("gt", slot(0), less), ("sub", num(1), ("div", less, slot(0))), num(0.0))
    shrunk = b.map(("mul", slot(0), slot(1)), [apart, b.map(share, [size, length, group.weight], "real")], "real")
    return shrunk if group.centre is None else b.map(("add", slot(0), slot(1)), [group.centre, shrunk], "real")


def group_norm(b: Builder, s: Summand, x: Node, degrees: Degrees, facts: Facts = NOTHING) -> Group | None:
    """A term as the norm of groups of elements; None where it is none."""
    under = under_root(s.body)
    if under is None or under.kind is not Kind.REDUCE or under.op != "sum":
        return None
    (inner,) = under.inputs
    over = (*s.over, *(inner.axis(n) for n in under.attrs[0]))
    table = Table(b, facts)
    try:
        found = element(table, Summand(inner, over, None, s.origin), x, degrees)
    except NoFormError:
        return None
    if found.summed:
        return None
    names = _own_names(table, inner, x, degrees)
    grouped = tuple(n for n in x.names if names[n] in under.attrs[0])
    try:
        a, q, r = sp.Poly(found.expr, table.u).all_coeffs()
    except (sp.PolynomialError, ValueError):
        return None
    centre = sp.cancel(-q / (2 * a))
    inside = {t for t in a.free_symbols if set(_axes(table, t)) & set(grouped)}
    if inside or not a.is_positive or sp.expand(r - a * centre**2) != 0:
        return None
    back = {names[n]: n for n in x.names}
    weight = table.node(sp.sqrt(a))
    if s.factor is not None:
        weight = b.mul([b.rename(s.factor, back), weight])
    return Group(grouped, weight, None if centre == 0 else table.node(centre), s)


def _axes(table: Table, symbol: Any) -> tuple[str, ...]:
    node = table.nodes[int(symbol.name[1:])]
    return node.names if node is not None else ()


def _own_names(table: Table, inner: Node, x: Node, degrees: Degrees) -> Mapping[str, str]:
    return dict(zip(x.names, axes_of(table.b, inner, x, degrees), strict=True))


def under_root(body: Node) -> Node | None:
    """What stands under a root: the norm as it is lowered or as it is written."""
    if body.kind is not Kind.MAP or len(body.inputs) != 1:
        return None
    tree, x = body.attrs[0].tree, slot(0)
    positive = ("gt", x, num(0))
    safe = [
        ("where", positive, ("sqrt", ("where", positive, x, num(one))), num(zero))
        for one in (1, 1.0)
        for zero in (0, 0.0)
    ]
    return body.inputs[0] if tree == ("sqrt", x) or tree in safe else None
