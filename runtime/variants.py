"""Which of a program's variants is run: the one that is meant for sizes nearest to those of the data.

Sizes are compared in logarithms, so that a hundred is as far from ten as a thousand is from a hundred.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence


def distance(sizes: Mapping[str, int], meant: Mapping[str, int]) -> float:
    """How far sizes are from those that a program is meant for: the sum of the squares of logarithms of their ratios."""
    return sum(math.log(max(sizes[d], 1) / size) ** 2 for d, size in meant.items() if d in sizes)


def nearest(sizes: Mapping[str, int], meant: Sequence[Mapping[str, int]]) -> int:
    """The place of the sizes that are nearest; the first of those that are equally near."""
    return min(range(len(meant)), key=lambda k: distance(sizes, meant[k]))
