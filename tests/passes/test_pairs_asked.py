"""`by=pairs` takes each pair once whatever it costs, `by=whole` never; what cannot be is refused where it stands."""

from __future__ import annotations

import pytest

from tests.passes.test_halve import HEAD, assert_same, compiled, halves, whole
from vspec.compiler import pipeline
from vspec.compiler.diagnostics.diagnostic import Diagnostic, SpecError
from vspec.compiler.graph.graph import Graph
from vspec.compiler.graph.strategy import Choice, choices_of

CHEAP = "sum[n, e, f](X[n, e, 0]*X[n, f, 0]*X[n, e, 1]*X[n, f, 1], by=pairs)"
DEAR = "sum[n, e, f](law(X[n, e, :], X[n, f, :]){})"

# Formulas of an energy that say how pairs are taken.
ASKED = {
    "cheap": CHEAP,
    "lower": "sum[n, e, f](X[n, e, 0]*X[n, f, 1] if index(e) < index(f) else 0, by=pairs)",
    "odd": "sum[n, e](X[n, e, 0]*sum[f](sin(X[n, e, 0] - X[n, f, 0]), by=pairs))",
    "inner": "sum[n, e](sum[f](law(X[n, e, :], X[n, f, :]) if index(e) <= index(f) else 0, by=pairs)**2)",
    "two": "sum[n, e, f](law(X[n, e, :], X[n, f, :]), by=pairs) + sum[n, e, f](X[n, e, 0]*X[n, f, 0], by=pairs)",
    "beside": DEAR.format(", by=pairs") + " + sum[n, e, f](law(X[n, e, :], X[n, f, :])**2, by=whole)",
}


def rows(graph: Graph) -> list[Choice]:
    """What was chosen for pairs, each once."""
    return [c for c in choices_of(graph) if c.what.startswith("pairs of")]


@pytest.mark.parametrize("name", ASKED)
def test_values_and_gradients_stay_the_same(name: str) -> None:
    graph = compiled(ASKED[name])
    assert_same(graph, compiled(ASKED[name], level=0))
    assert halves(graph)
    if name in ("cheap", "inner", "two"):
        assert not whole(graph)


def test_pairs_that_do_not_pay_are_taken_where_they_are_asked_for() -> None:
    free = compiled(CHEAP.replace(", by=pairs", ""))
    assert not halves(free)
    graph = compiled(CHEAP)
    assert not whole(graph)
    (row,) = rows(graph)
    assert (row.chosen, row.because, row.line) == ("once", "asked for", 16)
    assert [x.name for x in row.among] == ["once", "in either order"]
    assert all(x.flops > 0 for x in row.among)


@pytest.mark.parametrize("word", ["whole", "blocks(2)"])
def test_pairs_that_pay_are_left_where_something_else_is_asked_for(word: str) -> None:
    assert not whole(compiled(DEAR.format("")))
    energy = DEAR.format(f", by={word}")
    graph = compiled(energy)
    assert_same(graph, compiled(energy, level=0))
    # Nor are the sums of the gradient, which reads the same arrays.
    assert not halves(graph)
    (row,) = rows(graph)
    assert (row.chosen, row.because) == ("in either order", "asked for")
    once, either = row.among
    assert once.flops < either.flops


def test_large_dims_have_pairs_where_they_are_asked_for() -> None:
    def made(by: str) -> Graph:
        text = HEAD.replace("e, f: 5", "e, f: 150").replace("n: 40", "n: 2")
        text += f"outputs:\n  total: {DEAR.format(by)}\n"
        spec, diagnostics = pipeline.check_text(text, "points.yaml")
        assert spec is not None, diagnostics
        return pipeline.compile_spec(spec).graph

    assert not halves(made(""))
    graph = made(", by=pairs")
    assert halves(graph)
    assert {graph.dims[a.dim] for n in halves(graph) for a in n.axes if a.dim.startswith("_pairs_")} == {150 * 149 // 2}


def test_pairs_in_the_steps_of_a_recurrence() -> None:
    text = f"""{HEAD.replace("i: 3", "i: 3, t: 4")}
define:
  s[0, n, e, i]: Y[n, e, i]
  s[t + 1, n, e, i]: s[t, n, e, i] - sum[f](law(s[t, n, e, :], s[t, n, f, :])*(s[t, n, e, i] - s[t, n, f, i]), by=pairs)
outputs:
  last[n, e, i]: s[-1, n, e, i]
"""
    spec, diagnostics = pipeline.check_text(text, "points.yaml")
    assert spec is not None, diagnostics
    graph = pipeline.compile_spec(spec).graph
    assert [r.because for r in rows(graph)] == ["asked for"]
    assert halves(graph)


REFUSED = {
    "uneven": ("sum[n, e, f](exp(sin(X[n, e, 0]) - a*tanh(X[n, f, 1])), by=pairs)", "nothing in its terms is the same"),
    "alone": ("sum[n, e](X[n, e, 0]**2, by=pairs)", "meets another one of the same dim"),
    "inside": (
        "sum[n, e, f](exp(-sum[i]((X[n, e, i] - X[n, f, i])**2, by=products)), by=pairs)",
        "or says itself how",
    ),
    "nested": ("sum[n, e, f](exp(-sum[i]((X[n, e, i] - X[n, f, i])**2, by=whole)), by=pairs)", "or says itself how"),
    "matrix": ("sum[e, f](cholesky(K[:, :])[e, f] + cholesky(K[:, :])[f, e], by=pairs)", "is not made pair by pair"),
}


def refused(text: str) -> Diagnostic:
    """The one mistake that is found when a spec is compiled."""
    spec, diagnostics = pipeline.check_text(text, "points.yaml")
    assert spec is not None, diagnostics
    with pytest.raises(SpecError) as e:
        pipeline.compile_spec(spec)
    (found,) = e.value.diagnostics
    return found


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_pairs_is_refused_where_they_are_asked_for(name: str) -> None:
    energy, reason = REFUSED[name]
    text = f"""{HEAD}define:
  K[e, f]: delta[e, f] + 1
objectives:
  energy: X[0, 0, 0] + {energy}
solve: {{minimize: energy, method: sgd(lr=0.1), steps: 2}}
"""
    found = refused(text)
    assert (found.code, found.span.line) == ("VS0268", 18)
    assert found.span.column > 1
    assert reason in found.message


def test_pairs_of_an_open_size_are_refused() -> None:
    text = HEAD.replace("e, f: 5", "e, f: auto") + f"outputs:\n  total: {DEAR.format(', by=pairs')}\n"
    found = refused(text)
    assert (found.code, found.span.line) == ("VS0268", 16)
    assert "the size of 'e' is open" in found.message


def test_below_level_two_sums_are_as_they_are_written() -> None:
    for level, without in ((0, ()), (1, ()), (2, ("halve",))):
        graph = compiled(CHEAP, level, without)
        assert not halves(graph)
        assert not rows(graph)
