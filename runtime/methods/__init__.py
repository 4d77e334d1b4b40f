"""The methods of `solve`, keyed as in `vspec.runtime.registry`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from vspec.runtime import registry
from vspec.runtime.errors import ArtifactError, near
from vspec.runtime.methods import first_order
from vspec.runtime.methods.bfgs import Bfgs
from vspec.runtime.methods.block_coordinate import BlockCoordinate
from vspec.runtime.methods.extragradient import ExtraGradient
from vspec.runtime.methods.lbfgs import Lbfgs
from vspec.runtime.methods.least_squares import GaussNewton, LevenbergMarquardt
from vspec.runtime.methods.method import REASONS, Method, Problem, State
from vspec.runtime.methods.newton import Newton
from vspec.runtime.methods.nonlinear_cg import NonlinearCg
from vspec.runtime.methods.projected_gradient import ProjectedGradient
from vspec.runtime.methods.proximal_gradient import ProximalGradient

_SOLVERS: dict[str, Callable[..., Method]] = {
    "lbfgs": Lbfgs,
    "bfgs": Bfgs,
    "nonlinear_cg": NonlinearCg,
    "newton": Newton,
    "projected_gradient": ProjectedGradient,
    "extragradient": ExtraGradient,
    "gauss_newton": GaussNewton,
    "levenberg_marquardt": LevenbergMarquardt,
}
_STRUCTURED: dict[str, Callable[..., Method]] = {
    "block_coordinate": BlockCoordinate,
    "proximal_gradient": ProximalGradient,
}
METHODS: Mapping[str, Callable[..., Method]] = MappingProxyType({**first_order.METHODS, **_SOLVERS, **_STRUCTURED})

__all__ = ["METHODS", "REASONS", "Method", "Problem", "State", "method"]


def method(name: str, arguments: Mapping[str, Any], line: int | None = None) -> Method:
    """The method of that name with its keywords; those that are not given have their defaults.

    A float keyword may be a traced value, so that a schedule makes the method anew inside of each step. Which keywords are
    traced must not change from step to step. Raises `ArtifactError` VS0807.
    """
    if name not in METHODS:
        raise ArtifactError("VS0807", f"this runtime has no method '{name}'", near(name, METHODS), line)
    known = registry.defaults(registry.METHODS[name])
    wrong = [k for k in arguments if k not in known]
    if wrong:
        raise ArtifactError("VS0807", f"method '{name}' does not take '{wrong[0]}'", near(wrong[0], known), line)
    return METHODS[name](**{**known, **arguments})
