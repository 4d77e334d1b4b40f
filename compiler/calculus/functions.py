"""The pointwise functions that SymPy lacks or evaluates in a way that does not suit programs, as SymPy functions.

Each states its own derivative. Comparisons and logic are functions with derivative zero: SymPy's relational objects
would pull in its assumption system, which is slow and decides things that a program must decide at run time.
"""

from __future__ import annotations

from typing import Any

import sympy as sp


class RealFunction(sp.Function):  # type: ignore[misc]
    """A function of real arguments. SymPy need not find out that products of its values commute."""

    is_commutative = True


class Opaque(RealFunction):
    """A function whose derivative is zero almost everywhere (steps, comparisons, logic)."""

    def fdiff(self, argindex: int = 1) -> Any:
        return sp.Integer(0)

    def _eval_derivative(self, s: Any) -> Any:
        return sp.Integer(0)


def _opaque(name: str) -> type[Any]:
    return type(name, (Opaque,), {"__doc__": f"`{name}` of a kernel tree."})


OPAQUE: dict[str, type[Any]] = {
    name: _opaque(f"v_{name}")
    for name in (
        "lt",
        "le",
        "gt",
        "ge",
        "eq",
        "ne",
        "and",
        "or",
        "not",
        "sign",
        "floor",
        "ceil",
        "round",
        "floordiv",
        "integer",
    )
}


class v_real(RealFunction):  # noqa: N801
    """A boolean or integer as a real; transparent to derivatives."""

    def fdiff(self, argindex: int = 1) -> Any:
        return sp.Integer(1)


class v_where(RealFunction):  # noqa: N801
    """`where(c, a, b)`: differentiates its branches and keeps them apart, so that the branch not taken adds nothing."""

    @classmethod
    def eval(cls, c: Any, a: Any, b: Any) -> Any:
        if a == b:
            return a
        return None

    def _eval_derivative(self, s: Any) -> Any:
        c, a, b = self.args
        return v_where(c, a.diff(s), b.diff(s))


class v_log1p(RealFunction):  # noqa: N801
    def fdiff(self, argindex: int = 1) -> Any:
        return 1 / (1 + self.args[0])


class v_expm1(RealFunction):  # noqa: N801
    def fdiff(self, argindex: int = 1) -> Any:
        return sp.exp(self.args[0])


class v_sigmoid(RealFunction):  # noqa: N801
    def fdiff(self, argindex: int = 1) -> Any:
        x = self.args[0]
        return v_sigmoid(x) * v_sigmoid(-x)


class v_log_sigmoid(RealFunction):  # noqa: N801
    def fdiff(self, argindex: int = 1) -> Any:
        return v_sigmoid(-self.args[0])


class v_softplus(RealFunction):  # noqa: N801
    def fdiff(self, argindex: int = 1) -> Any:
        return v_sigmoid(self.args[0])


class v_relu(RealFunction):  # noqa: N801
    def fdiff(self, argindex: int = 1) -> Any:
        return v_where(OPAQUE["gt"](self.args[0], 0), sp.Integer(1), sp.Integer(0))


class v_abs(RealFunction):  # noqa: N801
    def fdiff(self, argindex: int = 1) -> Any:
        return OPAQUE["sign"](self.args[0])


class v_tanh(RealFunction):  # noqa: N801
    def fdiff(self, argindex: int = 1) -> Any:
        return 1 - v_tanh(self.args[0]) ** 2


def _chosen(op: str, own: Any, other: Any) -> Any:
    # Half of the derivative goes to each side of a tie, as in JAX.
    tie = v_where(OPAQUE["eq"](own, other), sp.Rational(1, 2), sp.Integer(0))
    return v_where(OPAQUE[op](own, other), sp.Integer(1), tie)


class v_maximum(RealFunction):  # noqa: N801
    def fdiff(self, argindex: int = 1) -> Any:
        a, b = self.args
        return _chosen("gt", a, b) if argindex == 1 else _chosen("gt", b, a)


class v_minimum(RealFunction):  # noqa: N801
    def fdiff(self, argindex: int = 1) -> Any:
        a, b = self.args
        return _chosen("lt", a, b) if argindex == 1 else _chosen("lt", b, a)


class v_atan2(RealFunction):  # noqa: N801
    def fdiff(self, argindex: int = 1) -> Any:
        a, b = self.args
        return b / (a**2 + b**2) if argindex == 1 else -a / (a**2 + b**2)


class v_hypot(RealFunction):  # noqa: N801
    def fdiff(self, argindex: int = 1) -> Any:
        # Parts over the modulus are at most 1; at 0, where the modulus has a kink, the derivative is taken as 0.
        a, b = self.args
        length = v_hypot(a, b)
        return self.args[argindex - 1] / v_where(OPAQUE["eq"](length, 0), sp.Integer(1), length)


class v_copysign(RealFunction):  # noqa: N801
    def fdiff(self, argindex: int = 1) -> Any:
        a, b = self.args
        return v_copysign(1, a) * v_copysign(1, b) if argindex == 1 else sp.Integer(0)


class v_mod(RealFunction):  # noqa: N801
    def fdiff(self, argindex: int = 1) -> Any:
        a, b = self.args
        return sp.Integer(1) if argindex == 1 else -OPAQUE["floordiv"](a, b)


class v_xlogy(RealFunction):  # noqa: N801
    @classmethod
    def eval(cls, a: Any, b: Any) -> Any:
        if a.is_Number and a.is_finite:
            return sp.Integer(0) if a.is_zero else a * sp.log(b)
        return None

    def fdiff(self, argindex: int = 1) -> Any:
        a, b = self.args
        if argindex == 1:
            return sp.log(b)
        ratio = a / b
        if sp.fraction(ratio)[1].is_Number:
            return ratio
        # Where a is 0, so is the function, for every b.
        return v_where(OPAQUE["eq"](a, 0), sp.Integer(0), ratio)


class v_polygamma(RealFunction):  # noqa: N801
    """The n-th derivative of digamma; n is a literal."""

    def fdiff(self, argindex: int = 2) -> Any:
        return v_polygamma(self.args[0] + 1, self.args[1])


class v_digamma(RealFunction):  # noqa: N801
    def fdiff(self, argindex: int = 1) -> Any:
        return v_polygamma(sp.Integer(1), self.args[0])


class v_lgamma(RealFunction):  # noqa: N801
    def fdiff(self, argindex: int = 1) -> Any:
        return v_digamma(self.args[0])


class v_erf(RealFunction):  # noqa: N801
    def fdiff(self, argindex: int = 1) -> Any:
        return 2 / sp.sqrt(sp.pi) * sp.exp(-(self.args[0] ** 2))


class v_erfc(RealFunction):  # noqa: N801
    def fdiff(self, argindex: int = 1) -> Any:
        return -2 / sp.sqrt(sp.pi) * sp.exp(-(self.args[0] ** 2))


FUNCTIONS: dict[str, type[Any]] = {
    **OPAQUE,
    "real": v_real,
    "where": v_where,
    "log1p": v_log1p,
    "expm1": v_expm1,
    "sigmoid": v_sigmoid,
    "log_sigmoid": v_log_sigmoid,
    "softplus": v_softplus,
    "relu": v_relu,
    "abs": v_abs,
    "tanh": v_tanh,
    "maximum": v_maximum,
    "minimum": v_minimum,
    "atan2": v_atan2,
    "hypot": v_hypot,
    "copysign": v_copysign,
    "mod": v_mod,
    "xlogy": v_xlogy,
    "polygamma": v_polygamma,
    "digamma": v_digamma,
    "lgamma": v_lgamma,
    "erf": v_erf,
    "erfc": v_erfc,
    "exp": sp.exp,
    "log": sp.log,
    "sin": sp.sin,
    "cos": sp.cos,
    "tan": sp.tan,
    "atan": sp.atan,
    "sinh": sp.sinh,
    "cosh": sp.cosh,
}
