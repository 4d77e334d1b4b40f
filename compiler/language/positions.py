"""Built-ins about the place of an index: `index`, `size`, `coord`, `spacing` and `part`."""

from __future__ import annotations

from vspec.compiler.language.arguments import sized
from vspec.compiler.language.context import Context, Env, Unknown
from vspec.compiler.language.expr import Coord, Expr, Gather, IndexValue, Part, SizeOf, Spacing
from vspec.compiler.language.lookup import arity
from vspec.compiler.language.operators import STRUCTURAL
from vspec.compiler.language.raw import Raw, RawCall, RawName
from vspec.compiler.language.subscripts import Subscripting, affine, letter_of, use_letter
from vspec.compiler.language.substitute import subscript_axes

POSITIONS = frozenset({"index", "size", "coord", "spacing", "part"})


def position(ctx: Context, raw: RawCall, env: Env) -> Expr:
    """A call of one of `POSITIONS`, checked."""
    name, span = raw.name, raw.span
    count = 2 if name == "part" else 1
    if len(raw.args) != count:
        return arity(ctx, raw, str(count), count, STRUCTURAL[name], env)
    letter = letter_of(ctx, raw.args[0], env)
    if letter is None:
        return _no_letter(ctx, raw, raw.args[0], env)
    if name == "part":
        return _part(ctx, raw, letter, env)
    if name == "size":
        return SizeOf(span=span, dtype="integer", letter=sized(ctx, letter, env))
    if name in ("coord", "spacing") and not _has_coordinates(ctx, raw, letter, env):
        return Unknown(span=span)
    if name == "spacing":
        return Spacing(span=span, dtype="real", letter=letter)
    used = use_letter(ctx, letter, raw.args[0].span, env)
    if used is None:
        return Unknown(span=span)
    if name == "coord":
        return Coord(span=span, axes=(used,), dtype="real", letter=used)
    return IndexValue(span=span, axes=(used,), dtype="integer", letter=used)


def _no_letter(ctx: Context, raw: RawCall, arg: Raw, env: Env) -> Expr:
    """The argument is no index: say so, and what would be written for a shifted one."""
    name = raw.name
    help = ctx.near(arg.name, ctx.dims.letters) if isinstance(arg, RawName) else ""
    form = affine(ctx, arg, env)
    if form is not None:
        letter, scale, offset = form.letter.name, form.scale, form.offset
        if name == "size":
            help = f"write size({letter}): it does not depend on the value of the index"
        elif name in ("index", "coord"):
            unit = f"*spacing({letter})" if name == "coord" else ""
            more = (
                f" {'+' if offset > 0 else '-'} {f'{abs(offset)}{unit}' if abs(offset) != 1 or not unit else unit[1:]}"
            )
            plain = scale == 1 or name == "index"
            factor = "" if scale == 1 else "-" if scale == -1 else f"{scale}*"
            help = f"write {factor}{name}({letter}){more if offset else ''}" if plain else help
    return ctx.error(
        "VS0216",
        f"'{name}' takes {'an index' if name != 'part' else 'the index of a dim of configurations'}",
        arg.span,
        env,
        label="not an index",
        help=help or STRUCTURAL[name],
    )


def _has_coordinates(ctx: Context, raw: RawCall, letter: str, env: Env) -> bool:
    dim = ctx.dims.letters[letter]
    found = ctx.dims.dims.get(dim)
    if found is None or dim in ctx.dims.ends:
        # What is wrong with its ends has been said already.
        return found is not None and found.low is not None
    size = found.size if isinstance(found.size, int) else "auto" if found.size is None else "..."
    dims = ", ".join(found.letters)
    boundary = f", boundary: {found.boundary}" if found.boundary != "error" else ""
    ctx.error(
        "VS0337",
        f"the dim '{dim}' has no coordinates",
        raw.span,
        env,
        label=f"'{raw.name}' needs them",
        help=f"write {dims}: {{size: {size}, from: 0, to: 1{boundary}}} under 'dims'"
        if found.configures is None
        else f"its positions are index({letter}), its digits part({letter}, {found.configures[1]})",
    )
    return False


def _part(ctx: Context, raw: RawCall, letter: str, env: Env) -> Expr:
    """`part(s, i)`: the letter ranges over configurations, the second argument is a subscript over their places."""
    dim = ctx.dims.letters[letter]
    found = ctx.dims.dims.get(dim)
    if found is None or found.configures is None:
        made = [x for d in ctx.dims.dims.values() if d.configures is not None for x in d.letters]
        return ctx.error(
            "VS0338",
            f"the dim '{dim}' is not one of configurations",
            raw.args[0].span,
            env,
            label="has no parts",
            help=f"those of configurations have the letters {', '.join(made)}"
            if made
            else f"declare one under 'dims', for example {letter}: {{configurations: c, of: i}}",
        )
    used = use_letter(ctx, letter, raw.args[0].span, env)
    places = found.configures[1]
    reader = Subscripting(ctx, env, f"part({letter}, {places})")
    place = reader.read(raw.args[1], places)
    if used is None or place is None:
        return Unknown(span=raw.span)
    axes = tuple(dict.fromkeys((used, *subscript_axes((place,)))))
    if isinstance(place, Gather) and isinstance(place.index, Unknown):
        return Unknown(span=raw.span, axes=axes, exact=place.index.exact)
    return Part(span=raw.span, axes=axes, dtype="integer", letter=used, place=place)
