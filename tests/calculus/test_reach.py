"""Where a derivative may differ from zero, by index arithmetic: nothing that is read is missed, chains are told exactly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.evaluate import evaluate
from vspec.compiler.calculus.derive import gradients
from vspec.compiler.calculus.reach import Link, reach
from vspec.compiler.calculus.reading import read_affine
from vspec.compiler.graph.builder import Builder
from vspec.compiler.graph.kernel import num, slot
from vspec.compiler.graph.node import Axis, Node
from vspec.compiler.language.expr import Affine

SIZE, SHORT = 12, 4
T, S = Axis("t", "t"), Axis("s", "s")


@dataclass(frozen=True)
class Read:
    """An element of x at a distance from a letter, beyond the ends as `mode` says, or at a fixed position (no letter)."""

    letter: str
    scale: int
    offset: int
    mode: str

    def node(self, b: Builder, x: Node) -> Node:
        """The element read."""
        if not self.letter:
            return b.at_position(x, "t", self.offset)
        if self.mode == "clip":
            inside = ("clip", ("add", slot(0), num(self.offset)), num(0), num(SIZE - 1))
            return b.gather(x, b.map(inside, [b.index(T)], "integer"), "t")
        s = Affine(self.letter, self.scale, self.offset, (), self.mode)
        plain = b.rename(x, {"t": "_t"})
        return read_affine(b, plain, "_t", s, T if self.letter == "t" else S, {})


READS = st.one_of(
    st.builds(
        Read, st.just("t"), st.just(1), st.integers(-3, 3), st.sampled_from(["periodic", "zero", "reflect", "clip"])
    ),
    st.builds(Read, st.just("s"), st.integers(1, 2), st.integers(0, 3), st.just("")),
    st.builds(Read, st.just(""), st.just(0), st.integers(-3, 3), st.just("")),
)


def slope(b: Builder, pairs: list[tuple[Read, Read]]) -> tuple[Node, Node]:
    """The gradient of a sum of products of elements, and what it is taken by."""
    x = b.input("x", "param", [T], "real")
    terms = []
    for one, two in pairs:
        product = b.map(("mul", ("exp", slot(0)), ("sin", slot(1))), [one.node(b, x), two.node(b, x)], "real")
        terms.append(b.reduce("sum", product, product.names, {a.name: a.dim for a in product.axes}))
    return gradients(b, b.add(terms), [x])[0], x


def allowed(links: Any, i: int, j: int) -> bool:
    """Whether entry (i, j) lies in a box of one axis."""
    for (link,) in links:
        if link is None or link.axis != "t" or link.scale != 1:
            return True
        turns = (j, j - SIZE, j + SIZE) if link.wraps else (j,)
        if any(link.low <= at - i <= link.high for at in turns):
            return True
    return False


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(READS, READS), min_size=1, max_size=3))
def test_nothing_that_changes_a_gradient_lies_outside(pairs: list[tuple[Read, Read]]) -> None:
    b = Builder({"t": SIZE, "s": SHORT})
    g, x = slope(b, pairs)
    links = reach(b, g, x)
    at = np.random.default_rng(0).uniform(0.2, 1, SIZE)
    (before,) = evaluate([g], {"x": at}, b.dims)
    for j in range(SIZE):
        moved = at.copy()
        moved[j] += 0.3
        (after,) = evaluate([g], {"x": moved}, b.dims)
        for i in np.flatnonzero(np.abs(after - before) > 1e-12):
            assert allowed(links, int(i), j), (i, j, links)


def told(*pairs: tuple[Read, Read]) -> set[Any]:
    b = Builder({"t": SIZE, "s": SHORT})
    return {box[0] for box in reach(b, *slope(b, list(pairs)))}


def test_chains_are_told_exactly() -> None:
    here, ahead = Read("t", 1, 0, "zero"), Read("t", 1, 1, "zero")
    assert told((here, ahead)) == {Link("t", 1, 0, 0), Link("t", 1, 1, 1), Link("t", 1, -1, -1)}
    around = Read("t", 1, 2, "periodic")
    assert told((here, around)) == {
        Link("t", 1, 0, 0),
        Link("t", 1, 0, 0, True),
        Link("t", 1, 2, 2, True),
        Link("t", 1, -2, -2, True),
    }
    even, odd = Read("s", 2, 0, ""), Read("s", 2, 3, "")
    assert told((even, odd)) == {Link("t", 1, 0, 0), Link("t", 1, 3, 3), Link("t", 1, -3, -3)}


def test_fixed_positions_are_told_where_they_meet_each_other() -> None:
    first, last = Read("", 0, 0, ""), Read("", 0, -1, "")
    assert told((first, first)) == {Link("t", 1, 0, 0)}
    assert told((last, last)) == {Link("t", 1, 0, 0)}
    # Elements at both ends may be any distance apart.
    ends = [(link,) for link in told((first, last))]
    assert allowed(ends, 0, SIZE - 1)
    assert allowed(ends, SIZE - 1, 0)
