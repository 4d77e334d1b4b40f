"""VS0271 to VS0274: ways in which systems, determinants and inverses are computed."""

from __future__ import annotations

from vspec.compiler.diagnostics.code import Code

_A = "dims: {i, j: 3}\nparams:\n  a[i]: {init: 1}\n"

MATRICES: tuple[Code, ...] = (
    Code(
        "VS0271",
        "this matrix is not shown to have that structure",
        "'by=' asks for a way that suits matrices of one structure, and from the form of the entries it does not follow that "
        "this matrix is such. The structure is proved from formulas, not from values: from deltas, conditions on indices, sums "
        "of products and the domains of params.",
        _A + "define:\n  A[i, j]: a[i]*a[j] + delta[i, j]\n  v: logdet(A[:, :], by=triangular)\n",
    ),
    Code(
        "VS0272",
        "complex matrices have one way only",
        "Systems with complex matrices are solved as real ones of twice the size, by an LU factorisation.",
        "dims: {i, j: 3}\nparams:\n  A[i, j]: {init: 1, type: complex}\n  b[i]: {init: 1}\n"
        "define:\n  v[i]: solve(A[:, :], b[:], by=cholesky)[i]\n",
    ),
)
