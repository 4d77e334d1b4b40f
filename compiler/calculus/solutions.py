"""Derivatives of what problems are solved for, by the implicit function theorem: where F(u, c) = 0, du = - (dF/du)^-1 dF/dc dc.

The equations at the solution are ordinary nodes that read the unknowns and the operands of the problem, so that
derivatives of any order follow by the same rules. The least value f(u, c) of a problem does not change with u: its
derivative is that of f by c alone, and no system is solved (the envelope theorem). Under constraints the unknowns include
the multipliers, and the value has the derivative of the Lagrangian.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from vspec.compiler.calculus.lagrangian import complementary, lagrangian
from vspec.compiler.calculus.linear_systems import systems
from vspec.compiler.calculus.terms import Algebra, Pairs, Term, Terms
from vspec.compiler.graph.builder import Builder
from vspec.compiler.graph.classes import Classes
from vspec.compiler.graph.instantiate import instantiate
from vspec.compiler.graph.kernel import Tree, num, slot
from vspec.compiler.graph.node import Axis, Kind, Node, Solve, topological
from vspec.runtime.solvers import EXTREMES

Slope = tuple[Node, tuple[str, ...]]
"""The derivative of an equation by an unknown, and what the axes of the unknown are called there."""


@dataclass(slots=True)
class Solution:
    """A solved problem at its solution: `unknowns` and `equations` have the axes `batch` and those of the unknown; `value` is
    what was made least or greatest, `lagrangian` the same without constraints; `maps` are what the
    unknowns are equal to, where a map is what the method asks for. `slopes` and `matrix`, the linear system, are
    made once they are asked for."""

    node: Node
    unknowns: list[Node]
    equations: list[Node]
    value: Node | None
    lagrangian: Node | None
    slopes: dict[tuple[int, int], Slope]
    maps: list[Node]
    matrix: Matrix | None = None

    @property
    def region(self) -> Solve:
        """The problem."""
        region: Solve = self.node.attrs[0]
        return region

    @property
    def operands(self) -> list[Node]:
        """What the problem reads from outside."""
        return list(self.node.inputs[len(self.unknowns) :])

    @property
    def fixed(self) -> set[int]:
        """What the equations are made of, by uid: each unknown and each operand is on its own."""
        return {n.uid for n in (*self.unknowns, *self.operands)}

    def own(self, k: int) -> tuple[Axis, ...]:
        """The axes of an unknown that are not those of the batch."""
        return self.region.unknowns[k].axes


def solution_of(b: Builder, node: Node) -> Solution:
    """The problem of a region at its solution, made once."""
    known: Solution | None = b.solutions.get(node.uid)
    if known is not None:
        return known
    region: Solve = node.attrs[0]
    unknowns = [b.item(node, k, (*region.batch, *u.axes), "real") for k, u in enumerate(region.unknowns)]
    given = {p.uid: x for p, x in zip(region.arguments, [*unknowns, *node.inputs[len(unknowns) :]], strict=True)}
    equations: dict[int, Node] = {}
    gaps: list[Node] = []
    slopes: dict[tuple[int, int], Slope] = {}
    maps: list[Node] = []
    value: Node | None = None
    for role, n in zip(region.roles, instantiate(b, region.body, given), strict=True):
        if role.kind == "equation":
            equations[role.row] = n
        elif role.kind == "map":
            maps.append(n)
            equations.setdefault(role.row, b.map(("sub", slot(0), slot(1)), [n, unknowns[role.row]], "real"))
        elif role.kind == "value":
            value = n
        elif role.kind == "gap":
            relation = region.relations[len(gaps)]
            gaps.append(n)
            equations[role.row] = complementary(b, relation, n, unknowns[role.row])
        elif role.row < region.sought or region.relations[role.row - region.sought] == "eq":
            slopes[role.row, role.column] = (n, role.letters)
    whole = value
    if value is not None and gaps:
        own = [u.names for u in region.unknowns[region.sought :]]
        whole = lagrangian(b, region.op, value, gaps, unknowns[region.sought :], own)
    found = Solution(node, unknowns, [equations[k] for k in range(len(unknowns))], value, whole, slopes, maps)
    b.solutions[node.uid] = found
    return found


# --- adjoints and tangents ----------------------------------------------------------------------------------------


def pull(a: Algebra, node: Node, nodes: Sequence[Node], adjoints: dict[int, Terms], flows: Collection[int]) -> None:
    """Adds the adjoints of what a problem reads, given those of its unknowns: c_bar = - (dF/dc)' (dF/du)'^-1 u_bar."""
    items = [n for n in nodes if n.kind is Kind.ITEM and n.inputs[0] is node and n.uid in adjoints]
    if not items:
        return
    solution = solution_of(a.b, node)
    _see(a, solution)
    given: dict[Pairs, list[list[Node]]] = {}
    for item in items:
        k = item.attrs[0]
        for term in adjoints[item.uid].collect(a.b):
            _gather(a, solution, given, k, term)
    seeds: dict[int, list[Term]] = {}
    for pairs, parts in given.items():
        for f, w in zip(solution.equations, _solve(a, solution, parts, transposed=True), strict=True):
            seeds.setdefault(f.uid, []).append(Term(w, pairs))
    _pull_into(a, solution, solution.equations, seeds, adjoints, flows)


def pull_value(
    a: Algebra, solution: Solution, terms: Sequence[Term], adjoints: dict[int, Terms], flows: Collection[int]
) -> None:
    """Adds the adjoints of what a problem reads, given that of its least value: of the Lagrangian, which does not change with
    unknowns and multipliers."""
    whole = solution.lagrangian
    assert whole is not None
    _see(a, solution)
    _pull_into(a, solution, [whole], {whole.uid: terms}, adjoints, flows)


def _pull_into(
    a: Algebra,
    solution: Solution,
    roots: Sequence[Node],
    seeds: Mapping[int, Sequence[Term]],
    adjoints: dict[int, Terms],
    flows: Collection[int],
) -> None:
    from vspec.compiler.calculus.sweeps import depends, reverse, see

    xs = list({x.uid: x for x in solution.operands if x.uid in flows}.values())
    nodes = depends(roots, xs, solution.fixed)
    see(a, nodes)
    found = reverse(a, seeds, xs, nodes)
    for x in xs:
        if x.uid in found:
            into = adjoints.setdefault(x.uid, Terms())
            for term in found[x.uid].collect(a.b):
                into.add(term)


def push(a: Algebra, node: Node, tangents: Mapping[int, list[Term]]) -> dict[int, list[Term]]:
    """The tangents of the unknowns of a problem, by their number, given those of what it reads: - (dF/du)^-1 dF/dc c_dot."""
    solution = solution_of(a.b, node)
    _see(a, solution)
    moved = _pushed(a, solution, solution.equations, tangents)
    given: dict[Pairs, list[list[Node]]] = {}
    for k, terms in enumerate(moved):
        for term in terms:
            _gather(a, solution, given, k, term)
    found: dict[int, list[Term]] = {}
    for pairs, parts in given.items():
        for k, z in enumerate(_solve(a, solution, parts, transposed=False)):
            found.setdefault(k, []).append(Term(z, pairs))
    return found


def push_value(a: Algebra, solution: Solution, tangents: Mapping[int, list[Term]]) -> list[Term]:
    """The tangent of the least value of a problem: that of the Lagrangian."""
    assert solution.lagrangian is not None
    _see(a, solution)
    return _pushed(a, solution, [solution.lagrangian], tangents)[0]


def _pushed(
    a: Algebra, solution: Solution, roots: Sequence[Node], tangents: Mapping[int, list[Term]]
) -> list[list[Term]]:
    from vspec.compiler.calculus.sweeps import depends, forward, see

    xs = list({x.uid: x for x in solution.operands if tangents.get(x.uid)}.values())
    nodes = depends(roots, xs, solution.fixed)
    see(a, nodes)
    moved = forward(a, {x.uid: tangents[x.uid] for x in xs}, nodes)
    return [moved.get(root.uid, []) for root in roots]


def _see(a: Algebra, solution: Solution) -> None:
    for n in (*solution.unknowns, *solution.equations):
        a.see(n.axes)


def _gather(a: Algebra, solution: Solution, given: dict[Pairs, list[list[Node]]], k: int, term: Term) -> None:
    """Puts what a term says of an unknown, or of its equation, with all that has the same deltas."""
    names = [x.name for x in solution.own(k)]
    term = a.settle(term, names)
    parts = given.setdefault(term.pairs, [[] for _ in solution.unknowns])
    parts[k].append(a.spread(term.node, names))


# --- the linear system --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Matrix:
    """All slopes of a problem as one matrix, `[batch, rows, columns]`, with the groups of axes along both."""

    node: Node
    rows: Axis
    columns: Axis
    of_rows: tuple[tuple[Axis, ...], ...]
    of_columns: tuple[tuple[Axis, ...], ...]


def _slope(a: Algebra, solution: Solution, k: int, j: int) -> Slope:
    """The derivative of an equation by an unknown."""
    from vspec.compiler.calculus.derive import derivative

    if (k, j) not in solution.slopes:
        letters = [Axis(a.b.fresh(x.name), x.dim) for x in solution.own(j)]
        shared = [Axis(x.name, x.dim) for x in solution.region.batch]
        node = derivative(a.b, solution.equations[k], solution.unknowns[j], [*shared, *letters])
        solution.slopes[k, j] = (node, tuple(x.name for x in letters))
    return solution.slopes[k, j]


def _solve(a: Algebra, solution: Solution, parts: Sequence[Sequence[Node]], transposed: bool) -> list[Node]:
    """Solves the linear system, or the transposed one, for right sides that are minus sums of `parts`."""
    given = [a.b.add(p) if p else a.b.number(0.0) for p in parts]
    direct = [a.b.neg(x) for x in _factored(a, solution, given, transposed)]
    return systems(a, solution, given, transposed, direct)


def _factored(a: Algebra, solution: Solution, given: Sequence[Node], transposed: bool) -> list[Node]:
    """The solutions for the right sides themselves, by the matrix of all slopes."""
    b = a.b
    if len(given) == 1 and len(solution.own(0)) <= 1:
        slope, letters = _slope(a, solution, 0, 0)
        if not letters:
            return [b.map(("div", slot(0), slot(1)), [given[0], slope], "real")]
        (own,), (column,) = solution.own(0), letters
        a.see([Axis(column, own.dim)])
        if transposed:
            right = b.rename(given[0], {own.name: column})
            return [b.linalg("solve", [slope, right], ((column, own.name), (column,)), [own])]
        found = b.linalg("solve", [slope, given[0]], ((own.name, column), (own.name,)), [Axis(column, own.dim)])
        return [b.rename(found, {column: own.name})]
    m = _matrix(a, solution)
    if transposed:
        right = b.stack(given, [solution.own(k) for k in range(len(given))], m.columns)
        whole = b.linalg("solve", [m.node, right], ((m.columns.name, m.rows.name), (m.columns.name,)), [m.rows])
        axis = m.rows
    else:
        right = b.stack(given, [solution.own(k) for k in range(len(given))], m.rows)
        whole = b.linalg("solve", [m.node, right], ((m.rows.name, m.columns.name), (m.rows.name,)), [m.columns])
        axis = m.columns
    groups = [solution.own(k) for k in range(len(given))]
    return [b.part(whole, axis.name, groups, k) for k in range(len(given))]


def _matrix(a: Algebra, solution: Solution) -> Matrix:
    """The slopes side by side and one above the other."""
    if solution.matrix is not None:
        a.see((solution.matrix.rows, solution.matrix.columns))
        return solution.matrix
    b, count = a.b, len(solution.unknowns)
    groups = [solution.own(k) for k in range(count)]
    dim = _dim(b, groups)
    rows, columns = a.fresh(Axis("row", dim)), a.fresh(Axis("column", dim))
    lines = []
    for k in range(count):
        slopes = [_slope(a, solution, k, j) for j in range(count)]
        across = [
            [Axis(n, x.dim) for n, x in zip(letters, group, strict=True)]
            for (_, letters), group in zip(slopes, groups, strict=True)
        ]
        lines.append(b.stack([node for node, _ in slopes], across, columns))
    node = b.stack(lines, groups, rows)
    solution.matrix = Matrix(node, rows, columns, tuple(groups), tuple(groups))
    return solution.matrix


def _dim(b: Builder, groups: Sequence[Sequence[Axis]]) -> str:
    """The dim of all unknown numbers in a row."""
    dim = "+".join("*".join(x.dim for x in group) or "1" for group in groups) + "~all"
    if dim not in b.dims:
        sizes = [[b.size(x.dim) for x in group] for group in groups]
        total = b.map(
            ("add", num(0), *(("mul", num(1), *p) for p in _slots(sizes))),
            [x for group in sizes for x in group],
            "integer",
        )
        b.dims[dim] = int(total.attrs[0]) if total.kind is Kind.CONST and total.op == "number" else total
    return dim


def _slots(sizes: Sequence[Sequence[Node]]) -> list[list[Tree]]:
    """For each group the slots of its sizes, numbered through."""
    found: list[list[Tree]] = []
    at = 0
    for group in sizes:
        found.append([slot(at + k) for k in range(len(group))])
        at += len(group)
    return found


# --- least values -------------------------------------------------------------------------------------------------


def least_values(b: Builder, nodes: Sequence[Node]) -> dict[int, Solution]:
    """Those of the nodes, by uid, that are the least or greatest value of a problem whose unknowns are among them."""
    found: dict[int, Solution] = {}
    for node in nodes:
        if node.kind is not Kind.REGION or not isinstance(node.attrs[0], Solve) or node.attrs[0].op not in EXTREMES:
            continue
        unknowns = node.attrs[0].sought
        moving = any(n.kind is Kind.ITEM and n.inputs[0] is node and n.attrs[0] < unknowns for n in nodes)
        if node.attrs[0].gradient in ("unrolled", "none") or not moving:
            continue
        solution = solution_of(b, node)
        value = solution.value
        if value is None:
            continue
        classes = Classes()
        for n in topological([value, *nodes]):
            classes.add(n)
        face = classes.faces[value.uid]
        found |= {n.uid: solution for n in nodes if classes.faces[n.uid] == face}
    return found
