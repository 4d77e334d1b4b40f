"""Comments: found where YAML has them, and nowhere else."""

from __future__ import annotations

import re

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from vspec.compiler.diagnostics.diagnostic import SpecError
from vspec.compiler.source.comments import comments
from vspec.compiler.source.load import parse_document

FILE = """\
# first
a: 1 # beside
b: x#y #z # end
c: 'a # b' # after a quote
d: "a # b
  # c" # after two lines
e: | # at the header
  # text
  more # text

   # text
# between
f: >-
  # folded
g: [1, # inside a list
  2] # behind it
h: plain
  over lines # behind
'k # ey': 1
i: &mark # before a value
  j: 1
k: *mark # behind an alias
l: |2+
  # kept

# last"""


def texts(text: str) -> list[str]:
    return [c.text for c in comments(parse_document(text, "a.yaml"))]


def test_comments_and_what_only_looks_like_one() -> None:
    assert texts(FILE) == [
        *("# first", "# beside", "#z # end", "# after a quote", "# after two lines", "# at the header", "# between"),
        *("# inside a list", "# behind it", "# behind", "# before a value", "# behind an alias", "# last"),
    ]


def test_places() -> None:
    found = list(comments(parse_document(FILE, "a.yaml")))
    lines = FILE.split("\n")
    for comment in found:
        span = comment.span
        assert lines[span.line - 1][span.column - 1 : span.end_column - 1] == comment.text
        assert comment.alone == (not lines[span.line - 1][: span.column - 1].strip())


VALUES = st.sampled_from(
    [
        *("1", "x#y", "'a # b'", '"a # b"', "'it''s # b'", "[1, 2]", "{q: 1}", "|\n  # text", ">-\n  a # b\n\n  # c"),
        *("|2\n   # deep\n  # text", "plain\n  and more", "'over\n  # lines'", '"over\n  # lines"', "|-\n  a\n\n  # b", "", "~"),
        *("&x 'a # b'", "[1,\n  'x # y']", "{q: 'x # y',\n  r: 2}", "a: b".replace(": ", "_"), "#", "# ", "a #"),
    ]
)  # fmt: skip
COMMENTS = st.sampled_from(["", " # one", "  # two # three", "\t# tab", "\n# alone", "\n  # indented", "\n#", " #"])


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(VALUES, COMMENTS), min_size=1, max_size=6))
def test_without_its_comments_a_file_says_the_same(entries: list[tuple[str, str]]) -> None:
    text = "".join(f"k{n}: {value}{comment}\n" for n, (value, comment) in enumerate(entries))
    try:
        document = parse_document(text, "a.yaml")
        loaded = yaml.safe_load(text)
    except (SpecError, yaml.YAMLError):
        return
    found = list(comments(document))
    rows = text.split("\n")
    for c in found:
        row = rows[c.span.line - 1]
        rows[c.span.line - 1] = row[: c.span.column - 1].rstrip(" \t") if not c.alone else ""
    bare = "\n".join(rows)
    assert yaml.safe_load(bare) == loaded
    # And none was left: every '#' that is still there belongs to a value.
    signs = len(re.findall(r"(?:^|[ \t])#", bare, re.M))
    assert signs == sum(len(re.findall(r"(?:^|[ \t])#", str(v), re.M)) for v in leaves(loaded)) or "&x" in text


def leaves(value: object) -> list[object]:
    if isinstance(value, dict):
        return [x for inner in value.values() for x in leaves(inner)]
    if isinstance(value, list):
        return [x for inner in value for x in leaves(inner)]
    return [value] if isinstance(value, str) else []
