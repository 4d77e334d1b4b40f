"""The sections of a page that tell about a run: claims, stages, curves, outputs, params, constraints, and what ran where.

Each takes plain data as run.json has it, or arrays, and returns a piece of HTML; of nothing, nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from vspec.runtime.pages.charts import Curve, chart, number
from vspec.runtime.pages.html import Child, Html, figures, folded, inside, link, note, table, tag

MOST_SHOWN = 64
"""Arrays of at most so many entries are shown in full."""
MEASURES = ("value", "gradient", "change")
_SAID = {"value": "value", "gradient": "largest entry of the gradient", "change": "largest change of an entry"}
ENDS = {
    "tolerance": "the method's tolerance is reached",
    "until": "its condition 'until' holds",
    "steps": "all steps are taken",
    "stalled": "no step makes it better",
    "diverged": "it diverged",
}

Where = Mapping[str, int | None]


def at_line(line: Any, linked: bool = True) -> Child:
    """A line of the spec, as a link to it where the page has the spec."""
    if not isinstance(line, int):
        return None
    return link(f"L{line}", f"line {line}") if linked else f"line {line}"


def shown(value: Any) -> str:
    """One value for people; numbers that JSON lacks come as text."""
    if isinstance(value, bool | np.bool_):
        return "true" if value else "false"
    if isinstance(value, (list, tuple)) and len(value) == 2 and all(isinstance(v, (int, float)) for v in value):
        return shown(complex(*value))
    if isinstance(value, complex | np.complexfloating):
        return f"{value.real:.6g} {'−' if value.imag < 0 else '+'} {abs(value.imag):.6g}i"
    if isinstance(value, float | np.floating):
        return number(float(value)).replace("-", "−")
    return "" if value is None else str(value).replace("-", "−") if isinstance(value, int) else str(value)


def verdict(claims: Sequence[Mapping[str, Any]]) -> Html:
    """How many claims hold, as a mark; nothing of none."""
    if not claims:
        return Html("")
    kept = sum(bool(c.get("holds")) for c in claims)
    failed = any(not c.get("holds") and not c.get("timed") for c in claims)
    words = (
        f"{kept} of {len(claims)} claims hold" if len(claims) > 1 else "the claim holds" if kept else "the claim fails"
    )
    return tag("span", "✗ " if failed else "✓ ", words, class_=f"chip {'bad' if failed else 'good'}")


def claims(found: Sequence[Mapping[str, Any]], linked: bool = True) -> Html:
    """The table of claims: what was measured, what is demanded, what the literature reports."""
    if not found:
        return Html("")
    reported = any(c.get("reported") for c in found)
    rows: list[list[Child]] = []
    for c in found:
        parts = [(p.get("measured"), p.get("bound")) for p in c.get("parts") or ()] or [
            (c.get("measured"), c.get("bound"))
        ]
        for k, (measured, bound) in enumerate(parts):
            head: list[Child] = [None, None, None, None]
            if k == 0:
                name = inside(
                    [tag("strong", c.get("name", "")), Html("<br>"), tag("code", c.get("text", ""), class_="soft said")]
                )
                head = [_mark(c), name, shown(c.get("where")), at_line(c.get("line"), linked)]
            tail: list[Child] = [shown(c.get("reported")) if k == 0 else None] if reported else []
            rows.append(
                [
                    head[0],
                    head[1],
                    tag("span", shown(measured), class_="num"),
                    tag("code", shown(bound)),
                    *tail,
                    *head[2:],
                ]
            )
    heads = ["", "claim", "measured", "demanded", *(["reported"] if reported else []), "where", "spec"]
    timed = any(not c.get("holds") and c.get("timed") for c in found)
    return inside([table(heads, rows), note("– compares seconds, which count for nothing here") if timed else None])


def _mark(c: Mapping[str, Any]) -> Html:
    if c.get("holds"):
        return tag("span", "✓", class_="good", title="holds", role="img", aria_label="holds")
    if c.get("timed"):
        return tag("span", "–", class_="soft", title="a timing", role="img", aria_label="a timing that does not hold")
    return tag("span", "✗", class_="bad", title="fails", role="img", aria_label="fails")


def stages(found: Sequence[Mapping[str, Any]], lines: Sequence[Mapping[str, Any]] = ()) -> Html:
    """What each stage did and why it ended; `lines` are the stages of the manifest's plan, for where they stand."""
    rows: list[list[Child]] = []

    def add(items: Sequence[Mapping[str, Any]], plan: Sequence[Mapping[str, Any]], depth: int) -> None:
        for k, s in enumerate(items):
            record = plan[k] if k < len(plan) else {}
            label = f"{s.get('kind', '')} {', '.join(s.get('names') or ())}".strip()
            name = inside([tag("strong", s["name"]), ": "]) if s.get("name") else None
            said = tag("span", name, label, class_="one", style=f"padding-left:{1.2 * depth:g}em" if depth else None)
            reason = s.get("reason")
            ended = inside([tag("span", reason or "", title=ENDS.get(str(reason)))]) if reason else None
            values = [s.get(m) for m in ("value", "gradient", "change", "violation")]
            rows.append(
                [
                    said,
                    s.get("method"),
                    ended,
                    shown(s.get("steps")),
                    *map(shown, values),
                    _seconds(s.get("seconds")),
                    at_line(record.get("line")),
                ]
            )
            add(s.get("stages") or (), record.get("stages") or (), depth + 1)

    add(found, lines, 0)
    heads = ["stage", "method", "ended by", "steps", "value", "gradient", "change", "violation", "seconds", "spec"]
    kept = [k for k in range(len(heads)) if k < 1 or any(row[k] not in (None, "") for row in rows)]
    if not rows:
        return Html("")
    numbers = [new for new, k in enumerate(kept) if 3 <= k <= 8]
    made = table([heads[k] for k in kept], [[row[k] for k in kept] for row in rows], numbers)
    reasons = list(dict.fromkeys(r for s in _every(found) if (r := s.get("reason")) in ENDS))
    return inside([made, note("; ".join(f"{r}: {ENDS[str(r)]}" for r in reasons)) if reasons else None])


def _every(found: Sequence[Mapping[str, Any]]) -> Iterable[Mapping[str, Any]]:
    for s in found:
        yield s
        yield from _every(s.get("stages") or ())


def _seconds(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, (int, float)) else shown(value)


def metrics(rows: Sequence[Mapping[str, Any]], stages: Sequence[Mapping[str, Any]] = ()) -> Html:
    """Charts of each stage: value, gradient and change over the steps; several starts are curves of one chart."""
    groups: dict[tuple[Any, Any], dict[Any, list[Mapping[str, Any]]]] = {}
    for row in rows:
        key = (row.get("stage", 0), str(row.get("part", "")))
        groups.setdefault(key, {}).setdefault(row.get("start", 0), []).append(row)
    made: list[Html] = []
    for (stage, part), starts in groups.items():
        first = next(iter(starts.values()))[0]
        charts = [
            _chart(measure, starts) for measure in MEASURES if any(measure in r for rs in starts.values() for r in rs)
        ]
        charts = [c for c in charts if c]
        if charts:
            title = _titled(stage, part, first, stages) if len(groups) > 1 else None
            made.append(inside([tag("h3", title) if title else None, tag("div", charts, class_="charts")]))
    return inside(made)


def _chart(measure: str, starts: Mapping[Any, list[Mapping[str, Any]]]) -> Html:
    curves = []
    rounds = any("round" in r for rows in starts.values() for r in rows)
    for start, rows in starts.items():
        kept = [r for r in rows if measure in r]
        values = [_real(r[measure]) for r in kept]
        across = _across(kept, rounds)
        if values:
            curves.append(Curve(across, values, f"start {start}" if len(starts) > 1 else ""))
    return chart(curves, "round" if rounds else "step", _SAID[measure])


def _across(rows: Sequence[Mapping[str, Any]], rounds: bool) -> list[float]:
    """Where rows stand: at their step, in a repetition at their round; the steps of one round share it evenly."""
    if not rounds:
        return [_real(r.get("step", k)) for k, r in enumerate(rows)]
    counts: dict[Any, int] = {}
    for r in rows:
        counts[r.get("round")] = counts.get(r.get("round"), 0) + 1
    seen: dict[Any, int] = {}
    found = []
    for k, r in enumerate(rows):
        at = r.get("round", k)
        seen[at] = seen.get(at, 0) + 1
        found.append(_real(at) + (seen[at] - 1) / counts.get(at, 1))
    return found


def _titled(stage: Any, part: str, row: Mapping[str, Any], stages: Sequence[Mapping[str, Any]]) -> str:
    record = stages[stage] if isinstance(stage, int) and stage < len(stages) else {}
    own = record.get("name") or f"{record.get('kind', 'stage')} {', '.join(record.get('names') or ())}".strip()
    title = f"Stage {stage + 1 if isinstance(stage, int) else stage}: {own}"
    inner = row.get("name")
    return f"{title}, {inner or f'part {part}'}" if part else title


def _real(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan


def arrays(found: Mapping[str, Any], records: Mapping[str, Mapping[str, Any]], kind: str) -> Html:
    """Params or outputs: axes, shape, least, mean and greatest entry; small ones are there in full.

    Args:
        found: name → array.
        records: what the manifest says of each: axes, line, domain.
        kind: what they are, `param` or `output`.
    """
    if not found:
        return Html("")
    rows: list[list[Child]] = []
    full: list[Html] = []
    for name, value in found.items():
        array = np.asarray(value)
        record = records.get(name, {})
        domain = record.get("domain")
        note_ = domain if domain not in (None, "real") else None
        rows.append(
            [
                tag("strong", name),
                tag("span", _axes(record, array), class_="one"),
                *_range(array),
                note_,
                at_line(record.get("line")),
            ]
        )
        if 1 < array.size <= MOST_SHOWN:
            full.append(
                folded(inside([name, tag("span", f" {_shape(array)}", class_="soft")]), _entries(array, record))
            )
    heads = [kind, "axes", "least", "mean", "greatest", "set", "spec"]
    kept = [k for k in range(len(heads)) if any(row[k] not in (None, "") for row in rows)]
    numbers = [new for new, k in enumerate(kept) if k in (2, 3, 4)]
    return inside([table([heads[k] for k in kept], [[row[k] for k in kept] for row in rows], numbers), full])


def _shape(array: Any) -> str:
    return " × ".join(map(str, array.shape)) if array.ndim else "number"


def _axes(record: Mapping[str, Any], array: Any) -> str:
    axes = list(record.get("axes") or ())
    if array.ndim and "axes" not in record:
        return _shape(array)
    named = [*(["step"] * (array.ndim - len(axes))), *axes] if len(axes) <= array.ndim else axes
    return ", ".join(f"{a}: {n}" for a, n in zip(named, array.shape)) or "number"


def _range(array: Any) -> list[Child]:
    if array.size == 0:
        return [None, "empty", None]
    if array.dtype == bool:
        return [None, f"{array.mean():.3g} are true" if array.ndim else shown(bool(array)), None]
    if array.dtype.kind == "c":
        return [None, shown(complex(array)) if array.size == 1 else f"|·| {shown(float(np.abs(array).mean()))}", None]
    if array.dtype.kind not in "iuf":
        return [None, f"{array.dtype}", None]
    if array.size == 1:
        return [None, shown(array.reshape(()).item()), None]
    bad = int((~np.isfinite(array)).sum())
    with np.errstate(all="ignore"):
        least, mean, most = (float(f(array)) for f in (np.min, np.mean, np.max))
    said = inside([shown(mean), tag("span", f" ({bad} not finite)", class_="bad") if bad else None])
    return [shown(least), said, shown(most)]


def _entries(array: Any, record: Mapping[str, Any]) -> Html:
    """Every entry, the last axis across."""
    flat = array.reshape(-1, array.shape[-1]) if array.ndim > 1 else array.reshape(-1, 1)
    axes = list(record.get("axes") or ())
    across = axes[-1] if array.ndim > 1 and len(axes) == array.ndim else ""
    leading = array.shape[:-1] if array.ndim > 1 else array.shape
    rows = [
        [", ".join(map(str, index)), *(shown(v.item()) for v in row)]
        for index, row in zip(np.ndindex(*leading), flat, strict=True)
    ]
    columns = [f"{across} = {k}" if across else str(k) for k in range(flat.shape[1])] if array.ndim > 1 else ["value"]
    head = ", ".join(axes[: len(leading)]) if len(axes) == array.ndim else ""
    return table([head, *columns], rows, range(1, flat.shape[1] + 1))


def constraints(violations: Mapping[str, Any], records: Mapping[str, Mapping[str, Any]]) -> Html:
    """The largest violation of each constraint at the solution."""
    rows = [
        [
            tag("strong", name),
            tag("code", records.get(name, {}).get("text", "")),
            shown(value),
            at_line(records.get(name, {}).get("line")),
        ]
        for name, value in violations.items()
    ]
    return table(["constraint", "", "largest violation", "spec"], rows, [2]) if rows else Html("")


def manifest(facts: Mapping[str, Any]) -> Html:
    """What ran, on what, how long: versions, device, seed, sizes, constants, seconds, hashes."""
    device = facts.get("device") or {}
    spec = facts.get("spec") or {}
    general: list[tuple[Child, Child]] = [
        ("seed", shown(facts.get("seed"))),
        ("precision", facts.get("precision")),
        (
            "device",
            f"{device.get('count', 1)} × {device.get('kind') or device.get('platform', '')}" if device else None,
        ),
        ("begun", facts.get("started")),
        ("ended", facts.get("ended")),
        ("gone on", f"{len(facts.get('resumed') or ())} times" if facts.get("resumed") else None),
        *((f"size of {dim}", shown(size)) for dim, size in (facts.get("dims") or {}).items()),
    ]
    constants = [(name, shown(v)) for name, v in (facts.get("constants") or {}).items() if np.ndim(v) == 0]
    seconds = [(name, f"{_seconds(v)} s") for name, v in (facts.get("timings") or {}).items()]
    versions = [(name, shown(v)) for name, v in (facts.get("versions") or {}).items()]
    hashes: list[list[Child]] = [
        [spec.get("file") or "spec", tag("code", shown(spec.get("sha256")))],
        ["program.py", tag("code", shown((facts.get("program") or {}).get("sha256")))],
        ["manifest.json", tag("code", shown((facts.get("manifest") or {}).get("sha256")))],
    ]
    hashes += [[f"data {name}", tag("code", _digest(v))] for name, v in (facts.get("data") or {}).items()]
    groups = (("Run", general), ("Constants", constants), ("Seconds", seconds), ("Versions", versions))
    known = [h for h in hashes if h[1] != tag("code", "")]
    command = facts.get("command")
    told = [
        inside([tag("h3", title), figures([(k, v) for k, v in rows if v not in (None, "")])])
        for title, rows in groups
        if rows
    ]
    return inside(
        [
            tag("p", tag("code", " ".join(map(str, command)), class_="said")) if command else None,
            *told,
            [tag("h3", "SHA-256"), table(["of", "hash"], known)] if known else None,
        ]
    )


def _digest(record: Any) -> str:
    """The hash in what is said of an array of data."""
    found = record.get("sha256") if isinstance(record, Mapping) else record
    return found if isinstance(found, str) else ""
