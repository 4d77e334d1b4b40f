"""Domains of params: whether values lie in one, and random points of it. A domain is a record of the manifest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from vspec.runtime.errors import NumericsError

Values = Mapping[str, Any]
NumPy = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class Domain:
    """A kind, the positions of the axes over which it holds, and the bounds of a box."""

    kind: str = "real"
    over: tuple[int, ...] = ()
    lower: Any = None
    upper: Any = None

    def violation(self, x: NumPy) -> float:
        """By how much an array misses the domain, 0 if it lies in it; infinite where the domain is open and it is outside."""
        kind = self.kind
        if kind == "positive":
            return 0.0 if np.all(x > 0) else np.inf
        if kind == "box":
            return float(max(np.max(self.lower - x, initial=0), np.max(x - self.upper, initial=0), 0.0))
        if kind == "integer":
            return float(np.max(np.abs(x - np.round(x)), initial=0))
        if kind == "simplex":
            gap = np.abs(np.sum(x, axis=self.over) - 1)
            return float(max(np.max(-x, initial=0), np.max(gap, initial=0)))
        if kind == "unit":
            return float(np.max(np.abs(np.sqrt(np.sum(x**2, axis=self.over)) - 1), initial=0))
        if kind == "psd":
            gap = float(np.max(np.abs(x - np.swapaxes(x, -1, -2)), initial=0))
            return max(gap, float(-np.min(np.linalg.eigvalsh((x + np.swapaxes(x, -1, -2)) / 2), initial=0)))
        if kind == "orthogonal":
            return float(np.max(np.abs(np.swapaxes(x, -1, -2) @ x - np.eye(x.shape[-1])), initial=0))
        return 0.0

    def random(self, shape: tuple[int, ...], generator: np.random.Generator) -> NumPy:
        """A point of the domain; where it is unbounded, of the size of 1."""
        z = generator.standard_normal(shape)
        kind = self.kind
        if kind == "positive":
            return np.asarray(np.exp(z))
        if kind == "box":
            lower = np.broadcast_to(np.where(np.isfinite(self.lower), self.lower, -np.inf), shape)
            upper = np.broadcast_to(np.where(np.isfinite(self.upper), self.upper, np.inf), shape)
            share = np.clip(1 / (1 + np.exp(-z)), 0, 1)
            with np.errstate(invalid="ignore"):
                inside = lower + share * (upper - lower)
            half = np.where(np.isfinite(lower), lower + np.exp(z), np.where(np.isfinite(upper), upper - np.exp(z), z))
            return np.asarray(np.where(np.isfinite(lower) & np.isfinite(upper), inside, half))
        if kind == "integer":
            return np.asarray(np.round(3 * z))
        if kind == "simplex":
            weights = np.exp(z)
            return np.asarray(weights / np.sum(weights, axis=self.over, keepdims=True))
        if kind == "unit":
            return np.asarray(z / np.sqrt(np.sum(z**2, axis=self.over, keepdims=True)))
        if kind == "psd":
            return np.asarray(z @ np.swapaxes(z, -1, -2) / shape[-1])
        if kind == "orthogonal":
            q, r = np.linalg.qr(z)
            signs = np.sign(np.diagonal(r, axis1=-2, axis2=-1))
            return np.asarray(q * signs[..., None, :])
        return z


def domains_of(manifest: Mapping[str, Any], bounds: Mapping[str, Values]) -> dict[str, Domain]:
    """The domain of every param; `bounds` are the ends of the boxes, as the program's entry `bounds` gives them."""
    found = {}
    for name, p in manifest["params"].items():
        box = bounds.get(name, {})
        ends = {side: np.asarray(value, dtype=float) for side, value in box.items()}
        found[name] = Domain(p["domain"], tuple(p.get("over", ())), ends.get("lower"), ends.get("upper"))
    return found


WORDS = {
    "positive": "is positive",
    "box": "lies in a box",
    "integer": "is whole",
    "simplex": "sums to 1 and is not negative",
    "unit": "has length 1",
    "psd": "is symmetric without a negative eigenvalue",
    "orthogonal": "has orthonormal columns",
}


def check_start(domains: Mapping[str, Domain], params: Values, lines: Mapping[str, int | None]) -> None:
    """Raise `NumericsError` VS0604 for the first param that starts outside of its domain, beyond rounding."""
    for name, domain in domains.items():
        if name not in params or domain.kind == "real":
            continue
        x = np.asarray(params[name])
        miss = domain.violation(x if np.iscomplexobj(x) else x.astype(float))
        if not miss <= 100 * float(np.finfo(x.dtype).eps) * max(1.0, float(np.max(np.abs(x), initial=0))):
            by = f"starts at {x.min():g}" if domain.kind == "positive" else f"its start misses that by {miss:.3g}"
            raise NumericsError("VS0604", f"param '{name}' {WORDS[domain.kind]}, but {by}", line=lines.get(name))
