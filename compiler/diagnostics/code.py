"""What is known about one diagnostic code."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Code:
    """One code: `title` in a few words, `explanation` in a few sentences, `example` a snippet that triggers it."""

    code: str
    title: str
    explanation: str
    example: str = ""
