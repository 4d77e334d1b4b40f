"""The sign of a kernel's value where its form tells it: `1 + x**2` is positive, `abs(x)` is not negative."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum

from vspec.compiler.graph.kernel import Tree, num
from vspec.compiler.graph.node import Kind, Node

DEPTH = 4
"""How many nodes deep a sign is sought."""


class Sign(IntEnum):
    """What is known of a sign."""

    UNKNOWN = 0
    NOT_NEGATIVE = 1
    POSITIVE = 2


Known = Mapping[str, Sign]
"""The signs of arguments of the program, by name."""

NOTHING: Known = {}


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of arguments: their signs, those that are positive semidefinite over their last two axes, and the dims
    that params have; and the precision of what is computed with them. `likely`: the signs that constants have as long as none
    is set to anything else."""

    signs: Known = field(default_factory=dict)
    psd: frozenset[str] = frozenset()
    unknowns: frozenset[str] = frozenset()
    precision: str = "float32"
    likely: Known = field(default_factory=dict)


def is_positive(tree: Tree, inputs: Sequence[Node]) -> bool:
    """Whether a kernel over some operands is positive by its form. Underflow is left out of account."""
    return sign(tree, inputs, DEPTH) is Sign.POSITIVE


def sign(tree: Tree, inputs: Sequence[Node], depth: int, given: Known = NOTHING) -> Sign:
    """What the form of a kernel tells of its sign."""
    op = tree[0]
    if op == "x":
        return sign_of(inputs[tree[1]], depth, given)
    if op == "num":
        return Sign.POSITIVE if tree[1] > 0 else Sign.NOT_NEGATIVE if tree[1] == 0 else Sign.UNKNOWN
    if op in ("exp", "cosh"):
        return Sign.POSITIVE
    if op in ("square", "abs") or (op == "pow" and tree[2][0] == "num" and tree[2][1] in (2, 4, 6)):
        return max(Sign.NOT_NEGATIVE, sign(tree[1], inputs, depth, given))
    if op in ("relu", "sigmoid", "softplus", "erfc", "ndtr", "i0e"):
        return Sign.NOT_NEGATIVE
    known = [sign(c, inputs, depth, given) for c in (tree[2:] if op == "where" else tree[1:])]
    if op == "add":
        return max(known) if min(known) > Sign.UNKNOWN else Sign.UNKNOWN
    if op in ("mul", "where"):
        return min(known)
    if op == "div":
        return known[0] if known[1] is Sign.POSITIVE else Sign.UNKNOWN
    if op in ("real", "sqrt"):
        return known[0]
    if op == "pow":
        return Sign.POSITIVE if known[0] is Sign.POSITIVE else Sign.UNKNOWN
    if op == "maximum":
        return max(known)
    return min(known) if op == "minimum" else Sign.UNKNOWN


def sign_of(x: Node, depth: int = DEPTH, known: Known = NOTHING) -> Sign:
    """What the form of a node tells of its sign."""
    if x.dtype == "boolean":
        return Sign.NOT_NEGATIVE
    if x.kind is Kind.INPUT:
        return known.get(str(x.attrs[0]), Sign.UNKNOWN)
    if x.kind is Kind.CONST and x.op == "size":
        return Sign.POSITIVE
    if x.kind is Kind.CONST and x.op == "number":
        return sign(num(x.attrs[0]), (), depth)
    if depth == 0:
        return Sign.UNKNOWN
    if x.kind is Kind.MAP:
        return sign(x.attrs[0].tree, x.inputs, depth - 1, known)
    if x.kind is Kind.WINDOW and x.op == "shift" and x.attrs[2] == "zero":
        return min(Sign.NOT_NEGATIVE, sign_of(x.inputs[0], depth - 1, known))
    if x.kind in (Kind.REINDEX, Kind.STOP, Kind.WINDOW, Kind.GATHER) or (x.kind is Kind.REDUCE and x.op in _KEEP):
        return sign_of(x.inputs[0], depth - 1, known)
    if x.kind is Kind.CONTRACT:
        return min(sign_of(i, depth - 1, known) for i in x.inputs)
    return Sign.UNKNOWN


_KEEP = frozenset({"sum", "prod", "max", "min"})
