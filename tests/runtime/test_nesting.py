"""Random plans, nested as they may be, against an interpreter in plain Python."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import jax
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.runtime.plans import close, derivatives, program, roles, stage
from tests.support.effort import examples
from vspec.runtime.run import run

Values = dict[str, float]


def blend(x, y, step):
    return {"x": 0.5 * x + 0.25 * y + 0.1 * step}


def swap(x, y, z, steps):
    return {"y": x - 0.5 * y, "z": 0.75 * z + steps}


def loss(x, y, z):
    return (x - y) ** 2 / 2 + (z - 1) ** 2 / 4 + 0.1 * x * z


def slopes(v: Values) -> Values:
    x, y, z = v["x"], v["y"], v["z"]
    return {"x": x - y + 0.1 * z, "y": y - x, "z": (z - 1) / 2 + 0.1 * x}


@dataclass
class Node:
    """A stage: a verb with its own steps, or none, or a repetition of others."""

    kind: str
    count: int | None
    inside: tuple["Node", ...] = ()
    memory: Values = field(default_factory=dict)

    def record(self) -> dict[str, Any]:
        if self.kind == "repeat":
            return stage("repeat", rounds=self.count, stages=[n.record() for n in self.inside])
        if self.kind in ("blend", "swap"):
            return stage("update", update=[self.kind], steps=self.count)
        fields = {"over": ["x", "y", "z"], "names": ["loss"], "entries": roles("loss"), "steps": self.count}
        return stage("minimize", ("sgd", {"lr": 0.05, "momentum": 0.5}), **fields)

    def nodes(self) -> Iterator["Node"]:
        yield self
        for n in self.inside:
            yield from n.nodes()

    def whole(self, v: Values) -> Values:
        """The stage from its start to its end."""
        for n in self.nodes():
            n.memory.clear()
        for k in range(self.count or 1):
            v = self.step(v, k, self.count or 1)
        return v

    def step(self, v: Values, k: int, steps: int) -> Values:
        if self.kind == "repeat":
            for n in self.inside:
                v = n.step(v, k, steps) if n.count is None else n.whole(v)
            return v
        if self.kind == "blend":
            return {**v, "x": 0.5 * v["x"] + 0.25 * v["y"] + 0.1 * k}
        if self.kind == "swap":
            return {**v, "y": v["x"] - 0.5 * v["y"], "z": 0.75 * v["z"] + steps}
        g = slopes(v)
        for p in v:
            self.memory[p] = 0.5 * self.memory.get(p, 0.0) + g[p]
        return {p: v[p] - 0.05 * self.memory[p] for p in v}


def leaves(own: bool) -> st.SearchStrategy[Node]:
    counts = st.integers(1, 4) if own else st.one_of(st.none(), st.integers(1, 4))
    return st.builds(Node, st.sampled_from(["blend", "swap", "sgd"]), counts)


def repeats(depth: int) -> st.SearchStrategy[Node]:
    parts = leaves(False) if depth == 0 else st.one_of(leaves(False), repeats(depth - 1))
    inside = st.lists(parts, min_size=1, max_size=3).map(tuple)
    return st.builds(Node, st.just("repeat"), st.integers(1, 4), inside)


plans = st.lists(st.one_of(leaves(True), repeats(2)), min_size=1, max_size=2)


@pytest.fixture(autouse=True)
def _wide() -> None:
    jax.config.update("jax_enable_x64", True)


@settings(max_examples=examples(12), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(plans)
def test_nested_plans(plan: list[Node]) -> None:
    start = {"x": 1.0, "y": -2.0, "z": 0.5}
    functions = {"initial": lambda: dict(start), **derivatives(loss, ["x", "y", "z"]), "blend": blend, "swap": swap}
    params = dict.fromkeys(start, ())
    result = run(
        program([n.record() for n in plan], functions, params, kinds=dict.fromkeys(("blend", "swap"), "update"))
    )
    expected = dict(start)
    for n in plan:
        expected = n.whole(expected)
    for name, value in expected.items():
        close(result.params[name], value, 1e-9)
    assert result.facts["steps"] == sum(n.count or 1 for n in plan)
