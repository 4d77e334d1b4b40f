"""A law with its arguments, as `sample`, `logpdf` and their like take it: `normal(m[n], 2)`."""

from __future__ import annotations

from dataclasses import dataclass

from vspec.compiler.diagnostics.suggest import did_you_mean
from vspec.compiler.language.context import Context, Env, Unknown
from vspec.compiler.language.dims import Slot
from vspec.compiler.language.expr import Block, Number
from vspec.compiler.language.laws import LAWS, Law, Parameter
from vspec.compiler.language.raw import Raw, RawCall, RawName
from vspec.compiler.language.types import a_dtype, as_real


@dataclass(frozen=True, slots=True)
class Distribution:
    """A law with an argument for each of its parameters. `instead`: the name of the one that stands in the place of another,
    or ''."""

    law: Law
    blocks: tuple[Block, ...]
    instead: str = ""

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """What the blocks are given for."""
        return self.law.form(self.instead)

    @property
    def form(self) -> str:
        """The law and how it is given: `bernoulli`, `bernoulli.logits`."""
        return f"{self.law.name}.{self.instead}" if self.instead else self.law.name

    @property
    def arguments(self) -> dict[str, Block]:
        """The blocks by the names of their parameters."""
        return {p.name: block for p, block in zip(self.parameters, self.blocks, strict=True)}

    @property
    def event(self) -> tuple[tuple[str, str], ...]:
        """The axis along which a value is a vector: its name in formulas, and a letter over the same dim; or nothing."""
        name = self.law.event
        pairs = ((axis, x) for p, b in zip(self.parameters, self.blocks) for axis, x in zip(p.axes, b.core))
        return ((name, next(x for axis, x in pairs if axis == name)),) if name else ()

    def sizes(self, ctx: Context) -> dict[str, str]:
        """The dims of the axes that the parameters name."""
        pairs = zip(self.parameters, self.blocks, strict=True)
        return {axis: ctx.dims.dim_of(x) for p, b in pairs for axis, x in zip(p.axes, b.core, strict=True)}

    @property
    def known(self) -> bool:
        """Whether all arguments are."""
        return not any(isinstance(b.body, Unknown) for b in self.blocks)

    @property
    def axes(self) -> tuple[str, ...]:
        """The letters around the law: there is one such law for each of their values."""
        return tuple(dict.fromkeys(x for b in self.blocks for x in b.body.axes if x not in b.core))


def read_law(ctx: Context, raw: Raw, env: Env) -> Distribution | None:
    """The law with its arguments, defaults filled in; None after a mistake (VS0393). Arguments may be unknown, their axes
    are right."""
    law = _law(ctx, raw, env)
    return _arguments(ctx, law, raw, env) if law is not None else None


def _law(ctx: Context, raw: Raw, env: Env) -> Law | None:
    name = raw.name if isinstance(raw, RawName | RawCall) else ""
    law = LAWS.get(name)
    if law is not None and not (isinstance(raw, RawCall) and (raw.bound is not None or raw.subscripts is not None)):
        return law
    near = did_you_mean(name, LAWS) if name and law is None else ""
    ctx.error(
        "VS0393",
        f"'{name}' is not a law" if name and law is None else "a law is wanted here",
        raw.span,
        env,
        label="unknown law" if name and law is None else "not a law",
        help=near or (f"write {law.shown}" if law else f"the laws are {', '.join(LAWS)}"),
    )
    return None


def _arguments(ctx: Context, law: Law, call: Raw, env: Env) -> Distribution | None:
    given = _given(ctx, law, call, env)
    if given is None:
        return None
    instead = next((form[0].name for form in law.instead if any(p.name in given for p in form)), "")
    blocks: list[Block] = []
    for parameter in law.form(instead):
        raw = given.get(parameter.name)
        if raw is None and parameter.default is None:
            ctx.error(
                "VS0393", f"the law '{law.name}' lacks '{parameter.name}'", call.span, env, help=f"write {law.shown}"
            )
            return None
        block = (
            _argument(ctx, law, parameter, raw, env)
            if raw is not None
            else Block(Number(span=call.span, dtype="real", value=float(parameter.default or 0)), ())
        )
        if block is None:
            return None
        blocks.append(block)
    found = Distribution(law, tuple(blocks), instead)
    return found if _fits(ctx, found, call, env) else None


def _fits(ctx: Context, law: Distribution, call: Raw, env: Env) -> bool:
    """Whether axes of one name have one size in all arguments; records the mistake (VS0213)."""
    sizes: dict[str, tuple[str, str]] = {}
    for parameter, block in zip(law.parameters, law.blocks, strict=True):
        for axis, letter in zip(parameter.axes, block.core, strict=True):
            dim = ctx.dims.dim_of(letter)
            first, owner = sizes.setdefault(axis, (dim, parameter.name))
            if not ctx.dims.same(first, dim):
                shown = ctx.dims.show(first), ctx.dims.show(dim)
                ctx.error(
                    "VS0213",
                    f"'{owner}' of '{law.law.name}' is over {shown[0]}, and '{parameter.name}' over {shown[1]}"
                    if owner != parameter.name
                    else f"'{parameter.name}' of '{law.law.name}' is square, and this is over {shown[0]} and {shown[1]}",
                    block.body.span,
                    env,
                    label=f"over {shown[1]}",
                    help=f"it is {law.law.shown}",
                )
                return False
    return True


def _given(ctx: Context, law: Law, call: Raw, env: Env) -> dict[str, Raw] | None:
    """The arguments by the names of the parameters; None after a mistake."""
    args, keywords = (call.args, call.keywords) if isinstance(call, RawCall) else ((), ())
    names = [p.name for p in law.parameters]
    if len(args) > len(names):
        ctx.error(
            "VS0393",
            f"the law '{law.name}' takes {len(names) or 'no'} argument{'' if len(names) == 1 else 's'}, "
            f"but {len(args)} {'is' if len(args) == 1 else 'are'} given",
            call.span,
            env,
            help=f"write {law.shown}",
        )
        return None
    found = dict(zip(names, args))
    forms = [names[law.place : law.place + 1], *([p.name for p in form] for form in law.instead)] if law.instead else []
    others = [name for form in forms[1:] for name in form]
    for keyword in keywords:
        # Of a parameter and what may stand in its place, one is given.
        own = next((form for form in forms if keyword.name in form), [])
        rivals = [name for form in forms if own and form is not own for name in form]
        twice = next((x for x in found if x == keyword.name or x in rivals), None)
        if twice is not None or keyword.name not in (*names, *others):
            ctx.error(
                "VS0393",
                f"the law '{law.name}' has '{twice}' already"
                if twice is not None
                else f"the law '{law.name}' has no parameter '{keyword.name}'",
                keyword.span,
                env,
                help=("" if twice is not None else did_you_mean(keyword.name, (*names, *others)))
                or f"write {law.shown}",
            )
            return None
        found[keyword.name] = keyword.value
    return found


def _argument(ctx: Context, law: Law, parameter: Parameter, raw: Raw, env: Env) -> Block | None:
    slots = tuple(Slot() for _ in range(parameter.rank))
    body = ctx.infer(raw, env.taking(slots) if slots else env)
    if isinstance(body, Unknown) and not body.exact:
        return None
    if any(s.letter is None for s in slots):
        ctx.error(
            "VS0213",
            f"'{law.name}' takes a whole axis here",
            raw.span,
            env,
            label="no ':' here",
            help=f"it is {law.shown}",
        )
        return None
    if not isinstance(body, Unknown) and (body.dtype == "complex" or (parameter.integer and body.dtype != "integer")):
        want = "a whole number" if parameter.integer else "a real number"
        ctx.error(
            "VS0393",
            f"'{parameter.name}' of '{law.name}' is {want}, and this is {a_dtype(body.dtype)}",
            body.span,
            env,
            label=a_dtype(body.dtype),
            help=f"it is {law.shown}",
        )
        return None
    kept = body if parameter.integer else as_real(body)
    return Block(kept, tuple(s.letter for s in slots if s.letter is not None))
