"""What claims read of runs: outputs (`fine.J`, `sparse.P[i, j]`), counts of steps and seconds, and node counts.

`run` is the spec itself, as it stands. A claim that reads a named run compares runs: it has no solution of its own, so that
every quantity in it is a fact of some run or a constant.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from vspec.compiler.diagnostics.spans import Span
from vspec.compiler.diagnostics.suggest import did_you_mean
from vspec.compiler.diagnostics.words import attribute_help
from vspec.compiler.language.context import Context, Env, Runs, Symbol, Unknown
from vspec.compiler.language.dims import Dims
from vspec.compiler.language.expr import Dtype, Expr
from vspec.compiler.language.raw import Raw, RawCall, RawElement, RawFact, RawName, walk
from vspec.compiler.language.rename import renamed
from vspec.compiler.language.spec import Claim, Dim, Fact, Spec, Stage
from vspec.runtime.registry import counted

SELF = "run"
"""How a claim names the spec itself; its run is '' everywhere else."""

PLAN = "solve"
"""How `nodes` names all stages together."""

COUNTS: Mapping[str, Dtype] = {"steps": "integer", "seconds": "real"}

KINDS: Mapping[str, str] = {
    "derivative": "derivatives that were asked for, by 'd(...)' and by methods",
    "linalg": "operations on whole matrices: solve, cholesky, inv, eigh, ...",
    "contract": "sums of products, such as products of matrices",
    "reduce": "sums and other reductions along axes",
    "map": "elementwise operations",
    "gather": "reads at computed positions",
    "scatter": "sums at computed positions",
    "cumulate": "running sums and products, sorting",
    "random": "random draws",
    "region": "loops and solvers inside of a formula",
}
"""The kinds of nodes that `nodes` counts."""


def stage_names(plan: Iterable[Stage]) -> tuple[str, ...]:
    """The names of the stages that have one, those of repetitions among them."""
    found: list[str] = []
    for stage in plan:
        if stage.name is not None:
            found.append(stage.name)
        found += stage_names(stage.stages)
    return tuple(dict.fromkeys(found))


def compares(ctx: Context, raw: Raw) -> bool:
    """Whether a claim reads a run other than the spec itself."""
    return any(name in ctx.runs.names for name in _bases(raw))


def _bases(raw: Raw) -> list[str]:
    """What stands before dots, and bare names in the first place of `nodes`."""
    found = [node.base for node in walk(raw) if isinstance(node, RawFact)]
    counts = [node for node in walk(raw) if isinstance(node, RawCall) and node.name == "nodes" and node.args]
    return found + [c.args[0].name for c in counts if isinstance(c.args[0], RawName)]


# --- facts ----------------------------------------------------------------------------------------------------------------


def fact(ctx: Context, raw: RawFact, env: Env) -> Expr:
    """`run.steps`, `fine.J`: the quantity of that name, its subscripts still to be read."""
    whole = ".".join((raw.base, *raw.path))
    named = raw.base == SELF or raw.base in ctx.runs.names
    network = ctx.functions[raw.base].network if raw.base in ctx.functions else None
    if not named and network is not None:
        return ctx.error(
            "VS0254",
            f"'{whole}' cannot be read: the weights of the network '{raw.base}' are taken together",
            raw.span,
            env,
            help=f"all of them along one axis are a stack: theta[p]: stack({raw.base}), with p: auto under 'dims'",
        )
    if not named and raw.base in ctx.opaque:
        return Unknown(span=raw.span)
    if not named and (env.results != "first" or ctx.symbols.get(raw.base) is not None or raw.base in ctx.outputs):
        help = attribute_help(raw.base, raw.path) or "to multiply, write *"
        return ctx.error(
            "VS0235", f"'{whole}' is nothing in the language: names have no parts", raw.span, env, help=help
        )
    if not named and (help := attribute_help(raw.base, raw.path)):
        return ctx.error(
            "VS0235", f"'{whole}' is nothing in the language: names have no parts", raw.span, env, help=help
        )
    if env.results != "first":
        return _outside(ctx, f"'{whole}' is known after a run", raw.span, env)
    if not named:
        return _unknown_run(ctx, raw.base, raw.span, env)
    if raw.called:
        return ctx.error("VS0217", f"'{whole}' is not a function", raw.span, env, label="called like one")
    if raw.base == SELF and ctx.runs.comparing:
        return _own(ctx, whole, raw.span, env)
    found = _find(ctx, raw, whole, env)
    return Unknown(span=raw.span) if found is None else ctx.infer(replace_fact(raw, found), env)


def replace_fact(raw: RawFact, name: str) -> Raw:
    """The fact as an element of its name, which has a dot in it and so is no one else's."""
    if not raw.subscripts:
        return RawName(span=raw.span, name=name)
    return RawElement(span=raw.span, name=name, subscripts=raw.subscripts, name_span=raw.span)


def _outside(ctx: Context, message: str, span: Span, env: Env) -> Unknown:
    return ctx.error(
        "VS0242", message, span, env, label="only claims read it", help="compare what runs give under 'claims'"
    )


def _own(ctx: Context, what: str, span: Span, env: Env) -> Unknown:
    return ctx.error(
        "VS0243",
        f"{env.subject} compares runs, and '{what}' is of no run that it names",
        span,
        env,
        label="of which run?",
        help="give the spec as it stands a name, 'runs: {base: {}}', and read that",
    )


def _unknown_run(ctx: Context, name: str, span: Span, env: Env) -> Unknown:
    names = ctx.runs.names
    help = did_you_mean(name, (*names, SELF)) or (
        f"runs are {', '.join(names)}" if names else "declare it under 'runs'; 'run' is the spec as it stands"
    )
    return ctx.error("VS0240", f"there is no run '{name}'", span, env, label="not declared under 'runs'", help=help)


def _find(ctx: Context, raw: RawFact, whole: str, env: Env) -> str | None:
    """Declare the fact that a path leads to; its name, or None after a mistake."""
    own = raw.base == SELF
    spec = ctx.runs.specs.get(raw.base)
    if not own and spec is None:
        return None  # the run has mistakes of its own
    subject = "the spec" if own else f"the run '{raw.base}'"
    stages = stage_names(ctx.runs.plan if spec is None else spec.plan)
    outputs = spec.outputs if spec is not None else {}
    first, *rest = raw.path
    if not rest and first in COUNTS:
        if first in outputs:
            message, help = f"'{whole}' is both a fact and an output of {subject}", f"rename the output '{first}'"
            ctx.error("VS0241", message, raw.span, env, help=help)
            return None
        return _enter(ctx, whole, raw, COUNTS[first], ("" if own else raw.base), (first,))
    if not rest and first in outputs:
        out = outputs[first]
        letters = tuple(ctx.runs.letters.get((raw.base, x), x) for x in out.letters)
        return _enter(ctx, whole, raw, out.body.dtype, raw.base, ("outputs", first), letters)
    if rest == ["steps"] and first in stages:
        return _enter(ctx, whole, raw, "integer", ("" if own else raw.base), ("stages", first, "steps"))
    plan = ctx.runs.plan if spec is None else spec.plan
    if len(rest) == 1 and first in stages and rest[0] in _counted_by(plan, first):
        return _enter(ctx, whole, raw, "integer", ("" if own else raw.base), ("stages", first, rest[0]))
    if not rest and own:
        known = first in ctx.outputs or first in ctx.symbols
        message = f"'{SELF}' has no fact '{first}'"
        help = f"what the spec itself gives is read as it is: {first}" if known else "its facts are steps and seconds"
    elif not rest:
        message = f"{subject} has no output '{first}'"
        help = did_you_mean(first, (*outputs, *COUNTS)) or f"it has {', '.join((*outputs, *COUNTS))}"
        if first in stages:
            help = f"'{first}' is a stage: read {whole}.steps"
    elif first not in stages:
        message = f"{subject} has no stage named '{first}'"
        listed = f"its stages are {', '.join(stages)}" if stages else "a stage has a name where it says 'name: ...'"
        help = did_you_mean(first, stages) or listed
    else:
        listed = " and ".join(("steps", *_counted_by(plan, first)))
        message = f"the stage '{first}' has no fact '{'.'.join(rest)}'"
        help = f"its {'facts are' if ' ' in listed else 'fact is'} {listed}"
    ctx.error("VS0241", message, raw.span, env, label="not known", help=help)
    return None


def _counted_by(plan: Iterable[Stage], name: str) -> tuple[str, ...]:
    """What the method of a stage counts beside its steps; nothing where several stages have the name or several methods move."""
    found = [s for s in _all(plan) if s.name == name]
    if len(found) != 1 or len(found[0].methods) != 1 or found[0].constraints is not None:
        return ()
    (call,) = found[0].methods
    return counted(call.name, call.arguments)


def _all(plan: Iterable[Stage]) -> Iterator[Stage]:
    for stage in plan:
        yield stage
        yield from _all(stage.stages)


def _enter(
    ctx: Context, name: str, raw: RawFact | RawCall, dtype: Dtype, run: str, path: tuple[str, ...],
    letters: tuple[str, ...] = (),
) -> str:  # fmt: skip
    ctx.runs.read.append(name)
    if name not in ctx.runs.facts:
        ctx.runs.facts[name] = Fact(name, letters, dtype, raw.span, run, path)
        dims = tuple(ctx.dims.dim_of(x) for x in letters)
        ctx.symbols[name] = Symbol(name, "fact", letters, dims, dtype, raw.span)
    return name


def nodes(ctx: Context, raw: RawCall, env: Env) -> Expr:
    """`nodes(solve, linalg)`: how many nodes of a kind were compiled for a plan or for one of its stages."""
    if env.results != "first":
        return _outside(ctx, "node counts are known after a build", raw.span, env)
    where, kind = raw.args if len(raw.args) == 2 else (None, None)
    if where is None or kind is None or raw.bound is not None or raw.subscripts is not None or raw.keywords:
        message, help = "'nodes' takes a plan and a kind of nodes", "for example nodes(solve, linalg)"
        return ctx.error("VS0245", message, raw.span, env, help=help)
    if not isinstance(kind, RawName) or kind.name not in KINDS:
        shown = f"there is no kind of nodes '{kind.name}'" if isinstance(kind, RawName) else "a kind is a name"
        near = did_you_mean(kind.name, KINDS) if isinstance(kind, RawName) else ""
        help = near or f"kinds are {', '.join(KINDS)}"
        return ctx.error("VS0245", shown, kind.span, env, label="not counted", help=help)
    found = _counted(ctx, where, env)
    if found is None:
        return Unknown(span=raw.span)
    run, stage = found
    name = ".".join(("nodes", *((run,) if run else ()), stage, kind.name))
    _enter(ctx, name, raw, "integer", run, ("nodes", stage, kind.name))
    return ctx.infer(RawName(span=raw.span, name=name), env)


def _counted(ctx: Context, where: Raw, env: Env) -> tuple[str, str] | None:
    """The run and the stage that a node count is about, or None after a mistake."""
    runs = ctx.runs
    parts: tuple[str, ...] = ()
    if isinstance(where, RawName):
        parts = (where.name,)
    elif isinstance(where, RawFact) and not where.subscripts and not where.called:
        parts = (where.base, *where.path)
    if parts and parts[0] in runs.names:
        spec = runs.specs.get(parts[0])
        if spec is None:
            return None
        stages, run, rest = stage_names(spec.plan), parts[0], parts[1:]
    else:
        # `solve` is the plan of the spec itself; a stage of it may be named alone or behind `run`.
        stages, run = stage_names(runs.plan), ""
        rest = () if parts == (PLAN,) else parts[1:] if len(parts) == 2 and parts[0] == SELF else parts or ("",)
    if run == "" and runs.comparing and (not rest or rest[0] in stages):
        _own(ctx, ".".join(parts), where.span, env)
        return None
    if not rest:
        return run, PLAN
    if len(rest) == 1 and rest[0] in stages:
        return run, rest[0]
    shown = ".".join(rest)
    message = (
        f"the run '{run}' has no stage named '{shown}'" if run else f"there is no run and no stage '{'.'.join(parts)}'"
    )
    known = (*stages, *(() if run else (PLAN, *runs.names)))
    help = did_you_mean(shown, known) or (f"there are {', '.join(known)}" if known else "its stages have no names")
    ctx.error("VS0241" if run else "VS0240", message, where.span, env, label="not known", help=help)
    return None


# --- claims that compare runs ---------------------------------------------------------------------------------------------


def comparing(ctx: Context) -> Context:
    """Where such claims are checked: the spec's constants, functions and names, and dims to which those of runs may join."""
    dims = Dims(dict(ctx.dims.dims), dict(ctx.dims.letters), ends=dict(ctx.dims.ends))
    dims._next = ctx.dims._next
    runs = Runs(ctx.runs.specs, ctx.runs.names, ctx.runs.plan, comparing=True)
    return Context(
        ctx.sink,
        ctx.rules,
        dims=dims,
        symbols={**ctx.outputs, **ctx.symbols},
        functions=ctx.functions,
        opaque=ctx.opaque,
        runs=runs,
        seen=ctx.seen,
        refused=ctx.refused,
    )


def refuse_bare(ctx: Context, name: str, span: Span, env: Env) -> Unknown:
    """What is read of no run, in a claim that compares runs."""
    return _own(ctx, name, span, env)


def lettered(ctx: Context, name: str, raw: Raw) -> Raw | None:
    """The claim with letters of its runs that differ from the spec's under names of their own; None after a mistake."""
    chosen: dict[str, tuple[str, str]] = {}
    for node in walk(raw):
        spec = ctx.runs.specs.get(node.base) if isinstance(node, RawFact) else None
        if not isinstance(node, RawFact) or spec is None or len(node.path) != 1 or node.path[0] not in spec.outputs:
            continue
        for letter in spec.outputs[node.path[0]].letters:
            own = _letter(ctx, node.base, spec, letter)
            ctx.runs.letters[node.base, letter] = own
            other, run = chosen.setdefault(letter, (own, node.base))
            if other != own:
                here, there = (_size(ctx.runs.specs[r], letter) for r in (node.base, run))
                ctx.error(
                    "VS0244",
                    f"the index '{letter}' has {here} in the run '{node.base}' and {there} in '{run}'",
                    node.span,
                    label=f"the claim '{name}' cannot go over both",
                    help=f"compare outputs without '{letter}', such as a mean or a maximum",
                )
                return None
    return renamed(raw, {letter: own for letter, (own, _) in chosen.items()})


def _size(spec: Spec, letter: str) -> str:
    size = spec.dims[spec.letters[letter]].size
    return f"{size} values" if isinstance(size, int) else "a size of its own"


def _letter(ctx: Context, run: str, spec: Spec, letter: str) -> str:
    """The letter under which a claim goes over an axis of a run: the spec's own if its dim is the same."""
    dim = spec.dims[spec.letters[letter]]
    base = ctx.dims.dims.get(ctx.dims.letters.get(letter, ""))
    if base is not None and _alike(dim, base):
        return letter
    size = dim.size if isinstance(dim.size, int) else None
    key = (letter, size, dim.boundary)
    if key not in ctx.runs.own:
        name = letter if letter not in ctx.dims.letters else f"{run}_{letter}"
        while name in ctx.dims.letters or name in ctx.symbols:
            name += "_"
        ctx.runs.own[key] = name
        ctx.dims.letters[name] = name
        ctx.dims.dims[name] = Dim(name, (name,), size, dim.span, dim.boundary)
    return ctx.runs.own[key]


def _alike(dim: Dim, base: Dim) -> bool:
    if isinstance(dim.size, int) or isinstance(base.size, int):
        return dim.size == base.size and dim.boundary == base.boundary
    return dim == base


def check_constants(ctx: Context, claim: Claim, base: Mapping[str, object], raw: Raw) -> bool:
    """Whether the constants that a claim names are the same in all runs that it reads; records the mistake."""
    for node in walk(raw):
        if not isinstance(node, RawName | RawElement) or node.name not in base:
            continue
        for run in claim.runs:
            constant = ctx.runs.specs[run].constants.get(node.name) if run in ctx.runs.specs else None
            mine = base[node.name]
            if constant is not None and constant.value != getattr(mine, "value", None):
                ctx.error(
                    "VS0244",
                    f"the constant '{node.name}' is another one in the run '{run}' than in the spec",
                    node.span,
                    label="of which run?",
                    help=f"report it, 'outputs: {{{node.name}: {node.name}}}', and read {run}.{node.name}",
                )
                return False
    return True


def check_smoke(ctx: Context, claim: Claim) -> bool:
    """Whether the runs that a claim compares still differ at its quick size; records the mistake."""
    specs = [ctx.runs.specs[r] for r in claim.runs if r in ctx.runs.specs]
    for name in claim.smoke:
        constants = [s.constants[name].value for s in specs if name in s.constants]
        values = constants or [s.dims[s.letters[name]].size for s in specs if name in s.letters]
        if any(value != values[0] for value in values):
            ctx.error(
                "VS0247",
                f"the claim '{claim.name}' compares runs that differ in '{name}', which its quick size sets",
                claim.span,
                label=f"at one '{name}', {', '.join(claim.runs)} are the same",
                help=f"leave '{name}' out of 'smoke'",
            )
            return False
    return True


def with_facts(ctx: Context, claim: Claim) -> Claim:
    """The claim with the facts that were read since the last claim and the runs they are of."""
    names = tuple(dict.fromkeys(ctx.runs.read))
    ctx.runs.read.clear()
    runs = tuple(dict.fromkeys(ctx.runs.facts[n].run for n in names if ctx.runs.facts[n].run))
    return replace(claim, facts=names, runs=runs)


__all__ = ["COUNTS", "KINDS", "check_constants", "check_smoke", "compares", "comparing", "fact", "nodes", "stage_names"]
