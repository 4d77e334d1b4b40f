"""What each value of a spec is, by the schema: an expression, a left side, or something that is left as it is."""

from __future__ import annotations

from typing import Any

from vspec.compiler.source.structure import schema

# The definitions of the schema whose texts are expressions, or calls that are written like them.
EXPRESSIONS = frozenset({"expression", "formula", "amount", "size", "law", "call"})


class Place:
    """The schemas that a value may follow: all alternatives at its place, references resolved."""

    def __init__(self, forms: tuple[Any, ...], expression: bool = False) -> None:
        self.forms = forms
        self.expression = expression

    @staticmethod
    def root() -> Place:
        """The place of the whole spec."""
        return _place(schema())

    def below(self, key: str) -> Place:
        """The place of the value under a key."""
        found: list[Any] = []
        for form in self.forms:
            if key in form.get("properties", {}):
                found.append(form["properties"][key])
            elif isinstance(form.get("additionalProperties"), dict):
                found.append(form["additionalProperties"])
        return _place(*found)

    def item(self) -> Place:
        """The place of the items of a list."""
        return _place(*(form["items"] for form in self.forms if "items" in form))

    def names(self) -> bool:
        """Whether the keys at this place are names that the author chose, not words of the language."""
        return any(isinstance(form.get("additionalProperties"), dict) for form in self.forms)


def _place(*forms: Any) -> Place:
    """The place described by some schemas, every reference and alternative followed."""
    found: list[Any] = []
    expression = False
    stack = list(forms)
    while stack:
        form = stack.pop()
        if "$ref" in form:
            name = form["$ref"].rsplit("/", 1)[1]
            expression = expression or name in EXPRESSIONS
            stack.append(schema()["$defs"][name])
        stack += [*form.get("anyOf", ()), *form.get("allOf", ())]
        found.append(form)
    return Place(tuple(found), expression)
