"""The closed forms of networks, each as layers over weights: what a person would write without them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from vspec.compiler.language import grid_forms, inline, sequence_forms
from vspec.compiler.language.context import Context, Formal, Function
from vspec.compiler.language.layers import Draft, Layer
from vspec.compiler.language.networks import Weight
from vspec.compiler.language.raw import Raw, RawRows


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
    """The layer normalised; itself without `norm`."""
    if not d.network.values["norm"]:
        return before
    return d.then(f"n{label}", (h,), d.normalised(label, (), h), before)


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


_BUILDERS: Mapping[str, Callable[[Draft], Raw | None]] = MappingProxyType(
    {
        "mlp": _mlp,
        "resnet": _resnet,
        "gated": _gated,
        "fourier_features": _fourier_features,
        "attention": sequence_forms.attention,
        "conv": grid_forms.convolutions,
        "transformer": sequence_forms.transformer,
    }
)
