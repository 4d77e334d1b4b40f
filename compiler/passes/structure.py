"""Systems, determinants and inverses use the structure of their matrix.

The rules apply while a spec is lowered, before it is differentiated, so that derivatives are those of the small problem, and
once more to derivatives of systems that were found dense. Then matrices that are proved positive definite get a Cholesky
factorisation, which systems with the same matrix, its determinant and its inverse share.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from vspec.compiler.graph.builder import Builder, Rule
from vspec.compiler.graph.cost import Sizes
from vspec.compiler.graph.graph import Graph
from vspec.compiler.graph.linalg import NotStructured, unrenamed
from vspec.compiler.graph.node import Axis, Kind, Node
from vspec.compiler.graph.rewrite import rewrite
from vspec.compiler.graph.sign import DEPTH, Facts, Sign, sign_of
from vspec.compiler.graph.strategy import Candidate, Choice, with_choices
from vspec.compiler.passes.banded import banded
from vspec.compiler.passes.bands import DIAGONAL, band
from vspec.compiler.passes.block_diagonal import block_diagonal
from vspec.compiler.passes.circulant import circulant
from vspec.compiler.passes.definite import Definite, symmetric
from vspec.compiler.passes.diagonals import entries
from vspec.compiler.passes.dominance import dominates
from vspec.compiler.passes.grid import grid
from vspec.compiler.passes.kronecker import kronecker
from vspec.compiler.passes.lowrank import low_rank
from vspec.compiler.passes.systems import Diagonal, System, Triangular, Tridiagonal
from vspec.compiler.passes.toeplitz import toeplitz

DOC = (
    "No matrix is factored whose structure is known to do without, and a positive definite one is factored by Cholesky."
)

OPS = ("solve", "logdet", "inv")

# A structured way has to cost less than this share of the dense one.
WORTH = 0.5


# The ways to factor a dense matrix.
DENSE = ("lu", "cholesky", "cholesky_or_lu")

# The marks of matrices that Hessians are part of, by the way in which they are factored.
MARKS = {"cholesky": "definite", "cholesky_or_lu": "likely"}
FOR = {mark: way for way, mark in MARKS.items()}
MARKED = (*DENSE, *FOR)

# What a factorisation of Cholesky costs beyond its operations where LU stands by: the look at the factor and the branch, and
# passes over the matrix that bring the one into the form of the other.
BRANCH = 1e5
PASSES = 8

# What a way asks of a matrix, as a tip.
FORMS: Mapping[str, str] = {
    "cholesky": (SYMMETRIC := "the formula of a symmetric matrix stays the same when rows and columns are exchanged"),
    "cholesky_or_lu": SYMMETRIC,
    "diagonal": "a diagonal matrix is a product with delta[i, j]",
    "triangular": "a triangle has a condition such as index(j) <= index(i), beyond which it is 0",
    "tridiagonal": "it is made of delta[i, j], delta[i, j + 1] and delta[i + 1, j], or of conditions on index(i) - index(j)",
    "banded": "it is made of a few diagonals such as delta[i, j + 2], or products of such matrices",
    "kronecker": "it is a product of matrices such as A[index(i)//4, index(j)//4]*B[index(i) % 4, index(j) % 4], of known sizes",
    "kronecker_shift": "it is such a product as by=kronecker asks for, of symmetric matrices, plus a number times delta[i, j]",
    "block_diagonal": "its entries are such as B[index(i)//4, index(i) % 4, index(j) % 4] if index(i)//4 == index(j)//4 else 0, "
    "of known sizes",
    "circulant": "its entries read row and column as v[(index(i) - index(j)) % size(i)]",
    "toeplitz": "its entries read row and column as index(i) - index(j), and stay the same when these are exchanged",
    "low_rank": "it is a diagonal matrix plus sums such as sum[k](U[i, k]*V[j, k])",
}


class Structure:
    """Finds the structure of the matrices of a graph. Only what is asked for is obeyed unless `free`."""

    def __init__(self, facts: Facts, free: bool = True) -> None:
        self.facts = facts
        self.free = free
        # Of each matrix, by builder, node, rows and columns, so that what is made of it is made once.
        self.systems: dict[tuple[Any, ...], System | None] = {}

    def rule(self, b: Builder, node: Node) -> Node | None:
        """A system, determinant or inverse by the structure of its matrix."""
        if node.kind is not Kind.LINALG or node.op not in OPS:
            return None
        way, b.way = b.way, "auto"
        matrix, shown = unrenamed(node.inputs[0])
        if way in DENSE:
            return self.factored(b, node, way)
        # Systems with a Cholesky factor are written as substitutions.
        factor = matrix.kind is Kind.LINALG and matrix.op == "cholesky" and node.op != "logdet"
        told = matrix.kind is Kind.STOP and matrix.op in MARKED
        if way == "auto" and (not self.free or matrix.kind is Kind.INPUT or factor or told):
            return None
        back = {name: base for base, name in shown.items()}
        r, c = (matrix.axis(back[n]) for n in node.attrs[0][0])
        key = (id(b), matrix.uid, r.name, c.name, way)
        if key not in self.systems:
            self.systems[key] = self.system(b, matrix, r, c, way)
        system = self.systems[key]
        if system is None and way != "auto":
            raise NotStructured(f"it is not shown that this matrix is {way}", FORMS[way], b.origin)
        if system is None:
            return self.curved(b, node)
        sizes = Sizes(b.dims, self.facts.unknowns)
        costs = {"lu": lu_cost(sizes, r), system.word: system.cost(sizes)}
        cheap = isinstance(system, (Diagonal, Triangular, Tridiagonal)) or costs[system.word] < WORTH * costs["lu"]
        if way == "auto" and not cheap:
            return self.curved(b, node)
        b.choices.append(choice(node, matrix, system.word, costs, "least cost" if way == "auto" else "asked for"))
        return computed(system, node, shown)

    def factored(self, b: Builder, node: Node, way: str) -> Node:
        """The node with a matrix that is to be factored in one way."""
        r, c = node.attrs[0][0]
        matrix = node.inputs[0]
        if way != "lu" and not symmetric(b, matrix, r, c):
            raise NotStructured("it is not shown that this matrix is symmetric", FORMS[way], b.origin)
        inputs = (b.trusted(matrix, way), *node.inputs[1:])
        return Node(node.kind, node.op, inputs, node.axes, node.dtype, node.attrs, node.origin)

    def curved(self, b: Builder, node: Node) -> Node | None:
        """The node with a matrix that Hessians are part of, marked by how it is factored while it is known what they are of."""
        way = self.dense(b, node) if b.hessians else "lu"
        if way == "lu":
            return None
        inputs = (b.trusted(node.inputs[0], MARKS[way]), *node.inputs[1:])
        return Node(node.kind, node.op, inputs, node.axes, node.dtype, node.attrs, node.origin)

    def dense(self, b: Builder, node: Node) -> str:
        """How a dense matrix is factored."""
        r, c = node.attrs[0][0]
        matrix, signs = node.inputs[0], self.facts.signs
        if Definite(b, r, c, signs, self.facts.psd).level(matrix) is Sign.POSITIVE:
            return "cholesky"
        # As long as no constant is set to anything else; semidefinite matrices that are not definite are rare.
        likely = Definite(b, r, c, {**self.facts.likely, **signs}, self.facts.psd).level(matrix)
        costs = self.costs(b, node, "cholesky_or_lu") if likely > Sign.UNKNOWN else {"lu": 0.0}
        return min(costs, key=costs.__getitem__)

    def costs(self, b: Builder, node: Node, way: str) -> dict[str, float]:
        """What LU and another way to factor a dense matrix cost."""
        rows = node.inputs[0].axis(node.attrs[0][0][0])
        sizes = Sizes(b.dims, self.facts.unknowns)
        lu = lu_cost(sizes, rows)
        more = PASSES * float(sizes.dim(rows.dim)) ** 2 + BRANCH if way == "cholesky_or_lu" else 0.0
        return {"lu": lu} if way == "lu" else {"lu": lu, way: lu / 2 + more}

    def system(self, b: Builder, x: Node, r: Axis, c: Axis, way: str = "auto") -> System | None:
        """The system of a matrix x[r, c], if its structure is known; with a `way`, only of that kind."""
        where = band(x, r.name, c.name)
        if way in ("auto", "diagonal") and where == DIAGONAL:
            return self.diagonal(b, x, r, c)
        if way in ("auto", "triangular") and (where.high <= 0 or where.low >= 0):
            return self.triangle(b, x, r, c, way)
        if way in ("auto", "tridiagonal") and where.low >= -1 and where.high <= 1:
            return self.tridiagonal(b, x, r, c, way != "auto")
        few = self.banded(b, x, r, c, way != "auto") if way in ("auto", "banded") else None
        if few is not None or way == "banded":
            return few
        circle = circulant(b, x, r, c) if way in ("auto", "circulant") else None
        if circle is not None or way == "circulant":
            return circle
        if way == "toeplitz" or (way == "auto" and self.definite_form(b, x, r, c)):
            line = toeplitz(b, x, r, c) if symmetric(b, x, r.name, c.name) else None
            if line is not None or way == "toeplitz":
                return line
        product = kronecker(b, x, r, c) if way in ("auto", "kronecker") else None
        if product is not None or way == "kronecker":
            return product
        shifted = grid(b, x, r, c) if way in ("auto", "kronecker_shift") else None
        if shifted is not None or way == "kronecker_shift":
            return shifted
        blocks = block_diagonal(b, x, r, c) if way in ("auto", "block_diagonal") else None
        if blocks is not None or way == "block_diagonal":
            return blocks
        return low_rank(self, b, x, r, c, way != "auto") if way in ("auto", "low_rank") else None

    def narrow(self, b: Builder, x: Node, r: Axis, c: Axis, asked: bool) -> System | None:
        """A few diagonals to which something is added: the one is known to be positive, or asked for."""
        where = band(x, r.name, c.name)
        if where.low < -1 or where.high > 1:
            return self.banded(b, x, r, c, asked)
        if where != DIAGONAL:
            return self.tridiagonal(b, x, r, c, asked)
        found = self.diagonal(b, x, r, c)
        return found if found.positive or asked else None

    def tridiagonal(self, b: Builder, x: Node, r: Axis, c: Axis, asked: bool) -> System | None:
        """Three diagonals, if elimination without exchanges is stable since the middle one dominates, or if asked for."""
        below, middle, above = (entries(b, x, r.name, c.name, k) for k in (-1, 0, 1))
        found = Tridiagonal(b, r, c, below, middle, above, False)
        signs = self.facts.signs
        rows = dominates(b, middle, (below, above), signs)
        before, same, after = (entries(b, x, c.name, r.name, k) for k in (-1, 0, 1))
        columns = dominates(b, same, (before, after), signs)
        positive = sign_of(middle, DEPTH, signs) is Sign.POSITIVE and (rows or columns)
        return replace(found, positive=positive) if positive or asked else None

    def banded(self, b: Builder, x: Node, r: Axis, c: Axis, asked: bool) -> System | None:
        """A few diagonals, if elimination without exchanges is stable since the matrix is positive definite or its main
        diagonal dominates, or if asked for."""
        found = banded(b, x, r, c)
        if found is None or asked or self.definite_form(b, x, r, c):
            return found
        signs, offsets = self.facts.signs, range(-found.below, found.above + 1)
        middle = found.diagonals[found.below]
        beside = [d for k, d in zip(offsets, found.diagonals, strict=True) if k]
        if sign_of(middle, DEPTH, signs) is not Sign.POSITIVE:
            return None
        if dominates(b, middle, beside, signs):
            return found
        same, *columns = (entries(b, x, c.name, r.name, -k) for k in (0, *(k for k in offsets if k)))
        return found if dominates(b, same, columns, signs) else None

    def triangle(self, b: Builder, x: Node, r: Axis, c: Axis, way: str) -> System:
        """A triangle; one of a few diagonals by these, where this is cheaper."""
        sizes = Sizes(b.dims, self.facts.unknowns)
        found = Triangular(b, r, c, x, band(x, r.name, c.name).high <= 0, self.diagonal(b, x, r, c))
        few = banded(b, x, r, c) if way == "auto" else None
        return few if few is not None and few.cost(sizes) < found.cost(sizes) else found

    def definite_form(self, b: Builder, x: Node, r: Axis, c: Axis) -> bool:
        """Whether x is symmetric and positive definite."""
        return Definite(b, r.name, c.name, self.facts.signs, self.facts.psd).level(x) is Sign.POSITIVE

    def diagonal(self, b: Builder, x: Node, r: Axis, c: Axis) -> Diagonal:
        """The diagonal of x."""
        d = entries(b, x, r.name, c.name)
        return Diagonal(b, r, c, d, sign_of(d, DEPTH, self.facts.signs) is Sign.POSITIVE)

    def definite(self, b: Builder, node: Node, old: Node) -> Node:
        """The node, by Cholesky if its matrix is positive definite or taken to be, or if that is likely, with LU behind it."""
        matrix, shown = unrenamed(node.inputs[0])
        asked = unrenamed(old.inputs[0])[0]
        told = asked.op if asked.kind is Kind.STOP else ""
        way = told if told in DENSE else FOR.get(told) or self.dense(b, node)
        because = "asked for" if told in DENSE else "no structure is known" if way == "lu" else "least cost"
        r, c = node.attrs[0][0]
        b.choices.append(choice(node, matrix, way, self.costs(b, node, way), because))
        if way == "lu":
            return node
        inputs = node.inputs
        first = next(name for base in matrix.names if (name := shown[base]) in (r, c))
        if first != r:
            # Its own transpose: systems that differ in nothing else are one.
            inputs = (b.rename(inputs[0], {r: c, c: r}), *inputs[1:])
        op = f"{node.op}_{'pd' if way == 'cholesky' else 'tried'}"
        return Node(Kind.LINALG, op, inputs, node.axes, node.dtype, node.attrs, node.origin)


def lu_cost(sizes: Sizes, rows: Axis) -> float:
    """About how many operations an LU factorisation takes."""
    return 2 / 3 * float(sizes.dim(rows.dim)) ** 3


def choice(node: Node, matrix: Node, chosen: str, costs: Mapping[str, float], because: str) -> Choice:
    """A row of the table of strategies."""
    of = matrix.origin if matrix.origin.name else node.origin
    what = f"{node.op}({of.name}[:, :])" if of.name else node.op
    among = tuple(Candidate(name, flops) for name, flops in costs.items())
    return Choice("matrix", what, node.origin.line, chosen, among, because, node.origin.file)


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


def structure_rule(facts: Facts, free: bool = True) -> Rule:
    """The rule for a spec of which some facts are known; unless `free`, it obeys what specs ask for and no more."""
    return Structure(facts, free).rule


def run(graph: Graph) -> Graph:
    """The graph whose systems use the structure of their matrices."""
    structure = Structure(graph.notes.get("facts", Facts()))
    found: list[Choice] = []

    def visit(b: Builder, node: Node, old: Node) -> Node:
        if node.kind is Kind.STOP and node.op in MARKED:
            return node.inputs[0]
        if node.kind is not Kind.LINALG or node.op not in OPS:
            return node
        b.choices = found
        if unrenamed(old.inputs[0])[0].op not in MARKED:
            better = structure.rule(b, node)
            if better is not None:
                return better
        if unrenamed(node.inputs[0])[0].op == "cholesky" and node.op == "solve":
            return node
        return structure.definite(b, node, old)

    return with_choices(rewrite(graph, visit), found)
