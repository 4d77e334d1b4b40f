"""The checked spec: what the language stage hands to the calculus. Immutable; every name resolved, every axis known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

from vspec.compiler.diagnostics.spans import Span
from vspec.compiler.language.expr import Dtype, Expr


@dataclass(frozen=True, slots=True)
class Dim:
    """A dimension: the letters that range over it and its size.

    `size` is an int, None for `auto` (bound by the data at run time), or an integer expression of other dims' sizes
    (`SizeOf`, `Number`, `Pointwise` of add, sub, mul, floordiv, pow, neg). `boundary` says what a shifted subscript beyond
    either end reads: error, periodic, zero or reflect. `low` and `high` are the ends of the coordinates, scalar expressions
    of constants, or None. `configures` holds the dims (values, places) of a dim of configurations.
    """

    name: str
    letters: tuple[str, ...]
    size: int | Expr | None
    span: Span
    boundary: str = "error"
    low: Expr | None = None
    high: Expr | None = None
    configures: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Constant:
    """A named number or array that `--set` may override; `letters` are its axes."""

    name: str
    letters: tuple[str, ...]
    dtype: Dtype
    value: Any
    span: Span


@dataclass(frozen=True, slots=True)
class Source:
    """Where data comes from when the caller binds none: `uri` is a path (relative to the spec) or `sklearn:NAME`."""

    uri: str
    column: str | None = None
    rows: tuple[int, int] | None = None
    shuffle: int | None = None


@dataclass(frozen=True, slots=True)
class Draw:
    """Data drawn by NumPy's PCG64: law name, numeric arguments, seed (None: the run's seed)."""

    law: str
    arguments: tuple[float, ...]
    seed: int | None


@dataclass(frozen=True, slots=True)
class Data:
    """Bound at run time. `default` is a `Source`, a `Draw`, a literal (nested tuples) or None; `values` the allowed set."""

    name: str
    letters: tuple[str, ...]
    dtype: Dtype
    default: Source | Draw | Any | None
    values: tuple[float, ...] | None
    span: Span


@dataclass(frozen=True, slots=True)
class Domain:
    """Where a param lives: a kind of `domains.DOMAINS`, the letters over which it holds, the bounds of a box."""

    kind: str
    letters: tuple[str, ...] = ()
    lower: Expr | None = None
    upper: Expr | None = None
    span: Span | None = None


@dataclass(frozen=True, slots=True)
class Param:
    """An unknown. `init` has (a subset of) the letters as free axes."""

    name: str
    letters: tuple[str, ...]
    dtype: Dtype
    init: Expr
    domain: Domain
    span: Span


@dataclass(frozen=True, slots=True)
class Definition:
    """`name[letters]: body`; letters that the body lacks broadcast. `hidden` ones were made by the checker."""

    name: str
    letters: tuple[str, ...]
    body: Expr
    dtype: Dtype
    span: Span
    hidden: bool = False


@dataclass(frozen=True, slots=True)
class State:
    """One state of a recurrence: `letters` include the recurrence letter at position `time`.

    `init` is the right side of `s[0, ...]`, `step` of `s[t + 1, ...]`; both have letters other than `t` free.
    """

    name: str
    letters: tuple[str, ...]
    time: int
    init: Expr
    step: Expr
    dtype: Dtype
    span: Span


@dataclass(frozen=True, slots=True)
class Recurrence:
    """Coupled states that advance together over `letter`, with the definitions that are part of the step (in order).

    Inside `step` and `inner`, a state or inner definition is read at `[t]` only; steps run t = 0 .. size(t) - 2.
    Inner definitions with the recurrence letter may be read from outside, too, at any time.
    """

    letter: str
    states: tuple[State, ...]
    inner: tuple[Definition, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class Objective:
    """A named scalar."""

    name: str
    body: Expr
    span: Span


@dataclass(frozen=True, slots=True)
class Relation:
    """`left == right` (op `eq`) or `left <= right` (op `le`) for every value of a constraint's letters."""

    op: str
    left: Expr
    right: Expr
    span: Span


@dataclass(frozen=True, slots=True)
class Constraint:
    """Relations that hold together: one, or the links of a chain such as `0 <= x <= 1`."""

    name: str
    letters: tuple[str, ...]
    relations: tuple[Relation, ...]
    text: str
    span: Span

    def part(self, k: int) -> str:
        """The name of a relation: that of the constraint for the first, with a number for further links of a chain."""
        return self.name if k == 0 else f"{self.name}.{k}"


@dataclass(frozen=True, slots=True)
class MethodCall:
    """A method of the registry with its bound keyword arguments."""

    name: str
    arguments: Mapping[str, Any]
    span: Span


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage of the plan. `kind`: minimize, maximize or evaluate. `names`: the objective, or what to evaluate."""

    kind: str
    names: tuple[str, ...]
    over: tuple[str, ...]
    method: MethodCall | None
    steps: int | None
    starts: int
    span: Span


@dataclass(frozen=True, slots=True)
class Output:
    """A named result. `plot` is None, 'line', 'bar' or ('images', rows, columns), ..."""

    name: str
    letters: tuple[str, ...]
    body: Expr
    plot: Any
    span: Span


@dataclass(frozen=True, slots=True)
class Claim:
    """`that`: a boolean scalar; `left`/`right` with `tolerance`: an identity over their free letters."""

    name: str
    text: str
    that: Expr | None
    left: Expr | None
    right: Expr | None
    tolerance: float | None
    reported: str | None
    smoke: Mapping[str, Any]
    span: Span


@dataclass(frozen=True, slots=True)
class Spec:
    """A whole checked spec. `equations` are definitions and recurrences in an order in which each reads only earlier ones.

    `parts`: the files it imports, each with the SHA-256 of its text.
    """

    name: str
    doc: str
    precision: str
    dims: Mapping[str, Dim]
    letters: Mapping[str, str]
    constants: Mapping[str, Constant]
    data: Mapping[str, Data]
    params: Mapping[str, Param]
    equations: tuple[Definition | Recurrence, ...]
    objectives: Mapping[str, Objective]
    plan: tuple[Stage, ...]
    outputs: Mapping[str, Output]
    claims: Mapping[str, Claim]
    path: str = ""
    sha256: str = ""
    text: str = field(default="", repr=False)
    parts: Mapping[str, str] = field(default_factory=dict)
    constraints: Mapping[str, Constraint] = field(default_factory=dict)

    def file(self, span: Span) -> str:
        """The name of the imported file in which a span stands; '' for the spec's own."""
        return "" if span.file == self.path or not self.parts else PurePath(span.file).name
