"""Networks over grids: arrays whose last axis has the entries of each place, and whose other axes count places."""

from __future__ import annotations

from dataclasses import replace

from vspec.compiler.language.expr import Expr, Number, Pointwise, SizeOf
from vspec.compiler.language.layers import Draft, Layer
from vspec.compiler.language.raw import Raw

MOST = 3
"""The most axes of places."""


def convolutions(d: Draft) -> Raw | None:
    """act(sum over the window of W x + b), layer by layer; the last one has no activation."""
    network, t = d.network, d.t
    if len(network.formals) != 1 or not 2 <= network.formals[0].rank <= MOST + 1:
        message = (
            f"'{network.name}' is a convolution over the first axes of one input, whose last axis has the channels"
        )
        d.ctx.error("VS0253", message, network.span, help=f"for example {network.name}(x[:, :, :]) -> [r, c, k]")
        return None
    rank = network.formals[0].rank - 1
    if len(network.results) != rank + 1:
        axes = ", ".join("rcz"[:rank])
        d.refuse("'conv' gives channels for each place that its window is moved to", f"-> [{axes}, k]")
        return None
    values = network.values
    offsets = d.dim("u", values["kernel"], rank)
    sizes: list[Expr] = [SizeOf(span=t.span, dtype="integer", letter=x) for x in d.inputs[:-1]]
    before: Layer | None = None
    channel = d.inputs[-1]
    widths = [*values["channels"], None]
    for n, width in enumerate(widths, 1):
        places = d.inputs[:-1] if before is None else before.letters[:-1]
        source = t.element(network.formals[0].name if before is None else "a", (*places, channel))
        if values["pad"] == "same":
            before = _padded(d, n, places, channel, sizes, source, before)
            sizes = [_changed(d, "add", size, values["kernel"] - 1) for size in sizes]
        sizes = [_positions(d, size) for size in sizes]
        last = width is None
        if last:
            letters = network.results
            network.expected += tuple(
                (d.dim(f"end{k}", size)[0], x) for k, (size, x) in enumerate(zip(sizes, letters[:-1], strict=True), 1)
            )
        else:
            letters = (*(d.dim(f"p{n}{k}", size)[0] for k, size in enumerate(sizes, 1)), d.width(f"k{n}", width))
        weight = d.weight(f"W{n}", (*offsets, channel), letters[-1:], d.last if last else d.init)
        of = _moved(d, weight, offsets, channel, letters, before)
        z = t.add(of, d.bias(f"b{n}", letters[-1:]))
        if last:
            return z
        body = d.activated(f"z{n}", z)
        before = d.first(f"h{n}", letters, body) if before is None else d.then(f"h{n}", letters, body, before)
        channel = letters[-1]
    return None


def _moved(
    d: Draft, weight: str, offsets: tuple[str, ...], channel: str, letters: tuple[str, ...], before: Layer | None
) -> Raw:
    """The sum over the window: of the formal `a` of a layer, of the result of one where it is the last, or of the input."""
    t, stride = d.t, d.network.values["stride"]
    places: list[Raw] = []
    for p, u in zip(letters[:-1], offsets, strict=True):
        first: Raw = t.call("index", t.name(p))
        if stride > 1:
            first = t.mul(t.number(stride), first)
        places.append(t.add(first, t.call("index", t.name(u))))
    last = letters == d.network.results
    if before is None:
        source = t.element(d.network.formals[0].name, (*places, channel))
    elif last:
        source = d.read_at(before, (*places, t.name(channel)))
    else:
        source = t.element("a", (*places, channel))
    product = t.mul(t.element(weight, (*offsets, channel, letters[-1])), source)
    return t.bind("sum", (*offsets, channel), product)


def _padded(
    d: Draft, n: int, places: tuple[str, ...], channel: str, sizes: list[Expr], source: Raw, before: Layer | None
) -> Layer:
    """The layer with zeros around it: (kernel - 1)//2 in front of each axis of places, and the rest behind."""
    t, kernel = d.t, d.network.values["kernel"]
    own = []
    for k, size in enumerate(sizes, 1):
        (letter,) = d.dim(f"v{n}{k}", size)
        d.ctx.dims.dims[letter] = replace(d.ctx.dims.dims[letter], boundary="zero")
        own.append(letter)
    name = d.network.formals[0].name if before is None else "a"
    view = t.element(name, (*own, channel))
    letters = (*own, channel)
    seen = d.first(f"x{n}", letters, view) if before is None else d.then(f"x{n}", letters, view, before)
    wide = tuple(d.dim(f"w{n}{k}", _changed(d, "add", size, kernel - 1))[0] for k, size in enumerate(sizes, 1))
    shift = (kernel - 1) // 2
    moved = [t.op("sub", t.name(x), t.number(shift)) if shift else t.name(x) for x in wide]
    return d.then(f"y{n}", (*wide, channel), t.element("a", (*moved, channel)), seen)


def _positions(d: Draft, size: Expr) -> Expr:
    """To how many places the window is moved along an axis of that size."""
    kernel, stride = d.network.values["kernel"], d.network.values["stride"]
    room = _changed(d, "sub", size, kernel)
    if stride > 1:
        room = _changed(d, "floordiv", room, stride)
    return _changed(d, "add", room, 1)


def _changed(d: Draft, op: str, size: Expr, by: int) -> Expr:
    span = d.network.span
    number = Number(span=span, dtype="integer", value=by)
    return Pointwise(span=span, dtype="integer", op=op, args=(size, number))
