"""A graph as a drawing for a page, in the page's colours: each node by itself, or of a large graph each definition."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import networkx as nx

from vspec.compiler.graph.cost import Sizes, flops
from vspec.compiler.graph.graph import Graph
from vspec.compiler.graph.node import Kind, Node
from vspec.compiler.report.boxes import WIDTH, Point, box, curve, placed
from vspec.compiler.report.drawing import label
from vspec.compiler.report.explain import ROLES
from vspec.compiler.report.table import quantity

MOST_NODES = 48
MOST_BOXES = 90
MOST_ACROSS = 6

# The page's colours, by kind: light for leaves, warm for sums, blue for linear algebra, grey for moves.
FILLS: Mapping[Kind, str] = {
    Kind.INPUT: "k0",
    Kind.CONST: "k1",
    Kind.INDEX: "k1",
    Kind.MAP: "k2",
    Kind.REDUCE: "k3",
    Kind.CUMULATE: "k3",
    Kind.CONTRACT: "k4",
    Kind.LINALG: "k5",
    Kind.REGION: "k6",
    Kind.ITEM: "k6",
    Kind.RANDOM: "k7",
    Kind.CALL: "k6",
}


@dataclass(frozen=True, slots=True)
class Box:
    """One box: two lines of text, what a pointer is told, a colour, whether it is a result."""

    first: str
    second: str
    title: str
    fill: str
    result: bool


def overview(graph: Graph) -> tuple[str, str]:
    """The SVG of a graph and a sentence that says what is drawn; no SVG where it would have too many boxes."""
    nodes = graph.nodes
    if len(nodes) <= MOST_NODES:
        boxes, edges = _nodes(graph)
        return _svg(boxes, edges), f"{len(nodes)} nodes; results have a heavy frame."
    boxes, edges = _groups(graph)
    if len(boxes) > MOST_BOXES:
        return (
            "",
            f"{len(nodes)} nodes of {len(boxes)} definitions: too many for a drawing; 'vspec explain' lists them.",
        )
    return _svg(boxes, edges), f"{len(nodes)} nodes, drawn by the definition that they belong to."


def _nodes(graph: Graph) -> tuple[list[Box], list[tuple[int, int]]]:
    results = {n.uid for n in graph.roots}
    number = {n.uid: k for k, n in enumerate(graph.nodes)}
    boxes = []
    for n in graph.nodes:
        first, second = label(n)
        where = f", line {n.origin.line}" if n.origin.line and not n.origin.file else ""
        boxes.append(Box(first, second, f"{first}: {second}{where}", FILLS.get(n.kind, "k1"), n.uid in results))
    edges = [(number[x.uid], number[n.uid]) for n in graph.nodes for x in dict.fromkeys(n.inputs)]
    return boxes, edges


def _groups(graph: Graph) -> tuple[list[Box], list[tuple[int, int]]]:
    """Nodes put together by the definition and the sweep they belong to; those that read each other are one."""
    sizes = Sizes.of(graph)
    members: dict[str, list[Node]] = {}
    of = _belonging(graph)
    for n in graph.nodes:
        members.setdefault(of[n.uid], []).append(n)
    g: nx.DiGraph = nx.DiGraph()
    g.add_nodes_from(members)
    g.add_edges_from((of[x.uid], of[n.uid]) for n in graph.nodes for x in n.inputs if of[x.uid] != of[n.uid])
    order = {key: k for k, key in enumerate(members)}
    parts = sorted(
        (sorted(c, key=order.__getitem__) for c in nx.strongly_connected_components(g)), key=lambda c: order[c[0]]
    )
    number = {key: k for k, part in enumerate(parts) for key in part}
    results = {n.uid for n in graph.roots}
    boxes = [_group_box(part, [n for key in part for n in members[key]], results, sizes) for part in parts]
    edges = sorted({(number[a], number[b]) for a, b in g.edges if number[a] != number[b]})
    return boxes, edges


def _belonging(graph: Graph) -> dict[int, str]:
    """The group of each node: its definition and sweep; a node without a name belongs to what reads it first."""
    of: dict[int, str] = {}
    for n in graph.nodes:
        role = n.origin.role if n.origin.role in ROLES else ""
        if n.kind is Kind.INPUT:
            of[n.uid] = f"{n.op} {n.attrs[0]}"
        elif n.origin.name:
            of[n.uid] = f"{ROLES.get(role, '')}{n.origin.name}"
    entry = {r.node.uid: e.name for e in reversed(graph.entries) for r in e.results}
    readers: dict[int, Node] = {}
    for n in reversed(graph.nodes):
        if n.uid not in of:
            reader = readers.get(n.uid)
            of[n.uid] = of[reader.uid] if reader is not None else f"result of {entry.get(n.uid, 'the program')}"
        for x in n.inputs:
            readers[x.uid] = n
    return of


def _group_box(part: Sequence[str], nodes: Sequence[Node], results: set[int], sizes: Sizes) -> Box:
    first = part[0] if len(part) == 1 else f"{part[0]} + {len(part) - 1}"
    cost = sum(flops(n, sizes) for n in nodes)
    count = f"{len(nodes)} node{'s' if len(nodes) != 1 else ''}"
    second = f"{count}, {quantity(cost)} ops" if cost else count
    costly = max(nodes, key=lambda n: (flops(n, sizes), n.uid))
    title = f"{', '.join(part)}: {second}"
    return Box(first, second, title, FILLS.get(costly.kind, "k1"), any(n.uid in results for n in nodes))


def _layers(count: int, edges: Sequence[tuple[int, int]]) -> list[list[int]]:
    """Boxes below all that they read, leaves right above what reads them first, at most `MOST_ACROSS` in a row.

    In a row they are ordered by where what they read stands, leaves by where their readers stand among the rows.
    """
    g: nx.DiGraph = nx.DiGraph()
    g.add_nodes_from(range(count))
    g.add_edges_from(edges)
    depth: dict[int, int] = {}
    for k in nx.lexicographical_topological_sort(g):
        depth[k] = max((depth[p] + 1 for p in g.predecessors(k)), default=0)
    for k in range(count):
        if g.in_degree(k) == 0 and g.out_degree(k) > 0:
            depth[k] = min(depth[reader] for reader in g.successors(k)) - 1
    place: dict[int, float] = {}
    found: list[list[int]] = []

    def wish(k: int) -> tuple[float, int]:
        before = [place[p] for p in sorted(g.predecessors(k))]
        return (sum(before) / len(before) if before else 0.0, k)

    for level in range(max(depth.values(), default=-1) + 1):
        row = sorted((k for k in range(count) if depth[k] == level), key=wish)
        for start in range(0, len(row), MOST_ACROSS):
            part = row[start : start + MOST_ACROSS]
            place.update({k: position - (len(part) - 1) / 2 for position, k in enumerate(part)})
            found.append(part)
    return found


def _svg(boxes: Sequence[Box], edges: Sequence[tuple[int, int]]) -> str:
    rows = _layers(len(boxes), edges)
    where = placed(rows)
    said = f"graph of {len(boxes)} boxes"
    lines = [f'<svg {where.opening} font-size="10.5" role="img" aria-label="{said}"><title>{said}</title>']
    lines += [_edge(where.at[a], where.at[b]) for a, b in edges]
    lines += [_box(one, where.at[k]) for k, one in enumerate(boxes)]
    return "".join([*lines, "</svg>"])


def _edge(start: Point, end: Point) -> str:
    x, y = end[0] + WIDTH / 2, end[1]
    tip = f"M{x - 3:g} {y - 6:g}L{x:g} {y:g}L{x + 3:g} {y - 6:g}z"
    path = curve(start, end, short=4)
    return f'<path d="{path}" fill="none" stroke="var(--frame)"/><path d="{tip}" fill="var(--frame)"/>'


def _box(one: Box, at: Point) -> str:
    stroke = 'stroke="var(--ink)" stroke-width="1.8"' if one.result else 'stroke="var(--frame)"'
    inks = (' fill="var(--ink)"', ' fill="var(--soft)"')
    return box(at, (one.first, one.second), one.title, f'fill="var(--{one.fill})" {stroke}', inks)
