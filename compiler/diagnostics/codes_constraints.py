"""The codes of constraints in stages, VS0380 to VS0384: what a stage cannot keep, and why."""

from __future__ import annotations

from vspec.compiler.diagnostics.code import Code

_PARAM = "params:\n  x: {init: 1}\nobjectives:\n  loss: x**2\n"

KEPT: tuple[Code, ...] = (
    Code(
        "VS0380",
        "a whole param in a continuous stage",
        "Methods move params by derivatives, which lead from one whole number to numbers in between. A stage with 'update' "
        "may assign whole numbers.",
        "params:\n  k: {init: 1, domain: integer}\nobjectives:\n  loss: k**2\nsolve: {minimize: loss}\n",
    ),
    Code(
        "VS0381",
        "a projection without a formula",
        "Params are projected onto sets whose nearest points have a formula: affine equations and inequalities, boxes, "
        "balls and spheres (squares of elements with one factor, or a norm), and the domains of params. Other constraints "
        "are kept by an augmented Lagrangian, a penalty, or by newton.",
        _PARAM + "constraints:\n  c: exp(x) <= 2\nsolve: {minimize: loss, method: sgd(0.1), constraints: projection}\n",
    ),
    Code(
        "VS0382",
        "constraints to keep where there are none",
        "'constraints' of a stage says how it keeps the constraints that depend on what it moves, and their domains. This "
        "stage has none that the strategy could keep.",
        _PARAM + "solve: {minimize: loss, constraints: augmented_lagrangian}\n",
    ),
    Code(
        "VS0383",
        "a method that cannot keep constraints in this way",
        "Methods that follow a gradient may be projected after every step; newton solves under constraints by interior "
        "points; augmented Lagrangians and penalties work around one method that minimises or maximises.",
        _PARAM + "constraints:\n  c: x >= 2\nsolve: {minimize: loss, method: lbfgs, constraints: projection}\n",
    ),
    Code(
        "VS0384",
        "constraints that need all of the data",
        "Multipliers belong to one problem, and a stage with batches sees another one in every step. A projection works "
        "with batches as long as the constraint does not read a batched index.",
        "dims: {n: 4}\ndata:\n  a[n]: {value: [1, 2, 3, 4]}\nparams:\n  x: {init: 1}\n"
        "objectives:\n  loss: sum[n]((x - a[n])**2)\nconstraints:\n  c: x**3 <= 1\n"
        "solve: {minimize: loss, method: adam, batch: {n: 2}, steps: 9}\n",
    ),
)
