"""Expectations over all paths of a discrete variable that a recurrence draws, by sums along its steps.

What is averaged is taken apart: an exponential of a sum over steps, or a product over steps that is not negative, weights the
paths; sums over steps, and what one step reads, are averaged under these weights (`forward.py`). T steps of K values cost T*K**2
rather than K**T. Whatever is no such product raises NotAlong.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from vspec.compiler.calculus.chance.factors import MOST_FACTORS, Taken
from vspec.compiler.calculus.chance.forward import Line, Part, Paths, Summed
from vspec.compiler.calculus.chance.places import Local, NotAlong, Places, axes_of
from vspec.compiler.calculus.chance.variables import Variable, new_axis, size_of
from vspec.compiler.graph.builder import Builder, is_number
from vspec.compiler.graph.instantiate import NotSeparate
from vspec.compiler.graph.kernel import Tree, num, slot, slots, substitute
from vspec.compiler.graph.node import Axis, Kind, Node

if TYPE_CHECKING:
    from vspec.compiler.calculus.lower import Lowering

X, A = slot(0), slot(1)


def value_axis(b: Builder, v: Variable) -> Axis:
    """A new axis of the values of a variable."""
    assert v.links is not None
    if v.links.dim:
        return Axis(b.fresh(v.name), v.links.dim)
    return new_axis(b, v.name, f"{v.name}_values", v.links.count)


def value_along(b: Builder, v: Variable, axis: Axis) -> Node:
    """The values of a variable along an axis of them."""
    assert v.links is not None
    tree: Tree = X if v.links.stride == 1 else ("mul", num(v.links.stride), X)
    tree = ("add", tree, num(v.links.low)) if v.links.low else tree
    return b.map(tree, [b.index(axis)], "integer")


def summed_along(low: Lowering, c: Node, v: Variable) -> Node:
    """The expectation of a node over all paths of a variable. Raises NotAlong where it does not split by steps."""
    return _Along(low, v).of(c)


@dataclass(frozen=True)
class _Factor:
    """A factor of what is averaged: a sum over steps, or what one step reads, for each value of its axis `frame`."""

    total: Summed
    own: Local | None = None


@dataclass
class _Tilted:
    """The paths of a variable under some weights, and how what is averaged calls their plates: None where it is a product over
    all of them. `exponent`: the logarithms of further weights, the same for all paths. `products`, `pairs`: weights that may be
    negative."""

    paths: Paths
    called: dict[str, str | None]
    exponent: list[Node]
    products: list[Node]
    pairs: list[Node]


class _Along:
    """One expectation over the paths of a variable."""

    def __init__(self, low: Lowering, v: Variable) -> None:
        assert v.links is not None
        self.low, self.b, self.v, self.links = low, low.b, v, v.links
        if v.name not in v.made:
            places = Places(
                self.b, v, lambda axis: value_along(self.b, v, axis), value_axis(self.b, v), value_axis(self.b, v)
            )
            time = Axis(self.b.fresh(places.time.name), places.time.dim)
            step = Axis(self.b.fresh(v.links.steps), v.links.steps)
            v.made[v.name] = places, Line(time, step, places.old, places.new)
        self.places: Places = v.made[v.name][0]
        self.line: Line = v.made[v.name][1]
        self.time, self.step, self.old, self.new = self.line.time, self.line.step, self.line.old, self.line.new
        self.plates = [a for a in v.plates if a.name != self.places.time.name]
        self.taken = Taken(self.b, self.places)
        self.dims: dict[str, str] = {}
        # How what is averaged calls a plate whose value it has; None where it is a sum over all of them.
        self.called: dict[str, str | None] = {}

    def random(self, x: Node) -> bool:
        """Whether a node depends on the variable."""
        return self.places.random(x)

    def of(self, c: Node) -> Node:
        """The expectation of a node."""
        self.dims = {a.name: a.dim for a in c.axes}
        taken = self.taken
        try:
            taken.split(self.places.lowered(c))
        except NotSeparate as error:
            raise NotAlong(error.what) from None
        fixed = [x for x in taken.rest if not self.random(x)]
        tilted = self._tilted(taken.exponents, taken.products)
        self.called = dict(tilted.called)
        signed = bool(tilted.products or tilted.pairs)
        factors = self._factors([x for x in taken.rest if self.random(x)], signed)
        exponent, value = self._value(tilted, factors)
        mean = self._named(self.b.mul([*fixed, *value]))
        if not exponent:
            return mean
        whole = self._named(self.b.add(exponent))
        self.low.totals.add(whole.uid)
        tree: Tree = ("exp", X)
        return self.b.map(tree if is_number(mean, 1) else ("mul", tree, A), [whole, mean], "real")

    def _tilted(self, exponents: Sequence[Node], products: Sequence[tuple[Node, frozenset[str]]]) -> _Tilted:
        """The paths under these weights; what several expectations share is made once."""
        numbers = self.low.numbers
        key = (
            self.v.name,
            *sorted(numbers.of(x) for x in exponents),
            -1,
            *sorted((numbers.of(x), *sorted(over)) for x, over in products),
        )
        if key not in self.v.made:
            tilt = Summed()
            for x in exponents:
                self._add(x, frozenset(), tilt)
            met: tuple[list[Node], list[Node]] = [], []
            for x, over in products:
                self._multiplied(x, over, met)
            called = dict(self.called) if not tilt.empty or met[0] or met[1] else {}
            self.v.made[key] = _Tilted(self._paths(tilt), called, tilt.constant, *met)
        found: _Tilted = self.v.made[key]
        return found

    # --- what is averaged ---------------------------------------------------------------------------------------------

    def _multiplied(self, y: Node, over: frozenset[str], to: tuple[list[Node], list[Node]]) -> None:
        """A product over steps of what one step reads: 1 where it has no step."""
        found = self.places.local(y)
        if found.frame is None or found.frame not in over:
            raise NotAlong("it is a product that is not one over steps")
        dim = axes_of([y])[found.frame]
        if any(isinstance(x, int) for x in found.plates.values()):
            raise NotAlong("it is a product over the steps of one path of several")
        node, left = self._plated(found, over)
        one = self.b.map(("sub", X, num(1.0)), [node], "real")
        axis = self.step if found.span else self.time
        aligned = self.b.map(("add", X, num(1.0)), [self._aligned(one, dim, axis, found.first)], "real")
        left -= {found.frame}
        to[found.span].append(self.b.reduce("prod", aligned, sorted(left), {a.name: a.dim for a in y.axes}))

    # --- sums over steps ----------------------------------------------------------------------------------------------

    def _add(self, x: Node, over: frozenset[str], to: Summed) -> None:
        """Adds a node, summed over axes, to a sum over steps."""
        b = self.b
        self.dims |= {a.name: a.dim for a in x.axes}
        if not self.random(x):
            to.constant.append(b.reduce("sum", x, sorted(over), self.dims))
        elif self.taken.held(x):
            self._add(x.inputs[0], over, to)
        elif x.kind is Kind.REINDEX and (inner := self.places.opened(x)) is not x:
            self._add(inner, over, to)
        elif x.kind is Kind.REDUCE and x.op == "sum":
            self._add(x.inputs[0], over | frozenset(x.attrs[0]), to)
        elif x.kind is Kind.CONTRACT:
            product = b.mul(x.inputs)
            self._add(product, over | {n for n in product.names if n not in x.names}, to)
        elif x.kind is Kind.MAP:
            for tree in self._terms(x.attrs[0].tree, x.inputs):
                self._term(tree, x, over, to)
        else:
            self._leaf(x, over, to)

    def _terms(self, tree: Tree, inputs: Sequence[Node]) -> list[Tree]:
        """A kernel as a sum."""
        if not any(self.random(inputs[k]) for k in slots(tree)):
            return [tree]
        op = tree[0]
        if op == "add":
            return [t for child in tree[1:] for t in self._terms(child, inputs)]
        if op in ("sub", "neg"):
            first = self._terms(tree[1], inputs) if op == "sub" else []
            return [*first, *(("neg", t) for t in self._terms(tree[-1], inputs))]
        if op == "mul":
            random = [c for c in tree[1:] if any(self.random(inputs[k]) for k in slots(c))]
            if len(random) == 1:
                known = [c for c in tree[1:] if c is not random[0]]
                return [("mul", *known, t) for t in self._terms(random[0], inputs)]
        if op == "div" and not any(self.random(inputs[k]) for k in slots(tree[2])):
            return [("div", t, tree[2]) for t in self._terms(tree[1], inputs)]
        return [tree]

    def _term(self, tree: Tree, x: Node, over: frozenset[str], to: Summed) -> None:
        """A term of a kernel: a multiple of another sum goes into that sum."""
        b, inputs = self.b, x.inputs
        random = [k for k in slots(tree) if self.random(inputs[k])]
        if not random:
            self._add(b.map(tree, inputs, "real"), over, to)
            return
        if tree[0] == "x":
            self._add(inputs[tree[1]], over, to)
            return
        inner = inputs[random[0]] if len(random) == 1 else None
        while inner is not None and self.taken.held(inner):
            inner = inner.inputs[0]
        if inner is not None and inner.kind is Kind.REINDEX:
            inner = self.places.opened(inner)
        compound = inner is not None and (
            inner.kind in (Kind.CONTRACT, Kind.MAP) or (inner.kind is Kind.REDUCE and inner.op == "sum")
        )
        if inner is not None and compound and _multiple(tree, random[0]):
            known = [inputs[k] for k in slots(tree) if k != random[0]]
            if inner.kind is Kind.MAP:
                n = len(inputs)
                to_slots = {k: slot(n + k) for k in range(len(inner.inputs))}
                body = substitute(inner.attrs[0].tree, to_slots)
                whole = substitute(tree, {random[0]: body})
                joined = b.map(whole, [*inputs, *inner.inputs], "real")
                if joined.kind is Kind.MAP:
                    for t in self._terms(joined.attrs[0].tree, joined.inputs):
                        self._term(t, joined, over, to)
                    return
            else:
                y = b.mul(inner.inputs) if inner.kind is Kind.CONTRACT else inner.inputs[0]
                bound = {n for n in y.names if n not in inner.names}
                if not bound & {n for k in known for n in k.names}:
                    operands = list(inputs)
                    operands[random[0]] = y
                    product = b.map(tree, operands, "real")
                    self._add(product, over | bound, to)
                    return
        self._leaf(b.map(tree, inputs, "real"), over, to)

    def _leaf(self, x: Node, over: frozenset[str], to: Summed) -> None:
        """What one step reads, for each step."""
        found = self.places.local(x)
        if found.frame is not None and found.frame not in over:
            raise NotAlong("it is one for each step")
        node, left = self._plated(found, over)
        if found.frame is None:
            to.sites.append(self._reduced(self.b.scatter_at(node, self.time, found.first), left))
            return
        dim = axes_of([x])[found.frame]
        self.dims[dim.name] = dim.dim
        axis = self.step if found.span else self.time
        node = self._aligned(node, dim, axis, found.first)
        (to.pairs if found.span else to.sites).append(self._reduced(node, left - {found.frame}))

    def _reduced(self, x: Node, over: frozenset[str]) -> Node:
        return self.b.reduce("sum", x, sorted(over), self.dims)

    def _plated(self, found: Local, over: frozenset[str]) -> tuple[Node, frozenset[str]]:
        """A local node with the plates of the variable, by names of their own; and what else it is summed over."""
        node = found.node
        for plate, letter in found.plates.items():
            called = None if letter in over or isinstance(letter, int) else letter
            if self.called.setdefault(plate, called) != called:
                raise NotAlong(f"it reads some values along {plate} and sums over others")
            if isinstance(letter, int):
                axis = next(a for a in self.plates if a.name == plate)
                node = self.b.scatter_at(node, Axis(self._plate(plate), axis.dim), letter)
            else:
                over -= {letter}
                node = self.b.rename(node, {letter: self._plate(plate)})
        return node, over

    def _plate(self, plate: str) -> str:
        return f"{plate}~{self.new.name}"

    def _aligned(self, x: Node, frame: Axis, to: Axis, offset: int) -> Node:
        """What is there for each value of a letter, along the steps, with zeros where the letter has none."""
        b = self.b
        if frame.dim == to.dim and offset == 0:
            return b.rename(x, {frame.name: to.name})
        sizes = size_of(b.dims, frame), size_of(b.dims, to)
        if sizes[0] is not None and sizes[0] == sizes[1] and offset == 0:
            return b.window(x, frame.name, to, 1, 0) if frame.name in x.names else x
        if frame.name not in x.names:
            x = b.order(x, (*x.axes, frame))
        return b.scatter_affine(x, frame.name, to, 1, offset)

    # --- factors ------------------------------------------------------------------------------------------------------

    def _factors(self, random: Sequence[Node], signed: bool) -> list[_Factor]:
        """The factors that are averaged under the weights."""
        if not random:
            return []
        together = self.b.mul(random)
        try:
            found = self.places.local(together)
        except NotAlong:
            if len(random) > MOST_FACTORS:
                raise NotAlong(f"it is a product of more than {MOST_FACTORS} sums over steps") from None
            return [self._factor(x) for x in random]
        if found.frame is None or signed:
            return [self._factor(together)]
        self.dims |= {a.name: a.dim for a in together.axes}
        node, _ = self._plated(found, frozenset())
        return [_Factor(Summed(), replace(found, node=node))]

    def _factor(self, x: Node) -> _Factor:
        total = Summed()
        try:
            found = self.places.local(x)
        except NotAlong:
            self._add(x, frozenset(), total)
            return _Factor(total)
        if found.frame is None:
            self._leaf(x, frozenset(), total)
            return _Factor(total)
        # One of several that are read at a step of their own: a sum over steps of which one counts.
        b = self.b
        frame = axes_of([x])[found.frame]
        node, _ = self._plated(found, frozenset())
        axis = self.step if found.span else self.time
        here: Tree = ("where", ("eq", A, ("add", slot(2), num(found.first))), X, num(0.0))
        spread = b.map(here, [node, b.index(axis), b.index(frame)], "real")
        (total.pairs if found.span else total.sites).append(spread)
        return _Factor(total)

    # --- the value ----------------------------------------------------------------------------------------------------

    def _paths(self, tilt: Summed) -> Paths:
        """The paths under the law and the weights."""
        law = Summed()
        b, v = self.b, self.v
        assert v.steps is not None
        assert v.first is not None
        own = {a.name: self._plate(a.name) for a in self.plates}
        node = b.rename(v.first, own)
        if self.random(v.first):
            start = self.places.local(v.first)
            if start.frame is not None or start.first != 0:
                raise NotAlong(f"the first law of '{v.name}' reads a later value")
            node = b.rename(start.node, self._own(start))
        if not self.random(v.steps):
            # All values are equally probable.
            law.pairs.append(b.rename(v.steps, {**own, self.links.steps: self.step.name}))
            return Paths(b, v.name, self.line, law, node, tilt)
        moves = self.places.local(v.steps)
        if moves.frame is None or moves.first + moves.span != 1:
            raise NotAlong(f"the law of '{v.name}' reads other values than that of the step before")
        each = b.rename(moves.node, self._own(moves))
        frame = axes_of([v.steps])[moves.frame]
        if moves.span:
            law.pairs.append(self._aligned(each, frame, self.step, moves.first))
        else:
            law.sites.append(b.scatter_affine(each, frame.name, self.time, 1, 1) if frame.name in each.names else each)
        return Paths(b, v.name, self.line, law, node, tilt)

    def _own(self, law: Local) -> dict[str, str]:
        """The names of the plates for those that a law has for them."""
        if any(isinstance(x, int) for x in law.plates.values()):
            raise NotAlong(f"the law of '{self.v.name}' reads one of several paths")
        return {str(letter): self._plate(plate) for plate, letter in law.plates.items()}

    def _value(self, tilted: _Tilted, factors: Sequence[_Factor]) -> tuple[list[Node], list[Node]]:
        """Terms of the logarithm of the weight of all paths, and factors of the mean under the weights."""
        b, paths = self.b, tilted.paths
        totals = [f.total for f in factors]
        summed = None in self.called.values()
        if tilted.products or tilted.pairs:
            scale, sums = paths.linear(totals, tilted.products, tilted.pairs)
            assert scale is not None
            if summed and totals:
                raise NotAlong("it is a sum over several paths, which products weight")
            over, dims = self._over(tilted.called)
            whole = b.reduce("sum", scale, over, dims)
            if not totals:
                return [whole, *tilted.exponent], [b.reduce("prod", sums[()], over, dims)]
            return [whole, *tilted.exponent], [self._expanded(totals, sums)]
        exponent = list(tilted.exponent)
        if not factors or factors[0].own is not None or len(factors) == 1:
            if paths.tilted:
                exponent.append(b.reduce("sum", paths.forward()[1], *self._over(tilted.called)))
            if not factors:
                return exponent, []
            if factors[0].own is not None:
                return exponent, [self._read(paths, factors[0].own)]
            means = self._independent({(0,): paths.mean(totals[0]) if not totals[0].empty else b.number(0.0)})
        else:
            whole, means = paths.means(totals)
            exponent += [b.reduce("sum", whole, *self._over(tilted.called))] if paths.tilted else []
            if summed:
                means = self._independent(means)
        return exponent, [self._expanded(totals, {(): b.number(1.0), **means})]

    def _expanded(self, totals: Sequence[Summed], means: Mapping[Part, Node]) -> Node:
        """The mean of a product of sums, each with what is added to it once."""
        b, terms = self.b, []
        for code in range(2 ** len(totals)):
            c = tuple(k for k in range(len(totals)) if code >> k & 1)
            constants = [b.add(t.constant) for k, t in enumerate(totals) if k not in c and t.constant]
            if len(constants) == len(totals) - len(c):
                terms.append(b.mul([means[c], *constants]))
        return b.add(terms)

    def _independent(self, means: Mapping[Part, Node]) -> dict[Part, Node]:
        """The means of sums over paths that do not depend on each other, and of a product of two of them."""
        if len(means) > 3:
            raise NotAlong("it is a product of more than two sums over several paths")
        b, over = self.b, self._over(self.called)
        found = {c: b.reduce("sum", x, *over) for c, x in means.items()}
        if (0, 1) in means:
            own = b.reduce("sum", b.mul([means[(0,)], means[(1,)]]), *over)
            tree: Tree = ("add", ("sub", X, A), ("mul", slot(2), slot(3)))
            found[0, 1] = b.map(tree, [found[0, 1], own, found[(0,)], found[(1,)]], "real")
        return found

    def _read(self, paths: Paths, own: Local) -> Node:
        """The mean of what one step reads, for each step."""
        b = self.b
        share, axis = (paths.steps(), self.step) if own.span else (paths.shares(), self.time)
        frame = Axis(own.frame or "", self.dims[own.frame or ""])
        if frame.dim == axis.dim and own.first == 0:
            share = b.rename(share, {axis.name: frame.name})
        elif axis.name in share.names:
            share = b.window(share, axis.name, frame, 1, own.first)
        over = [self.new, *([self.old] if own.span else [])]
        found = b.reduce("sum", b.mul([share, own.node]), [a.name for a in over], {a.name: a.dim for a in over})
        return b.reduce("sum", found, *self._over(self.called))

    def _over(self, called: Mapping[str, str | None]) -> tuple[list[str], dict[str, str]]:
        """The plates that what is averaged is a sum or a product over, and their dims."""
        dims = {self._plate(a.name): a.dim for a in self.plates}
        return [self._plate(a.name) for a in self.plates if called.get(a.name, "") is None], dims

    def _named(self, x: Node) -> Node:
        """A node with the plates as what was averaged calls them."""
        return self.b.rename(x, {self._plate(p): letter for p, letter in self.called.items() if letter is not None})


def _multiple(tree: Tree, k: int) -> bool:
    """Whether a kernel is a multiple of one of its slots."""
    op = tree[0]
    if op == "x":
        return bool(tree[1] == k)
    if op in ("neg", "real"):
        return _multiple(tree[1], k)
    if op == "mul":
        inside = [t for t in tree[1:] if k in slots(t)]
        return len(inside) == 1 and _multiple(inside[0], k)
    return op == "div" and k not in slots(tree[2]) and _multiple(tree[1], k)


__all__ = ["NotAlong", "summed_along", "value_along", "value_axis"]
