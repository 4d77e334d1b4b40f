"""Loading: YAML 1.2 values, what is refused and where, and that nothing but SpecError is ever raised."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vspec.compiler.diagnostics.diagnostic import Diagnostic, SpecError
from vspec.compiler.diagnostics.render import to_json
from vspec.compiler.source.document import Document, plain
from vspec.compiler.source.load import load_document, parse_document
from vspec.compiler.source.read import MAX_BYTES


def values(text: str) -> object:
    """The document as plain Python values."""
    return plain(parse_document(text, "a.yaml").root)


def refused(text: str) -> tuple[Diagnostic, ...]:
    """The diagnostics with which a text is refused."""
    with pytest.raises(SpecError) as caught:
        parse_document(text, "a.yaml")
    return caught.value.diagnostics


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("1e-3", 1e-3),
        ("1e3", 1000.0),
        ("-1.5E+2", -150.0),
        (".5", 0.5),
        ("5.", 5.0),
        ("12", 12),
        ("-7", -7),
        ("+7", 7),
        ("007", 7),
        ("0x1F", 31),
        ("0o17", 15),
        ("0b11", "0b11"),
        ("1_000", "1_000"),
        ("1:30", "1:30"),
        (".inf", math.inf),
        ("-.Inf", -math.inf),
        ("true", True),
        ("False", False),
        ("on", "on"),
        ("off", "off"),
        ("yes", "yes"),
        ("no", "no"),
        ("y", "y"),
        ("null", None),
        ("~", None),
        ("", None),
        ("2020-01-01", "2020-01-01"),
        ("=", "="),
        ("'1'", "1"),
        ('"true"', "true"),
        ("- 1", [1]),
        ("-x", "-x"),
        ("2*label[n] - 1", "2*label[n] - 1"),
        ("sum[i](X[n, i]*w[i])", "sum[i](X[n, i]*w[i])"),
        ("1 if image[p, i] > 7 else -1.0", "1 if image[p, i] > 7 else -1.0"),
        ("block([x], [y])", "block([x], [y])"),
    ],
)
def test_values_are_those_of_yaml_1_2(written: str, value: object) -> None:
    separator = "\n" if written.startswith("- ") else " "
    found = values(f"a:{separator}{written}\n")
    assert found == {"a": value}
    assert type(found["a"]) is type(value)  # type: ignore[index]


def test_nan() -> None:
    found = values("a: .nan\n")
    assert isinstance(found, dict)
    assert math.isnan(found["a"])


def test_words_that_yaml_1_1_takes_for_booleans_are_good_keys() -> None:
    assert values("y: 1\nn: 2\non: 3\nno: 4\n") == {"y": 1, "n": 2, "on": 3, "no": 4}


def test_the_text_of_a_number_is_what_was_written() -> None:
    scalar = parse_document("a: 1e-3\n", "a.yaml").root.get("a")
    assert scalar is not None
    assert scalar.text == "1e-3"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("{init: sample(normal(0, 10))}", {"init": "sample(normal(0, 10))"}),
        ("{domain: box(-b, b), init: 0}", {"domain": "box(-b, b)", "init": 0}),
        ("{init: 0, domain: box(0, 1)}", {"init": 0, "domain": "box(0, 1)"}),
        ("{f(x, y): x + y, g: max(1, 2, 3)}", {"f(x, y)": "x + y", "g": "max(1, 2, 3)"}),
        ("{f(x, y): g(x, y)}", {"f(x, y)": "g(x, y)"}),
        ("[box(0, 1), x, f(a, b, c)]", ["box(0, 1)", "x", "f(a, b, c)"]),
        ("{m: f(x,\n    y)}", {"m": "f(x, y)"}),
        ("['f(x', y)]", ["f(x", "y)"]),
    ],
)
def test_a_call_inside_braces_is_one_value(written: str, value: object) -> None:
    assert values(f"a: {written}\n") == {"a": value}


def test_letters_that_share_a_dimension_may_stand_inside_braces() -> None:
    assert values("dims: {n: 3, i, j, k: 4, l: 5}\n") == {"dims": {"n": 3, "i, j, k": 4, "l": 5}}
    assert values("runs: {a: {dims: {i, j: 4}}}\n") == {"runs": {"a": {"dims": {"i, j": 4}}}}
    assert values("other: {i, j: 4}\n") == {"other": {"i": None, "j": 4}}


def test_aliases_repeat_what_they_mark() -> None:
    assert values("a: &it {b: 1}\nc: *it\n") == {"a": {"b": 1}, "c": {"b": 1}}


@pytest.mark.parametrize(
    ("text", "code", "place"),
    [
        ("", "VS0104", "a.yaml:1:1"),
        ("# only this\n", "VS0104", "a.yaml:1:1"),
        ("null\n", "VS0104", "a.yaml:1:1"),
        ("text\n", "VS0105", "a.yaml:1:1"),
        ("- 1\n", "VS0105", "a.yaml:1:1"),
        ("a: 1\n---\nb: 2\n", "VS0106", "a.yaml:2:1"),
        ("a:\n\tb: 1\n", "VS0107", "a.yaml:2:1"),
        ("a: x\n\ty\n", "VS0107", "a.yaml:2:1"),
        ("a:\n  b: 1\n c: 2\n", "VS0108", "a.yaml:3:2"),
        ("a: 1\n  b: 2\n", "VS0108", "a.yaml:2:3"),
        ("a:\n  - x\n  y: 1\n", "VS0108", "a.yaml:3:3"),
        ("a: 1\n- b\n", "VS0108", "a.yaml:2:1"),
        ("a: ? x\n", "VS0109", "a.yaml:1:4"),
        ("a: - x\n", "VS0109", "a.yaml:1:4"),
        ("%TAG ! x\na: 1\n", "VS0109", "a.yaml:1:1"),
        ("a: x\nb\n", "VS0109", "a.yaml:2:1"),
        ("a: !foo x\n", "VS0110", "a.yaml:1:4"),
        ("a: !!str x\n", "VS0110", "a.yaml:1:4"),
        ("!!map {a: 1}\n", "VS0110", "a.yaml:1:1"),
        ("a: &m !!set {x}\n", "VS0110", "a.yaml:1:7"),
        ("a: 1\nb: 2\n'a': 3\n", "VS0111", "a.yaml:3:1"),
        ("a: {b: 1, b: 2}\n", "VS0111", "a.yaml:1:11"),
        ("1: x\n", "VS0112", "a.yaml:1:1"),
        ("a: {null: x}\n", "VS0112", "a.yaml:1:5"),
        ("? {a: 1}\n: b\n", "VS0112", "a.yaml:1:3"),
        ("a: {P[i, j]: x}\n", "VS0113", "a.yaml:1:6"),
        ("a: {is: s[-1, p], plot: line}\n", "VS0113", "a.yaml:1:10"),
        ("a: [s[0], 1]\n", "VS0113", "a.yaml:1:6"),
        ("a: {m: f(x, b=[y]), c: 1}\n", "VS0113", "a.yaml:1:15"),
        ("a: {m: f(x, y}\n", "VS0114", "a.yaml:1:11"),
        ("a: {m: f(x, y: 2)}\n", "VS0114", "a.yaml:1:11"),
        ("a: b: c\n", "VS0115", "a.yaml:1:5"),
        ("a: {b: c: d}\n", "VS0115", "a.yaml:1:9"),
        ("a: f(x #y)\n", "VS0116", "a.yaml:1:8"),
        ("a: @x\n", "VS0117", "a.yaml:1:4"),
        ("a: **x\n", "VS0117", "a.yaml:1:4"),
        ("a: {b: & x}\n", "VS0117", "a.yaml:1:8"),
        ("a: {b:[1]}\n", "VS0115", "a.yaml:1:6"),
        ("a: !<x y\n", "VS0110", "a.yaml:1:4"),
        ("a: [1, 2] + b\n", "VS0117", "a.yaml:1:11"),
        ('a: "x" + y\n', "VS0117", "a.yaml:1:8"),
        ("a: |x|\n", "VS0117", "a.yaml:1:4"),
        ('a: "x\n', "VS0118", "a.yaml:1:4"),
        ("a: 'x\nb: 1\n", "VS0118", "a.yaml:1:4"),
        ('a: "\\q"\n', "VS0119", "a.yaml:1:5"),
        ("a: *x\n", "VS0120", "a.yaml:1:4"),
        ("a: &x {b: *x}\n", "VS0120", "a.yaml:1:11"),
        ("a: {<<: b}\n", "VS0120", "a.yaml:1:5"),
        ("a: {b: 1\n", "VS0121", "a.yaml:1:4"),
        ("a: [1, 2}\n", "VS0121", "a.yaml:1:9"),
        ("a: {b: 1\nc: {d: 2}\n", "VS0121", "a.yaml:1:4"),
        ("a: [1, , 2]\n", "VS0121", "a.yaml:1:8"),
        ("a: " + "[" * 70, "VS0703", "a.yaml:1:67"),
        ("a: 1e999\n", "VS0705", "a.yaml:1:4"),
        ("a: " + "9" * 5000 + "\n", "VS0705", "a.yaml:1:4"),
    ],
)
def test_refusals(text: str, code: str, place: str) -> None:
    first = refused(text)[0]
    assert (first.code, str(first.span)) == (code, place)


@pytest.mark.parametrize("char", ["\x00", "\x07", "\x1b", "\x7f", "\x85", "\u2028", "\u202e", "\ufeff", "\ud800", "\r"])
def test_characters_that_cannot_be_seen(char: str) -> None:
    (found,) = refused(f"a: 1\nb: x{char}y\n")
    assert (found.code, str(found.span)) == ("VS0103", "a.yaml:2:5")
    assert f"U+{ord(char):04X}" in found.message


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("a: {is: s[-1, p], plot: line}", '"s[-1, p]"'),
        ("a: {P[i, j]: x[i]}", '"P[i, j]"'),
        ("a: {m: f(a=[x, y]), b: 1}", '"f(a=[x, y])"'),
        ("a: {m: f(1, a=[x, y]), b: 1}", '"f(1, a=[x, y])"'),
    ],
)
def test_the_help_says_what_to_write(text: str, wanted: str) -> None:
    assert wanted in refused(text)[0].help[0]


def test_several_mistakes_are_reported_at_once() -> None:
    found = refused("a: 1\na: 2\nb: !x 3\nc: *none\n3: 4\n")
    assert sorted(d.code for d in found) == ["VS0110", "VS0111", "VS0112", "VS0120"]


def test_too_many_aliases() -> None:
    uses = ", ".join(["*it"] * 101)
    assert refused(f"a: &it 1\nb: [{uses}]\n")[0].code == "VS0704"


def test_aliases_of_aliases_do_not_explode() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 9)]
    assert refused("\n".join(lines))[0].code == "VS0702"


def test_too_many_nodes() -> None:
    assert refused("a: [" + "1," * 200_001 + "]")[0].code == "VS0702"


def test_too_large() -> None:
    assert refused("a: " + "x" * MAX_BYTES)[0].code == "VS0701"


class TestFiles:
    """Reading from the disk."""

    def refused(self, path: Path) -> Diagnostic:
        with pytest.raises(SpecError) as caught:
            load_document(path)
        (found,) = caught.value.diagnostics
        return found

    def test_a_file(self, tmp_path: Path) -> None:
        path = tmp_path / "a.yaml"
        path.write_text("a: 1\n")
        document = load_document(path)
        assert isinstance(document, Document)
        assert document.path == str(path)

    def test_no_file(self, tmp_path: Path) -> None:
        assert self.refused(tmp_path / "none.yaml").code == "VS0101"

    def test_a_directory(self, tmp_path: Path) -> None:
        found = self.refused(tmp_path)
        assert found.code == "VS0101"
        assert "directory" in found.message

    def test_an_impossible_path(self) -> None:
        assert self.refused(Path("a\0b")).code == "VS0101"

    def test_not_utf8(self, tmp_path: Path) -> None:
        path = tmp_path / "a.yaml"
        path.write_bytes("a: 1\nb: α".encode() + b"\xff\n")
        found = self.refused(path)
        assert found.code == "VS0102"
        assert str(found.span) == f"{path}:2:5"

    def test_too_large(self, tmp_path: Path) -> None:
        path = tmp_path / "a.yaml"
        path.write_bytes(b"#" * (MAX_BYTES + 1))
        assert self.refused(path).code == "VS0701"


TARGETS = sorted((Path(__file__).parents[2] / "specs").rglob("*.yaml"))
PIECES = "{|}|[|]|,|:|-|'|\"|#|&a|*a|!x|>|(|)|?|%|@|<<:|---|...|a|1|\\|α|null|1e999|, |: | #|\n|\n  |- |? |\t|\u2028"
SNIPPETS = st.sampled_from(["|", *PIECES.split("|")])


@settings(max_examples=400, deadline=None)
@given(st.lists(SNIPPETS, max_size=14).map("".join))
def test_any_text_loads_or_is_refused(text: str) -> None:
    lines = text.split("\n")
    try:
        parse_document(text, "a.yaml")
    except SpecError as error:
        for found in error.diagnostics:
            assert found.code.startswith(("VS01", "VS07"))
            assert found.span is None or 1 <= found.span.line <= len(lines) + 1


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_damaged_spec_loads_or_is_refused(data: st.DataObject) -> None:
    text = data.draw(st.sampled_from(TARGETS)).read_text()
    start = data.draw(st.integers(0, len(text)))
    cut = data.draw(st.integers(0, 12))
    damaged = text[:start] + data.draw(SNIPPETS) + text[start + cut :]
    try:
        parse_document(damaged, "a.yaml")
    except SpecError as error:
        to_json(error.diagnostics)


def test_an_empty_key_is_pointed_at() -> None:
    for text in ("&e: ", "? \n: 1\n", ": 1\n"):
        (found,) = refused(text)[:1]
        assert found.span is not None
        assert (found.span.line, found.span.column) < (found.span.end_line, found.span.end_column)
