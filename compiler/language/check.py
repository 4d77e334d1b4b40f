"""Document → checked spec: the language stage as a whole, its steps in order."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import PurePath
from types import MappingProxyType
from typing import Any

from vspec.compiler.diagnostics.diagnostic import Diagnostic, Sink
from vspec.compiler.diagnostics.spans import Span
from vspec.compiler.diagnostics.suggest import did_you_mean
from vspec.compiler.language.batches import refuse_batches
from vspec.compiler.language.bodies import bodies
from vspec.compiler.language.bound import read_constants, read_data
from vspec.compiler.language.carried import refuse_carried
from vspec.compiler.language.check_positions import check_positions
from vspec.compiler.language.claims import Line, parse_claims, read_claims, read_comparisons
from vspec.compiler.language.constraints import read_constraints
from vspec.compiler.language.context import Context, Runs
from vspec.compiler.language.coordinates import read_coordinates
from vspec.compiler.language.counters import declare_counters, refuse_counters
from vspec.compiler.language.entries import entries
from vspec.compiler.language.equations import Solved, check_equations, drain, share_objectives
from vspec.compiler.language.expr import Expr
from vspec.compiler.language.externs import Found
from vspec.compiler.language.facts import comparing
from vspec.compiler.language.infer import infer
from vspec.compiler.language.left import declare_equations
from vspec.compiler.language.networks import drop, leave_out, settle
from vspec.compiler.language.orders import refuse_orders
from vspec.compiler.language.plan import read_plan
from vspec.compiler.language.planned import refuse_planned
from vspec.compiler.language.random import random_variables
from vspec.compiler.language.results import Outputs
from vspec.compiler.language.runs import documents, overrides_nothing, places
from vspec.compiler.language.sections import check_functions, declare_params, read_functions, read_params
from vspec.compiler.language.settings import settable_names, settled, stage_options
from vspec.compiler.language.shard import read_shard
from vspec.compiler.language.sizes import read_dims
from vspec.compiler.language.spec import Claim, Constraint, Definition, Output, Param, Spec, Stage
from vspec.compiler.language.substitute import letters_of
from vspec.compiler.language.tracked import with_tracked
from vspec.compiler.language.transitions import with_trails
from vspec.compiler.language.walks import with_walks
from vspec.compiler.source.document import Document, Scalar, Value

NOTHING: Mapping[str, Any] = MappingProxyType({})


def check_document(
    document: Document, overrides: Mapping[str, Any] = NOTHING, externs: Mapping[str, Found] | None = None
) -> tuple[Spec | None, tuple[Diagnostic, ...]]:
    """Check the meaning of a spec whose structure is right.

    Args:
        document: the tree of the file.
        overrides: values for constants and sizes of dims, by name.
        externs: what was found at places outside of the spec; None where nobody may look.

    Returns:
        The checked spec, or None if there are errors, and every diagnostic in the order of the file.
    """
    sink = Sink()
    of_runs = {name: settled(d, overrides) for name, d in documents(document, sink).items()}
    base = settled(document, overrides)
    settable = frozenset().union(*(settable_names(d) for d in of_runs.values()), stage_options(document))
    used: set[str] = set().union(*(stage_options(d) & overrides.keys() for d in (base, *of_runs.values())))
    runs: dict[str, Spec] = {}
    found: list[tuple[str, Diagnostic]] = []
    for name, overridden in of_runs.items():
        ctx = Context(Sink(), infer, externs=externs)
        spec = _sound(ctx, overridden, overrides, used)
        found += [(name, d) for d in ctx.sink.diagnostics]
        if spec is not None and not ctx.sink.errors:
            runs[name] = replace(spec, run=name)
    ctx = Context(sink, infer, runs=Runs(runs, _names(document)), settable=settable, externs=externs)
    spec = _sound(ctx, base, overrides, used)
    _unused_overrides(ctx, overrides, used, document.root.span)
    own = dict.fromkeys(sink.diagnostics)
    every = [*own, *_in_runs(document, found, own, broken=bool(sink.errors))]
    every.sort(key=lambda d: (d.span is None, d.span or _NOWHERE))
    if spec is None or any(d.severity == "error" for d in every):
        return None, tuple(every)
    return replace(
        spec, runs=runs, same=frozenset(n for n, value in _runs(document) if overrides_nothing(value))
    ), tuple(every)


def _sound(ctx: Context, document: Document, overrides: Mapping[str, Any], used: set[str]) -> Spec | None:
    """The checked spec of one document, as far as it goes; `used` gets the overrides that it has a name for."""
    try:
        spec = _check(ctx, document, overrides, used)
        if spec is not None and not ctx.sink.errors:
            refuse_counters(ctx.sink, spec)
            refuse_batches(ctx.sink, spec)
            refuse_orders(ctx.sink, spec)
            refuse_carried(ctx.sink, spec)
    except RecursionError:
        # The limits on depth keep this from happening unless the caller's own stack is nearly full.
        ctx.sink.error("VS0721", "an expression is nested too deeply", document.root.span)
        spec = None
    return spec


def _in_runs(
    document: Document, found: list[tuple[str, Diagnostic]], own: Mapping[Diagnostic, None], broken: bool
) -> list[Diagnostic]:
    """What is said about runs and not about the spec itself, each once, with the run where the place does not tell it.

    Of a spec that is wrong itself, only what stands in its runs is said of these: the rest would only follow.
    """
    lines = places(document)
    said: dict[Diagnostic, None] = {}
    for name, d in found:
        first, last = lines[name]
        inside = d.span is not None and first <= d.span.line <= last
        if d in own or (broken and not inside):
            continue
        said[d if inside else replace(d, help=(*d.help, f"in the run '{name}', line {first}"))] = None
    return list(said)


def _runs(document: Document) -> list[tuple[str, Value]]:
    return [(key.text.strip(), value) for key, value in entries(document.root.get("runs"))]


def _names(document: Document) -> tuple[str, ...]:
    return tuple(name for name, _ in _runs(document))


_NOWHERE = Span("", 0, 0, 0, 0)


def _check(ctx: Context, document: Document, overrides: Mapping[str, Any], settled_names: set[str]) -> Spec | None:
    root = document.root
    refuse_planned(ctx, root)
    declare_counters(ctx, root.span)
    used = read_dims(ctx, root.get("dims"), overrides)
    constants, more = read_constants(ctx, root.get("constants"), overrides)
    settled_names |= used | more
    ctx.numbers = {name: c.value for name, c in constants.items()}
    read_coordinates(ctx, constants)
    data = read_data(ctx, root.get("data"))
    declared = declare_params(ctx, root.get("params"))
    calls = read_functions(ctx, root.get("functions"))
    system = declare_equations(ctx, root.get("define"), root.get("objectives"), root.get("random"))
    check_functions(ctx, calls)
    params = read_params(ctx, declared)
    # Outputs are declared before the equations are checked, so that a definition that reads one is told so.
    results = Outputs(ctx, root.get("outputs"))
    solved = check_equations(ctx, system, calls)
    params |= ctx.carried
    constraints = read_constraints(ctx, root.get("constraints"))
    solved.equations += drain(ctx)
    leave_out(ctx)
    settle(ctx, params, data)
    plan = ctx.runs.plan = read_plan(ctx, root.get("solve"), params, solved, calls, constraints)
    outputs = results.read_all()
    lines = parse_claims(ctx, root.get("claims"))
    claims = read_claims(ctx, lines)
    outputs = {name: results.found[name] for name in outputs}
    solved.equations += drain(ctx)
    settle(ctx, params, data)
    drop(ctx)
    solved.equations = with_trails(ctx, with_walks(ctx, solved.equations))
    share_objectives(solved)
    spec = _assemble(ctx, document, constants, data, params, solved, constraints, plan, outputs, claims)
    shard = read_shard(ctx, root.get("shard"), (*constants.values(), *data.values(), *params.values()))
    spec = replace(spec, shard=shard, comparison=_comparison(ctx, spec, lines))
    if not ctx.sink.errors:
        check_positions(ctx, spec)
    return with_tracked(ctx.sink, spec) if not ctx.sink.errors else spec


def _comparison(ctx: Context, spec: Spec, lines: list[Line]) -> Spec | None:
    """The claims that compare runs, as a spec of constants, facts and claims; None if there are none."""
    inside = comparing(ctx)
    claims = read_comparisons(inside, lines, spec.constants)
    if not claims:
        return None
    equations = tuple(drain(inside))
    definitions = [e for e in equations if isinstance(e, Definition)]
    used = {x for c in spec.constants.values() for x in c.letters}
    used |= {x for f in inside.runs.facts.values() for x in f.letters} | {x for d in definitions for x in d.letters}
    exprs = [*(d.body for d in definitions), *(c.that for c in claims.values() if c.that is not None)]
    used |= {x for e in exprs for x in letters_of(e)}
    letters = {x: inside.dims.letters[x] for x in used}
    # A size that only data or other dims would tell is that of the arrays.
    dims = {
        name: dim if isinstance(dim.size, int) else replace(dim, size=None)
        for name, dim in inside.dims.dims.items()
        if name in letters.values()
    }
    kept = {x: name for x, name in inside.dims.letters.items() if name in dims}
    return Spec(
        name=spec.name,
        doc=f"The claims of {spec.name} that compare its runs.",
        precision=spec.precision,
        dims=dims,
        letters=kept,
        constants=spec.constants,
        data={},
        params={},
        equations=equations,
        objectives={},
        plan=(),
        outputs={},
        claims=claims,
        path=spec.path,
        sha256=spec.sha256,
        text=spec.text,
        parts=spec.parts,
        facts=inside.runs.facts,
    )


def _unused_overrides(ctx: Context, overrides: Mapping[str, Any], used: set[str], span: Span) -> None:
    start = Span(span.file, span.line, span.column, span.line, span.column + 1)
    for name in overrides:
        if name in used:
            continue
        symbol = ctx.symbols.get(name)
        constants = [n for n, s in ctx.symbols.items() if s.kind == "constant"]
        if symbol is None or symbol.kind != "constant":
            ctx.error(
                "VS0319",
                f"'{name}' cannot be set: it is neither a constant nor a dim of the spec",
                start,
                help=did_you_mean(name, (*constants, *ctx.dims.letters))
                or (f"constants are {', '.join(constants)}" if constants else "the spec has no constants"),
            )


def _assemble(
    ctx: Context,
    document: Document,
    constants: Any,
    data: Any,
    params: dict[str, Param],
    solved: Solved,
    constraints: dict[str, Constraint],
    plan: tuple[Stage, ...],
    outputs: dict[str, Output],
    claims: dict[str, Claim],
) -> Spec:
    root = document.root

    def text(key: str, default: str) -> str:
        node = root.get(key)
        return node.text.strip() if isinstance(node, Scalar) and node.text else default

    dims = dict(ctx.dims.dims)
    letters = {letter: dim for letter, dim in ctx.dims.letters.items() if dim in dims}
    spec = Spec(
        name=text("name", PurePath(document.path).stem),
        doc=text("doc", ""),
        precision=text("precision", "float32"),
        dims=dims,
        letters=letters,
        constants=constants,
        data=data,
        params=params,
        equations=tuple(solved.equations),
        objectives=solved.objectives,
        plan=plan,
        outputs=outputs,
        claims=claims,
        constraints=constraints,
        path=document.path,
        sha256=hashlib.sha256(document.text.encode()).hexdigest(),
        text=document.text,
        parts={path: hashlib.sha256(text.encode()).hexdigest() for path, text in document.parts},
        random=random_variables(ctx),
        facts=ctx.runs.facts,
        externs=dict(ctx.sources),
    )
    return _without_idle_dims(spec) if spec.parts else spec


def _without_idle_dims(spec: Spec) -> Spec:
    """The spec without the dims of imported functions whose indices range over axes of their arguments."""
    arrays = (spec.constants, spec.data, spec.params, spec.outputs, spec.constraints)
    letters: set[str] = {x for group in arrays for a in group.values() for x in a.letters}
    for e in spec.equations:
        letters.update(y for x in e.members for y in x.letters)
    sizes = [d.size for d in spec.dims.values() if isinstance(d.size, Expr)]
    read = (x for body in (*(b.expr for b in bodies(spec)), *sizes) for x in letters_of(body))
    used = {spec.letters[x] for x in (*letters, *read)}
    queue = [*used]
    while queue:
        # A dim of configurations is made of two others.
        new = {*(spec.dims[queue.pop()].configures or ())} - used
        used |= new
        queue += new
    kept = {name: d for name, d in spec.dims.items() if name in used or not spec.file(d.span)}
    return replace(spec, dims=kept, letters={x: name for x, name in spec.letters.items() if name in kept})
