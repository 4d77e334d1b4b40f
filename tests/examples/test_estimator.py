"""Specs as estimators of scikit-learn: its own checks, and what it is used for."""

from __future__ import annotations

import pickle
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vspec
from tests.examples.conftest import EXAMPLES

pytest.importorskip("sklearn", minversion="1.6")

from sklearn.base import clone
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import estimator_checks_generator

from vspec.estimator import UnsuitableError, VspecClassifier, VspecRegressor

RIDGE, SOFTMAX = EXAMPLES / "estimator" / "ridge.yaml", EXAMPLES / "estimator" / "softmax.yaml"

# All checks of scikit-learn pass for both; those that need pandas or an array API skip themselves. Of the classifier only those
# run here that look at classes: what it shares with the regressor is checked there, and each check compiles for its shapes.
OF_CLASSES = ("class", "decision", "proba", "label", "supervised", "pickle", "n_features")


@pytest.fixture(autouse=True)
def _double() -> Any:
    """Specs of float64 switch JAX to it; give the precision back."""
    import jax

    before = jax.config.read("jax_enable_x64")
    yield
    jax.config.update("jax_enable_x64", before)


# --- the checks of scikit-learn ---------------------------------------------------------------------------------------


def _quick(path: Path) -> str:
    """The spec with a method that compiles fast: the checks fit many shapes, and few of them look at how well."""
    text = path.read_text(encoding="utf-8")
    for method in ("newton(tol=1e-9)", "lbfgs(tol=1e-7)"):
        text = text.replace(f"method: {method}", "method: adam(0.1), steps: 200")
    assert "adam" in text
    made = Path(tempfile.gettempdir()) / "vspec-tests" / path.name
    made.parent.mkdir(exist_ok=True)
    made.write_text(text, encoding="utf-8")
    return str(made)


def _checks() -> list[Any]:
    models = {
        "regressor": VspecRegressor(_quick(RIDGE)),
        "classifier": VspecClassifier(_quick(SOFTMAX), output="score", proba="chance"),
    }
    return [
        pytest.param(estimator, check, id=f"{name}-{check.func.__name__}-{k}")
        for name, model in models.items()
        for k, (estimator, check) in enumerate(estimator_checks_generator(model))
        if name == "regressor" or any(word in check.func.__name__ for word in OF_CLASSES)
    ]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("estimator", "check"), _checks())
def test_checks_of_scikit_learn(estimator: Any, check: Any) -> None:
    check(estimator)


# --- what it is used for ----------------------------------------------------------------------------------------------


def _numbers(rows: int = 60) -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(rows, 3))
    return X, X @ [1.0, -2.0, 0.5] + 3.0 + 0.3 * rng.normal(size=rows)


def test_a_regressor_is_ridge_regression() -> None:
    X, y = _numbers()
    model = VspecRegressor(RIDGE, lam=0.2).fit(X[:40], y[:40])
    other = Ridge(alpha=0.2 * 40).fit(X[:40], y[:40])
    assert model.predict(X[40:]) == pytest.approx(other.predict(X[40:]), rel=1e-9)
    assert model.score(X[40:], y[40:]) == pytest.approx(other.score(X[40:], y[40:]))
    assert model.params_["w"] == pytest.approx(other.coef_)
    assert model.outputs_["fitted"] == pytest.approx(other.predict(X[:40]))
    assert model.n_features_in_ == 3
    assert model.n_iter_ >= 1
    again = pickle.loads(pickle.dumps(model))
    assert again.predict(X[40:]) == pytest.approx(model.predict(X[40:]))


def test_constants_are_hyperparameters() -> None:
    model = VspecRegressor(RIDGE, lam=0.2)
    assert model.get_params()["lam"] == 0.2
    assert clone(model).get_params() == model.get_params()
    model.set_params(lam=3.0, seed=1)
    assert (model.lam, model.seed) == (3.0, 1)
    assert "lam=3.0" in repr(model)
    assert "lam" not in VspecRegressor(RIDGE).get_params()


def test_model_selection() -> None:
    X, y = _numbers(45)
    pipe = make_pipeline(StandardScaler(), VspecRegressor(RIDGE))
    grid = [1e-3, 0.1, 10.0]
    search = GridSearchCV(pipe, {"vspecregressor__lam": grid}, cv=KFold(3)).fit(X, y)
    other = GridSearchCV(
        make_pipeline(StandardScaler(), Ridge()), {"ridge__alpha": [30 * x for x in grid]}, cv=KFold(3)
    )
    other.fit(X, y)
    assert search.cv_results_["mean_test_score"] == pytest.approx(other.cv_results_["mean_test_score"], rel=1e-6)
    assert cross_val_score(VspecRegressor(RIDGE, lam=0.1), X, y, cv=KFold(3)).mean() > 0.9


BINARY = """\
vspec: 1
name: binary
precision: float64
dims: {n: auto, i: auto}
data:
  X[n, i]: real
  y[n]: {type: integer, in: [-1, 1]}
params: {"w[i]": {init: 0}, c: {init: 0}}
define: {"score[n]": "sum[i](X[n, i]*w[i]) + c"}
objectives:
  loss: mean[n](log(1 + exp(-y[n]*score[n]))) + sum[i](w[i]**2)/100
solve: {minimize: loss, method: newton}
outputs:
  score[n]: score[n]
  chance[n]: sigmoid(score[n])
  side[n]: score[n] > 0
  label[n]: where(score[n] > 0, 1, -1)
"""


@pytest.fixture(scope="module")
def binary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("spec") / "binary.yaml"
    path.write_text(BINARY, encoding="utf-8")
    return path


@pytest.mark.parametrize("output", ["score", "side", "label"])
def test_two_classes_by_scores_truth_values_and_codes(binary: Path, output: str) -> None:
    X, y = _numbers(40)
    labels = np.where(y > 3, "yes", "no")
    model = VspecClassifier(binary, output=output, proba="chance").fit(X, labels)
    assert list(model.classes_) == ["no", "yes"]
    found = model.predict(X)
    assert model.score(X, labels) > 0.9
    assert set(found) == {"no", "yes"}
    chances = model.predict_proba(X)
    assert chances.sum(axis=1) == pytest.approx(1.0)
    assert list(np.where(chances[:, 1] > 0.5, "yes", "no")) == list(found)


def test_more_classes_than_the_spec_has(binary: Path) -> None:
    X, _ = _numbers(12)
    with pytest.raises(ValueError, match="Only binary classification"):
        VspecClassifier(binary, output="score").fit(X, np.arange(12) % 3)


def test_scores_of_three_classes() -> None:
    X, y = _numbers(90)
    labels = np.digitize(y, [2, 4]) * 10
    model = VspecClassifier(SOFTMAX, output="score", proba="chance").fit(X, labels)
    assert list(model.classes_) == [0, 10, 20]
    assert model.score(X, labels) > 0.85
    assert model.decision_function(X).shape == (90, 3)
    assert np.argmax(model.predict_proba(X), axis=1).tolist() == np.searchsorted([0, 10, 20], model.predict(X)).tolist()


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"lamda": 1.0}, "the spec has no constant 'lamda'"),
        ({"X": "Z"}, "no data 'Z' for X"),
        ({"X": "y"}, "too few axes"),
        ({"output": "loss"}, "no output 'loss'"),
        ({"spec": "problems/svm-dual"}, "no data"),
    ],
)
def test_what_makes_no_estimator(arguments: dict[str, Any], text: str) -> None:
    X, y = _numbers(5)
    model = VspecRegressor(**{"spec": RIDGE, **arguments})
    with pytest.raises(UnsuitableError, match=text) as raised:
        model.fit(X, y)
    assert raised.value.diagnostics[0].code == "VS0887"
    assert isinstance(raised.value, (ValueError, vspec.SpecError))


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (("n: auto", "n: 5"), "the number of rows, 'n', is settled"),
        (("c: {init: 0}", "'c[n]': {init: 0}"), "the param 'c' has a value for every row"),
        (("  fitted[n]: fitted[n]", "  m: mean[n](fitted[n])"), "no output of the spec has a value for every row"),
        (("  fitted[n]: fitted[n]", "  fitted[n]: fitted[n]\n  twice[n]: 2*fitted[n]"), "several outputs"),
    ],
)
def test_specs_that_make_no_estimator(tmp_path: Path, change: tuple[str, str], text: str) -> None:
    source = RIDGE.read_text(encoding="utf-8")
    source = source.replace("* + c\n", "").replace(*change)
    if "c[n]" in change[1]:
        source = source.replace("X[n, i]*w[i]) + c", "X[n, i]*w[i]) + c[n]")
    (tmp_path / "spec.yaml").write_text(source)
    X, y = _numbers(5)
    with pytest.raises(UnsuitableError, match=text):
        VspecRegressor(tmp_path / "spec.yaml").fit(X, y)


def test_constants_with_names_of_methods() -> None:
    with pytest.raises(UnsuitableError, match="cannot have a constant named 'score'"):
        VspecRegressor(RIDGE, score=1.0)
