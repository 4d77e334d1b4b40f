"""The data sets that scikit-learn ships."""

from __future__ import annotations

import numpy as np

from vspec.runtime.errors import DataError, near
from vspec.runtime.sources.opened import Held, Opened
from vspec.runtime.sources.source import Columns

_KNOWN = ("breast_cancer", "diabetes", "digits", "iris", "linnerud", "wine")


def dataset(name: str, column: Columns, what: str) -> Opened:
    """`data`, `target`, another array, or features by their names. Raises `DataError` VS0504, VS0514, VS0521."""
    if name not in _KNOWN:
        raise DataError("VS0514", f"{what} comes from 'sklearn:{name}', which is not known", near(name, _KNOWN))
    try:
        import sklearn.datasets
    except ImportError:
        raise DataError(
            "VS0521",
            f"{what} comes from 'sklearn:{name}', but scikit-learn is not installed",
            "pip install 'vspec[data]'",
        ) from None
    bunch = getattr(sklearn.datasets, f"load_{name}")()
    arrays = {k: v for k, v in bunch.items() if isinstance(v, np.ndarray) and v.dtype.kind in "biuf"}
    features = [str(f) for f in bunch.get("feature_names", [])]
    columns = {f: bunch["data"][:, k] for k, f in enumerate(features)}
    if bunch["target"].ndim == 2:
        columns |= {str(t): bunch["target"][:, k] for k, t in enumerate(bunch.get("target_names", []))}
    known = {**columns, **arrays}
    wanted = "data" if column is None else column
    for one in wanted if isinstance(wanted, tuple) else (wanted,):
        if one not in (columns if isinstance(wanted, tuple) else known):
            raise DataError("VS0504", f"{what} asks for column '{one}' of sklearn:{name}", near(one, known))
    if isinstance(wanted, tuple):
        return Held(np.stack([columns[one] for one in wanted], axis=1))
    return Held(known[wanted])
