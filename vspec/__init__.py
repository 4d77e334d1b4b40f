"""vspec: a compiler for variational problems.

Write the mathematics in YAML; vspec checks it, differentiates it, optimises it, and emits a JAX program.

    import vspec

    program = vspec.compile("fit.yaml")            # a Program: its entries are ordinary JAX functions
    bound = program.bind({"X": X, "y": y})
    value = program.call("loss", program.initial_params(bound), bound)

    result = vspec.run("fit.yaml", data={"X": X, "y": y})
    for claim in vspec.verify("fit.yaml"):
        print(claim.name, claim.holds, claim.measured)

Importing this package imports nothing else; JAX and SymPy are loaded by the functions that need them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vspec.api import build, check, compile, load, run, sweep, verify, warnings
    from vspec.compiler.diagnostics.diagnostic import SpecError
    from vspec.compiler.language.spec import Spec
    from vspec.compiler.pipeline import Built
    from vspec.permission import allow_extern
    from vspec.runtime.claims import ClaimResult
    from vspec.runtime.errors import ArtifactError, DataError, NumericsError, RunError
    from vspec.runtime.program import Program
    from vspec.runtime.run import RunResult
    from vspec.sweeping import SweepResult

    __version__: str

_HOME = {
    **dict.fromkeys(("build", "check", "compile", "load", "run", "sweep", "verify", "warnings"), "vspec.api"),
    "SpecError": "vspec.compiler.diagnostics.diagnostic",
    "allow_extern": "vspec.permission",
    "Spec": "vspec.compiler.language.spec",
    "Built": "vspec.compiler.pipeline",
    "ClaimResult": "vspec.runtime.claims",
    **dict.fromkeys(("ArtifactError", "DataError", "NumericsError", "RunError"), "vspec.runtime.errors"),
    "Program": "vspec.runtime.program",
    "RunResult": "vspec.runtime.run",
    "SweepResult": "vspec.sweeping",
}

__all__ = [
    "ArtifactError",
    "Built",
    "ClaimResult",
    "DataError",
    "NumericsError",
    "Program",
    "RunError",
    "RunResult",
    "Spec",
    "SpecError",
    "SweepResult",
    "__version__",
    "allow_extern",
    "build",
    "check",
    "compile",
    "load",
    "run",
    "sweep",
    "verify",
    "warnings",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        value: Any = version("vspec")
    elif name in _HOME:
        value = getattr(import_module(_HOME[name]), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
