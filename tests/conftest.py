"""Shared set-up of the tests: float64 for JAX, fixed Hypothesis profiles, and no memory kept from one file to the next."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

os.environ.setdefault("JAX_ENABLE_X64", "1")
os.environ.setdefault("JAX_PLATFORMS", "cpu")

# The same examples in each run, so that a change is judged by what it changed; `make explore` looks for new ones.
settings.register_profile("fixed", derandomize=True, deadline=None)
settings.register_profile("explore", deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fixed"))


HERE = Path(__file__).parent
ONCE = ("calculus", "emit", "passes", "specs")
# Files that take longest, first: a process that takes one of them last would work alone for minutes.
LONG = (
    "specs/test_problems.py",
    "docs/test_examples.py",
    "runtime/test_constrained.py",
    "calculus/test_lower_levels.py",
    "specs/test_nested.py",
    "specs/test_draws.py",
    "specs/test_arrays.py",
    "runtime/test_streaming.py",
    "runtime/test_least_squares.py",
    "specs/test_until.py",
    "specs/test_generated.py",
    "passes/test_banded.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts the long files first; all others stay where they are."""
    place = {HERE / name: k for k, name in enumerate(LONG)}
    items.sort(key=lambda item: place.get(item.path, len(LONG)))


@pytest.fixture(autouse=True, scope="module")
def _compile_quickly(request: pytest.FixtureRequest) -> Iterator[None]:
    """Leaves out most of LLVM's optimisations for tests that run each of many programs once.

    Tests of how methods converge, and programs in processes of their own, are compiled as users have them. A module says so
    itself by `COMPILE_QUICKLY` where its folder does not.
    """
    if not getattr(request.module, "COMPILE_QUICKLY", request.path.relative_to(HERE).parts[0] in ONCE):
        yield
        return
    import jax

    config: Any = jax.config
    config.update("jax_disable_most_optimizations", True)
    yield
    config.update("jax_disable_most_optimizations", False)


@pytest.fixture(autouse=True, scope="module")
def _forget_compiled_programs() -> Iterator[None]:
    """Frees what JAX compiled for the tests of a file: thousands of small programs come to gigabytes."""
    yield
    if "jax" in sys.modules:
        sys.modules["jax"].clear_caches()
