"""Networks as functions of the language over weights: how their layers, weights and inputs are declared.

A layer is a function of its own, so that its result is one named quantity however often it is read. Texts have no part in this:
the trees are made here, and checked like those of any other function where a call puts its arguments in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import reduce

from vspec.compiler.diagnostics.spans import Span
from vspec.compiler.language import inline
from vspec.compiler.language.context import Context, Formal, Function, Symbol
from vspec.compiler.language.expr import Expr, Number, Pointwise, SizeOf
from vspec.compiler.language.networks import Network, Weight
from vspec.compiler.language.raw import Raw, RawCall, RawElement, RawName, RawNumber, RawOp, RawSlice
from vspec.compiler.language.spec import Dim

NORM_EPSILON = 1e-5
"""What is added to a variance before its root is taken, as the field has it."""


@dataclass(frozen=True, slots=True)
class Trees:
    """Makes raw trees that all stand at one place of the spec."""

    span: Span

    def number(self, value: float) -> Raw:
        return RawNumber(span=self.span, value=value)

    def name(self, name: str) -> Raw:
        return RawName(span=self.span, name=name)

    def element(self, name: str, subscripts: Sequence[str | Raw]) -> Raw:
        """`name[subscripts]`; letters may stand for themselves."""
        if not subscripts:
            return self.name(name)
        items = tuple(self.name(s) if isinstance(s, str) else s for s in subscripts)
        return RawElement(span=self.span, name=name, subscripts=items, name_span=self.span)

    def whole(self, formal: Formal) -> Raw:
        """A formal passed on as it is."""
        return self.element(formal.name, (RawSlice(span=self.span),) * formal.rank)

    def op(self, op: str, *args: Raw) -> Raw:
        return RawOp(span=self.span, op=op, args=args)

    def add(self, *terms: Raw | None) -> Raw:
        return reduce(lambda a, b: self.op("add", a, b), [t for t in terms if t is not None])

    def mul(self, *factors: Raw) -> Raw:
        return reduce(lambda a, b: self.op("mul", a, b), factors)

    def call(self, name: str, *args: Raw) -> RawCall:
        return RawCall(span=self.span, name=name, args=args, name_span=self.span)

    def bind(self, op: str, letters: Sequence[str], body: Raw) -> Raw:
        """`op[letters](body)`."""
        bound = tuple(self.name(x) for x in letters)
        return RawCall(span=self.span, name=op, args=(body,), name_span=self.span, bound=bound)


@dataclass(slots=True)
class Layer:
    """A layer that has been declared: its function, what it is called with, the letters of its result."""

    name: str
    arguments: tuple[Raw, ...]
    letters: tuple[str, ...]


@dataclass(slots=True)
class Draft:
    """A network while its layers and weights are declared."""

    ctx: Context
    network: Network
    inputs: tuple[str, ...] = ()
    taken: set[str] = field(init=False)
    t: Trees = field(init=False)

    def __post_init__(self) -> None:
        self.t = Trees(self.network.span)
        self.taken = {*self.network.results}

    # --- names --------------------------------------------------------------------------------------------------

    def own(self, label: str) -> str:
        """The name of something that belongs to the network: `enc.W1`."""
        return f"{self.network.name}.{label}"

    def dim(self, label: str, size: int | Expr | None, letters: int = 1) -> tuple[str, ...]:
        """A dim of the network's own, with its letters."""
        names = tuple(self.own(f"{label}{'_' * k}") for k in range(letters))
        self.ctx.dims.dims[names[0]] = Dim(names[0], names, size, self.network.span)
        self.ctx.dims.letters.update(dict.fromkeys(names, names[0]))
        self.network.dims.append(names[0])
        return names

    def width(self, label: str, size: int | str) -> str:
        """The letter of a hidden axis: of a dim of its own, or one more letter over a dim of the spec."""
        if isinstance(size, int):
            return self.dim(label, size)[0]
        dim = self.ctx.dims.dim_of(size)
        free = (x for x in self.ctx.dims.dims[dim].letters if x not in self.taken)
        letter = next(free, None) or self.ctx.dims.fresh(dim)
        self.taken.add(letter)
        return letter

    def widths(self, label: str, size: int | str, count: int) -> tuple[str, ...]:
        """Several letters over one hidden axis."""
        if isinstance(size, int):
            return self.dim(label, size, count)
        return tuple(self.width(label, size) for _ in range(count))

    def refuse(self, why: str, instead: str) -> None:
        """Record a result that this kind of network does not have."""
        function = self.ctx.functions[self.network.name]
        head = f"{self.network.name}({', '.join(f.shown for f in self.network.formals)})"
        self.ctx.error(
            "VS0252", why, function.span, label=f"declared as {function.shown}", help=f"write {head} {instead}"
        )

    def weight(self, label: str, inputs: Sequence[str], outputs: Sequence[str], start: str | float) -> str:
        """A weight with these axes; `start` is the name of an initialiser, or a number."""
        return self.enter(Weight(self.own(label), start, len(inputs)), (*inputs, *outputs))

    def enter(self, weight: Weight, letters: tuple[str, ...]) -> str:
        dims = tuple(self.ctx.dims.dim_of(x) for x in letters)
        kind = "data" if weight.frozen else "param"
        symbol = Symbol(weight.name, kind, letters, dims, "real", self.network.span)
        self.network.weights.append(weight)
        self.network.symbols.append(symbol)
        self.ctx.symbols[weight.name] = symbol
        return weight.name

    def bias(self, label: str, letters: Sequence[str]) -> Raw | None:
        """A vector that starts at zero, as a term of a sum; None where there is none."""
        if not self.network.values.get("bias", True):
            return None
        return self.t.element(self.weight(label, (), letters, 0.0), letters)

    @property
    def init(self) -> str:
        """The initialiser of matrices."""
        return str(self.network.values["init"])

    @property
    def last(self) -> str | float:
        """How the last matrix starts."""
        return 0.0 if self.network.values["last"] == "zero" else self.init

    # --- layers -------------------------------------------------------------------------------------------------

    def layer(self, label: str, formals: tuple[Formal, ...], letters: Sequence[str], body: Raw, *args: Raw) -> Layer:
        """A function of the network's own, called with `args`."""
        function = Function(self.own(label), formals, body, self.network.span, tuple(letters))
        inline.prepare(function)
        self.ctx.functions[function.name] = function
        return Layer(function.name, args, function.results)

    def first(self, label: str, letters: Sequence[str], body: Raw) -> Layer:
        """A layer over the inputs of the network."""
        formals = self.network.formals
        return self.layer(label, formals, letters, body, *(self.t.whole(f) for f in formals))

    def then(self, label: str, letters: Sequence[str], body: Raw, before: Layer) -> Layer:
        """A layer over `a[:, ..]`, the result of the one before."""
        formal = Formal("a", len(before.letters))
        return self.layer(label, (formal,), letters, body, self.passed(before))

    def read(self, layer: Layer, subscripts: Sequence[str]) -> Raw:
        """The result of a layer at these letters."""
        return self.read_at(layer, tuple(self.t.name(x) for x in subscripts))

    def read_at(self, layer: Layer, items: tuple[Raw, ...]) -> Raw:
        """The result of a layer at these subscripts."""
        call = self.t.call(layer.name, *layer.arguments)
        return RawCall(span=call.span, name=call.name, args=call.args, name_span=call.span, subscripts=items or None)

    def passed(self, layer: Layer) -> Raw:
        """The whole result of a layer, as an argument."""
        call = self.t.call(layer.name, *layer.arguments)
        items = (RawSlice(span=self.t.span),) * len(layer.letters)
        return RawCall(span=call.span, name=call.name, args=call.args, name_span=call.span, subscripts=items or None)

    def product(self, weight: str, inputs: Sequence[str], outputs: Sequence[str], of: Raw) -> Raw:
        """`sum[inputs](W[inputs, outputs]*of)`."""
        return self.t.bind("sum", inputs, self.t.mul(self.t.element(weight, (*inputs, *outputs)), of))

    def normalised(self, label: str, batch: Sequence[str], h: str) -> Raw:
        """`a[batch, h]` with mean 0 and variance 1 over h, scaled and shifted (Ba et al. 2016)."""
        t, over = self.t, self.ctx.dims.fresh(self.ctx.dims.dim_of(h))
        gain = t.element(self.weight(f"g{label}", (), (h,), 1.0), (h,))
        shift = t.element(self.weight(f"s{label}", (), (h,), 0.0), (h,))
        entry = t.element("a", (*batch, over))
        deviation = t.call("sqrt", t.add(t.bind("var", (over,), entry), t.number(NORM_EPSILON)))
        centred = t.op("sub", t.element("a", (*batch, h)), t.bind("mean", (over,), entry))
        return t.add(t.mul(gain, t.op("div", centred, deviation)), shift)

    def activated(self, label: str, pre: Raw) -> Raw:
        """The activation of a formula; for a function of the spec, which may read it more than once, that gets a name."""
        name = str(self.network.values["act"])
        if name not in self.ctx.functions:
            return self.t.call(name, pre)
        body = self.t.call(name, self.t.name(label))
        function = Function(self.own(f"{label}.act"), (Formal(label, 0),), body, self.t.span, uses={label: 2})
        self.ctx.functions[function.name] = function
        return self.t.call(function.name, pre)

    # --- inputs -------------------------------------------------------------------------------------------------

    def take_inputs(self) -> bool:
        """Declare the placeholders of the axes of the inputs, and the axis that joins several inputs (VS0253)."""
        wide = next((f for f in self.network.formals if f.rank > 1), None)
        if wide is not None and len(self.network.formals) > 1:
            name = self.network.name
            message = f"the inputs of '{name}' are joined to one vector, and '{wide.shown}' is no vector"
            tip = f"an array of several axes is the only input of a network: {name}({wide.shown})"
            self.ctx.error("VS0253", message, self.network.span, help=tip)
            return False
        places: list[tuple[str, ...]] = []
        for formal in self.network.formals:
            labels = [formal.name] if formal.rank == 1 else [f"{formal.name}{k + 1}" for k in range(formal.rank)]
            places.append(tuple(self.dim(label, None)[0] for label in labels))
        self.network.places = tuple(places)
        self.inputs = places[0] if self.single else self.dim("in", self._length(places))
        return True

    @property
    def single(self) -> bool:
        """Whether there is one input, an array, whose axes the first weight has itself."""
        return len(self.network.formals) == 1 and self.network.formals[0].rank > 0

    def _length(self, places: Sequence[tuple[str, ...]]) -> int | Expr:
        """How many numbers all inputs together are."""
        scalars = sum(1 for p in places if not p)
        span = self.network.span
        total: Expr | None = None
        for place in (x for p in places for x in p):
            size = SizeOf(span=span, dtype="integer", letter=place)
            total = size if total is None else Pointwise(span=span, dtype="integer", op="add", args=(total, size))
        if total is None:
            return scalars
        more = Number(span=span, dtype="integer", value=scalars)
        return Pointwise(span=span, dtype="integer", op="add", args=(total, more)) if scalars else total

    def linear(self, weight: str, outputs: Sequence[str]) -> Raw:
        """The product of the inputs, one after the other, with a weight over `self.inputs` and these axes."""
        t, formals = self.t, self.network.formals
        if self.single:
            (formal,), (places,) = formals, self.network.places
            return self.product(weight, places, outputs, t.element(formal.name, places))
        terms: list[Raw] = []
        before: list[str] = []
        scalars = 0
        for formal, places in zip(formals, self.network.places):
            shift = t.add(*(t.call("size", t.name(x)) for x in before), t.number(scalars))
            if not before:
                shift = t.number(scalars)
            if places:
                place = places[0] if not before and not scalars else t.add(t.name(places[0]), shift)
                body = t.mul(t.element(weight, (place, *outputs)), t.element(formal.name, places))
                terms.append(t.bind("sum", places, body))
                before.append(places[0])
            else:
                terms.append(t.mul(t.element(weight, (shift, *outputs)), t.name(formal.name)))
                scalars += 1
        return t.add(*terms)
