"""Other names for the names in a raw tree: what an import brings along keeps its text and is read with other names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from vspec.compiler.language.laws import LAWS
from vspec.compiler.language.raw import Raw, RawCall, RawElement, RawFact, RawList, RawName, RawOp
from vspec.compiler.source.document import Scalar, Sequence, Value

Names = Mapping[str, str]

# What takes laws among its arguments.
OF_LAWS = frozenset({"sample", "logpdf", "entropy", "KL"})


def renamed(raw: Raw, names: Names) -> Raw:
    """The tree with every name, letter and called function in `names` replaced."""
    if isinstance(raw, RawName):
        return replace(raw, name=names.get(raw.name, raw.name))
    if isinstance(raw, RawElement):
        subscripts = tuple(renamed(s, names) for s in raw.subscripts)
        return replace(raw, name=names.get(raw.name, raw.name), subscripts=subscripts)
    if isinstance(raw, RawOp):
        return replace(raw, args=tuple(renamed(a, names) for a in raw.args))
    if isinstance(raw, RawCall) and raw.name in OF_LAWS:
        return replace(raw, args=tuple(_law(a, names) for a in raw.args))
    if isinstance(raw, RawCall):
        return replace(
            raw,
            name=names.get(raw.name, raw.name),
            args=tuple(renamed(a, names) for a in raw.args),
            bound=None if raw.bound is None else tuple(renamed(b, names) for b in raw.bound),
            subscripts=None if raw.subscripts is None else tuple(renamed(s, names) for s in raw.subscripts),
            keywords=tuple(k._replace(value=renamed(k.value, names)) for k in raw.keywords),
        )
    if isinstance(raw, RawList):
        return replace(raw, items=tuple(renamed(item, names) for item in raw.items))
    if isinstance(raw, RawFact):
        # What stands before the dot is a run, which is no name of the text.
        return replace(raw, subscripts=tuple(renamed(s, names) for s in raw.subscripts))
    return raw


def _law(raw: Raw, names: Names) -> Raw:
    """A law with its arguments renamed, or what is none; laws have names of their own."""
    if isinstance(raw, RawName) and raw.name in LAWS:
        return raw
    found = renamed(raw, names)
    if isinstance(raw, RawCall) and raw.name in LAWS and isinstance(found, RawCall):
        inner = tuple(_law(a, names) for a in raw.args) if LAWS[raw.name].of else found.args
        return replace(found, name=raw.name, args=inner)
    return found


def composed(first: Names | None, second: Names) -> dict[str, str]:
    """The names that give what `second` makes of what `first` gives."""
    before = first or {}
    names = {old: second.get(new, new) for old, new in before.items()}
    return {**{old: new for old, new in second.items() if old not in before}, **names}


def read_as(value: Value, names: Names) -> Value:
    """The value with every text in it read under these names."""
    if isinstance(value, Scalar):
        return replace(value, names=composed(value.names, names))
    if isinstance(value, Sequence):
        return replace(value, items=tuple(read_as(v, names) for v in value.items))
    return replace(value, entries=tuple((k, read_as(v, names)) for k, v in value.entries))
