"""Whether a formula bends or has kinks where some inputs move: what a gradient may be taken of without a word."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sympy as sp

from vspec.compiler.calculus.functions import v_where
from vspec.compiler.calculus.structure import piecewise
from vspec.compiler.calculus.structure.degree import Degrees
from vspec.compiler.calculus.structure.forms import NoFormError, Table, plain
from vspec.compiler.graph.builder import Builder
from vspec.compiler.graph.kernel import Tree, slots, walk
from vspec.compiler.graph.node import Kind, Node, topological

BENDING = frozenset(
    {"abs", "maximum", "minimum", "relu", "clip", "where", "sign", "floor", "ceil", "round", "mod", "floordiv"}
)


def is_smooth(b: Builder, node: Node, degrees: Degrees) -> bool:
    """Whether a node has a continuous derivative by the inputs of `degrees`, as far as its form tells.

    A function with kinks counts as smooth where its slopes agree on both sides of each: a squared hinge, Huber's loss.
    """
    for n in topological([node]):
        if not degrees.depends(n):
            continue
        if n.kind is Kind.REDUCE and n.op in ("max", "min", "argmax", "argmin"):
            return False
        if n.kind is Kind.CUMULATE and n.op == "argsort":
            return False
        if n.kind is Kind.MAP and not _kernel_is_smooth(b, n, degrees):
            return False
    return True


def _kernel_is_smooth(b: Builder, node: Node, degrees: Degrees) -> bool:
    tree: Tree = node.attrs[0].tree
    moving = {k for k, x in enumerate(node.inputs) if degrees.depends(x)}
    if not any(t[0] in BENDING and slots(t) & moving for t in walk(tree) if t[0] not in ("x", "num")):
        return True
    table = Table(b)
    u = table.u
    forms = [table.alike.form(x) for x in node.inputs]
    symbols = [
        sp.Symbol(f"m{forms.index(forms[k])}", real=True) if k in moving else table.symbol(x)
        for k, x in enumerate(node.inputs)
    ]
    try:
        expr = _in_one_variable(plain(tree, symbols), [symbols[k] for k in sorted(moving)], u)
        return all(jump == 0 for jump in piecewise.split(expr, u).jumps(u))
    except NoFormError:
        return False


def _in_one_variable(expr: Any, moving: Sequence[Any], u: Any) -> Any:
    """The expression in terms of what bends: several operands may only occur in one affine combination."""
    used = list(dict.fromkeys(s for s in moving if s in expr.free_symbols))
    if len(used) == 1:
        return expr.xreplace({used[0]: u})
    bends = sorted((e for e in expr.atoms(sp.Abs, v_where) if e.free_symbols & set(used)), key=sp.count_ops)
    inner = bends[0].args[0]
    if isinstance(bends[0], v_where):
        if len(getattr(inner, "args", ())) != 2:
            raise NoFormError("")
        inner = inner.args[0] - inner.args[1]
    first = used[0]
    slope = sp.expand(inner).coeff(first)
    rest = sp.expand(inner - slope * first)
    if slope == 0 or first in rest.free_symbols or first in slope.free_symbols:
        raise NoFormError("")
    found = sp.expand(expr.xreplace({first: (u - rest) / slope}))
    if found.free_symbols & set(used):
        raise NoFormError("")
    return found
