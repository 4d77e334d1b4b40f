"""What a node costs: operations, bytes moved, and the peak of memory of an entry.

Sizes that are known only at run time count as `NOMINAL` or, along params, `NOMINAL_UNKNOWNS`. The figures order
alternatives and make the report's before and after comparable; they do not predict seconds.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from math import prod

from vspec.compiler.graph.assumed import assumed
from vspec.compiler.graph.call import operations
from vspec.compiler.graph.graph import Graph
from vspec.compiler.graph.kernel import BORDER, Kernel, Tree, kernel, walk
from vspec.compiler.graph.node import Axis, Blocks, Either, Kind, Node, Pull, Solve, topological
from vspec.compiler.graph.residuals import Count, kept
from vspec.compiler.graph.tuning import rows_at_once

NOMINAL = 10_000
NOMINAL_UNKNOWNS = 100

# A search for an implicit quantity takes about this many steps; one for the solution of a linear system as many as leave
# rounding of double precision, 1e-12, of what is halved in each. What is known of a system for a Krylov method is less.
NOMINAL_STEPS = 10
NOMINAL_LINEAR_STEPS = 40
NOMINAL_PRODUCTS = 200

# In so many steps the kernel that products are taken with is made anew.
ANEW = 5

# Transcendental functions cost about this many multiplications.
TRANSCENDENTAL = 10
SIMPLE = frozenset(
    {"add", "sub", "mul", "div", "neg", "abs", "sign", "maximum", "minimum", "clip", "square", "relu"}
    | {"lt", "le", "gt", "ge", "eq", "ne", "and", "or", "not", "where", "real", "integer"}
    | {"copysign", *BORDER}
)

# What these cost, in products of the matrix with its transpose.
DECOMPOSED = {"expm": 16, "eigvalsh": 4, "eigh": 9, "svdvals": 4, "svd_left": 14, "svd_right": 14}


@dataclass(frozen=True, slots=True)
class Cost:
    """Operations, bytes read and written, and the most bytes alive at once."""

    flops: float = 0.0
    bytes: float = 0.0
    peak: float = 0.0


class Sizes:
    """Sizes of dims, where they are known only at run time nominal ones: examples outnumber the unknowns."""

    def __init__(self, dims: Mapping[str, int | Node | None], unknowns: Iterable[str] = ()) -> None:
        self.dims = dims
        self.unknowns = frozenset(unknowns)
        self._known: dict[str, int] = {}

    @classmethod
    def of(cls, graph: Graph) -> Sizes:
        """The sizes of a graph; a dim that some param has is a dim of unknowns."""
        return cls(graph.dims, (a.dim for n in graph.inputs.values() if n.op == "param" for a in n.axes))

    def dim(self, dim: str) -> int:
        """The size of a dim, or the one that is assumed of it, or the nominal one."""
        known = self.dims.get(dim)
        if isinstance(known, int):
            return known
        if (supposed := assumed(dim)) is not None:
            return supposed
        return NOMINAL_UNKNOWNS if dim in self.unknowns else NOMINAL

    def having(self, dim: str, size: int) -> Sizes:
        """These sizes and that of one more dim."""
        return Sizes({**self.dims, dim: size}, self.unknowns)

    def count(self, axes: Iterable[Axis]) -> int:
        """How many elements an array with these axes has."""
        known, total = self._known, 1
        for a in axes:
            size = known.get(a[1])
            if size is None:
                size = known[a[1]] = self.dim(a[1])
            total *= size
        return total


def width(dtype: str, precision: str) -> int:
    """Bytes per element."""
    if dtype == "boolean":
        return 1
    return (8 if precision == "float64" else 4) * (2 if dtype == "complex" else 1)


def kernel_flops(tree: Tree) -> int:
    """Operations of a kernel at one point."""
    return _at_a_point(kernel(tree))


@cache
def _at_a_point(k: Kernel) -> int:
    total = 0
    for t in walk(k.tree):
        if t[0] in ("x", "num", "real", "integer"):
            continue
        if t[0] in SIMPLE:
            total += max(1, len(t) - 2)
        elif t[0] == "pow" and t[2][0] == "num" and isinstance(t[2][1], int):
            total += max(1, abs(t[2][1]).bit_length())
        else:
            total += TRANSCENDENTAL
    return total


def flops(node: Node, sizes: Sizes) -> float:
    """Operations of one node; a loop counts its body once per step."""
    own = sizes.count(node.axes)
    if node.kind is Kind.MAP:
        return own * kernel_flops(node.attrs[0].tree)
    if node.kind is Kind.REDUCE:
        return sizes.count(node.inputs[0].axes) * (TRANSCENDENTAL if node.op == "logsumexp" else 1)
    if node.kind is Kind.CONTRACT:
        union = {a.name: a for x in (node, *node.inputs) for a in x.axes}
        return sizes.count(union.values()) * len(node.inputs)
    if node.kind is Kind.CUMULATE:
        along = sizes.dim(node.axis(node.attrs[0]).dim)
        return own * {"linear": 3, "pivots": 3, "argsort": max(1, along.bit_length())}.get(node.op, 1)
    if node.kind is Kind.SCATTER:
        return sizes.count(node.inputs[0].axes)
    if node.kind is Kind.LINALG:
        cores, result = node.attrs
        batch = [a for a in node.axes if a.name not in result]
        matrix = node.inputs[0]
        rows = sizes.dim(matrix.axis(cores[0][0]).dim)
        # Right sides count as columns, not as systems of their own.
        systems = sizes.count(a for a in batch if a.name in matrix.names)
        columns = sizes.count(a for a in batch if a.name not in matrix.names)
        if node.op in ("convolve", "deconvolve", "logdet_circulant"):
            # Transforms of Fourier.
            return float(15 * sizes.count(batch) * rows * max(1, rows.bit_length()))
        power = 2 if node.op.startswith("triangular") else 3
        if node.op in DECOMPOSED:
            square = sizes.dim(matrix.axis(cores[0][1]).dim) ** 2
            return float(systems * DECOMPOSED[node.op] * rows * square)
        factor = rows**power / (2 if node.op.endswith(("_pd", "_tried")) else 1)
        return float(systems * (factor + columns * rows**2))
    if node.kind is Kind.CALL:
        return call_flops(node, sizes)
    if node.kind is Kind.REGION:
        region, factor = node.attrs[0], 1.0
        while isinstance(region, Pull):
            factor *= 3 * sizes.count(region.batch)
            region = region.inner
        if isinstance(region, Solve):
            return factor * solve_flops(region, sizes)
        if isinstance(region, Either):
            # The second way is there for when the first would lose something.
            return factor * sum(flops(n, sizes) for n in topological(region.body[:1]))
        if isinstance(region, Blocks):
            whole = sizes.having(region.axis.dim, sizes.dim(region.dim))
            return factor * sum(flops(n, whole) for n in topological(region.roots))
        steps = sizes.dim(region.axis.dim)
        plain = sum(flops(n, sizes) for n in topological(region.steps))
        if region.products is None:
            return factor * steps * plain
        made = sum(flops(n, sizes) for n in topological((*region.steps, *region.products.terms, *region.products.made)))
        quick = sum(flops(n, sizes) for n in topological(region.products.quick))
        return factor * (min(steps, ANEW) * made + steps * quick)
    return 0.0


def call_flops(node: Node, sizes: Sizes) -> float:
    """Operations of a call: of a convolution those of its sums."""
    cores, _, function = node.attrs
    shapes = [[sizes.dim(x.axis(n).dim) for n in core] for x, core in zip(node.inputs, cores, strict=True)]
    batch = sizes.count(a for a in node.axes if a.name not in node.attrs[1])
    return float(batch * operations(function, shapes, sizes.count(a for a in node.axes if a.name in node.attrs[1])))


def solve_flops(region: Solve, sizes: Sizes) -> float:
    """Operations of a nominal number of steps for each problem; one that asks for slopes factors their matrix."""
    body = sum(flops(n, sizes) for n in topological(region.body))
    unknowns = sum(sizes.count(u.axes) for u in region.unknowns)
    own = unknowns**3 if region.of("slope") else unknowns
    steps = NOMINAL_STEPS
    if region.linear:
        steps = NOMINAL_LINEAR_STEPS if region.of("map") else NOMINAL_PRODUCTS
    return float(sizes.count(region.batch) * steps * (body + own))


def sweep_bytes(pull: Pull, precision: str) -> Count:
    """What the reverse sweep through a loop keeps of the way there, in bytes as a sum of products of sizes."""
    return kept(pull, lambda dtype: width(dtype, precision))


def size(node: Node, sizes: Sizes, precision: str) -> int:
    """Bytes of a node's value, of a reverse sweep what it keeps; leaves and renames own none."""
    if node.kind is Kind.REGION and isinstance(node.attrs[0], Pull):
        return sweep_bytes(node.attrs[0], precision).value(sizes.dim)
    if node.kind is Kind.REGION and isinstance(node.attrs[0], Blocks):
        return block_bytes(node.attrs[0], sizes)
    if node.kind in (Kind.CONST, Kind.REINDEX, Kind.STOP, Kind.REGION):
        return 0
    return sizes.count(node.axes) * width(node.dtype, precision)


def row_bytes(region: Blocks, sizes: Sizes) -> int:
    """What one row of a loop over rows takes."""
    number, dims = region.row
    return number * prod(sizes.dim(d) for d in dims)


def block_bytes(region: Blocks, sizes: Sizes) -> int:
    """What a loop over rows takes at a time."""
    row = row_bytes(region, sizes)
    total = sizes.dim(region.dim)
    return row * (min(region.rows, total) if region.rows else rows_at_once(total, row, region.memory, region.chunk))


def entry_cost(roots: Iterable[Node], sizes: Sizes, precision: str, unmade: Collection[int] = frozenset()) -> Cost:
    """The cost of computing some nodes together, each value freed after its last reader. `unmade`: those, by uid, that are no
    arrays since their readers compute them element by element."""
    return Costs(sizes, precision, unmade).together(roots)


class Costs:
    """What nodes cost at given sizes, each looked at once however many entries and graphs it is in."""

    def __init__(self, sizes: Sizes, precision: str, unmade: Collection[int] = frozenset()) -> None:
        self.sizes = sizes
        self.precision = precision
        self.unmade = unmade
        self._own: dict[int, tuple[float, int]] = {}
        self._known: dict[tuple[int, ...], Cost] = {}

    @classmethod
    def of(cls, graph: Graph, before: Costs | None = None) -> Costs:
        """Those of a graph; what is known `before` of nodes at the same sizes is kept."""
        sizes = Sizes.of(graph)
        if before is not None and (sizes.dims, sizes.unknowns) == (before.sizes.dims, before.sizes.unknowns):
            return before
        return cls(sizes, graph.precision)

    def own(self, node: Node) -> tuple[float, int]:
        """Operations of a node, and bytes of its value."""
        found = self._own.get(node.uid)
        if found is None:
            made = 0 if node.uid in self.unmade else size(node, self.sizes, self.precision)
            found = flops(node, self.sizes), made
            self._own[node.uid] = found
        return found

    def together(self, roots: Iterable[Node]) -> Cost:
        """The cost of computing some nodes together, each value freed after its last reader."""
        roots = list(roots)
        key = tuple(r.uid for r in roots)
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = self._together(roots)
        return found

    def _together(self, roots: list[Node]) -> Cost:
        order = topological(roots)
        own, known = self.own, self._own
        total, moved = 0.0, 0
        made: dict[int, int] = {}
        last: dict[int, int] = {}
        for k, n in enumerate(order):
            uid = n.uid
            operations, size = known.get(uid) or own(n)
            total += operations
            moved += size
            made[uid] = size
            for x in n.inputs:
                moved += made[x.uid]
                last[x.uid] = k
        for r in roots:
            last[r.uid] = len(order)
        leaving = [0] * (len(order) + 1)
        for uid, size in made.items():
            leaving[last[uid]] += size
        alive, peak = 0, 0
        for size, freed in zip(made.values(), leaving, strict=False):
            alive += size
            if alive > peak:
                peak = alive
            alive -= freed
        return Cost(total, float(moved), float(peak))


def graph_cost(graph: Graph, costs: Costs | None = None) -> Cost:
    """Operations and bytes of all entries, and the largest peak among them. What is prepared or held runs once and is left out.

    `costs`: what is known of the nodes at the sizes of this graph.
    """
    known = costs or Costs.of(graph)
    each = [known.together(r.node for r in e.results) for e in graph.entries if e.kind not in ("prepare", "hold")]
    return Cost(sum(c.flops for c in each), sum(c.bytes for c in each), max((c.peak for c in each), default=0.0))
