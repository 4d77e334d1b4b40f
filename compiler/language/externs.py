"""Functions from outside of a spec: `sim(x[:]) -> [k]: {extern: package.module:function}`.

The language knows what a spec says of them, the axes of their arguments and of their result, and what whoever was allowed to look
found there: whether they have weights. They are called like networks: their weights are params, and the first call
gives their arguments sizes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from vspec.compiler.diagnostics.spans import Span
from vspec.compiler.language.architectures import Architecture
from vspec.compiler.language.context import Context, Env, Function, Unknown
from vspec.compiler.language.dims import Slot
from vspec.compiler.language.expr import Affine, Block, Element, Expr, Foreign
from vspec.compiler.language.layers import Draft
from vspec.compiler.language.networks import Network, Weight
from vspec.compiler.language.raw import RawCall
from vspec.compiler.language.spec import Extern
from vspec.compiler.language.subscripts import Subscripting
from vspec.compiler.language.substitute import linalg_axes
from vspec.compiler.language.types import as_real
from vspec.compiler.source.document import Mapping, Scalar, Value

EXTERN = Architecture("extern", (), "A function from outside of the spec.")

CALLED = "extern "
"""What the name of a call of such a function starts with; no expression has a name with a space in it."""

_PLACE = re.compile(r"([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*):([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)")


@dataclass(frozen=True, slots=True)
class Found:
    """What stands at a place: `kind` is function, or module (of Equinox, made with a key); its weights by their paths."""

    kind: str = "function"
    leaves: tuple[tuple[str, tuple[int, ...]], ...] = ()


def place_of(text: str) -> tuple[str, str] | None:
    """Module and attribute of a place such as `package.module:name`; None if the text is none."""
    found = _PLACE.fullmatch(text.strip())
    return (found.group(1), found.group(2)) if found else None


def extern_of(value: Value | None) -> Scalar | None:
    """The place in the body of a function from outside; None for any other body."""
    place = value.get("extern") if isinstance(value, Mapping) else None
    return place if isinstance(place, Scalar) else None


def build_extern(ctx: Context, function: Function, place: Scalar) -> bool:
    """Give a function from outside its weights and the body that calls it; whether it is right (VS0670, VS0676)."""
    where = place_of(place.text)
    if where is None:
        ctx.error(
            "VS0676",
            f"'{place.text}' is no place of a function",
            place.span,
            help="write the module and the name in it: package.module:function",
        )
        return False
    if any(f.takes is not None for f in function.formals):
        ctx.error("VS0676", f"'{function.name}' comes from outside and cannot take a function", function.span)
        return False
    found = ctx.externs.get(place.text.strip()) if ctx.externs is not None else None
    if found is None:
        ctx.error(
            "VS0670",
            f"'{function.name}' is code from outside of the spec, which runs only where that is allowed",
            place.span,
            label=f"imports {where[0]}",
            help="if you trust that module, say --allow-extern",
        )
        return False
    span = function.span
    network = Network(function.name, EXTERN, {}, function.formals, function.results, span)
    function.network = network
    draft = Draft(ctx, network)
    places: list[tuple[str, ...]] = []
    for formal in function.formals:
        labels = [f"{formal.name}{k + 1}" if formal.rank > 1 else formal.name for k in range(formal.rank)]
        places.append(tuple(draft.dim(label, None)[0] for label in labels))
    network.places = tuple(places)
    ctx.sources[function.name] = Extern(function.name, *where, found.kind, found.leaves, len(function.formals), span)
    for n, (path, shape) in enumerate(found.leaves):
        letters = tuple(draft.dim(f"{label(path)}_{k}", size)[0] for k, size in enumerate(shape))
        draft.enter(Weight(draft.own(label(path)), "", leaf=n), letters)
    items = tuple(draft.t.name(x) for x in function.results)
    name = CALLED + function.name
    whole = tuple(map(draft.t.whole, function.formals))
    function.body = RawCall(span=span, name=name, args=whole, name_span=span, subscripts=items or None)
    return True


def label(path: str) -> str:
    """The name of a weight: `layers[0].weight` is `layers.0.weight`."""
    return re.sub(r"\W+", ".", path).strip(".")


def foreign(ctx: Context, raw: RawCall, env: Env) -> Expr:
    """The call in the body of a function from outside."""
    source = ctx.sources[raw.name.removeprefix(CALLED)]
    function = ctx.functions[source.name]
    assert function.network is not None
    ranks = [f.rank for f in function.formals]
    blocks: list[Block] = []
    for arg, rank in zip(raw.args, ranks):
        slots = tuple(Slot() for _ in range(rank))
        body = ctx.infer(arg, env.taking(slots) if rank else env)
        if isinstance(body, Unknown):
            return Unknown(span=raw.span)
        if body.dtype == "complex":
            return ctx.error("VS0676", f"'{source.name}' takes real numbers, and this is complex", arg.span, env)
        blocks.append(Block(as_real(body), tuple(s.letter for s in slots if s.letter is not None)))
    for symbol in function.network.symbols:
        letters = tuple(ctx.dims.fresh(d) for d in symbol.dims)
        blocks.append(Block(_whole(symbol.name, letters, raw.span), letters))
    reader = Subscripting(ctx, env, f"the result of '{source.name}'")
    found = [reader.read(s, ctx.dims.dim_of(x)) for s, x in zip(raw.subscripts or (), function.results)]
    if any(s is None for s in found):
        return Unknown(span=raw.span)
    kept = tuple(s for s in found if s is not None)
    axes = linalg_axes(tuple(blocks), kept)
    return Foreign(
        span=raw.span,
        axes=axes,
        dtype="real",
        op="extern",
        blocks=tuple(blocks),
        subscripts=kept,
        source=source,
        results=function.results,
    )


def _whole(name: str, letters: tuple[str, ...], span: Span) -> Expr:
    return Element(span=span, axes=letters, dtype="real", name=name, subscripts=tuple(map(Affine, letters)))
