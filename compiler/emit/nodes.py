"""The table of emitters: how each kind of node is written. A region's operations are entries of their own."""

from __future__ import annotations

from collections.abc import Callable

from vspec.compiler.emit import access, arrays, calls, cumulative, draws, join, linear, loops, softmax
from vspec.compiler.emit.layout import Value
from vspec.compiler.emit.scope import EmissionError, Scope
from vspec.compiler.graph.node import Kind, Node

Emitter = Callable[[Scope, Node], Value]


def emit_input(scope: Scope, node: Node) -> Value:
    """Arguments have their values before the first line; any other input is nobody's."""
    raise EmissionError(f"{node!r} is no argument of this function")


def emit_logsumexp(scope: Scope, node: Node) -> Value:
    """A reduction as any other, unless shares are computed beside it."""
    return softmax.emit_total(scope, node) or arrays.emit_reduce(scope, node)


def emit_unsupported(scope: Scope, node: Node) -> Value:
    """A kind that the calculus must have replaced by others."""
    raise EmissionError(f"no JAX text for {node.kind}.{node.op}")


EMITTERS: dict[tuple[Kind, str], Emitter] = {
    (Kind.INPUT, ""): emit_input,
    (Kind.CONST, "number"): arrays.emit_number,
    (Kind.CONST, "array"): arrays.emit_array,
    (Kind.CONST, "size"): arrays.emit_size,
    (Kind.INDEX, "value"): arrays.emit_index,
    (Kind.INDEX, "delta"): arrays.emit_delta,
    (Kind.INDEX, "part"): arrays.emit_part,
    (Kind.INDEX, "pair"): arrays.emit_pair,
    (Kind.MAP, ""): arrays.emit_map,
    (Kind.REDUCE, ""): arrays.emit_reduce,
    (Kind.REDUCE, "logsumexp"): emit_logsumexp,
    (Kind.CONTRACT, ""): arrays.emit_contract,
    (Kind.REINDEX, ""): arrays.emit_reindex,
    (Kind.WINDOW, "affine"): access.emit_window,
    (Kind.WINDOW, "at"): access.emit_at,
    (Kind.WINDOW, "shift"): access.emit_shift,
    (Kind.WINDOW, "flip"): access.emit_flip,
    (Kind.GATHER, ""): access.emit_gather,
    (Kind.SCATTER, "affine"): access.emit_scatter_window,
    (Kind.SCATTER, "at"): access.emit_scatter_at,
    (Kind.SCATTER, "gather"): access.emit_scatter_gather,
    (Kind.CUMULATE, "sum"): cumulative.emit_running,
    (Kind.CUMULATE, "prod"): cumulative.emit_running,
    (Kind.CUMULATE, "linear"): cumulative.emit_linear,
    (Kind.CUMULATE, "pivots"): cumulative.emit_linear,
    (Kind.CUMULATE, "argsort"): cumulative.emit_argsort,
    (Kind.CUMULATE, "softmax"): softmax.emit_softmax,
    (Kind.CONCAT, "stack"): join.emit_stack,
    (Kind.CONCAT, "part"): join.emit_part,
    (Kind.LINALG, ""): linear.emit_linalg,
    (Kind.RANDOM, "key"): draws.emit_key,
    (Kind.RANDOM, "fold"): draws.emit_fold,
    (Kind.RANDOM, ""): draws.emit_draw,
    (Kind.CALL, ""): calls.emit_call,
    (Kind.REGION, "scan"): loops.emit_region,
    (Kind.REGION, "solve"): loops.emit_region,
    (Kind.REGION, "vjp"): loops.emit_region,
    (Kind.REGION, "blocks"): loops.emit_region,
    (Kind.REGION, "either"): loops.emit_region,
    (Kind.ITEM, ""): loops.emit_item,
    (Kind.STOP, ""): arrays.emit_stop,
}


def render(scope: Scope, node: Node) -> Value:
    """The value of a node whose inputs have been visited."""
    emitter = EMITTERS.get((node.kind, node.op)) or EMITTERS.get((node.kind, ""), emit_unsupported)
    return emitter(scope, node)
