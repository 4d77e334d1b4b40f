"""Shares by softmax: exact at any size of the exponents, whatever XLA computes anew, with derivatives of every order."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.emit.harness import arg, axes, check, map_, op
from tests.support.program import Emission
from vspec.compiler.emit.helpers import HELPERS
from vspec.compiler.emit.stablehlo import load_program
from vspec.compiler.graph.kernel import num
from vspec.compiler.graph.node import Axis, Kind, Node
from vspec.compiler.language.spec import Spec
from vspec.compiler.pipeline import check_text

X, Y = ("x", 0), ("x", 1)
SHARE = ("exp", ("sub", X, Y))


Softmax = Callable[[Any, Any], Any]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The helpers as a program has them."""
    path = tmp_path_factory.mktemp("helper") / "helper.py"
    texts = [HELPERS[name] for name in ("exponentials", "softmax", "log_total")]
    path.write_text("\n\n".join(["import jax\nimport jax.numpy as jnp\nfrom jax import Array\n", *texts]))
    return load_program(path)


@pytest.fixture(scope="module")
def softmax(program: Any) -> Softmax:
    """exp(x) over its sum."""
    found: Softmax = program.softmax
    return found


def spec(**sections: Any) -> Spec:
    """A checked spec."""
    found, diagnostics = check_text(json.dumps({"vspec": 1, "name": "shares", **sections}), "shares.yaml")
    assert found is not None, diagnostics
    return found


def total(x: Node, *over: str) -> Node:
    return op(Kind.REDUCE, "logsumexp", [x], tuple(a for a in x.axes if a.name not in over), over)


# --- where it is written ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("over", [("i",), ("n", "k"), ("k", "i", "n")])
def test_a_share_needs_no_logarithm(tmp_path: Path, over: tuple[str, ...]) -> None:
    x = map_(("mul", num(3.0), X), arg("x", "n", "i", "k"))
    text = check(map_(SHARE, x, total(x, *over)), tmp_path)
    assert "softmax(" in text
    assert "logsumexp" not in text


def test_shares_within_formulas_and_the_logarithm_beside_them(tmp_path: Path) -> None:
    x, w = arg("x", "n", "i"), arg("w", "i")
    log = total(x, "i")
    text = check({("a",): map_(("mul", ("x", 2), SHARE), x, log, w), ("b",): log}, tmp_path)
    assert "w * softmax(x, axis=1)" in text
    assert "log_total(x, axis=1)" in text
    apart = check({("b",): total(map_(("mul", X, X), x), "i"), ("a",): map_(SHARE, x, log)}, tmp_path)
    assert "log_total" not in apart


def test_shares_under_other_names(tmp_path: Path) -> None:
    x = arg("x", "n", "i")
    other = (Axis("n", "n"), Axis("j", "i"))
    renamed = op(Kind.REINDEX, "", [x], other, ("n", "j"))
    assert "softmax(x, axis=1)" in check(map_(SHARE, renamed, total(x, "i")), tmp_path)
    turned = op(Kind.REINDEX, "", [x], axes("i", "n"), ("n", "i"))
    assert "softmax(" in check(map_(SHARE, turned, total(x, "i")), tmp_path)


def test_what_only_looks_like_a_share_is_left(tmp_path: Path) -> None:
    x, y = arg("x", "n", "i"), arg("y", "n", "i")
    square = Node(Kind.INPUT, "data", (), (Axis("n", "n"), Axis("m", "n")), "real", ("square",))
    turned = op(Kind.REINDEX, "", [square], (Axis("m", "n"), Axis("n", "n")), ("m", "n"))
    for tree in (
        map_(SHARE, x, total(y, "i")),
        map_(SHARE, turned, total(square, "m")),
        map_(("exp", ("sub", Y, X)), x, total(x, "i")),
    ):
        text = check(tree, tmp_path)
        assert "softmax(" not in text


def test_a_short_last_axis_is_turned_for_shares_as_for_sums(tmp_path: Path) -> None:
    text = Emission(
        spec(
            dims={"n": 5000, "k": 4},
            data={"x[n]": "real", "m[k]": "real"},
            params={"w[k]": {"init": 0}},
            objectives={"loss": "sum[n](logsumexp[k](w[k]*x[n] + m[k]))"},
            solve={"minimize": "loss", "method": "sgd(0.1)", "steps": 1},
        ),
        2,
        tmp_path / "turned.py",
    ).compiled.emitted.text
    assert "softmax(" in text
    assert "axis=0" in text.partition("def loss_grad")[2]


# --- what it is -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
@pytest.mark.parametrize("size", [1.0, 1e5, 1e15, 1e30, 1e300])
def test_the_largest_takes_all_and_equal_ones_share(softmax: Softmax, dtype: Any, size: float) -> None:
    if size > float(jnp.finfo(dtype).max):
        pytest.skip("no number of this type")
    heights = jnp.asarray([[3.0, 1.0, 2.0, 1.0], [0.5, 9.0, 0.25, 0.75]], dtype)
    found = jax.jit(lambda a, h: softmax(-a * h, 1))(jnp.asarray(size, dtype), heights)
    if size > 1:
        np.testing.assert_array_equal(found, [[0, 0.5, 0, 0.5], [0, 0, 1, 0]])
    np.testing.assert_allclose(found.sum(1), 1, rtol=1e-6)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_differences_count_at_any_ordinary_size(softmax: Softmax, dtype: Any) -> None:
    near = jnp.asarray([0.0, 1.0, -1.0, -40.0], dtype)
    for shift in (0.0, -1e4, 1e4, 1e6):
        expected = np.exp([-1.0, 0.0, -2.0, -41.0])
        found = softmax(near + jnp.asarray(shift, dtype), 0)
        np.testing.assert_allclose(found, expected / expected.sum(), rtol=1e-5 if dtype == jnp.float32 else 1e-12)


def test_infinities(softmax: Softmax) -> None:
    found = softmax(jnp.asarray([[-jnp.inf, 0.0, 0.0], [-jnp.inf, -1e300, -jnp.inf]]), 1)
    np.testing.assert_array_equal(found, [[0, 0.5, 0.5], [0, 1, 0]])
    assert bool(jnp.isnan(softmax(jnp.full(3, -jnp.inf), 0)).all())
    assert bool(jnp.isnan(softmax(jnp.asarray([0.0, jnp.inf]), 0)).all())


def test_derivatives_are_those_of_jax(softmax: Softmax) -> None:
    x = jax.random.normal(jax.random.key(0), (3, 4))
    v = jax.random.normal(jax.random.key(1), (3, 4))
    for axis in (0, 1, (0, 1)):
        for order in (jax.grad, lambda f: jax.grad(lambda x: jnp.sum(v * jax.grad(f)(x)))):

            def loss(x: Any, f: Any = softmax, axis: Any = axis) -> Any:
                return jnp.sum(v * f(x, axis) ** 2)

            expected = jax.jit(order(lambda x, loss=loss: loss(x, jax.nn.softmax)))(x)
            np.testing.assert_allclose(jax.jit(order(loss))(x), expected, rtol=1e-12, atol=1e-13)


def test_slopes_are_finite_where_one_takes_all(softmax: Softmax) -> None:
    x = jnp.asarray([-1e300, -2e300, -1e300, -jnp.inf])
    slope = jax.grad(lambda x: jnp.sum(softmax(x, 0) * jnp.asarray([1.0, 2.0, 3.0, 4.0])))(x)
    np.testing.assert_array_equal(slope, [-0.5, 0, 0.5, 0])


def test_the_logarithm_beside_shares(program: Any) -> None:
    x = jax.random.normal(jax.random.key(0), (3, 4)) * 20
    for axis in (0, 1, (0, 1)):
        np.testing.assert_allclose(program.log_total(x, axis), jax.nn.logsumexp(x, axis), rtol=1e-14)
        found, expected = (
            jax.jit(jax.grad(lambda x, f=f, axis=axis: jnp.sum(f(x, axis) ** 2)))(x)
            for f in (program.log_total, jax.nn.logsumexp)
        )
        np.testing.assert_allclose(found, expected, rtol=1e-12)
    ends = jnp.asarray([[-jnp.inf, -jnp.inf], [-jnp.inf, 1.0], [jnp.inf, 0.0], [-1e300, -1e300]])
    np.testing.assert_allclose(program.log_total(ends, 1), [-np.inf, 1, np.inf, -1e300], rtol=1e-14)


# --- in a loop, where XLA computes energies more than once ------------------------------------------------------------

ENERGIES = {
    "rastrigin": "sum[i](v[i]**2 + 2.5*(1 - cos(2*pi*v[i])))",
    "products": "v[0]*v[1] + v[1]*v[2] - v[0]**3",
    "quotients": "v[0]/(1 + v[1]**2) + v[2]*v[0]",
}


def swarm(energy: str, precision: str) -> dict[str, Any]:
    return {
        "precision": precision,
        "dims": {"t": 41, "m": 5, "n": 64, "i": 10},
        "constants": {"alpha": 1.0},
        "functions": {"height(v[:])": energy},
        "define": {
            "V[0, m, n, i]": "sample(normal(3, 2))",
            "w[t, m, n]": "softmax[n](-alpha*height(V[t, m, n, :]))",
            "c[t, m, i]": "sum[n](w[t, m, n]*V[t, m, n, i])",
            "p[t, m, n, i]": "V[t, m, n, i] - 0.02*(V[t, m, n, i] - c[t, m, i])",
            "V[t + 1, m, n, i]": "clip(p[t, m, n, i] + 0.3*(p[t, m, n, i] - c[t, m, i])*sample(normal(0, 1)), -6, 6)",
        },
        "solve": {"evaluate": ["c"]},
        "outputs": {"V[t, m, n, i]": "V[t, m, n, i]", "c[t, m, i]": "c[t, m, i]"},
    }


@pytest.mark.parametrize("energy", ENERGIES)
@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_weights_in_a_loop_are_never_lost(tmp_path: Path, energy: str, precision: str) -> None:
    program = Emission(spec(**swarm(ENERGIES[energy], precision)), 2, tmp_path / "swarm.py")
    run = jax.jit(program.module.outputs)
    for alpha in (1e7, 1e15, 1e30) if precision == "float32" else (1e15, 1e18, 1e290):
        found = run(alpha=alpha, key=jax.random.key(0))
        V, c = np.asarray(found["V"]), np.asarray(found["c"])
        assert np.isfinite(V).all(), alpha
        # The centre is the best particle, or lies between those that are as good to rounding.
        inside = (c >= V.min(2) - 1e-4) & (c <= V.max(2) + 1e-4)
        assert inside.all(), alpha
        nearest = np.abs(V - c[:, :, None]).max(3).min(2)
        assert np.mean(nearest < 1e-4) > 0.98, alpha


def test_the_slope_of_a_loop_is_finite(tmp_path: Path) -> None:
    given = swarm(ENERGIES["rastrigin"], "float64")
    given["define"]["V[0, m, n, i]"] = "u[n, i]"
    given["dims"] |= {"t": 6}
    given["params"] = {"u[n, i]": {"init": 0}}
    given["objectives"] = {"far": "mean[m](sum[i](c[-1, m, i]**2))"}
    given["solve"] = {"minimize": "far", "method": "sgd(0.1)", "steps": 1}
    program = Emission(spec(**given), 2, tmp_path / "slope.py")
    u = jax.random.uniform(jax.random.key(2), (64, 10), minval=-3, maxval=3)
    names = sorted(e for e in program.entries if "grad" in e)
    for alpha in (0.7, 1e15):
        found = jax.jit(getattr(program.module, names[0]))(u=u, alpha=alpha, key=jax.random.key(0))
        assert all(np.isfinite(x).all() for x in jax.tree.leaves(found))
