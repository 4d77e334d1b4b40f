"""By how much a program's constraints are violated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from vspec.runtime.bound import Bound
from vspec.runtime.program import Program


def violations(program: Program, params: Mapping[str, Any], bound: Bound) -> dict[str, float]:
    """The largest violation of each constraint over its indices; NaN where it has none."""
    entry = next((e.name for e in program.entries.values() if e.kind == "constraints"), None)
    if entry is None:
        return {}
    gaps = jax.device_get(program.jitted(entry)(dict(params), bound))
    found = {}
    for name, record in program.manifest["constraints"].items():
        gap = np.asarray(gaps[name], dtype=float)
        found[name] = float(np.max(np.abs(gap) if record["relation"] == "eq" else np.maximum(gap, 0)))
    return found
