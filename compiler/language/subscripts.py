"""Subscripts: letters, whole numbers, affine forms and gathers, each checked against the axis it stands on."""

from __future__ import annotations

from collections.abc import Iterator

from vspec.compiler.diagnostics.spans import Span
from vspec.compiler.language.context import Context, Env, Unknown
from vspec.compiler.language.dims import UNKNOWN, Slot
from vspec.compiler.language.expr import Affine, At, Expr, Gather, IndexValue, Number, Subscript
from vspec.compiler.language.raw import Raw, RawName, RawNumber, RawOp, RawSlice
from vspec.compiler.language.types import pointwise


def letter_of(ctx: Context, raw: Raw, env: Env) -> str | None:
    """The source letter if the expression is one; a formal argument of that name comes first."""
    if isinstance(raw, RawName) and raw.name in ctx.dims.letters and raw.name not in env.formals:
        return raw.name
    return None


def affine(ctx: Context, raw: Raw, env: Env) -> tuple[RawName, int, int] | None:
    """`scale*letter + offset` as (letter, scale, offset), or None if the expression has another form."""
    if letter_of(ctx, raw, env) is not None:
        assert isinstance(raw, RawName)
        return raw, 1, 0
    if not isinstance(raw, RawOp) or raw.op not in ("add", "sub", "mul"):
        return None
    left, right = raw.args
    if raw.op == "mul":
        for factor, other in ((left, right), (right, left)):
            number = whole(factor)
            form = affine(ctx, other, env) if number is not None else None
            if number is not None and form is not None and number > 0:
                return form[0], form[1] * number, form[2] * number
        return None
    number, form = whole(right), affine(ctx, left, env)
    if number is not None and form is not None:
        return form[0], form[1], form[2] + (number if raw.op == "add" else -number)
    number, form = whole(left), affine(ctx, right, env)
    if raw.op == "add" and number is not None and form is not None:
        return form[0], form[1], form[2] + number
    return None


def whole(raw: Raw) -> int | None:
    """The value of a whole literal."""
    if isinstance(raw, RawNumber) and isinstance(raw.value, int) and not isinstance(raw.value, bool):
        return raw.value
    return None


def use_letter(ctx: Context, name: str, span: Span, env: Env, *, help: str = "", dim: str = UNKNOWN) -> str | None:
    """The letter of the checked tree for an index of the source; None, with a diagnostic, if it may not be used here."""
    if name in env.scope:
        return env.scope[name]
    if env.open:
        return name
    if (env.subject, name) in ctx.unbound:
        return None
    ctx.unbound.add((env.subject, name))
    if not help:
        near = [x for x in env.scope if dim != UNKNOWN and ctx.dims.dim_of(x) == dim]
        help = f"did you mean '{near[0]}'?" if len(near) == 1 else f"bind it, for example sum[{name}](...)"
    if env.abstract:
        message = f"index '{name}' is free in the body of '{env.function}'"
        help = f"bind it, for example sum[{name}](...), or pass what depends on it as an argument"
    elif env.subject.startswith("'"):
        message = f"index '{name}' is free on the right of {env.subject} but not on its left"
    else:
        message = f"index '{name}' is free in {env.subject}"
    ctx.error("VS0203", message, span, env, label=f"'{name}' is not bound here", help=help)
    return None


class Subscripting:
    """Reads the subscripts of one element, axis by axis, handing out the slices in order."""

    def __init__(self, ctx: Context, env: Env, shown: str) -> None:
        self.ctx = ctx
        self.env = env
        self.shown = shown
        self.slots: Iterator[Slot] = iter(env.slices or ())
        self.taken = 0

    def read(self, raw: Raw, dim: str) -> Subscript | None:
        """The subscript on an axis over `dim`, or None after a mistake."""
        ctx, env = self.ctx, self.env
        if isinstance(raw, RawSlice):
            return self._slice(raw, dim)
        form = affine(ctx, raw, env)
        if form is not None:
            source, scale, offset = form
            letter = use_letter(ctx, source.name, source.span, env, help=self._declared(source.name, dim), dim=dim)
            if letter is None:
                return None
            return Affine(letter, scale, offset) if self.fits(Affine(letter, scale, offset), dim, raw.span) else None
        number = whole(raw)
        if number is not None:
            return At(number) if self.fits(At(number), dim, raw.span) else None
        if isinstance(raw, RawName) and _nowhere(ctx, raw.name, env):
            ctx.error(
                "VS0202",
                f"unknown index '{raw.name}'",
                raw.span,
                env,
                label="no dim has this letter",
                help=ctx.near(raw.name, ctx.dims.letters) or _letters(ctx, dim),
            )
            return None
        index = ctx.infer(raw, env.taking(None))
        if index.dtype != "integer" and not isinstance(index, Unknown):
            ctx.error(
                "VS0218",
                f"a subscript is an integer, but this is {'a condition' if index.dtype == 'boolean' else 'real'}",
                raw.span,
                env,
                label="not an integer",
                help="declare it with type: integer"
                if isinstance(raw, RawName)
                else "integer(...) cuts a real number to a whole one, and makes 0 or 1 of a condition",
            )
            return None
        return Gather(index)

    def fits(self, s: Subscript, dim: str, span: Span) -> bool:
        """Whether the subscript surely stays inside the axis; a diagnostic if not."""
        ctx, env = self.ctx, self.env
        if isinstance(s, Affine):
            why = ctx.dims.misfit(s.letter, s.scale, s.offset, dim, s.letter == env.short)
            if why is None:
                return True
            plain = s.scale == 1 and s.offset == 0
            message = (
                f"index '{s.letter}' does not fit an axis of {self.shown}"
                if plain
                else f"this subscript runs out of {self.shown}"
            )
            help = _letters(ctx, dim) if plain else _stay(ctx, s, dim)
            ctx.error("VS0208" if plain else "VS0207", message, span, env, label=why, help=help)
            return False
        if isinstance(s, At):
            size = ctx.dims.size(dim)
            if size is None or -size <= s.position < size:
                return True
            ctx.error(
                "VS0207",
                f"the subscript {s.position} is outside of {self.shown}",
                span,
                env,
                label=f"the axis has size {size}",
                help=f"positions run from 0 to {size - 1}; -1 is the last",
            )
            return False
        return True

    def _slice(self, raw: RawSlice, dim: str) -> Subscript | None:
        ctx, env = self.ctx, self.env
        if env.slices is None:
            ctx.error(
                "VS0212",
                "':' stands only in arguments of functions that take whole axes",
                raw.span,
                env,
                label="no function takes this axis",
                help="write an index here",
            )
            return None
        slot = next(self.slots, None)
        self.taken += 1
        if slot is None:
            return None
        if slot.letter is None:
            slot.letter, slot.dim, slot.span = ctx.dims.fresh(dim), dim, raw.span
        elif not ctx.dims.same(slot.dim, dim):
            ctx.error(
                "VS0213",
                f"two slices stand for one axis but have different sizes: {ctx.dims.show(slot.dim)} and {ctx.dims.show(dim)}",
                raw.span,
                env,
            )
            return None
        return Affine(slot.letter)

    def complete(self, span: Span) -> bool:
        """Whether the element took as many slices as its function wants (or none, and broadcasts)."""
        want = len(self.env.slices or ())
        if self.taken in (0, want) or self.env.slices is None:
            return True
        many = f"{want} axis is" if want == 1 else f"{want} axes are"
        self.ctx.error("VS0213", f"{many} wanted here, but {self.shown} has {self.taken} ':'", span, self.env)
        return False

    def _declared(self, letter: str, dim: str) -> str:
        env, dims = self.env, self.ctx.dims
        if letter in env.scope or env.open or dim == UNKNOWN:
            return ""
        near = [x for x in env.scope if dims.dim_of(x) == dim]
        if dims.dim_of(letter) != dim and near:
            return f"did you mean '{near[0]}'? {self.shown.split('[')[0]} is declared as {self.shown}"
        return ""


def value_of(ctx: Context, raw: Raw, env: Env) -> Expr | None:
    """A subscript of `delta` as an integer value: letters stand for their own value there."""
    form = affine(ctx, raw, env)
    if form is None:
        found = ctx.infer(raw, env.taking(None))
        if found.dtype != "integer" and not isinstance(found, Unknown):
            ctx.error("VS0218", "delta compares integers", raw.span, env, label="not an integer")
            return None
        return found
    source, scale, offset = form
    letter = use_letter(ctx, source.name, source.span, env)
    if letter is None:
        return None
    result: Expr = IndexValue(span=source.span, axes=(letter,), dtype="integer", letter=letter)
    for op, number, neutral in (("mul", scale, 1), ("add", offset, 0)):
        if number != neutral:
            other = Number(span=raw.span, dtype="integer", value=number)
            result = pointwise(ctx, op, (other, result) if op == "mul" else (result, other), raw.span, env)
    return result


def _nowhere(ctx: Context, name: str, env: Env) -> bool:
    return (
        name not in env.formals
        and name not in ctx.symbols
        and name not in ctx.outputs
        and name not in ctx.opaque
        and name not in ctx.functions
    )


def _letters(ctx: Context, dim: str) -> str:
    found = ctx.dims.dims.get(dim)
    if found is None:
        return ""
    if len(found.letters) == 1:
        return f"the axis is indexed by '{found.letters[0]}'"
    return f"the axis is indexed by {', '.join(found.letters)}"


def _stay(ctx: Context, s: Affine, dim: str) -> str:
    """How many values an index may have that stays inside the axis."""
    size = ctx.dims.size(dim)
    if size is None or s.offset < 0 or s.offset >= size:
        return "" if s.offset >= 0 else "shift the other way: read x[s] and x[s + 1] with an index over a smaller dim"
    return f"an index over a dim of {(size - 1 - s.offset) // s.scale + 1} values would stay inside"
