"""The codes of arrays that are put together, of functions as arguments, and of forms without a formula.

VS0268, VS0340 to VS0349, and VS0364.
"""

from __future__ import annotations

from vspec.compiler.diagnostics.code import Code

ARRAYS: tuple[Code, ...] = (
    Code(
        "VS0340",
        "a row is missing",
        "An array that is given row by row has one line for each whole number from 0 on, 'f[s, 0]', 'f[s, 1]' and so on; "
        "one that is given entry by entry has one for each combination, 'R[0, 0]', 'R[0, 1]', 'R[1, 0]', 'R[1, 1]'. "
        "The number of rows is the size of the axis.",
        "define:\n  f[0]: 1.5\n  f[2]: 2.5\n",
    ),
    Code(
        "VS0341",
        "a row twice",
        "Each row of an array that is given row by row stands once.",
        "dims:\n  n, m: 3\ndefine:\n  f[n, 0]: 1.5\n  f[n, 1]: 2.5\n  f[m, 1]: 3.5\n",
    ),
    Code(
        "VS0342",
        "rows with different indices",
        "All rows of one array have their whole numbers at the same places, and at the others indices of the same dims.",
        "dims: {n: 3, i: 2}\ndefine:\n  f[n, 0]: 1.5\n  f[i, 1]: 2.5\n",
    ),
    Code(
        "VS0343",
        "a stack in the wrong place",
        "'stack(a, W[:, :])' is all of the right side of a definition with one index, 'theta[p]'. The dim of that index is "
        "declared as auto: the stack decides on its size.",
        "params: {w: {init: 1}}\ndefine:\n  y: 2*stack(w)\n",
    ),
    Code(
        "VS0344",
        "a part of a stack that is not a whole array",
        "A stack joins constants, data, params and definitions, each once and with all of its axes, which are written ':'. "
        "So a derivative with respect to the stack is one with respect to its parts.",
        "dims: {p: auto, i: 3}\nparams:\n  w[i]: {init: 1}\ndefine:\n  theta[p]: stack(w[i])\n",
    ),
    Code(
        "VS0345",
        "a stack and its axis differ in size",
        "The axis of a stack has as many values as the stacked arrays have entries together. With the size auto it has "
        "that size by itself; a number or an expression must be provably equal to it.",
        "dims: {p: 4, i: 3}\nparams:\n  w[i]: {init: 1}\ndefine:\n  theta[p]: stack(w[:])\n",
    ),
    Code(
        "VS0346",
        "an argument that is not a function",
        "A function that is declared with a function among its arguments, 'twice(f(a), x)', is called with the name of one: "
        "of a declared function, of an elementwise built-in such as tanh, or of a function argument of its own.",
        "functions:\n  twice(f(a), x): f(f(x))\ndefine:\n  y: twice(2.0, 1.0)\n",
    ),
    Code(
        "VS0347",
        "a function with other arguments",
        "A function that is passed as an argument takes as many arguments as the formal one, with as many whole axes each, "
        "and its result has as many axes.",
        "functions:\n  twice(f(a), x): f(f(x))\n  g(a, b): a + b\ndefine:\n  y: twice(g, 1.0)\n",
    ),
    Code(
        "VS0348",
        "a term without a proximal map",
        "proximal_gradient takes the gradient of the terms that have one and the proximal map of the others: of convex "
        "functions of each element with quadratic pieces, such as abs or max, and of norms of groups of elements. A term "
        "with kinks in which several elements or params meet has no such map in closed form. 'vspec build' looks for it.",
        "params:\n  x: {init: 1}\n  c: {init: 0}\nobjectives:\n  loss: x**2 + abs(x - c)\n"
        "solve: {minimize: loss, method: proximal_gradient()}\n",
    ),
    Code(
        "VS0349",
        "a block without a closed-form minimum",
        "block_coordinate sets each block to its exact minimum, which the compiler derives: of quadratic forms, and of sums "
        "of functions of one element each whose optimality condition can be solved. Where it cannot, smaller blocks may "
        "do, or a method that needs no formula. 'vspec build' looks for it.",
        "params:\n  x: {init: 1}\nobjectives:\n  loss: x**4 + x\nsolve: {minimize: loss, method: block_coordinate()}\n",
    ),
    Code(
        "VS0268",
        "a way that a formula has no form for",
        "'form=scaling' computes logarithms of sums of exponentials as products with a kernel of exponentials that is kept from "
        "sweep to sweep. The exponents must be a fixed array plus terms with fewer indices, as those of optimal transport are, "
        "and one block_coordinate must be all that acts in a step. 'logsumexp[i](..., by=scaling)' asks for the same in the "
        "steps of a recurrence of which the end alone is read, and through which no derivative goes. 'sum[i](..., by=products)' "
        "takes squares of differences between arrays with indices of their own, '(x[n, i] - y[m, i])**2', from products of "
        "matrices; nothing but exponents may read it. 'sum[i, j](..., by=pairs)' takes each pair of values of two indices of one "
        "dim once: the size of the dim must be known, something in the terms must be the same, its negative or zero with the "
        "indices exchanged, and all of it must be made pair by pair, by no sum that says itself how. 'vspec build' looks for "
        "the form.",
        "params:\n  x: {init: 1}\nobjectives:\n  loss: x**2\n"
        "solve: {minimize: loss, method: block_coordinate(form=scaling)}\n",
    ),
    Code(
        "VS0364",
        "an objective that is no sum of squares",
        "gauss_newton and levenberg_marquardt work on what is squared in an objective and on its Jacobian. The objective must be "
        "a sum of squares, each with a weight that is not negative: 'sum[n](w[n]*(y[n] - f[n])**2) + lam/2*sum[i](x[i]**2)'. "
        "What does not depend on the params may be added to it. 'vspec build' looks for the squares.",
        "params:\n  x: {init: 1}\nobjectives:\n  loss: x**2 + x\nsolve: {minimize: loss, method: gauss_newton}\n",
    ),
)
