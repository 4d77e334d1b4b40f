"""What a spec says of its arguments: signs, positive semidefinite matrices, and which dims are those of unknowns."""

from __future__ import annotations

from collections.abc import Mapping

from vspec.compiler.graph.sign import Facts, Sign
from vspec.compiler.language.expr import Expr, Number
from vspec.compiler.language.spec import Domain, Spec


def facts_of(spec: Spec) -> Facts:
    """The facts of domains of params and of the values that data may have. Constants may be set to anything: what they are in
    the spec is no more than likely."""
    signs = {name: _sign(p.domain) for name, p in spec.params.items()}
    for name, data in spec.data.items():
        if data.values and data.dtype != "complex":
            signs[name] = _of_least(min(data.values))
    psd = frozenset(name for name, p in spec.params.items() if p.domain.kind == "psd" and p.dtype == "real")
    unknowns = frozenset(spec.letters[x] for p in spec.params.values() for x in p.letters)
    likely = {name: _of_least(_least(c.value)) for name, c in spec.constants.items()}
    return Facts(_told(signs), psd, unknowns, spec.precision, _told(likely))


def _told(signs: Mapping[str, Sign]) -> Mapping[str, Sign]:
    return {name: s for name, s in signs.items() if s is not Sign.UNKNOWN}


def _least(value: object) -> float | None:
    """The least of some numbers, which may be nested; None if some are none."""
    if isinstance(value, tuple | list):
        below = [_least(v) for v in value]
        return min((v for v in below if v is not None), default=None) if None not in below else None
    return float(value) if isinstance(value, int | float) else None


def _sign(domain: Domain) -> Sign:
    if domain.kind == "positive":
        return Sign.POSITIVE
    if domain.kind == "simplex":
        return Sign.NOT_NEGATIVE
    return _of_least(_number(domain.lower)) if domain.kind == "box" else Sign.UNKNOWN


def _of_least(value: float | None) -> Sign:
    if value is None or value < 0:
        return Sign.UNKNOWN
    return Sign.POSITIVE if value > 0 else Sign.NOT_NEGATIVE


def _number(e: Expr | None) -> float | None:
    return float(e.value) if isinstance(e, Number) and not isinstance(e.value, complex) else None
