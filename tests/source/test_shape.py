"""The shape of documents: the quick test says of every document what the validator of JSON Schema says."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from vspec.compiler.diagnostics.diagnostic import SpecError
from vspec.compiler.source.document import plain
from vspec.compiler.source.load import load_document
from vspec.compiler.source.shape import SILENT, shape
from vspec.compiler.source.structure import _validator, schema

ROOT = Path(__file__).parents[2]
FILES = sorted([*(ROOT / "specs").rglob("*.yaml"), *(ROOT / "tests" / "bad").glob("*.yaml")])

FORMS: list[tuple[dict[str, Any], list[Any]]] = [
    ({"type": "integer"}, [1, 1.0, 1.5, True, "1", None]),
    ({"type": ["number", "null"]}, [1, 1.5, None, False, "x"]),
    ({"const": 1}, [1, 1.0, True, "1"]),
    ({"const": False}, [False, 0, None]),
    ({"enum": ["a", 0, [1, 2], {"b": True}]}, ["a", False, 0.0, [1, 2], [1, True], {"b": True}, {"b": 1}, {}]),
    ({"anyOf": [{"type": "string", "minLength": 2}, {"minimum": 3, "maximum": 5}]}, ["a", "ab", 2, 3, 5, 6, True, []]),
    ({"allOf": [{"minItems": 1}, {"maxItems": 2}, {"items": {"type": "string"}}]}, [[], ["a"], ["a", 1], ["a"] * 3, 4]),
    ({"not": {"required": ["a"]}}, [{}, {"a": 1}, 3]),
    ({"pattern": "^a+$"}, ["aa", "ab", 3]),
    ({"minProperties": 1, "maxProperties": 1}, [{}, {"a": 1}, {"a": 1, "b": 2}, []]),
    ({"properties": {"a": {"type": "string"}}, "additionalProperties": False}, [{}, {"a": "x"}, {"a": 1}, {"b": 1}, 1]),
    ({"additionalProperties": {"type": "string"}}, [{"a": "x"}, {"a": 1}]),
    ({"dependentRequired": {"a": ["b"]}}, [{}, {"a": 1}, {"a": 1, "b": 2}, {"b": 2}, "a"]),
    ({"dependentSchemas": {"a": {"required": ["b"]}, "c": False}}, [{"a": 1}, {"a": 1, "b": 2}, {"c": 1}, {}, []]),
    (
        {
            "$ref": "#/$defs/tree",
            "$defs": {"tree": {"type": "object", "additionalProperties": {"$ref": "#/$defs/tree"}}},
        },
        [{}, {"a": {"b": {}}}, {"a": {"b": 1}}, []],
    ),
]


@pytest.mark.parametrize(("form", "values"), FORMS, ids=lambda x: "-".join(x) if isinstance(x, dict) else "")
def test_a_keyword_means_what_it_means_in_json_schema(form: dict[str, Any], values: list[Any]) -> None:
    fits, validator = shape(form), Draft202012Validator(form)
    verdicts = [validator.is_valid(value) for value in values]
    assert [fits(value) for value in values] == verdicts
    assert len(set(verdicts)) == 2


def test_an_unknown_keyword_is_refused() -> None:
    with pytest.raises(ValueError, match="'contains'"):
        shape({"items": {"contains": {"type": "string"}}})


def test_what_is_passed_over_refuses_nothing() -> None:
    assert SILENT & {"type", "properties", "anyOf", "required", "pattern"} == set()
    form = dict.fromkeys(SILENT - {"$schema", "$id", "$defs", "propertyNames"}, "text")
    assert Draft202012Validator(form | {"examples": [1]}).is_valid({"a": 1})


def content(path: Path) -> Any:
    """What stands in a file; None where it is no document."""
    try:
        return plain(load_document(path).root)
    except SpecError:
        return None


def test_the_verdict_is_that_of_the_validator_for_every_file() -> None:
    fits, verdicts = shape(schema()), set()
    for path in FILES:
        value = content(path)
        if value is not None:
            verdict = _validator().is_valid(value)
            assert fits(value) == verdict, path.name
            verdicts.add(verdict)
    assert verdicts == {True, False}


VALUES: tuple[Any, ...] = (
    None,
    True,
    0,
    1,
    -1,
    2.5,
    1.0,
    "",
    "x",
    "w[i]",
    "a b",
    [],
    [1],
    ["x", "y"],
    {},
    {"x": 1},
    {"is": "x"},
)
KEYS = (
    "is",
    "type",
    "value",
    "method",
    "stages",
    "minimize",
    "steps",
    "doc",
    "nonsense",
    "in",
    "source",
    "draw",
    "size",
)


def changed(value: Any, rng: random.Random) -> Any:
    """The value with something in it taken away, added, renamed or replaced."""
    if isinstance(value, dict) and value and rng.random() < 0.85:
        key = rng.choice(list(value))
        how = rng.random()
        if how < 0.15:
            return {k: v for k, v in value.items() if k != key}
        if how < 0.3:
            return value | {rng.choice(KEYS): rng.choice(VALUES)}
        return value | {key: changed(value[key], rng)}
    if isinstance(value, list) and value and rng.random() < 0.8:
        k = rng.randrange(len(value))
        return [*value[:k], changed(value[k], rng), *value[k + 1 :]]
    return rng.choice(VALUES)


@given(st.sampled_from(FILES), st.integers(0, 10**9))
def test_the_verdict_is_that_of_the_validator_for_changed_documents(path: Path, seed: int) -> None:
    value, rng = content(path), random.Random(seed)
    for _ in range(3):
        value = changed(value, rng)
        assert shape(schema())(value) == _validator().is_valid(value)


def test_a_right_spec_is_checked_without_the_validator() -> None:
    script = (
        "import sys; from vspec.compiler import pipeline; "
        f"pipeline.check({str(ROOT / 'specs/problems/logistic.yaml')!r}); print('jsonschema' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout == "False\n"
