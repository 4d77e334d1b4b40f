"""Every code is explained, exemplified and tried: those that a spec can trigger by a spec in `bad/`, others by a named test."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.support.diagnose import diagnosed
from vspec.cli import main
from vspec.codes import INTERNAL, all_codes
from vspec.compiler.diagnostics.code import Code
from vspec.compiler.diagnostics.codes_language import PLANNED
from vspec.compiler.graph import limits
from vspec.compiler.pipeline import check_text, compile_spec

TESTS = Path(__file__).parents[1]
CODES = all_codes()
COMPILE_TIME = [c for c in CODES.values() if re.match(r"VS0[12347]|VS09", c.code) and c.code != INTERNAL]
BAD = {path.stem.split("-")[0] for path in (TESTS / "bad").glob("*.yaml")}

# Codes that no small file triggers: they are about files, limits and overrides, or about what follows the check.
ELSEWHERE = {
    "VS0101": "source/test_load.py",
    "VS0102": "source/test_load.py",
    "VS0319": "language/test_sections.py",
    "VS0329": "language/test_sections.py",
    "VS0701": "source/test_load.py",
    "VS0720": "language/test_parse.py",
    "VS0391": "calculus/test_implicit.py",
    "VS0397": "specs/test_adjoints.py",
    "VS0726": "diagnostics/test_coverage.py",
}


@pytest.mark.parametrize("code", CODES.values(), ids=lambda c: c.code)
def test_every_code_is_explained(code: Code) -> None:
    assert re.fullmatch(r"VS0\d{3}", code.code)
    assert 5 <= len(code.title) <= 90
    assert code.title[0].islower() or code.title[0] in "':-"
    assert not code.title.endswith(".")
    assert len(code.explanation) >= 25
    assert code.explanation.rstrip(")").endswith(".")
    assert code.example or code.code == INTERNAL


@pytest.mark.parametrize("code", CODES.values(), ids=lambda c: c.code)
def test_explain_error_prints_it(code: Code) -> None:
    shown = CliRunner().invoke(main, ["explain-error", code.code])
    assert shown.exit_code == 0
    assert shown.stdout.startswith(f"{code.code}: {code.title}\n")
    assert code.explanation.split()[0] in shown.stdout
    for line in code.example.splitlines():
        assert line in shown.stdout


def triggered(text: str) -> set[str]:
    """The codes of a snippet; the head of a spec is added to what is not about the file."""
    head = "" if text.startswith("vspec:") else "vspec: 1\nname: example\n"
    return {d.code for d in diagnosed(head + text, "example.yaml")}


# What these are about shows only when the graph is made, which 'vspec check' does not.
BUILT = ("VS0259", "VS0271", "VS0391", "VS0397", "VS0726")
SHOWN = [c for c in COMPILE_TIME if not c.example.startswith("vspec ") and c.code not in BUILT]


@pytest.mark.parametrize("code", SHOWN, ids=lambda c: c.code)
def test_examples_trigger_their_code_and_no_other(code: Code) -> None:
    if code.code.startswith("VS01"):
        assert code.code in {d.code for d in check_text(code.example, "example.yaml")[1]}
    else:
        assert triggered(code.example) == {code.code}


def test_every_code_that_a_spec_can_trigger_has_one() -> None:
    planned = {c.code for c in PLANNED}  # their examples are run above; a spec for each would be a list of keys
    assert {c.code for c in COMPILE_TIME} - BAD - planned == set(ELSEWHERE)
    for code, path in ELSEWHERE.items():
        assert code in (TESTS / path).read_text(encoding="utf-8"), code


def test_every_code_of_a_run_and_of_the_front_door_is_tried() -> None:
    rooms = ("runtime", "cli", "emit", "specs", "examples")
    text = "".join(p.read_text(encoding="utf-8") for room in rooms for p in sorted((TESTS / room).rglob("*.py")))
    assert [c for c in CODES if re.match(r"VS0[568]", c) and c not in text] == []


def test_wrong_specs_are_many_and_small() -> None:
    files = sorted((TESTS / "bad").glob("*.yaml"))
    assert len(files) >= 150
    assert max(len(p.read_text(encoding="utf-8").splitlines()) for p in files) <= 120


@pytest.mark.parametrize(
    ("name", "most", "message"),
    [
        ("MAX_NODES", 5, "more than 5 operations on arrays"),
        ("MAX_OPERATIONS", 40, "more than 40 operations as it is differentiated"),
    ],
)
def test_a_program_that_grows_too_large_is_refused(
    name: str, most: int, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, name, most)
    text = CODES["VS0726"].example
    spec, _ = check_text(text, "example.yaml")
    assert spec is not None
    with pytest.raises(Exception, match="VS0726") as caught:
        compile_spec(spec)
    (found,) = getattr(caught.value, "diagnostics", ())
    assert message in found.message
    assert (found.span.file, found.span.line) == ("example.yaml", 5)
