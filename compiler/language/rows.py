"""Arrays that are given row by row: `f[s, 0]: ...`, `f[s, 1]: ...`, or entry by entry, `R[0, 0]: ...`, `R[0, 1]: ...`.

The axis of the whole numbers has as many values as there are rows, and any index over that many values may stand on it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING

from vspec.compiler.diagnostics.spans import Span
from vspec.compiler.language.context import Context, Env, Unknown
from vspec.compiler.language.dims import ROWS
from vspec.compiler.language.expr import Dtype, Expr, Rows
from vspec.compiler.language.heads import Head, declare, left_letter
from vspec.compiler.language.raw import Raw, RawElement, RawName, walk
from vspec.compiler.language.spec import Definition, Dim
from vspec.compiler.language.subscripts import whole
from vspec.compiler.language.types import as_real

if TYPE_CHECKING:
    from vspec.compiler.language.left import Equation


@dataclass(frozen=True, slots=True)
class Line:
    """One row: its letters ("" where a whole number stands), its whole numbers, its right side."""

    letters: tuple[str, ...]
    at: tuple[int, ...]
    raw: Raw | None
    span: Span


def read_rows(ctx: Context, name: str, group: Sequence[tuple[Head, Raw | None]]) -> list[Line] | None:
    """The rows of an array in the order of their numbers, and its name declared; None after a mistake."""
    first = group[0][0]
    symbol = declare(ctx, replace(first, subscripts=()), "definition")
    lines = [_line(ctx, head, raw) for head, raw in group]
    known = [line for line in lines if line is not None]
    whole = symbol is not None and len(known) == len(lines)
    whole = whole and all(_alike(ctx, name, known[0], line) for line in known[1:]) and _complete(ctx, name, known)
    if not whole:
        ctx.opaque.add(name)
        if symbol is not None:
            del ctx.symbols[name]
        return None
    return sorted(known, key=lambda line: line.at)


def _line(ctx: Context, head: Head, raw: Raw | None) -> Line | None:
    letters: list[str] = []
    at: list[int] = []
    for subscript in head.subscripts:
        number = whole(subscript)
        if number is not None:
            if number < 0:
                ctx.error(
                    "VS0340", f"'{head.name}' has a row {number}", subscript.span, label="rows are numbered from 0"
                )
                return None
            at.append(number)
            letters.append("")
            continue
        letter = left_letter(ctx, subscript, head, letters)
        if letter is None:
            return None
        letters.append(letter)
    return Line(tuple(letters), tuple(at), raw, head.span)


def _alike(ctx: Context, name: str, first: Line, line: Line) -> bool:
    """Whether a row has the indices of the first one, of the same dims; numbers at the same places."""
    dims = ctx.dims
    shape = [x == "" for x in line.letters]
    if shape == [x == "" for x in first.letters]:
        other = [(a, b) for a, b in zip(line.letters, first.letters) if a and not dims.same(*map(dims.dim_of, (a, b)))]
        if not other:
            return True
        a, b = other[0]
        why = f"this row of '{name}' has the index '{a}' where the first one has '{b}', of another dim"
    elif len(shape) != len(first.letters):
        many = f"{len(shape)} ind{'ex' if len(shape) == 1 else 'ices'}"
        why = f"this row of '{name}' has {many}, but the first one has {len(first.letters)}"
    else:
        why = f"this line of '{name}' has its whole numbers at other places than the first one"
    ctx.error(
        "VS0342",
        why,
        line.span,
        label="unlike the first row",
        help=f"the first row is {shown(name, first)}, line {first.span.line}",
    )
    return False


def shown(name: str, line: Line) -> str:
    """The left side of a row: `f[s, 2]`."""
    numbers = iter(line.at)
    return f"{name}[{', '.join(x or str(next(numbers)) for x in line.letters)}]"


def _complete(ctx: Context, name: str, lines: Sequence[Line]) -> bool:
    """Whether each row is there once."""
    seen: dict[tuple[int, ...], Line] = {}
    for line in lines:
        known = seen.setdefault(line.at, line)
        if known is not line:
            ctx.error(
                "VS0341",
                f"{shown(name, line)} is given twice",
                line.span,
                label="again here",
                help=f"the first stands on line {known.span.line}",
            )
            return False
    sizes = [max(numbers) + 1 for numbers in zip(*seen)]
    # In order, the first place that is free comes after no more places than there are rows.
    places = product(*(range(min(size, len(seen) + 1)) for size in sizes))
    missing = next((at for at in places if at not in seen), None)
    if missing is None:
        return True
    last = max(seen.values(), key=lambda line: line.at)
    end = shown(name, replace(last, at=tuple(n - 1 for n in sizes)))
    gap = shown(name, replace(last, at=missing))
    ctx.error(
        "VS0340",
        f"{gap} is missing",
        last.span,
        label=f"the numbers go from 0 up to {end}",
        help=f"add {gap}: ...",
    )
    return False


def choose_axes(ctx: Context, equation: Equation, right: Iterable[Raw | None]) -> None:
    """Give the axes of the whole numbers their letters: one of a dim of that size, or a letter of their own.

    The dim is the one whose letter the equations put there first, so that reading needs no window.
    """
    letters = list(equation.letters)
    read: dict[int, list[str]] = {}
    for raw in right:
        for node in walk(raw) if raw is not None else ():
            if isinstance(node, RawElement) and node.name == equation.name and len(node.subscripts) == len(letters):
                for k, s in enumerate(node.subscripts):
                    if isinstance(s, RawName) and s.name in ctx.dims.letters:
                        read.setdefault(k, []).append(ctx.dims.letters[s.name])
    places = [k for k, x in enumerate(letters) if x == ""]
    for number, k in enumerate(places):
        size = 1 + max(row.at[number] for row in equation.rows)
        letters[k] = _letter(ctx, size, read.get(k, ()), letters)
    equation.letters = tuple(letters)
    symbol = ctx.symbols[equation.name]
    symbol.letters = equation.letters
    symbol.dims = tuple(ctx.dims.letters[x] for x in letters)


def _letter(ctx: Context, size: int, dims: Iterable[str], taken: Sequence[str]) -> str:
    for name in dims:
        dim = ctx.dims.dims[name]
        if dim.size == size:
            free = [x for x in dim.letters if x not in taken]
            return free[0] if free else ctx.dims.fresh(name)
    return axis_of(ctx, size, taken)


def axis_of(ctx: Context, size: int, taken: Sequence[str]) -> str:
    """The letter of an axis that has a number of values and no dim of the spec, another one than those that are taken."""
    name = f"{ROWS}{size}"
    ctx.dims.dims[name] = Dim(name, (name,), size, Span("", 0, 0, 0, 0))
    ctx.dims.letters[name] = name
    return name if name not in taken else ctx.dims.fresh(name)


def check_rows(ctx: Context, equation: Equation, env: Env) -> Definition | None:
    """The definition of an array given row by row; numbers of different kinds become real, a condition 0 or 1."""
    found: list[Expr] = []
    for row in equation.rows:
        if row.raw is None:
            return None
        # A row may use other letters than the first one, of the same dims: it gets the first one's.
        scope = {own: letter for own, letter in zip(row.letters, equation.letters) if own}
        found.append(ctx.infer(row.raw, replace(env, scope=scope)))
    if any(isinstance(e, Unknown) for e in found):
        return None
    dtypes: set[Dtype] = {e.dtype for e in found}
    dtype: Dtype = dtypes.pop() if len(dtypes) == 1 else "real"
    if dtype == "real":
        found = [as_real(e) for e in found]
    by_place = {row.at: e for row, e in zip(equation.rows, found)}
    numbered = [x for x, own in zip(equation.letters, equation.rows[0].letters) if own == ""]
    body = _nested(equation, by_place, numbered, (), dtype)
    ctx.symbols[equation.name].dtype = dtype
    return Definition(equation.name, equation.letters, body, dtype, equation.span)


def _nested(
    equation: Equation, rows: dict[tuple[int, ...], Expr], letters: Sequence[str], done: tuple[int, ...], dtype: Dtype
) -> Expr:
    """The rows whose numbers start with `done`, one axis inside another."""
    depth = len(done)
    if depth == len(letters):
        return rows[done]
    count = 1 + max(at[depth] for at in rows)
    inner = tuple(_nested(equation, rows, letters, (*done, k), dtype) for k in range(count))
    free = {letters[depth], *(x for e in inner for x in e.axes)}
    axes = tuple(x for x in equation.letters if x in free)
    return Rows(span=equation.span, axes=axes, dtype=dtype, letter=letters[depth], rows=inner)
