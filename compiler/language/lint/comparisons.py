"""VS0905, VS0908: reals compared exactly, and claims that cannot fail or cannot hold."""

from __future__ import annotations

from collections.abc import Iterator

from vspec.compiler.language.bodies import bodies, equations
from vspec.compiler.language.expr import Along, Delta, Element, Expr, Number, Pointwise, Reduction, Stop
from vspec.compiler.language.lint.ranges import Range, Ranges
from vspec.compiler.language.lint.report import Report
from vspec.compiler.language.lint.walk import KNOWN, alike
from vspec.compiler.language.spec import Claim, Spec
from vspec.compiler.language.substitute import elements, nodes

_SIGNS = {"lt": "<", "le": "<=", "gt": ">", "ge": ">=", "eq": "==", "ne": "!="}
_KEEPS = frozenset(
    {"neg", "add", "sub", "mul", "abs", "square", "maximum", "minimum", "clip", "relu", "mod", "floordiv"}
)
_MAKES = frozenset({"sign", "floor", "ceil", "round"})


class Exact:
    """Which reals are known exactly, since they are whole numbers or taken from a list."""

    def __init__(self, spec: Spec) -> None:
        self.names = {d.name for d in spec.data.values() if d.values is not None}
        self.names |= {c.name for c in spec.constants.values()}
        for body in equations(spec):
            if body.kind == "definition" and self.exact(body.expr):
                self.names.add(body.name)

    def exact(self, expr: Expr) -> bool:
        """Whether an expression is compared without rounding."""
        stack = [expr]
        while stack:
            top = stack.pop()
            if top.dtype in ("integer", "boolean") or isinstance(top, Number | Delta):
                continue
            if isinstance(top, Element):
                if top.name not in self.names:
                    return False
            elif isinstance(top, Pointwise):
                if top.op == "where":
                    stack.extend(top.args[1:])
                elif top.op in _KEEPS or top.op == "real":
                    stack.extend(top.args)
                elif top.op not in _MAKES:
                    return False
            elif isinstance(top, Reduction):
                if top.op not in ("sum", "prod", "max", "min"):
                    return False
                stack.append(top.body)
            elif isinstance(top, Along):
                if top.op not in ("cumsum", "cumprod"):
                    return False
                stack.append(top.body)
            elif isinstance(top, Stop):
                stack.append(top.body)
            else:
                return False
        return True


def comparisons(spec: Spec, exact: Exact, report: Report) -> None:
    """Reals that are compared with == or != in a condition."""
    claimed = {id(part) for claim in spec.claims.values() for part in _conditions(claim.that)}
    for body in bodies(spec):
        for node in nodes(body.expr):
            if not isinstance(node, Pointwise) or node.op not in ("eq", "ne") or id(node) in claimed:
                continue
            if not all(exact.exact(a) for a in node.args):
                report.warn(
                    "VS0905",
                    f"{report.quote(node.span)} compares reals exactly, and rounding changes the last digits",
                    node.span,
                    label=f"'{_SIGNS[node.op]}' of reals",
                    help="compare with a tolerance: abs(a - b) < 1e-6",
                    pedantic=True,
                )


def _conditions(expr: Expr | None) -> Iterator[Expr]:
    """The conditions that a claim joins by 'and'."""
    stack = [expr] if expr is not None else []
    while stack:
        top = stack.pop()
        if isinstance(top, Pointwise) and top.op == "and":
            stack.extend(reversed(top.args))
        else:
            yield top


def claims(spec: Spec, ranges: Ranges, exact: Exact, report: Report) -> None:
    """Claims that say nothing."""
    for claim in spec.claims.values():
        if claim.left is not None and claim.right is not None:
            _identity(claim, claim.left, claim.right, report)
        for condition in _conditions(claim.that):
            if isinstance(condition, Number):
                always = "holds" if condition.value else "fails"
                report.warn("VS0908", f"the claim '{claim.name}' always {always}", condition.span,
                            label=f"'{str(bool(condition.value)).lower()}'")  # fmt: skip
            elif isinstance(condition, Pointwise) and condition.op in _SIGNS:
                _condition(claim, condition, ranges, exact, report)


def _identity(claim: Claim, left: Expr, right: Expr, report: Report) -> None:
    if alike(left, right):
        report.warn("VS0908", f"the two sides of the identity '{claim.name}' are the same expression",
                    left.span.to(right.span) if left.span <= right.span else claim.span, label="cannot fail",
                    help="write one side in another way, such as by the formula that is to be confirmed")  # fmt: skip


def _condition(claim: Claim, condition: Pointwise, ranges: Ranges, exact: Exact, report: Report) -> None:
    left, right = condition.args
    span = condition.span
    if any(not isinstance(n, KNOWN) for n in nodes(condition)):
        return
    if alike(left, right):
        holds = condition.op in ("le", "ge", "eq")
        report.warn("VS0908", f"the claim '{claim.name}' always {'holds' if holds else 'fails'}: both sides are the same "
                    "expression", span, label="nothing is claimed" if holds else "cannot hold")  # fmt: skip
        return
    verdict = _decided(condition.op, ranges.of(left), ranges.of(right))
    if verdict is not None:
        literal = next(elements(condition), None) is None
        shown = report.quote(span)
        report.warn("VS0908", f"the claim '{claim.name}' always {'holds' if verdict else 'fails'}", span,
                    label=f"{shown} is {str(verdict).lower()} whatever the run gives",
                    help="compare with a figure that the run may miss" if verdict else "look at the sign of the bound",
                    pedantic=verdict and not literal)  # fmt: skip
    elif condition.op == "eq" and not (exact.exact(left) and exact.exact(right)):
        report.warn("VS0908", f"the claim '{claim.name}' compares reals exactly", span,
                    label="rounding decides whether it holds",
                    help=("allow for rounding: abs(a - b) < 1e-6", "or claim an identity: with a tolerance"))  # fmt: skip


def _decided(op: str, a: Range, b: Range) -> bool | None:
    """Whether a comparison has one outcome for all values of its sides; None if it has both."""
    if op in ("gt", "ge"):
        return _decided("lt" if op == "gt" else "le", b, a)
    if op == "le":
        found = _decided("lt", b, a)
        return None if found is None else not found
    if op == "lt":
        if a.high < b.low or (a.high <= 0 <= b.low and not (a.zero and b.zero)):
            return True
        return False if a.low >= b.high else None
    apart = a.high < b.low or b.high < a.low
    same = a.point is not None and a.point == b.point
    return (op == "ne") if apart else (op == "eq") if same else None
