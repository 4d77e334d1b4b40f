"""Expression text → raw tree, through Python's own parser and a white-list of its nodes. Nothing is ever evaluated."""

from __future__ import annotations

import ast
import math
import re
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import NoReturn

from vspec.compiler.diagnostics.diagnostic import Diagnostic, Sink
from vspec.compiler.diagnostics.spans import Span
from vspec.compiler.language.raw import (
    Keyword,
    Raw,
    RawCall,
    RawElement,
    RawFact,
    RawList,
    RawName,
    RawNumber,
    RawOp,
    RawSlice,
)
from vspec.compiler.language.rename import renamed
from vspec.compiler.language.slips import check_characters, explain_syntax_error
from vspec.compiler.source.document import Scalar

MAX_LENGTH = 20_000
MAX_DEPTH = 120
MAX_EXPONENT = 1024
MAX_INTEGER = 2**63 - 1

_BINARY: dict[type[ast.operator], str] = {
    ast.Add: "add",
    ast.Sub: "sub",
    ast.Mult: "mul",
    ast.Div: "div",
    ast.Pow: "pow",
    ast.Mod: "mod",
    ast.FloorDiv: "floordiv",
}

_COMPARE: dict[type[ast.cmpop], str] = {
    ast.Lt: "lt",
    ast.LtE: "le",
    ast.Gt: "gt",
    ast.GtE: "ge",
    ast.Eq: "eq",
    ast.NotEq: "ne",
}

_NOT_HERE: dict[type[ast.AST], tuple[str, str]] = {
    ast.Lambda: ("a lambda", "declare a function under 'functions' and call it by name"),
    ast.List: ("a list", "write literal arrays as YAML lists under 'constants' or 'data'"),
    ast.Dict: ("a dictionary", ""),
    ast.Set: ("a set", ""),
    ast.ListComp: ("a comprehension", "index notation needs no loop: write sum[i](...)"),
    ast.GeneratorExp: ("a comprehension", "index notation needs no loop: write sum[i](...)"),
    ast.SetComp: ("a comprehension", "index notation needs no loop: write sum[i](...)"),
    ast.DictComp: ("a comprehension", "index notation needs no loop: write sum[i](...)"),
    ast.NamedExpr: ("an assignment", "give the value a name of its own under 'define'"),
    ast.JoinedStr: ("a string", ""),
    ast.Starred: ("a starred argument", "list the arguments one by one"),
    ast.Await: ("'await'", ""),
    ast.Yield: ("'yield'", ""),
    ast.YieldFrom: ("'yield'", ""),
}


class Refused(Exception):  # noqa: N818 (a refusal is not an error of ours)
    """Unwinds one expression; carries its diagnostic, never leaves this module."""

    def __init__(self, code: str, message: str, span: Span, label: str = "", help: str = "") -> None:
        super().__init__(message)
        self.diagnostic = Diagnostic(code, message, span, label, (help,) if help else ())


def parse_expression(scalar: Scalar, sink: Sink, *, start: int = 0, end: int | None = None) -> Raw | None:
    """The raw tree of `scalar.text[start:end]`, or None with a diagnostic in the sink.

    Args:
        scalar: the text with its places in the file.
        sink: where mistakes are recorded.
        start: offset of the first character of the expression.
        end: offset after its last character; the text's end when None.
    """
    try:
        tree, locate = parse_python(scalar, start, end)
    except Refused as refused:
        sink.diagnostics.append(refused.diagnostic)
        return None
    except (RecursionError, MemoryError):
        _too_deep(scalar, sink)
        return None
    return convert(tree, locate, scalar, sink)


def convert(tree: ast.expr, locate: Callable[[ast.AST], Span], scalar: Scalar, sink: Sink) -> Raw | None:
    """The raw tree of Python's tree of `scalar` or of a part of it, or None with a diagnostic in the sink."""
    try:
        raw = _Converter(locate).convert(tree, 0)
        return renamed(raw, scalar.names) if scalar.names else raw
    except Refused as refused:
        sink.diagnostics.append(refused.diagnostic)
    except (RecursionError, MemoryError):
        _too_deep(scalar, sink)
    return None


def _too_deep(scalar: Scalar, sink: Sink) -> None:
    sink.error(
        "VS0721", "the expression is nested too deeply", scalar.span, help="give parts of it names under 'define'"
    )


def parse_python(scalar: Scalar, start: int = 0, end: int | None = None) -> tuple[ast.expr, Callable[[ast.AST], Span]]:
    """Python's tree of the text and a function that locates its nodes in the file; raises `Refused`."""
    text = scalar.text[start:end]

    def at(first: int, last: int) -> Span:
        return scalar.locate(start + first, start + last)

    if not text.strip():
        raise Refused("VS0237", "an expression is missing here", _wide(scalar.span), "this is empty")
    if len(text) > MAX_LENGTH:
        raise Refused(
            "VS0720",
            f"the expression has {len(text)} characters; at most {MAX_LENGTH} are allowed",
            at(0, 1),
            help="give parts of it names under 'define'",
        )
    found = check_characters(text, MAX_DEPTH)
    if found is not None:
        raise Refused(found.code, found.message, at(found.start, found.end), found.label, found.help)
    # One line of ASCII, so that Python's byte columns are offsets; the parentheses let an expression run over lines.
    line = "(" + re.sub(r"\s", " ", text) + ")"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(line, mode="eval").body
    except SyntaxError as error:
        if "digits" in (error.msg or ""):
            raise Refused("VS0723", "a number in this expression has too many digits", scalar.span) from None
        slip = explain_syntax_error(text, (error.offset or 2) - 2, error.msg or "")
        raise Refused(slip.code, slip.message, at(slip.start, slip.end), slip.label, slip.help) from None
    except ValueError:
        raise Refused("VS0723", "a number in this expression has too many digits", scalar.span) from None

    def locate(node: ast.AST) -> Span:
        first, last = node.col_offset, node.end_col_offset  # type: ignore[attr-defined]
        return at(first - 1, last - 1)

    return tree, locate


class _Converter:
    """Turns the allowed nodes of Python's tree into raw nodes and refuses all others."""

    def __init__(self, locate: Callable[[ast.AST], Span]) -> None:
        self.locate = locate

    def refuse(self, code: str, message: str, node: ast.AST, label: str = "", help: str = "") -> NoReturn:
        raise Refused(code, message, self.locate(node), label, help)

    def convert(self, node: ast.AST, depth: int) -> Raw:
        if depth > MAX_DEPTH:
            self.refuse(
                "VS0721",
                f"the expression is nested more than {MAX_DEPTH} levels deep",
                node,
                help="give parts of it names under 'define'",
            )
        depth += 1
        span = self.locate(node)
        if isinstance(node, ast.Constant):
            return self.constant(node, span)
        if isinstance(node, ast.Name):
            if node.id in ("true", "false"):
                return RawNumber(span=span, value=node.id == "true")
            return RawName(span=span, name=node.id)
        if isinstance(node, ast.BinOp):
            return self.binary(node, span, depth)
        if isinstance(node, ast.UnaryOp):
            return self.unary(node, span, depth)
        if isinstance(node, ast.BoolOp | ast.Compare):
            links = len(node.values if isinstance(node, ast.BoolOp) else node.ops)
            if links > MAX_DEPTH:
                self.refuse(
                    "VS0721",
                    f"more than {MAX_DEPTH} conditions are joined in one expression",
                    node,
                    help="give parts of it names under 'define'",
                )
        if isinstance(node, ast.BoolOp):
            op = "and" if isinstance(node.op, ast.And) else "or"
            left = self.convert(node.values[0], depth)
            for value in node.values[1:]:
                right = self.convert(value, depth)
                left = RawOp(span=left.span.to(right.span), op=op, args=(left, right))
            return left
        if isinstance(node, ast.Compare):
            return self.comparison(node, depth)
        if isinstance(node, ast.IfExp):
            parts = (node.test, node.body, node.orelse)
            return RawOp(span=span, op="where", args=tuple(self.convert(p, depth) for p in parts))
        if isinstance(node, ast.Call):
            return self.call(node, span, depth)
        if isinstance(node, ast.Subscript):
            return self.subscript(node, span, depth)
        if isinstance(node, ast.Attribute):
            return self.attribute(node, span)
        if isinstance(node, ast.Tuple):
            self.refuse(
                "VS0235",
                "a comma makes a tuple; an expression is one value",
                node,
                "several values here",
                "write one expression per name",
            )
        what, help = _NOT_HERE.get(type(node), ("this construct", ""))
        self.refuse("VS0235", f"{what} is not part of the expression language", node, help=help)

    def constant(self, node: ast.Constant, span: Span) -> Raw:
        value = node.value
        if isinstance(value, bool):
            return RawNumber(span=span, value=value)
        if isinstance(value, int):
            if abs(value) > MAX_INTEGER:
                self.refuse(
                    "VS0723", "the integer is too large", node, "at most 2**63 - 1", "write it as a real, like 1e20"
                )
            return RawNumber(span=span, value=value)
        if isinstance(value, float):
            if math.isinf(value):
                self.refuse(
                    "VS0723",
                    "the number is too large for a double",
                    node,
                    "this is infinite",
                    "infinity is written inf",
                )
            return RawNumber(span=span, value=value)
        if isinstance(value, complex):
            if math.isinf(value.imag):
                self.refuse("VS0723", "the number is too large for a double", node, "this is infinite")
            return RawNumber(span=span, value=value)
        what = {str: "a string", bytes: "a string", type(None): "None"}.get(type(value), "this")
        self.refuse("VS0235", f"{what} is not part of the expression language", node)

    def binary(self, node: ast.BinOp, span: Span, depth: int) -> Raw:
        op = _BINARY.get(type(node.op))
        if op is None:
            sign, help = {
                ast.MatMult: ("@", "write the sum: sum[j](A[i, j]*b[j])"),
                ast.BitXor: ("^", "write ** for a power"),
                ast.BitAnd: ("&", "write 'and'"),
                ast.BitOr: ("|", "write 'or'"),
                ast.LShift: ("<<", "write a*2**b"),
                ast.RShift: (">>", "write a//2**b"),
            }[type(node.op)]
            self.refuse("VS0231", f"'{sign}' is not an operator of the language", node, help=help)
        left, right = self.convert(node.left, depth), self.convert(node.right, depth)
        if op == "pow":
            self.check_power(left, right, node)
        return RawOp(span=span, op=op, args=(left, right))

    def check_power(self, base: Raw, exponent: Raw, node: ast.AST) -> None:
        power = _literal(exponent)
        if power is None:
            return
        if abs(power) > MAX_EXPONENT:
            raise Refused(
                "VS0722",
                f"the power is larger than {MAX_EXPONENT}",
                exponent.span,
                "this exponent",
                "for a large power write exp(n*log(x))",
            )
        value = _literal(base)
        if value is not None and abs(_power(value, power)) > MAX_INTEGER and isinstance(power, int):
            self.refuse(
                "VS0722", "the power is too large a number to be exact", node, help="write it as a real, like 1e20"
            )

    def unary(self, node: ast.UnaryOp, span: Span, depth: int) -> Raw:
        if isinstance(node.op, ast.Invert):
            self.refuse("VS0231", "'~' is not an operator of the language", node, help="write 'not'")
        body = self.convert(node.operand, depth)
        if isinstance(node.op, ast.UAdd):
            return body
        if isinstance(node.op, ast.Not):
            return RawOp(span=span, op="not", args=(body,))
        if isinstance(body, RawNumber) and not isinstance(body.value, bool):
            # The real part of an imaginary literal stays 0: -(0 + 2j) would have a negative zero.
            value = complex(0, -body.value.imag) if isinstance(body.value, complex) else -body.value
            return RawNumber(span=span, value=value)
        return RawOp(span=span, op="neg", args=(body,))

    def comparison(self, node: ast.Compare, depth: int) -> Raw:
        result: Raw | None = None
        left = self.convert(node.left, depth)
        for operator, comparator in zip(node.ops, node.comparators):
            op = _COMPARE.get(type(operator))
            if op is None:
                word = "in" if isinstance(operator, ast.In | ast.NotIn) else "is"
                self.refuse(
                    "VS0231", f"'{word}' is not an operator of the language", node, help="write a comparison with =="
                )
            right = self.convert(comparator, depth)
            part = RawOp(span=left.span.to(right.span), op=op, args=(left, right))
            result = part if result is None else RawOp(span=result.span.to(part.span), op="and", args=(result, part))
            left = right
        assert result is not None
        return result

    def subscripts(self, node: ast.expr, depth: int) -> tuple[Raw, ...]:
        items = node.elts if isinstance(node, ast.Tuple) else [node]
        found: list[Raw] = []
        for item in items:
            if isinstance(item, ast.Slice):
                if item.lower is not None or item.upper is not None or item.step is not None:
                    self.refuse(
                        "VS0235",
                        "a range of an axis cannot be taken",
                        item,
                        "only ':' is possible",
                        "use a smaller dim with an offset, x[s + 1]",
                    )
                found.append(RawSlice(span=self.locate(item)))
            else:
                found.append(self.convert(item, depth))
        return tuple(found)

    def subscript(self, node: ast.Subscript, span: Span, depth: int) -> Raw:
        inner = node.value
        if isinstance(inner, ast.Name):
            return RawElement(
                span=span, name=inner.id, subscripts=self.subscripts(node.slice, depth), name_span=self.locate(inner)
            )
        if isinstance(inner, ast.Call):
            call = self.call(inner, span, depth)
            if isinstance(call, RawCall):
                return RawCall(
                    span=span,
                    name=call.name,
                    args=call.args,
                    name_span=call.name_span,
                    bound=call.bound,
                    subscripts=self.subscripts(node.slice, depth),
                    keywords=call.keywords,
                )
            return call
        if isinstance(inner, ast.Subscript):
            name = inner.value.id if isinstance(inner.value, ast.Name) else "x"
            self.refuse(
                "VS0236",
                "subscripts stand in one pair of brackets",
                node,
                "second pair of brackets",
                f"write {name}[i, j]",
            )
        if isinstance(inner, ast.Attribute):
            return replace(self.attribute(inner, span), subscripts=self.subscripts(node.slice, depth))
        self.refuse(
            "VS0236",
            "only a name or a function's result has subscripts",
            node,
            help="give the expression a name under 'define'",
        )

    def call(self, node: ast.Call, span: Span, depth: int) -> Raw:
        function, bound = node.func, None
        if isinstance(function, ast.Subscript) and isinstance(function.value, ast.Name):
            bound = self.subscripts(function.slice, depth)
            function = function.value
        if isinstance(function, ast.Attribute):
            return replace(self.attribute(function, span), called=True)
        if isinstance(function, ast.Lambda):
            self.convert(function, depth)
        if not isinstance(function, ast.Name):
            self.refuse("VS0234", "a product needs its sign", node, "one value next to another", "to multiply, write *")
        keywords = tuple(Keyword(k.arg or "**", self.locate(k), self.option(k.value, depth)) for k in node.keywords)
        args = tuple(self.convert(a, depth) for a in node.args)
        return RawCall(
            span=span, name=function.id, args=args, name_span=self.locate(function), bound=bound, keywords=keywords
        )

    def option(self, node: ast.expr, depth: int) -> Raw:
        """The value of a keyword: an expression, or a list of them."""
        if isinstance(node, ast.List):
            return RawList(span=self.locate(node), items=tuple(self.convert(item, depth + 1) for item in node.elts))
        return self.convert(node, depth)

    def attribute(self, node: ast.Attribute, span: Span) -> RawFact:
        path: list[str] = []
        inner: ast.expr = node
        while isinstance(inner, ast.Attribute):
            path.append(inner.attr)
            inner = inner.value
        if not isinstance(inner, ast.Name):
            self.refuse("VS0235", "'.' is not an operator of the language", node)
        return RawFact(span=span, base=inner.id, path=tuple(reversed(path)))


def _wide(span: Span) -> Span:
    """The span, at least one character wide: an empty block of text has none."""
    empty = (span.line, span.column) >= (span.end_line, span.end_column)
    return replace(span, end_line=span.line, end_column=span.column + 1) if empty else span


def _literal(node: Raw) -> int | float | None:
    """The value of an expression of real literals, or None; huge ones become infinite instead of being computed."""
    if isinstance(node, RawNumber):
        return None if isinstance(node.value, complex) else node.value
    if not isinstance(node, RawOp):
        return None
    values = [_literal(a) for a in node.args]
    if any(v is None for v in values):
        return None
    numbers = [v for v in values if v is not None]
    if node.op == "neg":
        return -numbers[0]
    if node.op == "pow":
        return _power(numbers[0], numbers[1])
    if node.op == "mul":
        return float(numbers[0]) * float(numbers[1])
    if node.op == "add":
        return float(numbers[0]) + float(numbers[1])
    return None


def _power(base: float, exponent: float) -> float:
    try:
        value = float(base) ** float(exponent)
    except (OverflowError, ZeroDivisionError):
        return math.inf
    return math.inf if isinstance(value, complex) else value
