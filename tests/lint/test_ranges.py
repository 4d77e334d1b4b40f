"""Ranges hold what they promise: random expressions, computed at random values, lie inside of theirs."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from vspec.compiler.language.lint.ranges import ALL, Ranges
from vspec.compiler.language.spec import Definition
from vspec.compiler.pipeline import check_text

SPEC = """\
vspec: 1
name: test
constants: {c: -2.5}
data:
  y: {type: real, in: [-1, 2]}
  u: {draw: "uniform(0, 1)", seed: 1}
params:
  x: {init: 1}
  s: {init: 1, domain: positive}
define:
"""
VALUES: dict[str, st.SearchStrategy[float]] = {
    "c": st.just(-2.5),
    "y": st.sampled_from([-1.0, 2.0]),
    "u": st.floats(0, 1),
    "x": st.floats(-30, 30),
    "s": st.floats(1e-3, 30),
}
Value = Callable[[dict[str, float]], float]


def leaf(name: str) -> tuple[str, Value]:
    return name, lambda v: v[name]


def number(x: float) -> tuple[str, Value]:
    return f"({x})", lambda v: x


LEAVES = st.sampled_from([*map(leaf, VALUES), *map(number, (-2, -1, 0, 1, 2, 3, 0.5))])
UNARY: dict[str, Callable[[float], float]] = {
    "exp": math.exp,
    "log": math.log,
    "sqrt": math.sqrt,
    "abs": abs,
    "tanh": math.tanh,
    "sin": math.sin,
    "cosh": math.cosh,
    "sinh": math.sinh,
    "atan": math.atan,
    "asin": math.asin,
    "acos": math.acos,
    "erf": math.erf,
    "erfc": math.erfc,
    "expm1": math.expm1,
    "log1p": math.log1p,
    "floor": math.floor,
    "ceil": math.ceil,
    "round": round,
    "square": lambda a: a * a,
    "relu": lambda a: max(a, 0.0),
    "sign": lambda a: float((a > 0) - (a < 0)),
    "sigmoid": lambda a: 1 / (1 + math.exp(-a)),
    "softplus": lambda a: math.log1p(math.exp(a)),
    "log_sigmoid": lambda a: -math.log1p(math.exp(-a)),
}
BINARY: dict[str, Callable[[float, float], float]] = {
    "({} + {})": lambda a, b: a + b,
    "({} - {})": lambda a, b: a - b,
    "({}*{})": lambda a, b: a * b,
    "({}/{})": lambda a, b: a / b,
    "max({}, {})": max,
    "min({}, {})": min,
}


def unary(inner: tuple[str, Value], name: str) -> tuple[str, Value]:
    text, value = inner
    return f"{name}({text})", lambda v: UNARY[name](value(v))


def binary(left: tuple[str, Value], right: tuple[str, Value], form: str) -> tuple[str, Value]:
    (a, f), (b, g) = left, right
    return form.format(a, b), lambda v: BINARY[form](f(v), g(v))


def power(inner: tuple[str, Value], exponent: float) -> tuple[str, Value]:
    text, value = inner

    def raised(v: dict[str, float]) -> float:
        found = value(v) ** exponent
        if isinstance(found, complex):
            raise ValueError
        return float(found)

    return f"({text})**({exponent})", raised


def choice(left: tuple[str, Value], right: tuple[str, Value], sign: str, other: tuple[str, Value]) -> tuple[str, Value]:
    """A guard on an expression that stands again in the branch."""
    (a, f), (b, g), (c, h) = left, right, other
    holds: Callable[[float, float], bool] = {
        "<": float.__lt__,
        ">=": float.__ge__,
        "!=": float.__ne__,
        "==": float.__eq__,
    }[sign]

    def chosen(v: dict[str, float]) -> float:
        return f(v) * h(v) if holds(float(f(v)), float(g(v))) else f(v)

    return f"({a}*{c} if {a} {sign} {b} else {a})", chosen


EXPRESSIONS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.builds(unary, inner, st.sampled_from(sorted(UNARY))),
        st.builds(binary, inner, inner, st.sampled_from(sorted(BINARY))),
        st.builds(power, inner, st.sampled_from([-2, -1, 0, 1, 2, 3, 0.5, -0.5])),
        st.builds(choice, inner, inner, st.sampled_from(["<", ">=", "!=", "=="]), inner),
    ),
    max_leaves=6,
)


@settings(max_examples=400, deadline=None)
@given(EXPRESSIONS, st.lists(st.fixed_dictionaries(VALUES), min_size=4, max_size=4))
def test_values_lie_in_their_range(made: tuple[str, Value], points: list[dict[str, float]]) -> None:
    text, value = made
    spec, diagnostics = check_text(SPEC + f'  f: "{text}"\n', "test.yaml")
    assume(spec is not None and not any(d.severity == "error" for d in diagnostics))
    assert spec is not None
    body = next(e.body for e in spec.equations if isinstance(e, Definition) and e.name == "f")
    found = Ranges(spec).of(body)
    assert found.low <= found.high
    for point in points:
        try:
            there = float(value(point))
        except (ValueError, ZeroDivisionError, OverflowError):
            continue
        if math.isnan(there):
            continue
        slack = 1e-9 * (1 + abs(there)) if math.isfinite(there) else 0
        assert found.low - slack <= there <= found.high + slack, (text, found, point)
        # A number that is tiny may have been rounded to zero.
        exact = not any(name in text for name in ("exp", "erf", "sig", "soft", "sinh", "**", "/", "*", "sqrt"))
        if there == 0 and exact and "-" not in text.replace("(-", ""):
            assert found.zero, (text, point)


def test_shapes_and_reductions() -> None:
    def of(text: str) -> Any:
        spec, found = check_text(
            "vspec: 1\nname: t\ndims: {n: 4, k: auto}\ndata:\n  x[n]: {type: real, in: [1, 2]}\n  z[k]: {in: [-1, 0, 3]}\n"
            f"params:\n  w[n]: {{init: 1}}\ndefine:\n  f[n]: {text}\n",
            "test.yaml",
        )
        assert spec is not None, found
        body = next(e.body for e in spec.equations if isinstance(e, Definition))
        made = Ranges(spec).of(body)
        return made.low, made.high, made.zero

    inf = math.inf
    assert of("sum[n](x[n])") == (4, 8, False)
    assert of("sum[k](z[k])") == (-inf, inf, True)
    assert of("sum[k](z[k]**2)") == (0, inf, True)
    assert of("mean[n](x[n])") == (1, 2, False)
    assert of("max[k](z[k])") == (-1, 3, True)
    assert of("prod[n](x[n])") == (1, inf, False)
    assert of("norm[n](x[n])") == (1, inf, False)
    assert of("var[n](x[n])") == (0, inf, True)
    assert of("logsumexp[n](x[n])") == (1, inf, False)
    assert of("softmax[n](w[n])") == (0, 1, False)
    assert of("cumsum[n](x[n])") == (1, inf, False)
    assert of("index(n)") == (0, 3, True)
    assert of("size(n)*size(k)") == (4, inf, False)
    assert of("argmax[n](w[n])") == (0, 3, True)
    assert of("delta[n, 0]") == (0, 1, True)
    assert of("stop(x[n])") == (1, 2, False)
    assert of("mean[n](w[n] > 0)") == (0, 1, True)
    assert of("w[n]") == (ALL.low, ALL.high, True)
    assert of("(-1)**index(n)")[2] in (True, False)
