"""The schema is the one list of keys: closed and described for editors, and what the language reads and refuses."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from docs.generate import REFUSED
from tests.source.test_structure import WHOLE
from vspec.compiler.diagnostics.policy import Policy
from vspec.compiler.pipeline import check_text
from vspec.compiler.source.document import plain
from vspec.compiler.source.load import parse_document
from vspec.compiler.source.structure import schema
from vspec.runtime.registry import METHODS
from vspec.starts import start, templates

ROOT = Path(__file__).parents[2]
SCHEMAS = {
    name: json.loads((files("vspec.schemas") / f"{name}.schema.json").read_text()) for name in ("vspec", "output")
}
# Mappings whose keys are names of other things, or of nothing in an expression.
FREE_NAMES = ("imports", "import", "over", "time", "batch", "smoke", "runs", "claims", "dynamics", "sde")


def forms(node: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], dict[str, Any]]]:
    """Every schema inside a schema, with the keys that lead to it."""
    if isinstance(node, dict):
        yield path, node
        for key, value in node.items():
            yield from forms(value, (*path, key))
    elif isinstance(node, list):
        for number, value in enumerate(node):
            yield from forms(value, (*path, str(number)))


def objects() -> list[tuple[tuple[str, ...], dict[str, Any]]]:
    """The schemas of mappings."""
    return [(path, form) for path, form in forms(schema()) if form.get("type") == "object"]


def test_every_mapping_is_closed() -> None:
    assert len(objects()) > 20
    for path, form in objects():
        if form.get("allOf"):
            continue  # another form that is closed itself, and more
        known = form.get("additionalProperties")
        assert known is False or (isinstance(known, dict) and known), path
        assert ("properties" in form) == (known is False), path


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_key_says_what_it_is_for(name: str) -> None:
    for path, form in forms(SCHEMAS[name]):
        properties = form.get("properties")
        if not isinstance(properties, dict) or {"if", "else", "not", "dependentSchemas"} & set(path):
            continue
        if "then" in path and path[:1] == ("allOf",):
            continue
        for key, value in properties.items():
            target = value.get("$ref", "").rsplit("/", 1)[-1]
            described = value.get("description") or SCHEMAS[name]["$defs"].get(target, {}).get("description", "")
            assert described.endswith("."), (*path, key)


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_word_says_what_it_means(name: str) -> None:
    for path, form in forms(SCHEMAS[name]):
        if isinstance(form.get("enum"), list) and form["enum"] != ["inf", "-inf"]:
            assert len(form["enumDescriptions"]) == len(form["enum"]), path
            assert all(form["enumDescriptions"]), path


def test_names_have_a_form() -> None:
    for path, form in objects():
        if isinstance(form.get("additionalProperties"), dict) and not set(path) & set(FREE_NAMES):
            assert "propertyNames" in form, path


SPECS = {str(p.relative_to(ROOT)): p.read_text(encoding="utf-8") for p in sorted((ROOT / "specs").rglob("*.yaml"))}
SPECS |= {name: start(name, "x", "x.yaml") for name in templates()} | {"everything": WHOLE}


@pytest.mark.parametrize("name", SPECS)
def test_the_forms_of_names_accept_what_the_language_does(name: str) -> None:
    errors = list(Draft202012Validator(schema()).iter_errors(plain(parse_document(SPECS[name], "a.yaml").root)))
    assert [e.message for e in errors] == []


@pytest.mark.parametrize("name", ["a b", "1a", "w[i", "w[]", "w]i[", "a-b"])
def test_the_forms_of_names_refuse_what_the_language_does(name: str) -> None:
    text = f"vspec: 1\nname: x\ndims: {{i: 3}}\ndefine:\n  {json.dumps(name)}: 1\n"
    assert not Draft202012Validator(schema()).is_valid(plain(parse_document(text, "a.yaml").root))
    (first, *_) = check_text(text, "a.yaml")[1]
    assert first.code.startswith("VS02"), "the language says it in more detail than the schema"


def test_examples_are_examples() -> None:
    for path, form in forms(schema()):
        if not isinstance(form.get("examples"), list):
            continue
        for example in form["examples"]:
            validator = Draft202012Validator({"$defs": schema()["$defs"], **form})
            assert validator.is_valid(example), (path, example)
            key = path[-1]
            probe = {
                "method": f"solve: {{minimize: loss, method: '{example}'}}",
                "domain": f"solve: {{minimize: loss}}\nparams: {{w: {{init: 1, domain: '{example}'}}}}",
                "draw": f"solve: {{minimize: loss}}\ndata: {{'y[n]': {{draw: '{example}'}}}}",
                "source": f"solve: {{minimize: loss}}\ndata: {{'y[n]': {{source: '{example}', column: a}}}}",
            }[key]
            params = "" if "params" in probe else "params: {w: {init: 1}}\n"
            text = f"vspec: 1\nname: x\ndims: {{n: 3}}\nobjectives: {{loss: w**2}}\n{params}{probe}\n"
            assert check_text(text, "a.yaml", {}, Policy(mode="none"))[1] == (), example


def test_every_method_is_among_the_examples() -> None:
    examples = schema()["$defs"]["stage"]["properties"]["method"]["examples"]
    assert {re.split(r"\(", e)[0] for e in examples} == set(METHODS)


# --- the schema and the code ----------------------------------------------------------------------------------------


def literals() -> tuple[set[str], set[tuple[str, str]]]:
    """The texts in the modules of the language, and those by which they look up keys or compare them, with the module."""
    every: set[str] = set()
    looked_up: set[tuple[str, str]] = set()
    for path in sorted((ROOT / "compiler" / "language").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                every.add(node.value)
            found: list[ast.expr] = []
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in ("get", "key"):
                # Keywords of a call, in an expression, of a method or of a network, are not keys of YAML.
                at = node.func.value
                keywords = isinstance(at, ast.Attribute) and at.attr in ("given", "arguments", "values")
                found = [] if keywords else node.args[:1]
            elif isinstance(node, ast.Compare) and isinstance(node.left, ast.Attribute) and node.left.attr == "text":
                found = [p for c in node.comparators for p in (c.elts if isinstance(c, ast.Tuple | ast.Set) else [c])]
            looked_up |= {
                (path.name, p.value) for p in found if isinstance(p, ast.Constant) and isinstance(p.value, str)
            }
    return every, looked_up


def keys_of(form: Any, seen: frozenset[str] = frozenset()) -> set[str]:
    """Every key that can stand somewhere below a form."""
    found: set[str] = set()
    for path, inner in forms(form):
        if {"not", "dependentSchemas"} & set(path):
            continue
        found |= set(inner["properties"]) if isinstance(inner.get("properties"), dict) else set()
        name = inner["$ref"].rsplit("/", 1)[1] if isinstance(inner.get("$ref"), str) else ""
        if name and name not in seen:
            found |= keys_of(schema()["$defs"][name], seen | {name})
    return found


def words() -> set[str]:
    """Every word that the schema lists as a value."""
    return {str(word) for _, form in forms(schema()) if isinstance(form.get("enum"), list) for word in form["enum"]}


def test_the_language_reads_no_key_that_the_schema_lacks() -> None:
    known = keys_of(schema()) | words() | {""}
    assert {pair for pair in literals()[1] if pair[1] not in known} == set()


def test_the_language_knows_every_key_of_the_schema() -> None:
    every, _ = literals()
    refused = {key for section in REFUSED.get("sections", ()) for key in keys_of(schema()["properties"][section])}
    # 'vspec' has one value, which the schema itself demands.
    unknown = {key for key in keys_of(schema()) if key not in every} - refused - {"vspec"}
    assert unknown == set()


def test_the_language_knows_every_word_of_the_schema() -> None:
    every, _ = literals()
    refused = {key for keys in REFUSED.values() for key in keys}
    for path, form in forms(schema()):
        if isinstance(form.get("enum"), list) and not set(path) & refused:
            assert {w for w in form["enum"] if w not in every and not _in_the_runtime(w)} == set(), path


def _in_the_runtime(word: str) -> bool:
    sources = [*(ROOT / "runtime").glob("*.py"), *(ROOT / "compiler" / "calculus").glob("*.py")]
    return any(f'"{word}"' in p.read_text(encoding="utf-8") for p in sources)
