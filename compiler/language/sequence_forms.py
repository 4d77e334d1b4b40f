"""Networks over sequences, arrays whose first axis counts places and whose second one has the entries of each place."""

from __future__ import annotations

from collections.abc import Sequence

from vspec.compiler.language.context import Formal
from vspec.compiler.language.expr import Number, Pointwise, SizeOf
from vspec.compiler.language.layers import Draft, Layer
from vspec.compiler.language.raw import Raw


def attention(d: Draft) -> Raw | None:
    """softmax(q k'/sqrt(width)) v in each head, over the first axis of the input (Vaswani et al. 2017)."""
    if not _sequence(d):
        return None
    t, values = d.t, d.network.values
    (_, i), (at, k) = d.inputs, d.network.results
    (head,) = d.dim("head", values["heads"])
    (c,) = d.dim("c", values["width"]) if isinstance(values["width"], int) else (d.width("c", values["width"]),)
    formals = d.network.formals
    mixed = _heads(d, formals, tuple(t.whole(f) for f in formals), (at, i, head, c))
    weight = d.weight("W", (head, c), (k,), d.last)
    return t.add(d.product(weight, (head, c), (k,), d.read(mixed, (at, head, c))), d.bias("b", (k,)))


def transformer(d: Draft) -> Raw | None:
    """Blocks h + attention(n(h)), then h + act(n(h) U + b) D + c, between two linear maps; n is the layer norm (Xiong et al.
    2020)."""
    if not _sequence(d):
        return None
    t, values, ctx = d.t, d.network.values, d.ctx
    (_, i), (at, k) = d.inputs, d.network.results
    width, heads = values["width"], values["heads"]
    size = width if isinstance(width, int) else ctx.dims.size(ctx.dims.dim_of(width))
    if size is not None and size % heads:
        message = f"the width {size} of '{d.network.name}' cannot be split among {heads} heads"
        ctx.error("VS0251", message, d.network.span, help=f"a width that {heads} divides, such as {heads * 8}")
        return None
    h = d.width("h", width)
    (head,) = d.dim("head", heads)
    each: int | Pointwise = size // heads if size is not None else _share(d, str(width), heads)
    (c,) = d.dim("c", each)
    m = d.width("m", values["hidden"])
    weight = d.weight("W0", (i,), (h,), d.init)
    source = t.element(d.network.formals[0].name, (at, i))
    before = d.first("h0", (at, h), t.add(d.product(weight, (i,), (h,), source), d.bias("b0", (h,))))
    for n in range(1, values["blocks"] + 1):
        seen = d.then(f"n{n}", (at, h), d.normalised(f"{n}", (at,), h), before)
        mixed = _heads(d, (Formal("a", 2),), (d.passed(seen),), (at, h, head, c), f"{n}")
        weight = d.weight(f"O{n}", (head, c), (h,), d.init)
        step = t.add(d.product(weight, (head, c), (h,), t.element("a", (at, head, c))), d.bias(f"bO{n}", (h,)))
        before = _onward(d, f"r{n}", (at, h), before, mixed, step)
        seen = d.then(f"m{n}", (at, h), d.normalised(f"{n}m", (at,), h), before)
        weight = d.weight(f"U{n}", (h,), (m,), d.init)
        z = t.add(d.product(weight, (h,), (m,), t.element("a", (at, h))), d.bias(f"b{n}", (m,)))
        active = d.then(f"a{n}", (at, m), d.activated(f"z{n}", z), seen)
        weight = d.weight(f"D{n}", (m,), (h,), d.last)
        step = t.add(d.product(weight, (m,), (h,), t.element("a", (at, m))), d.bias(f"c{n}", (h,)))
        before = _onward(d, f"h{n}", (at, h), before, active, step)
    before = d.then("n", (at, h), d.normalised("", (at,), h), before)
    weight = d.weight("W", (h,), (k,), d.init)
    return t.add(d.product(weight, (h,), (k,), d.read(before, (at, h))), d.bias("b", (k,)))


def _sequence(d: Draft) -> bool:
    """Whether the network takes a sequence and gives one; a mistake otherwise (VS0253, VS0252)."""
    network, kind = d.network, d.network.architecture.name
    if len(network.formals) != 1 or network.formals[0].rank != 2:
        what = "an attention" if kind == "attention" else f"a {kind}"
        message = f"'{network.name}' is {what} over the first axis of one input with two"
        d.ctx.error("VS0253", message, network.span, help=f"for example {network.name}(x[:, :]) -> [s, k]")
        return False
    if len(network.results) != 2:
        d.refuse(f"'{kind}' gives a vector for each value of the first axis of its input", "-> [s, k]")
        return False
    network.shared = (d.inputs[0], network.results[0])
    return True


def _share(d: Draft, width: str, heads: int) -> Pointwise:
    """The part of a width, whose size is open, that each head has."""
    span = d.network.span
    size, count = SizeOf(span=span, dtype="integer", letter=width), Number(span=span, dtype="integer", value=heads)
    return Pointwise(span=span, dtype="integer", op="floordiv", args=(size, count))


def _onward(d: Draft, label: str, letters: Sequence[str], before: Layer, inner: Layer, step: Raw) -> Layer:
    """The layer before and a step that is made of `a`, an inner layer."""
    formals = (Formal("r", len(before.letters)), Formal("a", len(inner.letters)))
    body = d.t.add(d.t.element("r", letters), step)
    return d.layer(label, formals, letters, body, d.passed(before), d.passed(inner))


def _heads(
    d: Draft, formals: tuple[Formal, ...], args: tuple[Raw, ...], letters: tuple[str, str, str, str], label: str = ""
) -> Layer:
    """What each head mixes of its values at each place. `formals` is the one input of these layers, `args` what they are
    called with, `letters` those of its places and entries, of heads, and of the entries of queries, keys and values."""
    t = d.t
    at, i, head, c = letters
    (formal,) = formals

    def projected(name: str) -> Raw:
        weight = d.weight(f"{name}{label}", (i,), (head, c), d.init)
        of = d.product(weight, (i,), (head, c), t.element(formal.name, (at, i)))
        return t.add(of, d.bias(f"b{name}{label}", (head, c)))

    def layer(name: str, axes: Sequence[str], body: Raw) -> Layer:
        return d.layer(f"{name}{label}", formals, axes, body, *args)

    def read(of: Layer, subscripts: Sequence[str]) -> Raw:
        # Inside of these layers the input is called what the formal is.
        return d.read(Layer(of.name, (t.whole(formal),), of.letters), subscripts)

    other = d.ctx.dims.fresh(d.ctx.dims.dim_of(at))
    query, key, value = (layer(name.lower(), (at, head, c), projected(name)) for name in "QKV")
    product = t.mul(read(query, (at, head, c)), read(key, (other, head, c)))
    score = t.op("div", t.bind("sum", (c,), product), t.call("sqrt", t.call("size", t.name(c))))
    if d.network.values["causal"]:
        later = t.op("gt", t.call("index", t.name(other)), t.call("index", t.name(at)))
        score = t.op("where", later, t.op("neg", t.name("inf")), score)
    weights = layer("p", (at, head, other), t.bind("softmax", (other,), score))
    mixed = t.bind("sum", (other,), t.mul(read(weights, (at, head, other)), read(value, (other, head, c))))
    return layer("o", (at, head, c), mixed)
