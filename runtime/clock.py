"""Seconds of the parts of some work, one after the other."""

from __future__ import annotations

import time


class Clock:
    """Runs from when it is made.

    Attributes:
        parts: name → seconds, in the order of the laps, and their `total`.
    """

    def __init__(self) -> None:
        self.begun = self.last = time.perf_counter()
        self.parts: dict[str, float] = {}

    def lap(self, name: str) -> None:
        """What was done since the lap before is called `name`."""
        now = time.perf_counter()
        self.parts[name] = now - self.last
        self.parts["total"] = now - self.begun
        self.last = now
