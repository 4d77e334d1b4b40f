"""The equations of Markov chains: the texts of a sampler in the names and indices of a variable.

`r.walk` goes on from where the chains of a variable r are. The draws of an expectation by samples are a trail, which goes on from
where that ends, by as many transitions as they are apart.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from vspec.compiler.diagnostics.spans import Span
from vspec.compiler.language.context import Context, Symbol
from vspec.compiler.language.expr import Affine, Element
from vspec.compiler.language.instances import parsed
from vspec.compiler.language.left import Equation, System
from vspec.compiler.language.random import Declared
from vspec.compiler.language.raw import Raw, RawCall, RawElement, RawName, RawNumber, RawOp
from vspec.compiler.language.samplers import Sampler
from vspec.compiler.language.spec import Definition, Dim, Recurrence

_NOWHERE = Span("", 1, 1, 1, 2)


@dataclass(frozen=True, slots=True)
class Options:
    """The sampler of a variable with its options; `step` is an expression."""

    sampler: Sampler
    step: Raw
    counts: Mapping[str, int]

    @property
    def moves(self) -> int:
        """The largest number of transitions in one step."""
        return max(self.counts["burn"], self.counts["thin"])

    @property
    def burns(self) -> bool:
        """Whether the first steps take more transitions than later ones."""
        return self.counts["burn"] > self.counts["thin"]


def spot(span: Span, k: int) -> Span:
    """A place of its own for a draw of a variable that is declared at `span`."""
    return Span(span.file, span.line, span.column, span.line, span.column + 1 + k)


def trail_name(variable: str, count: int) -> str:
    """What so many draws of a variable one after the other are called."""
    return f"{variable}.trail{count}"


def draw_letter(ctx: Context, count: int) -> str:
    """The index of so many draws, over a dim that all variables share."""
    name = f"draws.{count}"
    if name not in ctx.dims.letters:
        ctx.dims.dims[name] = Dim(name, (name,), count, _NOWHERE)
        ctx.dims.letters[name] = name
    return name


def read_trail(ctx: Context, declared: Declared, count: int) -> Element:
    """So many draws of a variable that chains draw, one after the other, which are made if something reads them."""
    declared.trails[count] = None
    letters = (draw_letter(ctx, count), *ctx.symbols[declared.name].letters)
    name = f"{trail_name(declared.name, count)}.draws"
    return Element(span=declared.span, axes=letters, dtype="real", name=name, subscripts=tuple(map(Affine, letters)))


def with_trails(ctx: Context, equations: Sequence[Definition | Recurrence]) -> list[Definition | Recurrence]:
    """The equations, with the trails that expectations read after the variables that they are of."""
    found: list[Definition | Recurrence] = []
    for e in equations:
        found.append(e)
        declared = ctx.variables.get(e.name) if isinstance(e, Definition) else None
        if declared is not None and declared.write_trail is not None:
            for count in declared.trails:
                found += declared.write_trail(count)
    return found


class Writer:
    """Puts the equations of a sampler into a system, in the names and indices of a variable.

    `trail`: how many draws one after the other are made, `thin` transitions apart, from where the variable is on; 0 for the
    transitions that end at the variable itself.
    """

    def __init__(
        self,
        ctx: Context,
        declared: Declared,
        symbol: Symbol,
        options: Options,
        energy: Raw,
        plates: tuple[str, ...],
        system: System,
        trail: int = 0,
    ) -> None:
        self.ctx, self.declared, self.symbol, self.options = ctx, declared, symbol, options
        self.energy, self.plates, self.system = energy, plates, system
        self.event = tuple(x for x in symbol.letters if x not in plates)
        self.span = declared.line.span
        self.trail = trail
        sizes = {"move": (trail * options.counts["thin"] if trail else options.moves) + 1}
        if "leapfrog" in options.counts:
            sizes["leap"] = options.counts["leapfrog"] + 1
        self.times = {word: self._letter(word, size) for word, size in sizes.items()}
        if trail:
            self.times["draw"] = draw_letter(ctx, trail)
        # Draws are told apart by their places.
        self.draws = 100 * trail

    def _letter(self, word: str, size: int) -> str:
        """An index for the transitions, over a dim of its own."""
        name = self._own(word)
        self.ctx.dims.dims[name] = Dim(name, (name,), size, self.declared.span)
        self.ctx.dims.letters[name] = name
        return name

    def _own(self, name: str) -> str:
        """What a name of the table is called here."""
        place = f"{trail_name(self.declared.name, self.trail)}." if self.trail else f"{self.declared.name}."
        return f"{place}{name}"

    def write(self) -> None:
        """All equations but that of the variable itself."""
        if self.trail:
            thin = self.options.counts["thin"]
            for left, right in self.options.sampler.equations:
                self._line(left, right)
            self._line("draws[draw, L]", f"stop(walk[{thin}*draw + {thin}, L])")
            return
        burn, thin = self.options.counts["burn"], self.options.counts["thin"]
        until: Raw | None = None
        if self.options.burns:
            self._line("count", f"max({thin}, {burn} - burnt)")
            self._line("done", f"min(burnt + count, {burn})")
            until = self._right(parsed("index(move) >= count"))
        for left, right in self.options.sampler.equations:
            self._line(left, right, until)
        if self.options.sampler.tested:
            self._line("acceptance[P]", f"taken[-1, P]/{'count' if self.options.burns else thin}")

    def end(self) -> Equation:
        """The variable itself: where the chains end."""
        raw = self._right(parsed("stop(walk[-1, L])"))
        return Equation(self.declared.name, "definition", self.symbol.letters, -1, raw, self.declared.span)

    def _line(self, left: str, right: str, until: Raw | None = None) -> None:
        head = parsed(left.removeprefix("~"))
        subscripts = head.subscripts if isinstance(head, RawElement) else ()
        assert isinstance(head, RawName | RawElement)
        name = self._own(head.name)
        letters: list[str] = []
        time, kind = -1, "definition"
        for s in subscripts:
            if isinstance(s, RawName) and s.name in ("L", "P"):
                letters += self.symbol.letters if s.name == "L" else self.plates
            elif isinstance(s, RawName):
                letters.append(self.times[s.name])
            elif isinstance(s, RawNumber):
                time, kind = len(letters), "init"
                letters.append("0")
            else:
                assert isinstance(s, RawOp)
                (word,) = (x.name for x in s.args if isinstance(x, RawName))
                time, kind = len(letters), "step"
                letters.append(self.times[word])
        raw = self._energy(parsed(right)) if left.startswith("~") else self._right(parsed(right))
        equation = Equation(name, kind, tuple(letters), time, raw, self.declared.span)
        if kind == "step" and letters[time] == self.times["move"]:
            equation.until = until
        group = {"definition": self.system.definitions, "init": self.system.inits, "step": self.system.steps}[kind]
        group[name] = equation
        if kind == "init":
            return
        dims = tuple(self.ctx.dims.letters[x] for x in letters)
        what = "state" if kind == "step" else "definition"
        self.ctx.symbols[name] = Symbol(name, what, tuple(letters), dims, None, self.declared.span)
        self.system.names.append(name)

    def _energy(self, at: Raw) -> Raw:
        """The energy at another value than the variable's own."""
        target = self._named(at)
        before = tuple(self._right(s) for s in (at.subscripts if isinstance(at, RawElement) else ())[:-1])

        def moved(node: Raw) -> Raw:
            if isinstance(node, RawName) and node.name == self.declared.name:
                return (
                    RawElement(span=node.span, name=target, subscripts=before, name_span=node.span)
                    if before
                    else (replace(node, name=target))
                )
            if isinstance(node, RawElement):
                inner = tuple(map(moved, node.subscripts))
                if node.name == self.declared.name:
                    return replace(node, name=target, subscripts=(*before, *inner))
                return replace(node, subscripts=inner)
            return _inside(node, moved)

        return moved(self.energy)

    def _named(self, raw: Raw) -> str:
        assert isinstance(raw, RawName | RawElement)
        # A trail starts where the variable is.
        return self.declared.name if self.trail and raw.name == "chain" else self._own(raw.name)

    def _right(self, raw: Raw) -> Raw:
        """A right side of the table in the names and indices of the variable."""
        if isinstance(raw, RawName):
            if raw.name == "step":
                return self.options.step
            if raw.name in self.times:
                return replace(raw, name=self.times[raw.name], span=self.span)
            return replace(raw, name=self._named(raw), span=self.span)
        if isinstance(raw, RawElement):
            subscripts: list[Raw] = []
            for s in raw.subscripts:
                if isinstance(s, RawName) and s.name in ("L", "P"):
                    letters = self.symbol.letters if s.name == "L" else self.plates
                    subscripts += [RawName(span=self.span, name=x) for x in letters]
                else:
                    subscripts.append(self._right(s))
            name = self._named(raw)
            if not subscripts:
                return RawName(span=self.span, name=name)
            return RawElement(span=self.span, name=name, subscripts=tuple(subscripts), name_span=self.span)
        if isinstance(raw, RawCall) and raw.name == "tally":
            inner = self._right(raw.args[0])
            bound = tuple(RawName(span=self.span, name=x) for x in self.event)
            if not bound:
                return inner
            return RawCall(span=self.span, name="sum", args=(inner,), name_span=self.span, bound=bound)
        if isinstance(raw, RawCall) and raw.name == "sample":
            self.draws += 1
            law = replace(_inside(raw.args[0], self._right), span=self.span)
            return replace(raw, args=(law,), span=spot(self.declared.span, self.draws), name_span=self.span)
        if isinstance(raw, RawCall | RawOp | RawNumber):
            return replace(_inside(raw, self._right), span=self.span)
        return raw


def _inside(raw: Raw, of: Callable[[Raw], Raw]) -> Raw:
    """The node with a function applied to its parts."""
    if isinstance(raw, RawOp):
        return replace(raw, args=tuple(map(of, raw.args)))
    if isinstance(raw, RawCall):
        return replace(
            raw,
            args=tuple(map(of, raw.args)),
            bound=None if raw.bound is None else tuple(map(of, raw.bound)),
            subscripts=None if raw.subscripts is None else tuple(map(of, raw.subscripts)),
            keywords=tuple(k._replace(value=of(k.value)) for k in raw.keywords),
        )
    return raw
