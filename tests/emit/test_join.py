"""Joined arrays as text: read by eye, and run against the reference interpreter."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.emit.harness import arg, axes, check, graph_of
from vspec.compiler.graph.builder import Builder
from vspec.compiler.graph.kernel import num, slot
from vspec.compiler.graph.node import Axis, Kind, topological
from vspec.compiler.passes import intern

B = Builder()
C = Axis("c", "b")


def body(text: str) -> str:
    """The line that returns."""
    return next(line for line in text.splitlines() if "return" in line).split("#")[0].strip()


def test_rows(tmp_path: Path) -> None:
    x, y = arg("x", "n", "k"), arg("y", "k")
    text = check(B.stack([x, y], [(), ()], C), tmp_path)
    assert "jnp.stack([x, jnp.broadcast_to(y, (n, k))], axis=2)" in text
    text = check(B.stack([x, y], [(), ()], C, ("c", "n", "k")), tmp_path)
    assert "jnp.stack([x, jnp.broadcast_to(y, (n, k))])" in text
    text = check(B.stack([x, x], [(), ()], C, ("k", "c", "n")), tmp_path)
    assert "jnp.stack([x.T, x.T], axis=1)" in text
    text = check(B.stack([B.number(0.5), y], [(), ()], C), tmp_path)
    assert "jnp.stack([jnp.full((k,), 0.5, dtype=jnp.float64), y], axis=1)" in text


def test_rows_of_numbers(tmp_path: Path) -> None:
    a, b = arg("a"), arg("b")
    text = check(B.stack([a, B.number(0.0), B.map(("sin", slot(0)), [b])], [(), (), ()], Axis("i", "i")), tmp_path)
    assert body(text) == "return jnp.array([a, 0.0, jnp.sin(b)], dtype=jnp.float64)"
    counts = B.stack([B.number(3), B.number(4)], [(), ()], C)
    assert body(check(counts, tmp_path)) == "return jnp.array([3, 4], dtype=int)"


def test_stacks(tmp_path: Path) -> None:
    a, y, w = arg("a"), arg("y", "k"), arg("w", "i", "n")
    i, k, n = axes("i", "k", "n")
    p = Axis("p", "p")
    sizes = {"p": 1 + 5 + 12, "i": 3, "n": 4, "k": 5}
    text = check(B.stack([a, y, w], [(), (k,), (i, n)], p), tmp_path, dims=sizes)
    assert body(text) == "return jnp.concatenate([a[None], y, w.ravel()])"
    text = check(B.stack([a, y, w], [(), (k,), (n, i)], p), tmp_path, dims=sizes)
    assert body(text) == "return jnp.concatenate([a[None], y, w.T.ravel()])"
    text = check(B.stack([a, B.number(0.0), w], [(), (k,), (i, n)], p), tmp_path, dims=sizes)
    assert body(text) == "return jnp.concatenate([a[None], jnp.zeros(5, dtype=jnp.float64), w.ravel()])"


def test_stacks_with_batch_axes(tmp_path: Path) -> None:
    y, w, z = arg("y", "k", "b"), arg("w", "i", "b", "n"), arg("z", "b")
    i, k, n = axes("i", "k", "n")
    sizes = {"p": 1 + 5 + 12 + 5, "i": 3, "n": 4, "k": 5, "b": 2}
    joined = B.stack([z, y, w, B.number(0.0)], [(), (k,), (i, n), (k,)], Axis("p", "p"))
    text = check(joined, tmp_path, dims=sizes)
    assert "z[:, None], y.T, w.transpose(1, 0, 2).reshape((2, -1)), jnp.zeros((2, 5)" in " ".join(text.split())
    first = B.stack([z, y, w], [(), (k,), (i, n)], Axis("p", "p"), ("p", "b"))
    text = check(first, tmp_path, dims=sizes | {"p": 18})
    assert "z[None], y, w.transpose(0, 2, 1).reshape((-1, 2))" in " ".join(text.split())


def lines(text: str) -> set[str]:
    """The lines of a program without their comments."""
    return {line.split("#")[0].strip() for line in text.splitlines()}


def test_parts(tmp_path: Path) -> None:
    sizes = {"p": 18, "i": 3, "n": 4, "k": 5, "b": 2}
    i, k, n = axes("i", "k", "n")
    groups = [(k,), (), (i, n)]
    x = arg("x", "p")
    values = {"x": np.arange(18.0), "z": np.array([2.0, 3.0])}
    results = {(f"r{at}",): B.part(x, "p", groups, at) for at in range(3)}
    text = check(results, tmp_path, values, dims=sizes)
    assert {"r0 = x[:5]", "r1 = x[5]", "r2 = x[6:].reshape((3, 4))"} <= lines(text)
    batch = B.map(("mul", slot(0), slot(1)), [x, arg("z", "b")])
    results = {("q",): B.part(batch, "p", groups, 2), ("r",): B.part(batch, "p", groups, 1)}
    text = check(results, tmp_path, values, dims=sizes)
    assert {"q = scaled[6:].reshape((3, 4, 2))", "r = scaled[5]"} <= lines(text)


def test_sizes_that_are_open(tmp_path: Path) -> None:
    i, k, n = axes("i", "k", "n")
    groups = [(k,), (i, n), (), (i,)]
    size = B.map(
        ("add", ("add", slot(0), num(1)), ("add", slot(1), ("mul", slot(1), slot(2)))),
        [B.size("k"), B.size("i"), B.size("n")],
    )
    parts = [arg("y", "k"), arg("w", "i", "n"), arg("a"), arg("u", "i")]
    x = B.reduce(
        "sum", B.map(("mul", slot(0), slot(1)), [B.stack(parts, groups, Axis("p", "p")), arg("z", "b")]), ["b"]
    )
    results = {(f"r{at}",): B.part(x, "p", groups, at) for at in range(4)}
    text = check(results, tmp_path, dims={"p": size})
    assert "[k:k + i * n].reshape((i, n))" in text
    assert "[k + i * n]" in text
    assert "[1 + k + i * n:]" in text


def test_equal_joins_are_merged() -> None:
    y, w = arg("y", "k"), arg("w", "i", "n")
    i, k, n = axes("i", "k", "n")
    one = B.stack([y, w], [(k,), (i, n)], Axis("p", "p"))
    two = B.stack([B.rename(y, {"k": "k2"}), w], [(Axis("k2", "k"),), (i, n)], Axis("q", "p"))
    other = B.stack([y, w], [(k,), (n, i)], Axis("p", "p"))
    merged = intern.run(graph_of({("a",): one, ("b",): two, ("c",): other}))
    joins = [x for x in topological(merged.roots) if x.kind is Kind.CONCAT]
    assert len(joins) == 2


def test_the_largest_part_is_not_turned_around(tmp_path: Path) -> None:
    sizes = {"n": 4, "i": 3, "k": 5, "c": 6}
    (k,) = axes("k")
    # A product of rows with columns, named in the other order than that in which it is written.
    part = B.map(("sin", slot(0)), [B.contract([arg("x", "n", "i"), arg("y", "i", "k")], (k, *axes("n")))])
    joined = B.stack([arg("z", "n"), part], [(), (k,)], Axis("c", "c"), ("c", "n"))
    assert joined.names == ("c", "n")
    text = check({("r",): B.reduce("sum", joined, ["c"])}, tmp_path, dims=sizes)
    assert "jnp.concatenate([z[:, None], " in text
    assert ".T" not in text
