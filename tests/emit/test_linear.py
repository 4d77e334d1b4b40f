"""Decompositions and factorisations as text: one call per matrix, whatever is read of it and under which names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.emit.harness import SIZES, axes, check, map_, op
from vspec.compiler.graph.kernel import slot
from vspec.compiler.graph.node import Axis, Kind, Node

R, C, K = Axis("r", "i"), Axis("c", "i"), Axis("k", "i")


def matrix(name: str, *batch: str, rows: Axis = R) -> Node:
    return Node(Kind.INPUT, "data", (), (*axes(*batch), rows, C), "real", (name,))


def linalg(name: str, x: Node, result: tuple[Axis, ...], core: tuple[str, str] = ("r", "c")) -> Node:
    batch = [a for a in x.axes if a.name not in core]
    return op(Kind.LINALG, name, [x], (*batch, *result), (core,), tuple(a.name for a in result))


def renamed(x: Node, **names: str) -> Node:
    targets = tuple(names.get(n, n) for n in x.names)
    return op(Kind.REINDEX, "", [x], tuple(Axis(t, a.dim) for t, a in zip(targets, x.axes)), targets)


def square(x: Node) -> Node:
    """The square: vectors are determined but for a sign."""
    return map_(("square", slot(0)), x)


def drawn(*names: str, spread: float = 3.0) -> Any:
    return np.random.default_rng(4).normal(size=[SIZES[n] for n in names]) * spread


@pytest.mark.parametrize("batch", [(), ("n",), ("b", "n")])
def test_eigenvalues_and_eigenvectors_come_from_one_call(tmp_path: Path, batch: tuple[str, ...]) -> None:
    a = matrix("a", *batch)
    results = {("w",): linalg("eigvalsh", a, (K,)), ("v",): square(linalg("eigh", a, (R, K)))}
    text = check(results, tmp_path, {"a": drawn(*batch, "i", "i")})
    assert text.count("jnp.linalg.eigh(a)") == 1
    assert "eigenvalues, eigenvectors = jnp.linalg.eigh(a)" in text
    assert "eigvalsh" not in text


def test_a_renamed_matrix_is_the_same_matrix(tmp_path: Path) -> None:
    a = matrix("a", "n")
    again = renamed(a, r="p", c="q", n="m")
    p, q = Axis("p", "i"), Axis("q", "i")
    vectors = square(linalg("eigh", again, (p, q), ("p", "q")))
    text = check({("w",): linalg("eigvalsh", a, (K,)), ("v",): vectors}, tmp_path, {"a": drawn("n", "i", "i")})
    assert text.count("jnp.linalg.") == 1


def test_eigenvalues_alone_need_no_vectors(tmp_path: Path) -> None:
    text = check(linalg("eigvalsh", matrix("a"), (K,)), tmp_path)
    assert "jnp.linalg.eigvalsh(a)" in text
    text = check(square(linalg("eigh", matrix("a"), (R, K))), tmp_path)
    assert "_, eigenvectors = jnp.linalg.eigh(a)" in text


@pytest.mark.parametrize("batch", [(), ("b",)])
def test_singular_values_and_vectors_come_from_one_call(tmp_path: Path, batch: tuple[str, ...]) -> None:
    tall = Axis("r", "n")
    a = matrix("a", *batch, rows=tall)
    whole = {
        ("s",): linalg("svdvals", a, (K,)),
        ("u",): square(linalg("svd_left", a, (tall, K))),
        ("v",): square(linalg("svd_right", a, (C, K))),
    }
    values = {"a": drawn(*batch, "n", "i")}
    text = check(whole, tmp_path, values)
    assert text.count("jnp.linalg.svd(a, full_matrices=False)") == 1
    assert "left, singular_values, right_t = " in text
    assert "jnp.linalg.svdvals(a)" in check(whole["s",], tmp_path, values)
    assert "_, _, right_t = " in check(whole["v",], tmp_path, values)


@pytest.mark.parametrize("batch", [(), ("n",), ("b", "n")])
def test_matrix_functions(tmp_path: Path, batch: tuple[str, ...]) -> None:
    a = matrix("a", *batch)
    results = {("e",): linalg("expm", a, (R, C)), ("f",): linalg("cofactor", a, (R, C))}
    text = check(results, tmp_path, {"a": drawn(*batch, "i", "i", spread=0.5)})
    assert "expm(a)" in text
    assert "jax.grad(jnp.linalg.det)" in text


def test_cofactors_of_singular_matrices(tmp_path: Path) -> None:
    singular = np.stack([np.diag([2.0, 3.0, 0.0]), np.ones((3, 3)), np.zeros((3, 3)), np.eye(3)])
    check(linalg("cofactor", matrix("a", "n"), (R, C)), tmp_path, {"a": singular})


def solve(x: Node, y: Node, core: tuple[str, str]) -> Node:
    """The solution along core[1] of the system whose rows are core[0]."""
    rhs, result = core
    other = [a for n in (x, y) for a in n.axes if a.name not in core]
    columns = tuple(dict.fromkeys(other))
    return op(Kind.LINALG, "solve", [x, y], (*columns, x.axis(result)), ((rhs, result), (rhs,)), (result,))


@pytest.mark.parametrize("batch", [(), ("n",), ("b", "n")])
@pytest.mark.parametrize("columns", [(), ("k",), ("b",)])
def test_systems_with_one_matrix_share_its_factors(
    tmp_path: Path, batch: tuple[str, ...], columns: tuple[str, ...]
) -> None:
    a = matrix("a", *batch)
    y = Node(Kind.INPUT, "data", (), (*axes(*columns), R), "real", ("y",))
    z = Node(Kind.INPUT, "data", (), (*axes(*columns), C), "real", ("z",))
    results = {
        ("x",): solve(a, y, ("r", "c")),
        ("t",): solve(a, z, ("c", "r")),
        ("l",): linalg("logdet", a, ()),
        ("i",): linalg("inv", a, (C, R)),
        ("j",): linalg("inv", renamed(a, r="c", c="r"), (C, R)),
    }
    values = {"a": drawn(*batch, "i", "i") + 9 * np.eye(3), "y": drawn(*columns, "i"), "z": drawn(*columns, "i")}
    text = check(results, tmp_path, values)
    assert text.count("lu_factor(a)") == 1
    assert "jnp.linalg" not in text
    # A transpose is a system with the factors, not another factorisation.
    assert text.count("trans=1") == 1


def test_the_transpose_first(tmp_path: Path) -> None:
    a = renamed(matrix("a"), r="c", c="r")
    y = Node(Kind.INPUT, "data", (), (R,), "real", ("y",))
    values = {"a": drawn("i", "i") + 9 * np.eye(3), "y": drawn("i")}
    text = check({("x",): solve(a, y, ("r", "c")), ("l",): linalg("logdet", a, ())}, tmp_path, values)
    assert "lu_factor(a)" in text
    assert "lu_solve(lu, y, trans=1)" in text


def test_one_system_is_solved_in_one_call(tmp_path: Path) -> None:
    y = Node(Kind.INPUT, "data", (), (*axes("k", "n"), R), "real", ("y",))
    values = {"a": drawn("i", "i") + 9 * np.eye(3), "y": drawn("k", "n", "i")}
    text = check(solve(matrix("a"), y, ("r", "c")), tmp_path, values)
    assert text.count("jnp.linalg.solve(") == 1
    assert "reshape(i, -1)" in text
    assert "broadcast" not in text


def test_a_matrix_that_is_the_same_along_an_axis_is_factored_once(tmp_path: Path) -> None:
    spread = op(Kind.REINDEX, "", [matrix("a")], (*axes("n"), R, C), ("r", "c"))
    y = Node(Kind.INPUT, "data", (), (*axes("n"), R), "real", ("y",))
    text = check(solve(spread, y, ("r", "c")), tmp_path, {"a": drawn("i", "i") + 9 * np.eye(3), "y": drawn("n", "i")})
    assert "jnp.linalg.solve(a, y.T)" in text


@pytest.mark.parametrize("batch", [(), ("n",)])
def test_cholesky_factors_are_substituted(tmp_path: Path, batch: tuple[str, ...]) -> None:
    a = drawn(*batch, "i", "i", spread=1.0)
    factor = linalg("cholesky", matrix("a", *batch), (R, C))
    y = Node(Kind.INPUT, "data", (), (R,), "real", ("y",))
    results = {("down",): solve(factor, y, ("r", "c")), ("up",): solve(renamed(factor, r="c", c="r"), y, ("r", "c"))}
    text = check(results, tmp_path, {"a": a @ a.swapaxes(-1, -2) + np.eye(3), "y": drawn("i")})
    assert "solve(" not in text.replace("solve_triangular(", "")
    assert text.count("solve_triangular(") == 2
    assert text.count("trans=1") == 1
