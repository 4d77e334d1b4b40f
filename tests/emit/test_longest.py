"""The longest axis comes last where arrays are made element by element and reduced; values and derivatives stay what they are."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vspec
from tests.support.traced import largest
from vspec.compiler import pipeline
from vspec.compiler.report.strategies import strategies

SPEC = """\
vspec: 1
name: mixed
precision: float64
dims: {n: 300, k: 4, i: 3}
data:
  X[n, i]: real
params:
  mu[k, i]: {init: 0}
  scale[k, i]: {init: 1}
  logit[k]: {init: 0}
define:
  far[n, k]: sum[i](((X[n, i] - mu[k, i])/scale[k, i])**2)
  joint[n, k]: log_softmax[k](logit[k]) - far[n, k]/2 - sum[i](log(scale[k, i]))
objectives:
  likelihood: sum[n](logsumexp[k](joint[n, k]))
outputs:
  joint[n, k]: joint[n, k]
  curved[k, i]: d(likelihood, mu[k, i], scale[k, i])
  mixed[k, i]: d(likelihood, scale[k, i], logit[k])
solve: {maximize: likelihood, method: newton}
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    folder = tmp_path_factory.mktemp("mixed")
    (folder / "mixed.yaml").write_text(SPEC, encoding="utf-8")
    with jax.enable_x64(True):
        yield vspec.load(pipeline.build(folder / "mixed.yaml", folder / "out", stablehlo=False).directory)


def known() -> dict[str, Any]:
    """Values for all names."""
    rng = np.random.default_rng(4)
    return {
        "X": rng.normal(size=(300, 3)),
        "mu": rng.normal(size=(4, 3)),
        "scale": rng.uniform(0.5, 1.5, size=(4, 3)),
        "logit": rng.normal(size=4),
    }


def joint(p: dict[str, Any], X: Any) -> Any:
    """As it is written."""
    far = jnp.sum(((X[:, None] - p["mu"]) / p["scale"]) ** 2, -1)
    return jax.nn.log_softmax(p["logit"]) - far / 2 - jnp.sum(jnp.log(p["scale"]), -1)


def likelihood(p: dict[str, Any], X: Any) -> Any:
    return jnp.sum(jax.nn.logsumexp(joint(p, X), 1))


def called(program: Any, entry: str) -> Any:
    values = known()
    return jax.jit(getattr(program, entry))(*(jnp.asarray(values[a.name]) for a in program.entries[entry].arguments))


def test_values_and_derivatives_are_those_of_jax(program: Any) -> None:
    p = known()
    X = jnp.asarray(p.pop("X"))
    p = {n: jnp.asarray(x) for n, x in p.items()}
    value, gradient = called(program, "likelihood_value_and_gradient")
    np.testing.assert_allclose(value, likelihood(p, X), rtol=1e-12)
    want = jax.jit(jax.grad(likelihood))(p, X)
    for name in p:
        np.testing.assert_allclose(gradient[name], want[name], rtol=1e-9, atol=1e-10, err_msg=name)
    outputs = called(program, "outputs")
    np.testing.assert_allclose(outputs["joint"], joint(p, X), rtol=1e-12)
    hessian = jax.jit(jax.hessian(likelihood))(p, X)
    np.testing.assert_allclose(outputs["curved"], np.einsum("kiki->ki", hessian["mu"]["scale"]), rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose(outputs["mixed"], np.einsum("kik->ki", hessian["scale"]["logit"]), rtol=1e-9, atol=1e-10)


def function(program: Any, name: str) -> str:
    text: str = (program.directory / "program.py").read_text(encoding="utf-8")
    start = text.index(f"def {name}(")
    return text[start : text.find("\ndef ", start + 1)]


def test_examples_stand_last_where_classes_are_summed(program: Any) -> None:
    text = function(program, "likelihood_value_and_gradient")
    assert "log_total(joint, axis=0)" in text
    assert "# [n, k]" not in text
    assert "# [k, n]" in text


def test_results_have_the_order_of_the_spec(program: Any) -> None:
    assert called(program, "outputs")["joint"].shape == (300, 4)


def test_no_array_is_larger_than_points_times_centres_times_coordinates(program: Any) -> None:
    values = known()
    given = [values[a.name] for a in program.entries["likelihood_value_and_gradient"].arguments]
    assert largest(jax.make_jaxpr(program.likelihood_value_and_gradient)(*given).jaxpr) == 300 * 4 * 3


@pytest.mark.parametrize(
    ("dims", "body"),
    [
        ("{n: 300, k: 40}", "sum[n](logsumexp[k](C[n, k]*b[k]*a[n]))"),
        ("{n: 30, k: 4}", "sum[n](logsumexp[k](C[n, k]*b[k]*a[n]))"),
        ("{n: 300, k: 4}", "sum[n](logsumexp[k](C[n, k]*b[k]))"),
    ],
)
def test_long_rows_small_arrays_and_arguments_stay(tmp_path: Any, dims: str, body: str) -> None:
    spec = f"vspec: 1\nname: rows\ndims: {dims}\ndata:\n  a[n]: real\n  C[n, k]: real\nparams:\n  b[k]: {{init: 0}}\n"
    (tmp_path / "rows.yaml").write_text(f"{spec}objectives:\n  loss: {body}\nsolve: {{minimize: loss}}\n")
    program = vspec.load(pipeline.build(tmp_path / "rows.yaml", tmp_path / "out", stablehlo=False).directory)
    text = function(program, "loss_value_and_gradient")
    assert "axis=1)" in text
    assert "# [k, n]" not in text


@pytest.mark.parametrize(("precision", "most"), [("float32", 16384), ("float64", 8192)])
def test_rows_wider_than_64_kilobytes_are_not_summed_one_above_the_other(precision: str, most: int) -> None:
    for n, last in ((most, "n"), (most + 1, "k")):
        spec, _ = pipeline.check_text(SPEC.replace("float64", precision).replace("n: 300", f"n: {n}"), "mixed.yaml")
        assert spec is not None
        text = pipeline.compile_spec(spec).emitted.text
        text = text[text.index("def likelihood_gradient(") :]
        text = text[: text.index("\n\n\n")]
        assert ("# [k, n]" if last == "n" else "# [n, k]") in text
        assert ("# [n, k]" if last == "n" else "# [k, n]") not in text


def test_what_is_chosen_between_two_ways_has_examples_last_too() -> None:
    spec, _ = pipeline.check(Path(__file__).parents[2] / "benchmarks" / "specs" / "mixture.yaml")
    text = pipeline.compile_spec(spec).emitted.text
    text = text[text.index("def likelihood_value_and_gradient(") :]
    assert "joint = jax.lax.cond(" in text
    assert "softmax(joint, axis=0)" in text


@pytest.fixture(scope="module")
def chosen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A program large enough to choose between products and differences when it runs."""
    folder = tmp_path_factory.mktemp("chosen")
    # Second derivatives read distances themselves, which are differences then.
    text = SPEC[: SPEC.index("outputs:")] + "solve: {maximize: likelihood}\n"
    (folder / "mixed.yaml").write_text(text.replace("n: 300, k: 4, i: 3", "n: 3000, k: 8, i: 6"), encoding="utf-8")
    with jax.enable_x64(True):
        yield vspec.load(pipeline.build(folder / "mixed.yaml", folder / "out", stablehlo=False).directory)


def placed(spread: float) -> tuple[dict[str, Any], Any]:
    """Params and points; products are taken where they are near."""
    rng = np.random.default_rng(5)
    p = {
        "mu": rng.normal(size=(8, 6)),
        "scale": rng.uniform(0.5, 1.5, size=(8, 6)),
        "logit": rng.normal(size=8),
    }
    return {n: jnp.asarray(x) for n, x in p.items()}, jnp.asarray(spread * rng.normal(size=(3000, 6)))


@pytest.mark.parametrize("spread", [1.0, 1000.0])
def test_both_ways_of_a_choice_give_what_jax_gives(chosen: Any, spread: float) -> None:
    p, X = placed(spread)
    value, gradient = jax.jit(chosen.likelihood_value_and_gradient)(**p, X=X)
    np.testing.assert_allclose(value, likelihood(p, X), rtol=1e-10)
    want = jax.jit(jax.grad(likelihood))(p, X)
    for name in p:
        scale = float(jnp.max(jnp.abs(want[name])))
        np.testing.assert_allclose(gradient[name], want[name], rtol=1e-7, atol=1e-10 * scale, err_msg=name)


def test_both_ways_of_a_choice_are_written_in_the_order_of_the_result(chosen: Any) -> None:
    """Where one way turns its result around, XLA turns that of the other one and what is chosen around in memory."""
    text = function(chosen, "likelihood_value_and_gradient")
    way = text[text.index("def joint_by_differences(") :]
    way = way[: way.index("jax.lax.cond(")]
    assert "# [k, n]" in way
    assert ".T" not in way
    p, X = placed(1.0)
    program = jax.jit(chosen.likelihood_value_and_gradient).lower(**p, X=X).compile().as_text()
    assert re.search(r"= \(?f64\[8,3000\]\{1,0\}\)? conditional\(", program)
    assert "f64[8,3000]{0,1}" not in program


def layouts(text: str) -> list[Any]:
    """The rows of the table of strategies about orders of axes."""
    spec, diagnostics = pipeline.check_text(text, "mixed.yaml")
    assert spec is not None, diagnostics
    return [r for r in strategies(pipeline.compile_spec(spec)) if r["kind"] == "layout"]


def test_the_order_is_told_with_what_it_costs_beside_the_other_one() -> None:
    found = layouts(SPEC)
    row = next(r for r in found if r["what"] == "joint")
    assert (row["line"], row["chosen"], row["because"]) == (13, "[k, n]", "least cost")
    new, old = row["among"]
    assert (new["name"], old["name"]) == ("[k, n]", "[n, k]")
    # A loop takes 16 elements at a time and costs 4 to begin: 4 rows of 300 beside 300 rows of 4.
    assert (new["flops"], old["flops"]) == (4 * (4 + 19), 300 * (4 + 1))
    assert len({(r["what"], r["line"], r["chosen"]) for r in found}) == len(found)


def test_an_order_that_is_kept_is_not_told() -> None:
    assert layouts(SPEC.replace("n: 300", "n: 20")) == []
