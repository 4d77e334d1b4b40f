"""Complex expressions → two real nodes each, their real and their imaginary part.

A name `psi` with complex values has no node of its own but two, under the names `psi.re` and `psi.im`; a reference, a
gather or a derivative by `psi` becomes one of each part. This module and `lower.py`, which hands it every complex
expression, are two halves of one thing.
"""

from __future__ import annotations

import cmath
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from vspec.compiler.calculus.complex import ZERO, Arithmetic, Pair, both, constant, operations
from vspec.compiler.graph.builder import is_number
from vspec.compiler.graph.kernel import Tree, num, slot
from vspec.compiler.graph.node import Axis, Kind, Node, Region
from vspec.compiler.language.expr import (
    Derivative,
    Element,
    Expr,
    Linalg,
    Number,
    Pointwise,
    Reduction,
    Stop,
)

if TYPE_CHECKING:
    from vspec.compiler.calculus.lower import Lowering

Parts = tuple[Node, Node]

RE, IM = PARTS = ("re", "im")

# A product over an axis of at most this known size is written out, so that derivatives of it are symbolic.
UNROLLED = 16


def names(name: str) -> tuple[str, str]:
    """Under which names the parts of a complex quantity are kept."""
    return f"{name}.{RE}", f"{name}.{IM}"


def split(low: Lowering, name: str, node: Node) -> None:
    """Enters the parts of a complex argument."""
    for key, part in zip(names(name), (RE, IM), strict=True):
        with low.b.at(node.origin._replace(name=f"{name}_{part}")):
            low.values[key] = low.b.map((part, slot(0)), [node], "real")


def joined(low: Lowering, parts: Parts) -> Node:
    """The complex node with these parts; the argument itself where they are its own."""
    re, im = parts
    if _part_of(re, RE) is not None and _part_of(re, RE) is _part_of(im, IM):
        return re.inputs[0]
    return low.b.map(("complex", slot(0), slot(1)), [re, im], "complex")


def _part_of(x: Node, part: str) -> Node | None:
    """The argument whose part a node is."""
    return x.inputs[0] if x.kind is Kind.MAP and x.attrs[0].tree == (part, slot(0)) else None


# --- expressions ------------------------------------------------------------------------------------------------------


def parts_of(low: Lowering, e: Expr) -> Parts:
    """The nodes of both parts of any expression; the imaginary part of a real one is the number 0."""
    if isinstance(e, Pointwise | Number) or e.dtype != "complex":
        leaves: list[Node] = []
        z = pair(low, e, leaves)
        return low.b.map(z.re, leaves, "real"), low.b.map(z.im, leaves, "real")
    if isinstance(e, Element):
        re, im = (low.lower(replace(e, name=name, dtype="real")) for name in names(e.name))
        return re, im
    if isinstance(e, Reduction):
        return _reduction(low, e)
    if isinstance(e, Derivative):
        re, im = low._derivative(e)
        return re, im
    if isinstance(e, Linalg):
        return _linalg(low, e)
    if isinstance(e, Stop):
        re, im = parts_of(low, e.body)
        return low.b.stop(re), low.b.stop(im)
    raise NotImplementedError(f"complex {type(e).__name__}")


def pair(low: Lowering, e: Expr, leaves: list[Node]) -> Pair:
    """An expression as a pair of kernel trees over `leaves`."""
    if e.dtype != "complex":
        tree, _ = low._tree(e, leaves)
        return Pair(tree)
    if isinstance(e, Number):
        value = complex(e.value)
        return Pair(num(value.real), num(value.imag))
    if not isinstance(e, Pointwise):
        re, im = parts_of(low, e)
        return Pair(low._leaf(re, leaves), low._leaf(im, leaves))
    a = Arithmetic(low.b, leaves, low._leaf)
    if e.op == "where":
        condition, _ = low._tree(e.args[0], leaves)
        return a.shortened(a.choose(condition, *(pair(low, x, leaves) for x in e.args[1:])))
    z, *rest = (pair(low, x, leaves) for x in e.args)
    known = _evaluated(e.op, [constant(x) for x in (z, *rest)])
    if known is not None:
        return Pair(num(known.real), num(known.imag))
    if e.op == "pow":
        exponent = e.args[1]
        whole = isinstance(exponent, Number) and isinstance(exponent.value, int)
        found = a.power(z, int(exponent.value.real)) if whole and isinstance(exponent, Number) else a.pow(z, rest[0])
    else:
        operation: Callable[..., Pair] = getattr(a, e.op)
        found = operation(z, *rest)
    return a.shortened(found)


_CONSTANTS: dict[str, Callable[..., complex]] = {
    "add": lambda z, w: z + w,
    "sub": lambda z, w: z - w,
    "mul": lambda z, w: z * w,
    "div": lambda z, w: z / w,
    "neg": lambda z: -z,
    "square": lambda z: z * z,
    "pow": lambda z, w: z**w,
    **{f: getattr(cmath, f) for f in ("exp", "log", "sqrt", "sin", "cos", "tan", "sinh", "cosh", "tanh")},
}


def _evaluated(op: str, values: Sequence[complex | None]) -> complex | None:
    """The value of an operation on numbers, if it is finite."""
    if op not in _CONSTANTS or any(v is None for v in values):
        return None
    try:
        value = complex(_CONSTANTS[op](*values))
    except (ValueError, OverflowError, ZeroDivisionError):
        return None
    return value if cmath.isfinite(value) else None


def real_tree(low: Lowering, e: Pointwise, leaves: list[Node]) -> tuple[Tree, int]:
    """The kernel tree of a real or boolean operation on complex arguments, and its number of operations."""
    a = Arithmetic(low.b, leaves, low._leaf)
    z, *rest = (pair(low, x, leaves) for x in e.args)
    if e.op in ("eq", "ne"):
        # An imaginary part that neither side has agrees.
        same = [t for t in both(z, rest[0]) if t[1] != t[2]] or [both(z, rest[0])[0]]
        tree: Tree = same[0] if len(same) == 1 else ("and", *same)
        tree = tree if e.op == "eq" else ("not", tree)
    else:
        tree = {"re": a.re, "im": a.im, "abs": a.abs, "arg": a.arg}[e.op](z)
    return tree, operations(tree)


def even_power(low: Lowering, e: Pointwise, leaves: list[Node]) -> tuple[Tree, int] | None:
    """`abs(z)**2` without its square root, and so for other even powers; None for anything else."""
    inner = e.args[0]
    if not isinstance(inner, Pointwise) or inner.op != "abs" or inner.args[0].dtype != "complex":
        return None
    if e.op == "square":
        k = 2
    elif (
        e.op == "pow"
        and isinstance(e.args[1], Number)
        and isinstance(e.args[1].value, int)
        and e.args[1].value % 2 == 0
    ):
        k = e.args[1].value
    else:
        return None
    a = Arithmetic(low.b, leaves, low._leaf)
    tree = a.norm(pair(low, inner.args[0], leaves))
    if k != 2:
        tree = ("pow", tree, num(k // 2))
    return tree, operations(tree)


def of_real(op: str, x: Tree) -> Tree:
    """The imaginary part or the angle of a real number."""
    return ZERO if op == "im" else ("where", ("lt", x, ZERO), num(math.pi), num(0.0))


# --- reductions -------------------------------------------------------------------------------------------------------


def _reduction(low: Lowering, e: Reduction) -> Parts:
    """Sums and averages go part by part."""
    parts = parts_of(low, e.body)
    if e.op == "prod":
        return _product(low, parts, e.letters)
    if e.op == "mean":
        re, im = (low._mean(x, e.letters) for x in parts)
    elif e.op == "sum":
        re, im = (low.sum(x, e.letters) for x in parts)
    else:
        raise NotImplementedError(f"complex {e.op}")
    return re, im


def real_reduction(low: Lowering, e: Reduction) -> Node:
    """`norm` and `var` of a complex body."""
    b = low.b
    parts = parts_of(low, e.body)
    if e.op == "var":
        parts = _centred(low, parts, e.letters)
    square = b.map(("add", ("pow", slot(0), num(2)), ("pow", slot(1), num(2))), list(parts), "real")
    if e.op == "var":
        return low._mean(square, e.letters)
    return b.map(("sqrt", slot(0)), [low.sum(square, e.letters)], "real")


def _centred(low: Lowering, parts: Parts, letters: tuple[str, ...]) -> Parts:
    re, im = (low.b.map(("sub", slot(0), slot(1)), [x, low._mean(x, letters)], "real") for x in parts)
    return re, im


def _times(low: Lowering, z: Parts, w: Parts) -> Parts:
    x, y, u, v = (slot(k) for k in range(4))
    nodes = [*z, *w]
    re = low.b.map(("sub", ("mul", x, u), ("mul", y, v)), nodes, "real")
    return re, low.b.map(("add", ("mul", x, v), ("mul", y, u)), nodes, "real")


def _product(low: Lowering, parts: Parts, letters: tuple[str, ...]) -> Parts:
    """The product along each letter in turn: written out where it is short, else a loop."""
    for letter in letters:
        axis = low.axis(letter)
        re, im = (x if letter in x.names else low.b.order(x, (axis, *x.axes)) for x in parts)
        size = low.b.dims.get(axis.dim)
        if isinstance(size, int) and size <= UNROLLED:
            factors = [(low.b.at_position(re, letter, k), low.b.at_position(im, letter, k)) for k in range(size)]
            while len(factors) > 1:
                pairs = [_times(low, z, w) for z, w in zip(factors[::2], factors[1::2], strict=False)]
                factors = pairs + factors[len(pairs) * 2 :]
            parts = factors[0]
        else:
            parts = _looped(low, (re, im), axis)
    return parts


def _looped(low: Lowering, parts: Parts, axis: Axis) -> Parts:
    """The product along an axis as a loop that carries both parts."""
    b = low.b
    rest = tuple({a.name: a for x in parts for a in x.axes if a.name != axis.name}.values())
    operands = [b.order(x, (axis, *rest)) for x in parts]
    index = b.input(axis.name, "index", (), "integer")
    carry = tuple(b.input(f"product_{part}", "carry", rest, "real") for part in (RE, IM))
    captured = tuple(b.input(f"factor_{part}", "captured", (axis, *rest), "real") for part in (RE, IM))
    factor = (b.gather(captured[0], index, axis.name), b.gather(captured[1], index, axis.name))
    body = _times(low, (carry[0], carry[1]), factor)
    results = (("final", 0), ("final", 1))
    # The loop has one step for each factor, which its axis does not count: its path would be one longer.
    region = Region("product", axis, b.size(axis.dim), index, carry, captured, body, results)
    starts = [b.order(b.number(value), rest) for value in (1.0, 0.0)]
    node = b.region("scan", region, [*starts, *operands])
    return b.item(node, 0, rest, "real"), b.item(node, 1, rest, "real")


# --- derivatives ------------------------------------------------------------------------------------------------------


def wirtinger(low: Lowering, parts: tuple[Node, ...], wrt: Element) -> Parts:
    """One step of a derivative: of both parts by a real element, or by a complex one (d/dx - i d/dy)/2."""
    re = parts[0]
    im = parts[1] if len(parts) == 2 else low.b.number(0.0)
    if wrt.dtype != "complex":
        return low._by(re, wrt), low._by(im, wrt)
    x, y = (replace(wrt, name=name, dtype="real") for name in names(wrt.name))
    nodes = [low._by(re, x), low._by(im, y), low._by(im, x), low._by(re, y)]
    if is_number(im):
        half: Tree = ("div", slot(0), num(2))
        return low.b.map(half, [nodes[0]], "real"), low.b.map(("neg", half), [nodes[3]], "real")
    return (
        low.b.map(("div", ("add", slot(0), slot(1)), num(2)), nodes[:2], "real"),
        low.b.map(("div", ("sub", slot(0), slot(1)), num(2)), nodes[2:], "real"),
    )


# --- linear algebra ---------------------------------------------------------------------------------------------------


def _linalg(low: Lowering, e: Linalg) -> Parts:
    """Real systems of twice the size; a real matrix with complex right sides is factorised once for both parts."""
    blocks = [parts_of(low, block.body) for block in e.blocks]
    if e.op == "trace":
        re, im = (low._linalg(e, [x]) for x in blocks[0])
        return re, im
    if e.op == "solve" and e.blocks[0].body.dtype != "complex":
        both = Axis(low.b.fresh("part"), _dim(low, "part", 2))
        right = low.b.add([low.b.scatter_at(x, both, k) for k, x in enumerate(blocks[1])])
        whole = low._matrix_function(e, [blocks[0][0], right])
        re, im = (low._read(low.b.at_position(whole, both.name, k), e) for k in range(2))
        return re, im
    rows, columns = e.blocks[0].core
    twice = {n: _twice(low, n) for n in (rows, columns)}
    matrix = _block_matrix(low, _with(low, blocks[0], (rows, columns)), twice)
    if e.op == "inv":
        node = low.b.linalg("inv", [matrix], ((twice[rows].name, twice[columns].name),), [twice[columns], twice[rows]])
        first = low.b.window(node, twice[rows].name, low.axis(rows), 2, 0)
    else:
        (other,) = e.blocks[1].core
        beside = _with(low, blocks[1], (other,))
        above, below = (low.b.rename(x, {other: rows}) for x in beside)
        stacked = _interleaved(low, above, below, rows, twice[rows])
        cores = ((twice[rows].name, twice[columns].name), (twice[rows].name,))
        first = low.b.linalg("solve", [matrix, stacked], cores, [twice[columns]])
    found = [low.b.window(first, twice[columns].name, low.axis(columns), 2, k) for k in range(2)]
    re, im = (low._read(x, e) for x in found)
    return re, im


def _with(low: Lowering, parts: Parts, letters: tuple[str, ...]) -> Parts:
    re, im = (low.with_axes(x, letters) for x in parts)
    return re, im


def _dim(low: Lowering, name: str, size: int | Node) -> str:
    """A dim that the spec does not have."""
    low.b.dims.setdefault(f"{name}~", size)
    return f"{name}~"


def _twice(low: Lowering, letter: str) -> Axis:
    """The axis on which both parts of each value of a letter stand beside each other."""
    axis = low.axis(letter)
    size = low.b.map(("mul", num(2), slot(0)), [low.b.size(axis.dim)], "integer")
    known = low.b.dims.get(axis.dim)
    dim = _dim(low, f"{axis.dim}_twice", 2 * known if isinstance(known, int) else size)
    return Axis(low.b.fresh(letter), dim)


def _interleaved(low: Lowering, even: Node, odd: Node, letter: str, axis: Axis) -> Node:
    """Two arrays along `letter` as one along `axis`, in turn; one that is zero leaves its places empty."""
    there = [(k, x) for k, x in enumerate((even, odd)) if not _is_zero(x)]
    placed = [low.b.scatter_affine(x, letter, axis, 2, k) for k, x in there or [(0, even)]]
    return low.b.add(placed)


def _is_zero(x: Node) -> bool:
    while x.kind is Kind.REINDEX:
        x = x.inputs[0]
    return is_number(x, 0)


def _block_matrix(low: Lowering, parts: Parts, twice: dict[str, Axis]) -> Node:
    """The real matrix that has the block [[a, -b], [b, a]] in the place of each entry a + ib."""
    re, im = parts
    rows, columns = twice
    top = _interleaved(low, re, low.b.neg(im), columns, twice[columns])
    bottom = _interleaved(low, im, re, columns, twice[columns])
    return _interleaved(low, top, bottom, rows, twice[rows])
