"""The passes in the order they run: each maps a graph to a graph of the same results.

A pass is a module with `run(graph) -> graph` and `DOC`, one sentence of what it promises. Level 0 runs none of them, level 1
those that never make a program slower, level 2 all. What correctness needs is done before: formulas are lowered as written.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass

from vspec.compiler.graph.cost import Costs, graph_cost
from vspec.compiler.graph.graph import Graph
from vspec.compiler.graph.rewrite import all_nodes
from vspec.compiler.passes import (
    block,
    contract,
    dead,
    distances,
    fold,
    halve,
    hoist,
    intern,
    reciprocal,
    recompute,
    scaling,
    share,
    stabilise,
    structure,
    tile,
)
from vspec.compiler.passes.stabilise import STABILISE_RULES
from vspec.compiler.passes.structure import structure_rule


@dataclass(frozen=True, slots=True)
class Pass:
    """A pass: the name by which it is switched off, its promise, the level from which on it runs."""

    name: str
    doc: str
    level: int
    run: Callable[[Graph], Graph]


@dataclass(frozen=True, slots=True)
class Figures:
    """The size of a program: nodes (bodies of loops included), operations, bytes moved, and the largest peak of memory."""

    nodes: int
    flops: float
    bytes: float
    peak: float


@dataclass(frozen=True, slots=True)
class PassRecord:
    """What one run of a pass did."""

    name: str
    before: Figures
    after: Figures
    seconds: float


INTERN = Pass("intern", intern.DOC, 1, intern.run)
SETTLE = Pass("intern", intern.DOC, 1, intern.settled)
DEAD = Pass("dead", dead.DOC, 1, dead.run)
FOLD = Pass("fold", fold.DOC, 1, fold.run)
RECOMPUTE = Pass("recompute", recompute.DOC, 1, recompute.run)
HOIST = Pass("hoist", hoist.DOC, 2, hoist.run)
STABILISE = Pass("stabilise", stabilise.DOC, 1, stabilise.run)
CONTRACT = Pass("contract", contract.DOC, 2, contract.run)
TILE = Pass("tile", tile.DOC, 2, tile.run)
SHARE = Pass("share", share.DOC, 2, share.run)
HALVE = Pass("halve", halve.DOC, 2, halve.run)
BLOCK = Pass("block", block.DOC, 1, block.run)
DISTANCES = Pass("distances", distances.DOC, 2, distances.run)
RECIPROCAL = Pass("reciprocal", reciprocal.DOC, 2, reciprocal.run)
SCALING = Pass("scaling", scaling.DOC, 2, scaling.run)
STRUCTURE = Pass("structure", structure.DOC, 2, structure.run)

# The only place that knows the order. Interning again merges what a pass before it made twice; the last time settles orders.
PASSES: tuple[Pass, ...] = (
    STABILISE, INTERN, STRUCTURE, INTERN, SCALING, FOLD, INTERN, CONTRACT, INTERN, HALVE, TILE, SHARE, RECOMPUTE, HOIST,
    SETTLE, BLOCK, DISTANCES, RECIPROCAL, DEAD,
)  # fmt: skip

NAMES: tuple[str, ...] = tuple(dict.fromkeys(p.name for p in PASSES))


def run_passes(graph: Graph, level: int = 2, disable: Collection[str] = ()) -> tuple[Graph, tuple[PassRecord, ...]]:
    """Runs the passes of a level but for those in `disable`, with a record of each.

    Raises ValueError for a name in `disable` that is no pass.
    """
    unknown = sorted(set(disable) - set(NAMES))
    if unknown:
        raise ValueError(f"no pass is called {', '.join(map(repr, unknown))}; the passes are {', '.join(NAMES)}")
    records: list[PassRecord] = []
    chosen = [p for p in PASSES if p.level <= level and p.name not in disable]
    costs = Costs.of(graph)
    before = figures(graph, costs) if chosen else None
    for p in chosen:
        start = time.perf_counter()
        found = p.run(graph)
        seconds = time.perf_counter() - start
        assert before is not None
        after = before
        if found is not graph:
            costs = Costs.of(found, costs)
            after = figures(found, costs)
        records.append(PassRecord(p.name, before, after, seconds))
        before, graph = after, found
    return graph, tuple(records)


def figures(graph: Graph, costs: Costs | None = None) -> Figures:
    """The figures of a graph, unknown sizes at their nominal value. `costs`: what is known of its nodes."""
    cost = graph_cost(graph, costs)
    return Figures(len(all_nodes(graph)), cost.flops, cost.bytes, cost.peak)


__all__ = [
    "NAMES",
    "PASSES",
    "STABILISE_RULES",
    "Figures",
    "Pass",
    "PassRecord",
    "figures",
    "run_passes",
    "structure_rule",
]
