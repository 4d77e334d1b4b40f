"""Forward mode: for each kind of node, how tangents of its inputs become the tangent of its value."""

from __future__ import annotations

from collections.abc import Callable

from vspec.compiler.calculus.calls import call_pushforward
from vspec.compiler.calculus.circular import CIRCULAR, circular_pushforward
from vspec.compiler.calculus.cumulative import cumulative_pushforward
from vspec.compiler.calculus.decompositions import PUSHFORWARDS
from vspec.compiler.calculus.linear import lower, product
from vspec.compiler.calculus.terms import Algebra, Term
from vspec.compiler.calculus.vjp import extreme_share, others_product, placed, through_kernel
from vspec.compiler.graph.concat import stretches
from vspec.compiler.graph.kernel import slot
from vspec.compiler.graph.node import Kind, Node

JVP = Callable[[Algebra, Node, Term, int], Term | None]


def _map(a: Algebra, node: Node, t: Term, k: int) -> Term | None:
    moved = through_kernel(a, node, t.node, k)
    return None if moved is None else Term(moved, t.pairs)


def _reduce(a: Algebra, node: Node, t: Term, k: int) -> Term | None:
    b, (x,), over = a.b, node.inputs, node.attrs[0]
    if node.op == "sum":
        weighted = t.node
    elif node.op == "logsumexp":
        weighted = b.map(("mul", slot(0), ("exp", ("sub", slot(1), slot(2)))), [t.node, x, node], "real")
    elif node.op in ("max", "min"):
        weighted = b.mul([t.node, extreme_share(a, node)])
    elif node.op == "prod":
        weighted = b.mul([t.node, others_product(a, x, over)])
    else:
        return None
    return a.sum(Term(weighted, t.pairs), over)


def _contract(a: Algebra, node: Node, t: Term, k: int) -> Term | None:
    others = [x for j, x in enumerate(node.inputs) if j != k]
    inside = dict.fromkeys(n for x in node.inputs for n in x.names if n not in node.names)
    return a.sum(Term(a.b.mul([t.node, *others]), t.pairs), inside)


def _reindex(a: Algebra, node: Node, t: Term, k: int) -> Term | None:
    return a.rename(t, dict(zip(node.inputs[0].names, node.attrs[0], strict=True)))


def _window(a: Algebra, node: Node, t: Term, k: int) -> Term | None:
    axis = node.attrs[0]
    t = a.settle(t, {axis})
    if node.op == "shift" and node.attrs[2] == "zero":
        t = Term(a.spread(t.node, [axis]), t.pairs)
    if axis not in t.node.names:
        return t
    if node.op == "shift":
        return Term(a.b.shift(t.node, *node.attrs), t.pairs)
    if node.op == "flip":
        return Term(a.b.flip(t.node, axis), t.pairs)
    if node.op == "at":
        return Term(a.b.at_position(t.node, axis, node.attrs[1]), t.pairs)
    _, new, scale, offset = node.attrs
    return Term(a.b.window(t.node, axis, node.axis(new), scale, offset), t.pairs)


def _gather(a: Algebra, node: Node, t: Term, k: int) -> Term | None:
    if k != 0:
        return None
    axis = node.attrs[0]
    t = a.settle(t, {axis})
    return Term(a.b.gather(t.node, node.inputs[1], axis), t.pairs)


def _scatter(a: Algebra, node: Node, t: Term, k: int) -> Term | None:
    if k != 0:
        return None
    if node.op == "affine":
        axis, new, scale, offset = node.attrs
        t = a.settle(t, {axis})
        return Term(a.b.scatter_affine(a.spread(t.node, [axis]), axis, new, scale, offset), t.pairs)
    if node.op == "at":
        return Term(a.b.scatter_at(t.node, *node.attrs), t.pairs)
    values, index = node.inputs
    t = a.settle(t, {*values.names})
    spread = a.spread(t.node, values.names)
    extra = [x for x in spread.axes if x.name not in values.names]
    keep = [x for x in node.axes if x.name != node.attrs[0].name]
    return Term(a.b.scatter_gather(spread, index, node.attrs[0], [*keep, *extra]), t.pairs)


def _cumulate(a: Algebra, node: Node, t: Term, k: int) -> Term | None:
    if node.op == "argsort":
        return None
    axis = node.attrs[0]
    t = a.settle(t, {axis})
    return Term(cumulative_pushforward(a, node, a.spread(t.node, [axis]), k), t.pairs)


def _concat(a: Algebra, node: Node, t: Term, k: int) -> Term | None:
    groups = stretches(node)
    if node.op == "stack":
        t = a.settle(t, {x.name for x in groups[k]})
        return Term(placed(a, t.node, groups, k, node.attrs[0]), t.pairs)
    axis, _, at, _ = node.attrs
    t = a.settle(t, {axis})
    return Term(a.b.part(t.node, axis, groups, at), t.pairs)


def _linalg(a: Algebra, node: Node, t: Term, k: int) -> Term | None:
    b = a.b
    cores, _ = node.attrs
    t = a.settle(t, {n for core in cores for n in core})
    dot = a.spread(t.node, cores[k])
    if node.op in CIRCULAR:
        return Term(circular_pushforward(a, node, dot, k), t.pairs)
    if node.op in PUSHFORWARDS:
        return Term(PUSHFORWARDS[node.op](a, node, dot), t.pairs)
    right = dot
    if k == 0:
        rows, columns = cores[0]
        if node.op != "solve":
            dot = lower(a, dot, rows, columns)
        solved = rows if node.op == "triangular_solve_t" else columns
        right = b.neg(product(a, dot, node, solved))
    result = [x for x in node.axes if x.name in node.attrs[1]]
    return Term(b.linalg(node.op, [node.inputs[0], right], cores, result), t.pairs)


def _call(a: Algebra, node: Node, t: Term, k: int) -> Term | None:
    return call_pushforward(a, node, t, k)


def _hold(a: Algebra, node: Node, t: Term, k: int) -> Term | None:
    return t


RULES: dict[Kind, JVP] = {
    Kind.MAP: _map,
    Kind.REDUCE: _reduce,
    Kind.CONTRACT: _contract,
    Kind.REINDEX: _reindex,
    Kind.WINDOW: _window,
    Kind.GATHER: _gather,
    Kind.SCATTER: _scatter,
    Kind.CUMULATE: _cumulate,
    Kind.CONCAT: _concat,
    Kind.LINALG: _linalg,
    Kind.CALL: _call,
    Kind.STOP: _hold,
}
