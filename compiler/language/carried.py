"""What a stage keeps from step to step beside the params that it names: the places of the Markov chains that it reads."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from vspec.compiler.diagnostics.diagnostic import Sink
from vspec.compiler.language.batches import Batch
from vspec.compiler.language.bodies import Body, bodies, of_stage
from vspec.compiler.language.context import Context
from vspec.compiler.language.equations import Solved
from vspec.compiler.language.expr import Element, Expr, Pointwise, Reduction
from vspec.compiler.language.samplers import SAMPLERS
from vspec.compiler.language.spec import Chain, Definition, Spec, Stage, Variable, labelled
from vspec.compiler.language.substitute import elements, letters_of, nodes


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
    """An error for each chain that a stage would move by a batch of what its law depends on, where that has a bias that no step
    is short enough for (VS0699)."""
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
            if not hit:
                continue
            word = chains[name].sampler
            tips: tuple[str, ...]
            if SAMPLERS[word].tested:
                message = f"a chain of '{name}' would see a batch of '{hit[0]}' in each step"
                tips = (
                    f"'{word}' takes a step or not by the exponential of a difference of energies, of which an estimate by a "
                    "batch is biased, whatever the step",
                    "take all of the data, by leaving out 'batch', or langevin(step=...), which takes all steps",
                )
            elif (read := _not_linear(spec.random[name], exprs, batched)) is not None:
                what = f"'{read.name}'" if isinstance(read, Element) else "a part of it"
                message = f"the energy of '{name}' is not linear in sums over the batch of '{hit[0]}': {what}"
                tips = (
                    "the derivative of an energy by a batch is unbiased where its sums are added up, as in -prior - sum[n](...)",
                )
            else:
                continue
            label = f"the stage on line {stage.span.line} takes batches"
            sink.error("VS0699", message, spec.random[name].span, label=label, help=tips)


def _not_linear(variable: Variable, exprs: dict[str, list[Expr]], batched: set[str]) -> Expr | None:
    """A part of an energy that has a sum over a batch inside of anything else than sums and multiples; None if there is none."""
    # The place of a chain is what the energy is a function of.
    known: dict[str, bool] = {variable.name: False}

    def estimated(e: Expr) -> bool:
        """Whether there is a sum over the batch in it."""
        for x in nodes(e):
            if isinstance(x, Reduction) and set(x.letters) & batched:
                return True
            if isinstance(x, Element) and x.name in exprs:
                if x.name not in known:
                    known[x.name] = False
                    known[x.name] = any(map(estimated, exprs[x.name]))
                if known[x.name]:
                    return True
        return False

    stack = [variable.density] if variable.density is not None else []
    while stack:
        e = stack.pop()
        if not estimated(e):
            continue
        if isinstance(e, Element):
            stack += exprs[e.name]
        elif isinstance(e, Reduction) and e.op in ("sum", "mean"):
            if not set(e.letters) & batched:
                stack.append(e.body)
            elif estimated(e.body):
                return e
        elif isinstance(e, Pointwise) and (e.op in _SUMS or _is_multiple(e, estimated)):
            stack += e.args
        else:
            return e
    return None


_SUMS = ("add", "sub", "neg", "real")


def _is_multiple(e: Pointwise, estimated: Callable[[Expr], bool]) -> bool:
    """Whether it is a multiple of one part that is estimated."""
    own = [estimated(x) for x in e.args]
    return (e.op == "mul" and sum(own) == 1) or (e.op == "div" and not own[1])
