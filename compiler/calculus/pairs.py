"""Requests for second derivatives in expressions: `sum[i, j](A[i, j]*d(u, x[i], x[j]))`, alone or among other addends.

A request becomes directions with weights for `laplacian.py`. Letters of the two variables that `u` lacks are rows: the first
derivatives along them are carried as they are. A letter that `u` has, too, as in `d(u[c], x[c, i], x[c, i])`, is a batch that
nothing mixes, or there is no request. Where weights are a product `B[i, k]*B[j, k]` over fewer k, the columns of B are the
directions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vspec.compiler.calculus.derive import tracked
from vspec.compiler.calculus.laplacian import Pairing, first_order, second_order
from vspec.compiler.calculus.sweeps import depends, see
from vspec.compiler.calculus.terms import Algebra, Pairs, Term, pair
from vspec.compiler.graph.cost import Sizes
from vspec.compiler.graph.node import Node
from vspec.compiler.language.expr import At, Element

if TYPE_CHECKING:
    from vspec.compiler.calculus.lower import Lowering


@dataclass(frozen=True, slots=True)
class Factor:
    """A factor of a weight: its value, and the letters that it has."""

    node: Node

    @property
    def letters(self) -> frozenset[str]:
        return frozenset(self.node.names)


@dataclass(frozen=True, slots=True)
class Variable:
    """What a derivative is taken by: a node, and for each of its axes the letter or the position that is read there."""

    node: Node
    subscripts: tuple[str | int, ...]

    @property
    def letters(self) -> tuple[str, ...]:
        return tuple(s for s in self.subscripts if isinstance(s, str))


def variable(low: Lowering, wrt: Element) -> Variable | None:
    """The variable of an element with plain subscripts; None for others, and for stacks."""
    if wrt.name in low.stacks:
        return None
    x = low.slices[wrt.name] if wrt.name in low.slices else low.get(wrt.name)
    found: list[str | int] = []
    for axis, s in zip(x.axes, low._kept(wrt), strict=True):
        letter = low._plain(s, axis)
        if letter is not None:
            found.append(letter)
        elif isinstance(s, At) and s.position >= 0:
            found.append(s.position)
        else:
            return None
    return Variable(x, tuple(found))


@dataclass(slots=True)
class Request:
    """`sum[bound](factors * d(value, first, second))`; `bound` loses the letters that are summed on the way."""

    value: Node
    first: Variable
    second: Variable
    factors: list[Factor]
    bound: list[str]


def weighted(low: Lowering, r: Request) -> Node | None:
    """The sum that a request asks for over those letters that it can sum on the way, which leave `r.bound`; its axes are those of
    the value, then free letters. None where a batch is mixed.

    Raises NoWay where a loop lies between.
    """
    return _Build(low, r).run()


def along(low: Lowering, value: Node, v: Variable) -> Node | None:
    """The first derivative of a value by a variable, as the sweep for second ones takes it; None where a batch is mixed.

    Raises NoWay where a loop lies between.
    """
    return _Build(low, Request(value, v, v, [], [])).first()


class _Build:
    def __init__(self, low: Lowering, r: Request) -> None:
        self.low = low
        self.b = low.b
        self.r = r
        self.a = Algebra(low.b)
        self.nodes = depends([r.value], [r.first.node, r.second.node])
        see(self.a, self.nodes)
        for v in (r.first, r.second):
            self.a.see(v.node.axes)
        self.a.see(low.axis(x) for x in (*r.first.letters, *r.second.letters, *r.bound))
        for f in r.factors:
            self.a.see(f.node.axes)
        # What a batch's letter is called at each node between.
        self.batches: dict[str, dict[int, str]] = {}
        # Letters of rows and of what weights bring along, under names that no node between has.
        self.aside: dict[str, str] = {}

    def run(self) -> Node | None:
        r, b = self.r, self.b
        if not any(n.uid == r.value.uid for n in self.nodes):
            return b.number(0.0)
        if self._nested() or not self._batched():
            return None
        rows = [x for x in dict.fromkeys((*r.first.letters, *r.second.letters)) if x not in self.batches]
        if any(self.low.letters[x] in self.low.whole for x in rows if x in r.bound):
            return None
        weights = [f for f in r.factors if f.letters & set(rows)]
        outside = [f for f in r.factors if f not in weights]
        found = self._factorised(rows, weights, outside) or self._along(rows, weights)
        return b.mul([*(f.node for f in outside), self._total(*found)])

    def first(self) -> Node | None:
        """The derivative of first order by the first variable."""
        r, b = self.r, self.b
        if not any(n.uid == r.value.uid for n in self.nodes):
            return b.number(0.0)
        if not self._batched():
            return None
        for x in r.first.letters:
            if x not in self.batches:
                self._put_aside(x)
        terms = first_order(self.a, self.nodes, {r.first.node.uid: [self._elements(r.first)]}).get(r.value.uid, [])
        return self._total(terms, {new: old for old, new in self.aside.items()})

    def _total(self, terms: Sequence[Term], back: Mapping[str, str]) -> Node:
        done = [self.a.settle(self.a.rename(t, back)).node for t in terms]
        return self.b.add(done) if done else self.b.number(0.0)

    def _nested(self) -> bool:
        """Whether one variable depends on the other, so that the order of the derivatives counts."""
        x, y = self.r.first.node, self.r.second.node
        return x.uid != y.uid and (len(depends([x], [y])) > 1 or len(depends([y], [x])) > 1)

    def _batched(self) -> bool:
        """Whether each letter that value and variables share is a batch that nothing mixes, the same in both variables."""
        r = self.r
        for letter in r.value.names:
            for v in (r.first, r.second):
                places = [k for k, s in enumerate(v.subscripts) if s == letter]
                if not places:
                    continue
                names = tracked(r.value, v.node, places[0], letter, depends([r.value], [v.node]))
                if len(places) > 1 or names is None or letter not in r.first.letters or letter not in r.second.letters:
                    return False
                known = self.batches.setdefault(letter, names)
                if any(known.get(uid, name) != name for uid, name in names.items()):
                    return False
                known |= names
        return True

    # --- rows along the variables -------------------------------------------------------------------------------

    def _along(self, rows: Sequence[str], weights: Sequence[Factor]) -> tuple[list[Term], dict[str, str]]:
        """Directions along the elements of the variables; weights are applied where first derivatives meet."""
        r, b = self.r, self.b
        summed = [x for x in rows if x in r.bound]
        taken = {x for f in weights for x in f.letters}
        for x in (*rows, *(t for t in taken if t not in self.batches)):
            self._put_aside(x)
        weight = self._weight(weights)
        # Other summed letters of the weights stand nowhere else: the weights are summed over them first.
        others = [x for x in r.bound if x in taken and x not in rows and not self._read_outside(x, weights)]
        if weight is not None and others:
            weight = b.reduce("sum", weight, [self.aside[x] for x in others if x in self.aside])
        first = self._elements(r.first)
        same = r.first.node.uid == r.second.node.uid
        turned = self._turned() if same else None
        second = None if turned is not None else {r.second.node.uid: [self._elements(r.second)]}
        seeds = {r.first.node.uid: [first]}
        names = tuple(self.aside[x] for x in summed)
        p = Pairing(seeds, second, names, self._weigh(weight), turned or {})
        sums = second_order(self.a, self.nodes, p)
        r.bound = [x for x in r.bound if x not in summed and x not in others]
        return sums.get(r.value.uid, []), {new: old for old, new in self.aside.items()}

    def _read_outside(self, letter: str, weights: Sequence[Factor]) -> bool:
        r = self.r
        mine = {id(f) for f in weights}
        return letter in r.value.names or any(letter in f.letters for f in r.factors if id(f) not in mine)

    def _put_aside(self, letter: str) -> None:
        if letter not in self.aside:
            self.aside[letter] = self.a.fresh(self.a.axis(letter)).name

    def _turned(self) -> dict[str, str] | None:
        """How the rows of the first variable are renamed to those of the second; None where they differ in more than names."""
        to: dict[str, str] = {}
        for s, t in zip(self.r.first.subscripts, self.r.second.subscripts, strict=True):
            if isinstance(s, str) and isinstance(t, str):
                if s in self.batches or t in self.batches:
                    if s != t:
                        return None
                elif to.setdefault(self.aside[s], self.aside[t]) != self.aside[t]:
                    return None
            elif s != t:
                return None
        if len(set(to.values())) != len(to) or (set(to) & set(to.values()) and any(k != v for k, v in to.items())):
            return None
        return {k: v for k, v in to.items() if k != v}

    def _elements(self, v: Variable) -> Term:
        """The derivative of a variable along its elements: deltas of its axes with the rows, one where a position is read."""
        node, pairs = self.b.number(1.0), set[tuple[str, str]]()
        for axis, s in zip(v.node.axes, v.subscripts, strict=True):
            if isinstance(s, int):
                node = self.b.scatter_at(node, axis, s)
            elif s not in self.batches:
                pairs.add(pair(axis.name, self.aside[s]))
        return Term(node, frozenset(pairs))

    def _weight(self, weights: Sequence[Factor]) -> Node | None:
        return self.b.mul([self.b.rename(f.node, self.aside) for f in weights]) if weights else None

    def _weigh(self, weight: Node | None) -> Callable[[Node], Node | None]:
        batches = [x for x in self.batches if weight is not None and x in weight.names]
        if weight is None or not batches:
            return lambda node: weight

        def weigh(node: Node) -> Node:
            return self.b.rename(weight, {x: self.batches[x][node.uid] for x in batches})

        return weigh

    # --- directions given by factors ----------------------------------------------------------------------------

    def _factorised(
        self, rows: Sequence[str], weights: Sequence[Factor], outside: Sequence[Factor]
    ) -> tuple[list[Term], dict[str, str]] | None:
        """Directions along the columns of B for weights B[i, k]*C[j, k]; None where they are none, or no fewer."""
        r = self.r
        own = [x for x in r.first.letters if x in rows and x not in r.second.letters]
        other = [x for x in r.second.letters if x in rows and x not in r.first.letters]
        both = [x for x in rows if x not in own and x not in other]
        if not own or not other or both or not set(rows) <= set(r.bound):
            return None
        left = [f for f in weights if f.letters & set(own)]
        right = [f for f in weights if f.letters & set(other)]
        if any(f in right for f in left) or not left or not right:
            return None
        columns = [
            x for x in r.bound if x not in rows and any(x in f.letters for f in weights) and x not in r.value.names
        ]
        if any(x in f.letters for x in columns for f in outside) or any(self._is_batch(x) for x in columns):
            return None
        sizes = Sizes(self.b.dims)
        if not columns or sizes.count(map(self.a.axis, columns)) >= sizes.count(map(self.a.axis, own)):
            return None
        for x in dict.fromkeys(x for f in weights for x in f.letters if x not in rows and x not in self.batches):
            self._put_aside(x)
        first, second = (self._columns(v, fs) for v, fs in ((r.first, left), (r.second, right)))
        same = r.first.node.uid == r.second.node.uid and self._alike(left, right)
        p = Pairing(
            {r.first.node.uid: [first]},
            None if same else {r.second.node.uid: [second]},
            tuple(self.aside[x] for x in columns),
            lambda node: None,
            {},
        )
        sums = second_order(self.a, self.nodes, p)
        r.bound = [x for x in r.bound if x not in rows and x not in columns]
        return sums.get(r.value.uid, []), {new: old for old, new in self.aside.items()}

    def _is_batch(self, letter: str) -> bool:
        return letter in self.batches or self.low.letters[letter] in self.low.whole

    def _columns(self, v: Variable, factors: Iterable[Factor]) -> Term:
        """Directions given by factors, their letters renamed to the axes of the variable."""
        node, pairs = self.b.number(1.0), Pairs()
        to = dict(self.aside)
        for axis, s in zip(v.node.axes, v.subscripts, strict=True):
            if isinstance(s, int):
                node = self.b.scatter_at(node, axis, s)
            else:
                to[s] = axis.name
        return Term(self.b.mul([node, *(self.b.rename(f.node, to) for f in factors)]), pairs)

    def _alike(self, left: Sequence[Factor], right: Sequence[Factor]) -> bool:
        """Whether the factors of both sides are the same arrays with the letters of the variables exchanged."""
        r = self.r
        to = {s: t for s, t in zip(r.first.subscripts, r.second.subscripts, strict=True) if isinstance(s, str)}
        if any(isinstance(s, int) and s != t for s, t in zip(r.first.subscripts, r.second.subscripts, strict=True)):
            return False
        turned = [self.b.rename(f.node, {s: t for s, t in to.items() if isinstance(t, str)}) for f in left]
        return len(left) == len(right) and all(same_array(x, f.node) for x, f in zip(turned, right, strict=True))


def same_array(x: Node, y: Node) -> bool:
    """Whether two nodes are one, or the same rename of one."""
    if x.uid == y.uid:
        return True
    return (
        (x.kind, x.op, x.axes, x.attrs) == (y.kind, y.op, y.axes, y.attrs)
        and bool(x.inputs)
        and all(i.uid == j.uid for i, j in zip(x.inputs, y.inputs, strict=True))
    )
