"""Sums over the paths of a variable of a recurrence, one step after another: the forward recursion of a Markov chain.

With w[s, u, v] the logarithm of what the step from u to v is weighted with, the logarithm of the total weight of all paths that
end in v is l'[v] = logsumexp[u](l[u] + w[s, u, v]), and that of all that may follow comes from the other end (Baum et al. 1970):
the share of the paths that pass through v. Probabilities alone do not underflow, so they are summed as they are. The mean of a
product of several sums over steps goes along, for each part of the factors: that of the parts before a step, and of what the step
adds to the others. Products of any sign are summed with a scale that is taken out in each step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations

from vspec.compiler.graph.builder import Builder, is_number, union_axes
from vspec.compiler.graph.kernel import Tree, num, slot
from vspec.compiler.graph.node import Axis, Node, Region

X, A, B = slot(0), slot(1), slot(2)
LOWEST = -1e30
"""Stands for the logarithm of 0: finite, so that no infinity meets a zero in a derivative."""

Part = tuple[int, ...]


@dataclass
class Summed:
    """A sum over steps: of what the values have (over `time`, `new`), and of what two that follow each other have (over
    `step`, `old`, `new`); either may lack axes along which it is constant. `constant`: what is added once."""

    sites: list[Node] = field(default_factory=list)
    pairs: list[Node] = field(default_factory=list)
    constant: list[Node] = field(default_factory=list)

    @property
    def empty(self) -> bool:
        """Whether no value of the variable is in it."""
        return not self.sites and not self.pairs


@dataclass(frozen=True)
class Line:
    """The axes of sums along steps: of values, of the steps between them, and of two values that follow each other."""

    time: Axis
    step: Axis
    old: Axis
    new: Axis


class Paths:
    """All paths with their weights: those of a law, the logarithms of which are `law` and, of the first value, `first`; times
    the exponential of the sum `tilt`."""

    def __init__(self, b: Builder, name: str, line: Line, law: Summed, first: Node, tilt: Summed) -> None:
        self.b, self.name, self.line = b, name, line
        self.time, self.step, self.old, self.new = line.time, line.step, line.old, line.new
        size = b.size(self.time.dim)
        one: Tree = ("sub", X, num(1))
        self.length = b.number(size.attrs[0] - 1) if is_number(size) else b.map(one, [size], "integer")
        self.tilted = not tilt.empty
        self.start = b.add([first, *(self.at_start(x) for x in tilt.sites)])
        # What is constant from step to step, or along one of the two values, stays so.
        self.moves = [*law.pairs, *tilt.pairs, *(self.arriving(x) for x in (*tilt.sites, *law.sites))]
        self.known: tuple[Node, Node] | None = None
        self.after: Node | None = None

    def at_start(self, x: Node) -> Node:
        """What belongs to the first value."""
        return self.b.at_position(x, self.time.name, 0)

    def arriving(self, x: Node) -> Node:
        """What belongs to values, by the steps that lead to them."""
        return self.b.window(x, self.time.name, self.step, 1, 1) if self.time.name in x.names else x

    def _here(self, x: Node, index: Node) -> Node:
        return self.b.gather(x, index, self.step.name)

    def _floored(self, x: Node) -> Node:
        return self.b.map(("maximum", X, num(LOWEST)), [x], "real")

    def _weights(self, index: Node) -> Node:
        """The logarithms of the weights of one step."""
        return self.b.add([self._here(x, index) for x in self.moves])

    def _index(self) -> Node:
        return self.b.input("step", "index", (), "integer")

    def _shape(self, nodes: Sequence[Node]) -> tuple[Axis, ...]:
        """The axes of a state: all that a step brings, from the start on, and that of its value."""
        gone = {self.step.name, self.time.name, self.old.name, self.new.name}
        return (*(a for a in union_axes(nodes) if a.name not in gone), self.new)

    def _before(self, x: Node) -> Node:
        return self.b.rename(x, {self.new.name: self.old.name})

    # --- shares -------------------------------------------------------------------------------------------------------

    def forward(self) -> tuple[Node, Node]:
        """The weights of all paths up to each value, along `time`, and of all of them together: logarithms, or probabilities
        where there is no tilt."""
        if self.known is None:
            b = self.b
            start = self._floored(self.start) if self.tilted else b.map(("exp", X), [self.start], "real")
            index, carry = (
                self._index(),
                b.input(f"{self.name}_forward", "carry", self._shape([*self.moves, self.start]), "real"),
            )
            if self.tilted:
                each = b.map(("add", X, A), [self._before(carry), self._floored(self._weights(index))], "real")
                after = b.reduce("logsumexp", each, [self.old.name], {self.old.name: self.old.dim})
            else:
                each = b.map(("mul", X, ("exp", A)), [self._before(carry), self._weights(index)], "real")
                after = b.reduce("sum", each, [self.old.name], {self.old.name: self.old.dim})
            (path,) = self._loop([start], [carry], index, [after], (("path", 0),), "forward")
            self.known = path, self.total(b.at_position(path, self.time.name, -1)) if self.tilted else b.number(1.0)
        return self.known

    def total(self, x: Node) -> Node:
        """The logarithm of the weight of all paths, by those that end in each value; -inf where there is none."""
        whole = self.b.reduce("logsumexp", x, [self.new.name], {self.new.name: self.new.dim})
        return self.b.map(("where", ("gt", X, num(LOWEST / 2)), X, num(-float("inf"))), [whole], "real")

    def backward(self) -> Node:
        """The logarithms of the weights of what comes after each value, along `time`."""
        if self.after is None:
            b = self.b
            index, carry = (
                self._index(),
                b.input(f"{self.name}_backward", "carry", self._shape([*self.moves, self.start]), "real"),
            )
            place = b.map(("sub", ("sub", X, num(1)), A), [self.length, index], "integer")
            each = b.map(("add", X, A), [carry, self._floored(self._weights(place))], "real")
            total = b.reduce("logsumexp", each, [self.new.name], {self.new.name: self.new.dim})
            after = b.rename(total, {self.old.name: self.new.name})
            (path,) = self._loop([b.number(0.0)], [carry], index, [after], (("path", 0),), "backward")
            self.after = b.flip(path, self.time.name)
        return self.after

    def shares(self) -> Node:
        """The share of the paths that pass through each value, along `time`."""
        path, whole = self.forward()
        if not self.tilted:
            return path
        return self.b.map(("exp", ("sub", ("add", X, A), B)), [path, self.backward(), whole], "real")

    def steps(self) -> Node:
        """The share of the paths that pass through two values one after the other, along `step`."""
        b = self.b
        path, whole = self.forward()
        one = self._before(b.window(path, self.time.name, self.step, 1, 0))
        if not self.tilted:
            return b.map(("mul", X, ("exp", A)), [one, b.add(self.moves)], "real")
        terms = [one, self._floored(b.add(self.moves)), self.arriving(self.backward())]
        return b.map(("exp", ("sub", X, A)), [b.add(terms), whole], "real")

    def mean(self, f: Summed) -> Node:
        """The mean of a sum over steps."""
        b, terms = self.b, []
        if f.sites:
            terms.append(self._met(self.shares(), b.add(f.sites), self.time, [self.new]))
        if f.pairs:
            terms.append(self._met(self.steps(), b.add(f.pairs), self.step, [self.old, self.new]))
        return b.add(terms)

    def _met(self, share: Node, x: Node, along: Axis, values: Sequence[Axis]) -> Node:
        over = [along, *values]
        return self.b.reduce("sum", self.b.mul([share, x]), [a.name for a in over], {a.name: a.dim for a in over})

    # --- products of sums ---------------------------------------------------------------------------------------------

    def means(self, factors: Sequence[Summed]) -> tuple[Node, dict[Part, Node]]:
        """The logarithm of the weight of all paths, and the mean of each product of some of the factors, by their numbers."""
        if not self.tilted:
            return self.b.number(0.0), self.linear(factors, [], [])[1]
        b = self.b
        gains, starts, parts = self._gains(factors)
        shapes = self._shapes(gains, starts, parts, [*self.moves, self.start])
        carry = self._carry(shapes)
        index = self._index()
        before = [self._before(x) for x in carry]
        each = b.map(("add", X, A), [before[0], self._floored(self._weights(index))], "real")
        total = b.reduce("logsumexp", each, [self.old.name], {self.old.name: self.old.dim})
        share = b.map(("exp", ("sub", X, A)), [each, total], "real")
        # Under shares the mean of no factor is 1.
        after = [total, *self._advanced(share, parts, [b.number(1.0), *before[1:]], gains, index)[1:]]
        inits = [self._floored(self.start), *(b.mul([starts[k] for k in c]) for c in parts[1:])]
        results = tuple(("final", k) for k in range(len(carry)))
        found = self._loop(inits, carry, index, after, results, "forward")
        whole = self.total(found[0])
        last = b.map(("exp", ("sub", X, A)), [found[0], whole], "real")
        return whole, {c: self._over(b.mul([last, x])) for c, x in zip(parts[1:], found[1:], strict=True)}

    def linear(
        self, factors: Sequence[Summed], products: Sequence[Node], pairs: Sequence[Node]
    ) -> tuple[Node | None, dict[Part, Node]]:
        """The sums of products of some of the factors over all paths, by their numbers, with the logarithm of what these are
        to be multiplied by. `products`, `pairs`: what further multiplies the weights, of any sign; a scale is kept then."""
        b = self.b
        gains, starts, parts = self._gains(factors)
        scaled = bool(products or pairs)
        met = [*pairs, *(self.arriving(x) for x in products)]
        shapes = self._shapes(gains, starts, parts, [*self.moves, self.start, *met])
        carry = self._carry(shapes)
        more = [b.input(f"{self.name}_scale", "carry", shapes[0][:-1], "real")] if scaled else []
        index = self._index()
        before = [self._before(x) for x in carry]
        weights, top = self._scaled(self._weights(index), [self.old, self.new], scaled)
        weights = b.mul([weights, *(self._here(x, index) for x in met)])
        after = self._advanced(weights, parts, before, gains, index)
        start, first = self._scaled(self.start, [self.new], scaled)
        start = b.mul([start, *(self.at_start(x) for x in products)])
        inits = [start, *(b.mul([start, *(starts[k] for k in c)]) for c in parts[1:])]
        if scaled:
            after, size = self._rescaled(after)
            after.append(b.map(("add", X, A, ("log", B)), [more[0], top, size], "real"))
            inits, size = self._rescaled([b.order(x, s) for x, s in zip(inits, shapes, strict=True)])
            inits.append(b.map(("add", X, ("log", A)), [first, size], "real"))
        states = [*carry, *more]
        results = tuple(("final", k) for k in range(len(states)))
        found = self._loop(inits, states, index, after, results, "forward")
        return found[-1] if scaled else None, {c: self._over(x) for c, x in zip(parts, found, strict=False)}

    def _scaled(self, x: Node, over: Sequence[Axis], scaled: bool) -> tuple[Node, Node]:
        """exp(x), with the largest x taken out, which no derivative sees."""
        b = self.b
        if not scaled:
            return b.map(("exp", X), [x], "real"), b.number(0.0)
        x = self._floored(x)
        top = b.stop(b.reduce("max", x, [a.name for a in over if a.name in x.names]))
        return b.map(("exp", ("sub", X, A)), [x, top], "real"), top

    def _rescaled(self, states: Sequence[Node]) -> tuple[list[Node], Node]:
        """States divided by how large the first of them is, which no derivative sees."""
        b = self.b
        largest = b.reduce("max", b.map(("abs", X), [states[0]], "real"), [self.new.name])
        size = b.stop(b.map(("where", ("gt", X, num(0.0)), X, num(1.0)), [largest], "real"))
        return [b.map(("div", X, A), [x, size], "real") for x in states], size

    def _gains(self, factors: Sequence[Summed]) -> tuple[list[list[Node]], list[Node], list[Part]]:
        """What each step adds to each factor, what the first value does, and all parts of the factors."""
        b = self.b
        gains = [[*f.pairs, *(self.arriving(x) for x in f.sites)] for f in factors]
        starts = [b.add([self.at_start(x) for x in f.sites]) if f.sites else b.number(0.0) for f in factors]
        return gains, starts, [c for n in range(len(factors) + 1) for c in combinations(range(len(factors)), n)]

    def _shapes(
        self, gains: Sequence[Sequence[Node]], starts: Sequence[Node], parts: Sequence[Part], plain: Sequence[Node]
    ) -> list[tuple[Axis, ...]]:
        return [self._shape([*plain, *(x for k in c for x in (*gains[k], starts[k]))]) for c in parts]

    def _carry(self, shapes: Sequence[Sequence[Axis]]) -> list[Node]:
        names = [f"{self.name}_forward", *(f"{self.name}_mean" for _ in shapes[1:])]
        return [self.b.input(n, "carry", s, "real") for n, s in zip(names, shapes, strict=True)]

    def _advanced(
        self,
        weights: Node,
        parts: Sequence[Part],
        before: Sequence[Node],
        gains: Sequence[Sequence[Node]],
        index: Node,
    ) -> list[Node]:
        """The states after a step with these weights; the first one is that of no factor."""
        b = self.b
        known = dict(zip(parts, before, strict=True))
        new = [b.add([self._here(x, index) for x in g]) if g else b.number(0.0) for g in gains]
        found = []
        for c in parts:
            terms = []
            for left in (p for p in parts if set(p) <= set(c)):
                more = [new[k] for k in c if k not in left]
                if not any(is_number(x, 0) for x in more):
                    terms.append(b.mul([known[left], *more]))
            both = b.add(terms) if terms else b.number(0.0)
            found.append(b.reduce("sum", b.mul([weights, both]), [self.old.name], {self.old.name: self.old.dim}))
        return found

    def _over(self, x: Node) -> Node:
        return self.b.reduce("sum", x, [self.new.name], {self.new.name: self.new.dim})

    def _loop(
        self,
        inits: Sequence[Node],
        carry: Sequence[Node],
        index: Node,
        after: Sequence[Node],
        results: tuple[tuple[str, int], ...],
        name: str,
    ) -> list[Node]:
        from vspec.compiler.calculus.loops import close

        b, name = self.b, f"{self.name}_{name}"
        after = [b.order(x, c.axes) for x, c in zip(after, carry, strict=True)]
        captured, inside, body = close(b, list(after), [*carry, index])
        region = Region(name, self.time, self.length, index, tuple(carry), tuple(inside), tuple(body), results)
        starts = [b.order(x, c.axes) for x, c in zip(inits, carry, strict=True)]
        with b.at(b.origin._replace(name=name)):
            node = b.region("scan", region, [*starts, *captured])
        found = []
        for position, (how, k) in enumerate(results):
            axes = (self.time, *carry[k].axes) if how == "path" else carry[k].axes
            with b.at(b.origin._replace(name=carry[k].attrs[0])):
                found.append(b.item(node, position, axes, "real"))
        return found
