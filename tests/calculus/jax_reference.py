"""Graphs evaluated by JAX, operation by operation: JAX's own differentiation of this is what the calculus is tested against."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import jax.scipy.linalg as jsl
import jax.scipy.special as jss

from vspec.compiler.graph.kernel import Tree
from vspec.compiler.graph.node import Kind, Node, topological

UNARY = {
    "exp": jnp.exp,
    "log": jnp.log,
    "log1p": jnp.log1p,
    "expm1": jnp.expm1,
    "sqrt": jnp.sqrt,
    "abs": jnp.abs,
    "sign": jnp.sign,
    "sin": jnp.sin,
    "cos": jnp.cos,
    "tan": jnp.tan,
    "asin": jnp.arcsin,
    "acos": jnp.arccos,
    "atan": jnp.arctan,
    "sinh": jnp.sinh,
    "cosh": jnp.cosh,
    "tanh": jnp.tanh,
    "sigmoid": jax.nn.sigmoid,
    "log_sigmoid": jax.nn.log_sigmoid,
    "softplus": jax.nn.softplus,
    "relu": jax.nn.relu,
    "erf": jss.erf,
    "erfc": jss.erfc,
    "lgamma": jss.gammaln,
    "digamma": jss.digamma,
    "floor": jnp.floor,
    "ceil": jnp.ceil,
    "round": jnp.round,
    "square": jnp.square,
    "neg": jnp.negative,
    "not": jnp.logical_not,
    "real": lambda x: jnp.asarray(x, jnp.float64),
    "re": jnp.real,
    "im": jnp.imag,
    "conj": jnp.conj,
    "arg": jnp.angle,
    "integer": lambda x: jnp.asarray(x).astype(int),
    "asinh": jnp.arcsinh,
    "acosh": jnp.arccosh,
    "atanh": jnp.arctanh,
    "erfinv": jss.erfinv,
    "ndtr": jss.ndtr,
    "log_ndtr": jss.log_ndtr,
    "i0e": jss.i0e,
    "i1e": jss.i1e,
}
BINARY = {
    "sub": jnp.subtract,
    "div": jnp.divide,
    "mod": jnp.mod,
    "floordiv": jnp.floor_divide,
    "lt": jnp.less,
    "le": jnp.less_equal,
    "gt": jnp.greater,
    "ge": jnp.greater_equal,
    "eq": jnp.equal,
    "ne": jnp.not_equal,
    "and": jnp.logical_and,
    "or": jnp.logical_or,
    "maximum": jnp.maximum,
    "minimum": jnp.minimum,
    "atan2": jnp.arctan2,
    "xlogy": jss.xlogy,
    "betaln": jss.betaln,
    "gammainc": jss.gammainc,
    "gammaincc": jss.gammaincc,
    "polygamma": jss.polygamma,
    "complex": lambda x, y: x + 1j * y,
    "hypot": lambda x, y: jnp.abs(x + 1j * y),
    "copysign": jnp.copysign,
}


def kernel_value(tree: Tree, slots: list[Any]) -> Any:
    op = tree[0]
    if op == "x":
        return slots[tree[1]]
    if op == "num":
        return float(tree[1]) if not isinstance(tree[1], (bool, int)) else tree[1]
    args = [kernel_value(c, slots) for c in tree[1:]]
    if op == "add":
        total = args[0]
        for x in args[1:]:
            total = total + x
        return total
    if op == "mul":
        total = args[0]
        for x in args[1:]:
            total = total * x
        return total
    if op == "pow":
        return args[0] ** args[1]
    if op == "where":
        return jnp.where(*args)
    if op == "clip":
        return jnp.minimum(jnp.maximum(args[0], args[1]), args[2])
    return UNARY[op](*args) if op in UNARY else BINARY[op](*args)


def aligned(x: Any, node: Node, names: tuple[str, ...]) -> Any:
    """The array of a node laid out along `names`, with size-one axes where it lacks one."""
    x = jnp.asarray(x)
    order = [node.names.index(n) for n in names if n in node.names]
    x = jnp.transpose(x, order)
    shape, k = [], 0
    for n in names:
        shape.append(x.shape[k] if n in node.names else 1)
        k += n in node.names
    return x.reshape(shape)


def evaluate(root: Node, inputs: dict[int, Any], sizes: dict[str, int]) -> Any:
    """The array of `root`, given arrays for input nodes by uid and the sizes of dims."""
    return evaluate_all([root], inputs, sizes)[0]


def evaluate_all(roots: Sequence[Node], inputs: dict[int, Any], sizes: dict[str, int]) -> list[Any]:
    """The arrays of `roots`, all operations compiled together: one by one, each would be a program for each shape."""

    def computed(given: dict[int, Any]) -> list[Any]:
        values = dict(given)
        for node in topological(roots):
            if node.uid not in values:
                values[node.uid] = _value(node, values, sizes)
        return [values[root.uid] for root in roots]

    found: list[Any] = jax.jit(computed)(inputs)
    return found


def _value(node: Node, values: dict[int, Any], sizes: dict[str, int]) -> Any:
    args = [values[i.uid] for i in node.inputs]
    shape = tuple(sizes[a.dim] for a in node.axes)
    if node.kind is Kind.CONST:
        return jnp.asarray(sizes[node.attrs[0]] if node.op == "size" else node.attrs[0])
    if node.kind is Kind.INDEX:
        if node.op == "part":
            return jnp.asarray(list(itertools.product(range(sizes[node.attrs[0]]), repeat=shape[1])))
        return jnp.arange(shape[0]) if node.op == "value" else jnp.eye(*shape)
    if node.kind is Kind.STOP:
        return jax.lax.stop_gradient(args[0])
    if node.kind is Kind.MAP:
        slots = [aligned(x, i, node.names) for x, i in zip(args, node.inputs, strict=True)]
        return jnp.broadcast_to(kernel_value(node.attrs[0].tree, slots), shape)
    if node.kind is Kind.REDUCE:
        axes = tuple(node.inputs[0].names.index(n) for n in node.attrs[0])
        if node.op == "logsumexp":
            return jss.logsumexp(args[0], axis=axes)
        if node.op in ("argmax", "argmin"):
            return getattr(jnp, node.op)(args[0], axis=axes[0])
        return getattr(jnp, node.op)(args[0], axis=axes)
    if node.kind is Kind.REINDEX:
        return _reindex(node, args[0], sizes)
    if node.kind is Kind.CONTRACT:
        letters = {n: chr(97 + k) for k, n in enumerate(dict.fromkeys(n for i in node.inputs for n in i.names))}
        text = ",".join("".join(letters[n] for n in i.names) for i in node.inputs)
        return jnp.einsum(f"{text}->{''.join(letters[n] for n in node.names)}", *args)
    if node.kind is Kind.CONCAT:
        return _concat(node, args, sizes)
    if node.kind is Kind.LINALG:
        return _linalg(node, args)
    if node.kind is Kind.WINDOW:
        return _window(node, args[0], sizes)
    if node.kind is Kind.GATHER:
        return _gather(node, args, sizes)
    if node.kind is Kind.SCATTER:
        return _scatter(node, args, sizes)
    if node.kind is Kind.CUMULATE:
        return _cumulate(node, args, sizes)
    raise NotImplementedError(node.kind)


def _concat(node: Node, args: list[Any], sizes: dict[str, int]) -> Any:
    if node.op == "part":
        axis, groups, k, names = node.attrs
        at = node.inputs[0].names.index(axis)
        ends = [0]
        for group in groups:
            length = 1
            for dim in group:
                length *= sizes[dim]
            ends.append(ends[-1] + length)
        moved = jnp.moveaxis(args[0], at, 0)[ends[k] : ends[k + 1]]
        rest = [n for n in node.inputs[0].names if n != axis]
        moved = moved.reshape([*(sizes[d] for d in groups[k]), *moved.shape[1:]])
        return jnp.transpose(moved, [[*names, *rest].index(n) for n in node.names])
    new, groups = node.attrs
    batch = [a for a in node.axes if a.name != new.name]
    parts = []
    for x, operand, group in zip(args, node.inputs, groups, strict=True):
        laid = aligned(x, operand, (*(a.name for a in batch), *group))
        laid = jnp.broadcast_to(laid, [*(sizes[a.dim] for a in batch), *laid.shape[len(batch) :]])
        parts.append(laid.reshape([*laid.shape[: len(batch)], -1]))
    joined = jnp.concatenate(parts, axis=-1)
    return jnp.transpose(joined, [[*(a.name for a in batch), new.name].index(n) for n in node.names])


def _window(node: Node, x: Any, sizes: dict[str, int]) -> Any:
    where = node.inputs[0].names.index(node.attrs[0])
    if node.op == "at":
        return jnp.take(x, node.attrs[1] % x.shape[where], axis=where)
    if node.op == "flip":
        return jnp.flip(x, where)
    if node.op == "shift":
        _, offset, mode = node.attrs
        rows = jnp.arange(x.shape[where]) + offset
        if mode == "periodic":
            return jnp.take(x, rows % x.shape[where], axis=where)
        return jnp.take(x, jnp.where(rows < 0, x.shape[where], rows), axis=where, mode="fill", fill_value=0)
    _, new, scale, offset = node.attrs
    return jnp.take(x, scale * jnp.arange(sizes[node.axis(new).dim]) + offset, axis=where)


def _scatter(node: Node, args: list[Any], sizes: dict[str, int]) -> Any:
    zeros = jnp.zeros([sizes[a.dim] for a in node.axes])
    if node.op == "at":
        return zeros.at[node.attrs[1]].add(args[0])
    if node.op == "gather":
        (new,) = node.attrs
        values, index = node.inputs
        keep = [n for n in node.names if n != new.name]
        wide = [*keep, *(n for n in dict.fromkeys((*values.names, *index.names)) if n not in keep)]
        shape = [next(sizes[a.dim] for a in (*node.axes, *values.axes, *index.axes) if a.name == n) for n in wide]
        rows = jnp.broadcast_to(aligned(args[1], index, tuple(wide)), shape)
        spread = jnp.broadcast_to(aligned(args[0], values, tuple(wide)), shape)
        places = [jnp.arange(sizes[node.axis(n).dim]).reshape([-1 if m == n else 1 for m in wide]) for n in keep]
        total = jnp.zeros([sizes[new.dim], *(sizes[node.axis(n).dim] for n in keep)]).at[(rows, *places)].add(spread)
        return jnp.transpose(total, [[new.name, *keep].index(n) for n in node.names])
    if node.op == "affine":
        axis, new, scale, offset = node.attrs
        where = node.names.index(new.name)
        steps = scale * jnp.arange(args[0].shape[node.inputs[0].names.index(axis)]) + offset
        return jnp.moveaxis(jnp.moveaxis(zeros, where, 0).at[steps].add(jnp.moveaxis(args[0], where, 0)), 0, where)
    raise NotImplementedError(node.op)


def _gather(node: Node, args: list[Any], sizes: dict[str, int]) -> Any:
    x, index = node.inputs
    rows = aligned(args[1], index, node.names)
    places = []
    for a in x.axes:
        shape = [sizes[a.dim] if a.name == n else 1 for n in node.names]
        places.append(rows if a.name == node.attrs[0] else jnp.arange(sizes[a.dim]).reshape(shape))
    return args[0][tuple(places)]


def _cumulate(node: Node, args: list[Any], sizes: dict[str, int]) -> Any:
    axis, reverse = node.attrs
    shape = [sizes[a.dim] for a in node.axes]
    laid = [jnp.broadcast_to(aligned(x, i, node.names), shape) for x, i in zip(args, node.inputs, strict=True)]
    laid = [jnp.moveaxis(x, node.names.index(axis), 0)[:: -1 if reverse else 1] for x in laid]
    if node.op == "linear":
        rows = [laid[1][0]]
        for k in range(1, shape[node.names.index(axis)]):
            rows.append(laid[0][k] * rows[-1] + laid[1][k])
        out = jnp.stack(rows)
    elif node.op == "argsort":
        out = jnp.argsort(laid[0], axis=0)
    else:
        out = {"sum": jnp.cumsum, "prod": jnp.cumprod}[node.op](laid[0], axis=0)
    return jnp.moveaxis(out[:: -1 if reverse else 1], 0, node.names.index(axis))


def _reindex(node: Node, x: Any, sizes: dict[str, int]) -> Any:
    targets = node.attrs[0]
    letters = {n: chr(97 + k) for k, n in enumerate(dict.fromkeys([*targets, *node.names]))}
    kept = [n for n in node.names if n in targets]
    x = jnp.einsum(f"{''.join(letters[n] for n in targets)}->{''.join(letters[n] for n in kept)}", x)
    x = x.reshape([sizes[a.dim] if a.name in targets else 1 for a in node.axes])
    return jnp.broadcast_to(x, tuple(sizes[a.dim] for a in node.axes))


def _linalg(node: Node, args: list[Any]) -> Any:
    cores, result = node.attrs
    batch = [a.name for a in node.axes if a.name not in result]

    def laid(k: int) -> Any:
        return aligned(args[k], node.inputs[k], (*batch, *cores[k]))

    a = laid(0)
    if node.op == "logdet":
        return jnp.linalg.slogdet(a)[1]
    if node.op == "det":
        return jnp.linalg.det(a)
    if node.op == "inv":
        out = jnp.linalg.inv(a)
    elif node.op == "cholesky":
        out = jnp.linalg.cholesky(a)
    elif node.op == "expm":
        out = jsl.expm(a)
    elif node.op == "cofactor":
        out = jnp.vectorize(jax.grad(jnp.linalg.det), signature="(n,n)->(n,n)")(a)
    elif node.op in ("eigvalsh", "eigh"):
        values, vectors = jnp.linalg.eigh(a)
        out = values if node.op == "eigvalsh" else vectors * _signs(vectors)
    elif node.op in ("svdvals", "svd_left", "svd_right"):
        u, s, vt = jnp.linalg.svd(a, full_matrices=False)
        out = {"svd_left": u * _signs(u), "svdvals": s, "svd_right": jnp.swapaxes(vt, -1, -2) * _signs(u)}[node.op]
    else:
        rhs = laid(1)[..., None]
        shape = jnp.broadcast_shapes(a.shape[:-2], rhs.shape[:-2])
        a = jnp.broadcast_to(a, (*shape, *a.shape[-2:]))
        rhs = jnp.broadcast_to(rhs, (*shape, *rhs.shape[-2:]))
        if node.op == "solve":
            out = jnp.linalg.solve(a, rhs)[..., 0]
        elif node.op == "triangular_solve":
            out = jsl.solve_triangular(a, rhs, lower=True)[..., 0]
        else:
            out = jsl.solve_triangular(a, rhs, lower=True, trans=1)[..., 0]
    order = [[*batch, *result].index(n) for n in node.names]
    return jnp.transpose(out, order)


def _signs(x: Any) -> Any:
    """The sign of the largest entry of each column, as in the reference interpreter."""
    where = jnp.argmax(jnp.abs(x), axis=-2, keepdims=True)
    return jnp.sign(jnp.take_along_axis(x, where, axis=-2))
