"""Whether a plan needs a data entry as a whole, or only ever batches of its rows. By the manifest alone."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

Record = Mapping[str, Any]

_KINDS = {
    "initial": "the starts of params are made of it",
    "bounds": "the domains of params are made of it",
    "constraints": "the constraints are evaluated on all of it",
    "outputs": "the outputs are evaluated on all of it",
    "claims": "the claims are evaluated on all of it",
}


def whole_use(manifest: Record, name: str, others: Collection[str] = ()) -> str | None:
    """Why a run needs all of a data entry at once, in words; None if its stages only read batches of its rows.

    Rows are those of the first axis. `others` are data that are read by rows already. What a caller evaluates beside a run
    (`program.loss`) does not count.
    """
    entries: Record = manifest["entries"]
    axes = manifest["data"][name]["axes"]
    if not axes:
        return "it is a single number"
    made = by_rows(manifest, name)
    for result in prepared_of(manifest, name):
        if result not in made:
            return f"'{result}', which depends on data alone, is evaluated once, on all of it"
        for other in others:
            if result in by_rows(manifest, other) and manifest["data"][other]["axes"][0] != axes[0]:
                return f"'{result}' is made of rows of it and of rows of '{other}' along another axis"
    reads = {
        e
        for e, entry in entries.items()
        if entry["kind"] != "prepare"
        and any(
            (a["role"], a["name"]) in {("data", name), *(("prepared", r) for r in made)} for a in entry["arguments"]
        )
    }
    for e in entries:
        if e in reads and entries[e]["kind"] in _KINDS:
            return _KINDS[entries[e]["kind"]]
    for stage, inside in _stages(manifest["plan"]):
        why = _stage_use(manifest, stage, inside, reads, axes)
        if why is not None:
            return why
    return None


def prepared_of(manifest: Record, name: str) -> list[str]:
    """The prepared arrays that are made of a data entry, as far as the manifest tells."""
    return [r["name"] for r in _prepared(manifest) if name in r.get("of", (name,))]


def by_rows(manifest: Record, name: str) -> list[str]:
    """The prepared arrays that are made of a data entry row by row of what is its first axis."""
    axes = manifest["data"][name]["axes"]
    return [r["name"] for r in _prepared(manifest) if name in r.get("of", ()) and axes and axes[0] in r.get("rows", ())]


def _prepared(manifest: Record) -> list[Record]:
    return [r for e in manifest["entries"].values() if e["kind"] == "prepare" for r in e.get("results") or ()]


def _stages(plan: Any, inside: bool = False) -> Iterator[tuple[Record, bool]]:
    """The stages, each with whether it stands in a repetition."""
    for stage in plan:
        yield stage, inside
        yield from _stages(stage.get("stages") or (), True)


def _stage_use(manifest: Record, stage: Record, inside: bool, reads: set[str], axes: list[str]) -> str | None:
    entries = stage.get("entries") or {}
    label = stage.get("name") or " ".join([stage["kind"], ", ".join(stage.get("names") or ())]).strip()
    where = f"the stage '{label}'" + (f" (line {stage['line']})" if stage.get("line") else "")
    for key in ("until", "counts"):
        if stage.get(key) in reads:
            return f"`until` of {where} sees all rows" if key == "until" else f"the counts of {where} are made of it"
    if entries.get("assume") in reads:
        return f"what {where} takes for granted is checked on all of it"
    called = [*entries.values(), *(stage.get("update") or ()), stage.get("directions"), stage.get("step")]
    if not reads.intersection([*called, stage.get("schedule")]):
        return None
    batched = _batched(manifest, stage)
    if axes[0] not in batched:
        other = next((a for a in axes if a in batched), None)
        if other is not None:
            return f"{where} sees batches of '{other}', which is not its first axis"
        return f"{where} sees all of it in each step"
    if inside and any(stage.get(k) for k in ("steps", "epochs", "until")) | _counted(manifest, stage):
        return f"{where} has steps of its own inside of a repetition"
    if stage.get("constraints"):
        return f"how well the constraints of {where} hold is found on all of it"
    value = (stage.get("names") or [None])[0]
    if value in reads and manifest["entries"][value].get("solves"):
        return f"whether the searches in '{value}' converged where {where} ends is found on all of it"
    return None


def _batched(manifest: Record, stage: Record) -> set[str]:
    """The dims of which a stage sees batches."""
    letters = [*(stage.get("batch") or {}), *(c[6:] for c in _counts(manifest, stage) if c.startswith("batch."))]
    return {dim for dim, d in manifest["dims"].items() for letter in letters if letter in (dim, *d["letters"])}


def _counted(manifest: Record, stage: Record) -> bool:
    return bool({"steps", "epochs"} & set(_counts(manifest, stage)))


def _counts(manifest: Record, stage: Record) -> list[str]:
    """The counts of a stage that an entry tells."""
    entry = stage.get("counts")
    return [] if not entry else [r["name"] for r in manifest["entries"][entry].get("results") or ()]
