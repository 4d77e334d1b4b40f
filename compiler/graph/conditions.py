"""Conditions that hold by the form of what they compare: `exp(a) >= 0` is true, and so is `not x**2 < 0`.

Only what rounding cannot change is decided: `exp(a) > 0` is false where the exponential underflows, and whoever guards a
logarithm by it means that.
"""

from __future__ import annotations

from collections.abc import Sequence

from vspec.compiler.graph.kernel import Tree, num, walk
from vspec.compiler.graph.node import Node
from vspec.compiler.graph.sign import DEPTH, Sign, sign

# Whether a comparison holds of its sides, the first of which is not less than the second one.
_DECIDED = {"ge": True, "lt": False}
_TURNED = {"le": "ge", "gt": "lt", "ge": "le", "lt": "gt"}


def decided(tree: Tree, inputs: Sequence[Node]) -> Tree:
    """The kernel without choices by conditions that always or never hold; the same object where there are none."""
    if not any(t[0] == "where" for t in walk(tree)):
        return tree
    return _decided(tree, inputs)


def _decided(tree: Tree, inputs: Sequence[Node]) -> Tree:
    op = tree[0]
    if op in ("x", "num"):
        return tree
    children = [_decided(t, inputs) for t in tree[1:]]
    if op in _TURNED:
        for word, (a, b) in ((op, children), (_TURNED[op], reversed(children))):
            if word in _DECIDED and b == num(0) and sign(a, inputs, DEPTH) is not Sign.UNKNOWN:
                return num(_DECIDED[word])
    if op == "not" and children[0][0] == "num":
        return num(not children[0][1])
    if op in ("and", "or"):
        # What leaves the other side as it is, and what settles both.
        neutral = op == "and"
        left = [t for t in children if t[0] != "num" or bool(t[1]) is not neutral]
        settled = [t for t in left if t[0] == "num"]
        if settled or not left:
            return settled[0] if settled else num(neutral)
        if len(left) == 1:
            return left[0]
        children = left
    if op == "where" and children[0][0] == "num":
        return children[1] if children[0][1] else children[2]
    if all(new is old for new, old in zip(children, tree[1:], strict=False)) and len(children) == len(tree) - 1:
        return tree
    return (op, *children)
