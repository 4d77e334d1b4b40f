"""Structure: the schema accepts the language as it is, and what it refuses is said in words at the right place."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from vspec.compiler.diagnostics.diagnostic import Diagnostic, Sink
from vspec.compiler.source.load import load_document, parse_document
from vspec.compiler.source.structure import MOST, schema, validate

ROOT = Path(__file__).parents[2]
SPECS = sorted((ROOT / "specs").rglob("*.yaml"))
HEAD = "vspec: 1\nname: x\n"


def found(text: str) -> tuple[Diagnostic, ...]:
    """What the structure stage says about a text."""
    sink = Sink()
    validate(parse_document(text, "a.yaml"), sink)
    return tuple(sink.diagnostics)


def mappings(form: Any) -> list[dict[str, Any]]:
    """Every mapping inside a schema."""
    if isinstance(form, dict):
        return [form, *(m for value in form.values() for m in mappings(value))]
    if isinstance(form, list):
        return [m for value in form for m in mappings(value)]
    return []


def test_the_schema_is_a_schema() -> None:
    Draft202012Validator.check_schema(schema())


def test_every_key_has_a_description() -> None:
    for form in mappings(schema()):
        if form.get("additionalProperties") is False:
            for key, value in form["properties"].items():
                assert value.get("description", "").endswith("."), key


def test_every_reference_leads_somewhere() -> None:
    for form in mappings(schema()):
        if isinstance(form.get("$ref"), str):
            assert form["$ref"].removeprefix("#/$defs/") in schema()["$defs"]


@pytest.mark.parametrize("path", SPECS, ids=lambda p: str(p.relative_to(ROOT / "specs")))
def test_shipped_specs_are_well_structured(path: Path) -> None:
    sink = Sink()
    validate(load_document(path), sink)
    assert sink.diagnostics == []


WHOLE = """
vspec: 1
name: everything
doc: Every section, in each of its forms.
precision: float32
imports: {std/kernels: [rbf]}
dims:
  n: auto
  i, j: 64
  m: 2*n + 1
  x: {size: 401, from: -5, to: 5, boundary: zero}
  s: {configurations: i, of: n}
constants:
  lam: 0.1
  F[k]: [-1.8, 1.4]
  two: 2*pi
  eps[i, j]: [[0, -1], [0, 1]]
data:
  X[n, i]: real
  y[n]: {type: integer, in: [-1, 1]}
  z: {source: "a.csv", column: b, rows: [0, 5], shuffle: 1}
  u: {draw: "uniform(0, 1)", seed: 3}
  v: {value: [[1, 2], [3, 4]]}
params:
  w[i]: {init: 0}
  p: {init: sample(normal(0, 1)), domain: positive}
functions:
  k(a[:], b[:]): exp(-sum[i]((a[i] - b[i])**2))
  enc(x[:]) -> [k]: mlp(hidden=[64, 64], act=tanh)
define:
  half: 0.5
  h[n]: {is: "w[0]", until: half > 1}
random:
  q: normal(0, 1)
  r[w]: {law: unnormalized(2*f), sampler: "mala(step=0.1, burn=500)", estimator: score(baseline=loo)}
dynamics:
  path:
    sde: {"X[i]": {drift: b, diffusion: sigma}}
    start: {"X[i]": 0}
    time: {t: [0, 1, 256]}
    method: euler
  flow:
    ode:
      Y[i]: v
    start:
      Y[i]: 0
    time: {t: [0, 1]}
    adjoint: recursive_checkpoint
objectives: {loss: half}
constraints: {balance: half == 0}
solve:
  - {name: first, minimize: loss, over: {w: sgd(0.1)}, batch: {n: 128}, epochs: 3, average: 0.2, starts: 5}
  - {maximize: loss, over: [w, p], method: newton(tol=1e-8), steps: 100, until: half < 1, constraints: projection}
  - {saddle: loss, min: [w], max: p, let: {t: 1 - step/steps}}
  - {pareto: [loss, half]}
  - {sample: w, method: nuts}
  - {descend: {w: half}, method: adam}
  - {update: {w: half}, steps: 10}
  - update:
      - w: half
      - p: half
  - {minimize: loss, update: {p: half}}
  - {evaluate: [half]}
  - repeat: 10
    stages: [{minimize: loss}]
outputs:
  a: half
  b: {is: half, every: epoch, plot: line}
  c: {is: half, every: 10, plot: {images: [8, 8]}}
runs:
  plain: {}
  other: {dims: {i, j: 3}, random: {q: {estimator: score}}, solve: {minimize: loss}}
claims:
  one: half < 1
  two: {that: half < 1, seeds: 5, require: 4 of 5, smoke: {n: 100}, reported: 3}
  three: {identity: half == 0.5, tolerance: 1e-9, by: proof}
"""


def test_every_form_is_accepted() -> None:
    assert found(WHOLE) == ()


@pytest.mark.parametrize(
    ("text", "code", "place", "words"),
    [
        ("objectivs: {a: 1}", "VS0130", "3:1", "'objectivs'"),
        ("params: {w: {int: 0}}", "VS0130", "3:14", "'int'"),
        ("solve: [{minimize: a}, {minimize: b, stepps: 3}]", "VS0130", "3:38", "'stepps'"),
        ("runs: {a: {vspec: 1}}", "VS0130", "3:12", "'vspec'"),
        ("outputs: {a: {plot: line}}", "VS0131", "3:14", "'is'"),
        ("solve:\n  steps: 3", "VS0131", "3:1", "'minimize'"),
        ("claims: {a: {seeds: 3}}", "VS0131", "3:13", "'that' or 'identity'"),
        ("random: {z: {sampler: a}}", "VS0131", "3:13", "'law'"),
        ("dynamics: {a: {start: {x: 0}, time: {t: [0, 1]}}}", "VS0131", "3:15", "'ode' or 'sde'"),
        ("dims: [n]", "VS0132", "3:7", "not a list"),
        ("dims:", "VS0132", "3:1", "no value"),
        ("dims: {n: 2.5}", "VS0132", "3:11", "the number 2.5"),
        ("dims: {n: true}", "VS0132", "3:11", "the truth value true"),
        ("params: {w: 0}", "VS0132", "3:13", "a mapping such as {init: 0}"),
        ("doc: 3", "VS0132", "3:6", "a text"),
        ("solve: {minimize: [a]}", "VS0132", "3:19", "an expression"),
        ("solve: 3", "VS0132", "3:8", "a stage"),
        ("define:\n  a:\n    b: 1\n    c: 2", "VS0131", "4:3", "'is'"),
        ("objectives:\n  loss:\n    is: 1\n    every: 2", "VS0132", "4:3", "not a mapping"),
        ("constants: {a: [[1, null]]}", "VS0132", "3:21", "no value"),
        ("precision: float16", "VS0133", "3:12", "'float16'"),
        ("data: {x: float}", "VS0133", "3:11", "'float'"),
        ("dims: {x: {size: 3, boundary: wrap}}", "VS0133", "3:31", "'wrap'"),
        ("dims: {n: 0}", "VS0135", "3:11", "below 1"),
        ("data: {x: {source: a, rows: [1]}}", "VS0135", "3:29", "at least 2 items"),
        ("solve: {evaluate: []}", "VS0135", "3:19", "at least 1 item"),
        ("solve: {minimize: a, batch: {}}", "VS0135", "3:29", "at least 1 entry"),
        ("define: {a: {is: 1, until: ''}}", "VS0135", "3:28", "empty"),
        ("solve: {minimize: a, evaluate: b}", "VS0136", "3:22", "beside 'minimize'"),
        ("solve: {minimize: a, stages: [{minimize: b}]}", "VS0136", "3:22", "'repeat'"),
        ("solve: {minimize: a, steps: 1, epochs: 2}", "VS0136", "3:32", "beside 'steps'"),
        ("data: {x: {seed: 1}}", "VS0136", "3:12", "'draw'"),
        ("dims: {x: {size: 3, from: 0}}", "VS0136", "3:21", "'to'"),
    ],
)
def test_mistakes(text: str, code: str, place: str, words: str) -> None:
    first = found(HEAD + text)[0]
    assert (first.code, str(first.span)) == (code, f"a.yaml:{place}")
    assert words in first.message


@pytest.mark.parametrize(("text", "code"), [("vspec: 2\nname: x", "VS0137"), ("vspec: 1\nname: ../x", "VS0134")])
def test_head(text: str, code: str) -> None:
    assert [d.code for d in found(text)] == [code]


def test_a_misspelt_key_is_not_also_a_missing_one() -> None:
    assert [d.code for d in found(HEAD + "solve: {minimise: a}")] == ["VS0130"]
    assert [d.code for d in found(HEAD + "claims: {a: {identiy: b == c}}")] == ["VS0130"]


def test_a_misplaced_section_is_recognised() -> None:
    (first,) = found(HEAD + "solve:\n  minimize: a\n  outputs:\n    b: 1\n")
    assert "left margin" in first.help[0]


def test_no_words_of_the_validator_get_through() -> None:
    everything = "\n".join(
        f"{key}: {value}"
        for key, value in zip(
            [
                "dims",
                "constants",
                "data",
                "params",
                "define",
                "random",
                "dynamics",
                "solve",
                "outputs",
                "runs",
                "claims",
            ],
            ["3", "[1]", "x", "[]", "{a: [1]}", "{z: 3}", "{a: {ode: 1}}", "[]", "{a: {is: []}}", "{a: 1}", "{a: {}}"],
        )
    )
    for diagnostic in found(HEAD + everything):
        text = " ".join([diagnostic.message, diagnostic.label, *diagnostic.help])
        assert not re.search(r"schema|is not of type|properties|is not valid|\$ref|None|\bdict\b", text), text


def test_the_number_of_reports_is_bounded() -> None:
    text = "".join(f"  a{n}: [1]\n" for n in range(2 * MOST))
    assert len(found(f"{HEAD}define:\n{text}")) == MOST


def test_deep_literals_do_not_overflow() -> None:
    assert found(HEAD + "constants: {a: " + "[" * 60 + "1" + "]" * 60 + "}") == ()


@pytest.mark.parametrize(
    ("text", "line", "column"),
    [("dims:\n i: |", 4, 2), ("constants:\n n:\n -", 5, 2), ("constants:\n n:\n - \n", 5, 2), ("dims: {n: }\n", 3, 8)],
)
def test_what_is_empty_is_pointed_at_all_the_same(text: str, line: int, column: int) -> None:
    diagnostics = found(HEAD + text)
    span = diagnostics[0].span
    assert span is not None
    assert (span.line, span.column) == (line, column)
    assert span.column < span.end_column
    assert [d.code for d in found(HEAD + "constants: {a: " + "[" * 60 + "~" + "]" * 60 + "}")] == ["VS0132"]


def test_checking_imports_no_heavy_package() -> None:
    code = (
        "import sys\n"
        "from vspec.compiler.source.load import parse_document\n"
        "from vspec.compiler.source.structure import validate\n"
        "from vspec.compiler.diagnostics.diagnostic import Sink\n"
        f"validate(parse_document({WHOLE!r}, 'a.yaml'), Sink())\n"
        "assert not {'jax', 'sympy', 'numpy', 'networkx', 'rich'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
