"""Shared set-up of the tests: float64 for JAX, a fixed Hypothesis profile."""

from __future__ import annotations

import os

os.environ.setdefault("JAX_ENABLE_X64", "1")
os.environ.setdefault("JAX_PLATFORMS", "cpu")
