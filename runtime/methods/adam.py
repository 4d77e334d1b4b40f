"""Adaptive moments (Kingma and Ba 2015): Optax `adam`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import optax

from vspec.runtime.methods.first_order import FirstOrder


@dataclass(frozen=True, slots=True, kw_only=True)
class Adam(FirstOrder):
    """Steps of about `lr` per entry, whatever the gradient's scale."""

    lr: float = 1e-3
    b1: float = 0.9
    b2: float = 0.999
    eps: float = 1e-8
    tol: float = 0.0

    def transformation(self) -> Any:
        """Optax's."""
        return optax.adam(self.lr, b1=self.b1, b2=self.b2, eps=self.eps)
