"""Exact minima of blocks of params, the others given: what block coordinate descent does in a step.

A block of which the objective is a quadratic form is solved by a quotient, one small system per element, or a Cholesky factor;
one whose optimality condition is separate for each element by the inverse of a function of one variable; one with both parts,
or with bounds, element by element in turn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import sympy as sp

from vspec.compiler.calculus.structure.degree import Degrees
from vspec.compiler.calculus.structure.forms import NOTHING, Facts, NoFormError, Table, element
from vspec.compiler.calculus.structure.pointwise import FREE, Bounds, Condition, Pointwise, pointwise
from vspec.compiler.calculus.structure.quadratic import Quadratic, quadratic, solved
from vspec.compiler.calculus.structure.separate import gathered
from vspec.compiler.calculus.structure.simplex import on_simplex
from vspec.compiler.calculus.structure.summands import Summand, summands
from vspec.compiler.calculus.structure.sweep import swept
from vspec.compiler.calculus.structure.wording import shown
from vspec.compiler.graph.builder import Builder
from vspec.compiler.graph.node import Node


class NoMinimumError(Exception):
    """A block has no closed-form minimum: in which summand (None: in all of them together) and why."""

    def __init__(self, reason: str, summand: Summand | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.summand = summand


@dataclass(frozen=True, slots=True)
class Domain:
    """Where a param lives, as far as a closed form can respect it."""

    bounds: Bounds = FREE
    positive: bool = False
    simplex: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Update:
    """New values of a block's params, in order; how each was found, in a word and in a sentence; what must hold for them to be
    minima."""

    values: tuple[Node, ...]
    how: tuple[str, ...]
    said: tuple[str, ...]
    conditions: tuple[Condition, ...] = ()


@dataclass(slots=True)
class _Problem:
    b: Builder
    xs: Sequence[Node]
    domains: Sequence[Domain]
    facts: Facts
    degrees: Degrees
    form: Quadratic
    rest: list[Summand]
    conditions: list[Condition] = field(default_factory=list)


def block(
    b: Builder, value: Node, xs: Sequence[Node], domains: Sequence[Domain] = (), facts: Facts = NOTHING
) -> Update:
    """The params of a block that minimise a scalar, the other inputs given. Raises NoMinimumError."""
    domains = domains or [Domain()] * len(xs)
    degrees = Degrees(xs)
    parts = summands(b, value, xs)
    squares = [s for s in parts if degrees.of(s.body) is not None]
    rest = [s for s in parts if degrees.of(s.body) is None]
    form = quadratic(b, b.add([s.value(b) for s in squares]) if squares else b.number(0.0), xs)
    problem = _Problem(b, xs, domains, facts, degrees, form, rest)
    free = all(d == Domain() for d in domains)
    alone = len(xs) == 1 and form.diagonal(b, 0) is not None
    if not rest and free and not alone:
        _refuse_linear(form)
        return Update(tuple(solved(b, form)), tuple("system" for _ in xs), (_system(form),))
    found = [_one(problem, k) for k in range(len(xs))]
    values = tuple(b.order(value, x.axes) for (value, _, _), x in zip(found, xs, strict=True))
    how, said = tuple(word for _, word, _ in found), tuple(text for _, _, text in found)
    return Update(values, how, said, tuple(problem.conditions))


def _system(form: Quadratic) -> str:
    """A system in words: along which axes it is solved, and for each of which it is another one."""
    shared = form.shared
    own = [f"{x.attrs[0]}[{', '.join(n for n in x.names if n not in shared)}]".replace("[]", "") for x in form.xs]
    each = f", one for each {', '.join(shared)}" if shared else ""
    return f"a linear system in {', '.join(own)}{each}, by Cholesky factors"


def _refuse_linear(form: Quadratic) -> None:
    for k in range(len(form.xs)):
        if not any(block.terms for (p, q), block in form.blocks.items() if k in (p, q)):
            raise NoMinimumError("the objective is linear in it, so that its minimum is not unique")


def _one(problem: _Problem, k: int) -> tuple[Node, str, str]:
    """The minimum by one param, and how it was found, in a word and in a sentence."""
    b, x, form = problem.b, problem.xs[k], problem.form
    if not form.apart(k):
        raise NoMinimumError("it meets another param of its block; give each a block of its own")
    diagonal = form.diagonal(b, k)
    if diagonal is not None:
        if problem.domains[k].simplex:
            found = _shares(problem, k, diagonal)
        else:
            found = _formula(problem, k, diagonal, form.slopes[k]).node(x)
        return found, "element", f"{shown(x)} = {shown(found)}"
    if problem.domains[k].simplex:
        raise NoMinimumError("its elements meet, and it lies on a simplex")
    return _swept(problem, k)


def _shares(problem: _Problem, k: int, curvature: Node) -> Node:
    """The minimum by a param on a simplex."""
    x, table = problem.xs[k], Table(problem.b, problem.facts, True)
    mine = _touching(problem, x)
    function = _function(problem, table, x, mine)
    square = table.symbol(curvature) * table.u**2 / 2
    try:
        return on_simplex(table, function + square, table.symbol(problem.form.slopes[k]), x, problem.domains[k].simplex)
    except NoFormError as e:
        raise NoMinimumError(str(e), mine[0] if len(mine) == 1 else None) from None


def _touching(problem: _Problem, x: Node) -> list[Summand]:
    return [s for s in problem.rest if Degrees([x]).depends(s.body)]


def _formula(problem: _Problem, k: int, curvature: Node, slope: Node) -> Pointwise:
    """The minimum by an element of a param, its quadratic part given by two nodes."""
    domain, x = problem.domains[k], problem.xs[k]
    mine = _touching(problem, x)
    lower = domain.bounds.lower
    above = domain.positive or (lower is not None and Table(problem.b, problem.facts).symbol(lower).is_nonnegative)
    table = Table(problem.b, problem.facts, bool(above))
    function = _function(problem, table, x, mine)
    if not above and _needs_positive(function, table.u):
        table = Table(problem.b, problem.facts, True)
        function = _function(problem, table, x, mine)
    if domain.positive and not _kept_from_zero(function, table.u):
        raise NoMinimumError(
            "it is positive, and nothing keeps its minimum from 0; 'domain: box(0, inf)' has the 0, too"
        )
    try:
        found = pointwise(table, function, table.symbol(curvature), table.symbol(slope), domain.bounds)
    except NoFormError as e:
        raise NoMinimumError(str(e), mine[0] if len(mine) == 1 else None) from None
    problem.conditions += found.conditions
    return found


def _function(problem: _Problem, table: Table, x: Node, mine: Sequence[Summand]) -> Any:
    function = sp.Integer(0)
    for s in mine:
        try:
            function += gathered(table, element(table, s, x, problem.degrees))
        except NoFormError as e:
            raise NoMinimumError(str(e), s) from None
    return function


def _needs_positive(function: Any, u: Any) -> bool:
    """Whether an expression is only defined where u is positive: it has `log(u)` or a root of u."""
    logs = any(sp.cancel(e.args[0] / u).is_positive for e in function.atoms(sp.log) if u in e.free_symbols)
    return logs or any(e.base == u and not e.exp.is_integer for e in function.atoms(sp.Pow))


def _kept_from_zero(function: Any, u: Any) -> bool:
    """Whether an expression tells a positive u from 0: by a logarithm, a root or a quotient."""
    return _needs_positive(function, u) or any(e.base == u and e.exp.is_negative for e in function.atoms(sp.Pow))


def _swept(problem: _Problem, k: int) -> tuple[Node, str, str]:
    b, x, form = problem.b, problem.xs[k], problem.form
    shared = form.paired(k)
    core = [a for a in x.axes if a.name not in shared]
    if len(core) > 1:
        raise NoMinimumError("its elements meet along several axes, and it has bounds or terms that are not quadratic")
    (row,) = core
    matrix, copies = form.matrix(b, k, k, shared)
    column = copies[row.name]
    diagonal = b.rename(matrix, {column.name: row.name})
    formula = _formula(problem, k, diagonal, form.slopes[k])
    value = swept(b, x, matrix, row, column, diagonal, form.slopes[k], formula)
    named = {
        diagonal.uid: b.input("curvature", "", x.axes, "real"),
        form.slopes[k].uid: b.input("slope", "", x.axes, "real"),
    }
    each = formula.node(x, lambda n: named.get(n.uid) or n)
    text = f"one after the other along {row.name}: {shown(x)} = {shown(each)}, where slope and curvature are those"
    return value, "sweep", f"{text} of the quadratic terms where the element is 0"
