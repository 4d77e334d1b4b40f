"""What the derivatives of recurrences keep between the way there and back: a formula of sizes, in bytes where they are known.

An estimate: the states and the other reals of a step, each counted once; XLA may keep less. Two levels of checkpoints keep about
twice the square root of the number of steps of the states, and the reals of one step.
"""

from __future__ import annotations

from math import isqrt, prod
from typing import Any

from vspec.compiler.graph.cost import width
from vspec.compiler.graph.graph import Graph
from vspec.compiler.graph.node import Kind, Node, Region, innermost, region_nodes
from vspec.compiler.graph.rewrite import all_nodes

KEPT = frozenset({Kind.MAP, Kind.REDUCE, Kind.CONTRACT, Kind.LINALG, Kind.CUMULATE, Kind.GATHER, Kind.SCATTER})


def kept_by_loops(graph: Graph) -> list[dict[str, Any]]:
    """One record for each recurrence that a derivative goes back through."""
    found: dict[tuple[str, int], dict[str, Any]] = {}
    for node in all_nodes(graph):
        if node.kind is Kind.REGION and node.op == "vjp":
            region = innermost(node.attrs[0])
            if isinstance(region, Region):
                found.setdefault((region.name, node.origin.line), _record(graph, region, node.origin.line))
    return [found[key] for key in sorted(found, key=lambda k: (k[1], k[0]))]


def _record(graph: Graph, region: Region, line: int) -> dict[str, Any]:
    states = list(region.carry)
    inside = [n for n in region_nodes(region) if n.kind in KEPT and n.dtype == "real"]
    s, r = _elements(states), _elements(inside)
    steps = f"(size({region.axis.name.split('~')[0]}) - 1)"
    formula = f"{steps}*({s} + {r})" if region.adjoint == "stored" else f"2*sqrt{steps}*({s}) + {s} + {r}"
    numbers = [_count(graph, states), _count(graph, inside)]
    length = graph.dims.get(region.axis.dim)
    total = None
    if isinstance(length, int) and numbers[0] is not None and numbers[1] is not None:
        own, other = numbers[0], numbers[1]
        if region.adjoint == "stored":
            total = (length - 1) * (own + other)
        else:
            total = 2 * (isqrt(length - 1) + 1) * own + own + other
        total *= width("real", graph.precision)
    return {"states": region.name, "line": line, "adjoint": region.adjoint, "elements": formula, "bytes": total}


def _elements(nodes: list[Node]) -> str:
    """The number of elements as a sum of products of sizes."""
    counts: dict[str, int] = {}
    for n in nodes:
        text = "*".join(f"size({a.dim})" for a in sorted(n.axes, key=lambda a: a.dim)) or "1"
        counts[text] = counts.get(text, 0) + 1
    return " + ".join(t if k == 1 else f"{k}*{t}" for t, k in sorted(counts.items())) or "0"


def _count(graph: Graph, nodes: list[Node]) -> int | None:
    sizes = [[graph.dims.get(a.dim) for a in n.axes] for n in nodes]
    known = [[x for x in one if isinstance(x, int)] for one in sizes]
    if any(len(a) < len(b) for a, b in zip(known, sizes, strict=True)):
        return None
    return sum(prod(one) for one in known)
