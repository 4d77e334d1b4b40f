"""The table of rules for functions of one matrix: how an adjoint or a tangent passes through each."""

from __future__ import annotations

from collections.abc import Mapping

from vspec.compiler.calculus import determinant, exponential, linear, spectral
from vspec.compiler.calculus.spectral import Rule

PULLBACKS: Mapping[str, Rule] = {
    "det": determinant.det_pullback,
    "logdet": determinant.logdet_pullback,
    "cofactor": determinant.cofactors_along,
    "inv": linear.inverse_pullback,
    "cholesky": linear.cholesky_pullback,
    "expm": exponential.exponential_pullback,
    **spectral.PULLBACKS,
}

PUSHFORWARDS: Mapping[str, Rule] = {
    "det": determinant.det_pushforward,
    "logdet": determinant.logdet_pushforward,
    "cofactor": determinant.cofactors_along,
    "inv": linear.inverse_pushforward,
    "cholesky": linear.cholesky_pushforward,
    "expm": exponential.exponential_pushforward,
    **spectral.PUSHFORWARDS,
}
