"""Branches: values, gradients and Hessians are finite where the true ones are, whatever a branch not taken would give.

The truth is what mathematics says: at a point where a condition holds, the derivatives are those of the branch it chooses.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.language.helpers import good
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

# How the function stands in the branch: in one formula, in definitions of its own, through reductions, gathers, windows.
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
