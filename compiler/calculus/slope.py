"""The derivative of a SymPy expression by one symbol, each part differentiated once.

`sympy.diff` asks of every derivative on the way whether it is zero by assumption, and makes an object that stands for the
derivative before it takes it; for kernels that was most of its time. The rules here are SymPy's own (its functions tell their
slopes by `fdiff`), its arithmetic brings the result to the same form, and only a literal zero counts as one.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import sympy as sp

from vspec.compiler.calculus.functions import FUNCTIONS, Opaque, v_where
from vspec.compiler.calculus.special import SPECIAL

ZERO = sp.Integer(0)
ONE = sp.Integer(1)

# Functions whose derivative is a sum of slopes times derivatives of arguments.
CHAINED = tuple(c for c in (*FUNCTIONS.values(), *SPECIAL.values()) if not issubclass(c, Opaque) and c is not v_where)


@cache
def slope(e: Any, s: Any) -> Any:
    """The derivative of e by the symbol s, in the form that `sympy.diff` gives it."""
    if e is s:
        return ONE
    if not e.args or isinstance(e, Opaque):
        return ZERO
    if e.is_Add:
        return _sum([slope(a, s) for a in e.args])
    if e.is_Mul:
        return _sum(_products(e.args, s))
    if e.is_Pow:
        base, exponent = slope(e.base, s), slope(e.exp, s)
        # A product with a literal zero costs much: SymPy asks whether what it is multiplied with is finite.
        if exponent is ZERO:
            return ZERO if base is ZERO else e * (base * e.exp / e.base)
        return e * (exponent * sp.log(e.base) + base * e.exp / e.base)
    if isinstance(e, v_where):
        condition, yes, no = e.args
        yes, no = slope(yes, s), slope(no, s)
        return ZERO if yes is no is ZERO else v_where(condition, yes, no)
    if isinstance(e, CHAINED):
        inner = [slope(a, s) for a in e.args]
        return _sum([e.fdiff(k) * d for k, d in enumerate(inner, 1) if d is not ZERO])
    return sp.diff(e, s) if s in e.free_symbols else ZERO


def _sum(terms: list[Any]) -> Any:
    left = [t for t in terms if t is not ZERO]
    return sp.Add(*left) if len(left) > 1 else left[0] if left else ZERO


def _products(factors: tuple[Any, ...], s: Any) -> list[Any]:
    """One product for each factor that depends on s, with its derivative in its place."""
    found = []
    for k, factor in enumerate(factors):
        inner = slope(factor, s)
        if inner is not ZERO:
            found.append(sp.Mul(*factors[:k], inner, *factors[k + 1 :]))
    return found
