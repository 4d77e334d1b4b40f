"""Orders of products: those of opt_einsum's searches, the same one among equals included."""

from __future__ import annotations

import random
from collections.abc import Callable

import opt_einsum
import pytest
from opt_einsum import paths

from vspec.compiler.passes.contraction import _pairs
from vspec.compiler.passes.searches import connected, depth_first


def product(rng: random.Random, operands: int) -> tuple[list[int], int, list[int]]:
    """A random product: the axes of its operands, those of its result, and their sizes. No axis is in one operand alone."""
    sizes = [rng.choice([1, 2, 3, 4, 10, 64, 100, 10_000]) for _ in range(rng.randint(1, 7))]
    sides, out = [0] * operands, 0
    for k in range(len(sizes)):
        holders = rng.sample(range(operands), min(operands, rng.choice([1, 2, 2, 2, 3, 4])))
        for h in holders:
            sides[h] |= 1 << k
        if len(holders) == 1 or rng.random() < 0.4:
            out |= 1 << k
    return sides, out, sizes


def theirs(search: Callable[..., list[tuple[int, ...]]], sides: list[int], out: int, sizes: list[int]) -> object:
    """What opt_einsum finds."""
    letters = [opt_einsum.get_symbol(k) for k in range(len(sizes))]
    named = [frozenset(n for k, n in enumerate(letters) if axes >> k & 1) for axes in (*sides, out)]
    return _pairs(search(named[:-1], named[-1], dict(zip(letters, sizes, strict=True))), len(sides))


@pytest.mark.parametrize("operands", [2, 3, 4, 5, 6])
@pytest.mark.parametrize(("ours", "other"), [(depth_first, paths.optimal), (connected, paths.dynamic_programming)])
def test_orders_are_those_of_opt_einsum(ours, other, operands: int) -> None:  # type: ignore[no-untyped-def]
    rng = random.Random(operands)
    for _ in range(40 if operands == 6 else 150):
        case = product(rng, operands)
        assert tuple(ours(*case)) == theirs(other, *case), case
