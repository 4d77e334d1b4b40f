"""What JAX's trace of a function shows."""

from __future__ import annotations

from typing import Any

import jax


def largest(jaxpr: Any) -> int:
    """The elements of the largest array that is made on the way, in loops, too."""
    found = 0
    for e in jaxpr.eqns:
        found = max([found, *(v.aval.size for v in e.outvars)])
        for p in jax.tree.leaves(e.params, is_leaf=lambda x: hasattr(x, "jaxpr") or hasattr(x, "eqns")):
            inner = getattr(p, "jaxpr", p)
            if hasattr(inner, "eqns"):
                found = max(found, largest(inner))
    return found
