"""Compiled functions that programs share: what XLA is given twice, it compiles once.

The runs of a spec often differ in one stage only, so that what prepares their data, draws their starts and makes their outputs
is the same to the letter. Two functions whose StableHLO is the same text are one executable, as long as one of them is in use.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from threading import Lock
from typing import Any
from weakref import WeakValueDictionary

import jax
from jax import Array

_made: WeakValueDictionary[Any, Any] = WeakValueDictionary()
_lock = Lock()


def executable(lowered: Any, placed: Any = ()) -> Any:
    """What `lowered.compile()` gives: a `jax.stages.Compiled`, perhaps one that was compiled before.

    `lowered` is of `jax.jit(..., keep_unused=True)`: else the text would not tell which arguments are left out. `placed`: a tree
    of arrays among those it is called with. On which devices they are the text does not tell either.
    """
    text = lowered.as_text()
    if "callback" in text:
        # Which function of Python is called back is no part of the text.
        return lowered.compile()
    digest = hashlib.sha256(text.encode()).hexdigest()
    where = frozenset(x.sharding for x in jax.tree.leaves(placed) if isinstance(x, Array))
    key = (digest, lowered.in_tree, lowered.out_tree, lowered.donate_argnums, jax.default_backend(), where)
    with _lock:
        found = _made.get(key)
    if found is None:
        found = lowered.compile()
        with _lock:
            found = _made.setdefault(key, found)
    return found


class Shared:
    """A function of trees of arrays, compiled for whatever shapes it is called with."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._jit = jax.jit(function, keep_unused=True)
        self._known: dict[Any, Any] = {}

    def __call__(self, *arguments: Any) -> Any:
        """The function's results. What is traced, or no array, takes the way of `jax.jit`."""
        leaves, tree = jax.tree.flatten(arguments)
        if not all(isinstance(x, Array) and not isinstance(x, jax.core.Tracer) for x in leaves):
            return self._jit(*arguments)
        key = (tree, tuple((x.aval, x.sharding) for x in leaves))
        if key not in self._known:
            self._known[key] = executable(self._jit.lower(*arguments), arguments)
        return self._known[key](*arguments)
