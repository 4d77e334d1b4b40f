"""Text of LINALG nodes: the operations of `compiler/graph/linalg.py` in `jnp.linalg` and `jax.scipy.linalg`."""

from __future__ import annotations

from vspec.compiler.emit.decompositions import FACTORED, FAMILIES, Factors, emit_decomposition, factors, is_cholesky
from vspec.compiler.emit.layout import Layout, Value, aligned, arranged
from vspec.compiler.emit.scope import EmissionError, Scope
from vspec.compiler.emit.text import name
from vspec.compiler.graph.linalg import unrenamed
from vspec.compiler.graph.node import Node


def emit_linalg(scope: Scope, node: Node) -> Value:
    """A matrix operation, batched over the axes that are no core of it."""
    if node.op in _SOLVES:
        return _solve(scope, node)
    if node.op in FAMILIES:
        return emit_decomposition(scope, node)
    if node.op in ("convolve", "deconvolve", "logdet_circulant"):
        return _circular(scope, node)
    shared = factors(scope, node) if node.op in FACTORED else None
    if shared is not None:
        return _logdet(shared) if node.op.startswith("logdet") else _inverse(scope, node, shared)
    (core,), result = node.attrs
    value = scope.whole(node.inputs[0])
    batch = tuple(a for a in value.layout if a not in core)
    text = arranged(value, batch + tuple(core)).code
    if node.op == "logdet":
        return Value(name(f"jnp.linalg.slogdet({text})[1]"), batch)
    if node.op in ("cholesky", "inv", "det"):
        return Value(name(f"jnp.linalg.{node.op}({text})"), batch + tuple(result))
    if node.op == "expm":
        return Value(name(f"expm({text})"), batch + tuple(result))
    if node.op == "cofactor":
        slope = "jax.grad(jnp.linalg.det)"
        if batch:
            slope = f'jnp.vectorize({slope}, signature="(n,n)->(n,n)")'
        return Value(name(f"{slope}({text})"), batch + tuple(result))
    raise EmissionError(f"no JAX text for the matrix operation {node.op!r}")


def _circular(scope: Scope, node: Node) -> Value:
    """Products and quotients of Fourier transforms along the last axis."""
    cores, result = node.attrs
    values = [scope.whole(x) for x in node.inputs]
    batch = tuple(dict.fromkeys(a for v, (core,) in zip(values, cores, strict=True) for a in v.layout if a != core))
    texts = [aligned(v, (*(a for a in batch), core)) for v, (core,) in zip(values, cores, strict=True)]
    if node.op == "logdet_circulant":
        return Value(name(f"jnp.sum(jnp.log(jnp.abs(jnp.fft.fft({texts[0].code}))), axis=-1)"), batch)
    column, x = (f"jnp.fft.rfft({t.code})" for t in texts)
    both = f"{column} * {x}" if node.op == "convolve" else f"{x} / {column}"
    size = scope.size(node.axis(result[0]).dim).code
    return Value(name(f"jnp.fft.irfft({both}, n={size})"), (*batch, *result))


# For each solve: the function, what follows its operands, and whether the matrix is stored with the right side's axis first.
_SOLVES = {
    "solve": ("jnp.linalg.solve", "", True),
    "solve_pd": ("cho_solve", "", True),
    "solve_tried": ("lu_solve", "", True),
    "triangular_solve": ("solve_triangular", ", lower=True", True),
    "triangular_solve_t": ("solve_triangular", ", trans=1, lower=True", False),
}


def _logdet(lu: Factors) -> Value:
    """The logarithm of the determinant from the diagonal of the factors."""
    diagonal = f"jnp.diagonal({lu.name}[0]{', axis1=-2, axis2=-1' if lu.batch else ''})"
    inside = diagonal if lu.cholesky else f"jnp.abs({diagonal})"
    twice = "2 * " if lu.cholesky else ""
    return Value(name(f"{twice}jnp.sum(jnp.log({inside}){', axis=-1' if lu.batch else ''})"), lu.batch)


def _inverse(scope: Scope, node: Node, lu: Factors) -> Value:
    """The inverse from the factors: the columns of the unit matrix as right sides."""
    axes = {x.name: x for x in node.inputs[0].axes}
    size = scope.size(axes[lu.layout[-1]].dim).code
    kind = "" if scope.graph.precision == "float64" else f", dtype={scope.dtype('real')}"
    unit = f"jnp.eye({size}{kind})"
    if lu.batch:
        unit = f"jnp.broadcast_to({unit}, {scope.shape([axes[a] for a in lu.layout])})"
    # The columns of the inverse are the rows of the matrix.
    return Value(
        name(f"{'cho' if lu.cholesky else 'lu'}_solve({lu.name}, {unit})"), (*lu.batch, lu.layout[-1], lu.layout[-2])
    )


def _solver(node: Node, rhs: str) -> str:
    """How to solve: by substitution where the matrix is a Cholesky factor or the transpose of one."""
    if node.op != "solve" or not is_cholesky(node.inputs[0]):
        return node.op
    matrix, shown = unrenamed(node.inputs[0])
    rows, _ = matrix.attrs[1]
    return "triangular_solve" if shown[rows] == rhs else "triangular_solve_t"


def _solve(scope: Scope, node: Node) -> Value:
    (_, (rhs,)), (result,) = node.attrs
    matrix, vector = node.inputs
    b = scope.whole(vector)
    shared = factors(scope, node) if node.op in FACTORED else None
    if shared is not None:
        function = "cho_solve" if shared.cholesky else "lu_solve"
        options = "" if shared.cholesky or shared.layout[-2] == rhs else ", trans=1"
        left, batch = shared.name, shared.batch
    else:
        function, options, straight = _SOLVES[_solver(node, rhs)]
        core = (rhs, result) if straight else (result, rhs)
        # A matrix that is the same along some axis is factored once.
        a = scope.value(matrix) if {*core} <= {*scope.value(matrix).layout} else scope.whole(matrix)
        batch = tuple(x for x in a.layout if x not in core)
        left = arranged(a, batch + core).code
    columns = tuple(x for x in b.layout if x != rhs and x not in batch)
    if not batch and len(columns) <= 1:
        return Value(name(f"{function}({left}, {arranged(b, (rhs, *columns)).code}{options})"), (result, *columns))
    # With batches the right side is a matrix of columns per batch, of one column where there are none.
    shape = (*batch, rhs, *columns)
    dims = {x.name: x.dim for n in (node, matrix, vector) for x in n.axes}
    right = arranged(_spread(scope, b, shape, dims), shape)
    if not columns:
        return Value(name(f"{function}({left}, {right.atom}[..., None]{options})[..., 0]"), (*batch, result))
    if len(columns) == 1:
        return Value(name(f"{function}({left}, {right.code}{options})"), (*batch, result, *columns))
    heads = [scope.size(dims[x]).code for x in (*batch, rhs)]
    tails = [scope.size(dims[x]).code for x in (*batch, result, *columns)]
    flat = f"{right.atom}.reshape({', '.join([*heads, '-1'])})"
    return Value(name(f"{function}({left}, {flat}{options}).reshape({', '.join(tails)})"), (*batch, result, *columns))


def _spread(scope: Scope, b: Value, shape: Layout, dims: dict[str, str]) -> Value:
    """The right side with the batch axes that only the matrix has."""
    if len(b.layout) == len(shape):
        return b
    sizes = ", ".join(scope.size(dims[x]).code for x in shape)
    return Value(name(f"jnp.broadcast_to({aligned(b, shape).code}, ({sizes}))"), shape)
