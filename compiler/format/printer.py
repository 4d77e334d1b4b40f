"""The tree of a spec to lines: two blanks for each level, `{...}` where it stood and fits, comments in a column."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from vspec.compiler.format.expressions import canonical_head
from vspec.compiler.format.kinds import Place
from vspec.compiler.format.leaves import block_scalar, on_one_line, over_lines
from vspec.compiler.format.quoting import written
from vspec.compiler.format.tree import Collection, Entry, Leaf, Node

WIDTH = 120
STEP = 2
COMMENT_COLUMN = 31  # from 0: comments at the ends of lines start in column 32, or further right
FURTHEST = 72  # no comment is moved beyond this to be in line with its neighbours


@dataclass(slots=True)
class Line:
    """A line of the result with the comment at its end."""

    text: str
    comment: str = ""


@dataclass(slots=True)
class Body:
    """The lines of one entry. `at`: which of them takes the comment, -1 the last; None if none can.

    `open`: the entry ends in a text that would take in any empty line after it. `lifted`: comments, and empty lines between
    them, that would stand between a dash and what it holds, and have to stand above the dash.
    """

    lines: list[Line]
    at: int | None = -1
    open: bool = False
    lifted: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Printer:
    """Prints a tree in block style; `open` as in `Body`, of what was printed last."""

    lines: list[Line] = field(default_factory=list)
    open: bool = False

    def collection(self, node: Collection, indent: int, place: Place) -> None:
        """The entries of a mapping or list, one below the other."""
        first = True
        for entry, key in zip(node.entries, keys(node, place, flow=False)):
            self.entry(entry, key, indent, place.below(entry.key.text) if entry.key else place.item(), first)
            first = False
        for comment in node.foot:
            self.line(Line(" " * indent + comment.text), comment.blank and not first)
            first = False

    def entry(self, entry: Entry, key: str | None, indent: int, place: Place, first: bool) -> None:
        """One entry below the comments that belong to it."""
        body = entry_body(entry, key, indent, place)
        above = [c for c in entry.before if c.offset < entry.start]
        moved = [c for c in entry.before if c.offset >= entry.start]
        if isinstance(entry.value, Collection) and not entry.value.entries:
            moved += entry.value.foot
        if entry.trailing is not None and body.at is None:
            moved.append(entry.trailing)
        elif entry.trailing is not None and body.at is not None:
            body.lines[body.at].comment = entry.trailing.text
        for comment in above:
            self.line(Line(" " * indent + comment.text), comment.blank and not first)
            first = False
        blank = entry.blank and not first
        for comment in moved:
            self.line(Line(" " * indent + comment.text), blank)
            blank = False
        for text in body.lifted:
            if text:
                self.line(Line(" " * indent + text), blank)
            blank = not text
        self.line(body.lines[0], blank)
        self.lines += body.lines[1:]
        self.open = body.open

    def line(self, line: Line, blank: bool) -> None:
        """One line, and an empty one before it unless a text above would take that in."""
        if blank and not self.open:
            self.lines.append(Line(""))
        self.lines.append(line)
        self.open = False


def entry_body(entry: Entry, key: str | None, indent: int, place: Place) -> Body:
    """The lines of an entry without the comments above it."""
    head = " " * indent + ("-" if key is None else f"{key}:")
    value = entry.value
    if value.anchor is not None:
        head += f" &{value.anchor}"
    if isinstance(value, Leaf):
        return leaf_body(entry, value, head, indent, place)
    text = in_flow(value, place, anchor=False)
    if text is not None and (len(head) + 1 + len(text) <= WIDTH or not value.entries):
        return Body([Line(f"{head} {text}")])
    if (
        value.entries
        and text is not None
        and not value.mapping
        and all(isinstance(e.value, Leaf) for e in value.entries)
    ):
        return filled(value, head, indent, place)
    inner = Printer()
    inner.collection(value, indent + STEP, place)
    if key is not None or value.anchor is not None:
        return Body([Line(head), *inner.lines], 0, inner.open)
    # The first line of what an item holds stands beside its dash.
    lifted: list[str] = []
    while not inner.lines[0].text or inner.lines[0].text.lstrip().startswith("#"):
        lifted.append(inner.lines.pop(0).text.lstrip())
    start = inner.lines[0]
    inner.lines[0] = Line(head + " " * (STEP - 1) + start.text[indent + STEP :], start.comment)
    return Body(inner.lines, None, inner.open, lifted)


def leaf_body(entry: Entry, leaf: Leaf, head: str, indent: int, place: Place) -> Body:
    """A key or a dash with a scalar."""
    if leaf.style in ("|", ">") and (block := block_scalar(leaf, place.expression, indent + STEP)) is not None:
        header, content, kept = block
        return Body([Line(f"{head} {header}"), *map(Line, content)], 0, kept)
    shift = indent + (STEP if entry.key is None else 0) - entry.column
    parts = over_lines(leaf, place.expression, shift, indent + STEP)
    if parts is not None:
        below = leaf.below or not parts[0].strip()
        start = [Line(head), Line(parts[0])] if below else [Line(f"{head} {parts[0].lstrip()}")]
        return Body([*start, *map(Line, parts[1:])])
    text = on_one_line(leaf, place.expression, flow=False)
    if leaf.below and len(head) + 1 + len(text) > WIDTH:
        return Body([Line(head), Line(" " * (indent + STEP) + text)])
    return Body([Line(f"{head} {text}".rstrip())])


def filled(node: Collection, head: str, indent: int, place: Place) -> Body:
    """A list of scalars that is too long for a line, over as many lines as it needs."""
    pad = " " * (indent + STEP + 1)
    lines = [pad[:-1] + "["]
    items = [in_flow(entry.value, place.item()) or "" for entry in node.entries]
    for at, item in enumerate(items):
        piece = item + ("]" if at == len(items) - 1 else ",")
        if len(lines[-1]) + 1 + len(piece) > WIDTH and lines[-1].strip() != "[":
            lines.append(pad + piece)
        else:
            lines[-1] += piece if lines[-1].endswith("[") and at == 0 else f" {piece}"
    return Body([Line(head), *map(Line, lines)])


def in_flow(node: Node, place: Place, *, anchor: bool = True) -> str | None:
    """A node on one line, inside `{...}` or `[...]` or as such; None if it cannot stand there."""
    mark = f"&{node.anchor} " if anchor and node.anchor is not None else ""
    if isinstance(node, Leaf):
        if node.style in ("|", ">") or over_lines(node, place.expression, 0, 0) is not None:
            return None
        return (mark + on_one_line(node, place.expression, flow=True)).rstrip()
    if node.entries and (node.broken or not node.flow):
        return None
    parts: list[str] = []
    for entry, key in zip(node.entries, keys(node, place, flow=True)):
        inner = in_flow(entry.value, place.below(entry.key.text) if entry.key else place.item())
        if inner is None:
            return None
        parts.append(inner if key is None else f"{key}: {inner}" if inner else key)
    left, right = "{}" if node.mapping else "[]"
    return f"{mark}{left}{', '.join(parts)}{right}"


def keys(node: Collection, place: Place, *, flow: bool) -> Sequence[str | None]:
    """The keys as they are written; left sides in their canonical spelling unless two would become one."""
    leaves = [entry.key for entry in node.entries]
    texts = [canonical_head(k.text) if k and place.names() else k.text if k else None for k in leaves]
    if len(set(texts)) < len(texts):
        texts = [k.text if k else None for k in leaves]
    return [_key(leaf, text, flow) if leaf and text is not None else None for leaf, text in zip(leaves, texts)]


def _key(leaf: Leaf, text: str, flow: bool) -> str:
    if leaf.style == "alias":
        return f"{leaf.text} "
    return (f"&{leaf.anchor} " if leaf.anchor is not None else "") + written(text, flow)


def aligned(lines: Sequence[Line]) -> Iterator[str]:
    """The lines as text; comments at the ends of lines that follow each other stand in one column where that is near."""
    group: list[Line] = []
    for line in (*lines, Line("")):
        if line.comment:
            group.append(line)
            continue
        yield from _group(group)
        group = []
        yield line.text


def _group(group: Sequence[Line]) -> Iterator[str]:
    columns = [max(COMMENT_COLUMN, len(line.text) + 2) for line in group]
    shared = max(columns, default=0)
    for line, column in zip(group, columns):
        yield line.text.ljust(shared if shared <= FURTHEST else column) + line.comment
