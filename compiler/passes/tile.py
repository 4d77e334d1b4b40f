"""Parts that are placed side by side in zeros and added up are joined: `concatenate([a, b])`, where a sum would write an array of
zeros for each part and read all of them.

Derivatives by an array of which parts are read, such as means and scales from one network, are such sums. Parts for the same
place are added before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from vspec.compiler.graph.builder import Builder
from vspec.compiler.graph.concat import Group, stack
from vspec.compiler.graph.graph import Graph
from vspec.compiler.graph.kernel import BORDER, Tree, slot, slots, substitute
from vspec.compiler.graph.node import Axis, Kind, Node
from vspec.compiler.graph.rewrite import Sweep, with_results
from vspec.compiler.passes.patterns import Scope, Term, factors, number_of, product, terms, total

DOC = "No arrays of zeros but for parts that do not overlap are added up."


def run(graph: Graph) -> Graph:
    """The graph with placed parts joined."""
    b = Builder(graph.dims)
    sweep = Sweep(b, lambda b, node, old: joined(b, node))
    sweep.run(graph.roots)
    done = with_results(graph, b, lambda node: sweep.new[node.uid])
    return replace(done, dims=b.dims) if len(b.dims) > len(graph.dims) else done


@dataclass(frozen=True, slots=True)
class Placed:
    """A term of a sum that is zero but for a stretch of one axis: the axis, where the stretch begins, how long it is, and what
    stands in it, whose own axis for the stretch is `group` (none of a single slice)."""

    axis: Axis
    start: int
    length: int
    group: tuple[Axis, ...]
    sign: int
    tree: Tree
    operands: tuple[Node, ...]


def joined(b: Builder, node: Node) -> Node:
    """The node, or a map that reads joined parts in the place of sums of placed ones."""
    if node.kind is not Kind.MAP or node.dtype != "real" or node.attrs[0].tree[0] in BORDER:
        return node
    if sum(_places(x) for x in node.inputs) < 2:
        return node
    scope = Scope(b, node.inputs, node.names)
    tree = _visited(scope, node.names, node.attrs[0].tree)
    if tree is node.attrs[0].tree:
        return node
    found = b.map(tree, scope.inputs, "real")
    return found if set(found.names) == set(node.names) else b.order(found, node.axes)


def _visited(scope: Scope, names: Sequence[str], tree: Tree) -> Tree:
    if tree[0] in ("x", "num"):
        return tree
    if tree[0] in ("add", "sub"):
        better = _better(scope, names, terms(tree))
        if better is not None:
            return _visited(scope, names, better)
    children = [_visited(scope, names, t) for t in tree[1:]]
    return (tree[0], *children) if any(c is not t for c, t in zip(children, tree[1:], strict=True)) else tree


def _better(scope: Scope, names: Sequence[str], parts: Sequence[Term]) -> Tree | None:
    """The sum with the placed terms of one axis joined; None where none are."""
    known: dict[Axis, dict[int, Placed]] = {}
    for k, (sign, tree) in enumerate(parts):
        term = _placed(scope, sign, tree)
        if term is not None:
            known.setdefault(term.axis, {})[k] = term
    for axis, found in known.items():
        whole = _whole(scope.b, names, axis, list(found.values())) if len(found) > 1 else None
        if whole is not None:
            rest = [t for k, t in enumerate(parts) if k not in found]
            return total([(1, scope.slot(whole)), *rest])
    return None


def _scatter(x: Node) -> tuple[Node, dict[str, str]] | None:
    """The placed part that x renames or repeats along further axes, and the names in x of its axes."""
    shown = {n: n for n in x.names}
    while x.kind is Kind.REINDEX:
        targets: tuple[str, ...] = x.attrs[0]
        if len(set(targets)) < len(targets):
            return None
        shown = {n: shown[t] for n, t in zip(x.inputs[0].names, targets, strict=True)}
        x = x.inputs[0]
    placed = x.kind is Kind.SCATTER and (x.op == "at" or (x.op == "affine" and x.attrs[2] == 1)) and x.dtype == "real"
    return (x, shown) if placed else None


def _places(x: Node) -> bool:
    """Whether x is a placed part or a map of some."""
    if _scatter(x) is not None:
        return True
    while x.kind is Kind.REINDEX:
        x = x.inputs[0]
    return x.kind is Kind.MAP and any(_scatter(y) is not None for y in x.inputs)


def _placed(scope: Scope, sign: int, tree: Tree) -> Placed | None:
    """A term as a placed part times what does not vary along the axis that it is placed in; None if it is anything else."""
    b = scope.b
    opened = [
        (u, d * e)
        for t, e in factors(tree)
        for u, d in (factors(scope.view(t)) if t[0] == "x" and _places(scope.inputs[t[1]]) else [(t, 1)])
    ]
    value, rest = number_of(opened)
    operands = [(k, scope.inputs[t[1]]) for k, (t, e) in enumerate(rest) if t[0] == "x" and e == 1]
    hits = [(k, found) for k, x in operands if (found := _scatter(x)) is not None]
    if len(hits) != 1:
        return None
    ((place, (x, shown)),) = hits
    others = [p for k, p in enumerate(rest) if k != place]
    (part,) = x.inputs
    new: Axis = x.attrs[0] if x.op == "at" else x.attrs[1]
    axis = Axis(shown[new.name], new.dim)
    size = b.dims.get(axis.dim)
    if not isinstance(size, int) or any(axis.name in scope.inputs[k].names for t, _ in others for k in slots(t)):
        return None
    group: tuple[Axis, ...] = ()
    start, length = (x.attrs[1] % size, 1) if x.op == "at" else (x.attrs[3], b.dims.get(part.axis(x.attrs[0]).dim))
    if not isinstance(length, int):
        return None
    names = {n: shown[n] for n in part.names if n in shown}
    if x.op == "affine":
        group = (Axis(b.fresh(axis.name, {*scope.names, *part.names}), part.axis(x.attrs[0]).dim),)
        names[x.attrs[0]] = group[0].name
    text = product([*others, (slot(len(scope.inputs)), 1)], value)
    return Placed(axis, start, length, group, sign, text, (*scope.inputs, b.rename(part, names)))


def _whole(b: Builder, names: Sequence[str], axis: Axis, found: Sequence[Placed]) -> Node | None:
    """The sum of placed parts, those for one place added first; None where places overlap."""
    size = b.dims[axis.dim]
    assert isinstance(size, int)
    places: dict[tuple[int, int], list[Placed]] = {}
    for p in found:
        places.setdefault((p.start, p.length), []).append(p)
    taken = sorted(places)
    ends = [0, *(start + length for start, length in taken)]
    if ends[-1] > size or any(start < end for (start, _), end in zip(taken, ends, strict=False)):
        return None
    if any(len({bool(p.group) for p in same}) > 1 for same in places.values()):
        return None
    parts = [joined(b, _sum(b, places[at])) for at in taken]
    groups: list[Group] = [places[at][0].group for at in taken]
    if len(taken) == 1:
        # All have the same place.
        start = taken[0][0]
        if not groups[0]:
            return b.scatter_at(parts[0], axis, start)
        return b.scatter_affine(parts[0], groups[0][0].name, axis, 1, start)
    # From the last one on, so that places in the lists stay what they are.
    for k, (start, end) in reversed(list(enumerate(zip([*(s for s, _ in taken), size], ends, strict=True)))):
        if start > end:
            dim = f"_{start - end}"
            b.dims.setdefault(dim, start - end)
            parts.insert(k, b.number(0.0))
            groups.insert(k, (Axis(b.fresh(axis.name, names), dim),) if start - end > 1 else ())
    return stack(b, parts, groups, axis, names)


def _sum(b: Builder, found: Sequence[Placed]) -> Node:
    """The sum of the parts for one place, along the axis that the first of them has there."""
    scope = Scope(b, ())
    signed: list[Term] = []
    for p in found:
        same = {old.name: new.name for old, new in zip(p.group, found[0].group, strict=True)}
        own = {k: scope.slot(b.rename(p.operands[k], same)) for k in slots(p.tree)}
        signed += [(p.sign * s, t) for s, t in terms(substitute(p.tree, own))]
    return b.map(total(signed), scope.inputs, "real")
