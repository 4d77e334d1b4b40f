"""Reverse mode: for each kind of node, how the adjoint of its value becomes adjoints of its inputs.

The adjoint of `out[I] = sum over R of f(A[a], B[b], ...)` with respect to `A` is again such a node:
`A_bar[a] = sum over (I and R without a) of out_bar[I] * df/dA`. Linear algebra follows Giles (2008),
"Collected matrix derivative results for forward and reverse mode algorithmic differentiation".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from vspec.compiler.calculus.calls import call_pullback
from vspec.compiler.calculus.circular import CIRCULAR, circular_pullback
from vspec.compiler.calculus.cumulative import cumulative_pullback
from vspec.compiler.calculus.decompositions import PULLBACKS
from vspec.compiler.calculus.linear import lower
from vspec.compiler.calculus.scalar import partial_by_value
from vspec.compiler.calculus.special import NoDerivative
from vspec.compiler.calculus.terms import Algebra, Term, pair
from vspec.compiler.graph.builder import is_number
from vspec.compiler.graph.concat import stretches
from vspec.compiler.graph.guard import may_be_infinite
from vspec.compiler.graph.kernel import Tree, num, slot
from vspec.compiler.graph.node import Axis, Kind, Node

VJP = Callable[[Algebra, Node, Term, int], Term | None]


def times(factor: Tree, tree: Tree, infinite: bool = False) -> Tree:
    """The product of a factor and a tree, with signs and fractions kept outside; a factor that may be infinite goes into
    the branches of a `where`."""
    if tree == num(1):
        return factor
    if infinite and tree[0] == "where" and _vanishes(tree):
        # Where the branch of zero is taken, no infinity of the factor counts.
        return ("where", tree[1], *(c if c == num(0) else times(factor, c, True) for c in tree[2:]))
    if tree[0] == "num" and tree[1] == -1:
        return ("neg", factor)
    if tree[0] == "neg":
        return ("neg", times(factor, tree[1], infinite))
    if tree[0] == "div":
        return ("div", times(factor, tree[1], infinite), tree[2])
    if tree[0] == "mul":
        return ("mul", factor, *tree[1:])
    return ("mul", factor, tree)


def _vanishes(tree: Tree) -> bool:
    return tree == num(0) or (tree[0] == "where" and any(_vanishes(c) for c in tree[2:]))


def through_kernel(a: Algebra, node: Node, factor: Node, k: int) -> Node | None:
    """`factor` times the partial derivative of a map's kernel in slot k; None where that is zero."""
    try:
        tree = partial_by_value(node.attrs[0], k)
    except NoDerivative as e:
        raise e.at(node.origin) from None
    if tree == num(0):
        return None
    if is_number(factor, 1):
        return a.b.map(tree, [*node.inputs, node], "real")
    weighted = times(slot(len(node.inputs) + 1), tree, may_be_infinite(factor))
    return a.b.map(weighted, [*node.inputs, node, factor], "real")


def _map(a: Algebra, node: Node, g: Term, k: int) -> Term | None:
    product = through_kernel(a, node, g.node, k)
    if product is None:
        return None
    inside = node.inputs[k].names
    return a.sum(Term(product, g.pairs), [n for n in node.names if n not in inside])


def _reduce(a: Algebra, node: Node, g: Term, k: int) -> Term | None:
    b, (x,), over = a.b, node.inputs, node.attrs[0]
    if node.op == "sum":
        return g
    if node.op == "logsumexp":
        tree = ("mul", slot(0), ("exp", ("sub", slot(1), slot(2))))
        return Term(b.map(tree, [g.node, x, node], "real"), g.pairs)
    if node.op in ("max", "min"):
        return Term(b.mul([g.node, extreme_share(a, node)]), g.pairs)
    if node.op == "prod":
        return Term(b.mul([g.node, others_product(a, x, over)]), g.pairs)
    return None


def extreme_share(a: Algebra, node: Node) -> Node:
    """Which elements attain a max or min; several share the derivative evenly."""
    b = a.b
    hit = b.map(("where", ("eq", slot(0), slot(1)), num(1.0), num(0.0)), [node.inputs[0], node], "real")
    return b.map(("div", slot(0), slot(1)), [hit, b.reduce("sum", hit, node.attrs[0], a.dims)], "real")


def others_product(a: Algebra, x: Node, over: tuple[str, ...]) -> Node:
    """The product of all elements but one, along `over`; right where elements are zero, and to every order."""
    b = a.b
    copies = {n: a.fresh(x.axis(n)) for n in over}
    copy = b.rename(x, {n: c.name for n, c in copies.items()})
    same = b.mul([b.delta(x.axis(n), copies[n]) for n in over])
    masked = b.map(("where", ("gt", slot(0), num(0)), num(1.0), slot(1)), [same, copy], "real")
    return b.reduce("prod", masked, [c.name for c in copies.values()], a.dims)


def _contract(a: Algebra, node: Node, g: Term, k: int) -> Term | None:
    others = [x for j, x in enumerate(node.inputs) if j != k]
    inside = node.inputs[k].names
    outside = dict.fromkeys(n for x in (node, *others) for n in x.names if n not in inside)
    return a.sum(Term(a.b.mul([g.node, *others]), g.pairs), outside)


def _reindex(a: Algebra, node: Node, g: Term, k: int) -> Term | None:
    targets: tuple[str, ...] = node.attrs[0]
    g = a.sum(g, [n for n in node.names if n not in targets])
    names: dict[str, str] = {}
    diagonal: set[tuple[str, str]] = set()
    for own, target in zip(node.inputs[0].names, targets, strict=True):
        if target in names:
            diagonal.add(pair(names[target], own))
        else:
            names[target] = own
    g = a.rename(g, names)
    return Term(g.node, g.pairs | diagonal)


def _window(a: Algebra, node: Node, g: Term, k: int) -> Term | None:
    (x,) = node.inputs
    if node.op == "at":
        axis, position = node.attrs
        return Term(a.b.scatter_at(g.node, x.axis(axis), position), g.pairs)
    if node.op in ("shift", "flip"):
        (axis, *shifted) = node.attrs
        g = a.settle(g, {axis})
        return Term(moved_back(a, g.node, axis, *shifted), g.pairs)
    axis, new, scale, offset = node.attrs
    g = a.settle(g, {new})
    return Term(a.b.scatter_affine(a.spread(g.node, [new]), new, x.axis(axis), scale, offset), g.pairs)


def moved_back(a: Algebra, g: Node, axis: str, offset: int = 0, mode: str = "") -> Node:
    """The adjoint of a shift, the opposite shift of the same mode; of a flip without an offset, the flip itself."""
    if mode != "zero" and axis not in g.names:
        return g
    g = a.spread(g, [axis])
    return a.b.shift(g, axis, -offset, mode) if mode else a.b.flip(g, axis)


def _gather(a: Algebra, node: Node, g: Term, k: int) -> Term | None:
    if k != 0:
        return None
    x, index = node.inputs
    g = a.settle(g, set(index.names))
    values = a.spread(g.node, index.names)
    rest = [n.name for n in x.axes if n.name != node.attrs[0]]
    keep = [n for n in values.axes if n.name not in index.names or n.name in rest]
    return Term(a.b.scatter_gather(values, index, x.axis(node.attrs[0]), keep), g.pairs)


def _scatter(a: Algebra, node: Node, g: Term, k: int) -> Term | None:
    if k != 0:
        return None
    if node.op == "affine":
        axis, new, scale, offset = node.attrs
        g = a.settle(g, {new.name})
        if new.name not in g.node.names:
            return g
        return Term(a.b.window(g.node, new.name, node.inputs[0].axis(axis), scale, offset), g.pairs)
    if node.op == "at":
        new, position = node.attrs
        g = a.settle(g, {new.name})
        return Term(a.b.at_position(g.node, new.name, position), g.pairs)
    _, index = node.inputs
    (new,) = node.attrs
    g = a.settle(g, {new.name, *index.names})
    return Term(a.b.gather(g.node, index, new.name), g.pairs)


def _cumulate(a: Algebra, node: Node, g: Term, k: int) -> Term | None:
    if node.op == "argsort":
        return None
    axis = node.attrs[0]
    g = a.settle(g, {axis})
    bar = cumulative_pullback(a, node, a.spread(g.node, [axis]), k)
    inside = node.inputs[k].names
    return a.sum(Term(bar, g.pairs), [n for n in node.names if n not in inside])


def _concat(a: Algebra, node: Node, g: Term, k: int) -> Term | None:
    b, x = a.b, node.inputs[k]
    groups = stretches(node)
    if node.op == "stack":
        (new, _) = node.attrs
        g = a.settle(g, {new.name})
        taken = Term(b.part(g.node, new.name, groups, k), g.pairs)
        return a.sum(taken, [n for n in node.names if n not in x.names and n != new.name])
    axis, _, at, names = node.attrs
    g = a.settle(g, set(names))
    return Term(placed(a, g.node, groups, at, x.axis(axis)), g.pairs)


def placed(a: Algebra, value: Node, groups: Sequence[Sequence[Axis]], k: int, new: Axis) -> Node:
    """Zeros along `new` but for the stretch of the k-th group."""
    b, zero = a.b, a.b.number(0.0)
    named = [g if j == k else [Axis(b.fresh(new.name), x.dim) for x in g] for j, g in enumerate(groups)]
    return b.stack([value if j == k else zero for j in range(len(groups))], named, new)


def _linalg(a: Algebra, node: Node, g: Term, k: int) -> Term | None:
    b = a.b
    cores, result = node.attrs
    g = a.settle(g, {*result, *(n for core in cores for n in core)})
    value = a.spread(g.node, result)
    x = node.inputs[k]
    if node.op in CIRCULAR:
        bar = circular_pullback(a, node, value, k)
    elif node.op in PULLBACKS:
        bar = PULLBACKS[node.op](a, node, value)
    else:
        rows, columns = cores[0]
        if node.op == "solve":
            right = b.linalg("solve", [node.inputs[0], value], ((columns, rows), (columns,)), [a.axis(rows)])
        elif node.op == "triangular_solve":
            cores = ((rows, columns), (columns,))
            right = b.linalg("triangular_solve_t", [node.inputs[0], value], cores, [a.axis(rows)])
        else:
            right = b.linalg("triangular_solve", [node.inputs[0], value], ((rows, columns), (rows,)), [a.axis(columns)])
        if k == 1:
            bar = right
        else:
            bar = b.map(("neg", ("mul", slot(0), slot(1))), [right, node], "real")
            if node.op != "solve":
                bar = lower(a, bar, rows, columns)
    # Batch axes that this operand lacks were broadcast: sum over them. Seeds of the sweep stay.
    return a.sum(Term(bar, g.pairs), [n for n in node.names if n not in x.names and n not in result])


def _call(a: Algebra, node: Node, g: Term, k: int) -> Term | None:
    return call_pullback(a, node, g, k)


def _hold(a: Algebra, node: Node, g: Term, k: int) -> Term | None:
    return g


RULES: dict[Kind, VJP] = {
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

__all__ = ["RULES", "Axis", "extreme_share", "others_product", "placed", "through_kernel", "times"]
