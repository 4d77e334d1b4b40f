"""VS0904: a logarithm, a root, a power or a quotient of what may lie outside of its domain.

Without `pedantic` only what is surely wrong for some value of its indices; with it, whatever cannot be shown to be right.
"""

from __future__ import annotations

from collections.abc import Callable

from vspec.compiler.language.bodies import bodies
from vspec.compiler.language.expr import Element, Expr, IndexValue, Number, Pointwise
from vspec.compiler.language.lint.ranges import Range, Ranges
from vspec.compiler.language.lint.report import Report
from vspec.compiler.language.lint.walk import bare
from vspec.compiler.language.spec import Spec

Of = Callable[[Expr], Range]


def domains(spec: Spec, ranges: Ranges, report: Report) -> None:
    """Look at every operation with a domain."""
    rule = _Rule(spec, report)
    ranges.visit = rule.visit
    for body in bodies(spec):
        ranges.of(body.expr)
    ranges.visit = None


class _Rule:
    """Judges one operation at a time, by the ranges of its arguments at its place."""

    def __init__(self, spec: Spec, report: Report) -> None:
        self.spec, self.report = spec, report

    def visit(self, expr: Expr, of: Of) -> None:
        """Judge an expression."""
        if not isinstance(expr, Pointwise):
            return
        op = expr.op
        if op in ("log", "xlogy"):
            self.positive(expr.args[-1], of, "the logarithm", expr)
        elif op == "sqrt":
            self.nonnegative(expr.args[0], of, "the square root", expr)
        elif op == "pow":
            self.power(expr, of)
        elif op in ("div", "mod", "floordiv"):
            self.divisor(expr.args[1], of, expr)
        elif op == "log1p":
            found = of(expr.args[0])
            self.judge(expr, expr.args[0], found.high <= -1, found.low > -1, "log1p", "above -1", "never above -1")
        elif op in ("asin", "acos"):
            found = of(expr.args[0])
            wrong = found.high < -1 or found.low > 1
            sound = found.low >= -1 and found.high <= 1
            self.judge(expr, expr.args[0], wrong, sound, op, "between -1 and 1", "never between -1 and 1")

    def positive(self, arg: Expr, of: Of, what: str, expr: Expr) -> None:
        """An argument that must be above zero."""
        found = of(arg)
        if found.zero and found.low == 0 and _starts_at_zero(arg):
            self.zero_index(expr, arg, what)
            return
        self.judge(expr, arg, found.high <= 0, found.positive, what, "positive", "never positive")

    def nonnegative(self, arg: Expr, of: Of, what: str, expr: Expr) -> None:
        """An argument that must not be below zero."""
        found = of(arg)
        wrong = found.high < 0 or (found.high == 0 and not found.zero)
        self.judge(expr, arg, wrong, found.nonnegative, what, "at least 0", "always negative")

    def divisor(self, arg: Expr, of: Of, expr: Expr) -> None:
        """An argument that must not be zero."""
        found = of(arg)
        if found.zero and found.low == 0 and _starts_at_zero(arg):
            self.zero_index(expr, arg, "the quotient")
            return
        self.judge(expr, arg, found.point == 0, not found.zero, "the quotient", "other than 0", "always 0")

    def power(self, expr: Pointwise, of: Of) -> None:
        """A power: a fractional one needs a base that is not negative, a negative one a base that is not zero."""
        base, exponent = expr.args
        power = of(exponent)
        whole = bare(exponent).dtype == "integer" or (power.point is not None and float(power.point).is_integer())
        if not whole:
            if power.low >= 0 or power.positive:
                self.nonnegative(base, of, "a fractional power", expr)
            else:
                self.positive(base, of, "a fractional power", expr)
        elif power.high < 0:
            self.divisor(base, of, expr)

    def judge(self, expr: Expr, arg: Expr, wrong: bool, sound: bool, what: str, must: str, why: str) -> None:
        """Say that an argument is outside of the domain, or that it may be."""
        shown = self.report.quote(arg.span)
        whole = self.report.quote(expr.span)
        if wrong:
            tip = "a divisor is not 0" if what == "the quotient" else f"the argument of {what} is {must}"
            self.report.warn("VS0904", f"{whole} is not a finite number: {shown} is {why}", arg.span, label=f"{why} here",
                             help=tip)  # fmt: skip
        elif not sound:
            part = "divides by" if what == "the quotient" else f"{what} takes"
            self.report.warn("VS0904", f"{part} {shown}, which is not surely {must}", arg.span,
                             label=f"not surely {must}", help=self.tips(arg, must), pedantic=True)  # fmt: skip

    def zero_index(self, expr: Expr, arg: Expr, what: str) -> None:
        """An index counts from 0, where this is infinite."""
        shown = self.report.quote(expr.span)
        self.report.warn("VS0904", f"{shown} is infinite at its first index: indices count from 0", arg.span,
                         label="0 at the first index", help="add 1 to count from 1")  # fmt: skip

    def tips(self, arg: Expr, must: str) -> tuple[str, ...]:
        """What to write so that the argument is in the domain."""
        inner = bare(arg)
        tips = [f"guard it, {_GUARDS.get(must, 'a/b if b != 0 else 0')}; or say that it is: '# vspec: allow VS0904'"]
        if isinstance(inner, Element) and inner.name in self.spec.params and must != "between -1 and 1":
            tips.insert(0, f"declare the param with domain: positive, if '{inner.name}' is meant to be")
        elif isinstance(inner, Element) and inner.name in self.spec.data and self.spec.data[inner.name].values is None:
            tips.insert(0, f"if the values of '{inner.name}' are few, list them: in: [...]")
        return tuple(tips)


_GUARDS = {
    "positive": "log(max(e, 1e-12)) or log(e) if e > 0 else 0",
    "at least 0": "sqrt(max(e, 0)) or sqrt(e) if e > 0 else 0",
    "above -1": "log1p(max(e, -1 + 1e-12))",
    "between -1 and 1": "clip(e, -1, 1)",
}


def _starts_at_zero(arg: Expr) -> bool:
    """Whether an expression is an index, or a multiple of one."""
    inner = bare(arg)
    while isinstance(inner, Pointwise) and inner.op in ("neg", "mul"):
        rest = [a for a in inner.args if not isinstance(bare(a), Number)]
        if len(rest) != 1:
            return False
        inner = bare(rest[0])
    return isinstance(inner, IndexValue)
