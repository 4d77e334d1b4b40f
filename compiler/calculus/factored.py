"""A Hessian as diagonals of some params plus products J' D J over fewer observations than there are unknowns.

Of regressions with more weights than observations, and of everything else whose curvature comes through few affine parts
(`waist.py`): D is one number per observation, J has a row for each. What is handed on are the arrays of both; systems are solved
by the identity of Woodbury (`runtime/methods/factored.py`), and no array of all pairs of unknowns is made.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

from vspec.compiler.calculus.curvature import (
    CLEARLY,
    SMALL,
    Tied,
    count_unknowns,
    shapes_of,
    sizes_of,
    terms_between,
)
from vspec.compiler.calculus.derive import derivative, gradients
from vspec.compiler.calculus.sweeps import depends
from vspec.compiler.calculus.waist import waist
from vspec.compiler.diagnostics.diagnostic import Diagnostic, SpecError
from vspec.compiler.graph.graph import Result
from vspec.compiler.graph.node import Axis, Kind, Node, topological
from vspec.compiler.graph.strategy import Candidate, Choice
from vspec.runtime.elimination import dense_cost
from vspec.runtime.factors import Factored, Layout

if TYPE_CHECKING:
    from vspec.compiler.calculus.needs import Request


@dataclass(frozen=True, slots=True)
class Observed:
    """One array of observations: the curvature of each, and for each param it depends on the derivatives `[axes of the
    observations, axes of the param]`."""

    curvature: Node
    slopes: dict[str, Node]


@dataclass(frozen=True, slots=True)
class Factors:
    """The terms among single elements of params, and the observations."""

    terms: tuple[Tied, ...]
    observed: tuple[Observed, ...]

    @property
    def layout(self) -> Layout:
        """What the arrays are."""
        terms = tuple((t.p, t.q, t.ties) for t in self.terms)
        return Layout(terms, tuple(tuple(o.slopes) for o in self.observed))

    @property
    def arrays(self) -> tuple[Node, ...]:
        """The arrays, in the order of the layout."""
        return (*(t.node for t in self.terms), *(n for o in self.observed for n in (o.curvature, *o.slopes.values())))

    @property
    def facts(self) -> dict[str, Any]:
        """What the manifest says."""
        terms = [{"of": [t.p, t.q], "ties": [list(tie) for tie in t.ties]} for t in self.terms]
        return {"terms": terms, "observations": [list(o.slopes) for o in self.observed]}


def factors_of(r: Request) -> Factors | None:
    """The factors; None where the curvature is not that of single observations."""
    b, xs = r.low.b, list(r.reals.values())
    if any(n.kind is Kind.REGION for n in depends([r.value], xs)):
        return None
    with b.at(r.origin("hessian")):
        cut = waist(b, r.value, xs)
        slopes = gradients(b, cut.value, list(cut.fronts))
        names = {x.uid: p for p, x in r.reals.items()}
        terms: list[Tied] = []
        observed: list[Observed] = []
        for k, front in enumerate(cut.fronts):
            for other, part in zip(cut.fronts[k:], cut.parts[k:], strict=True):
                one = names.get(cut.parts[k].uid, "")
                found = terms_between(b, one, names.get(part.uid, ""), slopes[k], other)
                if not found:
                    continue
                if one and part.uid in names:
                    terms += found
                elif other is front and _single(found, front):
                    observed.append(Observed(found[0].node, _rows(r, part)))
                else:
                    return None
    return Factors(tuple(terms), tuple(observed))


def _single(found: Sequence[Tied], front: Node) -> bool:
    """Whether second derivatives are one number for each element."""
    return len(found) == 1 and found[0].ties == tuple((k, k) for k in range(len(front.axes)))


def _rows(r: Request, part: Node) -> dict[str, Node]:
    """The derivatives of an affine part by each param that it depends on."""
    found = {}
    below = {n.uid for n in topological([part])}
    for p, x in r.reals.items():
        if x.uid not in below:
            continue
        letters = [Axis(r.low.b.fresh(a.name), a.dim) for a in x.axes]
        found[p] = derivative(r.low.b, part, x, letters)
    return found


def by_factors(r: Request) -> bool:
    """Whether observations are so few that a system over them costs clearly less than one over all unknowns."""
    plain = all(p.dtype == "real" and p.domain.kind == "real" for p in r.params)
    if not plain or count_unknowns(r) <= SMALL or r.factors is None:
        return False
    found = _plan(r)
    return found is not None and found.feasible and found.cost < CLEARLY * dense_cost(count_unknowns(r))


def factored_cost(r: Request) -> float:
    """Multiplications of a solution by Woodbury's identity."""
    found = _plan(r)
    return float("inf") if found is None else found.cost


def _plan(r: Request) -> Factored | None:
    if r.factors is None:
        return None
    sizes = sizes_of(r)
    rows = [prod(sizes.dim(a.dim) for a in o.curvature.axes) for o in r.factors.observed]
    return r.factors.layout.plan(shapes_of(r), rows)


def factored(r: Request) -> None:
    """Value, gradient and the factors of the Hessian, in one entry. Raises SpecError VS0264 where there are none."""
    if "factored" in r.made:
        return
    plan = _plan(r)
    if r.factors is None or plan is None:
        calls = (m for m in r.stage.methods if m.arguments.get("hessian", {}).get("name") == "factored")
        why = f"the Hessian of {r.name} cannot be kept factored: its curvature is not that of single observations"
        span = next((m.span for m in calls), r.stage.span)
        tip = "hessian=auto takes what costs least"
        raise SpecError([Diagnostic("VS0264", why, span, help=(tip,))])
    listed = (*r.both, *(Result((2, k), node) for k, node in enumerate(r.factors.arrays)))
    doc = f"{r.name}, its gradient and the factors of its Hessian by {r.wrt}: {plan.rows} observations, {plan.inner} unknowns."
    r.entry("factored", listed, doc)
    whole = count_unknowns(r)
    among = (
        Candidate("factored", plan.cost, float(plan.entries)),
        Candidate("dense", dense_cost(whole), float(whole) ** 2),
    )
    because = f"{plan.rows} observations of {plan.inner} unknowns with a diagonal of their own"
    because += f", beside {plan.border} without one" if plan.border else ""
    r.low.b.choices.append(Choice("Hessian", f"{r.name} by {r.wrt}", r.stage.span.line, "factored", among, because))


__all__ = ["Factors", "by_factors", "factored", "factored_cost", "factors_of"]
