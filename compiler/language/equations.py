"""Equations in the order of what depends on what, each checked once everything that it reads is known."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from vspec.compiler.language.context import Context, Env, Unknown
from vspec.compiler.language.expr import Element, Expr
from vspec.compiler.language.graph import components
from vspec.compiler.language.left import Equation, System
from vspec.compiler.language.random import check_variable
from vspec.compiler.language.raw import Raw, RawCall, RawElement, RawName, skeleton, walk
from vspec.compiler.language.rows import check_rows
from vspec.compiler.language.spec import Definition, Objective, Recurrence
from vspec.compiler.language.stacks import check_stack, is_stack
from vspec.compiler.language.substitute import elements
from vspec.compiler.language.types import a_dtype, as_real


@dataclass(slots=True)
class Solved:
    """The outcome: equations in order, objectives, and what each name reads."""

    equations: list[Definition | Recurrence]
    objectives: dict[str, Objective]
    reads: dict[str, tuple[str, ...]]


def reads_of(
    raw: Raw | None, known: set[str], functions: dict[str, frozenset[str]], skip: Iterable[str] = ()
) -> set[str]:
    """The names among `known` that an expression reads, through the functions that it calls."""
    found: set[str] = set()
    if raw is None:
        return found
    hidden = set(skip)
    for node in walk(raw):
        if isinstance(node, RawName | RawElement) and node.name in known and node.name not in hidden:
            found.add(node.name)
        elif isinstance(node, RawCall | RawName) and node.name in functions and node.name not in hidden:
            found |= functions[node.name]
    return found


def function_reads(ctx: Context, calls: dict[str, tuple[str, ...]], known: set[str]) -> dict[str, frozenset[str]]:
    """The names that each function reads, calls included."""
    found: dict[str, frozenset[str]] = {}
    for group in components(list(calls), lambda n: calls[n]):
        for name in group:
            function = ctx.functions[name]
            own = reads_of(function.body, known, found, (f.name for f in function.formals))
            # The layers of a network call its activation.
            found[name] = frozenset(own).union(*(found.get(n, frozenset()) for n in calls[name]))
    return found


def check_equations(ctx: Context, system: System, calls: dict[str, tuple[str, ...]]) -> Solved:
    """Order the equations and check each once everything that it reads is known."""
    from vspec.compiler.language.recurrence import Known, check_recurrence

    known = set(system.names)
    through = function_reads(ctx, calls, known)
    reads: dict[str, tuple[str, ...]] = {}
    for name in system.names:
        found: dict[str, None] = {}
        for equation in system.of(name):
            for raw in (equation.raw, equation.until):
                found.update(dict.fromkeys(sorted(reads_of(raw, known, through))))
        reads[name] = tuple(found)
    _stop_together(system, reads)
    solved = Solved([], {}, reads)
    for group in components(system.names, lambda n: reads[n]):
        states = [n for n in group if n in system.steps]
        if states:
            found_here = check_recurrence(ctx, system, group, Known(reads, through))
            solved.equations += found_here
            for e in found_here:
                for name in e.names if isinstance(e, Recurrence) else ():
                    if name in ctx.variables and isinstance(e, Recurrence):
                        ctx.variables[name].recurrence = e
        elif (
            len(group) == 1 and group[0] in ctx.variables and ctx.variables[group[0]].line.option("sampler") is not None
        ):
            from vspec.compiler.language.chains import check_chain

            chain = system.definitions[group[0]]
            solved.equations += check_chain(ctx, ctx.variables[group[0]], chain, solved.equations)
        elif len(group) > 1 or group[0] in reads[group[0]]:
            cycle(ctx, system, group, reads)
        elif group[0] in system.objectives:
            _check_objective(ctx, system.objectives[group[0]], solved)
        else:
            definition = check_definition(ctx, system.definitions[group[0]], Env(subject=f"'{group[0]}'"))
            solved.equations += drain(ctx)
            if definition is not None:
                solved.equations.append(definition)
            if group[0] in ctx.variables:
                check_variable(ctx, ctx.variables[group[0]], definition)
                solved.equations += drain(ctx)
    return solved


def _stop_together(system: System, reads: dict[str, tuple[str, ...]]) -> None:
    """States over one index that stop on the same condition advance together, as if each read the next."""
    groups: dict[tuple[str, object], list[str]] = {}
    for name, step in system.steps.items():
        if step.until is not None:
            groups.setdefault((step.letters[step.time], skeleton(step.until)), []).append(name)
    for names in groups.values():
        for name, following in zip(names, [*names[1:], names[0]]):
            if following not in reads[name] and following != name:
                reads[name] = (*reads[name], following)


def drain(ctx: Context) -> list[Definition]:
    """The hidden definitions made since the last call."""
    made, ctx.hidden = ctx.hidden, []
    return made


def check_definition(ctx: Context, equation: Equation, env: Env) -> Definition | None:
    """One ordinary definition; its symbol gets its dtype."""
    if equation.rows:
        return check_rows(ctx, equation, env)
    if equation.raw is None:
        return None
    if is_stack(equation.raw):
        return check_stack(ctx, equation, env)
    place = replace(env, scope={x: x for x in equation.letters}, whole=equation.raw)
    if equation.together:
        every = dict.fromkeys(x for letters in equation.together.values() for x in letters)
        position = list(equation.together).index(equation.name)
        place = replace(place, scope={x: x for x in every}, names=len(equation.together), position=position)
    body = ctx.infer(equation.raw, place)
    if isinstance(body, Unknown):
        return None
    lacking = next((x for x in body.axes if x not in equation.letters), None)
    if lacking is not None:
        ctx.error(
            "VS0385",
            f"'{equation.name}' lacks the index '{lacking}', which its unknown or its problem has",
            equation.span,
            help="each name on the left has the indices of its unknown and those that the expressions share",
        )
        return None
    ctx.symbols[equation.name].dtype = body.dtype
    return Definition(equation.name, equation.letters, body, body.dtype, equation.span)


def _check_objective(ctx: Context, equation: Equation, solved: Solved) -> None:
    if equation.raw is None:
        return
    body = ctx.infer(equation.raw, Env(subject=f"the objective '{equation.name}'"))
    solved.equations += drain(ctx)
    if isinstance(body, Unknown):
        return
    if body.dtype == "boolean":
        ctx.error("VS0305", f"the objective '{equation.name}' is {a_dtype(body.dtype)}, not a number", body.span)
        return
    if body.dtype == "complex":
        ctx.error(
            "VS0351",
            f"the objective '{equation.name}' is complex",
            body.span,
            label="complex numbers have no order",
            help="make a real of it: re(...) or abs(...)",
        )
        return
    solved.objectives[equation.name] = Objective(equation.name, as_real(body), equation.span)


def share_objectives(solved: Solved) -> None:
    """Make an objective that an equation reads a definition of its own, in the order of the others."""
    bodies: list[Expr] = []
    for e in solved.equations:
        if isinstance(e, Definition):
            bodies.append(e.body)
        else:
            bodies += e.bodies
    bodies += [o.body for o in solved.objectives.values()]
    given = {e.name for e in solved.equations if isinstance(e, Definition)}
    given |= {s.name for e in solved.equations if isinstance(e, Recurrence) for s in e.every_state}
    read = {e.name for body in bodies for e in elements(body) if e.name in solved.objectives} - given
    if not read:
        return
    waiting = {name: solved.objectives[name] for name in solved.objectives if name in read}
    ordered: list[Definition | Recurrence] = []
    done: set[str] = set()

    def place() -> None:
        for name, objective in list(waiting.items()):
            needs = {e.name for e in elements(objective.body)}
            if all(n in done or (n not in given and n not in waiting) for n in needs):
                ordered.append(Definition(name, (), objective.body, "real", objective.span, hidden=True))
                done.add(name)
                del waiting[name]
                solved.objectives[name] = Objective(
                    name, Element(span=objective.span, dtype="real", name=name), objective.span
                )

    place()
    for equation in solved.equations:
        ordered.append(equation)
        done.update(equation.names)
        if waiting:
            place()
    while waiting:
        before = len(waiting)
        place()
        if len(waiting) == before:
            break
    solved.equations = ordered


def cycle(ctx: Context, system: System, group: tuple[str, ...], reads: dict[str, tuple[str, ...]]) -> None:
    """Name one cycle of the group, starting with its first member."""
    members = set(group)
    path = [group[0]]
    while True:
        following = next(n for n in reads[path[-1]] if n in members)
        if following in path:
            path = path[path.index(following) :]
            break
        path.append(following)
    span = system.of(path[0])[0].span
    if len(path) == 1:
        ctx.error(
            "VS0223",
            f"'{path[0]}' is defined by itself",
            span,
            label="reads itself",
            help="the rows of an array are one definition: what one row needs of another gets a name of its own"
            if system.of(path[0])[0].rows
            else "a value that evolves is a recurrence: give it a start [0, ...] and a step [t + 1, ...]",
        )
        return
    chain = " → ".join((*path[:8], "..." if len(path) > 8 else path[0]))
    drawn = next((n for n in path if n in ctx.variables and ctx.variables[n].line.option("sampler") is not None), None)
    ctx.error(
        "VS0223",
        f"definitions depend on each other in a circle: {chain}",
        span,
        label="the circle starts here",
        help=f"the energy of '{drawn}' names '{drawn}' itself: make '{path[1]}' a function of it" if drawn else "",
    )
