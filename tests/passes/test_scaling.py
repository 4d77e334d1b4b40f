"""Loops by products with kernels that are kept: equal to the steps as written, whatever the scale; chosen, told and refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import logsumexp

from tests.language.helpers import codes, good
from tests.support.evaluate import evaluate_graph
from tests.support.program import Emission
from vspec.compiler.diagnostics.diagnostic import SpecError
from vspec.compiler.graph.node import Kind, Region
from vspec.compiler.graph.tuning import Tuning
from vspec.compiler.pipeline import compile_spec
from vspec.compiler.report.strategies import strategies

N, M, T = 7, 9, 31

SINKHORN = """\
precision: PRECISION
dims: {n: 7, m: 9, t: 31}
constants: {eps: 0.1}
data:
  C[n, m]: real
  a[n]: real
  b[m]: real
params:
  start[n]: {init: 0}
define:
  f[0, n]: start[n]
  g[t, m]: eps*log(b[m]) - eps*logsumexp[n]((f[t, n] - C[n, m])/eps BY)
  f[t + 1, n]: eps*log(a[n]) - eps*logsumexp[m]((g[t, m] - C[n, m])/eps BY)
outputs:
  f[n]: f[-1, n]
"""


def text(precision: str = "float64", by: str = "") -> str:
    return SINKHORN.replace("PRECISION", precision).replace(" BY", f", {by}" if by else "")


def values(eps: float, spread: float = 0.0, seed: int = 0) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    a, b = rng.uniform(0.1, 2, N), rng.uniform(0.1, 2, M)
    start = spread * rng.normal(size=N)
    return {"C": rng.uniform(0, 4, (N, M)), "a": a / a.sum(), "b": b / b.sum(), "start": start, "eps": eps}


def by_hand(v: dict[str, Any], steps: int = T - 1) -> np.ndarray[Any, Any]:
    f, eps = v["start"], v["eps"]
    for _ in range(steps):
        g = eps * np.log(v["b"]) - eps * logsumexp((f[:, None] - v["C"]) / eps, axis=0)
        f = eps * np.log(v["a"]) - eps * logsumexp((g - v["C"]) / eps, axis=1)
    return np.asarray(f)


def rows(spec_text: str, **how: Any) -> list[dict[str, Any]]:
    return [r for r in strategies(compile_spec(good(spec_text), **how)) if r["kind"] == "recurrence"]


def loops(graph: Any) -> list[Region]:
    return [n.attrs[0] for n in graph.nodes if n.kind is Kind.REGION and isinstance(n.attrs[0], Region)]


@pytest.mark.parametrize("eps", [10.0, 0.1, 1e-2, 1e-4, 1e-7])
def test_steps_by_products_are_those_by_logarithms_in_float64(eps: float, tmp_path: Path) -> None:
    """From mild to so small that each kernel serves hardly a step, from near and from far."""
    with jax.enable_x64(True):
        emission = Emission(good(text()), 2, tmp_path / "program.py")
        for spread in (0.0, 30.0):
            v = values(eps, spread)
            np.testing.assert_allclose(emission.call("outputs", v)["f"], by_hand(v), rtol=1e-8, atol=1e-9)


def test_weak_regularisation_in_float32(tmp_path: Path) -> None:
    """`exp(-C/eps)` is zero in float32 in whole rows; potentials are known up to the rounding of costs."""
    emission = Emission(good(text("float32")), 2, tmp_path / "program.py")
    v = values(2e-3)
    v["C"] = v["C"] + 1
    assert (np.exp(-v["C"].astype(np.float32) / np.float32(v["eps"])) == 0).all()
    np.testing.assert_allclose(emission.call("outputs", v)["f"], by_hand(v), atol=2e-5)


def test_mass_that_is_zero(tmp_path: Path) -> None:
    """A logarithm is minus infinity from the start: no kernel can serve, and all steps are those as written."""
    with jax.enable_x64(True):
        v = values(0.1)
        v["b"][3] = 0.0
        f = Emission(good(text()), 2, tmp_path / "program.py").call("outputs", v)["f"]
        with np.errstate(divide="ignore"):
            np.testing.assert_allclose(f, by_hand(v), rtol=1e-9)


@pytest.mark.parametrize("eps", [1.0, 0.05])
def test_the_graph_says_the_same(eps: float) -> None:
    spec = good(text())
    without, with_ = (compile_spec(spec, disable=d).graph for d in (["scaling"], []))
    assert all(r.products is None for r in loops(without))
    assert all(r.products is not None for r in loops(with_))
    v = {k: np.asarray(x) for k, x in values(eps).items()}
    want, got = (evaluate_graph(g, v)["outputs"] for g in (without, with_))
    np.testing.assert_allclose(got[("f",)], want[("f",)], rtol=1e-9)


def test_a_step_by_products_takes_exponentials_of_vectors_only(tmp_path: Path) -> None:
    emission = Emission(good(text()), 2, tmp_path / "program.py")
    found = emission.compiled.graph
    (region,) = loops(found)
    assert region.products is not None
    seen: list[Any] = []

    def steps(by_logs: Any, kernel: Any, by_products: Any, start: Any, length: int, size: int) -> Any:
        terms = by_logs(start, 0)[1]
        seen.append(jax.make_jaxpr(lambda s, k, t: by_products(s, 0, k, t))(start, kernel(terms), terms))
        seen.append((length, size))
        return start

    emission.module.scaled_steps = steps
    with jax.enable_x64(True):
        emission.call("outputs", values(0.1))
    jaxpr, told = seen
    names = [e.primitive.name for e in jaxpr.eqns]
    assert names.count("dot_general") == 2
    assert max(e.outvars[0].aval.size for e in jaxpr.eqns if e.primitive.name in ("exp", "log", "div")) == M
    assert told == (T - 1, 8 * N * M)


def test_a_kernel_serves_many_steps(tmp_path: Path) -> None:
    """How often exponentials of the whole array are taken, in 30 steps."""
    emission = Emission(good(text()), 2, tmp_path / "program.py")
    plain = emission.module.scaled_steps
    count = {"logs": 0, "kernel": 0}

    def steps(by_logs: Any, kernel: Any, by_products: Any, *rest: Any) -> Any:
        def counted(which: str, f: Any) -> Any:
            def call(*args: Any) -> Any:
                jax.debug.callback(lambda: count.__setitem__(which, count[which] + 1))
                return f(*args)

            return call

        return plain(counted("logs", by_logs), counted("kernel", kernel), by_products, *rest)

    emission.module.scaled_steps = steps
    with jax.enable_x64(True):
        jax.block_until_ready(emission.call("outputs", values(0.1)))
    jax.effects_barrier()
    assert count["logs"] == 1
    assert count["kernel"] <= 3


def test_memory_decides_when_a_program_is_traced(tmp_path: Path) -> None:
    spec = good(text().replace("{n: 7, m: 9, t: 31}", "{n: auto, m: auto, t: 31}"))
    emission = Emission(spec, 2, tmp_path / "program.py")
    assert "scaled_steps(by_logs, kernel, by_products, start, 30, 8 * n * m)" in emission.compiled.emitted.text
    with jax.enable_x64(True):
        v = values(0.1)
        found = [emission.call("outputs", v)["f"]]
        emission.module.MEMORY = 8 * N * M - 1
        found.append(emission.call("outputs", v)["f"])
        for f in found:
            np.testing.assert_allclose(f, by_hand(v), rtol=1e-9)
        jaxpr = str(jax.make_jaxpr(lambda: emission.call("outputs", v))())
        assert "dot_general" not in jaxpr


def test_costs_that_are_made_on_the_way_are_made_in_parts_or_once_for_a_kernel(tmp_path: Path) -> None:
    """Where sizes are open: within memory a kernel, above it steps by logarithms of some rows at a time."""
    changed = text("float32").replace("{n: 7, m: 9, t: 31}", "{n: auto, m: auto, t: 31}")
    changed = changed.replace("  C[n, m]: real\n", "  X[n]: real\n  Y[m]: real\n")
    changed = changed.replace("  f[0, n]", "  C[n, m]: (X[n] - Y[m])**2\n  f[0, n]")
    module = Emission(good(changed), 2, tmp_path / "program.py").module
    sizes = {"start": 1200, "X": 1200, "Y": 1200, "a": 1200, "b": 1200}
    given = {k: jax.ShapeDtypeStruct((n,), jnp.float32) for k, n in sizes.items()}
    taken = []
    for memory in (10_000_000, 2_000_000):
        module.MEMORY, module.CHUNK = memory, 500_000
        lowered = jax.jit(lambda **v: module.outputs(**v, eps=0.1)).lower(**given)
        taken.append(lowered.compile().memory_analysis().temp_size_in_bytes)
    kernel = 4 * 1200 * 1200
    assert kernel <= taken[0] <= 3 * kernel
    assert taken[1] < kernel / 2


def test_three_indices_and_a_term_that_changes_with_the_step(tmp_path: Path) -> None:
    spec = good(
        "precision: float64\ndims: {i: 3, j: 4, k: 5, t: 26}\nconstants: {w: 0.3}\ndata:\n  C[i, j, k]: real\n"
        "params:\n  x0[i]: {init: 0}\ndefine:\n  x[0, i]: x0[i]\n  y[0, j]: 0\n"
        "  s[t, i]: logsumexp[j, k](x[t, i] + 2*y[t, j] - C[i, j, k]/w + index(k)*index(t)/50)\n"
        "  x[t + 1, i]: x[t, i] - s[t, i]\n"
        "  y[t + 1, j]: y[t, j]/2 - logsumexp[i, k](x[t, i] - s[t, i] + 2*y[t, j] - C[i, j, k]/w)/2\n"
        "outputs:\n  x[i]: x[-1, i]\n  y[j]: y[-1, j]\n"
    )
    (region,) = loops(compile_spec(spec).graph)
    assert region.products is not None
    with jax.enable_x64(True):
        C = np.random.default_rng(0).normal(size=(3, 4, 5))
        got = Emission(spec, 2, tmp_path / "p.py").call("outputs", {"C": C, "w": 0.3, "x0": np.zeros(3)})
        x, y = np.zeros(3), np.zeros(4)
        for t in range(25):
            s = logsumexp(x[:, None, None] + 2 * y[:, None] - C / 0.3 + np.arange(5) * t / 50, axis=(1, 2))
            x, y = x - s, y / 2 - logsumexp((x - s)[:, None, None] + 2 * y[:, None] - C / 0.3, axis=(0, 2)) / 2
        np.testing.assert_allclose(got["x"], x, rtol=1e-9)
        np.testing.assert_allclose(got["y"], y, rtol=1e-9)


def test_the_form_is_chosen_by_cost_and_told() -> None:
    (row,) = rows(text())
    assert (row["chosen"], row["because"]) == ("scaling", "least cost")
    assert row["what"] == "logarithms of sums in the steps of f"
    costs = {x["name"]: x["flops"] for x in row["among"]}
    assert costs["scaling"] < costs["log"]
    (row,) = rows(text().replace("t: 31", "t: 3"))
    assert row["chosen"] == "log"
    (row,) = rows(text(by="by=scaling").replace("t: 31", "t: 3"))
    assert (row["chosen"], row["because"]) == ("scaling", "asked for")
    (row,) = rows(text(), tuning=Tuning(memory=8 * N * M - 1))
    assert (row["chosen"], row["because"]) == ("log", "the kernel would take too much memory")
    (row,) = rows(text(), tuning=Tuning(memory=8 * N * M))
    assert row["chosen"] == "scaling"
    # Who says how a sum is taken has said that it is taken from its exponents.
    assert not rows(text(by="by=whole"))
    assert not rows(text(), level=1)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (("f[n]: f[-1, n]", "f[t, n]: f[t, n]"), "all of its steps are read, not the last alone"),
        (("- C[n, m])/eps", "- C[n, m])/(eps + index(t))"), "its exponents are not a fixed array plus"),
        ((" - C[n, m])", "*C[n, m])"), "its exponents are not a fixed array plus"),
        (
            ("outputs:", "objectives:\n  o: sum[n](f[-1, n]**2)\nsolve: {minimize: o}\noutputs:"),
            "a derivative goes back through its steps",
        ),
    ],
)
def test_what_has_no_products_is_left_or_refused(change: tuple[str, str], reason: str) -> None:
    changed = text(by="by=scaling").replace(*change)
    with pytest.raises(SpecError) as e:
        compile_spec(good(changed))
    (found,) = e.value.diagnostics
    assert found.code == "VS0268"
    assert reason in found.message
    left = changed.replace(", by=scaling", "")
    assert not rows(left) or "solve" in left


def test_a_logarithm_of_a_sum_outside_of_recurrences_is_refused() -> None:
    with pytest.raises(SpecError) as e:
        compile_spec(good(text().replace("outputs:", "outputs:\n  s: logsumexp[n](start[n], by=scaling)")))
    assert "it is in no recurrence whose steps could share a kernel" in e.value.diagnostics[0].message


def test_only_logarithms_of_sums_go_by_scaling() -> None:
    assert codes("params:\n  x: {init: 0}\ndims: {i: 3}\noutputs:\n  s: sum[i](x, by=scaling)\n") == ["VS0249"]


def test_gradients_go_back_through_steps_as_written(tmp_path: Path) -> None:
    """Value and derivatives where both are asked for, against JAX."""
    spec = good(
        text().replace(
            "outputs:", "objectives:\n  o: sum[n](f[-1, n]**2)\nsolve: {minimize: o, method: newton}\noutputs:"
        )
    )
    with jax.enable_x64(True):
        emission = Emission(spec, 2, tmp_path / "program.py")
        v = values(0.5)

        def o(start: Any) -> Any:
            f = start
            for _ in range(T - 1):
                g = v["eps"] * jnp.log(v["b"]) - v["eps"] * jax.nn.logsumexp((f[:, None] - v["C"]) / v["eps"], axis=0)
                f = v["eps"] * jnp.log(v["a"]) - v["eps"] * jax.nn.logsumexp((g - v["C"]) / v["eps"], axis=1)
            return jnp.sum(f**2)

        value, gradient = emission.call("o_value_and_gradient", v)
        np.testing.assert_allclose(value, o(v["start"]), rtol=1e-9)
        np.testing.assert_allclose(gradient, jax.grad(o)(v["start"]), rtol=1e-7, atol=1e-9)
        hessian = emission.call("o_hessian", v)
        np.testing.assert_allclose(hessian, jax.hessian(o)(v["start"]), rtol=1e-6, atol=1e-8)
        np.testing.assert_allclose(emission.call("o", v), value, rtol=1e-9)
    # Where the value alone is wanted, it is by products.
    functions = emission.compiled.emitted.text.split("\ndef ")
    by = {f.split("(")[0]: "scaled_steps(" in f for f in functions[1:]}
    assert [by[k] for k in ("o", "outputs", "o_value_and_gradient", "o_newton")] == [True, True, False, False]


def test_a_kernel_serves_as_long_as_its_weights_say(tmp_path: Path) -> None:
    """Terms move by 20 and more from those of the kernel, but few of them that far: one kernel serves in float32."""
    spec = good(text("float32").replace("{n: 7, m: 9, t: 31}", "{n: 400, m: 300, t: 21}"))
    emission = Emission(spec, 2, tmp_path / "program.py")
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(400, 3)), rng.normal(size=(300, 3)) + 0.5
    v = {"C": ((X[:, None] - Y) ** 2).sum(2), "start": np.zeros(400), "eps": 0.1}
    v |= {"a": np.full(400, 1 / 400), "b": np.full(300, 1 / 300)}
    plain, made, far = emission.module.scaled_steps, [], []

    def steps(by_logs: Any, kernel: Any, by_products: Any, *rest: Any) -> Any:
        def counted(terms: Any) -> Any:
            jax.debug.callback(lambda: made.append(1))
            return kernel(terms)

        def told(states: Any, t: Any, kernels: Any, terms: Any) -> Any:
            found = by_products(states, t, kernels, terms)
            jax.debug.callback(lambda x: far.append(float(x)), jnp.max(jnp.abs(found[1][0] - terms[0])))
            return found

        return plain(by_logs, counted, told, *rest)

    emission.module.scaled_steps = steps
    f = emission.call("outputs", v)["f"]
    jax.effects_barrier()
    np.testing.assert_allclose(f, by_hand(v, 20), atol=3e-6)
    assert sum(made) == 1
    assert max(far) > 15
