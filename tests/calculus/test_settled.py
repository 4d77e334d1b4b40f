"""Conditions within their own branches: asked once, the value the same, guards kept."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.effort import examples
from tests.support.evaluate import apply_kernel
from vspec.compiler.calculus.branches import settled
from vspec.compiler.calculus.scalar import partial
from vspec.compiler.graph.kernel import Tree, kernel, num, slot, walk

X, Y = slot(0), slot(1)
C: Tree = ("gt", X, num(0))
ROOT: Tree = ("where", C, ("sqrt", ("where", C, X, num(1.0))), num(0.0))


def conditions(tree: Tree) -> int:
    return sum(t[0] == "where" for t in walk(tree))


def trees() -> st.SearchStrategy[Tree]:
    asked = st.sampled_from([C, ("lt", X, Y), ("gt", Y, num(0)), ("lt", X, X), ("gt", Y, Y)])
    leaves = st.sampled_from([X, Y, num(0), num(1.0), num(-2)])
    return st.recursive(
        leaves,
        lambda t: st.one_of(
            st.tuples(st.just("where"), asked, t, t),
            st.tuples(st.sampled_from(["add", "mul", "sub"]), t, t),
            st.tuples(st.sampled_from(["neg", "tanh"]), t),
        ),
        max_leaves=12,
    )


@settings(max_examples=examples(200), deadline=None)
@given(trees())
def test_the_value_stays_and_no_choice_is_added(tree: Tree) -> None:
    found = settled(tree)
    assert conditions(found) <= conditions(tree)
    values = [-1.5, 0.0, 2.0, float("nan")]
    x, y = np.array(list(itertools.product(values, values))).T
    want, got = (np.broadcast_to(apply_kernel(t, [x, y]), x.shape) for t in (tree, found))
    np.testing.assert_array_equal(got, want)
    assert settled(found) == found


def test_a_condition_in_its_own_branch_is_known() -> None:
    twice: Tree = ("where", C, ("neg", ("where", C, Y, num(0))), num(3))
    assert settled(twice) == ("where", C, ("neg", Y), num(3))
    other: Tree = ("where", C, num(1), ("where", C, Y, X))
    assert settled(other) == ("where", C, num(1), X)
    # One that holds a guard is none itself.
    assert settled(("where", C, ("exp", ROOT), num(0))) == ("where", C, ("exp", ROOT[2]), num(0))


def test_a_guard_stays() -> None:
    assert settled(ROOT) is ROOT
    log: Tree = ("where", C, ("log", ("where", C, ("exp", X), num(1))), num(0))
    assert settled(log) is log


def test_nothing_is_below_itself() -> None:
    assert settled(("where", ("lt", X, X), ("log", X), Y)) == Y
    assert settled(("gt", ("tanh", X), ("tanh", X))) == num(False)
    # A number that is none is not equal to itself.
    assert settled(("eq", X, X)) == ("eq", X, X)


def test_derivatives_of_a_guarded_root_ask_for_branch_and_guards_only() -> None:
    first = partial(kernel(ROOT), 0)
    assert first[0] == "where"
    assert all(t[1:3] == (C, X) for t in walk(first[2]) if t[0] == "where")
    second = partial(kernel(first), 0)
    assert second[0] == "where"
    assert all(t[1:3] == (C, X) for t in walk(second[2]) if t[0] == "where")
