"""An error stands under the character that is wrong, in whatever style of YAML the expression is written."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vspec.compiler.pipeline import check_text

HEAD = """\
vspec: 1
name: places
doc: >-
  Some lines
  before, with an é.
dims: {i: 3}
constants: {c: 2.5}
params:
  w[i]: {init: 1}
define:
"""
TERMS = (
    "c",
    "sum[i](w[i])",
    "w[0]",
    "exp(-c)",
    "(1 - c)",
    "max(c, w[1])",
    "3.5",
    "norm[i](w[i] - c)",
    "(c if c > 1 else 2)",
)
SIGNS = (" + ", " - ", "*", " /", "* ", "  +  ")

# What is put into the expression, in the place of a term, and the code and text that the error must have.
MARKS = {
    "zzz": ("VS0201", "zzz"),
    "w[zzz]": ("VS0202", "zzz"),
    "zzz(c)": ("VS0214", "zzz"),
    "c ? c": ("VS0231", "?"),
    "w[7]": ("VS0207", "7"),
    "w": ("VS0206", "w"),
    "(c, c)": ("VS0235", "(c, c)"),
    "c = c": ("VS0232", "="),
    "w[0][1]": ("VS0236", "w[0][1]"),
    "exp(c, c)": ("VS0215", "exp(c, c)"),
}


def broken(pieces: Sequence[str], gaps: Sequence[str]) -> str:
    return "".join(p + g for p, g in zip(pieces, (*gaps, "")))


def plain(pieces: Sequence[str], gaps: Sequence[int]) -> str:
    return "  a: " + broken(pieces, [(" ", "\n    ", "\n\n      ")[g] for g in gaps]) + "\n"


def single(pieces: Sequence[str], gaps: Sequence[int]) -> str:
    return "  a: '" + broken(pieces, [(" ", "\n    ", " \n\n ")[g] for g in gaps]) + "'\n"


def double(pieces: Sequence[str], gaps: Sequence[int]) -> str:
    return '  a: "' + broken(pieces, [(" \\x20", " \\\n    ", "\n   ")[g] for g in gaps]) + '"\n'


def folded(pieces: Sequence[str], gaps: Sequence[int]) -> str:
    return "  a: >-\n    " + broken(pieces, [(" ", "\n    ", "\n\n    ")[g] for g in gaps]) + "\n"


def literal(pieces: Sequence[str], gaps: Sequence[int]) -> str:
    return "  a: |  # why\n    " + broken(pieces, [("  ", "\n    ", "\n      ")[g] for g in gaps]) + "\n"


def indented(pieces: Sequence[str], gaps: Sequence[int]) -> str:
    return "  a: |2-\n      " + broken(pieces, [("  ", "\n    ", "\n      ")[g] for g in gaps]) + "\n"


def option(pieces: Sequence[str], gaps: Sequence[int]) -> str:
    return "  a: {is: '" + broken(pieces, [(" ", "\n    ", "\n\n     ")[g] for g in gaps]) + "'}\n"


def call(pieces: Sequence[str], gaps: Sequence[int]) -> str:
    """Between parentheses, after an escape or a character of two bytes in the file."""
    return '  "a": "\\u0028' + broken(pieces, [(" ", "\\t", "\n  ")[g] for g in gaps]) + '\\x29"\n'


STYLES: dict[str, Callable[[Sequence[str], Sequence[int]], str]] = {
    f.__name__: f for f in (plain, single, double, folded, literal, indented, option, call)
}


@pytest.mark.parametrize("style", STYLES)
@settings(max_examples=120, deadline=None)
@given(data=st.data())
def test_the_caret_stands_under_the_mark(style: str, data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 5))
    terms = data.draw(st.lists(st.sampled_from(TERMS), min_size=count, max_size=count))
    at = data.draw(st.integers(0, count - 1))
    mark = data.draw(st.sampled_from(sorted(MARKS)))
    signs = data.draw(st.lists(st.sampled_from(SIGNS), min_size=count, max_size=count))
    gaps = data.draw(st.lists(st.integers(0, 2), min_size=count - 1, max_size=count - 1))
    terms[at] = f"<{mark}>"
    # A sign opens the piece after a gap, so that the text never starts with one.
    pieces = [terms[0], *(s.lstrip() + t for s, t in zip(signs, terms[1:]))]
    text = HEAD + STYLES[style](pieces, gaps)
    place = text.index("<" + mark) + mark.index(MARKS[mark][1])
    text = text.replace(f"<{mark}>", mark)
    code, shown = MARKS[mark]
    line = text.count("\n", 0, place) + 1
    column = place - text.rfind("\n", 0, place)
    _, diagnostics = check_text(text, "places.yaml")
    assert [d.code for d in diagnostics] == [code], (text, diagnostics)
    span = diagnostics[0].span
    assert span is not None
    assert (span.line, span.column, span.end_line, span.end_column) == (line, column, line, column + len(shown)), text


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("mark", MARKS)
def test_every_mark_in_every_style(style: str, mark: str) -> None:
    code, shown = MARKS[mark]
    text = HEAD + STYLES[style](["c", f"+ <{mark}>", "- exp(c)"], [1, 2])
    place = text.index("<" + mark) + mark.index(shown)
    text = text.replace(f"<{mark}>", mark)
    (found,) = check_text(text, "places.yaml")[1]
    assert found.code == code
    assert found.span is not None
    assert (found.span.line, found.span.column) == (text.count("\n", 0, place) + 1, place - text.rfind("\n", 0, place))
