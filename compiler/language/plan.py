"""The `solve` section: stages in order, what each of them does, over what, how often and until when."""

from __future__ import annotations

import re
from collections.abc import Mapping as Map
from dataclasses import dataclass, field, replace

from vspec.compiler.diagnostics.spans import Span
from vspec.compiler.diagnostics.suggest import did_you_mean
from vspec.compiler.language.assignments import read_assignments, stacked_params
from vspec.compiler.language.carried import with_carried
from vspec.compiler.language.context import Context, Env, Unknown
from vspec.compiler.language.counters import KIND as COUNTER
from vspec.compiler.language.curvature import check_hessians
from vspec.compiler.language.equations import Solved, drain
from vspec.compiler.language.expr import Element, Expr
from vspec.compiler.language.heads import a
from vspec.compiler.language.kept import keep
from vspec.compiler.language.local import Calls, local_names
from vspec.compiler.language.methods import read_method, read_strategy
from vspec.compiler.language.networks import movable, weights_of
from vspec.compiler.language.operators import RESERVED
from vspec.compiler.language.parse import parse_expression
from vspec.compiler.language.spec import (
    Assignment,
    Constraint,
    Count,
    Definition,
    MethodCall,
    Objective,
    Param,
    Recurrence,
    Stage,
)
from vspec.compiler.language.substitute import elements
from vspec.compiler.language.types import a_dtype, as_real
from vspec.compiler.source.document import Mapping, Scalar, Sequence, Value
from vspec.runtime.registry import METHODS

VERBS = ("minimize", "maximize", "saddle", "descend", "update", "evaluate", "repeat")
_PLANNED_VERBS = ("pareto", "sample")
_OPTIMISING = ("update", "method", "steps", "epochs", "until", "batch", "average", "constraints")
# What each kind of stage may have besides its verb, a name and `let`.
OPTIONS: Map[str, tuple[str, ...]] = {
    "minimize": ("over", *_OPTIMISING, "starts"),
    "maximize": ("over", *_OPTIMISING, "starts"),
    "saddle": ("over", "min", "max", *_OPTIMISING),
    "descend": ("over", *_OPTIMISING),
    "update": ("steps", "epochs", "until", "batch", "average"),
    "evaluate": (),
    "repeat": ("stages", "until", "average"),
}
_COMMON = ("name", "let")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*\Z")


@dataclass(slots=True)
class _Plan:
    """What reading the stages shares."""

    ctx: Context
    params: Map[str, Param]
    solved: Solved
    calls: Calls
    constraints: Map[str, Constraint]
    names: dict[str, Span] = field(default_factory=dict)
    # Whether a repetition around the stages that are read ends by a condition; those without steps of their own do, too.
    until: bool = False


def read_plan(
    ctx: Context,
    node: Value | None,
    params: Map[str, Param],
    solved: Solved,
    calls: Calls,
    constraints: Map[str, Constraint],
) -> tuple[Stage, ...]:
    """The stages in order; `constraints` are those of the spec, `calls` what each function calls."""
    if node is None:
        return ()
    return _stages(_Plan(ctx, params, solved, calls, constraints), node, False)


def _stages(plan: _Plan, node: Value, nested: bool) -> tuple[Stage, ...]:
    found: list[Stage] = []
    for item in node if isinstance(node, Sequence) else (node,):
        if isinstance(item, Mapping):
            stage = _stage(plan, item, nested)
            if stage is not None:
                found.append(stage)
        else:
            plan.ctx.error("VS0328", "a stage says what to do", item.span, help="for example {minimize: loss}")
    return tuple(found)


def _stage(plan: _Plan, node: Mapping, nested: bool) -> Stage | None:
    ctx = plan.ctx
    for key, _ in node.entries:
        if key.text in _PLANNED_VERBS:
            ctx.planned("VS0405", f"the stage '{key.text}'", key.span)
            return None
    verbs = [k for k, _ in node.entries if k.text in VERBS]
    if len(verbs) > 1:
        # An update may stand beside what moves other params; then it is an option of the stage.
        verbs = [v for v in verbs if v.text != "update"]
    if len(verbs) != 1:
        message = "a stage does one thing" if verbs else "a stage says what to do"
        span = verbs[1].span if verbs else node.span
        ctx.error("VS0328", message, span, help=f"one of {', '.join(VERBS)}")
        return None
    verb = verbs[0]
    if not _options(plan, node, verb, nested):
        return None
    name = _name(plan, node.get("name"))
    with local_names(ctx, node.get("let"), plan.solved, plan.calls) as let:
        stage = _filled(plan, node, verb)
        plan.solved.equations += drain(ctx)
    return replace(stage, name=name, let=let) if stage is not None else None


def _options(plan: _Plan, node: Mapping, verb: Scalar, nested: bool) -> bool:
    """Whether all options mean something in a stage of this kind; records those that do not."""
    sound = True
    allowed = {verb.text, *OPTIONS[verb.text], *_COMMON}
    for key, _ in node.entries:
        if key.text not in allowed:
            able = [kind for kind, options in OPTIONS.items() if key.text in options]
            plan.ctx.error(
                "VS0368",
                f"'{key.text}' means nothing in a stage with '{verb.text}'",
                key.span,
                help=f"it is an option of {', '.join(able)}" if able else "",
            )
            sound = False
        elif nested and key.text == "starts":
            plan.ctx.error("VS0368", "'starts' means nothing inside a repetition", key.span)
            sound = False
    return sound


def _name(plan: _Plan, node: Value | None) -> str | None:
    if not isinstance(node, Scalar):
        return None
    name = node.text.strip()
    if not _NAME.match(name) or name in RESERVED or name == "run":
        plan.ctx.error(
            "VS0376",
            f"'{name}' cannot name a stage",
            node.span,
            help="it is a word of the language" if name in RESERVED else "a name has letters, digits and underscores",
        )
        return None
    if name in plan.names:
        plan.ctx.error(
            "VS0376",
            f"a second stage is named '{name}'",
            node.span,
            label="again here",
            help=f"the first stands on line {plan.names[name].line}",
        )
        return None
    plan.names[name] = node.span
    return name


def _filled(plan: _Plan, node: Mapping, verb: Scalar) -> Stage | None:
    ctx, target = plan.ctx, node.get(verb.text)
    if target is None:
        return None
    kind = verb.text
    if kind == "evaluate":
        names = _evaluated(ctx, target)
        return Stage(kind, names, verb.span) if names else None
    if kind == "repeat":
        return _repeat(plan, node, verb, target)
    before = len(ctx.sink.errors)
    stage = Stage(kind, (), verb.span)
    if kind in ("minimize", "maximize", "saddle"):
        stage = _optimising(plan, node, verb, target)
    elif kind == "descend":
        directions = read_assignments(ctx, target, "descend", plan.solved.equations) or ()
        over = tuple(p for x in directions for p in x.params)
        stage = replace(stage, directions=directions, over=over)
    if kind != "update":
        stage = replace(stage, methods=_methods(plan, node, verb, stage.over))
    updates = _updates(plan, node.get("update"), stage.over)
    stage = _lengths(plan, node, replace(stage, updates=updates))
    strategy = node.get("constraints")
    if strategy is not None:
        stage = replace(stage, constraints=read_strategy(ctx, strategy, lambda e, what: _whole(plan, e, what)))
    if len(ctx.sink.errors) > before:
        return None
    stage = with_carried(ctx, stage, plan.solved)
    if not stage.optimises and stage.kind != "descend":
        return stage
    named = node.get("method") is not None or isinstance(node.get("over"), Mapping)
    kept = keep(ctx, stage, plan.params, plan.constraints, plan.solved, named)
    check_hessians(ctx, kept, plan.params)
    return kept if len(ctx.sink.errors) == before else None


def _repeat(plan: _Plan, node: Mapping, verb: Scalar, target: Value) -> Stage | None:
    rounds = _count(plan, target, "repeat")
    until = _until(plan.ctx, node.get("until"))
    average = _average(plan.ctx, node.get("average"))
    inner = node.get("stages")
    around, plan.until = plan.until, plan.until or node.get("until") is not None
    stages = _stages(plan, inner, True) if inner is not None else ()
    plan.until = around
    if rounds is None or not stages:
        return None
    return Stage("repeat", (), verb.span, rounds=rounds, until=until, average=average, stages=stages)


# --- what moves -------------------------------------------------------------------------------------------------


def _optimising(plan: _Plan, node: Mapping, verb: Scalar, target: Value) -> Stage:
    """The stage with its objective and what it moves; a mistake is in the sink."""
    ctx, kind = plan.ctx, verb.text
    objective = _objective(ctx, target, plan.solved)
    stage = Stage(kind, (objective,) if objective is not None else (), verb.span)
    if kind == "saddle":
        sides = {side: _side(plan, node, verb, side) for side in ("min", "max")}
        down, up = sides["min"], sides["max"]
        both = [p for p in up if p in down]
        if both:
            at = node.get("max")
            span = at.span if at is not None else verb.span
            ctx.error("VS0370", f"'{both[0]}' goes both down and up", span, help="a param is in 'min' or in 'max'")
        stage = replace(stage, over=(*down, *up), min=down, max=up)
    else:
        stage = replace(stage, over=_over(plan, node.get("over")) or ())
        # A network that is wrong would have declared some.
        wanting = not ctx.opaque and not any(s.kind == "param" for s in ctx.symbols.values())
        if objective is not None and wanting:
            ctx.error(
                "VS0316",
                "there is nothing to optimise: the spec has no params",
                verb.span,
                help="declare them under 'params'",
            )
    _depends(plan, stage, target)
    return stage


def _depends(plan: _Plan, stage: Stage, target: Value) -> None:
    """Record it if the objective depends on none of what moves, which is surely a mistake."""
    ctx, solved = plan.ctx, plan.solved
    if not stage.names or not stage.over or stage.names[0] not in solved.objectives:
        return
    if any(p not in plan.params for p in stage.over):
        return
    reached = Dependence(solved).params(stage.names[0])
    if reached & set(stage.over):
        return
    listed = ", ".join(f"'{p}'" for p in stage.over)
    known = sorted(p for p in reached if p in plan.params)
    ctx.error(
        "VS0316",
        f"the objective '{stage.names[0]}' does not depend on {listed}",
        target.span,
        label="nothing would change",
        help=f"it depends on {', '.join(known)}" if known else "no param occurs in it",
    )


class Dependence:
    """Which names an objective reads, directly and through definitions."""

    def __init__(self, solved: Solved) -> None:
        self.direct: dict[str, set[str]] = {}
        for equation in solved.equations:
            if isinstance(equation, Definition):
                self.direct[equation.name] = {e.name for e in elements(equation.body)}
            else:
                self._recurrence(equation)
        for name, objective in solved.objectives.items():
            # An objective that is shared with a definition is an element of that name.
            read = {e.name for e in elements(objective.body)} - {name}
            self.direct[name] = self.direct.get(name, set()) | read

    def _recurrence(self, equation: Recurrence) -> None:
        for state in equation.every_state:
            self.direct[state.name] = {e.name for x in (state.init, state.step) for e in elements(x)}
        for definition in equation.every_definition:
            self.direct[definition.name] = {e.name for e in elements(definition.body)}

    def params(self, name: str) -> set[str]:
        """All names that are read and are no equation: params, data and constants."""
        seen: set[str] = set()
        stack = [name]
        while stack:
            for other in self.direct.get(stack.pop(), ()):
                if other not in seen:
                    seen.add(other)
                    stack.append(other)
        return {n for n in seen if n not in self.direct}


def _names(ctx: Context, node: Value, what: str) -> list[Scalar]:
    items = list(node) if isinstance(node, Sequence) else [node]
    found = [i for i in items if isinstance(i, Scalar)]
    if len(found) < len(items):
        ctx.error("VS0326", f"'{what}' lists names", node.span)
    return found


def _objective(ctx: Context, node: Value, solved: Solved) -> str | None:
    if not isinstance(node, Scalar):
        ctx.error("VS0315", "one objective is named here", node.span)
        return None
    name = node.text.strip()
    symbol = ctx.symbols.get(name)
    if symbol is not None and symbol.kind == "objective":
        return name
    scalar = symbol is not None and symbol.kind == "definition" and not symbol.dims
    if symbol is not None and scalar and symbol.dtype in ("real", "integer"):
        # A scalar that has a name already need not be given a second one.
        value: Expr = Element(span=symbol.span, dtype=symbol.dtype, name=symbol.name)
        solved.objectives[symbol.name] = Objective(symbol.name, as_real(value), symbol.span)
        return symbol.name
    if name in ctx.opaque:
        return None
    objectives = [n for n, s in ctx.symbols.items() if s.kind == "objective"]
    listed = f"objectives are {', '.join(objectives)}" if objectives else "declare it under 'objectives'"
    if symbol is not None and symbol.kind in ("definition", "state"):
        if symbol.dtype == "complex" and not symbol.dims:
            ctx.error(
                "VS0351",
                f"'{name}' cannot be optimised: it is complex",
                node.span,
                help=f"write re({name}) or abs({name})",
            )
        elif symbol.dtype is not None:
            why = f"has indices: {symbol.shown}" if symbol.dims else "is a condition"
            ctx.error(
                "VS0305",
                f"'{name}' cannot be optimised: an objective is one number",
                node.span,
                label=why,
                help="sum or average it",
            )
    elif symbol is not None:
        ctx.error(
            "VS0315",
            f"'{name}' is {a(symbol.kind)}, not an objective",
            node.span,
            help="an objective is an expression under 'objectives'",
        )
    else:
        ctx.error("VS0315", f"unknown objective '{name}'", node.span, help=did_you_mean(name, objectives) or listed)
    return None


def _evaluated(ctx: Context, node: Value) -> tuple[str, ...]:
    names: list[str] = []
    for item in _names(ctx, node, "evaluate"):
        name = item.text.strip()
        symbol = ctx.symbols.get(name)
        if symbol is not None and symbol.kind != COUNTER:
            names.append(symbol.name)
        elif name not in ctx.opaque:
            ctx.error("VS0315", f"unknown name '{name}'", item.span, label="nothing to evaluate", help=ctx.near(name))
    return tuple(names)


def _over(plan: _Plan, node: Value | None) -> tuple[str, ...] | None:
    """The params that a stage moves: all if it names none."""
    if node is None:
        return tuple(n for n, s in plan.ctx.symbols.items() if s.kind == "param")
    if isinstance(node, Mapping):
        return _listed(plan, [key for key, _ in node.entries], "over")
    return _listed(plan, _names(plan.ctx, node, "over"), "over")


def _side(plan: _Plan, node: Mapping, verb: Scalar, side: str) -> tuple[str, ...]:
    given = node.get(side)
    if given is None:
        what = "goes down" if side == "min" else "goes up"
        plan.ctx.error("VS0328", f"a saddle names in '{side}' what {what}", verb.span, help=f"for example {side}: [x]")
        return ()
    return _listed(plan, _names(plan.ctx, given, side), side) or ()


def _listed(plan: _Plan, items: list[Scalar], what: str) -> tuple[str, ...] | None:
    """Params by name, stacks of params by their parts."""
    ctx, names = plan.ctx, list[str]()
    for item in items:
        name = item.text.strip()
        symbol = ctx.symbols.get(name)
        weights = weights_of(ctx, name, item.span)
        if weights is not None:
            names += [n for n in weights if n not in names and n in ctx.symbols]
            continue
        stacked = stacked_params(ctx, name, plan.solved.equations) if symbol is not None else None
        if symbol is not None and (symbol.kind == "param" or stacked is not None):
            names += [n for n in stacked or (name,) if n not in names]
            continue
        if name in ctx.opaque:
            return None
        known = movable(ctx)
        message = f"'{name}' is not a param" if symbol is not None else f"unknown param '{name}'"
        help = did_you_mean(name, known) or (f"params are {', '.join(known)}" if known else "")
        ctx.error("VS0315", message, item.span, label="only params are optimised", help=help)
        return None
    return tuple(names)


def _methods(plan: _Plan, node: Mapping, verb: Scalar, over: tuple[str, ...]) -> tuple[MethodCall, ...]:
    """The methods of a stage, each with the params that it moves; a mistake is in the sink."""
    ctx, kind, given = plan.ctx, verb.text, node.get("over")
    own = any(node.get(k) is not None for k in ("steps", "epochs"))
    until = node.get("until") is not None or (plan.until and not own)

    def whole(e: Expr, what: str) -> bool:
        return _whole(plan, e, what)

    if not isinstance(given, Mapping):
        if given is not None and kind in ("saddle", "descend"):
            where = "'min' and 'max'" if kind == "saddle" else "'descend'"
            ctx.error(
                "VS0368",
                f"{where} say what moves; 'over' may give each param its method",
                given.span,
                help="write over: {x: adam(0.1)}, or leave it out",
            )
            return ()
        call = read_method(ctx, node.get("method"), kind, verb.span, whole, until)
        return (replace(call, over=over),) if call is not None else ()
    if node.get("method") is not None:
        key = node.key("method")
        ctx.error(
            "VS0368",
            "'over' gives each param its method already",
            key.span if key is not None else given.span,
            help="give one of the two: a method for all, or a mapping from params to methods",
        )
        return ()
    found: list[MethodCall] = []
    moved: dict[str, Scalar] = {}
    for key, value in given.entries:
        names = _listed(plan, [key], "over")
        call = read_method(ctx, value, kind, key.span, whole, until)
        for name in names or ():
            if name in moved or (name not in over and over):
                why = "has two methods" if name in moved else f"does not move in this stage with '{kind}'"
                ctx.error("VS0370", f"'{name}' {why}", key.span, label="this method")
            moved.setdefault(name, key)
        if call is not None and names:
            found.append(replace(call, over=names))
    joint = next((m for m in found if METHODS[m.name].jointly), None)
    if joint is not None and len(found) > 1:
        ctx.error(
            "VS0377",
            f"'{joint.name}' moves all params of a stage together",
            joint.span,
            label="one of several methods here",
            help=f"write method: {joint.name}(...) for all of them",
        )
    left = [p for p in over if p not in moved]
    if left:
        ctx.error("VS0377", f"'over' gives '{left[0]}' no method", given.span, help="name each param that moves")
    return tuple(found)


def _updates(plan: _Plan, node: Value | None, over: tuple[str, ...]) -> tuple[tuple[Assignment, ...], ...]:
    found: list[tuple[Assignment, ...]] = []
    for item in () if node is None else node if isinstance(node, Sequence) else (node,):
        group = read_assignments(plan.ctx, item, "update", plan.solved.equations)
        if group is not None:
            found.append(group)
    for x in (x for group in found for x in group):
        for param in x.params:
            if param in over:
                plan.ctx.error(
                    "VS0370",
                    f"'{param}' is moved by the method and updated in one step",
                    x.span,
                    label="updated here",
                    help="leave it out of 'over', or update it in a stage of its own",
                )
    return tuple(found)


# --- how often --------------------------------------------------------------------------------------------------


def _lengths(plan: _Plan, node: Mapping, stage: Stage) -> Stage:
    """The stage with steps, epochs, starts, batches, the condition to end and the average."""
    ctx = plan.ctx
    epochs = node.key("epochs")
    if epochs is not None and node.get("batch") is None:
        ctx.error(
            "VS0373",
            "epochs count passes through batches, and this stage has none",
            epochs.span,
            help="add batch: {n: 20}, or count steps",
        )
    return replace(
        stage,
        steps=_count(plan, node.get("steps"), "steps"),
        epochs=_count(plan, node.get("epochs"), "epochs"),
        starts=_count(plan, node.get("starts"), "starts") or 1,
        until=_until(ctx, node.get("until")),
        average=_average(ctx, node.get("average")),
        batch=_batch(plan, node.get("batch")),
    )


def _count(plan: _Plan, node: Value | None, what: str) -> Count | None:
    """A whole number of at least 1, or an expression for one; None if there is none, or after a mistake."""
    if node is None:
        return None
    ctx = plan.ctx
    if isinstance(node, Scalar) and isinstance(node.value, int) and not isinstance(node.value, bool):
        if node.value >= 1:
            return node.value
    elif isinstance(node, Scalar) and isinstance(node.value, str):
        raw = parse_expression(node, ctx.sink)
        expr = ctx.infer(raw, Env(subject=f"'{what}'")) if raw is not None else None
        if expr is None or isinstance(expr, Unknown):
            return None
        return expr if _whole(plan, expr, f"'{what}'") else None
    ctx.error("VS0328", f"'{what}' is a whole number, at least 1", node.span)
    return None


def _whole(plan: _Plan, expr: Expr, what: str) -> bool:
    """Whether an expression is a whole number that is known before the first step; records the mistake."""
    ctx = plan.ctx
    if expr.dtype != "integer":
        ctx.error(
            "VS0372",
            f"{what} is a whole number, and this is {a_dtype(expr.dtype)}",
            expr.span,
            label=a_dtype(expr.dtype),
            help="integer(...) cuts a real to a whole number" if expr.dtype == "real" else "",
        )
        return False
    depends = Dependence(plan.solved)
    for e in elements(expr):
        late = sorted(n for n in {e.name, *depends.params(e.name)} if n in plan.params)
        if late:
            through = f" through '{e.name}'" if e.name not in late else ""
            ctx.error(
                "VS0372",
                f"{what} reads the param '{late[0]}'{through}",
                e.span,
                label="changes while the stage runs",
                help="a count is known before the first step: write constants, data and sizes",
            )
            return False
    return True


def _until(ctx: Context, node: Value | None) -> Expr | None:
    if not isinstance(node, Scalar):
        return None
    raw = parse_expression(node, ctx.sink)
    body = ctx.infer(raw, Env(subject="'until'")) if raw is not None else None
    if body is None or isinstance(body, Unknown):
        return None
    if body.dtype != "boolean":
        ctx.error(
            "VS0371",
            f"'until' is {a_dtype(body.dtype)}, not a condition",
            body.span,
            label="never true or false",
            help="compare it with something, for example < 1e-6",
        )
        return None
    return body


def _average(ctx: Context, node: Value | None) -> float | None:
    if node is None:
        return None
    value = node.value if isinstance(node, Scalar) else None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 1:
        ctx.error("VS0328", "'average' is the share of the last iterates, above 0 and at most 1", node.span)
        return None
    return float(value)


def _batch(plan: _Plan, node: Value | None) -> dict[str, Count]:
    ctx, found = plan.ctx, dict[str, Count]()
    for key, value in node.entries if isinstance(node, Mapping) else ():
        letter = key.text.strip()
        dim = ctx.dims.letters.get(letter)
        if dim is None:
            help = did_you_mean(letter, ctx.dims.letters) or "'batch' names index letters: batch: {n: 20}"
            ctx.error("VS0373", f"unknown index '{letter}' in 'batch'", key.span, help=help)
            continue
        if dim in found:
            ctx.error("VS0373", f"the dim of '{letter}' is batched twice", key.span)
            continue
        if not any(dim in s.dims for s in ctx.symbols.values() if s.kind in ("data", "param")):
            ctx.error(
                "VS0373",
                f"no data and no param has the index '{letter}'",
                key.span,
                label="nothing to take batches of",
                help="a batch takes some of the values of an index of data",
            )
            continue
        count = _count(plan, value, f"batch of {letter}")
        size = ctx.dims.size(dim)
        if isinstance(count, int) and size is not None and count > size:
            ctx.error("VS0373", f"a batch of {count} is larger than '{letter}', which has {size} values", value.span)
            continue
        if count is not None:
            found[dim] = count
    return found


__all__ = ["OPTIONS", "VERBS", "Dependence", "read_plan"]
