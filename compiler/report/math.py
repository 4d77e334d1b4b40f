"""Checked expressions → mathematics: Unicode on one line, LaTeX, or presentation MathML.

One visitor walks the tree and places as few parentheses as precedence allows; a `Notation` decides how each piece looks.
Names are shown as Greek letters where they spell one and no other name of the spec would look the same.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from enum import IntEnum
from typing import Any

from vspec.compiler.diagnostics.spans import Span
from vspec.compiler.language.expr import (
    Affine,
    Along,
    At,
    Block,
    Coord,
    Delta,
    Derivative,
    Element,
    Expectation,
    Expr,
    Foreign,
    Gather,
    Implicit,
    IndexValue,
    Linalg,
    Number,
    Part,
    Pointwise,
    Reduction,
    Rows,
    Sample,
    SizeOf,
    Spacing,
    Stack,
    Stop,
    Subscript,
)
from vspec.compiler.language.spec import Dim
from vspec.compiler.language.substitute import parts
from vspec.compiler.language.tracked import NEXT
from vspec.compiler.report.latex import Latex
from vspec.compiler.report.mathml import MathML
from vspec.compiler.report.notation import GREEK, Notation, Unicode


class Level(IntEnum):
    """How tightly a piece holds together."""

    OR = 1
    AND = 2
    NOT = 3
    COMPARE = 4
    ADD = 5
    NEG = 6
    BIG = 7
    MUL = 8
    POWER = 9
    ATOM = 10


COMPARISONS = frozenset({"lt", "le", "gt", "ge", "eq", "ne"})

# Functions that mathematics writes otherwise than by the name they have in the language.
WORDS = {
    "maximum": "max",
    "minimum": "min",
    "asin": "arcsin",
    "acos": "arccos",
    "atan": "arctan",
    "asinh": "arsinh",
    "acosh": "arcosh",
    "atanh": "artanh",
    "integer": "trunc",
    "digamma": "ψ",
    "sign": "sgn",
    "cholesky": "chol",
    "re": "Re",
    "im": "Im",
    "trace": "tr",
}
# The usual symbols of special functions, and of those whose logarithm a function is.
SYMBOLS = {"ndtr": "Φ", "gammainc": "P", "gammaincc": "Q"}
LOGS = {"log_ndtr": "Φ", "betaln": "B"}
SCALED_BESSEL = {"i0e": "0", "i1e": "1"}
# What an implicit quantity is called.
_SOLVED = {"fixed_point": "fix", "argmin": "argmin", "argmax": "argmax"}
FENCED = {"abs": "abs", "floor": "floor", "ceil": "ceil"}


@dataclass(frozen=True, slots=True)
class Piece:
    """Written mathematics and how tightly it holds together. `tail`: it ends in a body that takes all that follows.
    `signed`: it starts with a minus sign."""

    text: str
    level: Level = Level.ATOM
    tail: bool = False
    signed: bool = False


class Printer:
    """Writes expressions in one notation.

    `dims` give the sizes for bounds of sums; `letters` say over which dim a letter ranges, so that letters the compiler
    made (`_1`) are shown as one of that dim's own. `names` are those that must not look alike.
    """

    def __init__(
        self,
        notation: Notation,
        *,
        names: Collection[str] = (),
        letters: Mapping[str, str] | None = None,
        dims: Mapping[str, Dim] | None = None,
        bounds: bool = False,
    ) -> None:
        self.n = notation
        self.letters = dict(letters or {})
        self.dims = dict(dims or {})
        self.bounds = bounds
        self.greek = plain_greek(names)
        self._shown: dict[str, str] = {}
        # What the spec calls the unknowns of implicit quantities.
        self._labels: dict[str, str] = {}

    # --- whole formulas -------------------------------------------------------------------------------------------

    def expression(self, e: Expr) -> str:
        """An expression by itself."""
        self._shown = self._display([e])
        return self._any(e).text

    def equation(self, name: str, subscripts: Sequence[Subscript], body: Expr) -> str:
        """`name[subscripts] = body`."""
        left = Element(span=body.span, name=name, subscripts=tuple(subscripts))
        self._shown = self._display([left, body])
        return self.n.equation(self._any(left).text, self._any(body).text)

    def element(self, name: str, letters: Sequence[str]) -> str:
        """`name[letters]`."""
        return self._symbol(name, [Affine(x) for x in letters])

    # --- letters --------------------------------------------------------------------------------------------------

    def _display(self, roots: Iterable[Expr]) -> dict[str, str]:
        """How letters are shown: those of the spec as they are, hidden ones as a free letter of their dim, or primed."""
        used = list(dict.fromkeys(x for r in roots for x in letters_in(r)))
        shown = {x: x for x in used if not x.startswith("_")}
        taken = set(shown.values())
        for hidden in (x for x in used if x.startswith("_")):
            dim = self.letters.get(hidden)
            own = [x for x, d in self.letters.items() if d == dim and not x.startswith("_")] if dim else []
            wish = next((x for x in own if x not in taken), own[0] if own else "i")
            while wish in taken:
                wish += "′"
            taken.add(wish)
            shown[hidden] = wish
        return shown

    def _letter(self, letter: str) -> str:
        return self.n.letter(self._shown.get(letter, letter))

    # --- precedence -----------------------------------------------------------------------------------------------

    def _any(self, e: Expr) -> Piece:
        if isinstance(e, Number):
            return self._number(e.value)
        if isinstance(e, Element):
            return Piece(self._symbol(e.name, e.subscripts))
        if isinstance(e, Pointwise):
            return self._pointwise(e)
        if isinstance(e, Reduction):
            return self._reduction(e)
        if isinstance(e, Along):
            return self._bound(e.op, (e.letter,), e.body)
        if isinstance(e, Derivative):
            return self._derivative(e)
        if isinstance(e, Linalg):
            return self._linalg(e)
        if isinstance(e, Rows):
            return self._joined("", [self._any(row).text for row in e.rows], e.letter)
        if isinstance(e, Stack):
            return self._joined(self.n.word("stack"), [self._block(b).text for b in e.blocks], e.letter)
        if isinstance(e, Delta):
            return Piece(self.n.sub(self.n.name("δ", False), [self._any(e.left).text, self._any(e.right).text]))
        if isinstance(e, IndexValue):
            return Piece(self._letter(e.letter))
        if isinstance(e, SizeOf):
            return Piece(self.n.call(self.n.word("size"), [self._letter(e.letter)]))
        if isinstance(e, Coord):
            return Piece(self.n.call(self.n.word("coord"), [self._letter(e.letter)]))
        if isinstance(e, Spacing):
            return Piece(self.n.call(self.n.word("spacing"), [self._letter(e.letter)]))
        if isinstance(e, Part):
            return Piece(self.n.call(self.n.word("part"), [self._letter(e.letter), self._subscript(e.place)]))
        if isinstance(e, Implicit):
            return self._implicit(e)
        if isinstance(e, Stop):
            return self._call("stop", [e.body])
        if isinstance(e, Expectation) and e.op == NEXT and e.way.rate is not None:
            # What is kept of a tracked mean after a step, as a function of the newest one.
            head = self.n.sub(self.n.word(e.way.word), [self._any(e.way.rate).text])
            return Piece(self.n.call(head, [self._any(replace(e, op="E")).text]))
        if isinstance(e, Expectation):
            head = self.n.sub(self.n.word(e.op), [self._name(name) for name in e.names])
            return Piece(self.n.call(head, [self._any(x).text for x in e.bodies]))
        if isinstance(e, Sample):
            law = self.n.call(self.n.word(e.law), [self._block(b).text for b in e.blocks])
            return Piece(self.n.call(self.n.word("sample"), [law]))
        raise TypeError(f"no mathematics for {type(e).__name__}")

    def _round(self, p: Piece) -> Piece:
        return Piece(self.n.fence("round", p.text))

    def _at(self, p: Piece, level: Level) -> str:
        """The text of a piece where something at `level` is expected."""
        return p.text if p.level >= level else self._round(p).text

    def _left(self, p: Piece, level: Level) -> str:
        """The same for a left operand: a sum's body must not take what follows."""
        return self._round(p).text if p.tail else self._at(p, level)

    # --- atoms ----------------------------------------------------------------------------------------------------

    def _number(self, value: int | float | bool | complex) -> Piece:
        if isinstance(value, bool):
            return Piece(self.n.word("true" if value else "false"))
        if isinstance(value, complex):
            unit = Piece(self.n.word("i"))
            if abs(value.imag) != 1:
                return self._product(self._number(value.imag), unit)
            return unit if value.imag > 0 else Piece(self.n.prefix("neg", unit.text), Level.NEG, signed=True)
        if value < 0:
            return Piece(self.n.prefix("neg", self._at(self._number(-value), Level.MUL)), Level.NEG, signed=True)
        if math.isinf(value):
            return Piece(self.n.number("∞"))
        if value == math.pi:
            return Piece(self.n.number("π"))
        text = repr(value).removesuffix(".0")
        mantissa, _, exponent = text.partition("e")
        if not exponent:
            return Piece(self.n.number(text))
        power = self.n.power(self.n.number("10"), self.n.number(str(int(exponent)).replace("-", "−")))
        if mantissa == "1":
            return Piece(power, Level.POWER)
        return Piece(self.n.infix("mul", self.n.number(mantissa), power), Level.MUL)

    def _name(self, name: str) -> str:
        # Names that the compiler made start with an underscore.
        name = self._labels.get(name, name)
        return self.n.name(name.lstrip("_"), name in self.greek)

    def _symbol(self, name: str, subscripts: Sequence[Subscript]) -> str:
        base = self._name(name)
        return self.n.sub(base, [self._subscript(s) for s in subscripts]) if subscripts else base

    def _subscript(self, s: Subscript) -> str:
        if isinstance(s, At):
            return (
                self.n.number(str(s.position))
                if s.position >= 0
                else self.n.prefix("neg", self.n.number(str(-s.position)))
            )
        if isinstance(s, Gather):
            return self._any(s.index).text
        terms = [(s.scale, self._letter(s.letter))]
        terms += [(count, self.n.call(self.n.word("size"), [self._letter(dim)])) for dim, count in s.sizes]
        if s.offset:
            terms.append((s.offset, ""))
        # What is subtracted stands behind what is not: `9 - i`.
        first, *rest = sorted(terms, key=lambda term: term[0] < 0)
        text = self._multiple(*first)
        for count, symbol in rest:
            text = self.n.infix("add" if count > 0 else "sub", text, self._multiple(abs(count), symbol))
        return text

    def _multiple(self, count: int, symbol: str) -> str:
        """A whole multiple of a symbol; of nothing, the number itself."""
        if count < 0:
            return self.n.prefix("neg", self._multiple(-count, symbol))
        number = self.n.number(str(count))
        if not symbol:
            return number
        if count == 1:
            return symbol
        return number + symbol if isinstance(self.n, Latex | Unicode) else self.n.infix("mul", number, symbol)

    # --- pointwise ------------------------------------------------------------------------------------------------

    def _pointwise(self, e: Pointwise) -> Piece:
        op, n = e.op, self.n
        if op in ("add", "sub"):
            left, right = map(self._any, e.args)
            after = (
                self._round(right).text if right.signed else self._at(right, Level.ADD if op == "add" else Level.NEG)
            )
            return Piece(
                n.infix(op, self._at(left, Level.ADD), after), Level.ADD, signed=left.signed and left.level >= Level.ADD
            )
        if op == "mul":
            return self._product(*map(self._any, e.args))
        if op == "div":
            return self._quotient(*map(self._any, e.args))
        if op == "neg":
            (x,) = map(self._any, e.args)
            inside = self._round(x).text if x.signed else self._at(x, Level.BIG)
            return Piece(n.prefix("neg", inside), Level.NEG, tail=x.tail, signed=True)
        if op == "pow":
            return self._power(self._any(e.args[0]), self._any(e.args[1]))
        if op == "square":
            return self._power(self._any(e.args[0]), Piece(n.number("2")))
        if op == "sqrt":
            x = self._any(e.args[0])
            return Piece(n.root(x.text if n.stacked else self._at(x, Level.ATOM)))
        if op in COMPARISONS:
            left, right = map(self._any, e.args)
            return Piece(n.infix(op, self._at(left, Level.ADD), self._at(right, Level.ADD)), Level.COMPARE)
        if op in ("and", "or"):
            level = Level.AND if op == "and" else Level.OR
            left, right = map(self._any, e.args)
            return Piece(n.infix(op, self._at(left, level), self._at(right, level)), level)
        if op == "not":
            return Piece(n.prefix("not", self._at(self._any(e.args[0]), Level.ATOM)), Level.NOT)
        if op == "where":
            return self._cases(e)
        if op in SYMBOLS:
            base = n.name(SYMBOLS[op], False)
            return Piece(n.call(base, [self._any(a).text for a in e.args]))
        if op in LOGS:
            inside = n.call(n.name(LOGS[op], False), [self._any(a).text for a in e.args])
            return Piece(n.call(n.word("log"), [inside]))
        if op == "erfinv":
            minus_one = n.prefix("neg", n.number("1")) if n.stacked else n.number("−1")
            return Piece(n.call(n.power(n.word("erf"), minus_one), [self._any(e.args[0]).text]))
        if op in SCALED_BESSEL:
            x = self._any(e.args[0])
            minus = Piece(n.prefix("neg", n.fence("abs", x.text)), Level.NEG)
            scale = self._power(Piece(n.name("e", False)), minus)
            bessel = n.call(n.sub(n.name("I", False), [n.number(SCALED_BESSEL[op])]), [x.text])
            return self._product(scale, Piece(bessel))
        if op == "real" or (op == "integer" and e.args[0].dtype == "boolean"):
            # An Iverson bracket: one where the condition holds. An integer is a real number as it stands.
            (condition,) = e.args
            inner = self._any(condition)
            return Piece(n.fence("square", inner.text)) if condition.dtype == "boolean" else inner
        if op == "mod":
            left, right = map(self._any, e.args)
            return Piece(n.infix("mod", self._left(left, Level.MUL), self._at(right, Level.POWER)), Level.MUL)
        if op == "floordiv":
            return Piece(n.fence("floor", self._quotient(*map(self._any, e.args)).text))
        if op in FENCED:
            return Piece(n.fence(FENCED[op], self._any(e.args[0]).text))
        if op == "conj":
            return Piece(n.conjugate(self._at(self._any(e.args[0]), Level.ATOM)), Level.POWER)
        if op == "lgamma":
            inside = n.call(n.name("Γ", False), [self._any(e.args[0]).text])
            return Piece(n.call(n.word("log"), [n.fence("abs", inside)]))
        return self._call(op, e.args)

    def _call(self, op: str, args: Sequence[Expr]) -> Piece:
        return Piece(self.n.call(self.n.word(WORDS.get(op, op)), [self._any(a).text for a in args]))

    def _product(self, left: Piece, right: Piece) -> Piece:
        first = left.text if left.level == Level.NEG and not left.tail else self._left(left, Level.MUL)
        after = self._at(right, Level.BIG)
        return Piece(
            self.n.infix("mul", first, after), Level.MUL if not right.tail else Level.BIG, right.tail, left.signed
        )

    def _quotient(self, top: Piece, bottom: Piece) -> Piece:
        if self.n.stacked:
            return Piece(self.n.fraction(top.text, bottom.text), Level.MUL)
        first = top.text if top.level == Level.NEG and not top.tail else self._left(top, Level.MUL)
        return Piece(
            self.n.fraction(first, self._at(bottom, Level.POWER)), Level.MUL, signed=top.signed and first == top.text
        )

    def _power(self, base: Piece, exponent: Piece) -> Piece:
        free = self.n.stacked or self.n.raises(exponent.text)
        high = exponent.text if free else self._at(exponent, Level.ATOM)
        return Piece(self.n.power(self._at(base, Level.ATOM), high), Level.POWER)

    def _cases(self, e: Pointwise) -> Piece:
        rows: list[tuple[str, str]] = []
        rest: Expr = e
        while isinstance(rest, Pointwise) and rest.op == "where":
            condition, yes, rest = rest.args
            rows.append((self._any(yes).text, self._any(condition).text))
        return Piece(self.n.cases(rows, self._any(rest).text))

    # --- binders --------------------------------------------------------------------------------------------------

    def _reduction(self, e: Reduction) -> Piece:
        if e.op in ("sum", "prod", "any", "all"):
            body = self._any(e.body)
            # `∑ −x` would read as a difference with what stands before.
            text = self._round(body).text if body.signed else self._at(body, Level.BIG)
            if not self.bounds or e.op in ("any", "all"):
                return Piece(self.n.big(e.op, [self._letter(x) for x in e.letters], "", text), Level.BIG, tail=True)
            for letter in reversed(e.letters):
                upper = self._upper(letter)
                text = self.n.big(e.op, [self._letter(letter)], upper, text)
            return Piece(text, Level.BIG, tail=True)
        if e.op == "norm":
            inside = self.n.fence("norm", self._any(e.body).text)
            return Piece(self.n.sub(inside, [self._letter(x) for x in e.letters]))
        return self._bound(e.op, e.letters, e.body, *((e.level,) if e.level is not None else ()))

    def _bound(self, op: str, letters: Sequence[str], *args: Expr) -> Piece:
        head = self.n.bound(self.n.word(WORDS.get(op, op)), [self._letter(x) for x in letters])
        return Piece(self.n.call(head, [self._any(a).text for a in args]))

    def _implicit(self, e: Implicit) -> Piece:
        """`root_{s_u}(body)`, with the constraints behind the body; of several unknowns, the one that is meant by its number."""
        problem = e.problem
        self._labels.update((u.name, u.label) for u in problem.sought)
        unknowns = [self._symbol(u.name, [Affine(x) for x in u.letters]) for u in problem.sought]
        head = self.n.bound(self.n.word(_SOLVED.get(problem.op, problem.op)), unknowns)
        relations = [
            Pointwise(span=r.span, dtype="boolean", op=r.op, args=(r.left, r.right)) for r in problem.relations
        ]
        text = self.n.call(head, [self._any(x).text for x in (*problem.bodies, *relations)])
        if len(unknowns) == 1:
            return Piece(text)
        return Piece(self.n.sub(self.n.fence("round", text), [self.n.number(str(e.position + 1))]))

    def _upper(self, letter: str) -> str:
        """The last value of a letter, '' where the data decides it."""
        dim = self.dims.get(self.letters.get(letter, ""))
        return self.n.number(str(dim.size - 1)) if dim is not None and isinstance(dim.size, int) else ""

    def _derivative(self, e: Derivative) -> Piece:
        orders: dict[str, int] = {}
        for wrt in e.wrt:
            text = self._symbol(wrt.name, wrt.subscripts)
            orders[text] = orders.get(text, 0) + 1
        body = self._any(e.body)
        simple = isinstance(e.body, Element)
        text = self.n.partial(body.text if simple else self._at(body, Level.ATOM), list(orders.items()), not simple)
        return Piece(text, Level.MUL, tail=not simple)

    def _joined(self, word: str, parts: Sequence[str], letter: str) -> Piece:
        """The entry at `letter` of several values in parentheses."""
        return Piece(self.n.sub(self.n.call(word, parts), [self._letter(letter)]))

    # --- linear algebra -------------------------------------------------------------------------------------------

    def _linalg(self, e: Linalg) -> Piece:
        n = self.n
        # Of a function from outside, the weights are not shown.
        blocks = [self._block(b) for b in (e.blocks[: e.source.arguments] if isinstance(e, Foreign) else e.blocks)]
        minus_one = n.number("−1") if not n.stacked else n.prefix("neg", n.number("1"))
        if e.op in ("solve", "inv"):
            whole = n.power(self._at(blocks[0], Level.ATOM), minus_one)
            if e.op == "solve":
                whole = (
                    n.infix("mul", whole, self._at(blocks[1], Level.MUL)) if n.stacked else f"{whole} {blocks[1].text}"
                )
            return Piece(n.sub(n.fence("round", whole), [self._subscript(s) for s in e.subscripts]))
        if e.op in ("det", "logdet"):
            det = n.call(n.word("det"), [blocks[0].text])
            return Piece(n.call(n.word("log"), [n.fence("abs", det)]) if e.op == "logdet" else det)
        word = e.source.name if isinstance(e, Foreign) else WORDS.get(e.op, e.op)
        text = n.call(n.word(word), [b.text for b in blocks])
        return Piece(n.sub(text, [self._subscript(s) for s in e.subscripts]) if e.subscripts else text)

    def _block(self, b: Block) -> Piece:
        """A matrix by its name where it is all of one, else the entry in brackets with its two letters."""
        if isinstance(b.body, Element):
            plain = [s.letter if isinstance(s, Affine) and s.plain else None for s in b.body.subscripts]
            base = self._name(b.body.name)
            if tuple(plain) == b.core:
                return Piece(base)
            if tuple(plain) == b.core[::-1]:
                return Piece(self.n.power(base, self.n.word("T")), Level.POWER)
            if [x for x in plain if x in b.core] == list(b.core):
                rest = [
                    self.n.word(":") if x in b.core else self._subscript(s)
                    for x, s in zip(plain, b.body.subscripts, strict=True)
                ]
                return Piece(self.n.sub(base, rest))
        inside = self.n.fence("square", self._any(b.body).text)
        return Piece(self.n.sub(inside, [self._letter(x) for x in b.core]))


# --- walking ------------------------------------------------------------------------------------------------------


def letters_in(e: Any) -> Iterator[str]:
    """Every letter of an expression, bound ones included, those of the outside first."""
    if isinstance(e, Affine | IndexValue | SizeOf | Coord | Spacing):
        yield e.letter
    elif isinstance(e, tuple):
        for x in e:
            yield from letters_in(x)
    elif isinstance(e, Implicit):
        yield from e.axes
        for unknown in e.problem.sought:
            yield from unknown.letters
        yield from letters_in(tuple(parts(e)))
    elif isinstance(e, Expr | Gather | Block):
        if isinstance(e, Expr):
            yield from e.axes
        if isinstance(e, Reduction):
            yield from e.letters
        if isinstance(e, Block):
            yield from e.core
        if isinstance(e, Part):
            yield e.letter
        for f in fields(e):
            value = getattr(e, f.name)
            if f.name not in ("axes", "letters", "core") and not isinstance(value, str | Span):
                yield from letters_in(value)


def plain_greek(names: Collection[str]) -> frozenset[str]:
    """The names that may be shown as Greek letters: those that no other name would look like."""
    look: dict[str, set[str]] = {}
    for name in names or GREEK:
        look.setdefault(GREEK.get(name, name), set()).add(name)
    if not names:
        return frozenset(GREEK)
    return frozenset(name for name in names if name in GREEK and len(look[GREEK[name]]) == 1)


# --- one expression -----------------------------------------------------------------------------------------------


def latex(e: Expr) -> str:
    """The LaTeX of one expression."""
    return Printer(Latex()).expression(e)


def unicode(e: Expr) -> str:
    """One expression on a line of plain text."""
    return Printer(Unicode()).expression(e)


def mathml(e: Expr) -> str:
    """The presentation MathML of one expression, as a `math` element."""
    body = Printer(MathML()).expression(e)
    return f'<math xmlns="http://www.w3.org/1998/Math/MathML" display="block">{body}</math>'
