"""An objective of a program as a function of points of a space: what methods work on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from jax import Array
from jax.flatten_util import ravel_pytree

from vspec.runtime.bound import Bound
from vspec.runtime.methods import Problem
from vspec.runtime.methods.method import unconstrained
from vspec.runtime.objective import Objective
from vspec.runtime.space import Space
from vspec.runtime.structured import structured

Params = dict[str, Array]
Point = dict[str, Array]
T = TypeVar("T")


def problem(
    objective: Objective, space: Space, sign: float, fixed: Params, bound: Bound, rising: Collection[str] = ()
) -> Problem:
    """The objective as a function of points of the space, to be minimised; derivatives have the params' dtypes.

    `sign` is -1 where it is to be made large. Of a saddle, the params that go up are `rising`: their gradient is negated.
    """
    signs = {k: -sign if k in rising else sign for k in space.domains}

    def params(point: Mapping[str, Array]) -> Params:
        return {**fixed, **space.outward(point)}

    def value(point: Mapping[str, Array]) -> Array:
        return sign * objective.value(params(point), bound)

    def value_and_gradient(point: Mapping[str, Array]) -> tuple[Array, Params]:
        at = params(point)
        v, g = objective.value_and_gradient(at, bound)
        return sign * v, space.gradient(point, {k: signs[k] * g[k].astype(at[k].dtype) for k in space.domains})

    def newton(point: Mapping[str, Array]) -> tuple[Array, Params, dict[str, dict[str, Array]]]:
        at = params(point)
        v, g, h = objective.newton(at, bound)
        gradient = {k: sign * g[k].astype(at[k].dtype) for k in space.domains}
        hessian = {p: {q: sign * h[p][q].astype(point[p].dtype) for q in space.names} for p in space.names}
        return sign * v, space.gradient(point, gradient), space.hessian(point, gradient, hessian)

    def hvp(point: Point, vector: Point) -> Point:
        at, direction = jax.jvp(params, (point,), (vector,))
        product = objective.hvp(at, bound, {k: direction[k] for k in space.domains})
        gradient = objective.gradient(at, bound)

        def pulled(slopes: Params) -> Callable[[Point], Point]:
            return lambda u: space.gradient(u, {k: sign * slopes[k].astype(at[k].dtype) for k in space.domains})

        # The second term is the curvature of the coordinates; nothing is computed for it where they are the params themselves.
        bent = jax.jvp(pulled(gradient), (point,), (vector,))[1]
        straight = pulled(product)(point)
        return {k: straight[k] + bent[k] for k in point}

    def flat(residuals: Iterable[Array], point: Point) -> Array:
        one = jnp.concatenate([jnp.ravel(r) for r in residuals])
        return one.astype(jnp.result_type(*(x.dtype for x in point.values())))

    def residuals(point: Point) -> Array:
        return flat(objective.residuals(params(point), bound), point)

    def squares(point: Point) -> tuple[Array, Array, Array]:
        at = params(point)
        v, terms, blocks = objective.squares(at, bound)
        rows = {k: jnp.concatenate([b[k].reshape(-1, *at[k].shape) for b in blocks]) for k in space.domains}
        # A row is the gradient of one residual, and is pulled back like one.
        pulled = jax.vmap(lambda row: ravel_pytree(space.gradient(point, row))[0])(rows)
        return sign * v, flat(terms, point), flat([pulled], point).reshape(pulled.shape)

    def structure(point: Point) -> tuple[Array, Point, tuple[Array, ...]]:
        at = params(point)
        v, g, arrays = objective.structure(at, bound)
        gradient = {k: sign * g[k].astype(at[k].dtype) for k in space.domains}
        dtype = jnp.result_type(*point.values())
        return sign * v, space.gradient(point, gradient), tuple(sign * x.astype(dtype) for x in arrays)

    def factored(point: Point) -> tuple[Array, Point, tuple[Array, ...]]:
        at = params(point)
        v, g, arrays = objective.factored(at, bound)
        gradient = {k: sign * g[k].astype(at[k].dtype) for k in space.domains}
        dtype, curved = jnp.result_type(*point.values()), objective.factors.curved if objective.factors else ()
        kept = tuple((sign * x if own else x).astype(dtype) for x, own in zip(arrays, curved, strict=True))
        return sign * v, space.gradient(point, gradient), kept

    whole = Problem(value, value_and_gradient, newton, structure, hvp=hvp, squares=squares, residuals=residuals)
    if isinstance(objective, Objective) and not space.maps and not space.complex:
        # Terms and factors are by the params themselves.
        whole = replace(whole, terms=objective.terms, factored=factored, factors=objective.factors)
    if isinstance(objective, Objective):
        # Coordinates of single elements leave everything where it is; the compiler tells of no others.
        whole = replace(whole, pattern=objective.pattern)
    return structured(whole, objective, space, sign, params, bound) if isinstance(objective, Objective) else whole


def remembering(whole: Problem, base: Point, here: tuple[Array, Point] | None = None) -> Problem:
    """The problem with its value and gradient at one point computed once: the same traced arrays are the same point.

    `here` is what they are there, if it is known already.
    """
    known: list[tuple[Array, Point]] = [] if here is None else [here]

    def value_and_gradient(point: Point) -> tuple[Array, Point]:
        if len(point) != len(base) or any(point[k] is not x for k, x in base.items()):
            return whole.value_and_gradient(point)
        if not known:
            known.append(whole.value_and_gradient(point))
        value, gradient = known[0]
        return value, dict(gradient)

    return replace(whole, value_and_gradient=value_and_gradient)


def restricted(whole: Problem, base: Point, names: Collection[str]) -> Problem:
    """The problem over some of the point's arrays, the others as in `base`."""

    def full(point: Point) -> Point:
        return {**base, **point}

    def of(point: Mapping[str, T]) -> dict[str, T]:
        return {k: x for k, x in point.items() if k in names}

    def value_and_gradient(point: Point) -> tuple[Array, Point]:
        value, gradient = whole.value_and_gradient(full(point))
        return value, of(gradient)

    def newton(point: Point) -> tuple[Array, Point, dict[str, dict[str, Array]]]:
        value, gradient, hessian = whole.newton(full(point))
        return value, of(gradient), {p: of(row) for p, row in of(hessian).items()}

    kept = [k for k, (p, q, _) in enumerate(whole.terms or ()) if {p, q} <= set(names)]

    def structure(point: Point) -> tuple[Array, Point, tuple[Array, ...]]:
        value, gradient, arrays = whole.structure(full(point))
        return value, of(gradient), tuple(arrays[k] for k in kept)

    layout, left = (None, ()) if whole.factors is None else whole.factors.only(names)

    def factored(point: Point) -> tuple[Array, Point, tuple[Array, ...]]:
        value, gradient, arrays = whole.factored(full(point))
        return value, of(gradient), tuple(arrays[k] for k in left)

    def hvp(point: Point, vector: Point) -> Point:
        others = {k: jnp.zeros_like(x) for k, x in base.items()}
        product: Point = whole.hvp(full(point), {**others, **vector})
        return of(product)

    def squares(point: Point) -> tuple[Array, Array, Array]:
        value, residuals, jacobian = whole.squares(full(point))
        # Columns are those of the flattened point, whose arrays stand in the order of their names.
        widths = {k: x.size for k, x in sorted(base.items())}
        ends = {k: sum(list(widths.values())[: n + 1]) for n, k in enumerate(widths)}
        kept = [jacobian[:, ends[k] - widths[k] : ends[k]] for k in widths if k in names]
        return value, residuals, jnp.concatenate(kept, axis=1)

    project: Callable[[Point], Point] = unconstrained
    if whole.project is not unconstrained:

        def project(point: Point) -> Point:
            nearest: Point = whole.project(full(point))
            return of(nearest)

    def smooth(point: Point) -> tuple[Array, Point]:
        value, gradient = whole.smooth(full(point))
        return value, of(gradient)

    def prox(point: Point, length: Array) -> Point:
        nearest: Point = whole.prox(full(point), length)
        return of(nearest)

    def block(minimum: Callable[[Point], Point]) -> Callable[[Point], Point]:
        return lambda point: minimum(full(point))

    return replace(
        whole,
        value=lambda point: whole.value(full(point)),
        value_and_gradient=value_and_gradient,
        newton=newton,
        structure=structure,
        terms=None if whole.terms is None else tuple(whole.terms[k] for k in kept),
        pattern=None if whole.pattern is None else tuple(x for x in whole.pattern if {*x[:2]} <= set(names)),
        factored=factored,
        factors=layout,
        hvp=hvp,
        squares=squares,
        residuals=lambda point: whole.residuals(full(point)),
        project=project,
        smooth=smooth,
        prox=prox,
        blocks={key: block(minimum) for key, minimum in whole.blocks.items()},
        scaled={},
    )


def told(objective: Objective) -> dict[str, Any]:
    """What a program tells of the Hessian of its objective, as fields of a problem."""
    return {"terms": objective.terms, "pattern": objective.pattern, "factors": objective.factors}


def blank(point: Point) -> Problem:
    """A problem whose value and derivatives are zero, of the shapes of a point: for the shapes of a method's memory."""
    flat = jnp.zeros((), jnp.result_type(float, *point.values()))

    def zeros(at: Point) -> Point:
        return {k: jnp.zeros_like(x) for k, x in at.items()}

    def newton(at: Point) -> tuple[Array, Point, dict[str, dict[str, Array]]]:
        blocks = {p: {q: jnp.zeros((*x.shape, *y.shape), x.dtype) for q, y in at.items()} for p, x in at.items()}
        return flat, zeros(at), blocks

    def value_and_gradient(at: Point) -> tuple[Array, Point]:
        return flat, zeros(at)

    return Problem(
        lambda _: flat,
        value_and_gradient,
        newton,
        lambda at: (flat, zeros(at), ()),
        hvp=lambda at, _: zeros(at),
        smooth=value_and_gradient,
        prox=lambda at, _: at,
        blocks=defaultdict(lambda: zeros),
    )
