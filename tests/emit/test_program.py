"""Whole programs: golden files, names, sizes, determinism, size of the graph."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.emit.harness import arg, axes, check, graph_of, load, map_, op, spec
from tests.emit.problems import PROBLEMS
from vspec.compiler.emit.names import RESERVED, Names, identifier
from vspec.compiler.emit.python import emit_program
from vspec.compiler.graph.graph import Entry, Graph, Result
from vspec.compiler.graph.kernel import num
from vspec.compiler.graph.node import Axis, Kind, Node, Origin

GOLDEN = Path(__file__).parents[1] / "golden" / "emit"
X, Y = ("x", 0), ("x", 1)


@pytest.mark.parametrize("name", PROBLEMS)
def test_golden(name: str) -> None:
    """`UPDATE_GOLDEN=1` writes the files anew; read the difference before committing it."""
    graph = PROBLEMS[name]()
    text = emit_program(graph, spec(name, graph.precision)).text
    path = GOLDEN / f"{name}.py"
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(text)
    assert text == path.read_text()
    ast.parse(text)


def test_golden_logistic_is_right(tmp_path: Path) -> None:
    module = load(emit_program(PROBLEMS["logistic"](), spec()), tmp_path)
    rng = np.random.default_rng(0)
    w, x = jnp.asarray(rng.normal(size=3)), jnp.asarray(rng.normal(size=(7, 3)))
    y = jnp.sign(jnp.asarray(rng.normal(size=7)))
    value, gradient, hessian = module.loss_newton(w, y, 0.3, x)
    np.testing.assert_allclose(gradient, jax.grad(module.loss)(w, y, 0.3, x), rtol=1e-12)
    np.testing.assert_allclose(hessian, jax.hessian(module.loss)(w, y, 0.3, x), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(module.loss_gradient(w, y, 0.3, x), gradient)
    np.testing.assert_allclose(jax.jit(module.loss)(w, y, 0.3, x), value)


def test_same_text_in_every_process() -> None:
    code = (
        "from tests.emit.harness import spec; from tests.emit.problems import PROBLEMS;"
        "from vspec.compiler.emit.python import emit_program; import hashlib;"
        "texts = [emit_program(PROBLEMS[p](), spec()).text for p in PROBLEMS for _ in range(2)];"
        "assert texts[::2] == texts[1::2]; print(hashlib.sha256(''.join(texts).encode()).hexdigest())"
    )
    root = Path(__file__).parents[2]
    found = {
        subprocess.run(
            [sys.executable, "-c", code], cwd=root, env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True, text=True, check=True,
        ).stdout
        for seed in ("1", "2")
    }  # fmt: skip
    assert len(found) == 1


def test_single_precision_stays_single(tmp_path: Path) -> None:
    """Also in a process that runs JAX at 64 bits."""
    x = arg("x", "i")
    tree = ("add", ("mul", X, ("where", ("gt", X, num(0)), num(1), num(-1))), ("div", ("real", Y), num(3)))
    made = map_(tree, x, op(Kind.CONST, "size", (), (), "i", dtype="integer"))
    delta = map_(("mul", X, Y), op(Kind.INDEX, "delta", (), (Axis("i", "i"), Axis("j", "i"))), made)
    half = op(Kind.REINDEX, "", [op(Kind.CONST, "number", (), (), 0.5)], axes("i"), ())
    index = map_(("real", X), op(Kind.INDEX, "value", (), axes("i"), dtype="integer"))
    table = op(Kind.CONST, "array", (), axes("i"), (1.0, 2.0, 3.0))
    sign = map_(("where", ("gt", X, num(1)), num(2), num(3)), index)
    total = op(Kind.REDUCE, "sum", [sign], (), ("i",))
    results = dict(zip("abcdef", [delta, half, index, table, sign, total], strict=True))
    graph = graph_of({(k,): v for k, v in results.items()}, "float32")
    found = load(emit_program(graph, spec(precision="float32")), tmp_path).f(jnp.ones(3, jnp.float32))
    assert {k: v.dtype.name for k, v in found.items()} == dict.fromkeys(results, "float32")


# --- names --------------------------------------------------------------------------------------------------------------


def test_names_never_shadow() -> None:
    names = Names()
    assert names.reserve("loss") == "loss"
    assert names.reserve("loss") == "loss_2"
    assert names.reserve("loss") == "loss_3"
    assert names.reserve("lambda") == "lambda_"
    assert names.reserve("sum") == "sum_"
    assert names.reserve("sum") == "sum_2"
    assert names.reserve("enc.W0") == "enc_W0"
    assert names.reserve("jnp") == "jnp_"
    assert identifier("2x") == "v2x"
    assert not {"loss", "X"} & RESERVED


def test_awkward_spec_names(tmp_path: Path) -> None:
    first = arg("lambda", "n", role="param")
    second, third = arg("sigmoid", "n"), arg("in", "n")
    total = map_(("mul", ("sigmoid", X), Y), first, second, origin=Origin("lambda", 3))
    again = map_(("add", X, Y), total, third, origin=Origin("sum", 4))
    more = map_(("add", X, Y), again, total, origin=Origin("sum", 4))
    text = check(
        {("x",): more, ('quote"d',): again}, tmp_path, {"lambda": np.ones(4), "sigmoid": np.ones(4), "in": np.ones(4)}
    )
    tree = ast.parse(text)
    (function,) = [n for n in tree.body if isinstance(n, ast.FunctionDef)]
    arguments = [a.arg for a in function.args.args]
    assigned = [
        t.id for n in ast.walk(function) if isinstance(n, ast.Assign) for t in n.targets if isinstance(t, ast.Name)
    ]
    assert arguments == ["lambda_", "sigmoid_", "in_"]
    assert len({*arguments, *assigned}) == len(arguments) + len(assigned)
    assert not {*arguments, *assigned} & RESERVED


def test_a_docstring_cannot_end_early(tmp_path: Path) -> None:
    x = arg("x", "n")
    doc = 'quotes """ and \\ and a last "'
    graph = Graph((Entry("f", "outputs", (Result((), x),), "", doc),), {"n": None}, {"x": x})
    module = load(emit_program(graph, spec(doc='"""; import os; """')), tmp_path)
    assert module.f.__doc__ == doc
    assert '"""; import os; """' in module.__doc__
    assert not hasattr(module, "os")


def test_imports_only_what_is_used() -> None:
    text = emit_program(graph_of(map_(("sigmoid", X), arg("x", "n"))), spec()).text
    assert "import jax.numpy" not in text
    assert "from jax.nn import sigmoid\n" in text
    assert "jax.scipy" not in text


# --- sizes and results ----------------------------------------------------------------------------------------------------


def test_sizes_come_from_arrays_or_arguments(tmp_path: Path) -> None:
    ones = op(Kind.REINDEX, "", [op(Kind.CONST, "number", (), (), 1.0)], (Axis("n", "n"), Axis("i", "i")), ())
    graph = graph_of({("w",): ones})
    emitted = emit_program(graph, spec())
    assert [(a.name, a.role) for a in emitted.entries[0].arguments] == [("n", "size"), ("i", "size")]
    assert load(emitted, tmp_path).f(2, 3)["w"].shape == (2, 3)
    with_x = map_(("mul", X, Y), arg("x", "n"), ones)
    index = map_(("mul", X, ("real", Y)), arg("x", "n"), op(Kind.INDEX, "value", (), axes("n"), dtype="integer"))
    assert "n = x.shape[0]" in check(index, tmp_path)
    assert "i: int" in check(with_x, tmp_path)


def test_a_size_may_be_a_formula(tmp_path: Path) -> None:
    size = op(Kind.CONST, "size", (), (), "n", dtype="integer")
    double = map_(("add", ("mul", num(2), X), num(1)), size, dtype="integer")
    x = arg("x", "n")
    wide = map_(
        ("add", X, Y), op(Kind.INDEX, "value", (), axes("m"), dtype="integer"), op(Kind.WINDOW, "at", [x], (), "n", 0)
    )
    text = check(op(Kind.REDUCE, "sum", [map_(("real", X), wide)], (), ("m",)), tmp_path, dims={"m": double})
    assert "m = 2 * n + 1" in text


def test_structure_of_results(tmp_path: Path) -> None:
    x = arg("x", "n")
    y, z = map_(("exp", X), x), map_(("neg", X), x)
    results: dict[tuple[str | int, ...], Node] = {(0,): y, (1, "w"): z, (1, "c"): y, (2, "w", "w"): z, (2, "w", "c"): x}
    text = check(results, tmp_path)
    assert "-> tuple[Array, dict[str, Array], dict[str, dict[str, Array]]]:" in text


def test_results_have_the_declared_order(tmp_path: Path) -> None:
    x = arg("x", "n", "i")
    swapped = Node(Kind.MAP, "", (x,), axes("i", "n"), "real", map_(("exp", X), x).attrs)
    check({(): swapped}, tmp_path)
    check({("a",): swapped, ("b",): map_(("add", X, Y), x, swapped)}, tmp_path)


# --- large graphs ---------------------------------------------------------------------------------------------------------


def test_deep_chains() -> None:
    x: Node = arg("x", "n")
    for k in range(10_000):
        x = map_(("tanh", X), x, origin=Origin("", k + 1, 1, "part"))
    start = time.process_time()
    text = emit_program(graph_of(x), spec()).text
    assert time.process_time() - start < 5
    compile(text, "deep", "exec")


def test_wide_and_named() -> None:
    x = arg("x", "n", "i")
    nodes = [x]
    for k in range(10_000):
        nodes.append(map_(("add", ("mul", X, Y), X), nodes[-1], nodes[k // 2], origin=Origin(f"h{k % 50}", k + 1)))
    start = time.process_time()
    text = emit_program(graph_of(nodes[-1]), spec()).text
    assert time.process_time() - start < 5
    assert max(len(line) for line in text.splitlines()) < 140


def test_many_operands_fit_on_lines(tmp_path: Path) -> None:
    terms = [map_(("exp", ("mul", num(k + 0.5), X)), arg(f"operand_{k}", "n")) for k in range(12)]
    text = check(map_(("add", *(("x", k) for k in range(12))), *terms), tmp_path)
    assert max(len(line) for line in text.splitlines() if not line.startswith(("def", '    """', "Emitted"))) <= 120
