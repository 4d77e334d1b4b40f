"""Branches of kernels: a condition is asked once.

Derivatives of `where(c, a, b)` are `where(c, a', b')`, and rules that keep 0*inf from being formed move factors into
branches, so that the same condition comes to stand within its own branches. Whoever is in the branch that is taken knows what
it is. What stays is a guard: in `where(c, sqrt(where(c, x, 1)), 0)` the inner choice keeps JAX's derivative of the program
finite where c does not hold.
"""

from __future__ import annotations

from collections.abc import Mapping

from vspec.compiler.graph.kernel import Tree, num, walk

# These are false of equal sides, whatever they are: also of two that are not a number.
STRICT = frozenset({"lt", "gt"})


def settled(tree: Tree) -> Tree:
    """The kernel without choices that are made already; the same object where there are none."""
    if not any(t[0] == "where" or (t[0] in STRICT and t[1] == t[2]) for t in walk(tree)):
        return tree
    found = _settled(tree, {}, True)
    return tree if found == tree else found


def _settled(tree: Tree, known: Mapping[Tree, bool], bare: bool) -> Tree:
    """A subtree where some conditions are known. `bare`: nothing but signs and choices stands around it."""
    op = tree[0]
    if op in ("x", "num"):
        return tree
    if op in STRICT and tree[1] == tree[2]:
        return num(False)
    if op != "where":
        return (op, *(_settled(t, known, bare and op == "neg") for t in tree[1:]))
    condition = _settled(tree[1], known, False)
    if condition[0] == "num":
        return _settled(tree[2] if condition[1] else tree[3], known, bare)
    if condition in known:
        branch = tree[2] if known[condition] else tree[3]
        if bare or branch[0] == "num" or any(t[0] == "where" and t[1] == tree[1] for t in walk(branch)):
            return _settled(branch, known, bare)
    yes = _settled(tree[2], {**known, condition: True}, bare)
    no = _settled(tree[3], {**known, condition: False}, bare)
    return yes if yes == no else ("where", condition, yes, no)
