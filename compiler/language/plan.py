"""The `solve` section: stages, their methods and what they optimise over."""

from __future__ import annotations

from typing import Any

from vspec.compiler.diagnostics.spans import Span
from vspec.compiler.diagnostics.suggest import did_you_mean
from vspec.compiler.language.calls import Call, NotLiteral, parse_call
from vspec.compiler.language.context import Context
from vspec.compiler.language.equations import Solved
from vspec.compiler.language.expr import Element, Expr
from vspec.compiler.language.heads import a
from vspec.compiler.language.spec import Definition, MethodCall, Objective, Param, Recurrence, Stage
from vspec.compiler.language.substitute import elements
from vspec.compiler.language.types import as_real
from vspec.compiler.source.document import Mapping, Scalar, Sequence, Value
from vspec.runtime.registry import METHODS, Choice, Keyword, Method, chosen, defaults

VERBS = ("minimize", "maximize", "evaluate")
_PLANNED_VERBS = ("saddle", "pareto", "sample", "descend", "update", "repeat")
_PLANNED_OPTIONS = (
    "batch",
    "epochs",
    "until",
    "average",
    "let",
    "update",
    "name",
    "constraints",
    "min",
    "max",
    "stages",
)
DEFAULT_METHOD = "lbfgs"
# Methods of the design that the registry does not have yet.
_PLANNED_METHODS = frozenset({"block_coordinate", "mala", "hmc", "nuts"})
_PLANNED_KEYWORDS = frozenset({"hessian", "linear", "search"})


def read_plan(
    ctx: Context, node: Value | None, params: dict[str, Param], solved: Solved, constraints: Scalar | None = None
) -> tuple[Stage, ...]:
    """The stages in order; `constraints` is the key of that section, if there is one."""
    if node is None:
        return ()
    stages: list[Stage] = []
    depends = _Dependence(solved)
    for item in node if isinstance(node, Sequence) else (node,):
        if isinstance(item, Mapping):
            stage = _stage(ctx, item, params, depends)
            if stage is not None:
                _refuse_unsolved(ctx, stage, params, constraints)
                stages.append(stage)
        else:
            ctx.error("VS0328", "a stage says what to do", item.span, help="for example {minimize: loss}")
    return tuple(stages)


def _stage(ctx: Context, node: Mapping, params: dict[str, Param], depends: _Dependence) -> Stage | None:
    planned = False
    verbs = [k for k, _ in node.entries if k.text in VERBS]
    for key, _ in node.entries:
        if key.text in _PLANNED_VERBS and not (key.text == "update" and verbs):
            ctx.planned("VS0405", f"the stage '{key.text}'", key.span)
            return None
    for key, _ in node.entries:
        if key.text in _PLANNED_OPTIONS:
            planned = True
            ctx.planned("VS0406", f"'{key.text}' of a stage", key.span)
    if len(verbs) != 1:
        if verbs or not planned:
            message = "a stage does one thing" if verbs else "a stage says what to do"
            ctx.error(
                "VS0328", message, verbs[1].span if verbs else node.span, help="one of minimize, maximize, evaluate"
            )
        return None
    verb = verbs[0]
    target = node.get(verb.text)
    if target is None:
        return None
    if verb.text == "evaluate":
        names = _evaluated(ctx, target)
        return Stage("evaluate", names, (), None, None, 1, verb.span) if names else None
    objective = _objective(ctx, target, depends.solved)
    over = _over(ctx, node.get("over"), params)
    method = _method(ctx, node.get("method"), verb.span)
    steps = _count(ctx, node.get("steps"), "steps")
    starts = _count(ctx, node.get("starts"), "starts")
    if objective is None or over is None or method is None or planned:
        return None
    if not over:
        ctx.error(
            "VS0316",
            "there is nothing to optimise: the spec has no params",
            verb.span,
            help="declare them under 'params'",
        )
        return None
    if objective in depends.objectives and all(p in params for p in over):
        reached = depends.params(objective)
        if not reached & set(over):
            listed = ", ".join(f"'{p}'" for p in over)
            ctx.error(
                "VS0316",
                f"the objective '{objective}' does not depend on {listed}",
                target.span,
                label="nothing would change",
                help=f"it depends on {', '.join(sorted(reached))}" if reached else "no param occurs in it",
            )
            return None
    return Stage(verb.text, (objective,), over, method, steps, starts or 1, verb.span)


def _refuse_unsolved(ctx: Context, stage: Stage, params: dict[str, Param], constraints: Scalar | None) -> None:
    """What is checked and evaluated, but not solved for yet."""
    if stage.kind == "evaluate":
        return
    if constraints is not None:
        ctx.planned("VS0403", "solving under constraints", constraints.span, help="a stage may 'evaluate' with them")
    for name in stage.over:
        domain = params[name].domain if name in params else None
        if domain is not None and domain.kind not in ("real", "positive") and domain.span is not None:
            ctx.planned("VS0411", f"solving for a param in the domain '{domain.kind}'", domain.span)


class _Dependence:
    """Which names an objective reads, directly and through definitions."""

    def __init__(self, solved: Solved) -> None:
        self.solved = solved
        self.objectives = solved.objectives
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
        for state in equation.states:
            self.direct[state.name] = {e.name for x in (state.init, state.step) for e in elements(x)}
        for definition in equation.inner:
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
    if symbol is not None and symbol.kind == "definition" and not symbol.dims and symbol.dtype in ("real", "integer"):
        # A scalar that has a name already need not be given a second one.
        value: Expr = Element(span=symbol.span, dtype=symbol.dtype, name=name)
        solved.objectives[name] = Objective(name, as_real(value), symbol.span)
        return name
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
        if name in ctx.symbols:
            names.append(name)
        elif name not in ctx.opaque:
            ctx.error("VS0315", f"unknown name '{name}'", item.span, label="nothing to evaluate", help=ctx.near(name))
    return tuple(names)


def _over(ctx: Context, node: Value | None, params: dict[str, Param]) -> tuple[str, ...] | None:
    if node is None:
        return tuple(n for n, s in ctx.symbols.items() if s.kind == "param")
    if isinstance(node, Mapping):
        ctx.planned("VS0406", "a method per param ('over' as a mapping)", node.span)
        return None
    names: list[str] = []
    for item in _names(ctx, node, "over"):
        name = item.text.strip()
        symbol = ctx.symbols.get(name)
        if symbol is not None and symbol.kind == "param":
            if name not in names:
                names.append(name)
        else:
            known = [n for n, s in ctx.symbols.items() if s.kind == "param"]
            what = f"'{name}' is not a param" if symbol is not None else f"unknown param '{name}'"
            help = did_you_mean(name, known) or (f"params are {', '.join(known)}" if known else "")
            ctx.error("VS0315", what, item.span, label="only params are optimised", help=help)
            return None
    return tuple(names)


def _count(ctx: Context, node: Value | None, what: str) -> int | None:
    if node is None:
        return None
    if (
        isinstance(node, Scalar)
        and isinstance(node.value, int)
        and not isinstance(node.value, bool)
        and node.value >= 1
    ):
        return node.value
    if isinstance(node, Scalar) and isinstance(node.value, str):
        ctx.planned("VS0424", f"'{what}' as an expression", node.span, help="write a whole number")
        return None
    ctx.error("VS0328", f"'{what}' is a whole number, at least 1", node.span)
    return None


# --- methods ----------------------------------------------------------------------------------------------------


def _method(ctx: Context, node: Value | None, span: Span) -> MethodCall | None:
    if node is None:
        return MethodCall(DEFAULT_METHOD, defaults(METHODS[DEFAULT_METHOD]), span)
    if not isinstance(node, Scalar):
        ctx.error("VS0326", "a method is a name with its arguments", node.span, help="for example adam(lr=1e-3)")
        return None
    call = parse_call(ctx, node, METHODS)
    if call is None:
        return None
    method = METHODS.get(call.name)
    if method is None:
        if call.name in _PLANNED_METHODS:
            ctx.planned(
                "VS0405", f"the method '{call.name}'", call.name_span, help="'vspec list methods' names what there is"
            )
        else:
            ctx.error(
                "VS0311",
                f"unknown method '{call.name}'",
                call.name_span,
                label="not in the registry",
                help=did_you_mean(call.name, METHODS) or "'vspec list methods' names what there is",
            )
        return None
    arguments = _arguments(ctx, call, method)
    return MethodCall(call.name, arguments, call.span) if arguments is not None else None


def _arguments(ctx: Context, call: Call, method: Method | Choice) -> dict[str, Any] | None:
    given: dict[str, Any] = {}
    sound = True
    names = [k.name for k in method.keywords]
    signature = method.signature
    for position, (keyword, value, span) in enumerate(call.arguments):
        if keyword is None and position >= len(names):
            ctx.error("VS0314", f"'{method.name}' takes at most {len(names)} arguments", span, help=signature)
            sound = False
            continue
        name = keyword or names[position]
        if name in _PLANNED_KEYWORDS and name not in names:
            ctx.planned("VS0405", f"'{name}' of a method", span, help=f"the signature is {signature}")
            sound = False
            continue
        if name not in names:
            ctx.error(
                "VS0312",
                f"'{method.name}' has no keyword '{name}'",
                span,
                label="unknown keyword",
                help=[_keyword_help(name, names), f"its signature is {signature}"],
            )
            sound = False
            continue
        if name in given:
            ctx.error("VS0314", f"'{name}' is given twice", span)
            sound = False
            continue
        want = method.keywords[names.index(name)]
        converted = _typed(ctx, method, want, value, span)
        sound = sound and converted is not None
        given[name] = converted
    missing = [k.name for k in method.keywords if k.required and k.name not in given]
    if missing:
        ctx.error("VS0314", f"'{method.name}' needs '{missing[0]}'", call.span, help=f"its signature is {signature}")
        sound = False
    return {**defaults(method), **given} if sound else None


def _keyword_help(name: str, names: list[str]) -> str:
    if name in ("steps", "max_iter", "maxiter", "max_steps", "iterations", "num_steps", "n_steps"):
        return "the number of steps is an option of the stage: steps: 100"
    return did_you_mean(name, names)


def _choice(ctx: Context, method: Method | Choice, want: Keyword, value: Any, span: Span) -> Any:
    """The chosen word with its arguments, as `registry.chosen` has it."""
    known = {c.name: c for c in want.choices}
    listed = ", ".join(c.signature if c.keywords else c.name for c in want.choices)
    call = value.call() if isinstance(value, NotLiteral) else None
    if call is None or call.name not in known:
        message = f"'{want.name}' of '{method.name}' is one of {listed}"
        help = did_you_mean(call.name, known) if call is not None else ""
        ctx.error("VS0313", message, span if call is None else call.name_span, label=want.doc, help=help)
        return None
    arguments = _arguments(ctx, call, known[call.name])
    return None if arguments is None else chosen(want, call.name, arguments)


def _typed(ctx: Context, method: Method | Choice, want: Keyword, value: Any, span: Span) -> Any:
    if want.choices:
        return _choice(ctx, method, want, value, span)
    if isinstance(value, NotLiteral):
        ctx.planned(
            "VS0424", f"'{want.name}' as an expression", span, help=f"write a number: {want.name}={want.default}"
        )
        return None
    words = {float: "a number", int: "a whole number", bool: "true or false", str: "a word"}
    if want.type is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, want.type) and (want.type is bool or not isinstance(value, bool)):
        return value
    shown = str(value).lower() if isinstance(value, bool) else value
    ctx.error(
        "VS0313",
        f"'{want.name}' of '{method.name}' is {words.get(want.type, 'something else')}, not {shown}",
        span,
        label=want.doc,
    )
    return None


__all__ = ["DEFAULT_METHOD", "read_plan"]
