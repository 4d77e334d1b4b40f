"""`# vspec: allow CODE`: what it silences, and what is wrong with it."""

from __future__ import annotations

import pytest

from tests.lint.helpers import warnings

LOG = "params: {w: {init: 1}}\noutputs:\n%s"


def codes(text: str, pedantic: bool = True) -> list[str]:
    return [d.code for d in warnings(LOG % text, pedantic)]


@pytest.mark.parametrize(
    "text",
    [
        "  a: log(w) # vspec: allow VS0904\n",
        "  a: log(w)    #vspec:allow VS0904: w is positive in practice\n",
        "  # vspec: allow VS0904\n  a: log(w)\n",
        "  # vspec: allow VS0904\n  # a word about it\n\n  a: log(w)\n",
        "# vspec: allow VS0904\n  a: log(w)\n",
        "  # vspec: allow VS0904\n  a: log(w) +\n    log(2*w)\n",
        "  a: 'log(w) +\n    log(2*w)'\n",
        "  # vspec: allow VS0904\n  a: >-\n    1 +\n    log(w)\n",
        "  a: | # vspec: allow VS0904\n    1 +\n    log(w)\n",
        "  # vspec: allow VS0904\n  a: {is: log(w)}\n",
        "  # vspec: allow VS0904\n  a: {is: 1 +\n    log(w)}\n",
        "  # vspec: allow VS0905, VS0904\n  a: log(w) if w != 2 else 0\n",
        "  # vspec: allow VS0905\n  # vspec: allow VS0904\n  a: log(w) if w != 2 else 0\n",
    ],
)
def test_a_comment_silences_its_entry(text: str) -> None:
    given = [] if "allow" in text else ["VS0904", "VS0904"]
    assert codes(text) == given


@pytest.mark.parametrize(
    "text",
    [
        "  # vspec: allow VS0904\n  b: w\n  a: log(w)\n",
        "  a: log(w)\n  # vspec: allow VS0904\n",
        "  b: w # vspec: allow VS0904\n  a: log(w)\n",
        "  a: log(w) # vspec: allow VS0903\n",
    ],
)
def test_a_comment_elsewhere_silences_nothing(text: str) -> None:
    assert "VS0904" in codes(text)
    assert ("VS0916" in codes(text)) == ("\n  # vspec: allow VS0904\n" not in text)


def test_a_comment_above_a_section_is_about_its_first_line_only() -> None:
    text = "params: {w: {init: 1}}\n# vspec: allow VS0904\noutputs:\n  a: log(w)\n"
    assert [d.code for d in warnings(text, True)] == ["VS0916", "VS0904"]


def test_text_is_no_comment() -> None:
    assert codes("  a: log(w)\n  b:\n    is: 'w'\n", False) == []
    text = "doc: |\n  # vspec: allow VS0904\nparams: {w: {init: 1}}\noutputs: {a: log(w)}\n"
    assert [d.code for d in warnings(text, True)] == ["VS0904"]


@pytest.mark.parametrize(
    ("comment", "message", "column"),
    [
        ("# vspec: allow", "'allow' names the warnings that it allows", 11),
        ("# vspec: allow : it is fine", "'allow' names the warnings that it allows", 11),
        ("# vspec: allow VS0203", "VS0203 is an error, which no comment allows", 26),
        ("# vspec: allow VS0999", "'VS0999' is not the code of a warning", 26),
        ("# vspec: allow VS0904, what", "'what' is not the code of a warning", 34),
        ("# vspec: allow VS0916", "VS0916 is about comments, which no comment allows", 26),
        ("# vspec: ignore VS0904", "'ignore' is nothing that a comment can say", 11),
        ("# vspec:", "this comment says nothing", 11),
        ("# Vspec: allow VS0904", "this comment says nothing", 11),
    ],
)
def test_comments_that_are_wrong(comment: str, message: str, column: int) -> None:
    found = [d for d in warnings(f"outputs:\n  a: 1    {comment}\n") if d.code == "VS0915"]
    assert [d.message for d in found] == [message]
    assert found[0].span is not None
    assert (found[0].span.line, found[0].span.column) == (5, column)


def test_comments_of_no_use_are_reported_at_the_pedantic_level() -> None:
    assert codes("  a: w # vspec: allow VS0904, VS0905\n", False) == []
    assert codes("  a: w # vspec: allow VS0904, VS0905\n") == ["VS0916", "VS0916"]
    assert codes("  a: log(w) # vspec: allow VS0904, VS0905\n") == ["VS0916"]


def test_words_about_vspec_are_comments_like_others() -> None:
    assert codes("  a: w # see vspec: the manual\n  # vspec check this\n") == []
