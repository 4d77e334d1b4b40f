"""Putting subscripts in the place of letters, in a checked expression."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from vspec.compiler.language.expr import (
    Affine,
    Along,
    At,
    Block,
    Delta,
    Derivative,
    Element,
    Expectation,
    Expr,
    Gather,
    Implicit,
    IndexValue,
    Linalg,
    Number,
    Part,
    Pointwise,
    Reduction,
    Rows,
    Sample,
    SizeOf,
    Stack,
    Stop,
    Subscript,
)
from vspec.compiler.language.types import union


def letters_of(expr: Expr) -> frozenset[str]:
    """Every letter in the expression, bound ones too."""
    found: set[str] = set()
    for top in nodes(expr):
        found.update(top.axes)
        if isinstance(top, Reduction):
            found.update(top.letters)
        elif isinstance(top, SizeOf):
            found.add(top.letter)
        elif isinstance(top, Linalg | Stack | Sample):
            for block in top.blocks:
                found.update(block.core)
        elif isinstance(top, Implicit):
            for unknown in top.problem.sought:
                found.update(unknown.letters)
    return frozenset(found)


def parts(expr: Expr) -> Iterator[Expr]:
    """The direct parts of a checked expression, index expressions included."""
    if isinstance(expr, Pointwise):
        yield from expr.args
    elif isinstance(expr, Element):
        yield from (s.index for s in expr.subscripts if isinstance(s, Gather))
    elif isinstance(expr, Reduction):
        yield expr.body
        if expr.level is not None:
            yield expr.level
    elif isinstance(expr, Along | Stop):
        yield expr.body
    elif isinstance(expr, Derivative):
        yield expr.body
        yield from expr.wrt
    elif isinstance(expr, Expectation):
        yield from expr.bodies
        yield from expr.reads
        yield from expr.way.over or ()
        yield from expr.way.state
        if expr.way.rate is not None:
            yield expr.way.rate
    elif isinstance(expr, Rows):
        yield from expr.rows
    elif isinstance(expr, Stack | Sample):
        yield from (block.body for block in expr.blocks)
    elif isinstance(expr, Linalg):
        yield from (block.body for block in expr.blocks)
        yield from (s.index for s in expr.subscripts if isinstance(s, Gather))
    elif isinstance(expr, Delta):
        yield expr.left
        yield expr.right
    elif isinstance(expr, Part) and isinstance(expr.place, Gather):
        yield expr.place.index
    elif isinstance(expr, Implicit):
        problem = expr.problem
        yield from (unknown.start for unknown in problem.sought)
        yield from (definition.body for definition in problem.inner)
        yield from problem.bodies
        for relation in problem.relations:
            yield relation.left
            yield relation.right


def nodes(expr: Expr) -> Iterator[Expr]:
    """The expression and everything below it, from left to right, shared parts once."""
    seen: set[int] = set()
    stack = [expr]
    while stack:
        top = stack.pop()
        if id(top) not in seen:
            seen.add(id(top))
            yield top
            # Most are one of these.
            if isinstance(top, Pointwise):
                stack.extend(reversed(top.args))
            elif isinstance(top, Element):
                stack.extend(s.index for s in reversed(top.subscripts) if isinstance(s, Gather))
            elif not isinstance(top, Number | IndexValue | SizeOf):
                stack.extend(reversed(list(parts(top))))


def elements(expr: Expr) -> Iterator[Element]:
    """Every element that the expression reads."""
    return (e for e in nodes(expr) if isinstance(e, Element))


def subscript_axes(subscripts: tuple[Subscript, ...]) -> tuple[str, ...]:
    """The free letters of subscripts, in order of first appearance."""
    found: dict[str, None] = {}
    for s in subscripts:
        if isinstance(s, Affine):
            found[s.letter] = None
        elif isinstance(s, Gather):
            found.update(dict.fromkeys(s.index.axes))
    return tuple(found)


def substitute(expr: Expr, by: Mapping[str, Subscript]) -> Expr:
    """The expression with letters replaced by subscripts. No letter is one of an operation along an axis, and none of the
    subscripts' own letters is bound in the expression."""
    if not by or by.keys().isdisjoint(expr.axes):
        return expr
    if isinstance(expr, Element):
        subscripts = tuple(_compose(s, by) for s in expr.subscripts)
        return replace(expr, subscripts=subscripts, axes=subscript_axes(subscripts))
    if isinstance(expr, IndexValue):
        return _value(expr, by[expr.letter])
    if isinstance(expr, Pointwise):
        args = tuple(substitute(a, by) for a in expr.args)
        return replace(expr, args=args, axes=union(args))
    if isinstance(expr, Reduction):
        body = substitute(expr.body, by)
        level = substitute(expr.level, by) if expr.level is not None else None
        return replace(expr, body=body, level=level, axes=reduced_axes(body, expr.letters, level))
    if isinstance(expr, Along | Stop):
        body = substitute(expr.body, by)
        return replace(expr, body=body, axes=body.axes)
    if isinstance(expr, Derivative):
        body = substitute(expr.body, by)
        wrt = tuple(w for w in (substitute(w, by) for w in expr.wrt) if isinstance(w, Element))
        return replace(expr, body=body, wrt=wrt, axes=union((body, *wrt)))
    if isinstance(expr, Expectation):
        bodies = tuple(substitute(x, by) for x in expr.bodies)
        state = tuple(x for x in (substitute(x, by) for x in expr.way.state) if isinstance(x, Element))
        return replace(expr, bodies=bodies, axes=union(bodies), way=replace(expr.way, state=state))
    if isinstance(expr, Delta):
        left, right = substitute(expr.left, by), substitute(expr.right, by)
        return replace(expr, left=left, right=right, axes=union((left, right)))
    if isinstance(expr, Rows | Stack | Implicit | Sample):
        # The first three are whole right sides, and a draw does not stand in a slice: only what stands in one is substituted in.
        raise TypeError(f"letters of a {type(expr).__name__} are never substituted")
    if isinstance(expr, Part):
        place = _compose(expr.place, by)
        return replace(expr, place=place, axes=tuple(dict.fromkeys((expr.letter, *subscript_axes((place,))))))
    if isinstance(expr, Linalg):
        blocks = tuple(Block(substitute(b.body, by), b.core) for b in expr.blocks)
        subscripts = tuple(_compose(s, by) for s in expr.subscripts)
        return replace(expr, blocks=blocks, subscripts=subscripts, axes=linalg_axes(blocks, subscripts))
    return expr


class NotComposed(Exception):  # noqa: N818 (says what is wrong, as a word in a message)
    """A subscript that cannot stand in the place of a letter."""


def reduced_axes(body: Expr, letters: tuple[str, ...], level: Expr | None = None) -> tuple[str, ...]:
    """The free letters of a reduction."""
    free = tuple(x for x in body.axes if x not in letters)
    return free if level is None else tuple(dict.fromkeys((*free, *level.axes)))


def linalg_axes(blocks: tuple[Block, ...], subscripts: tuple[Subscript, ...]) -> tuple[str, ...]:
    """The free letters of a function of whole axes: the batch letters, then those of its subscripts."""
    batch = [x for b in blocks for x in b.body.axes if x not in b.core]
    return tuple(dict.fromkeys((*batch, *subscript_axes(subscripts))))


def _compose(s: Subscript, by: Mapping[str, Subscript]) -> Subscript:
    if isinstance(s, Gather):
        return Gather(substitute(s.index, by))
    if not isinstance(s, Affine) or s.letter not in by:
        return s
    new = by[s.letter]
    if s.plain:
        return new
    if isinstance(new, Affine) and not new.mode:
        sizes = dict(s.sizes)
        for dim, k in new.sizes:
            sizes[dim] = sizes.get(dim, 0) + s.scale * k
        kept = tuple((dim, k) for dim, k in sizes.items() if k)
        return Affine(new.letter, s.scale * new.scale, s.scale * new.offset + s.offset, kept, s.mode)
    if s.mode or isinstance(new, Affine):
        raise NotComposed("what it is made of reads beyond the ends there")
    if s.sizes:
        raise NotComposed("what it is made of counts from a size that is open")
    if isinstance(new, At):
        if new.position < 0:
            raise NotComposed("a place that counts from the end is known where the size is")
        return At(s.scale * new.position + s.offset)
    scaled = new.index if s.scale == 1 else _integer("mul", _whole(new.index, s.scale), new.index)
    return Gather(_integer("add", scaled, _whole(new.index, s.offset)) if s.offset else scaled)


def _whole(like: Expr, value: int) -> Expr:
    return Number(span=like.span, dtype="integer", value=value)


def _value(expr: IndexValue, new: Subscript) -> Expr:
    """The subscript as an integer."""
    if isinstance(new, Gather):
        return new.index
    if isinstance(new, At):
        if new.position < 0:
            raise NotComposed("a place that counts from the end is known where the size is")
        return Number(span=expr.span, dtype="integer", value=new.position)
    result: Expr = replace(expr, letter=new.letter, axes=(new.letter,))
    if new.scale != 1:
        result = _integer("mul", Number(span=expr.span, dtype="integer", value=new.scale), result)
    if new.offset:
        result = _integer("add", result, Number(span=expr.span, dtype="integer", value=new.offset))
    return result


def _integer(op: str, left: Expr, right: Expr) -> Expr:
    return Pointwise(span=left.span, axes=union((left, right)), dtype="integer", op=op, args=(left, right))
