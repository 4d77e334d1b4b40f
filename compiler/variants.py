"""Programs for other sizes: what is chosen by cost is chosen anew where one of the open dims is far larger than the others.

The sizes of `auto` dims are nominal while a spec is compiled: many examples, fewer unknowns. With more unknowns than examples,
another order of products, another way to a derivative, another form of a Hessian may cost less. A program has therefore
variants, one for each open dim that decides something by being the largest; when data are bound, the runtime takes the one whose
assumed sizes are nearest to theirs (`runtime/variants.py`).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vspec.compiler.diagnostics.diagnostic import SpecError
from vspec.compiler.graph.assumed import assuming
from vspec.compiler.graph.cost import NOMINAL, NOMINAL_UNKNOWNS, Sizes, graph_cost
from vspec.compiler.graph.strategy import choices_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vspec.compiler.graph.graph import Graph
    from vspec.compiler.graph.tuning import Tuning
    from vspec.compiler.language.spec import Spec
    from vspec.compiler.pipeline import Compiled

MOST = 3
"""So many assumptions are tried beside the nominal one: a spec of more open dims has them for the first ones only."""


PAYS = 0.8
"""A variant takes at most this much of the operations that the program itself would take at its sizes."""


@dataclass(frozen=True)
class Variant:
    """A program for other sizes.

    Attributes:
        name: its name, and that of its folder.
        sizes: what was assumed of the open dims.
        compiled: what became of the spec.
        flops: its operations at these sizes.
        against: those of the program that it is a variant of, at the same sizes.
    """

    name: str
    sizes: Mapping[str, int]
    compiled: Compiled
    flops: float
    against: float


def nominal(graph: Graph, spec: Spec) -> dict[str, int]:
    """The sizes that open dims have where nothing else is assumed."""
    sizes = Sizes.of(graph)
    return {d.name: sizes.dim(d.name) for d in spec.dims.values() if d.size is None}


def assumptions(usual: Mapping[str, int]) -> dict[str, dict[str, int]]:
    """Sizes by the name of the variant that they are for: each open dim in turn a hundred times as large as the others."""
    found = {}
    for large in usual:
        sizes = {d: NOMINAL if d == large else NOMINAL_UNKNOWNS for d in usual}
        if sizes != usual:
            found[f"many-{large}"] = sizes
    return dict(list(found.items())[:MOST])


def variants(
    compiled: Compiled, *, level: int = 2, disable: Collection[str] = (), tuning: Tuning | None = None
) -> tuple[Variant, ...]:
    """The variants of a compiled program that differ from it and from one another; below level 2 there are none."""
    from vspec.compiler.pipeline import compile_spec

    if level < 2:
        return ()
    # What is true of a formula does not depend on sizes.
    proved = [name for name, c in compiled.before.notes.get("claims", {}).items() if c.get("proved")]
    texts = {compiled.emitted.text}
    found = []
    for name, sizes in assumptions(nominal(compiled.graph, compiled.spec)).items():
        with assuming(sizes):
            try:
                other = compile_spec(compiled.spec, level=level, disable=disable, tuning=tuning, proved=proved)
            except SpecError:
                # What grows beyond measure at these sizes does without a program of its own.
                continue
            own, against = graph_cost(other.graph).flops, graph_cost(compiled.graph).flops
        if other.emitted.text not in texts and (own <= PAYS * against or _chosen(other) != _chosen(compiled)):
            texts.add(other.emitted.text)
            found.append(Variant(name, sizes, other, own, against))
    return tuple(found)


def _chosen(compiled: Compiled) -> list[tuple[Any, ...]]:
    """What was chosen of several ways, and for what; an order of axes alone is no reason for another program."""
    choices = [c for c in choices_of(compiled.graph) if c.kind != "layout"]
    return sorted((c.file, c.line, c.kind, c.what, c.chosen) for c in choices)
