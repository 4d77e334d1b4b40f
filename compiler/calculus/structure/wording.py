"""Nodes in the notation of specs: what messages and explanations show of terms and of formulas that were derived."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

from vspec.compiler.calculus.scalar import simplify
from vspec.compiler.graph.kernel import Tree
from vspec.compiler.graph.node import Kind, Node

# How tightly an operation binds; what binds less stands in parentheses.
_OR, _COMPARE, _ADD, _MUL, _NEG, _POW, _ATOM = range(7)
_COMPARISONS = {"lt": "<", "le": "<=", "gt": ">", "ge": ">=", "eq": "==", "ne": "!="}
_NAMES = {"maximum": "max", "minimum": "min"}

Text = tuple[str, int]


def shown(node: Node, most: int = 400) -> str:
    """A node as a formula: named definitions by their names, axes by their letters. What is longer than `most` is cut."""
    text, _ = _node(node, {})
    return text if len(text) <= most else f"{text[: most - 3]}..."


def _letter(name: str, names: Mapping[str, str]) -> str:
    return names.get(name, name).split("~")[0]


def _element(name: str, node: Node, names: Mapping[str, str]) -> Text:
    letters = ", ".join(_letter(n, names) for n in node.names)
    return (f"{name}[{letters}]" if letters else name), _ATOM


def _node(node: Node, names: Mapping[str, str]) -> Text:
    if node.kind is Kind.INPUT:
        return _element(str(node.attrs[0]).lstrip("_"), node, names)
    if node.kind is Kind.REINDEX:
        (x,) = node.inputs
        inner = {n: names.get(t, t) for n, t in zip(x.names, node.attrs[0], strict=True)}
        return _node(x, inner)
    if node.kind is Kind.STOP:
        return _node(node.inputs[0], names)
    if node.definition and not node.definition.startswith("_") and node.kind is not Kind.CONST:
        return _element(node.definition, node, names)
    if node.kind is Kind.CONST:
        return (f"size({node.attrs[0]})", _ATOM) if node.op == "size" else _number(node.attrs[0])
    if node.kind is Kind.INDEX:
        return f"index({_letter(node.names[0], names)})" if node.op == "value" else "delta", _ATOM
    if node.kind is Kind.MAP:
        return _tree(simplify(node.attrs[0].tree), [_node(x, names) for x in node.inputs])
    if node.kind is Kind.REDUCE:
        letters = ", ".join(_letter(n, names) for n in node.attrs[0])
        return f"{node.op}[{letters}]({_node(node.inputs[0], names)[0]})", _ATOM
    if node.kind is Kind.CONTRACT:
        over = dict.fromkeys(n for x in node.inputs for n in x.names if n not in node.names)
        product = "*".join(_at(_node(x, names), _MUL) for x in node.inputs)
        return f"sum[{', '.join(_letter(n, names) for n in over)}]({product})", _ATOM
    if node.kind is Kind.WINDOW and node.op == "at":
        axis, position = node.attrs
        return f"{_at(_node(node.inputs[0], {**names, axis: str(position)}), _ATOM)}", _ATOM
    if node.kind is Kind.ITEM:
        return _element(node.origin.name or "a loop", node, names)
    inside = ", ".join(_node(x, names)[0] for x in node.inputs)
    return f"{node.op or node.kind}({inside})", _ATOM


def _number(value: Any) -> Text:
    if isinstance(value, Fraction):
        return f"{value.numerator}/{value.denominator}", _MUL
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return text, _NEG if text.startswith("-") else _ATOM


def _at(text: Text, level: int) -> str:
    return text[0] if text[1] >= level else f"({text[0]})"


def _tree(tree: Tree, slots: Sequence[Text]) -> Text:
    op = tree[0]
    if op == "x":
        return slots[tree[1]]
    if op == "num":
        return _number(tree[1])
    args = [_tree(c, slots) for c in tree[1:]]
    if op == "add":
        return " + ".join(_at(a, _ADD) for a in args), _ADD
    if op == "sub":
        return f"{_at(args[0], _ADD)} - {_at(args[1], _MUL)}", _ADD
    if op == "mul":
        return "*".join(_at(a, _MUL) for a in args), _MUL
    if op == "div":
        return f"{_at(args[0], _MUL)}/{_at(args[1], _NEG)}", _MUL
    if op == "neg":
        return f"-{_at(args[0], _MUL)}", _NEG
    if op in ("pow", "square"):
        exponent = _at(args[1], _ATOM) if op == "pow" else "2"
        return f"{_at(args[0], _ATOM)}**{exponent}", _POW
    if op in _COMPARISONS:
        return f"{_at(args[0], _ADD)} {_COMPARISONS[op]} {_at(args[1], _ADD)}", _COMPARE
    if op in ("and", "or"):
        return f" {op} ".join(_at(a, _COMPARE) for a in args), _OR
    if op == "where":
        return f"{_at(args[1], _COMPARE)} if {args[0][0]} else {args[2][0]}", _OR - 1
    if op == "real":
        return args[0]
    return f"{_NAMES.get(op, op)}({', '.join(a[0] for a in args)})", _ATOM
