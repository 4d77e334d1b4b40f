"""VS0906: names that are easily taken for one another, or for a built-in."""

from __future__ import annotations

from vspec.compiler.diagnostics.spans import Span
from vspec.compiler.diagnostics.suggest import distance
from vspec.compiler.language.lint.report import Report
from vspec.compiler.language.operators import ALONG, FUNCTIONS, LINALG, REDUCTIONS
from vspec.compiler.language.spec import Definition, Recurrence, Spec

LONG = 5  # a built-in with fewer letters has too many neighbours that are words of their own


def names(spec: Spec, report: Report) -> None:
    """Look at the declared names. Single letters are exempt: papers write x for an element and X for the whole."""
    if not report.pedantic:
        return
    declared: dict[str, Span] = {}
    for table in (spec.constants, spec.data, spec.params, spec.objectives):
        declared.update({entry.name: entry.span for entry in table.values()})
    for equation in spec.equations:
        if isinstance(equation, Definition) and not equation.hidden:
            declared.setdefault(equation.name, equation.span)
        elif isinstance(equation, Recurrence):
            declared.update({state.name: state.span for state in equation.every_state})
    folded: dict[str, str] = {}
    # What belongs to a network was not named by the author.
    for name in sorted((n for n in declared if "." not in n), key=lambda n: declared[n]):
        other = folded.setdefault(name.casefold(), name)
        if other != name and len(name) > 1:
            report.warn("VS0906", f"'{name}' and '{other}' differ only in their capitals", declared[name],
                        label=f"'{other}' stands on line {declared[other].line}", help="rename one of the two",
                        pedantic=True)  # fmt: skip
        near = _builtin(name)
        if near is not None:
            report.warn("VS0906", f"'{name}' looks like the built-in '{near}'", declared[name], label=f"not '{near}'",
                        help=f"call it otherwise, if it has nothing to do with {near}", pedantic=True)  # fmt: skip


def _builtin(name: str) -> str | None:
    """The built-in that a name misses by one letter; a longer or shorter word, such as a plural, is no slip."""
    folded = name.casefold()
    for known in (*FUNCTIONS, *REDUCTIONS, *ALONG, *LINALG):
        if len(known) < LONG or known.startswith(folded) or folded.startswith(known):
            continue
        if known[0] == folded[:1] and distance(folded, known, 1) == 1:
            return known
    return None
