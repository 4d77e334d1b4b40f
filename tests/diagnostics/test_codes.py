"""The registry of codes: complete, in its ranges, and what its examples show is true."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from vspec.compiler.diagnostics.code import Code
from vspec.compiler.diagnostics.codes import CODES, registry
from vspec.compiler.diagnostics.codes_limits import LIMITS
from vspec.compiler.diagnostics.codes_source import SOURCE
from vspec.compiler.pipeline import check_text

COMPILER = Path(__file__).parents[2] / "compiler"


def used(*rooms: str) -> set[str]:
    """The codes that the modules of some rooms name."""
    found: set[str] = set()
    for room in rooms:
        for path in (COMPILER / room).glob("*.py"):
            found |= set(re.findall(r'"(VS\d{4})"', path.read_text(encoding="utf-8")))
    return found


def test_every_code_is_described() -> None:
    for name, code in CODES.items():
        assert re.fullmatch(r"VS0[1-9]\d\d", name)
        assert code.code == name
        assert code.title
        assert not code.title.endswith(".")
        assert code.explanation.rstrip(")").endswith("."), name


def test_no_code_is_registered_twice() -> None:
    with pytest.raises(ValueError, match="VS0999 is registered twice"):
        registry([Code("VS0999", "a", "b")], [Code("VS0999", "c", "d")])


def test_every_code_that_is_raised_is_registered() -> None:
    assert used("source", "language") <= set(CODES)


def test_every_code_of_the_source_stage_is_raised() -> None:
    assert {code.code for code in SOURCE} <= used("source")


@pytest.mark.parametrize(
    "code", [c for c in SOURCE if c.example and not c.example.startswith("vspec ")], ids=lambda c: c.code
)
def test_examples_show_what_they_say(code: Code) -> None:
    _, diagnostics = check_text(code.example, "example.yaml")
    assert code.code in {d.code for d in diagnostics}


def test_limits_are_in_their_range() -> None:
    assert all(code.code.startswith("VS07") for code in LIMITS)
