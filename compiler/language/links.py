"""Sums over all values of a variable that a recurrence draws: `z[0]: categorical(p[:])`, `z[t + 1]: categorical(A[z[t], :])`.

A path has the probability of its first value times that of each further one, given the one before. These are definitions here,
outside of the recurrence: log-densities that read the variable as it is drawn, in whose place others put its values
(`calculus/chance/along.py`). The same log-densities are what a score function needs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vspec.compiler.diagnostics.spans import Span
from vspec.compiler.language.context import Context, Env
from vspec.compiler.language.densities import log_density
from vspec.compiler.language.distributions import Distribution
from vspec.compiler.language.expr import (
    Affine,
    At,
    Block,
    Coord,
    Element,
    Expectation,
    Expr,
    Number,
    Part,
    Pointwise,
    Sample,
    SizeOf,
    Spacing,
    Subscript,
)
from vspec.compiler.language.laws import LAWS
from vspec.compiler.language.local import rebuilt, renamed
from vspec.compiler.language.random import Declared
from vspec.compiler.language.spec import Definition, Dim, Links, Recurrence, State
from vspec.compiler.language.substitute import nodes
from vspec.compiler.language.types import as_real

Equations = list[Definition | Recurrence]


@dataclass(frozen=True, slots=True)
class Support:
    """The values of a discrete law: the positions of a dim, or so many whole numbers from `low` on."""

    dim: str = ""
    low: int = 0
    stride: int = 1
    count: int = 0


def support(ctx: Context, declared: Declared, r: Recurrence) -> tuple[Support | None, str]:
    """The values of a variable of a recurrence, if these are few and its steps know each other by them alone; or why not."""
    state = next((s for s in r.states if s.name == declared.name), None)
    if state is None or not isinstance(state.init, Sample) or not isinstance(state.step, Sample):
        return None, ""
    found = [_values(ctx, body) for body in (state.init, state.step)]
    if found[0] is None or found[1] is None:
        return None, ""
    if len(r.states) > 1 or any(isinstance(e, Recurrence) for e in r.inner):
        return None, ""
    if not _same(ctx, found[0], found[1]):
        return None, "whose first law and whose others have different values"
    for body in (state.init, state.step):
        if any(isinstance(e, Coord | Spacing | Part | Expectation) for b in body.blocks for e in nodes(b.body)):
            return None, "whose law reads positions along its index, or an expectation"
    return found[0], ""


def _same(ctx: Context, a: Support, b: Support) -> bool:
    """Whether two laws have the same values."""
    if a.dim and b.dim and ctx.dims.same(a.dim, b.dim):
        return True
    sizes = [ctx.dims.size(x.dim) if x.dim else x.count for x in (a, b)]
    return sizes[0] is not None and sizes[0] == sizes[1] and (a.low, a.stride) == (b.low, b.stride)


def _values(ctx: Context, sample: Sample) -> Support | None:
    """The values of a law, if there are finitely many that are known by its form."""
    if sample.place in ctx.drawn:
        return None
    law, blocks = sample.law, sample.blocks
    if law == "bernoulli":
        return Support(count=2)
    if law == "rademacher":
        return Support(low=-1, stride=2, count=2)
    if law == "categorical":
        return Support(dim=ctx.dims.dim_of(blocks[0].core[0]))
    numbers = [b.body.value if isinstance(b.body, Number) else None for b in blocks]
    if law == "binomial" and isinstance(numbers[0], int):
        return Support(count=numbers[0] + 1)
    if law == "integers" and isinstance(numbers[0], int) and isinstance(numbers[1], int):
        return Support(low=numbers[0], count=numbers[1] - numbers[0])
    return None


def linked(ctx: Context, declared: Declared, state: State, values: Support, equations: Equations) -> Links:
    """What sums over the values take; adds its definitions."""
    steps = steps_of(ctx, declared, state)
    first, each = densities(ctx, declared, state, {}, steps, equations)
    rest = tuple(x for k, x in enumerate(state.letters) if k != state.time)
    name = declared.name
    return Links(
        hidden_density(ctx, f"{name}.first", rest, first, equations),
        hidden_density(ctx, f"{name}.moves", (steps, *rest), each, equations),
        steps,
        state.time,
        values.dim,
        values.low,
        values.stride,
        values.count,
    )


def at_letters(span: Span, state: State, of: str, dtype: str, at: Subscript) -> Element:
    """What has the letters of a state, read at a place of the recurrence."""
    subscripts = tuple(at if k == state.time else Affine(x) for k, x in enumerate(state.letters))
    axes = tuple(s.letter for s in subscripts if isinstance(s, Affine))
    return Element(span=span, axes=axes, dtype=dtype, name=of, subscripts=subscripts)  # type: ignore[arg-type]


def steps_of(ctx: Context, declared: Declared, state: State) -> str:
    """The letter of the steps of a recurrence, one fewer than there are values."""
    steps = f"{declared.name}.steps"
    if steps not in ctx.dims.dims:
        time, span = state.letters[state.time], declared.span
        size = ctx.dims.size(ctx.dims.dim_of(time))
        less: int | Expr
        if size is not None:
            less = size - 1
        else:
            whole = SizeOf(span=span, dtype="integer", letter=time)
            one = Number(span=span, dtype="integer", value=1)
            less = Pointwise(span=span, axes=(), dtype="integer", op="sub", args=(whole, one))
        ctx.dims.dims[steps] = Dim(steps, (steps,), less, span)
        ctx.dims.letters[steps] = steps
    return steps


def densities(
    ctx: Context, declared: Declared, state: State, names: Mapping[str, str], steps: str, equations: Equations
) -> tuple[Expr, Expr]:
    """The log-density of the first value and of each further one, of what is drawn or of what has other `names`; adds the
    definitions that these read."""
    from vspec.compiler.language.equations import drain

    span, time = declared.span, state.letters[state.time]
    rest = tuple(x for k, x in enumerate(state.letters) if k != state.time)
    own = names.get(state.name, state.name)

    def density(sample: Expr, at: Subscript, letters: tuple[str, ...], by: Mapping[str, str]) -> Expr:
        assert isinstance(sample, Sample)
        blocks = tuple(Block(relettered(renamed(b.body, names), by), b.core) for b in sample.blocks)
        law = Distribution(LAWS[sample.law], blocks, sample.instead)
        here = Block(at_letters(span, state, own, state.dtype, at), sample.event)
        env = Env(subject=f"'{declared.name}'", scope={x: x for x in letters})
        return as_real(log_density(ctx, law, here, span, env, inside=True))

    first = density(state.init, At(0), rest, {})
    each = density(state.step, Affine(steps, 1, 1), (steps, *rest), {time: steps})
    equations += drain(ctx)
    return first, each


def density_in_step(
    ctx: Context, declared: Declared, state: State, names: Mapping[str, str], equations: Equations
) -> Expr:
    """The log-density of each value of a variable that is drawn in the step of a recurrence, of what has other `names`; adds the
    definitions that this reads."""
    from vspec.compiler.language.equations import drain

    assert isinstance(state.step, Sample)
    at = Affine(state.letters[state.time])
    blocks = tuple(Block(renamed(b.body, names), b.core) for b in state.step.blocks)
    law = Distribution(LAWS[state.step.law], blocks, state.step.instead)
    here = Block(at_letters(declared.span, state, names[state.name], state.dtype, at), state.step.event)
    env = Env(subject=f"'{declared.name}'", scope={x: x for x in state.letters})
    found = as_real(log_density(ctx, law, here, declared.span, env, inside=True))
    equations += drain(ctx)
    return found


def hidden_density(ctx: Context, of: str, letters: tuple[str, ...], body: Expr, equations: Equations) -> str:
    """Makes a definition of its own of a log-density; gives its name."""
    name = ctx.hidden_name(of)
    definition = Definition(name, letters, body, "real", body.span, hidden=True)
    ctx.declare_hidden(definition)
    ctx.hidden.remove(definition)
    equations.append(definition)
    return name


def relettered(value: Any, by: Mapping[str, str]) -> Any:
    """A tree of expressions that reads at other letters; sizes stay those of the old ones."""

    def change(owner: Any, field: str, old: Any) -> Any:
        if isinstance(owner, SizeOf):
            return old
        if field == "axes":
            return tuple(by.get(x, x) for x in old)
        return by.get(old, old) if field == "letter" else None

    return rebuilt(value, change) if by else value


__all__ = [
    "Equations",
    "Support",
    "at_letters",
    "densities",
    "density_in_step",
    "hidden_density",
    "linked",
    "relettered",
    "steps_of",
    "support",
]
