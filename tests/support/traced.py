"""What JAX's trace of a function shows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jax


def equations(jaxpr: Any) -> Iterator[Any]:
    """What is done on the way, in loops and in functions, too."""
    for e in jaxpr.eqns:
        yield e
        for p in jax.tree.leaves(e.params, is_leaf=lambda x: hasattr(x, "jaxpr") or hasattr(x, "eqns")):
            inner = getattr(p, "jaxpr", p)
            if hasattr(inner, "eqns"):
                yield from equations(inner)


def largest(jaxpr: Any) -> int:
    """The elements of the largest array that is made on the way, in loops, too."""
    return max((v.aval.size for e in equations(jaxpr) for v in e.outvars), default=0)
