"""Every expression of a checked spec, in the order of its sections."""

from __future__ import annotations

from collections.abc import Iterator

from vspec.compiler.language.expr import Expr
from vspec.compiler.language.spec import Definition, Spec


def bodies(spec: Spec) -> Iterator[Expr]:
    """The right sides of equations, inits, bounds, objectives, constraints, outputs and claims."""
    for p in spec.params.values():
        yield p.init
        yield from (bound for bound in (p.domain.lower, p.domain.upper) if bound is not None)
    for e in spec.equations:
        if isinstance(e, Definition):
            yield e.body
        else:
            yield from (x for s in e.states for x in (s.init, s.step))
            yield from (d.body for d in e.inner)
    yield from (o.body for o in spec.objectives.values())
    for c in spec.constraints.values():
        yield from (side for r in c.relations for side in (r.left, r.right))
    yield from (o.body for o in spec.outputs.values())
    for claim in spec.claims.values():
        yield from (e for e in (claim.that, claim.left, claim.right) if e is not None)
