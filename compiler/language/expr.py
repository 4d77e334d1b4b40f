"""Checked expressions: immutable trees in index notation, every node typed and located.

After the language stage a tree is closed: functions are inlined, slices have letters of their own (`_1`, `_2`, ...),
every letter is known to the spec, and `axes` is the tuple of free letters in order of first appearance.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from vspec.compiler.diagnostics.spans import Span

if TYPE_CHECKING:
    from vspec.compiler.language.spec import Definition, MethodCall, Relation

Dtype = Literal["real", "integer", "boolean", "complex"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Expr:
    """What all expressions share. `axes`: free index letters. `dtype`: of each element."""

    span: Span
    axes: tuple[str, ...] = ()
    dtype: Dtype = "real"


@dataclass(frozen=True, slots=True)
class By:
    """How an expression is to be evaluated: a word, and its numbers (`language/evaluation.py`)."""

    word: str = "auto"
    numbers: tuple[int, ...] = ()


AUTO = By()


@dataclass(frozen=True, slots=True)
class Number(Expr):
    """A literal, `pi` or `inf` included; a complex one is imaginary: `2j`."""

    value: int | float | bool | complex


@dataclass(frozen=True, slots=True)
class Affine:
    """A subscript `scale*letter + offset + sum of k*size(dim) over sizes`, letter's size as declared; scale is not 0.

    `sizes` holds sizes that are open until run only. `mode` is '' where the subscript surely stays inside its axis, else
    the boundary that says what it reads outside: 'periodic', 'zero' or 'reflect'.
    """

    letter: str
    scale: int = 1
    offset: int = 0
    sizes: tuple[tuple[str, int], ...] = ()
    mode: str = ""

    @property
    def plain(self) -> bool:
        """Whether the subscript is the letter alone."""
        return self.scale == 1 and self.offset == 0 and not self.sizes


@dataclass(frozen=True, slots=True)
class At:
    """A fixed subscript; negative ones count from the end."""

    position: int


@dataclass(frozen=True, slots=True)
class Gather:
    """An integer expression as subscript."""

    index: Expr


Subscript = Affine | At | Gather


@dataclass(frozen=True, slots=True)
class Element(Expr):
    """An element of a constant, data, param, definition or objective: `W[i, j + 1]`. A scalar has no subscripts."""

    name: str
    subscripts: tuple[Subscript, ...] = ()


@dataclass(frozen=True, slots=True)
class Pointwise(Expr):
    """An elementwise operation of `POINTWISE` over its arguments, aligned by letter.

    Operators are `add sub mul div pow neg lt le gt ge eq ne and or not`; `a if c else b` is `where(c, a, b)`;
    `real(c)` makes a boolean or integer a real and is inserted where arithmetic needs it.
    """

    op: str
    args: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class Reduction(Expr):
    """`op[letters](body)` for an op of `REDUCTIONS`; `op[letters](body, level)` where it takes one, free of the letters.
    `by`: how it is evaluated."""

    op: str
    letters: tuple[str, ...]
    body: Expr
    level: Expr | None = None
    by: By = AUTO


@dataclass(frozen=True, slots=True)
class Along(Expr):
    """`op[letter](body)` for an op of `ALONG` (softmax, cumsum, ...): the letter stays free."""

    op: str
    letter: str
    body: Expr


@dataclass(frozen=True, slots=True)
class Derivative(Expr):
    """`d(body, wrt[0], wrt[1], ...)`, taken from left to right. Letters that a `wrt` shares with the body are the
    diagonal of the Jacobian, never a sum. A `wrt` is an element of a param, data, constant or definition."""

    body: Expr
    wrt: tuple[Element, ...]
    by: By = AUTO


@dataclass(frozen=True, slots=True)
class Block:
    """An operand of a function that consumes whole axes: `body` with its consumed letters, in the order of the slices."""

    body: Expr
    core: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Rows(Expr):
    """One expression per value of `letter`, a new axis; the whole right side of an array that is given row by row."""

    letter: str
    rows: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class Stack(Expr):
    """`stack(blocks...)`: all entries of whole arrays, each raveled with its last axis fastest, along the new axis
    `letter`; the whole right side of a definition. The body of a block is an element, or an element made real."""

    letter: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True, slots=True)
class Linalg(Expr):
    """`op(blocks...)[subscripts]` for an op of `LINALG`. The other letters of the blocks are batch letters."""

    op: str
    blocks: tuple[Block, ...]
    subscripts: tuple[Subscript, ...] = ()
    by: By = AUTO


@dataclass(frozen=True, slots=True)
class Foreign(Linalg):
    """A call of a function from outside of the spec on whole axes; `results` are the letters of its result's axes, as declared.
    With a `leaf` it is the start of that weight of a module, and has no blocks."""

    source: Any = None
    results: tuple[str, ...] = ()
    leaf: int | None = None


@dataclass(frozen=True, slots=True)
class Delta(Expr):
    """`delta[a, b]`: 1 where the two integer expressions agree, else 0."""

    left: Expr
    right: Expr


@dataclass(frozen=True, slots=True)
class IndexValue(Expr):
    """`index(i)`: the value of the letter, from 0."""

    letter: str


@dataclass(frozen=True, slots=True)
class SizeOf(Expr):
    """`size(i)`: the size of the letter's dim."""

    letter: str


@dataclass(frozen=True, slots=True)
class Coord(Expr):
    """`coord(x)`: the coordinate of the letter on its dim."""

    letter: str


@dataclass(frozen=True, slots=True)
class Spacing(Expr):
    """`spacing(x)`: the distance between neighbouring coordinates of the letter's dim."""

    letter: str


@dataclass(frozen=True, slots=True)
class Part(Expr):
    """`part(s, i)`: which value the configuration `letter` assigns to a place of the dim that it configures."""

    letter: str
    place: Subscript


@dataclass(frozen=True, slots=True)
class Sample(Expr):
    """`sample(law(blocks...))`: a fresh draw from a law of `LAWS`, independent for every value of its axes.

    `blocks`: an argument for each parameter. `instead`: the name of the one that stands in the place of another, or ''.
    `times`: those of the axes that recurrences around it step through, the outermost first. `place`: what tells draws apart,
    the calls that led here and the text itself.
    """

    law: str
    blocks: tuple[Block, ...]
    instead: str
    times: tuple[str, ...]
    place: tuple[Span, ...]
    event: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Evaluation:
    """How an expectation is evaluated: `by=word(...)`.

    `count`: the number of draws or of nodes. `over`: the ends of a rule for integrals. `antithetic`: draws come in mirrored
    pairs. `common`: the draws of a variable are those of every other expectation that says so and has as many. Of a tracked
    mean, `rate` is the share of the newest mean; `state` are the params that keep it and whether it has begun (`tracked.py`).
    """

    word: str = "auto"
    count: int | None = None
    over: tuple[Expr, Expr] | None = None
    rate: Expr | None = None
    antithetic: bool = False
    common: bool = False
    state: tuple[Element, ...] = ()


@dataclass(frozen=True, slots=True)
class Expectation(Expr):
    """`E[names](body)`, `Var[names](body)`, `Cov[names](body, body)`: over the laws of random variables, given all others.

    With the op `next` it is what is kept of a tracked mean after the step, which only the checker writes.

    `reads`: the variables and their log-densities as they are declared. `times`: the letters of the recurrences around it, the
    outermost first. `place`: what tells its draws from others.
    """

    op: str
    names: tuple[str, ...]
    bodies: tuple[Expr, ...]
    way: Evaluation
    reads: tuple[Element, ...]
    times: tuple[str, ...]
    place: tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class Stop(Expr):
    """`stop(e)`: the value of e, through which no derivative flows."""

    body: Expr


@dataclass(frozen=True, slots=True)
class Sought:
    """An unknown of an implicit quantity: what the spec calls it, the name of its elements in the bodies, its letters, and
    the start of the search, over (a subset of) the letters and those of the surroundings."""

    label: str
    name: str
    letters: tuple[str, ...]
    start: Expr


@dataclass(frozen=True, slots=True)
class Problem:
    """What an implicit quantity solves.

    `op`: root (`bodies` are 0), fixed_point (they are the unknowns), argmin or argmax (one body, least or greatest under the
    `relations`). The bodies of a root and of a fixed point have the letters of their unknowns; `batch` are those of the
    surroundings: there is one problem for each of their values. Other letters of a relation say that it holds for every value.
    `inner` are definitions of the checker that read the unknowns, in order. `gradient`: implicit, unrolled or none.
    """

    op: str
    sought: tuple[Sought, ...]
    bodies: tuple[Expr, ...]
    relations: tuple[Relation, ...]
    inner: tuple[Definition, ...]
    method: MethodCall
    steps: int
    gradient: str
    batch: tuple[str, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class Implicit(Expr):
    """The unknown number `position` of a problem at its solution; the whole right side of a definition."""

    problem: Problem
    position: int
