"""Along an axis: running sums and products, recurrences, order statistics, softmax; values and derivatives against JAX's AD."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.calculus.jax_reference import evaluate as by_jax
from tests.support.effort import examples
from tests.support.evaluate import evaluate
from tests.support.meaning import Meaning
from tests.support.program import Emission
from vspec.compiler.calculus.derive import derivative, gradients
from vspec.compiler.calculus.statistics import quantile, sorted_along
from vspec.compiler.graph.builder import Builder
from vspec.compiler.graph.kernel import slot
from vspec.compiler.graph.node import Axis, Kind, Node, topological
from vspec.compiler.pipeline import check_text

SIZES = {"n": 3, "i": 4}
N, I, J = Axis("n", "n"), Axis("i", "i"), Axis("j", "i")

HEAD = """\
vspec: 1
name: along
precision: float64
dims: {n: 3, 'i, j': 4, k: 2, t: 5}
data:
  X[n, i]: real
  z[n]: integer
params:
  w[i]: {init: 1}
  c: {init: 1}
"""


def values(seed: int = 0) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    return {
        "X": rng.normal(size=(3, 4)),
        "z": np.array([2, 0, 1]),
        "w": rng.normal(size=4),
        "c": np.asarray(rng.normal()),
    }


def same(text: str, folder: Path, given: Mapping[str, Any] | None = None) -> str:
    """Outputs of the emitted program at -O0 and -O2 mean what the language says; the text at -O2."""
    spec, diagnostics = check_text(HEAD + text, "along.yaml")
    assert spec is not None, [d.message for d in diagnostics]
    at = dict(given or values())
    # One by one: JAX's derivative of a running sum is wrong where XLA merges it with a scatter (see the last test).
    stated = Meaning(spec, at).outputs(together=False)
    emitted = ""
    for level in (0, 2):
        program = Emission(spec, level, folder / f"along_{level}.py")
        emitted = program.compiled.emitted.text
        found = program.call("outputs", at)
        for name, meant in stated.items():
            truth = np.asarray(meant)
            got = np.asarray(found[name])
            assert got.dtype.kind == truth.dtype.kind, f"-O{level} {name}"
            np.testing.assert_allclose(got, truth, rtol=1e-9, atol=1e-9, err_msg=f"-O{level} {name}\n{emitted}")
    return emitted


# --- nodes ------------------------------------------------------------------------------------------------------------


def scene(op: str, reverse: bool, mixed: bool, zeros: bool) -> tuple[Builder, list[Node], Node, dict[int, Any]]:
    """One node along i with its inputs; `mixed`: the factors of a recurrence lack n. Some factors are zero if asked for."""
    b = Builder(SIZES)
    x = b.input("x", "param", (I,) if mixed else (N, I), "real")
    y = b.input("y", "param", (N, I), "real")
    given = [x, y] if op == "linear" else [x]
    node = b.cumulate(op, given, I, reverse)
    rng = np.random.default_rng(1)
    at = {v.uid: rng.normal(size=[SIZES[a.dim] for a in v.axes]) for v in (x, y)}
    if zeros:
        at[x.uid][..., [1, 2]] = 0.0
    return b, given, node, at


CASES = [("sum", False), ("prod", False), ("linear", False), ("linear", True)]


@pytest.mark.parametrize("zeros", [False, True], ids=["full", "zeros"])
@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
@pytest.mark.parametrize(("op", "mixed"), CASES)
def test_running_operations_to_second_order(op: str, mixed: bool, reverse: bool, zeros: bool) -> None:
    b, given, node, at = scene(op, reverse, mixed, zeros)
    e = b.reduce("sum", b.map(("mul", slot(0), ("sin", slot(0))), [node]), node.names)
    for x, ours in zip(given, gradients(b, e, given), strict=True):

        def loss(v: Any, x: Node = x) -> Any:
            return by_jax(e, {**at, x.uid: v}, SIZES)

        np.testing.assert_allclose(by_jax(ours, at, SIZES), jax.jit(jax.grad(loss))(at[x.uid]), rtol=1e-9, atol=1e-9)
        letters = tuple(Axis(f"{a.name}_", a.dim) for a in x.axes)
        hessian = derivative(b, ours, x, letters)
        np.testing.assert_allclose(
            by_jax(hessian, at, SIZES), jax.jit(jax.hessian(loss))(at[x.uid]), rtol=1e-9, atol=1e-9
        )
        # And by the other interpreter, which is written in NumPy.
        named = {y.attrs[0]: at[y.uid] for y in given}
        np.testing.assert_allclose(evaluate([ours], named, SIZES)[0], by_jax(ours, at, SIZES), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("op", "mixed"), CASES)
def test_running_operations_in_forward_mode(op: str, mixed: bool) -> None:
    b, given, node, at = scene(op, False, mixed, True)
    for x in given:
        letters = tuple(Axis(f"{a.name}_", a.dim) for a in x.axes)
        jacobian = derivative(b, node, x, letters)
        theirs = jax.jit(jax.jacobian(lambda v, x=x: by_jax(node, {**at, x.uid: v}, SIZES)))(at[x.uid])
        np.testing.assert_allclose(by_jax(jacobian, at, SIZES), theirs, rtol=1e-9, atol=1e-9)


def test_the_adjoint_of_a_running_sum_runs_from_the_end() -> None:
    b, (x,), node, _ = scene("sum", False, False, False)
    (bar,) = gradients(b, b.reduce("sum", b.map(("sin", slot(0)), [node]), node.names), [x])
    runs = [n.attrs for n in topological([bar]) if n.kind is Kind.CUMULATE]
    assert sorted(runs) == [("i", False), ("i", True)]


def test_a_running_product_never_divides() -> None:
    b, (x,), node, _ = scene("prod", False, False, False)
    (bar,) = gradients(b, b.reduce("sum", node, node.names), [x])
    twice = derivative(b, bar, x, (Axis("m", "n"), J))
    kernels = [n.attrs[0].tree for n in topological([twice]) if n.kind is Kind.MAP]
    assert not any("div" in repr(tree) for tree in kernels)
    assert all(n.kind is not Kind.REDUCE or n.op != "prod" for n in topological([twice]))


def test_batches_of_running_operations_need_one_sweep() -> None:
    """d(y[n, i], x[n, j]): no n other than the own one is ever formed."""
    b, (x,), node, _ = scene("prod", False, False, False)
    slope = derivative(b, node, x, (N, J))
    assert all(a.dim != "n" or a.name == "n" for n in topological([slope]) for a in n.axes)


# --- the language -----------------------------------------------------------------------------------------------------


def test_running_sums_and_products(tmp_path: Path) -> None:
    text = same(
        """\
define:
  total[n, i]: cumsum[i](exp(w[i])*X[n, i])
  product[n, i]: cumprod[i](X[n, i]*w[i])
outputs:
  a[n, i]: total[n, i]
  b[n, i]: product[n, i]
  first[n, i, j]: d(total[n, i], w[j])
  second[i, j]: d(sum[n](sin(product[n, 3])), w[i], w[j])
  own[n, i, j]: d(product[n, i], X[n, j])
  count[n]: cumsum[n](z[n])
  times[n]: cumprod[n](z[n] + 1)
  often[i]: cumsum[i](w[i] > 0)
""",
        tmp_path,
    )
    assert "jnp.cumsum(z)" in text
    assert text.count("def linear_recurrence(") == 1


def test_zeros_among_the_factors_are_exact(tmp_path: Path) -> None:
    at = values()
    at["X"][:, 1], at["X"][1, 3] = 0.0, 0.0
    same(
        """\
define:
  p[n, i]: cumprod[i](X[n, i])
outputs:
  g[n, i]: d(sum[i](p[n, i]), X[n, i])
  h[n, i, j]: d(sum[i](p[n, i]), X[n, i], X[n, j])
""",
        tmp_path,
        at,
    )


def test_along_the_letter_of_a_recurrence_the_whole_axis_is_meant(tmp_path: Path) -> None:
    text = same(
        """\
define:
  s[0, i]: w[i]
  s[t + 1, i]: 0.5*s[t, i] + 0.1*cumsum[t](index(t)*w[1]) + softmax[t](w[2]*index(t))
outputs:
  last[i]: s[-1, i]
  slope[i, j]: d(s[-1, i], w[j])
""",
        tmp_path,
    )
    before_the_loop = text.split("def step")[0]
    assert "jnp.cumsum" in before_the_loop


def test_order_statistics(tmp_path: Path) -> None:
    text = same(
        """\
define:
  y[n, i]: X[n, i]*w[i]**2
  order[i]: argsort[i](-w[i])
outputs:
  sorted[n, i]: sort[i](y[n, i])
  places[n, i]: argsort[i](y[n, i])
  whole[n]: sort[n](z[n])
  slope[n, i, j]: d(sort[i](y[n, i]), w[j])
  curve[n, i, j]: d(sum[i](index(i)*sort[i](y[n, i])), w[i], w[j])
  own[n, i, j]: d(sort[i](y[n, i]**2), X[n, j])
  largest[k]: w[order[k]]
  nearest: argmin[i](abs(w[i] - c))
  middle[n]: median[i](y[n, i])
  odd[i]: median[n](y[n, i])
  low[i]: quantile[n](y[n, i], 0.3)
  ends[i]: quantile[n](y[n, i], 1) - quantile[n](y[n, i], 0)
  levels[n, i]: quantile[i](y[n, i], sigmoid(X[n, 0]))
  own_levels[i]: quantile[n](X[n, 1], sigmoid(w[i]))
  by_level[i, j]: d(quantile[n](y[n, i], sigmoid(w[i])), w[j])
  by_value[i, j]: d(quantile[n](y[n, i]**2, 0.3), w[i], w[j])
  of_middle[n, i, j]: d(median[i](y[n, i]**2), w[i], w[j])
""",
        tmp_path,
    )
    assert "jnp.take_along_axis(" in text
    assert "stable=True" in text


def test_equal_values_keep_their_order(tmp_path: Path) -> None:
    at = values()
    at["w"] = np.array([1.0, 0.0, 1.0, 0.0])
    same(
        "outputs:\n  p[i]: argsort[i](w[i])\n  g[i, j]: d(sort[i](w[i]), w[j])\n  m[j]: d(median[i](w[i]), w[j])\n",
        tmp_path,
        at,
    )
    spec, _ = check_text(HEAD + "outputs:\n  p[i]: argsort[i](w[i])\n", "along.yaml")
    assert spec is not None
    assert list(Emission(spec, 2, tmp_path / "ties.py").call("outputs", at)["p"]) == [1, 3, 0, 2]


@pytest.mark.parametrize("size", [1, 2, 5, 8])
def test_statistics_of_a_size_that_the_data_decides(size: int, tmp_path: Path) -> None:
    """The same formulas with the size open: ranks are computed when the program runs."""
    spec, diagnostics = check_text(
        """\
vspec: 1
name: open
precision: float64
dims: {n: auto}
data:
  x[n]: real
  q: real
outputs:
  middle: median[n](x[n])
  low: quantile[n](x[n], 0.3)
  free: quantile[n](x[n], q)
  running[n]: cumprod[n](x[n])
  rank[n]: sort[n](x[n])
  slope[n]: d(median[n](x[n]), x[n])
  steep: d(quantile[n](x[n], q), q)
""",
        "open.yaml",
    )
    assert spec is not None, [d.message for d in diagnostics]
    x = np.random.default_rng(size).normal(size=size)
    for level in (0, 2):
        program = Emission(spec, level, tmp_path / f"open_{level}.py")
        for q in (-0.5, 0.0, 0.37, 1.0, 1.5):
            found = program.call("outputs", {"x": x, "q": q})
            np.testing.assert_allclose(found["middle"], np.median(x))
            np.testing.assert_allclose(found["low"], np.quantile(x, 0.3))
            # Levels beyond the ends count as the ends.
            np.testing.assert_allclose(found["free"], np.quantile(x, np.clip(q, 0, 1)))
            np.testing.assert_allclose(found["running"], np.cumprod(x))
            np.testing.assert_allclose(found["rank"], np.sort(x))
            np.testing.assert_allclose(found["slope"], jax.jit(jax.grad(lambda v: jnp.median(v)))(jnp.asarray(x)))
            if q == 0.37:
                np.testing.assert_allclose(
                    found["steep"], jax.jit(jax.grad(lambda v: jnp.quantile(jnp.asarray(x), v)))(q)
                )


def test_softmax_inside_reductions_with_batches_and_curvature(tmp_path: Path) -> None:
    same(
        """\
functions:
  mixed(a[:], b[:]): sum[i](softmax[i](a[i])*b[i])
define:
  share[n, i]: softmax[i](X[n, i]*w[i])
outputs:
  a[n, i]: share[n, i]
  value[n]: mixed(X[n, :], w[:])
  entropy[n]: -sum[i](share[n, i]*log_softmax[i](X[n, i]*w[i]))
  slope[n, i, j]: d(share[n, i], w[j])
  curve[i, j]: d(sum[n](mixed(X[n, :], w[:])**2), w[i], w[j])
  own[n, i, j]: d(log_softmax[i](X[n, i]**2), X[n, j])
  inner: logsumexp[i](log_softmax[i](w[i]) + sum[n](softmax[n](X[n, i])*X[n, i]))
  both[n, i, j]: d(sum[i](softmax[n](X[n, i]*w[i])*softmax[i](X[n, i])), w[i], w[j])
""",
        tmp_path,
    )


def test_what_is_constant_along_the_axis() -> None:
    b = Builder(SIZES)
    c = b.input("c", "param", (N,), "real")
    at = {"c": np.array([2.0, -1.0, 0.5])}
    runs = [b.cumulate(op, [c], I) for op in ("sum", "prod", "argsort")]
    total, product, order = evaluate([b.order(x, (N, I)) for x in runs], at, SIZES)
    np.testing.assert_allclose(total, np.outer(at["c"], [1, 2, 3, 4]))
    np.testing.assert_allclose(product, at["c"][:, None] ** np.arange(1, 5))
    np.testing.assert_array_equal(order, np.tile(np.arange(4), (3, 1)))
    assert sorted_along(b, c, I) is c
    assert quantile(b, c, I, b.number(0.5)) is c


# --- properties -------------------------------------------------------------------------------------------------------

PIECES = (
    "cumsum[i]({})",
    "cumprod[i]({})",
    "sort[i]({})",
    "softmax[i]({})",
    "({})*median[j](X[n, j]*w[j])",
    "({}) + quantile[j](sort[j](w[j])*X[n, j], 0.4)",
    "sin({})",
    "({})*w[i]",
    "({}) + X[n, i]",
)


@st.composite
def formulas(draw: Any) -> str:
    """An expression over n and i that nests operations along i."""
    text = draw(st.sampled_from(["w[i]*X[n, i]", "X[n, i] + 0.5*w[i]**2", "c*X[n, i]"]))
    for _ in range(draw(st.integers(1, 4))):
        text = draw(st.sampled_from(PIECES)).format(text)
    return text


# A failing formula is short as it is; making it shorter would compile hundreds of programs.
PHASES = (Phase.explicit, Phase.reuse, Phase.generate)


@settings(max_examples=examples(8), deadline=None, suppress_health_check=list(HealthCheck), phases=PHASES)
@given(formulas(), st.integers(0, 2**16))
def test_nested_operations_along_an_axis(tmp_path_factory: pytest.TempPathFactory, formula: str, seed: int) -> None:
    text = (
        f"define:\n  y[n, i]: {formula}\n  e: sum[n, i](sin(y[n, i]))\noutputs:\n  value[n, i]: y[n, i]\n"
        "  slope[i]: d(e, w[i])\n  curve[i, j]: d(e, w[i], w[j])\n  own[n, i, j]: d(y[n, i], X[n, j])\n"
    )
    same(text, tmp_path_factory.mktemp("along"), values(seed))


@pytest.mark.parametrize("size", [3, 5, 7])
@pytest.mark.parametrize("op", ["cumsum", "cumprod"])
def test_one_place_of_what_runs_along_an_axis(size: int, op: str, tmp_path: Path) -> None:
    """XLA takes a running sum over a single row among zeros wrongly where it merges the two, which JAX's own derivative meets."""
    text = f"""\
vspec: 1
name: place
precision: float64
dims: {{n: 4, i: {size}}}
params:
  x[n, i]: {{init: 1}}
define:
  c[n, i]: {op}[i](x[n, i])
objectives:
  loss: sum[n](c[n, {size // 2}]**2)
solve: {{minimize: loss, method: sgd(0.1), steps: 1}}
outputs:
  slope[n, i]: d(loss, x[n, i])
"""
    spec, _ = check_text(text, "place.yaml")
    assert spec is not None
    x = np.random.default_rng(0).normal(size=(4, size)) + 3.0
    head = x[:, : size // 2 + 1]
    last = head.sum(1) if op == "cumsum" else head.prod(1)
    each = 1.0 if op == "cumsum" else last[:, None] / head
    wanted = np.zeros_like(x)
    wanted[:, : size // 2 + 1] = 2 * last[:, None] * each
    for level in (0, 2):
        program = Emission(spec, level, tmp_path / f"place_{level}.py")
        # The param is an argument of what is compiled: constants would be folded before.
        slope = jax.jit(lambda x, program=program: program.call("outputs", {"x": x})["slope"])(x)
        np.testing.assert_allclose(slope, wanted, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(program.call("loss_gradient", {"x": x}), wanted, rtol=1e-12, atol=1e-12)
