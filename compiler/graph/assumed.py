"""The sizes that are assumed of open dims while a program is compiled, where nominal ones are not meant.

What costs least depends on sizes. Those of `auto` dims are known when data are bound, after the choices were made; a program is
therefore compiled for more than one assumption (`vspec.compiler.variants`), under each of which all stages see the same sizes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType

_SIZES: ContextVar[Mapping[str, int]] = ContextVar("_SIZES", default=MappingProxyType({}))


def assumed(dim: str) -> int | None:
    """The size that is assumed of a dim, if any is."""
    return _SIZES.get().get(dim)


@contextmanager
def assuming(sizes: Mapping[str, int]) -> Iterator[None]:
    """Inside, open dims have these sizes for all who weigh costs; those of other dims are nominal."""
    token = _SIZES.set(sizes)
    try:
        yield
    finally:
        _SIZES.reset(token)
