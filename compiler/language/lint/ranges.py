"""Between which numbers an expression surely lies, and whether it can be zero: interval arithmetic over the checked tree.

What is known comes from literals, constants, the domains of params, the sets that data are taken from, the functions
themselves (exp, sigmoid, squares, norms), and the conditions of `a if c else b` around an expression.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from vspec.compiler.language.domains import number_of
from vspec.compiler.language.expr import (
    Along,
    Delta,
    Element,
    Expectation,
    Expr,
    IndexValue,
    Number,
    Pointwise,
    Reduction,
    Sample,
    SizeOf,
    Stop,
)
from vspec.compiler.language.lint.walk import alike, bare
from vspec.compiler.language.spec import Data, Definition, Domain, Draw, Recurrence, Source, Spec
from vspec.compiler.language.substitute import parts

INF = math.inf


@dataclass(frozen=True, slots=True)
class Range:
    """All numbers from `low` to `high`, zero among them only if `zero`."""

    low: float
    high: float
    zero: bool

    @property
    def positive(self) -> bool:
        """Whether every value is above zero."""
        return self.low >= 0 and not self.zero

    @property
    def nonnegative(self) -> bool:
        """Whether no value is below zero."""
        return self.low >= 0

    @property
    def point(self) -> float | None:
        """The value, if there is only one."""
        return self.low if self.low == self.high else None


def between(low: float, high: float, zero: bool = True) -> Range:
    """The range from `low` to `high`; everything if that is no range."""
    if math.isnan(low) or math.isnan(high) or low > high:
        return ALL
    return Range(low, high, zero and low <= 0 <= high)


ALL = Range(-INF, INF, True)
POSITIVE = Range(0.0, INF, False)
NONNEGATIVE = Range(0.0, INF, True)
UNIT = Range(0.0, 1.0, True)
SIGNED = Range(-1.0, 1.0, True)


def hull(a: Range, b: Range) -> Range:
    """The smallest range that holds both."""
    return between(min(a.low, b.low), max(a.high, b.high), a.zero or b.zero)


def meet(a: Range, b: Range) -> Range:
    """What lies in both; a contradiction (a branch that is never taken) is everything."""
    return between(max(a.low, b.low), min(a.high, b.high), a.zero and b.zero)


def _times(x: float, y: float) -> float:
    return 0.0 if x == 0 or y == 0 else x * y


def product(a: Range, b: Range) -> Range:
    """Of the products of two numbers."""
    ends = [_times(x, y) for x in (a.low, a.high) for y in (b.low, b.high)]
    return between(min(ends), max(ends), a.zero or b.zero)


def total(a: Range, b: Range) -> Range:
    """Of the sums of two numbers."""
    low, high = a.low + b.low, a.high + b.high
    both = (a.nonnegative and b.nonnegative) or (a.high <= 0 and b.high <= 0)
    return between(low, high, not (both and not (a.zero and b.zero)))


def negative(a: Range) -> Range:
    """Of the numbers with their signs changed."""
    return Range(-a.high, -a.low, a.zero)


def inverse(a: Range) -> Range:
    """Of the reciprocals."""
    if a.low >= 0 and not a.zero:
        return between(_over(a.high), _over(a.low) if a.low > 0 else INF, a.high == INF and a.low == INF)
    if a.high <= 0 and not a.zero:
        return negative(inverse(negative(a)))
    return Range(-INF, INF, False)


def _over(x: float) -> float:
    return 0.0 if math.isinf(x) else 1 / x if 1 / x != 0 else 0.0


def squared(a: Range) -> Range:
    """Of the squares."""
    top = max(_times(a.low, a.low), _times(a.high, a.high))
    least = 0.0 if a.low <= 0 <= a.high else min(_times(a.low, a.low), _times(a.high, a.high))
    return between(least, top, a.zero)


def magnitude(a: Range) -> Range:
    """Of the absolute values."""
    if a.low >= 0:
        return a
    if a.high <= 0:
        return negative(a)
    return between(0.0, max(-a.low, a.high), a.zero)


def _rising(f: Callable[[float], float], a: Range, keeps_zero: bool = False) -> Range:
    """Of a function that never falls; with `keeps_zero` it is zero at zero only."""

    def at(x: float, otherwise: float) -> float:
        try:
            return f(x)
        except (OverflowError, ValueError):
            return otherwise

    found = between(at(a.low, -INF), at(a.high, INF))
    return between(found.low, found.high, a.zero) if keeps_zero else found


def _log(x: float) -> float:
    return -INF if x == 0 else math.log(x)


def _whole(f: Callable[[float], int]) -> Callable[[float], float]:
    return lambda x: x if math.isinf(x) else float(f(x))


_RISING: dict[str, tuple[Callable[[float], float], bool]] = {
    "expm1": (math.expm1, True),
    "log1p": (lambda x: -INF if x == -1 else math.log1p(x), True),
    "log": (_log, False),
    "sinh": (math.sinh, True),
    "tanh": (math.tanh, True),
    "atan": (math.atan, True),
    "asin": (math.asin, True),
    "erf": (math.erf, True),
    "floor": (_whole(math.floor), False),
    "ceil": (_whole(math.ceil), False),
    "round": (_whole(round), False),
}
_FIXED: dict[str, Range] = {
    "sin": SIGNED,
    "cos": SIGNED,
    "sigmoid": Range(0.0, 1.0, False),
    "softplus": POSITIVE,
    "log_sigmoid": Range(-INF, 0.0, False),
    "erfc": Range(0.0, 2.0, False),
    "acos": Range(0.0, math.pi, True),
    "cosh": Range(1.0, INF, False),
}
_COMPARE = frozenset({"lt", "le", "gt", "ge", "eq", "ne", "and", "or", "not"})

Fact = tuple[Expr, Range]


class Ranges:
    """The ranges of the expressions of one spec. `visit` is told of each expression with its place's ranges."""

    def __init__(self, spec: Spec, visit: Callable[[Expr, Callable[[Expr], Range]], None] | None = None) -> None:
        self.spec = spec
        self.visit: Callable[[Expr, Callable[[Expr], Range]], None] | None = None
        self.names: dict[str, Range] = {}
        for constant in spec.constants.values():
            self.names[constant.name] = _of_values(constant.value)
        for data in spec.data.values():
            self.names[data.name] = _of_data(data)
        for param in spec.params.values():
            self.names[param.name] = _of_domain(param.domain)
        self._equations()
        self.visit = visit

    def of(self, expr: Expr) -> Range:
        """The range of an expression that stands by itself."""
        return _Place(self, ()).of(expr)

    def _equations(self) -> None:
        for equation in self.spec.equations:
            if isinstance(equation, Definition):
                self.names[equation.name] = self.of(equation.body)
            elif isinstance(equation, Recurrence):
                self._recurrence(equation)
        for objective in self.spec.objectives.values():
            if objective.name not in self.names:
                self.names[objective.name] = self.of(objective.body)

    def _recurrence(self, equation: Recurrence) -> None:
        """By induction: what holds at the start and is kept by the step holds for good."""
        proven = {s.name: ALL for s in equation.states}
        starts = {s.name: self.of(s.init) for s in equation.states}
        for guesses in (dict.fromkeys(starts, ALL), {n: _sign(r) for n, r in starts.items()}):
            # The second guess is about signs only, and is made of what the first one has proven.
            guess = {n: meet(proven[n], r) for n, r in guesses.items()}
            steps = self._step(equation, guess)
            if all(_within(starts[n], guess[n]) and _within(steps[n], guess[n]) for n in starts):
                proven = {n: hull(starts[n], steps[n]) for n in starts}
        self._step(equation, proven)

    def _step(self, equation: Recurrence, states: dict[str, Range]) -> dict[str, Range]:
        """The ranges after a step from states in the given ranges; those of what is part of the step are kept."""
        self.names |= states
        for inner in equation.inner:
            if isinstance(inner, Recurrence):
                self._recurrence(inner)
            else:
                self.names[inner.name] = self.of(inner.body)
        return {s.name: self.of(s.step) for s in equation.states}


def _sign(start: Range) -> Range:
    return POSITIVE if start.positive else NONNEGATIVE if start.nonnegative else ALL


def _within(a: Range, b: Range) -> bool:
    return a.low >= b.low and a.high <= b.high and (b.zero or not a.zero)


def _of_domain(domain: Domain) -> Range:
    lower, upper = number_of(domain.lower), number_of(domain.upper)
    if domain.kind == "box":
        return between(-INF if lower is None else lower, INF if upper is None else upper)
    kinds = {"positive": POSITIVE, "simplex": UNIT, "unit": SIGNED, "orthogonal": SIGNED}
    return kinds.get(domain.kind, ALL)


def _of_values(value: Any) -> Range:
    leaves: list[float] = []
    stack = [value]
    while stack:
        top = stack.pop()
        if isinstance(top, tuple | list):
            stack.extend(top)
        else:
            leaves.append(math.nan if isinstance(top, complex) else float(top))
    if not leaves or any(math.isnan(x) for x in leaves):
        return ALL
    return between(min(leaves), max(leaves), 0 in leaves)


def _of_data(data: Data) -> Range:
    if data.values:
        return _of_values(data.values)
    if isinstance(data.default, Draw):
        return _of_draw(data.default)
    if data.dtype == "boolean":
        return UNIT
    if data.default is not None and not isinstance(data.default, Source):
        try:
            return _of_values(data.default)
        except (TypeError, ValueError):
            return ALL
    return ALL


# What a draw of a law gives whatever its arguments.
_OF_LAWS = {
    "bernoulli": UNIT,
    "beta": UNIT,
    "rademacher": Range(-1.0, 1.0, False),
    **dict.fromkeys(("binomial", "categorical", "half_cauchy", "half_normal", "poisson", "rayleigh"), NONNEGATIVE),
    **dict.fromkeys(("exponential", "geometric", "lognormal"), POSITIVE),
}


def _of_draw(draw: Draw) -> Range:
    a = draw.arguments
    if draw.law == "uniform":
        return between(min(a), max(a))
    if draw.law == "integers":
        return between(a[0], a[1] - 1)
    return _OF_LAWS.get(draw.law, ALL)


class _Place:
    """Ranges under the conditions that hold at one place."""

    def __init__(self, ranges: Ranges, facts: tuple[Fact, ...]) -> None:
        self.ranges, self.facts = ranges, facts
        self.known: dict[int, Range] = {}

    def of(self, expr: Expr) -> Range:
        """The range of an expression; parts come first, without recursion, since expressions may be deep."""
        stack = [expr]
        while stack:
            top = stack[-1]
            if id(top) in self.known:
                stack.pop()
                continue
            # The branches of a choice are seen under its condition, at places of their own.
            choice = isinstance(top, Pointwise) and top.op == "where"
            waiting = [p for p in tuple(parts(top))[: 1 if choice else None] if id(p) not in self.known]
            if waiting:
                stack.extend(waiting)
            else:
                self._settle(stack.pop())
        return self.known[id(expr)]

    def _settle(self, expr: Expr) -> None:
        found = self._compute(expr)
        for other, fact in self.facts:
            if alike(expr, other):
                found = meet(found, fact)
        self.known[id(expr)] = found
        if self.ranges.visit is not None:
            self.ranges.visit(expr, self.of)

    def _compute(self, expr: Expr) -> Range:
        if isinstance(expr, Number):
            return _of_values(expr.value)
        if isinstance(expr, Pointwise):
            return self._pointwise(expr)
        inner = [self.of(p) for p in parts(expr)]
        if isinstance(expr, Element):
            return self.ranges.names.get(expr.name, ALL)
        if isinstance(expr, Reduction):
            return self._reduction(expr, inner[0])
        if isinstance(expr, Along):
            if expr.op == "softmax":
                return Range(0.0, 1.0, False)
            if expr.op == "log_softmax":
                return Range(-INF, 0.0, True)
            return _repeated({"cumsum": "sum", "cumprod": "prod"}.get(expr.op, ""), inner[0], None)
        if isinstance(expr, Delta):
            return UNIT
        if isinstance(expr, IndexValue | SizeOf):
            size = self._size(expr.letter)
            if isinstance(expr, SizeOf):
                return between(size or 1, size or INF)
            return between(0, size - 1 if size else INF)
        if isinstance(expr, Stop):
            return inner[0]
        if isinstance(expr, Sample):
            return _OF_LAWS.get(expr.law, ALL)
        if isinstance(expr, Expectation) and expr.op in ("E", "Var"):
            return inner[0] if expr.op == "E" else NONNEGATIVE
        return ALL

    def _size(self, letter: str) -> int | None:
        dim = self.ranges.spec.dims.get(self.ranges.spec.letters.get(letter, ""))
        return dim.size if dim is not None and isinstance(dim.size, int) else None

    def _reduction(self, expr: Reduction, a: Range) -> Range:
        size: int | None = 1
        for letter in expr.letters:
            one = self._size(letter)
            size = size * one if size is not None and one is not None else None
        if expr.op in ("any", "all"):
            return UNIT
        if expr.op in ("argmax", "argmin"):
            return between(0, size - 1 if size else INF)
        if expr.op in ("mean", "max", "min"):
            return a if expr.op != "mean" else between(a.low, a.high, a.zero or a.low < 0 < a.high)
        if expr.op == "logsumexp":
            return between(a.low, INF)
        if expr.op == "norm":
            return between(
                0.0 if a.zero else min(abs(a.low), abs(a.high)) if a.low > 0 or a.high < 0 else 0.0, INF, a.zero
            )
        if expr.op == "var":
            return NONNEGATIVE
        return _repeated(expr.op, a, size)

    def _pointwise(self, expr: Pointwise) -> Range:
        if expr.op == "where":
            condition, yes, no = expr.args
            self.of(condition)
            a = _Place(self.ranges, (*self.facts, *self.learn(condition, True))).of(yes)
            b = _Place(self.ranges, (*self.facts, *self.learn(condition, False))).of(no)
            return hull(a, b)
        args = [self.of(a) for a in expr.args]
        if expr.op in _COMPARE:
            return UNIT
        return arithmetic(expr, args)

    def learn(self, condition: Expr, holds: bool) -> list[Fact]:
        """What a condition says about the expressions in it where it holds, or where it does not."""
        if not isinstance(condition, Pointwise):
            return []
        if condition.op == "not":
            return self.learn(condition.args[0], not holds)
        if condition.op == ("and" if holds else "or"):
            return [fact for part in condition.args for fact in self.learn(part, holds)]
        op = condition.op if holds else _OPPOSITE.get(condition.op, "")
        if op not in _OPPOSITE:
            return []
        left, right = (bare(a) for a in condition.args)
        found = _compared(left, op, self.of(right)) + _compared(right, _MIRROR[op], self.of(left))
        for a, b, sign in ((left, right, op), (right, left, _MIRROR[op])):
            difference = Pointwise(span=condition.span, axes=condition.axes, op="sub", args=(a, b))
            found += _compared(difference, sign, Range(0.0, 0.0, True))
        return found


_OPPOSITE = {"lt": "ge", "ge": "lt", "gt": "le", "le": "gt", "eq": "ne", "ne": "eq"}
_MIRROR = {"lt": "gt", "gt": "lt", "le": "ge", "ge": "le", "eq": "eq", "ne": "ne"}


def _compared(expr: Expr, op: str, bound: Range) -> list[Fact]:
    """What `expr op b` says about `expr`, for a `b` in the range `bound`."""
    if op == "eq":
        return [(expr, bound)]
    if op == "ne":
        return [(expr, Range(-INF, INF, False))] if bound.point == 0 else []
    if op in ("gt", "ge"):
        return [(expr, between(bound.low, INF, op == "ge" or bound.low < 0))]
    return [(expr, between(-INF, bound.high, op == "le" or bound.high > 0))]


def _repeated(op: str, a: Range, size: int | None) -> Range:
    """Of the sum or the product of several numbers; `size` is how many, None for at least one."""
    if op == "sum":
        low = _times(a.low, size) if size else a.low if a.low >= 0 else -INF
        high = _times(a.high, size) if size else a.high if a.high <= 0 else INF
        return between(low, high, a.zero or (a.low < 0 < a.high))
    if op == "prod":
        if a.low >= 0:
            return between(0.0 if a.low < 1 else 1.0, 1.0 if a.high <= 1 else INF, a.zero)
        return between(
            -1.0 if a.low >= -1 and a.high <= 1 else -INF, 1.0 if a.low >= -1 and a.high <= 1 else INF, a.zero
        )
    return ALL


def arithmetic(expr: Pointwise, args: list[Range]) -> Range:
    """Of an operation on numbers."""
    op, a = expr.op, args[0]
    if op in ("real", "neg"):
        return a if op == "real" else negative(a)
    if op in ("add", "sub"):
        if op == "sub" and alike(*expr.args):
            return Range(0.0, 0.0, True)
        return total(a, args[1] if op == "add" else negative(args[1]))
    if op == "mul":
        return squared(a) if alike(*expr.args) else product(a, args[1])
    if op == "div":
        return product(a, inverse(args[1]))
    if op == "square":
        return squared(a)
    if op == "abs":
        return magnitude(a)
    if op == "pow":
        return power(a, args[1])
    if op == "mod":
        b = args[1]
        return between(0.0, b.high) if b.positive else ALL
    if op == "sqrt":
        return between(
            math.sqrt(a.low) if a.low > 0 else 0.0, math.sqrt(a.high) if a.high > 0 else INF, a.zero or a.low < 0
        )
    if op == "exp":
        grown = _rising(math.exp, a)
        # An upper bound is not 0, even where it is rounded to it.
        return Range(max(grown.low, 0.0), grown.high or math.ulp(0.0), False)
    if op == "relu":
        return between(max(a.low, 0.0), max(a.high, 0.0), a.low <= 0 and not (a.positive))
    if op == "sign":
        return between(
            -1.0 if a.low < 0 else 0.0 if a.zero else 1.0, 1.0 if a.high > 0 else 0.0 if a.zero else -1.0, a.zero
        )
    if op in ("maximum", "minimum", "clip"):
        return _extreme(op, args)
    if op in _RISING:
        f, keeps_zero = _RISING[op]
        return _rising(f, a, keeps_zero)
    return _FIXED.get(op, ALL)


def _extreme(op: str, args: list[Range]) -> Range:
    a, b = args[0], args[1]
    if op == "clip":
        return _extreme("minimum", [_extreme("maximum", [a, b]), args[2]])
    if op == "minimum":
        return negative(_extreme("maximum", [negative(a), negative(b)]))
    return between(max(a.low, b.low), max(a.high, b.high), (a.zero or b.zero) and not (a.positive or b.positive))


def power(a: Range, b: Range) -> Range:
    """Of `a**b`."""
    exponent = b.point
    if exponent == 0:
        return Range(1.0, 1.0, False)
    if exponent is not None and float(exponent).is_integer():
        whole = squared(a) if exponent % 2 == 0 else a
        times = abs(exponent) / 2 if exponent % 2 == 0 else abs(exponent)
        found = between(_raise(whole.low, times), _raise(whole.high, times), a.zero)
        return found if exponent > 0 else inverse(found)
    if a.positive:
        return POSITIVE
    return NONNEGATIVE if a.nonnegative else ALL


def _raise(x: float, times: float) -> float:
    try:
        return math.copysign(abs(x) ** times, x)
    except OverflowError:
        return math.copysign(INF, x)
