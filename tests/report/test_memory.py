"""What the report says of reverse sweeps through recurrences, against what XLA sets aside for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import pytest

from tests.language.helpers import good
from tests.support.program import Emission
from vspec.compiler.graph.cost import graph_cost
from vspec.compiler.graph.residuals import Count, Factor
from vspec.compiler.pipeline import compile_spec, report
from vspec.compiler.report.explain import explain, explain_json

# A pendulum with noise: a step keeps the cosine of x and v.
PENDULUM = """
dims: {t: 401, i: 1000}
data:
  A[i]: real
params:
  w[i]: {init: 0}
  c: {init: 0}
define:
  x[0, i]: w[i]
  v[0, i]: 0
  force[t, i]: -sin(x[t, i]) - c*v[t, i] + 0.1*sample(normal(0, 1))
  x[t + 1, i]: {is: "x[t, i] + 0.1*v[t, i]", adjoint: MODE}
  v[t + 1, i]: v[t, i] + 0.1*force[t, i]*A[i]
objectives:
  loss: sum[i](x[-1, i]**2 + v[-1, i]**2)
"""
# Three numbers for each unit and example: the two factors of the slope of tanh, and what is multiplied by the weights.
NET = """
dims: {t: 201, b: 300, i: 20, j: 20}
data:
  X[b, i]: real
params:
  W[i, j]: {init: 0.1}
  c[i]: {init: 0}
define:
  s[0, b, i]: X[b, i]
  s[t + 1, b, i]: {is: "tanh(sum[j](W[i, j]*s[t, b, j]) + c[i])", adjoint: MODE}
objectives:
  loss: sum[b, i](s[-1, b, i]**2)
"""
# Two numbers and a mark.
ROOTS = """
dims: {t: 201, b: 3000}
data:
  X[b]: real
params:
  a: {init: 0.1}
define:
  s[0, b]: X[b]
  s[t + 1, b]: {is: "0.5*(s[t, b] + a/s[t, b])", until: "abs(s[t, b]**2 - a) < 1e-3", adjoint: MODE}
objectives:
  loss: sum[b](s[-1, b]**2)
"""
# A step that is a derivative itself.
RELAXED = """
dims: {t: 201, b: 3000}
data:
  X[b]: real
params:
  a: {init: 0.1}
define:
  s[0, b]: X[b]
  s[t + 1, b]: {is: "s[t, b] - 0.1*d(sum[b](a*exp(s[t, b])/(1 + s[t, b]**2)), s[t, b])", adjoint: MODE}
objectives:
  loss: sum[b](s[-1, b]**2)
"""
SPECS = {"pendulum": PENDULUM, "net": NET, "roots": ROOTS, "relaxed": RELAXED}


def text(name: str, mode: str, solve: str = "{minimize: loss, method: adam(0.1)}") -> str:
    return "precision: float64\n" + SPECS[name].replace("MODE", mode).strip() + f"\nsolve: {solve}\n"


def set_aside(emission: Emission, entry: str) -> int:
    """The bytes that XLA takes for an entry beside its arguments and results."""
    graph = emission.compiled.graph
    (found,) = [e for e in emission.compiled.emitted.entries if e.name == entry]
    given: dict[str, Any] = {}
    for a in found.arguments:
        if a.name == "key":
            given["key"] = jax.eval_shape(lambda: jax.random.key(0))
        else:
            shape = tuple(graph.dims[axis.dim] for axis in graph.inputs[a.name].axes)
            given[a.name] = jax.ShapeDtypeStruct(shape, jnp.float64)  # type: ignore[no-untyped-call]
    f = jax.jit(getattr(emission.module, entry))
    size: int = f.lower(**given).compile().memory_analysis().temp_size_in_bytes
    return size


@pytest.mark.parametrize("name", SPECS)
def test_stored_sweeps_keep_what_is_said(name: str, tmp_path: Path) -> None:
    with jax.enable_x64(True):
        emission = Emission(good(text(name, "stored")), 2, tmp_path / "kept.py")
        measured = set_aside(emission, "loss_gradient")
    (record,) = report(emission.compiled)["recurrences"]
    assert (record["adjoint"], record["order"]) == ("stored", 1)
    assert record["entries"] == ["loss_gradient", "loss_value_and_gradient"]
    assert record["bytes"] == pytest.approx(measured, rel=0.03 if name != "relaxed" else 0.2)


@pytest.mark.parametrize("name", ["pendulum", "roots", "net"])
def test_checkpoints_keep_what_is_said(name: str, tmp_path: Path) -> None:
    with jax.enable_x64(True):
        emission = Emission(good(text(name, "checkpointed")), 2, tmp_path / "kept.py")
        measured = set_aside(emission, "loss_gradient")
    (record,) = report(emission.compiled)["recurrences"]
    assert record["adjoint"] == "checkpointed"
    assert record["bytes"] == pytest.approx(measured, rel=0.3)


def test_a_derivative_of_a_sweep_keeps_more(tmp_path: Path) -> None:
    with jax.enable_x64(True):
        emission = Emission(good(text("roots", "stored", "{minimize: loss, method: newton}")), 2, tmp_path / "kept.py")
        measured = set_aside(emission, "loss_hessian")
    first, second = report(emission.compiled)["recurrences"]
    assert (first["order"], second["order"]) == (1, 2)
    assert "loss_hessian" in second["entries"]
    assert second["bytes"] > 3 * first["bytes"]
    assert measured / 2 < second["bytes"] < 2 * measured


def test_the_formula_is_one_of_sizes() -> None:
    (known,) = report(compile_spec(good(text("pendulum", "stored"))))["recurrences"]
    assert known["states"] == ["x", "v"]
    assert known["line"] == 14
    assert (known["formula"], known["bytes"]) == ("16*size(i)*(size(t) - 1)", 16 * 1000 * 400)
    opened = text("pendulum", "checkpointed").replace("t: 401, i: 1000", "t: 401, i: auto")
    (record,) = report(compile_spec(good(opened)))["recurrences"]
    assert record["bytes"] is None
    assert record["formula"] == "size(i)*(32*sqrt(size(t) - 1) + 32)"
    single = report(compile_spec(good(text("pendulum", "stored").replace("float64", "float32"))))["recurrences"]
    assert single[0]["formula"] == "8*size(i)*(size(t) - 1)"


def test_sums_of_products_of_sizes() -> None:
    i, t, root = Factor("i"), Factor("t", "steps"), Factor("t", "root")
    count = Count({(i,): 8}).times(1, t) + Count({(i,): 8}).times(3, i, t)
    assert count.shown == "size(i)*(size(t) - 1)*(24*size(i) + 8)"
    assert count.value({"i": 5, "t": 11}.__getitem__) == 5 * 10 * (24 * 5 + 8)
    mixed = Count({(root,): 2}) + Count({(): 1})
    assert mixed.shown == "2*sqrt(size(t) - 1) + 1"
    assert mixed.value({"t": 17}.__getitem__) == 9
    assert Count().shown == "0"
    assert count.dims == {"i", "t"}


@pytest.mark.parametrize("mode", ["stored", "none"])
def test_a_recurrence_through_which_no_derivative_goes_is_told_so(mode: str) -> None:
    compiled = compile_spec(good(text("pendulum", mode, "{evaluate: loss}")))
    (record,) = explain_json(compiled)["recurrences"]
    assert (record["adjoint"], record["order"], record["entries"], record["bytes"]) == ("none", 0, [], 0)
    assert "no derivative goes back through it" in explain(compiled)


def test_explain_tells_it() -> None:
    compiled = compile_spec(good(text("pendulum", "stored")))
    shown = explain(compiled)
    assert "Back through recurrences\n" in shown
    assert "x, v" in shown
    assert (
        "stored: keeps about 16*size(i)*(size(t) - 1) = 6.4M bytes, in loss_gradient, loss_value_and_gradient" in shown
    )
    opened = text("pendulum", "stored").replace("t: 401, i: 1000", "t: 401, i: auto")
    assert "keeps about 16*size(i)*(size(t) - 1) bytes" in explain(compile_spec(good(opened)))


def test_the_peak_of_a_program_counts_it() -> None:
    peak = {m: graph_cost(compile_spec(good(text("pendulum", m))).graph).peak for m in ("stored", "checkpointed")}
    assert peak["stored"] > 16 * 1000 * 400
    assert peak["checkpointed"] < peak["stored"] / 5
