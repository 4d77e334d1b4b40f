"""Inverses of declared functions of one number, with the logarithms of their slopes.

A body in which the argument stands once is a chain of operations, each a function of the one inside it. Those that are monotone
are undone from the outside in; the slope of the chain is the product of theirs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from vspec.compiler.diagnostics.spans import Span
from vspec.compiler.language.context import Context, Env
from vspec.compiler.language.expr import Block, Expr
from vspec.compiler.language.instances import parsed, placed_raw
from vspec.compiler.language.raw import Raw, RawCall, RawElement, RawName, RawNumber, RawOp, walk


@dataclass(frozen=True, slots=True)
class Rule:
    """A monotone operation: its inverse over the result `y`, the logarithm of its slope over the argument `t`, and the range of
    results, all over the other operand `a`."""

    inverse: str
    slope: str
    range: str = ""


_FUNCTIONS: Mapping[str, Rule] = MappingProxyType(
    {
        "exp": Rule("log(y)", "t", "y > 0"),
        "log": Rule("exp(y)", "-log(t)"),
        "sqrt": Rule("y**2", "-log(4*t)/2", "y > 0"),
        "tanh": Rule("atanh(y)", "2*(log(2) - t - softplus(-2*t))", "abs(y) < 1"),
        "sigmoid": Rule("log(y) - log1p(-y)", "-t - 2*softplus(-t)", "y > 0 and y < 1"),
        "softplus": Rule("y + log(-expm1(-y))", "-softplus(-t)", "y > 0"),
        "sinh": Rule("asinh(y)", "log(cosh(t))"),
        "asinh": Rule("sinh(y)", "-log1p(t**2)/2"),
        "atanh": Rule("tanh(y)", "-log1p(-t**2)"),
        "expm1": Rule("log1p(y)", "t", "y > -1"),
        "log1p": Rule("expm1(y)", "-log1p(t)"),
        "atan": Rule("tan(y)", "-log1p(t**2)", "abs(y) < pi/2"),
    }
)
# By the operation and the place of the argument among its operands.
_OPERATORS: Mapping[tuple[str, int], Rule] = MappingProxyType(
    {
        ("neg", 0): Rule("-y", "0.0"),
        ("add", 0): Rule("y - a", "0.0"),
        ("add", 1): Rule("y - a", "0.0"),
        ("sub", 0): Rule("y + a", "0.0"),
        ("sub", 1): Rule("a - y", "0.0"),
        ("mul", 0): Rule("y/a", "log(abs(a))"),
        ("mul", 1): Rule("y/a", "log(abs(a))"),
        ("div", 0): Rule("y*a", "-log(abs(a))"),
        ("div", 1): Rule("a/y", "log(abs(a)) - 2*log(abs(t))", "y != 0"),
        ("pow", 0): Rule("y**(1/a)", "log(abs(a)) + (a - 1)*log(t)", "y > 0"),
        ("pow", 1): Rule("log(y)/log(a)", "log(abs(log(a))) + t*log(a)", "y > 0"),
    }
)
_ODD = Rule("sign(y)*abs(y)**(1/a)", "log(abs(a)) + (a - 1)*log(abs(t))")
# No name of a spec is one of these.
Y, SOURCE, DENSITY = "<value>", "<source>", "<density>"
KNOWN = ("sums and multiples with what is constant", "powers", *_FUNCTIONS)


@dataclass(frozen=True, slots=True)
class Inverse:
    """A function of one number: `back`, its inverse over y; `slope`, the logarithm of its slope over x; `ranges`, the conditions
    on y under which there is an inverse."""

    back: Raw
    slope: Raw
    ranges: tuple[Raw, ...]

    def inverse(self, ctx: Context, value: Expr, span: Span, env: Env) -> Expr:
        """The number of which a value is the function."""
        return placed_raw(ctx, self.back, {Y: Block(value, ())}, span, env, "transformed")

    def less_slope(self, ctx: Context, density: Expr, source: Expr, span: Span, env: Env) -> Expr:
        """The log-density of the function from that of its argument."""
        raw = RawOp(span=span, op="sub", args=(RawName(span=span, name=DENSITY), self.slope))
        values = {DENSITY: Block(density, ()), SOURCE: Block(source, ())}
        return placed_raw(ctx, raw, values, span, env, "transformed")

    def within(self, ctx: Context, density: Expr, value: Expr, span: Span, env: Env) -> Expr:
        """The log-density, -inf for what is no value of the function."""
        if not self.ranges:
            return density
        condition = self.ranges[0]
        for other in self.ranges[1:]:
            condition = RawOp(span=span, op="and", args=(condition, other))
        outside = RawOp(span=span, op="neg", args=(RawName(span=span, name="inf"),))
        raw = RawOp(span=span, op="where", args=(condition, RawName(span=span, name=DENSITY), outside))
        values = {DENSITY: Block(density, ()), Y: Block(value, ())}
        return placed_raw(ctx, raw, values, span, env, "transformed")


def inverse_of(ctx: Context, name: str, span: Span, env: Env) -> Inverse | None:
    """The inverse of a declared function; None after a mistake (VS0686)."""
    function = ctx.functions[name]
    formal = function.formals[0].name
    why = ""
    if function.body is None or function.network is not None:
        why = "it is no formula"
    elif sum(isinstance(n, RawName) and n.name == formal for n in walk(function.body)) != 1:
        why = f"'{formal}' stands in it more than once, or not at all"
    else:
        found = _chain(function.body, formal)
        if isinstance(found, Inverse):
            return found
        why = found
    ctx.error(
        "VS0686",
        f"the inverse of '{name}' is not found: {why}",
        span,
        env,
        label="a law that is transformed by it",
        help=f"a function that is undone is a chain of {', '.join(KNOWN)}, around its argument",
    )
    return None


def _chain(body: Raw, formal: str) -> Inverse | str:
    """The inverse of a body in which the argument stands once, or why there is none."""
    y: Raw = RawName(span=body.span, name=Y)
    slopes: list[Raw] = []
    ranges: list[Raw] = []
    top = body
    while not (isinstance(top, RawName) and top.name == formal):
        step = _step(top, formal)
        if isinstance(step, str):
            return step
        rule, inner, other = step
        parts = {"y": y, "a": other, "t": _over_x(inner, formal)}
        slopes.append(_put(rule.slope, parts, body.span))
        if rule.range:
            ranges.append(_put(rule.range, parts, body.span))
        y = _put(rule.inverse, parts, body.span)
        top = inner
    slope: Raw = RawNumber(span=body.span, value=0.0)
    for part in slopes:
        if not (isinstance(part, RawNumber) and part.value == 0):
            slope = part if isinstance(slope, RawNumber) else RawOp(span=body.span, op="add", args=(slope, part))
    return Inverse(y, slope, tuple(ranges))


def _step(top: Raw, formal: str) -> tuple[Rule, Raw, Raw] | str:
    """The outermost operation of a chain: its rule, what is inside, and its other operand."""
    args = top.args if isinstance(top, RawOp | RawCall) else ()
    at = next((k for k, a in enumerate(args) if _reads(a, formal)), None)
    if at is None or (isinstance(top, RawCall) and (top.bound is not None or top.keywords or len(args) != 1)):
        return "what is around its argument is no operation on one number"
    inner, others = args[at], [a for k, a in enumerate(args) if k != at]
    other = others[0] if others else inner
    if isinstance(top, RawCall):
        rule = _FUNCTIONS.get(top.name)
        return (rule, inner, other) if rule is not None else f"'{top.name}' is not undone"
    if not isinstance(top, RawOp) or len(args) > 2:
        return "it has a condition"
    if (
        top.op == "pow"
        and at == 0
        and isinstance(other, RawNumber)
        and isinstance(other.value, int)
        and other.value % 2
    ):
        return (_ODD if other.value > 0 else _OPERATORS["pow", 0]), inner, other
    rule = _OPERATORS.get((top.op, at))
    return (rule, inner, other) if rule is not None else f"the operation '{top.op}' is not undone"


def _reads(raw: Raw, formal: str) -> bool:
    return any(isinstance(n, RawName | RawElement) and n.name == formal for n in walk(raw))


def _over_x(raw: Raw, formal: str) -> Raw:
    return _replaced(raw, {formal: RawName(span=raw.span, name=SOURCE)})


def _put(text: str, parts: Mapping[str, Raw], span: Span) -> Raw:
    """A text of the tables with trees in the place of its names."""
    return _replaced(parsed(text), parts, span)


def _replaced(raw: Raw, parts: Mapping[str, Raw], span: Span | None = None) -> Raw:
    at = span if span is not None else raw.span
    if isinstance(raw, RawName):
        return parts.get(raw.name, replace(raw, span=at))
    if isinstance(raw, RawOp):
        return replace(raw, span=at, args=tuple(_replaced(a, parts, span) for a in raw.args))
    if isinstance(raw, RawCall):
        args = tuple(_replaced(a, parts, span) for a in raw.args)
        return replace(raw, span=at, name_span=at if span is not None else raw.name_span, args=args)
    return replace(raw, span=at)
