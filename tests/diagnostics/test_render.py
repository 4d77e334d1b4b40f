"""Rendering: the text people read and the data machines read."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vspec.compiler.diagnostics.diagnostic import Diagnostic, Sink, SpecError
from vspec.compiler.diagnostics.render import WIDEST, count, in_order, render_text, to_json
from vspec.compiler.diagnostics.spans import Span

FILE = "\n".join([*["#"] * 16, "  margin[n]: y[n] * sum[i](X[n, i] * w[k])", ""])


def at(line: int, column: int, end_line: int, end_column: int, **more: object) -> Diagnostic:
    """A diagnostic with a span in `f`."""
    return Diagnostic("VS0001", "message", Span("f", line, column, end_line, end_column), **more)  # type: ignore[arg-type]


def shown(diagnostic: Diagnostic, text: str) -> list[str]:
    """The lines of one rendered diagnostic below its place."""
    return render_text([diagnostic], {"f": text}, summary=False).splitlines()[2:]


def test_the_style() -> None:
    diagnostic = Diagnostic(
        "VS0203",
        "index 'k' is free on the right of 'margin' but not on its left",
        Span("logistic.yaml", 17, 40, 17, 41),
        "'k' is not bound here",
        ("did you mean 'i'? w is declared as w[i]",),
    )
    assert (
        render_text([diagnostic], {"logistic.yaml": FILE})
        == """\
error[VS0203]: index 'k' is free on the right of 'margin' but not on its left
  --> logistic.yaml:17:40
   |
17 |   margin[n]: y[n] * sum[i](X[n, i] * w[k])
   |                                        ^ 'k' is not bound here
   = help: did you mean 'i'? w is declared as w[i]

1 error
"""
    )


def test_several_are_separated_and_counted() -> None:
    sink = Sink()
    sink.error("VS0001", "one")
    sink.error("VS0002", "two", help=["a", "", "b"])
    sink.warning("VS0003", "three")
    assert render_text(sink.diagnostics) == (
        "error[VS0001]: one\n\nerror[VS0002]: two\n  = help: a\n  = help: b\n\n"
        "warning[VS0003]: three\n\n2 errors, 1 warning\n"
    )


def test_a_message_is_one_line() -> None:
    assert Diagnostic("VS0001", "unknown key 'a\n  b'").message == "unknown key 'a b'"
    assert len(Diagnostic("VS0001", "x " * 5000).message) == 400


def test_nothing_is_nothing() -> None:
    assert render_text([]) == ""
    assert count([]) == "no errors"


def test_no_more_than_the_limit_are_shown() -> None:
    text = render_text([Diagnostic("VS0001", str(n)) for n in range(60)], limit=2)
    assert text.count("error[") == 2
    assert text.endswith("60 errors; the first 2 are shown\n")


def test_a_file_without_text_is_shown_by_its_place() -> None:
    assert render_text([at(3, 4, 3, 5)], summary=False) == "error[VS0001]: message\n --> f:3:4\n"


def test_a_span_over_two_lines() -> None:
    assert shown(at(1, 4, 2, 4, label="here"), "a: b +\n  c*d") == [
        "  |",
        "1 | a: b +",
        "  |    ^^^",
        "2 |   c*d",
        "  |   ^ here",
    ]


def test_a_long_span_is_shown_by_its_ends() -> None:
    text = "\n".join(f"  line{n}" for n in range(1, 12))
    assert shown(at(2, 3, 10, 9), text) == [
        "   |",
        " 2 |   line2",
        "   |   ^^^^^",
        " 3 |   line3",
        "   |   ^^^^^",
        "...",
        "10 |   line10",
        "   |   ^^^^^^",
    ]


def test_a_span_that_ends_at_the_start_of_a_line_stops_before_it() -> None:
    assert shown(at(1, 1, 2, 1), "abc\ndef") == ["  |", "1 | abc", "  | ^^^"]


def test_tabs_and_wide_characters_keep_the_caret_in_place() -> None:
    assert shown(at(1, 3, 1, 4), "\tab")[1:] == ["1 |     ab", "  |      ^"]
    assert shown(at(1, 3, 1, 5), "漢字x漢")[1:] == ["1 | 漢字x漢", "  |     ^^^"]
    assert shown(at(1, 3, 1, 4), "e\u0301x")[1:] == ["1 | e\u0301x", "  |  ^"]


@pytest.mark.parametrize(("column", "end"), [(4, 4), (9, 10), (4, 99), (99, 99)])
def test_spans_beyond_the_line_have_a_caret(column: int, end: int) -> None:
    assert "^" in shown(at(1, column, 1, end), "abc")[2]


def test_a_line_beyond_the_file_is_not_shown() -> None:
    assert render_text([at(7, 1, 7, 2)], {"f": "abc"}, summary=False).splitlines() == [
        "error[VS0001]: message",
        " --> f:7:1",
    ]


def test_long_lines_are_cut_around_the_caret() -> None:
    text = "x" * 300 + "HERE" + "y" * 300
    _, line, carets = shown(at(1, 301, 1, 305, label="this"), text)
    assert len(line) <= WIDEST + 12
    start = carets.index("^")
    assert line[start : start + 4] == "HERE"
    assert carets[start:] == "^^^^ this"


def test_control_characters_never_reach_the_terminal() -> None:
    text = render_text([at(1, 1, 1, 2, label="\x1b[2J", help=("\x07",))], {"f": "\x1b[31mred\x9b"}, summary=False)
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f]", text)


def test_colour_changes_nothing_else() -> None:
    diagnostics = [at(1, 1, 1, 2, label="l", help=("h",)), Diagnostic("VS0002", "w", severity="warning")]
    coloured = render_text(diagnostics, {"f": "abc"}, color=True)
    assert "\x1b[1;31m" in coloured
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured) == render_text(diagnostics, {"f": "abc"})


def test_order_is_that_of_the_file_and_each_is_said_once() -> None:
    first, second = at(1, 9, 1, 10), at(2, 1, 2, 2)
    nowhere = Diagnostic("VS0009", "m")
    assert in_order([second, first, nowhere, second]) == (nowhere, first, second)


def test_json() -> None:
    data = to_json([at(1, 2, 3, 4, label="l", help=("h",)), Diagnostic("VS0002", "w", severity="warning")])
    assert json.loads(json.dumps(data)) == data
    assert data[0] == {
        "code": "VS0001",
        "severity": "error",
        "message": "message",
        "file": "f",
        "line": 1,
        "column": 2,
        "end_line": 3,
        "end_column": 4,
        "label": "l",
        "help": ["h"],
    }
    assert data[1]["line"] is None


def test_the_sink_raises_with_everything() -> None:
    sink = Sink()
    sink.warning("VS0001", "only a warning")
    sink.raise_if_errors()
    sink.error("VS0002", "an error")
    with pytest.raises(SpecError, match="VS0002: an error") as caught:
        sink.raise_if_errors()
    assert len(caught.value.diagnostics) == 2


@given(st.text(max_size=80), st.integers(1, 5), st.integers(1, 90), st.integers(0, 4), st.integers(1, 90))
def test_any_span_of_any_text_is_rendered(text: str, line: int, column: int, more: int, end: int) -> None:
    rendered = render_text([at(line, column, line + more, end)], {"f": text})
    assert rendered.startswith("error[VS0001]: message\n")
    assert rendered.endswith("1 error\n")
