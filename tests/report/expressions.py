"""Small constructors for checked expressions, so that tests can write them by hand."""

from __future__ import annotations

from typing import Any

from vspec.compiler.diagnostics.spans import Span
from vspec.compiler.language.expr import Affine, Derivative, Element, Expr, Number, Pointwise, Reduction, Subscript

SPAN = Span("spec.yaml", 1, 1, 1, 2)


def n(value: int | float | bool | complex) -> Number:
    """A number."""
    dtype: Any = {bool: "boolean", int: "integer", float: "real", complex: "complex"}[type(value)]
    return Number(span=SPAN, value=value, dtype=dtype)


def v(name: str, *subscripts: str | Subscript) -> Element:
    """An element; a string is a plain letter."""
    full = tuple(Affine(s) if isinstance(s, str) else s for s in subscripts)
    return Element(
        span=SPAN,
        axes=tuple(dict.fromkeys(s.letter for s in full if isinstance(s, Affine))),
        name=name,
        subscripts=full,
    )


def p(op: str, *args: Expr | int | float) -> Pointwise:
    """A pointwise operation; numbers may be given bare."""
    full = tuple(a if isinstance(a, Expr) else n(a) for a in args)
    dtype: Any = "boolean" if op in {"lt", "le", "gt", "ge", "eq", "ne", "and", "or", "not"} else "real"
    return Pointwise(
        span=SPAN, axes=tuple(dict.fromkeys(x for a in full for x in a.axes)), op=op, args=full, dtype=dtype
    )


def r(op: str, letters: str, body: Expr) -> Reduction:
    """A reduction over one-letter indices."""
    return Reduction(
        span=SPAN, axes=tuple(x for x in body.axes if x not in letters), op=op, letters=tuple(letters), body=body
    )


def d(body: Expr, *wrt: Element) -> Derivative:
    """A derivative."""
    axes = tuple(dict.fromkeys(x for e in (body, *wrt) for x in e.axes))
    return Derivative(span=SPAN, axes=axes, body=body, wrt=wrt)
