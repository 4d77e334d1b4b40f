"""A law with its arguments, as `sample`, `logpdf` and their like take it: `normal(m[n], 2)`."""

from __future__ import annotations

from dataclasses import dataclass

from vspec.compiler.diagnostics.suggest import did_you_mean
from vspec.compiler.language.context import Context, Env, Unknown
from vspec.compiler.language.dims import Slot
from vspec.compiler.language.expr import Affine, Block, Number
from vspec.compiler.language.laws import LAWS, Law, Parameter
from vspec.compiler.language.raw import Raw, RawCall, RawName, RawSlice, walk
from vspec.compiler.language.substitute import substitute
from vspec.compiler.language.types import a_dtype, as_real


@dataclass(frozen=True, slots=True)
class Distribution:
    """A law with an argument for each of its parameters. `instead`: the name of the one that stands in the place of another,
    or ''. `inner`: the law of which a law is made; those of a mixture have the letter of its weights. `map`: the function."""

    law: Law
    blocks: tuple[Block, ...]
    instead: str = ""
    inner: Distribution | None = None
    map: str = ""

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
        if self.inner is not None:
            return self.inner.event
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
        known = not any(isinstance(b.body, Unknown) for b in self.blocks)
        return known and (self.inner is None or self.inner.known)

    @property
    def base(self) -> Law:
        """The law of numbers, or of vectors, of which it is made."""
        return self.law if self.inner is None else self.inner.base

    @property
    def axes(self) -> tuple[str, ...]:
        """The letters around the law: there is one such law for each of their values."""
        own = (x for b in self.blocks for x in b.body.axes if x not in b.core)
        core = {x for b in self.blocks for x in b.core}
        inner = () if self.inner is None else (x for x in self.inner.axes if x not in core)
        return tuple(dict.fromkeys((*own, *inner)))


def read_law(ctx: Context, raw: Raw, env: Env) -> Distribution | None:
    """The law with its arguments, defaults filled in; None after a mistake (VS0393). Arguments may be unknown, their axes
    are right."""
    law = named_law(ctx, raw, env)
    if law is not None and law.of:
        return _compound(ctx, law, raw, env)
    return _arguments(ctx, law, raw, env) if law is not None else None


def _compound(ctx: Context, law: Law, raw: Raw, env: Env) -> Distribution | None:
    """A law made of a law."""
    args = raw.args if isinstance(raw, RawCall) and not raw.keywords else ()
    if len(args) != 2:
        message = f"'{law.name}' takes {'weights and a law' if law.parameters else 'a law and a function'}"
        ctx.error("VS0393", message, raw.span, env, help=f"write {law.shown}")
        return None
    if not law.parameters:
        inner = read_law(ctx, args[0], env)
        return None if inner is None or not _mapped(ctx, law, inner, args, env) else _transformed(law, inner, args[1])
    weights = _argument(ctx, law, law.parameters[0], args[0], env)
    kind = named_law(ctx, args[1], env)
    if weights is None or kind is None:
        return None
    if kind.of:
        message = f"a mixture is of one family of laws, and '{kind.name}' is made of another"
        ctx.error("VS0393", message, args[1].span, env, help=f"write {law.shown}")
        return None
    inner = _arguments(ctx, kind, args[1], env, weights)
    return None if inner is None else Distribution(law, (weights,), inner=inner)


def _mapped(ctx: Context, law: Law, inner: Distribution, args: tuple[Raw, ...], env: Env) -> bool:
    """Whether a law is one of real numbers and has a function of one number; records the mistake (VS0393, VS0346)."""
    name = args[1].name if isinstance(args[1], RawName) else ""
    function = ctx.functions.get(name)
    if function is None:
        ctx.error(
            "VS0346",
            f"'{law.name}' takes the name of a function that is declared under 'functions'",
            args[1].span,
            env,
            label="not the name of a function",
            help=ctx.near(name) if name else f"write {law.shown}",
        )
        return False
    if (
        len(function.formals) != 1
        or function.formals[0].rank
        or function.formals[0].takes is not None
        or function.results
    ):
        ctx.error(
            "VS0347",
            f"'{law.name}' takes a function of one number, and '{name}' is {function.shown}",
            args[1].span,
            env,
        )
        return False
    if inner.event or inner.base.dtype != "real":
        message = f"'{law.name}' is of a law of real numbers, and '{inner.base.name}' is none"
        ctx.error("VS0393", message, args[0].span, env, help=f"write {law.shown}")
        return False
    return function.sound


def _transformed(law: Law, inner: Distribution, function: Raw) -> Distribution:
    assert isinstance(function, RawName)
    return Distribution(law, (), inner=inner, map=function.name)


def named_law(ctx: Context, raw: Raw, env: Env) -> Law | None:
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


def _arguments(ctx: Context, law: Law, call: Raw, env: Env, weights: Block | None = None) -> Distribution | None:
    """The law of a call. With the weights of a mixture, arguments may have one whole axis more, in front, with their letter."""
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
            _argument(ctx, law, parameter, raw, env, weights)
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


def _slices(raw: Raw) -> int:
    """How many whole axes the elements in an expression have."""
    return max(
        (sum(isinstance(s, RawSlice) for s in getattr(n, "subscripts", None) or ()) for n in walk(raw)), default=0
    )


def _argument(
    ctx: Context, law: Law, parameter: Parameter, raw: Raw, env: Env, weights: Block | None = None
) -> Block | None:
    more = weights is not None and _slices(raw) > parameter.rank
    slots = tuple(Slot() for _ in range(parameter.rank + more))
    body = ctx.infer(raw, env.taking(slots) if slots else env)
    if isinstance(body, Unknown) and not body.exact:
        return None
    if more and weights is not None and slots[0].letter is not None:
        first, *rest = slots
        slots = tuple(rest)
        (own,) = weights.core
        here, there = ctx.dims.show(first.dim), ctx.dims.show(ctx.dims.dim_of(own))
        if not ctx.dims.same(first.dim, ctx.dims.dim_of(own)):
            ctx.error(
                "VS0213",
                f"the weights of the mixture are over {there}, and '{parameter.name}' has components over {here}",
                first.span or raw.span,
                env,
                label=f"over {here}",
                help="the first whole axis of an argument is that of the components",
            )
            return None
        body = body if isinstance(body, Unknown) else substitute(body, {first.letter or "": Affine(own)})
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
