"""Graphs as the calculus and the passes would leave them, made by hand: what the golden files show."""

from __future__ import annotations

from fractions import Fraction

from tests.emit.harness import arg, map_, op
from vspec.compiler.graph.graph import Entry, Graph, Result
from vspec.compiler.graph.kernel import num
from vspec.compiler.graph.node import Axis, Kind, Node, Origin, Region

X, Y, Z = ("x", 0), ("x", 1), ("x", 2)


def logistic() -> Graph:
    """L2-regularised logistic regression: value, gradient, Hessian, all three, and the prepared arrays."""
    i, j, n = Axis("i", "i"), Axis("j", "i"), Axis("n", "n")
    w, raw, lam = arg("w", "i", role="param"), arg("raw", "n", "i"), arg("lam", role="constant")
    x, y = arg("X", "n", "i", role="prepared"), arg("y", "n", role="data")
    scale = op(Kind.REDUCE, "max", [map_(("abs", X), raw)], (i,), ("n",))
    prepared = map_(("div", X, Y), raw, scale, origin=Origin("X", 15))
    product = op(Kind.CONTRACT, "sum", [x, w], (n,))
    margin = map_(("mul", X, Y), y, product, origin=Origin("margin", 16))
    losses = op(Kind.REDUCE, "sum", [map_(("softplus", ("neg", X)), margin)], (), ("n",))
    square = op(Kind.CONTRACT, "sum", [w, w], ())
    half = num(Fraction(1, 2))
    loss = map_(("add", X, ("mul", half, Y, Z)), losses, lam, square, origin=Origin("loss", 18))
    weight = map_(("mul", ("neg", X), ("sigmoid", ("neg", Y))), y, margin, origin=Origin("margin", 16, 1, "adjoint"))
    slope = op(Kind.CONTRACT, "sum", [weight, x], (i,))
    gradient = map_(("add", X, ("mul", Y, Z)), slope, lam, w)
    curvature = map_(("mul", ("sigmoid", X), ("sigmoid", ("neg", X))), margin, origin=Origin("curvature"))
    other = op(Kind.REINDEX, "", [x], (n, j), ("n", "j"))
    gram = op(Kind.CONTRACT, "sum", [map_(("mul", X, Y), x, curvature), other], (i, j))
    hessian = map_(("add", X, ("mul", Y, Z)), gram, lam, op(Kind.INDEX, "delta", (), (i, j)))
    entries = (
        Entry("prepare", "prepare", (Result(("X",), prepared),), "", "The arrays that depend on data only."),
        Entry("loss", "objective", (Result((), loss),), "loss"),
        Entry("loss_gradient", "gradient", (Result((), gradient),), "loss", "The gradient of loss by w[i]."),
        Entry("loss_hessian", "hessian", (Result((), hessian),), "loss", "X' D X + lam I, D diagonal."),
        Entry("loss_newton", "newton", (Result((0,), loss), Result((1,), gradient), Result((2,), hessian)), "loss"),
    )
    inputs = {"w": w, "raw": raw, "y": y, "lam": lam, "X": x}
    return Graph(entries, {"n": None, "i": None}, inputs, "float64")


def recall() -> Graph:
    """A recurrence whose path and last state are read."""
    p, i, q, t = Axis("p", "p"), Axis("i", "i"), Axis("q", "p"), Axis("t", "t")
    pattern, beta = arg("pattern", "p", "i"), arg("beta", role="constant")
    start = map_(("neg", X), pattern, origin=Origin("s", 17))
    s = Node(Kind.INPUT, "carry", (), (p, i), "real", ("s",))
    inside = [Node(Kind.INPUT, "captured", (), x.axes, "real", (x.attrs[0],)) for x in (pattern, beta)]
    stored = op(Kind.REINDEX, "", [inside[0]], (q, i), ("q", "i"))
    overlap = op(Kind.CONTRACT, "sum", [s, stored], (p, q))
    weight = map_(("exp", ("mul", X, Y)), inside[1], overlap, origin=Origin("weight", 18))
    total = op(Kind.REDUCE, "sum", [weight], (p,), ("q",))
    pull = op(Kind.CONTRACT, "sum", [map_(("div", X, Y), weight, total), stored], (p, i))
    after = map_(("sub", X, ("mul", num(Fraction(1, 2)), ("sub", X, Y))), s, pull, origin=Origin("s", 18))
    index = Node(Kind.INPUT, "index", (), (), "integer", ("t",))
    length = op(Kind.CONST, "number", (), (), 40, dtype="integer")
    region = Region("s", t, length, index, (s,), tuple(inside), (after,), (("final", 0), ("path", 0)))
    loop = Node(Kind.REGION, "scan", (start, pattern, beta), (), "tuple", (region,), Origin("s", 18))
    last = Node(Kind.ITEM, "", (loop,), (p, i), "real", (0,), Origin("s", 18))
    path = Node(Kind.ITEM, "", (loop,), (t, p, i), "real", (1,), Origin("s", 18))
    level = op(Kind.REDUCE, "sum", [map_(("square", X), path)], (t, p), ("i",))
    right = map_(("eq", ("sign", X), Y), last, pattern, dtype="boolean")
    every = op(Kind.REDUCE, "all", [right], (p,), ("i",), dtype="boolean")
    share = op(Kind.REDUCE, "sum", [map_(("real", X), every)], (), ("p",))
    size = op(Kind.CONST, "size", (), (), "p", dtype="integer")
    mean = map_(("div", X, ("real", Y)), share, size, origin=Origin("recall", 22))
    results = (Result(("recall",), mean), Result(("level",), level), Result(("path",), path))
    inputs = {"pattern": pattern, "beta": beta}
    dims = {"p": None, "i": None, "t": 41}
    return Graph((Entry("outputs", "outputs", results, "", "What the spec asks to see."),), dims, inputs, "float32")


def process() -> Graph:
    """The evidence of a Gaussian process and its weights, several matrices of one kernel."""
    n, m, i = Axis("n", "n"), Axis("m", "n"), Axis("i", "i")
    scale, noise = arg("scale", "i", role="param"), arg("noise", role="param")
    x, y = arg("X", "n", "i"), arg("y", "n")
    other = op(Kind.REINDEX, "", [x], (m, i), ("m", "i"))
    gap = map_(("square", ("div", ("sub", X, Y), Z)), x, other, scale)
    distance = op(Kind.REDUCE, "sum", [gap], (n, m), ("i",))
    unit = op(Kind.INDEX, "delta", (), (n, m))
    tree = ("add", ("exp", ("mul", num(Fraction(-1, 2)), X)), ("mul", Y, Z))
    kernel_matrix = map_(tree, distance, noise, unit, origin=Origin("K", 22))
    alpha = Node(
        Kind.LINALG, "solve", (kernel_matrix, y), (m,), "real", ((("n", "m"), ("n",)), ("m",)), Origin("alpha", 23)
    )
    fit = op(Kind.CONTRACT, "sum", [op(Kind.REINDEX, "", [y], (m,), ("m",)), alpha], ())
    volume = op(Kind.LINALG, "logdet", [kernel_matrix], (), (("n", "m"),), ())
    size = op(Kind.CONST, "size", (), (), "n", dtype="integer")
    value = map_(
        ("mul", num(Fraction(-1, 2)), ("add", X, Y, ("mul", num(1.8378770664093453), ("real", Z)))), fit, volume, size,
        origin=Origin("evidence", 26),
    )  # fmt: skip
    entries = (
        Entry("evidence", "objective", (Result((), value),), "evidence"),
        Entry(
            "initial",
            "initial",
            (Result(("scale",), _ones(i)), Result(("noise",), op(Kind.CONST, "number", (), (), 0.5))),
        ),
    )
    return Graph(entries, {"n": 200, "i": None}, {"scale": scale, "noise": noise, "X": x, "y": y}, "float64")


def _ones(axis: Axis) -> Node:
    return op(Kind.REINDEX, "", [op(Kind.CONST, "number", (), (), 1.0)], (axis,), ())


PROBLEMS = {"logistic": logistic, "recall": recall, "process": process}
