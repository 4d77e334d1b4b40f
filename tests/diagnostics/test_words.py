"""A misspelling, or a word of another system, is answered with what to write: at every place where a name stands."""

from __future__ import annotations

import pytest

from vspec.compiler.diagnostics.suggest import SYNONYMS, nearest
from vspec.compiler.diagnostics.words import KEYS, domain_help
from vspec.compiler.pipeline import check_text
from vspec.compiler.source.structure import schema

BASE = """\
vspec: 1
name: words
dims: {rows: 4, cols: 3}
constants: {lambda_: 0.5, rate: 2}
data:
  X[rows, cols]: real
params:
  weight[cols]: {init: 0}
functions:
  energy(v[:]): sum[cols](v[cols]**2)
define:
  margin[rows]: sum[cols](X[rows, cols]*weight[cols])
objectives:
  loss: sum[rows](margin[rows]**2)
solve: {minimize: loss, method: lbfgs(tol=1e-6)}
outputs:
  shown: loss
claims:
  small: shown < 1
"""


def helps(*changes: tuple[str, str]) -> str:
    """All help lines for the spec with something in it replaced."""
    text = BASE
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    _, diagnostics = check_text(text, "words.yaml")
    assert any(d.severity == "error" for d in diagnostics)
    return "\n".join(tip for d in diagnostics for tip in d.help)


def test_the_base_is_right() -> None:
    assert not [d for d in check_text(BASE, "words.yaml")[1] if d.severity == "error"]


@pytest.mark.parametrize(
    ("old", "new", "meant"),
    [
        # Sections and keys.
        ("params:", "parms:", "params"),
        ("params:", "parameters:", "params"),
        ("define:", "definitions:", "define"),
        ("outputs:", "metrics:", "outputs"),
        ("claims:", "assertions:", "claims"),
        ("constants:", "hyperparameters:", "constants"),
        ("dims:", "indices:", "dims"),
        ("data:", "observations:", "data"),
        ("functions:", "fucntions:", "functions"),
        ("objectives:", "loss:", "objectives"),
        ("solve:", "optimize:", "solve"),
        ("{init: 0}", "{intit: 0}", "init"),
        ("{init: 0}", "{init: 0, bounds: positive}", "domain"),
        ("minimize: loss", "minimise: loss", "minimize"),
        ("method: lbfgs", "optimizer: lbfgs", "method"),
        ("{minimize: loss,", "{minimize: loss, iterations: 5,", "steps"),
        ("shown: loss", "shown: {expr: loss}", "is"),
        ("small: shown < 1", "small: {assert: shown < 1}", "that"),
        # Types, domains, plots, laws.
        ("cols]: real", "cols]: float", "real"),
        ("cols]: real", "cols]: {type: int}", "integer"),
        ("cols]: real", "cols]: {draw: 'gaussian(0, 1)'}", "normal"),
        ("cols]: real", "cols]: {draw: 'normal(0, sigma=1)'}", "scale"),
        ("cols]: real", "cols]: {draw: 'unifrom(0, 1)'}", "uniform"),
        ("{init: 0}", "{init: 1, domain: postive}", "positive"),
        ("shown: loss", "shown: {is: loss, plot: bars}", "bar"),
        ("name: words", "name: words\nprecision: double", "float64"),
        # Methods and their keywords.
        ("lbfgs(tol=1e-6)", "lbgfs(tol=1e-6)", "lbfgs"),
        ("lbfgs(tol=1e-6)", "lbgfs", "lbfgs"),
        ("lbfgs(tol=1e-6)", "l-bfgs", "lbfgs"),
        ("lbfgs(tol=1e-6)", "L-BFGS-B", "lbfgs"),
        ("lbfgs(tol=1e-6)", "gd", "sgd"),
        ("lbfgs(tol=1e-6)", "Newton", "newton"),
        ("tol=1e-6", "gtol=1e-6", "tol"),
        ("tol=1e-6", "memroy=5", "memory"),
        ("lbfgs(tol=1e-6)", "'adam(learning_rate=0.1)'", "lr"),
        # Names, indices, functions.
        ("margin[rows]**2", "margn[rows]**2", "margin"),
        ("margin[rows]**2", "Margin[rows]**2", "margin"),
        ("weight[cols])", "wieght[cols])", "weight"),
        ("X[rows, cols]*", "X[rows, col]*", "cols"),
        ("loss: sum[rows]", "loss: sum[row]", "rows"),
        ("margin[rows]:", "margin[row]:", "rows"),
        ("loss: sum[rows](margin[rows]**2)", "loss: enregy(weight[:])", "energy"),
        ("loss: sum[rows]", "loss: smu[rows]", "sum"),
        ("shown: loss", "shown: PI", "pi"),
        ("shown < 1", "showm < 1", "shown"),
        # Stages, dims, claims.
        ("minimize: loss", "minimize: los", "loss"),
        ("minimize: loss,", "minimize: loss, over: wieght,", "weight"),
        ("cols: 3", "cols: rwos - 1", "rows"),
        ("small: shown < 1", "small: {that: shown < 1, smoke: {raet: 1}}", "rate"),
    ],
)  # fmt: skip
def test_near_names(old: str, new: str, meant: str) -> None:
    assert f"did you mean '{meant}'?" in helps((old, new))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("outputs:", "model:", "formulas stand under 'define'"),
        ("params:", "variables:", "unknowns stand under 'params'"),
        ("outputs:", "generated quantities:", "what is reported stands under 'outputs'"),
        ("name: words", "name: words\nseed: 1", "vspec run --seed 1"),
        ("name: words", "name: words\noptimizer: adam", "an option of a stage"),
        ("{init: 0}", "{init: 0, shape: [3]}", "weight[n, i]"),
        ("{init: 0}", "{init: 0, lower: 0}", "domain: positive"),
        ("{init: 0}", "{init: 1, domain: 'lower=0'}", "domain: positive"),
        ("{init: 0}", "{init: 1, domain: '[0, 1]'}", "box(lo, hi)"),
        ("{minimize: loss,", "{minimize: loss, lr: 0.1,", "method: adam(lr=0.1)"),
        ("{minimize: loss,", "{minimize: loss, tol: 0.1,", "method: lbfgs(tol=1e-6)"),
        ("tol=1e-6", "max_iter=100", "steps: 100"),
        ("cols]: real", "cols]: matrix", "X[n, i]"),
        ("cols]: real", "cols]: {type: string}", "categories are numbered"),
        ("cols]: real", "cols]: {shape: [2]}", "X[n, i]"),
        ("shown: loss", "shown: np.exp(loss)", "write exp"),
        ("shown: loss", "shown: X.T", "X[j, i]"),
        ("shown: loss", "shown: X.shape", "size(i)"),
        ("shown: loss", "shown: zebra", "declare it under"),
        ("loss: sum[rows]", "loss: sum[z]", "declare it under 'dims': z: auto"),
        ("shown: loss", "shown: 2loss", "write 2*loss"),
    ],
)
def test_words_of_other_systems(old: str, new: str, said: str) -> None:
    assert said in helps((old, new))


def test_what_a_user_calls_so_is_his_own() -> None:
    # 'sigma' leads to 'scale' where a law has that argument, not where somebody has named a constant so.
    assert nearest("sigma", ["scale"]) == "scale"
    assert nearest("sigma", ["scale"], ours=()) is None
    text = "vspec: 1\nname: x\nconstants: {scale: 1}\noutputs: {a: scale + sigma}\n"
    (found,) = check_text(text, "x.yaml")[1]
    assert found.help == ("declare it under 'constants', 'data', 'params' or 'define'",)


def test_no_word_of_ours_is_explained_away() -> None:
    definitions = schema()["$defs"]
    kinds = {
        "vspec": schema(),
        "minimize": definitions["stage"],
        "draw": definitions["data_options"],
        "init": definitions["param"],
        "solve": definitions["run"],
    }
    for mark, words in KEYS.items():
        assert mark in kinds[mark]["properties"]
        assert words.keys().isdisjoint(kinds[mark]["properties"])
    assert all(word == word.lower() for word in SYNONYMS)


@pytest.mark.parametrize("text", ["lower=0", "<lower=0>", "> 0", ">=0", "x > 0", "(0, inf)", "[0, .inf]", "min=0.0"])
def test_bounds_at_zero(text: str) -> None:
    assert domain_help(text) == "numbers above 0 have domain: positive, numbers from 0 on domain: box(0, inf)"
