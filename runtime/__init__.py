"""Runs emitted programs: loads, checks, binds data, executes the plan, judges the claims. Never imports the compiler.

Importing this package (or `vspec.runtime.registry`) imports neither JAX nor NumPy; `load` and the others do when first
used. `vspec.runtime.run` is the module with the function `run`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vspec.runtime.bound import Bound
    from vspec.runtime.claims import ClaimResult
    from vspec.runtime.errors import ArtifactError, DataError, NumericsError, RunError
    from vspec.runtime.program import Program, load
    from vspec.runtime.run import RunResult

_HOME = {
    "load": "program",
    "Program": "program",
    "Bound": "bound",
    "RunResult": "run",
    "ClaimResult": "claims",
    "RunError": "errors",
    "ArtifactError": "errors",
    "DataError": "errors",
    "NumericsError": "errors",
}

__all__ = [
    "ArtifactError",
    "Bound",
    "ClaimResult",
    "DataError",
    "NumericsError",
    "Program",
    "RunError",
    "RunResult",
    "load",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
