"""What there is to choose from, as rows of text: methods, networks, passes, functions."""

from __future__ import annotations


def methods() -> list[tuple[str, str]]:
    """The methods of a `solve` stage: the signature and what it is."""
    from vspec.runtime.registry import METHODS

    return [(method.signature, method.doc) for method in METHODS.values()]


def networks() -> list[tuple[str, str]]:
    """The networks that a function may be: the signature and what it computes."""
    from vspec.compiler.language.architectures import ARCHITECTURES

    return [(architecture.signature, architecture.doc) for architecture in ARCHITECTURES.values()]


def passes() -> list[tuple[str, str]]:
    """The passes in the order in which they run: the name and what it does."""
    from vspec.compiler.passes import PASSES

    return list(dict.fromkeys((p.name, p.doc) for p in PASSES))  # a pass may run twice


def functions() -> list[tuple[str, str]]:
    """What an expression may call: how it is written and what it means."""
    from vspec.compiler.language.operators import ALONG, FUNCTIONS, LINALG, REDUCTIONS, STRUCTURAL

    listed = [(_call(name, op.least, op.most), op.doc) for name, op in FUNCTIONS.items()]
    listed += [(r.written, r.doc) for r in REDUCTIONS.values()]
    listed += [(f"{m.name}[i](e)", m.doc) for m in ALONG.values()]
    listed += [(a.example, a.doc) for a in LINALG.values()]
    listed += [(form, meaning) for form, meaning in (text.split(": ", 1) for text in STRUCTURAL.values())]
    return listed


def _call(name: str, least: int, most: int | None) -> str:
    letters = ", ".join("abcdefgh"[: least if most is None else most])
    return f"{name}({letters}{', ...' if most is None else ''})"
