"""`theta[p]: stack(zeta, b, W[:, :])`: one axis over all entries of several quantities, which is as long as all together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from vspec.compiler.language.context import Context, Env, Symbol, Unknown
from vspec.compiler.language.dims import Slot
from vspec.compiler.language.expr import Block, Element, Expr, Number, Pointwise, SizeOf, Stack
from vspec.compiler.language.graph import components
from vspec.compiler.language.networks import weights_of
from vspec.compiler.language.raw import Raw, RawCall, RawElement, RawName, RawSlice
from vspec.compiler.language.sizes import settle_sizes
from vspec.compiler.language.spec import Definition, Dim
from vspec.compiler.language.types import as_real

if TYPE_CHECKING:
    from vspec.compiler.language.left import Equation

Sum = dict[tuple[str, ...], int]
"""A size as a sum of whole multiples of products of open sizes; () is the constant."""

_KINDS = ("param", "data", "constant", "definition", "state")


def is_stack(raw: Raw | None) -> bool:
    """Whether a right side stacks arrays."""
    return isinstance(raw, RawCall) and raw.name == "stack" and raw.bound is None


def settle_stacks(ctx: Context, equations: Mapping[str, Equation]) -> None:
    """Take the stacks apart and give their axes their sizes; one with a mistake keeps its name and loses its value."""
    stacks: dict[str, tuple[Symbol, ...]] = {}
    for name, equation in equations.items():
        if is_stack(equation.raw):
            assert isinstance(equation.raw, RawCall)
            parts = _parts(ctx, equation, equation.raw)
            if parts is None:
                equation.raw = None
            else:
                stacks[name] = parts
    if not stacks:
        return
    by_dim: dict[str, list[str]] = {}
    for name in stacks:
        by_dim.setdefault(ctx.symbols[name].dims[0], []).append(name)
    inner = {dim: {d for n in names for s in stacks[n] for d in s.dims} for dim, names in by_dim.items()}
    lengths: dict[str, Sum] = {}
    for group in components(list(by_dim), lambda dim: inner[dim]):
        dim = group[0]
        if len(group) > 1 or dim in inner[dim]:
            equation = equations[by_dim[dim][0]]
            ctx.error(
                "VS0345",
                f"'{equation.name}' would be longer than itself: what it stacks has the axis '{dim}' itself",
                equation.span,
                help="give the stack a dim of its own, with the size auto",
            )
            for name in (n for d in group for n in by_dim[d]):
                equations[name].raw = None
            continue
        for name in by_dim[dim]:
            if not _sized(ctx, equations[name], stacks[name], lengths):
                equations[name].raw = None
    settle_sizes(ctx)


def _parts(ctx: Context, equation: Equation, raw: RawCall) -> tuple[Symbol, ...] | None:
    """The symbols that a stack joins; None after a mistake."""
    name = equation.name
    if len(equation.letters) != 1:
        given = f"{len(equation.letters)} indices" if equation.letters else "no index"
        ctx.error(
            "VS0343",
            f"a stack is one axis, and '{name}' has {given}",
            equation.span,
            help=f"for example {name}[p], with p: auto under 'dims'",
        )
        return None
    if raw.subscripts is not None or raw.keywords or not raw.args:
        what = "takes no keywords" if raw.keywords else "has no subscripts" if raw.subscripts else "needs its parts"
        ctx.error("VS0343", f"a stack {what}", raw.span, help="for example stack(b, W[:, :])")
        return None
    found: list[Symbol] = []
    for arg in _opened(ctx, raw.args):
        symbol = _part(ctx, arg)
        if symbol is None:
            return None
        if symbol in found:
            ctx.error("VS0344", f"'{symbol.name}' is stacked twice", arg.span, label="again here")
            return None
        found.append(symbol)
    return tuple(found)


def _opened(ctx: Context, args: tuple[Raw, ...]) -> tuple[Raw, ...]:
    """The parts with each network, which has no axes of its own, in the form of its weights."""
    found: list[Raw] = []
    for arg in args:
        weights = weights_of(ctx, arg.name, arg.span) if isinstance(arg, RawName) else None
        for name in weights or ():
            rank = len(symbol.dims) if (symbol := ctx.symbols.get(name)) is not None else 0
            whole = (RawSlice(span=arg.span),) * rank
            here = RawElement(span=arg.span, name=name, subscripts=whole, name_span=arg.span)
            found.append(here if rank else RawName(span=arg.span, name=name))
        if weights is None:
            found.append(arg)
    return tuple(found)


def _part(ctx: Context, arg: Raw) -> Symbol | None:
    if not isinstance(arg, RawName | RawElement):
        ctx.error(
            "VS0344",
            "a stack joins whole named quantities",
            arg.span,
            label="not a name",
            help="give the expression a name under 'define' and stack that",
        )
        return None
    symbol = ctx.symbols.get(arg.name)
    if symbol is None:
        if arg.name not in ctx.opaque:
            ctx.error("VS0201", f"unknown name '{arg.name}'", arg.span, label="not declared", help=ctx.near(arg.name))
        return None
    if symbol.kind not in _KINDS:
        ctx.error(
            "VS0344",
            f"'{arg.name}' is an {symbol.kind} and cannot be stacked",
            arg.span,
            help="give the value a name under 'define' and use it in both places",
        )
        return None
    subscripts = arg.subscripts if isinstance(arg, RawElement) else ()
    if len(subscripts) != len(symbol.dims) or not all(isinstance(s, RawSlice) for s in subscripts):
        whole = f"{arg.name}[{', '.join(':' * len(symbol.dims))}]" if symbol.dims else arg.name
        ctx.error(
            "VS0344",
            "a stack joins whole arrays",
            arg.span,
            label="not all of it" if subscripts else "its axes are missing",
            help=f"all of '{arg.name}' is written {whole}",
        )
        return None
    return symbol


def _sized(ctx: Context, equation: Equation, parts: tuple[Symbol, ...], lengths: dict[str, Sum]) -> bool:
    """Whether the axis of a stack has the size of its parts; an `auto` one gets it."""
    name, letter = equation.name, equation.letters[0]
    dim = ctx.dims.dims[ctx.dims.letters[letter]]
    total: Sum = {}
    for part in parts:
        for product, count in _product(ctx, part.dims, lengths).items():
            total[product] = total.get(product, 0) + count
    if dim.size is None:
        ctx.dims.dims[dim.name] = Dim(dim.name, dim.letters, _expression(ctx, total, equation), dim.span)
        ctx.dims.linear.clear()
        lengths[dim.name] = total
        return True
    if lengths.get(dim.name, _product(ctx, (dim.name,), lengths)) == total:
        return True
    known = total.get((), 0) if set(total) <= {()} else None
    size = dim.size if isinstance(dim.size, int) else None
    if known is not None and size is not None:
        why = f"'{name}' stacks {known} entries, but '{letter}' has {size} values"
    else:
        why = f"nothing shows that what '{name}' stacks is as long as '{letter}'"
    ctx.error("VS0345", why, equation.span, help=f"write {dim.name}: auto, and the stack decides on the size")
    return False


def _product(ctx: Context, dims: tuple[str, ...], lengths: Mapping[str, Sum]) -> Sum:
    """How many entries an array over these dims has."""
    total: Sum = {(): 1}
    for dim in dims:
        linear = ctx.dims.sizes(dim)
        size = lengths.get(dim) or {(d,) if d else (): n for d, n in linear.items()}
        made: Sum = {}
        for left, m in total.items():
            for right, n in size.items():
                key = tuple(sorted((*left, *right)))
                made[key] = made.get(key, 0) + m * n
        total = made
    return total


def _expression(ctx: Context, total: Sum, equation: Equation) -> int | Expr:
    """The size of a dim: a number, or an expression of other sizes."""
    if set(total) <= {()}:
        return total.get((), 0)
    span = equation.span

    def binary(op: str, left: Expr, right: Expr) -> Expr:
        return Pointwise(span=span, dtype="integer", op=op, args=(left, right))

    terms: list[Expr] = []
    for product, count in sorted(total.items(), key=lambda item: (len(item[0]), item[0])):
        factors: list[Expr] = [
            SizeOf(span=span, dtype="integer", letter=ctx.dims.dims[dim].letters[0]) for dim in product
        ]
        if count != 1 or not factors:
            factors.insert(0, Number(span=span, dtype="integer", value=count))
        term = factors[0]
        for factor in factors[1:]:
            term = binary("mul", term, factor)
        terms.append(term)
    result = terms[0]
    for term in terms[1:]:
        result = binary("add", result, term)
    return result


def check_stack(ctx: Context, equation: Equation, env: Env) -> Definition | None:
    """The definition of a stack; numbers of different kinds become real."""
    raw = equation.raw
    assert isinstance(raw, RawCall)
    blocks: list[Block] = []
    for arg in _opened(ctx, raw.args):
        slots = tuple(Slot() for _ in arg.subscripts) if isinstance(arg, RawElement) else ()
        body = ctx.infer(arg, env.taking(slots))
        if isinstance(body, Unknown):
            return None
        blocks.append(Block(body, tuple(s.letter for s in slots if s.letter is not None)))
    dtypes = {b.body.dtype for b in blocks}
    dtype = dtypes.pop() if len(dtypes) == 1 else "real"
    if dtype == "real":
        blocks = [Block(as_real(b.body), b.core) for b in blocks]
    (letter,) = equation.letters
    ctx.symbols[equation.name].dtype = dtype
    fixed = next((b.body.args[0] for b in blocks if isinstance(b.body, Pointwise)), None)
    if isinstance(fixed, Element):
        ctx.fixed[equation.name] = fixed.name
    body = Stack(span=raw.span, axes=(letter,), dtype=dtype, letter=letter, blocks=tuple(blocks))
    return Definition(equation.name, equation.letters, body, dtype, equation.span)
