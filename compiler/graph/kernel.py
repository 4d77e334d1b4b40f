"""Scalar kernels: closed expressions over positional slots, interned so that each distinct one is handled once.

A kernel's `tree` is a nested tuple:

- `("x", k)` is slot k;
- `("num", v)` a number: int, float or `fractions.Fraction`;
- `("re", x)`, `("im", x)` split a complex slot and `("complex", re, im)` joins two reals; each is a whole kernel by itself,
  and nothing else in a graph is complex;
- `(op, child, ...)` an operation of `compiler/language/operators.py`; `add` and `mul` take two or more children,
  `("pow", base, exponent)`, `("where", condition, yes, no)`, comparisons and `and or not` give booleans,
  `("real", c)` turns a boolean or integer into a real, `("integer", c)` a boolean or real into an integer;
- some operations exist only as derivatives of others: `polygamma gammainc_da ndtr_ratio ndtr_excess bessel_ratio`;
- `("gamma_draw", shape, z)` is z as a function of the shape, a draw at equal probability; `gamma_slope` is its derivative.
  `("measure", p, q, c, e)` is (p - q)*c and `measured` its derivative by p, c, of an estimate of e (`calculus/special.py`).

The scalar calculus on kernels (SymPy) lives in `compiler/calculus/scalar.py`; this module knows only their shape.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Tree = tuple[Any, ...]

# Kernels at the border between complex arguments and results and the reals in between.
BORDER = frozenset({"re", "im", "complex"})

X0: Tree = ("x", 0)
X1: Tree = ("x", 1)


def num(value: Any) -> Tree:
    """The tree of a number."""
    return ("num", value)


def slot(k: int) -> Tree:
    """The tree of slot k."""
    return ("x", k)


@dataclass(frozen=True, slots=True, eq=False)
class Kernel:
    """An interned kernel: equal trees are the same object, so identity is equality. `slots` are those it reads."""

    tree: Tree
    arity: int
    ops: int
    slots: frozenset[int]

    def __repr__(self) -> str:
        return f"Kernel({self.tree!r})"


_TABLE: dict[Tree, Kernel] = {}
# The trees of interned kernels by identity: they live as long as the table, so that an id is never given twice.
_KNOWN: dict[int, Kernel] = {}


def kernel(tree: Tree) -> Kernel:
    """The one kernel with this tree; its arity is one more than its largest slot."""
    known = _KNOWN.get(id(tree))
    if known is not None:
        return known
    key = _key(tree)
    found = _TABLE.get(key)
    if found is None:
        read: set[int] = set()
        ops = 0
        for node in walk(tree):
            if node[0] == "x":
                read.add(node[1])
            elif node[0] != "num":
                ops += 1
        found = _TABLE[key] = Kernel(tree, max(read, default=-1) + 1, ops, frozenset(read))
        _KNOWN[id(tree)] = found
    return found


def _key(tree: Tree) -> Tree:
    # 1, 1.0 and True are equal in Python but not the same number to a kernel.
    op = tree[0]
    if op == "num":
        return ("num", type(tree[1]).__name__, repr(tree[1]))
    if op == "x":
        return tree
    return (op, *[c if c[0] == "x" else _key(c) for c in tree[1:]])


def walk(tree: Tree) -> Iterator[Tree]:
    """Every subtree, the tree itself first."""
    stack = [tree]
    while stack:
        node = stack.pop()
        yield node
        if node[0] not in ("x", "num"):
            stack.extend(reversed(node[1:]))


def slots(tree: Tree) -> frozenset[int]:
    """The slots that a tree reads."""
    known = _KNOWN.get(id(tree))
    if known is not None:
        return known.slots
    found: set[int] = set()
    stack = [tree]
    while stack:
        node = stack.pop()
        if node[0] == "x":
            found.add(node[1])
        elif node[0] != "num":
            stack.extend(node[1:])
    return frozenset(found)


def substitute(tree: Tree, values: Mapping[int, Tree]) -> Tree:
    """The tree with each slot k in `values` replaced; what has none of them stays the same object."""
    op = tree[0]
    if op == "x":
        return values.get(tree[1], tree)
    if op == "num":
        return tree
    parts = [substitute(c, values) for c in tree[1:]]
    for part, old in zip(parts, tree[1:], strict=True):
        if part is not old:
            return (op, *parts)
    return tree
