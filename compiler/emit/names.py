"""Names for the emitted program: the spec's own where it gave one, never one that Python, JAX or an argument already has."""

from __future__ import annotations

import builtins
import keyword
import re
from collections.abc import Iterable

from vspec.compiler.emit.helpers import HELPERS
from vspec.compiler.emit.scalar import MODULES

RESERVED = frozenset(
    {
        *keyword.kwlist,
        *keyword.softkwlist,
        *dir(builtins),
        "jax",
        "jnp",
        "Array",
        "implicit",
        *HELPERS,
        *(f for fs in MODULES.values() for f in fs),
        *HELPERS,
    }
)


def identifier(text: str) -> str:
    """The nearest identifier to a spec's name: `enc.W0` is `enc_W0`, `lambda` is `lambda_`, a made `_arg1` is `arg1`."""
    text = text.lstrip("_").partition("'")[0]
    cleaned = re.sub(r"\W+", "_", text, flags=re.ASCII).strip("_") if not text.isidentifier() else text
    if not cleaned or cleaned[0].isdigit():
        cleaned = f"v{cleaned}"
    return f"{cleaned}_" if cleaned in RESERVED else cleaned


class Names:
    """Hands out unique identifiers within one function."""

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self._taken = set(taken)
        self._counts: dict[str, int] = {}

    def reserve(self, wish: str) -> str:
        """The identifier for `wish`, numbered from 2 if it is taken."""
        base = identifier(wish)
        found = base
        while found in self._taken:
            self._counts[base] = self._counts.get(base, 1) + 1
            found = f"{base}{'' if base.endswith('_') else '_'}{self._counts[base]}"
        self._taken.add(found)
        return found
