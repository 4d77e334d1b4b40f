"""Integers and conditions: generated formulas as emitted programs at -O0 and -O2 against NumPy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from tests.language.helpers import good
from tests.support.effort import examples
from tests.support.program import Emission

Z = np.array([-7, -3, -1, 0, 2, 5])
W = np.array([3, -2, 4, -5, 1, -1])
NAMES = {"z": Z, "w": W, "k": np.arange(6)}

Formula = tuple[Any, ...]


def integers() -> st.SearchStrategy[Formula]:
    leaves: st.SearchStrategy[Formula] = st.one_of(
        st.sampled_from([("z",), ("w",), ("k",)]), st.integers(-4, 4).map(lambda v: ("num", v))
    )
    divisor = st.one_of(st.just(("w",)), st.sampled_from([-3, -2, 2, 3, 7]).map(lambda v: ("num", v)))
    return st.recursive(
        leaves,
        lambda c: st.one_of(
            st.tuples(st.sampled_from(["+", "-", "*"]), c, c),
            st.tuples(st.sampled_from(["//", "%"]), c, divisor),
            st.tuples(st.just("**"), c, st.integers(0, 3)),
            st.tuples(st.sampled_from(["-{}", "abs({})", "sign({})", "square({})"]), c),
            st.tuples(st.sampled_from(["max", "min"]), c, c),
            st.tuples(st.just("if"), conditions(c), c, c),
            st.tuples(st.just("integer"), conditions(c)),
            st.tuples(st.just("cut"), c, st.sampled_from([0.5, -0.75, 1.25])),
        ),
        max_leaves=8,
    )


def conditions(c: st.SearchStrategy[Formula]) -> st.SearchStrategy[Formula]:
    simple = st.tuples(st.sampled_from(["<", "<=", ">", ">=", "==", "!="]), c, c)
    return st.one_of(
        simple, st.tuples(st.sampled_from(["and", "or"]), simple, simple), st.tuples(st.just("not"), simple)
    )


def written(e: Formula) -> str:
    """The formula in the language."""
    op = e[0]
    if op == "k":
        return "index(n)"
    if op in NAMES:
        return f"{op}[n]"
    if op == "num":
        return f"({e[1]})"
    if op == "**":
        return f"({written(e[1])})**{e[2]}"
    if op in ("max", "min"):
        return f"{op}({written(e[1])}, {written(e[2])})"
    if op == "if":
        return f"({written(e[2])} if {written(e[1])} else {written(e[3])})"
    if op == "cut":
        return f"integer({e[2]}*real({written(e[1])}))"
    if op == "integer":
        return f"integer({written(e[1])})"
    if op == "not":
        return f"(not {written(e[1])})"
    if "{}" in op:
        return "(" + op.format(f"({written(e[1])})") + ")"
    return f"({written(e[1])} {op} {written(e[2])})"


def value(e: Formula) -> Any:
    """The formula by NumPy, 64 bits."""
    op = e[0]
    if op in NAMES:
        return NAMES[op]
    if op == "num":
        return np.full(6, e[1])
    if op == "cut":
        return np.trunc(e[2] * value(e[1]).astype(float)).astype(np.int64)
    if op == "integer":
        return value(e[1]).astype(np.int64)
    if op == "**":
        return value(e[1]) ** e[2]
    args = [value(x) for x in e[1:]]
    functions: dict[str, Any] = {
        "+": np.add, "-": np.subtract, "*": np.multiply, "//": np.floor_divide, "%": np.mod, "-{}": np.negative,
        "abs({})": np.abs, "sign({})": np.sign, "square({})": np.square, "max": np.maximum, "min": np.minimum,
        "if": np.where, "<": np.less, "<=": np.less_equal, ">": np.greater, ">=": np.greater_equal, "==": np.equal,
        "!=": np.not_equal, "and": np.logical_and, "or": np.logical_or, "not": np.logical_not,
    }  # fmt: skip
    return functions[op](*args)


def largest(e: Any) -> int:
    """The largest absolute value of any part of a formula: integers have 32 bits in float32 programs."""
    if not isinstance(e, tuple):
        return 0
    return (
        max(int(np.max(np.abs(value(e)))), *(largest(x) for x in e[1:]))
        if len(e) > 1
        else int(np.max(np.abs(value(e))))
    )


HEAD = "dims: {n: 6}\ndata: {'z[n]': integer, 'w[n]': integer}\ndefine:\n"


@settings(max_examples=examples(40), deadline=None, suppress_health_check=list(HealthCheck))
@given(integers(), conditions(integers()), st.sampled_from(["float32", "float64"]))
def test_integer_formulas(tmp_path_factory: pytest.TempPathFactory, e: Formula, c: Formula, precision: str) -> None:
    # Sums over six values must fit, too.
    assume(max(largest(e), largest(c)) < 2**31 / 12)
    number, truth = value(e), value(c)
    text = (
        f"precision: {precision}\n{HEAD}  e[n]: {written(e)} + 0*z[n]\n  c[n]: {written(c)} and z[n] < 100\noutputs:\n"
    )
    expected = {
        "e[n]": number,
        "real(c[n])": truth * 1.0,
        "sum[n](e[n])": np.sum(number),
        "max[n](e[n])": np.max(number),
        "min[n](e[n])": np.min(number),
        "argmax[n](e[n])": np.argmax(number),
        "argmin[n](e[n])": np.argmin(number),
        "sum[n](real(c[n]))": np.sum(truth) * 1.0,
        "sum[n](integer(c[n]))": np.sum(truth),
        "mean[n](c[n])": np.mean(truth),
        "real(any[n](c[n]))": np.any(truth) * 1.0,
        "real(all[n](c[n]))": np.all(truth) * 1.0,
        "mean[n](e[n])": np.mean(number),
        "sum[n](e[n] if c[n] else 0)": np.sum(np.where(truth, number, 0)),
    }
    for k, formula in enumerate(expected):
        text += f"  o{k}{'[n]' if formula in ('e[n]', 'real(c[n])') else ''}: {formula}\n"
    spec = good(text)
    folder: Path = tmp_path_factory.mktemp("arithmetic")
    for level in (0, 2):
        found = Emission(spec, level, folder / f"p{level}.py").call("outputs", {"z": Z, "w": W})
        for k, (formula, want) in enumerate(expected.items()):
            got = np.asarray(found[f"o{k}"])
            assert got.dtype.kind == ("i" if np.asarray(want).dtype.kind == "i" else "f"), (formula, got.dtype, text)
            np.testing.assert_allclose(got, want, rtol=1e-6, err_msg=f"-O{level} {formula}\n{text}")


def test_gathers_by_computed_positions(tmp_path: Path) -> None:
    """Nearest-cell lookup: a table is read at a position that is computed from a real number; no derivative flows through it."""
    text = (
        "precision: float64\ndims: {n: 4, k: 5}\ndata: {'table[k]': real}\nparams: {'x[n]': {init: 1}}\n"
        "define:\n  at[n]: clip(integer(floor(x[n])), 0, size(k) - 1)\n  y[n]: table[at[n]]*x[n]\n"
        "outputs:\n  y[n]: y[n]\n  slope[n]: d(y[n], x[n])\n  parity[n]: table[integer(at[n] % 2 == 1)]\n"
    )
    table, x = np.array([1.0, 10.0, 100.0, 1000.0, 1e4]), np.array([-0.5, 1.25, 3.75, 9.0])
    at = np.clip(np.floor(x).astype(int), 0, 4)
    for level in (0, 2):
        found = Emission(good(text), level, tmp_path / f"p{level}.py").call("outputs", {"table": table, "x": x})
        np.testing.assert_allclose(found["y"], table[at] * x)
        np.testing.assert_allclose(found["slope"], table[at])
        np.testing.assert_allclose(found["parity"], table[at % 2])
