"""`step` and `steps`: whole numbers that a stage counts, read by whatever is computed while it runs and by nothing else."""

from __future__ import annotations

from vspec.compiler.diagnostics.diagnostic import Sink
from vspec.compiler.diagnostics.spans import Span
from vspec.compiler.language.bodies import bodies, equations
from vspec.compiler.language.context import Context, Symbol
from vspec.compiler.language.expr import Element, Expr
from vspec.compiler.language.operators import COUNTERS
from vspec.compiler.language.spec import Spec
from vspec.compiler.language.substitute import elements

KIND = "counter"

_OUTSIDE = {
    "output": "an output is computed when all stages have ended",
    "claim": "a claim is judged when all stages have ended",
    "constraint": "a constraint holds whatever the step is",
    "param": "a param starts before the first stage",
    "bound": "a domain is known before the first stage",
    "count": "a count is known before the first step",
}


def declare_counters(ctx: Context, at: Span) -> None:
    """Make the counters known as integers."""
    for name in COUNTERS:
        ctx.symbols[name] = Symbol(name, KIND, (), (), "integer", at)


def reaching(spec: Spec) -> frozenset[str]:
    """The names whose value depends on a counter, counters included."""
    return reached(spec, frozenset(COUNTERS))


def reached(spec: Spec, sources: frozenset[str]) -> frozenset[str]:
    """The names whose value depends on some of `sources`, which are among them."""
    readers: dict[str, set[str]] = {}
    bodies_ = [(b.name, b.expr) for b in equations(spec)] + [(o.name, o.body) for o in spec.objectives.values()]
    for name, expr in bodies_:
        for e in elements(expr):
            readers.setdefault(e.name, set()).add(name)
    found = set(sources)
    stack = list(sources)
    while stack:
        for reader in readers.get(stack.pop(), ()):
            if reader not in found:
                found.add(reader)
                stack.append(reader)
    return frozenset(found)


def refuse_counters(sink: Sink, spec: Spec) -> None:
    """An error at each place outside of stages that reads a counter, itself or through definitions (VS0367)."""
    found = reaching(spec)
    for body in bodies(spec):
        if body.kind not in _OUTSIDE:
            continue
        element = first_of(body.expr, found)
        if element is not None:
            name = element.name
            through = name not in COUNTERS
            sink.error(
                "VS0367",
                f"'{name}' depends on the step of a stage" if through else f"'{name}' is counted by stages alone",
                element.span,
                label="has no value here",
                help=_OUTSIDE[body.kind],
            )


def first_of(expr: Expr, names: frozenset[str]) -> Element | None:
    """The first element of the expression that reads one of the names."""
    return next((e for e in elements(expr) if e.name in names), None)
