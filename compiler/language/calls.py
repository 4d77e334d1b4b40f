"""Calls whose arguments are literals: methods and laws of data, `adam(lr=1e-3)`, `bernoulli(0.2)`."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from vspec.compiler.diagnostics.spans import Span
from vspec.compiler.diagnostics.suggest import did_you_mean
from vspec.compiler.language.context import Context
from vspec.compiler.language.parse import Refused, parse_python
from vspec.compiler.source.document import Scalar


@dataclass(frozen=True, slots=True)
class NotLiteral:
    """Stands for an argument that is not a literal: the tree of what is written, and where its nodes stand."""

    tree: ast.expr
    locate: Callable[[ast.AST], Span]

    def call(self) -> Call | None:
        """The argument as a name with arguments of its own, if it is one: `cg`, `cg(rtol=1e-3)`."""
        return read_call(self.tree, self.locate)


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
    call = read_call(tree, locate)
    if call is None:
        ctx.error(
            "VS0326",
            "a name with its arguments is expected here",
            locate(tree),
            help=_hyphens(scalar.text, known) or "for example adam(lr=1e-3)",
        )
    return call


def read_call(tree: ast.expr, locate: Callable[[ast.AST], Span]) -> Call | None:
    """A name, or a name with arguments; None if the tree is neither."""
    if isinstance(tree, ast.Name):
        return Call(tree.id, (), locate(tree), locate(tree))
    if not isinstance(tree, ast.Call) or not isinstance(tree.func, ast.Name):
        return None
    arguments: list[tuple[str | None, Any, Span]] = [(None, _value(a, locate), locate(a)) for a in tree.args]
    arguments += [(k.arg or "**", _value(k.value, locate), locate(k)) for k in tree.keywords]
    return Call(tree.func.id, tuple(arguments), locate(tree), locate(tree.func))


def _hyphens(text: str, known: Iterable[str]) -> str:
    word = re.match(r"\s*([A-Za-z]\w*(?:[- ][A-Za-z]\w*)+)", text)
    return did_you_mean(re.sub("[- ]", "_", word[1]).lower(), known) if word else ""


def _value(node: ast.expr, locate: Callable[[ast.AST], Span]) -> Any:
    if isinstance(node, ast.Constant) and isinstance(node.value, bool | int | float):
        return node.value
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
        inner = _value(node.operand, locate)
        if isinstance(inner, int | float) and not isinstance(inner, bool):
            return -inner if isinstance(node.op, ast.USub) else inner
    if isinstance(node, ast.Name) and node.id in ("true", "false"):
        return node.id == "true"
    return NotLiteral(node, locate)
