"""Programs for other sizes of open dims: when there are some, which one runs, and that all compute the same."""

from __future__ import annotations

import json
import shutil
from functools import cache
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

import vspec
from vspec.compiler import pipeline
from vspec.compiler.pipeline import build, check_text, compile_spec
from vspec.compiler.report.explain import explain_json
from vspec.compiler.variants import MOST, Variant, assumptions, variants
from vspec.recompile import recompiled
from vspec.runtime.errors import ArtifactError
from vspec.runtime.kept import read
from vspec.runtime.program import Program, load
from vspec.runtime.sweep.points import ALONE, TOGETHER, Asked, Points
from vspec.runtime.variants import distance, nearest

COMPILE_QUICKLY = True

# The square of X X' and that of X' X have one trace; which is the cheaper one depends on the sizes alone.
GRAM = """\
vspec: 1
name: gram
precision: float64
dims: {n, m: auto, i, j: auto}
data:
  X[n, i]: real
params:
  w[i]: {init: 1}
define:
  scaled[n, i]: X[n, i]*w[i]
  spread: sum[n, m, i, j](X[n, i]*X[m, i]*X[m, j]*X[n, j])
objectives:
  loss: sum[n, m, i, j](scaled[n, i]*scaled[m, i]*scaled[m, j]*scaled[n, j])/spread
solve: {minimize: loss, method: sgd(lr=0.01), steps: 3}
outputs:
  loss: loss
  w[i]: w[i]
"""


# The same with a constant to sweep over.
SWEPT = GRAM.replace("params:", "constants: {lam: 1.0}\nparams:").replace(
    "/spread\n", "/spread + lam*sum[i](w[i]**2)\n"
)

PREDICTS = """\
vspec: 1
name: kernel
precision: float64
dims: {n, m: auto, i, j: auto}
data:
  X[n, i]: real
  y[n]: real
params:
  w[i]: {init: 1}
define:
  f[n]: sum[i, m, j](X[n, i]*X[m, i]*X[m, j]*w[j])
  spread: sum[n, m, i, j](X[n, i]*X[m, i]*X[m, j]*X[n, j])
objectives:
  loss: sum[n]((y[n] - f[n])**2)/spread + sum[i](w[i]**2)
solve: {minimize: loss, method: sgd(lr=0.0001), steps: 2}
outputs:
  f[n]: f[n]
"""


@cache
def compiled() -> pipeline.Compiled:
    spec, _ = check_text(GRAM, "gram.yaml")
    assert spec is not None
    return compile_spec(spec)


@cache
def found() -> tuple[Variant, ...]:
    return variants(compiled())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("gram")
    (path / "gram.yaml").write_text(GRAM, encoding="utf-8")
    return build(path / "gram.yaml", path / "out", stablehlo=False).directory


@pytest.fixture
def program(folder: Path) -> Program:
    return load(folder)


def data(n: int, i: int) -> dict[str, Any]:
    return {"X": np.random.default_rng(n).normal(size=(n, i))}


def test_each_open_dim_in_turn_is_the_largest() -> None:
    assert assumptions({"n": 10_000, "i": 100}) == {"many-i": {"n": 100, "i": 10_000}}
    assert assumptions({"n": 10_000, "m": 10_000}) == {
        "many-n": {"n": 10_000, "m": 100},
        "many-m": {"n": 100, "m": 10_000},
    }
    assert assumptions({}) == {}
    assert len(assumptions(dict.fromkeys("abcdef", 100))) == MOST


def test_a_variant_chooses_by_its_sizes() -> None:
    (variant,) = found()
    assert variant.name == "many-i"
    assert variant.flops < variant.against / 10
    assert "X @ X.T" in variant.compiled.emitted.text
    assert "X @ X.T" not in compiled().emitted.text
    assert "X.T @ X" in compiled().emitted.text


def test_what_is_the_same_at_all_sizes_has_no_variants() -> None:
    text = GRAM.replace("m, i, j](X[n, i]*X[m, i]*X[m, j]*X[n, j])", "i](X[n, i]**2)")
    text = text.replace("m, i, j](scaled[n, i]*scaled[m, i]*scaled[m, j]*scaled[n, j])", "i](scaled[n, i]**2)")
    spec, _ = check_text(text, "gram.yaml")
    assert spec is not None
    assert variants(compile_spec(spec)) == ()


def test_sizes_that_are_known_are_not_assumed() -> None:
    spec, _ = check_text(GRAM, "gram.yaml", {"n": 30, "i": 50})
    assert spec is not None
    assert variants(compile_spec(spec)) == ()


def test_below_the_second_level_nothing_is_chosen() -> None:
    spec, _ = check_text(GRAM, "gram.yaml")
    assert spec is not None
    assert variants(compile_spec(spec, level=1), level=1) == ()


def test_the_nearest_in_logarithms() -> None:
    meant = [{"n": 10_000, "i": 100}, {"n": 100, "i": 10_000}]
    assert nearest({"n": 569, "i": 30}, meant) == 0
    assert nearest({"n": 60, "i": 3000}, meant) == 1
    assert nearest({"n": 50, "i": 50}, meant) == 0
    assert distance({"n": 100}, {"n": 100, "other": 5}) == 0


@pytest.mark.parametrize(("n", "i", "name"), [(40, 5, ""), (5, 40, "many-i")])
def test_the_sizes_of_the_data_decide_what_runs(program: Program, n: int, i: int, name: str) -> None:
    bound = program.bind(data(n, i), fit=True)
    assert (program.fitted(bound).variant, bound.variant) == (name, name)
    assert program.fitted(program.bind(data(n, i))) is program
    result = vspec.run(program, data=data(n, i))
    assert result.bound.variant == name
    alone = load(program.directory or "")
    alone.variants = ()
    other = vspec.run(alone, data=data(n, i))
    assert other.bound.variant == ""
    np.testing.assert_allclose(result.params["w"], other.params["w"], rtol=1e-12)


@pytest.mark.parametrize(("n", "i"), [(40, 5), (5, 40)])
def test_all_variants_compute_the_same(program: Program, n: int, i: int) -> None:
    (variant,) = program.variants
    w = {"w": jnp.asarray(np.random.default_rng(3).normal(size=i))}
    for entry in ("loss", "loss_gradient", "outputs"):
        one, other = (p.call(entry, w, p.bind(data(n, i))) for p in (program, variant))
        for a, b in zip(*(x.values() if isinstance(x, dict) else [x] for x in (one, other)), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-10)


def test_what_one_variant_prepared_is_not_taken_for_anothers(program: Program) -> None:
    (variant,) = program.variants
    w = {"w": jnp.full(40, 0.5)}
    bounds = [p.bind(data(5, 40)) for p in (program, variant)]
    assert bounds[0].prepared.keys() & bounds[1].prepared.keys()
    values = [float(p.call("loss", w, b)) for p in (program, variant) for b in bounds]
    np.testing.assert_allclose(values, 0.5**4, rtol=1e-12)


def test_a_run_says_which_variant_it_was(program: Program, tmp_path: Path) -> None:
    vspec.run(program, data=data(5, 40), out=tmp_path / "wide")
    assert json.loads((tmp_path / "wide" / "run.json").read_text(encoding="utf-8"))["variant"] == "many-i"
    texts = read(tmp_path / "wide" / "program")
    assert "X @ X.T" in texts["program.py"]
    assert recompiled(texts).emitted.text == texts["program.py"]


def test_a_program_in_memory_has_its_variants(tmp_path: Path) -> None:
    (tmp_path / "gram.yaml").write_text(GRAM, encoding="utf-8")
    program = vspec.compile(tmp_path / "gram.yaml")
    assert [v.variant for v in program.variants] == ["many-i"]
    vspec.run(program, data=data(5, 40), out=tmp_path / "out")
    assert "X @ X.T" in (tmp_path / "out" / "program" / "program.py").read_text(encoding="utf-8")


def test_a_variant_that_was_changed_is_refused(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "copy")
    source = tmp_path / "copy" / "variants" / "many-i" / "program.py"
    source.write_text(source.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    with pytest.raises(ArtifactError) as error:
        load(tmp_path / "copy")
    assert error.value.code == "VS0801"


def test_variants_are_explained() -> None:
    from dataclasses import replace

    from vspec.compiler.report.explain import explain

    whole = replace(compiled(), variants=found())
    (record,) = explain_json(whole)["variants"]
    assert record["sizes"] == {"n": 100, "i": 10_000}
    assert "Variants for other sizes\n  many-i  n = 100, i = 10000  " in explain(whole)
    assert "Variants" not in explain(compiled())


def test_an_entry_is_explained_with_what_variants_have_in_its_place() -> None:
    from dataclasses import replace

    from vspec.compiler.report.explain import explain

    whole = replace(compiled(), variants=found())
    (record,) = explain_json(whole, "loss")["variants"]
    assert any("scaled @ scaled.T" in x["code"] for x in record["entry"]["lines"])
    assert record["entry"]["flops"] < record["entry"]["against"] / 10
    text = explain(whole, "loss")
    assert "In the variant many-i (n = 100, i = 10000): " in text
    assert text.count("scaled @ scaled.T") == 1
    assert text.count("scaled.T @ scaled") == 1
    (same,) = explain_json(whole, "initial")["variants"]
    assert same["entry"] is None
    assert "The variant many-i (n = 100, i = 10000) has the same\n" in explain(whole, "initial")


@pytest.mark.parametrize(("lanes", "how"), [(4, TOGETHER), (1, ALONE)])
@pytest.mark.parametrize(("n", "i", "name"), [(40, 5, ""), (5, 40, "many-i")])
def test_points_of_a_sweep_run_the_variant_of_their_sizes(
    tmp_path: Path, lanes: int, how: str, n: int, i: int, name: str
) -> None:
    (tmp_path / "gram.yaml").write_text(SWEPT, encoding="utf-8")
    program = vspec.compile(tmp_path / "gram.yaml")
    asked = [Asked({"lam": lam}, 0) for lam in (0.1, 1.0)]
    outcomes = Points(program, data(n, i)).run(asked, lanes)
    assert [(o.how, o.variant, o.fault) for o in outcomes] == [(how, name, None)] * 2
    program.variants = ()
    for one, other in zip(outcomes, Points(program, data(n, i)).run(asked, lanes), strict=True):
        assert other.variant == ""
        np.testing.assert_allclose(one.params["w"], other.params["w"], rtol=1e-12)
        np.testing.assert_allclose(one.outputs["loss"], other.outputs["loss"], rtol=1e-12)


def test_a_sweep_tells_which_variant_ran(tmp_path: Path) -> None:
    (tmp_path / "gram.yaml").write_text(SWEPT, encoding="utf-8")
    swept = vspec.sweep(tmp_path / "gram.yaml", {"lam": [0.1, 1.0]}, data=data(5, 40))
    assert [p["variant"] for p in swept.points] == ["many-i"] * 2


def test_an_estimator_predicts_by_the_variant_of_the_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from vspec.estimator import VspecRegressor
    from vspec.runtime import run

    (tmp_path / "kernel.yaml").write_text(PREDICTS, encoding="utf-8")
    seen: list[str] = []
    evaluate = run.evaluate_outputs

    def watched(program: Program, params: Any, bound: Any) -> Any:
        seen.append(program.variant)
        return evaluate(program, params, bound)

    monkeypatch.setattr(run, "evaluate_outputs", watched)
    rng = np.random.default_rng(0)
    few, many = rng.normal(size=(5, 30)), rng.normal(size=(3000, 30))
    model = VspecRegressor(tmp_path / "kernel.yaml").fit(few, few[:, 0])
    predicted = model.predict(many)
    assert seen == ["many-i", ""]
    np.testing.assert_allclose(predicted, many @ (many.T @ (many @ model.params_["w"])), rtol=1e-9)
