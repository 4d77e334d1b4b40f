"""Which comment belongs to what: to the entry below it, to the one on its line, or to the end of a mapping or list."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator

from vspec.compiler.format.layout import Layout
from vspec.compiler.format.tree import Collection, Comment, Entry, Leaf, entries


def attach(layout: Layout) -> None:
    """Hand every comment of a file to an entry or a collection of its tree."""
    order = list(entries(layout.root))
    starts = [entry.start for entry in order]
    taken: Entry | None = None  # the entry that the comment above went to
    for comment in layout.comments:
        at = bisect_right(starts, comment.offset)
        last = order[at - 1] if at else None
        following = order[at] if at < len(order) else None
        for around in _containing(last, comment.offset, layout.root):
            around.broken = True
        if comment.own or last is None:
            taken = _above(comment, last, following, layout.root, taken)
        else:
            _beside(comment, last)
            taken = None


def _containing(last: Entry | None, offset: int, root: Collection) -> Iterator[Collection]:
    """The bracketed collections around an offset, innermost first."""
    found: Collection | None = root
    if last is not None:
        found = last.value if isinstance(last.value, Collection) else last.parent
    while found is not None:
        if found.flow and found.start < offset < found.end:
            yield found
        found = found.holder.parent if found.holder is not None else None


def _above(
    comment: Comment, last: Entry | None, following: Entry | None, root: Collection, taken: Entry | None
) -> Entry | None:
    """A comment with a line of its own; the entry that it goes to, if it goes to one."""
    inside = next(_containing(last, comment.offset, root), None)
    if inside is not None and (following is None or following.start >= inside.end):
        inside.foot.append(comment)
        return None
    if last is not None and _pending(last, comment.offset):
        last.before.append(comment)
        return last
    if following is not None and following is taken:
        following.before.append(comment)
        return following
    closed = [] if last is None else list(_closed(last, following))
    fitting = [c for c in closed if not c.flow and c.column <= comment.column]
    if fitting and (following is None or comment.column > following.parent.column):
        deepest = max(c.column for c in fitting)
        [c for c in fitting if c.column == deepest][-1].foot.append(comment)
        return None
    if following is None:
        root.foot.append(comment)
        return None
    following.before.append(comment)
    return following


def _pending(entry: Entry, offset: int) -> bool:
    """Whether the value of an entry, other than a block, is still to come."""
    value = entry.value
    return offset < value.start and (isinstance(value, Leaf) or value.flow)


def _closed(last: Entry, following: Entry | None) -> Iterator[Collection]:
    """The collections that end between two entries, innermost first."""
    around: set[int] = set()
    outer = following.parent if following is not None else None
    while outer is not None:
        around.add(id(outer))
        outer = outer.holder.parent if outer.holder is not None else None
    found: Collection | None = last.parent
    while found is not None and id(found) not in around:
        yield found
        found = found.holder.parent if found.holder is not None else None


def _beside(comment: Comment, entry: Entry) -> None:
    """A comment at the end of a line belongs to what ends there; a second one on the same entry moves above it."""
    while entry.parent.flow and entry.parent.end <= comment.offset and entry.parent.holder is not None:
        entry = entry.parent.holder
    if entry.trailing is not None:
        entry.before.append(entry.trailing)
    entry.trailing = comment
