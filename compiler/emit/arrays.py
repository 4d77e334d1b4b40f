"""Text of the nodes that compute with whole arrays: constants, indices, maps, reductions, contractions, reindexing."""

from __future__ import annotations

from dataclasses import replace

from vspec.compiler.emit.contract import contracted
from vspec.compiler.emit.layout import Layout, Value, aligned, arranged, moves
from vspec.compiler.emit.scalar import dtype_code, expression
from vspec.compiler.emit.scope import EmissionError, Scope
from vspec.compiler.emit.text import MATMUL, MUL, Text, call, name, number, sequence
from vspec.compiler.emit.unroll import unrolled, unrolled_product
from vspec.compiler.graph.kernel import Tree, num, slots, substitute
from vspec.compiler.graph.node import Kind, Node


def emit_number(scope: Scope, node: Node) -> Value:
    """A literal."""
    return Value(number(node.attrs[0], real=node.dtype == "real"), ())


def emit_size(scope: Scope, node: Node) -> Value:
    """A size: a literal or a name."""
    return Value(scope.size(node.attrs[0]), ())


def emit_array(scope: Scope, node: Node) -> Value:
    """`jnp.array([...])`."""
    code = _nested(node.attrs[0])
    return Value(name(f"jnp.array({code}, dtype={scope.dtype(node.dtype)})"), node.names)


def _nested(value: object) -> str:
    if isinstance(value, tuple | list):
        return f"[{', '.join(_nested(v) for v in value)}]"
    if isinstance(value, bool | int | float):
        return number(value).code
    raise EmissionError(f"no literal for {value!r}")


def emit_index(scope: Scope, node: Node) -> Value:
    """0, 1, 2, ..."""
    kind = "" if node.dtype == "integer" else f", dtype={scope.dtype(node.dtype)}"
    return Value(name(f"jnp.arange({scope.size(node.axes[0].dim).code}{kind})"), node.names)


def emit_delta(scope: Scope, node: Node) -> Value:
    """The unit matrix."""
    sizes = [scope.size(a.dim).code for a in node.axes]
    shape = sizes[0] if sizes[0] == sizes[1] else ", ".join(sizes)
    # JAX's default dtype is the program's under float64, which needs 64-bit mode anyway.
    plain = node.dtype == "real" and scope.graph.precision == "float64"
    kind = "" if plain else f", dtype={dtype_code(node.dtype, scope.graph.precision)}"
    return Value(name(f"jnp.eye({shape}{kind})"), node.names)


def emit_part(scope: Scope, node: Node) -> Value:
    """The digits of 0, 1, 2, ... to a base, the most significant first."""
    configurations, places = (scope.size(a.dim) for a in node.axes)
    base = scope.size(node.attrs[0])
    powers = f"{base.code} ** jnp.arange({places.code})[::-1]"
    return Value(
        Text(f"jnp.arange({configurations.code})[:, None] // {powers} % {base.at(MUL + 1)}", MATMUL), node.names
    )


def emit_pair(scope: Scope, node: Node) -> Value:
    """The lower or the higher position of each pair, written as the loop over them: a constant once it is traced."""
    dim, which = node.attrs
    size = scope.size(dim).code
    return Value(name(f"jnp.array([{'ij'[which]} for i in range({size}) for j in range(i + 1, {size})])"), node.names)


def emit_map(scope: Scope, node: Node) -> Value:
    """A kernel at each point, its operands aligned by name."""
    tree: Tree = node.attrs[0].tree
    literals = {k: num(x.attrs[0]) for k, x in enumerate(node.inputs) if x.kind is Kind.CONST and x.op == "number"}
    if literals:
        tree = substitute(tree, literals)
    used = slots(tree)
    operands = [scope.value(x) for x in node.inputs]
    return mapped(scope, tree, [v if k in used else Value(number(0), ()) for k, v in enumerate(operands)], node)


def mapped(scope: Scope, tree: Tree, operands: list[Value], node: Node) -> Value:
    """The kernel `tree` over values, in the order of axes that costs the fewest transposes."""
    present = {a for v in operands for a in v.layout}
    own = tuple(a for a in node.names if a in present)
    order = tuple(a for a in scope.wanted.get(node.uid, ()) if a in present) or own
    candidates = [own, *(v.layout for v in operands if len(v.layout) == len(present))]
    if len(order) == len(own):
        candidates.append(order)

    def cost(layout: Layout) -> int:
        total = 0
        for v in operands:
            wanted = tuple(a for a in layout if a in v.layout)
            # Axes in between that the operand lacks must be written; those in front need not.
            gaps = bool(wanted) and len(layout) - layout.index(wanted[0]) > len(wanted)
            total += 2 * moves(v, wanted) + gaps
        # Among equals the order in which the readers want it.
        return 2 * total + (layout != order)

    context = scope.context(node.dtype)

    def render(layout: Layout) -> Text:
        return expression(tree, [aligned(v, layout) for v in operands], context)

    fast = tuple(a for a in scope.fast.get(node.uid, ()) if a in present)
    layouts = [fast] if len(fast) == len(present) > 1 else list(dict.fromkeys(candidates))
    layout = layouts[0] if len(layouts) == 1 else min(layouts, key=cost)
    return Value(render(layout), layout, render if len(layout) > 1 else None)


def emit_contract(scope: Scope, node: Node) -> Value:
    """A sum of products."""
    summed = {a for x in node.inputs for a in x.names} - set(node.names)
    if not summed:
        return mapped(scope, ("mul", *(("x", k) for k in range(len(node.inputs)))), _values(scope, node), node)
    short = unrolled_product(scope, node)
    if short is not None:
        return short
    factors = [scope.whole(x) for x in node.inputs]
    return contracted(scope, factors, node)


def _values(scope: Scope, node: Node) -> list[Value]:
    return [scope.value(x) for x in node.inputs]


REDUCTIONS = {
    "sum": "jnp.sum",
    "prod": "jnp.prod",
    "max": "jnp.max",
    "min": "jnp.min",
    "any": "jnp.any",
    "all": "jnp.all",
    "logsumexp": "logsumexp",
}


def emit_reduce(scope: Scope, node: Node) -> Value:
    """A reduction over the axes by position, or a short sum term by term."""
    short = unrolled(scope, node)
    if short is not None:
        return short
    operand = scope.whole(node.inputs[0])
    over: Layout = node.attrs[0]
    rest = tuple(a for a in operand.layout if a not in over)
    if not over:
        return operand
    text = scope.array(operand, node.inputs[0].dtype) if operand.text.python else operand.text
    if node.op in ("argmax", "argmin"):
        if len(over) > 1:
            # The position counts along the reduced axes in the order in which they are named.
            text = arranged(operand, rest + tuple(over))
            shape = sequence([*(scope.size(node.axis(a).dim).code for a in rest), "-1"])
            return Value(name(f"jnp.{node.op}({text.atom}.reshape({shape}), axis=-1)"), rest)
        return Value(name(f"jnp.{node.op}({text.code}, axis={operand.layout.index(over[0])})"), rest)
    function = REDUCTIONS.get(node.op)
    if function is None:
        raise EmissionError(f"no JAX text for the reduction {node.op!r}")
    if not rest:
        return Value(replace(call(function, text), weak=text.weak), ())
    positions = sorted(operand.layout.index(a) for a in over)
    axis = str(positions[0]) if len(positions) == 1 else sequence([str(p) for p in positions])
    return Value(Text(f"{function}({text.code}, axis={axis})", weak=text.weak), rest)


def emit_reindex(scope: Scope, node: Node) -> Value:
    """New names for axes: nothing to compute, unless a name comes twice (a diagonal). Missing axes broadcast on demand."""
    (operand,) = node.inputs
    targets: Layout = node.attrs[0]
    new = dict(zip(operand.names, targets, strict=True))
    repeated = len(set(targets)) < len(targets)
    value = scope.whole(operand) if repeated else scope.value(operand)
    layout = tuple(new[a] for a in value.layout)
    if repeated:
        return _diagonal(value.text, layout)
    inner = value.relayout
    if inner is None:
        return Value(value.text, layout)
    old = {t: a for a, t in new.items()}

    def render(wanted: Layout) -> Text:
        assert inner is not None
        return inner(tuple(old[a] for a in wanted))

    return Value(value.text, layout, render)


def _diagonal(text: Text, layout: Layout) -> Value:
    twice = [a for a in dict.fromkeys(layout) if layout.count(a) > 1]
    if len(twice) == 1 and layout.count(twice[0]) == 2:
        (a,) = twice
        rest = tuple(b for b in layout if b != a)
        first = layout.index(a)
        second = layout.index(a, first + 1)
        where = "" if (first, second) == (0, 1) else f", axis1={first}, axis2={second}"
        return Value(Text(f"jnp.diagonal({text.code}{where})", weak=text.weak), (*rest, a))
    unique = tuple(dict.fromkeys(layout))
    letters = {a: chr(97 + k) for k, a in enumerate(unique)}
    equation = f"{''.join(letters[a] for a in layout)}->{''.join(letters.values())}"
    return Value(Text(f'jnp.einsum("{equation}", {text.code})', weak=text.weak), unique)


def emit_stop(scope: Scope, node: Node) -> Value:
    """`jax.lax.stop_gradient`, so that JAX's own derivatives of the program agree with ours."""
    value = scope.value(node.inputs[0])
    if node.op:
        return value
    return Value(replace(call("jax.lax.stop_gradient", value.text), weak=value.text.weak), value.layout)
