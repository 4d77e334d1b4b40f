"""The special functions as SymPy functions that state their own derivatives.

Derivatives are written so that they neither overflow nor cancel where the true ones are of moderate size. What has no
closed form in functions that a program can call raises `NoDerivative`. Formulas: NIST Digital Library of Mathematical
Functions (https://dlmf.nist.gov), by section where one is named.
"""

from __future__ import annotations

from typing import Any

import sympy as sp

from vspec.compiler.calculus.functions import OPAQUE, RealFunction, v_digamma, v_lgamma, v_where, v_xlogy
from vspec.compiler.graph.node import Origin

# 1/sqrt(2 pi), as one number: SymPy would spread the roots over the formula.
DENSITY_AT_ZERO = sp.Float(0.3989422804014327, 17)


class NoDerivative(Exception):  # noqa: N818
    """A derivative was asked for that has no formula; `what` says of which function, by which argument, `origin` where."""

    def __init__(self, what: str, origin: Origin | None = None) -> None:
        super().__init__(what)
        self.what = what
        self.origin = origin

    def at(self, origin: Origin) -> NoDerivative:
        """The same, for a node that came from there."""
        return NoDerivative(self.what, origin)


class NoAdjoint(NoDerivative):
    """A derivative was asked for that goes back through a loop which is declared to have none."""


class NoWay(NoDerivative):
    """A derivative was asked for in a way that does not lead to it; `what` says why."""


class v_asin(RealFunction):  # noqa: N801
    def fdiff(self, argindex: int = 1) -> Any:
        return 1 / sp.sqrt(_one_minus_square(self.args[0]))


class v_acos(RealFunction):  # noqa: N801
    def fdiff(self, argindex: int = 1) -> Any:
        return -1 / sp.sqrt(_one_minus_square(self.args[0]))


class v_asinh(RealFunction):  # noqa: N801
    def fdiff(self, argindex: int = 1) -> Any:
        return 1 / sp.sqrt(self.args[0] ** 2 + 1)


class v_acosh(RealFunction):  # noqa: N801
    def fdiff(self, argindex: int = 1) -> Any:
        x = self.args[0]
        return 1 / (sp.sqrt(x - 1) * sp.sqrt(x + 1))


class v_atanh(RealFunction):  # noqa: N801
    def fdiff(self, argindex: int = 1) -> Any:
        return 1 / _one_minus_square(self.args[0])


def _one_minus_square(x: Any) -> Any:
    # 1 - x**2 would cancel near 1 and -1.
    return (1 - x) * (1 + x)


class v_erfinv(RealFunction):  # noqa: N801
    def fdiff(self, argindex: int = 1) -> Any:
        return sp.sqrt(sp.pi) / 2 * sp.exp(v_erfinv(self.args[0]) ** 2)


class v_ndtr(RealFunction):  # noqa: N801
    def fdiff(self, argindex: int = 1) -> Any:
        return DENSITY_AT_ZERO * sp.exp(-(self.args[0] ** 2) / 2)


class v_log_ndtr(RealFunction):  # noqa: N801
    def fdiff(self, argindex: int = 1) -> Any:
        return v_ndtr_ratio(self.args[0])


class v_ndtr_ratio(RealFunction):  # noqa: N801
    """The normal density over the normal distribution function, about -x for very negative x."""

    def fdiff(self, argindex: int = 1) -> Any:
        x = self.args[0]
        return -v_ndtr_ratio(x) * v_ndtr_excess(x)


class v_ndtr_excess(RealFunction):  # noqa: N801
    """x + ndtr_ratio(x), about -1/x for very negative x, where the sum would cancel."""

    def fdiff(self, argindex: int = 1) -> Any:
        x = self.args[0]
        return 1 - v_ndtr_ratio(x) * v_ndtr_excess(x)


class v_betaln(RealFunction):  # noqa: N801
    def fdiff(self, argindex: int = 1) -> Any:
        a, b = self.args
        return v_digamma(a if argindex == 1 else b) - v_digamma(a + b)


def gamma_density(a: Any, x: Any) -> Any:
    """x**(a - 1)*exp(-x)/gamma(a), the derivative of gammainc(a, x) in x (8.8.13)."""
    return sp.exp(v_xlogy(a - 1, x) - x - v_lgamma(a))


class v_gammainc(RealFunction):  # noqa: N801
    def fdiff(self, argindex: int = 1) -> Any:
        a, x = self.args
        return v_gammainc_da(a, x) if argindex == 1 else gamma_density(a, x)


class v_gammaincc(RealFunction):  # noqa: N801
    def fdiff(self, argindex: int = 1) -> Any:
        a, x = self.args
        return -v_gammainc_da(a, x) if argindex == 1 else -gamma_density(a, x)


class v_gammainc_da(RealFunction):  # noqa: N801
    """The derivative of gammainc(a, x) in a; 0 at x = 0."""

    def fdiff(self, argindex: int = 1) -> Any:
        a, x = self.args
        if argindex == 1:
            raise NoDerivative("the second derivative of gammainc and gammaincc by their first argument")
        inside = gamma_density(a, x) * (sp.log(x) - v_digamma(a))
        return v_where(OPAQUE["gt"](x, 0), inside, sp.Integer(0))


class v_gamma_draw(RealFunction):  # noqa: N801
    """A draw z of a gamma law of shape a, its second argument, as a function of a: gammainc(a, z) stays what it is.

    Implicit reparameterisation (Figurnov et al. 2018).
    """

    def fdiff(self, argindex: int = 1) -> Any:
        return v_gamma_slope(self.args[0], self) if argindex == 1 else sp.Integer(1)


class v_gamma_slope(RealFunction):  # noqa: N801
    """The derivative of a draw of a gamma law by its shape, at equal probability."""

    def fdiff(self, argindex: int = 1) -> Any:
        raise NoDerivative("the second derivative of a draw by the shape of a gamma law")


class v_measure(RealFunction):  # noqa: N801
    """`(p - q)*c`, where q is p held and c what its derivative by p is times: of an estimate of whatever the last argument is.

    It has the first derivatives of an estimate, and no second.
    """

    def fdiff(self, argindex: int = 1) -> Any:
        p, _, c, of = self.args
        return v_measured(p, c, of) if argindex == 1 else sp.Integer(0)


class v_measured(RealFunction):  # noqa: N801
    """`c`, the derivative of a `measure`."""

    def fdiff(self, argindex: int = 1) -> Any:
        raise NoDerivative("the second derivative of an expectation with a measure-valued estimator")


class v_i0e(RealFunction):  # noqa: N801
    def fdiff(self, argindex: int = 1) -> Any:
        x = self.args[0]
        return v_i1e(x) - OPAQUE["sign"](x) * v_i0e(x)


class v_i1e(RealFunction):  # noqa: N801
    def fdiff(self, argindex: int = 1) -> Any:
        x = self.args[0]
        return v_i0e(x) - v_bessel_ratio(1, x) - OPAQUE["sign"](x) * v_i1e(x)


class v_bessel_ratio(RealFunction):  # noqa: N801
    """exp(-abs(x))*In(x)/x**n for a literal n, finite at 0 (10.29.4)."""

    def fdiff(self, argindex: int = 2) -> Any:
        n, x = self.args
        return x * v_bessel_ratio(n + 1, x) - OPAQUE["sign"](x) * v_bessel_ratio(n, x)


SPECIAL: dict[str, type[Any]] = {
    "asin": v_asin,
    "acos": v_acos,
    "asinh": v_asinh,
    "acosh": v_acosh,
    "atanh": v_atanh,
    "erfinv": v_erfinv,
    "ndtr": v_ndtr,
    "log_ndtr": v_log_ndtr,
    "ndtr_ratio": v_ndtr_ratio,
    "ndtr_excess": v_ndtr_excess,
    "betaln": v_betaln,
    "gammainc": v_gammainc,
    "gammaincc": v_gammaincc,
    "gammainc_da": v_gammainc_da,
    "gamma_draw": v_gamma_draw,
    "gamma_slope": v_gamma_slope,
    "measure": v_measure,
    "measured": v_measured,
    "i0e": v_i0e,
    "i1e": v_i1e,
    "bessel_ratio": v_bessel_ratio,
}
