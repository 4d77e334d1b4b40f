"""A spec as an estimator of scikit-learn: `fit` runs it, `predict` evaluates one of its outputs on other rows.

    from vspec.estimator import VspecRegressor

    model = VspecRegressor("ridge.yaml", lam=0.1).fit(X, y)
    model.predict(X_new)

Constants of the spec are hyperparameters: `GridSearchCV(model, {"lam": [0.1, 1, 10]})`. Needs scikit-learn, which the extra
`data` brings.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted

from vspec.compiler.diagnostics.diagnostic import Diagnostic, SpecError
from vspec.compiler.diagnostics.suggest import did_you_mean

if TYPE_CHECKING:
    from vspec.runtime.program import Program

_PROGRAMS: dict[Any, Program] = {}
"""Programs of this process by spec, time of its last change, and run: cloned estimators share one, and what is compiled."""


class UnsuitableError(SpecError, ValueError):
    """VS0887: the spec, or what was said about it, does not make an estimator."""


class VspecEstimator(BaseEstimator):  # type: ignore[misc]
    """What `VspecRegressor` and `VspecClassifier` share.

    Attributes:
        params_: name → NumPy array: the solution.
        outputs_: name → NumPy array: all outputs, on the rows of `fit`.
        claims_: the judged claims of the spec.
        n_iter_: how many steps the stages took.
        n_features_in_: the number of columns.
    """

    def __init__(
        self,
        spec: str | Path,
        *,
        X: str = "X",
        y: str = "y",
        output: str | None = None,
        data: Mapping[str, Any] | None = None,
        seed: int = 0,
        run: str = "",
        **constants: Any,
    ) -> None:
        """An estimator that is not fitted yet.

        Args:
            spec: a path, the name of a shipped spec, or the folder of a program.
            X: the data entry of the columns; its axes are rows and columns.
            y: the data entry of what is to be predicted; its first axis is that of the rows.
            output: the output that predicts; its first axis is that of the rows. None if there is only one like that.
            data: further data of the spec, the same for all rows and in `fit` and `predict`.
            seed: seed of every draw that has none of its own.
            run: the name of a run of the spec, '' for the spec itself.
            constants: name → value, for those that differ from the spec.
        """
        self.spec = spec
        self.X = X
        self.y = y
        self.output = output
        self.data = data
        self.seed = seed
        self.run = run
        self._set_constants(constants)

    # --- hyperparameters ----------------------------------------------------------------------------------------------

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The arguments of the constructor, and the constants that were given."""
        found: dict[str, Any] = super().get_params(deep)
        own = self._own()
        return found | {k: v for k, v in vars(self).items() if k not in own and k[0] != "_" and k[-1] != "_"}

    def set_params(self, **params: Any) -> VspecEstimator:
        """Set arguments and constants; whether the spec has a constant of that name is seen in `fit`."""
        own = self._own()
        super().set_params(**{k: v for k, v in params.items() if k in own})
        self._set_constants({k: v for k, v in params.items() if k not in own})
        return self

    @classmethod
    def _own(cls) -> set[str]:
        return set(cls._get_param_names())

    def _set_constants(self, constants: Mapping[str, Any]) -> None:
        for name, value in constants.items():
            if hasattr(type(self), name) or name[0] == "_" or name[-1] == "_":
                raise _unsuitable(
                    f"an estimator cannot have a constant named '{name}'", "give it another name in the spec"
                )
            setattr(self, name, value)

    def _constants(self) -> dict[str, Any]:
        own = self._own()
        return {k: v for k, v in self.get_params(deep=False).items() if k not in own}

    # --- the program --------------------------------------------------------------------------------------------------

    def _program(self) -> Program:
        """The program, compiled once per process. Raises UnsuitableError where the estimator cannot be made of it."""
        from vspec import api, programs
        from vspec.locate import find_spec

        path = Path(self.spec)
        if not programs.is_program(path):
            path = find_spec(str(self.spec))
        state = os.stat(path / "manifest.json" if path.is_dir() else path)
        key = (str(path.resolve()), state.st_mtime_ns, state.st_size, self.run)
        if key not in _PROGRAMS:
            made = api.load(path, self.run) if path.is_dir() else api.compile(path, run=self.run)
            _PROGRAMS[key] = made
        program = _PROGRAMS[key]
        self._check(program)
        return program

    def _check(self, program: Program) -> None:
        """Raise UnsuitableError for the first thing that does not fit."""
        manifest = program.manifest
        for role, name, axes in (("X", self.X, 2), ("y", self.y, 1)):
            if name not in manifest["data"]:
                known = manifest["data"]
                raise _unsuitable(
                    f"the spec has no data '{name}' for {role}", did_you_mean(name, known), f"name it: {role}='...'"
                )
            if len(manifest["data"][name]["axes"]) < axes:
                raise _unsuitable(f"the data '{name}' for {role} has too few axes", "the first one is that of the rows")
        rows = self._rows(program)
        if manifest["data"][self.y]["axes"][0] != rows:
            raise _unsuitable(f"'{self.X}' and '{self.y}' have different axes of rows")
        if manifest["dims"][rows]["size"] is not None:
            raise _unsuitable(f"the number of rows, '{rows}', is settled in the spec", f"write '{rows}: auto'")
        for name, entry in manifest["params"].items():
            if rows in entry["axes"]:
                raise _unsuitable(f"the param '{name}' has a value for every row, which tells nothing about other rows")
        for name in self._constants():
            if name not in manifest["constants"]:
                known = manifest["constants"]
                listed = f"it has {', '.join(known)}" if known else "it has none"
                raise _unsuitable(f"the spec has no constant '{name}'", did_you_mean(name, known) or listed)
        self._predictor(program, self.output)

    def _rows(self, program: Program) -> str:
        return str(program.manifest["data"][self.X]["axes"][0])

    def _predictor(self, program: Program, name: str | None) -> str:
        """The output that predicts."""
        rows, outputs = self._rows(program), program.manifest["outputs"]
        fitting = [n for n, o in outputs.items() if o["axes"][:1] == [rows] and o.get("every") is None]
        if name is None:
            if len(fitting) == 1:
                return str(fitting[0])
            if fitting:
                listed = ", ".join(fitting)
                raise _unsuitable(
                    f"several outputs have a value for every row: {listed}", "say which one predicts: output='...'"
                )
            raise _unsuitable(
                "no output of the spec has a value for every row", f"add one, such as 'fitted[{rows}]: ...'"
            )
        if name in fitting:
            return name
        if name in outputs:
            raise _unsuitable(f"the output '{name}' does not have '{rows}' for its first axis", "that of the rows")
        raise _unsuitable(f"the spec has no output '{name}'", did_you_mean(name, outputs))

    # --- fitting ------------------------------------------------------------------------------------------------------

    def fit(self, X: Any, y: Any) -> VspecEstimator:
        """Run the spec on these rows.

        Args:
            X: array [rows, columns].
            y: array [rows], or with more axes as the spec has it.

        Raises:
            UnsuitableError: VS0887.
            DataError, NumericsError: as a run does.
        """
        from vspec.runtime.run import run

        program = self._program()
        several = self._numeric and len(program.manifest["data"][self.y]["axes"]) > 1
        X, y = _validated(self, X, y, multi_output=several, y_numeric=self._numeric)
        target = self._encoded(program, y)
        data = {**(self.data or {}), self.X: X, self.y: target}
        done = run(program, data=data, constants=self._constants(), seed=self.seed, progress=lambda _: None)
        self.params_ = dict(done.params)
        self.outputs_ = dict(done.outputs)
        self.claims_ = done.claims
        self.n_iter_ = int(done.facts["steps"])
        # What stands in for y where it is asked for and not known: of the shape of one row.
        self._row = np.asarray(target)[:1]
        return self

    _numeric = False

    def _encoded(self, program: Program, y: Any) -> Any:
        return y

    def _evaluated(self, X: Any, output: str | None) -> Any:
        """An output on other rows, with the params of `fit`."""
        from vspec.runtime.run import evaluate_outputs

        check_is_fitted(self, "params_")
        program = self._program()
        X = _validated(self, X, reset=False)
        # The outputs of a program are one function: what it makes of y here is not looked at.
        unknown = np.repeat(self._row, len(X), axis=0)
        data = {**(self.data or {}), self.X: X, self.y: unknown}
        bound = program.bind(data, self._constants(), self.seed, fit=True)
        return evaluate_outputs(program.fitted(bound), self.params_, bound)[self._predictor(program, output)]


class VspecRegressor(RegressorMixin, VspecEstimator):  # type: ignore[misc]
    """A spec that predicts numbers."""

    _numeric = True

    def predict(self, X: Any) -> Any:
        """The output on these rows."""
        return self._evaluated(X, self.output)


class VspecClassifier(ClassifierMixin, VspecEstimator):  # type: ignore[misc]
    """A spec that predicts classes.

    Classes are given to the spec as the values that `in` allows for y, in ascending order, else as 0, 1, 2, ...; if y has a
    second axis, as rows with a 1 in the place of the class. The output is one of: truth values (true is the second
    class), integers (the values that stand for classes), real numbers (the second class where positive), or an axis of
    scores per class (the largest).

    Attributes:
        classes_: the classes, in ascending order.
    """

    def __init__(
        self,
        spec: str | Path,
        *,
        X: str = "X",
        y: str = "y",
        output: str | None = None,
        proba: str | None = None,
        data: Mapping[str, Any] | None = None,
        seed: int = 0,
        run: str = "",
        **constants: Any,
    ) -> None:
        """As `VspecEstimator`.

        Args:
            proba: the output of probabilities: of the second class, or along an axis of classes.
        """
        super().__init__(spec, X=X, y=y, output=output, data=data, seed=seed, run=run, **constants)
        self.proba = proba

    def _check(self, program: Program) -> None:
        super()._check(program)
        if self.proba is not None:
            self._predictor(program, self.proba)

    def _encoded(self, program: Program, y: Any) -> Any:
        check_classification_targets(y)
        self.classes_, codes = np.unique(y, return_inverse=True)
        entry, count = program.manifest["data"][self.y], len(self.classes_)
        if count < 2:
            raise ValueError("VspecClassifier needs rows of at least two classes; the data has only one class")
        if len(entry["axes"]) == 2:
            return np.eye(count)[codes]
        allowed = sorted(entry["in"]) if entry.get("in") is not None else [*range(count)]
        if count > len(allowed):
            raise ValueError(
                f"VspecClassifier: the data has {count} classes, and the spec allows {len(allowed)} values of '{self.y}'. "
                f"Only {_counted(len(allowed))} classification is supported by it"
            )
        self._allowed = np.asarray(allowed)
        return self._allowed[codes].astype(float if entry["dtype"] == "real" else int)

    def predict(self, X: Any) -> Any:
        """The class of each row."""
        found = np.asarray(self._evaluated(X, self.output))
        if found.ndim > 1:
            return self.classes_[np.argmax(found, axis=1)]
        if found.dtype.kind == "b":
            return self.classes_[found.astype(int)]
        if found.dtype.kind in "iu":
            return self.classes_[np.searchsorted(self._allowed[: len(self.classes_)], found)]
        return self.classes_[(found > 0).astype(int)]

    def decision_function(self, X: Any) -> Any:
        """The output itself: a number per row, of more classes one for each; of two the second less the first."""
        found = np.asarray(self._evaluated(X, self.output), dtype=float)
        return found[:, 1] - found[:, 0] if found.ndim > 1 and found.shape[1] == 2 else found

    def predict_proba(self, X: Any) -> Any:
        """Probabilities of the classes, in the order of `classes_`. Raises UnsuitableError if `proba` names no output."""
        if self.proba is None:
            raise _unsuitable("no output was named for probabilities", "say which one: proba='...'")
        found = np.asarray(self._evaluated(X, self.proba), dtype=float)
        return found if found.ndim > 1 else np.stack([1 - found, found], axis=1)


def _unsuitable(message: str, *help: str) -> UnsuitableError:
    return UnsuitableError([Diagnostic("VS0887", message, help=tuple(h for h in help if h))])


def _counted(count: int) -> str:
    return "binary" if count == 2 else f"{count}-class"


def _validated(estimator: Any, X: Any, y: Any = "no_validation", **how: Any) -> Any:
    """Arrays that scikit-learn has checked: finite, of two axes, and with the columns of `fit`."""
    try:
        from sklearn.utils.validation import validate_data
    except ImportError:  # scikit-learn before 1.6
        return estimator._validate_data(X, y, dtype=np.float64, **how)
    return validate_data(estimator, X, y, dtype=np.float64, **how)


__all__ = ["UnsuitableError", "VspecClassifier", "VspecEstimator", "VspecRegressor"]
