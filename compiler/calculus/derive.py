"""Derivatives of nodes by nodes: gradients, Jacobians, their diagonals; to any order by applying them again.

Reverse mode carries adjoints from the value to the variables, forward mode tangents the other way; both keep Kronecker
deltas symbolic (`terms.py`). A letter that value and variable share asks for the diagonal of the Jacobian: where the
graph proves that slice n of the value reads slice n of the variable alone, one sweep without deltas gives it; otherwise
the Jacobian is formed along a second letter and its diagonal taken. It is never summed.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from vspec.compiler.calculus.special import NoWay
from vspec.compiler.calculus.sweeps import depends, forward, opaque, reverse, see
from vspec.compiler.calculus.terms import Algebra, Term, Terms, pair
from vspec.compiler.graph.assumed import assumed
from vspec.compiler.graph.builder import Builder
from vspec.compiler.graph.cost import Sizes, flops
from vspec.compiler.graph.node import Axis, Kind, Node, Region, Solve, topological

# Sizes that are bound at run time count as this many elements when a mode is chosen.
NOMINAL = 1000


def gradients(b: Builder, e: Node, xs: Sequence[Node]) -> list[Node]:
    """The gradients of a scalar node: one node per x, with the axes of x. One reverse sweep.

    Raises ValueError if `e` has axes.
    """
    if e.axes:
        raise ValueError("gradients need a scalar; use derivative()")
    algebra, nodes = _prepare(b, e, xs)
    adjoints = reverse(algebra, {e.uid: [Term(b.number(1.0))]}, xs, nodes)
    return [b.order(_total(algebra, adjoints.get(x.uid, Terms()), {}), x.axes) for x in xs]


def derivative(
    b: Builder, e: Node, x: Node, letters: Sequence[Axis], fixed: Collection[int] = (), mode: str = "auto"
) -> Node:
    """d(e, x[letters]): the axes of `e`, then those of `letters` that `e` lacks; one letter per axis of `x`.

    A letter that occurs twice takes the diagonal, as does one that `e` has. No derivative flows through `fixed` nodes
    (by uid) other than `x`. `mode`: 'forward', 'reverse', or 'auto' for the one with fewer elements to seed.

    Raises NoWay where `mode` is 'forward' and a loop lies between.
    """
    names = [letter.name for letter in letters]
    algebra, nodes = _prepare(b, e, [x], fixed)
    algebra.see(letters)
    axes = (*e.axes, *(Axis(n, algebra.dims[n]) for n in dict.fromkeys(names) if n not in e.names))
    if not any(n.uid == e.uid for n in nodes):
        return b.order(b.number(0.0), axes)
    aligned = {k for k, n in enumerate(names) if n in e.names and names.count(n) == 1 and tracked(e, x, k, n, nodes)}
    shared = {names[k] for k in aligned}
    outer = [a for a in e.axes if a.name not in shared]
    inner = [a for k, a in enumerate(x.axes) if k not in aligned]
    target = dict(zip(x.names, names, strict=True))
    if _mode(b, nodes, outer, inner, mode) == "forward":
        result = _by_tangents(algebra, e, x, nodes, inner, target)
    else:
        result = _by_adjoints(algebra, e, x, nodes, outer, target)
    return b.order(result, axes)


def directional(b: Builder, es: Sequence[Node], xs: Sequence[Node], vs: Sequence[Node]) -> list[Node]:
    """The derivative of each node along a direction: the sum over the xs of d(e, x) times v, which has the axes of its x.

    One forward sweep. Raises ValueError where a loop lies between, through which there is none.
    """
    nodes = depends(es, xs)
    if any(map(opaque, nodes)):
        raise ValueError("no forward sweep goes through a loop")
    algebra = Algebra(b)
    see(algebra, nodes)
    for x in xs:
        algebra.see(x.axes)
    tangents = forward(algebra, {x.uid: [Term(v)] for x, v in zip(xs, vs, strict=True)}, nodes)
    found = []
    for e in es:
        terms = Terms()
        for term in tangents.get(e.uid, ()):
            terms.add(term)
        found.append(b.order(_total(algebra, terms, {}), e.axes))
    return found


def has_loop(es: Sequence[Node], xs: Sequence[Node]) -> bool:
    """Whether a loop lies between some nodes and what they are differentiated by."""
    return any(map(opaque, depends(es, xs)))


def _prepare(b: Builder, e: Node, xs: Sequence[Node], fixed: Collection[int] = ()) -> tuple[Algebra, list[Node]]:
    algebra = Algebra(b)
    nodes = depends([e], xs, fixed)
    see(algebra, nodes)
    for x in xs:
        algebra.see(x.axes)
    return algebra, nodes


def _elements(b: Builder, axes: Sequence[Axis]) -> int:
    count = 1
    for a in axes:
        known = b.dims.get(a.dim)
        count *= known if isinstance(known, int) else assumed(a.dim) or NOMINAL
    return count


def _mode(b: Builder, nodes: Sequence[Node], outer: Sequence[Axis], inner: Sequence[Axis], asked: str) -> str:
    """The mode of a sweep, noted with what each costs: about the operations of what lies between, once for each seed."""
    seeds = {"reverse": _elements(b, outer), "forward": _elements(b, inner)}
    closed = any(map(opaque, nodes))
    if closed:
        if asked == "forward":
            raise NoWay("a forward sweep does not go through a loop", b.origin)
        del seeds["forward"]
        mode = "reverse"
    elif asked in seeds:
        mode = asked
    else:
        fewer = seeds["reverse"] - seeds["forward"]
        mode = "forward" if fewer > 0 or (outer and fewer == 0) else "reverse"
    sizes = Sizes(b.dims)
    once = sum(flops(n, sizes) for n in nodes)
    b.sweeps.append((mode, {name: count * once for name, count in seeds.items()}))
    return mode


def tracked(
    e: Node, x: Node, position: int, letter: str, nodes: Sequence[Node], loops: bool = False
) -> dict[int, str] | None:
    """What the axis of `x` at `position` is called in every node between, by uid, if slice v of `e` along `letter` reads only
    slice v of `x` along that axis; any node that mixes slices refutes it, and the answer is None. `loops`: whether to look into
    recurrences.
    """
    names = _spread({x.uid: x.names[position]}, nodes, loops)
    return names if names is not None and names.get(e.uid) == letter else None


def _spread(sources: Mapping[int, str], nodes: Sequence[Node], loops: bool) -> dict[int, str] | None:
    """What an axis of the sources is called in every node that depends on them; None where a node mixes its slices."""
    names: dict[int, str] = dict(sources)
    for node in nodes:
        if node.uid in sources:
            continue
        below = [i for i in node.inputs if i.uid in names]
        carried = {names[i.uid] for i in below}
        if len(carried) != 1:
            return None
        (name,) = carried
        if node.kind is Kind.REINDEX:
            name = node.attrs[0][node.inputs[0].names.index(name)]
        elif node.kind in (Kind.WINDOW, Kind.GATHER, Kind.CUMULATE):
            if name == node.attrs[0]:
                return None
        elif node.kind in (Kind.LINALG, Kind.CALL):
            if any(name in core for core in node.attrs[0]):
                return None
        elif node.kind is Kind.CONCAT:
            if name == node.attrs[0] or (node.op == "stack" and any(name in group for group in node.attrs[1])):
                return None
        elif node.kind is Kind.SCATTER:
            if name == node.attrs[0] or any(isinstance(t, Axis) and t.name == name for t in node.attrs):
                return None
        elif node.kind is Kind.REGION:
            # Problems along an index know nothing of each other.
            problem = node.attrs[0]
            alone = isinstance(problem, Solve) and name in {a.name for a in problem.batch}
            if not alone and not (loops and isinstance(problem, Region) and _separate(node, problem, name, names)):
                return None
            names[node.uid] = name
            continue
        elif node.kind not in (Kind.MAP, Kind.REDUCE, Kind.CONTRACT, Kind.STOP, Kind.ITEM, Kind.RANDOM):
            return None
        if name not in node.names:
            return None
        names[node.uid] = name
    return names


def _separate(node: Node, region: Region, name: str, known: Mapping[int, str]) -> bool:
    """Whether slices along an axis advance in a recurrence each by itself, in states that all call it so."""
    count = len(region.carry)
    reached = {k for k, x in enumerate(node.inputs) if x.uid in known}
    if any(known[node.inputs[k].uid] != name for k in reached):
        return False
    holders = (*region.carry, *region.captured)
    while True:
        sources = {holders[k].uid: name for k in reached}
        if any(name not in holders[k].names for k in reached):
            return False
        below = topological(region.steps)
        hit = set(sources)
        for n in below:
            if any(i.uid in hit for i in n.inputs):
                hit.add(n.uid)
        inside = _spread(sources, [n for n in below if n.uid in hit], True)
        if inside is None:
            return False
        roots = {k: inside[r.uid] for k, r in enumerate(region.steps) if r.uid in inside}
        if any(own != name for own in roots.values()):
            return False
        # A state that reads one of them has the axis, too, from the next step on.
        more = {k for k in roots if k < count} - reached
        if not more:
            return True
        reached |= more


def _by_adjoints(
    a: Algebra, e: Node, x: Node, nodes: Sequence[Node], outer: Sequence[Axis], target: dict[str, str]
) -> Node:
    seeds = {axis.name: a.fresh(axis) for axis in outer}
    seed = Term(a.b.number(1.0), frozenset(pair(n, s.name) for n, s in seeds.items()))
    adjoints = reverse(a, {e.uid: [seed]}, [x], nodes)
    back = {s.name: n for n, s in seeds.items()}
    return _total(a, adjoints.get(x.uid, Terms()), target | back)


def _by_tangents(
    a: Algebra, e: Node, x: Node, nodes: Sequence[Node], inner: Sequence[Axis], target: dict[str, str]
) -> Node:
    seeds = {axis.name: a.fresh(axis) for axis in inner}
    result = _tangents(a, e, x, nodes, seeds)
    return _total(a, result, {s.name: target[n] for n, s in seeds.items()})


def tangent_terms(b: Builder, e: Node, x: Node) -> tuple[Algebra, list[Term], dict[str, Axis]]:
    """d(e, x) as terms with their deltas, and for each axis of x the axis of the derivative that stands for it."""
    a, nodes = _prepare(b, e, [x])
    seeds = {axis.name: a.fresh(axis) for axis in x.axes}
    found = _tangents(a, e, x, nodes, seeds) if any(n.uid == e.uid for n in nodes) else Terms()
    return a, found.collect(b), seeds


def _tangents(a: Algebra, e: Node, x: Node, nodes: Sequence[Node], seeds: dict[str, Axis]) -> Terms:
    seed = Term(a.b.number(1.0), frozenset(pair(n, s.name) for n, s in seeds.items()))
    tangents = forward(a, {x.uid: [seed]}, nodes)
    result = Terms()
    for term in tangents[e.uid]:
        result.add(term)
    return result


def _total(a: Algebra, terms: Terms, names: dict[str, str]) -> Node:
    done = [a.settle(a.rename(t, names)).node for t in terms.collect(a.b)]
    return a.b.add(done) if done else a.b.number(0.0)
