"""Logarithms of sums of exponentials as products with a kernel: the scaling form of exact minima.

Where an exponent is a fixed array plus terms with fewer axes, `F[i, j] + a[i] + b[j]`, the exponentials of all of it need be
taken at one point only. With the terms a0 and b0 there and the kernel `K[i, j] = exp(F[i, j] + a0[i] + b0[j])` it is

    logsumexp[j](F[i, j] + b[j]) = -a0[i] + log(sum[j](K[i, j]*exp(b[j] - b0[j]))),

a product of a matrix with a vector. Sums of exponentials in the objective are read off the same kernel. What is lost to underflow
(Schmitzer 2019, section 3, for optimal transport) is bounded by the weights of a sum, here `exp(b[j] - b0[j])`: an entry of K
that is lost is below the least number, and so is a product of an entry and its weight that is lost, so that all that a sum
has lost is below the least number times `sum[j](1 + exp(b[j] - b0[j]))`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import permutations
from typing import Any

import sympy as sp

from vspec.compiler.calculus.structure.degree import Degrees
from vspec.compiler.calculus.structure.forms import NoFormError, Table, plain
from vspec.compiler.calculus.structure.summands import Summand, every, pushed
from vspec.compiler.graph.builder import Builder
from vspec.compiler.graph.kernel import slot
from vspec.compiler.graph.node import Axis, Kind, Node, topological
from vspec.compiler.graph.rewrite import Sweep

ROLE = "kernel"
_MOST_ORDERS = 24

Group = frozenset[str]
"""The axes of a term of an exponent, by the kernel's names."""


@dataclass(eq=False)
class Kernel:
    """A fixed array of exponents `core` over `axes`; `terms` are those that are added to it at a point, by their axes. `array`
    and `references` are the arguments that hold the exponentials and the terms at that point."""

    axes: tuple[Axis, ...]
    core: Any
    terms: dict[Group, Any]
    array: Node
    references: dict[Group, Node] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Reading:
    """An exponent as a kernel's core and terms; `names` are the kernel's axes by those of the exponent."""

    kernel: Kernel
    names: dict[str, str]
    terms: dict[Group, Any]
    scalar: Any


@dataclass(frozen=True, slots=True)
class Scaled:
    """New values of a block; the terms less those of the kernels, `apart`; the sums that were taken with these, and of each what
    its entries would add up to if all of the kernel were one, and the number of its entries besides."""

    values: tuple[Node, ...]
    apart: tuple[Node, ...]
    sums: tuple[Node, ...]
    weights: tuple[Node, ...]

    def drift(self, b: Builder) -> Node:
        """How far the terms are from the kernels'."""
        return _folded(b, "maximum", [b.reduce("max", b.map(("abs", slot(0)), [x]), x.names) for x in self.apart])

    def share(self, b: Builder) -> Node:
        """The least of the sums, each as a share of its weights."""
        shares = [
            b.map(("div", slot(0), slot(1)), [x, w], "real") for x, w in zip(self.sums, self.weights, strict=True)
        ]
        return _folded(b, "minimum", [b.reduce("min", x, x.names) for x in shares])


class Scaling:
    """The scaling form of a sweep over blocks.

    `moving` are the inputs that the blocks hold, `name` what the arguments are called after.
    """

    def __init__(self, b: Builder, moving: Sequence[Node], name: str) -> None:
        self.b = b
        self.name = name
        self.degrees = Degrees(moving)
        self.table = Table(b)
        self.kernels: list[Kernel] = []
        self._read: dict[int, Reading | None] = {}

    # --- what has the form ------------------------------------------------------------------------------------------

    def sums(self, roots: Iterable[Node]) -> list[Node]:
        """The logarithms of sums below some nodes that are read off a kernel."""
        found = [n for n in topological(roots) if n.kind is Kind.REDUCE and n.op == "logsumexp"]
        return [n for n in found if self.degrees.depends(n) and self.reading(n.inputs[0]) is not None]

    def totals(self, roots: Iterable[Node]) -> list[Node]:
        """The sums of exponentials below some nodes that are read off the kernels there are."""
        found = []
        for n in topological(roots):
            if n.kind is not Kind.REDUCE or n.op != "sum" or not self.degrees.depends(n):
                continue
            body, count = n.inputs[0], len(self.kernels)
            if body.kind is Kind.MAP and body.attrs[0].tree[0] == "exp" and len(n.axes) > 0:
                reading = self.reading(self.b.map(body.attrs[0].tree[1], body.inputs))
                del self.kernels[count:]
                if reading is not None and any(reading.kernel is k for k in self.kernels):
                    found.append(n)
        return found

    def collect(self, roots: Iterable[Node], objective: Node) -> bool:
        """Looks for all that is read off kernels, before anything is made of them; whether each of the roots has some of it."""
        found = [bool(self.sums([root])) for root in roots]
        for s in every(self.b, self.degrees, objective):
            self._exponential(s)
        return all(found)

    def reading(self, exponent: Node) -> Reading | None:
        """An exponent by a kernel, a new one if there is none for it; None where it has another form."""
        if exponent.uid not in self._read:
            self._read[exponent.uid] = self._reading(exponent)
        return self._read[exponent.uid]

    def _reading(self, exponent: Node) -> Reading | None:
        if len(exponent.axes) < 2:
            return None
        for kernel in self.kernels:
            for names in _matches(exponent.axes, kernel.axes):
                split = self._split(self.b.rename(exponent, names))
                if split is not None and split[0] == kernel.core:
                    for group, term in split[1].items():
                        if group not in kernel.terms:
                            kernel.terms[group] = term
                            kernel.references[group] = self._reference(kernel, group)
                    return Reading(kernel, names, split[1], split[2])
        names = _letters(exponent.axes)
        split = self._split(self.b.rename(exponent, names))
        if split is None:
            return None
        axes = tuple(Axis(names[a.name], a.dim) for a in exponent.axes)
        count = len(self.kernels)
        called = f"{self.name}_kernel" + (f"_{count + 1}" if count else "")
        kernel = Kernel(axes, split[0], dict(split[1]), self.b.input(called, ROLE, axes, "real"))
        kernel.references = {group: self._reference(kernel, group) for group in kernel.terms}
        self.kernels.append(kernel)
        return Reading(kernel, names, split[1], split[2])

    def _reference(self, kernel: Kernel, group: Group) -> Node:
        axes = [a for a in kernel.axes if a.name in group]
        return self.b.input(f"{kernel.array.attrs[0]}_{'_'.join(a.name for a in axes)}", ROLE, axes, "real")

    def _split(self, exponent: Node) -> tuple[Any, dict[Group, Any], Any] | None:
        """What is fixed and has all axes, the other terms by their axes, and those without; None where the two do not part."""
        spelled = sp.expand(self._spelled(exponent))
        core, scalar = sp.Integer(0), sp.Integer(0)
        terms: dict[Group, Any] = {}
        moves = False
        for term in sp.Add.make_args(spelled):
            nodes = [self.table.nodes[int(s.name[1:])] for s in term.free_symbols]
            axes = frozenset(n for node in nodes if node is not None for n in node.names)
            moving = any(node is not None and self.degrees.depends(node) for node in nodes)
            if len(axes) == len(exponent.axes):
                if moving:
                    return None
                core += term
            elif axes:
                terms[axes] = terms.get(axes, sp.Integer(0)) + term
                moves |= moving
            else:
                scalar += term
        return (core, terms, scalar) if core != 0 and moves else None

    def _spelled(self, node: Node) -> Any:
        """A node spelled out down to inputs and what is fixed."""
        if not self.degrees.depends(node):
            return self.table.symbol(node)
        if node.kind is Kind.MAP:
            try:
                return plain(node.attrs[0].tree, [self._spelled(x) for x in node.inputs])
            except NoFormError:
                return self.table.symbol(node)
        if node.kind is Kind.STOP and node.op == "hold":
            return self._spelled(node.inputs[0])
        if node.kind is Kind.REINDEX:
            inside = pushed(self.b, node)
            if inside is not None:
                return self._spelled(inside)
        return self.table.symbol(node)

    # --- nodes --------------------------------------------------------------------------------------------------------

    def absorbed(self) -> dict[str, Node]:
        """The kernels at a point, with their terms there, by the names of the arguments."""
        found: dict[str, Node] = {}
        for kernel in self.kernels:
            terms = {group: self.table.node(term) for group, term in kernel.terms.items()}
            whole = self.b.add([self.table.node(kernel.core), *terms.values()])
            found[kernel.array.attrs[0]] = self.b.order(self.b.map(("exp", slot(0)), [whole]), kernel.axes)
            for group, term in terms.items():
                found[kernel.references[group].attrs[0]] = self.b.order(term, kernel.references[group].axes)
        return found

    @property
    def arguments(self) -> dict[str, Node]:
        """What holds the kernels, by name."""
        return {n.attrs[0]: n for k in self.kernels for n in (k.array, *k.references.values())}

    def update(self, values: Sequence[Node], sums: Sequence[Node] | None = None) -> Scaled:
        """New values, with sums of exponentials or their logarithms read off kernels: those among `sums`, or all logarithms."""
        b = self.b
        aparts: list[Node] = []
        totals: list[Node] = []
        bounds: list[Node] = []
        made: dict[int, Node] = {}
        sweep = Sweep(b, lambda b, node, old: made.get(old.uid, node))

        def settled(node: Node) -> Node:
            """A node with what it reads of other sums read off kernels."""
            sweep.run([node])
            return sweep.new[node.uid]

        for node in self.sums(values) if sums is None else sums:
            exponent, logarithm = node.inputs[0], node.op == "logsumexp"
            if not logarithm:
                exponent = b.map(exponent.attrs[0].tree[1], exponent.inputs)
            reading = self.reading(exponent)
            assert reading is not None
            over = frozenset(reading.names[n] for n in node.attrs[0])
            total, apart, bound = self._summed(reading, over)
            aparts += [settled(x) for x in apart]
            total = settled(total)
            totals.append(total)
            bounds.append(settled(bound))
            scalar = [self.table.node(reading.scalar)] if reading.scalar != 0 else []
            outside = [*scalar, *(settled(x) for x in self._outside(reading, over))]
            if logarithm:
                whole = b.add([b.map(("log", slot(0)), [total]), *outside])
            else:
                whole = b.mul([total, *(b.map(("exp", slot(0)), [x]) for x in outside)])
            made[node.uid] = b.rename(whole, {k: n for n, k in reading.names.items()})
        new = tuple(b.order(settled(v), v.axes) for v in values)
        return Scaled(new, tuple(aparts), tuple(totals), tuple(bounds))

    def _summed(self, reading: Reading, over: Group) -> tuple[Node, list[Node], Node]:
        """The sum of the kernel over some of its axes, weighted with what the terms along these have become; how far these
        are from the kernel's; and the number of entries of the sum plus what their weights add up to, or more than that."""
        b, kernel = self.b, reading.kernel
        groups = [group for group in kernel.terms if group & over]
        apart = [self._apart(reading, group) for group in groups]
        weights = [b.map(("exp", slot(0)), [x]) for x in apart]
        axes = [a for a in kernel.axes if a.name not in over]
        # Of several terms a product of sums, which no sum of products exceeds.
        added = [b.reduce("sum", w, [n for n in w.names if n in over]) for w in weights]
        bare = [a for a in kernel.axes if a.name in over and not any(a.name in group for group in groups)]
        whole = b.mul([*(b.size(a.dim) for a in bare), *added])
        count = b.mul([b.size(a.dim) for a in kernel.axes if a.name in over])
        return b.contract([kernel.array, *weights], axes), apart, b.add([count, whole])

    def _apart(self, reading: Reading, group: Group) -> Node:
        """A term less that of the kernel."""
        term = reading.terms.get(group, sp.Integer(0))
        return self.b.map(("sub", slot(0), slot(1)), [self.table.node(term), reading.kernel.references[group]])

    def _outside(self, reading: Reading, over: Group) -> list[Node]:
        """What is added to the logarithm of a sum, of terms without the axes that are summed."""
        return [self._apart(reading, group) for group in reading.kernel.terms if not group & over]

    def value(self, objective: Node, xs: Sequence[Node], update: Scaled) -> Node | None:
        """The objective where the params `xs` have their new values, from sums that the update makes anyway; None where it has
        terms as large as a kernel that are read off none."""
        b, found = self.b, []
        put = Sweep(b, lambda b, node, old: node)
        put.new |= {x.uid: new for x, new in zip(xs, update.values, strict=True)}

        def moved(node: Node) -> Node:
            put.run([node])
            return b.order(put.new[node.uid], node.axes)

        own = Degrees(xs)
        largest = min(len(k.axes) for k in self.kernels)
        for s in every(b, self.degrees, objective):
            reading = self._exponential(s)
            if reading is not None:
                total = self._whole(s, reading, own, moved)
                if total is None:
                    return None
                found.append(total)
            elif self.degrees.depends(s.body) and len(s.body.axes) >= largest:
                return None
            else:
                found.append(moved(s.value(b)))
        return b.add(found)

    def _exponential(self, s: Summand) -> Reading | None:
        body = s.body
        if body.kind is not Kind.MAP or body.attrs[0].tree[0] != "exp" or not self.degrees.depends(body):
            return None
        if {a.name for a in s.over} != set(body.names):
            return None
        count = len(self.kernels)
        reading = self.reading(self.b.map(body.attrs[0].tree[1], body.inputs))
        # A sum that needs a kernel of its own is no cheaper than its exponentials.
        del self.kernels[count:]
        return reading if reading is not None and any(reading.kernel is k for k in self.kernels) else None

    def _whole(self, s: Summand, reading: Reading, own: Degrees, moved: Any) -> Node | None:
        """A sum of exponentials over all axes: first over those along which nothing has moved since the kernel was read last."""
        b, kernel = self.b, reading.kernel
        news = [g for g, t in reading.terms.items() if any(own.depends(n) for n in self._nodes(t))]
        kept = frozenset(n for g in news for n in g)
        over = frozenset(a.name for a in kernel.axes if a.name not in kept)
        factor = b.rename(s.factor, reading.names) if s.factor is not None else None
        if not over or not kept or (factor is not None and set(factor.names) & over):
            return None
        total, *_ = self._summed(reading, over)
        rest = [b.map(("exp", slot(0)), [moved(x)]) for x in self._outside(reading, over)]
        parts = [total, *rest, *([factor] if factor is not None and factor.axes else [])]
        whole = b.reduce("sum", b.mul(parts), sorted(kept))
        outside = [whole, b.map(("exp", slot(0)), [self.table.node(reading.scalar)])]
        return b.mul([*outside, *([factor] if factor is not None and not factor.axes else [])])

    def _nodes(self, term: Any) -> Iterator[Node]:
        for s in term.free_symbols:
            node = self.table.nodes[int(s.name[1:])]
            if node is not None:
                yield node


def _matches(axes: Sequence[Axis], wanted: Sequence[Axis]) -> Iterator[dict[str, str]]:
    """The ways to call axes by the names of others of the same dims."""
    if sorted(a.dim for a in axes) != sorted(a.dim for a in wanted):
        return
    for k, order in enumerate(permutations(wanted)):
        if k == _MOST_ORDERS:
            return
        if all(a.dim == w.dim for a, w in zip(axes, order, strict=True)):
            yield {a.name: w.name for a, w in zip(axes, order, strict=True)}


def _letters(axes: Sequence[Axis]) -> dict[str, str]:
    """The axes by the letters of the spec, where they are as many."""
    plain = [a.name.split("~")[0] for a in axes]
    return {a.name: p if plain.count(p) == 1 else a.name for a, p in zip(axes, plain, strict=True)}


def _folded(b: Builder, op: str, nodes: Sequence[Node]) -> Node:
    found = nodes[0]
    for node in nodes[1:]:
        found = b.map((op, slot(0), slot(1)), [found, node])
    return found
