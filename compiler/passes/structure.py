"""Systems, determinants and inverses use the structure of their matrix.

The rules apply while a spec is lowered, before it is differentiated, so that derivatives are those of the small problem, and
once more to derivatives of systems that were found dense. Then matrices that are proved positive definite get a Cholesky
factorisation, which systems with the same matrix, its determinant and its inverse share.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from vspec.compiler.graph.builder import Builder, Rule
from vspec.compiler.graph.cost import Sizes
from vspec.compiler.graph.graph import Graph
from vspec.compiler.graph.linalg import unrenamed
from vspec.compiler.graph.node import Axis, Kind, Node, Origin
from vspec.compiler.graph.rewrite import rewrite
from vspec.compiler.graph.sign import DEPTH, Facts, Sign, sign_of
from vspec.compiler.passes.bands import DIAGONAL, band, entries
from vspec.compiler.passes.definite import Definite
from vspec.compiler.passes.lowrank import low_rank
from vspec.compiler.passes.systems import Diagonal, System, Triangular

DOC = (
    "No matrix is factored whose structure is known to do without, and a positive definite one is factored by Cholesky."
)

OPS = ("solve", "logdet", "inv")

# A structured way has to cost less than this share of the dense one.
WORTH = 0.5


@dataclass(frozen=True, slots=True)
class Found:
    """A choice that was made: the operation, where, what was chosen, and what each way would cost."""

    op: str
    origin: Origin
    chosen: str
    costs: Mapping[str, float]


class Structure:
    """Finds the structure of the matrices of a graph. `told` gets each choice."""

    def __init__(self, facts: Facts, told: Callable[[Found], None] = lambda f: None) -> None:
        self.facts = facts
        self.told = told
        # Of each matrix, by builder, node, rows and columns, so that what is made of it is made once.
        self.systems: dict[tuple[Any, ...], System | None] = {}

    def rule(self, b: Builder, node: Node) -> Node | None:
        """A system, determinant or inverse by the structure of its matrix."""
        if node.kind is not Kind.LINALG or node.op not in OPS:
            return None
        matrix, shown = unrenamed(node.inputs[0])
        if matrix.kind is Kind.INPUT or (matrix.op == "cholesky" and node.op != "logdet"):
            return None
        back = {name: base for base, name in shown.items()}
        r, c = (matrix.axis(back[n]) for n in node.attrs[0][0])
        key = (id(b), matrix.uid, r.name, c.name)
        if key not in self.systems:
            self.systems[key] = self.system(b, matrix, r, c)
        system = self.systems[key]
        if system is None:
            return None
        sizes = Sizes(b.dims, self.facts.unknowns)
        dense = 2 / 3 * float(sizes.dim(system.rows.dim)) ** 3
        costs = {"dense": dense, word(system): system.cost(sizes)}
        if costs[word(system)] >= WORTH * dense and not isinstance(system, (Diagonal, Triangular)):
            return None
        self.told(Found(node.op, b.origin, word(system), costs))
        return computed(system, node, shown)

    def system(self, b: Builder, x: Node, r: Axis, c: Axis) -> System | None:
        """The system of a matrix x[r, c], if its structure is known."""
        where = band(x, r.name, c.name)
        if where == DIAGONAL:
            return self.diagonal(b, x, r, c)
        if where.high <= 0 or where.low >= 0:
            return Triangular(b, r, c, x, where.high <= 0, self.diagonal(b, x, r, c))
        return low_rank(self, b, x, r, c)

    def diagonal(self, b: Builder, x: Node, r: Axis, c: Axis) -> Diagonal:
        """The diagonal of x."""
        d = entries(b, x, r.name, c.name)
        return Diagonal(b, r, c, d, sign_of(d, DEPTH, self.facts.signs) is Sign.POSITIVE)

    def definite(self, b: Builder, node: Node, old: Node) -> Node:
        """The node, by Cholesky if its matrix is positive definite."""
        if node.kind is not Kind.LINALG or node.op not in OPS or unrenamed(node.inputs[0])[0].op == "cholesky":
            return node
        r, c = node.attrs[0][0]
        known = Definite(b, r, c, self.facts.signs, self.facts.psd)
        if known.level(node.inputs[0]) is not Sign.POSITIVE:
            return node
        inputs = node.inputs
        matrix, shown = unrenamed(inputs[0])
        first = next(name for base in matrix.names if (name := shown[base]) in (r, c))
        if first != r:
            # Its own transpose: systems that differ in nothing else are one.
            inputs = (b.rename(inputs[0], {r: c, c: r}), *inputs[1:])
        return Node(Kind.LINALG, f"{node.op}_pd", inputs, node.axes, node.dtype, node.attrs, node.origin)


def computed(system: System, node: Node, shown: Mapping[str, str]) -> Node:
    """What a node is, by the system of its matrix, whose axes have the names `shown` in the node."""
    b, r, c = system.b, system.rows, system.columns
    taken = [*shown, *node.names, *(n for x in node.inputs for n in x.names)]
    there, away = {name: base for base, name in shown.items()}, dict(shown)
    right = node.inputs[-1]
    if node.op == "logdet":
        found = system.logdet()
    elif node.op == "solve":
        for n in right.names:
            if n not in there and n in shown:
                # The right side has a column axis of a name that the matrix uses for itself.
                there[n] = b.fresh(n, taken)
                away[there[n]] = n
        found = system.solve(b.rename(right, {n: there.get(n, n) for n in right.names}))
    elif isinstance(system, Diagonal):
        unit = b.map(("div", ("num", 1.0), ("x", 0)), [system.d], "real")
        found = b.mul([b.delta(c, r), unit])
    else:
        column = Axis(b.fresh(r.name, taken), r.dim)
        found = b.rename(system.solve(b.delta(r, column)), {column.name: r.name})
    return b.order(b.rename(found, {n: away.get(n, n) for n in found.names}), node.axes)


def word(system: System) -> str:
    """What a structure is called in specs."""
    return {"LowRank": "low_rank"}.get(type(system).__name__, type(system).__name__.lower())


def structure_rule(facts: Facts, told: Callable[[Found], None] = lambda f: None) -> Rule:
    """The rule for a spec of which some facts are known."""
    return Structure(facts, told).rule


def run(graph: Graph) -> Graph:
    """The graph whose systems use the structure of their matrices."""
    facts = graph.notes.get("facts", Facts())
    found: list[Found] = []
    structure = Structure(facts, found.append)

    def visit(b: Builder, node: Node, old: Node) -> Node:
        better = structure.rule(b, node)
        if better is not None:
            return better
        return structure.definite(b, node, old)

    return rewrite(graph, visit)
