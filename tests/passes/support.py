"""Random graphs for equivalence tests, and what the tests of all passes share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tests.support.evaluate import evaluate_graph
from vspec.compiler.graph.builder import Builder
from vspec.compiler.graph.graph import Entry, Graph, Result
from vspec.compiler.graph.kernel import num, slot
from vspec.compiler.graph.node import Axis, Kind, Node, Origin, Region

N, M, I, J, K, T = (Axis(n, d) for n, d in (("n", "n"), ("m", "n"), ("i", "i"), ("j", "i"), ("k", "k"), ("t", "t")))
SIZES = {"n": 4, "i": 3, "k": 2, "t": 4}


def inputs(b: Builder) -> dict[str, Node]:
    """The arguments of every test graph: params w, W, c; data X, y; a constant lam."""
    return {
        "w": b.input("w", "param", (I,), "real"),
        "W": b.input("W", "param", (I, K), "real"),
        "c": b.input("c", "param", (), "real"),
        "X": b.input("X", "data", (N, I), "real"),
        "y": b.input("y", "data", (N,), "real"),
        "lam": b.input("lam", "constant", (), "real"),
    }


def arguments(seed: int = 0, sizes: dict[str, int] | None = None) -> dict[str, Any]:
    """Random values for `inputs`."""
    s, rng = {**SIZES, **(sizes or {})}, np.random.default_rng(seed)
    return {
        "w": rng.normal(size=s["i"]),
        "W": rng.normal(size=(s["i"], s["k"])),
        "c": rng.normal(),
        "X": rng.normal(size=(s["n"], s["i"])),
        "y": rng.normal(size=s["n"]),
        "lam": rng.uniform(0.5, 1.5),
    }


def graph_of(
    b: Builder, given: dict[str, Node], *results: Sequence[Node], precision: str = "float64", dims: Any = None
) -> Graph:
    """A graph with one entry per group of results."""
    entries = tuple(
        Entry(f"e{k}", "outputs", tuple(Result((str(j),), n) for j, n in enumerate(group)))
        for k, group in enumerate(results)
    )
    return Graph(entries, SIZES if dims is None else dims, given, precision)


def assert_equal(before: Graph, after: Graph, args: dict[str, Any] | None = None, rtol: float = 1e-9) -> None:
    """Both graphs give the same results, with axes in the same order."""
    args = args or arguments()
    want, got = evaluate_graph(before, args), evaluate_graph(after, args)
    for e in before.entries:
        for path, value in want[e.name].items():
            np.testing.assert_allclose(got[e.name][path], value, rtol=rtol, atol=rtol, err_msg=f"{e.name} {path}")
    for e in before.entries:
        new = next(x for x in after.entries if x.name == e.name)
        assert [r.node.axes for r in new.results] == [r.node.axes for r in e.results]


def count(graph: Graph, kind: Kind, op: str | None = None) -> int:
    """How many nodes of a kind a graph has."""
    return sum(1 for n in graph.nodes if n.kind is kind and op in (None, n.op))


def loop(b: Builder, start: Node, w: Node, extra: Node) -> tuple[Node, Node]:
    """Two states, s[t + 1] = tanh(w*s[t]) + t and an unread u[t + 1] = u[t]*extra: the path and the end of s."""
    s, u = b.input("s", "carry", start.axes, "real"), b.input("u", "carry", start.axes, "real")
    index = b.input("t", "index", (), "integer")
    cw, ce = b.input("w", "captured", w.axes, "real"), b.input("extra", "captured", extra.axes, "real")
    product = b.map(("mul", slot(0), slot(1)), [cw, s])
    again = b.map(("mul", slot(1), slot(0)), [cw, s])
    step = b.map(("add", ("tanh", slot(0)), ("mul", slot(1), num(0)), slot(2)), [product, again, index])
    step = b.order(step, start.axes)
    other = b.order(b.map(("mul", slot(0), slot(1)), [u, ce]), start.axes)
    results = (("final", 0), ("path", 0), ("final", 1))
    region = Region("s_u", T, b.number(3), index, (s, u), (cw, ce), (step, other), results)
    node = b.region("scan", region, [start, start, w, extra])
    return b.item(node, 1, (T, *start.axes), "real"), b.item(node, 0, start.axes, "real")


def random_graph(seed: int, size: int = 25, names: bool = True) -> Graph:
    """A graph of random operations on the inputs, all values of moderate size."""
    rng = np.random.default_rng(seed)
    b = Builder(SIZES)
    given = inputs(b)
    pool = list(given.values())
    axes = [N, M, I, J, K]

    def pick() -> Node:
        return pool[int(rng.integers(len(pool)))]

    for step in range(size):
        b.origin = Origin(f"v{step}" if names and rng.random() < 0.3 else "", step + 1)
        x, what = pick(), int(rng.integers(11))
        if what <= 1:
            y = pick()
            if len({*x.names, *y.names}) <= 3:
                op = ("mul", "add", "sub")[int(rng.integers(3))]
                pool.append(b.map((op, slot(0), slot(1)), [x, y]))
        elif what == 2 and x.axes:
            over = [n for n in x.names if rng.random() < 0.6]
            op = ("sum", "sum", "sum", "max", "logsumexp")[int(rng.integers(5))]
            pool.append(b.map(("mul", num(0.5), slot(0)), [b.reduce(op, x, over)]) if over else x)
        elif what == 3:
            tree = (
                ("tanh", slot(0)),
                ("pow", slot(0), num(2)),
                ("mul", num(2.0), ("neg", slot(0))),
                ("sigmoid", ("add", slot(0), num(1))),
            )[int(rng.integers(4))]
            pool.append(b.map(tree, [x]))
        elif what == 4 and x.axes:
            old = x.axes[int(rng.integers(len(x.axes)))]
            new = [a for a in axes if a.dim == old.dim and a.name not in x.names]
            if new:
                pool.append(b.rename(x, {old.name: new[0].name}))
        elif what == 5 and x.axes:
            pool.append(b.order(x, x.axes[::-1]))
        elif what == 6 and "n" in x.names and "m" in x.names:
            pool.append(b.rename(x, {"m": "n"}))
        elif what == 7 and len(x.names) <= 2:
            first, second = (N, M) if rng.random() < 0.5 else (I, J)
            if len({*x.names, first.name, second.name}) <= 3:
                pool.append(b.map(("mul", slot(0), slot(1)), [x, b.delta(first, second)]))
        elif what == 8 and x.axes:
            pool.append(b.at_position(x, x.names[0], int(rng.integers(-1, 2))))
        elif what == 9 and x.axes:
            along = x.axes[int(rng.integers(len(x.axes)))]
            runs = b.map(("tanh", slot(0)), [x])
            op = ("sum", "prod", "linear")[int(rng.integers(3))]
            pool.append(b.cumulate(op, [runs, x] if op == "linear" else [runs], along, bool(rng.random() < 0.5)))
        elif what == 10 and x.axes:
            along = x.axes[int(rng.integers(len(x.axes)))]
            offset, mode = 1 if rng.random() < 0.5 else -1, ("zero", "periodic")[int(rng.integers(2))]
            pool.append(b.shift(x, along.name, offset, mode))
    b.origin = Origin()
    squash = [b.map(("tanh", slot(0)), [x]) for x in pool[-6:]]
    path, final = loop(b, given["w"], squash[0] if not squash[0].axes else given["lam"], given["c"])
    return graph_of(b, given, squash[:3], [*squash[3:], b.map(("tanh", slot(0)), [path])], [final])
