"""What is right but probably not meant: warnings about a checked spec, one file per family of rules.

Each rule runs in time proportional to the size of the spec and imports nothing heavy. By default few warnings are given,
and those are nearly always right; `pedantic` adds what only may be a mistake.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from vspec.compiler.diagnostics.codes_warnings import WARNINGS
from vspec.compiler.diagnostics.diagnostic import Diagnostic, Sink
from vspec.compiler.diagnostics.render import in_order
from vspec.compiler.language.expr import Expectation
from vspec.compiler.language.lint.comparisons import Exact, claims, comparisons
from vspec.compiler.language.lint.dependence import Dependence, derivatives, objectives
from vspec.compiler.language.lint.domains import domains
from vspec.compiler.language.lint.figures import precision, seeds
from vspec.compiler.language.lint.names import names
from vspec.compiler.language.lint.ranges import Ranges
from vspec.compiler.language.lint.report import Report
from vspec.compiler.language.lint.shapes import shapes
from vspec.compiler.language.lint.silence import KEPT, silenced
from vspec.compiler.language.lint.single import single_draws
from vspec.compiler.language.lint.unused import unused
from vspec.compiler.language.runs import documents, places
from vspec.compiler.language.spec import Spec
from vspec.compiler.source.document import Document, Mapping

CODES = frozenset(code.code for code in WARNINGS) - KEPT


def lint(spec: Spec, document: Document, pedantic: bool = False) -> tuple[Diagnostic, ...]:
    """The warnings about a spec without errors, in the order of the file.

    Args:
        spec: the checked spec.
        document: the file it was read from.
        pedantic: whether to look for what only may be a mistake, too.
    """
    report = Report(document.text, pedantic)
    idle = unused(document.root, report)
    _rules(spec, document.root, idle, report)
    for name, overridden in documents(document, Sink()).items():
        inside = Report(document.text, pedantic)
        _rules(spec.runs[name], overridden.root, idle, inside)
        first, last = places(document)[name]
        for key, found in inside.found.items():
            told = first <= key[1].line <= last
            tips = found.help if told else (*found.help, f"in the run '{name}', line {first}")
            report.found.setdefault(key, replace(found, help=tips))
    if spec.comparison is not None:
        _about_claims(spec.comparison, Ranges(spec.comparison), report)
    own = Report(document.text, pedantic)
    kept = silenced(document, report.found.values(), CODES, own)
    return in_order((*kept, *own.found.values()))


def lint_drawn(spec: Spec, document: Document, left: Callable[[Expectation], bool]) -> tuple[Diagnostic, ...]:
    """What a build adds to the warnings about a spec: `left` tells of an expectation whether it is left to one draw."""
    report = Report(document.text, False)
    single_draws(spec, report, left)
    return in_order(silenced(document, report.found.values(), CODES, Report(document.text, False)))


def _rules(spec: Spec, root: Mapping, idle: set[str], report: Report) -> None:
    """The rules that go by the checked spec, `root` being what it was read from."""
    depends = Dependence(spec)
    objectives(spec, depends, idle, root, report)
    derivatives(spec, depends, report)
    shapes(spec, report)
    ranges = Ranges(spec)
    domains(spec, ranges, report)
    _about_claims(spec, ranges, report)
    names(spec, report)
    seeds(spec, report)
    single_draws(spec, report)


def _about_claims(spec: Spec, ranges: Ranges, report: Report) -> None:
    """The rules about comparisons and figures, which claims over runs have, too."""
    exact = Exact(spec)
    comparisons(spec, exact, report)
    claims(spec, ranges, exact, report)
    precision(spec, report)


__all__ = ["CODES", "lint", "lint_drawn"]
