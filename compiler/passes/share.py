"""A large matrix that several products read is read once, by one product with all of their operands.

Where products with one matrix are added up, their operands are added instead: `c1*(A @ u) + c2*(A @ v)` is `A @ (c1*u + c2*v)`.
Where they go different ways, the operands stand side by side: `A @ u`, `A @ V` and the row sums of A are columns of one
product `A @ [u, V, 1]`. `sum(U, 0) @ A` beside `U @ A` is a sum of the latter
(`resummed.py`), so is `sum(U * (A @ V.T), 0)` beside `U.T @ A` (`regrouped.py`), and sums of operands that have been added up
are one sum (`summed.py`). In sums of kernels over pairs of
points, value and gradient read the kernel once like this.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from heapq import heapify, heappop, heappush

from vspec.compiler.graph.builder import Builder
from vspec.compiler.graph.concat import joint_axis, renamed
from vspec.compiler.graph.cost import Sizes
from vspec.compiler.graph.graph import Graph
from vspec.compiler.graph.kernel import Tree, num, slot, slots
from vspec.compiler.graph.node import Axis, Kind, Node, topological
from vspec.compiler.graph.rewrite import Sweep, count_readers, with_results
from vspec.compiler.passes.patterns import factors, number_of, terms
from vspec.compiler.passes.regrouped import regrouped
from vspec.compiler.passes.resummed import entries_of, resummed
from vspec.compiler.passes.summed import summed

DOC = "No matrix is read by several products at once that one product with it gives."

# The matrix has this many times the elements of what is copied to stand side by side, and at least so many.
WORTH = 8
LEAST = 4096

# An element of a sum of two arrays costs about as much as this many terms of a product of matrices.
ADDING = 32

SUMS = ("add", "sub")

# Arguments that are the same in every step, or in every turn of a loop.
FIXED = frozenset({"data", "constant", "prepared", "captured"})


def run(graph: Graph) -> Graph:
    """The graph with products joined."""
    graph = regrouped(resummed(graph))
    b = Builder(graph.dims)
    added = _Adding(b, graph)
    added.run(graph.roots)
    graph = summed(with_results(graph, b, lambda node: added.new[node.uid]))
    b = Builder(graph.dims)
    joined = _Joining(b, graph)
    joined.run(graph.roots)
    done = with_results(graph, b, lambda node: joined.new[node.uid])
    return replace(done, dims=b.dims) if len(b.dims) > len(graph.dims) else done


# --- sums of products with one matrix -------------------------------------------------------------------------------------


@dataclass(slots=True)
class Term:
    """A term of a sum: a number, factors beside it, and the product of two arrays that it is a multiple of (or anything)."""

    value: float
    beside: list[Node]
    core: Node


class _Adding(Sweep):
    """The sweep that adds operands up."""

    def __init__(self, b: Builder, graph: Graph) -> None:
        super().__init__(b, self.added)
        self.sizes = Sizes.of(graph)
        self.readers = count_readers(graph)
        self.reads: dict[int, int] = {}
        self.static: dict[int, bool] = {}

    def added(self, b: Builder, node: Node, old: Node) -> Node:
        """The node, or a sum with fewer products."""
        found = node
        if node.kind is Kind.MAP and node.dtype == "real" and sum(map(self.opens, node.inputs)) > 1:
            better = self.better(b, node) if node.attrs[0].tree[0] in SUMS else None
            found = better or self.within(b, node) or node
        self.reads[found.uid] = max(self.reads.get(found.uid, 0), self.readers.get(old.uid, 1))
        return found

    def better(self, b: Builder, node: Node) -> Node | None:
        """The sum with all products that have a large operand in common made one; None if there are none."""
        parts = self.terms(node, 1, [], top=True)
        matrices: dict[int, list[int]] = {}
        for k, t in enumerate(parts):
            if t.core.kind is Kind.CONTRACT and len(t.core.inputs) == 2 and self.single(t.core):
                for x in dict.fromkeys(t.core.inputs):
                    matrices.setdefault(x.uid, []).append(k)
        for uid, places in matrices.items():
            if len(places) < 2:
                continue
            common = next(x for x in parts[places[0]].core.inputs if x.uid == uid)
            made = self.product(b, node, common, [parts[k] for k in places])
            if made is not None:
                rest = [t for k, t in enumerate(parts) if k not in places]
                return b.order(_total(b, [*rest, made]), node.axes)
        return None

    def within(self, b: Builder, node: Node) -> Node | None:
        """The map with fewer products in the sums inside of its kernel; None if it would read as many as before."""
        inputs = list(node.inputs)
        known: dict[Tree, Tree] = {}

        def visited(tree: Tree) -> Tree:
            if tree[0] in ("x", "num"):
                return tree
            if tree[0] not in SUMS:
                return (tree[0], *map(visited, tree[1:]))
            if tree not in known:
                inner = b.map(tree, node.inputs)
                made = self.better(b, inner) if inner.kind is Kind.MAP and inner.dtype == "real" else None
                known[tree] = tree if made is None else slot(len(inputs))
                inputs.extend([] if made is None else [made])
            return known[tree]

        tree = node.attrs[0].tree
        better: Tree = (tree[0], *map(visited, tree[1:]))
        if len(slots(better)) >= len(slots(tree)):
            return None
        return b.order(b.map(better, inputs, node.dtype), node.axes)

    def product(self, b: Builder, node: Node, common: Node, parts: Sequence[Term]) -> Term | None:
        """The sum of some terms as one product with what they have in common; factors beside all of them stay beside it."""
        out = parts[0].core.axes
        inside: list[Term] = []
        outside = [x for x in parts[0].beside if all(_key(x) in map(_key, t.beside) for t in parts[1:])]
        apart = {_key(x) for x in outside}
        if len(apart) < len(outside):
            return None
        for t in parts:
            first, second = t.core.inputs
            other = second if first is common else first
            own = [a for a in t.core.axes if a.name in common.names]
            beside = [x for x in t.beside if _key(x) not in apart]
            if {a.name for x in beside for a in x.axes} & {a.name for a in own}:
                return None
            if set(t.core.names) != {a.name for a in out} or self.fixed(t.core):
                return None
            inside.append(Term(t.value, beside, other))
        kept = inside[0].core
        if any({a.name for x in (t.core, *t.beside) for a in x.axes} != set(kept.names) for t in inside):
            return None
        work = self.sizes.count({a.name: a for a in (*kept.axes, *common.axes)}.values())
        if 2 * self.sizes.count(kept.axes) > max(self.sizes.count(common.axes), work / ADDING):
            return None
        return Term(1, outside, b.contract([common, _total(b, inside)], out))

    def terms(self, node: Node, value: float, beside: Sequence[Node], top: bool = False) -> list[Term]:
        """A node as a sum, with maps that nobody else reads looked through."""
        if (
            node.kind is not Kind.MAP
            or node.dtype != "real"
            or not (top or (self.single(node) and not node.definition))
        ):
            return [Term(value, list(beside), node)]
        found: list[Term] = []
        for sign, tree in terms(node.attrs[0].tree):
            number, rest = number_of(factors(tree))
            cores = [t[1] for t, e in rest if t[0] == "x" and e == 1 and self.opens(node.inputs[t[1]])]
            if len(cores) != 1:
                found.append(Term(value * sign, list(beside), self.b.map(tree, node.inputs)))
                continue
            others = [
                self.b.map(t if e == 1 else ("pow", t, num(e)), node.inputs) for t, e in rest if t != slot(cores[0])
            ]
            found += self.terms(node.inputs[cores[0]], value * sign * number, [*beside, *others])
        return found

    def opens(self, x: Node) -> bool:
        """Whether an operand is worth a look: a product, or a map of this sum alone."""
        return x.kind is Kind.CONTRACT or (x.kind is Kind.MAP and bool(x.axes) and self.single(x))

    def single(self, node: Node) -> bool:
        """Whether a node has one reader."""
        return self.reads.get(node.uid, 1) <= 1

    def fixed(self, node: Node) -> bool:
        """Whether a node is the same in every step."""
        return _is_fixed(node, self.static)


def _key(x: Node) -> object:
    """What a factor is, for comparison: of a map its kernel and operands."""
    return (x.attrs[0].tree, *(i.uid for i in x.inputs)) if x.kind is Kind.MAP else x.uid


def _total(b: Builder, parts: Sequence[Term]) -> Node:
    """A sum as one map."""
    inputs: list[Node] = []
    trees: list[Tree] = []
    for t in parts:
        size = abs(t.value)
        pieces: list[Tree] = [num(size)] if size != 1 else []
        for x in (*t.beside, t.core):
            pieces.append(slot(len(inputs)))
            inputs.append(x)
        tree: Tree = ("mul", *pieces) if len(pieces) > 1 else pieces[0]
        trees.append(tree if t.value > 0 else ("neg", tree))
    return b.map(("add", *trees) if len(trees) > 1 else trees[0], inputs, "real")


# --- products side by side ------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Member:
    """A product with the matrix of a group: the other operand (None: ones), and the names that the matrix's axes have in it."""

    node: Node
    other: Node | None
    names: Mapping[str, str]


@dataclass(slots=True)
class Group:
    """Products of one matrix over the same of its axes, in order of creation."""

    matrix: Node
    over: tuple[str, ...]
    members: list[Member]

    def others(self) -> list[Node]:
        """The operands that are to stand side by side."""
        return [m.other for m in self.members if m.other is not None]


class _Joining(Sweep):
    """The sweep that makes the products of a group when the first of them is read. Each body of a loop is by itself."""

    def __init__(self, b: Builder, graph: Graph) -> None:
        super().__init__(b, lambda b, node, old: node)
        self.sizes = Sizes.of(graph)
        self.readers = count_readers(graph)
        self.entries = entries_of(graph)
        self.group: dict[int, Group] = {}
        self.made: dict[int, Node] = {}

    def run(self, roots: Iterable[Node]) -> None:
        """Rewrites everything below the roots, the operands of a group before its first member."""
        nodes = topological(roots)
        self.group.update(self.accepted(nodes))
        for node in _ordered(nodes, self.group):
            if node.uid not in self.new:
                group = self.group.get(node.uid)
                self.new[node.uid] = self.one(node) if group is None else self.member(group, node)

    def accepted(self, nodes: Sequence[Node]) -> dict[int, Group]:
        """The groups that pay and that can be made, by the uids of their members."""
        found = [g for g in self.groups(nodes) if self.pays(g)]
        by_member = {m.node.uid: g for g in found for m in g.members}
        while by_member:
            stuck = {n.uid for n in nodes} - {n.uid for n in _ordered(nodes, by_member)}
            if not stuck:
                break
            # Two groups that wait for one another: none of what is stuck is joined.
            by_member = {uid: g for uid, g in by_member.items() if not any(m.node.uid in stuck for m in g.members)}
        return by_member

    def groups(self, nodes: Sequence[Node]) -> list[Group]:
        """Products of one matrix none of which is made of another."""
        static: dict[int, bool] = {}
        groups: dict[tuple[object, ...], list[Group]] = {}
        for node in nodes:
            for matrix, member in self.products(node):
                names = {t: n for n, t in member.names.items()}
                over = tuple(sorted(names[t] for t in member.names.values() if t not in node.names))
                fixed = _is_fixed(node, static)
                key = (matrix.uid, over, fixed, self.entries.get(node.uid, 0))
                for g in groups.setdefault(key, []):
                    known = {m.node.uid for m in g.members}
                    if member.other is None or not known & {n.uid for n in topological([member.other])}:
                        g.members.append(member)
                        break
                else:
                    groups[key].append(Group(matrix, over, [member]))
        return [g for found in groups.values() for g in found if len(g.members) > 1]

    def products(self, node: Node) -> list[tuple[Node, Member]]:
        """The node as a product with a matrix: a contraction, a sum of the matrix, a sum of the matrix times a vector."""
        if node.dtype != "real":
            return []
        if node.kind is Kind.CONTRACT and len(node.inputs) == 2:
            x, y = node.inputs
            if self.sizes.count(x.axes) < self.sizes.count(y.axes):
                x, y = y, x
            return self.product(node, x, y)
        if node.kind is not Kind.REDUCE or node.op != "sum" or len(node.attrs) > 1:
            return []
        (x,) = node.inputs
        if x.kind is Kind.MAP and x.attrs[0].tree == ("mul", slot(0), slot(1)) and self.readers.get(x.uid, 0) == 1:
            x, y = sorted(x.inputs, key=lambda x: -len(x.axes))
            return self.product(node, x, y)
        return self.product(node, x, None)

    def product(self, node: Node, x: Node, y: Node | None) -> list[tuple[Node, Member]]:
        """The one member that a product of x with y is, if x is a matrix and y a matrix or vector beside it."""
        matrix, names = renamed(x)
        over = [n for n in x.names if n not in node.names]
        if len(x.axes) < 2 or not over or len(over) == len(x.axes) or self.sizes.count(x.axes) < LEAST:
            return []
        if y is not None and ({n for n in y.names if n in x.names} != set(over) or x.dtype != y.dtype):
            return []
        return [(matrix, Member(node, y, names))] if x.dtype == "real" else []

    def pays(self, group: Group) -> bool:
        """Whether the matrix is there anyway and large beside what is copied."""
        if all(m.node.kind is Kind.REDUCE for m in group.members):
            return False
        moved = sum(self.sizes.count(x.axes) for x in group.others())
        moved += sum(self.sizes.count(m.node.axes) for m in group.members)
        return self.sizes.count(group.matrix.axes) >= WORTH * moved

    def member(self, group: Group, node: Node) -> Node:
        """One of the products of a group, taken from what they are together."""
        b = self.b
        k, m = next((k, m) for k, m in enumerate(group.members) if m.node is node)
        with b.at(node.origin):
            groups = [self.columns(group, m) for m in group.members]
            whole = self.made.get(id(group))
            if whole is None:
                whole = self.made[id(group)] = self.whole(group, groups)
            taken = b.part(whole, whole.names[-1], groups, k)
            back = {**m.names, **{new.name: old for new, old in zip(groups[k], self.free(m), strict=True)}}
            return b.order(b.rename(taken, {n: back[n] for n in taken.names}), node.axes)

    def whole(self, group: Group, groups: Sequence[Sequence[Axis]]) -> Node:
        """All products of a group as one."""
        b = self.b
        matrix = b.order(self.new[group.matrix.uid], group.matrix.axes)
        new = joint_axis(b, groups, "q", {n.name for g in groups for n in g} | set(matrix.names))
        over = [a for a in matrix.axes if a.name in group.over]
        parts = []
        for m, columns in zip(group.members, groups, strict=True):
            if m.other is None:
                ones = b.number(1.0)
                parts.append(b.order(ones, over))
                continue
            names = {t: n for n, t in m.names.items()} | dict(zip(self.free(m), (a.name for a in columns), strict=True))
            x = self.new[m.other.uid]
            parts.append(b.rename(x, {n: names[n] for n in x.names}))
        side = b.stack(parts, groups, new, [*group.over, new.name])
        kept = [a for a in matrix.axes if a.name not in group.over]
        return b.contract([matrix, side], [*kept, new])

    def columns(self, group: Group, m: Member) -> list[Axis]:
        """The axes along which a product has columns, under names that no axis of the matrix has."""
        return [] if m.other is None else [Axis(f"{n}~{k}", m.other.axis(n).dim) for k, n in enumerate(self.free(m))]

    def free(self, m: Member) -> list[str]:
        """The axes of the other operand that are not summed."""
        return [] if m.other is None else [n for n in m.other.names if n in m.node.names]


def _ordered(nodes: Sequence[Node], groups: Mapping[int, Group]) -> list[Node]:
    """The nodes, each after its inputs and a member after all operands of its group; what waits for itself is left out."""
    here = {n.uid for n in nodes}
    waiting: dict[int, int] = {}
    readers: dict[int, list[Node]] = {}
    for n in nodes:
        group = groups.get(n.uid)
        needed = {x.uid for x in (*n.inputs, *(() if group is None else (group.matrix, *group.others())))} & here
        waiting[n.uid] = len(needed)
        for uid in needed:
            readers.setdefault(uid, []).append(n)
    ready = [(n.uid, n) for n in nodes if not waiting[n.uid]]
    heapify(ready)
    found: list[Node] = []
    while ready:
        _, node = heappop(ready)
        found.append(node)
        for reader in readers.get(node.uid, ()):
            waiting[reader.uid] -= 1
            if not waiting[reader.uid]:
                heappush(ready, (reader.uid, reader))
    return found


def _is_fixed(node: Node, known: dict[int, bool]) -> bool:
    """Whether a node depends on data and constants only (in a loop's body: on what the loop does not change)."""
    for n in topological([node]) if node.uid not in known else ():
        if n.uid not in known:
            own = n.op in FIXED if n.kind is Kind.INPUT else n.kind is not Kind.RANDOM
            known[n.uid] = own and all(known[x.uid] for x in n.inputs)
    return known[node.uid]
