"""Specs written untidily, in ways that change nothing: blanks, quotes, parentheses, indentation; and comments anywhere."""

from __future__ import annotations

import json
import random
import re

from vspec.compiler.format.kinds import Place
from vspec.compiler.source.document import Mapping, Scalar, Sequence, Value
from vspec.compiler.source.scalars import OutOfRangeError, value_of

FLOW_SAFE = re.compile(r"[A-Za-z0-9][\w.()*/+<>= -]*")


class Untidy:
    """Writes a document anew. `flow`: the values that stood in braces, by their place in the file, stay there."""

    def __init__(self, rng: random.Random, text: str) -> None:
        self.rng, self.lines = rng, text.split("\n")

    def document(self, root: Mapping) -> str:
        """The whole spec; the sections keep their order."""
        return "\n".join(self.block(root, 0, Place.root())) + "\n"

    def block(self, node: Value, indent: int, place: Place) -> list[str]:
        """A collection in block style, each with an indentation of its own."""
        lines: list[str] = []
        pad = " " * indent
        if isinstance(node, Mapping):
            for key, value in node.entries:
                head = pad + self.key(key.text, place, flow=False) + self.blanks() + ":"
                lines += self.value(head, value, indent, place.below(key.text))
        elif isinstance(node, Sequence):
            for item in node.items:
                lines += self.value(f"{pad}-", item, indent, place.item())
        return lines

    def value(self, head: str, value: Value, indent: int, place: Place) -> list[str]:
        """A key or a dash with what it holds."""
        if isinstance(value, Scalar) or self.braced(value):
            return [f"{head} {self.blanks()}{self.inline(value, place, flow=False)}{self.blanks()}"]
        return [head, *self.block(value, indent + self.rng.choice((1, 2, 4)), place)]

    def braced(self, node: Value) -> bool:
        """Whether a collection stood in braces or brackets."""
        start = self.lines[node.span.line - 1][node.span.column - 1]
        return not isinstance(node, Scalar) and start in "{["

    def inline(self, node: Value, place: Place, flow: bool) -> str:
        """A value on one line."""
        if isinstance(node, Mapping):
            parts = [
                f"{self.key(k.text, place, flow=True)}{self.blanks()}: {self.inline(v, place.below(k.text), True)}"
                for k, v in node.entries
            ]
            return "{" + self.blanks() + ", ".join(parts) + self.blanks() + "}"
        if isinstance(node, Sequence):
            return "[" + (self.blanks() + ", ").join(self.inline(x, place.item(), True) for x in node.items) + "]"
        if not isinstance(node.value, str):
            return node.text
        text = self.expression(node.text) if place.expression else node.text
        return self.quoted(text, flow)

    def key(self, text: str, place: Place, flow: bool) -> str:
        """A key; the blanks of left sides vary."""
        return self.quoted(text.replace(", ", self.rng.choice((",", ",  "))) if place.names() else text, flow)

    def expression(self, text: str) -> str:
        """An expression with other blanks, perhaps between parentheses."""
        text = re.sub(r"(?<=[(\[,])|(?=[)\],])| ", lambda m: m[0] + self.blanks(), " ".join(text.split()))
        return f"({text})" if self.rng.random() < 0.3 and text.isascii() else text

    def quoted(self, text: str, flow: bool) -> str:
        """A text with quotes, or without where it can do without them."""
        style = self.rng.randrange(3)
        if style == 0 and plain(text, flow):
            return text
        if style == 1 and "\n" not in text:
            return "'" + text.replace("'", "''") + "'"
        return json.dumps(text, ensure_ascii=False)

    def blanks(self) -> str:
        """Usually none."""
        return " " * self.rng.choice((0, 0, 0, 1, 2))


def plain(text: str, flow: bool) -> bool:
    """Whether a text can stand without quotes, by a rule of its own."""
    try:
        if not isinstance(value_of(text), str):
            return False
    except OutOfRangeError:
        return False
    if flow:
        return FLOW_SAFE.fullmatch(text) is not None and text == text.strip()
    return re.fullmatch(r"[A-Za-z0-9(][\w.()*/+<>=, \[\]:-]*", text) is not None and not re.search(
        r": |:$|^\s|\s$", text
    )


def with_comments(text: str, rng: random.Random) -> str:
    """Comments and empty lines between the lines of a text in block style, and at the ends of lines."""
    lines: list[str] = []
    for number, line in enumerate(text.rstrip("\n").split("\n")):
        for _ in range(rng.choice((0, 0, 0, 1, 2))):
            pad = " " * rng.choice((0, 0, 1, 2, 3, 4, 6))
            lines += [rng.choice(("", "   ", f"{pad}# before {number}: {{x}}, 'y'"))]
        beside = f" {' ' * rng.randrange(9)}#{rng.choice(('', ' '))}beside {number}"
        lines.append(line + (beside if rng.random() < 0.3 else ""))
    if rng.random() < 0.5:
        lines.append(f"{' ' * rng.choice((0, 2, 4))}# the end")
    return "\n".join(lines) + rng.choice(("", "\n", "\n\n\n"))


def split_braces(text: str, rng: random.Random) -> str:
    """Braces over several lines, with comments inside of them."""

    def broken(match: re.Match[str]) -> str:
        if rng.random() < 0.7:
            return match[0]
        comment = rng.choice(("", "", " # inside", "\n      # inside, a line of its own"))
        return f"{match[0].rstrip()}{comment}\n{' ' * rng.choice((6, 9))}"

    return "\n".join(
        re.sub(r"(?<=\{)|, (?=[a-z]+:)|(?=\}$)", broken, line) if re.match(r"\s+\S+: +\{", line) else line
        for line in text.split("\n")
    )


def wild(rng: random.Random) -> str:
    """YAML that is no spec: blocks and braces in each other, anchors, texts over lines, comments wherever one can stand."""
    lines: list[str] = []
    for number in range(rng.randrange(1, 5)):
        lines += _wild_entry(rng, f"k{number}:", 0, 3)
        if rng.random() < 0.3:
            lines.append(f"{' ' * rng.choice((0, 1, 2, 4))}# {rng.random():.5f}")
    return "\n".join(lines) + rng.choice(("", "\n", "\n\n"))


def _wild_entry(rng: random.Random, head: str, indent: int, depth: int) -> list[str]:
    """A key or a dash with a value."""
    lead = " " * indent + head
    comment = f"  # {rng.random():.5f}" if rng.random() < 0.3 else ""
    above = [" " * rng.choice((0, indent, indent + 2)) + f"# {rng.random():.5f}"] if rng.random() < 0.2 else []
    above += [""] * (rng.random() < 0.2)
    kind = rng.randrange(9) if depth else rng.randrange(5)
    deeper = indent + rng.choice((2, 3))
    pad = " " * deeper
    if kind == 0:
        return [*above, f"{lead} {rng.choice(('x + 1', '( a+b )*c', '3', '1e-3', 'null', 'true', '~'))}{comment}"]
    if kind == 1:
        return [*above, f"{lead} {_wild_braces(rng, 2)}{comment}"]
    if kind == 2:
        return [
            *above,
            f"{lead}{comment}",
            *([f"{pad}# {rng.random():.5f}"] if comment else []),
            f"{pad}a*b  # {rng.random():.5f}",
        ]
    if kind == 3:
        style = rng.choice(("|", ">", "|-", ">+", "|+"))
        return [
            *above,
            f"{lead} {style}{comment}",
            f"{pad}a b",
            *([""] * rng.randrange(3)),
            f"{pad}  c #d",
            *([""] * rng.randrange(3)),
        ]
    if kind == 4:
        return [*above, f"{lead} {rng.choice(('a', '(a'))} +", f"{pad}  b{rng.choice(('', ' '))}*c".replace("(a", "a")]
    marks = f" &m{rng.randrange(10**9)}" if rng.random() < 0.1 else ""
    count = range(rng.randrange(1, 4))
    if kind <= 6:
        inner = [x for n in count for x in _wild_entry(rng, f"{'abc'[n]}{depth}:", deeper, depth - 1)]
    else:
        inner = [x for _ in count for x in _wild_entry(rng, "-", deeper, depth - 1)]
    first = inner[0].lstrip()
    if head == "-" and not comment and not marks and not above and first and first[0] != "#" and rng.random() < 0.6:
        return [f"{' ' * indent}-{' ' * (deeper - indent - 1)}{first}", *inner[1:]]
    return [*above, f"{lead}{marks}{comment}", *inner]


def _wild_braces(rng: random.Random, depth: int) -> str:
    """A collection in brackets, perhaps over several lines."""
    gap = rng.choice(
        ("", "", " ", "\n      ", f" # {rng.random():.5f}\n        ", f"\n      # {rng.random():.5f}\n        ")
    )
    parts = []
    for n in range(rng.randrange(4)):
        inner = (
            _wild_braces(rng, depth - 1) if depth and rng.random() < 0.3 else rng.choice(("1", "a", '"x[i]"', "'1'"))
        )
        parts.append(f"{'xyz'[n]}: {inner}")
    if rng.random() < 0.4:
        return "[" + gap + f",{gap or ' '}".join(p[3:] for p in parts) + gap + "]"
    return "{" + gap + f",{gap or ' '}".join(parts) + gap + "}"
