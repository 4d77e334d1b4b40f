"""Outputs. One that another output or a claim reads becomes a definition, so that it is computed once."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from vspec.compiler.diagnostics.suggest import did_you_mean
from vspec.compiler.language.context import Context, Env, Unknown
from vspec.compiler.language.entries import entries
from vspec.compiler.language.expr import Affine, Element
from vspec.compiler.language.heads import declare, parse_head
from vspec.compiler.language.parse import parse_expression
from vspec.compiler.language.raw import Raw
from vspec.compiler.language.spec import Definition, Output
from vspec.compiler.source.document import Mapping, Scalar, Sequence, Value

_PLOTS = ("line", "bar", "images", "path", "field", "scatter")
# Plots of which the last index runs over coordinates.
_COORDINATES = ("path", "scatter")
_SIMPLE = "line, bar, path, field, scatter"


class Outputs:
    """Checks outputs, each when it is first needed."""

    def __init__(self, ctx: Context, node: Value | None) -> None:
        self.ctx = ctx
        self.found: dict[str, Output] = {}
        self.raw: dict[str, Raw | None] = {}
        self.plots: dict[str, Any] = {}
        self.every: dict[str, int | str | None] = {}
        self.busy: set[str] = set()
        for key, value in entries(node):
            head = parse_head(ctx, key)
            symbol = declare(ctx, head, "output", outputs=True) if head is not None else None
            if symbol is None:
                continue
            inner = value.get("is") if isinstance(value, Mapping) else value
            if isinstance(value, Mapping):
                self.every[symbol.name] = _every(ctx, value.get("every"))
                history = self.every[symbol.name] is not None
                self.plots[symbol.name] = _plot(ctx, value.get("plot"), symbol.dims, symbol.name, history)
            if isinstance(inner, Scalar):
                self.raw[symbol.name] = parse_expression(inner, ctx.sink)
            else:
                at = inner.span if inner is not None else value.span
                ctx.error(
                    "VS0326",
                    f"the output '{symbol.name}' is an expression",
                    at,
                    help="write it directly, or under 'is:'",
                )
        ctx.on_output = self.lift

    def read_all(self) -> dict[str, Output]:
        """Every output, checked."""
        for name in list(self.raw):
            self.check(name)
        return {name: self.found[name] for name in self.raw if name in self.found}

    def check(self, name: str) -> Output | None:
        """One output, or None after a mistake."""
        if name in self.found:
            return self.found[name]
        raw, self.raw[name] = self.raw.get(name), None
        if raw is None:
            return None
        ctx, symbol = self.ctx, self.ctx.outputs[name]
        self.busy.add(name)
        env = Env(subject=f"'{name}'", scope={x: x for x in symbol.letters}, results="last")
        body = ctx.infer(raw, env)
        self.busy.discard(name)
        if isinstance(body, Unknown):
            return None
        symbol.dtype = body.dtype
        if body.dtype == "complex" and self.plots.get(name) is not None:
            ctx.error(
                "VS0352",
                f"'{name}' is complex, and a plot shows reals",
                body.span,
                label="this is complex",
                help="plot abs(...), arg(...), re(...) or im(...) of it",
            )
        self.found[name] = Output(name, symbol.letters, body, self.plots.get(name), symbol.span, self.every.get(name))
        return self.found[name]

    def lift(self, name: str) -> None:
        """Make an output readable under a name of its own."""
        ctx = self.ctx
        if name in self.busy:
            ctx.error(
                "VS0223", f"the output '{name}' is defined by itself", ctx.outputs[name].span, label="reads itself"
            )
            return
        output = self.check(name)
        if output is None:
            return
        own = tuple(Affine(x) for x in output.letters)
        if isinstance(output.body, Element) and output.body.name == name and output.body.subscripts == own:
            ctx.lifted[name] = name
            return
        free = name not in ctx.symbols and name not in ctx.functions
        target = name if free else f"_out_{name}"
        ctx.lifted[name] = target
        ctx.declare_hidden(Definition(target, output.letters, output.body, output.body.dtype, output.span, hidden=True))
        ctx.symbols[target].letters = output.letters
        element = Element(span=output.span, axes=output.letters, dtype=output.body.dtype, name=target, subscripts=own)
        self.found[name] = replace(output, body=element)


def _every(ctx: Context, node: Value | None) -> int | str | None:
    """Every how many steps a history has a value, or 'epoch'."""
    if node is None:
        return None
    value = node.value if isinstance(node, Scalar) else None
    if value == "epoch" or (isinstance(value, int) and not isinstance(value, bool) and value >= 1):
        return value
    ctx.error(
        "VS0326", "'every' is a whole number of steps, at least 1, or 'epoch'", node.span, help="for example every: 10"
    )
    return None


def _plot(ctx: Context, node: Value | None, dims: tuple[str, ...], name: str, history: bool = False) -> Any:
    if node is None:
        return None
    if isinstance(node, Scalar):
        kind, size = node.text.strip(), None
    elif isinstance(node, Mapping) and len(node.entries) == 1:
        kind, size = node.entries[0][0].text, node.entries[0][1]
    else:
        ctx.error("VS0323", "a plot is named here", node.span, help=f"{_SIMPLE}, or {{images: [rows, columns]}}")
        return None
    if kind not in _PLOTS:
        ctx.error(
            "VS0323",
            f"unknown plot '{kind}'",
            node.span,
            help=did_you_mean(kind, _PLOTS) or f"there are {_SIMPLE} and images",
        )
        return None
    if kind == "bar" and history:
        ctx.error(
            "VS0323", f"the history '{name}' has no bars", node.span, help="a history is shown as a line over its steps"
        )
        return None
    if not dims and not (history and kind == "line"):
        ctx.error(
            "VS0323", f"'{name}' is one number, which a plot '{kind}' cannot show", node.span, help="give it an index"
        )
        return None
    if kind in (*_COORDINATES, "field") and not _fits(ctx, kind, dims, name, history, node):
        return None
    if kind != "images":
        return kind
    numbers = [i.value for i in size if isinstance(i, Scalar)] if isinstance(size, Sequence) else []
    whole = [n for n in numbers if isinstance(n, int) and not isinstance(n, bool) and n > 0]
    if len(whole) != 2 or len(numbers) != 2:
        ctx.error("VS0323", "'images' has rows and columns", node.span, help="for example {images: [8, 8]}")
        return None
    total = ctx.dims.size(dims[-1])
    if total is not None and whole[0] * whole[1] != total:
        ctx.error(
            "VS0323",
            f"images of {whole[0]} by {whole[1]} have {whole[0] * whole[1]} pixels, but the last axis of '{name}' has {total}",
            node.span,
        )
        return None
    return ("images", whole[0], whole[1])


def _fits(ctx: Context, kind: str, dims: tuple[str, ...], name: str, history: bool, node: Value) -> bool:
    """Whether an output has the indices that a path, a field or points need; VS0323 if not."""
    if kind == "field":
        if len(dims) < 2:
            what = "a field runs across and up, over the last two indices"
            ctx.error(
                "VS0323",
                f"'{name}' has one index, and {what}",
                node.span,
                help="plot: line shows values over one index",
            )
        return len(dims) >= 2
    last = ctx.dims.size(dims[-1])
    if last is not None and last not in (2, 3):
        more = "or 3 in space" if kind == "path" else "or 3, of which the last is a colour"
        ctx.error(
            "VS0323",
            f"'{name}' has {last} values along its last index; that of a {kind} runs over 2 coordinates, {more}",
            node.span,
            help="give it an index over the coordinates, or use plot: line",
        )
        return False
    if len(dims) + history < 2:
        what = "its points need one before the last, which runs over coordinates"
        ctx.error(
            "VS0323", f"'{name}' has one index; {what}", node.span, help="with every: 10 it has a point for each step"
        )
        return False
    return True
