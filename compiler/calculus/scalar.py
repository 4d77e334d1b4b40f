"""Scalar calculus on kernels, by SymPy, once per distinct kernel.

A kernel tree becomes a SymPy expression over real symbols x0, x1, ...; SymPy differentiates and normalises it; the
result becomes a tree again. SymPy costs milliseconds per call, so everything here is cached by the interned kernel.
"""

from __future__ import annotations

import math
from fractions import Fraction
from functools import cache
from typing import Any

import sympy as sp

from vspec.compiler.calculus.branches import settled
from vspec.compiler.calculus.functions import FUNCTIONS, OPAQUE, v_where
from vspec.compiler.calculus.slope import slope
from vspec.compiler.calculus.special import SPECIAL
from vspec.compiler.graph.kernel import Kernel, Tree, kernel, num, slot, slots

# Operations that cost more than reading an array again.
EXPENSIVE = frozenset(
    {"exp", "tanh", "sigmoid", "sqrt", "pow", "div", "erf", "tan", "log_sigmoid", "hypot"}
    | {"erfinv", "i0e", "i1e", "bessel_ratio", "ndtr_ratio", "ndtr_excess"}
)

CLASSES: dict[str, type[Any]] = {**FUNCTIONS, **SPECIAL}

NAMES: dict[str, str] = {cls.__name__: op for op, cls in CLASSES.items()} | {
    # What SymPy's own evaluation may leave behind: sqrt(x**2) becomes Abs(x).
    "Abs": "abs",
    "sign": "sign",
}


@cache
def _symbol(k: int) -> Any:
    return sp.Symbol(f"x{k}", real=True)


def to_sympy(tree: Tree) -> Any:
    """The SymPy expression of a kernel tree."""
    op = tree[0]
    if op == "x":
        return _symbol(tree[1])
    if op == "num":
        return _number(tree[1])
    args = [to_sympy(c) for c in tree[1:]]
    edge = _at_the_edge(op, args)
    if edge is not None:
        return edge
    if op == "add":
        return sp.Add(*args)
    if op == "mul":
        return sp.Mul(*args)
    if op == "sub":
        return args[0] - args[1]
    if op == "div":
        return args[0] / args[1]
    if op == "neg":
        return -args[0]
    if op == "pow":
        return args[0] ** args[1]
    if op == "sqrt":
        return sp.sqrt(args[0])
    if op == "square":
        return args[0] ** 2
    if op == "clip":
        return FUNCTIONS["minimum"](FUNCTIONS["maximum"](args[0], args[1]), args[2])
    return CLASSES[op](*args)


# Operations whose values at literals may be complex, or infinite.
_EDGES = frozenset({"pow", "sqrt", "log", "sin", "cos", "tan"})


def _at_the_edge(op: str, args: list[Any]) -> Any:
    """What floating-point arithmetic makes of literals where SymPy would answer with a complex number or `zoo`; else None."""
    if op == "div" and args[1].is_Number and args[1].is_zero:
        # x/0 is an infinity with the sign of x.
        return args[0] * sp.oo
    if op not in _EDGES or not all(a.is_number for a in args):
        return None
    if op == "pow" and args[0].is_zero and args[1].is_negative:
        return sp.oo
    if op in ("sqrt", "log") and args[0].is_negative:
        return sp.nan
    if op == "pow" and args[0].is_negative and not args[1].is_integer:
        return sp.nan
    if op == "log" and args[0].is_zero:
        return -sp.oo
    if op in ("sin", "cos", "tan") and args[0].is_infinite:
        return sp.nan
    return None


def _number(value: Any) -> Any:
    if isinstance(value, bool):
        return sp.Integer(int(value))
    if isinstance(value, int):
        return sp.Integer(value)
    if isinstance(value, Fraction):
        return sp.Rational(value.numerator, value.denominator)
    if math.isinf(value):
        return sp.oo if value > 0 else -sp.oo
    if math.isnan(value):
        return sp.nan
    if float(value).is_integer() and abs(value) < 2**53:
        return sp.Integer(int(value))
    # A float such as 0.1 stays the double it is.
    return sp.Float(value, 17)


class NotRealError(ValueError):
    """SymPy arrived at a number that is not real, or at an infinity without a sign."""


@cache
def to_tree(expr: Any) -> Tree:
    """The kernel tree of a SymPy expression over the symbols of `to_sympy`.

    Derivatives of a formula have most of its parts in common: each is spelled once.
    """
    if expr.is_Symbol:
        return slot(int(expr.name[1:]))
    if expr.is_Add:
        return _add(expr)
    if expr.is_Mul:
        return _mul(expr)
    if expr.is_Pow:
        return _pow(expr.base, expr.exp)
    if expr.is_Integer:
        return num(int(expr))
    if expr.is_Rational:
        return num(Fraction(int(expr.p), int(expr.q)))
    if expr.is_Float:
        return num(float(expr))
    if expr is sp.oo:
        return num(math.inf)
    if expr is sp.zoo or expr is sp.I:
        raise NotRealError(f"{expr} is no real number")
    if expr is sp.S.NegativeInfinity:
        return num(-math.inf)
    if expr is sp.nan:
        return num(math.nan)
    if expr.is_NumberSymbol:
        return num(float(expr))
    if isinstance(expr, sp.exp):
        return ("exp", to_tree(expr.args[0]))
    name = type(expr).__name__
    op = NAMES.get(name)
    if op is None:
        raise ValueError(f"no kernel operation for SymPy's {name}")
    return (op, *(to_tree(a) for a in expr.args))


def _add(expr: Any) -> Tree:
    # Positive terms lead, constants come last: `1 - x` rather than `-x + 1`.
    numbers: list[Any] = []
    positive: list[Any] = []
    negative: list[Any] = []
    for a in expr.args:
        (numbers if a.is_Number else negative if a.could_extract_minus_sign() else positive).append(a)
    if positive:
        terms = [to_tree(a) for a in positive] + [to_tree(a) for a in numbers]
    else:
        terms = [to_tree(a) for a in numbers]
    if not terms:
        return ("neg", to_tree(sp.Add(*[_negated(a) for a in negative])))
    head: Tree = terms[0] if len(terms) == 1 else ("add", *terms)
    for a in negative:
        head = ("sub", head, to_tree(_negated(a)))
    return head


def _negated(expr: Any) -> Any:
    coefficient, rest = expr.as_coeff_Mul()
    return rest if coefficient is sp.S.NegativeOne else -expr


def _mul(expr: Any) -> Tree:
    coefficient, rest = expr.as_coeff_Mul()
    if coefficient.is_negative:
        return ("neg", to_tree(_negated(expr)))
    branches = _into_branches(expr)
    if branches is not None:
        return to_tree(branches)
    above: list[Tree] = []
    below: list[Tree] = []
    if coefficient.is_Rational and not coefficient.is_Integer:
        if coefficient.p != 1:
            above.append(num(int(coefficient.p)))
        below.append(num(int(coefficient.q)))
    elif coefficient is not sp.S.One:
        above.append(to_tree(coefficient))
    for factor in sp.Mul.make_args(rest):
        if factor.is_Pow and factor.exp.is_Rational and factor.exp.is_negative:
            below.append(_pow(factor.base, -factor.exp))
        elif factor is not sp.S.One:
            above.append(to_tree(factor))
    top: Tree = num(1) if not above else above[0] if len(above) == 1 else ("mul", *above)
    if not below:
        return top
    return ("div", top, below[0] if len(below) == 1 else ("mul", *below))


def _into_branches(product: Any) -> Any:
    """A product with a `where` that is 0 in one branch, the other factors moved inside if they may be infinite: where the
    zero is taken, 0*inf must not be formed. None where there is nothing to move."""
    parts = sp.Mul.make_args(product)
    for k, part in enumerate(parts):
        if _vanishes(part) and not part.is_zero:
            rest = sp.Mul(*parts[:k], *parts[k + 1 :])
            if _may_be_infinite(rest):
                c, yes, no = part.args
                return v_where(c, _times(yes, rest), _times(no, rest))
    return None


def _times(e: Any, rest: Any) -> Any:
    """A product, of which nothing is asked where it is 0: SymPy looks for proof that the other factors are finite, though none
    but an infinity that is written there is known not to be."""
    return e if e is sp.S.Zero and not _holds_infinity(rest) else e * rest


@cache
def _holds_infinity(e: Any) -> bool:
    return e in (sp.oo, -sp.oo, sp.zoo, sp.nan) or any(map(_holds_infinity, e.args))


def _vanishes(expr: Any) -> bool:
    """Whether an expression is zero, or a `where` with a branch that is."""
    if isinstance(expr, v_where):
        return any(_vanishes(e) for e in expr.args[1:])
    return expr is sp.S.Zero or bool(expr.is_Float and expr == 0)


# What may be infinite at finite arguments, or overflow.
_INFINITE = (sp.exp, sp.log, sp.tan, sp.sinh, sp.cosh)
_BOUNDED = frozenset({"real", "where", "sigmoid", "tanh", "erf", "erfc", "ndtr", "i0e", "i1e", "abs", "relu", *OPAQUE})


def _may_be_infinite(expr: Any) -> bool:
    for e in sp.preorder_traversal(expr):
        if e.is_Pow and not (e.exp.is_Integer and e.exp.is_positive) and e.base.free_symbols:
            return True
        name = NAMES.get(type(e).__name__)
        if isinstance(e, _INFINITE) or (
            name is not None and name not in _BOUNDED and name not in ("sin", "cos", "atan")
        ):
            return True
    return False


def _pow(base: Any, exponent: Any) -> Tree:
    if exponent is sp.S.One:
        return to_tree(base)
    if exponent is sp.S.Half:
        return ("sqrt", to_tree(base))
    if exponent.is_Rational and exponent.is_negative:
        return ("div", num(1), _pow(base, -exponent))
    return ("pow", to_tree(base), to_tree(exponent))


@cache
def _sympy(k: Kernel) -> Any:
    return to_sympy(k.tree)


@cache
def _partial(k: Kernel, position: int) -> Tree:
    try:
        return settled(to_tree(slope(_sympy(k), _symbol(position))))
    except NotRealError:
        # The root of a negative number, say: there is no value, nor a derivative, at any argument.
        return num(math.nan)


def partial(k: Kernel, position: int) -> Tree:
    """The derivative of a kernel with respect to one slot, as a tree over the same slots."""
    if position not in slots(k.tree):
        return num(0)
    simple = _simple_partial(k.tree, position)
    return simple if simple is not None else _partial(k, position)


@cache
def partial_by_value(k: Kernel, position: int) -> Tree:
    """`partial`, in which the kernel's own value may be read in one more slot, number `k.arity`.

    tanh' = 1 - tanh**2 and exp' = exp need no second evaluation: the value is there already.
    """
    tree = partial(k, position)
    if k.tree[0] not in EXPENSIVE:
        return tree
    # Both sides in SymPy's form, so that equal subtrees look equal.
    return _replaced(tree, {k.tree, _simplified(k)}, slot(k.arity))


def _replaced(tree: Tree, old: set[Tree], new: Tree) -> Tree:
    if tree in old:
        return new
    if tree[0] in ("x", "num"):
        return tree
    return (tree[0], *(_replaced(c, old, new) for c in tree[1:]))


def _simple_partial(tree: Tree, position: int) -> Tree | None:
    # Sums and products of plain slots need no SymPy; they are most of the kernels of large specs.
    op = tree[0]
    if op == "x":
        return num(1 if tree[1] == position else 0)
    if op in ("add", "sub", "neg") and all(c[0] in ("x", "num") for c in tree[1:]):
        hits = [k for k, c in enumerate(tree[1:]) if c == ("x", position)]
        if len(hits) == 1:
            return num(-1 if op == "neg" or (op == "sub" and hits[0] == 1) else 1)
    if op == "mul" and all(c[0] in ("x", "num") for c in tree[1:]):
        rest = [c for c in tree[1:] if c != ("x", position)]
        if len(rest) == len(tree) - 2 and rest:
            return rest[0] if len(rest) == 1 else ("mul", *rest)
    return None


@cache
def _simplified(k: Kernel) -> Tree:
    return settled(to_tree(_sympy(k)))


@cache
def _shorter(k: Kernel) -> Tree:
    tree = settled(k.tree)
    own = kernel(tree)
    try:
        simpler = _simplified(own)
    except ValueError:
        return tree
    return simpler if kernel(simpler).ops < own.ops else tree


def simplify(tree: Tree) -> Tree:
    """SymPy's normal form of a tree (like terms collected, constants folded), where that makes it no longer; the same object
    where there is nothing to gain."""
    k = kernel(tree)
    found = _shorter(k)
    return tree if found is k.tree else found
