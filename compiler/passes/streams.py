"""What reduces arrays that are too large to be held, along which axis these can be taken in parts, and what shares a loop.

A *sink* is a reduction whose result is small while something on the way to it is not. For each axis of what it reads, a
*stretch* lists the nodes that would be computed for some rows at a time (`inner`, by node and name of the axis) and what is
there whole (`leaves`). Sinks whose stretches share nodes go into one loop, as far as none of them waits for another.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from vspec.compiler.graph.cost import Sizes, flops, width
from vspec.compiler.graph.kernel import Tree, slots, walk
from vspec.compiler.graph.node import Kind, Node, topological
from vspec.compiler.graph.tuning import Tuning
from vspec.compiler.passes.patterns import factors

# Where sizes are known only at run time, arrays that may be larger than this in bytes are looked at.
OPEN = 100_000_000

NOTHING: Mapping[int, int] = {}

JOINED = frozenset({"sum", "prod", "max", "min", "any", "all", "logsumexp", "argmax", "argmin"})

Key = tuple[int, str]
"""A node by its uid, and which of its axes is that of the rows."""


@dataclass(slots=True)
class Stretch:
    """One way to compute a sink by rows: nodes by row, leaves with the name of their axis of rows or None, operations."""

    axis: str
    inner: dict[Key, Node] = field(default_factory=dict)
    leaves: dict[tuple[int, str | None], Node] = field(default_factory=dict)
    work: float = 0.0


@dataclass(slots=True)
class Sink:
    """A reduction of something large; `weights` is the logsumexp by which its summands are normalised, if they are."""

    node: Node
    stretches: dict[str, Stretch]
    rows: int | None = None

    def kept(self, axis: str) -> bool:
        """Whether the rows along an axis are rows of the result."""
        return axis in self.node.names


@dataclass(slots=True)
class Group:
    """Sinks that one loop computes: each with its stretch, those that are normalised by another with the uid of that one."""

    sinks: list[Sink] = field(default_factory=list)
    axes: list[str] = field(default_factory=list)
    weighted: dict[int, int] = field(default_factory=dict)
    inner: dict[Key, Node] = field(default_factory=dict)
    leaves: dict[tuple[int, str | None], Node] = field(default_factory=dict)
    needs: set[int] = field(default_factory=set)
    work: float = 0.0


class Streams:
    """The sinks of one scope: all nodes below some roots, without the bodies of regions."""

    def __init__(
        self, roots: Iterable[Node], sizes: Sizes, precision: str, budget: Tuning, told: Mapping[int, int] = NOTHING
    ) -> None:
        self.nodes = topological(roots)
        self.sizes = sizes
        self.precision = precision
        self.budget = budget
        self.told = self._spread(told)
        self.sinks = [s for s in map(self._sink, self.nodes) if s is not None]
        self.number = {s.node.uid: k for k, s in enumerate(self.sinks)}
        self._below: dict[int, int] = {}
        if self.sinks:
            self._reach()

    def _spread(self, told: Mapping[int, int]) -> dict[int, int]:
        """What is asked for of arrays also goes for those of at least their axes that are made of them."""
        found = dict(told)
        for n in self.nodes if told else ():
            for x in n.inputs:
                if x.uid in found and n.uid not in found and n.kind in (Kind.MAP, Kind.CONTRACT, Kind.REINDEX):
                    dims = [a.dim for a in n.axes]
                    if all(dims.count(a.dim) >= [y.dim for y in x.axes].count(a.dim) for a in x.axes):
                        found[n.uid] = found[x.uid]
        return found

    # --- what is large ------------------------------------------------------------------------------------------------

    def bytes(self, node: Node) -> int:
        """The bytes of an array, nominal where sizes are open."""
        return self.sizes.count(node.axes) * width(node.dtype, self.precision)

    def large(self, node: Node) -> bool:
        """Whether an array may be too large to be held."""
        if node.dtype in ("tuple", "key") or not node.axes:
            return False
        if node.uid in self.told:
            return self.told[node.uid] > 0
        if self.budget.memory is None or len(node.axes) < 2:
            return False
        return self.bytes(node) > (self.budget.memory if self.closed(node) else min(OPEN, self.budget.memory))

    def closed(self, node: Node) -> bool:
        """Whether the size of an array is known before a run."""
        return all(isinstance(self.sizes.dims.get(a.dim), int) for a in node.axes)

    # --- sinks --------------------------------------------------------------------------------------------------------

    def _sink(self, node: Node) -> Sink | None:
        if node.kind not in (Kind.REDUCE, Kind.CONTRACT) or (node.kind is Kind.REDUCE and node.op not in JOINED):
            return None
        inputs = [x for x in node.inputs if self.large(x)]
        if not inputs or self.large(node):
            return None
        wide = max(self.sizes.count(x.axes) for x in inputs)
        asked = [self.told[x.uid] for x in inputs if x.uid in self.told]
        if not asked and self.sizes.count(node.axes) * self.budget.growth > wide:
            return None
        own = node.attrs[1][0] == "blocks" if node.kind is Kind.REDUCE and len(node.attrs) > 1 else False
        found: dict[str, Stretch] = {}
        for name, dim in {a.name: a.dim for x in inputs for a in x.axes}.items():
            if self.sizes.dim(dim) == 1 or (own and name in node.names):
                # Nothing to part, above all in a loop over these rows.
                continue
            if node.op in ("argmax", "argmin") and len(node.attrs[0]) > 1 and name in node.attrs[0]:
                # A position along several axes is none of rows.
                continue
            stretch = self.stretch(node, name)
            if stretch is not None:
                found[name] = stretch
        return Sink(node, found, max(asked) if asked else None) if found else None

    def stretch(self, sink: Node, axis: str) -> Stretch | None:
        """How a sink is computed by rows along an axis; None where what is large must be there whole."""
        found = Stretch(axis)
        stack = [(x, axis if axis in x.names else None) for x in sink.inputs]
        # Beside arrays that are asked to be taken in parts, nothing as large is made whole.
        asked = [self.sizes.count(x.axes) for x in sink.inputs if self.told.get(x.uid)]
        least = min(asked, default=0)
        found.work = flops(sink, self.sizes)
        while stack:
            x, a = stack.pop()
            large = self.large(x) or (asked and x.kind is not Kind.INPUT and self.sizes.count(x.axes) >= least)
            if a is None or not large or (below := operands(x, a)) is None:
                found.leaves[x.uid, a] = x
                continue
            if (x.uid, a) not in found.inner:
                found.inner[x.uid, a] = x
                found.work += flops(x, self.sizes)
                stack.extend(below)
        if not found.inner:
            return None
        largest = max(self.sizes.count(x.axes) for x in found.inner.values())
        whole = max((self.sizes.count(x.axes) for x in found.leaves.values()), default=1)
        return None if whole * self.budget.growth > largest and not asked else found

    # --- dependence ---------------------------------------------------------------------------------------------------

    def _reach(self) -> None:
        """For each node the sinks among itself and its ancestors, as bits."""
        for n in self.nodes:
            mask = 0
            for x in n.inputs:
                mask |= self._below[x.uid]
            own = self.number.get(n.uid)
            self._below[n.uid] = mask if own is None else mask | 1 << own

    def waits(self, node: Node, group: Group) -> bool:
        """Whether a node depends on a sink of a group."""
        mask = self._below[node.uid]
        return any(mask >> self.number[s.node.uid] & 1 for s in group.sinks)

    def sinks_below(self, nodes: Iterable[Node]) -> set[int]:
        """The numbers of the sinks among some nodes and what they depend on."""
        mask = 0
        for n in nodes:
            mask |= self._below[n.uid]
        return {k for k in range(len(self.sinks)) if mask >> k & 1}

    # --- groups -------------------------------------------------------------------------------------------------------

    def groups(self) -> list[Group]:
        """The loops: for sinks that share something, the choice of axes that computes least."""
        return [g for family in self._families() for g in self._planned(family)]

    def _families(self) -> list[list[Sink]]:
        """Sinks that share nodes which are large, directly or through others."""
        leader: dict[int, int] = {}

        def find(k: int) -> int:
            while leader[k] != k:
                leader[k] = leader[leader[k]]
                k = leader[k]
            return k

        owner: dict[int, int] = {}
        for k, s in enumerate(self.sinks):
            leader[k] = k
            for uid in {uid for w in s.stretches.values() for uid, _ in w.inner}:
                if uid in owner:
                    leader[find(k)] = find(owner[uid])
                owner.setdefault(uid, k)
        families: dict[int, list[Sink]] = {}
        for k, s in enumerate(self.sinks):
            families.setdefault(find(k), []).append(s)
        return list(families.values())

    def _planned(self, family: Sequence[Sink]) -> list[Group]:
        """The groups of a family, for the seed whose loops compute least."""
        best: tuple[tuple[float, int, int], list[Group]] | None = None
        for seed in family[0].stretches:
            groups = self._gathered(family, seed)
            stacked = sum(s.kept(a) for g in groups for s, a in zip(g.sinks, g.axes, strict=True))
            price = (sum(g.work for g in groups), len(groups), -stacked)
            if best is None or price < best[0]:
                best = (price, groups)
        assert best is not None
        return best[1]

    def _gathered(self, family: Sequence[Sink], seed: str) -> list[Group]:
        groups: list[Group] = []
        chosen: set[Key] = set()
        for sink in family:
            axis = seed if sink is family[0] else self._role(sink, chosen)
            stretch = sink.stretches[axis]
            home = next((g for g in groups if self._joins(sink, stretch, g, groups)), None)
            if home is None:
                home = Group()
                groups.append(home)
                self._enter(sink, stretch, stretch, home, groups, None)
            chosen |= stretch.inner.keys()
        return groups

    def _role(self, sink: Sink, chosen: Collection[Key]) -> str:
        """The axis of a sink along which it shares most with what is chosen; else the one that stays, if there is one."""

        def rank(axis: str) -> tuple[int, bool, int]:
            keys = sink.stretches[axis].inner.keys()
            dim = next(a.dim for x in sink.node.inputs for a in x.axes if a.name == axis)
            return (sum(k in chosen for k in keys), sink.kept(axis), self.sizes.dim(dim))

        return max(sink.stretches, key=rank)

    def _joins(self, sink: Sink, stretch: Stretch, group: Group, groups: Sequence[Group]) -> bool:
        """Puts a sink into a group, if it shares work with it and can be computed beside it."""
        if not any(k in group.inner for k in stretch.inner):
            return False
        if (
            _dim(sink.node, stretch.axis) != _dim(group.sinks[0].node, group.axes[0])
            or sink.rows != group.sinks[0].rows
        ):
            return False
        whole = self._beside(stretch, group)
        weights = None
        if whole is None:
            weights = next((s for s in group.sinks if self.normalised(sink, stretch, s, group)), None)
            whole = self._beside(stretch, group, weights.node) if weights is not None else None
            if whole is None or weights is None:
                return False
        others = self._needed(whole.leaves.values(), groups)
        reached, queue = set(others), list(others)
        while queue:
            for k in groups[queue.pop()].needs - reached:
                reached.add(k)
                queue.append(k)
        if any(groups[k] is group for k in reached):
            return False
        self._enter(sink, stretch, whole, group, groups, weights)
        return True

    def _needed(self, leaves: Iterable[Node], groups: Sequence[Group]) -> set[int]:
        below = self.sinks_below(leaves)
        return {k for k, g in enumerate(groups) if any(self.number[s.node.uid] in below for s in g.sinks)}

    def _enter(
        self, sink: Sink, own: Stretch, whole: Stretch, group: Group, groups: Sequence[Group], weights: Sink | None
    ) -> None:
        fresh = [n for k, n in whole.inner.items() if k not in group.inner]
        group.work += flops(sink.node, self.sizes) + sum(flops(n, self.sizes) for n in fresh)
        group.sinks.append(sink)
        group.axes.append(own.axis)
        group.inner |= whole.inner
        if sink.kept(own.axis):
            group.inner[sink.node.uid, own.axis] = sink.node
        # What one sink takes whole another may compute by rows.
        group.leaves |= whole.leaves
        group.leaves = {k: n for k, n in group.leaves.items() if k not in group.inner}
        group.needs |= self._needed(whole.leaves.values(), groups)
        if weights is not None:
            group.weighted[sink.node.uid] = weights.node.uid

    def _beside(self, stretch: Stretch, group: Group, local: Node | None = None) -> Stretch | None:
        """The stretch with leaves that wait for the group computed by rows as well; None where one cannot be. `local` is a
        total of the group that stands for that of the rows at hand."""
        found = Stretch(stretch.axis, dict(stretch.inner))
        stack = list(stretch.leaves.items())
        while stack:
            (uid, a), x = stack.pop()
            if a is not None and (uid, a) in found.inner:
                continue
            if a is not None and (uid, a) in group.inner:
                found.inner[uid, a] = x
                continue
            if not self.waits(x, group):
                found.leaves[uid, a] = x
                continue
            if x is local:
                continue
            if a is None or (below := operands(x, a)) is None:
                return None
            found.inner[uid, a] = x
            stack.extend(((y.uid, b), y) for y, b in below)
        return found

    def normalised(self, sink: Sink, stretch: Stretch, weights: Sink, group: Group) -> bool:
        """Whether a sum over rows is one of terms that each have the factor exp(e - L) with the logsumexp L of the group, over
        the same rows, so that a sum over some rows is that with their own logsumexp but for a factor."""
        node, total = sink.node, weights.node
        if (
            stretch.axis in node.names
            or not (node.kind is Kind.CONTRACT or node.op == "sum")
            or total.op != "logsumexp"
        ):
            return False
        if group.axes[group.sinks.index(weights)] in total.names or not set(total.names) <= set(node.names):
            return False
        readers = [n for (_, a), n in stretch.inner.items() if any(x is total for x in n.inputs)]
        if not readers or any(total is x for x in node.inputs):
            return False
        if any(n.kind is not Kind.MAP or not _shifted(n.attrs[0].tree, n.inputs.index(total)) for n in readers):
            return False
        # What reads the weights must be a factor of what is summed.
        linear = {n.uid for n in readers}
        for (_, _), n in sorted(stretch.inner.items()):
            if n.uid in linear or not any(x.uid in linear for x in n.inputs):
                continue
            if n.kind is Kind.MAP:
                places = [k for k, x in enumerate(n.inputs) if x.uid in linear]
                if len(places) != 1 or not _factor(n.attrs[0].tree, places[0]):
                    return False
            elif not (n.kind is Kind.CONTRACT or (n.kind is Kind.REDUCE and n.op == "sum")):
                return False
            linear.add(n.uid)
        return sum(x.uid in linear for x in node.inputs) == 1


def told(nodes: Iterable[Node]) -> dict[int, int]:
    """How many rows at a time reductions ask for, 0 for all, by the uid of each array that one of them reads and of what that is
    made of along the axes it has."""
    found: dict[int, int] = {}
    for node in nodes:
        if node.kind is not Kind.REDUCE or len(node.attrs) < 2 or node.attrs[1][0] not in ("whole", "blocks"):
            continue
        rows = node.attrs[1][1] if node.attrs[1][0] == "blocks" else 0
        (first,) = node.inputs
        wide = len(first.axes)
        stack = [first]
        while stack:
            x = stack.pop()
            if x.uid in found or x.kind is Kind.INPUT or len(x.axes) < wide:
                continue
            found[x.uid] = rows
            stack.extend(x.inputs)
    return found


def operands(node: Node, axis: str) -> list[tuple[Node, str | None]] | None:
    """What a node's value for some rows along one of its axes is made of: operands with the name of the axis there, None where
    one lacks it. None where the node mixes its rows."""
    kind = node.kind
    if kind in (Kind.MAP, Kind.REDUCE, Kind.CONTRACT, Kind.STOP):
        return [(x, axis if axis in x.names else None) for x in node.inputs]
    if kind is Kind.INDEX:
        return [] if node.op in ("value", "delta") else None
    if kind is Kind.REINDEX:
        (x,), (targets,) = node.inputs, node.attrs
        sources = [n for n, t in zip(x.names, targets, strict=True) if t == axis]
        return None if len(sources) > 1 else [(x, sources[0] if sources else None)]
    if kind is Kind.WINDOW:
        moved = {"affine": node.attrs[:2], "at": ()}.get(node.op, node.attrs[:1])
        return None if axis in moved else [(node.inputs[0], axis)]
    if kind is Kind.GATHER:
        x, index = node.inputs
        across = axis if axis in x.names and axis != node.attrs[0] else None
        return [(x, across), (index, axis if axis in index.names else None)]
    if kind is Kind.CUMULATE:
        return None if axis == node.attrs[0] else [(x, axis if axis in x.names else None) for x in node.inputs]
    if kind in (Kind.LINALG, Kind.CALL):
        cores, result = node.attrs[:2]
        if axis in result or any(axis in core for core in cores):
            return None
        return [(x, axis if axis in x.names else None) for x in node.inputs]
    return None


def _dim(node: Node, axis: str) -> str:
    return next(a.dim for x in node.inputs for a in x.axes if a.name == axis)


def _shifted(tree: Tree, k: int) -> bool:
    """Whether a kernel has the one factor exp(.. - slot k) and slot k nowhere else."""
    found = [(t, e) for t, e in factors(tree) if k in slots(t)]
    if len(found) != 1 or found[0][1] != 1 or found[0][0][0] != "exp":
        return False
    inner = found[0][0][1]
    if sum(t == ("x", k) for t in walk(inner)) != 1:
        return False
    if inner[0] == "sub":
        return bool(inner[2] == ("x", k))
    return inner[0] == "add" and any(t == ("neg", ("x", k)) for t in inner[1:])


def _factor(tree: Tree, k: int) -> bool:
    """Whether slot k is a factor of a kernel and occurs nowhere else in it."""
    found = [(t, e) for t, e in factors(tree) if k in slots(t)]
    return found == [(("x", k), 1)]
