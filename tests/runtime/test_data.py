"""Binding data: every way it can come, and every way it can fail to fit."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
import sklearn.datasets

import vspec
from vspec.runtime import DataError, Program, load
from vspec.runtime.codes import CODES
from vspec.runtime.data import Sizes


def logistic_data(n: int = 6, i: int = 2) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    return {"raw": rng.normal(size=(n, i)), "label": np.arange(n) % 2}


def refused(code: str, call: Callable[[], object], *words: str) -> DataError:
    with pytest.raises(DataError) as caught:
        call()
    assert caught.value.code == code, caught.value
    assert caught.value.exit_code == 3
    assert code in CODES
    for word in words:
        assert word in str(caught.value)
    return caught.value


def default(name: str, value: Any) -> Callable[[dict[str, Any]], None]:
    return lambda manifest: manifest["data"][name].update(default=value)


def test_defaults_from_sklearn(logistic: Program) -> None:
    bound = logistic.bind()
    bunch = sklearn.datasets.load_breast_cancer()
    np.testing.assert_array_equal(bound.data["raw"], bunch.data)
    np.testing.assert_array_equal(bound.data["label"], bunch.target)
    assert bound.data["label"].dtype == jnp.int64
    assert float(logistic.bind(constants={"lam": 3}).constants["lam"]) == 3.0


def test_rows_columns_and_shuffle(seal) -> None:
    def change(manifest: dict[str, Any]) -> None:
        source = {"source": "sklearn:digits", "rows": [5, 15], "shuffle": 3}
        manifest["data"]["image"]["default"] = source | {"column": "data"}

    got = load(seal("recall", change)).bind().data["image"]
    digits = sklearn.datasets.load_digits().data
    np.testing.assert_array_equal(got, digits[np.random.default_rng(3).permutation(len(digits))[5:15]])


def test_one_feature_by_its_name(scales: Program) -> None:
    values = {"source": "sklearn:iris", "column": "sepal width (cm)", "rows": [0, 40]}
    got = scales.bind({"X": values}).data["X"]
    np.testing.assert_array_equal(got, sklearn.datasets.load_iris().data[:40, 1])


def test_draws_are_numpys(scales: Program, recall: Program) -> None:
    bound = scales.bind(seed=7)
    np.testing.assert_array_equal(bound.data["X"], -3 + 6 * np.random.default_rng(2).random(40))
    np.testing.assert_array_equal(bound.data["y"], np.random.default_rng(7).standard_normal(40))
    assert not np.array_equal(bound.data["y"], scales.bind(seed=8).data["y"])
    np.testing.assert_array_equal(scales.bind(seed=7).data["y"], bound.data["y"])
    np.testing.assert_array_equal(recall.bind().data["flip"], np.random.default_rng(1).random((10, 64)) < 0.2)


def test_draws_that_share_a_seed_are_independent(seal) -> None:
    law = {"draw": {"law": "normal", "arguments": [0, 1], "seed": None}}

    def change(manifest: dict[str, Any]) -> None:
        manifest["data"]["X"]["default"] = manifest["data"]["y"]["default"] = law

    bound = load(seal("scales", change)).bind(seed=4)
    rng = np.random.default_rng(4)
    np.testing.assert_array_equal(bound.data["X"], rng.standard_normal(40))
    np.testing.assert_array_equal(bound.data["y"], rng.standard_normal(40))


@pytest.mark.parametrize("law", [("poisson", [3.0]), ("gamma", [2.0, 1.0]), ("integers", [0, 5]), ("uniform", [])])
def test_other_laws(seal, law) -> None:
    change = default("y", {"draw": {"law": law[0], "arguments": law[1], "seed": 0}})
    assert load(seal("scales", change)).bind().data["y"].shape == (40,)


def test_files(logistic: Program, tmp_path: Path) -> None:
    values = logistic_data()
    np.savez(tmp_path / "both.npz", **values)
    np.save(tmp_path / "raw.npy", values["raw"])
    table = np.column_stack([values["raw"], values["label"]])
    header = "one,two,label"
    np.savetxt(tmp_path / "table.csv", table, delimiter=",", header=header, comments="", fmt="%.17g")
    np.savetxt(tmp_path / "raw.csv", values["raw"], delimiter=",", fmt="%.17g")
    npz = {name: str(tmp_path / "both.npz") for name in values}
    mixed = {"raw": tmp_path / "raw.npy", "label": str(tmp_path / "table.csv:label")}
    text = {"raw": tmp_path / "raw.csv", "label": tmp_path / "table.csv"}
    for given in (values, npz, mixed, text):
        bound = logistic.bind(given)
        np.testing.assert_array_equal(bound.data["raw"], values["raw"])
        np.testing.assert_array_equal(bound.data["label"], values["label"])


def test_paths_in_a_spec_stay_in_its_folder(seal, tmp_path: Path) -> None:
    folder, outside = tmp_path / "spec", tmp_path / "outside.npy"
    folder.mkdir()
    raw = logistic_data()["raw"]
    np.save(folder / "raw.npy", raw)
    np.save(outside, raw)
    label = {"label": logistic_data()["label"]}
    inside = load(seal("logistic", default("raw", {"source": "raw.npy"})))
    assert inside.bind(label, base=folder).sizes["n"] == 6
    program = load(seal("logistic", default("raw", {"source": "../outside.npy"})))
    refused("VS0511", lambda: program.bind(label, base=folder), "--allow-outside", "spec line 11")
    assert program.bind(label, base=folder, allow_outside=True).sizes["n"] == 6
    (folder / "link.npy").symlink_to(outside)
    refused("VS0511", lambda: load(seal("logistic", default("raw", {"source": "link.npy"}))).bind(label, base=folder))
    absolute = load(seal("logistic", default("raw", {"source": str(outside)})))
    refused("VS0511", lambda: absolute.bind(label, base=folder))


def test_pickles_are_refused(logistic: Program, tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> Any:
            return (pytest.fail, ("a pickle was loaded",))

    np.savez(tmp_path / "bomb.npz", raw=np.array([Bomb()], dtype=object))
    np.save(tmp_path / "bomb.npy", np.array([Bomb()], dtype=object))
    for name in ("bomb.npz", "bomb.npy"):
        refused("VS0512", lambda name=name: logistic.bind({"raw": tmp_path / name}), "pickled")
    refused("VS0507", lambda: logistic.bind({"raw": np.array([[Bomb()]], dtype=object)}), "[0, 0]")
    refused("VS0522", lambda: logistic.bind({"raw": np.array([[None]], dtype=object)}))


def test_missing_and_unknown(seal, logistic: Program) -> None:
    program = load(seal("logistic", default("raw", None)))
    refused("VS0501", program.bind, "data 'raw'", "spec line 11")
    refused("VS0502", lambda: logistic.bind({"labels": [1]}), "did you mean 'label'")
    refused("VS0502", lambda: logistic.bind(constants={"lamb": 1}), "did you mean 'lam'")


def test_unreadable_sources(logistic: Program, tmp_path: Path) -> None:
    (tmp_path / "broken.npz").write_bytes(b"no archive")
    (tmp_path / "broken.npy").write_bytes(b"no array")
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "ragged.csv").write_text("1,2\n3\n")
    (tmp_path / "table.xlsx").write_text("")
    for name in ("broken.npz", "broken.npy", "empty.csv", "ragged.csv", "table.xlsx", "nowhere.csv"):
        refused("VS0503", lambda name=name: logistic.bind({"raw": tmp_path / name}))
    refused("VS0503", lambda: logistic.bind({"raw": "https://example.org/x.npy"}), "only files")
    refused("VS0503", lambda: logistic.bind({"raw": tmp_path / "emty.csv"}), "did you mean 'empty.csv'")


def test_columns_that_are_not_there(logistic: Program, tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", one=np.ones(3), two=np.ones(3))
    np.save(tmp_path / "a.npy", np.ones((3, 2)))
    (tmp_path / "a.csv").write_text("one,two\n1,2\n")
    (tmp_path / "b.csv").write_text("1,2\n")
    for source in ("a.npz", "a.npz:tow", "a.npy:two", "a.csv:tow", "b.csv:two"):
        refused("VS0504", lambda source=source: logistic.bind({"raw": str(tmp_path / source)}))
    refused("VS0504", lambda: logistic.bind({"label": str(tmp_path / "a.csv")}), "2 columns")
    refused("VS0504", lambda: logistic.bind({"raw": "sklearn:iris:dat"}), "did you mean 'data'")


def test_axes_and_sizes(logistic: Program, scales: Program) -> None:
    values = logistic_data()
    refused("VS0505", lambda: logistic.bind(values | {"raw": np.ones(6)}), "data 'raw'", "[n, i]")
    refused("VS0505", lambda: logistic.bind(values | {"label": 1}), "0 axes")
    error = refused("VS0506", lambda: logistic.bind(values | {"label": np.ones(5)}), "data 'raw'", "data 'label'")
    assert error.line == 12
    refused("VS0506", lambda: logistic.bind(values | {"raw": np.ones((0, 2))}), "empty")
    refused("VS0506", lambda: scales.bind({"X": np.ones(41)}), "its declaration", "40")


def test_a_transpose_is_recognised(recall: Program) -> None:
    refused("VS0506", lambda: recall.bind({"image": np.ones((64, 10))}), "its transpose would fit")


def test_types_and_values(logistic: Program, recall: Program, tmp_path: Path) -> None:
    values = logistic_data()
    refused("VS0507", lambda: logistic.bind(values | {"raw": np.full((6, 2), "a")}), "numbers")
    refused("VS0507", lambda: logistic.bind(values | {"raw": np.full((6, 2), 1j)}))
    refused("VS0507", lambda: logistic.bind(values | {"raw": [[1], [1, 2]]}))
    refused("VS0507", lambda: logistic.bind(values | {"label": np.full(6, 0.5)}), "0.5 at [0]", "integer")
    refused("VS0507", lambda: recall.bind({"image": np.full((10, 64), 1e300)}), "float32")
    raw = values["raw"].copy()
    raw[3, 1] = np.nan
    refused("VS0508", lambda: logistic.bind(values | {"raw": raw}), "[3, 1]", "nan")
    raw[3, 1] = np.inf
    refused("VS0508", lambda: logistic.bind(values | {"raw": raw}), "inf")
    for cell, code in (("", "VS0522"), ("n/a", "VS0508"), ("nan", "VS0508")):
        (tmp_path / "t.csv").write_text(f"a,b\n1,2\n3,{cell}\n")
        refused(code, lambda: logistic.bind({"raw": tmp_path / "t.csv"}), "line 3, column 'b'")
    refused("VS0509", lambda: logistic.bind(values | {"label": np.arange(6)}), "2 at [2]", "allowed are 0, 1")
    assert logistic.bind(values | {"label": values["label"].astype(bool)}).data["label"].dtype == jnp.int64
    assert logistic.bind(values | {"label": values["label"] * 1.0}).data["label"].dtype == jnp.int64


def test_constants(logistic: Program) -> None:
    for value in ([1.0, 2.0], "much", float("nan")):
        refused("VS0510", lambda value=value: logistic.bind(constants={"lam": value}), "constant 'lam'")


def test_sizes_that_nothing_reveals(seal) -> None:
    program = load(seal("scales", lambda m: m["dims"]["n"].update(size=None)))
    refused("VS0513", program.bind, "'n'")
    assert program.bind({"X": np.ones(5)}).sizes == {"n": 5}
    program = load(seal("recall", lambda m: m["dims"]["t"].update(size="r - 40")))
    refused("VS0513", program.bind, "at least 1")


@pytest.mark.parametrize(
    ("size", "said"),
    [
        ("r - 40", "at least 1"),
        ("r//(r - 30)", "divides by 0"),
        ("2**(r - 31)", "exponent is -1"),
        ("2**r", "more than 16777216"),
        ("r**(2**r)", "more than 16777216"),
    ],
)
def test_sizes_that_are_none(size: str, said: str) -> None:
    dims = {"r": {"letters": ["r"], "size": None, "line": 3}, "t": {"letters": ["t"], "size": size, "line": 4}}
    sizes = Sizes(dims)
    error = refused("VS0513", lambda: sizes.match("data 'x'", ["r"], (30,), 7), said)
    assert error.line == 4


def test_coordinates_from_one_end_to_the_other_need_two_values() -> None:
    dims = {"x": {"letters": ["x"], "size": None, "least": 2, "line": 3}}
    Sizes(dims).match("data 'x'", ["x"], (2,), 7)
    error = refused("VS0513", lambda: Sizes(dims).match("data 'x'", ["x"], (1,), 7), "at least 2")
    assert error.line == 3


def test_sklearn_names(logistic: Program) -> None:
    refused("VS0514", lambda: logistic.bind({"raw": "sklearn:digit"}), "did you mean 'digits'")
    refused("VS0514", lambda: logistic.bind({"raw": "sklearn:files"}))


def test_rows_out_of_range(seal) -> None:
    for rows in ([0, 2000], [5, 5]):
        source = {"source": "sklearn:digits", "column": "data", "rows": rows}
        refused("VS0515", load(seal("recall", default("image", source))).bind, "1797")


@pytest.mark.parametrize("law", [("norml", [0, 1]), ("shuffle", []), ("bernoulli", [1.5]), ("normal", [0, 1, 2])])
def test_laws_that_fail(seal, law) -> None:
    change = default("y", {"draw": {"law": law[0], "arguments": law[1], "seed": 0}})
    refused("VS0516", load(seal("scales", change)).bind, "data 'y'")


def test_starts_of_params(logistic: Program) -> None:
    bound = logistic.bind()
    assert float(logistic.initial_params(bound, {"c": 2})["c"]) == 2.0
    refused("VS0502", lambda: logistic.initial_params(bound, {"v": 1}))
    refused("VS0517", lambda: logistic.initial_params(bound, {"w": [1.0]}), "(30,)")
    refused("VS0517", lambda: logistic.initial_params(bound, {"c": float("nan")}))


def test_literal_values(seal) -> None:
    program = load(seal("scales", default("X", {"value": list(range(40))})))
    np.testing.assert_array_equal(program.bind().data["X"], np.arange(40.0))


def test_an_npz_in_memory_is_not_confused_with_a_path(logistic: Program) -> None:
    stream = io.BytesIO()
    np.save(stream, np.ones(3))
    refused("VS0523", lambda: logistic.bind({"raw": stream}), "BytesIO")


def test_positions_that_data_has_are_checked(tmp_path: Path) -> None:
    path = tmp_path / "table.yaml"
    path.write_text(
        "vspec: 1\nname: table\ndims: {n: auto, k: 3}\ndata:\n  z[n]: integer\n  T[k]: {value: [1.0, 2.0, 4.0]}\n"
        "outputs:\n  y: sum[n](T[z[n]])\n",
        encoding="utf-8",
    )
    assert vspec.run(path, data={"z": [0, 2]}).outputs["y"] == 5
    for bad in ([0, 3], [-1, 0]):
        with pytest.raises(DataError, match="no position along 'k' of size 3") as caught:
            vspec.run(path, data={"z": bad})
        assert caught.value.code == "VS0518"
