"""What the terms of a sum have in common is multiplied with their sum: x*y + x*z is x*(y + z).

Of factors in one kernel, and of sums of products: two contractions of one array, whose summed axes may bear different names, are
one contraction of it with the sum of what it meets. Two sums over the same axes are one sum.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

from vspec.compiler.graph.builder import Builder
from vspec.compiler.graph.cost import Sizes
from vspec.compiler.graph.kernel import Kernel, Tree, slots
from vspec.compiler.graph.node import Kind, Node
from vspec.compiler.passes.patterns import Scope, factors, number_of, product, terms, times, total

Tells = Callable[[Node], bool]


@cache
def factored(k: Kernel) -> tuple[tuple[Tree, ...], Tree] | None:
    """What is a factor of all terms of a sum, and the sum without it; None of any other kernel."""
    if k.tree[0] not in ("add", "sub"):
        return None
    parts = [(s, factors(t)) for s, t in terms(k.tree)]
    common = [t for t, e in parts[0][1] if e == 1 and slots(t) and all((t, 1) in p for _, p in parts[1:])]
    if len(parts) < 2 or not common or len(set(common)) < len(common):
        return None
    rest = total([(s, product([p for p in ps if p[0] not in common])) for s, ps in parts])
    return (tuple(common), rest) if slots(rest) else None


def together(b: Builder, node: Node, single: Tells, static: Tells, sizes: Sizes) -> Node | None:
    """A map in whose sums the contractions of one array are one contraction, and sums over the same axes are one sum; None
    where there are none.

    `single` tells what has one reader: another would need the contraction by itself. `static` tells what is computed once per
    run: there it costs nothing.
    """
    tree: Tree = node.attrs[0].tree
    candidates = [x for x in node.inputs if _sums(x) and single(x) and not static(x)]
    if len(candidates) < 2:
        return None
    scope = Scope(b, node.inputs)
    better = _visited(scope, tree, {x.uid for x in candidates}, sizes)
    if better == tree:
        return None
    found = b.map(better, scope.inputs, node.dtype)
    return b.order(found, node.axes) if found.axes != node.axes else found


def _sums(x: Node) -> bool:
    return (x.kind is Kind.CONTRACT and len(x.inputs) == 2) or (
        x.kind is Kind.REDUCE and x.op == "sum" and len(x.attrs) == 1 and x.dtype == "real" and bool(x.axes)
    )


def _visited(scope: Scope, tree: Tree, candidates: set[int], sizes: Sizes) -> Tree:
    if tree[0] in ("x", "num"):
        return tree
    tree = (tree[0], *(_visited(scope, t, candidates, sizes) for t in tree[1:]))
    if tree[0] not in ("add", "sub"):
        return tree
    # Each term as a number times a tree; those that are contractions are merged two by two.
    left = [(s * c, product(rest)) for s, (c, rest) in ((s, number_of(factors(t))) for s, t in terms(tree))]
    changed = False
    k = 0
    while k < len(left):
        j = k + 1
        while j < len(left):
            made = _pair(scope, left[k], left[j], candidates, sizes)
            if made is None:
                j += 1
                continue
            candidates.add(made.uid)
            left[k] = (1, scope.slot(made))
            del left[j]
            changed = True
        k += 1
    return total([(1, times(c, t)) for c, t in left]) if changed else tree


def _pair(
    scope: Scope, one: tuple[float, Tree], other: tuple[float, Tree], candidates: set[int], sizes: Sizes
) -> Node | None:
    (c, s), (d, t) = one, other
    x, y = scope.operand(s), scope.operand(t)
    if x is None or y is None or x is y or not {x.uid, y.uid} <= candidates or set(x.names) != set(y.names):
        return None
    if x.kind is not y.kind:
        return None
    b = scope.b
    if x.kind is Kind.REDUCE:
        (u,), (v,) = x.inputs, y.inputs
        if set(x.attrs[0]) != set(y.attrs[0]) or set(u.names) != set(v.names):
            return None
        tree = total([(1, times(c, ("x", 0))), (1, times(d, ("x", 1)))])
        return b.reduce("sum", b.map(tree, [u, v], "real"), x.attrs[0])
    for k, j in ((0, 0), (0, 1), (1, 0), (1, 1)):
        common, with_x, with_y = x.inputs[k], x.inputs[1 - k], y.inputs[1 - j]
        names = _renaming(y.inputs[j], common, x.names)
        if names is None:
            continue
        # Names that the renaming gives must not be those of something else.
        if any(n not in names and n not in x.names for n in with_y.names):
            continue
        rest = b.rename(with_y, names)
        alike = set(rest.names) == set(with_x.names)
        # A sum of operands larger than the one in common would cost what it saves.
        if alike and sizes.count(with_x.axes) <= sizes.count(common.axes):
            tree = total([(1, times(c, ("x", 0))), (1, times(d, ("x", 1)))])
            return b.contract([common, b.map(tree, [with_x, rest], "real")], x.axes)
    return None


def _renaming(x: Node, y: Node, kept: Sequence[str]) -> dict[str, str] | None:
    """New names for axes of x, none of them among `kept`, by which it is y; None where it is something else."""
    (inner, shown), (other, wanted) = _base(x), _base(y)
    if inner is not other or len(x.axes) != len(shown) or len(y.axes) != len(wanted):
        return None
    names = dict(zip(shown, wanted, strict=True))
    return names if all(n == m or not {n, m} & set(kept) for n, m in names.items()) else None


def _base(x: Node) -> tuple[Node, tuple[str, ...]]:
    """What is renamed, and the names of its axes."""
    shown = x.names
    while x.kind is Kind.REINDEX:
        to = dict(zip(x.names, shown, strict=True))
        if len(set(x.attrs[0])) < len(x.axes) or any(n not in to for n in x.attrs[0]):
            break
        shown = tuple(to[n] for n in x.attrs[0])
        x = x.inputs[0]
    return x, shown
