"""Mutated specs: no exception but a located, coded diagnostic, no case over two seconds, at both optimisation levels."""

from __future__ import annotations

import pytest

from tests.fuzz.cases import BAD, SHIPPED, examine, mutant, texts
from tests.support.effort import seeds

CASES = seeds(2000)
PARTS = 4


@pytest.mark.parametrize("part", range(PARTS))
def test_mutated_specs_are_refused_or_compile(part: int) -> None:
    sources = texts(SHIPPED * (len(BAD) // len(SHIPPED) + 1) + BAD)
    for seed in CASES[part::PARTS]:
        failure = examine(mutant(sources, seed), seed % 10 == 0)
        assert failure is None, f"seed {seed}: {failure}"
