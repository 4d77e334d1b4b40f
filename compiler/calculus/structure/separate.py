"""Sums pulled apart: `sum[j](exp(k*(u + y[j])))` is `exp(k*u)` times a sum that does not hold u.

Each term of a summand is a product of factors; those that hold u must not read what differs along the summed axes, those
that do are summed into a node of their own. A sum of exponentials is kept as its logarithm, so that nothing overflows.
"""

from __future__ import annotations

from typing import Any

import sympy as sp

from vspec.compiler.calculus.structure.forms import Element, NoFormError, Table


def gathered(table: Table, element: Element) -> Any:
    """A summand as an expression of u and symbols that have the param's axes at most: every sum is a symbol.

    Raises NoFormError where u cannot be taken out of a sum.
    """
    if not element.summed:
        return element.expr
    u = table.u
    groups: dict[Any, dict[Any, list[Any]]] = {}
    for term in sp.Add.make_args(_expanded(element.expr)):
        basis: list[Any] = []
        free: list[Any] = []
        local: list[Any] = []
        for factor in sp.Mul.make_args(term):
            symbols = factor.free_symbols
            if u not in symbols:
                (local if symbols & element.local else free).append(factor)
            elif symbols & element.local:
                raise NoFormError(f"it cannot be taken out of the sum over {', '.join(_letters(element))}")
            else:
                basis.append(factor)
        inside = groups.setdefault(sp.Mul(*basis), {})
        inside.setdefault(sp.Mul(*free), []).append(sp.Mul(*local))
    total = sp.Integer(0)
    for form, coefficients in groups.items():
        if u not in form.free_symbols:
            # What does not hold u moves no minimum.
            continue
        for free, parts in coefficients.items():
            total += free * _summed(table, element, parts) * form
    return total


def _letters(element: Element) -> list[str]:
    return [n.split("~")[0] for n in element.summed]


def _expanded(expr: Any) -> Any:
    return sp.expand(sp.expand_log(expr))


def _summed(table: Table, element: Element, parts: list[Any]) -> Any:
    """The symbol of the sum of some terms over the summed axes; the exponential of one where the terms are exponentials."""
    b = table.b
    total = sp.powsimp(sp.Add(*parts), combine="exp")
    if len(parts) == 1 and isinstance(total, sp.exp):
        exponent = b.reduce("logsumexp", table.node(sp.factor_terms(total.args[0])), element.summed, element.dims)
        return sp.exp(table.symbol(exponent))
    return table.symbol(b.reduce("sum", table.node(total), element.summed, element.dims))
