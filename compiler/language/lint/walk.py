"""Walking a checked spec: its expressions with what they belong to, their parts, and whether two say the same."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from vspec.compiler.diagnostics.spans import Span
from vspec.compiler.language.expr import (
    Along,
    Coord,
    Delta,
    Derivative,
    Element,
    Expr,
    Gather,
    IndexValue,
    Linalg,
    Number,
    Pointwise,
    Reduction,
    SizeOf,
    Stop,
    Subscript,
)
from vspec.compiler.language.spec import Definition, Recurrence, Spec
from vspec.compiler.language.substitute import parts

KNOWN = (Number, Element, Pointwise, Reduction, Along, Derivative, Linalg, Delta, IndexValue, SizeOf, Coord, Stop)
"""The expressions whose meaning the rules know; about any other they keep silent."""


@dataclass(frozen=True, slots=True)
class Body:
    """An expression of the spec. `kind`: definition, init, step, objective, output, claim or param."""

    kind: str
    name: str
    letters: tuple[str, ...]
    expr: Expr
    span: Span
    hidden: bool = False


def equations(spec: Spec) -> Iterator[Body]:
    """Definitions and the starts and steps of recurrences, each after what it reads."""
    for equation in spec.equations:
        if isinstance(equation, Definition):
            yield _definition(equation)
        elif isinstance(equation, Recurrence):
            for state in equation.states:
                yield Body("init", state.name, state.letters, state.init, state.span)
            yield from (_definition(inner) for inner in equation.inner)
            for state in equation.states:
                yield Body("step", state.name, state.letters, state.step, state.span)


def _definition(d: Definition) -> Body:
    return Body("definition", d.name, d.letters, d.body, d.span, d.hidden)


def bodies(spec: Spec) -> Iterator[Body]:
    """Every expression of the spec."""
    for param in spec.params.values():
        yield Body("param", param.name, param.letters, param.init, param.span)
    yield from equations(spec)
    for objective in spec.objectives.values():
        yield Body("objective", objective.name, (), objective.body, objective.span)
    for output in spec.outputs.values():
        yield Body("output", output.name, output.letters, output.body, output.span)
    for claim in spec.claims.values():
        for side in (claim.that, claim.left, claim.right):
            if side is not None:
                yield Body("claim", claim.name, (), side, claim.span)


def nodes(expr: Expr) -> Iterator[Expr]:
    """The expression and everything below it, shared parts once."""
    seen: set[int] = set()
    stack = [expr]
    while stack:
        top = stack.pop()
        if id(top) not in seen:
            seen.add(id(top))
            yield top
            stack.extend(parts(top))


def bare(expr: Expr) -> Expr:
    """The expression without the conversions to real around it."""
    while isinstance(expr, Pointwise) and expr.op == "real":
        expr = expr.args[0]
    return expr


def alike(a: Expr, b: Expr) -> bool:
    """Whether two expressions say the same, wherever they stand; conversions to real count as nothing."""
    stack = [(a, b)]
    while stack:
        x, y = stack.pop()
        x, y = bare(x), bare(y)
        if x is y:
            continue
        if type(x) is not type(y) or not _same_head(x, y):
            return False
        left, right = tuple(parts(x)), tuple(parts(y))
        if len(left) != len(right):
            return False
        stack.extend(zip(left, right))
    return True


def _same_head(x: Expr, y: Expr) -> bool:
    if isinstance(x, Number) and isinstance(y, Number):
        return x.value == y.value
    if isinstance(x, Element) and isinstance(y, Element):
        return x.name == y.name and _same_subscripts(x.subscripts, y.subscripts)
    if isinstance(x, Pointwise) and isinstance(y, Pointwise):
        return x.op == y.op
    if isinstance(x, Reduction) and isinstance(y, Reduction):
        return (x.op, x.letters) == (y.op, y.letters)
    if isinstance(x, Along) and isinstance(y, Along):
        return (x.op, x.letter) == (y.op, y.letter)
    if isinstance(x, IndexValue | SizeOf | Coord) and isinstance(y, IndexValue | SizeOf | Coord):
        return x.letter == y.letter
    if isinstance(x, Linalg) and isinstance(y, Linalg):
        cores = [tuple(b.core for b in e.blocks) for e in (x, y)]
        return x.op == y.op and cores[0] == cores[1] and _same_subscripts(x.subscripts, y.subscripts)
    return isinstance(x, Derivative | Delta | Stop)


def _same_subscripts(a: tuple[Subscript, ...], b: tuple[Subscript, ...]) -> bool:
    """Whether subscripts agree but for what gathers look up, which is compared as a part."""
    if len(a) != len(b):
        return False
    return all(x == y or (isinstance(x, Gather) and isinstance(y, Gather)) for x, y in zip(a, b))
