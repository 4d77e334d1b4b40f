"""Products of two equal halves are made of one of them."""

from __future__ import annotations

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.emit.harness import load
from tests.language.helpers import good
from tests.passes.support import assert_equal, count, graph_of
from vspec.compiler.graph.builder import Builder
from vspec.compiler.graph.classes import Classes
from vspec.compiler.graph.cost import Sizes, entry_cost
from vspec.compiler.graph.graph import Graph
from vspec.compiler.graph.kernel import num, slot
from vspec.compiler.graph.node import Axis, Kind, Node
from vspec.compiler.passes import contract, intern
from vspec.compiler.passes.equal_halves import LEAST, TRIES, halves
from vspec.compiler.pipeline import compile_spec

N, M, P, Q = (Axis(a, "n") for a in "nmpq")
I, J = Axis("i", "i"), Axis("j", "i")
SIZES = {"n": 6, "i": 3}


def given(b: Builder) -> dict[str, Node]:
    return {
        "A": b.input("A", "param", (N, I, M), "real"),
        "W": b.input("W", "param", (N, M), "real"),
        "s": b.input("s", "param", (I,), "real"),
    }


def values(seed: int = 0, n: int = 6) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {"A": rng.normal(size=(n, 3, n)), "W": rng.normal(size=(n, n)), "s": rng.normal(size=3)}


def named(b: Builder, x: Node, names: str) -> Node:
    return b.rename(x, dict(zip(x.names, names, strict=True)))


def trace(b: Builder, p: dict[str, Node]) -> list[Node]:
    """The factors of tr(A[i] W A[j] W)."""
    return [named(b, p["A"], "nim"), named(b, p["W"], "mp"), named(b, p["A"], "pjq"), named(b, p["W"], "qn")]


def products(graph: Graph) -> float:
    """The multiplications of all products of arrays."""
    sizes = Sizes.of(graph)
    nodes = [n for n in graph.nodes if n.kind is Kind.CONTRACT]
    return sum(sizes.count({a.name: a for x in n.inputs for a in x.axes}.values()) for n in nodes)


def test_halves_of_a_trace() -> None:
    b = Builder(SIZES)
    p = given(b)
    found = halves(trace(b, p), {"i", "j"}, Classes())
    # An A with the W on its right, and one with that on its left.
    assert {h.one for h in found} == {(0, 1), (1, 2)}
    assert all(h.names == {"n": "p", "p": "n", "m": "q", "q": "m", "i": "j", "j": "i"} and not h.rest for h in found)
    # What is multiplied with the result belongs to neither.
    more = [*trace(b, p), named(b, p["s"], "i"), named(b, p["s"], "j")]
    assert {h.rest for h in halves(more, {"i", "j"}, Classes())} == {(4, 5)}


def test_what_has_no_halves() -> None:
    b = Builder(SIZES)
    p = given(b)
    A, W = p["A"], p["W"]
    assert not halves(
        [named(b, A, "nim"), named(b, W, "mp"), named(b, A, "pjq"), named(b, W, "nq")], {"i", "j"}, Classes()
    )
    assert not halves(trace(b, p), {"i"}, Classes())
    assert not halves([named(b, A, "nim"), named(b, A, "njm")], {"i", "j"}, Classes())
    assert LEAST == 2
    # However many equal factors there are, only a few ways are looked at.
    many = [named(b, W, "nm") for _ in range(10)]
    assert len(halves(many, (), Classes())) <= TRIES


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("scaled", [False, True])
def test_a_trace_is_made_of_one_half(seed: int, scaled: bool) -> None:
    b = Builder(SIZES)
    p = given(b)
    first, w, second, v = trace(b, p)
    if scaled:
        first, second = (
            b.map(("mul", slot(0), ("exp", slot(1))), [x, named(b, p["s"], k)])
            for x, k in ((first, "i"), (second, "j"))
        )
    inner = b.contract([second, v], [N, P, J])
    whole = b.contract([first, b.contract([w, inner], [N, M, J])], [I, J])
    graph = graph_of(b, p, [whole], dims=SIZES)
    after = intern.run(contract.run(graph))
    assert_equal(graph, after, values(seed))
    # A[n, i, m] W[m, p] for all i, and a sum over pairs of places for all pairs of i.
    assert products(after) == 3 * 6**3 + 9 * 6**2
    assert products(intern.run(graph)) > 2 * 3 * 6**3


@pytest.mark.parametrize("seed", range(4))
def test_a_trace_among_other_terms(seed: int) -> None:
    """Where it is a term of what is multiplied with A, and products by themselves would be made for that term alone."""
    sizes = {"n": 40, "i": 3}
    b = Builder(sizes)
    p = given(b)
    first, w, second, v = trace(b, p)
    inner = b.contract([w, b.contract([second, v], [N, P, J])], [N, M, J])
    other = b.map(("mul", slot(0), slot(1)), [named(b, p["W"], "nm"), named(b, p["s"], "j")])
    mixed = b.map(("add", ("div", slot(0), num(2)), slot(1)), [inner, other])
    whole = b.reduce("sum", b.map(("mul", slot(0), slot(1)), [first, mixed]), ["n", "m"])
    graph = graph_of(b, p, [whole], dims=sizes)
    after = intern.run(contract.run(graph))
    assert_equal(graph, after, values(seed, 40))
    assert products(after) < products(intern.run(graph))


HESSIAN = """
precision: float64
dims: {'n, m': 12, 'i, j': 4}
data:
  X[n, i]: real
params:
  w[i]: {init: 1}
define:
  A[n, m]: sum[i](w[i]**2*X[n, i]*X[m, i]) + exp(-sum[i](w[i]**2*(X[n, i] - X[m, i])**2)) + 2*delta[n, m]
objectives:
  volume: logdet(A[:, :], by=cholesky)
outputs:
  H[i, j]: d(volume, w[i], w[j])
solve: {minimize: volume, method: newton, steps: 1}
"""


def volume(w: jax.Array, X: jax.Array) -> jax.Array:
    far = jnp.sum(w**2 * (X[:, None] - X) ** 2, -1)
    return jnp.linalg.slogdet((X * w**2) @ X.T + jnp.exp(-far) + 2 * jnp.eye(len(X)))[1]


def test_second_derivatives_of_a_determinant(tmp_path: Path) -> None:
    found = compile_spec(good(HESSIAN))
    plain = compile_spec(good(HESSIAN), disable=["contract"])
    rng = np.random.default_rng(3)
    with jax.enable_x64(True):
        w, X = jnp.asarray(rng.uniform(0.5, 1, 4)), jnp.asarray(rng.normal(size=(12, 4)))
        want = jax.hessian(volume)(w, X)
        for k, c in enumerate((found, plain)):
            (tmp_path / str(k)).mkdir()
            program = load(c.emitted, tmp_path / str(k))
            got = program.volume_hessian
            names = got.__code__.co_varnames[: got.__code__.co_argcount]
            known = {"w": w, "X": X}
            if any(n not in known for n in names):
                known |= program.prepare(X=X)
            np.testing.assert_allclose(got(**{n: known[n] for n in names}), want, rtol=1e-9)

    def work(graph: Graph) -> float:
        (entry,) = (e for e in graph.entries if e.name == "volume_hessian")
        return entry_cost([r.node for r in entry.results], Sizes.of(graph), "float64").flops

    assert work(found.graph) < work(plain.graph)
    assert count(found.graph, Kind.CONTRACT)
