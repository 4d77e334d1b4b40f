"""What a constraint looks like in the params that move: affine, a box, a ball; nearest points of such sets have formulas."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from vspec.compiler.language.equations import Solved
from vspec.compiler.language.expr import (
    Affine,
    Along,
    At,
    Derivative,
    Element,
    Expr,
    Gather,
    Linalg,
    Number,
    Pointwise,
    Reduction,
    Rows,
    Stack,
    Subscript,
)
from vspec.compiler.language.spec import Definition, Relation
from vspec.compiler.language.substitute import elements, parts

AFFINE, BOX, BALL, NORM = "affine", "box", "ball", "norm"


class Forms:
    """Degrees of expressions, and forms of relations, in some params."""

    def __init__(self, solved: Solved, moved: Collection[str]) -> None:
        self.moved = frozenset(moved)
        self.bodies: dict[str, Expr] = {}
        self.states: dict[str, tuple[Expr, ...]] = {}
        for equation in solved.equations:
            if isinstance(equation, Definition):
                self.bodies[equation.name] = equation.body
                continue
            self.states |= dict.fromkeys(equation.names, equation.bodies)
        for name, objective in solved.objectives.items():
            self.bodies.setdefault(name, objective.body)
        self._degrees: dict[str, int | None] = {}
        self._reaches: dict[str, bool] = {}

    # --- what depends on what moves -------------------------------------------------------------------------------

    def reaches(self, e: Expr) -> bool:
        """Whether an expression depends on a param that moves."""
        return any(self._name_reaches(x.name) for x in elements(e))

    def _name_reaches(self, name: str) -> bool:
        if name in self.moved:
            return True
        if name not in self._reaches:
            self._reaches[name] = False  # a state that reads itself reaches what else it reads
            read = (self.bodies[name],) if name in self.bodies else self.states.get(name, ())
            self._reaches[name] = any(self.reaches(e) for e in read)
        return self._reaches[name]

    def params(self, relation: Relation) -> frozenset[str]:
        """The params that move and on which a relation depends."""
        found: set[str] = set()
        seen: set[str] = set()
        queue = [x.name for side in (relation.left, relation.right) for x in elements(side)]
        while queue:
            name = queue.pop()
            if name in seen:
                continue
            seen.add(name)
            if name in self.moved:
                found.add(name)
            read = (self.bodies[name],) if name in self.bodies else self.states.get(name, ())
            queue += [x.name for e in read for x in elements(e)]
        return frozenset(found)

    # --- degrees --------------------------------------------------------------------------------------------------

    def degree(self, e: Expr) -> int | None:
        """The degree of an expression as a polynomial in what moves; None if it is not known to be one."""
        if not self.reaches(e):
            return 0
        if isinstance(e, Element):
            return self._of_name(e) if not any(self._index_reaches(s) for s in e.subscripts) else None
        if isinstance(e, Pointwise):
            return self._pointwise(e)
        if isinstance(e, Reduction):
            return self.degree(e.body) if e.op in ("sum", "mean") else None
        if isinstance(e, Along):
            return self.degree(e.body) if e.op == "cumsum" else None
        if isinstance(e, Rows | Stack):
            return _most(self.degree(x) for x in parts(e))
        if isinstance(e, Derivative):
            whole = self.degree(e.body)
            less = sum(w.name in self.moved for w in e.wrt)
            return None if whole is None else max(whole - less, 0)
        if isinstance(e, Linalg) and e.op in ("solve", "triangular_solve", "trace"):
            *matrices, last = (block.body for block in e.blocks)
            return self.degree(last) if not any(self.reaches(m) for m in matrices) else None
        return None

    def _index_reaches(self, subscript: object) -> bool:
        return isinstance(subscript, Gather) and self.reaches(subscript.index)

    def _of_name(self, e: Element) -> int | None:
        if e.name in self.moved:
            return 1
        if e.name not in self._degrees:
            self._degrees[e.name] = None
            self._degrees[e.name] = self.degree(self.bodies[e.name]) if e.name in self.bodies else None
        return self._degrees[e.name]

    def _pointwise(self, e: Pointwise) -> int | None:
        if e.op in ("add", "sub", "neg", "real"):
            return _most(self.degree(x) for x in e.args)
        if e.op == "mul":
            found = [self.degree(x) for x in e.args]
            return None if None in found else sum(d for d in found if d is not None)
        if e.op == "div" and not self.reaches(e.args[1]):
            return self.degree(e.args[0])
        if e.op == "square":
            return self._power(e.args[0], 2)
        if (
            e.op == "pow"
            and isinstance(e.args[1], Number)
            and isinstance(e.args[1].value, int)
            and e.args[1].value >= 0
        ):
            return self._power(e.args[0], e.args[1].value)
        if e.op == "where" and not self.reaches(e.args[0]):
            return _most(self.degree(x) for x in e.args[1:])
        return None

    def _power(self, base: Expr, exponent: int) -> int | None:
        degree = self.degree(base)
        return None if degree is None else degree * exponent

    # --- forms ----------------------------------------------------------------------------------------------------

    def form(self, relation: Relation, letters: Collection[str]) -> str | None:
        """AFFINE, BOX (affine in one element of its own for each row), BALL (squares of elements with one factor), NORM, or
        None where the nearest point has no formula known here. `letters` are those of the constraint."""
        sides = (relation.left, relation.right)
        degree = _most(self.degree(x) for x in sides)
        if degree is not None and degree <= 1:
            single = relation.op == "le" and self._single(relation) and self.disjoint(relation, letters)
            return BOX if single else AFFINE
        if degree == 2 and self._ball([(1.0, relation.left), (-1.0, relation.right)], relation.op == "le"):
            return BALL
        left, right = sides
        if isinstance(left, Pointwise) and left.op == "real":
            left = left.args[0]
        if self._norm(left) and not self.reaches(right):
            return NORM
        return None

    def disjoint(self, relation: Relation, letters: Collection[str]) -> bool:
        """Whether no element that moves stands in two rows of a relation: each one has all of the letters."""
        if not letters:
            return True
        moved = [x for side in (relation.left, relation.right) for x in elements(side) if self._name_reaches(x.name)]
        return all(x.name in self.moved and set(letters) <= _plain(x) for x in moved)

    def _single(self, relation: Relation) -> bool:
        """Whether a relation has one element of what moves in each row, outside of sums, and rows have different ones."""
        found = [x for side in (relation.left, relation.right) for x in _outer(side) if self._name_reaches(x.name)]
        everywhere = [
            x for side in (relation.left, relation.right) for x in elements(side) if self._name_reaches(x.name)
        ]
        if len(found) != 1 or len(everywhere) != 1 or found[0].name not in self.moved:
            return False
        return all(_simple(i) for i in found[0].subscripts)

    def _ball(self, terms: list[tuple[float, Expr]], inside: bool) -> bool:
        """Whether the part of degree two is a factor times the sum of squares of different elements.

        What lies outside of a ball has nearest points, too, but is not convex: it counts if `inside` is False.
        """
        found: list[_Square] = []
        sound = all(self._squares(sign, e, _Square(), found) for sign, e in terms) and _isotropic(found)
        return sound and (not inside or found[0].number > 0)

    def _squares(self, sign: float, e: Expr, within: _Square, found: list[_Square]) -> bool:
        """Collects the squares of a term; False if there is another part of degree two."""
        degree = self.degree(e)
        if degree is None or degree <= 1:
            return degree is not None
        if isinstance(e, Reduction) and e.op == "sum" and not within.bound & set(e.letters):
            return self._squares(sign, e.body, replace(within, bound=within.bound | set(e.letters)), found)
        if not isinstance(e, Pointwise):
            return False
        if e.op in _SIGNS:
            return all(self._squares(sign * s, x, within, found) for s, x in zip(_SIGNS[e.op], e.args, strict=True))
        if e.op == "square" or (e.op == "pow" and isinstance(e.args[1], Number) and e.args[1].value == 2):
            return self._element(sign, e.args[0], within, found)
        if e.op == "div":
            by = e.args[1]
            number = by.value if isinstance(by, Number) and isinstance(by.value, int | float) else 0
            return bool(number) and self._squares(sign / number, e.args[0], within, found)
        return e.op == "mul" and self._product(sign, list(_factors(e)), within, found)

    def _product(self, sign: float, factors: list[Expr], within: _Square, found: list[_Square]) -> bool:
        moving = [x for x in factors if self.reaches(x)]
        fixed = [x for x in factors if not self.reaches(x)]
        for x in fixed:
            if isinstance(x, Number) and isinstance(x.value, int | float) and x.value:
                sign *= x.value
            elif within.factor is None and not set(x.axes) & within.bound:
                # One factor for all, the same in every row that is summed.
                within = replace(within, factor=x)
            else:
                return False
        if len(moving) == 1:
            return self._squares(sign, moving[0], within, found)
        return len(moving) == 2 and _same(*moving) and self._element(sign, moving[0], within, found)

    def _element(self, sign: float, e: Expr, within: _Square, found: list[_Square]) -> bool:
        """Records the square of e if e is an element that moves, with a sign and with what does not move added."""
        while isinstance(e, Pointwise) and e.op in _SIGNS:
            moving = [x for x in e.args if self.reaches(x)]
            if len(moving) != 1:
                return False
            e = moving[0]
        if not isinstance(e, Element) or e.name not in self.moved:
            return False
        found.append(replace(within, number=sign, element=e))
        return True

    def _norm(self, e: Expr) -> bool:
        if isinstance(e, Reduction) and e.op == "norm":
            found: list[_Square] = []
            return self._element(1.0, e.body, _Square(bound=frozenset(e.letters)), found) and _isotropic(found)
        return isinstance(e, Pointwise) and e.op == "sqrt" and self._ball([(1.0, e.args[0])], True)


@dataclass(frozen=True, slots=True)
class _Square:
    """A square: its number and its factor, the letters that are summed, and the element that is squared."""

    number: float = 1.0
    factor: Expr | None = None
    bound: frozenset[str] = frozenset()
    element: Element | None = None


_SIGNS: Mapping[str, tuple[float, ...]] = {"add": (1.0, 1.0), "sub": (1.0, -1.0), "neg": (-1.0,), "real": (1.0,)}


def _isotropic(squares: list[_Square]) -> bool:
    """Whether all squares have one factor and stand for different elements: each summed letter is a subscript."""
    if not squares or any(s.number != squares[0].number or s.factor is not squares[0].factor for s in squares):
        return False
    seen: list[Element] = []
    for s in squares:
        x = s.element
        if x is None or not s.bound <= _plain(x) or not all(_simple(i) for i in x.subscripts):
            return False
        if any(_may_meet(x, other) for other in seen):
            return False
        seen.append(x)
    return True


def _simple(subscript: Subscript) -> bool:
    return isinstance(subscript, At) or (isinstance(subscript, Affine) and subscript.plain)


def _most(degrees: Iterable[int | None]) -> int | None:
    """The largest degree; None if one is not known."""
    found = list(degrees)
    return None if None in found else max((d for d in found if d is not None), default=0)


def _plain(x: Element) -> frozenset[str]:
    """The letters that stand as subscripts by themselves."""
    return frozenset(s.letter for s in x.subscripts if isinstance(s, Affine) and s.plain)


def _factors(e: Expr) -> Iterator[Expr]:
    if isinstance(e, Pointwise) and e.op == "mul":
        for x in e.args:
            yield from _factors(x)
    else:
        yield e


def _same(a: Expr, b: Expr) -> bool:
    return isinstance(a, Element) and isinstance(b, Element) and a.name == b.name and a.subscripts == b.subscripts


def _may_meet(a: Element, b: Element) -> bool:
    """Whether two elements may be the same one for some values of their letters."""
    if a.name != b.name:
        return False
    apart = (
        isinstance(s, At) and isinstance(t, At) and s.position != t.position and (s.position < 0) == (t.position < 0)
        for s, t in zip(a.subscripts, b.subscripts, strict=True)
    )
    return not any(apart)


def _outer(e: Expr) -> Iterator[Element]:
    """The elements that stand in no sum, product over an index, slice or subscript."""
    if isinstance(e, Element):
        yield e
    elif isinstance(e, Pointwise):
        for x in e.args:
            yield from _outer(x)


__all__ = ["AFFINE", "BALL", "BOX", "NORM", "Forms"]
