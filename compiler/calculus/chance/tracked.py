"""Tracked means: the running mean of estimates over steps, whose value has the derivative of the newest estimate.

With m the mean of a step's draws and u what is kept, u' = (1 - r) u + r m, and the value is stop(u') + m - stop(m). Where the
logarithm of what is averaged is seen, all of it is kept and computed by its logarithm: m/u' is at most 1/r then, however large
m is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from vspec.compiler.graph.builder import Builder, is_number
from vspec.compiler.graph.instantiate import rebuilt
from vspec.compiler.graph.kernel import Tree, num, slot
from vspec.compiler.graph.node import Kind, Node
from vspec.compiler.language.expr import Expectation
from vspec.compiler.language.tracked import NEXT

if TYPE_CHECKING:
    from vspec.compiler.calculus.lower import Lowering

A, B, C, D = (slot(k) for k in range(4))
# Where the mean has begun: u + r (m - u), or the logarithm of (1 - r) exp(a) + r exp(d), of which the larger is taken out.
MOVED: Tree = ("where", ("gt", B, num(0)), ("add", A, ("mul", C, ("sub", D, A))), D)
_OLD: Tree = ("add", ("log1p", ("neg", C)), A)
_NEW: Tree = ("add", ("log", C), D)
_BOTH: Tree = ("add", ("maximum", _OLD, _NEW), ("softplus", ("neg", ("abs", ("sub", _OLD, _NEW)))))
MOVED_LOG: Tree = ("where", ("gt", B, num(0)), _BOTH, D)
# With a = u', b = m, c = stop(b), the value is u' + m - stop(m).
SHIFTED: Tree = ("add", A, ("sub", B, C))
# With a = log u', b = log m, c = stop(b): the logarithm of u' + m - stop(m).
LOG: Tree = ("add", A, ("log1p", ("sub", ("exp", ("sub", B, A)), ("exp", ("sub", C, A)))))


def tracked(
    low: Lowering,
    e: Expectation,
    body: Node,
    mean: Callable[[Node], Node],
    logarithm: Callable[[Node], Node | None],
) -> tuple[Node, tuple[str, ...]]:
    """The value of a tracked mean, or of the op `next` what is kept of it, the mean or its logarithm; and what was chosen.

    `mean` estimates the mean of a node by draws, `logarithm` the logarithm of that of exp(node), or None if it has none.
    """
    b, (kept, begun) = low.b, e.way.state
    key = (kept.name, e.axes)
    words: tuple[str, ...] = ()
    if key not in low.means:
        assert e.way.rate is not None
        exponent = log_of(b, body)
        new = mean(body) if exponent is None else logarithm(exponent)
        if new is None:
            new = b.map(("log", A), [mean(body)], "real")
        rate = low.lower(e.way.rate)
        after = new
        if not is_number(rate) or rate.attrs[0] != 1:
            state = [low.lower(kept), low.lower(begun), rate, b.stop(new)]
            after = b.map(MOVED if exponent is None else MOVED_LOG, state, "real")
        low.means[key] = b.stop(after), new, exponent is not None
        words = (f"{kept.name}: {'the mean' if exponent is None else 'the logarithm of the mean'}",)
    after, new, by_logarithm = low.means[key]
    if e.op == NEXT:
        return after, words
    value = b.map(LOG if by_logarithm else SHIFTED, [after, new, b.stop(new)], "real")
    return b.map(("exp", A), [value], "real") if by_logarithm else value, words


def log_of(b: Builder, node: Node) -> Node | None:
    """The logarithm of a node that is a product or a quotient of exponentials and positive numbers; None of any other."""
    if node.kind is Kind.REINDEX:
        inner = log_of(b, node.inputs[0])
        return None if inner is None else rebuilt(b, node, [inner])
    if node.kind is not Kind.MAP:
        return None
    operands = list(node.inputs)

    def log(tree: Tree) -> tuple[Tree, bool] | None:
        """The logarithm of a tree, and whether there is an exponential in it."""
        if tree[0] == "exp":
            return tree[1], True
        if tree[0] == "num":
            return (("log", tree), False) if tree[1] > 0 else None
        if tree[0] == "x":
            found = log_of(b, operands[tree[1]])
            if found is None:
                return None
            operands.append(found)
            return slot(len(operands) - 1), True
        if tree[0] not in ("mul", "div"):
            return None
        parts = [log(t) for t in tree[1:]]
        known = [p for p in parts if p is not None]
        if len(known) < len(parts):
            return None
        op = "add" if tree[0] == "mul" else "sub"
        return (op, *(t for t, _ in known)), any(useful for _, useful in known)

    found = log(node.attrs[0].tree)
    if found is None or not found[1]:
        return None
    return b.map(found[0], operands, "real")
