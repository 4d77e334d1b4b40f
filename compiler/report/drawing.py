"""Drawings of a graph without any program of others: DOT text for Graphviz, Mermaid text, and an SVG that stands alone.

The SVG lays nodes out in layers, each below all of its inputs, ordered within a layer by where their inputs stand.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import networkx as nx

from vspec.compiler.graph.graph import Graph
from vspec.compiler.graph.node import Kind, Node
from vspec.compiler.report.explain import axes_of, what

# Fill colours that keep apart in print, too: light for leaves, warm for sums, blue for linear algebra, grey for moves.
COLOURS: dict[Kind, str] = {
    Kind.INPUT: "#e8f4e5",
    Kind.CONST: "#f4f4f4",
    Kind.INDEX: "#f4f4f4",
    Kind.MAP: "#fff7d6",
    Kind.REDUCE: "#fde0c5",
    Kind.CUMULATE: "#fde0c5",
    Kind.CONTRACT: "#f9c9b0",
    Kind.LINALG: "#cfe0f5",
    Kind.REGION: "#e3d5ef",
    Kind.ITEM: "#efe7f6",
    Kind.RANDOM: "#f8d3e0",
    Kind.CALL: "#e3d5ef",
}
PLAIN = "#e6e6e6"

BOX_WIDTH, BOX_HEIGHT, GAP_X, GAP_Y, MARGIN = 150, 40, 20, 44, 20


def view(graph: Graph, entry: str | None = None) -> nx.MultiDiGraph:
    """The networkx view of a graph, or of what one entry needs. Raises ValueError if there is no such entry."""
    if entry is None:
        return graph.digraph
    found = [e for e in graph.entries if e.name == entry]
    if not found:
        raise ValueError(f"no entry '{entry}'; there are {', '.join(e.name for e in graph.entries)}")
    return graph.with_entries(tuple(found)).digraph


def label(n: Node) -> tuple[str, str]:
    """What a node is and does: two lines."""
    name = n.attrs[0] if n.kind is Kind.INPUT else n.origin.name
    mark = (
        {"adjoint": "adjoint of ", "tangent": "tangent of "}.get(n.origin.role, "") if n.kind is not Kind.INPUT else ""
    )
    axes = f"[{', '.join(axes_of(n))}]"
    return (f"{mark}{name} {axes}" if name else axes, what(n))


def _results(graph: Graph) -> frozenset[int]:
    return frozenset(n.uid for n in graph.roots)


def _ordered(g: nx.MultiDiGraph) -> tuple[list[Node], dict[int, int]]:
    """The nodes in order of creation, numbered from 0 so that equal graphs give equal text."""
    nodes = sorted(g.nodes, key=lambda n: n.uid)
    return nodes, {n.uid: k for k, n in enumerate(nodes)}


def dot(graph: Graph, entry: str | None = None) -> str:
    """The graph in Graphviz's language."""
    g = view(graph, entry)
    nodes, number = _ordered(g)
    results = _results(graph)
    lines = [
        "digraph program {",
        "  rankdir=TB;",
        '  node [shape=box, style="rounded,filled", fontname="Helvetica", fontsize=10];',
    ]
    for n in nodes:
        text = "\\n".join(part.replace("\\", "\\\\").replace('"', '\\"') for part in label(n))
        bold = ", penwidth=2" if n.uid in results else ""
        lines.append(f'  n{number[n.uid]} [label="{text}", fillcolor="{COLOURS.get(n.kind, PLAIN)}"{bold}];')
    for n in nodes:
        lines += [f"  n{number[x.uid]} -> n{number[n.uid]};" for x in n.inputs]
    return "\n".join([*lines, "}"]) + "\n"


def mermaid(graph: Graph, entry: str | None = None) -> str:
    """The graph in Mermaid's language, which Markdown viewers draw."""
    g = view(graph, entry)
    nodes, number = _ordered(g)
    lines = ["flowchart TD"]
    for n in nodes:
        text = "<br/>".join(escape(part, quote=True).replace("[", "&#91;").replace("]", "&#93;") for part in label(n))
        lines.append(f'  n{number[n.uid]}["{text}"]:::{n.kind}')
    for n in nodes:
        lines += [f"  n{number[x.uid]} --> n{number[n.uid]}" for x in n.inputs]
    kinds = sorted({n.kind for n in nodes})
    lines += [f"  classDef {k} fill:{COLOURS.get(k, PLAIN)},stroke:#555" for k in kinds]
    return "\n".join(lines) + "\n"


def layers(g: nx.MultiDiGraph) -> list[list[Node]]:
    """Nodes by distance from the leaves; within a layer by the average place of their inputs, then by creation."""
    place: dict[int, float] = {}
    found: list[list[Node]] = []
    for generation in nx.topological_generations(g):
        row = sorted(
            generation,
            key=lambda n: (sum(place[x.uid] for x in n.inputs) / len(n.inputs) if n.inputs else 0.0, n.uid),
        )
        for k, n in enumerate(row):
            place[n.uid] = k - (len(row) - 1) / 2
        found.append(row)
    return found


def svg(graph: Graph, entry: str | None = None) -> str:
    """The graph as an SVG document of its own."""
    g = view(graph, entry)
    rows = layers(g)
    results = _results(graph)
    most = max((len(r) for r in rows), default=1)
    width = 2 * MARGIN + most * (BOX_WIDTH + GAP_X) - GAP_X
    height = 2 * MARGIN + max(1, len(rows)) * (BOX_HEIGHT + GAP_Y) - GAP_Y
    at: dict[int, tuple[float, float]] = {}
    for depth, row in enumerate(rows):
        left = (width - len(row) * (BOX_WIDTH + GAP_X) + GAP_X) / 2
        for k, n in enumerate(row):
            at[n.uid] = (left + k * (BOX_WIDTH + GAP_X), MARGIN + depth * (BOX_HEIGHT + GAP_Y))
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}" height="{height:g}"'
        ' font-family="Helvetica, Arial, sans-serif" font-size="10">',
        '<defs><marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="6" markerHeight="6" orient="auto">'
        '<path d="M0 0L8 4L0 8z" fill="#777"/></marker></defs>',
    ]
    nodes = [n for row in rows for n in row]
    for n in nodes:
        lines += [_edge(at[x.uid], at[n.uid]) for x in dict.fromkeys(n.inputs)]
    lines += [_box(n, at[n.uid], n.uid in results) for n in nodes]
    return "\n".join([*lines, "</svg>"]) + "\n"


def _edge(start: tuple[float, float], end: tuple[float, float]) -> str:
    x0, y0 = start[0] + BOX_WIDTH / 2, start[1] + BOX_HEIGHT
    x1, y1 = end[0] + BOX_WIDTH / 2, end[1]
    middle = (y0 + y1) / 2
    path = f"M{x0:g} {y0:g}C{x0:g} {middle:g} {x1:g} {middle:g} {x1:g} {y1:g}"
    return f'<path d="{path}" fill="none" stroke="#999" marker-end="url(#arrow)"/>'


def _box(n: Node, at: tuple[float, float], result: bool) -> str:
    x, y = at
    first, second = (_clip(t) for t in label(n))
    centre, fill = x + BOX_WIDTH / 2, COLOURS.get(n.kind, PLAIN)
    stroke = 'stroke="#222" stroke-width="2"' if result else 'stroke="#888"'
    return (
        f"<g><title>{escape(' '.join(label(n)))}</title>"
        f'<rect x="{x:g}" y="{y:g}" width="{BOX_WIDTH}" height="{BOX_HEIGHT}" rx="6" fill="{fill}" {stroke}/>'
        f'<text x="{centre:g}" y="{y + 17:g}" text-anchor="middle" font-weight="bold">{escape(first)}</text>'
        f'<text x="{centre:g}" y="{y + 31:g}" text-anchor="middle">{escape(second)}</text></g>'
    )


def _clip(text: str, most: int = 26) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


DRAWINGS: Sequence[str] = ("dot", "mermaid", "svg")
