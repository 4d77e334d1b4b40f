"""Networks: functions whose body is an architecture, `enc(x[:]) -> [k]: mlp(hidden=[64, 64], act=tanh)`.

A network is taken apart into layers where it is declared. Each is an ordinary function, so that a call of the network is inlined
like any other; its weights are params with names of their own, `enc.W1`. The axes of its inputs get their sizes from the first
call: until then they are placeholders, and from then on the axes of what was passed.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any

from vspec.compiler.diagnostics.spans import Span
from vspec.compiler.diagnostics.suggest import did_you_mean
from vspec.compiler.language.architectures import (
    ARCHITECTURES,
    LIBRARY_ACTIVATIONS,
    WANTED,
    Architecture,
    Option,
)
from vspec.compiler.language.context import Actual, Context, Env, Formal, Function, Symbol
from vspec.compiler.language.expr import Affine, Expr, Foreign, Number, Pointwise, SizeOf
from vspec.compiler.language.initialisers import INITIALISERS, entries_of, normals
from vspec.compiler.language.operators import FUNCTIONS
from vspec.compiler.language.places import places_fit, room_for
from vspec.compiler.language.raw import Raw, RawCall, RawList, RawName, RawNumber
from vspec.compiler.language.sizes import settle_sizes
from vspec.compiler.language.spec import Data, Domain, Draw, Param


@dataclass(frozen=True, slots=True)
class Weight:
    """An array of a network.

    `init`: the name of an initialiser, or the number that all entries start at. `inputs`: how many of its axes, from the first
    on, are inputs of the product that it stands in; an initialiser counts them, and the others as outputs. `deviation`: that of
    the normals with which it starts instead. `frozen`: it is drawn like data, and is no param.
    `leaf`: its number among the weights of a module from outside, which says how it starts.
    """

    name: str
    init: str | float
    inputs: int = 0
    deviation: float | None = None
    frozen: bool = False
    leaf: int | None = None


@dataclass(slots=True)
class Network:
    """A network of a spec.

    `places`: for each formal the placeholders of its axes. `dims` are those it declared itself. `bound`: the call that gave its
    inputs their sizes. `wanted`: where its weights were asked for by its name. `shared`: a placeholder and a letter of the result
    that range over one dim. `expected`: dims of the network's own, each with a letter of the result that has to range over as
    many values.
    """

    name: str
    architecture: Architecture
    values: dict[str, Any]
    formals: tuple[Formal, ...]
    results: tuple[str, ...]
    span: Span
    places: tuple[tuple[str, ...], ...] = ()
    dims: list[str] = field(default_factory=list)
    weights: list[Weight] = field(default_factory=list)
    symbols: list[Symbol] = field(default_factory=list)
    bound: Span | None = None
    wanted: Span | None = None
    shared: tuple[str, str] | None = None
    expected: tuple[tuple[str, str], ...] = ()
    settled: bool = False


def network_call(raw: Raw | None) -> RawCall | None:
    """The call of an architecture that is all of a function's body; None if the body is something else."""
    known = isinstance(raw, RawCall) and raw.name in ARCHITECTURES
    return raw if known and isinstance(raw, RawCall) else None


def read_network(ctx: Context, function: Function, raw: RawCall) -> Network | None:
    """The network of a function with its keywords; None after a mistake."""
    architecture = ARCHITECTURES[raw.name]
    if raw.bound is not None or raw.subscripts is not None:
        example = f"{function.shown}: {architecture.signature}"
        ctx.error("VS0250", "a network has its keywords only", raw.span, help=f"write {example}")
        return None
    for formal in function.formals:
        if formal.takes is not None:
            ctx.error("VS0253", f"the network '{function.name}' cannot take a function", function.span)
            return None
    if not function.formals:
        ctx.error("VS0253", f"the network '{function.name}' has no inputs", function.span, help="for example f(x[:])")
        return None
    values = _values(ctx, architecture, raw)
    if values is None:
        return None
    return Network(function.name, architecture, values, function.formals, function.results, raw.span)


# --- keywords ---------------------------------------------------------------------------------------------------


def _values(ctx: Context, of: Architecture, raw: RawCall) -> dict[str, Any] | None:
    """The value of each keyword, defaults filled in; None after a mistake (VS0251, VS0255)."""
    names = [o.name for o in of.options]
    given: dict[str, Any] = {}
    pairs: list[tuple[str | None, Raw, Span]] = [(None, a, a.span) for a in raw.args]
    pairs += [(k.name, k.value, k.span) for k in raw.keywords]
    sound = True
    signature = f"its signature is {of.signature}"
    for position, (keyword, value, span) in enumerate(pairs):
        name = keyword if keyword is not None else names[position] if position < len(names) else None
        if name is None or name not in names or name in given:
            sound = False
            what = f"has no keyword '{name}'"
            if name is None:
                what = f"takes at most {len(names)} arguments"
            elif name in given:
                what = f"has '{name}' twice"
            near = _ELSEWHERE.get(name or "") or (did_you_mean(name, names) if name and name not in given else "")
            ctx.error("VS0251", f"'{of.name}' {what}", span, help=[h for h in (near, signature) if h])
            continue
        found = _value(ctx, of, of.options[names.index(name)], value)
        sound = sound and found is not None
        given[name] = found
    missing = next((o for o in of.options if o.default is None and o.name not in given), None)
    if missing is not None and sound:
        sound = False
        ctx.error("VS0251", f"'{of.name}' needs '{missing.name}'", raw.span, label=missing.doc, help=signature)
    return {o.name: given.get(o.name, o.default) for o in of.options} if sound else None


_ELSEWHERE = {
    "dropout": "there is no dropout: a closed form is the same at every evaluation",
    "seed": "the weights are drawn with the seed of the run",
    "out": "the axes of the result stand behind the arrow: f(x[:]) -> [k]",
    "features_out": "the axes of the result stand behind the arrow: f(x[:]) -> [k]",
    "layers": "the widths of the hidden layers are hidden=[64, 64]",
}


def _value(ctx: Context, of: Architecture, option: Option, raw: Raw) -> Any:
    """What a keyword is given, in its own form; None after a mistake."""
    word = raw.name if isinstance(raw, RawName) else ""
    number = raw.value if isinstance(raw, RawNumber) else None
    if option.kind == "sizes":
        items = raw.items if isinstance(raw, RawList) else None
        widths = [_width(ctx, x) for x in items] if items is not None else [None]
        if all(w is not None for w in widths):
            return tuple(widths)
    elif option.kind == "size" and (width := _width(ctx, raw)) is not None:
        return width
    elif option.kind == "count" and isinstance(number, int) and not isinstance(number, bool) and number > 0:
        return number
    elif option.kind == "pad" and word in ("same", "valid"):
        return word
    elif option.kind == "number" and isinstance(number, int | float) and not isinstance(number, bool) and number > 0:
        return float(number)
    elif option.kind == "flag" and (isinstance(number, bool) or word in ("true", "false")):
        return number if isinstance(number, bool) else word == "true"
    elif (option.kind == "last" and word in ("init", "zero")) or (
        option.kind == "init" and word in INITIALISERS and INITIALISERS[word].law
    ):
        return word
    elif option.kind == "activation" and word:
        return _activation(ctx, of, option, word, raw.span)
    near = ""
    if option.kind == "init" and word:
        able = [i.name for i in INITIALISERS.values() if i.law]
        near = did_you_mean(word, able) or f"there are {', '.join(able)}"
    message = f"'{option.name}' of '{of.name}' is {WANTED[option.kind]}"
    ctx.error("VS0251", message, raw.span, label=option.doc, help=near)
    return None


def _width(ctx: Context, raw: Raw) -> int | str | None:
    """A width: a number, or the letter of a dim."""
    if isinstance(raw, RawName) and raw.name in ctx.dims.letters:
        return raw.name
    number = raw.value if isinstance(raw, RawNumber) else None
    return number if isinstance(number, int) and not isinstance(number, bool) and 0 < number < 2**31 else None


def _activation(ctx: Context, of: Architecture, option: Option, name: str, span: Span) -> str | None:
    """The name of an activation; None if there is none of that name, or it is no function of one number (VS0255)."""
    own, op = ctx.functions.get(name), FUNCTIONS.get(name)
    if own is not None and not own.results and [(f.rank, f.takes) for f in own.formals] == [(0, None)]:
        return name
    if own is None and op is not None and op.least == 1 == op.most and op.rule != "cast":
        return name
    known = own is not None or op is not None
    why = f"'{name}' is no function of one number" if known else f"there is no function '{name}'"
    called = _OTHERS.get(name, name)
    if own is not None:
        help = f"it is declared as {own.shown}"
    elif called in LIBRARY_ACTIVATIONS:
        help = f"import it, 'imports: {{std/activations: [{called}]}}', and write {option.name}={called}"
    elif called in ("elu", "leaky_relu"):
        help = f"import {called} of std/activations, and declare a function of one number: bent(a): {called}(a, 0.1)"
    else:
        help = did_you_mean(called, (*_USUAL, *(n for n in ctx.functions if "." not in n)))
    ctx.error("VS0255", why, span, label=f"the activation of '{of.name}'", help=help)
    return None


_USUAL = ("tanh", "relu", "sigmoid", "softplus", "sin", "cos", "exp", "erf", "square")
_OTHERS = {"swish": "silu", "logistic": "sigmoid", "sine": "sin", "lrelu": "leaky_relu"}


# --- calls ------------------------------------------------------------------------------------------------------


def bind(ctx: Context, network: Network, actuals: list[Actual], span: Span, env: Env) -> bool:
    """Let the first call give the inputs their axes; whether a further one fits them (VS0253)."""
    at = env.site or span
    if network.shared is not None:
        place, letter = network.shared
        given = next(
            dim for places, a in zip(network.places, actuals) for p, (_, dim) in zip(places, a.slots) if p == place
        )
        own = ctx.dims.dim_of(letter)
        if not ctx.dims.same(given, own):
            ctx.error(
                "VS0252",
                f"the result of '{network.name}' has the index '{letter}', and the first axis of its input is over "
                f"{ctx.dims.show(given)}",
                span,
                env,
                help=f"'{network.architecture.name}' has the first axis of its input in its result",
            )
            return False
    if network.bound is None:
        network.bound = at
        if not room_for(ctx, network, tuple(dim for a in actuals for _, dim in a.slots), span, env):
            return False
        for symbol in network.symbols:
            ctx.symbols[symbol.name] = symbol
        for places, actual in zip(network.places, actuals):
            for place, (_, dim) in zip(places, actual.slots):
                _join(ctx, network, place, dim)
        ctx.dims.linear.clear()
        settle_sizes(ctx)
        return places_fit(ctx, network, span, env)
    for formal, places, actual in zip(network.formals, network.places, actuals):
        for place, (_, dim) in zip(places, actual.slots):
            own = ctx.dims.dim_of(place)
            if not ctx.dims.same(own, dim):
                ctx.error(
                    "VS0253",
                    f"the input '{formal.shown}' of '{network.name}' has the axis {ctx.dims.show(dim)} here, "
                    f"and {ctx.dims.show(own)} in the call on line {network.bound.line}",
                    span,
                    env,
                    label="other weights would be needed",
                    help="the inputs of a network have one size; declare a second network for others",
                )
                return False
    return True


def _join(ctx: Context, network: Network, place: str, dim: str) -> None:
    """Make a placeholder the dim of what was passed: all letters over it are then letters over that dim."""
    dims = ctx.dims
    for letter, over in dims.letters.items():
        if over == place:
            dims.letters[letter] = dim
    del dims.dims[place]
    for name, found in dims.dims.items():
        if isinstance(found.size, Expr):
            dims.dims[name] = replace(found, size=_sized(found.size, place, dims.dims[dim].letters[0]))
    network.dims.remove(place)
    for symbol in network.symbols:
        if place in symbol.dims:
            letter = _free(ctx, dim, symbol.letters)
            symbol.letters = tuple(letter if x == place else x for x in symbol.letters)
            symbol.dims = tuple(dim if d == place else d for d in symbol.dims)


def _sized(size: Expr, place: str, letter: str) -> Expr:
    """A size with the letter of a dim in the place of a placeholder."""
    if isinstance(size, SizeOf) and size.letter == place:
        return replace(size, letter=letter)
    if isinstance(size, Pointwise):
        return replace(size, args=tuple(_sized(a, place, letter) for a in size.args))
    return size


def _free(ctx: Context, dim: str, taken: tuple[str, ...]) -> str:
    """A letter of a dim that an array does not have already."""
    declared = ctx.dims.dims[dim].letters if dim in ctx.dims.dims else ()
    return next((x for x in declared if x not in taken), None) or ctx.dims.fresh(dim)


def called(function: Function, actuals: list[Actual]) -> object:
    """What tells calls of a part of a network apart: the arguments, whose slices are known by their places. Equal calls, for
    which there is one hidden definition, are equal here."""
    slots = {letter: f"{k}:{n}" for k, a in enumerate(actuals) for n, (letter, _) in enumerate(a.slots)}

    def meaning(x: object) -> object:
        if isinstance(x, Span):
            return None
        if isinstance(x, str):
            return slots.get(x, x)
        if isinstance(x, tuple):
            return tuple(map(meaning, x))
        if is_dataclass(x) and not isinstance(x, type):
            return (type(x).__name__, *(meaning(getattr(x, f.name)) for f in fields(x)))
        return (type(x).__name__, x)

    return (function.name, *(meaning(a.expr) for a in actuals))


# --- weights ----------------------------------------------------------------------------------------------------


def weights_of(ctx: Context, name: str, span: Span) -> tuple[str, ...] | None:
    """The params of a network, by its name; None if the name is none of a network."""
    function = ctx.functions.get(name)
    if function is None or function.network is None:
        return None
    network = function.network
    network.wanted = network.wanted or span
    return tuple(w.name for w in network.weights if not w.frozen)


def movable(ctx: Context) -> list[str]:
    """What a stage may move, as a person names it: params, and networks for their weights."""
    params = [n for n, s in ctx.symbols.items() if s.kind == "param" and "." not in n]
    return params + [n for n, f in ctx.functions.items() if f.network is not None]


def leave_out(ctx: Context) -> None:
    """Forget the weights of networks that nothing calls: there is no size for them. A later call brings them back.

    A network whose weights are asked for all the same is a mistake (VS0256).
    """
    for network in networks(ctx):
        if network.bound is None:
            for symbol in network.symbols:
                ctx.symbols.pop(symbol.name, None)


def drop(ctx: Context) -> None:
    """The end of the check: networks that were never called lose their dims, those that were asked for are mistakes."""
    for network in networks(ctx):
        if network.bound is not None:
            continue
        # After another mistake the call may be there and have been left out.
        if network.wanted is not None and not ctx.sink.errors:
            ctx.error(
                "VS0256",
                f"nothing calls the network '{network.name}', so that the size of its weights is not known",
                network.wanted,
                help="call it in a definition or an objective",
            )
        for dim in network.dims:
            ctx.dims.dims.pop(dim, None)


def networks(ctx: Context) -> list[Network]:
    """All networks of the spec, in its order."""
    return [f.network for f in ctx.functions.values() if f.network is not None]


def settle(ctx: Context, params: dict[str, Param], data: dict[str, Data]) -> None:
    """Enter the weights of networks that were called: the params with their inits, and the frozen arrays as data."""
    for network in networks(ctx):
        if network.bound is None or network.settled:
            continue
        network.settled = True
        for weight, symbol in zip(network.weights, network.symbols):
            if weight.frozen:
                draw = Draw("normal", (0.0, weight.deviation or 1.0), None)
                data[symbol.name] = Data(symbol.name, symbol.letters, "real", draw, None, symbol.span)
            else:
                init = _init(ctx, weight, symbol)
                params[symbol.name] = Param(symbol.name, symbol.letters, "real", init, Domain("real"), symbol.span)


def _init(ctx: Context, weight: Weight, symbol: Symbol) -> Expr:
    """The init of a weight. Its draws have a place of their own: all weights of a network stand in one text."""
    span = symbol.span
    if weight.leaf is not None:
        return Foreign(
            span=span,
            axes=symbol.letters,
            dtype="real",
            op="extern",
            blocks=(),
            subscripts=tuple(map(Affine, symbol.letters)),
            source=ctx.sources[symbol.name.partition(".")[0]],
            results=symbol.letters,
            leaf=weight.leaf,
        )
    if isinstance(weight.init, float):
        return Number(span=span, dtype="real", value=weight.init)
    if weight.deviation is not None:
        raw = normals(weight.deviation, span)
    else:
        raw = entries_of(weight.init, symbol.letters[: weight.inputs], symbol.letters[weight.inputs :], span)
    place = replace(span, file=f"{span.file}:{symbol.name}")
    env = Env(
        subject=f"the init of '{symbol.name}'",
        scope={x: x for x in symbol.letters},
        reads=frozenset({"constant"}),
        path=(place,),
    )
    return ctx.infer(raw, env)
