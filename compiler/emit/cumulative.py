"""Text of CUMULATE nodes: running sums and products, linear recurrences, sorting; and of what is shifted along an axis."""

from __future__ import annotations

from collections.abc import Sequence

from vspec.compiler.emit.layout import Layout, Value, arranged
from vspec.compiler.emit.scope import Scope
from vspec.compiler.emit.text import Text, name
from vspec.compiler.graph.node import Axis, Kind, Node


def emit_running(scope: Scope, node: Node) -> Value:
    """`jnp.cumsum(x, axis=1)`, or from the end."""
    (x,), (axis, reverse) = node.inputs, node.attrs
    value = scope.whole(x)
    text, k = scope.array(value, x.dtype), value.layout.index(axis)
    if _scattered(x):
        # XLA merges a scatter into the window of a running sum or product and takes it wrongly: seen with JAX 0.10.2 on CPU, of
        # an odd number of rows of which only the middle one is set.
        text = name(f"jax.lax.optimization_barrier({text.code})")
    function = {"sum": "cumsum", "prod": "cumprod"}[node.op]
    if reverse:
        return Value(name(f"jax.lax.{function}({text.code}, axis={k}, reverse=True)"), value.layout)
    return Value(name(f"jnp.{function}({text.code}{_axis(value, k)})"), value.layout)


def _scattered(node: Node) -> bool:
    while node.kind in (Kind.REINDEX, Kind.STOP):
        node = node.inputs[0]
    return node.kind is Kind.SCATTER


def emit_argsort(scope: Scope, node: Node) -> Value:
    """`jnp.argsort(x, axis=1, stable=True)`."""
    value = scope.whole(node.inputs[0])
    code = f"{value.text.code}{_axis(value, value.layout.index(node.attrs[0]))}"
    return Value(name(f"jnp.argsort({code}, stable=True)"), value.layout)


def emit_linear(scope: Scope, node: Node) -> Value:
    """`linear_recurrence(factors, terms, axis=0)`, or `pivots`. Elements are joined along the axis, so both have all of it."""
    factors, terms = node.inputs
    axis, reverse = node.attrs
    # In the order of the terms, where they have all axes.
    axes = terms.axes if len(terms.axes) == len(node.axes) else node.axes
    layout = tuple(a.name for a in axes)
    left, right = (_full(scope, x, axes, layout) for x in (factors, terms))
    options = f", axis={layout.index(axis)}" + (", reverse=True" if reverse else "")
    function = "pivots" if node.op == "pivots" else "linear_recurrence"
    return Value(name(f"{function}({left.code}, {right.code}{options})"), layout)


def _full(scope: Scope, x: Node, axes: Sequence[Axis], layout: Layout) -> Text:
    value = scope.broadcast(scope.value(x), axes, x.dtype)
    return scope.array(Value(arranged(value, layout), layout), x.dtype)


def _axis(value: Value, k: int) -> str:
    return f", axis={k}" if len(value.layout) > 1 else ""
