"""Sums that depend on nothing but numbers, indices and sizes that are known: they are computed once, by the compiler.

Only small results of bounded work are: a literal that fills a page is harder to read than its formula, and a build is no place
for long computations. What stays a formula is computed by XLA when it compiles the program.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from vspec.compiler.graph.builder import Builder
from vspec.compiler.graph.kernel import Tree
from vspec.compiler.graph.node import Axis, Kind, Node

# A result has at most this many elements, what it is made of at most these; less work than this is left to the program.
SMALL, LARGEST, LEAST = 8, 100_000, 64

Array = np.ndarray[Any, Any]

# Exact for whole numbers, and within rounding what JAX computes in double precision.
OPERATIONS: Mapping[str, Callable[..., Any]] = {
    "add": lambda *x: sum(x[1:], x[0]),
    "sub": np.subtract,
    "mul": lambda *x: math.prod(x[1:], start=x[0]),
    "div": np.true_divide,
    "neg": np.negative,
    "abs": np.abs,
    "square": np.square,
    "sqrt": np.sqrt,
    "exp": np.exp,
    "log": np.log,
    "sin": np.sin,
    "cos": np.cos,
    "maximum": np.maximum,
    "minimum": np.minimum,
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
    "eq": np.equal,
    "ne": np.not_equal,
    "and": np.logical_and,
    "or": np.logical_or,
    "not": np.logical_not,
    "where": np.where,
    "real": lambda x: np.asarray(x, np.float64),
}
REDUCTIONS: Mapping[str, Callable[..., Any]] = {"sum": np.sum, "prod": np.prod, "max": np.max, "min": np.min}
KINDS = frozenset({Kind.CONST, Kind.INDEX, Kind.MAP, Kind.REDUCE, Kind.CONTRACT, Kind.REINDEX})


class Literals:
    """The values of nodes that nothing but the spec decides, each computed when it is first asked for."""

    def __init__(self, dims: Mapping[str, Any]) -> None:
        self.dims = dims
        self._closed: dict[int, bool] = {}
        self._values: dict[int, Array | None] = {}

    def of(self, b: Builder, node: Node) -> Node | None:
        """A literal in the place of a sum, None where there is none or it is better left as it is."""
        if node.kind not in (Kind.REDUCE, Kind.CONTRACT) or not self.closed(node) or self.count(node.axes) > SMALL:
            return None
        if max(self.count(x.axes) for x in node.inputs) < LEAST:
            return None
        value = self.value(node)
        if value is None or not np.all(np.isfinite(value)):
            return None
        if node.dtype == "integer" and np.any(np.abs(value) >= 2**31):
            return None
        plain = value.tolist()
        if not node.axes:
            return b.number(plain, node.dtype)
        return b.array(_tuples(plain), node.axes, node.dtype)

    def count(self, axes: tuple[Axis, ...]) -> float:
        """How many elements; infinitely many where a size is not known."""
        sizes = [self.dims.get(a.dim) for a in axes]
        return math.prod(n for n in sizes if isinstance(n, int)) if all(isinstance(n, int) for n in sizes) else math.inf

    def closed(self, node: Node) -> bool:
        """Whether a node reads no argument, and neither it nor what it is made of is large."""
        found = self._closed.get(node.uid)
        if found is None:
            literal = (
                node.kind is not Kind.CONST
                or node.op in ("number", "array")
                or isinstance(self.dims.get(node.attrs[0]), int)
            )
            index = node.kind is not Kind.INDEX or node.op in ("value", "delta")
            own = node.kind in KINDS and literal and index and node.dtype in ("real", "integer", "boolean")
            found = own and self.count(node.axes) <= LARGEST and all(self.closed(x) for x in node.inputs)
            self._closed[node.uid] = found
        return found

    def value(self, node: Node) -> Array | None:
        """The array with the axes of the node in their order; None where an operation is none of those above."""
        if node.uid not in self._values:
            with np.errstate(all="ignore"):
                made = self._made(node, [self.value(x) for x in node.inputs])
            kind = {"real": np.float64, "integer": np.int64, "boolean": np.bool_}[node.dtype]
            self._values[node.uid] = None if made is None else np.asarray(made).astype(kind)
        return self._values[node.uid]

    def _made(self, node: Node, inputs: list[Array | None]) -> Any:
        known = [x for x in inputs if x is not None]
        if len(known) < len(inputs):
            return None
        shape = tuple(int(self.count((a,))) for a in node.axes)
        if node.kind is Kind.CONST:
            return self.dims[node.attrs[0]] if node.op == "size" else node.attrs[0]
        if node.kind is Kind.INDEX:
            return np.arange(shape[0]) if node.op == "value" else np.eye(shape[0], shape[1])
        if node.kind is Kind.REINDEX:
            (x,) = known
            letters = {n: k for k, n in enumerate(dict.fromkeys((*node.attrs[0], *node.names)))}
            kept = [n for n in node.names if n in node.attrs[0]]
            taken = np.einsum(x, [letters[n] for n in node.attrs[0]], [letters[n] for n in kept])
            return np.broadcast_to(taken[tuple(slice(None) if n in kept else None for n in node.names)], shape)
        if node.kind is Kind.CONTRACT:
            letters = {n: k for k, n in enumerate(dict.fromkeys(n for f in node.inputs for n in f.names))}
            operands: list[Any] = []
            for factor, array in zip(node.inputs, known, strict=True):
                operands += [array, [letters[n] for n in factor.names]]
            return np.einsum(*operands, [letters[n] for n in node.names])
        if node.kind is Kind.REDUCE:
            reduce = REDUCTIONS.get(node.op)
            (operand,) = node.inputs
            over = tuple(operand.names.index(n) for n in node.attrs[0])
            rest = [n for n in operand.names if n not in node.attrs[0]]
            if reduce is None or tuple(rest) != node.names:
                return None
            return reduce(known[0], axis=over)
        aligned = [_aligned(x, old.names, node.names) for x, old in zip(known, node.inputs, strict=True)]
        found = _evaluated(node.attrs[0].tree, aligned)
        return None if found is None else np.broadcast_to(found, shape)


def _evaluated(tree: Tree, slots: list[Array]) -> Any:
    """The value of a kernel; None where it has another operation."""
    if tree[0] == "x":
        return slots[tree[1]]
    if tree[0] == "num":
        return float(tree[1]) if not isinstance(tree[1], bool | int) else tree[1]
    parts = [_evaluated(t, slots) for t in tree[1:]]
    if any(p is None for p in parts):
        return None
    if tree[0] == "pow":
        # As in the language: a whole power of whole numbers is whole only where the exponent is a literal.
        whole = isinstance(parts[1], int) and parts[1] >= 0
        return np.power(parts[0], parts[1]) if whole else np.power(np.asarray(parts[0], np.float64), parts[1])
    operation = OPERATIONS.get(tree[0])
    return None if operation is None else operation(*parts)


def _aligned(x: Array, names: tuple[str, ...], wanted: tuple[str, ...]) -> Array:
    moved = np.transpose(x, [names.index(n) for n in wanted if n in names])
    return moved[tuple(slice(None) if n in names else None for n in wanted)]


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
