"""The derivative of a kernel by `slope` is that of SymPy, in the same form."""

from __future__ import annotations

from typing import Any

import pytest
import sympy as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from vspec.compiler.calculus.functions import FUNCTIONS
from vspec.compiler.calculus.scalar import _symbol, _times, to_sympy
from vspec.compiler.calculus.slope import slope
from vspec.compiler.calculus.special import SPECIAL, NoDerivative
from vspec.compiler.graph.kernel import Tree, num, slot

UNARY = ("exp", "log", "sin", "tanh", "sigmoid", "sqrt", "square", "abs", "neg", "softplus", "real", "floor", "erf")
BINARY = ("add", "sub", "mul", "div", "maximum", "atan2", "hypot", "xlogy", "lt")
LITERALS = {"polygamma": (2,), "bessel_ratio": (1,), "gammainc_da": (2,)}
"""Functions that have no slope by their first argument."""
FLAT = {"gamma_slope", "measured"}
"""Derivatives of estimates of the first derivative alone: they have no slope by anything."""


def trees() -> st.SearchStrategy[Tree]:
    leaves: st.SearchStrategy[Tree] = st.one_of(
        st.integers(0, 2).map(slot), st.sampled_from([num(2), num(3), num(0.5), num(-1)])
    )

    def grown(parts: st.SearchStrategy[Tree]) -> st.SearchStrategy[Tree]:
        return st.one_of(
            st.tuples(st.sampled_from(UNARY), parts),
            st.tuples(st.sampled_from(BINARY), parts, parts),
            st.tuples(st.just("pow"), parts, st.sampled_from([num(2), num(3), num(-1), slot(1)])),
            st.tuples(st.just("where"), st.tuples(st.just("lt"), parts, parts), parts, parts),
        )

    return st.recursive(leaves, grown, max_leaves=8)


@settings(max_examples=150, deadline=None)
@given(trees(), st.integers(0, 2))
def test_slopes_are_those_of_sympy(tree: Tree, k: int) -> None:
    expression = to_sympy(tree)
    ours, theirs = slope(expression, _symbol(k)), sp.diff(expression, _symbol(k))
    assert ours == theirs or sp.simplify(ours - theirs) == 0


@settings(max_examples=100, deadline=None)
@given(trees())
def test_a_product_with_zero_is_that_of_sympy(tree: Tree) -> None:
    expression = to_sympy(tree)
    for zero in (sp.Integer(0), sp.Float(0), sp.Integer(2)):
        assert _times(zero, expression) == zero * expression


def test_of_what_is_multiplied_by_zero_nothing_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    factor = FUNCTIONS["sigmoid"](_symbol(0)) ** 3 + sp.sqrt(_symbol(1)) / _symbol(2)
    monkeypatch.setattr(type(factor), "_eval_is_finite", lambda self: asked.append(self), raising=False)
    assert _times(sp.Integer(0), factor) is sp.Integer(0)
    assert not asked
    for infinite in (sp.oo, -sp.oo, sp.zoo, sp.nan):
        assert _times(sp.Integer(0), infinite) is sp.nan


@pytest.mark.parametrize("name", sorted(FUNCTIONS | SPECIAL))
def test_every_function_has_its_own_slope_inside_of_others(name: str) -> None:
    x, y = _symbol(0), _symbol(1)
    function: Any = (FUNCTIONS | SPECIAL)[name]
    given_numbers = [sp.Integer(n) for n in LITERALS.get(name, ())]
    for count in (1, 2, 3, 4):
        arguments = [*given_numbers, *(x * y, x + 2, sp.sin(y), y + 1)][:count]
        try:
            inner = function(*arguments)
            whole = inner**2 * y + sp.exp(inner)
            if name in FLAT:
                with pytest.raises(NoDerivative):
                    sp.diff(whole, x)
                with pytest.raises(NoDerivative):
                    slope(whole, x)
                return
            theirs = sp.diff(whole, x)
        except (TypeError, ValueError):
            continue
        assert slope(whole, x) == theirs
        return
    pytest.fail(f"{name} takes none of these arguments")
