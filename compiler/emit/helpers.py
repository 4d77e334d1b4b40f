"""Functions that JAX lacks, or that it computes less well than a derivative needs: texts that a program starts with.

A program holds those that it uses. They are written like the rest of it, for any precision, and are differentiable by JAX,
because loops are. Formulas: NIST Digital Library of Mathematical Functions (https://dlmf.nist.gov), by section.
"""

from __future__ import annotations

import re

_ERFINV = '''\
@jax.custom_jvp
def erfinv(x: Array) -> Array:
    """The inverse of erf: JAX's own, good to about 1e-12 near the ends, and one step of Newton's method."""
    size = jnp.abs(x)
    y = erf_inv(size)
    excess = jnp.where(size < 0.5, size - erf(y), erfc(y) - (1.0 - size))
    step = 0.5 * jnp.sqrt(jnp.pi) * jnp.exp(y * y) * excess
    return jnp.sign(x) * jnp.where(size < 1.0, y + step, y)


erfinv.defjvps(lambda dx, y, x: 0.5 * jnp.sqrt(jnp.pi) * jnp.exp(y * y) * dx)
'''

_NDTR_RATIO = '''\
def ndtr_ratio(x: Array) -> Array:
    """The normal density over the normal distribution function at x."""
    return jnp.where(x < -10.0, ndtr_excess(x) - x, jnp.exp(-0.5 * x * x) / (jnp.sqrt(2.0 * jnp.pi) * ndtr(x)))
'''

_NDTR_EXCESS = '''\
def ndtr_excess(x: Array) -> Array:
    """x plus ndtr_ratio(x); far to the left a continued fraction (DLMF 7.9.3), where the sum would cancel."""
    u = jnp.maximum(-x, 10.0)
    tail = u
    for k in range(10, 1, -1):
        tail = u + k / tail
    near = jnp.maximum(x, -10.0)
    return jnp.where(
        x < -10.0,
        1.0 / tail,
        near + jnp.exp(-0.5 * near * near) / (jnp.sqrt(2.0 * jnp.pi) * ndtr(near)),
    )
'''

_LOG_NDTR = '''\
@jax.custom_jvp
def log_ndtr(x: Array) -> Array:
    """The logarithm of the normal distribution function, accurate in both tails."""
    tail = -0.5 * x * x - jnp.log(jnp.sqrt(2.0 * jnp.pi) * (ndtr_excess(x) - x))
    return jnp.where(x < -10.0, tail, jnp.where(x < -1.0, jnp.log(ndtr(x)), jnp.log1p(-ndtr(-x))))


log_ndtr.defjvps(lambda dx, value, x: ndtr_ratio(x) * dx)
'''

_BETALN = '''\
def betaln(a: Array, b: Array) -> Array:
    """The logarithm of the beta function; for large arguments by Stirling's series (DLMF 5.11.1), which does not cancel."""
    p, q = jnp.minimum(a, b), jnp.maximum(a, b)
    large = jnp.maximum(q, 10.0)
    whole = p + large

    def rest(x: Array) -> Array:
        y = 1.0 / (x * x)
        series = 1 / 1188 - y * (691 / 360360 - y / 156)
        return (1 / 12 - y * (1 / 360 - y * (1 / 1260 - y * (1 / 1680 - y * series)))) / x

    ratio = p * (1.0 - jnp.log(whole)) - (large - 0.5) * jnp.log1p(p / large) + rest(large) - rest(whole)
    return jnp.where(q < 10.0, gammaln(a) + gammaln(b) - gammaln(a + b), gammaln(p) + ratio)
'''

_BESSEL_RATIO = '''\
def bessel_ratio(n: int, x: Array) -> Array:
    """exp(-abs(x))*In(x)/x**n: near 0 by its series (DLMF 10.25.2), else from orders 0 and 1 upwards (DLMF 10.29.1)."""
    scale = 1.0
    for k in range(1, n + 1):
        scale *= 2.0 * k
    near = jnp.abs(x) < 2.0
    quarter = jnp.where(near, x * x, 0.0) / 4.0
    series = jnp.zeros_like(quarter)
    for k in range(14, -1, -1):
        series = 1.0 + series * quarter / ((k + 1) * (k + 1 + n))
    series = series * jnp.exp(-jnp.abs(x)) / scale
    far = jnp.where(near, 2.0, x)
    below, ratio = i0e(far), i1e(far) / far
    for k in range(1, n):
        below, ratio = ratio, (below - 2.0 * k * ratio) / (far * far)
    return jnp.where(near, series, ratio)
'''

_GAMMA_SLOPE = '''\
def gamma_slope(shape: Array, z: Array) -> Array:
    """The derivative of a draw z of a standard gamma law by its shape, at equal probability."""
    return random_gamma_grad(*jnp.broadcast_arrays(shape, z))
'''

_LINEAR_RECURRENCE = '''\
def linear_recurrence(factors: Array, terms: Array, axis: int, reverse: bool = False) -> Array:
    """y with y[k] = factors[k] * y[k - 1] + terms[k] along the axis and y[-1] = 0; from the end if `reverse`."""

    def joined(first: tuple[Array, Array], second: tuple[Array, Array]) -> tuple[Array, Array]:
        return first[0] * second[0], first[1] * second[0] + second[1]

    return jax.lax.associative_scan(joined, (factors, terms), reverse, axis)[1]'''

_PIVOTS = '''\
def pivots(products: Array, diagonal: Array, axis: int, reverse: bool = False) -> Array:
    """p with p[k] = diagonal[k] - products[k] / p[k - 1] along the axis, products[0] being 0; from the end if `reverse`."""

    def step(last: Array, now: tuple[Array, Array]) -> tuple[Array, Array]:
        pivot = now[1] - now[0] / last
        return pivot, pivot

    rows = jnp.moveaxis(products, axis, 0), jnp.moveaxis(diagonal, axis, 0)
    found = jax.lax.scan(step, jnp.ones_like(rows[1][0]), rows, reverse=reverse, unroll=8)[1]
    return jnp.moveaxis(found, 0, axis)'''

_EXPONENTIALS = '''\
def exponentials(x: Array, axis: int | tuple[int, ...]) -> tuple[Array, Array]:
    """About the largest x along an axis, and exp(x) divided by exp of that. What is below the largest by less than the rounding
    of numbers that large counts as equal to it where that is much more than 1, since XLA may compute x anew for each reader."""
    top = jnp.max(x, axis, keepdims=True)
    rounding = 16 * jnp.finfo(x.dtype).eps * jnp.abs(top)
    top = jnp.where(top == -jnp.inf, 0, top - jnp.where(rounding > 64, rounding, 0))
    return top, jnp.exp(jnp.minimum(x, top) - top)
'''

_SOFTMAX = '''\
def softmax(x: Array, axis: int | tuple[int, ...]) -> Array:
    """exp(x) over its sum along an axis; these sum to 1 however large x is."""

    @jax.custom_jvp
    def shares(x: Array) -> Array:
        _, weights = exponentials(x, axis)
        return weights / jnp.sum(weights, axis, keepdims=True)

    @shares.defjvp
    def _(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
        found = shares(*primals)
        return found, found * (tangents[0] - jnp.sum(found * tangents[0], axis, keepdims=True))

    return shares(x)
'''

_LOG_TOTAL = '''\
def log_total(x: Array, axis: int | tuple[int, ...]) -> Array:
    """The logarithm of the sum of exp(x) along an axis, of the same exponentials as softmax."""

    @jax.custom_jvp
    def total(x: Array) -> Array:
        top, weights = exponentials(x, axis)
        sums = jnp.log(jnp.sum(weights, axis, keepdims=True))
        return jnp.squeeze(jnp.where(jnp.any(x == jnp.inf, axis, keepdims=True), jnp.inf, top + sums), axis)

    @total.defjvp
    def _(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
        return total(*primals), jnp.sum(softmax(primals[0], axis) * tangents[0], axis)

    return total(x)
'''

_COLUMNS = '''\
def columns(x: Array) -> Array:
    """The last axis first, and so in memory: by positions, since what XLA may only turn around it reads where it lies."""
    return jnp.moveaxis(x, -1, 0)[jnp.arange(x.shape[-1])]
'''

_CHECKPOINTED = '''\
def checkpointed(step: Callable[[Any, Array], Any], start: Any, times: Array) -> Any:
    """jax.lax.scan whose derivative keeps about the square root of the states and computes the steps between them again."""
    count = times.shape[0]
    size = max(1, int(count**0.5))
    whole = count - count % size
    once = jax.checkpoint(step, prevent_cse=False)

    def several(carry: Any, some: Array) -> Any:
        return jax.lax.scan(once, carry, some)

    again = jax.checkpoint(several, prevent_cse=False)
    carry, paths = jax.lax.scan(again, start, times[:whole].reshape(-1, size))
    last, rest = again(carry, times[whole:])
    return last, jax.tree.map(lambda a, b: jnp.concatenate([a.reshape(whole, *a.shape[2:]), b]), paths, rest)
'''

_ROWS_AT_ONCE = '''\
def rows_at_once(size: int, row: int, *more: int) -> int:
    """How many of `size` rows of `row` bytes, times `more`, are computed at a time: all if they fit into MEMORY, else what fits
    into CHUNK. Where sizes are open (in an artifact) so is this number; it is known where the artifact is compiled for some."""
    if all(isinstance(x, int) for x in (size, row, *more)):
        for x in more:
            row *= x
        if size * row <= MEMORY:
            return size
        most = max(1, min(size, CHUNK // max(1, row)))
        return next((k for k in range(most, most // 2, -1) if size % k == 0), most)
    # By one size after the other: products of sizes may be larger than the integers of a device.
    most, fit = CHUNK // row, MEMORY // size // row
    for x in more:
        most, fit = most // x, fit // x
    return jax.core.min_dim(size, jax.core.max_dim(1, most) + jax.core.min_dim(1, fit) * size)
'''

_IN_PARTS = '''\
def in_parts(
    part: Callable[[Any, int], Any],
    size: int,
    count: int,
    start: Any = (),
    join: Any = lambda before, here: before,
) -> Any:
    """The rows and the totals that `part(first, count)` gives of `size` rows, `count` at a time, or all where there are no more:
    rows one after the other, totals by `join` of those before, at first `start`, and those here."""
    count = jax.core.min_dim(count, size)
    if count == size:
        return part(0, size)
    # Of open sizes JAX cannot tell that there are so many: it is told. A stretch has a row even if none is left, then the last.
    times, left = jax.core.max_dim(1, size // count), size % count
    rest = jax.core.max_dim(1, jax.core.min_dim(size, left))
    whole = times * count

    def step(before: Any, first: Array) -> Any:
        rows, here = part(first, count)
        return join(before, here), rows

    def put(rows: Array, last: Array) -> Array:
        found = jnp.zeros((size, *last.shape[1:]), last.dtype)
        found = jax.lax.dynamic_update_slice_in_dim(found, rows[: jax.core.min_dim(size, whole)], 0, 0)
        return jax.lax.dynamic_update_slice_in_dim(found, last, size - rest, 0)

    totals, rows = jax.lax.scan(step, start, jnp.arange(times) * count)
    rows = jax.tree.map(lambda x: x.reshape(whole, *x.shape[2:]), rows)
    if left == 0:
        return rows, totals
    last, here = part(size - rest, rest)
    new = jax.tree.map(lambda a, b: jnp.where(jnp.asarray(left) > 0, b, a), totals, join(totals, here))
    return jax.tree.map(put, rows, last), new
'''

_CONVOLUTION = '''\
def convolution(*strides: int) -> Callable[[Array, Array], Array]:
    """x[position, i] and w[offset, i, k] to the sum over offset and i of x[strides*position + offset, i] w[offset, i, k]."""
    axes = "DHW"[-len(strides) :]

    def convolved(x: Array, w: Array) -> Array:
        numbers = (f"N{axes}C", f"{axes}IO", f"N{axes}C")
        return jax.lax.conv_general_dilated(x[None], w, strides, "VALID", dimension_numbers=numbers)[0]

    return convolved
'''

_BANDED_FACTORS = '''\
def banded_factors(below: int, diagonals: list[Array]) -> tuple[Array, Array]:
    """The factors of a matrix with the diagonals A[r, r + k], k = -below, .., each over the rows: the multipliers L[r, r - 1],
    L[r, r - 2], .. and the rows U[r, r], U[r, r + 1], .. of an elimination without exchanges."""
    size, count = diagonals[0].shape[0], len(diagonals)
    column = jnp.arange(size)[:, None] + jnp.arange(-below, count - below)
    bands = jnp.where((column >= 0) & (column < size), jnp.stack(diagonals, axis=-1), 0)

    def eliminate(before: Array, row: Array) -> tuple[Array, tuple[Array, Array]]:
        factors = []
        for k in range(below, 0, -1):
            factor = row[below - k] / before[k - 1, 0]
            row = row.at[below - k : count - k].add(-factor * before[k - 1])
            factors.insert(0, factor)
        upper = row[below:]
        return jnp.concatenate([upper[None], before[:-1]]), (jnp.stack(factors), upper)

    start = jnp.zeros((below, count - below), bands.dtype).at[:, 0].set(1)
    return jax.lax.scan(eliminate, start, bands)[1]
'''

_BANDED_SOLVE = '''\
def banded_solve(below: int) -> Callable[..., Array]:
    """The solution x of A x = b, from the diagonals of A, the lowest of `below` under the main one first, and from b."""

    def solved(*given: Array) -> Array:
        *diagonals, right = given
        lower, upper = banded_factors(below, diagonals)

        def down(before: Array, row: tuple[Array, Array]) -> tuple[Array, Array]:
            here = row[1] - row[0] @ before
            return jnp.concatenate([here[None], before[:-1]]), here

        def up(after: Array, row: tuple[Array, Array]) -> tuple[Array, Array]:
            here = (row[1] - row[0][1:] @ after) / row[0][0]
            return jnp.concatenate([here[None], after])[: len(after)], here

        _, y = jax.lax.scan(down, jnp.zeros(below, right.dtype), (lower, right))
        return jax.lax.scan(up, jnp.zeros(upper.shape[1] - 1, right.dtype), (upper, y), reverse=True)[1]

    return solved
'''

_BANDED_LOGDET = '''\
def banded_logdet(below: int) -> Callable[..., Array]:
    """log |det A| from the diagonals of A, the lowest of `below` under the main one first."""
    return lambda *diagonals: jnp.sum(jnp.log(jnp.abs(banded_factors(below, list(diagonals))[1][:, 0])))
'''

_SYMMETRIC_FACTOR = '''\
@jax.custom_jvp
def symmetric_factor(matrix: Array) -> tuple[Array, Array]:
    """The LU factors of symmetric matrices: made of those of Cholesky if all are positive definite, at half the operations."""
    lower = jax.lax.linalg.cholesky(matrix, symmetrize_input=False)
    diagonal = jnp.diagonal(lower, axis1=-2, axis2=-1)

    def joined(_: Array) -> tuple[Array, Array]:
        rows = jnp.arange(matrix.shape[-1], dtype=jnp.int32)
        below = jnp.tril(lower / diagonal[..., None, :], -1)
        return below + jnp.swapaxes(lower, -1, -2) * diagonal[..., None], jnp.broadcast_to(rows, diagonal.shape)

    # The factor of any other matrix is not a number.
    return jax.lax.cond(jnp.all(jnp.isfinite(diagonal)), joined, lambda a: tuple(lu_factor(a)), matrix)


@symmetric_factor.defjvp
def _(primals: tuple[Array], tangents: tuple[Array]) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    both, pivots = symmetric_factor(*primals)
    order = jax.lax.linalg.lu_pivots_to_permutation(pivots, both.shape[-1])
    below, above = jnp.tril(both, -1) + jnp.eye(both.shape[-1], dtype=both.dtype), jnp.triu(both)
    # P A = L U: L_dot is L times what is below the diagonal of inv(L) P A_dot inv(U), U_dot the rest of it times U.
    half = solve_triangular(below, jnp.take_along_axis(tangents[0], order[..., None], -2), lower=True, unit_diagonal=True)
    turned = jnp.swapaxes(solve_triangular(above, jnp.swapaxes(half, -1, -2), trans=1), -1, -2)
    moved = below @ jnp.tril(turned, -1) + jnp.triu(turned) @ above
    return (both, pivots), (moved, jax.custom_derivatives.zero_from_primal(pivots))
'''

_TOEPLITZ_SOLVE = '''\
def toeplitz_solve(column: Array, right: Array) -> Array:
    """x with the sum over c of column[|r - c|] x[c] = right[r], by Levinson's recursion for a positive definite matrix."""
    size = column.shape[0]
    ratio = column / column[0]
    first = jnp.zeros_like(ratio).at[0]

    def step(carry: Any, row: tuple[Array, Array, Array]) -> tuple[Any, None]:
        x, turned_x, y, turned_y, reflection, error = carry
        k, here, ahead = row
        error = error * (1 - reflection**2)
        by = (here - ratio[1:] @ turned_x[:-1]) / error
        x, turned_x = (x + by * turned_y).at[k].set(by), jnp.roll(turned_x + by * y, 1).at[0].set(by)
        by = -(ahead + ratio[1:] @ turned_y[:-1]) / error
        y, turned_y = (y + by * turned_y).at[k].set(by), jnp.roll(turned_y + by * y, 1).at[0].set(by)
        return (x, turned_x, y, turned_y, by, error), None

    scaled = right / column[0]
    ahead = jnp.append(ratio[2:], 0.0)[: size - 1]
    x, y = first.set(scaled[0]), first.set(-ratio[1:2].sum())
    start = (x, x, y, y, -ratio[1:2].sum(), jnp.ones((), ratio.dtype))
    return jax.lax.scan(step, start, (jnp.arange(1, size), scaled[1:], ahead))[0][0]
'''

_TOEPLITZ_LOGDET = '''\
def toeplitz_logdet(column: Array) -> Array:
    """log det A of the positive definite A[r, c] = column[|r - c|], by the errors of Durbin's recursion."""
    size = column.shape[0]
    ratio = column / column[0]

    def step(carry: Any, row: tuple[Array, Array]) -> tuple[Any, Array]:
        y, turned, error = carry
        k, ahead = row
        by = -(ahead + ratio[1:] @ turned[:-1]) / error
        y, turned = (y + by * turned).at[k].set(by), jnp.roll(turned + by * y, 1).at[0].set(by)
        error = error * (1 - by**2)
        return (y, turned, error), error

    none = jnp.zeros_like(ratio)
    _, errors = jax.lax.scan(step, (none, none, jnp.ones((), ratio.dtype)), (jnp.arange(size - 1), ratio[1:]))
    return size * jnp.log(column[0]) + jnp.sum(jnp.log(errors))
'''

_ALONG_AXES = '''\
def along_axes(matrices: list[Array], x: Array) -> Array:
    """The Kronecker product of some matrices times an x that has an axis for each of them."""
    for k, matrix in enumerate(matrices):
        x = jnp.moveaxis(jnp.tensordot(matrix, x, (1, k)), 0, k)
    return x
'''

_GRID_SOLVE = '''\
def grid_solve(*given: Array) -> Array:
    """x with A x = right, for the Kronecker product A of symmetric matrices plus a number; the last two are given last. Solved
    by eigenvectors, with the derivatives of a linear system, which no equal eigenvalues harm."""
    *factors, number, right = given
    vectors, values = [], jnp.ones((), right.dtype)
    for factor in factors:
        own, basis = jnp.linalg.eigh(jax.lax.stop_gradient(factor))
        vectors.append(basis)
        values = values[..., None] * own
    values = values + jax.lax.stop_gradient(number)
    turned = [basis.T for basis in vectors]

    def solved(_: Any, y: Array) -> Array:
        return along_axes(vectors, along_axes(turned, y) / values)

    return jax.lax.custom_linear_solve(lambda x: along_axes(factors, x) + number * x, right, solved, symmetric=True)
'''

_GRID_SLOPES = '''\
@jax.custom_jvp
def grid_slopes(*given: Array) -> tuple[Array, ...]:
    """The derivatives of `grid_logdet` by each of the matrices and by the number."""
    values, vectors, others, whole = grid_spectrum(*given)
    slopes = [(v * jnp.sum(o / whole, axis=grid_but(k, whole))) @ v.T for k, (v, o) in enumerate(zip(vectors, others))]
    return (*slopes, jnp.sum(1 / whole))


@grid_slopes.defjvp
def _(primals: tuple[Array, ...], tangents: tuple[Array, ...]) -> tuple[tuple[Array, ...], tuple[Array, ...]]:
    # With D the eigenvalues of the whole, dA in the basis of eigenvectors, and no quotient of differences of eigenvalues:
    # d tr(inv(A) F) = tr(inv(A) dF) - tr(inv(A) dA inv(A) F).
    values, vectors, others, whole = grid_spectrum(*primals)
    *factors, number = primals
    *moves, shift = tangents
    turned = [v.T @ m @ v for v, m in zip(vectors, moves)]
    along = [grid_axis(jnp.diagonal(t), k, whole) for k, t in enumerate(turned)]
    found = []
    for k, (v, t) in enumerate(zip(vectors, turned)):
        rows = jnp.moveaxis(others[k] / whole, k, 0).reshape(len(v), -1)
        rest = -shift * others[k]
        for m in range(len(vectors)):
            if m != k:
                both = jnp.ones_like(whole)
                for l, own in enumerate(values):
                    both = both if l in (k, m) else both * grid_axis(own, l, whole)
                rest = rest + number * both * along[m]
        on = jnp.sum(rest / whole**2, axis=grid_but(k, whole))
        found.append(v @ (jnp.diag(on) - t.T * (rows @ rows.T)) @ v.T)
    last = -jnp.sum((shift + sum(o * a for o, a in zip(others, along))) / whole**2)
    return grid_slopes(*primals), (*found, last)
'''

_GRID_SPECTRUM = '''\
def grid_axis(x: Array, k: int, whole: Array) -> Array:
    """A vector along axis k."""
    return x.reshape([-1 if j == k else 1 for j in range(whole.ndim)])


def grid_but(k: int, whole: Array) -> tuple[int, ...]:
    """All axes but one."""
    return tuple(j for j in range(whole.ndim) if j != k)


def grid_spectrum(*given: Array) -> tuple[list[Array], list[Array], list[Array], Array]:
    """Eigenvalues and eigenvectors of some symmetric matrices; for each of them the products of the eigenvalues of all others;
    and the eigenvalues of their Kronecker product plus a number, which is given last. The latter two have an axis for each."""
    *factors, number = given
    values, vectors = [list(part) for part in zip(*map(jnp.linalg.eigh, factors))]
    whole = jnp.zeros([len(own) for own in values], values[0].dtype)
    alone = [grid_axis(own, k, whole) for k, own in enumerate(values)]
    others = []
    for k in range(len(values)):
        rest = jnp.ones_like(whole)
        for j, own in enumerate(alone):
            rest = rest if j == k else rest * own
        others.append(rest)
    return values, vectors, others, others[0] * alone[0] + number
'''

_GRID_LOGDET = '''\
@jax.custom_jvp
def grid_logdet(*given: Array) -> Array:
    """log |det A| of the Kronecker product of symmetric matrices plus a number, which is given last."""
    return jnp.sum(jnp.log(jnp.abs(grid_spectrum(*given)[3])))


@grid_logdet.defjvp
def _(primals: tuple[Array, ...], tangents: tuple[Array, ...]) -> tuple[Array, Array]:
    return grid_logdet(*primals), sum(jnp.sum(s * t) for s, t in zip(grid_slopes(*primals), tangents))
'''

_PULLBACK = '''\
def pullback(function: Callable[..., Array], *wanted: int) -> Callable[..., Any]:
    """The adjoints of some arguments of a function, from its arguments and the adjoint of its value."""

    def pulled(*given: Array) -> Any:
        *primals, bar = given
        adjoints = jax.vjp(function, *primals)[1](bar)
        return adjoints[wanted[0]] if len(wanted) == 1 else tuple(adjoints[k] for k in wanted)

    return pulled
'''

_PUSHFORWARD = '''\
def pushforward(function: Callable[..., Array], k: int) -> Callable[..., Array]:
    """The tangent of the value of a function, from its arguments and the tangent of argument k."""

    def pushed(*given: Array) -> Array:
        *primals, dot = given
        return jax.jvp(lambda x: function(*primals[:k], x, *primals[k + 1 :]), (primals[k],), (dot,))[1]

    return pushed
'''

_SCALED_STEPS = '''\
def scaled_steps(
    by_logs: Callable[[Any, Array], Any],
    kernel: Callable[[Any], Any],
    by_products: Callable[[Any, Array, Any, Any], Any],
    start: Any,
    length: int,
    size: int,
) -> Any:
    """The states after `length` steps, by products with a kernel for as long as these lose nothing to underflow.

    The kernel is made anew where they would; before one that follows a kernel which served no step, there are steps by
    logarithms, each time twice as many. Where a kernel of `size` bytes is above MEMORY, all steps are by logarithms.
    """
    if isinstance(size, int) and size > MEMORY:
        return jax.lax.fori_loop(0, length, lambda t, states: by_logs(states, t)[0], start)
    none = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), jax.eval_shape(by_logs, start, jnp.int32(0))[1])

    def serve(carry: Any) -> Any:
        t, states, terms, served, count = carry
        stop = jnp.where(served, t, jnp.minimum(t + count, length)).astype(jnp.int32)
        t, states, terms = jax.lax.while_loop(
            lambda c: c[0] < stop, lambda c: (c[0] + 1, *by_logs(c[1], c[0])), (t, states, terms)
        )
        kernels = kernel(terms)

        def step(c: Any) -> Any:
            new = by_products(c[1], c[0], kernels, terms)
            states, here = jax.tree.map(lambda a, b: jnp.where(new[2], a, b), new[:2], c[1:3])
            return c[0] + new[2].astype(jnp.int32), states, here, new[2]

        begun = (t, states, terms, jnp.asarray(True))
        last, states, here, _ = jax.lax.while_loop(lambda c: c[3] & (c[0] < length), step, begun)
        return last, states, here, last > t, jnp.where(last > t, 1, jnp.minimum(2 * count, 1 << 20)).astype(jnp.int32)

    begun = (jnp.int32(0), start, none, jnp.asarray(False), jnp.int32(1))
    return jax.lax.while_loop(lambda c: c[0] < length, serve, begun)[1]
'''

# In the order in which they are written: each uses only JAX and those before it.
HELPERS: dict[str, str] = {
    "erfinv": _ERFINV,
    "ndtr_excess": _NDTR_EXCESS,
    "ndtr_ratio": _NDTR_RATIO,
    "log_ndtr": _LOG_NDTR,
    "betaln": _BETALN,
    "bessel_ratio": _BESSEL_RATIO,
    "gamma_slope": _GAMMA_SLOPE,
    "linear_recurrence": _LINEAR_RECURRENCE,
    "pivots": _PIVOTS,
    "exponentials": _EXPONENTIALS,
    "softmax": _SOFTMAX,
    "log_total": _LOG_TOTAL,
    "columns": _COLUMNS,
    "checkpointed": _CHECKPOINTED,
    "rows_at_once": _ROWS_AT_ONCE,
    "in_parts": _IN_PARTS,
    "convolution": _CONVOLUTION,
    "banded_factors": _BANDED_FACTORS,
    "banded_solve": _BANDED_SOLVE,
    "banded_logdet": _BANDED_LOGDET,
    "symmetric_factor": _SYMMETRIC_FACTOR,
    "toeplitz_solve": _TOEPLITZ_SOLVE,
    "toeplitz_logdet": _TOEPLITZ_LOGDET,
    "along_axes": _ALONG_AXES,
    "grid_solve": _GRID_SOLVE,
    "grid_spectrum": _GRID_SPECTRUM,
    "grid_slopes": _GRID_SLOPES,
    "grid_logdet": _GRID_LOGDET,
    "pullback": _PULLBACK,
    "pushforward": _PUSHFORWARD,
    "scaled_steps": _SCALED_STEPS,
}

# These are handed on as they are; no other name is theirs.
HANDED = ("toeplitz_solve", "toeplitz_logdet", "grid_solve", "grid_logdet")


def words(code: str) -> frozenset[str]:
    """What a text names: every run of letters and dots such as `jnp.exp`, called ones with their bracket, `jnp.exp(`, as well,
    and the first part of each, `jnp.`."""
    runs = set(re.findall(r"[\w.]+\(?", code))
    runs |= {r.removesuffix("(") for r in runs}
    return frozenset(runs | {r.split(".", 1)[0] + "." for r in runs if "." in r})


def helpers(code: str) -> list[str]:
    """The texts of the helpers that a program's code calls, and of those that they call."""
    used: list[str] = []
    called = words(code)
    for name in reversed(HELPERS):
        if f"{name}(" in called or (name in HANDED and name in called):
            used.insert(0, HELPERS[name].rstrip("\n"))
            called |= words(used[0])
    return used
