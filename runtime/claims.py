"""Judges the claims of a program: measured figures next to their bounds. What is not a number never holds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from vspec.runtime.bound import Bound
from vspec.runtime.domains import Domain
from vspec.runtime.errors import ArtifactError
from vspec.runtime.program import Program

RANDOM_POINTS = 3


@dataclass(frozen=True, slots=True)
class ClaimResult:
    """One judged claim. `measured` and `bound` are for people, `figures` the numbers; `where` says at which params."""

    name: str
    text: str
    kind: str
    holds: bool
    measured: str
    bound: str
    reported: str | None
    where: str
    line: int | None
    figures: tuple[float, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def judge(program: Program, params: Mapping[str, Array], bound: Bound) -> tuple[ClaimResult, ...]:
    """Every claim of the program at the solution; identities also at random params.

    Args:
        program: the program.
        params: the solution.
        bound: the bound data; its seed also draws the random points.

    Returns:
        One result per claim, in the spec's order.
    """
    declared = program.manifest["claims"]
    if not declared:
        return ()
    entry = next((e.name for e in program.entries.values() if e.kind == "claims"), None)
    if entry is None:
        raise ArtifactError("VS0806", "the program has claims, but no entry that evaluates them")
    evaluated = program.jitted(entry)
    here = jax.device_get(evaluated(dict(params), bound))
    elsewhere = []
    if params and any(c["kind"] == "identity" for c in declared.values()):
        domains = program.domains(bound)
        generator = np.random.default_rng(bound.seed)
        for _ in range(RANDOM_POINTS):
            point = {k: jnp.asarray(_anywhere(domains[k], x, generator), x.dtype) for k, x in params.items()}
            elsewhere.append(jax.device_get(evaluated(point, bound)))
    return tuple(
        _identity(name, claim, [here, *elsewhere]) if claim["kind"] == "identity" else _that(name, claim, here)
        for name, claim in declared.items()
    )


def _anywhere(domain: Domain, like: Array, generator: np.random.Generator) -> Any:
    """A random point of a domain, complex where the param is."""
    drawn = domain.random(like.shape, generator)
    return drawn + 1j * domain.random(like.shape, generator) if jnp.iscomplexobj(like) else drawn


def _that(name: str, claim: Mapping[str, Any], results: Mapping[str, Any]) -> ClaimResult:
    measures = claim.get("measures") or []
    sides = [(_number(results[m["left"]]), _number(results[m["right"]])) for m in measures]
    truth = bool(np.all(results[claim["holds"]]))
    numbers = all(not math.isnan(side) for pair in sides for side in pair)
    bounds = [_bound(m["relation"], str(m["bound"]), right) for m, (_, right) in zip(measures, sides, strict=True)]
    if len(measures) == 1:
        measured = show(sides[0][0])
    elif measures:
        measured = ", ".join(f"{m['text']} = {show(left)}" for m, (left, _) in zip(measures, sides, strict=True))
    else:
        measured = "true" if truth else "false"
    return ClaimResult(
        name,
        claim["text"],
        "that",
        truth and numbers,
        measured,
        ", ".join(bounds) or "true",
        _text(claim.get("reported")),
        "at the solution",
        claim.get("line"),
        tuple(left for left, _ in sides),
    )


def _identity(name: str, claim: Mapping[str, Any], points: list[Mapping[str, Any]]) -> ClaimResult:
    errors = [_number(p[claim["error"]]) for p in points]
    holds = all(e <= claim["tolerance"] for e in errors)
    worst = max(range(len(errors)), key=lambda k: math.inf if math.isnan(errors[k]) else errors[k])
    random = f" and {len(errors) - 1} random points" if len(errors) > 1 else ""
    if holds:
        where = f"at the solution{random}"
    else:
        where = "at the solution" if worst == 0 else f"at random point {worst} of {len(errors) - 1}"
    return ClaimResult(
        name,
        claim["text"],
        "identity",
        holds,
        show(errors[worst]),
        f"<= {show(claim['tolerance'])}",
        _text(claim.get("reported")),
        where,
        claim.get("line"),
        tuple(errors),
    )


def _number(value: Any) -> float:
    """A scalar side of a comparison; an array's largest absolute entry, should one ever be given."""
    array = np.asarray(value, dtype=np.float64)
    return float(array) if array.ndim == 0 else float(np.max(np.abs(array)))


def _bound(relation: str, text: str, value: float) -> str:
    try:
        float(text)
    except ValueError:
        return f"{relation} {text} = {show(value)}"
    return f"{relation} {text}"


def _text(reported: Any) -> str | None:
    return None if reported is None else str(reported)


def show(value: float) -> str:
    """A figure with four digits."""
    return f"{value:.4g}"
