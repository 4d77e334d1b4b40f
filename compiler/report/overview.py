"""A graph as a drawing for a page, in the page's colours: each node by itself, or of a large graph each definition."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

import networkx as nx

from vspec.compiler.graph.cost import Sizes, flops
from vspec.compiler.graph.graph import Graph
from vspec.compiler.graph.node import Kind, Node
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
BOX_WIDTH, BOX_HEIGHT, GAP_X, GAP_Y, MARGIN = 148, 40, 18, 40, 8


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
    most = max((len(r) for r in rows), default=1)
    width = 2 * MARGIN + most * (BOX_WIDTH + GAP_X) - GAP_X
    height = 2 * MARGIN + max(1, len(rows)) * (BOX_HEIGHT + GAP_Y) - GAP_Y
    at: dict[int, tuple[float, float]] = {}
    for depth, row in enumerate(rows):
        left = (width - len(row) * (BOX_WIDTH + GAP_X) + GAP_X) / 2
        for k, box in enumerate(row):
            at[box] = (left + k * (BOX_WIDTH + GAP_X), MARGIN + depth * (BOX_HEIGHT + GAP_Y))
    said = f"graph of {len(boxes)} boxes"
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}" height="{height:g}"'
        f' font-size="10.5" role="img" aria-label="{said}"><title>{said}</title>'
    ]
    lines += [_edge(at[a], at[b]) for a, b in edges]
    lines += [_box(box, at[k]) for k, box in enumerate(boxes)]
    return "".join([*lines, "</svg>"])


def _edge(start: tuple[float, float], end: tuple[float, float]) -> str:
    x0, y0 = start[0] + BOX_WIDTH / 2, start[1] + BOX_HEIGHT
    x1, y1 = end[0] + BOX_WIDTH / 2, end[1]
    middle = (y0 + y1) / 2
    path = f"M{x0:g} {y0:g}C{x0:g} {middle:g} {x1:g} {middle:g} {x1:g} {y1 - 4:g}"
    tip = f"M{x1 - 3:g} {y1 - 6:g}L{x1:g} {y1:g}L{x1 + 3:g} {y1 - 6:g}z"
    return f'<path d="{path}" fill="none" stroke="var(--frame)"/><path d="{tip}" fill="var(--frame)"/>'


def _box(box: Box, at: tuple[float, float]) -> str:
    x, y = at
    centre = x + BOX_WIDTH / 2
    stroke = 'stroke="var(--ink)" stroke-width="1.8"' if box.result else 'stroke="var(--frame)"'
    return (
        f"<g><title>{escape(box.title)}</title>"
        f'<rect x="{x:g}" y="{y:g}" width="{BOX_WIDTH}" height="{BOX_HEIGHT}" rx="6" fill="var(--{box.fill})" {stroke}/>'
        f'<text x="{centre:g}" y="{y + 17:g}" text-anchor="middle" font-weight="600" fill="var(--ink)">'
        f"{escape(_clip(box.first))}</text>"
        f'<text x="{centre:g}" y="{y + 31:g}" text-anchor="middle" fill="var(--soft)">{escape(_clip(box.second))}</text></g>'
    )


def _clip(text: str, most: int = 25) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
