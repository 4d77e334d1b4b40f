"""Batches: what of a stage is computed on some values of an index, and what on all of the data.

What depends on data and constants alone is exact: it is computed once, from all of the data, and a batch takes its share of
it. What changes from step to step is computed on the batch: elementwise operations as they stand, sums as estimates. What
else needs all values of the index, or their neighbours, has no value on a batch and is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any

from vspec.compiler.diagnostics.diagnostic import Sink
from vspec.compiler.diagnostics.spans import Span
from vspec.compiler.language.bodies import Body, bodies, of_stage
from vspec.compiler.language.counters import reached
from vspec.compiler.language.expr import (
    Affine,
    Along,
    At,
    Coord,
    Delta,
    Derivative,
    Element,
    Expr,
    Gather,
    IndexValue,
    Linalg,
    Part,
    Reduction,
    Rows,
    Sample,
    Spacing,
    Stack,
)
from vspec.compiler.language.operators import COUNTERS
from vspec.compiler.language.spec import Definition, Recurrence, Spec, Stage, labelled
from vspec.compiler.language.substitute import elements, nodes, parts

ESTIMATED = ("sum", "mean", "norm", "var")
"""The reductions of a batch that stand for those of all the data."""


@dataclass
class Batch:
    """A stage with batches over some dims.

    Attributes:
        letters: the indices that range over the batch.
        names: what the stage reads, itself or through definitions.
        varying: the names that have a value on the batch alone: params, counters, draws, what derivatives are taken by, and
            whatever depends on them.
        made: the definitions taken out of expressions, in order; they are computed from all of the data.
    """

    spec: Spec
    stage: Stage
    label: str
    letters: frozenset[str] = field(init=False)
    names: frozenset[str] = field(init=False)
    varying: frozenset[str] = field(init=False)
    made: list[Definition] = field(default_factory=list)
    _fixed: dict[int, tuple[Expr, bool]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.letters = frozenset(x for x, dim in self.spec.letters.items() if dim in self.stage.batch)
        by_name: dict[str, list[Body]] = {}
        for body in bodies(self.spec):
            if body.kind in ("definition", "init", "step", "objective"):
                by_name.setdefault(body.name, []).append(body)
        own = [b.expr for b in self._own()]
        found: set[str] = set()
        stack = [*self.stage.names, *(e.name for x in own for e in elements(x))]
        while stack:
            name = stack.pop()
            if name not in found:
                found.add(name)
                stack += [e.name for b in by_name.get(name, ()) for e in elements(b.expr)]
        self.names = frozenset(found)
        read = [b.expr for name in found for b in by_name.get(name, ())] + own
        variables = {w.name for x in read for d in nodes(x) if isinstance(d, Derivative) for w in d.wrt}
        draws = {n for n in found for b in by_name.get(n, ()) if any(isinstance(x, Sample) for x in nodes(b.expr))}
        self.varying = reached(self.spec, frozenset({*self.spec.params, *COUNTERS, *variables, *draws}))
        self._bodies = [b for name in sorted(found & self.varying) for b in by_name.get(name, ())]
        self._bodies += self._own()

    def _own(self) -> list[Body]:
        """The formulas of the stage that are evaluated on batches; when it ends is asked of all of the data."""
        return [b for b in of_stage(self.stage, self.label) if b.kind not in ("count", "until")]

    # --- what is exact --------------------------------------------------------------------------------------------

    def fixed(self, expr: Expr) -> bool:
        """Whether the expression depends on data and constants alone."""
        known = self._fixed.get(id(expr))
        if known is None:
            value = not any(
                isinstance(e, Sample) or (isinstance(e, Element) and e.name in self.varying) for e in nodes(expr)
            )
            known = self._fixed[id(expr)] = (expr, value)
        return known[1]

    def exact(self, value: Any, owner: str) -> Any:
        """The value, a tree of expressions, with what is fixed and mixes the values of a batched index taken out of it.

        Each such part becomes a definition in `made`, which `owner` gives its name.
        """

        def visit(e: Expr) -> Expr | None:
            if self._compares(e):
                return e
            if not self.fixed(e) or not self._mixes(e):
                return None
            name = self._name(f"{e.letter}_index" if isinstance(e, IndexValue) else f"{owner}_once")
            known = next((d for d in self.made if d.body == e), None)
            if known is None:
                known = Definition(name, e.axes, e, e.dtype, e.span, hidden=True)
                self.made.append(known)
            return Element(
                span=e.span, axes=e.axes, dtype=e.dtype, name=known.name, subscripts=tuple(Affine(x) for x in e.axes)
            )

        return rebuilt(value, visit)

    def _name(self, wish: str) -> str:
        taken = (
            {d.name for d in self.made} | {b.name for b in bodies(self.spec)} | {*self.spec.data, *self.spec.constants}
        )
        name, k = wish, 2
        while name in taken:
            name, k = f"{wish}_{k}", k + 1
        return name

    # --- what has no value ----------------------------------------------------------------------------------------

    def problems(self) -> Iterator[tuple[Span, str]]:
        """What changes from step to step and needs more than the batch: where, and what it is."""
        for equation in self.spec.equations:
            for r in equation.loops if isinstance(equation, Recurrence) else ():
                if r.letter in self.letters and any(s.name in self.names & self.varying for s in r.states):
                    yield r.span, f"a recurrence over '{r.letter}' steps through all of its values"
        for body in self._bodies:
            yield from self._in(body.expr, [r.letter for r in body.loops])

    def _in(self, expr: Expr, times: Sequence[str]) -> Iterator[tuple[Span, str]]:
        stack = [expr]
        seen: set[int] = set()
        while stack:
            top = stack.pop()
            if id(top) in seen:
                continue
            seen.add(id(top))
            if self._compares(top):
                yield top.span, "two values of a batched index are compared"
                continue
            if self.fixed(top) and self._mixes(top):
                time = next((t for t in times if t in top.axes and _shifts(top, t)), None)
                if time is not None:
                    yield top.span, f"this is computed for every {time} at once; give it a name under 'define'"
                continue
            what = self._mixes(top)
            if what:
                yield top.span, what
            stack.extend(reversed(list(parts(top))))

    def _mixes(self, e: Expr) -> str:
        """How an expression by itself, without its parts, needs more than a batch; '' where it does not."""
        if isinstance(e, Reduction):
            hit = [x for x in e.letters if x in self.letters]
            if not hit or (e.op in ESTIMATED and e.dtype != "integer" and not self.fixed(e)):
                return ""
            if e.dtype == "integer" and e.op in ESTIMATED:
                return "a sum of integers has no estimate: sum real numbers"
            return f"{e.op}[{', '.join(e.letters)}] needs all values of '{hit[0]}'"
        if isinstance(e, Along) and e.letter in self.letters:
            return f"{e.op}[{e.letter}] needs all values of '{e.letter}'"
        if isinstance(e, IndexValue | Coord | Spacing | Part) and e.letter in self.letters:
            return f"the position along '{e.letter}' is one among all of its values"
        if isinstance(e, Element):
            return self._read(e)
        if isinstance(e, Linalg | Stack | Sample):
            core = next((x for b in e.blocks for x in b.core if x in self.letters), None)
            return "a whole axis is all values of a batched index" if core is not None else ""
        if isinstance(e, Rows) and e.letter in self.letters:
            return "rows are all values of a batched index"
        return ""

    def _compares(self, e: Expr) -> bool:
        """Whether the expression is the delta of two batched letters."""
        if not isinstance(e, Delta) or not isinstance(e.left, IndexValue) or not isinstance(e.right, IndexValue):
            return False
        return {e.left.letter, e.right.letter} <= self.letters

    def _read(self, e: Element) -> str:
        dims = self._axes(e.name)
        for s, dim in zip(e.subscripts, dims):
            along = dim in self.stage.batch
            if isinstance(s, Affine):
                own = self.spec.letters.get(s.letter) == dim
                if (along and not (own and s.plain)) or (not along and s.letter in self.letters):
                    return f"'{e.name}' is read at other positions than those of the batch"
            elif along and isinstance(s, At | Gather):
                return f"'{e.name}' is read at other positions than those of the batch"
        return ""

    def _axes(self, name: str) -> tuple[str, ...]:
        letters = _letters(self.spec)
        return tuple(self.spec.letters[x] for x in letters.get(name, ()))


def _letters(spec: Spec) -> Mapping[str, tuple[str, ...]]:
    """The letters of every name that elements read."""
    found = {n: x.letters for group in (spec.params, spec.data, spec.constants) for n, x in group.items()}
    for e in spec.equations:
        found |= {x.name: x.letters for x in e.members}
    return found


def _shifts(expr: Expr, letter: str) -> bool:
    """Whether something is read at another value of the letter than its own."""
    read = (s for e in elements(expr) for s in e.subscripts)
    return any(isinstance(s, Affine) and s.letter == letter and not s.plain for s in read)


def rebuilt(value: Any, visit: Callable[[Expr], Expr | None]) -> Any:
    """The value, a tree of expressions, with each expression that `visit` gives a new one for replaced; from the top."""
    new: dict[int, tuple[Any, Any]] = {}

    def walk(x: Any) -> Any:
        if isinstance(x, tuple):
            made = tuple(walk(y) for y in x)
            return made if any(a is not b for a, b in zip(made, x)) else x
        if isinstance(x, Mapping):
            return {k: walk(y) for k, y in x.items()}
        if not is_dataclass(x) or isinstance(x, type | Span):
            return x
        if id(x) not in new:
            result: Any = visit(x) if isinstance(x, Expr) else None
            if result is None:
                old = [(f.name, getattr(x, f.name)) for f in fields(x)]
                changes = {name: after for name, before in old if (after := walk(before)) is not before}
                result = replace(x, **changes) if changes else x
            new[id(x)] = (x, result)
        return new[id(x)][1]

    return walk(value)


def refuse_batches(sink: Sink, spec: Spec) -> None:
    """An error at each place that needs all values of a batched index (VS0374)."""
    for label, stage in labelled(spec.plan):
        if not stage.batch:
            continue
        for span, what in dict.fromkeys(Batch(spec, stage, label).problems()):
            sink.error(
                "VS0374",
                what,
                span,
                label=f"the stage on line {stage.span.line} takes batches",
                help="sums and means over a batched index are estimates; what depends on data alone is computed from all of it",
            )
