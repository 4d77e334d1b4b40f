"""What has no closed form under a normal law is told apart before it is differentiated again and again."""

from __future__ import annotations

import pytest
import sympy as sp

from vspec.compiler.calculus.chance.vectors import may_be_integrated
from vspec.compiler.calculus.scalar import CLASSES

X, Y, A = sp.symbols("x y a", real=True)
SOFTPLUS = CLASSES["softplus"]


@pytest.mark.parametrize(
    "expr", [X**2 * Y, X * sp.exp(2 * Y + A), sp.cos(A * X) * Y, SOFTPLUS(A) * X, sp.sqrt(A) / A * X]
)
def test_may_be(expr: sp.Expr) -> None:
    assert may_be_integrated(expr, [X, Y])


@pytest.mark.parametrize(
    "expr", [SOFTPLUS(X), sp.log(sp.exp(X) + sp.exp(Y)), X / Y, sp.exp(X * Y), sp.exp(X**2), sp.Abs(X)]
)
def test_may_not_be(expr: sp.Expr) -> None:
    assert not may_be_integrated(expr, [X, Y])
