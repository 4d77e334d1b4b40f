"""Methods as the way to keep constraints of a stage needs them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vspec.runtime.constrained.augmented import Augmented
from vspec.runtime.constrained.barrier import InteriorPoint
from vspec.runtime.errors import ArtifactError
from vspec.runtime.methods.method import Method

# Domains that are equations which are not linear, or move in coordinates.
_CURVED = frozenset({"unit", "orthogonal", "psd"})


def kept(method: Method, record: Mapping[str, Any], kinds: frozenset[str], line: int | None = None) -> Method:
    """The method under a strategy.

    Args:
        method: the method that the stage names.
        record: the strategy: its name, arguments and the form of the program.
        kinds: the kinds of domains of what moves.
        line: the line of the stage.

    Raises:
        ArtifactError: VS0807, where there is no such strategy.
    """
    name, arguments = record["name"], record["arguments"]
    if name == "projection":
        return method
    if name == "interior_point":
        form = record.get("form", "general")
        return InteriorPoint(tol=method.tol, quadratic=form != "general" and not kinds & _CURVED)
    if name in ("augmented_lagrangian", "penalty"):
        return Augmented(
            inner=method,
            penalty=arguments["penalty"],
            growth=arguments["growth"],
            tol=arguments["tol"],
            steps=arguments["inner"],
            updates=name == "augmented_lagrangian",
        )
    raise ArtifactError("VS0807", f"this runtime has no way '{name}' to keep constraints", line=line)
