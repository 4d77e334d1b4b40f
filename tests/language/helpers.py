"""Checking small specs and showing checked trees in one line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vspec.compiler.diagnostics.diagnostic import Diagnostic
from vspec.compiler.language.expr import (
    Affine,
    Along,
    At,
    Coord,
    Delta,
    Derivative,
    Element,
    Expr,
    Implicit,
    IndexValue,
    Linalg,
    Number,
    Part,
    Pointwise,
    Reduction,
    Rows,
    SizeOf,
    Sought,
    Spacing,
    Stack,
    Stop,
    Subscript,
)
from vspec.compiler.language.spec import Definition, Recurrence, Spec
from vspec.compiler.pipeline import check_text

HEAD = "vspec: 1\nname: test\n"


def diagnose(text: str, overrides: Mapping[str, Any] | None = None) -> tuple[Spec | None, tuple[Diagnostic, ...]]:
    """The checked spec and the diagnostics of sections given without their head."""
    return check_text(HEAD + text, "test.yaml", overrides or {})


def good(text: str, overrides: Mapping[str, Any] | None = None) -> Spec:
    """The checked spec of a text that must be right."""
    spec, diagnostics = diagnose(text, overrides)
    assert spec is not None, [(d.code, d.message) for d in diagnostics]
    assert not [d for d in diagnostics if d.severity == "error"]
    return spec


def codes(text: str, overrides: Mapping[str, Any] | None = None) -> list[str]:
    """The codes of a text that must be wrong."""
    spec, diagnostics = diagnose(text, overrides)
    assert spec is None
    return [d.code for d in diagnostics]


def definition(spec: Spec, name: str) -> Definition:
    """A definition by name."""
    return next(e for e in spec.equations if isinstance(e, Definition) and e.name == name)


def recurrence(spec: Spec, name: str) -> Recurrence:
    """The recurrence that has a state of that name."""
    found = [e for e in spec.equations if isinstance(e, Recurrence) and any(s.name == name for s in e.states)]
    return found[0]


def order(spec: Spec) -> list[str]:
    """The names of the equations, in order."""
    return [e.name if isinstance(e, Definition) else "+".join(s.name for s in e.states) for e in spec.equations]


def shown(spec: Spec, name: str) -> str:
    """The body of a definition."""
    return show(definition(spec, name).body)


def show(e: Expr) -> str:
    """The expression with every operation by name."""
    if isinstance(e, Number):
        return repr(e.value)
    if isinstance(e, Pointwise):
        return f"{e.op}({', '.join(show(a) for a in e.args)})"
    if isinstance(e, Element):
        return f"{e.name}[{', '.join(_subscript(s) for s in e.subscripts)}]" if e.subscripts else e.name
    if isinstance(e, Reduction):
        level = f", {show(e.level)}" if e.level is not None else ""
        return f"{e.op}[{', '.join(e.letters)}]({show(e.body)}{level})"
    if isinstance(e, Along):
        return f"{e.op}[{e.letter}]({show(e.body)})"
    if isinstance(e, Derivative):
        return f"d({', '.join(show(x) for x in (e.body, *e.wrt))})"
    if isinstance(e, Rows):
        return f"rows[{e.letter}]({', '.join(show(x) for x in e.rows)})"
    if isinstance(e, Stack):
        return f"stack[{e.letter}]({', '.join(show(b.body) for b in e.blocks)})"
    if isinstance(e, Linalg):
        blocks = "; ".join(f"{show(b.body)} over {', '.join(b.core)}" for b in e.blocks)
        after = f"[{', '.join(_subscript(s) for s in e.subscripts)}]" if e.subscripts else ""
        return f"{e.op}({blocks}){after}"
    if isinstance(e, Delta):
        return f"delta[{show(e.left)}, {show(e.right)}]"
    if isinstance(e, IndexValue):
        return f"index({e.letter})"
    if isinstance(e, SizeOf):
        return f"size({e.letter})"
    if isinstance(e, Coord):
        return f"coord({e.letter})"
    if isinstance(e, Spacing):
        return f"spacing({e.letter})"
    if isinstance(e, Part):
        return f"part({e.letter}, {_subscript(e.place)})"
    if isinstance(e, Implicit):
        return f"{e.problem.op}[{', '.join(map(_sought, e.problem.sought))}]({', '.join(map(show, e.problem.bodies))})"
    assert isinstance(e, Stop), e
    return f"stop({show(e.body)})"


def _sought(u: Sought) -> str:
    return f"{u.name}[{', '.join(u.letters)}]" if u.letters else u.name


def _subscript(s: Subscript) -> str:
    if isinstance(s, At):
        return str(s.position)
    if isinstance(s, Affine):
        factor = f"{s.scale}*" if s.scale != 1 else ""
        sizes = "".join(f" + {count}*size({dim})" for dim, count in s.sizes)
        mode = f" {s.mode}" if s.mode else ""
        return f"{factor}{s.letter}{sizes}" + (f" + {s.offset}" if s.offset else "") + mode
    return f"<{show(s.index)}>"
