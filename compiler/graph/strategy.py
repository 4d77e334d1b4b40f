"""What was chosen among several ways to compute one thing, and what each of them costs: the rows of the table of strategies.

Whoever chooses (the calculus, a pass) adds a `Choice`: the calculus to `Builder.choices`, a pass by `with_choices`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from vspec.compiler.graph.graph import Graph
from vspec.compiler.graph.node import Origin

NOTE = "strategies"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A way, and its cost: operations, and bytes where they were counted. Sizes known only at run time are nominal."""

    name: str
    flops: float
    bytes: float = 0.0


@dataclass(frozen=True, slots=True)
class Choice:
    """What was chosen.

    `kind`: 'derivative', 'solve', 'reduction', 'Hessian', ... `what`: the thing in the words of the spec. `line`, `file`: where
    it stands. `because`: why, where it is not the cost that decides: 'asked for', 'the only way'.
    """

    kind: str
    what: str
    line: int
    chosen: str
    among: tuple[Candidate, ...] = ()
    because: str = "least cost"
    file: str = ""


class NoFormError(Exception):
    """A spec asked for a way that a formula has no form for: `form` says which formula has none of what, `what` why not, `origin`
    where it stands."""

    def __init__(self, form: str, what: str, origin: Origin) -> None:
        super().__init__(f"{form}: {what}")
        self.form = form
        self.what = what
        self.origin = origin


def choices_of(graph: Graph) -> tuple[Choice, ...]:
    """What was chosen for a program, in order."""
    return tuple(graph.notes.get(NOTE, ()))


def with_choices(graph: Graph, found: Iterable[Choice]) -> Graph:
    """The graph with further choices; equal ones are one."""
    before = choices_of(graph)
    known = tuple(dict.fromkeys((*before, *found)))
    return replace(graph, notes={**graph.notes, NOTE: known}) if len(known) > len(before) else graph
