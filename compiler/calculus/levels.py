"""How the states of recurrences are read from outside of their steps: at the end only, or along the path.

Recurrences nest, so that this is asked at a level: while which of them run. `y[t, k, i]`, a state over k in each step over t,
is read at the level of t by the step over t, and where no recurrence runs by an output, for which it runs anew for all t at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import takewhile

from vspec.compiler.language.bodies import homes
from vspec.compiler.language.expr import At, Derivative, Element, Expr
from vspec.compiler.language.spec import Definition, Recurrence, Variable
from vspec.compiler.language.substitute import nodes

Level = tuple[str, ...]
"""The recurrences that run, the outermost first, each by its label."""

Reads = dict[tuple[Level, str], frozenset[str]]
"""For a level and a state: how it is read there, 'final' (`s[-1]`) and 'path' (anything else)."""


def label(r: Recurrence) -> str:
    """What tells a recurrence from all others: its first state."""
    return r.states[0].name


def state_reads(equations: Sequence[Definition | Recurrence], roots: Iterable[Expr]) -> Reads:
    """How states are read by the equations and by further expressions, each at the level where it has its value."""
    walk = _Walk(equations)
    walk.queue += [(root, ()) for root in roots]
    walk.drain()
    # A derivative by a state finds whoever reads the path, its end included.
    return {key: frozenset({"path"} if "by" in how else how) for key, how in walk.reads.items()}


def with_twins(reads: Reads, variables: Iterable[Variable]) -> Reads:
    """The reads, with those of what stands for variables of recurrences in expectations over them."""
    found = dict(reads)
    for v in variables:
        for old, new in v.walk.names.items() if v.walk is not None else ():
            for (level, name), how in reads.items():
                if name == old:
                    found[level, new] = found.get((level, new), frozenset()) | how
    return found


class _Walk:
    def __init__(self, equations: Sequence[Definition | Recurrence]) -> None:
        loops = [r for e in equations if isinstance(e, Recurrence) for r in e.loops]
        self.homes = homes(equations)
        self.times = {s.name: s.time for r in loops for s in r.states}
        self.bodies = {d.name: d.body for r in loops for d in r.inner if isinstance(d, Definition)}
        self.reads: dict[tuple[Level, str], set[str]] = {}
        self.seen: set[tuple[Level, str]] = set()
        self.queue: list[tuple[Expr, Level]] = []
        for e in equations:
            self._run(e, ())

    def drain(self) -> None:
        """Looks at what waits, and at what that needs."""
        while self.queue:
            expr, level = self.queue.pop()
            for e in nodes(expr):
                if isinstance(e, Element):
                    last = e.name in self.times and e.subscripts[self.times[e.name]] == At(-1)
                    self._name(e.name, level, "final" if last else "path")
                elif isinstance(e, Derivative):
                    for w in e.wrt:
                        self._name(w.name, level, "by")

    def _run(self, e: Definition | Recurrence, level: Level) -> None:
        """An equation gets its value at a level."""
        if isinstance(e, Definition):
            self.queue.append((e.body, level))
            return
        if (level, label(e)) in self.seen:
            return
        self.seen.add((level, label(e)))
        self.queue += [(s.init, level) for s in e.states]
        inside = (*level, label(e))
        for x in e.inner:
            self._run(x, inside)
        self.queue += [(s.step, inside) for s in e.states]
        if e.until is not None:
            self.queue.append((e.until, inside))

    def _name(self, name: str, level: Level, how: str) -> None:
        home = self.homes.get(name, ())
        around = [label(r) for r in home]
        if not home or around[-1] in level:
            return
        at = tuple(takewhile(lambda x: x in around, level))
        if name in self.times:
            self.reads.setdefault((at, name), set()).add(how)
            self._run(home[-1], at)
        elif (at, name) not in self.seen:
            # What is part of a step and is read from outside is computed along the whole path.
            self.seen.add((at, name))
            self.queue.append((self.bodies[name], at))
