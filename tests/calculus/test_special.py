"""Special functions and their derivatives against mpmath: values, first and second derivatives in each argument, float64.

Each function goes through the whole compiler, so that what is compared is what a program computes. `bounds` are relative
errors of value, first and second derivatives; where one is far from rounding, a comment says why.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mpmath as mp  # type: ignore[import-untyped]
import numpy as np
import pytest

from tests.language.helpers import codes, good
from tests.support.program import Emission
from vspec.compiler.calculus.derive import derivative as derivative_of
from vspec.compiler.calculus.special import NoDerivative
from vspec.compiler.graph.builder import Builder
from vspec.compiler.graph.kernel import slot

# Compiled as users have it (see conftest.py).
COMPILE_QUICKLY = False
EPS = 2.3e-16

Bound = float | Callable[..., float]


@dataclass(frozen=True)
class Case:
    """A function of the language, the same by mpmath, where to compare and how well.

    `shifted` are functions with the same derivatives, which are small where `truth` is near a constant.
    """

    name: str
    truth: Callable[..., Any]
    points: tuple[tuple[float, ...], ...]
    bounds: tuple[Bound, Bound, Bound] = (1e-13, 1e-12, 1e-12)
    shifted: tuple[Callable[..., Any], ...] = ()


def line(*points: float) -> tuple[tuple[float, ...], ...]:
    return tuple((float(x),) for x in points)


def both(*points: float) -> tuple[tuple[float, ...], ...]:
    return line(*(-x for x in reversed(points)), *points)


def plane(a: tuple[float, ...], b: tuple[float, ...]) -> tuple[tuple[float, ...], ...]:
    return tuple((x, y) for x in a for y in b)


SMALL = (1e-8, 1e-3, 0.1, 0.3, 1.0, 1.5, 1.99, 2.01, 3.0, 5.0, 8.0)
REAL = both(*SMALL, 12.0, 20.5, 30.0)
FAR = (*REAL, *both(100.0, 1e3, 1e4))
UNIT = both(1e-8, 1e-3, 0.1, 0.3, 0.49, 0.51, 0.9, 0.99, 1 - 1e-6, 1 - 1e-10)
POSITIVE = (1e-6, 1e-3, 0.1, 0.5, 0.9, 1.1, 1.4, 2.3, 5.0, 10.0, 33.0, 100.0, 1e3, 1e6)
ORDERS = (1e-3, 0.1, 0.5, 1.0, 1.7, 5.0, 20.0, 100.0, 1e3)
GAMMA = plane(ORDERS, (1e-6, 1e-2, 0.5, 1.0, 3.0, 10.0, 50.0, 100.0, 1e3))


def ndtr(x: Any) -> Any:
    return mp.ncdf(x)


def log_ndtr(x: Any) -> Any:
    return mp.log(mp.ncdf(x)) if x < 3 else mp.log1p(-mp.ncdf(-x))


def scaled_bessel(n: int) -> Callable[[Any], Any]:
    return lambda x: mp.besseli(n, x) * mp.exp(-abs(x))


def lower_gamma(a: Any, x: Any) -> Any:
    return mp.gammainc(a, 0, x, regularized=True)


def upper_gamma(a: Any, x: Any) -> Any:
    return mp.gammainc(a, x, mp.inf, regularized=True)


def bessel_bound(power: int) -> Callable[[float], float]:
    # Derivatives are differences of i0e and i1e, whose leading terms for large arguments cancel.
    return lambda x: 1e-13 + 4 * EPS * abs(x) ** power


def beta_bound(a: float, b: float) -> float:
    # digamma(a) - digamma(a + b), and the same of its derivative, cancel where b is small beside a.
    return 1e-12 + 20 * EPS * max(a / b, b / a)


def gamma_bound(a: float, x: float) -> float:
    # The density is exp((a - 1)*log(x) - x - lgamma(a)): its terms are rounded before they cancel.
    return 1e-12 + 10 * EPS * (abs(a * np.log(x)) + x + a * abs(np.log(a)))


CASES = (
    Case("asin", mp.asin, UNIT),
    Case("acos", mp.acos, UNIT),
    Case("asinh", mp.asinh, FAR),
    Case("acosh", mp.acosh, line(1 + 1e-12, 1 + 1e-6, 1.1, 2.0, 10.0, 1e6)),
    # The second derivative is a difference of two terms near 1, relative to 2x.
    Case("atanh", mp.atanh, UNIT, (1e-13, 1e-13, lambda x: 1e-13 + EPS / abs(x))),
    Case("sigmoid", lambda x: 1 / (1 + mp.exp(-x)), FAR, (1e-13, 1e-13, lambda x: 1e-13 + 2 * EPS / abs(x))),
    Case("softplus", lambda x: mp.log1p(mp.exp(x)), FAR),
    Case("log_sigmoid", lambda x: -mp.log1p(mp.exp(-x)), FAR),
    Case("erf", mp.erf, REAL, shifted=(lambda x: -mp.erfc(x), lambda x: mp.erfc(-x))),
    Case("erfc", mp.erfc, REAL, shifted=(lambda x: -mp.erfc(-x),)),
    Case("erfinv", mp.erfinv, UNIT),
    Case("ndtr", ndtr, REAL, (3e-13, 1e-13, 1e-13), (lambda x: -mp.ncdf(-x),)),
    # Near -10 the distance of ndtr_ratio from -x is still a difference, and loses a factor x**2.
    Case("log_ndtr", log_ndtr, (*FAR, *line(-9.99, -10.01, -40.0)), (3e-13, 1e-13, 3e-12)),
    Case("i0e", scaled_bessel(0), FAR, (1e-14, bessel_bound(1), bessel_bound(2))),
    Case("i1e", scaled_bessel(1), FAR, (1e-14, bessel_bound(1), bessel_bound(2))),
    Case("lgamma", lambda x: mp.log(abs(mp.gamma(x))), line(*POSITIVE), (1e-13, 1e-13, 1e-13)),
    Case("digamma", mp.digamma, line(*POSITIVE), (1e-13, 1e-13, 1e-13)),
    Case("xlogy", lambda a, b: a * mp.log(b), plane((-2.0, 1e-8, 0.5, 30.0), (1e-10, 1e-5, 0.3, 5.0, 1e8))),
    Case("betaln", lambda a, b: mp.log(mp.beta(a, b)), plane(ORDERS, (*ORDERS, 1e6)), (1e-12, beta_bound, beta_bound)),
    Case("gammainc", lower_gamma, GAMMA, (3e-12, gamma_bound, gamma_bound), (lambda a, x: -upper_gamma(a, x),)),
    Case("gammaincc", upper_gamma, GAMMA, (3e-12, gamma_bound, gamma_bound), (lambda a, x: -lower_gamma(a, x),)),
)


def emitted(name: str, arity: int, path: Path, precision: str = "float64") -> Emission:
    """A program of a function at n points and its first and second derivatives."""
    args = [f"{v}[n]" for v in "xy"[:arity]]
    call = f"{name}({', '.join(args)})"
    text = f"precision: {precision}\ndims: {{n: auto}}\ndata:\n" + "".join(f"  {a}: real\n" for a in args)
    text += f"outputs:\n  d00[n]: {call}\n"
    for k, j in ORDER_LIST[arity]:
        if not (name.startswith("gammainc") and k > 1):
            text += f"  d{k}{j}[n]: d({', '.join([call, *[args[0]] * k, *[args[-1]] * j])})\n"
    return Emission(good(text), 2, path / f"{name}_{precision}.py")


ORDER_LIST = {1: ((1, 0), (2, 0)), 2: ((1, 0), (0, 1), (2, 0), (1, 1), (0, 2))}


def derivative(case: Case, at: tuple[float, ...], order: tuple[int, int]) -> Any:
    """The derivative by differences with 90 digits, or with 180 where it drowns in the noise of 90."""
    return _difference(case, at, order, 90) or _difference(case, at, order, 180)


def _difference(case: Case, at: tuple[float, ...], order: tuple[int, int], digits: int) -> Any:
    """The difference, of the smallest of the functions that differ by a constant; 0 where it is noise."""
    with mp.workdps(digits):
        point = tuple(mp.mpf(x) for x in at)
        if order == (0, 0):
            return +case.truth(*point)
        f = min((case.truth, *case.shifted), key=lambda g: abs(g(*point)))
        step = mp.mpf(10) ** -25 * min(abs(x) for x in point)
        found = mp.diff(f, point[0], order[0], h=step) if len(point) == 1 else mp.diff(f, point, order, h=step)
        noise = abs(f(*point)) * mp.mpf(10) ** (3 - digits) / step ** sum(order)
        return found if abs(found) > noise else mp.mpf(0)


@pytest.mark.parametrize("case", CASES, ids=[c.name for c in CASES])
def test_derivatives_against_mpmath(case: Case, tmp_path: Path) -> None:
    arity = len(case.points[0])
    program = emitted(case.name, arity, tmp_path)
    given = {v: np.array([p[k] for p in case.points]) for k, v in enumerate("xy"[:arity])}
    for key, array in program.call("outputs", given).items():
        order = (int(key[1]), int(key[2]))
        bound = case.bounds[sum(order)]
        for point, ours in zip(case.points, map(float, array), strict=True):
            true = derivative(case, point, order)
            if abs(true) < 1e-290:
                # Near the end of double precision: ours is zero or as small.
                assert abs(ours) < 1e-280, (order, point)
                continue
            error = abs(float((mp.mpf(ours) - true) / true))
            assert error <= (bound(*point) if callable(bound) else bound), (case.name, order, point, error)


@pytest.mark.parametrize(
    ("name", "truth"),
    [
        ("lgamma", mp.loggamma),
        ("digamma", mp.digamma),
        ("erf", mp.erf),
        ("erfc", mp.erfc),
        ("log_ndtr", log_ndtr),
        ("erfinv", mp.erfinv),
        ("atanh", mp.atanh),
    ],
)
def test_third_derivatives(name: str, truth: Callable[[Any], Any], tmp_path: Path) -> None:
    points = np.array([0.05, 0.4, 0.9] if name in ("erfinv", "atanh") else [0.05, 0.4, 1.3, 2.6, 4.0])
    text = "precision: float64\ndims: {n: auto}\ndata: {'x[n]': real}\noutputs:\n  out[n]: "
    ours = Emission(good(text + f"d({name}(x[n]), x[n], x[n], x[n])\n"), 2, tmp_path / "third.py")
    with mp.workdps(60):
        want = [mp.diff(truth, mp.mpf(x), 3) for x in points]
        np.testing.assert_allclose(ours.call("outputs", {"x": points})["out"], np.array(want, float), rtol=1e-11)


# In float32, at the ends: value, slope and curvature where they are of moderate size (0 where the true one underflows).
ENDS: list[tuple[str, float, tuple[float, float, float]]] = [
    ("log_ndtr", -40.0, (-804.6084420137538, 40.02496891, -0.999377724)),
    ("log_ndtr", -1e4, (-50000010.13, 10000.0001, -0.99999999)),
    ("log_ndtr", 1e4, (0.0, 0.0, 0.0)),
    ("ndtr", -1e4, (0.0, 0.0, 0.0)),
    ("ndtr", 1e4, (1.0, 0.0, 0.0)),
    ("erfc", 1e4, (0.0, 0.0, 0.0)),
    ("asinh", -1e4, (-9.903487555, 1e-4, 1e-8)),
    ("acosh", 1e4, (9.90348755, 1e-4, -1e-8)),
    ("lgamma", 1e4, (82099.71749644, 9.21029037, 1.000050002e-4)),
    ("i0e", -1e4, (0.003989472, 1.994761e-7, 0.0)),
    ("i1e", 1e4, (0.003989273, -1.994e-7, 0.0)),
]


@pytest.mark.parametrize(("name", "x", "true"), ENDS, ids=[f"{n}({x:g})" for n, x, _ in ENDS])
def test_far_out_in_float32(name: str, x: float, true: tuple[float, ...], tmp_path: Path) -> None:
    found = emitted(name, 1, tmp_path, "float32").call("outputs", {"x": np.array([x], np.float32)})
    # The curvature of the scaled Bessel functions is lost to rounding out here; it stays small.
    atol = (0.0, 1e-9, 1e-8 if name in ("i0e", "i1e") else 1e-12)
    for key, want, small in zip(("d00", "d10", "d20"), true, atol, strict=True):
        assert found[key].dtype == np.float32
        np.testing.assert_allclose(found[key][0], want, rtol=2e-3, atol=small, err_msg=key)


INFINITE: list[tuple[str, float, float]] = [
    ("exp(x)", -np.inf, 0.0), ("log(x)", 0.0, -np.inf), ("log(x)", np.inf, np.inf), ("sqrt(x)", np.inf, np.inf),
    ("tanh(x)", -np.inf, -1.0), ("atan(x)", np.inf, np.pi / 2), ("sigmoid(x)", -np.inf, 0.0),
    ("softplus(x)", np.inf, np.inf), ("softplus(x)", -np.inf, 0.0), ("log_sigmoid(x)", -np.inf, -np.inf),
    ("erf(x)", -np.inf, -1.0), ("erfc(x)", np.inf, 0.0), ("erfinv(x)", 1.0, np.inf), ("erfinv(x)", -1.0, -np.inf),
    ("ndtr(x)", np.inf, 1.0), ("ndtr(x)", -np.inf, 0.0), ("log_ndtr(x)", -np.inf, -np.inf), ("log_ndtr(x)", np.inf, 0.0),
    ("asinh(x)", -np.inf, -np.inf), ("acosh(x)", np.inf, np.inf), ("atanh(x)", 1.0, np.inf), ("lgamma(x)", 0.0, np.inf),
    ("lgamma(x)", np.inf, np.inf), ("gammainc(2, x)", np.inf, 1.0), ("gammaincc(2, x)", np.inf, 0.0),
    ("gammainc(2, x)", 0.0, 0.0), ("i0e(x)", np.inf, 0.0), ("i1e(x)", -np.inf, 0.0), ("xlogy(0, x)", 0.0, 0.0),
    ("real(x < inf)", 3.0, 1.0), ("real(x < inf)", np.inf, 0.0), ("real(x == -inf)", -np.inf, 1.0),
    ("max(x, -inf)", 3.0, 3.0), ("min(x, log(0))", 3.0, -np.inf), ("1/x", np.inf, 0.0), ("-1/0 + 0*x", 1.0, -np.inf),
    ("x + log(0)", 3.0, -np.inf), ("exp(log(0) + x)", 3.0, 0.0), ("x if x < inf else 0", np.inf, 0.0),
]  # fmt: skip


@pytest.mark.parametrize("level", [0, 2])
@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_infinities(precision: str, level: int, tmp_path: Path) -> None:
    text = f"precision: {precision}\ndata:\n" + "".join(f"  x{k}: real\n" for k in range(len(INFINITE)))
    text += "outputs:\n"
    for k, (formula, _, _) in enumerate(INFINITE):
        formula = re.sub(r"\bx\b", f"x{k}", formula)
        text += f"  y{k}: {formula}\n"
    program = Emission(good(text), level, tmp_path / f"infinities_{precision}_{level}.py")
    found = program.call("outputs", {f"x{k}": np.asarray(x, precision) for k, (_, x, _) in enumerate(INFINITE)})
    for k, (formula, x, want) in enumerate(INFINITE):
        np.testing.assert_allclose(found[f"y{k}"], want, rtol=1e-6, err_msg=f"{formula} at {x}")


LOOPED = [
    "log_ndtr(s[t]*x)",
    "ndtr(s[t]*x)",
    "erfinv(0.5*tanh(s[t]*x))",
    "betaln(1 + s[t]**2, 2 + x**2)",
    "i1e(s[t] - x)",
]


@pytest.mark.parametrize("formula", LOOPED)
@pytest.mark.parametrize("x", [-30.0, 0.7])
def test_in_a_loop(formula: str, x: float, tmp_path: Path) -> None:
    """Loops are differentiated by JAX: through the helpers of the program as through its own functions."""
    head = "precision: float64\ndims: {t: 3}\ndata: {x: real}\n"
    step = "  s[0]: 0.4\n  s[t + 1]: 0.5*s[t] + 0.01*" + formula + "\n"
    first, second = formula.replace("s[t]", "0.4"), formula.replace("s[t]", "r")
    unrolled = f"  r: 0.2 + 0.01*{first}\n  q: 0.5*r + 0.01*{second}\n"
    slopes = "outputs:\n  value: {0}\n  slope: d({0}, x)\n"
    loop = Emission(good(head + "define:\n" + step + slopes.format("s[-1]")), 2, tmp_path / "loop.py")
    plain = Emission(good(head + "define:\n" + unrolled + slopes.format("q")), 2, tmp_path / "plain.py")
    ours, true = (p.call("outputs", {"x": x}) for p in (loop, plain))
    np.testing.assert_allclose(ours["value"], true["value"], rtol=1e-12)
    np.testing.assert_allclose(ours["slope"], true["slope"], rtol=1e-10)


def test_the_slope_of_the_gamma_law_in_its_order(tmp_path: Path) -> None:
    """A gradient through gammaincc in both arguments, also through a recurrence, needs no second derivative."""
    text = (
        "precision: float64\ndims: {t: 3}\nparams:\n  a: {init: 1}\n  x: {init: 1}\n"
        "define:\n  s[0]: 0.1*x\n  s[t + 1]: s[t] + gammaincc(a + s[t]**2, x)\n"
        "objectives:\n  loss: s[-1] + gammainc(a, x)\nsolve: {minimize: loss}\n"
        "outputs:\n  mixed: d(gammainc(a, x), a, x)\n"
    )
    program = Emission(good(text), 2, tmp_path / "gamma.py")
    at = {"a": 1.3, "x": 0.8}

    def loss(a: Any, x: Any) -> Any:
        s = 0.1 * x
        for _ in range(2):
            s = s + upper_gamma(a + s**2, x)
        return s + lower_gamma(a, x)

    slopes = program.call("loss_gradient", at)
    with mp.workdps(40):
        assert float(slopes["a"]) == pytest.approx(float(mp.diff(loss, (1.3, 0.8), (1, 0))), rel=1e-10)
        assert float(slopes["x"]) == pytest.approx(float(mp.diff(loss, (1.3, 0.8), (0, 1))), rel=1e-10)
        mixed = float(mp.diff(lower_gamma, (1.3, 0.8), (1, 1)))
    assert float(program.call("outputs", at)["mixed"]) == pytest.approx(mixed, rel=1e-10)


@pytest.mark.parametrize(
    ("define", "wrong"),
    [
        ("g: d(gammainc(a, x), a, a)", True),
        ("h: d(gammainc(a, x), a)\n  g: d(h, a)", True),
        ("h: gammainc(2*a*x, x)\n  g: d(h, a, x)", True),
        ("h: gammaincc(a, x)\n  k: h**2\n  g: d(sin(k), a, x, a)", True),
        ("h: gammainc(a, x)\n  g: d(h, x, x, x)", False),
        ("h: gammainc(a, x)\n  g: d(h, a, x, x)", False),
        ("h: gammainc(stop(a), x)\n  g: d(h*a, a, a)", False),
        ("h: gammainc(a, x)\n  k: h*a\n  g: d(k, h, a)", False),
        ("s[0]: x\n  s[t + 1]: gammainc(a, s[t])\n  g: d(s[-1], a)", False),
        ("s[0]: x\n  s[t + 1]: gammainc(a, s[t])\n  g: d(s[-1], a, x)", True),
        ("s[0]: x\n  s[t + 1]: s[t] - d(gammainc(s[t], 2.0), s[t])\n  g: s[-1]", False),
        ("s[0]: x\n  s[t + 1]: s[t] - d(gammainc(s[t], 2.0), s[t])\n  g: d(s[-1], x)", True),
        ("s[0]: x\n  s[t + 1]: s[t]*d(gammainc(a, s[t]), a)\n  g: d(s[-1], x)", True),
        # In a step the state is given: it does not depend on what the loop started from.
        ("s[0]: x\n  s[t + 1]: s[t]*d(gammainc(s[t] + 1, x), x, x)\n  g: s[-1]", False),
    ],
)
def test_orders_that_have_formulas(define: str, wrong: bool, tmp_path: Path) -> None:
    text = f"precision: float64\ndims: {{t: 3}}\nparams:\n  a: {{init: 1}}\n  x: {{init: 1}}\ndefine:\n  {define}\n"
    text += "outputs:\n  g: g\n"
    if wrong:
        assert set(codes(text)) == {"VS0330"}
    else:
        found = Emission(good(text), 2, tmp_path / "orders.py").call("outputs", {"a": 1.3, "x": 0.8})
        assert np.isfinite(found["g"])


def test_the_calculus_refuses_what_the_checker_does_not_see() -> None:
    b = Builder()
    a, x = b.input("a", "param", (), "real"), b.input("x", "param", (), "real")
    slope = derivative_of(b, b.map(("gammainc", slot(0), slot(1)), [a, x]), a, ())
    with pytest.raises(NoDerivative, match="second derivative of gammainc"):
        derivative_of(b, slope, a, ())
