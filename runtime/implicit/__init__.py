"""Solvers for the implicit quantities of emitted programs: traceable, mapped by `vmap`, differentiated implicitly.

    free, report = implicit.root(equations, start, implicit.newton(tol=1e-12), steps=50)

A solver takes a function of the unknowns (one argument for each), where to start, a method and the greatest number of steps. It
gives the unknowns, NaN if they were not found, and a `Report`. JAX's derivatives of the unknowns are those of the
implicit function theorem, by `jax.lax.custom_root`; with `unrolled` those of the steps.
"""

from __future__ import annotations

from vspec.runtime.implicit.extremes import argmax, argmin
from vspec.runtime.implicit.fixed_points import anderson, picard
from vspec.runtime.implicit.interior import interior_point
from vspec.runtime.implicit.krylov import bicgstab, cg
from vspec.runtime.implicit.linear import linear
from vspec.runtime.implicit.newton import newton
from vspec.runtime.implicit.roots import fixed_point, root
from vspec.runtime.implicit.search import Report

__all__ = [
    "Report",
    "anderson",
    "argmax",
    "argmin",
    "bicgstab",
    "cg",
    "fixed_point",
    "interior_point",
    "linear",
    "newton",
    "picard",
    "root",
]
