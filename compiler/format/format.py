"""Canonical formatting: text in, text out, with the same reading and every comment, or not at all."""

from __future__ import annotations

from collections import Counter

from vspec.compiler.diagnostics.diagnostic import SpecError
from vspec.compiler.format.attach import attach
from vspec.compiler.format.expressions import same, same_head
from vspec.compiler.format.kinds import Place
from vspec.compiler.format.layout import Layout, read_layout
from vspec.compiler.format.printer import Line, Printer, aligned
from vspec.compiler.source.document import Mapping, Scalar, Sequence, Value
from vspec.compiler.source.load import parse_document
from vspec.compiler.source.structure import schema


class ChangedError(Exception):
    """The formatted text would not say the same: an error of ours. The message names the place."""


def format_text(text: str, path: str) -> str:
    """The canonical form of a spec. Line ends are those of the first line; a byte-order mark is dropped.

    Raises:
        SpecError: the text cannot be read (see `parse_document`). What a spec says may be wrong, and is not looked at.
        ChangedError: the result would read differently or lose a comment. Nothing should make this happen.
    """
    document = parse_document(text, path)
    layout = read_layout(document.text, path)
    comments = Counter(comment.text for comment in layout.comments)
    attach(layout)
    sort_sections(layout)
    printer = Printer()
    if not layout.root.entries:
        printer.line(Line("{}"), False)
    printer.collection(layout.root, 0, Place.root())
    lines = list(aligned(printer.lines))[:-1]
    made = "\n".join(lines) + "\n"
    check(document.root, comments, made, path)
    first = text.find("\n")
    return made.replace("\n", "\r\n") if first > 0 and text[first - 1] == "\r" else made


def sort_sections(layout: Layout) -> None:
    """Put the sections in the order of the schema; unknown ones stay below the one they followed.

    A file with anchors keeps its order, since an anchor has to stand before what repeats it. Comments at the top of the
    file stay there.
    """
    root = layout.root
    if layout.anchored or not root.entries:
        return
    order = {name: rank for rank, name in enumerate(schema()["properties"])}
    ranks: list[int] = []
    for entry in root.entries:
        name = entry.key.text if entry.key is not None else ""
        ranks.append(order.get(name, ranks[-1] if ranks else -1))
    first = root.entries[0]
    root.entries = [entry for _, entry in sorted(zip(ranks, root.entries), key=lambda pair: pair[0])]
    if root.entries[0] is not first:
        top = [c for c in first.before if c.offset < first.start]
        first.before = [c for c in first.before if c.offset >= first.start]
        root.entries[0].before = top + root.entries[0].before


def check(before: Mapping, comments: Counter[str], made: str, path: str) -> None:
    """Raise ChangedError unless the result says what the file said."""
    try:
        after = parse_document(made, path)
    except SpecError as error:
        raise ChangedError(f"it could not be read again: {error}") from None
    found = Counter(comment.text for comment in read_layout(after.text, path).comments)
    if found != comments:
        lost = next(iter((comments - found) | (found - comments)))
        raise ChangedError(f"the comment '{lost}' would be lost or changed")
    place = _difference(before, after.root, Place.root(), ordered=False)
    if place is not None:
        raise ChangedError(f"'{place}' would read differently")


def _difference(one: Value, other: Value, place: Place, ordered: bool = True) -> str | None:
    """Where two trees say different things, as the last key on the way; None if nowhere."""
    if isinstance(one, Mapping) and isinstance(other, Mapping) and len(one.entries) == len(other.entries):
        pairs = list(zip(one.entries, other.entries))
        if not ordered:
            by_name = {key.text: (key, value) for key, value in other.entries}
            pairs = [((k, v), by_name.get(k.text, (k, Sequence((), k.span)))) for k, v in one.entries]
        for (key, value), (key_after, value_after) in pairs:
            names = place.names() and same_head(key.text, key_after.text)
            if key.text != key_after.text and not names:
                return key.text
            found = _difference(value, value_after, place.below(key.text))
            if found is not None:
                return found or key.text
        return None
    if isinstance(one, Sequence) and isinstance(other, Sequence) and len(one.items) == len(other.items):
        items = [_difference(a, b, place.item()) for a, b in zip(one.items, other.items)]
        return next((x for x in items if x is not None), None)
    if isinstance(one, Scalar) and isinstance(other, Scalar) and _same_value(one, other, place.expression):
        return None
    return ""


def _same_value(one: Scalar, other: Scalar, expression: bool) -> bool:
    a, b = one.value, other.value
    if isinstance(a, str) and isinstance(b, str):
        return a == b or (expression and same(a, b))
    return type(a) is type(b) and (a == b or (isinstance(a, float) and isinstance(b, float) and a != a and b != b))
