"""Colors of sparse matrices: no row meets two columns of one color, and a full row takes as many colors as there are columns."""

from __future__ import annotations

import numpy as np
import pytest

from vspec.runtime.sparsity import _colored, _Graph, sparsity


def graph(entries: np.ndarray) -> _Graph:
    """The pattern of a symmetric matrix of booleans, with its diagonal."""
    return _Graph(len(entries), *np.nonzero(entries | entries.T | np.eye(len(entries), dtype=bool)))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("full", [False, True])
def test_no_row_meets_two_columns_of_one_color(seed: int, full: bool) -> None:
    rng = np.random.default_rng(seed)
    entries = rng.random((23, 23)) < 0.06
    entries[7] |= full
    pattern = graph(entries)
    color = _colored(pattern)
    for row in range(23):
        met = color[pattern.of(row)]
        assert len(set(met.tolist())) == met.size
    assert (int(color.max()) + 1 == 23) == full


def test_a_dense_matrix_takes_a_product_for_each_column() -> None:
    found = sparsity({"w": (40,)}, [("w", "w", ((None,),))])
    assert found is not None
    assert found.colors == found.products == 40
    assert found.color.tolist() == list(range(40))
