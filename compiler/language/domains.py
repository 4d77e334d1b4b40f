"""`domain:` of a param: where it lives, as a name with the axes or the bounds that it takes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from vspec.compiler.diagnostics.suggest import did_you_mean
from vspec.compiler.diagnostics.words import domain_help
from vspec.compiler.language.context import Context, Env, Symbol, Unknown
from vspec.compiler.language.draws import refuse_draws
from vspec.compiler.language.expr import Expr, Number
from vspec.compiler.language.parse import parse_expression
from vspec.compiler.language.raw import Raw, RawCall, RawElement, RawName
from vspec.compiler.language.spec import Domain
from vspec.compiler.language.types import a_dtype, as_real
from vspec.compiler.source.document import Scalar, Value


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of domain: how it is written, what it takes (nothing, bounds, axes, a matrix) and what it is."""

    name: str
    takes: str
    example: str
    doc: str


DOMAINS: Mapping[str, Kind] = MappingProxyType(
    {
        k.name: k
        for k in (
            Kind("real", "nothing", "real", "All real numbers; the default."),
            Kind("positive", "nothing", "positive", "Numbers above 0."),
            Kind("box", "bounds", "box(lo, hi)", "Numbers from lo to hi, which may depend on the param's indices."),
            Kind("integer", "nothing", "integer", "Whole numbers."),
            Kind("simplex", "axes", "simplex[i]", "Numbers of at least 0 that sum to 1 over the indices."),
            Kind("unit", "axes", "unit[i]", "Vectors of length 1 over the indices."),
            Kind("psd", "matrix", "psd", "Symmetric matrices without a negative eigenvalue, over the last two axes."),
            Kind("orthogonal", "matrix", "orthogonal", "Matrices with orthonormal columns, over the last two axes."),
        )
    }
)

REAL = Domain("real")


def read_domain(ctx: Context, node: Value | None, symbol: Symbol) -> Domain | None:
    """The domain that a param declares; None after a mistake."""
    if node is None:
        return REAL
    if not isinstance(node, Scalar):
        ctx.error("VS0326", "a domain is a name with what it takes", node.span, help="for example box(0, 1)")
        return None
    text = node.text.strip()
    word = re.match(r"\w*", text)
    kind = DOMAINS.get(word.group() if word else "")
    if kind is None:
        listed = ", ".join(k.example for k in DOMAINS.values())
        help = domain_help(text) or did_you_mean(word.group() if word else "", DOMAINS) or f"domains are {listed}"
        ctx.error("VS0321", f"unknown domain '{text}'", node.span, help=help)
        return None
    raw = parse_expression(node, ctx.sink)
    if raw is None:
        return None
    if not isinstance(raw, RawName | RawElement | RawCall) or raw.name != kind.name:
        ctx.error("VS0321", "a domain is a name with what it takes", raw.span, help=f"write {kind.example}")
        return None
    if kind.takes == "bounds":
        return _box(ctx, raw, symbol, kind)
    if kind.takes == "axes":
        return _axes(ctx, raw, symbol, kind)
    if not isinstance(raw, RawName):
        ctx.error("VS0321", f"'{kind.name}' takes nothing", raw.span, help=f"write {kind.example}")
        return None
    return _matrix(ctx, raw, symbol, kind) if kind.takes == "matrix" else Domain(kind.name, span=raw.span)


def _box(ctx: Context, raw: Raw, symbol: Symbol, kind: Kind) -> Domain | None:
    if not isinstance(raw, RawCall) or len(raw.args) != 2 or raw.bound or raw.keywords or raw.subscripts is not None:
        ctx.error("VS0321", "'box' takes the least and the greatest value", raw.span, help="for example box(0, inf)")
        return None
    env = Env(
        subject=f"the domain of '{symbol.name}'",
        scope={x: x for x in symbol.letters},
        reads=frozenset({"constant", "data"}),
    )
    bounds: list[Expr] = []
    for arg in raw.args:
        found = ctx.infer(arg, env)
        if isinstance(found, Unknown) or not refuse_draws(ctx, found, "a bound of a box"):
            return None
        if found.dtype not in ("real", "integer"):
            ctx.error("VS0321", f"a bound is a number, and this is {a_dtype(found.dtype)}", found.span)
            return None
        bounds.append(as_real(found))
    lower, upper = bounds
    ends = number_of(lower), number_of(upper)
    if ends[0] is not None and ends[1] is not None and not ends[0] < ends[1]:
        ctx.error("VS0321", "the box is empty", raw.span, label="the first bound is below the second")
        return None
    return Domain("box", (), lower, upper, raw.span)


def _axes(ctx: Context, raw: Raw, symbol: Symbol, kind: Kind) -> Domain | None:
    names = [s.name for s in raw.subscripts if isinstance(s, RawName)] if isinstance(raw, RawElement) else []
    if not isinstance(raw, RawElement) or len(names) < len(raw.subscripts) or len(set(names)) < len(names):
        own = f"{kind.name}[{symbol.letters[-1]}]" if symbol.letters else kind.example
        ctx.error("VS0321", f"'{kind.name}' names the indices over which it holds", raw.span, help=f"for example {own}")
        return None
    for subscript, name in zip(raw.subscripts, names):
        if name not in symbol.letters:
            listed = f"its indices are {', '.join(symbol.letters)}" if symbol.letters else "it has no index"
            ctx.error(
                "VS0321",
                f"'{symbol.shown}' has no index '{name}'",
                subscript.span,
                help=did_you_mean(name, symbol.letters) or listed,
            )
            return None
    return Domain(kind.name, tuple(names), span=raw.span)


def _matrix(ctx: Context, raw: Raw, symbol: Symbol, kind: Kind) -> Domain | None:
    if len(symbol.letters) < 2:
        ctx.error(
            "VS0321",
            f"'{kind.name}' is a domain of matrices, and '{symbol.shown}' has "
            f"{'one axis' if symbol.letters else 'no axes'}",
            raw.span,
        )
        return None
    rows, columns = symbol.letters[-2:]
    if kind.name == "psd" and not ctx.dims.same(*symbol.dims[-2:]):
        ctx.error(
            "VS0321",
            f"a symmetric matrix is square, but '{rows}' and '{columns}' are of different dims",
            raw.span,
            help="use two letters of one dim: 'i, j: ...' under 'dims'",
        )
        return None
    sizes = [ctx.dims.size(d) for d in symbol.dims[-2:]]
    if kind.name == "orthogonal" and sizes[0] is not None and sizes[1] is not None and sizes[0] < sizes[1]:
        ctx.error(
            "VS0321",
            f"{sizes[1]} columns of {sizes[0]} entries cannot be orthonormal",
            raw.span,
            help=f"swap the axes: {symbol.name}[{columns}, {rows}]",
        )
        return None
    return Domain(kind.name, (rows, columns), span=raw.span)


def outside(domain: Domain, value: float) -> str:
    """Why a number is surely outside of a domain; '' if it is inside or that cannot be told."""
    if domain.kind == "positive" and value <= 0:
        return "the domain is positive"
    if domain.kind == "integer" and value != int(value):
        return "the domain is the whole numbers"
    if domain.kind == "simplex" and not 0 <= value <= 1:
        return "entries of a simplex lie between 0 and 1"
    if domain.kind == "unit" and abs(value) > 1:
        return "no entry of a vector of length 1 is larger than 1"
    if domain.kind == "box":
        lower, upper = number_of(domain.lower), number_of(domain.upper)
        if lower is not None and value < lower:
            return f"the domain starts at {lower}"
        if upper is not None and value > upper:
            return f"the domain ends at {upper}"
    return ""


def number_of(e: Expr | None) -> float | None:
    """The value of a literal real, or None."""
    return e.value if isinstance(e, Number) and not isinstance(e.value, complex) else None
