"""An objective as a sum of squares: the residuals whose squares it sums, up to what does not depend on the params.

Each summand must be a product of even powers of what the params touch, of factors that are positive by their form, and of
factors that the params do not touch, which must not be negative. Its residual is the root of that: `w[n]*(y[n] - f[n])**2`
gives `sqrt(w[n])*(y[n] - f[n])`, and `norm[i](x[i])**2` gives `x[i]`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from math import isfinite, sqrt
from typing import Any

from vspec.compiler.calculus.structure.alike import Alike
from vspec.compiler.calculus.structure.degree import Degrees
from vspec.compiler.calculus.structure.proximal import under_root
from vspec.compiler.calculus.structure.summands import Summand, opened
from vspec.compiler.graph.builder import Builder
from vspec.compiler.graph.kernel import Tree, num, slot, slots, substitute
from vspec.compiler.graph.node import Kind, Node
from vspec.compiler.graph.sign import Sign, sign

SIGN_DEPTH = 6

Power = tuple[Tree, Fraction]


@dataclass(slots=True)
class Squares:
    """`residuals`, each with the axes that its squares are summed over, and `weights` that must not be negative for them."""

    residuals: list[Node] = field(default_factory=list)
    weights: list[Node] = field(default_factory=list)


class NoSquareError(Exception):
    """A summand that is no square; `reason` is what it is, for a sentence."""

    def __init__(self, summand: Summand, reason: str) -> None:
        super().__init__(reason)
        self.summand = summand
        self.reason = reason


def squares(b: Builder, value: Node, xs: Iterable[Node]) -> Squares:
    """The residuals of a scalar by `xs`. Raises NoSquareError, at the first summand that is no square."""
    reading = _Reading(b, Degrees(xs), Alike())
    for s in opened(b, reading.degrees, value):
        reading.summand(s)
    return reading.found


@dataclass(slots=True)
class _Reading:
    b: Builder
    degrees: Degrees
    alike: Alike
    found: Squares = field(default_factory=Squares)

    def summand(self, s: Summand) -> None:
        """Adds the residuals of a summand."""
        if s.body.kind is not Kind.MAP:
            raise NoSquareError(s, "no square")
        inputs, b = s.body.inputs, self.b
        number = Fraction(1)
        roots: list[Power] = []
        weights: list[Power] = []
        left: list[Power] = []
        for base, exponent in powers(substitute(s.body.attrs[0].tree, self._first(inputs))):
            if _is_number(base):
                number *= _number(base, exponent)
            elif not any(self.degrees.depends(inputs[k]) for k in slots(base)):
                weights.append((base, exponent))
            elif exponent == 2 and self._norm(base, inputs) is not None:
                left.append((base, exponent))
            elif exponent % 2 == 0:
                roots.append((base, exponent / 2))
            elif sign(base, inputs, SIGN_DEPTH) is Sign.POSITIVE:
                weights.append((base, exponent))
            else:
                left.append((base, exponent))
        if left:
            if len(left) > 1 or roots or weights:
                raise NoSquareError(s, "no product of squares")
            self._within(s, left[0], number)
        elif roots:
            scale = self._scale(s, [b.map(_powered(*w), inputs) for w in weights], number)
            residual = b.mul([*scale, *(b.map(_powered(*r), inputs) for r in roots)])
            # Along an axis that the residual lacks, equal squares are summed.
            absent = [b.map(("real", slot(0)), [b.size(a.dim)], "real") for a in s.over if a.name not in residual.names]
            if absent:
                residual = b.mul([b.map(("sqrt", slot(0)), [b.mul(absent)], "real"), residual])
            self.found.residuals.append(residual)
        else:
            raise NoSquareError(s, "no square")

    def _first(self, inputs: Sequence[Node]) -> dict[int, Tree]:
        """For each operand the slot of the first that is equal in form: `x[0]` is one operand however often it is read."""
        first: dict[Any, int] = {}
        return {k: slot(first.setdefault(self.alike.form(x), k)) for k, x in enumerate(inputs)}

    def _norm(self, base: Tree, inputs: Sequence[Node]) -> Node | None:
        """What stands under the root, where a base is an operand that is a root or a norm."""
        return under_root(inputs[base[1]]) if base[0] == "x" else None

    def _within(self, s: Summand, power: Power, number: Fraction) -> None:
        """A summand that is a number times another sum, or times the square of a norm, which is one."""
        (base, exponent), b = power, self.b
        node = self._norm(base, s.body.inputs) if exponent == 2 else s.body.inputs[base[1]] if base[0] == "x" else None
        if node is None or exponent not in (1, 2) or node is s.body:
            raise NoSquareError(s, "no square")
        factors = [] if number == 1 else [b.number(_plain(number))]
        factor = b.mul([*factors, *([] if s.factor is None else [s.factor])])
        for inner in opened(b, self.degrees, node, s.over, factor, s.origin):
            if inner.body is node:
                raise NoSquareError(s, "no square")
            self.summand(inner)

    def _scale(self, s: Summand, weights: list[Node], number: Fraction) -> list[Node]:
        """The root of what stands before a square: of weights, of the summand's factor and of a number; nothing for 1."""
        b = self.b
        if s.factor is not None:
            value, rest = _split(b, s.factor)
            number *= value
            weights = [*weights, *rest]
        if not weights:
            if number < 0:
                raise NoSquareError(s, "minus a square")
            return [] if number == 1 else [b.number(sqrt(number))]
        weight = b.mul([*([] if number == 1 else [b.number(_plain(number))]), *weights])
        if sign(slot(0), [weight], SIGN_DEPTH) is Sign.UNKNOWN:
            self.found.weights.append(weight)
        return [b.map(("sqrt", slot(0)), [weight], "real")]


def _split(b: Builder, node: Node) -> tuple[Fraction, list[Node]]:
    """The number in a factor, and the rest of it."""
    if node.kind is Kind.CONST and node.op == "number":
        return Fraction(node.attrs[0]), []
    if node.kind is not Kind.MAP:
        return Fraction(1), [node]
    number, rest = Fraction(1), []
    for base, exponent in powers(node.attrs[0].tree):
        if _is_number(base):
            number *= _number(base, exponent)
        else:
            rest.append(b.map(_powered(base, exponent), node.inputs))
    return number, rest


# --- powers -----------------------------------------------------------------------------------------------------------


def powers(tree: Tree) -> list[Power]:
    """A product as powers of different bases. Of even powers, absolute values are taken off, and roots are half of them."""
    found: dict[Tree, Fraction] = {}
    for base, exponent in _factors(tree, Fraction(1)):
        found[base] = found.get(base, Fraction(0)) + exponent
    listed: list[Power] = []
    for base, exponent in found.items():
        under = _under_root(base)
        if exponent % 2 == 0 and under is not None:
            listed += [(t, e * exponent / 2) for t, e in powers(under)]
        elif exponent % 2 == 0 and base[0] == "abs":
            listed += [(t, e * exponent) for t, e in powers(base[1])]
        else:
            listed.append((base, exponent))
    return [(t, e) for t, e in listed if e != 0]


def _under_root(tree: Tree) -> Tree | None:
    """What stands under a root, as it is written or as a norm is lowered: 0 where nothing positive stands there."""
    if tree[0] == "sqrt":
        return tree[1]  # type: ignore[no-any-return]
    if tree[0] == "where" and tree[1][0] == "gt" and tree[2][0] == "sqrt" and tree[2][1][0] == "where":
        (_, positive, root, zero), x = tree, tree[1][1]
        if root[1][1:3] == (positive, x) and positive[2][1] == 0 and zero[0] == "num" and zero[1] == 0:
            return x  # type: ignore[no-any-return]
    return None


def _factors(tree: Tree, exponent: Fraction) -> list[Power]:
    op = tree[0]
    if op == "mul":
        return [f for c in tree[1:] for f in _factors(c, exponent)]
    if op == "div":
        return _factors(tree[1], exponent) + _factors(tree[2], -exponent)
    if op == "neg":
        return [(num(-1), exponent), *_factors(tree[1], exponent)]
    if op == "square":
        return _factors(tree[1], 2 * exponent)
    if op == "pow" and tree[2][0] == "num" and float(tree[2][1]).is_integer():
        return _factors(tree[1], int(tree[2][1]) * exponent)
    return [(tree, exponent)]


def _powered(base: Tree, exponent: Fraction) -> Tree:
    """A base to a whole power."""
    whole = int(exponent)
    if whole < 0:
        return ("div", num(1), _powered(base, Fraction(-whole)))
    return base if whole == 1 else ("pow", base, num(whole))


def _is_number(tree: Tree) -> bool:
    return bool(tree[0] == "num" and tree[1] != 0 and isfinite(tree[1]))


def _number(tree: Tree, exponent: Fraction) -> Fraction:
    return Fraction(tree[1]) ** int(exponent)


def _plain(number: Fraction) -> int | float:
    return int(number) if number.denominator == 1 else float(number)
