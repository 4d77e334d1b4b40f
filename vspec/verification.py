"""Runs a spec and judges its claims; at smoke size, claims that ask for the same constants share a run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vspec.faults import blame
from vspec.programs import temporary_program

if TYPE_CHECKING:
    from vspec.compiler.language.spec import Spec
    from vspec.runtime.claims import ClaimResult


def verify_spec(
    path: Path,
    *,
    smoke: bool = False,
    overrides: Mapping[str, Any] | None = None,
    seed: int = 0,
    allow_outside: bool = False,
) -> list[ClaimResult]:
    """Every claim of a spec, judged, in the spec's order.

    Args:
        path: the spec.
        smoke: at the quick size that claims declare under `smoke`.
        overrides: constants and sizes of dims; they win over those of `smoke`.
        seed: the run's seed.
        allow_outside: whether imports and data may lie outside of the spec's folder.

    Raises:
        SpecError: the spec is wrong.
        CommandError: the run failed, with its place in the spec.
    """
    from vspec.compiler.pipeline import check
    from vspec.runtime.run import run

    given = dict(overrides or {})
    spec, _ = check(str(path), given, allow_outside=allow_outside)
    judged: dict[str, ClaimResult] = {}
    for settings, names in groups(spec, smoke):
        # Built at every setting: a size, unlike a constant, is part of the program.
        settled = {**settings, **given}
        with temporary_program(path, overrides=settled, allow_outside=allow_outside) as program, blame(path):
            result = run(program, seed=seed, base=path.resolve().parent, allow_outside=allow_outside)
            judged |= {claim.name: claim for claim in result.claims if claim.name in names}
    return [judged[name] for name in spec.claims if name in judged]


def groups(spec: Spec, smoke: bool) -> list[tuple[dict[str, Any], set[str]]]:
    """Which claims are judged at which settings. A spec without claims is still run once: it must not fail."""
    if not smoke or not spec.claims:
        return [({}, set(spec.claims))]
    found: dict[str, tuple[dict[str, Any], set[str]]] = {}
    for name, claim in spec.claims.items():
        settings = dict(claim.smoke)
        found.setdefault(json.dumps(settings, sort_keys=True, default=list), (settings, set()))[1].add(name)
    return list(found.values())
