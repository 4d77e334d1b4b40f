"""The reference interpreter against NumPy written by hand."""

from __future__ import annotations

import numpy as np

from tests.support.evaluate import evaluate
from vspec.compiler.graph.builder import Builder
from vspec.compiler.graph.kernel import slot
from vspec.compiler.graph.node import Axis, Node, Region

I, J, N, T = Axis("i", "i"), Axis("j", "i"), Axis("n", "n"), Axis("t", "t")
RNG = np.random.default_rng(0)


def test_maps_align_by_name_and_reductions_drop_axes() -> None:
    b = Builder({"n": None, "i": None})
    X, w = b.input("X", "data", (N, I), "real"), b.input("w", "param", (I,), "real")
    root = b.reduce("logsumexp", b.map(("mul", slot(1), slot(0)), [w, X]), ["i"])
    x, v = RNG.normal(size=(4, 3)), RNG.normal(size=3)
    np.testing.assert_allclose(evaluate([root], {"X": x, "w": v})[0], np.log(np.exp(x * v).sum(1)))


def test_axes_operations() -> None:
    b = Builder({"i": 3, "s": 2, "n": None})
    A = b.input("A", "data", (I, J), "real")
    z = b.input("z", "data", (N,), "integer")
    S = Axis("s", "s")
    roots = [
        b.rename(A, {"j": "i"}),
        b.reindex(A, ("j", "i"), (I, J, N)),
        b.window(A, "i", S, 1, 1),
        b.at_position(A, "j", -1),
        b.gather(A, z, "i"),
        b.scatter_affine(b.window(A, "j", S, 2, 0), "s", J, 2, 0),
        b.scatter_at(b.at_position(A, "i", 1), I, 1),
        b.scatter_gather(b.gather(A, z, "i"), z, I, [J]),
        b.delta(I, J),
    ]
    a, rows = RNG.normal(size=(3, 3)), np.array([2, 0, 2, 1])
    got = evaluate(roots, {"A": a, "z": rows}, b.dims)
    np.testing.assert_array_equal(got[0], np.diag(a))
    np.testing.assert_array_equal(got[1], np.repeat(a.T[:, :, None], 4, 2))
    np.testing.assert_array_equal(got[2], a[1:])
    np.testing.assert_array_equal(got[3], a[:, -1])
    np.testing.assert_array_equal(got[4], a[rows].T)
    np.testing.assert_array_equal(got[5], a * [1, 0, 1])
    np.testing.assert_array_equal(got[6], a * [[0], [1], [0]])
    np.testing.assert_array_equal(got[7], a * [[1], [1], [2]])
    np.testing.assert_array_equal(got[8], np.eye(3))


def test_linalg_names_carry_the_transpose() -> None:
    b = Builder({"i": 3, "n": None})
    A, r = b.input("A", "data", (I, J), "real"), b.input("r", "data", (N, I), "real")
    plain = b.linalg("solve", [A, r], [("i", "j"), ("i",)], [J])
    turned = b.linalg("solve", [A, r], [("j", "i"), ("i",)], [J])
    a, v = RNG.normal(size=(3, 3)), RNG.normal(size=(5, 3))
    got = evaluate([plain, turned], {"A": a, "r": v}, b.dims)
    np.testing.assert_allclose(got[0], np.linalg.solve(a, v.T).T)
    np.testing.assert_allclose(got[1], np.linalg.solve(a.T, v.T).T)


def scan(b: Builder, start: Node, w: Node) -> list[Node]:
    """s[t + 1] = tanh(w*s[t]) + t, its last state and its path."""
    state, index = b.input("s", "carry", (I,), "real"), b.input("t", "index", (), "integer")
    inner = b.input("w", "captured", w.axes, "real")
    body = b.map(("add", ("tanh", ("mul", slot(0), slot(1))), slot(2)), [inner, state, index])
    region = Region("s", T, b.number(4), index, (state,), (inner,), (body,), (("final", 0), ("path", 0)))
    loop = b.region("scan", region, [start, w])
    return [b.item(loop, 0, (I,), "real"), b.item(loop, 1, (T, I), "real")]


def test_scan() -> None:
    b = Builder({"i": 3, "t": 5})
    start, w = b.input("start", "data", (I,), "real"), b.input("w", "param", (), "real")
    s, path = RNG.normal(size=3), []
    final, got = evaluate(scan(b, start, w), {"start": s, "w": 0.7}, b.dims)
    for t in range(5):
        path.append(s)
        s = np.tanh(0.7 * s) + t
    np.testing.assert_allclose(got, path)
    np.testing.assert_allclose(final, path[-1])


def test_single_precision_overflows_where_a_device_would() -> None:
    b = Builder({})
    x = b.input("x", "param", (), "real")
    got = evaluate([b.map(("exp", slot(0)), [x]), b.map(("softplus", slot(0)), [x])], {"x": 1e4}, {}, "float32")
    assert np.isinf(got[0])
    assert got[1] == np.float32(1e4)
