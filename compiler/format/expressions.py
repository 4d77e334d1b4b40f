"""One way to write an expression: blanks, and no parentheses that say nothing.

Works on the text, so that numbers and line breaks stay as they are written, and compares Python's trees before and after: where
they differ, or where the text is no expression, it is left alone.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from vspec.compiler.diagnostics.spans import Span
from vspec.compiler.language.parse import Refused, parse_python
from vspec.compiler.source.document import Scalar

TOKEN = re.compile(
    r"(?P<gap>\s+)"
    r"|(?P<number>0[xXoObB]\w+|(?:\d[\d_]*\.?[\d_]*|\.\d[\d_]*)(?:[eE][+-]?\d[\d_]*)?[jJ]?)"
    r"|(?P<name>[A-Za-z_]\w*)"
    r"|(?P<sign>\*\*|//|<=|>=|==|!=|->|.)",
    re.DOTALL,
)
WORDS = frozenset({"and", "or", "not", "if", "else", "in", "is"})
WIDE = frozenset({"+", "-", "%", "<", ">", "<=", ">=", "==", "!=", "->"})
TIGHT = frozenset({"*", "/", "//", "**"})

KNOWN = (
    *(ast.BinOp, ast.UnaryOp, ast.BoolOp, ast.Compare, ast.IfExp, ast.Call, ast.Subscript, ast.Attribute),
    *(ast.Name, ast.Constant, ast.Tuple, ast.List, ast.Slice, ast.keyword),
    *(ast.operator, ast.unaryop, ast.boolop, ast.cmpop, ast.expr_context),
)

# How tightly each construct binds; a part that binds less than its place asks for needs parentheses.
CHOICE, OR, AND, NOT, COMPARE, SUM, PRODUCT, SIGN, POWER, ATOM = range(1, 11)


def canonical(text: str) -> str:
    """The expression in its canonical spelling, or the text as it is if it is no expression."""
    try:
        tree = _tree(text)
        if tree is None or not all(isinstance(node, KNOWN) for node in ast.walk(tree)):
            return text
        meaning = ast.dump(tree)
        for made in (spaced(_pruned(text, tree)), spaced(text)):
            again = _tree(made)
            if again is not None and ast.dump(again) == meaning:
                return made
    except (RecursionError, MemoryError):
        pass
    return text


def is_expression(text: str) -> bool:
    """Whether a text can be read as an expression."""
    return _tree(text) is not None


def same(one: str, other: str) -> bool:
    """Whether two texts are the same expression: equal as trees, or equal as texts."""
    if one == other:
        return True
    try:
        trees = [_tree(text) for text in (one, other)]
        return None not in trees and ast.dump(trees[0]) == ast.dump(trees[1])  # type: ignore[arg-type]
    except (RecursionError, MemoryError):
        return False


def canonical_head(text: str) -> str:
    """A left side such as `K[n, m]`, `k(a[:], b[:])`, `i, j` or `f(x[:]) -> [k]`; anything else is left as it is."""
    parts = text.split("->")
    return " -> ".join(canonical(p.strip()) for p in parts) if all(map(_is_head, parts)) else text


def same_head(one: str, other: str) -> bool:
    """Whether two left sides are the same."""
    if one == other:
        return True
    ours, theirs = one.split("->"), other.split("->")
    return len(ours) == len(theirs) and all(_is_head(p) for p in (*ours, *theirs)) and all(map(same, ours, theirs))


def _is_head(text: str) -> bool:
    tree = _tree(text)
    parts = tree.elts if isinstance(tree, ast.Tuple) else [tree]
    return all(isinstance(p, ast.Name | ast.Subscript | ast.Call | ast.List) for p in parts)


def _tree(text: str) -> ast.expr | None:
    try:
        return parse_python(Scalar(text, text, Span("", 1, 1, 1, 1)))[0]
    except (Refused, RecursionError, MemoryError):
        return None


# --- blanks -------------------------------------------------------------------------------------------------------


def spaced(text: str) -> str:
    """The tokens of an expression with blanks around `+`, `-`, `%`, comparisons and words, after commas, nowhere else.

    Line breaks stay, and so does the indentation of the lines that they begin.
    """
    out: list[str] = []
    gap, role = "", "start"
    led = False  # the token before is a tight operator that begins its line
    for found in TOKEN.finditer(text):
        token = found.group()
        if found.lastgroup == "gap":
            gap = token
            continue
        now = _role(found.lastgroup or "", token, role)
        broken = "\n" in gap and bool(out)
        if broken:
            out.append(gap[gap.rfind("\n") :])
        elif led or _apart(role, now):
            out.append(" ")
        out.append(token)
        gap, role, led = "", now, broken and now == "tight"
    return "".join(out)


def _role(kind: str, token: str, before: str) -> str:
    """What a token does, given what the one before it does."""
    if kind == "name" and token in WORDS:
        return "word"
    if kind in ("number", "name"):
        return "operand"
    if token in "([{":
        # After an operand it opens a call or a subscript, elsewhere a group.
        return "call" if before in ("operand", "close") else "open"
    if token in ")]}":
        return "close"
    if token in ("+", "-", "~") and before not in ("operand", "close"):
        return "sign"
    if token in WIDE:
        return "wide"
    if token in TIGHT:
        return "tight"
    return {",": "comma", ".": "dot", "=": "equal", ":": "colon"}.get(token, "operand")


def _apart(before: str, now: str) -> bool:
    """Whether a blank stands between two tokens."""
    if before == "start" or now in ("comma", "close", "dot", "equal", "call", "tight"):
        return False
    if before == "comma":
        return True
    if now == "colon" or before in ("open", "call", "dot", "colon", "equal", "sign", "tight"):
        return False
    return before in ("wide", "word") or now in ("wide", "word", "operand")


# --- parentheses --------------------------------------------------------------------------------------------------


def _pruned(text: str, tree: ast.expr) -> str:
    """The text without the parentheses that neither the tree nor the reader needs."""
    partner, groups = _brackets(text)
    drop: set[int] = set()
    for node, needed, useful in _places(tree):
        if isinstance(node, ast.Tuple | ast.Slice):
            continue
        pairs: list[tuple[int, int]] = []
        left, right = node.col_offset - 2, (node.end_col_offset or 0) - 1
        while True:
            while left >= 0 and text[left].isspace():
                left -= 1
            while right < len(text) and text[right].isspace():
                right += 1
            if left not in groups or partner.get(left) != right:
                break
            pairs.append((left, right))
            left, right = left - 1, right + 1
        for pair in pairs[1 if needed or useful else 0 :]:
            drop.update(pair)
    return "".join(" " if at in drop else char for at, char in enumerate(text)).strip() if drop else text


def _brackets(text: str) -> tuple[dict[int, int], set[int]]:
    """For each opening bracket its partner, and which of them open a group."""
    partner: dict[int, int] = {}
    groups: set[int] = set()
    opened: list[int] = []
    role = "start"
    for found in TOKEN.finditer(text):
        if found.lastgroup == "gap":
            continue
        role = _role(found.lastgroup or "", found.group(), role)
        if role in ("open", "call"):
            opened.append(found.start())
            if role == "open" and found.group() == "(":
                groups.add(found.start())
        elif role == "close" and opened:
            partner[opened.pop()] = found.start()
    return partner, groups


def _places(tree: ast.expr) -> Iterator[tuple[ast.expr, bool, bool]]:
    """Every part with whether its place needs parentheses around it, and whether they spare the reader a rule."""
    stack: list[tuple[ast.expr, bool, bool]] = [(tree, False, False)]
    while stack:
        node, needed, useful = stack.pop()
        yield node, needed, useful
        for part, least in _parts(node):
            stack.append((part, _binding(part) < least, _helpful(node, part)))


def _parts(node: ast.expr) -> list[tuple[ast.expr, int]]:
    """The direct parts of a node, each with how tightly it has to bind there."""
    if isinstance(node, ast.BinOp):
        level = _binding(node)
        if level == POWER:
            return [(node.left, ATOM), (node.right, SIGN)]
        return [(node.left, level), (node.right, level + 1)]
    if isinstance(node, ast.UnaryOp):
        return [(node.operand, _binding(node))]
    if isinstance(node, ast.BoolOp):
        return [(value, _binding(node) + 1) for value in node.values]
    if isinstance(node, ast.Compare):
        return [(part, COMPARE + 1) for part in (node.left, *node.comparators)]
    if isinstance(node, ast.IfExp):
        return [(node.test, OR), (node.body, OR), (node.orelse, CHOICE)]
    if isinstance(node, ast.Call):
        return [(node.func, ATOM), *((p, CHOICE) for p in (*node.args, *(k.value for k in node.keywords)))]
    if isinstance(node, ast.Subscript):
        return [(node.value, ATOM), (node.slice, CHOICE)]
    if isinstance(node, ast.Attribute):
        return [(node.value, ATOM + 1 if isinstance(node.value, ast.Constant) else ATOM)]
    if isinstance(node, ast.Tuple | ast.List):
        return [(part, CHOICE) for part in node.elts]
    if isinstance(node, ast.Slice):
        return [(part, CHOICE) for part in (node.lower, node.upper, node.step) if part is not None]
    return []


def _binding(node: ast.expr) -> int:
    """How tightly a construct binds."""
    if isinstance(node, ast.BinOp):
        return POWER if isinstance(node.op, ast.Pow) else SUM if isinstance(node.op, ast.Add | ast.Sub) else PRODUCT
    if isinstance(node, ast.UnaryOp):
        return NOT if isinstance(node.op, ast.Not) else SIGN
    if isinstance(node, ast.BoolOp):
        return AND if isinstance(node.op, ast.And) else OR
    return {ast.Compare: COMPARE, ast.IfExp: CHOICE}.get(type(node), ATOM)


def _helpful(node: ast.expr, part: ast.expr) -> bool:
    """Whether parentheses around a part are worth keeping: few readers know without thinking what holds without them."""
    if isinstance(node, ast.BoolOp):
        return isinstance(part, ast.BoolOp)
    if isinstance(node, ast.IfExp):
        return isinstance(part, ast.IfExp)
    if isinstance(node, ast.UnaryOp):
        # -(a**b), not (a < b)
        return isinstance(part, ast.Compare) or _binding(part) == POWER
    if isinstance(node, ast.BinOp):
        if isinstance(part, ast.UnaryOp):
            # a*(-b), a - (-b), (-a)*b
            return part is node.right or _binding(node) == PRODUCT
        if _binding(node) == _binding(part) == PRODUCT and isinstance(part, ast.BinOp):
            # (a/b)*c, (a*b) % c
            return not isinstance(part.op, ast.Mult) or isinstance(node.op, ast.Mod | ast.FloorDiv)
    return False
