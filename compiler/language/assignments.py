"""The mappings of `update` and `descend`: a param, or a stack of params, on the left, an expression on the right."""

from __future__ import annotations

from collections.abc import Iterable

from vspec.compiler.diagnostics.spans import Span
from vspec.compiler.diagnostics.suggest import did_you_mean
from vspec.compiler.language.context import Context, Env, Symbol, Unknown
from vspec.compiler.language.entries import entries
from vspec.compiler.language.expr import Element, Pointwise, Stack
from vspec.compiler.language.heads import Head, a, parse_head, plain_letters
from vspec.compiler.language.networks import movable
from vspec.compiler.language.parse import parse_expression
from vspec.compiler.language.spec import Assignment, Definition, Recurrence
from vspec.compiler.language.types import a_dtype, as_real
from vspec.compiler.source.document import Scalar, Value

Equations = Iterable[Definition | Recurrence]


def read_assignments(ctx: Context, node: Value, what: str, equations: Equations) -> tuple[Assignment, ...] | None:
    """The assignments of one mapping, in its order; None after a mistake. `what` is `update` or `descend`."""
    found: list[Assignment] = []
    taken: dict[str, Span] = {}
    sound = True
    for key, value in entries(node):
        assignment = _assignment(ctx, key, value, what, equations)
        if assignment is None:
            sound = False
            continue
        for param in assignment.params:
            if param in taken:
                ctx.error(
                    "VS0370",
                    f"'{param}' gets two {'values' if what == 'update' else 'directions'} at once",
                    key.span,
                    label="again here",
                    help=f"the first stands on line {taken[param].line}"
                    + ("; a list of mappings assigns one after the other" if what == "update" else ""),
                )
                sound = False
            taken.setdefault(param, key.span)
        found.append(assignment)
    return tuple(found) if sound and found else None


def _assignment(ctx: Context, key: Scalar, value: Value, what: str, equations: Equations) -> Assignment | None:
    head = parse_head(ctx, key)
    if head is None:
        return None
    symbol = ctx.symbols.get(head.name)
    stacked = stacked_params(ctx, head.name, equations) if symbol is not None and symbol.kind == "definition" else None
    if symbol is None or (symbol.kind != "param" and stacked is None):
        _no_param(ctx, head, symbol, what)
        return None
    letters = plain_letters(ctx, head)
    if letters is None or not _same_axes(ctx, head, symbol, letters):
        return None
    if not isinstance(value, Scalar):
        ctx.error("VS0326", f"the new value of '{head.name}' is an expression", value.span)
        return None
    raw = parse_expression(value, ctx.sink)
    if raw is None:
        return None
    noun = "the direction" if what == "descend" else "the new value"
    body = ctx.infer(raw, Env(subject=f"{noun} of '{head.name}'", scope={x: x for x in letters}))
    if isinstance(body, Unknown) or symbol.dtype is None:
        return None
    if body.dtype == "boolean" or (body.dtype == "complex" and symbol.dtype != "complex"):
        ctx.error(
            "VS0379",
            f"{noun} of '{head.name}' is {a_dtype(body.dtype)}, and '{head.name}' is {a_dtype(symbol.dtype)}",
            body.span,
            label=a_dtype(body.dtype),
            help="real(c) makes 0 or 1 of a condition" if body.dtype == "boolean" else "",
        )
        return None
    return Assignment(head.name, letters, as_real(body), head.span, stacked or ())


def _no_param(ctx: Context, head: Head, symbol: Symbol | None, what: str) -> None:
    params = [n for n in movable(ctx) if n not in ctx.functions]
    listed = f"params are {', '.join(params)}" if params else "the spec has no params"
    if symbol is None and head.name in ctx.opaque:
        return
    if symbol is None:
        ctx.error(
            "VS0369", f"unknown param '{head.name}'", head.name_span, help=did_you_mean(head.name, params) or listed
        )
        return
    helps = {
        "constant": "a constant stays as it is; make it a param to change it",
        "data": "data stay as they are; make it a param to change it",
    }
    move = "updated" if what == "update" else "moved"
    ctx.error(
        "VS0369",
        f"'{head.name}' is {a(symbol.kind)}; only params are {move}",
        head.name_span,
        label="not a param",
        help=helps.get(symbol.kind, listed),
    )


def _same_axes(ctx: Context, head: Head, symbol: Symbol, letters: tuple[str, ...]) -> bool:
    if len(letters) == len(symbol.dims) and all(
        ctx.dims.same(ctx.dims.letters[x], dim) for x, dim in zip(letters, symbol.dims)
    ):
        return True
    if len(letters) != len(symbol.dims):
        many = f"{len(symbol.dims)} {'index' if len(symbol.dims) == 1 else 'indices'}" if symbol.dims else "no index"
        message = f"'{head.name}' has {many}, but {len(letters) or 'none'} {'is' if len(letters) < 2 else 'are'} given"
    else:
        k = next(k for k, x in enumerate(letters) if not ctx.dims.same(ctx.dims.letters[x], symbol.dims[k]))
        message = f"the index '{letters[k]}' is of another dim than the axis of '{head.name}' on which it stands"
    ctx.error("VS0206", message, head.span, help=f"it is declared as {symbol.shown}")
    return False


def stacked_params(ctx: Context, name: str, equations: Equations) -> tuple[str, ...] | None:
    """The params whose entries a stack joins, stacks in it taken apart; None if it is no stack, or joins something else."""
    definition = next((e for e in equations if isinstance(e, Definition) and e.name == name), None)
    if definition is None or not isinstance(definition.body, Stack):
        return None
    found: list[str] = []
    for block in definition.body.blocks:
        part = block.body
        if not isinstance(part, Element) or isinstance(part, Pointwise):
            return None
        symbol = ctx.symbols.get(part.name)
        known = symbol is not None and symbol.kind == "param"
        inner = (part.name,) if known else stacked_params(ctx, part.name, equations)
        if inner is None:
            return None
        found.extend(inner)
    return tuple(found)
