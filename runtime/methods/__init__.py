"""The methods of `solve`: one file each, keyed as in `vspec.runtime.registry`."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from vspec.runtime.errors import ArtifactError, near
from vspec.runtime.methods.adam import Adam
from vspec.runtime.methods.gradient_descent import GradientDescent
from vspec.runtime.methods.lbfgs import Lbfgs
from vspec.runtime.methods.method import REASONS, Method, Problem, State
from vspec.runtime.methods.newton import Newton

METHODS: Mapping[str, type[Method]] = MappingProxyType(
    {"gradient_descent": GradientDescent, "adam": Adam, "lbfgs": Lbfgs, "newton": Newton}
)

__all__ = ["METHODS", "REASONS", "Method", "Problem", "State", "method"]


def method(name: str, arguments: Mapping[str, Any], line: int | None = None) -> Method:
    """The method of that name with its keywords. Raises `ArtifactError` VS0807."""
    if name not in METHODS:
        raise ArtifactError("VS0807", f"this runtime has no method '{name}'", near(name, METHODS), line)
    try:
        return METHODS[name](**arguments)
    except TypeError as e:
        raise ArtifactError("VS0807", f"method '{name}' does not take these arguments: {e}", line=line) from None
