"""How two or more sides are timed against each other."""

from __future__ import annotations

import math
import random
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax


@dataclass(frozen=True)
class Timing:
    """One side of a comparison: seconds of the first call (trace and compile), the median and the quartiles of the later
    ones, what else is to be said about it, and the later calls one by one."""

    first: float
    median: float
    low: float
    high: float
    note: str = ""
    samples: tuple[float, ...] = ()


# The rows of a table. Of a side that was not timed, why.
Rows = Mapping[str, Timing | str]


def call(f: Callable[[], Any]) -> float:
    """Seconds of one call, the result waited for."""
    start = time.perf_counter()
    jax.block_until_ready(f())
    return time.perf_counter() - start


def interleaved(
    sides: Mapping[str, Callable[[], Any]],
    repetitions: int = 21,
    least: float = 2e-3,
    first: Mapping[str, float] | None = None,
    enough: float = 0.0,
) -> dict[str, Timing]:
    """Times each side once in every round, so that a slow moment of the machine hits all of them.

    There are `repetitions` rounds, and more of them as long as all have taken less than `enough` seconds together. The sides
    take turns in an order that changes from round to round, and a short call goes first that is not timed: the caches hold what
    the side itself has read, not what another one has. A sample is as many calls as take `least` seconds, so that
    the clock's grain and dispatch noise average out. `first` are the seconds of the first calls, of sides that have been called
    before.
    """
    first = first or {name: call(f) for name, f in sides.items()}
    alone = {name: min(call(f), call(f)) for name, f in sides.items()}
    inner = {name: max(1, round(least / max(taken, 1e-7))) for name, taken in alone.items()}
    samples: dict[str, list[float]] = {name: [] for name in sides}
    order, turns, began = list(sides), random.Random(0), time.perf_counter()
    while len(samples[order[0]]) < repetitions or time.perf_counter() - began < enough:
        turns.shuffle(order)
        for name in order:
            f = sides[name]
            if alone[name] < 10 * least:
                jax.block_until_ready(f())
            start = time.perf_counter()
            for _ in range(inner[name]):
                out = f()
            jax.block_until_ready(out)
            samples[name].append((time.perf_counter() - start) / inner[name])
    result = {}
    for name, taken in samples.items():
        low, median, high = quartiles(taken)
        result[name] = Timing(first[name], median, low, high, samples=tuple(taken))
    return result


def quartiles(values: Sequence[float]) -> tuple[float, float, float]:
    """The lower one, the median, the upper one."""
    ordered = sorted(values)
    quarter = len(ordered) // 4
    return ordered[quarter], statistics.median(ordered), ordered[-1 - quarter]


def ratio(other: Timing, ours: Timing) -> float:
    """How many times as long the other side takes: the median over the rounds, in each of which both met the same machine."""
    return statistics.median(rounds(other, ours))


def uncertainty(other: Timing, ours: Timing) -> float:
    """The standard error of the ratio, from the quartiles of the rounds: a normal law has them 1.35 deviations apart, and the
    median of n draws from it is off by 1.25 deviations over sqrt(n)."""
    taken = rounds(other, ours)
    low, _, high = quartiles(taken)
    return 1.25 / 1.35 * (high - low) / math.sqrt(len(taken))


def rounds(other: Timing, ours: Timing) -> list[float]:
    """How many times as long the other side takes in each round."""
    return [b / a for a, b in zip(ours.samples, other.samples, strict=True)]


def table(title: str, timings: Rows, ours: str = "vspec") -> str:
    """A few lines: median, quartiles and the ratio of each side to ours (above 1: ours is faster)."""
    lines = [title]
    base = timings[ours]
    for name, t in timings.items():
        if isinstance(t, str) or isinstance(base, str):
            lines.append(f"  {name:<26} {t if isinstance(t, str) else ''}")
            continue
        lines.append(
            f"  {name:<26} {t.median * 1e6:11.1f} us  [{t.low * 1e6:.1f}, {t.high * 1e6:.1f}]"
            f"   first {t.first:6.2f} s   {t.median / base.median:5.2f}x   {t.note}".rstrip()
        )
    return "\n".join(lines)
