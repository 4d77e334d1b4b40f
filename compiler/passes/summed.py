"""A sum of sums, beside an array of the same terms: `sum(a) + c*sum(b)` is the sum of `a + c*b`, where a product reads that.

Slopes by the weights and by the shifts of a layer are such a pair. The array is there in any case; a, which only this sum
reads, is not written for it, even where the sum of b is known before the first step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vspec.compiler.graph.builder import Builder
from vspec.compiler.graph.graph import Graph
from vspec.compiler.graph.kernel import slot
from vspec.compiler.graph.node import Kind, Node
from vspec.compiler.graph.rewrite import all_nodes, of_others
from vspec.compiler.passes.patterns import Term, factors, number_of, terms, times, total
from vspec.compiler.passes.resummed import entries_of, together

Form = tuple[tuple[int, float], ...]
"""Nodes by uid with the numbers by which they are multiplied, the first of them 1."""


@dataclass(frozen=True, slots=True)
class Sums:
    """What a sum of sums is: `value` times the sum of an array over the axes `over`, and other terms."""

    array: Node
    over: tuple[str, ...]
    value: float
    rest: tuple[Term, ...]


@dataclass(frozen=True, slots=True)
class Part:
    """A term of a map: the number by which it multiplies an operand, the term itself, the operand (None: it is anything else)."""

    value: float
    term: Term
    operand: Node | None


def summed(graph: Graph) -> Graph:
    """The graph where no sums are added up that the sum of one array gives."""
    found = _found(graph)
    if not found:
        return graph

    def make(b: Builder, node: Node, old: Node, others: Sequence[Node]) -> Node:
        s = found[old.uid]
        one = b.reduce("sum", others[0], s.over)
        tree = total([*s.rest, (1, times(s.value, slot(len(node.inputs))))])
        return b.order(b.map(tree, [*node.inputs, one], "real"), node.axes)

    # The array is made of what is added up here, so that it may be made before.
    return of_others(graph, {uid: [s.array] for uid, s in found.items()}, make)


def _found(graph: Graph) -> dict[int, Sums]:
    """The sums of sums that one array gives, by uid."""
    arrays, entries = _arrays(graph), entries_of(graph)
    found: dict[int, Sums] = {}
    for n in all_nodes(graph) if arrays else ():
        for over, parts in _by_axes(_parts(n)).items():
            form, scale = _form([(value, x) for value, x, _ in parts])
            array, own = arrays.get(form, (None, 1.0))
            if array is not None and set(over) < set(array.names) and together(entries, n, array):
                kept = {p for _, _, p in parts}
                rest = tuple(p.term for k, p in enumerate(_parts(n)) if k not in kept)
                found[n.uid] = Sums(array, over, scale / own, rest)
                break
    return found


def _arrays(graph: Graph) -> dict[Form, tuple[Node, float]]:
    """The sums of multiples of arrays with the same axes that products read, each with the number that its form is multiplied
    with."""
    found: dict[Form, tuple[Node, float]] = {}
    for n in all_nodes(graph):
        for x in n.inputs if n.kind is Kind.CONTRACT else ():
            while x.kind is Kind.REINDEX:
                x = x.inputs[0]
            parts = [(p.value, p.operand) for p in _parts(x) if p.operand is not None]
            if 1 < len(parts) == len(_parts(x)) and all(set(y.names) == set(x.names) for _, y in parts):
                form, scale = _form(parts)
                found.setdefault(form, (x, scale))
    return found


def _by_axes(parts: Sequence[Part]) -> dict[tuple[str, ...], list[tuple[float, Node, int]]]:
    """The terms that are multiples of sums, by what these sum over: the number, what is summed, the place of the term."""
    found: dict[tuple[str, ...], list[tuple[float, Node, int]]] = {}
    for k, p in enumerate(parts):
        if p.operand is not None:
            value, x = _multiple(p.value, p.operand)
            if x.kind is Kind.REDUCE and x.op == "sum" and len(x.attrs) == 1:
                found.setdefault(tuple(sorted(x.attrs[0])), []).append((value, x.inputs[0], k))
    return {over: found_ for over, found_ in found.items() if len(found_) > 1}


def _parts(x: Node) -> list[Part]:
    """The terms of a map of real numbers; none of any other node."""
    if x.kind is not Kind.MAP or x.dtype != "real":
        return []
    found = []
    for sign, tree in terms(x.attrs[0].tree):
        value, rest = number_of(factors(tree))
        alone = len(rest) == 1 and rest[0][1] == 1 and rest[0][0][0] == "x"
        found.append(Part(float(sign * value), (sign, tree), x.inputs[rest[0][0][1]] if alone else None))
    return found


def _multiple(value: float, x: Node) -> tuple[float, Node]:
    """A multiple of a node as one of what that itself is a multiple of."""
    parts = _parts(x)
    if len(parts) == 1 and parts[0].operand is not None:
        return value * parts[0].value, parts[0].operand
    return value, x


def _form(parts: Sequence[tuple[float, Node]]) -> tuple[Form, float]:
    """A sum of multiples, up to a number, and the number."""
    opened = sorted((x.uid, value) for value, x in (_multiple(*p) for p in parts))
    scale = opened[0][1]
    return tuple((uid, value / scale) for uid, value in opened), scale


__all__ = ["summed"]
