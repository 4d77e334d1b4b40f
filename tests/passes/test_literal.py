"""Sums over indices and numbers are done by the compiler where the result is small, and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.evaluate import evaluate
from vspec.compiler import pipeline
from vspec.compiler.graph.builder import Builder
from vspec.compiler.graph.kernel import Tree, num, slot
from vspec.compiler.graph.node import Axis, Kind, Node, topological
from vspec.compiler.passes.literal import SMALL, Literals

I, J = Axis("i", "i"), Axis("j", "j")
DIMS = {"i": 12, "j": 6}


def emitted(body: str, sizes: str = "{i: 100, j: 5}", level: int = 2) -> str:
    text = (
        f"vspec: 1\nname: sums\nprecision: float64\ndims: {sizes}\nparams:\n  w[j]: {{init: 1}}\n"
        f"objectives:\n  loss: {body}\nsolve: {{minimize: loss}}\n"
    )
    spec, found = pipeline.check_text(text, "sums.yaml")
    assert spec is not None, found
    program = pipeline.compile_spec(spec, level=level).emitted.text
    start = program.index("\ndef loss(")
    return program[start : program.index("\n\n\n", start)]


def test_a_sum_of_indices_is_a_number() -> None:
    text = emitted("sum[j](w[j]**2)*sum[i](index(i))")
    assert "4950" in text
    assert "arange(100)" not in text
    assert "arange(100)" in emitted("sum[j](w[j]**2)*sum[i](index(i))", level=0)


def test_a_short_array_is_a_literal() -> None:
    text = emitted("sum[j](w[j]**2*sum[i](exp(-index(i)/(1 + index(j)))))")
    assert "exp" not in text
    assert "jnp.array(" in text


@pytest.mark.parametrize(
    ("body", "sizes"),
    [
        ("sum[j](w[j]**2*sum[i](exp(-index(i)/(1 + index(j)))))", "{i: 100, j: 40}"),  # 40 numbers
        ("sum[j](w[j]**2)*sum[i](exp(-index(i)))", "{i: 200000, j: 5}"),  # too much work
        ("sum[j](w[j]**2)*sum[i](exp(-index(i)))", "{i: auto, j: 5}"),  # no size
        ("sum[j](w[j]**2)*sum[i](lgamma(1 + index(i)))", "{i: 100, j: 5}"),  # not among the operations
    ],
)
def test_what_stays_a_formula(body: str, sizes: str) -> None:
    if "auto" in sizes:
        text = (
            "vspec: 1\nname: sums\ndims: {i: auto, j: 5}\ndata:\n  x[i]: real\nparams:\n  w[j]: {init: 1}\n"
            f"objectives:\n  loss: {body} + sum[i](x[i])*w[0]\nsolve: {{minimize: loss}}\n"
        )
        spec, found = pipeline.check_text(text, "sums.yaml")
        assert spec is not None, found
        assert "arange(" in pipeline.compile_spec(spec).emitted.text
        return
    assert "arange(" in emitted(body, sizes)


def trees() -> st.SearchStrategy[Tree]:
    leaves: st.SearchStrategy[Tree] = st.one_of(
        st.integers(0, 1).map(slot), st.sampled_from([num(2), num(0.5), num(-3), num(1)])
    )

    def grown(parts: st.SearchStrategy[Tree]) -> st.SearchStrategy[Tree]:
        return st.one_of(
            st.tuples(st.sampled_from(["neg", "abs", "square", "sin", "real"]), parts),
            st.tuples(st.sampled_from(["add", "sub", "mul", "maximum", "minimum"]), parts, parts),
            st.tuples(st.just("pow"), parts, st.sampled_from([num(2), num(3)])),
            st.tuples(st.just("where"), st.tuples(st.just("lt"), parts, parts), parts, parts),
        )

    return st.recursive(leaves, grown, max_leaves=6)


@settings(max_examples=80, deadline=None)
@given(trees(), st.sampled_from(["sum", "max", "min"]), st.sampled_from([("i",), ("i", "j"), ("j",)]))
def test_literals_are_what_the_reference_interpreter_gives(tree: Tree, op: str, over: tuple[str, ...]) -> None:
    b = Builder(DIMS)
    inner = b.map(tree, [b.index(I), b.index(J)])
    node = b.reduce(op, inner, [n for n in over if n in inner.names])
    agree(b, node)


def test_contractions_and_diagonals_are_done_as_well() -> None:
    b = Builder(DIMS)
    table = b.map(("sin", ("add", slot(0), ("mul", num(2), slot(1)))), [b.index(I), b.index(J)])
    agree(b, b.contract([table, b.map(("real", slot(0)), [b.index(I)])], (J,)), done=True)
    square = b.map(("mul", ("real", slot(0)), slot(1)), [b.index(I), b.index(Axis("h", "i"))])
    diagonal = b.reindex(square, ("i", "i"))
    spread = b.order(diagonal, (J, I))
    agree(b, b.reduce("sum", spread, ["i"]), done=True)


def agree(b: Builder, node: Node, done: bool = False) -> None:
    found = Literals(DIMS).of(b, node)
    assert found is not None or not done
    if found is None:
        return
    assert all(n.kind is Kind.CONST for n in topological([found]))
    assert found.axes == node.axes
    assert found.dtype == node.dtype
    assert np.prod([DIMS[a.dim] for a in found.axes]) <= SMALL
    (want,), (got,) = evaluate([node], {}, DIMS), evaluate([found], {}, DIMS)
    np.testing.assert_allclose(got, want, rtol=1e-13, atol=1e-13)
