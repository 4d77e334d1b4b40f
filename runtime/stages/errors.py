"""What is said when a stage meets numbers that are not finite."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from vspec.runtime.errors import NumericsError
from vspec.runtime.methods.method import DIVERGED, INFEASIBLE
from vspec.runtime.program import Program
from vspec.runtime.searches import doubt
from vspec.runtime.stages.record import Stage, targets
from vspec.runtime.stages.transition import Figures, Transition

_MISSED = 1e-6


def diverged(
    program: Program, transition: Transition, figures: Figures, rounds: int, missed: Mapping[str, float]
) -> NumericsError:
    """The error of the stage that diverged; `rounds` are those of the repetition around it, if there is one, `missed` the
    violations of constraints."""
    rows = transition.rows()
    paths = [p for p in figures if rows[p].kind != "repeat"]
    path = next((p for p in paths if int(figures[p]["status"]) == DIVERGED), paths[0])
    stage = rows[path]
    where = f" of round {rounds}" if stage is not transition.stage else ""
    found = figures[path]
    if stage.kind == "update" or ("assigned" in found and not bool(found["assigned"])):
        error = _update(program, stage, found, where)
    else:
        error = _constraint(program, stage, missed) or _objective(program, stage, found, where)
    also = doubt(program)
    return NumericsError(error.code, error.message, f"{error.help}; {also}", error.line) if also else error


def infeasible(
    program: Program, transition: Transition, figures: Figures, missed: Mapping[str, float]
) -> NumericsError:
    """The error of a stage whose constraints cannot be satisfied: names the one that is missed most."""
    rows = transition.rows()
    path = next((p for p, f in figures.items() if int(f["status"]) == INFEASIBLE), next(iter(figures)))
    stage = rows[path]
    declared = program.manifest["constraints"]
    subject = (stage.record.get("constraints") or {}).get("subject") or {}
    known = {k: v for k, v in missed.items() if k in subject}
    if not known:
        return NumericsError("VS0610", "the domains of the params leave no point", line=stage.line)
    worst = max(known, key=lambda k: known[k])
    others = [f"'{k}'" for k in known if k != worst and known[k] > _MISSED]
    also = f", and {', '.join(others)}" if others else ""
    return NumericsError(
        "VS0610",
        f"the constraints cannot be satisfied together: '{worst}' ({declared[worst]['text']}) is missed by "
        f"{known[worst]:.3g}{also}, and no point nearby misses them less",
        "look for constraints that contradict each other, or start elsewhere: the search is a local one",
        declared[worst].get("line") or stage.line,
    )


def _constraint(program: Program, stage: Stage, missed: Mapping[str, float]) -> NumericsError | None:
    """The error where a constraint that binds the stage is not a number."""
    subject = (stage.record.get("constraints") or {}).get("subject") or {}
    bad = next((k for k in subject if not math.isfinite(missed.get(k, 0.0))), None)
    if bad is None:
        return None
    declared = program.manifest["constraints"][bad]
    return NumericsError(
        "VS0611",
        f"the constraint '{bad}' ({declared['text']}) is not finite where the stage starts",
        "look at the `init` of its params and at logarithms, divisions and square roots in it",
        declared.get("line") or stage.line,
    )


def _update(program: Program, stage: Stage, found: Mapping[str, Any], where: str) -> NumericsError:
    names = ", ".join(f"'{p}'" for p in targets(program, stage.record["update"]))
    step = int(found["steps"])
    return NumericsError(
        "VS0605",
        f"the update of {names} gives what is not finite in step {step}{where}",
        "look for a division by zero, a logarithm or a square root in its formulas, or shorten its steps",
        stage.line,
    )


def _objective(program: Program, stage: Stage, found: Mapping[str, Any], where: str) -> NumericsError:
    what = f"objective '{stage.names[0]}'" if stage.names else "what the stage descends along"
    line = program.entry(stage.names[0]).line if stage.names and stage.names[0] in program.entries else None
    line = stage.line if line is None else line
    value, steps = float(found.get("value", 0.0)), int(found["steps"])
    at_start = f"at the start{where}"
    by = next((m for m in stage.record.get("methods") or () if m["name"] == "block_coordinate"), None)
    bad = [k for k, flag in found["bad"].items() if bool(flag)]
    if by is not None and bad and math.isfinite(value):
        return NumericsError(
            "VS0631",
            f"the minimum of {what} by '{bad[0]}', all else given, is not finite in step {steps}{where}",
            "there is none where a quadratic form is not positive definite: a small multiple of the sum of squares makes it so",
            line,
        )
    if steps == 0 and not math.isfinite(value):
        return NumericsError("VS0601", f"{what} is {value} {at_start}", "look at the `init` of its params", line)
    if steps == 0:
        bad = [k for k, flag in found["bad"].items() if bool(flag)]
        params = dict.fromkeys(p.removesuffix(".re").removesuffix(".im") for p in bad)
        listed = ", ".join(f"'{p}'" for p in params) or "its params"
        return NumericsError(
            "VS0603",
            f"{what} is {value:g} {at_start}, but its gradient with respect to {listed} is not finite",
            "look for a square root, norm or division at zero",
            line,
        )
    last = f"; the last finite value was {value:g}" if "value" in found else ""
    return NumericsError(
        "VS0602",
        f"{what} or its gradient became not finite in step {steps}{where}{last}",
        "try a shorter step",
        line,
    )
