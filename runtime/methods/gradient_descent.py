"""Steepest descent with a constant step: Optax `sgd`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import optax

from vspec.runtime.methods.first_order import FirstOrder


@dataclass(frozen=True, slots=True, kw_only=True)
class GradientDescent(FirstOrder):
    """`x - lr g`."""

    lr: float = 1e-2
    tol: float = 0.0

    def transformation(self) -> Any:
        """Optax's."""
        return optax.sgd(self.lr)
