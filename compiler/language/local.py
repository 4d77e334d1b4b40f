"""`let`: the definitions of one stage. They join the equations of the spec, and only the stage sees their names."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields, is_dataclass, replace
from typing import Any

from vspec.compiler.diagnostics.spans import Span
from vspec.compiler.language.context import Context
from vspec.compiler.language.equations import Solved, check_equations
from vspec.compiler.language.expr import Element
from vspec.compiler.language.left import declare_equations
from vspec.compiler.language.spec import Definition, State
from vspec.compiler.source.document import Value

Calls = dict[str, tuple[str, ...]]


@contextmanager
def local_names(ctx: Context, node: Value | None, solved: Solved, calls: Calls) -> Iterator[tuple[str, ...]]:
    """Inside, the names of a stage's `let` are known. Gives what they are called in the checked spec.

    A name that a stage before has used, too, is numbered there, so that each name of the spec means one thing.
    """
    if node is None:
        yield ()
        return
    before = set(ctx.symbols)
    system = declare_equations(ctx, node, None, None)
    own = [name for name in ctx.symbols if name not in before]
    found = check_equations(ctx, system, calls)
    taken = {name for e in solved.equations for name in e.names}
    new: dict[str, str] = {}
    for name in own:
        unique, k = name, 2
        while unique in taken:
            unique, k = f"{name}_{k}", k + 1
        new[name] = unique
    changed = {old: name for old, name in new.items() if old != name}
    solved.equations += renamed(tuple(found.equations), changed) if changed else found.equations
    for name in own:
        ctx.symbols[name].name = new[name]
    try:
        yield tuple(new.values())
    finally:
        for name in own:
            del ctx.symbols[name]


def renamed(value: Any, names: Mapping[str, str]) -> Any:
    """The value, a tree of expressions and equations, with the names of equations replaced wherever they stand."""
    return rebuilt(
        value, lambda owner, field, old: names.get(old, old) if field == "name" and _has_name(owner) else None
    )


def rebuilt(value: Any, change: Callable[[Any, str, Any], Any]) -> Any:
    """A tree of expressions and equations with other fields. `change` gives for an owner, the name of a field and its value a new
    one; None where the value is looked into."""
    if isinstance(value, tuple):
        return tuple(rebuilt(x, change) for x in value)
    if not is_dataclass(value) or isinstance(value, type | Span):
        return value
    changes = {}
    for f in fields(value):
        old = getattr(value, f.name)
        new = change(value, f.name, old)
        if new is None:
            new = rebuilt(old, change)
        if new is not old:
            changes[f.name] = new
    return replace(value, **changes) if changes else value


def _has_name(value: Any) -> bool:
    return isinstance(value, Element | Definition | State)
