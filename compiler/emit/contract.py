"""Sums of products as the shortest text that does them: `X @ w`, `X.T @ r`, batched `@`, else `jnp.einsum`."""

from __future__ import annotations

import string
from collections.abc import Sequence

from vspec.compiler.emit.layout import Layout, Value, arranged, moves
from vspec.compiler.emit.scalar import expression
from vspec.compiler.emit.scope import Scope
from vspec.compiler.emit.text import MATMUL, MUL, Text, name, negated, sequence
from vspec.compiler.graph.cost import Sizes
from vspec.compiler.graph.node import Node

# A way to write a product: what it costs, the order of the result's axes, the text.
Way = tuple[int, Layout, Text]

# What it costs if axes do not come out in the order that the readers want, and if a sum of products of rows comes out with at
# most so many columns and so many times more rows: it is computed along rows, and several times faster along long ones. And if
# what differs between problems that are solved side by side is on the right: their axis is then the last one of the product.
UNWANTED, ASTRIDE = 3, 5
FEW, SLENDER, STANDING = 32, 4, 6


def contracted(scope: Scope, factors: Sequence[Value], node: Node) -> Value:
    """The sum over all axes that `node` lacks of the product of whole values; scalars stay outside of it."""
    scalars = [v for v in factors if not v.layout]
    arrays = [v for v in factors if v.layout]
    if len(arrays) == 1:
        (a,) = arrays
        rest = tuple(b for b in a.layout if b in node.names)
        axes = [str(k) for k, b in enumerate(a.layout) if b not in node.names]
        axis = "" if not rest else f", axis={axes[0]}" if len(axes) == 1 else f", axis=({', '.join(axes)})"
        product = Value(Text(f"jnp.sum({a.text.code}{axis})", weak=a.text.weak), rest)
    elif len(arrays) == 2:
        differs = [v for v, x in zip(factors, node.inputs, strict=True) if v.layout and x.uid in scope.several]
        lead = differs[0] if len(differs) == 1 else None
        product = _pair(scope, arrays[0], arrays[1], node, scope.wanted.get(node.uid, node.names), lead)
    else:
        product = _einsum(arrays, node)
    if not scalars:
        return product
    texts = [*(v.text for v in scalars), product.text]
    tree = ("mul", *(("x", k) for k in range(len(texts))))
    return Value(expression(tree, texts, scope.context(node.dtype)), product.layout)


def _pair(scope: Scope, a: Value, b: Value, node: Node, wanted: Layout, lead: Value | None) -> Value:
    """`lead`: the only one that differs between problems that are solved side by side."""
    out = set(node.names)
    common = [x for x in a.layout if x in b.layout]
    batch = tuple(x for x in common if x in out)
    summed = tuple(x for x in common if x not in out)
    free_a = tuple(x for x in a.layout if x not in common)
    free_b = tuple(x for x in b.layout if x not in common)
    if any(x not in out for x in free_a + free_b):
        return _einsum([a, b], node)
    ways: list[Way] = []
    if len(summed) == 1:
        ways = _batched(a, b, batch, summed, free_a, free_b) if batch else _plain(a, b, summed[0], free_a, free_b, lead)
    elif summed and not batch and not free_a and not free_b:
        return Value(name(f"jnp.vdot({a.text.code}, {arranged(b, a.layout).code})"), ())
    elif summed and not batch:
        dims = {x.name: x for y in node.inputs for x in y.axes}
        larger = max((a, b), key=lambda v: Sizes.of(scope.graph).count(dims[n] for n in v.layout))
        order = tuple(n for n in larger.layout if n in summed)
        ways = _matrices(scope, a, b, order, node) or [_tensor(x, y, order) for x, y in ((a, b), (b, a))]
    if len(summed) == 1 and not batch and free_a and free_b and len(free_a + free_b) > 2:
        ways = _over_rows(scope, a, b, summed[0], node) or ways
    if not ways:
        return _einsum([a, b], node)
    # Either way has one transposed operand.
    alike = a.layout[0] == b.layout[0] in summed or a.layout[-1] == b.layout[-1] in summed

    def cost(way: Way) -> int:
        # Among equals the one whose axes come out in the order that the readers want.
        stands = alike and _stands(scope, node, way[1])
        return way[0] + UNWANTED * (way[1] != wanted) + STANDING * stands

    _, layout, text = min(ways, key=cost)
    return Value(text, layout)


def _stands(scope: Scope, node: Node, layout: Layout) -> bool:
    """Whether a matrix in this order has few columns and many more rows."""
    if len(layout) != 2:
        return False
    rows, columns = (scope.graph.dims.get(node.axis(n).dim) for n in layout)
    return isinstance(rows, int) and isinstance(columns, int) and columns <= FEW and rows >= SLENDER * columns


def _plain(a: Value, b: Value, s: str, free_a: Layout, free_b: Layout, lead: Value | None) -> list[Way]:
    if not free_a and not free_b:
        return [_product(a, (s,), b, (s,), ())]
    ways: list[Way] = []
    for x, y, free_x, free_y in ((a, b, free_a, free_b), (b, a, free_b, free_a)):
        late = ASTRIDE if y is lead else 0
        if len(free_y) <= 1:
            ways.append(_product(x, (*free_x, s), y, (s, *free_y), (*free_x, *free_y), late))
        if not free_x and free_y:
            # A vector from the left meets the last axis but one.
            ways.append(_product(x, (s,), y, (*free_y[:-1], s, free_y[-1]), free_y, late))
        if free_x and free_y and len(free_x + free_y) > 2:
            # Neither `@`, which would transpose the result, nor a transpose that would be one more copy.
            axes = f"({x.layout.index(s)}, {y.layout.index(s)})"
            ways.append((1 + late, (*free_x, *free_y), name(f"jnp.tensordot({x.text.code}, {y.text.code}, {axes})")))
    return ways


def _batched(a: Value, b: Value, batch: Layout, summed: Layout, free_a: Layout, free_b: Layout) -> list[Way]:
    """`@` over leading batch axes, where both have them in front in the same order already."""
    if len(free_a) != 1 or len(free_b) != 1:
        return []
    ways = []
    for x, y, free_x, free_y in ((a, b, free_a, free_b), (b, a, free_b, free_a)):
        left, right = batch + free_x + summed, batch + summed + free_y
        if moves(x, left) < 2 and moves(y, right) < 2:
            ways.append(_product(x, left, y, right, batch + free_x + free_y))
    return ways


def _tensor(x: Value, y: Value, order: Layout) -> Way:
    """`jnp.tensordot`, summed in this order; where that is last in one and first in the other, it suffices to count it.

    `jnp.einsum` would sum in an order of its own, for which it turns both arrays around.
    """
    left, right = tuple(n for n in x.layout if n not in order), tuple(n for n in y.layout if n not in order)
    layout = (*left, *right)
    if x.layout == (*left, *order) and moves(y, (*order, *right)) < 2:
        return 0, layout, name(f"jnp.tensordot({x.text.code}, {arranged(y, (*order, *right)).code}, {len(order)})")
    axes = ", ".join(sequence([str(v.layout.index(n)) for n in order]) for v in (x, y))
    return 2, layout, name(f"jnp.tensordot({x.text.code}, {y.text.code}, ({axes}))")


def _matrices(scope: Scope, a: Value, b: Value, order: Layout, node: Node) -> list[Way]:
    """`A @ B.T` or `A.T @ B` of arrays with one axis each that is left, those that are summed joined to columns or to rows: XLA
    would turn around what has more than two axes, and once for each reader."""
    (k, m), count = (len(v.layout) for v in (a, b)), len(order)
    if k - count != 1 or m - count != 1:
        return []
    last = a.layout[1:] == b.layout[1:] == order
    if not last and not a.layout[:-1] == b.layout[:-1] == order:
        return []

    def matrix(v: Value) -> Text:
        size = scope.size(node.axis(v.layout[0 if last else -1]).dim).code
        shape = f"{size}, -1" if last else f"-1, {size}"
        return Text(f"{v.text.atom}.reshape({shape})", weak=v.text.weak)

    ways: list[Way] = []
    for x, y in ((a, b), (b, a)):
        left, right = matrix(x), matrix(y)
        codes = (left.code, f"{right.code}.T") if last else (f"{left.code}.T", right.code)
        layout = (x.layout[0 if last else -1], y.layout[0 if last else -1])
        ways.append((0, layout, Text(" @ ".join(codes), MATMUL)))
    return ways


def _over_rows(scope: Scope, a: Value, b: Value, s: str, node: Node) -> list[Way]:
    """`X.T @ Y` of arrays whose first axis is summed, all others of them joined to columns: XLA would turn around what has
    more than two axes. The one with fewer columns is on the left."""
    if a.layout[0] != s or b.layout[0] != s:
        return []
    sizes = Sizes.of(scope.graph)
    rows = scope.size(next(x.dim for y in node.inputs for x in y.axes if x.name == s)).code

    def matrix(v: Value) -> Text:
        return v.text if len(v.layout) == 2 else Text(f"{v.text.atom}.reshape({rows}, -1)", weak=v.text.weak)

    x, y = sorted((a, b), key=lambda v: sizes.count(node.axis(n) for n in v.layout[1:]))
    product = Text(f"{matrix(x).atom}.T @ {matrix(y).at(MUL + 1)}", MATMUL)
    layout = (*x.layout[1:], *y.layout[1:])
    shape = ", ".join(scope.size(node.axis(n).dim).code for n in layout)
    return [(0, layout, Text(f"{product.atom}.reshape({shape})"))]


def _product(x: Value, left: Layout, y: Value, right: Layout, layout: Layout, more: int = 0) -> Way:
    cost = more + 2 * moves(x, left) + 2 * moves(y, right)
    minus = False
    codes = []
    for text in (arranged(x, left), arranged(y, right)):
        # A minus sign in front of a factor is one of the product, where a sum can take it over.
        if text.positive is not None:
            text, minus = text.positive, not minus
        codes.append(text.at(MUL + 1))
    product = Text(" @ ".join(codes), MATMUL)
    return cost, layout, negated(product) if minus else product


def _einsum(values: Sequence[Value], node: Node) -> Value:
    letters: dict[str, str] = {}
    for v in values:
        for a in v.layout:
            base = a.split("~")[0]
            if a not in letters and len(base) == 1 and base in string.ascii_letters and base not in letters.values():
                letters[a] = base
    spare = iter(c for c in string.ascii_letters if c not in set(letters.values()))
    for v in values:
        for a in v.layout:
            if a not in letters:
                letters[a] = next(spare)
    sides = ",".join("".join(letters[a] for a in v.layout) for v in values)
    equation = f"{sides}->{''.join(letters[a] for a in node.names)}"
    best = ', optimize="optimal"' if 2 < len(values) <= 6 else ""
    return Value(name(f'jnp.einsum("{equation}", {", ".join(v.text.code for v in values)}{best})'), node.names)
