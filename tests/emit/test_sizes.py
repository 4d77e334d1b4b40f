"""Sizes in the manifest: what the runtime makes of the text is what the compiler makes of the expression."""

from __future__ import annotations

import pytest

from tests.language.helpers import good
from vspec.compiler.emit.manifest import _size
from vspec.runtime.sizes import size_of

SIZES = [
    "2*n + 1",
    "n//2*3",
    "n//(2*3)",
    "-n + 9",
    "-(n - 9)",
    "n - -n",
    "(n - 1)**2",
    "2**n",
    "2**(n - 1)*3",
    "(2**n)**2",
    "2**2**2 + n",
    "(-n)**2",
    "-n**2 + 90",
    "n - (n - 3)",
    "size(n)**2//3",
]


@pytest.mark.parametrize("size", SIZES)
def test_the_text_of_a_size_means_the_same(size: str) -> None:
    text = f"dims:\n  n: auto\n  m: {size}\n"
    shown = _size(good(text).dims["m"].size)
    assert isinstance(shown, str)
    for n in (6, 7, 8):
        assert size_of(shown, {"n": n}) == good(text, {"n": n}).dims["m"].size


def test_configurations_are_a_power() -> None:
    assert _size(good("dims:\n  s: {configurations: c, of: i}\n  i: auto\n  c: 3\n").dims["s"].size) == "c**i"
