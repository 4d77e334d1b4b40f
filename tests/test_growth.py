"""A build grows with its spec no faster than linearly: operations are counted, not seconds.

A spec of definitions, each a formula of the one before, is built at three sizes, and the calls of Python functions are counted
stage by stage. Were there a part that grows with the square of the number of definitions, the second doubling would cost more
than twice the first: at these sizes a surplus of two thousandths would be a fifteenth of the whole at 10000 definitions.
"""

from __future__ import annotations

import cProfile
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from benchmarks.compile_time import chain
from vspec.compiler import pipeline
from vspec.compiler.calculus.known import facts_of
from vspec.compiler.calculus.program import lower_spec
from vspec.compiler.emit.python import emit_program
from vspec.compiler.graph.cost import Costs, graph_cost
from vspec.compiler.graph.graph import Graph
from vspec.compiler.graph.tuning import Tuning
from vspec.compiler.language.spec import Spec
from vspec.compiler.passes import PASSES, STABILISE_RULES, structure_rule

SIZES = (100, 200, 400)
SURPLUS = 0.002
STAGES = ("check", "calculus", *dict.fromkeys(p.name for p in PASSES), "cost", "emit")


def counted(work: Callable[[], Any], calls: dict[str, int], stage: str) -> Any:
    """What some work gives; its calls are added to those of its stage."""
    profile = cProfile.Profile()
    result = profile.runcall(work)
    calls[stage] = calls.get(stage, 0) + sum(e.callcount for e in profile.getstats())
    return result


def build(length: int) -> dict[str, int]:
    """The calls of every stage of a build."""
    calls: dict[str, int] = {}
    text = chain(length)
    spec: Spec = counted(lambda: pipeline.check_text(text, "chain.yaml")[0], calls, "check")
    rules = (*STABILISE_RULES, structure_rule(facts_of(spec), free=True))
    graph: Graph = counted(lambda: lower_spec(spec, rules), calls, "calculus")
    graph = replace(graph, notes={**graph.notes, "tuning": Tuning()})
    costs = Costs.of(graph)
    for p in PASSES:
        graph = counted(lambda p=p, g=graph: p.run(g), calls, p.name)
        counted(lambda g=graph: graph_cost(g, costs), calls, "cost")
    counted(lambda: emit_program(graph, spec), calls, "emit")
    return calls


@pytest.fixture(scope="module")
def calls() -> list[dict[str, int]]:
    build(SIZES[0])  # imports, and kernels that all sizes share
    return [build(n) for n in SIZES]


@pytest.mark.parametrize("stage", STAGES)
def test_twice_the_definitions_are_twice_the_work(stage: str, calls: list[dict[str, int]]) -> None:
    small, middle, large = (c[stage] for c in calls)
    first, second = middle - small, large - middle
    assert second <= 2 * first * (1 + SURPLUS), f"{stage}: {small}, {middle}, {large} calls"


def test_the_counts_see_a_square() -> None:
    """The measure itself: a loop over pairs is found out."""
    found = []
    for n in SIZES:
        calls: dict[str, int] = {}
        counted(lambda n=n: [abs(i - j) for i in range(n // 20) for j in range(n // 20)], calls, "pairs")
        found.append(calls["pairs"])
    small, middle, large = found
    assert large - middle > 2 * (middle - small) * (1 + SURPLUS)


def test_a_definition_costs_few_calls(calls: list[dict[str, int]]) -> None:
    """What one definition costs, all stages together: 8900 calls when this was written."""
    per_definition = (sum(calls[2].values()) - sum(calls[1].values())) / (SIZES[2] - SIZES[1])
    assert per_definition < 10_000
