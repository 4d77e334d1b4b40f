"""Random variables whose law is known by an energy alone: `law: unnormalized(e)`, where e reads the variable itself.

The indices that are free in the energy number the chains, all others of the variable are those of one draw. The chains are
equations like those of a spec, made from the table of samplers: `r.chain` keeps where they are between two steps, `r.walk` goes
on from there by transitions whose law stays that of the energy at the values of the step, and r is where it ends.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from vspec.compiler.diagnostics.spans import Span
from vspec.compiler.diagnostics.suggest import did_you_mean
from vspec.compiler.language.context import Context, Env, Symbol, Unknown
from vspec.compiler.language.expectations import MOST_DRAWS, whole
from vspec.compiler.language.expr import Affine, Element, Expr, Number, Sample
from vspec.compiler.language.left import Equation, System
from vspec.compiler.language.parse import parse_expression
from vspec.compiler.language.random import DENSITY, Declared, estimator_of
from vspec.compiler.language.raw import Raw, RawCall, RawElement, RawName, RawNumber, walk
from vspec.compiler.language.samplers import SAMPLERS
from vspec.compiler.language.spec import (
    Assignment,
    Chain,
    Definition,
    Domain,
    Estimator,
    Param,
    Recurrence,
    Variable,
)
from vspec.compiler.language.substitute import elements, nodes, parts
from vspec.compiler.language.transitions import Options, Writer, spot
from vspec.compiler.language.types import as_real
from vspec.compiler.source.document import Scalar

LAW = "unnormalized"
_NOWHERE = Span("", 1, 1, 1, 2)
_START = RawCall(
    span=_NOWHERE,
    name="normal",
    name_span=_NOWHERE,
    args=(RawNumber(span=_NOWHERE, value=0), RawNumber(span=_NOWHERE, value=1)),
)


def check_chain(
    ctx: Context, declared: Declared, equation: Equation, before: Sequence[Definition | Recurrence]
) -> list[Definition | Recurrence]:
    """The equations of a variable that chains draw, itself among them; empty after a mistake.

    `before`: the equations of the spec that come first, all that its energy reads.
    """
    from vspec.compiler.language.equations import check_definition, check_equations, drain

    symbol = ctx.symbols[declared.name]
    energy = equation.raw
    if energy is None:
        return []
    options = _options(ctx, declared)
    symbol.dtype = "real"
    env = Env(subject=f"'{declared.name}'", scope={x: x for x in symbol.letters})
    body = ctx.infer(energy, env)
    made = {d.name: d for d in drain(ctx)}
    if isinstance(body, Unknown) or options is None:
        return []
    own = _plates(ctx, declared, symbol, energy, body, made)
    if own is None or not _plain(ctx, declared, body, {**_by_name(before), **made}):
        return []
    estimator = _estimator(ctx, declared, equation)
    kept = _kept(ctx, declared, symbol, options)
    if kept is None or estimator is None:
        return []
    system = System()

    def trail(count: int) -> list[Definition | Recurrence]:
        more = System()
        Writer(ctx, declared, symbol, options, energy, own, more, count).write()
        return check_equations(ctx, more, {}).equations

    writer = Writer(ctx, declared, symbol, options, energy, own, system)
    writer.write()
    before_errors = len(ctx.sink.errors)
    found = check_equations(ctx, system, {}).equations
    last = check_definition(ctx, writer.end(), Env(subject=f"'{declared.name}'"))
    if len(ctx.sink.errors) > before_errors or last is None:
        return []
    subscripts = tuple(Affine(x) for x in symbol.letters)
    here = Element(span=declared.span, axes=symbol.letters, dtype="real", name=declared.name, subscripts=subscripts)
    density = Definition(ctx.hidden_name(f"{DENSITY}_{declared.name}"), own, as_real(body), "real", declared.span, True)
    ctx.declare_hidden(density)
    ctx.hidden.remove(density)
    read = Element(
        span=declared.span, axes=own, dtype="real", name=density.name, subscripts=tuple(Affine(x) for x in own)
    )
    moves = [Assignment(kept, symbol.letters, here, declared.span)]
    if options.burns:
        done = Element(span=declared.span, dtype="real", name=f"{declared.name}.done")
        moves.append(Assignment(f"{declared.name}.burnt", (), done, declared.span))
    replicas = tuple(x for x in own if not _depends(body, x, declared.name, made))
    chain = Chain(tuple(x for x in symbol.letters if x not in own), replicas, options.sampler.name, tuple(moves))
    declared.write_trail = trail
    declared.definition = last
    declared.found = Variable(declared.name, symbol.letters, estimator, read, declared.span, chain)
    return [*found, last, *made.values(), density]


# --- what it takes -----------------------------------------------------------------------------------------------


def _options(ctx: Context, declared: Declared) -> Options | None:
    """The sampler with its options; None after a mistake (VS0696)."""
    value = declared.line.option("sampler")
    raw = parse_expression(value, ctx.sink) if isinstance(value, Scalar) else None
    if raw is None:
        return None
    word = raw.name if isinstance(raw, RawName | RawCall) else ""
    sampler = SAMPLERS.get(word)
    listed = ", ".join(s.shown for s in SAMPLERS.values())
    plain = isinstance(raw, RawName) or (isinstance(raw, RawCall) and raw.bound is None and raw.subscripts is None)
    if sampler is None or not plain:
        ctx.error(
            "VS0696",
            f"there is no sampler '{word}'"
            if word and sampler is None
            else "a sampler is a call such as mala(step=0.1)",
            raw.span,
            label="no such sampler",
            help=did_you_mean(word, SAMPLERS) or f"the samplers are {listed}",
        )
        return None
    given: dict[str, Raw] = {}
    for k in raw.keywords if isinstance(raw, RawCall) else ():
        if sampler.option(k.name) is None or k.name in given:
            twice = k.name in given
            ctx.error(
                "VS0696",
                f"'{k.name}' is given twice" if twice else f"the sampler '{word}' has no option '{k.name}'",
                k.span,
                help=f"write {sampler.shown}",
            )
            return None
        given[k.name] = k.value
    if "step" not in given or (isinstance(raw, RawCall) and raw.args):
        message = f"the sampler '{word}' needs a step" if "step" not in given else "options of a sampler have names"
        ctx.error("VS0696", message, raw.span, label="how far?", help=f"write {sampler.shown}, for example step=0.1")
        return None
    counts: dict[str, int] = {}
    env = Env(subject=f"the sampler of '{declared.name}'")
    for o in sampler.options:
        if o.default is None or o.least is None:
            continue
        count = whole(ctx, given[o.name], env) if o.name in given else o.default
        if count is None or not o.least <= count <= MOST_DRAWS:
            ctx.error(
                "VS0696",
                f"'{o.name}' is a whole number of at least {o.least}, known at build",
                given[o.name].span,
                label="how many?",
                help="a number, or an expression of constants",
            )
            return None
        counts[o.name] = count
    return Options(sampler, given["step"], counts) if _step(ctx, declared, given["step"]) else None


def _step(ctx: Context, declared: Declared, raw: Raw) -> bool:
    """Whether a step length is a positive number, as far as that is known."""
    letters = ctx.symbols[declared.name].letters
    found = ctx.infer(raw, Env(subject=f"the step of '{declared.name}'", scope={x: x for x in letters}))
    ctx.hidden.clear()
    if isinstance(found, Unknown):
        return False
    message, label = "", ""
    if found.dtype not in ("real", "integer"):
        message, label = "the step of a sampler is a real number", found.dtype
    elif found.axes or any(e.name == declared.name for e in elements(found)):
        message, label = "the step of a sampler is one number for all chains", "not one number"
    elif isinstance(found, Number) and not (isinstance(found.value, int | float) and found.value > 0):
        message, label = "the step of a sampler is positive", "no step at all"
    if not message:
        return True
    ctx.error("VS0696", message, raw.span, label=label, help="for example step=0.1")
    return False


def _estimator(ctx: Context, declared: Declared, equation: Equation) -> Estimator | None:
    """How derivatives pass through the draws: by their covariance with the energy, the one way without a normaliser."""
    given = declared.line.option("estimator")
    found = estimator_of(ctx, declared, equation.letters)
    if given is None or found.word == "auto":
        return Estimator("score", "loo")
    if (found.word, found.baseline) == ("score", "loo"):
        return found
    ctx.error(
        "VS0697",
        f"'{declared.name}' is known up to a constant, and '{found.word}' would need it"
        if found.word == "score"
        else f"draws of a Markov chain have no estimator '{found.word}'",
        given.span,
        label="not for chains",
        help="the mean over the other chains takes the place of the constant: estimator: score(baseline=loo)",
    )
    return None


def _plates(
    ctx: Context,
    declared: Declared,
    symbol: Symbol,
    energy: Raw,
    body: Expr,
    made: Mapping[str, Definition],
) -> tuple[str, ...] | None:
    """The indices of the chains: those that are free in the energy. None after a mistake (VS0699)."""
    own = tuple(x for x in symbol.letters if x in body.axes)
    shown = symbol.shown
    if body.dtype not in ("real", "integer"):
        ctx.error("VS0699", f"the log-density of '{declared.name}' is a real number", energy.span, label=body.dtype)
        return None
    reads = [e for x in (body, *(d.body for d in made.values())) for e in elements(x) if e.name == declared.name]
    texts = [n for n in walk(energy) if isinstance(n, RawName | RawElement) and n.name == declared.name]
    if not texts:
        through = "through a definition or a function " if reads else ""
        ctx.error(
            "VS0699",
            f"the energy of '{declared.name}' does not name '{declared.name}'",
            energy.span,
            label=f"reads it {through}only" if reads else "the same for all values",
            help=f"the formula says how the log-density depends on the variable: unnormalized(-{shown}**2/2)",
        )
        return None
    if any(isinstance(n, RawElement) and len(n.subscripts) != len(symbol.letters) for n in texts):
        return None
    for n in texts:
        for k, letter in enumerate(symbol.letters):
            subscript = n.subscripts[k] if isinstance(n, RawElement) else None
            if letter in own and not (isinstance(subscript, RawName) and subscript.name == letter):
                ctx.error(
                    "VS0699",
                    f"the energy of the chain '{letter}' reads other chains",
                    n.span,
                    label=f"not at [{letter}]",
                    help=f"the index '{letter}', which is free in the energy, numbers independent chains: read '{declared.name}' "
                    f"at '{letter}' alone, or sum over all of one draw",
                )
                return None
    if len(reads) < 1:
        return None
    return own


def _plain(ctx: Context, declared: Declared, body: Expr, known: Mapping[str, Sequence[Expr] | Definition]) -> bool:
    """Whether an energy is free of draws; records the mistake (VS0699)."""
    seen: set[str] = {declared.name}
    stack = [body]
    while stack:
        top = stack.pop()
        for e in nodes(top):
            if isinstance(e, Sample) or (
                isinstance(e, Element) and e.name in ctx.variables and e.name != declared.name
            ):
                what = f"the random variable '{e.name}'" if isinstance(e, Element) else "a draw"
                ctx.error(
                    "VS0699",
                    f"the energy of '{declared.name}' depends on {what}",
                    e.span,
                    label="changes from step to step",
                    help="a chain needs a law that stays; an energy may read params, data and constants",
                )
                return False
            if isinstance(e, Element) and e.name not in seen and e.name in known:
                seen.add(e.name)
                found = known[e.name]
                stack += [found.body] if isinstance(found, Definition) else found
    return True


def _by_name(equations: Sequence[Definition | Recurrence]) -> dict[str, Sequence[Expr] | Definition]:
    found: dict[str, Sequence[Expr] | Definition] = {}
    for e in equations:
        for name in e.names:
            found[name] = e if isinstance(e, Definition) else e.bodies
    return found


def _depends(e: Expr, letter: str, variable: str, made: Mapping[str, Definition]) -> bool:
    """Whether an energy depends on an index of its chains by more than where it reads the variable."""
    for node in nodes(e):
        if isinstance(node, Element):
            if node.name == variable or letter not in node.axes:
                continue
            definition = made.get(node.name)
            if definition is None:
                return True
            for own, s in zip(definition.letters, node.subscripts, strict=True):
                if s == Affine(letter):
                    if _depends(definition.body, own, variable, made):
                        return True
                elif letter in getattr(s, "index", node).axes:
                    return True
        elif letter in node.axes and not any(True for _ in parts(node)):
            return True
    return False


def _kept(ctx: Context, declared: Declared, symbol: Symbol, options: Options) -> str | None:
    """Declare what is kept between steps: where the chains are, and how much of their start is done. None after a mistake."""
    name = f"{declared.name}.chain"
    ctx.symbols[name] = Symbol(name, "carried", symbol.letters, symbol.dims, "real", declared.span)
    given = declared.line.option("init")
    law: Raw | None = _START
    if given is not None:
        law = parse_expression(given, ctx.sink) if isinstance(given, Scalar) else None
    if law is None:
        return None
    env = Env(
        subject=f"the init of '{declared.name}'",
        scope={x: x for x in symbol.letters},
        reads=frozenset({"constant", "data", "param"}),
    )
    at = spot(declared.span, 0)
    start = ctx.infer(RawCall(span=at, name="sample", args=(law,), name_span=at), env)
    if isinstance(start, Unknown):
        return None
    real = Domain("real")
    ctx.carried[name] = Param(name, symbol.letters, "real", as_real(start), real, declared.span, carried=True)
    if options.burns:
        burnt = f"{declared.name}.burnt"
        ctx.symbols[burnt] = Symbol(burnt, "carried", (), (), "real", declared.span)
        zero = Number(span=declared.span, dtype="real", value=0.0)
        ctx.carried[burnt] = Param(burnt, (), "real", zero, real, declared.span, carried=True)
    return name
