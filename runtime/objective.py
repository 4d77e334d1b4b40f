"""An objective with the derivatives that the program has, as functions of `(params, bound)` that give dicts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
from jax import Array

from vspec.runtime.bound import Bound
from vspec.runtime.elimination import Described
from vspec.runtime.errors import ArtifactError
from vspec.runtime.factors import Layout, layout_of
from vspec.runtime.sparsity import Linked, linked

if TYPE_CHECKING:
    from vspec.runtime.program import Program

Params = Mapping[str, Array]
Gradient = dict[str, Array]
Hessian = dict[str, dict[str, Array]]


class Objective:
    """Value, gradient and Hessian of one objective; `over` are the params that its derivatives are with respect to.

    The derivatives are those of `stage`, a record of the plan; by default of the first stage that has the objective.
    """

    def __init__(self, program: Program, name: str, stage: Mapping[str, Any] | None = None) -> None:
        entry = program.entry(name)
        self.program = program
        self.name = name
        if stage is None:
            stage = next((s for s in stages(program.manifest["plan"]) if s.get("entries") and name in s["names"]), {})
        self.entries: Mapping[str, str] = stage.get("entries", {})
        self.over = tuple(stage.get("over") or program.manifest["params"])
        self.terms: tuple[Described, ...] | None = None
        if stage.get("structure") is not None:
            self.terms = tuple(
                (t["of"][0], t["of"][1], tuple((k, m) for k, m in t["ties"])) for t in stage["structure"]
            )
        self.pattern: tuple[Linked, ...] | None = None
        if stage.get("pattern") is not None:
            self.pattern = tuple(linked(record) for record in stage["pattern"])
        self.factors: Layout | None = None
        if stage.get("factors") is not None:
            self.factors = layout_of(stage["factors"])
        self.line = entry.line if entry.line is not None else stage.get("line")

    def has(self, role: str) -> bool:
        """Whether the program has the derivative."""
        return role in self.entries

    def value(self, params: Params, bound: Bound) -> Array:
        """The scalar."""
        return jnp.asarray(self.program.call(self.name, params, bound))

    def gradient(self, params: Params, bound: Bound) -> Gradient:
        """Param → derivative, of the param's shape; by a complex z = x + iy it is dL/dx + i dL/dy."""
        if self.has("gradient"):
            return self._named(self._call("gradient", params, bound))
        return self.value_and_gradient(params, bound)[1]

    def value_and_gradient(self, params: Params, bound: Bound) -> tuple[Array, Gradient]:
        """Both, sharing work where the program has an entry for it."""
        if self.has("value_and_gradient"):
            value, gradient = self._call("value_and_gradient", params, bound)
            return jnp.asarray(value), self._named(gradient)
        if self.has("gradient"):
            return self.value(params, bound), self._named(self._call("gradient", params, bound))
        raise ArtifactError("VS0806", f"the program has no gradient of '{self.name}'", line=self.line)

    def newton(self, params: Params, bound: Bound) -> tuple[Array, Gradient, Hessian]:
        """Value, gradient, and param → param → block of shape `[axes of p, axes of q]`; a complex z has the blocks of
        `z.re` and `z.im`."""
        if self.has("newton"):
            value, gradient, hessian = self._call("newton", params, bound)
        elif self.has("hessian"):
            value, gradient = self.value_and_gradient(params, bound)
            hessian = self._call("hessian", params, bound)
        else:
            raise ArtifactError("VS0806", f"the program has no Hessian of '{self.name}'", line=self.line)
        if not isinstance(hessian, Mapping):
            hessian = {self.over[0]: {self.over[0]: hessian}}
        return jnp.asarray(value), self._named(gradient), {p: dict(row) for p, row in hessian.items()}

    def structure(self, params: Params, bound: Bound) -> tuple[Array, Gradient, tuple[Array, ...]]:
        """Value, gradient, and the arrays of the terms of the Hessian that `terms` describes."""
        value, gradient, *arrays = self._call("structure", params, bound)
        return jnp.asarray(value), self._named(gradient), tuple(arrays[0]) if arrays else ()

    def factored(self, params: Params, bound: Bound) -> tuple[Array, Gradient, tuple[Array, ...]]:
        """Value, gradient, and the arrays that `factors` describes."""
        value, gradient, *arrays = self._call("factored", params, bound)
        return jnp.asarray(value), self._named(gradient), tuple(arrays[0]) if arrays else ()

    def smooth(self, params: Params, bound: Bound) -> tuple[Array, Gradient]:
        """Value and gradient of the smooth terms, where the others have a proximal map."""
        value, gradient = self._call("smooth", params, bound)
        return jnp.asarray(value), self._named(gradient)

    def prox(self, params: Params, length: Array, bound: Bound) -> dict[str, Array]:
        """The proximal map of the other terms, at the params and for a step length: the params that it moves."""
        arguments = self.program.entry(self.entries["prox"]).arguments
        named = {a.name: length for a in arguments if a.role == "length"}
        return dict(self._call("prox", params, bound.at({**bound.counters, **named})))

    def hvp(self, params: Params, bound: Bound, vector: Params) -> Gradient:
        """The Hessian times a vector, param → array as in `gradient`; the vector has the same form."""
        if not self.has("hvp"):
            raise ArtifactError(
                "VS0806", f"the program has no products with the Hessian of '{self.name}'", line=self.line
            )
        return self._named(self.program.call(self.entries["hvp"], params, bound, vector))

    def residuals(self, params: Params, bound: Bound) -> tuple[Array, ...]:
        """What is squared and summed in the objective: an array for each of its terms."""
        return tuple(self._call("residuals", params, bound))

    def squares(self, params: Params, bound: Bound) -> tuple[Array, tuple[Array, ...], tuple[Gradient, ...]]:
        """Value, residuals, and for each term param → derivatives of shape `[axes of the term, axes of p]`."""
        if not self.has("squares"):
            raise ArtifactError("VS0806", f"the program has no residuals of '{self.name}'", line=self.line)
        value, residuals, jacobian = self._call("squares", params, bound)
        return jnp.asarray(value), tuple(residuals), tuple(self._named(row) for row in jacobian)

    def _call(self, role: str, params: Params, bound: Bound) -> Any:
        return self.program.call(self.entries[role], params, bound)

    def _named(self, gradient: Any) -> Gradient:
        return dict(gradient) if isinstance(gradient, Mapping) else {self.over[0]: gradient}


def stages(plan: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """Every stage of a plan, repetitions before what is in them."""
    for stage in plan:
        yield stage
        yield from stages(stage.get("stages", ()))


def differentiable(objective: Objective) -> Callable[[Params, Bound], Array]:
    """The value as a function of `(params, bound)` with `jax.custom_vjp`: backward is the program's gradient entry.

    What the entry does not cover (frozen params, data, constants) is JAX's reverse mode, and only when asked for.
    """

    @jax.custom_vjp
    def value(params: Params, bound: Bound) -> Array:
        return objective.value(params, bound)

    def forward(params: Any, bound: Any) -> tuple[Array, Any]:
        asked = {k: v.perturbed for k, v in params.items()}
        elsewhere = any(leaf.perturbed for leaf in jax.tree.leaves(bound, is_leaf=lambda x: hasattr(x, "perturbed")))
        params, bound = (
            {k: v.value for k, v in params.items()},
            jax.tree.map(lambda v: v.value, bound, is_leaf=_primal),
        )
        v, gradient = objective.value_and_gradient(params, bound)
        rest = {k: p for k, p in params.items() if k not in gradient}
        if elsewhere or any(asked[k] for k in rest):
            _, pull = jax.vjp(lambda r, b: objective.value({**params, **r}, b), rest, bound)
        else:
            pull = None
        return v, (gradient, pull, params, bound)

    def backward(kept: Any, cotangent: Any) -> tuple[Any, Any]:
        gradient, pull, params, bound = kept
        # JAX's derivative by a complex x + iy is dL/dx - i dL/dy.
        scaled = {k: cotangent * jnp.conj(g) for k, g in gradient.items() if k in params}
        if pull is None:
            others = {k: jnp.zeros_like(p) for k, p in params.items() if k not in gradient}
            return {**others, **scaled}, jax.tree.map(_zero, bound)
        others, of_bound = pull(cotangent)
        return {**others, **scaled}, of_bound

    value.defvjp(forward, backward, symbolic_zeros=True)
    return value


def _primal(x: Any) -> bool:
    return hasattr(x, "perturbed")


def _zero(x: Array) -> Any:
    if jnp.issubdtype(x.dtype, jnp.inexact):
        return jnp.zeros_like(x)
    import numpy as np

    return np.zeros(x.shape, dtype=jax.dtypes.float0)
