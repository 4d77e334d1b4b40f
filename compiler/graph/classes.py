"""Classes of nodes that are equal up to a renaming of axes, found by keys, linear in the number of nodes.

A key numbers axis names by first appearance and sorts the operands of commutative kernels.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any

from vspec.compiler.graph.kernel import Kernel, Tree, slot, substitute
from vspec.compiler.graph.node import AnyRegion, Axis, Blocks, Either, Kind, Node, Origin, Pull, Solve, topological

COMMUTATIVE = frozenset({"add", "mul", "and", "or", "eq", "ne", "maximum", "minimum"})

Face = tuple[int, tuple[str, ...]]
"""A node's class, and its names for the axes of the class."""


def normal(tree: Tree) -> Tree:
    """The tree with the children of commutative operations in a fixed order, minus signs in front, numbers told apart by type.

    Trees of one normal form give the same value to the last bit.
    """
    negative, found = _signed(tree)
    return ("neg", found) if negative else found


def _signed(tree: Tree) -> tuple[bool, Tree]:
    """Whether a tree has a minus sign in front, and the normal form of what follows it."""
    op = tree[0]
    if op == "num":
        negative = type(tree[1]) is not bool and tree[1] < 0
        value = -tree[1] if negative else tree[1]
        return negative, ("num", type(value).__name__, repr(value))
    if op == "x":
        return False, tree
    if op == "neg":
        negative, found = _signed(tree[1])
        return not negative, found
    if op == "sub":
        op, tree = "add", ("add", tree[1], ("neg", tree[2]))
    parts = [_signed(c) for c in tree[1:]]
    if op in ("mul", "div"):
        minus, children = sum(n for n, _ in parts) % 2 == 1, [c for _, c in parts]
        if op == "mul":
            children = [c for c in children if c[0] != "num" or c[2] not in ("1", "1.0")] or children[:1]
            if len(children) == 1:
                return minus, children[0]
    else:
        minus = op == "add" and all(n for n, _ in parts)
        children = [("neg", c) if n and not minus else c for n, c in parts]
    if op in COMMUTATIVE:
        children.sort(key=repr)
    return minus, (op, *children)


@cache
def _in_order(k: Kernel, order: tuple[int, ...]) -> Tree:
    """The normal form of a kernel whose operands are taken in another order."""
    return normal(substitute(k.tree, {old: slot(new) for new, old in enumerate(order)}))


@cache
def places(k: Kernel) -> dict[int, tuple[Any, ...]]:
    """Where each slot stands in a kernel: paths from the root, in which the children of commutative operations are alike."""
    found: dict[int, list[Any]] = {}
    stack: list[tuple[Tree, tuple[Any, ...]]] = [(k.tree, ())]
    while stack:
        t, path = stack.pop()
        if t[0] == "x":
            found.setdefault(t[1], []).append(path)
        elif t[0] != "num":
            stack.extend((c, (*path, (t[0], 0 if t[0] in COMMUTATIVE else j))) for j, c in enumerate(t[1:]))
    return {s: tuple(sorted(paths)) for s, paths in found.items()}


class Classes:
    """Classes of nodes; `faces` by uid, `origins` the most telling origin per class."""

    def __init__(self) -> None:
        self.faces: dict[int, Face] = {}
        self.origins: dict[int, Origin] = {}
        self._table: dict[Any, int] = {}
        self._axes: dict[int, tuple[Axis, ...]] = {}
        self._regions: dict[int, Any] = {}

    def add(self, node: Node) -> Face:
        """The face of a node whose inputs are known."""
        found = self.faces.get(node.uid)
        if found is None:
            found = self.faces[node.uid] = self._face(node)
            best = self.origins.get(found[0])
            if best is None or _rank(node.origin) > _rank(best):
                self.origins[found[0]] = node.origin
        return found

    def _class(self, key: Any) -> int:
        return self._table.setdefault(key, len(self._table))

    def _face(self, node: Node) -> Face:
        if node.kind is Kind.REINDEX:
            return self._reindexed(node)
        if node.kind in (Kind.INPUT, Kind.CONST, Kind.INDEX):
            return self._class(_leaf_key(node)), _leaf_names(node)
        if node.kind is Kind.REGION:
            inputs = tuple((self.faces[x.uid], x.names) for x in node.inputs)
            return self._class((node.kind, node.op, self.region_key(node.attrs[0]), inputs)), ()
        if node.kind is Kind.ITEM:
            dims = tuple(a.dim for a in node.axes)
            return self._class((node.kind, self.faces[node.inputs[0].uid], node.attrs, dims, node.dtype)), node.names
        numbers = _Numbers()
        operands, what = self._operands(node)
        faces = tuple((self.faces[x.uid][0], numbers.of(self.faces[x.uid][1])) for x in operands)
        # Axes that no operand has (a broadcast) come last and are numbered in their order.
        attrs = _attrs(node, numbers)
        own = tuple(sorted(numbers.of(node.names)))
        sizes = tuple(sorted({(numbers.table[a.name], a.dim) for x in (node, *operands) for a in x.axes}))
        key = (node.kind, node.op, what, node.dtype, attrs, faces, own, sizes)
        back = {k: n for n, k in numbers.table.items()}
        return self._class(key), tuple(back[k] for k in own)

    def _reindexed(self, node: Node) -> Face:
        (targets,) = node.attrs
        to = dict(zip(node.inputs[0].names, targets, strict=True))
        inner, names = self.faces[node.inputs[0].uid]
        shown = tuple(to[n] for n in names)
        if len(set(targets)) == len(targets) == len(node.axes):
            # A pure rename is another face of the same class.
            return inner, shown
        numbers = _Numbers()
        where = numbers.of(shown)
        spread = sorted((a.dim, a.name) for a in node.axes if a.name not in targets)
        own = (*dict.fromkeys(shown), *(name for _, name in spread))
        key = (node.kind, inner, where, tuple(dim for dim, _ in spread))
        return self._class(key), own

    def _operands(self, node: Node) -> tuple[list[Node], Any]:
        """Operands in a normal order, with the kernel rewritten for it."""
        if node.kind is Kind.CONTRACT:
            return sorted(node.inputs, key=lambda x: self.faces[x.uid]), None
        if node.kind is not Kind.MAP:
            return list(node.inputs), None
        order = sorted(range(len(node.inputs)), key=lambda k: self.faces[node.inputs[k].uid])
        if len({self.faces[x.uid][0] for x in node.inputs}) < len(order):
            # x[a] - x[b] is x[b] - x[a] with other names: of equal operands, the place in the kernel tells which is which.
            roles = places(node.attrs[0])
            order.sort(key=lambda k: (self.faces[node.inputs[k].uid][0], roles.get(k, ())))
        return [node.inputs[k] for k in order], _in_order(node.attrs[0], tuple(order))

    def region_key(self, region: AnyRegion) -> Any:
        """Equal for regions that do the same to operands with the same axes."""
        found = self._regions.get(id(region))
        if found is not None:
            return found[0]
        if isinstance(region, Pull):
            key: Any = ("pull", self.region_key(region.inner), region.given, region.wanted, region.batch)
        elif isinstance(region, Solve):
            key = self._solve_key(region)
        elif isinstance(region, Blocks):
            key = self._blocks_key(region)
        elif isinstance(region, Either):
            key = self._either_key(region)
        else:
            own = [("carry", n) for n in region.carry] + [("captured", n) for n in region.captured]
            more = () if region.products is None else region.products.arguments
            for k, (role, n) in enumerate([*own, ("index", region.index), *(("kept", n) for n in more)]):
                self.faces[n.uid] = (self._class((role, k, n.axes, n.dtype)), n.names)
            for node in topological([*region.roots, region.length]):
                self.add(node)
            body = tuple((self.faces[n.uid], n.names) for n in region.roots)
            length = self.faces[region.length.uid]
            states = tuple((role, n.axes, n.dtype) for role, n in own)
            key = ("scan", region.axis, length, states, body, region.results, region.until is None, region.adjoint)
        # The region is kept beside its key, so that its id is not given to another one.
        self._regions[id(region)] = (self._class(key), region)
        return self._regions[id(region)][0]

    def _blocks_key(self, region: Blocks) -> Any:
        for k, n in enumerate(region.arguments):
            # The dim of a part is a name of its own in each region.
            dims = tuple("" if a.dim == region.axis.dim else a.dim for a in n.axes)
            self.faces[n.uid] = (self._class(("row", k, dims, n.dtype, region.axis.dim)), n.names)
        for node in topological(region.body):
            self.add(node)
        body = tuple((self.faces[n.uid], n.names) for n in region.body)
        return ("blocks", region.dim, body, region.joins, region.cut, region.rows)

    def _either_key(self, region: Either) -> Any:
        for k, n in enumerate(region.captured):
            self.faces[n.uid] = (self._class(("captured", k, n.axes, n.dtype)), n.names)
        for node in topological(region.body):
            self.add(node)
        return ("either", tuple((self.faces[n.uid], n.names) for n in region.body))

    def _solve_key(self, region: Solve) -> Any:
        own = [("unknown", n) for n in region.unknowns] + [("captured", n) for n in region.captured]
        for k, (role, n) in enumerate(own):
            self.faces[n.uid] = (self._class((role, k, n.axes, n.dtype)), n.names)
        for node in topological(region.body):
            self.add(node)
        body = []
        for n, r in zip(region.body, region.roles, strict=True):
            kind, names = self.faces[n.uid]
            # The letters of a slope are its own.
            shown = tuple(r.letters.index(x) if x in r.letters else x for x in names)
            body.append((kind, shown, r.kind, r.row, r.column))
        states = tuple((role, n.axes, n.dtype) for role, n in own)
        how = (region.op, region.method, region.options, region.steps, region.gradient, region.relations)
        return ("solve", how, region.batch, states, tuple(body))


def _rank(origin: Origin) -> int:
    """A definition's own name tells most, then a place in the spec."""
    return 2 * bool(origin.name and origin.role == "value") + bool(origin.line)


class _Numbers:
    """Axis names numbered by first appearance."""

    def __init__(self) -> None:
        self.table: dict[str, int] = {}

    def of(self, names: Iterable[str]) -> tuple[int, ...]:
        table = self.table
        return tuple([table.setdefault(n, len(table)) for n in names])


def _leaf_key(node: Node) -> Any:
    dims = tuple(a.dim for a in node.axes)
    if node.kind is Kind.INPUT:
        # Arguments of bodies share names but are not the same thing.
        local = node.op in ("carry", "captured", "index", "unknown")
        return (node.kind, node.op, node.attrs, dims, node.dtype, node.uid if local else None)
    if node.kind is Kind.INDEX:
        return (node.kind, node.op, dims, node.attrs)
    # 1, 1.0 and True are equal in Python.
    return (node.kind, node.op, type(node.attrs[0]).__name__, repr(node.attrs[0]), dims, node.dtype)


def _leaf_names(node: Node) -> tuple[str, ...]:
    # A delta is symmetric.
    return tuple(sorted(node.names)) if node.op == "delta" and len({a.dim for a in node.axes}) == 1 else node.names


def _attrs(node: Node, numbers: _Numbers) -> Any:
    """The attributes with axis names as numbers."""
    a = node.attrs
    if node.kind is Kind.REDUCE:
        return (tuple(sorted(numbers.of(a[0]))), a[1:])
    if node.kind is Kind.WINDOW:
        names = 2 if node.op == "affine" else 1
        return (*numbers.of(a[:names]), *a[names:])
    if node.kind is Kind.CUMULATE:
        return (*numbers.of(a[:1]), a[1])
    if node.kind is Kind.GATHER:
        return numbers.of(a)
    if node.kind is Kind.SCATTER:
        axis, rest = (numbers.of(a[:1]), a[1:]) if node.op == "affine" else ((), a)
        return (axis, numbers.of([rest[0].name]), rest[0].dim, rest[1:])
    if node.kind is Kind.CONCAT:
        if node.op == "part":
            return (*numbers.of(a[:1]), a[1], a[2], numbers.of(a[3]))
        return (*numbers.of([a[0].name]), a[0].dim, tuple(numbers.of(group) for group in a[1]))
    if node.kind is Kind.LINALG:
        return (tuple(numbers.of(core) for core in a[0]), numbers.of(a[1]))
    if node.kind is Kind.CALL:
        return (tuple(numbers.of(core) for core in a[0]), numbers.of(a[1]), a[2])
    return () if node.kind is Kind.MAP else a
