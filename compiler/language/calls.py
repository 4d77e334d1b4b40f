"""Calls that are no expressions: methods and laws of data, `adam(lr=1e-3)`, `bernoulli(0.2)`. An argument may be one."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from vspec.compiler.diagnostics.spans import Span
from vspec.compiler.diagnostics.suggest import did_you_mean
from vspec.compiler.language.context import Context
from vspec.compiler.language.parse import Refused, convert, parse_python
from vspec.compiler.language.raw import Raw
from vspec.compiler.source.document import Scalar


@dataclass(frozen=True, slots=True)
class NotLiteral:
    """Stands for an argument that is not a literal: Python's tree of it, to be read as what is expected there."""

    tree: ast.expr
    scalar: Scalar
    locate: Callable[[ast.AST], Span]

    def raw(self, ctx: Context) -> Raw | None:
        """The argument as an expression; None after a mistake."""
        return convert(self.tree, self.locate, self.scalar, ctx.sink)

    def call(self) -> Call | None:
        """The argument as a name or a call; None if it is neither."""
        return _call(self.tree, self.scalar, self.locate)

    def names(self) -> list[tuple[str, Span]] | None:
        """The argument as a list of names; None if it is none."""
        if not isinstance(self.tree, ast.List):
            return None
        found = [(x.id, self.locate(x)) for x in self.tree.elts if isinstance(x, ast.Name)]
        return found if len(found) == len(self.tree.elts) else None


@dataclass(frozen=True, slots=True)
class Call:
    """A name with its arguments: (keyword or None, value, span) each."""

    name: str
    arguments: tuple[tuple[str | None, Any, Span], ...]
    span: Span
    name_span: Span


def parse_call(ctx: Context, scalar: Scalar, known: Iterable[str] = ()) -> Call | None:
    """The call in the text; a bare name is a call without arguments. None after a mistake.

    `known` are the names that may be called; one of them may be meant where no name can be read, as by 'l-bfgs'.
    """
    try:
        tree, locate = parse_python(scalar)
    except Refused as refused:
        ctx.sink.diagnostics.append(refused.diagnostic)
        return None
    except (RecursionError, MemoryError):
        ctx.error("VS0721", "the call is nested too deeply", scalar.span)
        return None
    call = _call(tree, scalar, locate)
    if call is None:
        ctx.error(
            "VS0326",
            "a name with its arguments is expected here",
            locate(tree),
            help=_hyphens(scalar.text, known) or "for example adam(lr=1e-3)",
        )
    return call


def _call(tree: ast.expr, scalar: Scalar, locate: Callable[[ast.AST], Span]) -> Call | None:
    if isinstance(tree, ast.Name):
        return Call(tree.id, (), locate(tree), locate(tree))
    if not isinstance(tree, ast.Call) or not isinstance(tree.func, ast.Name):
        return None

    def value(node: ast.expr) -> Any:
        found = _literal(node)
        return NotLiteral(node, scalar, locate) if found is None else found

    arguments: list[tuple[str | None, Any, Span]] = [(None, value(a), locate(a)) for a in tree.args]
    arguments += [(k.arg or "**", value(k.value), locate(k)) for k in tree.keywords]
    return Call(tree.func.id, tuple(arguments), locate(tree), locate(tree.func))


def _hyphens(text: str, known: Iterable[str]) -> str:
    word = re.match(r"\s*([A-Za-z]\w*(?:[- ][A-Za-z]\w*)+)", text)
    return did_you_mean(re.sub("[- ]", "_", word[1]).lower(), known) if word else ""


def _literal(node: ast.expr) -> int | float | bool | None:
    """The value of a literal with its sign, or None."""
    if isinstance(node, ast.Constant) and isinstance(node.value, bool | int | float):
        return node.value
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
        inner = _literal(node.operand)
        if isinstance(inner, int | float) and not isinstance(inner, bool):
            return -inner if isinstance(node.op, ast.USub) else inner
    if isinstance(node, ast.Name) and node.id in ("true", "false"):
        return node.id == "true"
    return None
