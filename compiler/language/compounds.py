"""Laws made of laws: mixtures, and laws of functions of a variable.

A draw of a mixture is one of a component, which is a position, and then one of the law at that position; a draw of a transformed
law is the function of a draw. So what is averaged over such a variable is averaged over these: no estimator knows of either.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from vspec.compiler.diagnostics.spans import Span
from vspec.compiler.language.context import Context, Env, Unknown
from vspec.compiler.language.densities import log_density
from vspec.compiler.language.distributions import Distribution
from vspec.compiler.language.expr import Affine, Block, Element, Expr, Gather, Sample, Subscript
from vspec.compiler.language.instances import instance
from vspec.compiler.language.inverses import Inverse, inverse_of
from vspec.compiler.language.laws import LAWS
from vspec.compiler.language.spec import Definition
from vspec.compiler.language.substitute import substitute


@dataclass(frozen=True, slots=True)
class Latent:
    """A draw of which a draw is made: its definition, and the law of that."""

    definition: Definition
    law: Distribution


@dataclass(frozen=True, slots=True)
class Drawn:
    """A draw of a law: its value, the draws that it is made of, and the law of the last of them, which is the value itself unless
    that is a function of it."""

    body: Expr
    latents: tuple[Latent, ...]
    law: Distribution


@dataclass(frozen=True, slots=True)
class Place:
    """Where a draw stands: its letters, those of them that are times, those along which it is a vector, what tells it apart."""

    letters: tuple[str, ...]
    times: tuple[str, ...]
    event: tuple[str, ...]
    spans: tuple[Span, ...]

    @property
    def around(self) -> tuple[str, ...]:
        """The letters for each of whose values there is a draw."""
        return tuple(x for x in self.letters if x not in self.event)


def draw(ctx: Context, law: Distribution, place: Place, env: Env) -> Drawn:
    """A draw of a law; what it is made of are hidden definitions."""
    if law.inner is None:
        return Drawn(_sample(law, place), (), law)
    span = place.spans[-1]
    if law.law.name == "mixture":
        weights = law.blocks[0]
        chosen = Distribution(LAWS["categorical"], (weights,))
        apart = Place(place.around, place.times, (), (*place.spans, weights.body.span))
        component = _named(ctx, env, "component", _sample(chosen, apart), apart)
        given = at_component(law, Gather(_read(component)))
        found = draw(ctx, given, place, env)
        return Drawn(found.body, (Latent(component, chosen), *found.latents), found.law)
    found = draw(ctx, law.inner, place, env)
    source = _named(ctx, env, "source", found.body, place)
    body = instance(ctx, f"{law.map}(x)", (), {"x": Block(_read(source), ())}, {}, span, env, "transformed")
    latents = found.latents
    if isinstance(found.body, Sample):
        latents = (*latents, Latent(source, found.law))
    return Drawn(body, latents, law)


def _sample(law: Distribution, place: Place) -> Sample:
    return Sample(
        span=place.spans[-1],
        axes=place.letters,
        dtype=law.law.dtype,
        law=law.law.name,
        blocks=law.blocks,
        instead=law.instead,
        times=place.times,
        place=place.spans,
        event=place.event,
    )


def _named(ctx: Context, env: Env, label: str, body: Expr, place: Place) -> Definition:
    owner = env.subject.strip("'")
    name = ctx.hidden_name(f"{owner if owner.isidentifier() else 'draw'}.{label}")
    made = Definition(name, place.letters, body, body.dtype, place.spans[-1], hidden=True)
    ctx.declare_hidden(made)
    return made


def _read(made: Definition) -> Element:
    return Element(
        span=made.span, axes=made.letters, dtype=made.dtype, name=made.name, subscripts=tuple(map(Affine, made.letters))
    )


def at_component(law: Distribution, index: Subscript) -> Distribution:
    """The law of one component of a mixture."""
    ((letter,),) = (b.core for b in law.blocks)
    assert law.inner is not None
    return moved(law.inner, {letter: index})


def moved(law: Distribution, by: dict[str, Subscript]) -> Distribution:
    """The law with letters of its arguments replaced by subscripts."""
    blocks = tuple(Block(substitute(b.body, by), b.core) for b in law.blocks)
    return replace(law, blocks=blocks, inner=moved(law.inner, by) if law.inner is not None else None)


# --- densities ------------------------------------------------------------------------------------------------------


def density(ctx: Context, law: Distribution, value: Block, span: Span, env: Env) -> Expr:
    """The log-density of a mixture or a transformed law at a value."""
    assert law.inner is not None
    if law.law.name == "mixture":
        weights = law.blocks[0]
        inner = log_density(ctx, law.inner, value, span, env)
        values = {"weights": weights, "inner": Block(inner, weights.core)}
        text = "logsumexp[k](log(weights[k]) + inner[k]) - log(sum[k](weights[k]))"
        sizes = {"k": ctx.dims.dim_of(weights.core[0])}
        return _unless_lost(instance(ctx, text, (), values, sizes, span, env, "mixture"), inner)
    way = inverse_of(ctx, law.map, span, env)
    if way is None:
        return Unknown(span=span)
    source = way.inverse(ctx, value.body, span, env)
    inner = log_density(ctx, law.inner, Block(source, ()), span, env)
    found = _less_slope(ctx, way, inner, source, span, env)
    return way.within(ctx, found, value.body, span, env)


def density_of_draw(ctx: Context, law: Distribution, drawn: Drawn, value: Block, span: Span, env: Env) -> Expr:
    """The log-density of a law at a draw of its own: of a transformed one by the draw of which it is the function."""
    if law.law.name != "transformed" or not isinstance(drawn.latents[-1].definition.body, Sample):
        return log_density(ctx, law, value, span, env, inside=True)
    assert law.inner is not None
    way = inverse_of(ctx, law.map, span, env)
    if way is None or law.inner.law.name == "transformed":
        return density(ctx, law, value, span, env)
    source = _read(drawn.latents[-1].definition)
    inner = log_density(ctx, law.inner, Block(source, ()), span, env, inside=True)
    return _less_slope(ctx, way, inner, source, span, env)


def _less_slope(ctx: Context, way: Inverse, inner: Expr, source: Expr, span: Span, env: Env) -> Expr:
    return _unless_lost(way.less_slope(ctx, inner, source, span, env), inner)


def _unless_lost(found: Expr, *parts: Expr) -> Expr:
    lost = next((p for p in parts if isinstance(p, Unknown)), None)
    return found if lost is None else lost
