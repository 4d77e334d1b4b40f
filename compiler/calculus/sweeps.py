"""The two sweeps over a graph: adjoints from values to variables, tangents from variables to values."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from vspec.compiler.calculus import jvp, solutions, vjp
from vspec.compiler.calculus.apart import apart
from vspec.compiler.calculus.special import NoAdjoint, NoDerivative
from vspec.compiler.calculus.terms import NO_PAIRS, Algebra, Term, Terms
from vspec.compiler.graph.node import AnyRegion, Kind, Node, Pull, Region, Solve, innermost, topological

Seeds = Mapping[int, Sequence[Term]]


def depends(roots: Sequence[Node], xs: Sequence[Node], fixed: Collection[int] = ()) -> list[Node]:
    """The nodes below the roots through which a derivative by `xs` flows, inputs first; `xs` themselves included."""
    wanted = {x.uid for x in xs}
    hit: set[int] = set()
    found: list[Node] = []
    for node in topological(roots):
        if node.uid in wanted or (node.uid not in fixed and _flows(node, hit)):
            hit.add(node.uid)
            found.append(node)
    return found


def _flows(node: Node, hit: Collection[int]) -> bool:
    """Whether a derivative passes through a node, given the nodes that it reaches below."""
    if (node.kind is Kind.STOP and node.op == "") or node.dtype in ("boolean", "integer"):
        return False
    if node.kind in (Kind.GATHER, Kind.SCATTER) and len(node.inputs) == 2:
        return node.inputs[0].uid in hit
    if node.kind is Kind.REGION and isinstance(node.attrs[0], Solve):
        region = node.attrs[0]
        # A solution depends on where its search starts only as far as its steps go.
        first = 0 if region.gradient == "unrolled" else len(region.unknowns)
        return region.gradient != "none" and any(x.uid in hit for x in node.inputs[first:])
    if node.kind is Kind.ITEM and isinstance(node.inputs[0].attrs[0], Solve):
        return node.inputs[0].uid in hit and node.attrs[0] < len(node.inputs[0].attrs[0].unknowns)
    return any(x.uid in hit for x in node.inputs)


def opaque(node: Node) -> bool:
    """Whether JAX differentiates a node, which takes a reverse sweep: a loop, or steps that are unrolled."""
    if node.kind is not Kind.REGION:
        return False
    return not isinstance(node.attrs[0], Solve) or node.attrs[0].gradient == "unrolled"


def see(a: Algebra, nodes: Sequence[Node]) -> None:
    """Makes the axes of nodes and of their inputs known."""
    for node in nodes:
        a.see(node.axes)
        for i in node.inputs:
            a.see(i.axes)
        if node.kind in (Kind.LINALG, Kind.CALL):
            for core, operand in zip(node.attrs[0], node.inputs, strict=True):
                a.see(operand.axis(n) for n in core)


def reverse(a: Algebra, seeds: Seeds, xs: Sequence[Node], nodes: Sequence[Node]) -> dict[int, Terms]:
    """The adjoints of `xs`, by uid, given those of some of the nodes; `nodes` are what a derivative by `xs` flows through."""
    adjoints: dict[int, Terms] = {}
    for uid, terms in seeds.items():
        into = adjoints.setdefault(uid, Terms())
        for term in terms:
            into.add(term)
    flows = {n.uid for n in nodes}
    final = {x.uid for x in xs}
    least = solutions.least_values(a.b, nodes)
    # What a derivative is taken by may be a result of a region: its adjoint ends there.
    nodes = [n for n in nodes if n.uid not in final]
    for node in reversed(nodes):
        if node.kind is Kind.ITEM:
            continue
        with a.b.at(node.origin._replace(role="adjoint")):
            if node.kind is Kind.REGION:
                if opaque(node):
                    _pull_region(a, node, nodes, adjoints, flows)
                else:
                    solutions.pull(a, node, nodes, adjoints, flows)
                continue
            if node.uid not in adjoints:
                continue
            terms = adjoints[node.uid].collect(a.b)
            if node.uid in least:
                solutions.pull_value(a, least[node.uid], terms, adjoints, flows)
                continue
            _pull(a, node, terms, adjoints, flows)
    return adjoints


def _pull(a: Algebra, node: Node, terms: Sequence[Term], adjoints: dict[int, Terms], flows: Collection[int]) -> None:
    """Adds what the adjoint of a node gives to those of its inputs; a map whose parts have fewer axes goes part by part."""
    parts: list[Node] = []
    if node.kind is Kind.MAP:
        node, parts = apart(a.b, node, [k for k, x in enumerate(node.inputs) if x.uid in flows])
    flowing = {*flows, *(p.uid for p in parts)} if parts else flows
    for k, operand in enumerate(node.inputs):
        if operand.uid not in flowing:
            continue
        into = adjoints.setdefault(operand.uid, Terms())
        for term in terms:
            moved = vjp.RULES[node.kind](a, node, term, k)
            if moved is not None:
                into.add(moved)
    for part in reversed(parts):
        _pull(a, part, adjoints.pop(part.uid, Terms()).collect(a.b), adjoints, flowing)


def forward(a: Algebra, seeds: Seeds, nodes: Sequence[Node]) -> dict[int, list[Term]]:
    """The tangents of nodes, by uid, given those of some of them; `nodes` are what a derivative flows through."""
    tangents: dict[int, list[Term]] = {uid: list(terms) for uid, terms in seeds.items()}
    found: dict[int, dict[int, list[Term]]] = {}
    least = solutions.least_values(a.b, nodes)
    for node in nodes:
        if node.uid in seeds:
            continue
        with a.b.at(node.origin._replace(role="tangent")):
            if node.kind is Kind.REGION:
                continue
            if node.kind is Kind.ITEM:
                (region,) = node.inputs
                if region.uid not in found:
                    found[region.uid] = solutions.push(a, region, tangents)
                tangents[node.uid] = found[region.uid].get(node.attrs[0], [])
            elif node.uid in least:
                tangents[node.uid] = solutions.push_value(a, least[node.uid], tangents)
            else:
                terms = Terms()
                for k, operand in enumerate(node.inputs):
                    for term in tangents.get(operand.uid, ()):
                        moved = jvp.RULES[node.kind](a, node, term, k)
                        if moved is not None:
                            terms.add(moved)
                tangents[node.uid] = terms.collect(a.b)
    return tangents


def _pull_region(a: Algebra, node: Node, nodes: Sequence[Node], adjoints: dict[int, Terms], flows: set[int]) -> None:
    """The adjoint of a loop is taken by JAX: one REGION `vjp` node, its cotangents full arrays."""
    b = a.b
    items = [n for n in nodes if n.kind is Kind.ITEM and n.inputs[0] is node and n.uid in adjoints]
    if not items:
        return
    settled: list[tuple[Node, Node]] = []
    for item in items:
        terms = [a.settle(t).node for t in adjoints[item.uid].collect(b)]
        if terms:
            settled.append((item, a.spread(b.add(terms), item.names)))
    extra = {x.name: x for item, g in settled for x in g.axes if x.name not in item.names}
    batch = tuple(extra[n] for n in sorted(extra))
    given = [b.order(g, (*batch, *item.axes)) for item, g in settled]
    wanted = tuple(k for k, x in enumerate(node.inputs) if x.uid in flows)
    _refuse_steps(node, node.attrs[0], wanted)
    pull = Pull(node.attrs[0], len(node.inputs), tuple(item.attrs[0] for item, _ in settled), wanted, batch)
    pulled = b.region("vjp", pull, [*node.inputs, *given])
    for position, k in enumerate(wanted):
        operand = node.inputs[k]
        into = adjoints.setdefault(operand.uid, Terms())
        into.add(Term(b.item(pulled, position, (*batch, *operand.axes), "real"), NO_PAIRS))


def _refuse_steps(node: Node, region: AnyRegion, wanted: Collection[int], again: bool = False) -> None:
    """Refuses a derivative by some operands of a region that goes back through the steps of a loop that says 'none', be it
    the region itself or a loop in its steps; and a second derivative through a loop that solves equations in its steps."""
    again = again or isinstance(region, Pull)
    while isinstance(region, Pull):
        wanted = {*wanted, *region.wanted}
        region = region.inner
    if not isinstance(region, Region):
        return
    if region.adjoint == "none":
        raise NoAdjoint(region.name, node.origin)
    arguments = (*region.carry, *region.captured)
    by = {arguments[k].uid: arguments[k] for k in wanted if k < len(arguments)}
    reached: list[Node] = []
    while True:
        reached = depends(region.body, list(by.values()))
        uids = {n.uid for n in reached}
        # A state depends on what its step does.
        more = {c.uid: c for c, n in zip(region.carry, region.body, strict=True) if n.uid in uids and c.uid not in by}
        if not more:
            break
        by |= more
    # What flows into nothing but a stop is not differentiated.
    live = {n.uid for n in region.body}
    for inner in reversed(reached):
        if inner.uid not in live:
            continue
        live.update(x.uid for x in inner.inputs)
        if again and inner.kind is Kind.REGION and isinstance(solve := innermost(inner.attrs[0]), Solve):
            if solve.gradient not in ("unrolled", "none"):
                # JAX does not keep the rule of a root when it goes back through a loop, so that there is none the second time.
                how = f"with gradient={solve.gradient}"
                what = f"the second derivative of a recurrence whose steps solve for '{solve.name}' {how}"
                raise NoDerivative(what, inner.origin)
        elif inner.kind is Kind.REGION:
            _refuse_steps(inner, inner.attrs[0], {k for k, x in enumerate(inner.inputs) if x.uid in uids}, again)
