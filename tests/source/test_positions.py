"""Positions: whatever the style of a scalar, each character of its text is found again in the file."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from vspec.compiler.source.document import Document, Mapping, Scalar, Sequence, Value
from vspec.compiler.source.load import parse_document
from vspec.compiler.source.scalars import Lines, trace_block, trace_double, trace_plain, trace_single


def leaf(document: Document, *path: str | int) -> Scalar:
    """The scalar at a path of keys and positions."""
    value: Value | None = document.root
    for step in path:
        if isinstance(value, Mapping):
            value = value.get(str(step))
        elif isinstance(value, Sequence):
            value = value.items[int(step)]
    assert isinstance(value, Scalar)
    return value


def under(document: Document, scalar: Scalar, piece: str) -> str:
    """What stands in the file where `piece` of the scalar's text is located (one line)."""
    start = scalar.text.index(piece)
    span = scalar.locate(start, start + len(piece))
    assert span.line == span.end_line
    return document.text.split("\n")[span.line - 1][span.column - 1 : span.end_column - 1]


FILE = """\
plain: y[n] + margin[n]
several: a +
  second[i]
   + third
single: 'it''s  quoted'
double: "tab\\t then \\u03b1 omega"
wrapped: "first \\
   joined
   folded"
folded: >-
  one*two
  + three

  four
literal: |
  alpha
    beta
kept: |+2
    deep
  end

flow: {a: box(lo, hi), b: [1, two]}
"""


@pytest.mark.parametrize(
    ("path", "piece"),
    [
        (["plain"], "margin[n]"),
        (["several"], "second[i]"),
        (["several"], "third"),
        (["single"], "quoted"),
        (["double"], "omega"),
        (["wrapped"], "first"),
        (["wrapped"], "joined"),
        (["wrapped"], "folded"),
        (["folded"], "two"),
        (["folded"], "three"),
        (["folded"], "four"),
        (["literal"], "alpha"),
        (["literal"], "beta"),
        (["kept"], "deep"),
        (["kept"], "end"),
        (["flow", "a"], "hi"),
        (["flow", "b", 1], "two"),
    ],
)
def test_a_piece_is_found_in_the_file(path: list[str | int], piece: str) -> None:
    document = parse_document(FILE, "a.yaml")
    assert under(document, leaf(document, *path), piece) == piece


def test_keys_have_positions() -> None:
    document = parse_document("dims:\n  i, j: 3\n", "a.yaml")
    dims = document.root.get("dims")
    assert isinstance(dims, Mapping)
    key = dims.entries[0][0]
    assert (key.text, str(key.span), key.span.end_column) == ("i, j", "a.yaml:2:3", 7)


def test_an_escape_stands_where_it_begins() -> None:
    document = parse_document('a: "x\\u03b1y"\n', "a.yaml")
    scalar = leaf(document, "a")
    assert scalar.text == "xαy"
    assert scalar.places == ((1, 5), (1, 6), (1, 12), (1, 13))


def test_spans_of_blocks_end_with_their_content() -> None:
    document = parse_document("a:\n  b: 1\n  c: |\n    text\n\n\nd: 2\n", "a.yaml")
    a = document.root.get("a")
    assert a is not None
    assert (a.span.line, a.span.column, a.span.end_line, a.span.end_column) == (2, 3, 4, 9)


def test_an_anchor_is_not_part_of_its_scalar() -> None:
    document = parse_document("a: &mark value\nb: *mark\nc: &q 'it'\n", "a.yaml")
    assert leaf(document, "b") is leaf(document, "a")
    assert leaf(document, "a").places[0] == (1, 10)
    assert leaf(document, "c").places[0] == (3, 8)


def test_windows_line_ends_and_a_byte_order_mark_do_not_move_positions() -> None:
    document = parse_document("\ufeffa: 1\r\nb: two\r\n", "a.yaml")
    assert str(leaf(document, "b").span) == "a.yaml:2:4"
    assert document.text == "a: 1\nb: two\n"


LINE = st.text(alphabet="ab+*()[]'\" .:#-\\αß漢\t", min_size=0, max_size=12)
WORDS = st.lists(st.text(alphabet="ab+*(α漢", min_size=1, max_size=5), min_size=1, max_size=4)
GAPS = st.sampled_from([" ", "  ", "\n  ", "\n\n    ", " \n \t \n  "])


def parsed(text: str) -> str | None:
    """The value that PyYAML's own loader gives to the key `a`."""
    try:
        loaded = yaml.load(text, Loader=yaml.BaseLoader)
    except yaml.YAMLError:
        return None
    return loaded.get("a") if isinstance(loaded, dict) else None


def consistent(source: str, text: str, places: list[tuple[int, int]]) -> None:
    """Every character is at its place, unless folding or an escape stands there."""
    assert len(places) == len(text) + 1
    assert places == sorted(places)
    lines = [f"{line}\n" for line in source.split("\n")]
    for char, (line, column) in zip(text, places):
        there = lines[line - 1][column - 1]
        assert there == char or char in " \n" or there in "\\'"


@given(words=WORDS, gaps=st.lists(GAPS, min_size=4, max_size=4))
def test_plain(words: list[str], gaps: list[str]) -> None:
    raw = "".join(w + g for w, g in zip(words, gaps)).rstrip()
    expected = parsed(f"a: {raw}\n")
    if expected is None or ("\n" in raw and "\t" in raw):
        return
    text, places = trace_plain(raw, 1, 4)
    assert text == expected
    consistent(f"a: {raw}", text, places)


@given(
    words=st.lists(st.text(alphabet="ab' α#:{", max_size=5), min_size=1, max_size=4), gaps=st.lists(GAPS, min_size=4)
)
def test_single_quoted(words: list[str], gaps: list[str]) -> None:
    raw = "".join(w.replace("'", "''") + g for w, g in zip(words, gaps))
    expected = parsed(f"a: '{raw}'\n")
    if expected is None:
        return
    text, places = trace_single(raw, 1, 5)
    assert text == expected
    consistent(f"a: '{raw}'", text, places)


PIECES = st.sampled_from(
    ["a", "b ", " ", "\\n", "\\t", "\\\\", '\\"', "\\x41", "\\u03b1", "\\\n  ", "\n  ", " \n\n ", "漢", "\\ "]
)


@given(pieces=st.lists(PIECES, max_size=10))
@example(pieces=["a", " ", "\\\n  ", "\n  ", "b "])
def test_double_quoted(pieces: list[str]) -> None:
    raw = "".join(pieces)
    expected = parsed(f'a: "{raw}"\n')
    if expected is None:
        return
    text, places = trace_double(raw, 1, 5)
    assert text == expected
    consistent(f'a: "{raw}"', text, places)


@settings(max_examples=300)
@given(
    header=st.sampled_from(["|", "|-", "|+", ">", ">-", ">+", "|2", ">2-", ">+2 # why"]),
    lines=st.lists(st.tuples(st.sampled_from(["", "  ", "   ", "    "]), LINE), max_size=6),
    final=st.booleans(),
)
@example(header=">", lines=[("  ", "a"), ("", ""), ("    ", "b"), ("", ""), ("  ", "c")], final=True)
@example(header=">+", lines=[("", ""), ("  ", "a"), ("", "")], final=False)
def test_block(header: str, lines: list[tuple[str, str]], final: bool) -> None:
    body = "\n".join(indent + line for indent, line in lines)
    source = f"a: {header}\n{body}" + ("\n" if final else "")
    expected = parsed(source)
    if expected is None:
        return
    text, places = trace_block(expected, Lines(source), 0)
    assert text == expected
    assert len(places) == len(text) + 1
    shown = [f"{line}\n" for line in source.split("\n")]
    for char, (line, column) in zip(text, places):
        assert shown[line - 1][column - 1] == char or char in " \n"
