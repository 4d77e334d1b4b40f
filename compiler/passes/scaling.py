"""Steps of loops that take logarithms of sums of exponentials become products with a kernel that is kept from step to step.

Where an exponent parts into an array that no step changes and terms with fewer axes, the exponentials of all of it need be taken
at one point only (`calculus/structure/scaling.py`, where the formula stands). The loop keeps its own steps beside those by
products: it starts with one of them, makes the kernel where that has led, and goes on by products for as long as these lose
nothing to underflow. The kernel is an array of the size of the exponents, so that memory decides as well, where sizes are known
only when the program is traced, there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod

from vspec.compiler.calculus.structure.scaling import Kernel, Scaled, Scaling
from vspec.compiler.graph.builder import Builder
from vspec.compiler.graph.cost import ANEW, Sizes, flops, width
from vspec.compiler.graph.graph import Entry, Graph
from vspec.compiler.graph.kernel import Tree, num, slot
from vspec.compiler.graph.node import Kind, Node, Origin, Products, Pull, Region, innermost, topological
from vspec.compiler.graph.rewrite import Sweep, all_nodes, replace_attrs, rewrite
from vspec.compiler.graph.strategy import Candidate, Choice, NoFormError, with_choices
from vspec.compiler.graph.tuning import tuning_of

DOC = "Logarithms of sums of exponentials that the steps of a loop take anew are products with a kernel that is made once."

ASKED = ("scaling",)
NO_FORM = "logarithm of a sum has no scaling form"

# How far a term of an exponent may be from where the kernel was made.
BOUND = 30.0
# The least normal number, the unit of rounding, and the largest sum that is taken, by precision.
TINY = {"float32": 2.0**-126, "float64": 2.0**-1022}
ROUNDING = {"float32": 2.0**-23, "float64": 2.0**-52}
MOST = {"float32": 1e30, "float64": 1e300}


def run(graph: Graph) -> Graph:
    """The graph whose loops have steps by products where these cost less. Raises NoFormError where it is asked for in vain."""
    nodes = all_nodes(graph)
    logs = [n for n in nodes if n.kind is Kind.REDUCE and n.op == "logsumexp"]
    if not logs:
        return graph
    scaler = _Scaler(Sizes.of(graph), graph)
    # A loop that JAX differentiates stays what it is there; where its value alone is wanted, it need not.
    inside = {id(e): _pulled(e) for e in graph.entries}
    first, second = ([e for e in graph.entries if bool(inside[id(e)]) is one] for one in (False, True))
    made: dict[int, Entry] = {}
    for some in (first, second):
        pulled = frozenset[int]().union(*(inside[id(e)] for e in some))
        visit = _Visit(scaler, pulled)
        found = rewrite(replace(graph, entries=tuple(some)), visit, bodies=False)
        made |= {id(e): new for e, new in zip(some, found.entries, strict=True)}
    for n in logs:
        if n.attrs[1:] == (ASKED,) and n.uid not in scaler.seen:
            raise NoFormError(NO_FORM, "it is in no recurrence whose steps could share a kernel", n.origin)
    return with_choices(graph.with_entries(tuple(made[id(e)] for e in graph.entries)), scaler.choices)


def _pulled(entry: Entry) -> frozenset[int]:
    """The loops, by id, that an entry takes a derivative of by JAX."""
    nodes = topological([r.node for r in entry.results])
    return frozenset(id(innermost(n.attrs[0])) for n in nodes if n.kind is Kind.REGION and isinstance(n.attrs[0], Pull))


class _Visit:
    """The rewriting of the loops of some entries; `pulled` are those that JAX differentiates there."""

    def __init__(self, scaler: _Scaler, pulled: frozenset[int]) -> None:
        self.scaler = scaler
        self.pulled = pulled
        self.done: dict[int, Region] = {}

    def __call__(self, b: Builder, node: Node, old: Node) -> Node:
        region = old.attrs[0] if old.kind is Kind.REGION else None
        if not isinstance(region, Region):
            return node
        if id(region) not in self.done:
            self.done[id(region)] = self.scaler.scaled(b, node, region, id(region) in self.pulled)
        found = self.done[id(region)]
        return node if found is region else replace_attrs(node, (found,))


class _Scaler:
    """The loops of a graph, one by one; what was chosen."""

    def __init__(self, sizes: Sizes, graph: Graph) -> None:
        self.sizes = sizes
        self.precision = graph.precision
        self.memory = tuning_of(graph.notes).memory
        self.choices: list[Choice] = []
        # Logarithms of sums in loops, by uid.
        self.seen: set[int] = set()

    def scaled(self, b: Builder, node: Node, region: Region, pulled: bool) -> Region:
        """The loop with steps by products; itself where it has none, or they cost more."""
        logs = [n for n in topological(region.steps) if n.kind is Kind.REDUCE and n.op == "logsumexp"]
        asked = [n for n in logs if n.attrs[1:] == (ASKED,)]
        self.seen.update(n.uid for n in logs)
        # Whoever says how a sum is taken has said that it is taken from its exponents.
        free = [n for n in logs if len(n.attrs) < 2 or n in asked]
        if not free:
            return region
        reason = _reason(region, pulled)
        if reason:
            return _left(region, asked, reason)
        with b.at(node.origin._replace(role="part")):
            scaling = Scaling(b, [*region.carry, region.index], region.name)
            sums = [n for n in scaling.sums(region.body) if n in free]
            if any(n not in sums for n in asked) or not sums:
                return _left(region, asked, "its exponents are not a fixed array plus terms with fewer indices")
            products = self.products(b, scaling, region, sums)
        return self.chosen(region, products, scaling.kernels, bool(asked), node.origin)

    def products(self, b: Builder, scaling: Scaling, region: Region, sums: Sequence[Node]) -> Products:
        """The steps by products, the kernels, and where these are made."""
        kernels = scaling.kernels
        references = [n for k in kernels for n in k.references.values()]
        later = Sweep(b, lambda b, node, old: node)
        later.new |= {c.uid: n for c, n in zip(region.carry, region.body, strict=True)}
        pairs = [(scaling.table.node(t), k.references[g]) for k in kernels for g, t in k.terms.items()]
        terms = [self.term(b, t, reference, sums, later) for t, reference in pairs]
        made = scaling.update([*region.body, *terms], sums)
        arrays = []
        for k in kernels:
            whole = b.add([scaling.table.node(k.core), *k.references.values()])
            arrays.append(b.order(b.map(("exp", slot(0)), [whole]), k.axes))
        return Products(
            tuple(k.array for k in kernels),
            tuple(references),
            tuple(terms),
            tuple(arrays),
            made.values[: len(region.body)],
            made.values[len(region.body) :],
            self.fine(b, made),
            self.bytes(kernels),
        )

    def term(self, b: Builder, term: Node, reference: Node, sums: Sequence[Node], later: Sweep) -> Node:
        """A term of an exponent after a step: where the new states are if it costs nothing there, else as the step had it."""
        below = {n.uid for n in topological([term])}
        if not any(n.uid in below for n in sums):
            later.run([term])
            term = later.new[term.uid]
        return b.order(term, reference.axes)

    def fine(self, b: Builder, made: Scaled) -> Node:
        """Whether what is lost to underflow is below rounding in all sums, and none of them overflows.

        What is lost is below the least number, alone or by its weight: all that is lost in a sum must be less than the unit
        of rounding of the sum.
        """
        floor = num(TINY[self.precision] / ROUNDING[self.precision])
        near: Tree = ("le", ("abs", slot(0)), num(BOUND))
        enough: Tree = (
            "and",
            ("ge", slot(0), ("mul", floor, slot(1))),
            ("le", slot(0), num(MOST[self.precision])),
        )
        conditions = [b.map(near, [x], "boolean") for x in made.apart]
        conditions += [b.map(enough, [x, w], "boolean") for x, w in zip(made.sums, made.weights, strict=True)]
        # One look at all that has the same axes.
        alike: dict[frozenset[str], list[Node]] = {}
        for x in conditions:
            alike.setdefault(frozenset(x.names), []).append(x)
        whole = [b.reduce("all", _both(b, xs), sorted(axes)) for axes, xs in alike.items()]
        return _both(b, whole)

    def bytes(self, kernels: Sequence[Kernel]) -> tuple[int, tuple[str, ...]]:
        """What kernels take, as a number times sizes: of several the largest, as often as there are some; 0 for any number."""
        if self.memory is None:
            return 0, ()
        largest = max(kernels, key=lambda k: self.sizes.count(k.axes))
        return len(kernels) * width("real", self.precision), tuple(a.dim for a in largest.axes)

    def chosen(
        self, region: Region, products: Products, kernels: Sequence[Kernel], asked: bool, origin: Origin
    ) -> Region:
        """The loop in the form that costs less, with a note of it."""
        steps = max(1, self.sizes.dim(region.axis.dim) - 1)
        plain = self.work(region.steps)
        anew = self.work((*region.steps, *products.terms, *products.made))
        scaled = self.work(products.quick) + min(steps, ANEW) / steps * anew
        among = (Candidate("scaling", steps * scaled), Candidate("log", steps * plain))
        number, dims = products.bytes
        known = all(isinstance(self.sizes.dims.get(d), int) for d in dims)
        kept = number * prod(self.sizes.dim(d) for d in dims)
        chosen, because = "scaling", "least cost"
        if asked:
            because = "asked for"
            products = replace(products, bytes=(0, ()))
        elif self.memory is not None and known and kept > self.memory:
            chosen, because = "log", "the kernel would take too much memory"
        elif scaled >= plain:
            chosen = "log"
        elif not known:
            because = "least cost, if the kernel fits"
        what = f"logarithms of sums in the steps of {region.name}"
        self.choices.append(Choice("recurrence", what, origin.line, chosen, among, because, origin.file))
        return region if chosen == "log" else replace(region, products=products)

    def work(self, roots: Sequence[Node]) -> float:
        """The operations of nodes."""
        return sum(flops(n, self.sizes) for n in topological(roots))


def _both(b: Builder, conditions: Sequence[Node]) -> Node:
    """Whether all of some conditions hold."""
    tree: Tree = slot(0)
    for k in range(1, len(conditions)):
        tree = ("and", tree, slot(k))
    return b.map(tree, conditions, "boolean")


def _reason(region: Region, pulled: bool) -> str:
    """Why a loop has no steps by products."""
    if pulled:
        return "a derivative goes back through its steps"
    if any(how == "path" for how, _ in region.results):
        return "all of its steps are read, not the last alone"
    if region.until is not None:
        return "it ends by a condition"
    return ""


def _left(region: Region, asked: Sequence[Node], reason: str) -> Region:
    """The loop as it is. Raises NoFormError where products were asked for."""
    if asked:
        raise NoFormError(NO_FORM, reason, asked[0].origin)
    return region


__all__ = ["ASKED", "DOC", "run"]
