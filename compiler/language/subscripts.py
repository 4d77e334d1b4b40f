"""Subscripts: letters, whole numbers, affine forms and gathers, each checked against the axis it stands on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

from vspec.compiler.diagnostics.spans import Span
from vspec.compiler.language.context import Context, Env, Unknown
from vspec.compiler.language.dims import ROWS, UNKNOWN, Linear, Slot, added, scaled
from vspec.compiler.language.expr import Affine, At, Expr, Gather, IndexValue, Number, SizeOf, Subscript
from vspec.compiler.language.raw import Raw, RawCall, RawName, RawNumber, RawOp, RawSlice
from vspec.compiler.language.types import pointwise

_NOMINAL = 2**24
"""A size that is open until run is taken for so large when positions are counted."""


def letter_of(ctx: Context, raw: Raw, env: Env) -> str | None:
    """The source letter if the expression is one; a formal argument of that name comes first."""
    if isinstance(raw, RawName) and raw.name in ctx.dims.letters and raw.name not in env.formals:
        return raw.name
    return None


class Form(NamedTuple):
    """`scale*letter + offset + sum of k*size(dim) over sizes`; the letter as it is written."""

    letter: RawName
    scale: int
    offset: int
    sizes: tuple[tuple[str, int], ...] = ()

    @property
    def shift(self) -> Linear:
        """The offset with the sizes in it."""
        return added({"": self.offset}, dict(self.sizes))


def affine(ctx: Context, raw: Raw, env: Env, *, sizes: bool = False) -> Form | None:
    """The expression as a form in one letter, or None if it is none; with `sizes`, `size(i)` may be in its offset."""
    found = _linear(ctx, raw, env, sizes)
    if found is None or len(found[0]) != 1:
        return None
    ((letter, scale),) = found[0].values()
    rest = found[1]
    return Form(letter, scale, rest.get("", 0), tuple(sorted((k, v) for k, v in rest.items() if k))) if scale else None


def fixed(ctx: Context, raw: Raw, env: Env) -> int | None:
    """The value of a whole number made of literals and known sizes; a literal by itself is none."""
    found = _linear(ctx, raw, env, True) if whole(raw) is None else None
    return found[1].get("", 0) if found is not None and not found[0] and set(found[1]) <= {""} else None


Letters = dict[str, tuple[RawName, int]]


def _linear(ctx: Context, raw: Raw, env: Env, sizes: bool) -> tuple[Letters, Linear] | None:
    """Whole multiples of letters, and the rest; None if the expression is not linear in them."""
    if letter_of(ctx, raw, env) is not None:
        assert isinstance(raw, RawName)
        return {raw.name: (raw, 1)}, {}
    number = whole(raw)
    if number is not None:
        return {}, {"": number} if number else {}
    if sizes and isinstance(raw, RawCall) and raw.name == "size" and len(raw.args) == 1 and raw.bound is None:
        letter = letter_of(ctx, raw.args[0], env)
        return ({}, ctx.dims.sizes(ctx.dims.dim_of(letter))) if letter is not None else None
    if not isinstance(raw, RawOp) or raw.op not in ("add", "sub", "mul", "neg"):
        return None
    parts = [_linear(ctx, a, env, sizes) for a in raw.args]
    known = [p for p in parts if p is not None]
    if len(known) < len(parts):
        return None
    if raw.op == "neg":
        return _times(known[0], -1)
    if raw.op == "mul":
        for factor, other in (known, reversed(known)):
            if not factor[0] and set(factor[1]) <= {""}:
                return _times(other, factor[1].get("", 0))
        return None
    left, right = known[0], known[1] if raw.op == "add" else _times(known[1], -1)
    letters = dict(left[0])
    for name, (at, scale) in right[0].items():
        letters[name] = (letters[name][0], letters[name][1] + scale) if name in letters else (at, scale)
    return letters, added(left[1], right[1])


def _times(form: tuple[Letters, Linear], by: int) -> tuple[Letters, Linear]:
    return {k: (at, scale * by) for k, (at, scale) in form[0].items()}, scaled(form[1], by)


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
    tips = [help]
    if not help:
        near = [x for x in env.scope if dim != UNKNOWN and ctx.dims.dim_of(x) == dim]
        tips = [f"did you mean '{near[0]}'?"] if len(near) == 1 else []
        tips.append(f"{'or ' if tips else ''}bind it, for example sum[{name}](...): no index is summed over by itself")
    if env.abstract:
        message = f"index '{name}' is free in the body of '{env.function}'"
        tips = [
            f"bind it, for example sum[{name}](...), pass what depends on it, or let the result have it: -> [{name}]"
        ]
    elif env.subject.startswith("'"):
        message = f"index '{name}' is free on the right of {env.subject} but not on its left"
    else:
        message = f"index '{name}' is free in {env.subject}"
    ctx.error("VS0203", message, span, env, label=f"'{name}' is not bound here", help=tips)
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
        form = affine(ctx, raw, env, sizes=True)
        if form is not None:
            source = form.letter
            letter = use_letter(ctx, source.name, source.span, env, help=self._declared(source.name, dim), dim=dim)
            return self._affine(letter, form, dim, raw.span) if letter is not None else None
        number = whole(raw)
        if number is not None:
            return self._at(number, dim, raw.span, computed=False)
        number = fixed(ctx, raw, env)
        if number is not None:
            return self._at(number, dim, raw.span, computed=True)
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
                f"a subscript is an integer, but this is {'a condition' if index.dtype == 'boolean' else index.dtype}",
                raw.span,
                env,
                label="not an integer",
                help="declare it with type: integer"
                if isinstance(raw, RawName)
                else "integer(...) cuts a real number to a whole one, and makes 0 or 1 of a condition",
            )
            return None
        return Gather(index)

    def _affine(self, letter: str, form: Form, dim: str, span: Span) -> Affine | None:
        """The subscript with what it reads outside of the axis; a diagnostic where it may not leave it."""
        ctx, env = self.ctx, self.env
        s = Affine(letter, form.scale, form.offset, form.sizes)
        why = ctx.dims.misfit(letter, form.scale, form.shift, dim, letter == env.short)
        if why is None:
            return s
        boundary = ctx.dims.boundary(dim)
        if boundary != "error" and not s.plain:
            return replace(s, mode=boundary) if self._countable(s, span) else None
        if s.plain:
            message, help = f"index '{letter}' does not fit an axis of {self.shown}", [_letters(ctx, dim)]
        else:
            message, help = f"this subscript runs out of {self.shown}", [_stay(ctx, s, dim)]
            if letter not in env.times:
                help.append(_bounded(ctx, dim))
        ctx.error("VS0208" if s.plain else "VS0207", message, span, env, label=why, help=[h for h in help if h])
        return None

    def _countable(self, s: Affine, span: Span) -> bool:
        """Whether positions beyond the ends can be counted in 32 bits, as the program does."""
        size = self.ctx.dims.size(self.ctx.dims.dim_of(s.letter)) or _NOMINAL
        if abs(s.scale) * size + abs(s.offset) + sum(abs(count) for _, count in s.sizes) * _NOMINAL < 2**31:
            return True
        self.ctx.error(
            "VS0725", "this subscript reaches too far beyond its axis", span, self.env, label="2**31 positions or more"
        )
        return False

    def _at(self, position: int, dim: str, span: Span, computed: bool) -> At | None:
        ctx, size = self.ctx, self.ctx.dims.size(dim)
        low = 0 if computed else -(size or 0)
        if (size is None and (position >= 0 or not computed)) or (size is not None and low <= position < size):
            return At(position)
        ctx.error(
            "VS0207",
            f"the subscript {position} is outside of {self.shown}",
            span,
            self.env,
            label=f"the axis has size {size}" if size is not None else "positions count from 0",
            help=f"positions run from 0 to {size - 1}; -1 is the last"
            if size is not None
            else "a literal such as -1 counts from the end",
        )
        return None

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
    form = affine(ctx, raw, env, sizes=True)
    if form is None:
        found = ctx.infer(raw, env.taking(None))
        if found.dtype != "integer" and not isinstance(found, Unknown):
            ctx.error("VS0218", "delta compares integers", raw.span, env, label="not an integer")
            return None
        return found
    source = form.letter
    letter = use_letter(ctx, source.name, source.span, env)
    if letter is None:
        return None
    result: Expr = IndexValue(span=source.span, axes=(letter,), dtype="integer", letter=letter)
    factor = Number(span=raw.span, dtype="integer", value=abs(form.scale))
    if abs(form.scale) != 1:
        result = pointwise(ctx, "mul", (factor, result), raw.span, env)
    offset = Number(span=raw.span, dtype="integer", value=form.offset)
    if form.offset:
        pair = (result, offset) if form.scale > 0 else (offset, result)
        result = pointwise(ctx, "add" if form.scale > 0 else "sub", pair, raw.span, env)
    elif form.scale < 0:
        result = pointwise(ctx, "neg", (result,), raw.span, env)
    for dim, count in form.sizes:
        factor = Number(span=raw.span, dtype="integer", value=count)
        size: Expr = SizeOf(span=raw.span, dtype="integer", letter=dim)
        if count != 1:
            size = pointwise(ctx, "mul", (factor, size), raw.span, env)
        result = pointwise(ctx, "add", (result, size), raw.span, env)
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
    if dim.startswith(ROWS):
        return f"the axis has {found.size} rows, numbered from 0; an index over {found.size} values fits it"
    if len(found.letters) == 1:
        return f"the axis is indexed by '{found.letters[0]}'"
    return f"the axis is indexed by {', '.join(found.letters)}"


def _stay(ctx: Context, s: Affine, dim: str) -> str:
    """How many values an index may have that stays inside the axis."""
    size = ctx.dims.size(dim)
    if s.offset < 0 and s.scale > 0 and not s.sizes:
        return "shift the other way: read x[s] and x[s + 1] with an index over a smaller dim"
    if size is None or s.sizes or not 0 <= s.offset < size:
        return ""
    room = size - 1 - s.offset if s.scale > 0 else s.offset
    count = room // abs(s.scale) + 1
    return f"an index over a dim of {count} value{'s' if count > 1 else ''} would stay inside"


def _bounded(ctx: Context, dim: str) -> str:
    """How the dim would be declared with a boundary."""
    found = ctx.dims.dims.get(dim)
    if found is None or found.configures is not None:
        return ""
    size = "auto" if found.size is None else str(found.size) if isinstance(found.size, int) else "..."
    dim = f"{', '.join(found.letters)}: {{size: {size}, boundary: periodic}}"
    return f"{dim} under 'dims' says what lies beyond the ends, as do zero and reflect"
