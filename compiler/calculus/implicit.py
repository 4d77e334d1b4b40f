"""Implicit quantities → REGION nodes: the equations with their derivatives by the unknowns, closed over what they read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from vspec.compiler.calculus.closing import closed
from vspec.compiler.calculus.derive import derivative
from vspec.compiler.calculus.lagrangian import gap
from vspec.compiler.calculus.lower_levels import constrained, multiplier
from vspec.compiler.calculus.parts import names
from vspec.compiler.diagnostics.diagnostic import Diagnostic, SpecError
from vspec.compiler.graph.builder import Builder, is_number
from vspec.compiler.graph.instantiate import NotSeparate
from vspec.compiler.graph.node import REPORT, Axis, Node, Origin, Role, Solve
from vspec.compiler.language.expr import Implicit, Problem
from vspec.runtime.solvers import EXTREMES, SOLVERS

if TYPE_CHECKING:
    from vspec.compiler.calculus.lower import Lowering


def implicit_quantity(low: Lowering, e: Implicit) -> Node:
    """The unknown that an implicit quantity is; those of one problem are found together."""
    key = (id(e.problem), *(n.uid for n in low.bound.values()), *(n.uid for n in low.unknowns.values()))
    if key not in low.problems:
        low.problems[key] = _solved(low, e.problem)
    return low.problems[key][e.position]


def _solved(low: Lowering, problem: Problem) -> tuple[Node, ...]:
    b = low.b
    unknowns = [b.input(u.label, "unknown", [low.axis(x) for x in u.letters], "real") for u in problem.sought]
    starts = [_over(b, _real(b, low.lower(u.start)), x) for u, x in zip(problem.sought, unknowns, strict=True)]
    name = b.origin.name.lstrip("_") or problem.op
    with b.at(b.origin._replace(name="")), _unknown(low, problem, unknowns):
        bodies = [low.lower(e) for e in problem.bodies]
        if problem.relations:
            gaps = [gap(low.b, low.lower(r.left), low.lower(r.right)) for r in problem.relations]
            multipliers = [multiplier(b, g, k, problem) for k, g in enumerate(gaps)]
            roles, body = constrained(b, problem.op, bodies[0], gaps, unknowns, multipliers)
            starts += [b.order(b.number(0.0), m.axes) for m in multipliers]
            unknowns += multipliers
        else:
            roles, body = _system(b, problem, unknowns, bodies)
    batch = tuple({a.name: a for n in (*body, *starts) for a in n.axes if a.name in _letters(low, problem)}.values())
    try:
        outer, captured, body = closed(b, body, unknowns, batch)
    except NotSeparate as e:
        raise _mixed(problem, e) from None
    region = Solve(
        name,
        problem.op,
        tuple(unknowns),
        tuple(captured),
        batch,
        tuple(body),
        tuple(roles),
        problem.method.name,
        tuple(problem.method.arguments.items()),
        problem.steps,
        problem.gradient,
        tuple(r.op for r in problem.relations),
    )
    with b.at(b.origin._replace(line=problem.span.line, column=problem.span.column, file=low.file(problem.span))):
        node = b.region("solve", region, [*starts, *outer])
    return tuple(b.item(node, k, (*batch, *u.axes), "real") for k, u in enumerate(unknowns[: len(problem.sought)]))


def _mixed(problem: Problem, error: NotSeparate) -> SpecError:
    """The error of a problem that is not one for each value of an index of the surroundings."""
    what = f"the values of {', '.join(problem.batch)} are not problems of their own: {error.what}"
    help = "the indices that an expression shares with its surroundings stay apart: bind others, or give the unknown their axes"
    return SpecError([Diagnostic("VS0391", f"in this {problem.op}, {what}", problem.span, "", (help,))])


def _letters(low: Lowering, problem: Problem) -> frozenset[str]:
    """The letters of the surroundings that are axes here: inside a recurrence's step, its own letter is a number."""
    return frozenset(x for x in problem.batch if x not in low.bound)


@contextmanager
def _unknown(low: Lowering, problem: Problem, unknowns: Sequence[Node]) -> Iterator[None]:
    """Where the bodies are lowered: the unknowns have values, and so has what the checker named inside."""
    slices, dropped = dict(low.slices), dict(low.dropped)
    low.values.update((u.name, node) for u, node in zip(problem.sought, unknowns, strict=True))
    low.unknowns.update((u.name, node) for u, node in zip(problem.sought, unknowns, strict=True))
    inner: list[str] = []
    try:
        for d in problem.inner:
            keys = names(d.name) if d.dtype == "complex" else (d.name,)
            low.enter(d.name, d.body, low.free(d.letters), d.dtype)
            fixed = low.fixed(d.letters)
            for key in keys:
                if not fixed:
                    inner.append(key)
                else:
                    low.slice(key, low.values.pop(key), fixed)
        yield
    finally:
        for key in (*inner, *(u.name for u in problem.sought)):
            low.values.pop(key, None)
        for u in problem.sought:
            del low.unknowns[u.name]
        low.slices, low.dropped = slices, dropped


def _system(
    b: Builder, problem: Problem, unknowns: Sequence[Node], bodies: list[Node]
) -> tuple[list[Role], list[Node]]:
    """What the method asks for: the value or the maps, the equations, and their slopes by the unknowns."""
    roles: list[Role] = []
    found: list[Node] = []

    def add(role: Role, node: Node) -> None:
        roles.append(role)
        found.append(node)

    if problem.op in EXTREMES:
        (value,) = bodies
        add(Role("value"), value)
        equations = [derivative(b, value, x, x.axes) for x in unknowns]
    elif problem.op == "fixed_point":
        maps = [_over(b, g, x) for g, x in zip(bodies, unknowns, strict=True)]
        if not SOLVERS[problem.method.name].matrix:
            for k, g in enumerate(maps):
                add(Role("map", k), g)
        equations = [b.map(("sub", ("x", 0), ("x", 1)), [g, x], "real") for g, x in zip(maps, unknowns, strict=True)]
    else:
        equations = [_over(b, f, x) for f, x in zip(bodies, unknowns, strict=True)]
    solver = SOLVERS[problem.method.name]
    if solver.matrix or problem.op != "fixed_point":
        for k, f in enumerate(equations):
            add(Role("equation", k), f)
    if solver.matrix:
        for k, f in enumerate(equations):
            for j, x in enumerate(unknowns):
                letters = [Axis(b.fresh(a.name), a.dim) for a in x.axes]
                add(Role("slope", k, j, tuple(a.name for a in letters)), derivative(b, f, x, letters))
    return roles, found


def _real(b: Builder, x: Node) -> Node:
    """x as real numbers, of which a search makes its steps."""
    if x.dtype == "real":
        return x
    return b.number(float(x.attrs[0])) if is_number(x) else b.map(("real", ("x", 0)), [x], "real")


def _over(b: Builder, x: Node, unknown: Node) -> Node:
    """x with all the axes of the unknown."""
    missing = [a for a in unknown.axes if a.name not in x.names]
    return b.order(x, (*x.axes, *missing)) if missing else x


def report_of(b: Builder, node: Node) -> dict[str, Node]:
    """How the searches of a problem went: the equations that are left, the steps, whether they converged."""
    region: Solve = node.attrs[0]
    with b.at(Origin(line=node.origin.line, column=node.origin.column, file=node.origin.file)):
        return {
            what: b.item(node, len(region.unknowns) + k, region.batch, dtype) for k, (what, dtype) in enumerate(REPORT)
        }
