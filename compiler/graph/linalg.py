"""The operations of LINALG nodes and how their axes are named.

A LINALG node's attrs are `(cores, result)`: for each operand the names of the axes it consumes, and the names of the
axes of the result. Every other axis of an operand is a batch axis, aligned by name; a right side may have columns
(axes that the matrix lacks), which are batch axes too.

Names carry the meaning, so that a transpose costs nothing: `solve` with cores `((r, c), (r,))` and result `(c,)` solves
`sum_c A[r, c] x[c] = b[r]`; with cores `((c, r), (c,))` and result `(r,)` the transposed system with the same node A.
"""

from __future__ import annotations

from dataclasses import dataclass

from vspec.compiler.graph.node import Kind, Node, Origin


@dataclass(frozen=True, slots=True)
class LinalgOp:
    """One operation: core ranks of its operands and of its result."""

    name: str
    ranks: tuple[int, ...]
    result: int
    doc: str


OPS: dict[str, LinalgOp] = {
    op.name: op
    for op in (
        LinalgOp("solve", (2, 1), 1, "cores ((r, c), (r,)) -> (c,): x with sum_c A[r, c] x[c] = b[r]"),
        LinalgOp("triangular_solve", (2, 1), 1, "cores ((r, c), (r,)) -> (c,): the same for lower-triangular A[r, c]"),
        LinalgOp(
            "triangular_solve_t", (2, 1), 1, "cores ((r, c), (c,)) -> (r,): x with sum_r L[r, c] x[r] = b[c], L lower"
        ),
        LinalgOp("cholesky", (2,), 2, "cores ((r, c),) -> (r, c): lower L with L L' = (A + A')/2"),
        LinalgOp("inv", (2,), 2, "cores ((r, c),) -> (c, r): V with sum_c A[r, c] V[c, s] = 1 where r is s"),
        LinalgOp("logdet", (2,), 0, "cores ((r, c),) -> (): log |det A|"),
        LinalgOp(
            "solve_pd", (2, 1), 1, "solve for a positive definite A; made by the structure pass, after differentiation"
        ),
        LinalgOp("inv_pd", (2,), 2, "inv, and"),
        LinalgOp("logdet_pd", (2,), 0, "logdet of such a matrix"),
        LinalgOp(
            "solve_tried", (2, 1), 1, "solve for a symmetric A, likely to be positive definite; made by that pass, too"
        ),
        LinalgOp("inv_tried", (2,), 2, "inv, and"),
        LinalgOp("logdet_tried", (2,), 0, "logdet of such a matrix"),
        LinalgOp("convolve", (1, 1), 1, "cores ((k,), (s,)) -> (r,): the sum over s of a[r - s] x[s] around a circle"),
        LinalgOp("deconvolve", (1, 1), 1, "cores ((k,), (r,)) -> (s,): the x with convolve(a, x) = b"),
        LinalgOp("logdet_circulant", (1,), 0, "cores ((k,),) -> (): logdet of the circulant with this first column"),
        LinalgOp("det", (2,), 0, "cores ((r, c),) -> (): det A"),
        LinalgOp("cofactor", (2,), 2, "cores ((r, c),) -> (r, c): the derivative of det A by A[r, c], of any rank"),
        LinalgOp("expm", (2,), 2, "cores ((r, c),) -> (r, c): exp A"),
        LinalgOp("eigvalsh", (2,), 1, "cores ((r, c),) -> (k,): the eigenvalues of (A + A')/2, ascending"),
        LinalgOp("eigh", (2,), 2, "cores ((r, c),) -> (r, k): their orthonormal eigenvectors"),
        LinalgOp("svdvals", (2,), 1, "cores ((r, c),) -> (k,): singular values, descending; at least as many r as c"),
        LinalgOp("svd_left", (2,), 2, "cores ((r, c),) -> (r, k): the left singular vectors that belong to them"),
        LinalgOp("svd_right", (2,), 2, "cores ((r, c),) -> (c, k): the right singular vectors"),
    )
}


class NotStructured(Exception):  # noqa: N818 (says what is wrong, as a word in a message)
    """A way was asked for that a matrix does not have as far as can be proved. `tip`: of what form it would have."""

    def __init__(self, what: str, tip: str, origin: Origin) -> None:
        super().__init__(what)
        self.what, self.tip, self.origin = what, tip, origin


def operation(op: str) -> str:
    """What an operation is called that is made in no certain way: `solve` for `solve_pd`."""
    return op.removesuffix("_pd").removesuffix("_tried")


def unrenamed(x: Node) -> tuple[Node, dict[str, str]]:
    """The node under all renames of axes, and the name that `x` has for each of its axes."""
    shown = {n: n for n in x.names}
    while x.kind is Kind.REINDEX:
        targets: tuple[str, ...] = x.attrs[0]
        if len(set(targets)) != len(targets) or len(targets) != len(x.axes):
            break
        shown = {n: shown[t] for n, t in zip(x.inputs[0].names, targets, strict=True)}
        x = x.inputs[0]
    return x, shown
