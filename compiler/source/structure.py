"""The structure of a spec: JSON Schema decides what is wrong, this module says it in words and finds the place.

The schema is the single statement of which keys there are; `vspec schema` prints it, editors complete from it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from itertools import islice
from typing import Any

from vspec.compiler.diagnostics.diagnostic import Diagnostic, Sink
from vspec.compiler.diagnostics.render import in_order
from vspec.compiler.diagnostics.spans import Span
from vspec.compiler.diagnostics.suggest import nearest
from vspec.compiler.diagnostics.words import key_help, type_help
from vspec.compiler.source.document import Document, Mapping, Scalar, Sequence, Value, plain
from vspec.compiler.source.shape import Test, shape

MOST = 200  # so many mistakes are reported at once; a file with more is probably no spec

TYPES = {
    "object": "a mapping",
    "array": "a list",
    "string": "a text",
    "number": "a number",
    "integer": "an integer",
    "boolean": "true or false",
    "null": "nothing",
}


@cache
def schema() -> dict[str, Any]:
    """The JSON Schema of a spec, as shipped with the package."""
    loaded: dict[str, Any] = json.loads(files("vspec.schemas").joinpath("vspec.schema.json").read_text("utf-8"))
    return loaded


@cache
def _fits() -> Test:
    return shape(schema())


@cache
def _validator() -> Any:
    # Imported here, since it takes longer than reading the file, and most documents are right.
    from jsonschema.validators import Draft202012Validator, extend

    # The forms of names are in the schema for editors; the language says in more detail what is wrong with a left side.
    return extend(Draft202012Validator, {"propertyNames": lambda *_: ()})(schema())


def validate(document: Document, sink: Sink) -> None:
    """Record in `sink` every way in which the document is not structured as a spec (VS0130 to VS0137)."""
    content = plain(document.root)
    if _fits()(content):
        return
    found: list[Diagnostic] = []
    reader = _Reader(document)
    for error in islice(_validator().iter_errors(content), MOST):
        found.extend(reader.explain(error))
    sink.diagnostics.extend(in_order(found))


class _Reader:
    """Turns the errors of the schema into diagnostics of one document."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.lines = document.text.split("\n")

    def explain(self, error: Any) -> Iterator[Diagnostic]:
        """The diagnostics of one error; usually one."""
        kind = error.validator
        if kind == "anyOf":
            yield from self.alternatives(error)
        elif kind == "additionalProperties":
            yield from self.unknown_keys(error)
        elif kind == "required":
            yield from self.missing_keys(error)
        elif kind == "not" and error.validator_value:
            yield from self.none_of(error, list(error.validator_value["properties"]))
        elif kind == "not":
            yield self.excluded(error)
        elif kind == "dependentRequired":
            yield from self.dependent(error)
        elif kind in ("enum", "const"):
            yield self.choice(error)
        elif kind == "pattern":
            yield self.malformed(error)
        elif kind == "type":
            yield self.wrong_kind(error, error.schema)
        else:
            yield self.out_of_bounds(error)

    # Places -----------------------------------------------------------------------------------------------------------

    def find(self, path: Any) -> tuple[Scalar | None, Value]:
        """The value at a path of keys and positions, and the key it stands under."""
        key: Scalar | None = None
        value: Value = self.document.root
        for step in path:
            if isinstance(value, Mapping):
                key, value = next((k, v) for k, v in value.entries if k.text == step)
            elif isinstance(value, Sequence):
                key, value = None, value.items[step]
        return key, value

    def place(self, key: Scalar | None, value: Value) -> Span:
        """Where to point for a wrong value: at it if it is short, else at its key or at its first line."""
        span = value.span
        bare = (
            value.value is None and not value.text if isinstance(value, Scalar) else key and key.span.line != span.line
        )
        nothing = (span.line, span.column) >= (span.end_line, span.end_column)
        if key is not None and (bare or nothing or span.line != span.end_line):
            return key.span
        if nothing:
            # An empty item of a list: the character before it.
            column = max(min(span.column, len(self.line(span.line))), 1)
            return Span(span.file, span.line, column, span.line, column + 1)
        if span.line != span.end_line:
            return Span(span.file, span.line, span.column, span.line, len(self.line(span.line)) + 1)
        return span

    def line(self, number: int) -> str:
        """A line of the file."""
        return self.lines[number - 1].rstrip()

    def name(self, path: Any) -> str:
        """The name that a path leads to, or nothing."""
        names = [str(p) for p in path if isinstance(p, str)]
        return names[-1] if names else ""

    def owner(self, path: Any) -> str:
        """What a path leads to, in words: 'solve', 'params' → 'w[i]'."""
        names = [str(p) for p in path if isinstance(p, str)]
        return f"'{names[-1]}'" if names else "the spec"

    # Errors -----------------------------------------------------------------------------------------------------------

    def alternatives(self, error: Any) -> Iterator[Diagnostic]:
        """None of several forms fits: explain the one of the right shape, or name them all when no shape is right."""
        by_form: dict[int, list[Any]] = {}
        for inner in error.context:
            by_form.setdefault(inner.schema_path[0], []).append(inner)
        for _, errors in sorted(by_form.items()):
            if not any(e.validator == "type" and not e.path for e in errors):
                for inner in errors:
                    yield from self.explain(inner)
                return
        yield self.wrong_kind(error, error.schema)

    def unknown_keys(self, error: Any) -> Iterator[Diagnostic]:
        """Keys that may not stand where they do."""
        known = list(error.schema.get("properties", {}))
        _, value = self.find(error.absolute_path)
        if not isinstance(value, Mapping):
            return
        where = "in a spec" if not error.absolute_path else f"in {self.owner(error.absolute_path)}"
        present = {key.text for key, _ in value.entries}
        for key, _ in value.entries:
            if key.text in known:
                continue
            near = nearest(key.text, [k for k in known if k not in present])
            tip = f"did you mean '{near}'?" if near else f"known keys: {', '.join(known)}"
            said = key_help(error.schema.get("properties", {}), key.text, self.name(error.absolute_path))
            if said:
                tip = said
            elif (
                not near
                and error.absolute_path
                and error.absolute_path[0] != "runs"
                and key.text in schema()["properties"]
            ):
                tip = f"'{key.text}' is a section of the spec: write it at the left margin"
            elif not near and not error.absolute_path and (option := _stage_option(key.text)):
                tip = f"'{option}' belongs to a stage: write it under 'solve'"
            yield Diagnostic("VS0130", f"unknown key '{key.text}' {where}", key.span, "not known here", (tip,))

    def missing_keys(self, error: Any) -> Iterator[Diagnostic]:
        """Keys that must stand here; the schema reports each on its own."""
        key, value = self.find(error.absolute_path)
        missing = next((k for k in error.validator_value if error.message.startswith(f"{k!r} ")), "")
        if self.misspelt(value, error.schema, [missing]):
            return
        span = self.place(key, value)
        if not error.absolute_path:
            span = Span(span.file, span.line, span.column, span.line, len(self.line(span.line)) + 1)
        tip = {"vspec": "add 'vspec: 1' as the first line", "name": "add 'name: ...' below 'vspec: 1'"}.get(missing, "")
        where = "the spec" if not error.absolute_path else self.owner(error.absolute_path)
        tips = (tip,) if tip else _described(error.schema, missing)
        yield Diagnostic("VS0131", f"{where} lacks the key '{missing}'", span, "", tips)

    def none_of(self, error: Any, keys: list[str]) -> Iterator[Diagnostic]:
        """At least one of several keys must stand here."""
        key, value = self.find(error.absolute_path)
        if self.misspelt(value, error.schema, keys):
            return
        listed = " or ".join([", ".join(f"'{k}'" for k in keys[:-1]), f"'{keys[-1]}'"])
        message = f"{self.owner(error.absolute_path)} needs one of {listed}"
        yield Diagnostic("VS0131", message, self.place(key, value))

    def misspelt(self, value: Value, form: Any, missing: list[str]) -> bool:
        """Whether an unknown key, reported on its own, was probably meant to be one of the missing ones."""
        known = form.get("properties", {})
        entries = value.entries if isinstance(value, Mapping) else ()
        return bool(known) and any(k.text not in known and nearest(k.text, known) in missing for k, _ in entries)

    def excluded(self, error: Any) -> Diagnostic:
        """A key that another one forbids."""
        path = list(error.absolute_schema_path)
        other = path[len(path) - path[::-1].index("dependentSchemas")]
        key, value = self.find(error.absolute_path)
        span, name = (key.span, key.text) if key else (value.span, "")
        return Diagnostic("VS0136", f"'{name}' cannot stand beside '{other}'", span, "", ("remove one of the two",))

    def dependent(self, error: Any) -> Iterator[Diagnostic]:
        """A key that makes sense only beside another one."""
        _, value = self.find(error.absolute_path)
        if not isinstance(value, Mapping):
            return
        for name, needed in error.validator_value.items():
            key = value.key(name)
            missing = [n for n in needed if value.key(n) is None]
            if key is not None and missing and error.message.endswith(f"a dependency of {name!r}"):
                yield Diagnostic("VS0136", f"'{name}' needs '{missing[0]}' beside it", key.span)

    def choice(self, error: Any) -> Diagnostic:
        """A word that is not among those that may stand here."""
        key, value = self.find(error.absolute_path)
        if not isinstance(value, Scalar):
            return self.wrong_kind(error, error.schema)
        if error.validator == "const":
            message = f"version {value.text} of the language is not known" if value.text else "the version is missing"
            return Diagnostic("VS0137", message, self.place(key, value), "", ("write 'vspec: 1'",))
        choices = [str(v) for v in error.validator_value]
        near = nearest(value.text, choices)
        shown = value.text or "nothing"
        tips = [f"did you mean '{near}'?"] if near else []
        if "real" in choices:
            said = type_help(value.text, self.name([p for p in error.absolute_path if p != "type"]))
            tips = [said] if said else tips
        tips.append(f"choices: {', '.join(choices)}")
        message = f"'{shown}' is not a value that {self.owner(error.absolute_path)} can have"
        return Diagnostic("VS0133", message, self.place(key, value), "", tuple(tips))

    def malformed(self, error: Any) -> Diagnostic:
        """A text of the wrong form."""
        key, value = self.find(error.absolute_path)
        message = f"{self.owner(error.absolute_path)} has letters, digits, '.', '_' and '-' only, at most 100 of them"
        return Diagnostic("VS0134", message, self.place(key, value), "", ("start it with a letter or a digit",))

    def wrong_kind(self, error: Any, form: Any) -> Diagnostic:
        """A value of another kind than expected."""
        key, value = self.find(error.absolute_path)
        expected = _title(form)
        found = _found(value)
        tips: list[str] = []
        if isinstance(value, Scalar) and value.value is None:
            message = f"{self.owner(error.absolute_path)} has no value; expected {expected}"
            if expected.startswith("a mapping"):
                tips.append("indent what belongs to it on the lines below, or remove the key")
        else:
            message = f"{self.owner(error.absolute_path)} should be {expected}, not {found}"
            if (
                isinstance(value, Mapping)
                and "an expression" in expected
                and self.line(value.span.line)[value.span.column - 1 :].startswith("{")
            ):
                tips.append("an expression that starts with '{' needs quotes")
            if isinstance(value, Sequence) and "an expression" in expected:
                tips.append("a list is not an expression; arrays stand under 'constants' or 'data'")
        return Diagnostic("VS0132", message, self.place(key, value), f"found {found}", tuple(tips))

    def out_of_bounds(self, error: Any) -> Diagnostic:
        """A number, a text or a list that is too small or too large."""
        key, value = self.find(error.absolute_path)
        name = self.owner(error.absolute_path)
        limit = error.validator_value
        message = {
            "minimum": f"{name} cannot be below {limit}",
            "maximum": f"{name} cannot be above {limit}",
            "minLength": f"{name} is empty",
            "minItems": f"{name} needs at least {limit} item{'s' if limit != 1 else ''}",
            "maxItems": f"{name} has more than {limit} items",
            "minProperties": f"{name} needs at least {limit} entr{'ies' if limit != 1 else 'y'}",
            "maxProperties": f"{name} can have only {limit} entr{'ies' if limit != 1 else 'y'}",
        }.get(error.validator, f"{name} is out of bounds")
        return Diagnostic("VS0135", message, self.place(key, value), "", (f"expected {_title(error.schema)}",))


def _title(form: Any) -> str:
    """What a schema expects, in words."""
    if "$ref" in form:
        return _title(schema()["$defs"][form["$ref"].rsplit("/", 1)[1]])
    if "title" in form:
        return str(form["title"])
    kinds = form.get("type", [])
    return " or ".join(TYPES[k] for k in ([kinds] if isinstance(kinds, str) else kinds)) or "another value"


def _stage_option(key: str) -> str | None:
    """The option of a stage that a key is or was meant to be."""
    options = schema()["$defs"]["stage"]["properties"]
    return key if key in options else nearest(key, options)


def _described(form: Any, key: str) -> tuple[str, ...]:
    """What the schema says about a key, as a help line."""
    text = str(form.get("properties", {}).get(key, {}).get("description", ""))
    return (f"'{key}': {text[:1].lower() + text[1:].rstrip('.')}",) if text else ()


def _found(value: Value) -> str:
    """What a value is, in words."""
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, Sequence):
        return "a list"
    if value.value is None:
        return "nothing"
    if isinstance(value.value, bool):
        return f"the truth value {value.text}"
    if isinstance(value.value, int | float):
        return f"the number {value.text}"
    return "a text"
