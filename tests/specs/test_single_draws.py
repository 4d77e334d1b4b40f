"""An expectation that is left to one draw says so among the choices of the compiler."""

from __future__ import annotations

import pytest

from tests.language.helpers import diagnose
from vspec.compiler.graph.strategy import choices_of
from vspec.compiler.pipeline import compile_spec


@pytest.mark.parametrize(
    ("value", "single"),
    [
        ("E[z, y](sin(z*y)**4)", True),
        ("E[z, y](sin(z*y)**4, by=samples(64))", False),
        ("E[z, y](z**2*y**2)", False),
    ],
)
def test_one_draw_is_said_to_be_one(value: str, single: bool) -> None:
    text = f"random: {{z: 'normal(1, 2)', y: 'normal(0, 1)'}}\noutputs: {{value: '{value}'}}\n"
    spec, diagnostics = diagnose(text)
    assert spec is not None, diagnostics
    (choice,) = [c for c in choices_of(compile_spec(spec).graph) if c.kind == "expectation"]
    assert ("one draw at a time" in choice.because) is single
