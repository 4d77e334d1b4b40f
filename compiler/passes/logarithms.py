"""Logarithms in closed form: what a tree is as exp(something), through kernels, sums, renames and gathers.

`logarithm` answers for trees whose logarithm is known without forming their value, such as products, quotients and sums of
exponentials. `split` also takes the exponential out of weighted sums, whose weights may have any sign.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from vspec.compiler.graph.builder import Builder
from vspec.compiler.graph.kernel import Tree, num, slot
from vspec.compiler.graph.node import Axis, Kind, Node
from vspec.compiler.passes.patterns import (
    Factor,
    Scope,
    factors,
    is_num,
    neg,
    number_of,
    operations,
    product,
    terms,
    times,
    total,
)

DEPTH = 6
"""How many operands deep a logarithm is sought: definitions build on each other, but not without end."""

LOWEST = -1e30
"""Stands for the exponent of a term with weight zero; finite, so that no infinity meets a zero."""


class Log(NamedTuple):
    """The logarithm of a tree. `useful` if an exponential was undone to find it."""

    tree: Tree
    useful: bool


def logarithm(scope: Scope, tree: Tree, depth: int = DEPTH) -> Log | None:
    """The logarithm of a tree that is positive by its form; None where that is not seen."""
    op = tree[0]
    if op == "x":
        return _log_of_slot(scope, tree, depth)
    if op == "num":
        return Log(num(math.log(tree[1])), False) if tree[1] > 0 else None
    if op == "exp":
        return Log(tree[1], True)
    if op == "sigmoid":
        return Log(neg(("softplus", neg(tree[1]))), True)
    if op == "ndtr":
        return Log(("log_ndtr", tree[1]), True)
    if op == "erfc":
        # erfc(a) is 2*ndtr(-sqrt(2)*a).
        return Log(("add", ("log_ndtr", times(-math.sqrt(2), tree[1])), num(math.log(2))), True)
    if op == "cosh":
        return Log(("add", tree[1], ("softplus", times(-2, tree[1])), num(-math.log(2))), True)
    if op == "sqrt":
        inner = logarithm(scope, tree[1], depth)
        return Log(("div", inner.tree, num(2)), inner.useful) if inner else None
    if op == "where":
        return _log_of_choice(scope, tree, depth)
    if op in ("add", "sub"):
        return _log_of_sum(scope, tree, depth)
    parts = factors(tree)
    if len(parts) == 1 and parts[0] == (tree, 1):
        return None
    return _log_of_product(scope, parts, depth)


def _log_of_product(scope: Scope, parts: Sequence[Factor], depth: int) -> Log | None:
    value, rest = number_of(parts)
    if not value > 0:
        return None
    found = [(logarithm(scope, t, depth), e) for t, e in rest]
    if any(log is None for log, _ in found):
        return None
    logs = [(1, times(e, log.tree)) for log, e in found if log is not None]
    if value != 1:
        logs.append((1, num(math.log(value))))
    return Log(total(logs), any(log.useful for log, _ in found if log is not None))


def _log_of_choice(scope: Scope, tree: Tree, depth: int) -> Log | None:
    yes, no = (Log(num(-math.inf), False) if is_num(t, 0) else logarithm(scope, t, depth) for t in tree[2:])
    if yes is None or no is None:
        return None
    return Log(("where", tree[1], yes.tree, no.tree), yes.useful or no.useful)


def _log_of_sum(scope: Scope, tree: Tree, depth: int) -> Log | None:
    parts = terms(tree)
    one = [t for s, t in parts if s > 0]
    other = [scope.view(t) for s, t in parts if s < 0]
    if len(one) == len(other) == 1 and is_num(one[0], 1) and other[0][0] == "sigmoid":
        return Log(neg(("softplus", other[0][1])), True)
    if other or len(one) < 2:
        return None
    logs = [logarithm(scope, t, depth) for t in one]
    if any(log is None for log in logs) or not any(log.useful for log in logs if log is not None):
        return None
    known = sorted((log for log in logs if log is not None), key=lambda log: log.useful)
    sum_ = known[0].tree
    for log in known[1:]:
        # log(exp(a) + exp(b)) = a + softplus(b - a): exact from either side, finite at both ends.
        if is_num(sum_, 0):
            sum_ = ("softplus", log.tree)
        else:
            sum_ = ("add", sum_, ("softplus", total([*terms(log.tree), *((-s, t) for s, t in terms(sum_))])))
    return Log(sum_, True)


def _log_of_slot(scope: Scope, tree: Tree, depth: int) -> Log | None:
    x = scope.operand(tree)
    assert x is not None
    found = log_node(scope.b, x, depth)
    return Log(scope.slot(found[0]), found[1]) if found else None


def log_node(b: Builder, x: Node, depth: int = DEPTH) -> tuple[Node, bool] | None:
    """The logarithm of a node as a node with the same axes, and whether an exponential was undone."""
    if depth == 0 or x.dtype == "boolean" or x.op == "hold":
        return None
    if x.kind is Kind.CONST and x.op == "size":
        return b.map(("log", ("real", slot(0))), [x], "real"), False
    if x.kind is Kind.MAP:
        inner = Scope(b, x.inputs)
        log = logarithm(inner, x.attrs[0].tree, depth - 1)
        return (_with_axes(b, inner.node(log.tree), x.axes), log.useful) if log else None
    if x.kind is Kind.WINDOW and x.op == "shift" and x.attrs[2] == "zero":
        # Where it is 0, its logarithm is not.
        return None
    if x.kind in (Kind.REINDEX, Kind.WINDOW, Kind.GATHER, Kind.STOP):
        found = log_node(b, x.inputs[0], depth - 1)
        if found is None or not found[1]:
            return None
        below = b.order(found[0], x.inputs[0].axes)
        return b.make(x.kind, x.op, (below, *x.inputs[1:]), x.axes, "real", x.attrs), True
    if x.kind is Kind.REDUCE and x.op in ("sum", "prod"):
        found = log_node(b, x.inputs[0], depth - 1)
        if found is None or not found[1]:
            return None
        dims = {a.name: a.dim for a in x.inputs[0].axes}
        return b.reduce("logsumexp" if x.op == "sum" else "sum", found[0], x.attrs[0], dims), True
    return None


def _with_axes(b: Builder, x: Node, axes: Sequence[Axis]) -> Node:
    return x if set(x.names) == {a.name for a in axes} else b.order(x, axes)


def is_sum(scope: Scope, tree: Tree) -> bool:
    """Whether a tree is a sum, in a kernel or as a reduction."""
    tree = scope.view(tree)
    x = scope.operand(tree)
    while x is not None and x.kind in (Kind.REINDEX, Kind.STOP) and x.op != "hold":
        x = x.inputs[0]
    return tree[0] in ("add", "cosh") or (x is not None and x.kind is Kind.REDUCE and x.op == "sum")


def split(scope: Scope, tree: Tree) -> tuple[Tree, Tree] | None:
    """(shift, rest) with tree = exp(shift)*rest and rest of moderate size; None where nothing is to be gained."""
    log = logarithm(scope, tree)
    if log is not None:
        return (log.tree, num(1)) if log.useful else None
    x = scope.operand(tree)
    shifted = _shifted(scope.b, x) if x is not None else None
    return (scope.slot(shifted[0]), scope.slot(shifted[1])) if shifted else None


def _shifted(b: Builder, x: Node) -> tuple[Node, Node] | None:
    """For a sum of weights times exponentials: the largest exponent of a weight that is not zero, and the sum without it.

    The value does not depend on the shift, so no derivative need flow through it.
    """
    if x.kind is Kind.REINDEX:
        inner = _shifted(b, x.inputs[0])
        if inner is None:
            return None
        to = dict(zip(x.inputs[0].names, x.attrs[0], strict=True))
        shift, rest = (b.reindex(n, tuple(to[m] for m in n.names)) for n in inner)
        return shift, rest
    opened = open_sum(b, x)
    if opened is None:
        return None
    scope, exponent, weights = opened
    if any(_is_shift(i) for i in scope.inputs):
        return None
    dims = {a.name: a.dim for a in x.inputs[0].axes}
    body, over = x.inputs[0], x.attrs[0]
    e = _with_axes(b, scope.node(exponent), body.axes)
    w = scope.node(product(weights))
    candidates = b.map(("where", ("ne", slot(0), num(0)), slot(1), num(LOWEST)), [w, e], "real")
    top = b.reduce("max", candidates, over, dims)
    shift = b.stop(b.map(("where", ("gt", slot(0), num(LOWEST / 10)), slot(0), num(0.0)), [top], "real"))
    gap: Tree = ("sub", slot(0), slot(1))
    # Terms of weight zero may lie above the shift: held back, they stay finite and are multiplied by zero.
    held: Tree = ("where", ("gt", gap, num(60)), num(60.0), gap)
    rest = b.reduce("sum", b.map(("mul", slot(2), ("exp", held)), [e, shift, w], "real"), over, dims)
    return shift, rest


def _is_shift(x: Node) -> bool:
    # A sum that has its shift already is left alone.
    return _is_stop(x) or (x.kind is Kind.REINDEX and _is_stop(x.inputs[0]))


def _is_stop(x: Node) -> bool:
    return x.kind is Kind.STOP and x.op != "hold"


def open_sum(b: Builder, x: Node) -> tuple[Scope, Tree, list[Factor]] | None:
    """A sum over axes of weights times an exponential: the scope of its body, the exponent, the weights."""
    if x.kind is not Kind.REDUCE or x.op != "sum" or x.inputs[0].kind is not Kind.MAP:
        return None
    scope = Scope(b, x.inputs[0].inputs)
    exponents, weights = exponentials(scope, factors(x.inputs[0].attrs[0].tree))
    if not exponents or not weights:
        return None
    return scope, total(exponents), weights


def exponentials(scope: Scope, parts: Sequence[Factor]) -> tuple[list[tuple[int, Tree]], list[Factor]]:
    """The exponents of the exponentials in a product (as terms), and its other factors."""
    exponents: list[tuple[int, Tree]] = []
    rest: list[Factor] = []
    for t, e in parts:
        head = scope.head(t)
        if head != "exp" and (head not in ("mul", "div", "neg") or t[0] != "x" or not _exponential_below(scope, t)):
            rest.append((t, e))
            continue
        seen = scope.view(t)
        if seen[0] == "exp":
            exponents.extend(terms(times(e, seen[1])))
        elif (
            seen[0] in ("mul", "div", "neg") and seen is not t and any(scope.head(u) == "exp" for u, _ in factors(seen))
        ):
            below, others = exponentials(scope, [(u, k * e) for u, k in factors(seen)])
            exponents += below
            rest += others
        else:
            rest.append((t, e))
    return exponents, rest


def _exponential_below(scope: Scope, tree: Tree) -> bool:
    """Whether the map that a slot reads has an exponential in its kernel, or for an operand."""
    x = scope.operand(tree)
    while x is not None and x.kind is Kind.REINDEX:
        x = x.inputs[0]
    if x is None or x.kind is not Kind.MAP:
        return False
    return "exp" in operations(x.attrs[0]) or any(_is_exponential(y) for y in x.inputs)


def _is_exponential(x: Node) -> bool:
    while x.kind is Kind.REINDEX:
        x = x.inputs[0]
    return x.kind is Kind.MAP and x.attrs[0].tree[0] == "exp"
