"""Squares of differences as products: the same values and derivatives, and differences where digits would be lost."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.emit.harness import load
from tests.language.helpers import good
from tests.passes.test_block import called
from tests.support.evaluate import evaluate_graph
from tests.support.traced import largest
from vspec.compiler.diagnostics.diagnostic import SpecError
from vspec.compiler.graph.graph import Graph
from vspec.compiler.graph.node import Kind
from vspec.compiler.graph.rewrite import all_nodes
from vspec.compiler.graph.strategy import choices_of
from vspec.compiler.graph.tuning import Tuning
from vspec.compiler.pipeline import Compiled, compile_spec

N, M, D = 140, 130, 9
SIZES = f"dims: {{n: {N}, m: {M}, i: {D}}}\n"

# Sums of kernels, and a likelihood of a mixture whose scales differ from place to place.
KERNELS = """
constants: {width: 2.0}
data:
  Y[m, i]: real
  c[m]: real
params:
  X[n, i]: {init: 0}
define:
  far[n, m]: sum[i]((X[n, i] - Y[m, i])**2)
objectives:
  loss: sum[n](log(1 + sum[m](c[m]*exp(-far[n, m]/width))))
solve: {minimize: loss, method: newton, steps: 1}
"""
MIXTURE = """
data:
  X[n, i]: real
params:
  mu[m, i]: {init: 0}
  scale[m, i]: {init: 1}
define:
  far[n, m]: sum[i](((X[n, i] - mu[m, i])/scale[m, i])**2)
objectives:
  loss: sum[n](logsumexp[m](-far[n, m]/2 - sum[i](log(scale[m, i]))))
solve: {maximize: loss, method: lbfgs, steps: 1}
"""


def compiled(text: str, precision: str = "float32", **more: Any) -> Compiled:
    return compile_spec(good(f"precision: {precision}\n{more.pop('sizes', SIZES)}{text}"), **more)


def choices(graph: Graph) -> list[Any]:
    """The choices between products and differences."""
    return [n for n in all_nodes(graph) if n.kind is Kind.REGION and n.op == "either"]


def points(spread: float = 1.0, apart: float = 0.0) -> dict[str, Any]:
    """Two clouds of some width, some way apart."""
    rng = np.random.default_rng(5)
    return {
        "X": spread * rng.normal(size=(N, D)) / 3 + 50,
        "Y": spread * rng.normal(size=(M, D)) / 3 + apart + 50,
        "mu": spread * rng.normal(size=(M, D)) / 3 + apart + 50,
        "c": rng.uniform(0.5, 1.5, M),
        "scale": np.exp(0.2 * rng.normal(size=(M, D))),
        "width": np.asarray(2.0),
    }


def kernels(p: Any, v: Any) -> Any:
    d = jnp.sum((p["X"][:, None] - v["Y"]) ** 2, -1)
    return jnp.sum(jnp.log(1 + jnp.exp(-d / v["width"]) @ v["c"]))


def mixture(p: Any, v: Any) -> Any:
    far = jnp.sum(((v["X"][:, None] - p["mu"]) / p["scale"]) ** 2, -1)
    return jnp.sum(jax.nn.logsumexp(-far / 2 - jnp.sum(jnp.log(p["scale"]), -1), 1))


SPECS = {"kernels": (KERNELS, kernels, ("X",)), "mixture": (MIXTURE, mixture, ("mu", "scale"))}


def cast(v: dict[str, Any], dtype: Any) -> dict[str, Any]:
    return {k: jnp.asarray(np.asarray(x, np.float32), dtype) for k, x in v.items()}


def wanted(name: str, v: dict[str, Any]) -> Any:
    """Value and gradient in 64 bits, by JAX, at what the values are in 32."""
    _, by_jax, over = SPECS[name]
    with jax.enable_x64(True):
        given = cast(v, jnp.float64)
        return jax.value_and_grad(by_jax)({k: given[k] for k in over}, given)


def error(got: Any, want: Any) -> float:
    """The largest error of an array beside its largest entry."""
    pairs = zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True)
    return max(float(np.max(np.abs(a - b)) / (np.max(np.abs(b)) + 1e-30)) for a, b in pairs)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], list[Any]]:
    """Value and gradient of a spec as it is compiled, and with differences only; compiled by JAX once."""

    @cache
    def functions(name: str) -> list[Any]:
        found, plain = (compiled(SPECS[name][0], disable=d) for d in ([], ["distances"]))
        assert choices(found.graph)
        assert not choices(plain.graph)
        return [jax.jit(load(c.emitted, tmp_path_factory.mktemp(name)).loss_value_and_gradient) for c in (found, plain)]

    return functions


def errors(functions: list[Any], name: str, v: dict[str, Any]) -> list[float]:
    """The errors of both in 32 bits."""
    given, want = cast(v, jnp.float32), wanted(name, v)
    return [error(f(**{k: given[k] for k in inspect.signature(f).parameters}), want) for f in functions]


@pytest.mark.parametrize("name", SPECS)
@pytest.mark.parametrize(("spread", "apart"), [(1.0, 0.0), (1.0, 2.0), (0.01, 0.0), (100.0, 0.0), (0.01, 30.0)])
def test_float32_is_as_good_as_float32_is_wherever_the_points_are(
    name: str, spread: float, apart: float, pair: Callable[[str], list[Any]]
) -> None:
    found, plain = errors(pair(name), name, points(spread, apart))
    # Far apart, exponents of thousands have an error of their own.
    assert found <= max(1e-5, 1.5 * plain)


@pytest.mark.parametrize("name", SPECS)
@pytest.mark.parametrize("spread", [1.0, 1e4])
def test_float64_agrees_with_jax_and_with_the_interpreter(name: str, spread: float, tmp_path: Path) -> None:
    found = compiled(SPECS[name][0], "float64")
    assert choices(found.graph)
    v, want = points(spread), wanted(name, points(spread))
    with jax.enable_x64(True):
        given = cast(v, jnp.float64)
        assert error(called(load(found.emitted, tmp_path), "loss_value_and_gradient", given), want) < 1e-10
    values = {k: np.asarray(x) for k, x in given.items()}
    (value,) = evaluate_graph(found.graph, values)["loss"].values()
    np.testing.assert_allclose(value, want[0], rtol=1e-10)


def test_second_derivatives_agree_with_jax(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    v = {"X": rng.normal(size=(8, 6)), "Y": rng.normal(size=(2100, 6)), "c": rng.uniform(0.5, 1.5, 2100), "width": 2.0}
    text = KERNELS + "outputs:\n  h[n, i, j]: d(loss, X[n, i], X[n, j])\n"
    found = compiled(text, "float64", sizes='dims: {n: 8, m: 2100, "i, j": 6}\n')
    assert choices(found.graph)
    with jax.enable_x64(True):
        given = {k: jnp.asarray(x, jnp.float64) for k, x in v.items()}
        got = called(load(found.emitted, tmp_path), "outputs", given)["h"]
        whole = jax.hessian(lambda X: kernels({"X": X}, given))(given["X"])
        assert error(got, jnp.einsum("ninj->nij", whole)) < 1e-10


def taken(program: ModuleType, name: str, v: dict[str, Any]) -> list[bool]:
    """Which way each choice of a run takes."""
    seen: list[bool] = []
    plain = jax.lax.cond
    try:
        jax.lax.cond = lambda fine, *ways: (seen.append(bool(fine)), ways[0]() if fine else ways[1]())[1]
        function = getattr(program, name)
        wanted = function.__code__.co_varnames[: function.__code__.co_argcount]
        function(**{k: jnp.asarray(v[k], jnp.float32) for k in wanted})
    finally:
        jax.lax.cond = plain
    return seen


@pytest.mark.parametrize("name", SPECS)
def test_a_run_tells_which_way_keeps_its_digits(name: str, tmp_path: Path) -> None:
    program = load(compiled(SPECS[name][0]).emitted, tmp_path)
    for spread, apart, products in [(1.0, 0.0, True), (1.0, 1.0, True), (100.0, 0.0, False), (0.01, 40.0, False)]:
        assert taken(program, "loss", points(spread, apart)) == [products]
    # What is no number, or infinite, is none in either way.
    assert taken(program, "loss", {**points(), "X": np.full((N, D), np.nan)}) == [False]


def close_to_centres() -> dict[str, Any]:
    """Points that are much closer to a centre of their own than centres are to each other."""
    v, rng = points(), np.random.default_rng(6)
    v["mu"] = v["X"][:M] + 1e-3 * rng.normal(size=(M, D))
    return {**v, "scale": np.full((M, D), 1e-3)}


def test_second_moments_are_products_unless_they_cancel(pair: Callable[[str], list[Any]], tmp_path: Path) -> None:
    found = compiled(MIXTURE)
    # Each function has its distances, the gradients the moments by scales in a scope of their own.
    assert sorted(len(r.attrs[0].body) for r in choices(found.graph)) == [1, 2, 2]
    program = load(found.emitted, tmp_path)
    assert taken(program, "loss_gradient", points()) == [True, True]
    assert taken(program, "loss_gradient", close_to_centres()) == [False, False]
    products, differences = errors(pair("mixture"), "mixture", close_to_centres())
    assert products <= max(1e-5, 1.5 * differences)


@pytest.mark.parametrize(("weight", "count"), [("exp(c[n, m])", 1), ("c[n, m]**2", 1), ("c[n, m]", 0)])
def test_moments_need_weights_that_cannot_be_negative(weight: str, count: int, tmp_path: Path) -> None:
    text = f"""
data:
  X[n, i]: real
  Y[m, i]: real
  c[n, m]: real
outputs:
  s[m, i]: sum[n]({weight}*(X[n, i] - Y[m, i])**2)
"""
    found = compiled(text)
    assert len([r for r in choices(found.graph) if len(r.attrs[0].body) == 2]) == count
    v = {**points(), "c": np.random.default_rng(1).normal(size=(N, M))}
    w = {"exp": np.exp(v["c"]), "c[n": v["c"]}[weight[:3]] ** (2 if weight.endswith("2") else 1)
    want = np.einsum("nm,nmi->mi", w, (v["X"][:, None] - v["Y"]) ** 2)
    given = cast(v, jnp.float32)
    assert error(called(load(found.emitted, tmp_path), "outputs", given)["s"], want) < 2e-5


def test_value_and_gradient_share_one_product_of_distances(tmp_path: Path) -> None:
    program = load(compiled(KERNELS).emitted, tmp_path)
    names = program.loss_value_and_gradient.__code__.co_varnames
    given = cast(points(), jnp.float32)
    jaxpr = jax.make_jaxpr(program.loss_value_and_gradient)(
        *(given[k] for k in names[: program.loss_value_and_gradient.__code__.co_argcount])
    ).jaxpr
    (cond,) = (e for e in jaxpr.eqns if e.primitive.name == "cond")
    counts = [[e.primitive.name for e in branch.eqns].count("dot_general") for branch in cond.params["branches"]]
    # JAX has the way of a condition that does not hold first.
    assert counts == [0, 1]
    assert largest(jaxpr) == N * M


READ = """
data:
  Y[m, i]: real
params:
  X[n, i]: {init: 0}
  w: {init: 1}
define:
  far[n, m]: sum[i]((X[n, i] - Y[m, i])**2)
outputs:
"""


@pytest.mark.parametrize(
    ("formula", "found"),
    [
        ("sum[n, m](exp(-far[n, m]/2))", 1),
        ("sum[n](logsumexp[m](1 - 3*far[n, m]))", 1),
        ("sum[n, m](softmax[m](-far[n, m])*Y[m, 0])", 1),
        # Of an exact zero nothing is left by an error.
        ("sum[n, m](sqrt(far[n, m]))", 0),
        ("sum[n, m](far[n, m])", 0),
        ("sum[n, m](far[n, m]*exp(-far[n, m]))", 0),
        ("sum[n, m](exp(-sqrt(far[n, m])))", 0),
        ("d(sum[n, m](exp(-far[n, m]/w)), w)", 0),
        ("sum[n, m](expm1(-far[n, m]))", 0),
        ("max[n, m](far[n, m]) + sum[n, m](exp(-far[n, m]))", 0),
    ],
)
def test_only_exponents_take_products(formula: str, found: int) -> None:
    text = READ + f"  r: {formula}\n"
    graph = compiled(text).graph
    assert len(choices(graph)) == found
    assert [c.chosen for c in choices_of(graph) if c.what.startswith("squares")] == ["products"] * found


def test_what_is_factored_keeps_its_digits() -> None:
    text = """
dims: {"n, m": 140, i: 9}
data:
  X[n, i]: real
define:
  K[n, m]: exp(-sum[i]((X[n, i] - X[m, i])**2)) + 0.01*delta[n, m]
outputs:
  r: logdet(K[:, :])
"""
    assert not choices(compiled(text, sizes="").graph)


@pytest.mark.parametrize("sizes", ["dims: {n: 140, m: 130, i: 3}\n", "dims: {n: 20, m: 30, i: 9}\n"])
def test_short_sums_and_few_pairs_stay_differences(sizes: str) -> None:
    assert not choices(compiled(KERNELS, sizes=sizes).graph)


def test_differences_can_be_asked_for() -> None:
    asked = KERNELS.replace("Y[m, i])**2)", "Y[m, i])**2, by=whole)")
    assert not choices(compiled(asked).graph)
    assert choices(compiled(KERNELS).graph)
    assert not choices(compiled(KERNELS, disable=["distances"]).graph)


def test_products_can_be_asked_for_whatever_the_sizes(tmp_path: Path) -> None:
    text = KERNELS.replace("Y[m, i])**2)", "Y[m, i])**2, by=products)")
    found = compiled(text, sizes="dims: {n: 4, m: 5, i: 2}\n")
    assert [(c.chosen, c.because) for c in choices_of(found.graph)[-1:]] == [("products", "asked for")]
    rng = np.random.default_rng(0)
    v = {"X": rng.normal(size=(4, 2)), "Y": rng.normal(size=(5, 2)), "c": rng.uniform(size=5), "width": np.asarray(2.0)}
    got = called(load(found.emitted, tmp_path), "loss_value_and_gradient", cast(v, jnp.float32))
    assert error(got, wanted("kernels", v)) < 1e-5


@pytest.mark.parametrize(
    ("formula", "reason"),
    [
        ("sum[n, m](sqrt(sum[i]((X[n, i] - Y[m, i])**2, by=products)))", "more than exponents reads it"),
        ("sum[n](exp(-sum[i](X[n, i]**2, by=products)))", "no sum of squares of differences"),
    ],
)
def test_what_has_no_products_is_refused_where_they_are_asked_for(formula: str, reason: str) -> None:
    text = f"data:\n  X[n, i]: real\n  Y[m, i]: real\noutputs:\n  r: {formula}\n"
    with pytest.raises(SpecError) as e:
        compiled(text)
    (found,) = e.value.diagnostics
    assert (found.code, found.span.line) == ("VS0268", 9)
    assert reason in found.message


def test_rows_at_a_time_have_products_too(tmp_path: Path) -> None:
    found = compiled(KERNELS, tuning=Tuning(memory=20_000, chunk=20_000))
    assert "part_of_" in found.emitted.text
    assert choices(found.graph)
    v = points()
    program = load(found.emitted, tmp_path)
    assert error(called(program, "loss_value_and_gradient", cast(v, jnp.float32)), wanted("kernels", v)) < 1e-5
    given = cast(v, jnp.float32)
    names = program.loss.__code__.co_varnames[: program.loss.__code__.co_argcount]
    assert largest(jax.make_jaxpr(program.loss)(*(given[k] for k in names)).jaxpr) <= 5_000 * 2


def test_steps_of_a_loop_have_products_unless_jax_differentiates_them() -> None:
    text = """
dims: {"n, m": 140, i: 9, t: 4}
data:
  start[n, i]: real
params:
  width: {init: 1}
define:
  Z[0, n, i]: start[n, i]
  Z[t + 1, n, i]: Z[t, n, i] + 0.1*sum[m](exp(-sum[i]((Z[t, n, i] - Z[t, m, i])**2)/width)*Z[t, m, i])
"""
    outputs = text + "outputs:\n  last: sum[n, i](Z[-1, n, i])\n"
    assert choices(compiled(outputs, sizes="").graph)
    solved = text + "objectives:\n  loss: sum[n, i](Z[-1, n, i]**2)\nsolve: {minimize: loss}\n"
    assert not choices(compiled(solved, sizes="").graph)


def test_what_is_no_square_is_not_opened_far() -> None:
    """Each definition reads the one before twice: opened all the way, the last would be 2**60 terms."""
    lines = ["  x0[n, m]: sin(X[n] + Y[m])"] + [f"  x{k + 1}[n, m]: x{k}[n, m] + sin(x{k}[n, m])" for k in range(60)]
    text = "dims: {n: 30, m: 20}\ndata:\n  X[n]: real\n  Y[m]: real\ndefine:\n" + "\n".join(lines)
    found = compile_spec(good(text + "\noutputs:\n  y[n]: exp(-sum[m](x60[n, m]**2))\n")).graph
    assert not [n for n in found.nodes if n.kind is Kind.REGION]
