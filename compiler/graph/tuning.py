"""What arrays that a program makes on its way may take of memory, and how many rows of them are computed at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

# An array that is larger than this, in bytes, is computed in parts if only reductions read it; and what a part takes.
MEMORY = 256_000_000
CHUNK = 16_000_000
# An array that is this many times larger than all that it is made of is better made again than kept.
GROWTH = 4


# Precisions of matrix products that JAX knows by these words, from what the device does by itself to all digits.
MATMUL = ("default", "bfloat16", "tensorfloat32", "float32")


@dataclass(frozen=True, slots=True)
class Tuning:
    """How a program uses the machine: what is computed is the same.

    `memory`: bytes that the arrays of one reduction may take (None: any number), `chunk` those of a part where they would take
    more. `growth`: only arrays that are this many times larger than all that they are made of are computed again. `matmul`: the
    precision of matrix products, a word of `MATMUL`. `donate`: whether the loop of a stage gives the memory of its state to the
    next one.
    """

    memory: int | None = MEMORY
    chunk: int = CHUNK
    growth: int = GROWTH
    matmul: str = MATMUL[0]
    donate: bool = False


def tuning_of(notes: Any) -> Tuning:
    """What the notes of a graph say, or the default."""
    found = notes.get("tuning")
    return found if isinstance(found, Tuning) else Tuning()


def rows_at_once(size: int, row: int, memory: int, chunk: int) -> int:
    """How many of `size` rows of `row` bytes are computed at a time: all if they fit into `memory`, else what fits into `chunk`.

    Emitted programs hold the same rule (`emit/helpers.py`): among counts that are close, one that divides the size is taken.
    """
    if size * row <= memory:
        return size
    most = max(1, min(size, chunk // max(1, row)))
    return next((k for k in range(most, most // 2, -1) if size % k == 0), most)
