"""Outputs and claims. An output that another output or a claim reads becomes a definition, so that it is computed once."""

from __future__ import annotations

from typing import Any

from vspec.compiler.diagnostics.spans import Span
from vspec.compiler.diagnostics.suggest import did_you_mean
from vspec.compiler.language.context import Context, Env, Unknown
from vspec.compiler.language.entries import entries
from vspec.compiler.language.expr import Affine, Element, Expr, Pointwise
from vspec.compiler.language.heads import declare, parse_head
from vspec.compiler.language.parse import parse_expression
from vspec.compiler.language.raw import Raw, RawOp
from vspec.compiler.language.spec import Claim, Definition, Output
from vspec.compiler.language.types import a_dtype
from vspec.compiler.source.document import Mapping, Scalar, Sequence, Value, plain

_PLOTS = ("line", "bar", "images")
_PLANNED_PLOTS = ("path", "field", "scatter")


class Outputs:
    """Checks outputs, each when it is first needed."""

    def __init__(self, ctx: Context, node: Value | None) -> None:
        self.ctx = ctx
        self.found: dict[str, Output] = {}
        self.raw: dict[str, Raw | None] = {}
        self.plots: dict[str, Any] = {}
        self.busy: set[str] = set()
        for key, value in entries(node):
            head = parse_head(ctx, key)
            symbol = declare(ctx, head, "output", outputs=True) if head is not None else None
            if symbol is None:
                continue
            inner = value.get("is") if isinstance(value, Mapping) else value
            if isinstance(value, Mapping):
                every = value.key("every")
                if every is not None:
                    ctx.planned("VS0415", "histories of outputs ('every')", every.span)
                self.plots[symbol.name] = _plot(ctx, value.get("plot"), symbol.dims, symbol.name)
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
        self.found[name] = Output(name, symbol.letters, body, self.plots.get(name), symbol.span)
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
        self.found[name] = Output(name, output.letters, element, output.plot, output.span)


def _plot(ctx: Context, node: Value | None, dims: tuple[str, ...], name: str) -> Any:
    if node is None:
        return None
    if isinstance(node, Scalar):
        kind, size = node.text.strip(), None
    elif isinstance(node, Mapping) and len(node.entries) == 1:
        kind, size = node.entries[0][0].text, node.entries[0][1]
    else:
        ctx.error("VS0323", "a plot is named here", node.span, help="line, bar, or {images: [rows, columns]}")
        return None
    if kind in _PLANNED_PLOTS:
        ctx.planned("VS0413", f"the plot '{kind}'", node.span, help="there are line, bar and images")
        return None
    if kind not in _PLOTS:
        ctx.error(
            "VS0323",
            f"unknown plot '{kind}'",
            node.span,
            help=did_you_mean(kind, _PLOTS) or "there are line, bar and images",
        )
        return None
    if not dims:
        ctx.error(
            "VS0323", f"'{name}' is one number, which a plot '{kind}' cannot show", node.span, help="give it an index"
        )
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


# --- claims -----------------------------------------------------------------------------------------------------


def read_claims(ctx: Context, node: Value | None) -> dict[str, Claim]:
    """The claims with both sides of identities checked."""
    found: dict[str, Claim] = {}
    for key, value in entries(node):
        name = key.text.strip()
        if isinstance(value, Scalar):
            claim = _that(ctx, name, value, None, {}, key.span)
        elif isinstance(value, Mapping):
            claim = _mapping(ctx, name, value, key.span)
        else:
            ctx.error("VS0324", f"the claim '{name}' is a condition", value.span)
            claim = None
        if claim is not None:
            found[name] = claim
    return found


def _mapping(ctx: Context, name: str, node: Mapping, span: Span) -> Claim | None:
    for key, _ in node.entries:
        if key.text in ("seeds", "require", "by"):
            ctx.planned("VS0414", f"'{key.text}' of a claim", key.span)
    reported = node.get("reported")
    words = reported.text if isinstance(reported, Scalar) else None
    smoke = _smoke(ctx, node.get("smoke"))
    that, identity = node.get("that"), node.get("identity")
    if isinstance(that, Scalar) and identity is None:
        return _that(ctx, name, that, words, smoke, span)
    if isinstance(identity, Scalar) and that is None:
        return _identity(ctx, name, identity, node.get("tolerance"), words, smoke, span)
    ctx.error(
        "VS0324",
        f"the claim '{name}' has either 'that' or 'identity'",
        span,
        help="that: a condition; identity: a == b",
    )
    return None


def _smoke(ctx: Context, node: Value | None) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in entries(node):
        symbol = ctx.symbols.get(key.text)
        if key.text not in ctx.dims.letters and (symbol is None or symbol.kind != "constant"):
            if key.text in ("steps", "epochs", "seeds", "starts"):
                ctx.planned("VS0414", f"'{key.text}' at smoke size", key.span)
                continue
            constants = [n for n, s in ctx.symbols.items() if s.kind == "constant"]
            ctx.error(
                "VS0324",
                f"'{key.text}' is neither a constant nor a dim",
                key.span,
                help=did_you_mean(key.text, (*constants, *ctx.dims.letters))
                or "the smoke size sets constants and dims",
            )
            continue
        found[key.text] = plain(value)
    return found


def _that(
    ctx: Context, name: str, node: Scalar, reported: str | None, smoke: dict[str, Any], span: Span
) -> Claim | None:
    raw = parse_expression(node, ctx.sink)
    if raw is None:
        return None
    body = ctx.infer(raw, Env(subject=f"the claim '{name}'", results="first"))
    if isinstance(body, Unknown):
        return None
    if body.dtype != "boolean":
        ctx.error(
            "VS0324",
            f"the claim '{name}' is {a_dtype(body.dtype)}, not a condition",
            body.span,
            label="nothing is claimed about it",
            help="compare it with something, for example < 1e-6",
        )
        return None
    if not _reals(ctx, name, body):
        return None
    return Claim(name, _one_line(node), body, None, None, None, reported, smoke, span)


def _reals(ctx: Context, name: str, body: Expr) -> bool:
    """Whether what a claim compares are reals, so that the figures can be shown; records the mistake."""
    if not isinstance(body, Pointwise):
        return True
    if body.op == "and":
        return all(_reals(ctx, name, part) for part in body.args)
    found = next((a for a in body.args if a.dtype == "complex"), None)
    if body.op in ("eq", "ne") and found is not None:
        ctx.error(
            "VS0352",
            f"the claim '{name}' compares complex numbers",
            found.span,
            label="this is complex",
            help="bound the distance, abs(a - b) < 1e-9, or claim an identity with a tolerance",
        )
        return False
    return True


def _identity(
    ctx: Context,
    name: str,
    node: Scalar,
    tolerance: Value | None,
    reported: str | None,
    smoke: dict[str, Any],
    span: Span,
) -> Claim | None:
    raw = parse_expression(node, ctx.sink)
    if raw is None:
        return None
    if not isinstance(raw, RawOp) or raw.op != "eq":
        ctx.error(
            "VS0324",
            f"the identity '{name}' needs two sides with one == between them",
            raw.span,
            help="an inequality is a claim by itself, without 'identity'",
        )
        return None
    bound = tolerance.value if isinstance(tolerance, Scalar) else None
    if isinstance(bound, bool) or not isinstance(bound, int | float) or bound < 0:
        at = tolerance.span if tolerance is not None else span
        ctx.error(
            "VS0325",
            f"the identity '{name}' needs a tolerance",
            at,
            label="the largest difference allowed",
            help="for example tolerance: 1e-8",
        )
        return None
    env = Env(subject=f"the claim '{name}'", open=True, results="first")
    sides: list[Expr] = [ctx.infer(side, env) for side in raw.args]
    if any(isinstance(s, Unknown) for s in sides):
        return None
    return Claim(name, _one_line(node), None, sides[0], sides[1], float(bound), reported, smoke, span)


def _one_line(node: Scalar) -> str:
    return " ".join(node.text.split())
