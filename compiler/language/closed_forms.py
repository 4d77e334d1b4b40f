"""The closed forms of networks, each as layers over weights: what a person would write without them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from vspec.compiler.language import inline
from vspec.compiler.language.context import Context, Formal, Function
from vspec.compiler.language.layers import Draft, Layer
from vspec.compiler.language.networks import Weight
from vspec.compiler.language.raw import Raw, RawRows

NORM_EPSILON = 1e-5
"""What is added to a variance before its root is taken, as the field has it."""


def build(ctx: Context, function: Function) -> bool:
    """Declare the weights and layers of a network, and give its function the body that calls them; whether it is right."""
    network = function.network
    assert network is not None
    draft = Draft(ctx, network)
    if not draft.take_inputs():
        return False
    function.body = _BUILDERS[network.architecture.name](draft)
    inline.prepare(function)
    return function.body is not None


def _mlp(d: Draft) -> Raw:
    """act(x W + b), layer by layer; the last one has no activation."""
    t, results = d.t, d.network.results
    before: Layer | None = None
    inputs: Sequence[str] = d.inputs
    count = 0
    for count, size in enumerate(d.network.values["hidden"], 1):
        letters = (d.width(f"h{count}", size),)
        of, bias = _dense(d, f"W{count}", f"b{count}", inputs, letters, before)
        body = d.activated(f"z{count}", t.add(of, bias))
        before = d.first(f"h{count}", letters, body) if before is None else d.then(f"h{count}", letters, body, before)
        inputs = letters
    weight = d.weight(f"W{count + 1}", inputs, results, d.last)
    bias = d.bias(f"b{count + 1}", results)
    of = d.linear(weight, results) if before is None else d.product(weight, inputs, results, d.read(before, inputs))
    return t.add(of, bias)


def _dense(
    d: Draft, weight: str, bias: str, inputs: Sequence[str], letters: Sequence[str], before: Layer | None
) -> tuple[Raw, Raw | None]:
    """The product of the inputs of the network, or of a layer `a`, with a weight, and the vector that is added."""
    name = d.weight(weight, inputs, letters, d.init)
    vector = d.bias(bias, letters)
    if before is None:
        return d.linear(name, letters), vector
    return d.product(name, inputs, letters, d.t.element("a", inputs)), vector


def _resnet(d: Draft) -> Raw:
    """h + act(n(h) U + b) V + c, block by block, between two linear maps; n is the layer norm or nothing."""
    t, results, values = d.t, d.network.results, d.network.values
    h, m = d.widths("h", values["width"], 2)
    of, bias = _dense(d, "W0", "b0", d.inputs, (h,), None)
    before = d.first("h0", (h,), t.add(of, bias))
    for k in range(1, values["blocks"] + 1):
        inner = _normed(d, str(k), h, before)
        up = d.weight(f"U{k}", (h,), (m,), d.init)
        z = t.add(d.product(up, (h,), (m,), t.element("a", (h,))), d.bias(f"b{k}", (m,)))
        active = d.then(f"a{k}", (m,), d.activated(f"z{k}", z), inner)
        down = d.weight(f"V{k}", (m,), (h,), d.last)
        formals = (Formal("r", 1), Formal("a", 1))
        step = t.add(d.product(down, (m,), (h,), t.element("a", (m,))), d.bias(f"c{k}", (h,)))
        body = t.add(t.element("r", (h,)), step)
        before = d.layer(f"h{k}", formals, (h,), body, d.passed(before), d.passed(active))
    before = _normed(d, "", h, before)
    weight = d.weight("W", (h,), results, d.init)
    return t.add(d.product(weight, (h,), results, d.read(before, (h,))), d.bias("b", results))


def _normed(d: Draft, label: str, h: str, before: Layer) -> Layer:
    """The layer with mean 0 and variance 1 over its entries, scaled and shifted (Ba et al. 2016); itself without `norm`."""
    if not d.network.values["norm"]:
        return before
    t, over = d.t, d.ctx.dims.fresh(d.ctx.dims.dim_of(h))
    gain = t.element(d.weight(f"g{label}", (), (h,), 1.0), (h,))
    shift = t.element(d.weight(f"s{label}", (), (h,), 0.0), (h,))
    mean = t.bind("mean", (over,), t.element("a", (over,)))
    deviation = t.call("sqrt", t.add(t.bind("var", (over,), t.element("a", (over,))), t.number(NORM_EPSILON)))
    centred = t.op("sub", t.element("a", (h,)), mean)
    return d.then(f"n{label}", (h,), t.add(t.mul(gain, t.op("div", centred, deviation)), shift), before)


def _gated(d: Draft) -> Raw:
    """act(x W + b) (x V + c) U + e: a gated linear unit (Shazeer 2020)."""
    t, results = d.t, d.network.results
    letters = (d.width("h", d.network.values["hidden"]),)
    of, bias = _dense(d, "W", "b", d.inputs, letters, None)
    gate = d.first("g", letters, d.activated("z", t.add(of, bias)))
    of, bias = _dense(d, "V", "c", d.inputs, letters, None)
    value = d.first("v", letters, t.add(of, bias))
    weight = d.weight("U", letters, results, d.last)
    product = t.mul(d.read(gate, letters), d.read(value, letters))
    return t.add(d.product(weight, letters, results, product), d.bias("e", results))


def _fourier_features(d: Draft) -> Raw | None:
    """cos(x B) and sin(x B), with normal frequencies (Tancik et al. 2020)."""
    t, network = d.t, d.network
    if len(network.results) != 2 or d.ctx.dims.size(d.ctx.dims.dim_of(network.results[0])) != 2:
        d.refuse("'fourier_features' has a cosine and a sine for each frequency", "-> [2, m]")
        return None
    values = network.values
    frequency = (network.results[1],)
    weight = Weight(d.own("B"), "", len(d.inputs), values["scale"], not values["trained"])
    d.enter(weight, (*d.inputs, *frequency))
    phase = d.first("x", frequency, d.linear(weight.name, frequency))
    rows = tuple(t.call(f, d.read(phase, frequency)) for f in ("cos", "sin"))
    return RawRows(span=t.span, letter=network.results[0], rows=rows)


def _attention(d: Draft) -> Raw | None:
    """softmax(q k'/sqrt(width)) v in each head, over the first axis of the input (Vaswani et al. 2017)."""
    t, network, values = d.t, d.network, d.network.values
    if len(network.formals) != 1 or network.formals[0].rank != 2:
        message = f"'{network.name}' is attention over the first axis of one input with two"
        d.ctx.error("VS0253", message, network.span, help=f"for example {network.name}(x[:, :]) -> [s, k]")
        return None
    if len(network.results) != 2:
        d.refuse("'attention' gives a vector for each value of the first axis of its input", "-> [s, k]")
        return None
    (formal,) = network.formals
    (place, i), (at, k) = d.inputs, network.results
    network.shared = (place, at)
    (head,) = d.dim("head", values["heads"])
    (c,) = d.dim("c", values["width"]) if isinstance(values["width"], int) else (d.width("c", values["width"]),)

    def projected(weight: str, bias: str, letters: Sequence[str], seat: str) -> Raw:
        name = d.weight(weight, (i,), letters, d.init)
        of = d.product(name, (i,), letters, t.element(formal.name, (seat, i)))
        return t.add(of, d.bias(bias, letters))

    other = d.ctx.dims.fresh(d.ctx.dims.dim_of(at))
    query = d.first("q", (at, head, c), projected("Q", "bQ", (head, c), at))
    key = d.first("k", (at, head, c), projected("K", "bK", (head, c), at))
    value = d.first("v", (at, head, c), projected("V", "bV", (head, c), at))
    product = t.mul(d.read(query, (at, head, c)), d.read(key, (other, head, c)))
    score = t.op("div", t.bind("sum", (c,), product), t.call("sqrt", t.call("size", t.name(c))))
    if values["causal"]:
        later = t.op("gt", t.call("index", t.name(other)), t.call("index", t.name(at)))
        score = t.op("where", later, t.op("neg", t.name("inf")), score)
    weights = d.layer("p", network.formals, (at, head, other), t.bind("softmax", (other,), score), t.whole(formal))
    mixed = t.bind("sum", (other,), t.mul(d.read(weights, (at, head, other)), d.read(value, (other, head, c))))
    heads = d.layer("o", network.formals, (at, head, c), mixed, t.whole(formal))
    weight = d.weight("W", (head, c), (k,), d.last)
    return t.add(d.product(weight, (head, c), (k,), d.read(heads, (at, head, c))), d.bias("b", (k,)))


_BUILDERS: Mapping[str, Callable[[Draft], Raw | None]] = MappingProxyType(
    {
        "mlp": _mlp,
        "resnet": _resnet,
        "gated": _gated,
        "fourier_features": _fourier_features,
        "attention": _attention,
    }
)
