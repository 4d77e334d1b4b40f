"""The scalar side: what a summand is as a function of one element of a param, as a SymPy expression over the operands.

Functions are spelled out (`softplus(a)` is `log(1 + exp(a))`, `max(a, b)` is `(a + b + |a - b|)/2`), numbers are exact, and each
operand that the param does not touch is a symbol with the sign that is known of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import sympy as sp

from vspec.compiler.calculus.functions import FUNCTIONS, OPAQUE, v_where
from vspec.compiler.calculus.scalar import to_tree
from vspec.compiler.calculus.structure.alike import Alike, Shown
from vspec.compiler.calculus.structure.degree import Degrees
from vspec.compiler.calculus.structure.summands import Summand, pushed
from vspec.compiler.graph.builder import Builder
from vspec.compiler.graph.kernel import Tree, walk
from vspec.compiler.graph.node import Kind, Node
from vspec.compiler.graph.sign import DEPTH, Sign, sign


class NoFormError(Exception):
    """There is no closed form; the message says why, as the end of a sentence."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of the signs of inputs. `given`: names whose values are positive for sure (a domain says so); `likely`:
    those that are positive by the value that the spec gives them, which a run may change."""

    given: frozenset[str] = frozenset()
    likely: frozenset[str] = frozenset()


NOTHING = Facts()


@dataclass(slots=True)
class Table:
    """Symbols for nodes. Symbol number 0, `u`, is the element itself; `assumed` are those that are only likely positive."""

    b: Builder
    facts: Facts = NOTHING
    positive: bool = False
    nodes: list[Node | None] = field(default_factory=lambda: [None])
    symbols: dict[Shown, Any] = field(default_factory=dict)
    assumed: dict[Any, Any] = field(default_factory=dict)
    alike: Alike = field(default_factory=Alike)

    @property
    def u(self) -> Any:
        """The element, positive where its domain says so."""
        return sp.Symbol("x0", positive=True) if self.positive else sp.Symbol("x0", real=True)

    def symbol(self, node: Node) -> Any:
        """The symbol of an operand; the number that it is."""
        source = node
        while source.kind is Kind.REINDEX:
            source = source.inputs[0]
        if source.kind is Kind.CONST and source.op == "number":
            return exact(source.attrs[0])
        if _of_constants(source):
            return plain(source.attrs[0].tree, [self.symbol(x) for x in source.inputs])
        form = self.alike.form(node)
        if form not in self.symbols:
            name, (known, likely) = f"x{len(self.nodes)}", self._sign(node)
            if known is Sign.POSITIVE or likely:
                symbol = sp.Symbol(name, positive=True)
            else:
                symbol = sp.Symbol(name, nonnegative=True) if known else sp.Symbol(name, real=True)
            if known is not Sign.POSITIVE and likely:
                self.assumed[symbol] = sp.Symbol(name, nonnegative=True) if known else sp.Symbol(name, real=True)
            self.symbols[form] = symbol
            self.nodes.append(node)
        return self.symbols[form]

    def node(self, expr: Any) -> Node:
        """The node of an expression over the symbols; it must not hold `u`."""
        return self.mapped(to_tree(expr))

    def mapped(self, tree: Tree, element: Node | None = None) -> Node:
        """The node of a tree over the symbols' numbers; `element` is what stands for `u`."""
        return self.b.map(
            tree, [n if n is not None else element or self.b.number(math.nan) for n in self.nodes], "real"
        )

    def known(self, expr: Any) -> Any:
        """The expression with nothing assumed."""
        return expr.xreplace(self.assumed) if self.assumed else expr

    def _sign(self, node: Node) -> tuple[Sign, bool]:
        known = sign(("x", 0), [node], DEPTH)
        source = node
        while source.kind in (Kind.REINDEX, Kind.STOP):
            source = source.inputs[0]
        if source.kind is Kind.INPUT:
            name = source.attrs[0]
            if name in self.facts.given:
                return Sign.POSITIVE, False
            return known, name in self.facts.likely
        return known, False


def _of_constants(node: Node) -> bool:
    """Whether a node is a formula of scalar constants and sizes: it is spelled out, so that equal ones cancel."""
    stack = [node]
    while stack:
        x = stack.pop()
        while x.kind is Kind.REINDEX:
            x = x.inputs[0]
        if x.kind is Kind.MAP:
            if not _arithmetic(x):
                return False
            stack.extend(x.inputs)
        elif x.axes or (x.kind is not Kind.CONST and not (x.kind is Kind.INPUT and x.op == "constant")):
            return False
    return node.kind is Kind.MAP


def _arithmetic(node: Node) -> bool:
    return all(t[0] in _ARITHMETIC or t[0] in ("x", "num") for t in walk(node.attrs[0].tree))


_ARITHMETIC = frozenset({"add", "sub", "mul", "div", "neg", "pow", "square", "sqrt", "real"})


def exact(value: Any) -> Any:
    """A number without rounding: 0.1 is a tenth."""
    if isinstance(value, bool):
        return sp.Integer(int(value))
    if isinstance(value, float):
        if not math.isfinite(value):
            return sp.nan if math.isnan(value) else sp.oo if value > 0 else -sp.oo
        value = Fraction(repr(value))
    f = Fraction(value)
    return sp.Rational(f.numerator, f.denominator)


# --- trees spelled out ----------------------------------------------------------------------------------------------

Args = Sequence[Any]

_SPELLED: Mapping[str, Callable[[Args], Any]] = {
    "add": lambda a: sp.Add(*a),
    "mul": lambda a: sp.Mul(*a),
    "sub": lambda a: a[0] - a[1],
    "neg": lambda a: -a[0],
    "div": lambda a: a[0] / a[1],
    "pow": lambda a: a[0] ** a[1],
    "square": lambda a: a[0] ** 2,
    "sqrt": lambda a: sp.sqrt(a[0]),
    "real": lambda a: a[0],
    "exp": lambda a: sp.exp(a[0]),
    "expm1": lambda a: sp.exp(a[0]) - 1,
    "log": lambda a: sp.log(a[0]),
    "log1p": lambda a: sp.log(1 + a[0]),
    "xlogy": lambda a: a[0] * sp.log(a[1]),
    "softplus": lambda a: sp.log(1 + sp.exp(a[0])),
    "sigmoid": lambda a: 1 / (1 + sp.exp(-a[0])),
    "log_sigmoid": lambda a: -sp.log(1 + sp.exp(-a[0])),
    "cosh": lambda a: (sp.exp(a[0]) + sp.exp(-a[0])) / 2,
    "sinh": lambda a: (sp.exp(a[0]) - sp.exp(-a[0])) / 2,
    "abs": lambda a: sp.Abs(a[0]),
    "relu": lambda a: (a[0] + sp.Abs(a[0])) / 2,
    "maximum": lambda a: (a[0] + a[1] + sp.Abs(a[0] - a[1])) / 2,
    "minimum": lambda a: (a[0] + a[1] - sp.Abs(a[0] - a[1])) / 2,
    "clip": lambda a: _SPELLED["minimum"]([_SPELLED["maximum"](a[:2]), a[2]]),
    "where": lambda a: v_where(*a),
}


_LOGIC = frozenset({"lt", "le", "gt", "ge", "and", "or", "not"})


def plain(tree: Tree, slots: Args) -> Any:
    """The SymPy expression of a tree, its slots given. Functions without a spelling stay what they are."""
    op = tree[0]
    if op == "x":
        return slots[tree[1]]
    if op == "num":
        return exact(tree[1])
    args = [plain(c, slots) for c in tree[1:]]
    if op in _LOGIC:
        return OPAQUE[op](*args)
    spelled = _SPELLED.get(op)
    if spelled is not None:
        return spelled(args)
    if op not in FUNCTIONS:
        raise NoFormError(f"'{op}' of it has no inverse in closed form")
    return FUNCTIONS[op](*args)


# --- a summand as a function of one element -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Element:
    """A summand as a function of the element of a param: the sum over `summed` of an expression in `u` and the table's symbols.

    The axes of the param have the param's own names; `local` are the symbols of operands that have axes of `summed`.
    """

    expr: Any
    summed: tuple[str, ...]
    dims: Mapping[str, str]
    local: frozenset[Any]


def element(table: Table, summand: Summand, x: Node, degrees: Degrees) -> Element:
    """A summand as a function of each element of x by itself.

    `degrees` are those by all params that move. Raises NoFormError where the elements of x meet in it, or another of the
    params does.
    """
    b = table.b
    names = axes_of(b, summand.body, x, degrees)
    taken = {a.name for a in summand.over}
    new = dict(zip(names, x.names, strict=True))
    clash = {a.name: b.fresh(a.name, taken) for a in summand.over if a.name in x.names and a.name not in new}
    moved = summand.renamed(b, {**new, **clash})
    expr = _Spelling(table, x, degrees).of(moved.body)
    if moved.factor is not None:
        expr = _spelled_factor(table, moved.factor) * expr
    summed = tuple(a.name for a in moved.over if a.name not in x.names)
    over = set(summed)
    local = frozenset(s for s in expr.free_symbols if s != table.u and over & set(_node(table, s).names))
    return Element(expr, summed, {a.name: a.dim for a in moved.over}, local)


def _spelled_factor(table: Table, factor: Node) -> Any:
    """A factor as a product of what it was made of, so that signs and constants are seen."""
    if factor.kind is Kind.MAP and not factor.definition and _arithmetic(factor):
        return plain(factor.attrs[0].tree, [_spelled_factor(table, x) for x in factor.inputs])
    return table.symbol(factor)


def _node(table: Table, symbol: Any) -> Node:
    node = table.nodes[int(symbol.name[1:])]
    assert node is not None
    return node


def axes_of(b: Builder, body: Node, x: Node, degrees: Degrees) -> tuple[str, ...]:
    """The names of x's axes in a body, which must be the same wherever x stands."""
    spelling = _Spelling(Table(b), x, degrees)
    spelling.of(body)
    (names,) = spelling.seen
    if len(set(names)) < len(names):
        raise NoFormError("only a diagonal of it occurs in the term")
    return names


class _Spelling:
    """Spells nodes out down to x and what does not depend on the params."""

    def __init__(self, table: Table, x: Node, degrees: Degrees) -> None:
        self.table = table
        self.x = x
        self.degrees = degrees
        self.seen: set[tuple[str, ...]] = set()

    def of(self, node: Node) -> Any:
        """The expression of a node."""
        if node is self.x:
            return self._met(node.names)
        if not self.degrees.depends(node):
            return self.table.symbol(node)
        if node.kind is Kind.MAP:
            return plain(node.attrs[0].tree, [self.of(i) for i in node.inputs])
        if node.kind is Kind.STOP and node.op == "hold":
            return self.of(node.inputs[0])
        if node.kind is Kind.REINDEX:
            if node.inputs[0] is self.x:
                return self._met(node.attrs[0])
            inside = pushed(self.table.b, node)
            if inside is not None:
                return self.of(inside)
        if node.kind is Kind.INPUT:
            raise NoFormError(f"it meets the param '{node.attrs[0]}' there, which moves with it")
        raise NoFormError(
            "several of its elements meet there" if node.kind is not Kind.STOP else "it is read by 'stop'"
        )

    def _met(self, names: tuple[str, ...]) -> Any:
        self.seen.add(tuple(names))
        if len(self.seen) > 1:
            raise NoFormError("several of its elements meet there")
        return self.table.u
