"""The checked spec: what the language stage hands to the calculus. Immutable; every name resolved, every axis known."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
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
    """Where data comes from when the caller binds none: `uri` is a path (relative to the spec) or `sklearn:NAME`.

    `column` names one array or column of it, or several columns of a table.
    """

    uri: str
    column: str | tuple[str, ...] | None = None
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
    """An unknown. `init` has (a subset of) the letters as free axes. `carried`: it has no name in the spec, and is what is kept
    from step to step, such as the place of a Markov chain; no method moves it, and no mean is taken of it."""

    name: str
    letters: tuple[str, ...]
    dtype: Dtype
    init: Expr
    domain: Domain
    span: Span
    carried: bool = False


@dataclass(frozen=True, slots=True)
class Definition:
    """`name[letters]: body`; letters that the body lacks broadcast. `hidden` ones were made by the checker."""

    name: str
    letters: tuple[str, ...]
    body: Expr
    dtype: Dtype
    span: Span
    hidden: bool = False

    @property
    def members(self) -> tuple[Definition, ...]:
        """What it gives values to: itself, as an equation like others."""
        return (self,)

    @property
    def names(self) -> tuple[str, ...]:
        """The names that it gives values to."""
        return (self.name,)


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
class Estimator:
    """How a derivative passes through a draw: a word of `ESTIMATORS`, and the baseline of a score function: 'none', 'loo'
    or an expression, which is subtracted from all of what is averaged."""

    word: str = "auto"
    baseline: str | Expr = "none"


@dataclass(frozen=True, slots=True)
class Chain:
    """How Markov chains draw a variable. `event`: its letters along one draw; the others number chains. `replicas`: those of them
    along which all chains have one law. `sampler`: the name of theirs. `moves`: what a step leaves for the next one."""

    event: tuple[str, ...]
    replicas: tuple[str, ...]
    sampler: str
    moves: tuple[Assignment, ...]


@dataclass(frozen=True, slots=True)
class Links:
    """What sums over all values of a variable of a recurrence take (`links.py`). `first` and `moves`: the definitions of the
    log-probability of its first value, and of each further one given the one before, over the letter `steps`. `time`: the place
    of the recurrence's letter among those of the variable. Its values are `low`, `low + stride`, ..., `count` of them; where
    there is a `dim`, they are its positions."""

    first: str
    moves: str
    steps: str
    time: int
    dim: str = ""
    low: int = 0
    stride: int = 1
    count: int = 0


@dataclass(frozen=True, slots=True)
class Walk:
    """How expectations over a variable of a recurrence are made (`walks.py`). `noise`: the variable of which its steps are
    functions, '' where there are no draws; `names`: what its recurrence has for each name in the one that is made of it. `log`:
    the definition of the log-density of all steps, '' where derivatives go through the noise. `links`: of one with few values."""

    noise: str = ""
    names: Mapping[str, str] = field(default_factory=dict)
    log: str = ""
    links: Links | None = None


@dataclass(frozen=True, slots=True)
class Variable:
    """A random variable, whose current draw is the definition of the same name. `density`: the log-density at its own draw,
    None where its law has none. `chain`: of one whose law is known up to a constant; its density lacks that."""

    name: str
    letters: tuple[str, ...]
    estimator: Estimator
    density: Expr | None
    span: Span
    chain: Chain | None = None
    walk: Walk | None = None


ADJOINTS = ("stored", "checkpointed", "none")


@dataclass(frozen=True, slots=True)
class Recurrence:
    """Coupled states that advance together over `letter`, with what is part of the step (in order): definitions, and
    recurrences over other letters.

    Inside `step`, `inner` and `until`, whatever is a state here or stands in `inner` is read at `[t]` only; steps run
    t = 0 .. size(t) - 2. What stands in `inner` has the letter, too, and may be read from outside at any time. The states of
    a recurrence in `inner` have both letters, `y[t, k, i]`: there is one recurrence over k for each t.

    `until`: a condition; from the first t at which it holds, the states keep their values. Its letters are those of every
    state, each value of them stops by itself. `adjoint`: how a derivative goes back through the steps, a word of `ADJOINTS`.
    """

    letter: str
    states: tuple[State, ...]
    inner: tuple[Definition | Recurrence, ...]
    span: Span
    until: Expr | None = None
    adjoint: str = "stored"

    @property
    def loops(self) -> tuple[Recurrence, ...]:
        """Itself and the recurrences in its step, those in their steps included."""
        return (self, *(x for e in self.inner if isinstance(e, Recurrence) for x in e.loops))

    @property
    def every_state(self) -> tuple[State, ...]:
        """Its states and those of the recurrences in its step."""
        return tuple(s for r in self.loops for s in r.states)

    @property
    def every_definition(self) -> tuple[Definition, ...]:
        """The definitions in its step and in the steps of the recurrences there."""
        return tuple(d for r in self.loops for d in r.inner if isinstance(d, Definition))

    @property
    def members(self) -> tuple[State | Definition, ...]:
        """What it gives values to."""
        return (*self.every_state, *self.every_definition)

    @property
    def names(self) -> tuple[str, ...]:
        """The names that it gives values to."""
        return tuple(x.name for x in self.members)

    @property
    def bodies(self) -> tuple[Expr, ...]:
        """Every expression in it: starts, steps, definitions, conditions."""
        steps = [e for s in self.every_state for e in (s.init, s.step)]
        stops = [r.until for r in self.loops if r.until is not None]
        return (*steps, *(d.body for d in self.every_definition), *stops)


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


Count = int | Expr
"""How many: a whole number, or an integer expression of constants, data and sizes, known before the first step."""


@dataclass(frozen=True, slots=True)
class MethodCall:
    """A method, or a way to keep constraints, with its arguments.

    `arguments` has every keyword, defaults filled in; one that is an expression is None there. `schedule` are those that are
    real expressions, evaluated at every step; `counts` those that are whole and fixed. An argument that is itself a call is
    a mapping {"name", "arguments"}; the keywords of its arguments are written `linear.rtol`. `over`: the params it moves.
    """

    name: str
    arguments: Mapping[str, Any]
    span: Span
    over: tuple[str, ...] = ()
    schedule: Mapping[str, Expr] = field(default_factory=dict)
    counts: Mapping[str, Expr] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Assignment:
    """`name[letters]: body` of an `update` or a `descend`: the new value or the direction of a param.

    Of a stack of params, `parts` are those whose entries the one axis runs through, in order.
    """

    name: str
    letters: tuple[str, ...]
    body: Expr
    span: Span
    parts: tuple[str, ...] = ()

    @property
    def params(self) -> tuple[str, ...]:
        """The params that get a value."""
        return self.parts or (self.name,)


@dataclass(frozen=True, slots=True)
class Constrained:
    """A relation, by its name, that binds `over` in a stage; its form for projections, and whether its rows share nothing."""

    name: str
    over: tuple[str, ...]
    form: str | None = None
    disjoint: bool = True


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage of the plan.

    Attributes:
        kind: minimize, maximize, saddle, descend, update, evaluate or repeat.
        names: the objective, or what to evaluate; of the others nothing.
        span: where its verb stands.
        name: what claims call it.
        over: the params that its methods move.
        methods: one or several, each with its share of `over`; none where nothing is optimised.
        min: the params in which a saddle goes down.
        max: the params in which it goes up.
        steps: the largest number of steps; None for the method's own.
        epochs: how often to go through the batched data instead.
        rounds: how often a repetition goes through its `stages`.
        starts: from how many initial values.
        batch: dim → how many of its values a step sees.
        until: the condition at which it ends, a boolean scalar.
        updates: assignments, simultaneous within a group, group after group.
        directions: of `descend`, one assignment for each param.
        let: the names of its own definitions, which stand among the equations of the spec.
        average: the share of the last iterates whose mean is returned.
        constraints: how constraints and domains are kept.
        subject: the relations of constraints that bind what it moves.
        stages: those of a repetition.
    """

    kind: str
    names: tuple[str, ...]
    span: Span
    name: str | None = None
    over: tuple[str, ...] = ()
    methods: tuple[MethodCall, ...] = ()
    min: tuple[str, ...] = ()
    max: tuple[str, ...] = ()
    steps: Count | None = None
    epochs: Count | None = None
    rounds: Count | None = None
    starts: Count = 1
    batch: Mapping[str, Count] = field(default_factory=dict)
    until: Expr | None = None
    updates: tuple[tuple[Assignment, ...], ...] = ()
    directions: tuple[Assignment, ...] = ()
    let: tuple[str, ...] = ()
    average: float | None = None
    constraints: MethodCall | None = None
    subject: tuple[Constrained, ...] = ()
    stages: tuple[Stage, ...] = ()

    @property
    def optimises(self) -> bool:
        """Whether it follows derivatives of an objective."""
        return self.kind in ("minimize", "maximize", "saddle")

    @property
    def counts(self) -> Mapping[str, Count]:
        """Every count of the stage by its name in the manifest, those of its methods' arguments included."""
        found: dict[str, Count] = {f"batch.{dim}": size for dim, size in self.batch.items()}
        lengths = {"steps": self.steps, "epochs": self.epochs, "rounds": self.rounds, "starts": self.starts}
        found |= {what: value for what, value in lengths.items() if value is not None}
        return found | {f"{where}.{key}": e for where, m in self.calls.items() for key, e in m.counts.items()}

    @property
    def schedule(self) -> Mapping[str, Expr]:
        """The arguments that are evaluated at every step: `0.lr` of its first method, `constraints.weight`."""
        return {f"{where}.{key}": e for where, m in self.calls.items() for key, e in m.schedule.items()}

    @property
    def calls(self) -> Mapping[str, MethodCall]:
        """Its methods by their positions, and the way to keep constraints as `constraints`."""
        found = {str(k): m for k, m in enumerate(self.methods)}
        return found | ({"constraints": self.constraints} if self.constraints is not None else {})


@dataclass(frozen=True, slots=True)
class Output:
    """A named result. `plot` is None, 'line', 'bar' or ('images', rows, columns), ...; `every` makes it a history: a value
    every so many steps of each stage, or at each 'epoch'."""

    name: str
    letters: tuple[str, ...]
    body: Expr
    plot: Any
    span: Span
    every: int | str | None = None


@dataclass(frozen=True, slots=True)
class Claim:
    """`that`: a boolean scalar; `left`/`right` with `tolerance`: an identity over their free letters.

    `by` says how an identity is to be shown: proof or points, '' for whichever can. `require`: all or mean of so many
    `seeds`, or the least number of them. `facts` are the names of the facts it reads, `runs` the runs they are of: those of a
    claim of the spec's own solution are none.
    """

    name: str
    text: str
    that: Expr | None
    left: Expr | None
    right: Expr | None
    tolerance: float | None
    reported: str | None
    smoke: Mapping[str, Any]
    span: Span
    by: str = ""
    seeds: int = 1
    require: str | int = "all"
    facts: tuple[str, ...] = ()
    runs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Fact:
    """What a claim reads of a run: `fine.J` an output, `run.steps` a count, `nodes.solve.linalg` what was compiled.

    `run`: '' for the spec itself. `path`: ('outputs', name), ('steps',), ('seconds',), ('stages', name, 'steps') or
    ('nodes', stage, kind), where the stage 'solve' is the whole plan.
    """

    name: str
    letters: tuple[str, ...]
    dtype: Dtype
    span: Span
    run: str
    path: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Split:
    """A dim that is laid out over the devices of an axis of a mesh; `span` is that of its letter."""

    axis: str
    span: Span


@dataclass(frozen=True, slots=True)
class Extern:
    """A function from outside of the spec: where it stands, what was found there, how many arguments it has.

    `kind`: function, or module (of Equinox, made with a key). `leaves`: the paths of its weights, with their shapes.
    """

    name: str
    module: str
    attribute: str
    kind: str
    leaves: tuple[tuple[str, tuple[int, ...]], ...]
    arguments: int
    span: Span = field(compare=False)

    @property
    def place(self) -> str:
        """As the spec writes it."""
        return f"{self.module}:{self.attribute}"


@dataclass(frozen=True, slots=True)
class Spec:
    """A whole checked spec. `equations` are definitions and recurrences in an order in which each reads only earlier ones.

    `parts`: the files it imports, each with the SHA-256 of its text. `run`: the run that this is, '' for the spec itself.
    `runs` are the checked runs by name, `same` those that override nothing. `facts` are what claims read of runs. `comparison`
    holds the claims that compare runs: constants, facts and claims alone. `shard`: dim → over which axis of a
    mesh of devices it is split. `externs`: the functions from outside, by their names in the spec.
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
    random: Mapping[str, Variable] = field(default_factory=dict)
    facts: Mapping[str, Fact] = field(default_factory=dict)
    run: str = ""
    runs: Mapping[str, Spec] = field(default_factory=dict)
    same: frozenset[str] = frozenset()
    comparison: Spec | None = None
    shard: Mapping[str, Split] = field(default_factory=dict)
    externs: Mapping[str, Extern] = field(default_factory=dict)

    @property
    def every_claim(self) -> dict[str, Claim]:
        """The claims of the spec's own solution and those that compare runs, in the order of the file."""
        compared = self.comparison.claims if self.comparison is not None else {}
        return dict(sorted({**self.claims, **compared}.items(), key=lambda item: item[1].span))

    def file(self, span: Span) -> str:
        """The name of the imported file in which a span stands; '' for the spec's own."""
        return "" if span.file == self.path or not self.parts else PurePath(span.file).name


def labelled(stages: Iterable[Stage], above: str = "stage") -> Iterator[tuple[str, Stage]]:
    """Every stage with a label of its own, its name or its place (`stage_2_1`); each repetition before those in it."""
    for k, stage in enumerate(stages, 1):
        label = stage.name or f"{above}_{k}"
        yield label, stage
        yield from labelled(stage.stages, label)


def as_named(params: Iterable[str]) -> tuple[str, ...]:
    """The params as a spec names them: all weights of a network, which only move together, by its name."""
    return tuple(dict.fromkeys(name.partition(".")[0] for name in params))
