"""Kernel trees as text: precedence, signs, numbers, and that the text means what the tree means."""

from __future__ import annotations

from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special

from tests.support.evaluate import FUNCTIONS, apply_kernel
from vspec.compiler.emit.scalar import OPERATIONS, Context, expression
from vspec.compiler.emit.text import Text, fitted
from vspec.compiler.graph.kernel import Tree

X, Y, Z = ("x", 0), ("x", 1), ("x", 2)
NAMES = [Text("x"), Text("y"), Text("z")]


def n(value: Any) -> Tree:
    return ("num", value)


@pytest.mark.parametrize(
    ("tree", "text"),
    [
        (("add", X, ("neg", Y)), "x - y"),
        (("add", ("neg", X), Y), "y - x"),
        (("add", ("neg", X), ("neg", Y)), "-x - y"),
        (("add", X, ("mul", n(-2), Y)), "x - 2 * y"),
        (("sub", X, ("sub", Y, Z)), "x - (y - z)"),
        (("sub", X, ("neg", Y)), "x + y"),
        (("mul", ("add", X, Y), Z), "(x + y) * z"),
        (("mul", n(Fraction(1, 3)), X), "x / 3"),
        (("mul", n(Fraction(2, 3)), X), "2 * x / 3"),
        (("mul", n(Fraction(1, 2)), X), "0.5 * x"),
        (("mul", n(-1), X), "-x"),
        (("mul", X, ("pow", Y, n(-1))), "x / y"),
        (("mul", X, ("pow", Y, n(-2)), ("pow", Z, n(-1))), "x / (y**2 * z)"),
        (("pow", ("add", X, Y), n(-1)), "1 / (x + y)"),
        (("mul", Z, ("pow", ("add", X, Y), n(-1))), "z / (x + y)"),
        (("pow", X, n(2)), "x**2"),
        (("pow", X, n(2.0)), "x**2"),
        (("pow", ("neg", X), n(2)), "(-x) ** 2"),
        (("pow", ("add", X, Y), n(2)), "(x + y) ** 2"),
        (("neg", ("pow", X, n(2))), "-x**2"),
        (("pow", ("pow", X, Y), Z), "(x**y) ** z"),
        (("pow", X, ("neg", Y)), "x ** -y"),
        (("pow", X, n(0.5)), "jnp.sqrt(x)"),
        (("pow", X, n(Fraction(-1, 2))), "1 / jnp.sqrt(x)"),
        (("pow", X, n(1.5)), "x * jnp.sqrt(x)"),
        (("pow", X, n(Fraction(5, 2))), "x**2 * jnp.sqrt(x)"),
        (("pow", X, n(-1.5)), "1 / (x * jnp.sqrt(x))"),
        (("div", Y, ("pow", X, n(1.5))), "y / (x * jnp.sqrt(x))"),
        (("pow", ("mul", ("add", X, Y), ("sub", X, Y)), n(1.5)), "((x + y) * (x - y)) ** 1.5"),
        (("pow", X, n(1.25)), "x**1.25"),
        (("square", X), "x**2"),
        (("div", X, ("mul", Y, Z)), "x / (y * z)"),
        (("neg", ("floordiv", X, Y)), "-(x // y)"),
        (("mul", X, ("mod", Y, Z)), "x * (y % z)"),
        (("and", ("lt", X, Y), ("or", ("gt", X, n(0)), ("not", ("eq", Y, Z)))), "(x < y) & ((x > 0) | ~(y == z))"),
        (("where", ("gt", X, n(0)), Y, n(0)), "jnp.where(x > 0, y, 0.0)"),
        (("where", ("gt", X, n(0)), n(1), n(0)), "(x > 0).astype(jnp.float32)"),
        (("where", ("gt", X, n(0)), n(1), n(-1)), "jnp.where(x > 0, 1.0, -1.0).astype(jnp.float32)"),
        (("real", ("gt", X, n(0))), "(x > 0).astype(jnp.float32)"),
        (("integer", ("add", X, Y)), "(x + y).astype(int)"),
        (("integer", n(-2.7)), "-2"),
        (("gammainc", n(2), X), "gammainc(2.0, x)"),
        (("mul", n(10**12), X), "1000000000000.0 * x"),
        (("mul", n(float("inf")), X), "jnp.inf * x"),
        (("polygamma", n(1), X), "polygamma(1, x)"),
        (("maximum", X, n(0)), "jnp.maximum(x, 0.0)"),
        (("softplus", ("neg", X)), "softplus(-x)"),
        (("mul", n(2), n(3.141592653589793), X), "2 * jnp.pi * x"),
        (("div", n(-1), n(0)), "-jnp.inf"),
        (("pow", n(0), n(-2)), "jnp.inf"),
        (n(1), "1.0"),
    ],
)
def test_text(tree: Tree, text: str) -> None:
    assert expression(tree, NAMES).code == text


def test_python_numbers_are_not_treated_as_arrays() -> None:
    size = Text("n", python=True, weak=True)
    assert expression(("div", X, ("real", Y)), [Text("x"), size]).code == "x / n"
    assert expression(("not", ("gt", X, n(3))), [size], Context("boolean")).code == "jnp.logical_not(n > 3)"
    both = ("and", ("gt", X, n(3)), ("gt", Y, n(0)))
    assert expression(both, [size, Text("y")], Context("boolean")).code == "jnp.logical_and(n > 3, y > 0)"


# --- meaning -----------------------------------------------------------------------------------------------------------

NUMPY = {k: getattr(np, k) for k in dir(np) if not k.startswith("_")}
NAMESPACE = {
    "jnp": SimpleNamespace(**NUMPY),
    "sigmoid": special.expit,
    "log_sigmoid": special.log_expit,
    "softplus": lambda x: np.logaddexp(x, 0.0),
    "relu": lambda x: np.maximum(x, 0.0),
    "erf": special.erf,
    "erfc": special.erfc,
    "gammaln": special.gammaln,
    "digamma": special.digamma,
    "xlogy": special.xlogy,
    "polygamma": special.polygamma,
    **{op: FUNCTIONS[op] for op in ("erfinv", "ndtr", "log_ndtr", "ndtr_ratio", "ndtr_excess", "betaln")},
    **{op: FUNCTIONS[op] for op in ("gammainc", "gammaincc", "i0e", "i1e", "bessel_ratio")},
    "igamma_grad_a": FUNCTIONS["gammainc_da"],
    "gamma_slope": FUNCTIONS["gamma_slope"],
}
UNARY = [
    "exp",
    "tanh",
    "sin",
    "cos",
    "atan",
    "sigmoid",
    "softplus",
    "erf",
    "abs",
    "sign",
    "floor",
    "square",
    "neg",
    "relu",
]
BINARY = ["add", "sub", "mul", "div", "maximum", "minimum", "atan2"]
numbers = st.one_of(st.integers(-4, 4), st.sampled_from([0.5, -1.5, 2.0]), st.fractions(-2, 2, max_denominator=5)).map(
    n
)
leaves = st.one_of(st.sampled_from([X, Y, Z]), numbers)


def _grow(children: st.SearchStrategy[Tree]) -> st.SearchStrategy[Tree]:
    condition = st.tuples(st.sampled_from(["lt", "le", "gt", "ge"]), children, children)
    logic = st.one_of(
        condition,
        st.tuples(st.sampled_from(["and", "or"]), condition, condition),
        st.tuples(st.just("not"), condition),
    )
    return st.one_of(
        st.tuples(st.sampled_from(UNARY), children),
        st.tuples(st.sampled_from(BINARY), children, children),
        st.tuples(st.sampled_from(["add", "mul"]), children, children, children),
        st.tuples(st.just("pow"), children, st.integers(-3, 3).map(n)),
        st.tuples(st.just("where"), logic, children, children),
        st.tuples(st.just("real"), logic),
    )


@settings(max_examples=400, deadline=None, derandomize=True)
@given(st.recursive(leaves, _grow, max_leaves=12))
def test_the_text_means_the_tree(tree: Tree) -> None:
    x = [np.array([0.3, -1.7, 2.2]), np.array([1.1, 0.4, -0.6]), np.array([-0.2, 0.9, 1.3])]
    text = expression(tree, NAMES, Context("real", "float64"))
    with np.errstate(all="ignore"):
        expected = np.broadcast_to(np.asarray(apply_kernel(tree, x), float), (3,))
        try:
            got = eval(text.code, dict(NAMESPACE), dict(zip("xyz", x, strict=True)))
        except ZeroDivisionError:
            # A part of numbers only is Python's own arithmetic, which refuses what an array would make an infinity.
            return
    got = np.broadcast_to(np.asarray(got, float), (3,))
    good = np.isfinite(expected) & np.isfinite(got) & (np.abs(expected) < 1e8)
    np.testing.assert_allclose(got[good], expected[good], rtol=1e-6, atol=1e-6, err_msg=f"{tree} -> {text.code}")


def test_every_operation_has_a_text() -> None:
    arity = {
        "measure": 4,
        "measured": 3,
        "where": 3,
        "clip": 3,
        "not": 1,
        "neg": 1,
        "square": 1,
        "real": 1,
        "integer": 1,
        "polygamma": 2,
    }
    two = {"add", "sub", "mul", "div", "pow", "mod", "floordiv", "lt", "le", "gt", "ge", "eq", "ne", "and", "or"}
    two |= {"hypot", "copysign", "complex"}
    two |= {"maximum", "minimum", "atan2", "xlogy", "betaln", "gammainc", "gammaincc", "gammainc_da", "bessel_ratio"}
    two |= {"gamma_draw", "gamma_slope"}
    for op in OPERATIONS:
        count = arity.get(op, 2 if op in two else 1)
        compile(expression((op, *[X, Y, Z, X][:count]), NAMES).code, op, "eval")


def test_deep_kernels_need_no_recursion() -> None:
    tree: Tree = X
    for _ in range(3000):
        tree = ("add", tree, Y)
    assert expression(tree, NAMES).code.count("+") == 3000


def test_long_lines_break_at_the_loosest_operator() -> None:
    text = " + ".join(f"jnp.exp(a_long_name_{k} * b)" for k in range(6))
    lines = fitted("total = ", text, "", 4, 80)
    assert all(len(line) <= 80 for line in lines)
    assert lines[0] == "    total = ("
    assert lines[2].startswith("        + jnp.exp(")
    namespace: dict[str, Any] = {f"a_long_name_{k}": k / 10 for k in range(6)} | {"b": 2.0, "jnp": np}
    exec("\n".join(line.removeprefix("    ") for line in lines), namespace)
    assert namespace["total"] == pytest.approx(sum(np.exp(0.2 * k) for k in range(6)))
