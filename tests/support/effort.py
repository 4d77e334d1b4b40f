"""How much the tests try: a fixed, quick choice by default, far more under `make explore`."""

from __future__ import annotations

import os

EXPLORING = os.environ.get("HYPOTHESIS_PROFILE") == "explore"


def tries(few: int, many: int) -> range:
    """Numbers of the tries of a test: `few` in every run, `many` where new examples are looked for."""
    return range(many if EXPLORING else few)


def seeds(count: int) -> range:
    """The first `count` seeds of many cheap cases of one kind: a fixed run takes every third, from all sources of cases."""
    return range(0, count, 1 if EXPLORING else 3)


def examples(many: int) -> int:
    """How many examples a property is tried on: each compiles a program, so that a fixed run takes every third."""
    return many if EXPLORING else max(4, many // 3)
