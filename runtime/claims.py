"""Judges the claims of a program: measured figures next to their bounds. What is not a number never holds."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from vspec.runtime.bound import Bound
from vspec.runtime.domains import Domain
from vspec.runtime.errors import ArtifactError
from vspec.runtime.program import Program
from vspec.runtime.searches import checked

RANDOM_POINTS = 3
RELATIONS: Mapping[str, Callable[[float, float], bool]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "==": operator.eq, "!=": operator.ne,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Part:
    """A figure of a claim with all of its bounds, for people."""

    measured: str
    bound: str


@dataclass(frozen=True, slots=True)
class ClaimResult:
    """One judged claim. `measured` and `bound` are for people, `parts` the same figure by figure; `figures` and `limits` are
    the numbers on both sides of each comparison.

    `where` says at which params, or of which runs. `timed`: it compares seconds, which differ from machine to machine, so that
    it is reported and fails only where that is asked for. `seeds` has what each seed gave, of a claim over several.
    """

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
    limits: tuple[float, ...] = ()
    timed: bool = False
    seeds: tuple[Mapping[str, Any], ...] = ()
    parts: tuple[Part, ...] = ()

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

    Raises:
        NumericsError: VS0615, an implicit quantity in a claim was not found.
    """
    declared = program.manifest["claims"]
    if not declared:
        return ()
    entry = next((e.name for e in program.entries.values() if e.kind == "claims"), None)
    if entry is None:
        raise ArtifactError("VS0806", "the program has claims, but no entry that evaluates them")
    here = jax.device_get(checked(program, entry, dict(params), bound, "in the claims"))
    elsewhere = []
    if params and any(c["kind"] == "identity" for c in declared.values()):
        domains = program.domains(bound)
        generator = np.random.default_rng(bound.seed)
        for k in range(RANDOM_POINTS):
            point = {k: jnp.asarray(_anywhere(domains[k], x, generator), x.dtype) for k, x in params.items()}
            where = f"in the claims, at random point {k + 1} of {RANDOM_POINTS}"
            elsewhere.append(jax.device_get(checked(program, entry, point, bound, where)))
    return tuple(
        _identity(name, claim, [here, *elsewhere])
        if claim["kind"] == "identity"
        else _that(name, claim, here, timed=_timed(program, claim))
        for name, claim in declared.items()
    )


def compare(program: Program, name: str, bound: Bound) -> ClaimResult:
    """One claim of a program that compares runs, whose facts are bound (`facts.bind_facts`)."""
    claim = program.manifest["claims"][name]
    results = jax.device_get(checked(program, name, {}, bound, f"in the claim '{name}'"))
    judged = _that(name, claim, results, timed=_timed(program, claim))
    return replace(judged, where=f"over {', '.join(claim['runs'])}")


def _timed(program: Program, claim: Mapping[str, Any]) -> bool:
    facts = program.manifest.get("facts", {})
    return any(facts[name]["path"][-1] == "seconds" for name in claim.get("facts") or ())


def _anywhere(domain: Domain, like: Array, generator: np.random.Generator) -> Any:
    """A random point of a domain, complex where the param is."""
    drawn = domain.random(like.shape, generator)
    return drawn + 1j * domain.random(like.shape, generator) if jnp.iscomplexobj(like) else drawn


def over_seeds(judged: Mapping[int, ClaimResult], claim: Mapping[str, Any]) -> ClaimResult:
    """A claim judged at several seeds as one: all of them must hold, or so many, or the mean over them must.

    The mean is that of the figures on both sides of each comparison; of an identity, that of its largest error.

    Args:
        judged: seed → what it gave.
        claim: what the manifest says about the claim.
    """
    results = list(judged.values())
    first, require = results[0], claim.get("require", "all")
    if len(results) == 1:
        return first
    rows: list[tuple[tuple[float, ...], tuple[float, ...]]]
    if claim["kind"] == "identity":
        measures = [{"text": "", "relation": "<="}]
        rows = [((max(r.figures, key=_worst),), (float(claim["tolerance"]),)) for r in results]
    else:
        measures, rows = list(claim.get("measures") or ()), [(r.figures, r.limits) for r in results]
    figures = list(zip(*(row[0] for row in rows), strict=True))
    limits = list(zip(*(row[1] for row in rows), strict=True))
    held = sum(r.holds for r in results)
    merged = replace(
        first,
        where=f"{first.where}, seeds {min(judged)} to {max(judged)}",
        seeds=tuple({"seed": seed, "holds": r.holds, "figures": r.figures} for seed, r in judged.items()),
    )

    bounds = [_bound(m["relation"], str(m.get("bound", "")), x[0]) for m, x in zip(measures, limits, strict=True)]
    if require == "mean":
        left, right = [_mean(x) for x in figures], [_mean(x) for x in limits]
        holds = all(RELATIONS[m["relation"]](a, b) for m, a, b in zip(measures, left, right, strict=True))
        parts = _parts(measures, [show(x) for x in left], bounds)
        merged = replace(merged, holds=holds, figures=tuple(left), limits=tuple(right))
        return replace(merged, measured=f"mean {_joined(parts)}", parts=_noted(first, parts, "mean "))
    holds = held >= (len(results) if require == "all" else int(require))
    parts = _parts(measures, [_span(x) for x in figures], bounds)
    count = f"{held} of {len(results)} seeds hold"
    measured = f"{_joined(parts)}: {count}" if parts else count
    return replace(merged, holds=holds, measured=measured, parts=_noted(first, parts, "", f": {count}"))


def _parts(
    measures: Sequence[Mapping[str, Any]], values: Sequence[str], bounds: Sequence[str], alone: bool = True
) -> tuple[Part, ...]:
    """Each figure once, with all of its bounds; by name unless there is only one, and nothing beside it."""
    found: dict[str, tuple[str, list[str]]] = {}
    for m, value, limit in zip(measures, values, bounds, strict=True):
        found.setdefault(m["text"], (value, []))[1].append(limit)
    alone = alone and len(found) == 1
    return tuple(Part(v if alone else f"{text} = {v}", ", ".join(all_)) for text, (v, all_) in found.items())


def _joined(parts: Sequence[Part]) -> str:
    return "; ".join(p.measured for p in parts)


def _noted(first: ClaimResult, parts: Sequence[Part], before: str, after: str = "") -> tuple[Part, ...]:
    """The parts of a claim over several seeds, with what is said of all of them."""
    if not parts:
        return ()
    if len(parts) == 1:
        return (Part(f"{before}{parts[0].measured}{after}", first.bound),)
    said = [Part(f"{before}{p.measured}", p.bound) for p in parts]
    return (*said, Part(after.removeprefix(": "), "")) if after else tuple(said)


def _worst(error: float) -> float:
    return math.inf if math.isnan(error) else error


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values) if all(map(math.isfinite, values)) else float(np.mean(values))


def _span(values: Sequence[float]) -> str:
    low, high = show(min(values)), show(max(values))
    if any(map(math.isnan, values)):
        return "nan"
    return low if low == high else f"{low} to {high}"


def _that(name: str, claim: Mapping[str, Any], results: Mapping[str, Any], timed: bool = False) -> ClaimResult:
    measures = claim.get("measures") or []
    sides = [(_number(results[m["left"]]), _number(results[m["right"]])) for m in measures]
    truth = bool(np.all(results[claim["holds"]]))
    numbers = all(not math.isnan(side) for pair in sides for side in pair)
    bounds = [_bound(m["relation"], str(m["bound"]), right) for m, (_, right) in zip(measures, sides, strict=True)]
    others = claim.get("conditions") or []
    parts = _parts(measures, [show(left) for left, _ in sides], bounds, alone=not others)
    parts = (*parts, *(Part(f"{c['text']}: {_truth(results[c['holds']])}", "true") for c in others))
    return ClaimResult(
        name,
        claim["text"],
        "that",
        truth and numbers,
        _joined(parts) if parts else _truth(truth),
        "; ".join(p.bound for p in parts) or "true",
        _text(claim.get("reported")),
        "at the solution",
        claim.get("line"),
        tuple(left for left, _ in sides),
        tuple(right for _, right in sides),
        timed,
        parts=parts,
    )


def _identity(name: str, claim: Mapping[str, Any], points: list[Mapping[str, Any]]) -> ClaimResult:
    errors = [_number(p[claim["error"]]) for p in points]
    proved, by = bool(claim.get("proved")), claim.get("by") or ""
    worst = max(range(len(errors)), key=lambda k: _worst(errors[k]))
    random = f" and {len(errors) - 1} random points" if len(errors) > 1 else ""
    measured = show(errors[worst])
    if by == "proof" or (proved and not by):
        holds, measured = proved, "proved" if proved else f"not proved; {measured} at the points tried"
        where = "by proof"
    elif all(e <= claim["tolerance"] for e in errors):
        holds, where = True, f"at the solution{random}"
    else:
        holds, where = False, "at the solution" if worst == 0 else f"at random point {worst} of {len(errors) - 1}"
    return ClaimResult(
        name,
        claim["text"],
        "identity",
        holds,
        measured,
        "proof" if by == "proof" else f"<= {show(claim['tolerance'])}",
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


def _truth(value: Any) -> str:
    return "true" if bool(np.all(value)) else "false"


def _text(reported: Any) -> str | None:
    return None if reported is None else str(reported)


def show(value: float) -> str:
    """A figure with four digits."""
    return f"{value:.4g}"
