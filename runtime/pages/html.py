"""Elements of HTML that cannot be made of unescaped text: what is no `Html` is escaped when it is put into an element."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import TypeAlias

VOID = frozenset({"meta", "br", "hr", "img", "link", "col"})


class Html(str):
    """Text that is HTML already."""

    __slots__ = ()


Child: TypeAlias = "str | Iterable[Child] | None"


def text(value: object) -> Html:
    """A value as text in which nothing is markup."""
    return Html(escape(str(value), quote=True))


def inside(children: Iterable[Child]) -> Html:
    """Children beside each other; None is nothing."""
    parts: list[str] = []
    for child in children:
        if child is None:
            continue
        if isinstance(child, str):
            parts.append(child if isinstance(child, Html) else text(child))
        else:
            parts.append(inside(child))
    return Html("".join(parts))


def tag(name: str, /, *children: Child, **attributes: object) -> Html:
    """An element. Attributes that are None or False are left out; `class_` and `for_` are written without the underscore,
    `aria_label` with a hyphen."""
    written = "".join(
        f" {key.rstrip('_').replace('_', '-')}" + ("" if value is True else f'="{text(value)}"')
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    if name in VOID:
        return Html(f"<{name}{written}>")
    return Html(f"<{name}{written}>{inside(children)}</{name}>")


def link(target: str, *children: Child, title: str | None = None) -> Html:
    """A link to a place on the same page."""
    return tag("a", *children, href=f"#{target}", title=title)


def table(head: Sequence[Child], rows: Iterable[Sequence[Child]], right: Iterable[int] = (), caption: str = "") -> Html:
    """A table in a box of its own, which scrolls where the table is wider than the page; columns `right` hold numbers."""
    numbers = set(right)

    def cell(kind: str, k: int, child: Child, **more: object) -> Html:
        return tag(kind, child, class_="num" if k in numbers else None, **more)

    header = tag("tr", [cell("th", k, h, scope="col") for k, h in enumerate(head)])
    body = [tag("tr", [cell("td", k, c) for k, c in enumerate(row)]) for row in rows]
    label = tag("caption", caption) if caption else None
    made = tag("table", label, tag("thead", header), tag("tbody", body))
    return tag("div", made, class_="wide", tabindex="0", role="region", aria_label=caption or "table")


def section(anchor: str, title: str, *children: Child) -> Html:
    """A section of the page with its title; nothing where it has no content."""
    content = inside(children)
    return tag("section", tag("h2", title), content, id=anchor or None) if content else Html("")


def folded(summary: Child, *children: Child, open: bool = False, id: str | None = None) -> Html:
    """Content that is shown when one asks for it."""
    return tag("details", tag("summary", summary), *children, open=open, id=id)


def note(*children: Child) -> Html:
    """A paragraph in small print."""
    return tag("p", *children, class_="note")


def figures(rows: Iterable[tuple[Child, Child]]) -> Html:
    """Names with their values, as a list of pairs."""
    return tag("dl", [tag("div", tag("dt", name), tag("dd", value)) for name, value in rows], class_="facts")


def fragment(*children: Child) -> Html:
    """Content with the styles that it needs, to be shown inside of another page such as a notebook."""
    from vspec.runtime.pages.style import BASE, INSIDE

    return tag("div", Html(f"<style>{INSIDE}{BASE}</style>"), *children, class_="vspec vspec-inside")
