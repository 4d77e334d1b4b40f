"""Nonlinear conjugate gradients (Nocedal and Wright 2006, section 5.2)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple

import jax.numpy as jnp
from jax import Array

from vspec.runtime.methods.line_search import LineSearch, short

_RESTART = 0.2


class Last(NamedTuple):
    """The last step: its direction p, the gradient before it and the change y of the gradient [point], and its length; a length
    of 0 is no step."""

    p: Array
    before: Array
    y: Array
    length: Array


def _ratio(a: Array, b: Array) -> Array:
    return jnp.where(b == 0, 0.0, a / jnp.where(b == 0, 1.0, b))


BETA: Mapping[str, Callable[[Array, Last], Array]] = MappingProxyType(
    {
        "polak_ribiere": lambda g, last: jnp.maximum(_ratio(g @ last.y, last.before @ last.before), 0.0),
        "hestenes_stiefel": lambda g, last: jnp.maximum(_ratio(g @ last.y, last.p @ last.y), 0.0),
        "fletcher_reeves": lambda g, last: _ratio(g @ g, last.before @ last.before),
        "dai_yuan": lambda g, last: _ratio(g @ g, last.p @ last.y),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class NonlinearCg(LineSearch):
    """Remembers the last direction alone, and forgets it where two gradients are far from orthogonal, which keeps all four forms
    from jamming (their equation 5.52). The first trial of a search changes the value to first order by as much as the last
    step would have (their equation before 3.60)."""

    beta: Mapping[str, Any]
    curvature: ClassVar[float] = 0.1
    patience: ClassVar[int] = 50

    def remember(self, x: Array) -> Last:
        """No step."""
        none = jnp.zeros_like(x)
        return Last(none, none, none, jnp.zeros((), x.dtype))

    def learn(self, memory: Last, length: Array, p: Array, g: Array, new: Array) -> Last:
        """The step that was made."""
        return Last(p, g, new - g, length.astype(p.dtype))

    def direction(self, memory: Last, g: Array) -> tuple[Array, Array]:
        """The gradient, conjugate to the last direction."""
        orthogonal = jnp.abs(g @ memory.before) < _RESTART * (g @ g)
        p = -g + jnp.where(orthogonal, BETA[self.beta["name"]](g, memory), 0.0) * memory.p
        p = jnp.where(g @ p < 0, p, -g)
        guess = memory.length * _ratio(memory.before @ memory.p, g @ p)
        return p, jnp.where(guess > 0, guess, short(g))
