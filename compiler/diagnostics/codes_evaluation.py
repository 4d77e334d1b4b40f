"""VS0249, VS0258 to VS0264: ways in which expressions are evaluated, strategies of derivatives, forms of Hessians."""

from __future__ import annotations

from vspec.compiler.diagnostics.code import Code

_F = "params:\n  x: {init: 1}\nobjectives:\n  f: (x - 1)**2\n"
_U = "params:\n  x: {init: 1}\ndefine:\n  u: x**3\n"

EVALUATION: tuple[Code, ...] = (
    Code(
        "VS0249",
        "no such way to evaluate this",
        "'by=' says how an expression is evaluated where there are several ways with one value. The default, 'auto', is the one "
        "that costs least by the compiler's count; 'vspec explain' shows which that is, and what the others cost.",
        _U + "  v: d(u, x, by=backward)\n",
    ),
    Code(
        "VS0258",
        "this derivative cannot be taken so",
        "'by=laplacian' carries value, first and second derivatives through a formula together: it is for several derivatives "
        "of real quantities. Derivatives of or by complex numbers are taken in one way only.",
        _U + "  v: d(u, x, by=laplacian)\n",
    ),
    Code(
        "VS0259",
        "this way does not lead through the formula",
        "A forward sweep does not go through the steps of a recurrence or through unrolled steps of a search, and 'by=laplacian' "
        "needs both derivatives to be by elements of one array. Leave 'by' out, or write by=reverse.",
        "dims: {t: 5}\nparams:\n  x: {init: 1}\ndefine:\n  u[0]: x\n  u[t + 1]: sin(u[t])\n  v: d(u[-1], x, by=forward)\n",
    ),
    Code(
        "VS0263",
        "nothing to factorise",
        "'linear=cholesky' factorises a matrix. Of a Hessian that is kept as products with vectors, or sparsified, there is "
        "none: such a model is minimised by conjugate gradients, linear=cg.",
        _F + "solve: {minimize: f, method: newton(hessian=products, linear=cholesky)}\n",
    ),
    Code(
        "VS0264",
        "this form of the Hessian cannot be kept here",
        "'hessian=structured', 'factored' and 'sparsified(n)' work on derivatives by the params themselves: params are real and "
        "move freely, in a stage without batches that keeps no constraints. With hessian=auto the method chooses what it can. "
        "'hessian=factored' wants curvature that is one number for each of some observations, affine in the params. "
        "'hessian=sparse' works with domains of single elements, too, and wants a formula by which most of the Hessian "
        "is zero: neighbours along an index meet, or elements at fixed distances.",
        "params:\n  x: {init: 1, domain: positive}\nobjectives:\n  f: (x - 1)**2\n"
        "solve: {minimize: f, method: newton(hessian=structured)}\n",
    ),
)
