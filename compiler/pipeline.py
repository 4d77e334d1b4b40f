"""The stages in order: source → language → calculus → graph → passes → emit.

Each is a function from an immutable value to an immutable value. `check` stops after the language and imports neither
JAX nor SymPy; `compile_spec` goes on to an optimised graph and its program text; `build` writes the program directory.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vspec.compiler.collector import paused
from vspec.compiler.diagnostics.diagnostic import Diagnostic, Sink, SpecError
from vspec.compiler.diagnostics.policy import DEFAULT, Policy
from vspec.compiler.diagnostics.spans import Span
from vspec.compiler.source.document import Document

if TYPE_CHECKING:
    from vspec.compiler.emit.python import Emitted
    from vspec.compiler.graph.graph import Graph
    from vspec.compiler.graph.limits import TooLargeError
    from vspec.compiler.graph.tuning import Tuning
    from vspec.compiler.language.externs import Found
    from vspec.compiler.language.spec import Spec
    from vspec.compiler.passes import PassRecord
    from vspec.compiler.variants import Variant

NOTHING: Mapping[str, Any] = {}
EVERY, COMPARISON = "*", "="
"""Parts of a build that are no names of runs: the spec with all of its runs, and what compares them."""


class UnknownRun(KeyError):  # noqa: N818 (says what is wrong, as a word in a message)
    """A name that no run has; its arguments are the name and those of the runs."""


@dataclass(frozen=True)
class Compiled:
    """A spec on its way to disk: the graph before and after the passes, the program text, what each pass did; and, where
    they were asked for, programs for other sizes of open dims."""

    spec: Spec
    before: Graph
    graph: Graph
    emitted: Emitted
    passes: tuple[PassRecord, ...]
    seconds: Mapping[str, float]
    variants: tuple[Variant, ...] = ()


@dataclass(frozen=True)
class Built:
    """A program directory. `cached`: it was up to date and nothing was done."""

    directory: Path
    cached: bool
    seconds: float
    warnings: tuple[Diagnostic, ...]


def check_text(
    text: str,
    path: str,
    overrides: Mapping[str, Any] = NOTHING,
    policy: Policy = DEFAULT,
    *,
    allow_extern: bool = False,
) -> tuple[Spec | None, tuple[Diagnostic, ...]]:
    """Checks a spec given as text. The spec is None if an error is among the diagnostics; nothing is raised."""
    from vspec.compiler.source.load import parse_document

    try:
        with paused():
            return _check(parse_document(text, path), overrides, policy, allow_extern=allow_extern)
    except SpecError as e:
        return None, e.diagnostics


def check(
    path: str | Path,
    overrides: Mapping[str, Any] = NOTHING,
    policy: Policy = DEFAULT,
    *,
    allow_outside: bool = False,
    allow_extern: bool = False,
) -> tuple[Spec, tuple[Diagnostic, ...]]:
    """Checks a spec file: the checked spec and the warnings. Raises SpecError with every error found.

    Imports stay inside the folder of the spec unless `allow_outside` is true. With `allow_extern`, modules that the spec names
    are imported, to see what they have; without it, a spec that names some is wrong.
    """
    from vspec.compiler.source.load import load_document

    with paused():
        spec, diagnostics = _check(load_document(path), overrides, policy, allow_outside, allow_extern)
    if spec is None:
        raise SpecError(diagnostics)
    return spec, diagnostics


def _check(
    document: Document,
    overrides: Mapping[str, Any],
    policy: Policy,
    allow_outside: bool = False,
    allow_extern: bool = False,
) -> tuple[Spec | None, tuple[Diagnostic, ...]]:
    from vspec.compiler.language.check import check_document
    from vspec.compiler.language.lint import lint
    from vspec.compiler.source.structure import validate

    sink = Sink()
    validate(document, sink)
    if not sink.errors and document.root.get("imports") is not None:
        document = _imported(document, sink, allow_outside)
    if sink.errors:
        return None, tuple(sink.diagnostics)
    spec, diagnostics = check_document(document, overrides, _outside(document) if allow_extern else None)
    warnings = policy.judge(lint(spec, document, policy.pedantic)) if spec is not None and policy.mode != "none" else ()
    refused = any(d.severity == "error" for d in warnings)
    return None if refused else spec, (*sink.diagnostics, *diagnostics, *warnings)


def _outside(document: Document) -> Mapping[str, Found]:
    """What stands at the places that the functions of a spec name; their modules are imported."""
    from vspec.compiler.language.entries import entries
    from vspec.compiler.language.externs import extern_of

    named = [place for _, value in entries(document.root.get("functions")) if (place := extern_of(value)) is not None]
    if not named:
        return {}
    from vspec.compiler.emit.externs import found_at

    return found_at((place.text.strip(), place.span) for place in named)


def _imported(document: Document, sink: Sink, allow_outside: bool) -> Document:
    """The document with what it imports; mistakes go to the sink."""
    from vspec.compiler.language.imports import Importer
    from vspec.compiler.source.load import load_document
    from vspec.compiler.source.structure import validate

    def load(path: str) -> Document:
        found = Sink()
        other = load_document(path)
        validate(other, found)
        found.raise_if_errors()
        return other

    root = None if allow_outside else str(Path(document.path).parent)
    library = Path(__file__).parents[1] / "specs" / "std"
    return Importer(sink, load, str(library), root).resolve(document)


def compile_spec(
    spec: Spec,
    *,
    level: int = 2,
    disable: Collection[str] = (),
    tuning: Tuning | None = None,
    proved: Collection[str] | None = None,
) -> Compiled:
    """Calculus, passes and emission of a checked spec, in memory. `tuning`: how it uses the machine; `proved`: the identities
    that are shown by proof, where that is known from another time.

    Raises ValueError if `disable` names no pass, SpecError if the program grows beyond all measure (VS0726).
    """
    from vspec.compiler.graph.limits import TooLargeError

    try:
        with paused():
            return _compile(spec, level, disable, tuning, proved)
    except TooLargeError as error:
        raise SpecError([_too_large(spec, error)]) from None


def _too_large(spec: Spec, error: TooLargeError) -> Diagnostic:
    line, column = error.origin.line, error.origin.column
    span = Span(spec.path, line, column, line, column + 1) if line else None
    tips = (
        "a derivative of a derivative, and so on, multiplies a formula: ask for fewer of them",
        "give parts of large formulas names under 'define'",
    )
    return Diagnostic("VS0726", error.message, span, "", tips)


def _compile(
    spec: Spec, level: int, disable: Collection[str], tuning: Tuning | None, proved: Collection[str] | None
) -> Compiled:
    from vspec.compiler.calculus.known import facts_of
    from vspec.compiler.calculus.program import lower_spec
    from vspec.compiler.emit.python import emit_program
    from vspec.compiler.graph.strategy import NoFormError
    from vspec.compiler.graph.tuning import Tuning
    from vspec.compiler.passes import STABILISE_RULES, run_passes, structure_rule

    start = time.perf_counter()
    # Formulas are stabilised before they are differentiated, so that the derivatives are stable, too.
    rules = STABILISE_RULES if level > 0 and "stabilise" not in disable else ()
    rules = (*rules, structure_rule(facts_of(spec), free=level > 1 and "structure" not in disable))
    tuning = tuning or Tuning()
    if level < 1 or "block" in disable:
        tuning = replace(tuning, memory=None)
    before = _proved(lower_spec(spec, rules, tuning), spec, proved)
    before = replace(before, notes={**before.notes, "tuning": tuning})
    if spec.externs:
        from vspec.compiler.emit.externs import check_calls

        check_calls(before, spec)
    lowered = time.perf_counter()
    try:
        graph, records = run_passes(before, level, disable)
    except NoFormError as e:
        line, column = e.origin.line or 1, e.origin.column or 1
        span = Span(e.origin.file or spec.path, line, column, line, column + 1)
        tip = "leave 'by' out, and the way that costs least is taken"
        raise SpecError([Diagnostic("VS0268", f"this {e.form}: {e.what}", span, "", (tip,))]) from None
    optimised = time.perf_counter()
    emitted = emit_program(graph, spec)
    done = time.perf_counter()
    seconds = {"calculus": lowered - start, "passes": optimised - lowered, "emit": done - optimised}
    return Compiled(spec, before, graph, emitted, tuple(records), seconds)


def _proved(graph: Graph, spec: Spec, proved: Collection[str] | None) -> Graph:
    """The graph with a note on each identity that is shown by proof."""
    if not any(claim.left is not None and claim.by != "points" for claim in spec.claims.values()):
        return graph
    from vspec.compiler.calculus.prove import proved_identities
    from vspec.compiler.passes import intern

    if proved is None:
        proved = proved_identities(intern.run(graph), spec)
    claims = {n: {**c, "proved": n in proved} if "error" in c else c for n, c in graph.notes["claims"].items()}
    return replace(graph, notes={**graph.notes, "claims": claims})


def build(
    path: str | Path,
    out: str | Path | None = None,
    *,
    level: int = 2,
    disable: Collection[str] = (),
    overrides: Mapping[str, Any] = NOTHING,
    stablehlo: bool = True,
    force: bool = False,
    policy: Policy = DEFAULT,
    allow_outside: bool = False,
    allow_extern: bool = False,
    parts: str = EVERY,
    tuning: Tuning | None = None,
) -> Built:
    """Builds the program directory of a spec file (default `build/<name>` beside the current directory).

    An unchanged spec with unchanged options is a cache hit. `parts` is `EVERY` for the spec with its runs, else the name of
    the one run to build by itself (by default in `build/<name>-<run>`), '' for the spec alone, or `COMPARISON` for what
    compares the runs.

    Raises SpecError for a wrong spec, UnknownRun if `parts` is none of these, OSError where it cannot write.
    """
    from vspec.compiler.emit.manifest import Options
    from vspec.compiler.emit.write import Part, build_key, cached, write_program
    from vspec.compiler.graph.tuning import Tuning
    from vspec.compiler.variants import nominal, variants
    from vspec.compiler.warned import as_data, drawn, joined, kept

    start = time.perf_counter()
    spec, warnings = check(path, overrides, policy, allow_outside=allow_outside, allow_extern=allow_extern)
    options = Options(level, tuple(sorted(disable)), tuning or Tuning())
    parts = "" if parts in spec.same else parts if spec.runs else EVERY
    folder = Path("build") / "-".join((spec.name, *([parts] if parts in spec.runs else [])))
    directory = Path(out) if out is not None else folder
    key = build_key(spec, options, overrides, stablehlo, parts)
    # A program that was built with all of its runs will do for any of them.
    whole = Path("build") / spec.name if out is None else directory
    every = build_key(spec, options, overrides, stablehlo, EVERY)
    for place, wanted in ((whole, every), (directory, key)):
        if not force and cached(place, wanted):
            warnings = joined(warnings, kept(place, str(path)), policy)
            return Built(place, True, time.perf_counter() - start, warnings)
    found: list[Diagnostic] = []

    def part(chosen: Spec) -> Part:
        compiled = compile_spec(chosen, level=level, disable=disable, tuning=tuning)
        own = drawn(compiled)
        found.extend(own)
        known = {"warnings": as_data(own)} | _sources(chosen, overrides)

        def made(c: Compiled) -> Part:
            return Part(chosen, c.graph, c.emitted, report(c) | known)

        others = variants(compiled, level=level, disable=disable, tuning=tuning)
        return replace(
            made(compiled),
            usual=nominal(compiled.graph, chosen),
            variants=tuple((v.name, v.sizes, made(v.compiled)) for v in others),
        )

    runs: dict[str, Part | None] = dict.fromkeys(spec.same)
    comparison = None
    if parts == EVERY:
        runs = {name: None if name in spec.same else part(run) for name, run in spec.runs.items()}
        comparison = part(spec.comparison) if spec.comparison is not None else None
    chosen = _part(spec, "" if parts == EVERY else parts)
    own = part(chosen)
    warnings = joined(warnings, found, policy)
    write_program(directory, own, options, key, stablehlo, runs if chosen is spec else {}, comparison)
    return Built(directory, False, time.perf_counter() - start, warnings)


def _sources(spec: Spec, overrides: Mapping[str, Any]) -> dict[str, Any]:
    """What a program is made of beside the text of its spec: sizes and constants that were set, and files that it imports,
    by their path from the spec's folder. Those of the library belong to the compiler."""
    library = Path(__file__).parents[1] / "specs" / "std"
    folder = Path(spec.path).resolve().parent
    imports = {}
    for part, digest in sorted(spec.parts.items()):
        path = Path(part).resolve()
        text = path.read_bytes() if path.is_file() and not path.is_relative_to(library.resolve()) else b""
        if hashlib.sha256(text).hexdigest() == digest:
            imports[Path(os.path.relpath(path, folder)).as_posix()] = text.decode()
    settings = {name: v.tolist() if hasattr(v, "tolist") else v for name, v in sorted(overrides.items())}
    return {"overrides": settings, "imports": imports}


def _part(spec: Spec, name: str) -> Spec:
    """The spec itself, one of its runs, or what compares them."""
    if name == COMPARISON and spec.comparison is not None:
        return spec.comparison
    if name and name not in spec.runs:
        raise UnknownRun(name, tuple(spec.runs))
    return spec.runs[name] if name else spec


def report(compiled: Compiled) -> dict[str, Any]:
    """What a build did, for `report.json`: the passes table and the nodes before and after."""
    from vspec.compiler.language.ranges import Ranges
    from vspec.compiler.report.memory import sweeps
    from vspec.compiler.report.table import passes_table

    return {
        "nodes": {"before": len(compiled.before.nodes), "after": len(compiled.graph.nodes)},
        "derivatives": compiled.graph.notes.get("derivatives", 0),
        "forms": [
            {"what": what, "line": line, "how": list(how)} for what, line, how in compiled.before.notes.get("forms", [])
        ],
        "unproved_subscripts": [
            {"line": p.index.span.line, "column": p.index.span.column, "array": p.name, "axis": p.dim}
            for p in Ranges(compiled.spec).unproved()
        ],
        "recurrences": sweeps(compiled.spec, compiled.graph),
        "passes": passes_table(compiled.passes),
        "seconds": dict(compiled.seconds),
    }


__all__: Sequence[str] = ["Built", "Compiled", "UnknownRun", "build", "check", "check_text", "compile_spec", "report"]
