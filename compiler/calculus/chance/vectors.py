"""Closed forms over several elements of a variable at once: over affine functions of them, by their means and covariances.

An affine function u of a variable v has the mean u(mean of v), and two of them have the covariance J S J' of their slopes J and
the covariance S of v. Of any law, what is of second degree in such functions is integrated by them. Under a normal law, functions
of several of them are integrated as if these were independent once exp(sum of c_ij d_i d_j) is applied (Price 1958), which
ends after finitely many terms where they are polynomials in all of them but one.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sympy as sp

from vspec.compiler.calculus.chance.moments import CENTRAL, MEANS
from vspec.compiler.calculus.chance.variables import Frames, Variable, reached
from vspec.compiler.calculus.derive import derivative
from vspec.compiler.calculus.draws import core_of, form_of
from vspec.compiler.calculus.scalar import to_tree
from vspec.compiler.calculus.vector_draws import LOWER
from vspec.compiler.graph.builder import Builder
from vspec.compiler.graph.instantiate import instantiate
from vspec.compiler.graph.kernel import Tree, num, slot, slots
from vspec.compiler.graph.kernel import substitute as put
from vspec.compiler.graph.node import Axis, Kind, Node, topological

X, A, B = slot(0), slot(1), slot(2)
MOST_READS = 4


@dataclass
class Reads:
    """An expression as one kernel over atoms; those at the places `own` are affine functions of a variable."""

    tree: Tree = X
    atoms: list[Node] = field(default_factory=list)
    own: list[int] = field(default_factory=list)

    def atom(self, node: Node) -> int:
        """The place of an atom."""
        if node not in self.atoms:
            self.atoms.append(node)
        return self.atoms.index(node)


def reads_of(c: Node, v: Variable, most: int) -> Reads | None:
    """The maps between a variable and an expression as one kernel of at most so many operations; None where what lies between
    these and the variable is not affine, or where that are too many."""
    hit = reached([c], {v.node.uid})
    affine = _affine([n for n in topological([c]) if n.uid in hit], v, hit)
    found, known = Reads(), dict[int, Tree]()
    left = most

    def tree(node: Node) -> Tree | None:
        nonlocal left
        if node.uid in known:
            return known[node.uid]
        if node.uid not in hit or (node.kind is not Kind.MAP and node.uid in affine):
            place = found.atom(node)
            if node.uid in hit:
                found.own.append(place)
            known[node.uid] = slot(place)
            return slot(place)
        left -= node.attrs[0].ops if node.kind is Kind.MAP else 0
        if node.kind is not Kind.MAP or left < 0:
            return None
        parts = {k: tree(x) for k, x in enumerate(node.inputs)}
        sound = {k: t for k, t in parts.items() if t is not None}
        if len(sound) < len(parts):
            return None
        known[node.uid] = put(node.attrs[0].tree, sound)
        return known[node.uid]

    whole = tree(c)
    if whole is None or len(found.own) > MOST_READS:
        return None
    found.tree = whole
    return found


def _affine(nodes: Sequence[Node], v: Variable, hit: Collection[int]) -> set[int]:
    """Which of the nodes are affine functions of a variable, by uid."""
    found: set[int] = set()
    for node in nodes:
        below = [x for x in node.inputs if x.uid in hit]
        if node.uid == v.node.uid:
            found.add(node.uid)
        elif any(x.uid not in found for x in below):
            continue
        elif node.kind in (Kind.REINDEX, Kind.WINDOW) or (node.kind is Kind.STOP and node.op == "hold"):
            found.add(node.uid)
        elif node.kind is Kind.GATHER:
            if below == [node.inputs[0]]:
                found.add(node.uid)
        elif (node.kind is Kind.REDUCE and node.op == "sum") or node.kind is Kind.CONTRACT:
            if len(below) == 1:
                found.add(node.uid)
        elif node.kind is Kind.MAP and node.dtype == "real":
            own = {k for k, x in enumerate(node.inputs) if x.uid in hit}
            if _degree(node.attrs[0].tree, own) is not None:
                found.add(node.uid)
    return found


def _degree(tree: Tree, own: Collection[int]) -> int | None:
    """0 or 1 for a kernel of that degree in some slots; None for any other."""
    if not slots(tree) & set(own):
        return 0
    op = tree[0]
    if op == "x":
        return 1
    if op in ("add", "sub", "neg", "real"):
        return None if any(_degree(t, own) is None for t in tree[1:]) else 1
    if op == "mul" or (op == "div" and _degree(tree[2], own) == 0):
        degrees = [_degree(t, own) for t in tree[1:]]
        return None if None in degrees or sum(d or 0 for d in degrees) > 1 else 1
    return None


# --- means and covariances ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Moments:
    """The mean of a variable and its covariance: the variance, or of a law of vectors the matrix over its event and `lane`.
    `normal`: whether affine functions of it are normal."""

    mean: Node
    cov: Node
    lane: Axis | None = None
    normal: bool = False


def moments_of(b: Builder, v: Variable, arguments: Sequence[Node]) -> Moments | None:
    """The moments of a variable whose law has these arguments; None where there are none here."""
    law = v.sample.law
    if v.event:
        rule = _VECTORS.get(form_of(v.sample))
        return None if rule is None else rule(b, v, *arguments)
    if law not in MEANS:
        return None
    a = [sp.Symbol(f"x{k}", real=True) for k in range(len(arguments))]
    variance = CENTRAL[law](2, a)
    mean, cov = (b.map(to_tree(sp.S.Zero + x), arguments, "real") for x in (MEANS[law](*a), variance))
    return Moments(mean, cov, normal=law == "normal")


def _matrix(v: Variable, x: Node) -> tuple[str, Axis]:
    """The axes of a matrix among the arguments: that of the event, and the other one."""
    core = core_of(v.sample)
    return v.event[0], next(a for a in x.axes if a.name in core)


def _by_cov(b: Builder, v: Variable, mean: Node, cov: Node) -> Moments:
    _, lane = _matrix(v, cov)
    return Moments(mean, cov, lane, True)


def _by_cholesky(b: Builder, v: Variable, mean: Node, factor: Node) -> Moments:
    row, column = _matrix(v, factor)
    lane = Axis(b.fresh(row), column.dim)
    lower = b.map(LOWER, [factor, b.index(factor.axis(row)), b.index(column)], "real")
    axes = [*lower.axes, lane]
    kept = [a for a in axes if a.name != column.name]
    return Moments(mean, b.contract([lower, b.rename(lower, {row: lane.name})], kept), lane, True)


def _by_precision(b: Builder, v: Variable, mean: Node, precision: Node) -> Moments:
    row, column = _matrix(v, precision)
    inverse = b.linalg("inv", [precision], [(row, column.name)], [column, precision.axis(row)])
    return Moments(mean, inverse, column, True)


def _by_factor(b: Builder, v: Variable, mean: Node, factor: Node, scale: Node) -> Moments:
    row, column = _matrix(v, factor)
    lane = Axis(b.fresh(row), factor.axis(row).dim)
    kept = [*(a for a in factor.axes if a.name != column.name), lane]
    low = b.contract([factor, b.rename(factor, {row: lane.name})], kept)
    own = b.mul([b.map(("mul", X, X), [scale], "real"), b.delta(scale.axis(row), lane)])
    return Moments(mean, b.add([low, own]), lane, True)


def _dirichlet(b: Builder, v: Variable, alpha: Node) -> Moments:
    """(delta m - m m')/(total + 1), for the means m."""
    (row,) = v.event
    lane = Axis(b.fresh(row), alpha.axis(row).dim)
    total = b.reduce("sum", alpha, [row])
    mean = b.map(("div", X, A), [alpha, total], "real")
    tree: Tree = ("div", ("mul", X, ("sub", B, A)), ("add", slot(3), num(1.0)))
    delta = b.delta(alpha.axis(row), lane)
    return Moments(mean, b.map(tree, [mean, b.rename(mean, {row: lane.name}), delta, total], "real"), lane)


_VECTORS: Mapping[str, Callable[..., Moments]] = {
    "multivariate_normal": _by_cov,
    "multivariate_normal.cholesky": _by_cholesky,
    "multivariate_normal.precision": _by_precision,
    "multivariate_normal.factor": _by_factor,
    "dirichlet": _dirichlet,
}


class Affine:
    """Affine functions of a variable: their means, and the covariances of pairs of them."""

    def __init__(self, b: Builder, v: Variable, moments: Moments) -> None:
        self.b, self.v, self.m = b, v, moments

    def mean(self, u: Node) -> Node:
        """The mean, over the axes of u."""
        whole = self.b.order(self.m.mean, self.v.node.axes)
        return self.b.order(instantiate(self.b, [u], {self.v.node.uid: whole})[0], u.axes)

    def names(self, u: Node) -> dict[str, str] | None:
        """What the axes of the variable are called in u, where that is the variable itself under other names."""
        if u.uid == self.v.node.uid:
            return {a: a for a in u.names}
        if u.kind is not Kind.REINDEX or u.inputs[0].uid != self.v.node.uid or len(set(u.attrs[0])) < len(u.attrs[0]):
            return None
        return dict(zip(self.v.node.names, u.attrs[0], strict=True))

    def cov(self, u: Node, w: Node) -> Node | None:
        """The covariance of two functions over the axes of both; None where it takes an array that is too sparse to be made."""
        first, second = self._picked(u), self._picked(w)
        if first is not None and second is not None:
            found = self._of_elements(first, second)
            if found is not None:
                return found
        if _gathers([u, w], self.v):
            return self._of_gathered(u) if u is w else None
        return self._of_slopes(u, w)

    def _picked(self, u: Node) -> dict[str, str | int] | None:
        """For each axis of the variable what it is called in u, or which position along it u is at, where u is an element."""
        if u.uid == self.v.node.uid:
            return {a: a for a in u.names}
        found = self._picked(u.inputs[0]) if len(u.inputs) == 1 else None
        if found is None:
            return None
        if u.kind is Kind.WINDOW and u.op == "at":
            axis, position = u.attrs
            return {a: position if n == axis else n for a, n in found.items()}
        if u.kind is Kind.STOP and u.op == "hold":
            return found
        if u.kind is not Kind.REINDEX or len(set(u.attrs[0])) < len(u.attrs[0]):
            return None
        to = dict(zip(u.inputs[0].names, u.attrs[0], strict=True))
        return {a: to[n] if isinstance(n, str) else n for a, n in found.items()}

    def _of_elements(self, first: Mapping[str, str | int], second: Mapping[str, str | int]) -> Node | None:
        """Of two elements: nothing where they belong to different draws. None where it is not known whether they do."""
        b, v, lane = self.b, self.v, self.m.lane
        found, same = self.m.cov, []
        turned = {} if lane is None else {lane.name: second[v.event[0]]}
        for name, at in {**first, **turned}.items():
            if isinstance(at, int):
                found = b.at_position(found, name, at)
        for a in v.node.axes:
            one, two = first[a.name], second[a.name]
            if a.name in v.event or one == two:
                continue
            if isinstance(one, int) and isinstance(two, int):
                if (one < 0) != (two < 0):
                    return None
                return b.number(0.0)
            if isinstance(one, str) and isinstance(two, str):
                same.append(b.delta(Axis(one, a.dim), Axis(two, a.dim)))
                continue
            at, letter = (one, two) if isinstance(one, int) else (two, one)
            if not isinstance(at, int) or at < 0:
                return None
            there: Tree = ("where", ("eq", X, num(at)), num(1.0), num(0.0))
            same.append(b.map(there, [b.index(Axis(str(letter), a.dim))], "real"))
        names = {a: n for a, n in {**first, **turned}.items() if isinstance(n, str)}
        return b.mul([b.rename(found, names), *same])

    def _of_gathered(self, u: Node) -> Node | None:
        """The variance of elements at computed positions: that of the variable at these."""
        v, lane = self.v, self.m.lane
        hit = reached([u], {v.node.uid})
        between = [n for n in topological([u]) if n.uid in hit and n.uid != v.node.uid]
        if any(n.kind not in (Kind.GATHER, Kind.REINDEX, Kind.WINDOW) for n in between):
            return None
        variance = self.m.cov if lane is None else self.b.rename(self.m.cov, {lane.name: v.event[0]})
        whole = self.b.order(variance, v.node.axes)
        return self.b.order(instantiate(self.b, [u], {v.node.uid: whole})[0], u.axes)

    def _of_slopes(self, u: Node, w: Node) -> Node:
        """J S J', draw by draw along the plates that both read one by one."""
        b, v = self.b, self.v
        one, two = (Frames.around(x, [v]).of[v.name] for x in (u, w))
        names: list[dict[str, str]] = [{}, {}]
        over: list[Axis] = []
        same: list[Node] = []
        for a in v.node.axes:
            if a.name not in v.event and a.name in one and a.name in two:
                names[0][a.name], names[1][a.name] = one[a.name], two[a.name]
                if one[a.name] != two[a.name]:
                    same.append(b.delta(Axis(one[a.name], a.dim), Axis(two[a.name], a.dim)))
                continue
            for k in (0, 1):
                names[k][a.name] = b.fresh(a.name) if k == 0 or a.name in v.event else names[0][a.name]
            over += [Axis(n, a.dim) for n in dict.fromkeys(x[a.name] for x in names)]
        slopes = [
            derivative(b, x, v.node, [Axis(own[a.name], a.dim) for a in v.node.axes])
            for x, own in zip((u, w), names, strict=True)
        ]
        shown = dict(names[0])
        if self.m.lane is not None:
            shown[self.m.lane.name] = names[1][v.event[0]]
        product = b.mul([slopes[0], b.rename(self.m.cov, shown), slopes[1], *same])
        return b.reduce("sum", product, [a.name for a in over], {a.name: a.dim for a in over})


def _gathers(nodes: Sequence[Node], v: Variable) -> bool:
    """Whether elements are read at computed positions: slopes by these are nearly all 0."""
    hit = reached(nodes, {v.node.uid})
    return any(n.kind is Kind.GATHER for n in topological(nodes) if n.uid in hit)


def shares(b: Builder, v: Variable, node: Node, affine: Affine, alpha: Node) -> list[Node] | None:
    """The arguments of the beta law that one share of a Dirichlet law has; None where several are read together."""
    names = affine.names(node)
    if names is None:
        return None
    rest = b.map(("sub", A, X), [alpha, b.reduce("sum", alpha, v.event)], "real")
    return [b.rename(a, {k: n for k, n in names.items() if k in a.names}) for a in (alpha, rest)]


# --- kernels --------------------------------------------------------------------------------------------------------


def second_degree(expr: Any, own: Sequence[Any], means: Mapping[Any, Any], cov: Mapping[tuple[Any, Any], Any]) -> Any:
    """The expectation of a polynomial of second degree in some symbols; None if it is none."""
    if not expr.is_polynomial(*own):
        return None
    total = expr.subs(means, simultaneous=True)
    for k, x in enumerate(own):
        for y in own[k:]:
            slope = sp.diff(expr, x, y)
            if slope.free_symbols & set(own):
                return None
            total += slope * cov[x, y] / (2 if x == y else 1)
    return total


def merged(expr: Any, own: list[Any], means: dict[Any, Any], cov: dict[tuple[Any, Any], Any]) -> Any:
    """The expression with a symbol of its own for each argument of exp, cos and sin that is affine in several normal numbers; it
    joins the others in `own`, `means` and `cov`."""

    def of(x: Any, y: Any) -> Any:
        return cov[x, y] if (x, y) in cov else cov[y, x]

    inner = {f.args[0] for f in expr.atoms(sp.exp, sp.cos, sp.sin) if len(f.args[0].free_symbols & set(own)) > 1}
    for argument in sorted(inner, key=sp.default_sort_key):
        parts = {x: sp.diff(argument, x) for x in own}
        if any(a.free_symbols & set(own) for a in parts.values()):
            continue
        t = sp.Dummy("t", real=True)
        means[t] = argument.subs(means, simultaneous=True)
        for x in own:
            cov[x, t] = sp.Add(*(a * of(x, y) for y, a in parts.items()))
        cov[t, t] = sp.Add(*(a * cov[y, t] for y, a in parts.items()))
        own.append(t)
        expr = expr.xreplace({argument: t})
    own[:] = [x for x in own if expr.has(x)]
    return expr


def may_be_integrated(expr: Any, own: Sequence[Any]) -> bool:
    """Whether an expression is made of exponentials, cosines and sines of one affine function each, and of powers: of nothing
    else is there an expectation in closed form under a normal law, and derivatives of other functions grow with each order."""
    symbols = set(own)
    for f in expr.atoms(sp.Function):
        inside = f.free_symbols & symbols
        if not inside:
            continue
        if f.func not in (sp.exp, sp.cos, sp.sin) or len(inside) > 1:
            return False
        if sp.diff(f.args[0], *inside).free_symbols & symbols:
            return False
    return all(
        p.exp.is_Integer and p.exp.is_positive
        for p in expr.atoms(sp.Pow)
        if not isinstance(p, sp.exp) and p.free_symbols & symbols
    )


def coupled(expr: Any, own: Sequence[Any], cov: Mapping[tuple[Any, Any], Any], most: int) -> Any:
    """What has, over independent normal numbers, the expectation that an expression has over dependent ones; None where that is
    an infinite series."""
    special = [f for f in expr.atoms(sp.Function) if f.func not in (sp.exp, sp.cos, sp.sin)]
    if any(f.has(*own) for f in special):
        return None
    for k, x in enumerate(own):
        for y in own[k + 1 :]:
            total, slope, factor = expr, expr, sp.Integer(1)
            for order in range(1, most + 1):
                slope = sp.diff(slope, x, y)
                if slope == 0:
                    break
                factor = factor * cov[x, y] / order
                total += slope * factor
            if slope != 0 and sp.diff(slope, x, y) != 0:
                return None
            expr = total
    return expr
