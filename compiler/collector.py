"""Pauses Python's search for cycles of garbage while the compiler works.

What a stage makes (nodes, kernels, expressions) are trees of values that live until the build is done. The collector would walk
through all of them again and again, and find nothing: with SymPy and JAX loaded that took half the time of a build.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def paused() -> Iterator[None]:
    """No cycles are looked for inside; afterwards the collector is as it was."""
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if before:
            gc.enable()
