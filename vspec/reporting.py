"""The page of a run: one HTML file that needs no server, no network and no script.

What the run gave comes from its results folder, what the compiler did from compiling the same spec once more: the texts
that the results keep make the same program, byte for byte, or the page says that they do not.
"""

from __future__ import annotations

import base64
import os
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vspec.faults import refuse
from vspec.runtime.pages import sections
from vspec.runtime.pages.charts import number
from vspec.runtime.pages.folder import Results
from vspec.runtime.pages.html import Child, Html, figures, folded, inside, link, note, section, table, tag
from vspec.runtime.pages.style import BASE, PAGE

if TYPE_CHECKING:
    from vspec.compiler.language.spec import Spec
    from vspec.compiler.pipeline import Compiled

# No script runs, nothing is fetched: even if something in a page were markup that should not be.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
NAME = "report.html"


@dataclass(frozen=True)
class Page:
    """A page. `complete`: the compiler made the very program that ran; `missing` says what the page lacks, and why."""

    html: str
    complete: bool
    missing: tuple[str, ...]


@dataclass(frozen=True)
class _Read:
    """What the compiler makes of the texts: all of it, the checked spec only, or nothing, and why."""

    compiled: Compiled | None
    spec: Spec | None
    why: str


def report(results: Results) -> Page:
    """The page of a run."""
    read = _compiled(results)
    missing = (*results.missing, *([read.why] if read.why else []))
    parts = [
        ("claims", "Claims", _claims(results)),
        ("results", "Results", _results(results)),
        ("convergence", "Convergence", _convergence(results)),
        ("mathematics", "Mathematics", _mathematics(read)),
        ("derivation", "From formula to program", _derivation(results, read)),
        ("graph", "Graph and passes", _graph(results, read)),
        ("spec", "Spec", _spec(results)),
        ("program", "Program", _program(results)),
        ("run", "What ran", sections.manifest(results.facts)),
    ]
    shown = [(anchor, title, content) for anchor, title, content in parts if content]
    nav = tag("nav", tag("ul", [tag("li", link(a, t)) for a, t, _ in shown]), aria_label="sections")
    name = _name(results)
    body = tag(
        "body",
        tag("header", _head(results), nav),
        tag("main", [section(a, t, c) for a, t, c in shown]),
        tag("footer", tag("p", [_sentence(m) for m in missing]) if missing else None, tag("p", _origin(results))),
        class_="vspec",
    )
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=POLICY),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("meta", name="referrer", content="no-referrer"),
        tag("title", name),
        Html(f"<style>{PAGE}{BASE}</style>"),
    )
    return Page(f"<!doctype html>\n{tag('html', head, body, lang='en')}\n", read.compiled is not None, missing)


def write(page: Page, path: Path) -> None:
    """Write a page as a whole or not at all. Raises SpecError VS0826 where that is not possible."""
    aside = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, aside = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        with os.fdopen(handle, "w", encoding="utf-8") as out:
            out.write(page.html)
            out.flush()
            os.fsync(out.fileno())
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(aside, 0o666 & ~mask)
        os.replace(aside, path)
        aside = None
    except OSError as error:
        reason = f"'{path}' cannot be written: {error.strerror or error}"
        raise refuse("VS0826", reason, "choose another file with --out") from None
    finally:
        if aside is not None:
            Path(aside).unlink(missing_ok=True)


def _compiled(results: Results) -> _Read:
    from vspec.recompile import NotAgain, rechecked, recompiled

    if not results.texts:
        return _Read(None, None, "the results keep nothing of their program")
    try:
        compiled = recompiled(results.texts)
        return _Read(compiled, compiled.spec, "")
    except NotAgain as said:
        why = str(said)
    try:
        return _Read(None, rechecked(results.texts), why)
    except NotAgain:
        return _Read(None, None, why)


def _name(results: Results) -> str:
    run = results.facts.get("run")
    return f"{results.facts['name']}, run {run}" if run else str(results.facts["name"])


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}. "


def _origin(results: Results) -> str:
    version = (results.facts.get("versions") or {}).get("vspec")
    maker = f"vspec {version}" if version else "vspec"
    return f"Made from {results.folder.name}/run.json, a run of {maker}. Nothing on this page is fetched."


# --- head ---------------------------------------------------------------------------------------------------------


def _head(results: Results) -> Html:
    facts = results.facts
    doc = " ".join(str(results.manifest.get("doc") or "").split())
    stages = facts.get("stages") or []
    ends = [tag("span", _ended(s), class_="chip soft") for s in stages if s.get("reason")]
    valued = [s for s in stages if s.get("value") is not None and s.get("names")]
    device = facts.get("device") or {}
    rows: list[tuple[Child, Child]] = [
        *((s["names"][0], tag("strong", sections.shown(s["value"]))) for s in valued[-1:]),
        ("steps", sections.shown((facts.get("facts") or {}).get("steps"))),
        ("seconds", _seconds((facts.get("timings") or {}).get("total"))),
        ("precision", facts.get("precision")),
        ("device", device.get("kind") or device.get("platform")),
        ("seed", sections.shown(facts.get("seed"))),
    ]
    return inside(
        [
            tag("h1", _name(results)),
            tag("p", doc, class_="lead") if doc else None,
            tag("p", sections.verdict(facts.get("claims") or ()) if results.ended else _status(results), ends[:3]),
            figures([(k, v) for k, v in rows if v]),
        ]
    )


def _ended(stage: Any) -> str:
    word = "round" if stage.get("kind") == "repeat" else "step"
    taken = f"{stage.get('steps')} {word}{'' if stage.get('steps') == 1 else 's'}"
    return f"all {taken} taken" if stage["reason"] == "steps" else f"{stage['reason']} after {taken}"


def _status(results: Results) -> Html:
    """What became of a run that did not come to its end."""
    status = str(results.facts.get("status"))
    steps, error = results.facts.get("steps"), results.facts.get("error")
    words = f"{status} after {steps} steps" if steps is not None else status
    chip = tag(
        "span", "✗ " if status == "failed" else "… ", words, class_=f"chip {'bad' if status == 'failed' else 'soft'}"
    )
    if not isinstance(error, dict):
        return chip
    where = sections.at_line(error.get("line"), linked="spec.yaml" in results.texts)
    said = tag("span", f"{error.get('code')}: {error.get('message')}", class_="bad")
    return inside([chip, tag("br"), said, [" (", where, ")"] if where else None])


def _seconds(value: Any) -> str:
    return number(round(value, 2)) if isinstance(value, (int, float)) else ""


def _claims(results: Results) -> Html:
    """The claims that were judged, and those that one run cannot judge."""
    compared = results.manifest.get("compared") or []
    said = f"'vspec verify' judges what compares runs: {', '.join(map(str, compared))}." if compared else ""
    return inside([sections.claims(results.facts.get("claims") or ()), note(said) if said else None])


# --- results ------------------------------------------------------------------------------------------------------


def _results(results: Results) -> Html:
    manifest = results.manifest
    outputs = sections.arrays(results.outputs, manifest.get("outputs") or {}, "output")
    params = sections.arrays(results.params, manifest.get("params") or {}, "param")
    constraints = sections.constraints(results.facts.get("constraints") or {}, manifest.get("constraints") or {})
    return inside(
        [
            _plots(results),
            [tag("h3", "Outputs"), outputs] if outputs else None,
            [tag("h3", "Params"), params] if params else None,
            [tag("h3", "Constraints"), constraints] if constraints else None,
        ]
    )


def _plots(results: Results) -> Html:
    """The declared plots, drawn anew in the colours of the page; pictures from the folder where that is not possible."""
    manifest = results.manifest
    if "outputs" not in manifest:
        return _pictures(results)
    from vspec.runtime.plots import drawings, svg

    made: list[Html] = []
    unsuited: list[str] = []
    histories = results.facts.get("histories") or {}
    for k, drawing in enumerate(drawings(manifest, results.outputs, histories, results.facts.get("constants"))):
        picture = svg(replace(drawing, doc=""), f"plot{k}-")
        if picture is None:
            unsuited.append(f"'{drawing.name}' is not drawn: its shape does not suit '{drawing.how}'")
        else:
            made.append(tag("figure", Html(picture)))
    return inside([tag("div", made, class_="charts") if made else None, [note(_sentence(u)) for u in unsuited]])


def _pictures(results: Results) -> Html:
    found = []
    for path in sorted(results.folder.glob("*.png")):
        data = base64.b64encode(path.read_bytes()).decode()
        found.append(tag("figure", tag("img", src=f"data:image/png;base64,{data}", alt=f"plot of {path.stem}")))
    return tag("div", found, class_="charts") if found else Html("")


def _convergence(results: Results) -> Html:
    stages = results.facts.get("stages") or []
    plan = results.manifest.get("plan") or []
    return inside([sections.stages(stages, plan), sections.metrics(results.metrics, stages)])


# --- what the compiler did ----------------------------------------------------------------------------------------


def _mathematics(read: _Read) -> Html:
    if read.spec is None:
        return Html("")
    from vspec.compiler.report.page import mathematics

    return mathematics(read.spec)


def _derivation(results: Results, read: _Read) -> Html:
    from vspec.compiler.report.page import derived

    if read.compiled is not None:
        return derived(read.compiled)
    from vspec.compiler.report.lines import emitted_lines

    found = []
    for name, lines in emitted_lines(results.texts.get("program.py", "")).items():
        rows: list[list[Child]] = [
            [
                link(f"P{x['program_line']}", str(x["program_line"])),
                tag("code", x["code"].strip()),
                sections.at_line(x["line"]),
            ]
            for x in lines
        ]
        found.append(folded(tag("code", name), table(["line", "program", "spec"], rows, [0])))
    return inside([note(_sentence(f"no formulas: {read.why}")), found]) if found else Html("")


def _graph(results: Results, read: _Read) -> Html:
    from vspec.compiler.report.page import graph, passes, strategies

    rows = results.report.get("passes") or []
    drawn = [strategies(read.compiled), graph(read.compiled)] if read.compiled is not None else None
    try:
        return inside([passes(rows), drawn])
    except (KeyError, TypeError, IndexError, ValueError):
        return inside([note("The build's report cannot be read."), drawn])


def _spec(results: Results) -> Html:
    from vspec.compiler.report.page import listing

    text = results.texts.get("spec.yaml")
    if not text:
        return Html("")
    file = str((results.facts.get("spec") or {}).get("file") or "spec.yaml")
    imports = results.report.get("imports") or {}
    more = [
        folded(tag("code", name), listing(str(content), f"I{k}-", str(name)))
        for k, (name, content) in enumerate(imports.items() if isinstance(imports, dict) else ())
    ]
    return inside([note(tag("code", file)), listing(text, "L", file), more])


def _program(results: Results) -> Html:
    from vspec.compiler.report.page import listing

    text = results.texts.get("program.py")
    if not text:
        return Html("")
    return folded(
        inside([tag("code", "program.py"), f", {text.count(chr(10))} lines"]), listing(text, "P", "program.py")
    )
