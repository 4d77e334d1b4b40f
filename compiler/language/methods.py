"""Methods of a stage and ways to keep constraints: a name of a registry with its arguments, some of them expressions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from vspec.compiler.diagnostics.spans import Span
from vspec.compiler.diagnostics.suggest import did_you_mean
from vspec.compiler.language.calls import Call, NotLiteral, parse_call
from vspec.compiler.language.context import Context, Env, Unknown
from vspec.compiler.language.expr import Expr
from vspec.compiler.language.networks import movable, weights_of
from vspec.compiler.language.spec import MethodCall
from vspec.compiler.language.types import a_dtype, as_real
from vspec.compiler.source.document import Scalar, Value
from vspec.runtime.registry import METHODS, STRATEGIES, Choice, Keyword, Method, Strategy, chosen, defaults

DEFAULT_METHOD = "lbfgs"
# Methods of the design that the registry does not have yet.
_PLANNED_METHODS = frozenset({"block_coordinate", "mala", "hmc", "nuts"})
_PLANNED_KEYWORDS = frozenset({"hessian", "linear", "search"})
_LISTED = "'vspec list methods' names what there is"

Signature = Method | Choice | Strategy

Whole = Callable[[Expr, str], bool]
"""Whether an expression is a count that is known before the first step; records the mistake. Takes what it is called, too."""


@dataclass(slots=True)
class _Bound:
    """The arguments of a call: literal values, and the expressions among them by the path of their keywords."""

    arguments: dict[str, Any] = field(default_factory=dict)
    schedule: dict[str, Expr] = field(default_factory=dict)
    counts: dict[str, Expr] = field(default_factory=dict)


def read_method(
    ctx: Context, node: Value | None, kind: str, span: Span, whole: Whole, until: bool = False
) -> MethodCall | None:
    """The method of a stage of that kind; None after a mistake. `span` is where the stage's verb stands; `until`: whether a
    condition says when the stage ends, so that no tolerance of the method's own does unless it is written."""
    # A saddle and given directions have no values to compare.
    blind = kind in ("saddle", "descend")
    if node is None and not blind:
        return MethodCall(DEFAULT_METHOD, {**defaults(METHODS[DEFAULT_METHOD]), **_absent(until)}, span)
    if node is None:
        example = "extragradient" if kind == "saddle" else "sgd(0.1)"
        ctx.error("VS0377", f"a stage with '{kind}' names its method", span, help=f"for example method: {example}")
        return None
    if not isinstance(node, Scalar):
        ctx.error("VS0326", "a method is a name with its arguments", node.span, help="for example adam(lr=1e-3)")
        return None
    call = parse_call(ctx, node, METHODS)
    if call is None:
        return None
    if call.name in _PLANNED_METHODS and call.name not in METHODS:
        ctx.planned("VS0405", f"the method '{call.name}'", call.name_span, help=_LISTED)
        return None
    method = METHODS.get(call.name)
    if method is None:
        _unknown(ctx, call, "method", METHODS, _LISTED)
        return None
    if blind and method.compares:
        ctx.error(
            "VS0377",
            f"'{method.name}' cannot carry out a stage with '{kind}'",
            call.name_span,
            label="it compares values of an objective",
            help=f"methods that follow a gradient can, such as {'extragradient' if kind == 'saddle' else 'sgd'} or adam",
        )
        return None
    return _bound_call(ctx, call, method, whole, _absent(until))


def _absent(until: bool) -> dict[str, Any]:
    """What keywords are that are not written, where it is not their default."""
    return {"tol": 0.0} if until else {}


def read_strategy(ctx: Context, node: Value, whole: Whole) -> MethodCall | None:
    """How a stage keeps constraints and domains; None after a mistake."""
    if not isinstance(node, Scalar):
        ctx.error("VS0326", "a way to keep constraints is a name with its arguments", node.span)
        return None
    call = parse_call(ctx, node, STRATEGIES)
    if call is None:
        return None
    if call.name not in STRATEGIES:
        _unknown(ctx, call, "way to keep constraints", STRATEGIES, f"there are {', '.join(STRATEGIES)}")
        return None
    return _bound_call(ctx, call, STRATEGIES[call.name], whole)


def _unknown(ctx: Context, call: Call, what: str, known: Mapping[str, Any], listed: str) -> None:
    ctx.error(
        "VS0311",
        f"unknown {what} '{call.name}'",
        call.name_span,
        label="not in the registry",
        help=did_you_mean(call.name, known) or listed,
    )


def _bound_call(
    ctx: Context, call: Call, of: Signature, whole: Whole, absent: Mapping[str, Any] | None = None
) -> MethodCall | None:
    bound = _Bound()
    arguments = _arguments(ctx, call, of, "", bound, whole, absent or {})
    if arguments is None:
        return None
    return MethodCall(call.name, arguments, call.span, (), bound.schedule, bound.counts)


# --- arguments --------------------------------------------------------------------------------------------------


def _arguments(
    ctx: Context,
    call: Call,
    of: Signature,
    path: str,
    bound: _Bound,
    whole: Whole,
    absent: Mapping[str, Any] = MappingProxyType({}),
) -> dict[str, Any] | None:
    """Every keyword with its value, those that are `absent` and defaults filled in; None after a mistake. Expressions go to
    `bound`."""
    given: dict[str, Any] = {}
    sound = True
    keywords, signature = of.keywords, of.signature
    names = [k.name for k in keywords]
    lists = next((k for k in keywords if k.type is tuple), None)
    for position, (keyword, value, span) in enumerate(call.arguments):
        if keyword is None and lists is not None:
            found = _params(ctx, call.name, value, span)
            sound = sound and found is not None
            given[lists.name] = (*given.get(lists.name, ()), found)
            continue
        if keyword is None and position >= len(names):
            most = f"takes at most {len(names)} arguments" if names else "takes no arguments"
            ctx.error("VS0314", f"'{call.name}' {most}", span, help=signature)
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
                f"'{call.name}' has no keyword '{name}'",
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
        want = keywords[names.index(name)]
        given[name], right = _typed(ctx, call.name, want, value, span, path + name, bound, whole)
        sound = sound and right
    missing = [k.name for k in keywords if k.required and k.name not in given]
    if missing:
        ctx.error("VS0314", f"'{call.name}' needs '{missing[0]}'", call.span, help=f"its signature is {signature}")
        sound = False
    own = {k: v for k, v in absent.items() if k in names}
    return {**defaults(of), **own, **given} if sound else None


def _keyword_help(name: str, names: list[str]) -> str:
    if name in ("steps", "max_iter", "maxiter", "max_steps", "iterations", "num_steps", "n_steps"):
        return "the number of steps is an option of the stage: steps: 100"
    return did_you_mean(name, names)


_WANTED = {float: "a number", int: "a whole number", bool: "true or false", str: "a word", tuple: "lists of params"}


def _typed(
    ctx: Context, call: str, want: Keyword, value: Any, span: Span, path: str, bound: _Bound, whole: Whole
) -> tuple[Any, bool]:
    """The value of an argument, None for an expression, and whether it is right."""
    if want.choices:
        return _choice(ctx, call, want, value, span, path, bound, whole)
    if isinstance(value, NotLiteral) and want.type in (float, int):
        expr = _expression(ctx, call, want, value)
        if expr is None:
            return None, False
        if want.type is int:
            bound.counts[path] = expr
            return None, whole(expr, f"'{want.name}' of '{call}'")
        if expr.dtype not in ("real", "integer"):
            ctx.error(
                "VS0375", f"'{want.name}' of '{call}' is a number, and this is {a_dtype(expr.dtype)}", expr.span,
                label=want.doc,
            )  # fmt: skip
            return None, False
        bound.schedule[path] = as_real(expr)
        return None, True
    if want.type is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value), True
    literal = not isinstance(value, NotLiteral) and isinstance(value, want.type)
    if literal and (want.type is bool or not isinstance(value, bool)):
        return value, True
    named = value.call() if isinstance(value, NotLiteral) else None
    if want.type is str and named is not None and not named.arguments:
        return named.name, True
    shown = (
        "an expression" if isinstance(value, NotLiteral) else str(value).lower() if value in (True, False) else value
    )
    ctx.error("VS0313", f"'{want.name}' of '{call}' is {_WANTED[want.type]}, not {shown}", span, label=want.doc)
    return None, False


def _expression(ctx: Context, call: str, want: Keyword, value: NotLiteral) -> Expr | None:
    raw = value.raw(ctx)
    expr = ctx.infer(raw, Env(subject=f"'{want.name}' of '{call}'")) if raw is not None else None
    return None if expr is None or isinstance(expr, Unknown) else expr


def _choice(
    ctx: Context, call: str, want: Keyword, value: Any, span: Span, path: str, bound: _Bound, whole: Whole
) -> tuple[Any, bool]:
    """The chosen word with its arguments, as `registry.chosen` has it."""
    known = {c.name: c for c in want.choices}
    listed = ", ".join(c.signature if c.keywords else c.name for c in want.choices)
    named = value.call() if isinstance(value, NotLiteral) else None
    if named is None or named.name not in known:
        message = f"'{want.name}' of '{call}' is one of {listed}"
        help = did_you_mean(named.name, known) if named is not None else ""
        ctx.error("VS0313", message, span if named is None else named.name_span, label=want.doc, help=help)
        return None, False
    arguments = _arguments(ctx, named, known[named.name], f"{path}.", bound, whole)
    return (None, False) if arguments is None else (chosen(want, named.name, arguments), True)


def _params(ctx: Context, call: str, value: Any, span: Span) -> tuple[str, ...] | None:
    """One list of params."""
    names = value.names() if isinstance(value, NotLiteral) else None
    if not names:
        ctx.error("VS0313", f"'{call}' takes lists of params", span, help=f"for example {call}([x], [y])")
        return None
    params = movable(ctx)
    found: list[str] = []
    for name, at in names:
        if name not in params:
            help = did_you_mean(name, params) or (f"params are {', '.join(params)}" if params else "")
            ctx.error("VS0315", f"'{name}' is not a param", at, label="only params are optimised", help=help)
            return None
        found += weights_of(ctx, name, at) or (name,)
    return tuple(found)


__all__ = ["DEFAULT_METHOD", "read_method", "read_strategy"]
