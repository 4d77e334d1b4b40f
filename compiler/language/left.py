"""Left sides of `define` and `objectives`: definitions, recurrences' starts and steps, objectives."""

from __future__ import annotations

from collections.abc import Mapping as Map
from dataclasses import dataclass, field

from vspec.compiler.diagnostics.spans import Span
from vspec.compiler.language.context import Context, Env
from vspec.compiler.language.entries import entries
from vspec.compiler.language.heads import Head, declare, left_letter, parse_head, parse_heads, refuse_several
from vspec.compiler.language.operators import BINDERS
from vspec.compiler.language.parse import parse_expression
from vspec.compiler.language.random import Declared, RandomLine, law_of_line
from vspec.compiler.language.raw import Raw, RawCall
from vspec.compiler.language.rows import choose_axes, read_rows
from vspec.compiler.language.stacks import settle_stacks
from vspec.compiler.language.subscripts import affine, whole
from vspec.compiler.source.document import Mapping, Scalar, Value


@dataclass(slots=True)
class Equation:
    """One line of `define` or `objectives` with its left side taken apart.

    `kind`: definition, init (`s[0, i]`), step (`s[t + 1, i]`), rows, row (`f[i, 2]`) or objective. `time`: the position
    of 0 or t + 1. `rows`: the lines of an array that is given row by row; `at`: the whole numbers of such a line. `together`:
    all names on a left side with several, with their letters. `until` and `adjoint` are options of a step.
    """

    name: str
    kind: str
    letters: tuple[str, ...]
    time: int
    raw: Raw | None
    span: Span
    rows: tuple[Equation, ...] = ()
    at: tuple[int, ...] = ()
    together: Map[str, tuple[str, ...]] = field(default_factory=dict)
    until: Raw | None = None
    adjoint: Scalar | None = None


@dataclass(slots=True)
class System:
    """All equations of a spec by name; `states` have an init and a step."""

    definitions: dict[str, Equation] = field(default_factory=dict)
    inits: dict[str, Equation] = field(default_factory=dict)
    steps: dict[str, Equation] = field(default_factory=dict)
    objectives: dict[str, Equation] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)

    def of(self, name: str) -> list[Equation]:
        """The equations that give a name its value."""
        groups = (self.definitions, self.inits, self.steps, self.objectives)
        found = [g[name] for g in groups if name in g]
        return [*found, *(row for e in found for row in e.rows)]


Right = Value | RandomLine


def declare_equations(ctx: Context, define: Value | None, objectives: Value | None, random: Value | None) -> System:
    """Take the left sides apart and enter the names; right sides are parsed, not checked."""
    system = System()
    lines: dict[str, list[tuple[Head, Scalar, Right]]] = {}
    for key, law in entries(random):
        variable = parse_head(ctx, key)
        if variable is not None:
            drawn = RandomLine(law)
            known = ctx.variables.setdefault(variable.name, Declared(variable.name, drawn, variable.span))
            if drawn.option("estimator") is not None:
                known.line = drawn
            lines.setdefault(variable.name, []).append((variable, key, drawn))
    for key, value in entries(define):
        heads = parse_heads(ctx, key)
        if len(heads) == 1:
            lines.setdefault(heads[0].name, []).append((heads[0], key, value))
        elif heads:
            _declare_together(ctx, system, heads, key, value)
    for name, group in lines.items():
        if all(_all_letters(ctx, head) for head, _, _ in group):
            for head, _, right in group:
                _declare_definition(ctx, system, head, right)
        elif _rows(ctx, group):
            _declare_rows(ctx, system, name, group)
        else:
            _declare_state(ctx, system, name, group)
    for key, value in entries(objectives):
        objective = parse_head(ctx, key)
        if objective is None:
            continue
        head = objective
        if head.subscripts:
            ctx.opaque.add(head.name)
            ctx.error(
                "VS0305",
                f"the objective '{head.name}' has indices, but an objective is one number",
                head.span,
                help="sum or average over them, or make it a definition",
            )
            continue
        symbol = declare(ctx, head, "objective")
        if symbol is not None:
            symbol.dtype = "real"
            raw = _right(ctx, value, head.name)
            system.objectives[head.name] = Equation(head.name, "objective", (), -1, raw, head.span)
            system.names.append(head.name)
    for equation in system.definitions.values():
        if equation.rows:
            choose_axes(ctx, equation, [e.raw for n in system.names for e in system.of(n)])
    settle_stacks(ctx, system.definitions)
    return system


STEP_OPTIONS = ("until", "adjoint")


def _right(ctx: Context, value: Right, name: str, step: bool = False) -> Raw | None:
    if isinstance(value, RandomLine):
        return law_of_line(ctx, value, name)
    if isinstance(value, Scalar):
        return parse_expression(value, ctx.sink)
    inner = value.get("is") if isinstance(value, Mapping) else None
    if isinstance(inner, Scalar) and isinstance(value, Mapping):
        for key, _ in value.entries:
            if key.text in STEP_OPTIONS and not step:
                ctx.error(
                    "VS0395",
                    f"'{key.text}' of '{name}' belongs to the step of a recurrence",
                    key.span,
                    help=f"for example {name}[t + 1, ...]: {{is: ..., {key.text}: ...}}",
                )
        return parse_expression(inner, ctx.sink)
    ctx.error("VS0326", f"the right side of '{name}' is an expression", value.span, label="not an expression")
    return None


def _all_letters(ctx: Context, head: Head) -> bool:
    return all(whole(s) is None and not _shifted(ctx, s) for s in head.subscripts)


def _shifted(ctx: Context, raw: Raw) -> bool:
    form = affine(ctx, raw, Env(subject=""))
    return form is not None and (form[1], form[2]) != (1, 0)


def _rows(ctx: Context, group: list[tuple[Head, Scalar, Right]]) -> bool:
    """Whether the lines give an array row by row: whole numbers on the left, other than a recurrence's 0."""
    if any(_shifted(ctx, s) for head, _, _ in group for s in head.subscripts):
        return False
    numbers = [whole(s) for head, _, _ in group for s in head.subscripts if whole(s) is not None]
    return len(numbers) > 1 or any(n != 0 for n in numbers)


def _declare_rows(ctx: Context, system: System, name: str, group: list[tuple[Head, Scalar, Right]]) -> None:
    lines = read_rows(ctx, name, [(head, _right(ctx, value, name)) for head, _, value in group])
    if lines is not None:
        rows = tuple(Equation(name, "row", x.letters, -1, x.raw, x.span, at=x.at) for x in lines)
        system.definitions[name] = Equation(name, "rows", rows[0].letters, -1, None, group[0][0].span, rows)
        system.names.append(name)


def _declare_definition(ctx: Context, system: System, head: Head, value: Right) -> None:
    symbol = declare(ctx, head, "definition")
    raw = _right(ctx, value, head.name)
    if symbol is not None:
        system.definitions[head.name] = Equation(head.name, "definition", symbol.letters, -1, raw, head.span)
        system.names.append(head.name)


def _declare_together(ctx: Context, system: System, heads: tuple[Head, ...], key: Scalar, value: Value) -> None:
    """Definitions whose values are found together: the unknowns of one implicit quantity."""
    raw = _right(ctx, value, heads[0].name)
    if raw is not None and not (isinstance(raw, RawCall) and raw.name in BINDERS and raw.bound):
        refuse_several(ctx, key, [head.name for head in heads])
        return
    symbols = [declare(ctx, head, "definition") for head in heads]
    known = [s for s in symbols if s is not None]
    if len(known) < len(heads):
        ctx.opaque.update(head.name for head in heads)
        return
    together = {s.name: s.letters for s in known}
    for symbol, head in zip(known, heads):
        equation = Equation(head.name, "definition", symbol.letters, -1, raw, head.span, together=together)
        system.definitions[head.name] = equation
        system.names.append(head.name)


def _declare_state(ctx: Context, system: System, name: str, group: list[tuple[Head, Scalar, Right]]) -> None:
    """The lines of one state: `s[0, ...]` and `s[t + 1, ...]`, in either order."""
    init: Equation | None = None
    step: Equation | None = None
    shown: Head | None = None
    sound = True
    for head, _, value in group:
        equation = _state_line(ctx, head, value)
        if equation is None:
            sound = False
            continue
        known = init if equation.kind == "init" else step
        if known is not None:
            sound = False
            what = "start" if equation.kind == "init" else "step"
            ctx.error(
                "VS0204",
                f"'{name}' has a second {what}",
                head.span,
                label="again here",
                help=f"the first stands on line {known.span.line}",
            )
        elif equation.kind == "init":
            init = equation
        else:
            step, shown = equation, head
    if not sound or not _complete(ctx, name, init, step) or shown is None or init is None or step is None:
        ctx.opaque.add(name)
        return
    symbol = declare(ctx, Head(name, (), shown.span, shown.name_span), "state")
    if symbol is None:
        ctx.opaque.add(name)
        return
    symbol.letters = step.letters
    symbol.dims = tuple(ctx.dims.letters[x] for x in step.letters)
    others = [(a, b) for k, (a, b) in enumerate(zip(init.letters, step.letters)) if k != step.time]
    if len(init.letters) != len(step.letters) or init.time != step.time:
        ctx.error(
            "VS0310",
            f"the start and the step of '{name}' have different indices",
            init.span,
            help=f"the step is {shown_left(step)}",
        )
        return
    for a, b in others:
        if not ctx.dims.same(ctx.dims.letters[a], ctx.dims.letters[b]):
            ctx.error(
                "VS0310",
                f"the start of '{name}' has the index '{a}' where the step has '{b}', of another dim",
                init.span,
                help=f"write the same indices as in {shown_left(step)}",
            )
            return
    system.inits[name], system.steps[name] = init, step
    system.names.append(name)


def shown_left(step: Equation) -> str:
    """The left side of a step, `s[t + 1, i]`."""
    parts = [f"{x} + 1" if k == step.time else x for k, x in enumerate(step.letters)]
    return f"{step.name}[{', '.join(parts)}]"


def _state_line(ctx: Context, head: Head, value: Right) -> Equation | None:
    """One line of a state as an equation of kind init or step."""
    letters: list[str] = []
    time, kind = -1, ""
    for k, raw in enumerate(head.subscripts):
        form = affine(ctx, raw, Env(subject=""))
        number = whole(raw)
        if number is None and (form is None or (form[1], form[2]) == (1, 0)):
            letter = left_letter(ctx, raw, head, letters)
            if letter is None:
                return None
            letters.append(letter)
            continue
        if time >= 0:
            ctx.error(
                "VS0308",
                f"the left side of '{head.name}' shifts two indices",
                raw.span,
                help="a recurrence goes over one index",
            )
            return None
        time = k
        if number is not None:
            if number != 0:
                ctx.error(
                    "VS0308", f"'{head.name}' starts at 0, not at {number}", raw.span, help=f"write {head.name}[0, ...]"
                )
                return None
            kind = "init"
            letters.append("0")
        else:
            assert form is not None
            if (form[1], form[2]) != (1, 1):
                t = form[0].name
                ctx.error(
                    "VS0308",
                    f"the left side of '{head.name}' steps by something other than one",
                    raw.span,
                    label=f"only {t} + 1 is possible",
                    help=f"write {head.name}[{t} + 1, ...] from values at [{t}]",
                )
                return None
            kind = "step"
            letters.append(form[0].name)
    if not kind:
        t = next((x for x in letters), "t")
        ctx.error(
            "VS0308",
            f"'{head.name}' has a start or a step and also a line for all its indices",
            head.span,
            label="neither [0] nor [t + 1]",
            help=f"write {head.name}[0, ...] for the start and {head.name}[{t} + 1, ...] for the step",
        )
        return None
    equation = Equation(head.name, kind, tuple(letters), time, _right(ctx, value, head.name, kind == "step"), head.span)
    if kind == "step" and isinstance(value, Mapping):
        until, adjoint = value.get("until"), value.get("adjoint")
        equation.until = parse_expression(until, ctx.sink) if isinstance(until, Scalar) else None
        equation.adjoint = adjoint if isinstance(adjoint, Scalar) else None
    return equation


def _complete(ctx: Context, name: str, init: Equation | None, step: Equation | None) -> bool:
    if init is None and step is not None:
        t = step.letters[step.time]
        left = shown_left(step).replace(f"{t} + 1", "0", 1)
        ctx.error(
            "VS0306",
            f"the recurrence '{name}' has no start",
            step.span,
            label="this is its step",
            help=f"add {left}: ...",
        )
        return False
    if step is None and init is not None:
        ctx.error(
            "VS0307",
            f"the recurrence '{name}' has a start but no step",
            init.span,
            label="this is its start",
            help=f"add {_step_of(init)}",
        )
        return False
    return init is not None


def _step_of(init: Equation) -> str:
    parts = ["t + 1" if k == init.time else x for k, x in enumerate(init.letters)]
    return f"{init.name}[{', '.join(parts)}], with the index that it goes over"
