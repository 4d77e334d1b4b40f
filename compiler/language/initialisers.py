"""Named initialisers of params: formulas of draws that a param's `init` has by name.

`glorot_uniform` alone takes the last index of the param for the outputs, the one before it for the inputs, and those before for
the window of a convolution, as `jax.nn.initializers` do. `glorot_uniform(i, h)` names inputs and outputs; the other indices then
number matrices that are independent of each other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from types import MappingProxyType

from vspec.compiler.diagnostics.spans import Span
from vspec.compiler.language.context import Context, Env, Symbol, Unknown
from vspec.compiler.language.expr import Affine, Block, Element, Expr, Linalg, Pointwise, Reduction
from vspec.compiler.language.raw import Raw, RawCall, RawName, RawNumber, RawOp
from vspec.compiler.language.spec import Definition

# The standard deviation of a standard normal variable that is cut off at -2 and 2.
CUT = 0.87962566103423978


@dataclass(frozen=True, slots=True)
class Initialiser:
    """`scale/fan` is the variance of each entry, where `fan` counts inputs, or averages inputs and outputs ('both')."""

    name: str
    scale: int
    fan: str
    law: str
    doc: str


INITIALISERS: Mapping[str, Initialiser] = MappingProxyType(
    {
        i.name: i
        for i in (
            Initialiser("glorot_uniform", 1, "both", "uniform", "Uniform with variance 2/(inputs + outputs)."),
            Initialiser("glorot_normal", 1, "both", "normal", "Normal up to two deviations, variance as before."),
            Initialiser("he_uniform", 2, "inputs", "uniform", "Uniform with variance 2/inputs."),
            Initialiser("he_normal", 2, "inputs", "normal", "Normal up to two deviations, variance 2/inputs."),
            Initialiser("lecun_uniform", 1, "inputs", "uniform", "Uniform with variance 1/inputs."),
            Initialiser("lecun_normal", 1, "inputs", "normal", "Normal up to two deviations, variance 1/inputs."),
            Initialiser("orthogonal", 0, "", "", "A random matrix with orthonormal columns, or rows if it is wide."),
        )
    }
)


def initialiser(ctx: Context, raw: Raw, symbol: Symbol, env: Env) -> Expr | None:
    """The formula of a named initialiser (`Unknown` after a mistake, VS0398); None where the init is an expression."""
    if not isinstance(raw, RawName | RawCall) or raw.name in ctx.symbols or raw.name in ctx.functions:
        return None
    found = INITIALISERS.get(raw.name)
    if found is None:
        return None
    axes = _axes(ctx, raw, symbol, env)
    if axes is None:
        return Unknown(span=raw.span)
    rows, columns, window = axes
    if found.name == "orthogonal":
        return _orthogonal(ctx, symbol, rows, columns, raw.span, env)
    return ctx.infer(entries_of(found.name, (*window, rows), (*window, columns), raw.span), env)


def _axes(ctx: Context, raw: RawName | RawCall, symbol: Symbol, env: Env) -> tuple[str, str, tuple[str, ...]] | None:
    """The indices of inputs and outputs and those of a window; None after a mistake."""
    letters = symbol.letters
    own = f"{raw.name}({letters[-2]}, {letters[-1]})" if len(letters) > 1 else f"{raw.name}(i, h)"
    if len(letters) < 2:
        ctx.error(
            "VS0398",
            f"'{raw.name}' is about inputs and outputs, but '{symbol.shown}' has {'one index' if letters else 'no index'}",
            raw.span,
            env,
            help="write a law, such as sample(normal(0, 0.1))",
        )
        return None
    if isinstance(raw, RawName):
        return letters[-2], letters[-1], (() if raw.name == "orthogonal" else letters[:-2])
    names = [a.name for a in raw.args if isinstance(a, RawName) and a.name in letters]
    plain = raw.bound is None and raw.subscripts is None and not raw.keywords
    if plain and len(raw.args) == 2 == len(set(names)):
        return names[0], names[1], ()
    ctx.error(
        "VS0398",
        f"'{raw.name}' takes the index of the inputs and that of the outputs, two indices of '{symbol.shown}'",
        raw.span,
        env,
        help=f"for example {own}",
    )
    return None


def entries_of(name: str, inputs: Sequence[str], outputs: Sequence[str], span: Span) -> Raw:
    """`deviation*sample(law)` in the language itself, for an initialiser that is a formula of independent draws.

    `inputs` and `outputs` are the indices whose values count as inputs and outputs; one that is a window is in both.
    """
    i = INITIALISERS[name]

    def number(value: float) -> Raw:
        return RawNumber(span=span, value=value)

    def call(name: str, *args: Raw) -> Raw:
        return RawCall(span=span, name=name, args=args, name_span=span)

    def op(name: str, *args: Raw) -> Raw:
        return RawOp(span=span, op=name, args=args)

    def count_of(letters: Sequence[str]) -> Raw:
        sizes = [call("size", RawName(span=span, name=x)) for x in letters] or [number(1)]
        return reduce(lambda left, right: op("mul", left, right), sizes)

    count = count_of(inputs)
    scale = i.scale
    if i.fan == "both":
        count, scale = op("add", count, count_of(outputs)), 2 * i.scale
    if i.law == "uniform":
        # The variance of a uniform variable from -1 to 1 is 1/3.
        deviation = call("sqrt", op("div", number(3 * scale), count))
        return op("mul", deviation, call("sample", call("uniform", number(-1), number(1))))
    deviation = op("div", call("sqrt", op("div", number(scale), count)), number(CUT))
    law = call("truncated_normal", number(0), number(1), number(-2), number(2))
    return op("mul", deviation, call("sample", law))


def normals(deviation: float, span: Span) -> Raw:
    """`sample(normal(0, deviation))` in the language itself."""
    parts = (RawNumber(span=span, value=0), RawNumber(span=span, value=deviation))
    law = RawCall(span=span, name="normal", args=parts, name_span=span)
    return RawCall(span=span, name="sample", args=(law,), name_span=span)


def _orthogonal(ctx: Context, symbol: Symbol, rows: str, columns: str, span: Span, env: Env) -> Expr:
    """The orthogonal factor U V' of a matrix of independent normals, G = U S V'. As the law of G is the same after any rotation,
    so is that of the factor: it is uniform."""
    dims = ctx.dims
    height, width = (dims.size(dims.dim_of(x)) for x in (rows, columns))
    wide = height is not None and width is not None and height < width
    i, j = (columns, rows) if wide else (rows, columns)
    place = replace(env, scope={x: x for x in symbol.letters})
    law = RawCall(span=span, name="normal", args=(), name_span=span)
    drawn = ctx.infer(RawCall(span=span, name="sample", args=(law,), name_span=span), place)
    if isinstance(drawn, Unknown):
        return drawn
    name = ctx.hidden_name("normals")
    ctx.declare_hidden(Definition(name, symbol.letters, drawn, "real", span, hidden=True))

    def factor(op: str, at: str, shared: str) -> Expr:
        core = tuple(dims.fresh(dims.dim_of(x)) for x in (i, j))
        inner = dict(zip((i, j), core))
        read = tuple(inner.get(x, x) for x in symbol.letters)
        body = Element(span=span, axes=read, dtype="real", name=name, subscripts=tuple(Affine(x) for x in read))
        batch = tuple(x for x in read if x not in core)
        subscripts = (Affine(at), Affine(shared))
        return Linalg(
            span=span,
            axes=(*batch, at, shared),
            dtype="real",
            op=op,
            blocks=(Block(body, core),),
            subscripts=subscripts,
        )

    shared = dims.fresh(dims.dim_of(j))
    left, right = factor("svd_left", i, shared), factor("svd_right", j, shared)
    axes = tuple(dict.fromkeys((*left.axes, *right.axes)))
    product = Pointwise(span=span, axes=axes, dtype="real", op="mul", args=(left, right))
    free = tuple(x for x in axes if x != shared)
    return Reduction(span=span, axes=free, dtype="real", op="sum", letters=(shared,), body=product)
