"""Formatting keeps the reading and every comment, and does nothing to what it made."""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tests.format.disorder import Untidy, split_braces, wild, with_comments
from tests.fuzz.cases import BAD, SHIPPED, mutant, texts
from tests.support.effort import seeds, tries
from vspec.compiler.diagnostics.diagnostic import SpecError
from vspec.compiler.format import format as formatting
from vspec.compiler.format.format import ChangedError, format_text
from vspec.compiler.format.layout import read_layout
from vspec.compiler.format.printer import WIDTH
from vspec.compiler.pipeline import check_text
from vspec.compiler.source.document import plain
from vspec.compiler.source.load import parse_document
from vspec.compiler.source.structure import schema

ROOT = Path(__file__).parents[2]
MEASURED = sorted((ROOT / "benchmarks").rglob("*.yaml"))
TEXTS = {str(p.relative_to(ROOT)): p.read_text(encoding="utf-8") for p in [*SHIPPED, *MEASURED]}


def formatted(text: str) -> str:
    """The canonical form, which is its own canonical form."""
    made = format_text(text, "a.yaml")
    assert format_text(made, "a.yaml") == made
    return made


def comments(text: str) -> Counter[str]:
    """The comments of a text in which no `#` stands inside of a value."""
    return Counter("#" + line.split("#", 1)[1].rstrip() for line in text.split("\n") if "#" in line)


def unfolded(text: str) -> str:
    """A text with its folded values on one line each, where nothing that is put between lines falls into them."""

    def joined(m: re.Match[str]) -> str:
        value = " ".join(m[3].split())
        return f"{m[1]}{m[2]} {json.dumps(value) if ': ' in value else value}\n"

    return re.sub(r"^( *)([^#\n]*:) >-\n((?:\1 +\S.*\n)+)", joined, text, flags=re.MULTILINE)


def bare(text: str) -> str:
    """A text without comments and empty lines, which its author places."""
    lines = [line.split(" #")[0].rstrip() for line in text.split("\n") if not line.lstrip().startswith("#")]
    return "\n".join(filter(None, lines)) + "\n"


def read_by_another(text: str) -> object:
    """The tree that an independent reader of YAML 1.2 makes of a text."""
    return YAML(typ="safe", pure=True).load(text)


@pytest.mark.parametrize("name", [str(p.relative_to(ROOT)) for p in SHIPPED])
def test_shipped_specs_are_formatted(name: str) -> None:
    assert formatted(TEXTS[name]) == TEXTS[name], f"run: vspec fmt {name}"


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("seed", tries(2, 8))
def test_however_it_is_written_it_comes_out_the_same(name: str, seed: int) -> None:
    text = bare(unfolded(formatted(TEXTS[name])))
    untidy = Untidy(random.Random(f"{name} {seed}"), text).document(parse_document(text, "a.yaml").root)
    assert formatted(untidy) == formatted(text)


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("seed", tries(3, 12))
def test_no_comment_is_lost(name: str, seed: int) -> None:
    rng = random.Random(f"{name} {seed}")
    plainly = unfolded(TEXTS[name])
    text = split_braces(with_comments(plainly, rng), rng)
    made = formatted(text)
    assert comments(made) == comments(text)
    assert "\n\n\n" not in made
    assert plain(parse_document(made, "a.yaml").root) == plain(parse_document(format_text(plainly, ""), "a.yaml").root)


@pytest.mark.parametrize("name", TEXTS)
def test_the_result_is_plain_yaml(name: str) -> None:
    made = formatted(TEXTS[name])
    assert read_by_another(made) == plain(parse_document(made, "a.yaml").root)
    assert all(line == line.rstrip() for line in made.split("\n"))


def test_the_checked_spec_is_the_same() -> None:
    for name, text in TEXTS.items():
        before, after = check_text(text, name)[0], check_text(format_text(text, name), name)[0]
        assert before is not None
        assert after is not None
        for part in ("dims", "constants", "data", "params", "objectives", "plan", "outputs", "claims"):
            assert list(getattr(before, part)) == list(getattr(after, part)) or part == "plan"


SOUND = {
    "calls and letters in braces are put between quotes, as other readers of YAML need them": (
        "dims: {i,j: 64}\nparams: {w: {domain: box(0,1)}}\n",
        'dims: {"i, j": 64}\nparams: {w: {domain: "box(0, 1)"}}\n',
    ),
    "needless quotes go, needed ones stay": (
        "name: \"x\"\ndoc: 'a: b'\nclaims: {a: '1 < 2', b: \"x[i] < 1\", c: '3'}\n",
        'name: x\ndoc: "a: b"\nclaims: {a: 1 < 2, b: "x[i] < 1", c: "3"}\n',
    ),
    "sections are sorted, with the comments above them; the top of the file stays": (
        "# top\n\n# name\nname: x\n# params\nparams: {}\n# dims\ndims: {n: 3}\nvspec: 1\n",
        "# top\n\n# name\nvspec: 1\nname: x\n# dims\ndims: {n: 3}\n# params\nparams: {}\n",
    ),
    "an unknown section stays below the one it followed": (
        "name: x\nnoise: 1\nvspec: 1\nolder: 2\n",
        "vspec: 1\nolder: 2\nname: x\nnoise: 1\n",
    ),
    "a file with anchors keeps its order": (
        "params: {v: &a {init: 0}, w: *a}\ndims: {n: 3}\n",
        "params: {v: &a {init: 0}, w: *a}\ndims: {n: 3}\n",
    ),
    "braces that do not fit become a block": (
        "solve: {minimize: loss, method: newton(tol=1e-8), until: " + "x*" * 40 + "x < 1, steps: 100}\n",
        "solve:\n  minimize: loss\n  method: newton(tol=1e-8)\n  until: " + "x*" * 40 + "x < 1\n  steps: 100\n",
    ),
    "a long list of numbers is filled": (
        f"data: {{x: {{value: [{','.join(map(str, range(1000, 1045)))}]}}}}\n",
        "data:\n  x:\n    value:\n      ["
        + ", ".join(map(str, range(1000, 1019)))
        + ",\n       "
        + ", ".join(map(str, range(1019, 1038)))
        + ",\n       "
        + ", ".join(map(str, range(1038, 1045)))
        + "]\n",
    ),
    "rows of a long matrix stand below each other": (
        f"constants: {{A: [[{','.join(['0.25'] * 12)}],[{','.join(['0.5'] * 12)}]]}}\n",
        f"constants:\n  A:\n    - [{', '.join(['0.25'] * 12)}]\n    - [{', '.join(['0.5'] * 12)}]\n",
    ),
    "line breaks in expressions stay, and what was aligned stays aligned": (
        "define:\n    a: x*y\n       +z\n    b:\n        x\n        +y\n    c: >-\n       x*y\n         +z\n",
        "define:\n  a: x*y\n     + z\n  b:\n      x\n      + y\n  c: >-\n    x*y\n      + z\n",
    ),
    "texts keep their lines": (
        "doc: |\n     a  b:\n       # no comment\n\n     c\nname: 'x\n\n   y'\n",
        "name: 'x\n\n   y'\ndoc: |\n  a  b:\n    # no comment\n\n  c\n",
    ),
    "a text that keeps its empty lines does": ("doc: |+\n  a\n\n\nname: x\n", "name: x\ndoc: |+\n  a\n\n\n"),
    "blanks in a text that is no expression": (
        "define:\n  a: >1\n     \n    b  @@\n",
        "define:\n  a: >2\n      \n     b  @@\n",
    ),
    "a value below its key moves up": (
        "define:\n  a:\n    # why\n    x+1 # one\n",
        "define:\n  # why\n  a: x + 1                     # one\n",
    ),
    "open brackets": ("define: {a: 'x[1', b: \"(1\"}\n", 'define: {a: "x[1", b: "(1"}\n'),
    "nothing at all": ("{ # one\n}\n", "{}\n# one\n"),
    "comments in braces": (
        "params:\n  w: { # one\n    init: 0, # two\n    # three\n    domain: positive # four\n    # five\n  } # six\n",
        "params:\n  # one\n  w:                           # six\n    init: 0                    # two\n    # three\n"
        "    domain: positive           # four\n    # five\n",
    ),
    "comments after their column": (
        "define:\n  a: abcdefghijklmnopqrstuvwxyz + 1 # a\n  b: 1 # b\n  c: 2\n  d: 3 #d\n",
        "define:\n  a: abcdefghijklmnopqrstuvwxyz + 1  # a\n  b: 1                               # b\n  c: 2\n"
        "  d: 3                         #d\n",
    ),
    "lists": (
        "solve:\n# first\n- minimize: a\n  # two\n  steps: 3\n# foot?\n-   # dash\n  evaluate: [a]\n",
        "solve:\n  # first\n  - minimize: a\n    # two\n    steps: 3\n  # foot?\n  # dash\n  - evaluate: [a]\n",
    ),
    "a comment in empty braces": (
        "params: { # one\n  # two\n}\n",
        "# two\nparams: {}                     # one\n",
    ),
    "nothing": ("params: {w: {init: 0, domain: }}\ndims:\nclaims: {}\n", "dims:\nparams: {w: {init: 0, domain}}\nclaims: {}\n"),
    "two left sides that would become one are left alone": (
        "define: {'K[n,m]': 1, 'K[n, m]': 2}\n",
        'define: {"K[n,m]": 1, "K[n, m]": 2}\n',
    ),
    "marks of documents and directives go": ("%YAML 1.2\n--- # one\nname: x\n... # two\n", "# one\nname: x\n# two\n"),
    "escapes": (
        'doc: "a\\tb \\u2028 \\\\ é"\nname: "\\x61"\n',
        'name: a\ndoc: "a\\tb \\u2028 \\\\ é"\n',
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", SOUND)
def test_what_canonical_means(what: str) -> None:
    text, made = SOUND[what]
    assert formatted(text) == made


def test_line_ends_are_kept_and_a_mark_at_the_start_is_not() -> None:
    assert format_text("\ufeffvspec:   1\r\nname: x # c\r\n", "a.yaml") == f"vspec: 1\r\nname: x{' ' * 24}# c\r\n"
    assert format_text("vspec:   1\nname: x\r\n", "a.yaml") == "vspec: 1\nname: x\n"
    assert format_text("vspec: 1", "a.yaml") == "vspec: 1\n"


def test_sections_stand_in_the_order_of_the_schema() -> None:
    names = list(schema()["properties"])
    made = formatted("".join(f"{name}: 1\n" for name in reversed(names)))
    assert [line.split(":")[0] for line in made.splitlines()] == names


def test_no_line_in_braces_is_too_long() -> None:
    for length in range(90, 130):
        made = formatted(f"params: {{w: {{init: {'x' * length}}}}}\n")
        assert (len(made.splitlines()[0]) <= WIDTH) == ("{" in made) or made.count("\n") > 1


@pytest.mark.parametrize("text", ["a: [1", "- 1\n", "", "a: 1\na: 2\n", "a: !!x 1\n", "\ta: 1\n"])
def test_what_is_no_yaml_is_refused(text: str) -> None:
    with pytest.raises(SpecError, match="VS01"):
        format_text(text, "a.yaml")


def test_a_result_that_differs_is_never_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vspec.compiler.format.leaves.written", lambda text, flow: text.replace("1", "2"))
    with pytest.raises(ChangedError, match="'a' would read differently"):
        format_text("define: {a: x*1}\n", "a.yaml")
    monkeypatch.undo()
    monkeypatch.setattr(formatting, "attach", lambda layout: None)
    with pytest.raises(ChangedError, match="'# c' would be lost"):
        format_text("define: {a: x*1} # c\n", "a.yaml")


def test_anchors_and_aliases_stay() -> None:
    text = (
        "params:\n    a: &one\n        init: 0 # zero\n    b: *one\n    c: &two {init: 1}\n    &k d: [*two, &x 1, *x]\n"
    )
    made = formatted(text)
    assert made == (
        "params:\n  a: &one\n    init: 0                    # zero\n  b: *one\n  c: &two {init: 1}\n  &k d: [*two, &x 1, *x]\n"
    )


CASES = seeds(1500)


def test_whatever_can_be_read_can_be_formatted() -> None:
    sources = texts(SHIPPED * (len(BAD) // len(SHIPPED) + 1) + BAD)
    done = 0
    for seed in CASES:
        text = mutant(sources, seed)
        try:
            document = parse_document(text, "a.yaml")
        except SpecError:
            continue
        made = formatted(text)
        done += 1
        assert set(plain(parse_document(made, "a.yaml").root)) == set(plain(document.root)), seed  # type: ignore[call-overload]
    assert done > len(CASES) / 3


@pytest.mark.parametrize("seed", range(4))
def test_comments_anywhere_in_any_yaml(seed: int) -> None:
    for number in range(150):
        text = wild(random.Random(4 * number + seed))
        made = formatted(text)
        assert Counter(re.findall(r"# 0\.\d{5}", made)) == Counter(re.findall(r"# 0\.\d{5}", text)), text


def test_a_long_spec_is_formatted_quickly() -> None:
    text = "define:\n" + "".join(f"  a{n}[i]: (x[i]*{n}) + sum[j]( A[i,j]*x[j] ) # c{n}\n" for n in range(2000))
    assert len(read_layout(formatted(text), "a.yaml").comments) == 2000
