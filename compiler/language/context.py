"""What the checker carries along: the symbols, the functions, and the place in the spec that is being checked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from vspec.compiler.diagnostics.diagnostic import Sink
from vspec.compiler.diagnostics.spans import Span
from vspec.compiler.diagnostics.suggest import nearest
from vspec.compiler.language.dims import ROWS, Dims, Slot, shown
from vspec.compiler.language.expr import Dtype, Expr, Problem
from vspec.compiler.language.raw import Raw
from vspec.compiler.language.spec import Definition, Fact, Param, Spec, Stage

if TYPE_CHECKING:
    from vspec.compiler.language.compounds import Drawn
    from vspec.compiler.language.distributions import Distribution
    from vspec.compiler.language.externs import Found
    from vspec.compiler.language.networks import Network
    from vspec.compiler.language.random import Declared
    from vspec.compiler.language.spec import Extern

MAX_INLINED = 100_000
MAX_CALLS = 60


@dataclass(frozen=True, slots=True)
class Unknown(Expr):
    """Stands for an expression of which no type is known: after a mistake, or for a formal argument.

    `exact` tells whether at least the axes are right. It never leaves the checker.
    """

    exact: bool = False


@dataclass(slots=True)
class Symbol:
    """A declared name. `dims`: the dim of each axis. `dtype`: None until known, and for good after a mistake."""

    name: str
    kind: str
    letters: tuple[str, ...]
    dims: tuple[str, ...]
    dtype: Dtype | None
    span: Span

    @property
    def shown(self) -> str:
        """The name as declared: `w[i]`."""
        return f"{self.name}[{', '.join(map(shown, self.letters))}]" if self.letters else self.name


@dataclass(frozen=True, slots=True)
class Actual:
    """What a formal argument stands for: a checked expression with a letter for each of its slices.

    With `expr` None the function is being checked where it is declared, and nothing is known but the rank. An `unknown` is
    that of an implicit quantity, not an argument of a function.
    """

    rank: int
    expr: Expr | None = None
    slots: tuple[tuple[str, str], ...] = ()
    letters: frozenset[str] = frozenset()
    unknown: bool = False


@dataclass(frozen=True, slots=True)
class Formal:
    """A formal argument and the number of its whole axes.

    Of a function argument, `takes` are the numbers of axes of its own arguments, `names` what the head calls them, and
    `rank` is that of its result.
    """

    name: str
    rank: int
    takes: tuple[int, ...] | None = None
    names: tuple[str, ...] = ()

    @property
    def shown(self) -> str:
        """The argument as declared: `a[:]`, `f(a[:])[:]`."""
        inner = f"({', '.join(map(_whole, self.names, self.takes))})" if self.takes is not None else ""
        return _whole(f"{self.name}{inner}", self.rank)


@dataclass(slots=True)
class Function:
    """A declared function; `results` are the letters of its result's axes, free in its body.

    `uses`: how often the body names each formal; `inner`: formals that `d` differentiates by. `network`: what the body is made
    from, if it is a network.
    """

    name: str
    formals: tuple[Formal, ...]
    body: Raw | None
    span: Span
    results: tuple[str, ...] = ()
    uses: Mapping[str, int] = field(default_factory=dict)
    inner: frozenset[str] = frozenset()
    sound: bool = True
    network: Network | None = None

    @property
    def shown(self) -> str:
        """The head as declared: `k(a[:], b[:])`."""
        result = f" -> [{', '.join(map(_numbered, self.results))}]" if self.results else ""
        return f"{self.name}({', '.join(f.shown for f in self.formals)}){result}"


def _numbered(letter: str) -> str:
    """An axis of a result: a letter, or the number of values of one that has no letter."""
    return letter.removeprefix(ROWS) if letter.startswith(ROWS) else letter


def _whole(name: str, rank: int) -> str:
    return f"{name}[{', '.join(':' * rank)}]" if rank else name


Callee = Function | Formal | str
"""What a function argument stands for: a declared function, nothing known yet (a formal), or a built-in by name."""


@dataclass(frozen=True, slots=True)
class StepRule:
    """Inside a recurrence: its letter, and where each name that advances with it, or in its step, carries that letter."""

    letter: str
    positions: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Env:
    """Where an expression stands.

    Attributes:
        subject: what it belongs to, for messages: `'margin'`, `the objective 'loss'`.
        scope: the indices that may be used, each with the letter it has in the checked tree.
        open: every index may be used (an identity).
        formals: the arguments of the function whose body this is.
        body: that body.
        callees: those of its arguments that are functions.
        slices: the axes that `:` stands for here, or None where it may not stand.
        bound: the indices of the source that a binder around this place binds.
        avoid: letters of the checked tree that a new binder may not take.
        steps: the recurrences whose steps this is part of, the outermost first.
        around: the letters around the call that is being inlined, which its body does not name.
        path: the calls that are being inlined, the outermost first.
        sliced: it stands, by way of calls, where not all letters are known: in a slice, in an identity.
        short: the letter that stops one before its last value.
        site: the call that is being inlined.
        function: the function that is being inlined or checked.
        calls: how many calls are being inlined.
        results: names are looked up among the outputs first (claims) or last (outputs).
        reads: the kinds of names that may be read; None for all.
        whole: the expression that is all of what is defined here: if it is a call, its result needs no name of its own.
        names: how many names the left side of that has, one for each unknown; `position` is which of them is meant.
    """

    subject: str
    scope: Mapping[str, str] = field(default_factory=dict)
    open: bool = False
    formals: Mapping[str, Actual] = field(default_factory=dict)
    body: tuple[Raw, ...] = ()
    callees: Mapping[str, Callee] = field(default_factory=dict)
    slices: tuple[Slot, ...] | None = None
    bound: frozenset[str] = frozenset()
    avoid: frozenset[str] = frozenset()
    steps: tuple[StepRule, ...] = ()
    short: str | None = None
    site: Span | None = None
    function: str = ""
    calls: int = 0
    results: str = ""
    reads: frozenset[str] | None = None
    whole: Raw | None = None
    around: tuple[str, ...] = ()
    path: tuple[Span, ...] = ()
    sliced: bool = False
    names: int = 1
    position: int = 0

    @property
    def times(self) -> tuple[str, ...]:
        """The letters of the recurrences whose steps this is part of: each is one number here."""
        return tuple(rule.letter for rule in self.steps)

    @property
    def abstract(self) -> bool:
        """Whether this is the body of a function checked where it is declared."""
        return bool(self.function) and self.site is None

    def taking(self, slices: tuple[Slot, ...] | None) -> Env:
        """The same place with other axes for `:`."""
        return self if slices is self.slices else replace(self, slices=slices)


@dataclass(slots=True)
class Runs:
    """The runs of a spec while its claims are checked.

    `specs` are those without mistakes, `names` all runs, those with mistakes among them. `plan` is the spec's own. `facts` are
    what claims read of runs, `read` those of the claim that is being checked. `comparing` is set where claims that compare
    runs are checked; `own` and `letters` are the letters that axes of runs then have.
    """

    specs: Mapping[str, Spec] = field(default_factory=dict)
    names: tuple[str, ...] = ()
    plan: tuple[Stage, ...] = ()
    comparing: bool = False
    facts: dict[str, Fact] = field(default_factory=dict)
    read: list[str] = field(default_factory=list)
    own: dict[tuple[str, int | None, str], str] = field(default_factory=dict)
    letters: dict[tuple[str, str], str] = field(default_factory=dict)


@dataclass(slots=True)
class Context:
    """The state of one check. `rules` is `infer.infer`, kept here so that the modules it calls need not import it.

    `fixed`: for each stack that cannot be differentiated by, a part of it that is not real. `settable`: options of stages and
    names of runs that the quick size of a claim may set, besides the constants and dims of the spec. `problems`:
    those with several unknowns, by the identity of their text, which stands for several definitions. `parts`: how often each
    part of a network was named. `externs`: what was found at places outside of the spec, None where nobody may look; `sources`
    are the functions that are there. `made`: the hidden definitions of calls of networks and their layers, by their arguments.
    `variables`: the random variables. `numbers`: the values of constants. `carried`: what is kept from step to step without being
    named.
    """

    sink: Sink
    rules: Callable[[Context, Raw, Env], Expr]
    dims: Dims = field(default_factory=Dims)
    symbols: dict[str, Symbol] = field(default_factory=dict)
    outputs: dict[str, Symbol] = field(default_factory=dict)
    lifted: dict[str, str] = field(default_factory=dict)
    functions: dict[str, Function] = field(default_factory=dict)
    opaque: set[str] = field(default_factory=set)
    hidden: list[Definition] = field(default_factory=list)
    on_output: Callable[[str], None] | None = None
    inlined: int = 0
    counter: int = 0
    seen: set[tuple[str, str, Span | None]] = field(default_factory=set)
    unbound: set[tuple[str, str]] = field(default_factory=set)
    refused: set[str] = field(default_factory=set)
    lengths: dict[str, tuple[int, Span]] = field(default_factory=dict)
    fixed: dict[str, str] = field(default_factory=dict)
    runs: Runs = field(default_factory=Runs)
    settable: frozenset[str] = frozenset()
    problems: dict[int, Problem | Unknown] = field(default_factory=dict)
    parts: dict[str, int] = field(default_factory=dict)
    externs: Mapping[str, Found] | None = None
    sources: dict[str, Extern] = field(default_factory=dict)
    made: dict[object, tuple[str, tuple[str, ...]]] = field(default_factory=dict)
    variables: dict[str, Declared] = field(default_factory=dict)
    numbers: dict[str, object] = field(default_factory=dict)
    latents: dict[str, Declared] = field(default_factory=dict)
    drawn: dict[tuple[Span, ...], tuple[Distribution, Drawn]] = field(default_factory=dict)
    carried: dict[str, Param] = field(default_factory=dict)

    def infer(self, raw: Raw, env: Env) -> Expr:
        """The checked expression of a raw tree."""
        return self.rules(self, raw, env)

    def error(
        self,
        code: str,
        message: str,
        span: Span,
        env: Env | None = None,
        *,
        label: str = "",
        help: str | Iterable[str] = (),
    ) -> Unknown:
        """Record a mistake; inside an inlined body it is shown at the call. Returns what stands for its value."""
        at = span
        if env is not None and env.site is not None:
            at = env.site
            message = f"in {env.function}, line {span.line}, called here: {message}"
        key = (code, message, at)
        if key not in self.seen:
            self.seen.add(key)
            self.sink.error(code, message, at, label=label, help=help)
        return Unknown(span=span)

    def planned(self, code: str, what: str, span: Span, env: Env | None = None, *, help: str = "") -> Unknown:
        """Record that a construct of the language is not implemented yet, at the first place only."""
        if what in self.refused:
            return Unknown(span=span)
        self.refused.add(what)
        return self.error(code, f"not implemented yet: {what}", span, env, help=help)

    def near(self, name: str, extra: Iterable[str] = ()) -> str:
        """A help line that names the nearest known name, or nothing."""
        ours = tuple(extra)
        # What belongs to a network has a name with a dot in it, which no expression can read.
        known = [n for n in (*self.symbols, *self.functions) if "." not in n]
        found = nearest(name, [*known, *ours], ours)
        return f"did you mean '{found}'?" if found else ""

    def declare_hidden(self, definition: Definition) -> None:
        """Add a definition that the checker made itself."""
        self.hidden.append(definition)
        dims = tuple(self.dims.dim_of(letter) for letter in definition.letters)
        self.symbols[definition.name] = Symbol(
            definition.name, "definition", definition.letters, dims, definition.dtype, definition.span
        )

    def hidden_name(self, of: str = "arg") -> str:
        """A new name for a hidden definition; `of` says what it is."""
        self.counter += 1
        if "." not in of and (of not in self.functions or self.functions[of].network is None):
            return f"_{of}{self.counter}"
        # A part of a network is numbered already; what follows the apostrophe is no part of its name in the program.
        count = self.parts[of] = self.parts.get(of, 0) + 1
        return f"_{of}" if count == 1 else f"_{of}'{count}"
