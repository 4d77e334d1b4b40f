"""Emitted gradients and Hessians against JAX's, on logistic regression, a Gaussian process and a perceptron."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import jax.scipy.linalg as jsl
import numpy as np

import vspec
from benchmarks.timing import Timing, interleaved
from vspec.compiler import pipeline

SPECS = Path(__file__).resolve().parent.parent / "specs" / "problems"
HERE = Path(__file__).resolve().parent / "specs"
Sides = dict[str, Callable[[], Any]]


def bound(path: Path, replace: tuple[str, str] = ("", "")) -> tuple[Any, Any]:
    """The program of a spec (with one piece of its text replaced) and its data."""
    folder = Path(tempfile.mkdtemp())
    spec = folder / path.name
    spec.write_text(path.read_text().replace(*replace) if replace[0] else path.read_text())
    built = pipeline.build(spec, folder / "out", stablehlo=False)
    program = vspec.load(built.directory)
    return program, program.bind(base=path.parent)


def ours(program: Any, data: Any, entry: str, params: Any) -> Callable[[], Any]:
    """An emitted entry, jitted over all its arguments (no data baked in), as a call without arguments."""
    roles = {"param": params, "prepared": data.prepared, "data": data.data, "constant": data.constants}
    arguments = [roles[a.role][a.name] for a in program.entries[entry].arguments]
    f = jax.jit(getattr(program, entry))
    return lambda: f(*arguments)


def agree(sides: Sides) -> None:
    """All sides compute the same thing, or the comparison is void."""
    flat = {name: jax.tree.leaves(f()) for name, f in sides.items()}
    first = next(iter(flat.values()))
    for leaves in flat.values():
        for a, b in zip(first, leaves, strict=True):
            np.testing.assert_allclose(a, b, rtol=2e-3, atol=2e-4 * float(jnp.max(jnp.abs(a)) + 1e-12))


def logistic() -> dict[str, dict[str, Timing]]:
    """Gradient and Hessian of regularised logistic regression (569 x 30)."""
    program, data = bound(SPECS / "logistic.yaml")
    X, y = data.prepared["X"], data.prepared["y"]
    params = {"w": jnp.full(X.shape[1], 0.1, X.dtype), "c": jnp.asarray(0.2, X.dtype)}

    def loss(p: Any, X: Any, y: Any, lam: Any) -> Any:
        return jnp.sum(jnp.log1p(jnp.exp(-y * (X @ p["w"] + p["c"])))) + lam / 2 * jnp.sum(p["w"] ** 2)

    gradient, hessian = jax.jit(jax.grad(loss)), jax.jit(jax.hessian(loss))

    def curvature(p: Any, X: Any, y: Any, lam: Any) -> Any:
        m = y * (X @ p["w"] + p["c"])
        s = y**2 * jax.nn.sigmoid(m) * jax.nn.sigmoid(-m)
        Xs = X * s[:, None]
        side = Xs.sum(0)
        corner = X.T @ Xs + lam * jnp.eye(X.shape[1])
        return {"w": {"w": corner, "c": side}, "c": {"w": side, "c": s.sum()}}

    expert = jax.jit(curvature)
    return {
        "logistic gradient": run(
            {
                "vspec": ours(program, data, "loss_gradient", params),
                "jax.grad": lambda: gradient(params, X, y, 1.0),
            }
        ),
        "logistic hessian": run(
            {
                "vspec": ours(program, data, "loss_hessian", params),
                "jax.hessian": lambda: hessian(params, X, y, 1.0),
                "expert": lambda: expert(params, X, y, 1.0),
            }
        ),
    }


def gaussian_process() -> dict[str, dict[str, Timing]]:
    """Gradient and Hessian of a Gaussian process' log marginal likelihood (200 rows, 10 length scales)."""
    program, data = bound(SPECS / "gp-regression.yaml", ("lbfgs(tol=1e-6)", "newton(tol=1e-6)"))
    X, y = jnp.asarray(data.data["X"]), data.prepared["y"]
    params = {"scale": jnp.full(10, 0.1), "amplitude": jnp.asarray(1.0), "noise": jnp.asarray(0.5)}

    def covariance(p: Any, X: Any) -> Any:
        Z = X / p["scale"]
        square = jnp.sum((Z[:, None] - Z[None]) ** 2, -1)
        return p["amplitude"] * jnp.exp(-square / 2) + p["noise"] * jnp.eye(len(X))

    def plain(p: Any, X: Any, y: Any) -> Any:
        K = covariance(p, X)
        return -(y @ jnp.linalg.solve(K, y) + jnp.linalg.slogdet(K)[1] + len(y) * jnp.log(2 * jnp.pi)) / 2

    def by_cholesky(p: Any, X: Any, y: Any) -> Any:
        L = jnp.linalg.cholesky(covariance(p, X))
        v = jsl.solve_triangular(L, y, lower=True)
        return -(v @ v + 2 * jnp.sum(jnp.log(jnp.diagonal(L))) + len(y) * jnp.log(2 * jnp.pi)) / 2

    result = {}
    for what, derive in (("gradient", jax.grad), ("hessian", jax.hessian)):
        f, g = jax.jit(derive(plain)), jax.jit(derive(by_cholesky))
        result[f"gp {what}"] = run(
            {
                "vspec": ours(program, data, f"evidence_{what}", params),
                f"jax.{what} (solve)": lambda f=f: f(params, X, y),
                f"jax.{what} (cholesky)": lambda g=g: g(params, X, y),
            }
        )
    return result


def perceptron() -> dict[str, dict[str, Timing]]:
    """Loss and all gradients of a 64-128-128-10 perceptron on 1797 digits, float32."""
    program, data = bound(HERE / "mlp.yaml")
    params = program.initial_params(data)
    image, label = jnp.asarray(data.data["image"]), jnp.asarray(data.data["label"])
    x = image / 16

    def loss(p: Any, x: Any, label: Any) -> Any:
        f = jnp.tanh(x @ p["U"] + p["u"])
        g = jnp.tanh(f @ p["V"] + p["v"])
        logp = jax.nn.log_softmax(g @ p["W"] + p["w"])
        return -jnp.mean(jnp.take_along_axis(logp, label[:, None], 1))

    both = jax.jit(jax.value_and_grad(loss))
    return {
        "mlp value and gradient": run(
            {
                "vspec": ours(program, data, "loss_value_and_gradient", params),
                "jax.value_and_grad": lambda: both(params, x, label),
            }
        )
    }


def run(sides: Sides) -> dict[str, Timing]:
    """Checks that the sides agree, then times them."""
    agree(sides)
    jax.clear_caches()
    return interleaved(sides)


ALL = {"logistic": logistic, "gp": gaussian_process, "mlp": perceptron}
