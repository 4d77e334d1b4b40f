"""Whether a document has the shape that a JSON Schema asks for: a function made of the schema once, for documents that do.

Of a document that does not, the validator of `jsonschema` tells what is wrong with it; nearly all are right, for which neither
its import nor its walk is paid. Keywords mean what they mean there; one that is not known here is refused, so that none is
passed over in silence. A test compares both on shipped, wrong and changed documents.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

Test = Callable[[Any], bool]
Schema = Mapping[str, Any]

SILENT = frozenset({"$schema", "$id", "$defs", "title", "description", "examples", "enumDescriptions", "propertyNames"})
"""Keywords that refuse nothing: `propertyNames` is there for editors, the language says more about a left side."""


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


TYPES: Mapping[str, Test] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "number": _is_number,
    "integer": lambda value: _is_number(value) and (isinstance(value, int) or value.is_integer()),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
}


def shape(schema: Schema) -> Test:
    """The test of a schema whose references are all to its own `$defs`. Raises ValueError for a keyword that is not known."""
    return _Shapes(schema).test(schema)


class _Shapes:
    """Makes tests of the parts of one schema, of each definition once."""

    def __init__(self, root: Schema) -> None:
        self.definitions: Schema = root.get("$defs", {})
        self.made: dict[str, Test] = {}

    def test(self, schema: Any) -> Test:
        if isinstance(schema, bool):
            return lambda value: schema
        left = {k: v for k, v in schema.items() if k not in SILENT}
        tests: list[Test] = []
        if left.keys() & {"properties", "additionalProperties"}:
            tests.append(self.members(left.pop("properties", {}), left.pop("additionalProperties", True)))
        for keyword, given in left.items():
            make = getattr(self, "on_" + keyword.lstrip("$"), None)
            if make is None:
                raise ValueError(f"the keyword '{keyword}' of JSON Schema is not known")
            tests.append(make(given))
        if len(tests) == 1:
            return tests[0]
        return lambda value: all(t(value) for t in tests)

    def members(self, properties: Schema, more: Any) -> Test:
        known = {name: self.test(s) for name, s in properties.items()}
        other = self.test(more)

        def test(value: Any) -> bool:
            if not isinstance(value, dict):
                return True
            return all(known.get(name, other)(v) for name, v in value.items())

        return test

    def on_ref(self, given: str) -> Test:
        name = given.removeprefix("#/$defs/")

        def test(value: Any) -> bool:
            # Definitions may name each other: each is made when it is first asked.
            if name not in self.made:
                self.made[name] = self.test(self.definitions[name])
            return self.made[name](value)

        return test

    def on_type(self, given: str | list[str]) -> Test:
        tests = [TYPES[name] for name in ([given] if isinstance(given, str) else given)]
        return tests[0] if len(tests) == 1 else lambda value: any(t(value) for t in tests)

    def on_const(self, given: Any) -> Test:
        return lambda value: _same(value, given)

    def on_enum(self, given: list[Any]) -> Test:
        return lambda value: any(_same(value, x) for x in given)

    def on_required(self, given: list[str]) -> Test:
        return lambda value: not isinstance(value, dict) or all(name in value for name in given)

    def on_dependentRequired(self, given: Mapping[str, list[str]]) -> Test:  # noqa: N802 (the keyword's own name)
        return lambda value: (
            not isinstance(value, dict)
            or all(n in value for name, names in given.items() if name in value for n in names)
        )

    def on_dependentSchemas(self, given: Schema) -> Test:  # noqa: N802 (the keyword's own name)
        tests = {name: self.test(s) for name, s in given.items()}
        return lambda value: not isinstance(value, dict) or all(t(value) for name, t in tests.items() if name in value)

    def on_anyOf(self, given: list[Any]) -> Test:  # noqa: N802 (the keyword's own name)
        tests = [self.test(s) for s in given]
        return lambda value: any(t(value) for t in tests)

    def on_allOf(self, given: list[Any]) -> Test:  # noqa: N802 (the keyword's own name)
        tests = [self.test(s) for s in given]
        return lambda value: all(t(value) for t in tests)

    def on_not(self, given: Any) -> Test:
        inner = self.test(given)
        return lambda value: not inner(value)

    def on_items(self, given: Any) -> Test:
        inner = self.test(given)
        return lambda value: not isinstance(value, list) or all(inner(x) for x in value)

    def on_pattern(self, given: str) -> Test:
        found = re.compile(given).search
        return lambda value: not isinstance(value, str) or found(value) is not None

    def on_minLength(self, given: int) -> Test:  # noqa: N802 (the keyword's own name)
        return lambda value: not isinstance(value, str) or len(value) >= given

    def on_minItems(self, given: int) -> Test:  # noqa: N802 (the keyword's own name)
        return lambda value: not isinstance(value, list) or len(value) >= given

    def on_maxItems(self, given: int) -> Test:  # noqa: N802 (the keyword's own name)
        return lambda value: not isinstance(value, list) or len(value) <= given

    def on_minProperties(self, given: int) -> Test:  # noqa: N802 (the keyword's own name)
        return lambda value: not isinstance(value, dict) or len(value) >= given

    def on_maxProperties(self, given: int) -> Test:  # noqa: N802 (the keyword's own name)
        return lambda value: not isinstance(value, dict) or len(value) <= given

    def on_minimum(self, given: float) -> Test:
        return lambda value: not _is_number(value) or not value < given

    def on_maximum(self, given: float) -> Test:
        return lambda value: not _is_number(value) or not value > given


def _same(one: Any, other: Any) -> bool:
    """Whether two values of JSON are equal: 1 and 1.0 are, 1 and true are not."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(_same(a, b) for a, b in zip(one, other, strict=True))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(v, other[k]) for k, v in one.items())
    return bool(one == other)
