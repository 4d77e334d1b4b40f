"""Whatever is written, the checker answers with diagnostics and never raises."""

from __future__ import annotations

from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vspec.compiler.diagnostics.diagnostic import SpecError
from vspec.compiler.language.check import check_document
from vspec.compiler.source.load import parse_document

ROOT = Path(__file__).parents[2]
TEXTS = [p.read_text(encoding="utf-8") for p in sorted((ROOT / "specs").rglob("*.yaml"))]
SETTINGS = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])

PIECES = [
    *("n", "i", "j", "t", "w", "X", "y", "f", "s", "foo", "index", "size", "delta", "d", "E", "pi", "max", "sum", "root"),
    *("+", "-", "*", "/", "**", "%", "<", "==", "and", "or", "not", "if", "else", "(", ")", "[", "]", ",", ":", ".", "="),
    *("0", "1", "2", "-1", "0.5", "1e9", "^", "'", "sum[i](", "mean[n](", "d(", "w[i]", "X[n, i]", "s[t]", "y[:]", "f("),
    *("1j", "2j*", "conj(", "re(", "abs(", "z[i]", "arg("),
    *("softmax[i](", "solve(", "logdet(", "stop(", "norm[i, j](", "argmax[n](", "lambda", "\n", " ", "é", "\u2028", "\x00"),
]  # fmt: skip
EXPRESSIONS = st.lists(st.sampled_from(PIECES), max_size=14).map("".join) | st.text(max_size=20)

SPEC = """vspec: 1
name: fuzz
dims: {{n: 4, 'i, j': 3, t: 5}}
data:
  X[n, i]: real
  y[n]: integer
  z[i]: complex
params:
  w[i]: {{init: {0}}}
functions:
  f(a[:], b): {1}
define:
  s[0, i]: w[i]
  s[t + 1, i]: {2}
  g[n]: {3}
objectives:
  loss: {4}
solve: {{minimize: loss}}
claims:
  same: {{identity: {5}, tolerance: 1}}
"""


def check(text: str) -> None:
    try:
        document = parse_document(text, "fuzz.yaml")
    except SpecError:
        return
    spec, diagnostics = check_document(document)
    assert (spec is None) == any(d.severity == "error" for d in diagnostics)
    assert all(d.message and d.code.startswith("VS0") for d in diagnostics)


def quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


@SETTINGS
@given(st.lists(EXPRESSIONS, min_size=6, max_size=6))
def test_random_expressions(parts: list[str]) -> None:
    check(SPEC.format(*(quoted(p) for p in parts)))


@SETTINGS
@given(st.sampled_from(TEXTS), st.data())
def test_mutated_specs(text: str, data: st.DataObject) -> None:
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(text)))
        width = data.draw(st.integers(0, 6))
        text = text[:at] + data.draw(st.sampled_from(PIECES)) + text[at + width :]
    check(text)


@SETTINGS
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(PIECES) | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["init", "is", "draw", "value", "type", "w[i]", "n", "plot", "method"]),
                inner,
                max_size=3,
            )
        ),
        max_leaves=6,
    ),
    st.sampled_from(
        ["dims", "constants", "data", "params", "functions", "define", "objectives", "solve", "outputs", "claims"]
    ),
)
def test_any_value_in_any_section(value: object, section: str) -> None:
    import json

    check(f"vspec: 1\nname: fuzz\n{section}: {json.dumps(value)}\n")
    check(f"vspec: 1\nname: fuzz\ndims: {{i: 2}}\n{section}: {json.dumps({'w[i]': value, 'n': value})}\n")
