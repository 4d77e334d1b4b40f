"""Linear systems of derivatives by products instead of matrices, against JAX's derivatives and against factorisations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.calculus.test_implicit import HEAD, agree, root_of, solved
from tests.language.helpers import good
from tests.support.program import Emission
from vspec.compiler.graph.graph import Graph
from vspec.compiler.graph.node import Kind, Node, Solve, topological
from vspec.compiler.graph.strategy import choices_of
from vspec.compiler.pipeline import compile_spec

jax.config.update("jax_enable_x64", True)  # type: ignore[no-untyped-call]

RATES = """
dims: {i, j: 3, n: 2}
data:
  b[n, i]: real
  seen[n, i]: real
params:
  W[i, j]: {init: 0}
define:
  rate[n, i]: fixed_point[q[i]](tanh(sum[j](W[i, j]*q[j]) + b[n, i]), method=METHOD, gradient=WAY)
  loss: sum[n, i]((rate[n, i] - seen[n, i])**2)
outputs:
  rate[n, i]: rate[n, i]
  slope[i, j]: d(loss, W[i, j])
  curve[i, j]: d(loss, W[0, 1], W[i, j])
  moved[n, i, j]: d(rate[n, i], b[n, j])
"""

METHODS = ["picard(tol=1e-14)", "picard(tol=1e-14, damping=0.7)", "anderson(tol=1e-14)"]


def values(seed: int = 0) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    b, seen = rng.normal(size=(2, 2, 3))
    return {"W": 0.4 * rng.normal(size=(3, 3)), "b": b, "seen": seen}


def reference(W: Any, b: Any, seen: Any) -> dict[str, Any]:
    def rate(W: Any, b: Any) -> Any:
        return jax.vmap(lambda h: root_of(lambda q: jnp.tanh(W @ q + h) - q, jnp.zeros(3)))(b)

    def loss(W: Any) -> Any:
        return jnp.sum((rate(W, b) - seen) ** 2)

    return {
        "rate": rate(W, b),
        "slope": jax.grad(loss)(W),
        "curve": jax.hessian(loss)(W)[0, 1],
        "moved": jnp.einsum("ninj->nij", jax.jacobian(rate, argnums=1)(W, b)),
    }


def spec(text: str, way: str, method: str = METHODS[0]) -> str:
    return text.replace("METHOD", method).replace("WAY", way)


def graph_of(text: str) -> Graph:
    return compile_spec(good(HEAD + text)).graph


def of_entry(graph: Graph, name: str) -> list[Node]:
    (entry,) = (e for e in graph.entries if e.name == name)
    return topological([r.node for r in entry.results])


def systems(nodes: list[Node]) -> tuple[int, int]:
    """How many linear systems are solved by products, and how many by factors."""
    by_products = [n for n in nodes if n.kind is Kind.REGION and isinstance(n.attrs[0], Solve) and n.attrs[0].linear]
    return len(by_products), sum(n.kind is Kind.LINALG for n in nodes)


@pytest.mark.parametrize(
    ("method", "way"), [(METHODS[1], "iterated"), (METHODS[2], "iterated"), (METHODS[0], "krylov")]
)
def test_derivatives_to_second_order_are_those_of_jax(tmp_path: Path, method: str, way: str) -> None:
    agree(spec(RATES, way, method), values(), tmp_path, reference)


@pytest.fixture(scope="module")
def ways(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    path = tmp_path_factory.mktemp("ways")
    emissions = [Emission(good(HEAD + spec(RATES, way)), 2, path / f"{way}.py") for way in ("iterated", "direct")]
    return [jax.jit(lambda v, e=e: e.call("outputs", v)) for e in emissions]


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_both_ways_agree(ways: list[Any], seed: int) -> None:
    one, two = (way(values(seed)) for way in ways)
    for name, want in two.items():
        np.testing.assert_allclose(one[name], want, atol=1e-10, rtol=1e-10, err_msg=name)


TWO = """
dims: {i, j: 2, k: 3}
params:
  A[i, j]: {init: 0}
  B[k, i]: {init: 0}
define:
  x[i, j], y[k]: fixed_point[a[i, j], c[k]](A[i, j] + sin(sum[k](c[k]*B[k, i]))*cos(a[j, i])/4,
    tanh(sum[i, j](B[k, i]*a[i, j]))/3 + c[k]**2/5, method=anderson(tol=1e-14), gradient=WAY)
  total: sum[i, j](x[i, j]**2) + sum[k](exp(y[k]))
outputs:
  x[i, j]: x[i, j]
  y[k]: y[k]
  slope[i, j]: d(total, A[i, j])
  other[k, i]: d(total, B[k, i])
  curve[k, i]: d(total, A[0, 1], B[k, i])
"""


@pytest.mark.parametrize("way", ["iterated"])
def test_several_unknowns_with_two_axes(tmp_path: Path, way: str) -> None:
    def reference(A: Any, B: Any) -> dict[str, Any]:
        def found(A: Any, B: Any) -> tuple[Any, Any]:
            def equations(z: Any) -> Any:
                a, c = z[:4].reshape(2, 2), z[4:]
                x = A + jnp.sin(c @ B)[:, None] * jnp.cos(a.T) / 4
                y = jnp.tanh(jnp.einsum("ki,ij->k", B, a)) / 3 + c**2 / 5
                return jnp.concatenate([x.ravel(), y]) - z

            z = root_of(equations, jnp.zeros(7))
            return z[:4].reshape(2, 2), z[4:]

        def total(A: Any, B: Any) -> Any:
            x, y = found(A, B)
            return jnp.sum(x**2) + jnp.sum(jnp.exp(y))

        x, y = found(A, B)
        slope, other = jax.grad(total, argnums=(0, 1))(A, B)
        curve = jax.jacobian(jax.grad(total), argnums=1)(A, B)[0, 1]
        return {"x": x, "y": y, "slope": slope, "other": other, "curve": curve}

    rng = np.random.default_rng(1)
    agree(spec(TWO, way), {"A": rng.normal(size=(2, 2)), "B": rng.normal(size=(3, 2))}, tmp_path, reference)


LARGE = """
dims: {i, j: SIZE, n: 4}
data:
  b[n, i]: real
params:
  W[i, j]: {init: 0}
define:
  rate[n, i]: fixed_point[q[i]](tanh(sum[j](W[i, j]*q[j]) + b[n, i]), method=METHOD, gradient=WAY)
objectives:
  loss: sum[n, i](rate[n, i]**2)
solve: {minimize: loss, method: adam()}
"""


@pytest.mark.parametrize(
    ("size", "way", "wanted"),
    [(200, "implicit", (1, 0)), (200, "direct", (0, 1)), (5, "implicit", (0, 1)), (5, "iterated", (1, 0))],
)
def test_the_cheaper_way_is_chosen_and_shown(size: int, way: str, wanted: tuple[int, int]) -> None:
    graph = graph_of(spec(LARGE, way).replace("SIZE", str(size)))
    assert systems(of_entry(graph, "loss_gradient")) == wanted
    (row,) = {(c.chosen, c.because) for c in choices_of(graph) if c.kind == "system"} or {("direct", "asked for")}
    assert row == ("iterated" if wanted[0] else "direct", "least cost" if way == "implicit" else "asked for")


def test_no_array_has_an_entry_for_each_pair_of_numbers_in_each_problem() -> None:
    graph = graph_of(spec(LARGE, "implicit").replace("SIZE", "200"))
    for node in of_entry(graph, "loss_gradient"):
        inside = topological(node.attrs[0].roots) if node.kind is Kind.REGION else []
        for n in (node, *inside):
            assert len(n.axes) < 3


def test_what_concerns_each_number_alone_is_divided() -> None:
    text = "dims: {i: 50}\nparams:\n  c[i]: {init: 1}\n"
    text += "define:\n  m[i]: fixed_point[q[i]](tanh(q[i]/2 + c[i]), method=picard)\n"
    text += "objectives:\n  loss: sum[i](m[i]**2)\nsolve: {minimize: loss, method: adam()}\n"
    assert systems(of_entry(graph_of(text), "loss_gradient")) == (0, 0)


def test_a_search_that_ends_too_soon_is_made_up_for(tmp_path: Path) -> None:
    """Two steps are enough from a start at the solution, and far too few for the derivative."""
    text = spec(RATES, "iterated").replace("method=", "start=begin[n, i], steps=2, method=")
    text = text.replace("  seen[n, i]: real", "  seen[n, i]: real\n  begin[n, i]: real")
    text = text[: text.index("  curve")]
    given = values()
    wanted = jax.jit(reference)(**{k: jnp.asarray(v) for k, v in given.items()})
    found = solved(text, {**given, "begin": wanted["rate"].at[1].add(1e-16)}, tmp_path)
    for name in ("rate", "slope"):
        np.testing.assert_allclose(found[name], wanted[name], atol=1e-10, rtol=1e-10, err_msg=name)
