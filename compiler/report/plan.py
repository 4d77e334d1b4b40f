"""The stages of a spec in words and formulas: what moves, how, how often and until when."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from vspec.compiler.language.spec import Assignment, Count, MethodCall, Spec, Stage, as_named
from vspec.compiler.report.formulas import printer
from vspec.compiler.report.math import Printer


def plan_lines(spec: Spec) -> list[str]:
    """One line for each stage and, indented below it, one for each of its formulas and for the stages of a repetition.

    What is split over devices comes first, since all stages run so.
    """
    p = printer(spec)
    split = [f"split {dim} over the devices of the axis '{s.axis}'" for dim, s in spec.shard.items()]
    return [*split, *(line for stage in spec.plan for line in _stage(stage, p, ""))]


def _stage(s: Stage, p: Printer, pad: str) -> Iterator[str]:
    yield pad + (f"{s.name}: " if s.name else "") + _head(s, p)
    inner = pad + "  "
    for a in s.directions:
        yield f"{inner}against {p.expression(a.body)} in {p.element(a.name, a.letters)}"
    for k, group in enumerate(s.updates):
        for a in group:
            yield f"{inner}{'then ' if k else ''}{_assignment(a, p)}"
    if s.until is not None:
        yield f"{inner}until {p.expression(s.until)}"
    for stage in s.stages:
        yield from _stage(stage, p, inner)


def _head(s: Stage, p: Printer) -> str:
    """The stage but for its formulas: `minimize loss over w by adam(lr=0.1), 100 steps`."""
    if s.rounds is not None:
        subject = f"{_count(s.rounds, p)} times"
    elif s.kind == "update":
        subject = ", ".join(dict.fromkeys(q for group in s.updates for a in group for q in a.params))
    else:
        subject = ", ".join(s.names)
    text = f"{s.kind} {subject}".rstrip()
    if s.kind == "saddle":
        text += f" down in {', '.join(as_named(s.min))}, up in {', '.join(as_named(s.max))}"
    elif s.over and len(s.methods) == 1:
        text += f" over {', '.join(as_named(s.over))}"
    if len(s.methods) == 1:
        text += f" by {_call(s.methods[0], p)}"
    elif s.methods:
        text += " by " + ", ".join(f"{_call(m, p)} over {', '.join(as_named(m.over))}" for m in s.methods)
    for what, count in (("steps", s.steps), ("epochs", s.epochs)):
        if count is not None:
            text += f", {_count(count, p)} {what}"
    if s.batch:
        text += f", batches of {', '.join(f'{_count(size, p)} along {dim}' for dim, size in s.batch.items())}"
        text += f", sums over {', '.join(s.batch)} scaled to all rows"
    if s.starts != 1:
        text += f", {_count(s.starts, p)} starts"
    if s.average is not None:
        text += f", the last {s.average:g} of the iterates averaged"
    if s.constraints is not None:
        text += f", constraints by {_call(s.constraints, p)}"
    return text


def _assignment(a: Assignment, p: Printer) -> str:
    return f"{p.element(a.name, a.letters)} ← {p.expression(a.body)}"


def _count(count: Count, p: Printer) -> str:
    return str(count) if isinstance(count, int) else p.expression(count)


def _call(call: MethodCall, p: Printer) -> str:
    expressions = {**call.schedule, **call.counts}

    def shown(arguments: dict[str, Any], path: str) -> str:
        return ", ".join(f"{k}={value(v, path + k)}" for k, v in arguments.items())

    def value(v: Any, path: str) -> str:
        if path in expressions:
            return p.expression(expressions[path])
        if isinstance(v, dict):
            inner = shown(v["arguments"], f"{path}.")
            return f"{v['name']}({inner})" if inner else str(v["name"])
        if isinstance(v, tuple):
            return " ".join(f"[{', '.join(names)}]" for names in v)
        return str(v)

    return f"{call.name}({shown(dict(call.arguments), '')})"
