"""The section `random`: variables with their laws and estimators.

A variable is a definition whose right side is a draw: `z[n]: normal(0, 1)` is `z[n]: sample(normal(0, 1))` under `define`. What
more there is to it, expectations over it and its log-density, hangs on its name.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping as Map
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from vspec.compiler.diagnostics.spans import Span
from vspec.compiler.diagnostics.suggest import did_you_mean
from vspec.compiler.language.compounds import Drawn, density_of_draw, moved
from vspec.compiler.language.context import Context, Env, Unknown
from vspec.compiler.language.densities import has_density, log_density, read_value
from vspec.compiler.language.dims import Slot
from vspec.compiler.language.distributions import Distribution
from vspec.compiler.language.expr import Affine, At, Block, Element, Expr, Sample, Subscript
from vspec.compiler.language.law_formulas import DENSITIES
from vspec.compiler.language.laws import LAWS
from vspec.compiler.language.parse import parse_expression
from vspec.compiler.language.raw import Raw, RawCall, RawElement, RawName, RawSlice
from vspec.compiler.language.spec import Definition, Estimator, Recurrence, Variable
from vspec.compiler.language.substitute import NotComposed, subscript_axes
from vspec.compiler.language.types import as_real
from vspec.compiler.source.document import Mapping, Scalar, Value

ESTIMATORS: Map[str, str] = MappingProxyType(
    {
        "auto": "the first of analytic, enumerate, reparam and score that is possible",
        "analytic": "in closed form",
        "reparam": "through the draw, as a function of noise and of the law's arguments",
        "score": "by the derivative of the log-density, times what is averaged less a baseline",
        "enumerate": "as a sum over all values",
        "measure_valued": "as a difference of two expectations, of the parts in which the law grows and shrinks",
    }
)
BASELINES: Map[str, str] = MappingProxyType({"none": "no baseline", "loo": "the mean of the other draws"})
SHOWN = tuple("score(baseline=loo)" if word == "score" else word for word in ESTIMATORS)
DENSITY = "logpdf"


@dataclass(frozen=True, slots=True)
class RandomLine:
    """The right side of a line of `random`: the law's text, and its options."""

    value: Value

    @property
    def span(self) -> Span:
        """Where it stands."""
        return self.value.span

    @property
    def law(self) -> Value | None:
        """The text of the law."""
        return self.value.get("law") if isinstance(self.value, Mapping) else self.value

    def option(self, key: str) -> Value | None:
        """An option of the variable."""
        return self.value.get(key) if isinstance(self.value, Mapping) else None


@dataclass(slots=True)
class Declared:
    """A random variable before its law is checked; `definition`, `found` and the `law` once it is.

    `call`: the draw as it is written. `averaged`: what an expectation over it is over, if that is not the variable alone; then
    `marginal` is the log-density at its own draw. Of one that chains draw: how many draws one after the other are read, and what
    writes their equations. Of one that a recurrence draws: the recurrence, the equations by which
    expectations over it are made, and what those read.
    """

    name: str
    line: RandomLine
    span: Span
    definition: Definition | None = None
    found: Variable | None = None
    recurrence: Recurrence | None = None
    equations: list[Definition | Recurrence] = field(default_factory=list)
    more: tuple[Element, ...] = ()
    call: Span | None = None
    law: Distribution | None = None
    marginal: Element | None = None
    averaged: tuple[str, ...] = ()
    trails: dict[int, None] = field(default_factory=dict)
    write_trail: Callable[[int], list[Definition | Recurrence]] | None = None

    @property
    def reads(self) -> tuple[Element, ...]:
        """Itself and its log-density, as they are declared; nothing before its law is checked."""
        if self.found is None or self.more:
            return self.more
        own, density = self.own(self.found.letters), self.found.density
        return (own, density) if isinstance(density, Element) else (own,)

    def own(self, letters: tuple[str, ...]) -> Element:
        """Its draw, over these letters."""
        dtype = self.definition.dtype if self.definition is not None else "real"
        subscripts = tuple(map(Affine, letters))
        return Element(span=self.span, axes=letters, dtype=dtype, name=self.name, subscripts=subscripts)


def law_of_line(ctx: Context, line: RandomLine, name: str) -> Raw | None:
    """The right side as the draw that it is; None after a mistake."""
    text = line.law
    if not isinstance(text, Scalar):
        ctx.error("VS0326", f"the law of '{name}' is a call such as normal(0, 1)", line.span, label="not a law")
        return None
    raw = parse_expression(text, ctx.sink)
    if raw is None:
        return None
    if line.option("sampler") is not None:
        return _energy(ctx, raw, name)
    law = LAWS.get(raw.name) if isinstance(raw, RawName | RawCall) else None
    if law is not None and not law.drawn:
        ctx.error(
            "VS0684",
            f"'{law.name}' has no independent draws",
            raw.span,
            label="known by its density alone",
            help=f"'{name}' is drawn by a Markov chain: {{law: unnormalized(...), sampler: mala(step=0.1)}}",
        )
        return None
    start = line.option("init")
    if start is not None:
        ctx.error(
            "VS0697",
            f"'{name}' is drawn anew in each step",
            start.span,
            label="starts nothing",
            help="leave 'init' out",
        )
        return None
    ctx.variables[name].call = raw.span
    return RawCall(span=raw.span, name="sample", args=(raw,), name_span=raw.span)


def _energy(ctx: Context, raw: Raw, name: str) -> Raw | None:
    """The energy in a law that a Markov chain draws; None after a mistake (VS0697)."""
    law = LAWS.get(raw.name) if isinstance(raw, RawName | RawCall) else None
    if law is not None and law.drawn:
        ctx.error(
            "VS0697",
            f"the law '{law.name}' of '{name}' has independent draws and needs no sampler",
            raw.span,
            label="drawn at once",
            help="leave 'sampler' out, or write the law by its energy: unnormalized(...)",
        )
        return None
    if isinstance(raw, RawCall) and law is not None and len(raw.args) == 1 and not raw.keywords:
        return raw.args[0]
    ctx.error(
        "VS0697",
        f"a sampler draws '{name}' from a law that is given by its energy",
        raw.span,
        label="no energy",
        help="write law: unnormalized(e), where e is the log-density up to a constant",
    )
    return None


def check_variable(ctx: Context, declared: Declared, definition: Definition | None) -> None:
    """Read the estimator of a variable, and its log-density, once its law is checked."""
    if definition is None:
        return
    body = definition.body
    made = ctx.drawn.get((declared.call,)) if declared.call is not None else None
    if made is not None:
        _check_compound(ctx, declared, definition, *made)
        return
    if not isinstance(body, Sample):
        # Rows and the like, of which the law is said line by line.
        ctx.error(
            "VS0690",
            f"'{declared.name}' has several laws",
            declared.span,
            label="one law for all its indices",
            help="give each part a name of its own",
        )
        return
    estimator = estimator_of(ctx, declared, definition.letters)
    letters = definition.letters
    own = Element(
        span=declared.span,
        axes=letters,
        dtype=definition.dtype,
        name=declared.name,
        subscripts=tuple(Affine(x) for x in letters),
    )
    law = Distribution(LAWS[body.law], body.blocks, body.instead)
    env = Env(subject=f"'{declared.name}'", scope={x: x for x in letters})
    density: Element | None = None
    if law.form in DENSITIES:
        found = log_density(ctx, law, Block(own, body.event), declared.span, env, inside=True)
        density = _named_density(ctx, declared, found, body.event)
    declared.definition, declared.law = definition, law
    declared.found = Variable(declared.name, letters, estimator, density, declared.span)


def _named_density(
    ctx: Context, declared: Declared, found: Expr, event: tuple[str, ...], letters: tuple[str, ...] | None = None
) -> Element | None:
    """A hidden definition of the log-density of a variable at its own draw; None after a mistake."""
    if isinstance(found, Unknown):
        return None
    every = ctx.symbols[declared.name].letters if letters is None else letters
    kept = tuple(x for x in every if x not in event)
    name = ctx.hidden_name(f"{DENSITY}_{declared.name.lstrip('_')}")
    ctx.declare_hidden(Definition(name, kept, as_real(found), "real", declared.span, hidden=True))
    return Element(span=declared.span, axes=kept, dtype="real", name=name, subscripts=tuple(map(Affine, kept)))


def _check_compound(ctx: Context, declared: Declared, definition: Definition, law: Distribution, drawn: Drawn) -> None:
    """The same for a law made of laws: what it is made of are variables, over which expectations are."""
    letters, body = definition.letters, definition.body
    estimator = estimator_of(ctx, declared, letters)
    env = Env(subject=f"'{declared.name}'", scope={x: x for x in letters})
    names: list[str] = []
    image = not isinstance(body, Sample)
    for k, latent in enumerate(drawn.latents):
        made = latent.definition
        inner = Declared(made.name, declared.line, declared.span, made, law=latent.law)
        draw = made.body
        assert isinstance(draw, Sample)
        own = inner.own(made.letters)
        found = log_density(ctx, latent.law, Block(own, draw.event), declared.span, env, inside=True)
        density = _named_density(ctx, inner, found, draw.event, made.letters)
        # Of a function of a draw, the estimator is that of the draw.
        ways = estimator if image and k == len(drawn.latents) - 1 else Estimator()
        inner.found = Variable(made.name, made.letters, ways, density, declared.span)
        ctx.latents[made.name] = inner
        names.append(made.name)
    declared.definition, declared.law = definition, law
    event = body.event if isinstance(body, Sample) else ()
    own = declared.own(letters)
    given: Element | None = None
    if isinstance(body, Sample) and has_density(drawn.law):
        at_draw = log_density(ctx, drawn.law, Block(own, event), declared.span, env, inside=True)
        given = _named_density(ctx, declared, at_draw, event)
    if has_density(law):
        found = density_of_draw(ctx, law, drawn, Block(own, event), declared.span, env)
        declared.marginal = _named_density(ctx, declared, found, event)
    declared.averaged = (*names, *([] if image else [declared.name]))
    declared.found = Variable(declared.name, letters, estimator, given, declared.span)


def estimator_of(ctx: Context, declared: Declared, letters: tuple[str, ...]) -> Estimator:
    """The estimator of a variable with these indices, as it is written."""
    given = declared.line.option("estimator")
    if given is None:
        return Estimator()
    raw = parse_expression(given, ctx.sink) if isinstance(given, Scalar) else None
    if raw is None:
        return Estimator()
    word = raw.name if isinstance(raw, RawName | RawCall) else ""
    if word not in ESTIMATORS or (isinstance(raw, RawCall) and (raw.args or raw.bound or raw.subscripts)):
        ctx.error(
            "VS0691",
            f"'{declared.name}' has no estimator '{word}'" if word else "an estimator is a word",
            raw.span,
            label="no such estimator",
            help=did_you_mean(word, ESTIMATORS) or f"the estimators are {', '.join(SHOWN)}",
        )
        return Estimator()
    baseline: str | Expr = "none"
    for keyword in raw.keywords if isinstance(raw, RawCall) else ():
        if word != "score" or keyword.name != "baseline":
            ctx.error(
                "VS0691",
                f"the estimator '{word}' has no option '{keyword.name}'",
                keyword.span,
                help=f"the estimators are {', '.join(SHOWN)}",
            )
            continue
        value = keyword.value
        if isinstance(value, RawName) and value.name in BASELINES and value.name not in ctx.symbols:
            baseline = value.name
            continue
        env = Env(subject=f"the baseline of '{declared.name}'", scope={x: x for x in letters})
        found = ctx.infer(value, env)
        if not isinstance(found, Unknown):
            baseline = as_real(found)
    return Estimator(word, baseline)


def random_variables(ctx: Context) -> dict[str, Variable]:
    """The variables that are drawn: a function of a draw is none."""
    every = {**ctx.latents, **ctx.variables}
    drawn = {n: v for n, v in every.items() if not v.averaged or n in v.averaged}
    return {n: v.found for n, v in drawn.items() if v.found is not None}


def variable_at(ctx: Context, raw: Raw, env: Env) -> tuple[Declared, Element] | None:
    """The random variable that an expression reads, with its subscripts; None if it is none."""
    name = getattr(raw, "name", "")
    if name not in ctx.variables or isinstance(raw, RawCall) or name in env.formals:
        return None
    declared = ctx.variables[name]
    body = declared.definition.body if declared.definition is not None else None
    if isinstance(body, Sample) and body.event:
        return _vector_at(ctx, declared, raw, env)
    if body is None and name in ctx.symbols and ctx.symbols[name].kind == "definition":
        # Its law has a mistake, which is told: whether it is one of vectors is not known.
        return None
    if isinstance(raw, RawName):
        letters = ctx.symbols[name].letters if name in ctx.symbols else ()
        if all(x in env.scope for x in letters):
            raw = _whole(raw, letters)
    found = ctx.infer(raw, env)
    return (declared, found) if isinstance(found, Element) else None


def _vector_at(ctx: Context, declared: Declared, raw: Raw, env: Env) -> tuple[Declared, Element] | None:
    """The random vector that an expression reads: a whole axis stands where the vector runs, `z[n, :]`. The subscript there is
    that of the declaration. Records the mistake (VS0685)."""
    slots = (Slot(),)
    found = ctx.infer(raw, env.taking(slots)) if not isinstance(raw, RawName) else None
    if isinstance(found, Unknown):
        return None
    letters = declared.found.letters if declared.found is not None else ()
    last = found.subscripts[-1] if isinstance(found, Element) else None
    if not isinstance(found, Element) or last != Affine(slots[0].letter or ""):
        whole = f"{declared.name}[{', '.join((*letters[:-1], ':'))}]"
        ctx.error(
            "VS0685",
            f"'{declared.name}' is a vector along '{letters[-1]}', and its law is that of all of it",
            raw.span,
            env,
            label="not the whole vector",
            help=f"write {whole}",
        )
        return None
    subscripts = (*found.subscripts[:-1], Affine(letters[-1]))
    return declared, replace(found, subscripts=subscripts, axes=subscript_axes(subscripts))


def _whole(raw: RawName, letters: tuple[str, ...]) -> Raw:
    if not letters:
        return raw
    subscripts = tuple(RawName(span=raw.span, name=x) for x in letters)
    return RawElement(span=raw.span, name=raw.name, subscripts=subscripts, name_span=raw.span)


def own_density(ctx: Context, raw: RawCall, env: Env) -> Expr | None:
    """`logpdf(z[n])` and `logpdf(z[n], at=e)` of a random variable; None if the call is no such thing.

    The first is the log-density at the variable's own draw, the second that of its law at another value. Without subscripts the
    variable has those of its declaration.
    """
    at = next((k for k in raw.keywords if k.name == "at"), None)
    first = raw.args[0] if len(raw.args) == 1 else None
    if first is None or raw.bound is not None or raw.subscripts is not None:
        return None
    if getattr(first, "name", "") not in ctx.variables or isinstance(first, RawCall):
        return None
    other = next((k for k in raw.keywords if k is not at), None)
    if other is not None:
        return ctx.error(
            "VS0215", f"'logpdf' of a variable has no keyword '{other.name}'", other.span, env, help="write at=..."
        )
    read = variable_at(ctx, first, env)
    if read is None:
        return Unknown(span=raw.span)
    declared, element = read
    if declared.recurrence is not None and _lawless(ctx, declared, raw, env):
        return Unknown(span=raw.span)
    if declared.found is None or declared.definition is None:
        return Unknown(span=raw.span)
    subscripts = dict(zip(declared.found.letters, element.subscripts, strict=True))
    if at is not None:
        return _elsewhere(ctx, declared, subscripts, at.value, raw, env)
    density = declared.marginal if declared.averaged else declared.found.density
    if not isinstance(density, Element):
        law = declared.law.base.name if declared.law is not None else ""
        return ctx.error("VS0690", f"the law '{law}' of '{declared.name}' has no density", raw.span, env)
    kept = tuple(subscripts[x] for x in density.axes)
    name = density.name
    return replace(element, span=raw.span, name=name, subscripts=kept, axes=subscript_axes(kept), dtype="real")


def acceptance(ctx: Context, raw: RawCall, env: Env) -> Expr:
    """`acceptance(x[w, :])` of a variable that chains draw: the share of the transitions of a chain that were taken.

    The axes of one draw are whole; without subscripts the chains have the indices of the declaration.
    """
    at = raw.args[0] if len(raw.args) == 1 and raw.bound is None and not raw.keywords else None
    declared = ctx.variables.get(getattr(at, "name", "")) if isinstance(at, RawName | RawElement) else None
    if declared is None or declared.line.option("sampler") is None:
        message = "'acceptance' is of a variable that Markov chains draw"
        help = "write it as acceptance(x[w]), of a variable with a sampler"
        return ctx.error("VS0690", message, raw.span, env, label="no chains", help=help)
    if declared.found is None or declared.found.chain is None:
        return Unknown(span=raw.span)
    if f"{declared.name}.acceptance" not in ctx.symbols:
        message = f"the sampler '{declared.found.chain.sampler}' of '{declared.name}' tests no transition"
        return ctx.error("VS0690", message, raw.span, env, label="all are taken", help="leave it out: it would be 1")
    letters, event = declared.found.letters, declared.found.chain.event
    given: tuple[Raw, ...] = tuple(RawName(span=raw.span, name=x) for x in letters if x not in event)
    if isinstance(at, RawElement):
        given = tuple(s for x, s in zip(letters, at.subscripts, strict=False) if x not in event)
        whole = [s for x, s in zip(letters, at.subscripts, strict=False) if x in event]
        if len(at.subscripts) != len(letters) or not all(isinstance(s, RawSlice) for s in whole):
            shown = ", ".join(":" if x in event else x for x in letters)
            message = f"all of a draw of '{declared.name}' is taken or not"
            return ctx.error("VS0690", message, at.span, env, help=f"write acceptance({declared.name}[{shown}])")
    name = f"{declared.name}.acceptance"
    if not given:
        return ctx.infer(RawName(span=raw.span, name=name), env)
    return ctx.infer(RawElement(span=raw.span, name=name, subscripts=given, name_span=raw.span), env)


def law_at(ctx: Context, raw: Raw, env: Env) -> Distribution | None:
    """The law of the random variable that an expression reads, at its subscripts; None if it reads none."""
    read = variable_at(ctx, raw, env)
    if read is None or _lawless(ctx, read[0], raw, env) or read[0].definition is None or read[0].found is None:
        return None
    return _law_at(ctx, read[0], dict(zip(read[0].found.letters, read[1].subscripts, strict=True)), raw, env)


def _lawless(ctx: Context, declared: Declared, raw: Raw, env: Env) -> bool:
    """Whether a variable has no law that can be read: records the mistake (VS0690)."""
    if declared.recurrence is not None and declared.definition is None:
        what, help = (
            "is drawn step by step and has no law of its own",
            "write the law of a step: logpdf(normal(...), x)",
        )
    elif declared.line.option("sampler") is not None:
        what, help = "is known up to a constant", "logpdf(unnormalized(e), x) is the energy e at another value"
    else:
        return False
    ctx.error("VS0690", f"'{declared.name}' {what}", raw.span, env, help=help)
    return True


def _law_at(
    ctx: Context, declared: Declared, subscripts: dict[str, Subscript], raw: Raw, env: Env
) -> Distribution | None:
    """The law at these subscripts; None where it is not known there, which is recorded (VS0690)."""
    assert declared.law is not None
    placed = {x: _counted(s, ctx.dims.size(ctx.dims.dim_of(x))) for x, s in subscripts.items()}
    try:
        if any(isinstance(s, Affine) and s.mode == "zero" for s in placed.values()):
            raise NotComposed("beyond the ends it is the number 0, which has no law")
        return moved(declared.law, placed)
    except NotComposed as e:
        help = "read it at an index alone, over a dim of as many places as there are"
        ctx.error(
            "VS0690", f"the law of '{declared.name}' is not known at this place", raw.span, env, label=str(e), help=help
        )
        return None


def _counted(s: Subscript, size: int | None) -> Subscript:
    """A place that counts from the end as one that counts from the start, where the size is known."""
    return At(s.position + size) if isinstance(s, At) and s.position < 0 and size is not None else s


def _elsewhere(
    ctx: Context, declared: Declared, subscripts: dict[str, Subscript], value: Raw, raw: RawCall, env: Env
) -> Expr:
    if _lawless(ctx, declared, raw, env):
        return Unknown(span=raw.span)
    law = _law_at(ctx, declared, subscripts, raw, env)
    if law is None:
        return Unknown(span=raw.span)
    if not has_density(law):
        return ctx.error("VS0690", f"the law '{law.base.name}' of '{declared.name}' has no density", raw.span, env)
    found = read_value(ctx, value, law, env)
    if found is None or isinstance(found.body, Unknown):
        return Unknown(span=raw.span)
    return log_density(ctx, law, found, raw.span, env)
