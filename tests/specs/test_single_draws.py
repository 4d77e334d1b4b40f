"""An expectation that is left to one draw says so: among the choices of the compiler, and where something rests on it."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

import vspec
from tests.language.helpers import diagnose
from vspec.compiler.diagnostics.diagnostic import SpecError
from vspec.compiler.diagnostics.policy import Policy
from vspec.compiler.graph.strategy import choices_of
from vspec.compiler.pipeline import build, compile_spec


@pytest.mark.parametrize(
    ("value", "single"),
    [
        ("E[z, y](sin(z*y)**4)", True),
        ("E[z, y](sin(z*y)**4, by=samples(64))", False),
        ("E[z, y](z**2*y**2)", False),
    ],
)
def test_one_draw_is_said_to_be_one(value: str, single: bool) -> None:
    text = f"random: {{z: 'normal(1, 2)', y: 'normal(0, 1)'}}\noutputs: {{value: '{value}'}}\n"
    spec, diagnostics = diagnose(text)
    assert spec is not None, diagnostics
    (choice,) = [c for c in choices_of(compile_spec(spec).graph) if c.kind == "expectation"]
    assert ("one draw at a time" in choice.because) is single


HEAD = """\
vspec: 1
name: single
dims: {n: 50, w: 3}
params: {m: {init: 0}}
random:
  z: normal(m, 1)
  y[n]: normal(m, 1)
  v: {law: "normal(m, 2)", estimator: score}
  u[w]: {law: "unnormalized(-u[w]**4)", sampler: mala(step=0.1)}
define:
  bound: E[z](sin(z)**4)
  each[n]: E[y](sin(y[n])**4)
objectives: {elbo: bound}
solve: {maximize: elbo, method: sgd(0.1), steps: 2}
"""
# What rests on one draw, and on which line it is said; whether the checker sees it.
ONE = {
    "of_output": ("outputs: {a: 'E[z](cos(z)**4)'}", "the output 'a' rests on one draw of 'z'", 15, False),
    "of_claim": ("claims: {a: 'E[z](cos(z)**4) < 2'}", "the claim 'a' rests on one draw of 'z'", 15, False),
    "through_names": ("outputs: {a: 2*elbo}", "the output 'a' rests on one draw of 'z'", 11, False),
    "of_a_derivative": ("outputs: {a: 'd(elbo, m)'}", "the output 'a' rests on one draw of 'z'", 11, False),
    "one_element": ("outputs: {a: 'each[0]'}", "the output 'a' rests on one draw of 'y'", 12, False),
    "shared_by_rows": ("outputs: {a: 'mean[n](bound*index(n))'}", "the output 'a' rests on one draw of 'z'", 11, False),
    "asked_for": ("outputs: {a: 'E[v](v**2)'}", "the output 'a' rests on one draw of 'v'", 15, True),
}
NONE = {
    "many": "outputs: {a: 'E[z](cos(z)**4, by=samples(100))'}",
    "closed": "outputs: {a: 'E[z](z**2)'}",
    "mean_over_copies": "outputs: {a: 'mean[n](each[n])'}",
    "not_read": "outputs: {a: m}",
    "history": "outputs: {a: {is: elbo, every: 1}}",
    "chains": "outputs: {a: 'E[u](mean[w](u[w]**2))'}",
    "does_not_depend": "outputs: {a: 'E[v](m**2)'}",
    "allowed": "# vspec: allow VS0917: one will do\noutputs: {a: 'E[z](cos(z)**4)', b: m}",
}


def told(spec: str, path: Path, **options: object) -> list[tuple[str, int]]:
    """What a build warns of, with the lines; without StableHLO, which is beside the point."""
    path.write_text(spec)
    built = build(path, path.with_suffix(".built"), stablehlo=False, **options)  # type: ignore[arg-type]
    return [(d.message, d.span.line) for d in built.warnings if d.code == "VS0917" and d.span is not None]


@pytest.mark.parametrize("name", ONE)
def test_a_build_warns_of_what_rests_on_one_draw(name: str, tmp_path: Path) -> None:
    text, message, line, early = ONE[name]
    path = tmp_path / "one.yaml"
    assert told(HEAD + text, path) == [(message, line)]
    checked = [d.message for d in vspec.warnings(path) if d.code == "VS0917"]
    assert checked == ([message] if early else [])


@pytest.mark.parametrize("name", NONE)
def test_what_does_not_rest_on_one_draw_is_not_warned_of(name: str, tmp_path: Path) -> None:
    path = tmp_path / "none.yaml"
    assert told(HEAD + NONE[name], path) == []
    assert [d.message for d in vspec.warnings(path, pedantic=True) if d.code in ("VS0916", "VS0917")] == []


def test_a_build_that_is_up_to_date_says_the_same_again(tmp_path: Path) -> None:
    text = HEAD + "outputs: {a: elbo}\nruns: {b: {params: {m: {init: 1}}}}\n"
    first = told(text, tmp_path / "again.yaml")
    assert first == [("the output 'a' rests on one draw of 'z'", 11)]
    assert build(tmp_path / "again.yaml", tmp_path / "again.built", stablehlo=False).cached
    assert told(text, tmp_path / "again.yaml") == first
    assert told(text, tmp_path / "again.yaml", policy=Policy(mode="none")) == []


def test_warnings_may_be_errors(tmp_path: Path) -> None:
    text = HEAD
    for entry in ("  v:", "  u[w]", "  each"):
        text = text.replace(entry, f"  # vspec: allow VS0901\n{entry}")
    with pytest.raises(SpecError, match="VS0917"):
        told(text + ONE["of_output"][0], tmp_path / "strict.yaml", policy=Policy(mode="error"))
    assert not (tmp_path / "strict.built").exists()


def test_chains_are_not_said_to_be_one_draw() -> None:
    spec, diagnostics = diagnose(textwrap.dedent(HEAD).replace("vspec: 1\nname: single\n", "") + NONE["chains"] + "\n")
    assert spec is not None, diagnostics
    choices = [c for c in choices_of(compile_spec(spec).graph) if c.kind == "expectation" and c.what.startswith("E[u]")]
    assert choices
    assert not any("one draw" in c.because for c in choices)
