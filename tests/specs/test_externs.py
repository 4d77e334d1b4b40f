"""Functions from outside of a spec: their values and derivatives against JAX, and everything that may be wrong with them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from click.testing import CliRunner
from jax.flatten_util import ravel_pytree

import vspec
from tests.specs.test_networks import Weights, arguments, close, compiled, drawn
from tests.support import outside
from tests.support.program import Emission
from vspec.cli import main
from vspec.compiler.calculus.program import lower_spec
from vspec.compiler.diagnostics.diagnostic import SpecError
from vspec.compiler.graph.node import Kind
from vspec.compiler.graph.rewrite import all_nodes
from vspec.compiler.language.externs import label
from vspec.compiler.language.spec import Spec
from vspec.compiler.passes import run_passes
from vspec.compiler.pipeline import check_text, compile_spec
from vspec.runtime.errors import ArtifactError

HEAD = "vspec: 1\nname: test\n"

SPEC = """\
precision: float64
dims: {n: 3, i: 3, k: 2, "p, q": auto}
data:
  x[n, i]: real
params:
  w[i]: {init: 0.5}
functions:
  drag(x[:], s) -> [i]: {extern: tests.support.outside:drag}
  energy(x[:]): {extern: tests.support.outside:energy}
  net(x[:]): {extern: tests.support.outside:Net}
  wide(x[:]) -> [k]: {extern: tests.support.outside:Wide}
  scaled(x[:]): {extern: tests.support.outside:Scaled}
define:
  theta[p]: stack(net, w[:])
objectives:
  loss: >-
    mean[n](net(x[n, :])**2 + energy(w[:])*sum[i](drag(x[n, :], w[0])[i]) + scaled(drag(x[n, :], 2)[:])
    + sum[k](wide(x[n, :])[k]*wide(w[:])[k]))
solve: {minimize: loss, method: sgd(0.1), steps: 2}
outputs:
  slope[n, i]: d(net(x[n, :]), x[n, i])
  turned[n, k, i]: d(wide(x[n, :])[k], x[n, i])
  bowed[n]: sum[i](d(net(x[n, :]), x[n, i], x[n, i]))
  mixed[n, i]: d(sum[i](drag(x[n, :], w[0])[i]), x[n, i], w[0])
  curvature[p, q]: d(loss, theta[p], theta[q])
"""


def allowed(text: str) -> Spec:
    """A checked spec whose functions from outside may be imported."""
    spec, found = check_text(HEAD + text, "test.yaml", allow_extern=True)
    assert spec is not None, [(d.code, d.message) for d in found]
    return spec


def module(made: Any, w: Weights, name: str) -> Any:
    """A module with the weights of a program."""
    import equinox

    arrays, rest = equinox.partition(made, equinox.is_inexact_array)
    paths = [label(jax.tree_util.keystr(path)) for path, _ in jax.tree_util.tree_leaves_with_path(arrays)]
    own = [w[f"{name}.{path}"] for path in paths]
    return equinox.combine(jax.tree.unflatten(jax.tree.structure(arrays), own), rest)


def loss(w: Weights, x: Any) -> Any:
    key = jax.random.key(0)
    net, wide, scaled = (
        module(made(key=key), w, name)
        for name, made in (("net", outside.Net), ("wide", outside.Wide), ("scaled", outside.Scaled))
    )

    def row(a: Any) -> Any:
        first = net(a) ** 2 + outside.energy(w["w"]) * jnp.sum(outside.drag(a, w["w"][0]))
        return first + scaled(outside.drag(a, 2.0)) + jnp.sum(wide(a) * wide(w["w"]))

    return jnp.mean(jax.vmap(row)(x))


def test_derivatives_of_functions_from_outside_are_those_of_jax(tmp_path: Path) -> None:
    """Values, gradients by all weights, Jacobians, second derivatives and a Hessian by the weights and a param."""
    spec = allowed(SPEC)
    weights, data = drawn(spec, {})
    x, key = data["x"], jax.random.key(0)
    values = arguments(weights, data)
    program = Emission(spec, 2, tmp_path / "program.py")
    value, gradient = compiled(program, "loss_value_and_gradient", values)
    expected, slopes = jax.value_and_grad(lambda w: loss(w, x))(weights)
    close(value, expected, "value")
    assert {*gradient} == {*weights}
    for name, slope in gradient.items():
        close(slope, slopes[name], name)
    net, wide = module(outside.Net(key=key), weights, "net"), module(outside.Wide(key=key), weights, "wide")
    stacked = [n for n in spec.params if n.startswith("net.")] + ["w"]
    flat, back = ravel_pytree([weights[n] for n in stacked])

    def mixed(a: Any) -> Any:
        return jax.jacobian(jax.grad(lambda a, s: jnp.sum(outside.drag(a, s))), 1)(a, weights["w"][0])

    truth = {
        "slope": jax.vmap(jax.grad(net))(x),
        "turned": jax.vmap(jax.jacobian(wide))(x),
        "bowed": jax.vmap(lambda a: jnp.trace(jax.hessian(net)(a)))(x),
        "mixed": jax.vmap(mixed)(x),
        "curvature": jax.hessian(lambda v: loss({**weights, **dict(zip(stacked, back(v), strict=True))}, x))(flat),
    }
    outputs = compiled(program, "outputs", values)
    for name, other in truth.items():
        close(outputs[name], other, name)


def test_weights_start_as_the_module_says(tmp_path: Path) -> None:
    """Each weight is that of one module that is made with a key of the run; other keys make others."""
    spec = allowed(SPEC)
    program = Emission(spec, 2, tmp_path / "program.py")
    starts = [program.module.initial(jax.random.key(seed)) for seed in (3, 4)]
    made = outside.Net(key=jax.random.fold_in(jax.random.key(3), 0))
    names = {n: v for n, v in starts[0].items() if n.startswith("net.")}
    assert list(names) == ["net.layers.0.weight", "net.layers.0.bias", "net.layers.1.weight", "net.layers.1.bias"]
    for name, leaf in zip(names, jax.tree.leaves(jax.tree.map(jnp.asarray, made.layers)), strict=False):
        assert names[name].shape == leaf.shape or name.endswith("bias")
    close(names["net.layers.0.weight"], made.layers[0].weight, "the first")
    assert not np.allclose(starts[0]["net.layers.0.weight"], starts[1]["net.layers.0.weight"])
    assert [n for n in spec.params if n.startswith("scaled")] == ["scaled.weight"], "whole numbers are no weights"


def test_equal_calls_are_one_and_adjoints_of_one_call_are_one_line() -> None:
    text = SPEC.replace("net(x[n, :])**2", "net(x[n, :])*net(x[n, :])")
    spec = allowed(text[: text.index("outputs:")])
    graph, _ = run_passes(lower_spec(spec), 2, ())
    first = [n for n in all_nodes(graph) if n.kind is Kind.CALL and n.op == "net"]
    assert sum(type(n.attrs[2]).__name__ == "External" for n in first) == 1
    program = compile_spec(spec).emitted.text
    entry = program[program.index("def loss_gradient") :]
    assert entry[: entry.index("\n\n\n")].count("pullback(jax.vmap(_net,") == 1


FUNCTION = """\
dims: {n: 4, i: 3, k: 2}
data:
  x[n, i]: real
functions:
  f(x[:])%s: {extern: "%s"}
outputs:
  y: sum[n](f(x[n, :])%s)
"""


@pytest.mark.parametrize(
    ("arrow", "place", "code", "words"),
    [
        ("", "no_such_module_here:f", "VS0671", "there is no module 'no_such_module_here'"),
        ("", "tests.support.outside:enrgy", "VS0672", "has no 'enrgy'"),
        ("", "tests.support.outside:NUMBER", "VS0672", "cannot be called"),
        ("", "equinox.nn:MLP", "VS0673", "cannot be made with a key alone"),
        ("", "tests.support.outside:Silent", "VS0673", "cannot be called"),
        ("", "tests.support.outside.energy", "VS0676", "is no place of a function"),
    ],
)
def test_places_that_are_wrong(arrow: str, place: str, code: str, words: str) -> None:
    spec, found = check_text(HEAD + FUNCTION % (arrow, place, ""), "test.yaml", allow_extern=True)
    assert spec is None
    assert [d.code for d in found] == [code]
    assert words in found[0].message
    assert found[0].span is not None
    assert found[0].span.line == 7


@pytest.mark.parametrize(
    ("arrow", "place", "output", "code", "words"),
    [
        (
            " -> [k]",
            "tests.support.outside:energy",
            "[0]",
            "VS0674",
            "and 'f' is declared with shape [2]",
        ),
        ("", "tests.support.outside:drag", "", "VS0674", "fails for [3]: TypeError"),
        ("", "tests.support.outside:count", "", "VS0674", "of int"),
        ("", "tests.support.outside:both", "", "VS0674", "gives tuple and not one array"),
        ("", "tests.support.outside:Wide", "", "VS0674", "gives an array of shape [2]"),
    ],
)
def test_signatures_that_do_not_fit(arrow: str, place: str, output: str, code: str, words: str) -> None:
    spec = allowed(FUNCTION % (arrow, place, output))
    with pytest.raises(SpecError) as raised:
        compile_spec(spec)
    (found,) = raised.value.diagnostics
    assert found.code == code
    assert words in found.message


def test_a_function_without_a_derivative() -> None:
    text = FUNCTION % ("", "tests.support.outside:callback", "")
    compile_spec(allowed(text))
    with pytest.raises(SpecError) as raised:
        compile_spec(allowed(text + "  z[n, i]: d(f(x[n, :]), x[n, i])\n"))
    assert [d.code for d in raised.value.diagnostics] == ["VS0675"]


def test_nothing_is_imported_unless_it_is_allowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module that writes a file when it is imported: neither check nor build nor load writes it without the flag."""
    (tmp_path / "leaves_a_trace.py").write_text(
        f"from pathlib import Path\nPath({str(tmp_path / 'trace')!r}).touch()\ndef f(x):\n    return (x * x).sum()\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    text = HEAD + (FUNCTION % ("", "leaves_a_trace:f", "")).replace("real", "{draw: normal(0, 1), seed: 1}")
    (tmp_path / "spec.yaml").write_text(text)
    runner = CliRunner()
    for command in (["check", "spec.yaml"], ["build", "spec.yaml"], ["run", "spec.yaml"], ["explain", "spec.yaml"]):
        result = runner.invoke(main, [*command, "--format", "json"])
        assert result.exit_code == 2
        assert "VS0670" in result.output
    assert not (tmp_path / "trace").exists()
    assert runner.invoke(main, ["build", "spec.yaml", "--allow-extern", "--no-stablehlo"]).exit_code == 0
    assert (tmp_path / "trace").exists()
    manifest = json.loads((tmp_path / "build" / "test" / "manifest.json").read_text())
    assert manifest["externs"] == ["leaves_a_trace:f"]
    with pytest.raises(ArtifactError, match="VS0670"):
        vspec.load(tmp_path / "build" / "test")
    assert runner.invoke(main, ["run", "build/test"]).exit_code == 2
    result = runner.invoke(main, ["run", "build/test", "--allow-extern"])
    assert result.exit_code == 0, result.output
    with vspec.allow_extern():
        assert vspec.run("spec.yaml").outputs["y"] > 0
    with pytest.raises(SpecError):
        vspec.check("spec.yaml")
