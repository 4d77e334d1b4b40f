"""Every reduction, over one letter and over several, against NumPy; derivatives of both orders against JAX's AD."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.calculus.jax_reference import evaluate
from tests.support.effort import examples
from tests.support.meaning import Meaning
from tests.support.program import Emission
from vspec.compiler.calculus.derive import derivative, gradients
from vspec.compiler.graph.builder import Builder
from vspec.compiler.graph.node import Axis, Node
from vspec.compiler.language.operators import REDUCTIONS
from vspec.compiler.pipeline import check_text

HEAD = """\
vspec: 1
name: reductions
precision: float64
dims: {n: 3, 'i, j': 4, k: 2}
data:
  X[n, i]: real
  Z[n, i]: integer
params:
  w[i]: {init: 1}
  c: {init: 1}
"""
ROUGH = {"median", "quantile", "argmax", "argmin"}


def values() -> dict[str, Any]:
    rng = np.random.default_rng(7)
    return {
        "X": rng.normal(size=(3, 4)),
        "Z": rng.integers(-2, 4, (3, 4)),
        "w": rng.normal(size=4),
        "c": np.asarray(0.7),
    }


def run(text: str, folder: Path, at: dict[str, Any], level: int = 2) -> dict[str, Any]:
    spec, diagnostics = check_text(HEAD + text, "reductions.yaml")
    assert spec is not None, [d.message for d in diagnostics]
    return dict(Emission(spec, level, folder / f"reductions_{level}.py").call("outputs", at))


def same(text: str, folder: Path, at: dict[str, Any]) -> None:
    spec, diagnostics = check_text(HEAD + text, "reductions.yaml")
    assert spec is not None, [d.message for d in diagnostics]
    stated = Meaning(spec, at).outputs()
    for level in (0, 2):
        found = Emission(spec, level, folder / f"reductions_{level}.py").call("outputs", at)
        for name, meant in stated.items():
            truth = np.asarray(meant)
            np.testing.assert_allclose(found[name], truth, rtol=1e-9, atol=1e-9, err_msg=f"-O{level} {name}")


NUMPY: dict[str, Any] = {
    "sum": np.sum,
    "prod": np.prod,
    "mean": np.mean,
    "max": np.max,
    "min": np.min,
    "argmax": np.argmax,
    "argmin": np.argmin,
    "logsumexp": lambda x, axis: np.log(np.sum(np.exp(x), axis)),
    "any": np.any,
    "all": np.all,
    "norm": lambda x, axis: np.sqrt(np.sum(x**2, axis)),
    "var": np.var,
    "median": np.median,
    "quantile": lambda x, axis: np.quantile(x, 0.8, axis),
}


def test_every_reduction_is_compared() -> None:
    assert set(NUMPY) == set(REDUCTIONS)


@pytest.mark.parametrize("level", [0, 2])
def test_values(level: int, tmp_path: Path) -> None:
    at = values()
    lines, truth = [], {}
    for name, op in REDUCTIONS.items():
        more = ", 0.8" if op.level else ""
        for array, body in (("X", "X[n, i]"), ("Z", "Z[n, i]")):
            x = at[array]
            if op.takes == "boolean":
                body, x = f"{body} > 1", x > 1
            for letters, axis in (("n", 0), ("i", 1), ("n, i", (0, 1))):
                if axis == (0, 1) and not op.several:
                    continue
                rest = {"n": "[i]", "i": "[n]"}.get(letters, "")
                key = f"{name}_{array}_{letters.replace(', ', '')}"
                lines.append(f"  {key}{rest}: {name}[{letters}]({body}{more})")
                truth[key] = NUMPY[name](x, axis=axis)
    found = run("outputs:\n" + "\n".join(lines) + "\n", tmp_path, at, level)
    for key, expected in truth.items():
        np.testing.assert_allclose(np.asarray(found[key], float), np.asarray(expected, float), rtol=1e-12, err_msg=key)
        whole = key.split("_")[1] == "Z" and REDUCTIONS[key.split("_")[0]].gives in ("same", "integer")
        assert not whole or np.asarray(found[key]).dtype.kind == "i", key


def test_conditions_count(tmp_path: Path) -> None:
    at = values()
    found = run(
        "outputs:\n  often[i]: mean[n](X[n, i] > 0)\n  count: sum[n, i](X[n, i] > 0)\n  spread: var[n, i](X[n, i] > 0)\n",
        tmp_path,
        at,
    )
    np.testing.assert_allclose(found["often"], np.mean(at["X"] > 0, axis=0))
    np.testing.assert_allclose(found["count"], np.sum(at["X"] > 0))
    np.testing.assert_allclose(found["spread"], np.var(at["X"] > 0))


def test_of_several_equals_the_first_position_counts(tmp_path: Path) -> None:
    at = values()
    at["w"] = np.array([0.5, 2.0, 2.0, 0.5])
    found = run("outputs:\n  most: argmax[i](w[i])\n  least: argmin[i](w[i])\n", tmp_path, at)
    assert (int(found["most"]), int(found["least"])) == (1, 0)


def test_equals_share_the_derivative_of_max_and_min(tmp_path: Path) -> None:
    at = values()
    at["w"] = np.array([0.5, 2.0, 2.0, 0.5])
    text = "outputs:\n  g[i]: d(max[i](w[i]**2), w[i])\n  l[i]: d(min[i](w[i]), w[i])\n"
    found = run(text + "  h[i, j]: d(max[i](w[i]**2), w[i], w[j])\n", tmp_path, at)
    np.testing.assert_allclose(found["g"], [0, 2, 2, 0])
    np.testing.assert_allclose(found["l"], [0.5, 0, 0, 0.5])
    np.testing.assert_allclose(found["h"], np.diag([0.0, 1.0, 1.0, 0.0]))


@pytest.mark.parametrize("zeros", [0, 1, 2, 3])
def test_products_with_zeros_to_second_order(zeros: int, tmp_path: Path) -> None:
    at = values()
    at["w"][:zeros] = 0.0
    at["X"][0, :zeros] = 0.0
    same(
        """\
outputs:
  g[i]: d(prod[i](w[i]), w[i])
  h[i, j]: d(prod[i](w[i]), w[i], w[j])
  both[i, j]: d(sum[n](prod[i](X[n, i]*w[i])), w[i], w[j])
  whole[n, i]: d(prod[n, i](X[n, i]), X[n, i])
""",
        tmp_path,
        at,
    )


def test_norms_at_zero_have_derivative_zero(tmp_path: Path) -> None:
    at = values()
    at["w"] = np.zeros(4)
    found = run("outputs:\n  v: norm[i](w[i])\n  g[i]: d(norm[i](w[i]), w[i])\n", tmp_path, at)
    assert float(found["v"]) == 0
    np.testing.assert_array_equal(found["g"], np.zeros(4))


def test_norms_elsewhere_to_second_order(tmp_path: Path) -> None:
    same(
        """\
outputs:
  h[i, j]: d(norm[i](w[i]), w[i], w[j])
  m[i, j]: d(norm[n, i](X[n, i]*w[i]), w[i], w[j])
  v[i, j]: d(var[n, i](X[n, i]*w[i]**2), w[i], w[j])
""",
        tmp_path,
        values(),
    )


def test_an_axis_of_one(tmp_path: Path) -> None:
    """Sizes are at least one; of one value each reduction is that value, and its spread is zero."""
    spec, diagnostics = check_text(
        "vspec: 1\nname: one\nprecision: float64\ndims: {n: 1}\ndata:\n  x[n]: real\noutputs:\n"
        + "".join(
            f"  {op}_x: {op}[n](x[n]{', 0.3' if r.level else ''})\n"
            for op, r in REDUCTIONS.items()
            if r.takes != "boolean"
        )
        + "".join(f"  {op}_x[n]: {op}[n](x[n])\n" for op in ("cumsum", "cumprod", "sort", "argsort", "softmax")),
        "one.yaml",
    )
    assert spec is not None, [d.message for d in diagnostics]
    found = Emission(spec, 2, tmp_path / "one.py").call("outputs", {"x": np.array([-3.0])})
    expected = {"norm_x": 3.0, "var_x": 0.0, "argmax_x": 0, "argmin_x": 0, "argsort_x": 0, "softmax_x": 1.0}
    for key, value in found.items():
        np.testing.assert_allclose(np.ravel(value), [expected.get(key, -3.0)], err_msg=key)


# --- nodes ------------------------------------------------------------------------------------------------------------

SIZES = {"n": 2, "i": 3}
N, I = Axis("n", "n"), Axis("i", "i")
PHASES = (Phase.explicit, Phase.reuse, Phase.generate)


@pytest.mark.parametrize("op", ["sum", "prod", "max", "min", "logsumexp", "argmax", "argmin"])
def test_an_axis_that_the_operand_lacks(op: str) -> None:
    """As where a function binds an index that the argument of this call does not depend on: the value is there each time."""
    b = Builder(SIZES)
    x = b.input("x", "param", (N,), "real")
    at = np.array([0.4, -1.5])
    value = evaluate(b.order(b.reduce(op, x, ["i"], {"i": "i"}), (N,)), {x.uid: at}, SIZES)
    repeated = np.repeat(at[:, None], 3, axis=1)
    np.testing.assert_allclose(value, NUMPY[op](repeated, axis=1), rtol=1e-12)
    both = evaluate(b.reduce(op, x, ["n", "i"], {"i": "i"}), {x.uid: at}, SIZES)
    if not op.startswith("arg"):
        np.testing.assert_allclose(both, NUMPY[op](repeated, axis=(0, 1)), rtol=1e-12)


@settings(max_examples=examples(25), deadline=None, suppress_health_check=list(HealthCheck), phases=PHASES)
@given(
    st.sampled_from(["sum", "prod", "max", "min", "logsumexp"]),
    st.sampled_from([("n",), ("i",), ("n", "i"), ("i", "n")]),
    st.lists(st.sampled_from([0.0, 1.0, -1.5, 0.4]), min_size=6, max_size=6),
)
def test_derivatives_of_any_reduction_at_any_point(op: str, over: tuple[str, ...], entries: list[float]) -> None:
    """Zeros and equals among the values included."""
    b = Builder(SIZES)
    x = b.input("x", "param", (N, I), "real")
    value = b.reduce(op, x, over)
    e = b.reduce("sum", b.mul([value, value]), value.names) if value.names else b.mul([value, value])
    at = np.array(entries).reshape(2, 3)

    def loss(v: Any) -> Any:
        return evaluate(e, {x.uid: v}, SIZES)

    def shown(node: Node) -> Any:
        return np.asarray(evaluate(node, {x.uid: at}, SIZES), float)

    (gradient,) = gradients(b, e, [x])
    np.testing.assert_allclose(shown(gradient), jax.jit(jax.grad(loss))(at), rtol=1e-9, atol=1e-9)
    hessian = derivative(b, gradient, x, (Axis("m", "n"), Axis("j", "i")))
    theirs = jax.jit(jax.jacobian(jax.grad(loss)))(jnp.asarray(at))
    np.testing.assert_allclose(shown(hessian), theirs, rtol=1e-9, atol=1e-9)
