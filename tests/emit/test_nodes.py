"""Every kind of node, emitted and run, against the reference interpreter."""

from __future__ import annotations

import random
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.emit.harness import SIZES, arg, axes, check, graph_of, load, map_, op, spec
from vspec.compiler.emit.nodes import EMITTERS
from vspec.compiler.emit.python import emit_program
from vspec.compiler.graph.kernel import num
from vspec.compiler.graph.node import KINDS, Axis, Kind, Node, Origin, Pull, Region

X, Y, Z = ("x", 0), ("x", 1), ("x", 2)


def test_every_kind_has_an_emitter() -> None:
    assert {kind for kind, _ in EMITTERS} == set(KINDS)


def test_constants_and_indices(tmp_path: Path) -> None:
    table = op(Kind.CONST, "array", (), axes("b", "i"), ((1.0, 2.5, -3.0), (0.0, 1e-3, 4.0)))
    half = op(Kind.CONST, "number", (), (), 0.5)
    size = op(Kind.CONST, "size", (), (), "i", dtype="integer")
    index = op(Kind.INDEX, "value", (), axes("i"), dtype="integer")
    delta = op(Kind.INDEX, "delta", (), (Axis("i", "i"), Axis("j", "i")))
    x = arg("x", "i")
    mixed = map_(("add", ("mul", X, Y), ("div", ("real", Z), ("real", ("x", 3)))), table, half, index, size)
    check({("a",): map_(("mul", X, Y), mixed, x), ("b",): delta, ("c",): size, ("d",): half, ("e",): index}, tmp_path)


def test_maps_align_by_name(tmp_path: Path) -> None:
    a, b, c = arg("a", "n", "i"), arg("b", "i"), arg("c", "k", "n")
    tree = ("add", ("mul", X, Y), ("exp", Z))
    check({("x",): map_(tree, a, b, c), ("y",): map_(tree, c, b, a), ("z",): map_(("sub", X, Y), b, c)}, tmp_path)
    text = check(map_(("mul", X, Y), arg("x", "n", "i"), arg("d", "n")), tmp_path)
    assert "return x * d[:, None]" in text


@pytest.mark.parametrize("name", ["sum", "prod", "max", "min", "logsumexp", "argmax", "argmin"])
@pytest.mark.parametrize("over", [("i",), ("n", "k"), ("k", "i", "n")])
def test_reductions(tmp_path: Path, name: str, over: tuple[str, ...]) -> None:
    x = arg("x", "n", "i", "k")
    rest = tuple(a for a in x.axes if a.name not in over)
    integer = name.startswith("arg")
    check(op(Kind.REDUCE, name, [x], rest, over, dtype="integer" if integer else "real"), tmp_path)


def test_truth_values(tmp_path: Path) -> None:
    x, y = arg("x", "n", "i"), arg("y", "i")
    positive = map_(("and", ("gt", X, num(0)), ("not", ("lt", Y, num(0)))), x, y, dtype="boolean")
    some = op(Kind.REDUCE, "any", [positive], axes("n"), ("i",), dtype="boolean")
    every = op(Kind.REDUCE, "all", [positive], (), ("n", "i"), dtype="boolean")
    count = op(Kind.REDUCE, "sum", [map_(("real", X), positive)], (), ("n", "i"))
    check({("some",): some, ("every",): every, ("count",): count}, tmp_path)


CONTRACTIONS = [
    ("i", "i", "", "a @ b"),
    ("ni", "i", "n", "a @ b"),
    ("ni", "n", "i", "b @ a"),
    ("n", "ni", "i", "a @ b"),
    ("ni", "ik", "nk", "a @ b"),
    ("ni", "ki", "nk", "a @ b.T"),
    ("in", "ki", "nk", "(b @ a).T"),
    ("ni", "nk", "ik", "a.T @ b"),
    ("ni", "nk", "ki", "b.T @ a"),
    ("bni", "i", "bn", "a @ b"),
    ("bni", "ik", "bnk", "a @ b"),
    ("bni", "bik", "bnk", "a @ b"),
    ("ki", "bin", "kbn", "jnp.tensordot(a, b, (1, 1))"),
    ("bin", "ki", "bnk", "jnp.tensordot(a, b, (1, 1))"),
    ("ki", "bin", "bnk", "jnp.tensordot(b, a, (1, 1))"),
    ("nib", "nk", "ibk", "(b.T @ a.reshape(n, -1)).reshape(k, i, b_2)"),
    ("bni", "nik", "bk", "jnp.tensordot(a, b, 2)"),
    ("nik", "bni", "bk", "jnp.tensordot(b, a, 2)"),
    ("bni", "ink", "bk", "tensordot"),
    ("bni", "bin", "b", "einsum"),
    ("ni", "ni", "", "jnp.vdot(a, b)"),
    ("ni", "in", "", "jnp.vdot(a, b.T)"),
    ("ni", "ni", "n", "einsum"),
    ("ni", "k", "ik", "einsum"),
    ("n", "i", "ni", "a[:, None] * b"),
    ("ni", "", "n", "b * jnp.sum(a, axis=1)"),
]


@pytest.mark.parametrize(("left", "right", "out", "text"), CONTRACTIONS)
def test_contractions(tmp_path: Path, left: str, right: str, out: str, text: str) -> None:
    a, b = arg("a", *left), arg("b", *right)
    found = check(op(Kind.CONTRACT, "sum", [a, b], axes(*out)), tmp_path)
    assert text in found


def test_products_come_out_in_the_order_of_the_result(tmp_path: Path) -> None:
    # Of two orders that cost the same the one that is asked for: nothing is transposed after the last operation.
    turned = map_(("mul", X, Y), arg("f", "k", "n"), arg("t", "n", "k"))
    ordered = op(Kind.REINDEX, "", [turned], axes("n", "k"), ("k", "n"))
    text = check({("x",): ordered, ("y",): op(Kind.REDUCE, "sum", [turned], (), ("k", "n"))}, tmp_path)
    assert "scaled = f.T * t " in text
    assert '"x": scaled,' in text


def test_what_mixes_axes_wants_the_order_of_the_arguments(tmp_path: Path) -> None:
    # w[b] r[n] is made over n and b, since x is over n and i, and V over i and b.
    x, V, w, r = arg("x", "n", "i"), arg("V", "i", "b"), arg("w", "b"), arg("r", "n")
    bar = map_(("mul", X, Y), w, r)
    back = op(Kind.CONTRACT, "sum", [V, bar], axes("n", "i"))
    text = check({("x",): back, ("y",): op(Kind.REDUCE, "sum", [bar], (), ("n", "b")), ("z",): x}, tmp_path)
    assert "w * r[:, None]" in text
    assert "@ V.T" in text


def test_contractions_of_many(tmp_path: Path) -> None:
    x, d, s = arg("x", "n", "i"), arg("d", "n"), arg("s")
    y = op(Kind.REINDEX, "", [x], (Axis("n", "n"), Axis("j", "i")), ("n", "j"))
    hessian = op(Kind.CONTRACT, "sum", [x, d, y, s], (Axis("i", "i"), Axis("j", "i")))
    text = check(hessian, tmp_path)
    assert 'jnp.einsum("ni,n,nj->ij", x, d, x, optimize="optimal")' in text
    scaled = op(Kind.CONTRACT, "sum", [map_(("mul", X, Y), x, d), y], (Axis("i", "i"), Axis("j", "i")))
    assert "(x.T * d) @ x" in check(scaled, tmp_path)


def test_reindexing(tmp_path: Path) -> None:
    w = op(Kind.INPUT, "data", (), (Axis("i", "i"), Axis("j", "i")), "w")
    w = Node(Kind.INPUT, "data", (), w.axes, "real", ("w",))
    u = Node(Kind.INPUT, "data", (), (Axis("i", "i"), Axis("n", "n"), Axis("j", "i")), "real", ("u",))
    v = Node(Kind.INPUT, "data", (), (Axis("i", "i"), Axis("j", "i"), Axis("l", "i")), "real", ("v",))
    i = Axis("i", "i")
    results = {
        "transpose": op(Kind.REINDEX, "", [w], (Axis("j", "i"), i), ("i", "j")),
        "swap": op(Kind.REINDEX, "", [w], w.axes, ("j", "i")),
        "diagonal": op(Kind.REINDEX, "", [w], (i,), ("i", "i")),
        "inner": op(Kind.REINDEX, "", [u], (Axis("n", "n"), i), ("i", "n", "i")),
        "triple": op(Kind.REINDEX, "", [v], (i,), ("i", "i", "i")),
        "spread": op(Kind.REINDEX, "", [w], (Axis("n", "n"), *w.axes), ("i", "j")),
    }
    spread = results["spread"]
    results["of_spread"] = op(Kind.REDUCE, "sum", [spread], (i,), ("n", "j"))
    results["kept"] = map_(("exp", X), spread)
    check({(k,): v for k, v in results.items()}, tmp_path)


def test_windows_and_their_adjoints(tmp_path: Path) -> None:
    n, short = Axis("n", "n"), Axis("s", "s")
    x, y = arg("x", "n", "i"), Node(Kind.INPUT, "data", (), (Axis("i", "i"), short), "real", ("y",))
    one = op(Kind.CONST, "number", (), (), 1, dtype="integer")
    shorter = map_(("sub", X, Y), op(Kind.CONST, "size", (), (), "n", dtype="integer"), one, dtype="integer")
    values = {"x": np.arange(12.0).reshape(4, 3), "y": np.arange(9.0).reshape(3, 3)}
    for dims in ({"s": 3}, {"s": shorter}):
        results = {
            "shifted": op(Kind.WINDOW, "affine", [x], (short, Axis("i", "i")), "n", "s", 1, 1),
            "first": op(Kind.WINDOW, "affine", [x], (short, Axis("i", "i")), "n", "s", 1, 0),
            "last": op(Kind.WINDOW, "at", [x], axes("i"), "n", -1),
            "column": op(Kind.WINDOW, "at", [x], axes("n"), "i", 0),
            "placed": op(Kind.SCATTER, "affine", [y], (n, Axis("i", "i")), "s", n, 1, 1),
            "slice": op(Kind.SCATTER, "at", [y], (n, short, Axis("i", "i")), n, -2),
        }
        check({(k,): v for k, v in results.items()}, tmp_path, values, dims)


@pytest.mark.parametrize("known", [True, False])
def test_strides(tmp_path: Path, known: bool) -> None:
    x = arg("x", "k")
    two = Node(Kind.INPUT, "data", (), (Axis("b", "b"),), "real", ("z",))
    dims = {"b": 2, "k": 5} if known else {}
    window = op(Kind.WINDOW, "affine", [x], axes("b"), "k", "b", 3, 1)
    back = op(Kind.SCATTER, "affine", [two], axes("k"), "b", Axis("k", "k"), 2, 1)
    check({("w",): map_(("add", X, Y), window, two), ("s",): map_(("add", X, Y), back, x)}, tmp_path, dims=dims)


def test_gathers(tmp_path: Path) -> None:
    table, deep = arg("table", "k", "i"), arg("deep", "n", "k", "i")
    z, m = arg("z", "n", dtype="integer"), arg("m", "b", "n", dtype="integer")
    one = arg("one", dtype="integer")
    results = {
        "rows": op(Kind.GATHER, "", [table, z], axes("n", "i"), "k"),
        "columns": op(Kind.GATHER, "", [table, m], axes("k", "b", "n"), "i"),
        "shared": op(Kind.GATHER, "", [deep, z], axes("n", "i"), "k"),
        "apart": op(Kind.GATHER, "", [deep, z], axes("n", "k"), "i"),
        "both": op(Kind.GATHER, "", [deep, m], axes("b", "n", "i"), "k"),
        "scalar": op(Kind.GATHER, "", [table, one], axes("i"), "k"),
    }
    check({(k,): v for k, v in results.items()}, tmp_path)


def test_positions_for_each_of_all_other_axes(tmp_path: Path) -> None:
    deep, square = arg("deep", "n", "i", "b"), arg("square", "n", "i")
    order = op(Kind.CUMULATE, "argsort", [square], axes("n", "i"), "i", False, dtype="integer")
    turned = op(Kind.REINDEX, "", [order], axes("i", "n"), ("n", "i"), dtype="integer")
    aside = op(Kind.REINDEX, "", [square], (Axis("n", "n"), Axis("m", "i")), ("n", "m"))
    every = op(Kind.CUMULATE, "argsort", [deep], axes("n", "i", "b"), "n", False, dtype="integer")
    apart = op(Kind.REINDEX, "", [deep], (Axis("q", "n"), *axes("i", "b")), ("q", "i", "b"))
    results = {
        "sorted": op(Kind.GATHER, "", [aside, turned], axes("n", "i"), "m"),
        "deep": op(Kind.GATHER, "", [apart, every], axes("n", "i", "b"), "q"),
    }
    text = check({(k,): v for k, v in results.items()}, tmp_path)
    assert text.count("jnp.take_along_axis(") == 2


def test_a_position_made_of_sizes(tmp_path: Path) -> None:
    x = arg("x", "n", "i")
    size = op(Kind.CONST, "size", (), (), "n", dtype="integer")
    middle = map_(("floordiv", X, num(2)), size, dtype="integer")
    text = check(op(Kind.GATHER, "", [x, middle], axes("i"), "n"), tmp_path)
    assert "x[jnp.asarray(n // 2, dtype=int)]" in text


def test_whole_numbers_as_integers(tmp_path: Path) -> None:
    table, q = arg("table", "k"), arg("q", "n")
    place = map_(("integer", ("floor", ("mul", num(3.0), ("sigmoid", X)))), q, dtype="integer")
    check({("place",): place, ("read",): op(Kind.GATHER, "", [table, place], axes("n"), "k")}, tmp_path)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("axis", ["n", "i", "b"])
def test_running_operations(tmp_path: Path, axis: str, reverse: bool) -> None:
    x, f, count = arg("x", "n", "i", "b"), arg("f", axis), arg("count", "n", "i", "b", dtype="integer")
    other, less = arg("g", "b", "i"), arg("h", "i", "n")
    full = axes("n", "i", "b")

    def run(name: str, *given: Node, dtype: str = "real") -> Node:
        return op(Kind.CUMULATE, name, given, full, axis, reverse, dtype=dtype)

    rate = op(Kind.CONST, "number", (), (), 0.5)
    whole = op(Kind.REINDEX, "", [less], full, ("i", "n"))
    results = {
        "sum": run("sum", x),
        "prod": run("prod", x),
        "integers": run("sum", count, dtype="integer"),
        "plain": run("linear", x, x),
        "scalar": run("linear", rate, x),
        "along": run("linear", f, x),
        "other": run("linear", other, x),
        "broadcast": run("linear", x, whole),
        "ones": run("sum", op(Kind.REINDEX, "", [op(Kind.CONST, "number", (), (), 1.0)], full, ())),
    }
    text = check({(k,): v for k, v in results.items()}, tmp_path)
    assert text.count("def linear_recurrence(") == 1


def test_scattered_sums(tmp_path: Path) -> None:
    k = Axis("k", "k")
    v, u, w = arg("v", "n"), arg("u", "n", "i"), arg("w", "i", "b", "n")
    z, m = arg("z", "n", dtype="integer"), arg("m", "b", "n", dtype="integer")
    results = {
        "count": op(Kind.SCATTER, "gather", [v, z], axes("k"), k),
        "rows": op(Kind.SCATTER, "gather", [u, z], axes("i", "k"), k),
        "batch": op(Kind.SCATTER, "gather", [w, m], axes("b", "i", "k"), k),
        "all": op(Kind.SCATTER, "gather", [w, m], axes("k", "i"), k),
    }
    check({(k,): v for k, v in results.items()}, tmp_path)


def _matrix(name: str, *letters: str) -> Node:
    batch = axes(*letters)
    return Node(Kind.INPUT, "data", (), (*batch, Axis("r", "i"), Axis("c", "i")), "real", (name,))


def test_matrix_operations(tmp_path: Path) -> None:
    r, c, n = Axis("r", "i"), Axis("c", "i"), Axis("n", "n")
    rng = np.random.default_rng(1)
    a = rng.normal(size=(3, 3))
    stack = rng.normal(size=(4, 3, 3))
    values = {"a": a @ a.T + np.eye(3), "s": stack @ stack.swapaxes(1, 2) + np.eye(3)}
    for name, letters in (("a", ()), ("s", ("n",))):
        m = _matrix(name, *letters)
        batch = axes(*letters)
        results = {
            "cholesky": op(Kind.LINALG, "cholesky", [m], (*batch, r, c), (("r", "c"),), ("r", "c")),
            "inv": op(Kind.LINALG, "inv", [m], (c, *batch, r), (("r", "c"),), ("c", "r")),
            "logdet": op(Kind.LINALG, "logdet", [m], batch, (("r", "c"),), ()),
            "det": op(Kind.LINALG, "det", [m], batch, (("r", "c"),), ()),
        }
        check({(k,): v for k, v in results.items()}, tmp_path, values)
    assert n


@pytest.mark.parametrize("name", ["solve", "triangular_solve", "triangular_solve_t"])
@pytest.mark.parametrize("matrix", [(), ("n",), ("b", "n")])
@pytest.mark.parametrize("columns", [(), ("k",), ("n",), ("k", "n"), ("k", "b", "n")])
def test_solves(tmp_path: Path, name: str, matrix: tuple[str, ...], columns: tuple[str, ...]) -> None:
    m = _matrix("a", *matrix)
    rows, result = ("c", "r") if name == "triangular_solve_t" else ("r", "c")
    rhs = Node(Kind.INPUT, "data", (), (*axes(*columns), Axis(rows, "i")), "real", ("y",))
    out = (Axis(result, "i"), *axes(*dict.fromkeys(matrix + columns)))
    shape = tuple(SIZES[x] for x in matrix)
    rng = np.random.default_rng(2)
    a = rng.normal(size=(*shape, 3, 3)) + 4 * np.eye(3)
    if name != "solve":
        a = np.tril(a)
    values = {"a": a, "y": rng.normal(size=(*(SIZES[x] for x in columns), 3))}
    check(op(Kind.LINALG, name, [m, rhs], out, (("r", "c"), (rows,)), (result,)), tmp_path, values)


def test_transposed_solve_is_named(tmp_path: Path) -> None:
    m, y = _matrix("a"), Node(Kind.INPUT, "data", (), (Axis("c", "i"),), "real", ("y",))
    text = check(op(Kind.LINALG, "solve", [m, y], (Axis("r", "i"),), (("c", "r"), ("c",)), ("r",)), tmp_path)
    assert "jnp.linalg.solve(a.T, y)" in text


def test_stop(tmp_path: Path) -> None:
    x = arg("x", "n")
    assert "stop_gradient(x)" in check(map_(("mul", X, Y), op(Kind.STOP, "", [x], x.axes), x), tmp_path)


# --- regions -----------------------------------------------------------------------------------------------------------


def _loop(results: tuple[tuple[str, int], ...], indexed: bool = True) -> tuple[Node, dict[str, Node]]:
    x0, w, v0 = (
        arg("x0", "n", "i"),
        Node(Kind.INPUT, "param", (), (Axis("i", "i"), Axis("j", "i")), "real", ("w",)),
        arg("v0"),
    )
    x = Node(Kind.INPUT, "carry", (), x0.axes, "real", ("x",))
    v = Node(Kind.INPUT, "carry", (), (), "real", ("v",))
    inside = Node(Kind.INPUT, "captured", (), w.axes, "real", ("w",))
    t = Node(Kind.INPUT, "index", (), (), "integer", ("t",))
    renamed = op(Kind.REINDEX, "", [x], (Axis("n", "n"), Axis("j", "i")), ("n", "j"))
    product = op(Kind.CONTRACT, "sum", [renamed, inside], axes("i", "n"))
    step = map_(
        ("add", ("tanh", X), ("mul", Y, ("real", Z))), product, v, t if indexed else op(Kind.CONST, "number", (), (), 2)
    )
    after = map_(("mul", X, num(0.5)), v)
    length = op(Kind.CONST, "number", (), (), 3, dtype="integer")
    region = Region("x", Axis("s", "s"), length, t, (x, v), (inside,), (step, after), results)
    return op(Kind.REGION, "scan", [x0, v0, w], (), region, dtype="tuple"), {"x0": x0, "v0": v0, "w": w}


@pytest.mark.parametrize("indexed", [True, False])
def test_scans(tmp_path: Path, indexed: bool) -> None:
    loop, _ = _loop((("final", 0), ("path", 0), ("path", 1), ("final", 1)), indexed)
    s = Axis("s", "s")
    items = {
        "x": op(Kind.ITEM, "", [loop], axes("n", "i"), 0),
        "path": op(Kind.ITEM, "", [loop], (s, *axes("n", "i")), 1),
        "v_path": op(Kind.ITEM, "", [loop], (s,), 2),
        "v": op(Kind.ITEM, "", [loop], (), 3),
    }
    check({(k,): v for k, v in items.items()}, tmp_path, dims={"s": 4})


def test_scans_stack_only_what_is_read(tmp_path: Path) -> None:
    loop, _ = _loop((("final", 0),))
    text = check(op(Kind.ITEM, "", [loop], axes("n", "i"), 0), tmp_path, dims={"s": 4})
    assert "return (x_next, v_next), None" in text or "), None" in text
    assert "concatenate" not in text


def test_adjoint_of_a_scan(tmp_path: Path) -> None:
    loop, inputs = _loop((("final", 0), ("path", 1)))
    cotangent = Node(Kind.INPUT, "data", (), (Axis("b", "b"), *axes("n", "i")), "real", ("g",))
    pull = Pull(loop.attrs[0], 3, (0,), (0, 2), (Axis("b", "b"),))
    adjoint = op(Kind.REGION, "vjp", [*loop.inputs, cotangent], (), pull, dtype="tuple")
    results = {
        ("x0",): op(Kind.ITEM, "", [adjoint], (Axis("b", "b"), *inputs["x0"].axes), 0),
        ("w",): op(Kind.ITEM, "", [adjoint], (Axis("b", "b"), *inputs["w"].axes), 1),
    }
    graph = graph_of(results, dims={"s": 4})
    module = load(emit_program(graph, spec()), tmp_path)
    forward = load(
        emit_program(graph_of(op(Kind.ITEM, "", [loop], axes("n", "i"), 0), dims={"s": 4}), spec()), tmp_path
    )
    rng = np.random.default_rng(3)
    values = {k: jnp.asarray(rng.normal(size=[SIZES[a.dim] for a in x.axes])) for k, x in graph.inputs.items()}
    found = module.f(**values)

    def value(x0: jax.Array, w: jax.Array, g: jax.Array) -> jax.Array:
        return jnp.sum(forward.f(**{"x0": x0, "w": w, "v0": values["v0"]}) * g)

    for k in range(2):
        expected = jax.grad(value, (0, 1))(values["x0"], values["w"], values["g"][k])
        np.testing.assert_allclose(found["x0"][k], expected[0], rtol=1e-9)
        np.testing.assert_allclose(found["w"][k], expected[1], rtol=1e-9)


# --- random graphs ------------------------------------------------------------------------------------------------------


def _random_graph(seed: int) -> dict[tuple[str | int, ...], Node]:
    rng = random.Random(seed)
    letters = ["n", "i", "k"]
    pool: list[Node] = [arg(f"a{j}", *rng.sample(letters, rng.randint(0, 3))) for j in range(3)]
    for step in range(9):
        x, y = rng.choice(pool), rng.choice(pool)
        origin = Origin(rng.choice(["", "", "loss", "x_bar"]), step, 1, rng.choice(["value", "part", "adjoint"]))
        made: Node | None = None
        match rng.choice(["map", "map", "one", "reduce", "contract", "reindex", "at"]):
            case "map":
                made = map_(
                    rng.choice([("add", X, Y), ("sub", ("mul", X, X), Y), ("mul", ("tanh", X), Y)]), x, y, origin=origin
                )
            case "one":
                made = map_(rng.choice([("tanh", X), ("neg", X), ("mul", num(0.5), X)]), x, origin=origin)
            case "reduce" if x.axes:
                over = tuple(rng.sample(x.names, rng.randint(1, len(x.axes))))
                made = op(Kind.REDUCE, "sum", [x], [a for a in x.axes if a.name not in over], over)
            case "contract":
                names = list(dict.fromkeys(x.names + y.names))
                kept = rng.sample(names, rng.randint(0, len(names)))
                made = op(Kind.CONTRACT, "sum", [x, y], axes(*kept))
            case "reindex":
                missing = [a for a in letters if a not in x.names]
                extra = rng.sample(missing, rng.randint(0, len(missing)))
                order = [*x.names, *extra]
                rng.shuffle(order)
                made = op(Kind.REINDEX, "", [x], axes(*order), x.names)
            case "at" if x.axes:
                out = rng.choice(x.names)
                made = op(Kind.WINDOW, "at", [x], [a for a in x.axes if a.name != out], out, rng.choice([0, -1]))
        if made is not None:
            pool.append(made)
    return {(f"r{j}",): node for j, node in enumerate(pool[-3:])}


@pytest.mark.parametrize("seed", range(40))
def test_random_graphs(tmp_path: Path, seed: int) -> None:
    check(_random_graph(seed), tmp_path)
