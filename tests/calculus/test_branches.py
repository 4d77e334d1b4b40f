"""Branches: values, gradients and Hessians are finite where the true ones are, whatever a branch not taken would give.

The truth is what mathematics says: at a point where a condition holds, the derivatives are those of the branch it chooses.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.language.helpers import good
from tests.support.effort import examples
from tests.support.program import Emission

# A function that is infinite, undefined or infinitely steep for arguments that are not positive; its first two derivatives.
SINGULAR: dict[str, Any] = {
    "log({})": (lambda x: math.log(x), lambda x: 1 / x, lambda x: -1 / x**2),
    "sqrt({})": (lambda x: math.sqrt(x), lambda x: 0.5 / math.sqrt(x), lambda x: -0.25 * x**-1.5),
    "1/{}": (lambda x: 1 / x, lambda x: -1 / x**2, lambda x: 2 / x**3),
    "{}**0.5": (lambda x: x**0.5, lambda x: 0.5 * x**-0.5, lambda x: -0.25 * x**-1.5),
    "{}**(-1.5)": (lambda x: x**-1.5, lambda x: -1.5 * x**-2.5, lambda x: 3.75 * x**-3.5),
    "xlogy({0}, {0})": (lambda x: x * math.log(x), lambda x: math.log(x) + 1, lambda x: 1 / x),
    "{0}*log({0})": (lambda x: x * math.log(x), lambda x: math.log(x) + 1, lambda x: 1 / x),
    "exp(-1/{})": (
        lambda x: math.exp(-1 / x),
        lambda x: math.exp(-1 / x) / x**2,
        lambda x: math.exp(-1 / x) * (1 - 2 * x) / x**4,
    ),
    "lgamma({})": (
        math.lgamma,
        lambda x: float(_special("digamma", x)),
        lambda x: float(_special("polygamma", 1, x)),
    ),
    "acosh(1 + {})": (
        lambda x: math.acosh(1 + x),
        lambda x: (x * (x + 2)) ** -0.5,
        lambda x: -(1 + x) * (x * (x + 2)) ** -1.5,
    ),
}
POINTS = np.array([-1e4, -2.0, -1.0, -0.5, 0.0, 0.3, 0.5, 1.0, 2.0, 7.0])

# How the function stands in the branch: in one formula, in definitions of its own, through reductions, gathers, loops.
FORMS: dict[str, list[str]] = {
    "one formula": ["y[n]: {f} if x[n] > 0 else 0"],
    "where": ["y[n]: where(x[n] > 0, {f}, 0)"],
    "else": ["y[n]: 0 if x[n] <= 0 else {f}"],
    "a definition": ["g[n]: {f}", "y[n]: g[n] if x[n] > 0 else 0"],
    "two definitions": ["h[n]: 2*{f}", "g[n]: h[n]/2", "y[n]: g[n] if x[n] > 0 else 0"],
    "a nested branch": ["g[n]: {f}", "y[n]: (g[n] if x[n] > 0 else -1) if x[n] > -1 and x[n] != 0 else 0"],
    "a chain": ["g[n]: {f}", "y[n]: 5 if x[n] < -1 else 0 if x[n] <= 0 else g[n]"],
    "a product": ["g[n]: {f}", "y[n]: c*where(x[n] > 0, g[n], 0)"],
    "a sum": ["g[n, k]: {f}*weight[k]", "y[n]: sum[k](g[n, k]) if x[n] > 0 else 0"],
    "a branch in a sum": ["g[n]: {f}", "y[n]: sum[k](weight[k]*g[n] if x[n] > 0 and k_on[k] > 0 else 0)"],
    "a gather": ["g[n]: {f}", "y[n]: g[at[n]] if x[at[n]] > 0 else 0"],
    "a step": ["s[0, n]: 0*x[n]", "s[t + 1, n]: s[t, n] + ({f} if x[n] > 0 else 0)", "y[n]: s[-1, n]/3"],
    "a maximum": ["g[n]: {f} if x[n] > 0 else log(real(x[n] > 0)) + x[n]", "y[n]: max(g[n], -1e6)*real(x[n] > 0)"],
    "a long formula": ["y[n]: " + "+".join(["0*sin(c)"] * 30) + " + ({f} if x[n] > 0 else 0)"],
}


def _special(name: str, *args: float) -> Any:
    from scipy import special  # type: ignore[import-untyped]

    return getattr(special, name)(*args)


def program(form: str, f: str, precision: str, level: int, path: Path) -> Emission:
    text = (
        f"precision: {precision}\ndims: {{n: {len(POINTS)}, k: 2, t: 4}}\nconstants:\n  weight[k]: [0.25, 0.75]\n"
        "  k_on[k]: [1, 1]\n  c: 1\ndata: {'at[n]': integer}\nparams:\n  x[n]: {init: 1}\ndefine:\n"
    )
    text += "".join(f"  {line.format(f=f.format('x[n]'))}\n" for line in FORMS[form])
    text += "outputs:\n  value[n]: y[n]\n  slope[n]: d(sum[m](y[m]), x[n])\n  bend[n]: d(sum[m](y[m]), x[n], x[n])\n"
    text = text.replace("dims: {n:", "dims: {'n, m':")
    return Emission(good(text), level, path / f"branch_{abs(hash((form, f, precision, level)))}.py")


def truth(form: str, f: str) -> list[np.ndarray[Any, Any]]:
    below = {"a nested branch": lambda x: -1.0 if -1 < x < 0 else 0.0, "a chain": lambda x: 5.0 if x < -1 else 0.0}
    rest = below.get(form, lambda x: 0.0)
    value, slope, bend = SINGULAR[f]
    return [
        np.array([value(x) if x > 0 else rest(x) for x in POINTS]),
        np.array([slope(x) if x > 0 else 0.0 for x in POINTS]),
        np.array([bend(x) if x > 0 else 0.0 for x in POINTS]),
    ]


@pytest.mark.parametrize("f", SINGULAR)
@pytest.mark.parametrize("form", FORMS)
def test_the_branch_not_taken_is_not_seen(form: str, f: str, tmp_path: Path) -> None:
    want = truth(form, f)
    for precision, level in (("float64", 2), ("float32", 2), ("float64", 0)):
        given = {
            "x": POINTS.astype(precision),
            "at": np.arange(len(POINTS)),
            "weight": np.array([0.25, 0.75], precision),
        }
        found = program(form, f, precision, level, tmp_path).call("outputs", {**given, "k_on": np.ones(2), "c": 1.0})
        rtol = 1e-10 if precision == "float64" else 3e-5
        for name, true in zip(("value", "slope", "bend"), want, strict=True):
            np.testing.assert_allclose(found[name], true, rtol=rtol, atol=rtol, err_msg=f"{precision} -O{level} {name}")


# --- generated formulas -----------------------------------------------------------------------------------------------


class Jet:
    """A value with its first two derivatives; `slope` is None where the function is constant nearby."""

    def __init__(self, value: float, slope: float | None = None, bend: float = 0.0) -> None:
        self.value, self.slope, self.bend = value, slope, bend

    def apply(self, f: Any) -> Jet:
        """f after this; f gives value, slope and curvature, and raises where it is singular."""
        if self.slope is None:
            return Jet(f(self.value)[0])
        v, s, b = f(self.value)
        return Jet(v, s * self.slope, b * self.slope**2 + s * self.bend)


class SingularError(Exception):
    """The true value or derivative is not finite here."""


def _of(f: str) -> Any:
    def at(x: float) -> tuple[float, float, float]:
        try:
            found = tuple(float(g(x)) for g in SINGULAR[f])
        except (ValueError, ZeroDivisionError, OverflowError, TypeError):
            raise SingularError from None
        if not all(math.isfinite(v) and abs(v) < 1e4 for v in found):
            raise SingularError
        return found  # type: ignore[return-value]

    return at


Formula = tuple[Any, ...]
UNARY = ("log({})", "sqrt({})", "1/{}", "{}**0.5", "{}**(-1.5)")


def formulas() -> st.SearchStrategy[Formula]:
    leaves: st.SearchStrategy[Formula] = st.sampled_from([("x",), ("x",), ("num", 0.4), ("num", -1.5)])
    condition = st.tuples(st.sampled_from("<>"), st.sampled_from([-0.75, 0.0, 0.25, 1.5]))
    return st.recursive(
        leaves,
        lambda c: st.one_of(
            st.tuples(st.sampled_from(UNARY), c),
            st.tuples(st.sampled_from("+*"), c, c),
            st.tuples(st.just("if"), condition, c, c),
            st.tuples(st.just("if"), condition, st.tuples(st.sampled_from(UNARY), c), c),
            st.tuples(st.just("def"), c),
        ),
        max_leaves=8,
    )


def exact(e: Formula, x: float) -> Jet:
    """The formula at x, only the branches that are taken looked at."""
    if e[0] == "x":
        return Jet(x, 1.0)
    if e[0] == "num":
        return Jet(e[1])
    if e[0] == "def":
        return exact(e[1], x)
    if e[0] == "if":
        sign, bound = e[1]
        if x == bound:
            raise SingularError
        return exact(e[2] if (x < bound) == (sign == "<") else e[3], x)
    a = exact(e[1], x)
    if e[0] in UNARY:
        return a.apply(_of(e[0]))
    b = exact(e[2], x)
    constant = a.slope is None and b.slope is None
    p, q = a.slope or 0.0, b.slope or 0.0
    if e[0] == "+":
        return Jet(a.value + b.value, None if constant else p + q, a.bend + b.bend)
    bend = a.bend * b.value + 2 * p * q + a.value * b.bend
    return Jet(a.value * b.value, None if constant else p * b.value + a.value * q, bend)


def written(e: Formula, definitions: list[str]) -> str:
    """The formula in the language; named parts become definitions."""
    if e[0] == "x":
        return "x[n]"
    if e[0] == "num":
        return f"({e[1]})"
    if e[0] == "def":
        body = written(e[1], definitions)
        definitions.append(f"  g{len(definitions)}[n]: {body} + 0*x[n]")
        return f"g{len(definitions) - 1}[n]"
    if e[0] == "if":
        sign, bound = e[1]
        return f"({written(e[2], definitions)} if x[n] {sign} {bound} else {written(e[3], definitions)})"
    if e[0] in UNARY:
        return "(" + e[0].format(f"({written(e[1], definitions)})") + ")"
    return f"({written(e[1], definitions)} {e[0]} {written(e[2], definitions)})"


@settings(max_examples=examples(60), deadline=None, suppress_health_check=list(HealthCheck))
@given(formulas())
def test_generated_branches(tmp_path_factory: pytest.TempPathFactory, e: Formula) -> None:
    definitions: list[str] = []
    body = written(e, definitions)
    text = f"precision: float64\ndims: {{'n, m': {len(POINTS)}}}\nparams: {{'x[n]': {{init: 1}}}}\ndefine:\n"
    text += "\n".join([*definitions, f"  y[n]: {body} + 0*x[n]", "outputs:", "  value[n]: y[n]"])
    text += "\n  slope[n]: d(sum[m](y[m]), x[n])\n  bend[n]: d(sum[m](y[m]), x[n], x[n])\n"
    emission = Emission(good(text), 2, tmp_path_factory.mktemp("branches") / "program.py")
    found = emission.call("outputs", {"x": POINTS})
    for k, x in enumerate(POINTS):
        try:
            true = exact(e, float(x))
        except SingularError:
            continue
        for name, want in (("value", true.value), ("slope", true.slope or 0.0), ("bend", true.bend)):
            np.testing.assert_allclose(found[name][k], want, rtol=1e-8, atol=1e-8, err_msg=f"{name} at {x}\n{text}")
