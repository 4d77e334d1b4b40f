"""What a person would not write: terms that are 0, factors that are 1, in a raw tree whose arguments are tidied already."""

from __future__ import annotations

from vspec.compiler.language.raw import Raw, RawCall, RawNumber, RawOp


def number(raw: Raw) -> float | None:
    """The value of a real literal."""
    if isinstance(raw, RawNumber) and not isinstance(raw.value, bool | complex):
        return raw.value
    return None


def tidied(raw: RawOp | RawCall) -> Raw:
    """The node without a neutral argument. Values are not changed, not even those that are no numbers; 0*a stays."""
    if isinstance(raw, RawCall):
        if raw.name == "log" and len(raw.args) == 1 and number(raw.args[0]) == 1:
            return RawNumber(span=raw.span, value=0)
        return raw
    if raw.op == "neg":
        value = number(raw.args[0])
        return RawNumber(span=raw.span, value=-value) if value is not None and value else raw
    if len(raw.args) != 2:
        return raw
    left, right = raw.args
    a, b = number(left), number(right)
    if (raw.op in ("add", "sub") and b == 0) or (raw.op in ("mul", "div", "pow") and b == 1):
        return left
    if (raw.op == "add" and a == 0) or (raw.op == "mul" and a == 1):
        return right
    if raw.op == "sub" and a == 0:
        return tidied(RawOp(span=raw.span, op="neg", args=(right,)))
    return raw
