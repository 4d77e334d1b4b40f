"""Whole runs: against scikit-learn, what they write, what they say about claims, and how they fail."""

import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from rich.console import Console
from sklearn.linear_model import LogisticRegression

from vspec.runtime import ArtifactError, NumericsError, Program, RunResult, load
from vspec.runtime.progress import pace, terminal
from vspec.runtime.run import run
from vspec.runtime.stages import BUILDERS, Event, execute
from vspec.runtime.stages.record import KINDS

FIXTURES = Path(__file__).parent / "fixtures"


def test_the_lazy_names_are_what_they_say() -> None:
    import vspec.runtime

    for name in vspec.runtime.__all__:
        assert getattr(vspec.runtime, name).__name__ == name
    with pytest.raises(AttributeError, match="nothing"):
        _ = vspec.runtime.nothing
    assert RunResult is vspec.runtime.RunResult


def test_logistic_against_sklearn(logistic: Program) -> None:
    result = run(logistic)
    X, y = result.bound.prepared["X"], result.bound.data["label"]
    peer = LogisticRegression(C=1.0, tol=1e-12, max_iter=10000, solver="newton-cholesky").fit(X, y)
    np.testing.assert_allclose(result.params["w"], peer.coef_[0], atol=1e-6)
    np.testing.assert_allclose(result.params["c"], peer.intercept_[0], atol=1e-6)
    assert result.stages[0].reason == "tolerance"
    assert result.stages[0].steps <= 12
    assert result.outputs["accuracy"] == pytest.approx(peer.score(X, y))
    assert result.holds
    assert "2 of 2 claims hold" in repr(result)
    stiff = run(logistic, constants={"lam": 100.0}, seed=1)
    assert stiff.stages[0].value > result.stages[0].value
    assert stiff.stages[0].compile_seconds == 0.0, "a second run compiles nothing"


def test_maximised_positive_params_with_starts(scales: Program) -> None:
    result = run(scales)
    stage = result.stages[0]
    assert [s["reason"] for s in stage.starts] == ["tolerance"] * 3
    assert stage.value == max(s["value"] for s in stage.starts)
    np.testing.assert_allclose(result.outputs["evidence"], stage.value, rtol=1e-9)
    assert all(v > 0 for v in result.params.values())
    assert result.holds
    first = result.metrics[0]
    assert set(first) == {"stage", "start", "step", "value", "gradient"}
    assert stage.value > first["value"]
    again = execute(scales, scales.initial_params(result.bound), result.bound).params
    np.testing.assert_array_equal(again["scale"], result.params["scale"])


def test_float32_beside_a_float64_program(seal) -> None:
    """Another program has switched the process to 64 bits; this one keeps its own precision."""
    jax.config.update("jax_enable_x64", True)

    def change(manifest: dict[str, Any]) -> None:
        manifest.update(precision="float32")
        manifest["plan"][0].update(starts=2)
        manifest["plan"][0]["methods"][0]["arguments"].update(tol=1e-2)

    result = run(load(seal("scales", change)))
    assert result.bound.data["X"].dtype == jnp.float32
    assert {v.dtype for v in result.params.values()} == {np.dtype("float32")}
    assert result.stages[0].reason == "tolerance"


def test_evaluate_only(recall: Program) -> None:
    result = run(recall)
    assert result.params == {}
    assert result.outputs["recall"] == 1.0
    assert [c.holds for c in result.claims] == [True, True, True]
    assert list(result.outputs) == ["recall", "level", "before_after", "counts"]


def test_results_folder(recall: Program, tmp_path: Path) -> None:
    out = tmp_path / "results" / "recall"
    result = run(recall, out=out)
    assert result.out == out
    names = {p.name for p in out.iterdir()}
    assert names == {
        "params.npz",
        "outputs.npz",
        "outputs.json",
        "metrics.jsonl",
        "metrics.parquet",
        "program",
        "run.json",
        "level.png",
        "before_after.png",
        "counts.png",
    }
    for picture in out.glob("*.png"):
        assert picture.read_bytes().startswith(b"\x89PNG")
        assert picture.stat().st_size > 3000
    assert json.loads((out / "outputs.json").read_text()) == {"recall": 1.0}
    with np.load(out / "outputs.npz", allow_pickle=False) as outputs:
        assert outputs["level"].shape == (41, 10)
    facts = json.loads((out / "run.json").read_text())
    assert facts["seed"] == 0
    assert facts["versions"]["jax"] == jax.__version__
    assert len(facts["manifest"]["sha256"]) == 64
    assert facts["claims"][0]["measured"] == "1"
    assert facts["device"]["platform"] in ("cpu", "gpu", "tpu")
    assert not list((tmp_path / "results").glob(".*"))


def test_results_are_replaced_as_a_whole(logistic: Program, tmp_path: Path) -> None:
    out = tmp_path / "logistic"
    run(logistic, out=out)
    (out / "stale.txt").write_text("from before")
    run(logistic, out=out)
    assert not (out / "stale.txt").exists()
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [r["step"] for r in rows] == list(range(len(rows)))
    assert [p.name for p in tmp_path.glob(".*")] == []


def test_a_failed_write_leaves_the_earlier_results(recall: Program, tmp_path: Path, monkeypatch) -> None:
    out = tmp_path / "recall"
    run(recall, out=out)
    before = (out / "run.json").read_text()

    def fail(*_: Any, **__: Any) -> bool:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("vspec.runtime.results.plot", fail)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(ArtifactError, match="No space left") as caught:
        run(recall, out=out)
    assert caught.value.code == "VS0808"
    assert caught.value.result.outputs["recall"] == 1.0, "what was computed is not lost"
    assert (out / "previous" / "run.json").read_text() == before
    assert {p.name for p in tmp_path.iterdir()} == {"recall", "program-recall"}, (
        "nothing stays beside it, no half-written folder either"
    )


def test_foreign_folders_are_not_replaced(recall: Program, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(ArtifactError) as caught:
        run(recall, out=tmp_path)
    assert caught.value.code == "VS0808"
    assert (tmp_path / "thesis.tex").exists()


def test_claims_that_fail(seal) -> None:
    source = (FIXTURES / "logistic" / "program.py").read_text()
    broken = source.replace("left = jnp.max(jnp.abs", "left = jnp.nan * jnp.max(jnp.abs")
    broken = broken.replace('"stationary": left < right', '"stationary": jnp.asarray(True)')
    broken = broken.replace("jnp.max(jnp.abs(ours - other))", "1e-3 * jnp.abs(c - 1) + 0 * other[0, 0]")
    result = run(load(seal("logistic", source=broken)))
    stationary, curvature = result.claims
    assert not stationary.holds
    assert stationary.measured == "nan"
    assert not curvature.holds
    assert curvature.bound == "<= 1e-08"
    assert len(curvature.figures) == 4
    assert not result.holds
    assert "0 of 2" in repr(result)


def test_an_identity_that_fails_only_elsewhere(seal) -> None:
    source = (FIXTURES / "scales" / "program.py").read_text()
    broken = source.replace('"logs.error": ', '"logs.error": jnp.where(left < 1e-3, 0.0, jnp.nan) + ')
    claim = run(load(seal("scales", source=broken))).claims[1]
    assert not claim.holds
    assert claim.where.startswith("at random point")


def failing(seal, old: str, new: str, name: str = "scales") -> NumericsError:
    source = (FIXTURES / name / "program.py").read_text()
    assert old in source
    with pytest.raises(NumericsError) as caught:
        run(load(seal(name, source=source.replace(old, new))))
    assert caught.value.exit_code == 4
    return caught.value


def test_nan_at_the_start_is_named(seal) -> None:
    error = failing(seal, "    value = jnp.sum(softplus", "    value = jnp.nan * jnp.sum(softplus", "logistic")
    assert error.code == "VS0601"
    assert error.line == 21
    assert "objective 'loss' is nan at the start (spec line 21)" in str(error)


def test_a_gradient_that_is_nan_names_its_param(seal) -> None:
    error = failing(seal, '"noise": 0.5 *', '"noise": jnp.nan *')
    assert error.code == "VS0603"
    assert "'noise'" in str(error)
    assert "'scale'" not in str(error)


def test_divergence_is_named(seal) -> None:
    def change(manifest: dict[str, Any]) -> None:
        how = {"name": "sgd", "arguments": {"lr": 1e200, "tol": 0.0}}
        manifest["plan"][0].update(methods=[how], steps=50)

    with pytest.raises(NumericsError) as caught:
        run(load(seal("logistic", change)))
    assert caught.value.code == "VS0602"
    assert "in step" in str(caught.value)


def test_positive_params_must_start_positive(scales: Program) -> None:
    with pytest.raises(NumericsError) as caught:
        run(scales, params={"scale": -1.0})
    assert caught.value.code == "VS0604"
    assert caught.value.line == 10


def test_a_start_that_fails_is_passed_over(seal) -> None:
    source = (FIXTURES / "scales" / "program.py").read_text()
    nan = source.replace("return -(y @", "return jnp.where(scale == 1.0, jnp.nan, 1.0) * -(y @")
    stage = run(load(seal("scales", source=nan))).stages[0]
    assert [s["reason"] for s in stage.starts] == ["diverged", "tolerance", "tolerance"]


def test_unknown_stages_and_methods(seal) -> None:
    assert set(BUILDERS) == set(KINDS)
    changes = (
        (lambda m: m["plan"][0].update(kind="maximise"), "VS0807"),
        (lambda m: m["plan"][0].update(methods=[{"name": "newtn", "arguments": {}}]), "VS0807"),
        (lambda m: m["plan"][0].update(methods=[{"name": "newton", "arguments": {}}]), "VS0806"),
        (lambda m: m["plan"][0].update(methods=[]), "VS0807"),
        (lambda m: m["entries"].pop("evidence_gradient"), "VS0806"),
    )
    for change, code in changes:
        with pytest.raises(ArtifactError) as caught:
            run(load(seal("scales", change)))
        assert caught.value.code == code
    for entry in ("outputs", "claims"):
        with pytest.raises(ArtifactError) as caught:
            run(load(seal("recall", lambda m, entry=entry: m["entries"].pop(entry))))
        assert caught.value.code == "VS0806"


def test_a_stage_over_one_param_leaves_the_others(seal) -> None:
    """The gradient of one param is an array, not a dict."""
    source = (FIXTURES / "scales" / "program.py").read_text().replace("def evidence_gradient(", "def _all(")
    source = source.replace("g = evidence_gradient(", "g = _all(")
    source += "\n\ndef evidence_gradient(*args):\n    return _all(*args)['noise']\n"

    def change(manifest: dict[str, Any]) -> None:
        manifest["plan"][0].update(over=["noise"], starts=1)
        manifest["plan"][0]["methods"][0].update(over=["noise"])

    program = load(seal("scales", change, source))
    assert program.derivatives("evidence").over == ("noise",)
    result = run(program)
    assert result.params["scale"] == 1.0
    assert result.params["amplitude"] == 1.0
    assert result.stages[0].reason == "tolerance"
    gradient = jax.grad(program.objective("evidence"))(
        {k: jnp.asarray(v) for k, v in result.params.items()}, result.bound
    )
    expected = program.module._all(**result.params, **result.bound.data)
    for name in expected:
        np.testing.assert_allclose(gradient[name], expected[name], atol=1e-6)


def test_progress(scales: Program, capsys) -> None:
    events: list[Event] = []
    run(scales, progress=events.append)
    assert {e.start for e in events} == {0, 1, 2}
    assert events[0].name == "evidence"
    with terminal() as show:
        show(events[0])
    assert capsys.readouterr().err == ""
    console = Console(force_terminal=True, stderr=True, width=120)
    with terminal(console) as show:
        for event in events:
            show(event)
    shown = capsys.readouterr().err
    assert "maximize evidence (start 3 of 3)" in shown
    assert "left" in shown
    assert "steps/s" in shown
    assert [pace(x) for x in (None, 0.25, 9.0, 12345.6)] == ["", "0.25 steps/s", "9 steps/s", "12,346 steps/s"]


def test_newton_on_positive_params() -> None:
    from tests.support.minimizer import Minimizer
    from vspec.runtime.methods import Problem, method
    from vspec.runtime.space import Space

    jax.config.update("jax_enable_x64", True)
    space = Space.of({"x": {"domain": "positive"}}, ["x"])

    def f(p: dict[str, Any]) -> Any:
        return jnp.sum(p["x"] - 3 * jnp.log(p["x"]))

    def newton(u: dict[str, Any]) -> Any:
        p = space.outward(u)
        g = jax.grad(f)(p)
        return f(p), space.gradient(u, g), space.hessian(u, g, jax.hessian(f)(p))

    def build(_: Any) -> Problem:
        return Problem(lambda u: f(space.outward(u)), lambda u: newton(u)[:2], newton)

    start = space.inward({"x": jnp.array([0.1, 50.0])})
    s = Minimizer(build, method("newton", {"tol": 1e-10}), (), start).run((), start)
    assert s.reason == "tolerance"
    np.testing.assert_allclose(space.outward(s.point)["x"], 3.0, rtol=1e-9)
