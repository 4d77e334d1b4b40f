"""What arrays that a program makes on its way may take of memory, and how many rows of them are computed at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

# An array that is larger than this, in bytes, is computed in parts if only reductions read it; and what a part takes.
MEMORY = 256_000_000
CHUNK = 16_000_000
# An array that is this many times larger than all that it is made of is better made again than kept.
GROWTH = 4


@dataclass(frozen=True, slots=True)
class Budget:
    """Bytes that the arrays of one reduction may take (None: any number), and those of a part where they would take more.

    `growth`: only arrays that are this many times larger than all that they are made of are computed again.
    """

    memory: int | None = MEMORY
    chunk: int = CHUNK
    growth: int = GROWTH


def budget_of(notes: Any) -> Budget:
    """The budget that the notes of a graph hold, or the default."""
    found = notes.get("memory")
    return found if isinstance(found, Budget) else Budget()


def rows_at_once(size: int, row: int, memory: int, chunk: int) -> int:
    """How many of `size` rows of `row` bytes are computed at a time: all if they fit into `memory`, else what fits into `chunk`.

    Emitted programs hold the same rule (`emit/helpers.py`): among counts that are close, one that divides the size is taken.
    """
    if size * row <= memory:
        return size
    most = max(1, min(size, chunk // max(1, row)))
    return next((k for k in range(most, most // 2, -1) if size % k == 0), most)
