"""The Hessian of an objective as terms: arrays that stand on diagonals, and which axes are tied along them.

The derivative of a gradient comes as terms with Kronecker deltas (`terms.py`). For methods that can use it, these are handed on
as they are: of each pair of params a list of arrays `[axes of p, axes of q that are not tied]`, where a tied axis of q is equal
to the axis of p it is tied to. The Hessian of optimal transport is two diagonals and the plan itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

from vspec.compiler.calculus.derive import derivative, has_loop, tangent_terms
from vspec.compiler.calculus.terms import Algebra, Term
from vspec.compiler.graph.builder import Builder
from vspec.compiler.graph.cost import Sizes
from vspec.compiler.graph.graph import Result
from vspec.compiler.graph.node import Axis, Node
from vspec.compiler.graph.strategy import Candidate, Choice
from vspec.runtime.elimination import MOST, Elimination, dense_cost, eliminate

if TYPE_CHECKING:
    from vspec.compiler.calculus.needs import Request

SMALL = 32
"""Up to so many unknowns a Hessian is formed whatever its structure: one small factorisation is quick."""

CLEARLY = 0.75
"""The share of the cost of a dense factorisation below which an elimination is worth its longer program."""

Ties = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Tied:
    """A term of the block of `p` and `q`: an array `[axes of p, untied axes of q]` where axis `k` of p is axis `m` of q for each
    pair `(k, m)` of `ties`."""

    p: str
    q: str
    ties: Ties
    node: Node


def terms_of(r: Request) -> list[Tied]:
    """The upper triangle of blocks, term by term; a block that is zero has none."""
    found: list[Tied] = []
    for k, (p, slope) in enumerate(r.slopes.items()):
        for q, x in list(r.reals.items())[k:]:
            with r.low.b.at(r.origin("hessian")):
                found += terms_between(r.low.b, p, q, slope, x)
    return found


def terms_between(b: Builder, p: str, q: str, slope: Node, x: Node) -> list[Tied]:
    """The terms of the derivative by x, called q, of a slope by what is called p; none where it is zero."""
    if has_loop([slope], [x]):
        # JAX differentiates loops, and knows no deltas.
        letters = [Axis(b.fresh(a.name), a.dim) for a in x.axes]
        return [Tied(p, q, (), derivative(b, slope, x, letters))]
    algebra, terms, seeds = tangent_terms(b, slope, x)
    rows = slope.names
    columns = [seeds[a.name] for a in x.axes]
    names = [c.name for c in columns]
    gathered: dict[Ties, list[Node]] = {}
    for term in terms:
        ties, node = _canonical(algebra, term, rows, names)
        tied = {m for _, m in ties}
        axes = (*slope.axes, *(c for m, c in enumerate(columns) if m not in tied))
        gathered.setdefault(ties, []).append(b.order(node, axes))
    return [Tied(p, q, ties, b.add(nodes)) for ties, nodes in sorted(gathered.items())]


def _canonical(algebra: Algebra, term: Term, rows: tuple[str, ...], columns: list[str]) -> tuple[Ties, Node]:
    """The ties of a term, and its array read at the axes of the rows. Deltas of another kind are multiplied out."""
    ties: list[tuple[int, int]] = []
    odd: set[str] = set()
    for one, two in sorted(term.pairs):
        row, column = (one, two) if one in rows else (two, one)
        fit = row in rows and column in columns
        if fit and all(rows.index(row) != k and columns.index(column) != m for k, m in ties):
            ties.append((rows.index(row), columns.index(column)))
        else:
            odd |= {one, two}
    kept = [(k, m) for k, m in ties if not {rows[k], columns[m]} & odd]
    node = algebra.settle(term, odd).node if odd else term.node
    for k, m in kept:
        if columns[m] in node.names:
            node = algebra.b.rename(node, {columns[m]: rows[k]})
    return tuple(sorted(kept)), node


def by_terms(r: Request) -> bool:
    """Whether the terms of the Hessian are of use to whoever may choose."""
    plain = all(p.dtype == "real" and p.domain.kind == "real" for p in r.params)
    if not plain or has_loop(list(r.slopes.values()), list(r.reals.values())):
        return False
    if count_unknowns(r) <= SMALL:
        return False
    # A term over two axes of a size that is not known might take any amount of memory.
    large = Sizes(r.low.b.dims)
    fit = all(large.count(t.node.axes) <= MOST for t in r.terms)
    found = _plan(r)
    return fit and found.feasible and found.cost < CLEARLY * dense_cost(count_unknowns(r))


def terms_cost(r: Request) -> float:
    """Multiplications of an elimination with the terms."""
    return _plan(r).cost


def _plan(r: Request) -> Elimination:
    return eliminate(shapes_of(r), [(t.p, t.q, t.ties) for t in r.terms])


def count_unknowns(r: Request) -> int:
    """How many unknowns there are, at nominal sizes."""
    return sum(prod(shape) for shape in shapes_of(r).values())


def shapes_of(r: Request) -> dict[str, tuple[int, ...]]:
    """The shapes of the unknowns, sizes that are known only at run time at their nominal value."""
    sizes = sizes_of(r)
    return {p: tuple(sizes.dim(a.dim) for a in x.axes) for p, x in r.reals.items()}


def sizes_of(r: Request) -> Sizes:
    """The sizes of dims, those of the params known to be of unknowns."""
    return Sizes(r.low.b.dims, (a.dim for x in r.reals.values() for a in x.axes))


def structure(r: Request) -> None:
    """Value, gradient and the terms of the Hessian, in one entry; the facts say what each term is."""
    if "structure" in r.made:
        return
    listed = (*r.both, *(Result((2, k), t.node) for k, t in enumerate(r.terms)))
    doc = f"{r.name}, its gradient and the terms of its Hessian by {r.wrt}: {said(r)}."
    r.entry("structure", listed, doc)
    r.structure = [{"of": [t.p, t.q], "ties": [list(tie) for tie in t.ties]} for t in r.terms]
    r.low.b.choices.append(choice(r))


def said(r: Request) -> str:
    """The terms in a few words: `x by x along i; x by y`."""
    words = []
    for t in r.terms:
        along = ", ".join(r.reals[t.p].names[k] for k, _ in t.ties)
        words.append(f"{t.p} by {t.q}" + (f" along {along}" if along else ""))
    return "; ".join(words) or "none"


def choice(r: Request) -> Choice:
    """The row of the table of strategies."""
    sizes, whole = sizes_of(r), count_unknowns(r)
    among = (
        Candidate("structured", _plan(r).cost, float(sum(sizes.count(t.node.axes) for t in r.terms))),
        Candidate("dense", dense_cost(whole), float(whole) ** 2),
    )
    because = f"kept as {said(r)}"
    return Choice("Hessian", f"{r.name} by {r.wrt}", r.stage.span.line, "structured", among, because)


__all__ = [
    "CLEARLY",
    "SMALL",
    "Tied",
    "by_terms",
    "count_unknowns",
    "shapes_of",
    "sizes_of",
    "structure",
    "terms_between",
    "terms_cost",
    "terms_of",
]
