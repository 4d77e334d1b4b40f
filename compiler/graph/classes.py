"""Classes of nodes that are equal up to a renaming of axes, found by keys, linear in the number of nodes.

A key numbers axis names by first appearance and sorts the operands of commutative kernels. Where operands are equal but for their
names, or symmetric, the order they are taken in and the way they are turned decide what comes first: each of a few is tried, and
the least key is taken. Two of them that give one key, but the names of two axes exchanged, show that the node is symmetric.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from itertools import product
from math import prod
from typing import Any

from vspec.compiler.graph.kernel import Kernel, Tree, slot, substitute
from vspec.compiler.graph.linalg import unrenamed
from vspec.compiler.graph.node import AnyRegion, Blocks, Either, Kind, Node, Pull, Region, Solve, topological

COMMUTATIVE = frozenset({"add", "mul", "and", "or", "eq", "ne", "maximum", "minimum"})

# Kinds whose operands may be taken in any order.
SORTED = frozenset({Kind.MAP, Kind.CONTRACT})

# So many orders of operands that are alike, and so many ways to take all operands, are tried.
ORDERS = 6
ARRANGEMENTS = 16

Face = tuple[int, tuple[str, ...]]
"""A node's class, and its names for the axes of the class."""


def normal(tree: Tree) -> Tree:
    """The tree with the children of commutative operations in a fixed order, minus signs in front, numbers told apart by type.

    Trees of one normal form give the same value to the last bit.
    """
    negative, found = _signed(tree)
    return ("neg", found) if negative else found


EVEN = frozenset({"square", "abs", "cos", "cosh"})


def _unsigned(found: Tree) -> Tree:
    """The same tree for a normal form and for its negative."""
    if found[0] == "neg":
        return _unsigned(found[1])
    if found[0] in ("mul", "div"):
        parts = [_unsigned(c) for c in found[1:]]
        return (found[0], *(sorted(parts, key=repr) if found[0] == "mul" else parts))
    if found[0] != "add":
        return found
    turned = ("add", *sorted((c[1] if c[0] == "neg" else ("neg", c) for c in found[1:]), key=repr))
    return min(found, turned, key=repr)


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
    even = op in EVEN or (op == "pow" and tree[2][0] == "num" and type(tree[2][1]) is int and tree[2][1] % 2 == 0)
    if even:
        return False, (op, _unsigned(_signed(tree[1])[1]), *(normal(c) for c in tree[2:]))
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
    """Classes of nodes; `faces` by uid. All graphs that are made of one another have one table, so that a node which a pass
    leaves as it is is looked at once."""

    def __init__(self) -> None:
        self.faces: dict[int, Face] = {}
        self._table: dict[Any, int] = {}
        self._regions: dict[int, Any] = {}
        # By class: two positions of axes that may be exchanged.
        self._swaps: dict[int, tuple[tuple[int, int], ...]] = {}

    def add(self, node: Node) -> Face:
        """The face of a node whose inputs are known."""
        found = self.faces.get(node.uid)
        if found is None:
            found = self.faces[node.uid] = self._face(node)
        return found

    def all(self, nodes: Iterable[Node]) -> Classes:
        """The classes, which know these nodes, inputs before readers."""
        faces = self.faces
        for node in nodes:
            if node.uid not in faces:
                faces[node.uid] = self._face(node)
        return self

    def alike(self, region: AnyRegion, made: AnyRegion) -> None:
        """Tells that a region does what another one does, whose arguments it has."""
        if id(made) not in self._regions:
            self._regions[id(made)] = (self.region_key(region), made)
            if not isinstance(made, Pull):
                self.all(body_of(made))

    def of(self, node: Node) -> Face:
        """The face of any node, its inputs added first."""
        stack = [node]
        while stack:
            waiting = [x for x in stack[-1].inputs if x.uid not in self.faces]
            if waiting:
                stack += waiting
            else:
                self.add(stack.pop())
        return self.faces[node.uid]

    def _class(self, key: Any) -> int:
        return self._table.setdefault(key, len(self._table))

    def _face(self, node: Node) -> Face:
        if node.kind is Kind.REINDEX:
            return self._reindexed(node)
        if node.kind in (Kind.INPUT, Kind.CONST, Kind.INDEX):
            return self._leaf(node)
        if node.kind is Kind.REGION:
            inputs = tuple((self.faces[x.uid], x.names) for x in node.inputs)
            return self._class((node.kind, node.op, self.region_key(node.attrs[0]), inputs)), ()
        if node.kind is Kind.ITEM:
            dims = tuple(a.dim for a in node.axes)
            return self._class((node.kind, self.faces[node.inputs[0].uid], node.attrs, dims, node.dtype)), node.names
        ways = self._arrangements(node)
        if len(ways) == 1:
            key, names = self._key(node, *ways[0])
            return self._class(key), names
        found = [self._key(node, *way) for way in ways]
        key = _least([k for k, _ in found])
        kind = self._class(key)
        shown = [names for k, names in found if k == key]
        if kind not in self._swaps:
            self._swaps[kind] = _exchanged(shown)
        return kind, self.sorted(kind, shown[0])

    def _leaf(self, node: Node) -> Face:
        kind = self._class(_leaf_key(node))
        if node.op == "delta" and len({a.dim for a in node.axes}) == 1:
            self._swaps[kind] = ((0, 1),)
        return kind, self.sorted(kind, node.names)

    def _key(self, node: Node, operands: Sequence[Face], what: Any, attrs: Any) -> tuple[Any, tuple[str, ...]]:
        """The key of a node whose operands are taken in this way, and its names for the axes of what the key stands for."""
        numbers = _Numbers()
        of, table = numbers.of, numbers.table
        faces = tuple([(kind, of(names)) for kind, names in operands])
        # Axes that no operand has (a broadcast) come last and are numbered in their order.
        numbered = _attrs(node, attrs, numbers)
        own = tuple(sorted(of(node.names)))
        axes = set(node.axes).union(*[x.axes for x in node.inputs])
        sizes = tuple(sorted([(table[name], dim) for name, dim in axes]))
        key = (node.kind, node.op, what, node.dtype, numbered, faces, own, sizes)
        back = list(table)
        return key, tuple([back[k] for k in own])

    def sorted(self, kind: int, names: tuple[str, ...]) -> tuple[str, ...]:
        """The names for the axes of a class, those of axes that may be exchanged in their order."""
        for p, q in self._swaps.get(kind, ()):
            if names[q] < names[p]:
                names = tuple(names[{p: q, q: p}.get(k, k)] for k in range(len(names)))
        return names

    def _arrangements(self, node: Node) -> list[tuple[list[Face], Any, Any]]:
        """The ways to take a node's operands: their faces in order, the kernel for it, the attributes. One, unless operands are
        alike or symmetric; never more than a few."""
        faces, order, what = self._operands(node)
        turns = [self.turned(f) for f in faces]
        alike = [k for k in range(1, len(faces)) if faces[k][0] == faces[k - 1][0]] if node.kind in SORTED else []
        plain = [(faces, what, node.attrs)]
        if not alike and all(len(t) == 1 for t in turns):
            return plain
        orders = [tuple(range(len(faces)))]
        for k in alike:
            # Neighbours that are alike change places: of two all orders, of more some.
            orders += [(*o[: k - 1], o[k], o[k - 1], *o[k + 1 :]) for o in orders]
            if len(orders) > ORDERS:
                return plain
        if len(orders) * prod(map(len, turns)) > ARRANGEMENTS:
            return plain
        ways: list[tuple[list[Face], Any, Any]] = []
        for o in orders:
            kernel = _in_order(node.attrs[0], tuple(order[k] for k in o)) if node.kind is Kind.MAP else what
            ways += [(list(way), kernel, node.attrs) for way in product(*(turns[k] for k in o))]
        if node.kind is Kind.LINALG and node.op in ("inv", "inv_pd", "inv_tried"):
            # The inverse of a transpose is the transpose of the inverse.
            (core,), result = node.attrs
            ways += [(way, kernel, ((core[::-1],), result[::-1])) for way, kernel, _ in ways]
        return ways

    def exchanges(self, face: Face) -> list[tuple[str, str]]:
        """The pairs of names that may be exchanged in a face."""
        kind, names = face
        return [(names[p], names[q]) for p, q in self._swaps.get(kind, ())]

    def turned(self, face: Face) -> list[Face]:
        """A face and, of what is symmetric, those with two names exchanged."""
        kind, names = face
        swaps = self._swaps.get(kind)
        if not swaps:
            return [face]
        return [face, *((kind, tuple(names[{p: q, q: p}.get(k, k)] for k in range(len(names)))) for p, q in swaps)]

    def _reindexed(self, node: Node) -> Face:
        (targets,) = node.attrs
        to = dict(zip(node.inputs[0].names, targets, strict=True))
        inner, names = self.faces[node.inputs[0].uid]
        shown = tuple(to[n] for n in names)
        if len(set(targets)) == len(targets) == len(node.axes):
            # A pure rename is another face of the same class.
            return inner, self.sorted(inner, shown)
        numbers = _Numbers()
        where = numbers.of(shown)
        spread = sorted((a.dim, a.name) for a in node.axes if a.name not in targets)
        own = (*dict.fromkeys(shown), *(name for _, name in spread))
        key = (node.kind, inner, where, tuple(dim for dim, _ in spread))
        return self._class(key), own

    def _operands(self, node: Node) -> tuple[list[Face], tuple[int, ...], Any]:
        """The faces of the operands in a normal order, their places, and the kernel rewritten for it."""
        if node.kind is Kind.CONTRACT:
            return sorted(f for x in node.inputs for f in self._factors(x)), (), None
        faces = [self.faces[x.uid] for x in node.inputs]
        if node.kind is not Kind.MAP:
            return faces, (), None
        order = sorted(range(len(faces)), key=lambda k: faces[k])
        if len({kind for kind, _ in faces}) < len(order):
            # x[a] - x[b] is x[b] - x[a] with other names: of equal operands, the place in the kernel tells which is which.
            roles = places(node.attrs[0])
            order.sort(key=lambda k: (faces[k][0], roles.get(k, ())))
        return [faces[k] for k in order], tuple(order), _in_order(node.attrs[0], tuple(order))

    def _factors(self, x: Node) -> list[Face]:
        """The faces of what an operand of a sum of products is the product of: it is one sum, whatever is multiplied first."""
        base, shown = unrenamed(x)
        if base.kind is not Kind.MAP or base.dtype != "real" or base.attrs[0].tree[0] != "mul":
            return [self.faces[x.uid]]
        if any(t[0] != "x" for t in base.attrs[0].tree[1:]) or len(base.inputs) != len(base.attrs[0].tree) - 1:
            return [self.faces[x.uid]]
        faces = [self.faces[i.uid] for i in base.inputs]
        return [(kind, self.sorted(kind, tuple(shown[n] for n in names))) for kind, names in faces]

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
            arguments = [*own, ("index", region.index), *(("kept", n) for n in more)]
            keys = [(n, (role, k, n.axes, n.dtype)) for k, (role, n) in enumerate(arguments)]
            self._body(keys, region)
            body = tuple((self.faces[n.uid], n.names) for n in region.roots)
            length = self.faces[region.length.uid]
            states = tuple((role, n.axes, n.dtype) for role, n in own)
            key = ("scan", region.axis, length, states, body, region.results, region.until is None, region.adjoint)
        # The region is kept beside its key, so that its id is not given to another one.
        self._regions[id(region)] = (self._class(key), region)
        return self._regions[id(region)][0]

    def _body(self, arguments: Iterable[tuple[Node, Any]], region: Region | Solve | Blocks | Either) -> None:
        """Adds the nodes of a body whose arguments are equal where their keys are."""
        faces = {n.uid: (self._class(key), n.names) for n, key in arguments}
        nodes = body_of(region)
        if any(self.faces.get(uid) != face for uid, face in faces.items()):
            # What the body was in a region whose arguments had other places says nothing.
            for n in nodes:
                self.faces.pop(n.uid, None)
            self.faces.update(faces)
        self.all(nodes)

    def _blocks_key(self, region: Blocks) -> Any:
        keys = []
        for k, n in enumerate(region.arguments):
            # The dim of a part is a name of its own in each region.
            dims = tuple("" if a.dim == region.axis.dim else a.dim for a in n.axes)
            keys.append((n, ("row", k, dims, n.dtype, region.axis.dim)))
        self._body(keys, region)
        body = tuple((self.faces[n.uid], n.names) for n in region.body)
        return ("blocks", region.dim, body, region.joins, region.cut, region.rows)

    def _either_key(self, region: Either) -> Any:
        self._body([(n, ("captured", k, n.axes, n.dtype)) for k, n in enumerate(region.captured)], region)
        return ("either", tuple((self.faces[n.uid], n.names) for n in region.body))

    def _solve_key(self, region: Solve) -> Any:
        own = [("unknown", n) for n in region.unknowns] + [("captured", n) for n in region.captured]
        self._body([(n, (role, k, n.axes, n.dtype)) for k, (role, n) in enumerate(own)], region)
        body = []
        for n, r in zip(region.body, region.roles, strict=True):
            kind, names = self.faces[n.uid]
            # The letters of a slope are its own.
            shown = tuple(r.letters.index(x) if x in r.letters else x for x in names)
            body.append((kind, shown, r.kind, r.row, r.column))
        states = tuple((role, n.axes, n.dtype) for role, n in own)
        how = (region.op, region.method, region.options, region.steps, region.gradient, region.relations)
        return ("solve", how, region.batch, states, tuple(body))


def _least(keys: Sequence[tuple[Any, ...]]) -> tuple[Any, ...]:
    """The first of some keys of one node in the order of their texts."""
    first = keys[0]
    if all(k == first for k in keys):
        return first
    # Keys of a node differ behind kind and operation, in parts none of whose texts begins another one.
    return min(keys, key=lambda k: (_text(k[2]), *map(repr, k[4:])))


@cache
def _text(tree: Tree | None) -> str:
    return repr(tree)


def body_of(region: Region | Solve | Blocks | Either) -> list[Node]:
    """The nodes of a region's body, and of the number of its steps."""
    return topological([*region.roots, region.length] if isinstance(region, Region) else region.roots)


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


def _exchanged(shown: Sequence[tuple[str, ...]]) -> tuple[tuple[int, int], ...]:
    """The pairs of positions that two tuples of the same names have exchanged, beside the first of them."""
    first = shown[0]
    found = set()
    for names in shown[1:]:
        apart = [k for k, (a, b) in enumerate(zip(first, names, strict=True)) if a != b]
        if len(apart) == 2 and names[apart[0]] == first[apart[1]] and names[apart[1]] == first[apart[0]]:
            found.add((apart[0], apart[1]))
    return tuple(sorted(found)) if len(found) == 1 else ()


def _attrs(node: Node, a: Any, numbers: _Numbers) -> Any:
    """The attributes `a` of a node with axis names as numbers."""
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
