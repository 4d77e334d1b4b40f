"""What a stage keeps from step to step beside the params that it names: the places of the Markov chains that it reads."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from vspec.compiler.diagnostics.diagnostic import Sink
from vspec.compiler.language.batches import Batch
from vspec.compiler.language.bodies import Body, bodies, of_stage
from vspec.compiler.language.context import Context
from vspec.compiler.language.equations import Solved
from vspec.compiler.language.expr import Expr
from vspec.compiler.language.spec import Chain, Definition, Spec, Stage, labelled
from vspec.compiler.language.substitute import elements, letters_of


def with_carried(ctx: Context, stage: Stage, solved: Solved) -> Stage:
    """The stage with what its chains leave for the next step, beside the last of its updates: made of the same values."""
    chains = {n: v.found.chain for n, v in ctx.variables.items() if v.found is not None and v.found.chain is not None}
    if not chains:
        return stage
    by_name: dict[str, list[Expr]] = {}
    for e in solved.equations:
        for name in e.names:
            by_name[name] = [e.body] if isinstance(e, Definition) else list(e.bodies)
    for name, objective in solved.objectives.items():
        by_name.setdefault(name, []).append(objective.body)
    read = _reached(stage.names, (b.expr for b in of_stage(stage, "")), by_name)
    moves = [a for name, chain in chains.items() if name in read for a in chain.moves]
    if not moves:
        return stage
    *before, last = stage.updates or ((),)
    return replace(stage, updates=(*before, (*last, *moves)))


def _reached(names: Iterable[str], exprs: Iterable[Expr], by_name: dict[str, list[Expr]]) -> set[str]:
    """The names that are read, through those that stand for expressions."""
    found: set[str] = set()
    stack = [*names, *(e.name for x in exprs for e in elements(x))]
    while stack:
        name = stack.pop()
        if name not in found:
            found.add(name)
            stack += [e.name for x in by_name.get(name, ()) for e in elements(x)]
    return found


def refuse_carried(sink: Sink, spec: Spec) -> None:
    """An error for each chain that a stage would move by a batch of what its law depends on (VS0699)."""
    chains: dict[str, Chain] = {n: v.chain for n, v in spec.random.items() if v.chain is not None}
    if not chains:
        return
    by_name: dict[str, list[Body]] = {}
    for body in bodies(spec):
        if body.kind in ("definition", "init", "step", "objective"):
            by_name.setdefault(body.name, []).append(body)
    exprs = {name: [b.expr for b in found] for name, found in by_name.items()}
    for label, stage in labelled(spec.plan):
        if not stage.batch:
            continue
        batched = {x for x, dim in spec.letters.items() if dim in stage.batch}
        for name in chains.keys() & Batch(spec, stage, label).names:
            used = {x for n in _reached((name,), (), exprs) for e in exprs.get(n, ()) for x in letters_of(e)}
            hit = sorted(used & batched)
            if hit:
                sink.error(
                    "VS0699",
                    f"a chain of '{name}' would see a batch of '{hit[0]}' in each step",
                    spec.random[name].span,
                    label=f"the stage on line {stage.span.line} takes batches",
                    help="a chain needs a law that stays: take all of the data, by leaving out 'batch'",
                )
