"""A text of a table as a checked expression: its names stand for checked expressions, its letters for axes of theirs.

The text is checked at each use as the body of a function is. What is read more than once gets a name, so that nothing is
computed twice. Numbers are put in and worked out as far as a person would: `(x - 0)/1` is `x`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache

from vspec.compiler.diagnostics.diagnostic import Sink
from vspec.compiler.diagnostics.spans import Span
from vspec.compiler.language.context import Actual, Context, Env
from vspec.compiler.language.expr import Block, Expr, Number
from vspec.compiler.language.inline import hide, needs_axis, trivial
from vspec.compiler.language.parse import parse_expression
from vspec.compiler.language.raw import Raw, RawCall, RawElement, RawName, RawNumber, RawOp, walk
from vspec.compiler.language.substitute import letters_of
from vspec.compiler.language.tidy import tidied
from vspec.compiler.source.document import Scalar

_NOWHERE = Span("", 1, 1, 1, 2)


def instance(
    ctx: Context,
    text: str,
    let: Sequence[tuple[str, str]],
    values: Mapping[str, Block],
    sizes: Mapping[str, str],
    span: Span,
    env: Env,
    owner: str,
) -> Expr:
    """The checked expression of a text that has no letters of its own; see `instance_of`."""
    return instance_of(ctx, text, let, values, sizes, span, env, owner).body


def instance_of(
    ctx: Context,
    text: str,
    let: Sequence[tuple[str, str]],
    values: Mapping[str, Block],
    sizes: Mapping[str, str],
    span: Span,
    env: Env,
    owner: str,
    core: Sequence[str] = (),
) -> Block:
    """The checked expression of a text, with new letters for those of its letters that are free.

    Args:
        ctx: gets hidden definitions for what is read more than once.
        text: an expression over the names of `let` and of `values`.
        let: names of parts, each with a text over `values` and the names before it; `m[k, k_]` is one with axes.
        values: known expressions, real or integer.
        sizes: the dims of the letters of the texts; each may stand with underscores behind it, for one more letter.
        span: where the expression stands in the spec.
        env: the place there.
        owner: what the text belongs to, for names of hidden definitions.
        core: the letters of the text that are free in it.
    """
    letters = {name: ctx.dims.fresh(sizes[name.rstrip("_")]) for name in core}
    own = tuple(letters.values())
    formals = {name: _actual(ctx, block) for name, block in values.items()}
    bodies = [_part(ctx, name, part, sizes, letters, formals, span) for name, part in let]
    bodies.append(("", (), _placed(ctx, parsed(text), sizes, letters, formals, span)))
    return Block(_evaluated(ctx, bodies, formals, own, span, env, owner), own)


def placed_raw(ctx: Context, raw: Raw, values: Mapping[str, Block], span: Span, env: Env, owner: str) -> Expr:
    """The checked expression of a tree over known expressions, without letters of its own."""
    formals = {name: _actual(ctx, block) for name, block in values.items()}
    return _evaluated(ctx, [("", (), raw)], formals, (), span, env, owner)


def _evaluated(
    ctx: Context,
    bodies: Sequence[tuple[str, tuple[str, ...], Raw]],
    formals: dict[str, Actual],
    own: tuple[str, ...],
    span: Span,
    env: Env,
    owner: str,
) -> Expr:
    """The last of some trees, each with its name and its letters, of which each may read those before."""
    read = [n.name for _, _, body in bodies for n in walk(body) if isinstance(n, RawName | RawElement)]
    for name, actual in formals.items():
        if needs_axis(ctx, actual) or (read.count(name) > 1 and not trivial(actual.expr)):
            formals[name] = hide(ctx, actual, span, False, f"{owner}.{name}")
    taken = frozenset().union(*(a.letters for a in formals.values()))
    place = replace(
        env,
        scope={x: x for x in own},
        bound=frozenset(),
        open=False,
        callees={},
        slices=None,
        avoid=env.avoid | frozenset(env.scope.values()) | taken,
        site=env.site or span,
        function=owner if env.site is None else env.function,
        around=tuple(dict.fromkeys((*env.around, *env.scope.values()))),
        sliced=env.sliced or env.open or env.slices is not None,
        whole=None,
    )
    result: Expr | None = None
    for name, axes, body in bodies:
        scope = {x: x for x in (*own, *axes)}
        result = ctx.infer(body, replace(place, scope=scope, formals=dict(formals), body=(body,)))
        if name:
            formals[name] = _actual(ctx, Block(result, axes))
            if needs_axis(ctx, formals[name]) or (read.count(name) > 1 and not trivial(result)):
                formals[name] = hide(ctx, formals[name], span, False, f"{owner}.{name}")
            place = replace(place, avoid=place.avoid | formals[name].letters)
    assert result is not None
    return result


def _part(
    ctx: Context,
    head: str,
    text: str,
    sizes: Mapping[str, str],
    letters: Mapping[str, str],
    formals: Mapping[str, Actual],
    span: Span,
) -> tuple[str, tuple[str, ...], Raw]:
    """A part: its name, new letters for its axes, and its text at the place."""
    name, _, axes = head.partition("[")
    own = {x: ctx.dims.fresh(sizes[x.rstrip("_")]) for x in axes.rstrip("]").split(", ") if x}
    return name, tuple(own.values()), _placed(ctx, parsed(text), sizes, {**letters, **own}, formals, span)


def _actual(ctx: Context, block: Block) -> Actual:
    slots = tuple((letter, ctx.dims.dim_of(letter)) for letter in block.core)
    return Actual(len(block.core), block.body, slots, letters_of(block.body) | frozenset(block.core))


@cache
def parsed(text: str) -> Raw:
    """The tree of a text of a table."""
    sink = Sink()
    raw = parse_expression(Scalar(text, text, _NOWHERE), sink)
    if raw is None:
        raise ValueError(f"'{text}': {sink.diagnostics[0].message}")
    return raw


def _placed(
    ctx: Context,
    raw: Raw,
    sizes: Mapping[str, str],
    letters: dict[str, str],
    formals: Mapping[str, Actual],
    span: Span,
) -> Raw:
    """The tree at a place of the spec, with letters of the spec in it and numbers in the place of formals that are numbers."""

    def letter(name: str) -> str | None:
        dim = sizes.get(name.rstrip("_"))
        if dim is None or name in formals:
            return None
        if name not in letters:
            letters[name] = ctx.dims.fresh(dim)
        return letters[name]

    def placed(node: Raw) -> Raw:
        if isinstance(node, RawName):
            actual = formals.get(node.name)
            if actual is not None and isinstance(actual.expr, Number) and not actual.rank:
                return RawNumber(span=span, value=actual.expr.value)
            return RawName(span=span, name=letter(node.name) or node.name)
        if isinstance(node, RawNumber):
            return replace(node, span=span)
        if isinstance(node, RawElement):
            subscripts = tuple(map(placed, node.subscripts))
            return RawElement(span=span, name=node.name, subscripts=subscripts, name_span=span)
        if isinstance(node, RawOp):
            return tidied(RawOp(span=span, op=node.op, args=tuple(map(placed, node.args))))
        if isinstance(node, RawCall):
            call = replace(
                node,
                span=span,
                name_span=span,
                args=tuple(map(placed, node.args)),
                bound=None if node.bound is None else tuple(map(placed, node.bound)),
                subscripts=None if node.subscripts is None else tuple(map(placed, node.subscripts)),
            )
            return tidied(call)
        return replace(node, span=span)

    return placed(raw)
