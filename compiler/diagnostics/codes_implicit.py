"""Codes of implicit quantities: `root`, `fixed_point`, `argmin` and `argmax` of unknowns."""

from __future__ import annotations

from vspec.compiler.diagnostics.code import Code

IMPLICIT: tuple[Code, ...] = (
    Code(
        "VS0385",
        "several names on a left side",
        "Several names stand on one left side only where they are the unknowns of one root, fixed_point, argmin or argmax, one "
        "name for each unknown, in order. Each has the indices of its unknown and those that the expressions share.",
        "define:\n  a, b: 1\n",
    ),
    Code(
        "VS0386",
        "what an implicit quantity binds",
        "root, fixed_point, argmin and argmax bind unknowns: new names, each with the indices of its axes, such as s[u]. They "
        "are known inside only. An argmin or argmax of an index, argmin[i](x[i]), gives a position.",
        "dims: {u: 3}\ndefine:\n  a[u]: root[u](u - 1)\n",
    ),
    Code(
        "VS0387",
        "the expressions of an implicit quantity",
        "A root or a fixed point has one expression for each unknown, with the indices of the unknown: as many equations as "
        "there are unknown numbers. An argmin or argmax has one number. Other free indices are those of a batch of problems.",
        "dims: {u: 3}\ndata:\n  x[u]: real\ndefine:\n  a[u]: root[s[u]](sum[u](s[u] - x[u]))\n",
    ),
    Code(
        "VS0388",
        "an option of an implicit quantity",
        "The options are start, method, steps and gradient, and subject_to of argmin and argmax. 'gradient' says how derivatives "
        "pass through; not every method leaves every way open.",
        "define:\n  y: root[x](x**2 - 2, begin=1)\n",
    ),
    Code(
        "VS0389",
        "the method of an implicit quantity",
        "There are methods for roots, for fixed points, for least and greatest values, and for those under constraints.",
        "define:\n  y: root[x](x**2 - 2, start=1, method=anderson)\n",
    ),
    Code(
        "VS0390",
        "an implicit quantity of real numbers",
        "Unknowns are real, and so are the expressions that determine them and where their search starts.",
        "define:\n  y: root[x](x**2 == 2)\n",
    ),
    Code(
        "VS0391",
        "problems that are not separate",
        "An index of the surroundings that occurs in an implicit quantity makes a batch: there is a problem for each of its "
        "values. An operation along that index, such as cumsum, would join them.",
        "dims: {n: 4}\ndata:\n  x[n]: real\ndefine:\n  y[n]: root[s](s - cumsum[n](s*x[n]))\n",
    ),
    Code(
        "VS0392",
        "the constraints of an implicit quantity",
        "subject_to of argmin and argmax lists equations and inequalities between numbers, each of which depends on an unknown. "
        "Indices that are not of the surroundings say that one holds for every value.",
        "dims: {k: 3}\ndata:\n  b[k]: real\ndefine:\n"
        "  y[k]: argmin[a[k]](sum[k]((a[k] - b[k])**2), subject_to=[b[k] >= 0])\n",
    ),
)
