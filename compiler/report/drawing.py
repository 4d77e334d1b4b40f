"""Drawings of a graph without any program of others: DOT text for Graphviz, Mermaid text, and an SVG that stands alone.

The SVG lays nodes out in layers, each below all of its inputs, ordered within a layer by where their inputs stand.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import networkx as nx

from vspec.compiler.graph.graph import Graph
from vspec.compiler.graph.node import Kind, Node
from vspec.compiler.report.boxes import Point, box, curve, placed
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
    where = placed([[n.uid for n in row] for row in rows])
    lines = [
        f'<svg {where.opening} font-family="Helvetica, Arial, sans-serif" font-size="10">',
        '<defs><marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="6" markerHeight="6" orient="auto">'
        '<path d="M0 0L8 4L0 8z" fill="#777"/></marker></defs>',
    ]
    nodes = [n for row in rows for n in row]
    for n in nodes:
        lines += [_edge(where.at[x.uid], where.at[n.uid]) for x in dict.fromkeys(n.inputs)]
    lines += [_box(n, where.at[n.uid], n.uid in results) for n in nodes]
    return "\n".join([*lines, "</svg>"]) + "\n"


def _edge(start: Point, end: Point) -> str:
    return f'<path d="{curve(start, end)}" fill="none" stroke="#999" marker-end="url(#arrow)"/>'


def _box(n: Node, at: Point, result: bool) -> str:
    stroke = 'stroke="#222" stroke-width="2"' if result else 'stroke="#888"'
    return box(at, label(n), " ".join(label(n)), f'fill="{COLOURS.get(n.kind, PLAIN)}" {stroke}')


DRAWINGS: Sequence[str] = ("dot", "mermaid", "svg")
