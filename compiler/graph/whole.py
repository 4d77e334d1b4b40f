"""Which values a whole number can have where they are few, and tests that hold for all of them or for none.

A coin shows 0 or 1: of `x == 0 or x == 1` nothing is left, and a density that is -inf elsewhere is a plain formula.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from itertools import product
from math import prod
from typing import Any

from vspec.compiler.graph.builder import Builder
from vspec.compiler.graph.kernel import Tree, slots
from vspec.compiler.graph.node import Axis, Kind, Node

FEW = 64
DEPTH = 8

_DRAWS: Mapping[str, frozenset[int]] = {"bernoulli": frozenset({0, 1}), "rademacher": frozenset({-1, 1})}

_TESTS: Mapping[str, Callable[..., Any]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "lt": operator.lt,
    "le": operator.le,
    "gt": operator.gt,
    "ge": operator.ge,
    "and": lambda *a: all(a),
    "or": lambda *a: any(a),
    "not": operator.not_,
}
_NUMBERS: Mapping[str, Callable[..., Any]] = {
    "add": lambda *a: sum(a),
    "mul": lambda *a: prod(a),
    "sub": operator.sub,
    "neg": operator.neg,
    "abs": abs,
    "real": int,
    "integer": int,
    "floor": int,
    "mod": operator.mod,
    "floordiv": operator.floordiv,
}


def decided(b: Builder, node: Node) -> Node | None:
    """A rule of the builder: a test that is the same for all values of its operands, and a choice that such a test makes."""
    if node.kind is not Kind.MAP:
        return None
    tree: Tree = node.attrs[0].tree
    if tree[0] in _TESTS:
        found = {bool(x) for x in _outcomes(b, tree, node.inputs, DEPTH) or ()}
        return b.number(found.pop()) if len(found) == 1 else None
    if tree[0] == "where":
        condition = tree[1]
        if condition[0] == "num":
            found = {bool(condition[1])}
        elif condition[0] in _TESTS:
            found = {bool(x) for x in _outcomes(b, condition, node.inputs, DEPTH) or ()}
        else:
            return None
        if len(found) == 1:
            chosen = b.map(tree[2 if found.pop() else 3], node.inputs, node.dtype)
            if chosen.dtype != node.dtype:
                chosen = b.map((node.dtype, ("x", 0)), [chosen], node.dtype)
            return b.order(chosen, node.axes)
    return None


def values_of(b: Builder, x: Node, depth: int = DEPTH) -> frozenset[int] | None:
    """The values that the elements of a node can have, all of them whole; None where they are many or unknown."""
    if x.uid in b.few:
        return b.few[x.uid]
    if depth == 0:
        return None
    if x.kind is Kind.CONST and x.op == "number" and isinstance(x.attrs[0], int):
        return frozenset({int(x.attrs[0])})
    if x.kind is Kind.INDEX and x.op == "value":
        return _below(b, x.axes[0])
    if x.kind is Kind.INDEX and x.op == "part":
        size = b.dims.get(x.attrs[0])
        return frozenset(range(size)) if isinstance(size, int) and size <= FEW else None
    if x.kind is Kind.RANDOM:
        return _DRAWS.get(x.op)
    if x.kind is Kind.MAP:
        return _outcomes(b, x.attrs[0].tree, x.inputs, depth - 1)
    if x.kind in (Kind.STOP, Kind.REINDEX, Kind.GATHER) or (x.kind is Kind.WINDOW and x.op != "shift"):
        return values_of(b, x.inputs[0], depth - 1)
    return None


def _below(b: Builder, axis: Axis) -> frozenset[int] | None:
    size = b.dims.get(axis.dim)
    return frozenset(range(size)) if isinstance(size, int) and size <= FEW else None


def _outcomes(b: Builder, tree: Tree, inputs: Sequence[Node], depth: int) -> frozenset[int] | None:
    """The values of a kernel for all values of its operands; None where they are many or unknown."""
    op = tree[0]
    if op in ("real", "integer") and tree[1][0] in _TESTS:
        return frozenset({0, 1})
    if op == "mod" and tree[2][0] == "num" and isinstance(tree[2][1], int) and 0 < tree[2][1] <= FEW:
        return frozenset(range(tree[2][1]))
    if op not in _TESTS and op not in _NUMBERS and op not in ("x", "num"):
        return None
    read = sorted(slots(tree))
    known: list[frozenset[int]] = []
    for k in read:
        found = values_of(b, inputs[k], depth)
        if found is None and inputs[k].dtype == "boolean":
            found = frozenset({0, 1})
        if found is None:
            return None
        known.append(found)
    if prod(map(len, known)) > FEW:
        return None
    try:
        every = {_value(tree, dict(zip(read, given, strict=True))) for given in product(*known)}
    except (KeyError, ZeroDivisionError):
        return None
    return frozenset(int(v) for v in every) if all(v == int(v) for v in every) else None


def _value(tree: Tree, given: Mapping[int, int]) -> Any:
    """The value of a kernel of few operations. Raises KeyError at another one."""
    if tree[0] == "x":
        return given[tree[1]]
    if tree[0] == "num":
        return tree[1]
    rule = _TESTS.get(tree[0]) or _NUMBERS[tree[0]]
    return rule(*(_value(c, given) for c in tree[1:]))
