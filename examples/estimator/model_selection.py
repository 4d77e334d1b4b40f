"""Specs as estimators of scikit-learn: in a Pipeline, under GridSearchCV and cross_val_score.

python model_selection.py
"""

from __future__ import annotations

import json
from pathlib import Path

from sklearn.datasets import load_diabetes, load_iris
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from vspec.estimator import VspecClassifier, VspecRegressor

HERE = Path(__file__).parent


def main() -> dict[str, object]:
    """The penalty that predicts best, and how well flowers are told apart."""
    # A constant of the spec is a hyperparameter.
    X, y = load_diabetes(return_X_y=True)
    model = make_pipeline(StandardScaler(), VspecRegressor(HERE / "ridge.yaml"))
    search = GridSearchCV(model, {"vspecregressor__lam": [0.01, 0.1, 1.0]}, cv=KFold(3))
    search.fit(X, y)

    # Labels may be anything; the spec sees them as its data entry declares them.
    X, labels = load_iris(return_X_y=True, as_frame=False)
    classifier = VspecClassifier(HERE / "softmax.yaml", output="score", proba="chance")
    scores = cross_val_score(classifier, X, labels, cv=KFold(3, shuffle=True, random_state=0))

    found = search.best_estimator_[-1]
    return {
        "lam": search.best_params_["vspecregressor__lam"],
        "score": round(float(search.best_score_), 3),
        "steps": found.n_iter_,
        "iris": round(float(scores.mean()), 3),
    }


if __name__ == "__main__":
    print(json.dumps(main()))
