"""Where the derivative of a smooth function of one variable vanishes, in closed form.

The derivative D is brought to one of four forms: a rational function of u, of `exp(k*u)` or of a power of u, each with a
numerator of degree one or two, or one that is linear in `log(u)`. Of two roots the one is taken at which D passes from below
to above zero, which makes it a local minimum: for `p z**2 + q z + r` that is `(-q + sqrt(q**2 - 4 p r))/(2 p)`, whatever
the signs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import sympy as sp

from vspec.compiler.calculus.structure.forms import NoFormError


@dataclass(frozen=True, slots=True)
class Root:
    """A stationary point as an expression without u, and the second derivative's sign at it: `slope` must be positive there.

    `slope` is None where the choice of the root sees to it.
    """

    expr: Any
    slope: Any | None


def stationary(derivative: Any, u: Any, lower: Any = None, upper: Any = None) -> Root:
    """The zero of a derivative that is a local minimum of its function.

    `lower` and `upper` are the numbers between which u lies, as far as they are known. Raises NoFormError.
    """
    derivative = sp.powsimp(sp.expand(derivative))
    if u not in derivative.free_symbols:
        raise NoFormError("the objective is linear in it, so that its minimum is not unique" if derivative != 0 else "")
    exponentials = {e for e in derivative.atoms(sp.exp) if u in e.free_symbols}
    logarithms = {e for e in derivative.atoms(sp.log) if u in e.free_symbols}
    if exponentials and logarithms:
        raise NoFormError(_mixed(exponentials | logarithms))
    if exponentials:
        return _exponential(derivative, u, exponentials)
    if logarithms:
        return _logarithmic(derivative, u, logarithms)
    return _algebraic(derivative, u, lower, upper)


def _mixed(found: set[Any]) -> str:
    return "its optimality condition mixes different functions of it, which no formula inverts"


# --- rational functions and powers ----------------------------------------------------------------------------------


def _algebraic(derivative: Any, u: Any, lower: Any, upper: Any) -> Root:
    powers = {p for p in derivative.atoms(sp.Pow) if p.base == u and not p.exp.is_Integer}
    others = {f for f in derivative.atoms(sp.Function) | derivative.atoms(sp.Pow) if u in f.free_symbols}
    if any(f for f in others if not (f.is_Pow and (f.exp.is_Integer or f.base == u))):
        raise NoFormError("its optimality condition has no closed-form solution")
    if powers or (u.is_positive and _monomials(derivative, u) == 2):
        return _powers(derivative, u)
    over, under = sp.fraction(sp.cancel(sp.together(derivative)))
    above = u.is_positive or (lower is not None and lower >= 0)
    sign = sp.Integer(1)
    for factor, times in _factors(under, u):
        known = _sign(factor, u, above, lower, upper)
        if times % 2 and known == 0:
            raise NoFormError("its optimality condition has a pole that may be crossed")
        sign *= known if times % 2 else 1
    if u not in under.free_symbols:
        return _polynomial(sp.expand(derivative), u, u)
    # The factors of the denominator that hold u are positive up to `sign`; what is left of it divides the coefficients.
    rest = under / sp.Mul(*(f**k for f, k in _factors(under, u)))
    numerator = sp.Poly(over, u)
    coefficients = [sp.cancel(sign * c / rest) for c in numerator.all_coeffs()]
    while len(coefficients) > 1 and coefficients[-1] == 0 and above:
        coefficients.pop()
    return _from_coefficients(coefficients)


def _factors(under: Any, u: Any) -> list[tuple[Any, int]]:
    """The factors of a denominator that hold u, with how often they occur."""
    if u not in under.free_symbols:
        return []
    _, factors = sp.factor_list(under, u)
    return [(f, k) for f, k in factors if u in f.free_symbols]


def _sign(factor: Any, u: Any, above: bool, lower: Any, upper: Any) -> int:
    """The sign of a factor where u may be: 1, -1, or 0 where it is not known."""
    if factor == u:
        return 1 if above else 0
    polynomial = sp.Poly(factor, u)
    if polynomial.degree() == 1:
        slope = polynomial.LC()
        ends = [(lower, -slope), (upper, slope)]
        values = [factor.subs(u, e) if e is not None and sp.S(e).is_finite else far for e, far in ends]
        if all(v.is_nonnegative for v in values):
            return 1
        return -1 if all(v.is_nonpositive for v in values) else 0
    if factor.is_positive:
        return 1
    return -1 if factor.is_negative else 0


def _monomials(derivative: Any, u: Any) -> int:
    """How many powers of u a derivative is a sum of; 0 if it is no such sum."""
    powers = {term.as_independent(u)[1] for term in sp.Add.make_args(derivative)}
    return len(powers) if all(p == 1 or p.as_base_exp()[0] == u for p in powers) else 0


def _powers(derivative: Any, u: Any) -> Root:
    """Sums of powers of a positive u."""
    monomials: dict[Any, Any] = {}
    for term in sp.Add.make_args(derivative):
        coefficient, power = term.as_independent(u)
        exponent = power.as_base_exp()[1] if power != 1 else sp.Integer(0)
        if power != 1 and power.as_base_exp()[0] != u:
            raise NoFormError("its optimality condition has no closed-form solution")
        monomials[exponent] = monomials.get(exponent, 0) + coefficient
    exponents = list(monomials)
    if len(exponents) == 2:
        first, second = exponents
        if second == 0 or (first - second).is_positive:
            first, second = second, first
        ratio = sp.cancel(-monomials[first] / monomials[second])
        return Root(ratio ** sp.cancel(1 / (second - first)), sp.expand(monomials[second] * (second - first)))
    if not all(e.is_Rational for e in exponents):
        raise NoFormError("its optimality condition has several powers of it")
    low = min(exponents)
    step = sp.igcd(0, 0, *[int((e - low) * 60) for e in exponents]) / sp.Integer(60)
    z = sp.Symbol("z", positive=True)
    polynomial = sum(c * z ** ((e - low) / step) for e, c in monomials.items())
    root = _polynomial(sp.expand(polynomial), z, u)
    return Root(root.expr ** (1 / step), root.slope)


def _polynomial(numerator: Any, z: Any, u: Any) -> Root:
    try:
        coefficients = sp.Poly(numerator, z).all_coeffs()
    except sp.PolynomialError:
        raise NoFormError("its optimality condition has no closed-form solution") from None
    return _from_coefficients([sp.cancel(c) for c in coefficients])


def _from_coefficients(coefficients: list[Any]) -> Root:
    """The root of a polynomial at which it rises, highest coefficient first."""
    if len(coefficients) == 2:
        p, q = coefficients
        return Root(sp.cancel(-q / p), p)
    if len(coefficients) == 3:
        p, q, r = coefficients
        if q == 0:
            return Root(sp.sqrt(sp.cancel(-r / p)), p) if p.is_positive else Root(_rising(p, q, r), None)
        return Root(_rising(p, q, r), None)
    raise NoFormError(f"its optimality condition is a polynomial of degree {len(coefficients) - 1}")


def _rising(p: Any, q: Any, r: Any) -> Any:
    return (-q + sp.sqrt(q**2 - 4 * p * r)) / (2 * p)


# --- exponentials and logarithms --------------------------------------------------------------------------------------


def _exponential(derivative: Any, u: Any, found: set[Any]) -> Root:
    """Rational in one exponential z = exp(k*u)."""
    rates: list[Any] = []
    for e in found:
        rate = sp.expand(e.args[0]).coeff(u)
        if u in sp.expand(e.args[0] - rate * u).free_symbols:
            raise NoFormError("its optimality condition has an exponential of a power of it")
        rates.append(rate)
    k = min(rates, key=lambda r: (sp.count_ops(r), sp.default_sort_key(abs(r))))
    ratios = [sp.cancel(r / k) for r in rates]
    if not all(r.is_Rational for r in ratios):
        raise NoFormError("its optimality condition has exponentials of different rates")
    k = k / sp.ilcm(1, 1, *[int(r.q) for r in ratios])
    if k.is_negative:
        k = -k
    z = sp.Symbol("z", positive=True)
    inner = {e: z ** sp.cancel(r / k) * sp.exp(sp.expand(e.args[0] - r * u)) for e, r in zip(found, rates, strict=True)}
    # Each exponential is put in as it stands; they are not nested, the rates being free of u.
    form = sp.expand(derivative.xreplace(inner))
    if u in form.free_symbols:
        raise NoFormError(_mixed(found))
    over, under = sp.fraction(sp.together(form))
    for factor, _ in _factors(under, z):
        if not (factor == z or (sp.Poly(factor, z).all_coeffs()[-1].is_positive and factor.is_positive)):
            raise NoFormError("its optimality condition has a pole that may be crossed")
    coefficients = [sp.powsimp(sp.cancel(c), combine="exp") for c in sp.Poly(sp.expand(over), z).all_coeffs()]
    while len(coefficients) > 1 and coefficients[-1] == 0:
        coefficients.pop()
    if len(coefficients) == 3 and not k.is_positive:
        raise NoFormError("the sign of the rate of its exponential is not known")
    if len(coefficients) > 3:
        raise NoFormError("its optimality condition has too many exponentials of it")
    if len(coefficients) == 2:
        p, q = coefficients
        value = _log(sp.powsimp(sp.cancel(-q / p), combine="exp"))
        return Root(sp.expand_mul(value / k) if value.is_Add is False else value / k, p * k)
    root = _from_coefficients(coefficients)
    return Root(_log(root.expr) / k, None)


def _log(expr: Any) -> Any:
    """The logarithm of an expression whose factors are exponentials, numbers and others."""
    exponent, rest = sp.Integer(0), []
    for factor in sp.Mul.make_args(sp.powsimp(expr, combine="exp")):
        base, power = factor.as_base_exp()
        if isinstance(factor, sp.exp):
            exponent += factor.args[0]
        elif isinstance(base, sp.exp):
            exponent += base.args[0] * power
        else:
            rest.append(factor)
    return sp.log(sp.Mul(*rest)) + exponent if rest else exponent


def _logarithmic(derivative: Any, u: Any, found: set[Any]) -> Root:
    """Linear in one logarithm."""
    split = sp.expand_log(derivative, force=True)
    z = sp.Symbol("z", real=True)
    form = sp.expand(split.xreplace({sp.log(u): z}))
    if u in form.free_symbols:
        raise NoFormError(_mixed(found))
    coefficients = sp.Poly(form, z).all_coeffs()
    if len(coefficients) != 2:
        raise NoFormError("its optimality condition has a power of its logarithm")
    p, q = coefficients
    return Root(sp.exp(sp.cancel(-q / p)), p)
