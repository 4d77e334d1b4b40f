"""What notebooks show of specs and programs: the mathematics and the graph, made by the compiler where it is at hand.

Results of runs show themselves. The runtime knows no compiler, and the language no pages: here both get to know theirs.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vspec.compiler.language.spec import Spec
    from vspec.runtime.program import Program


def spec_html(spec: Spec) -> str:
    """A checked spec: its mathematics, symbols and plan."""
    from vspec.compiler.report.page import spec_html

    return spec_html(spec)


def program_html(program: Program) -> str:
    """A program: its mathematics, derivation and graph, if the compiler makes the same program again, and its entries."""
    from vspec.compiler.report.page import compiled_parts
    from vspec.recompile import NotAgain, recompiled
    from vspec.runtime.kept import texts
    from vspec.runtime.pages.html import note
    from vspec.runtime.pages.notebook import program_html

    try:
        parts = compiled_parts(recompiled(texts(program)))
    except NotAgain as why:
        parts = [note(f"No mathematics: {why}.")]
    return program_html(program, *parts)


@cache
def show_specs() -> None:
    """Let notebooks show checked specs."""
    from vspec.compiler.language.spec import Spec

    Spec._repr_html_ = spec_html  # type: ignore[attr-defined]


@cache
def show_programs() -> None:
    """Let notebooks show programs with what the compiler knows of them."""
    from vspec.runtime.program import Program

    Program._repr_html_ = program_html  # type: ignore[method-assign, assignment]
