"""The program directory: manifest, StableHLO artifacts, atomic replacement, cache."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from tests.emit.harness import load, spec
from tests.emit.problems import PROBLEMS, logistic
from vspec.compiler.diagnostics.spans import Span
from vspec.compiler.emit import write
from vspec.compiler.emit.manifest import Options, manifest, sha256
from vspec.compiler.emit.python import Emitted, emit_program
from vspec.compiler.emit.stablehlo import Artifact, Skipped, export_all
from vspec.compiler.emit.write import Part, build_key, cached, write_program
from vspec.compiler.graph.graph import Graph
from vspec.compiler.language.expr import Number, Pointwise, SizeOf
from vspec.compiler.language.spec import (
    Constant,
    Data,
    Dim,
    Domain,
    Draw,
    MethodCall,
    Output,
    Param,
    Source,
    Spec,
    Stage,
)

SCHEMA = Path(__file__).parents[2] / "schemas" / "manifest.schema.json"
AT = Span("logistic.yaml", 7, 3, 7, 9)


def _spec(text: str = "vspec: 1\n") -> Spec:
    twice = Pointwise(span=AT, op="mul", args=(Number(span=AT, value=2), SizeOf(span=AT, letter="n")))
    double = Pointwise(span=AT, op="add", args=(twice, Number(span=AT, value=1)))
    return spec(
        "logistic",
        text=text,
        sha256=sha256(text),
        dims={
            "n": Dim("n", ("n",), None, AT), "i": Dim("i", ("i", "j"), None, AT), "m": Dim("m", ("m",), double, AT),
        },
        letters={"n": "n", "i": "i", "j": "i", "m": "m"},
        constants={"lam": Constant("lam", (), "real", 1.0, AT)},
        data={
            "raw": Data("raw", ("n", "i"), "real", Source("sklearn:x", "data", (0, 9)), None, AT),
            "y": Data("y", ("n",), "real", Draw("bernoulli", (0.2,), 1), (-1, 1), AT),
            "z": Data("z", ("m",), "real", (1.0, 2.0), None, AT),
        },
        params={"w": Param("w", ("i",), "real", Number(span=AT, value=0), Domain("real"), AT)},
        plan=(Stage("minimize", ("loss",), AT, over=("w",), methods=(MethodCall("lbfgs", {"tol": 1e-10}, AT, ("w",)),)),),
        outputs={"picture": Output("picture", ("j",), SizeOf(span=AT, letter="n"), ("images", 8, 8), AT)},
    )  # fmt: skip


def _made(text: str = "vspec: 1\n") -> tuple[Spec, Graph, Emitted]:
    made = _spec(text)
    graph = logistic()
    return made, graph, emit_program(graph, made)


def _write(folder: Path, text: str = "vspec: 1\n", stablehlo: bool = False, **report: Any) -> str:
    made, graph, emitted = _made(text)
    key = build_key(made, Options(), {}, stablehlo)
    write_program(folder, Part(made, graph, emitted, report), Options(), key, stablehlo)
    return key


def test_manifest_fits_its_schema() -> None:
    made, graph, emitted = _made()
    found = manifest(made, graph, emitted, Options(1, ("fold",)))
    jsonschema.validate(json.loads(json.dumps(found)), json.loads(SCHEMA.read_text()))
    assert found["entries"]["loss"] == {
        "kind": "objective",
        "function": "loss",
        "of": "loss",
        "results": [{"name": "loss", "axes": [], "dtype": "real"}],
        "arguments": [
            {"name": "w", "role": "param", "axes": ["i"], "dtype": "real"},
            {"name": "y", "role": "data", "axes": ["n"], "dtype": "real"},
            {"name": "lam", "role": "constant", "axes": [], "dtype": "real"},
            {"name": "X", "role": "prepared", "axes": ["n", "i"], "dtype": "real"},
        ],
    }
    assert found["dims"]["m"]["size"] == "2*n + 1"
    assert found["dims"]["i"] == {"letters": ["i", "j"], "size": None, "line": 7}
    assert found["data"]["raw"]["default"] == {"source": "sklearn:x", "column": "data", "rows": [0, 9], "shuffle": None}
    assert found["data"]["y"]["in"] == [-1, 1]
    assert found["data"]["z"]["default"] == {"value": [1.0, 2.0]}
    assert found["outputs"]["picture"]["plot"] == {"images": [8, 8]}
    assert found["outputs"]["picture"]["axes"] == ["i"]
    assert found["plan"][0]["methods"] == [
        {"name": "lbfgs", "arguments": {"tol": 1e-10}, "schedule": [], "counts": [], "over": ["w"]}
    ]
    assert found["options"] == Options(1, ("fold",)).record
    assert found["program"]["sha256"] == sha256(emitted.text)


# --- StableHLO ----------------------------------------------------------------------------------------------------------


def test_artifacts_run_without_this_package(tmp_path: Path) -> None:
    made, _, emitted = _made()
    path = tmp_path / "program.py"
    path.write_text(emitted.text)
    found = export_all(path, emitted.entries, made)
    newton = found["loss_newton"]
    assert isinstance(newton, Artifact)
    assert newton.platforms == ("cpu", "cuda", "tpu")
    assert newton.symbolic == ("n", "i")
    (tmp_path / "newton.bin").write_bytes(newton.content)
    code = """
import sys, json, jax, numpy as np
from jax import export
f = export.deserialize(bytearray(open(sys.argv[1], "rb").read()))
w, y, x = np.array([0.5, -1.0]), np.array([1.0, -1.0, 1.0]), np.arange(6.0).reshape(3, 2)
value, gradient, hessian = f.call(w, y, np.float64(0.3), x)
assert not any(m.split(".")[0] == "vspec" for m in sys.modules)
print(json.dumps([float(value), gradient.tolist(), hessian.tolist()]))
"""
    environment = {**os.environ, "JAX_ENABLE_X64": "1", "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "newton.bin")], env=environment, cwd=tmp_path,
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    value, gradient, hessian = json.loads(done.stdout)
    expected = load(emitted, tmp_path).loss_newton(
        np.array([0.5, -1.0]), np.array([1.0, -1.0, 1.0]), 0.3, np.arange(6.0).reshape(3, 2)
    )
    np.testing.assert_allclose(value, expected[0], rtol=1e-12)
    np.testing.assert_allclose(gradient, expected[1], rtol=1e-12)
    np.testing.assert_allclose(hessian, expected[2], rtol=1e-12)


def test_what_cannot_be_exported_says_why(tmp_path: Path) -> None:
    graph = PROBLEMS["process"]()
    dims = {"n": Dim("n", ("n", "m"), 200, AT), "i": Dim("i", ("i",), None, AT)}
    made = spec("process", dims=dims, letters={"n": "n", "m": "n", "i": "i"})
    emitted = emit_program(graph, made)
    (tmp_path / "program.py").write_text(emitted.text)
    found = export_all(tmp_path / "program.py", emitted.entries, made)
    assert isinstance(found["evidence"], Artifact)
    assert found["evidence"].symbolic == ("i",)
    assert found["initial"] == Skipped("the size of i is an argument, not the size of an array")


def test_loops_export(tmp_path: Path) -> None:
    graph = PROBLEMS["recall"]()
    dims = {"p": Dim("p", ("p",), None, AT), "i": Dim("i", ("i",), None, AT), "t": Dim("t", ("t",), 41, AT)}
    made = spec("recall", "float32", dims=dims, letters={"p": "p", "i": "i", "t": "t"})
    emitted = emit_program(graph, made)
    (tmp_path / "program.py").write_text(emitted.text)
    assert isinstance(export_all(tmp_path / "program.py", emitted.entries, made)["outputs"], Artifact)


# --- the directory --------------------------------------------------------------------------------------------------------


def test_a_build_is_found_again_until_something_changes(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "build"
    key = _write(folder)
    assert sorted(p.name for p in folder.iterdir()) == [
        "build.json",
        "manifest.json",
        "program.py",
        "report.json",
        "spec.yaml",
    ]
    assert cached(folder, key)
    assert not cached(folder, "other")
    assert not cached(tmp_path / "nothing", key)
    (folder / "program.py").write_text("changed")
    assert not cached(folder, key)
    assert _write(folder) == key
    assert cached(folder, key)
    (folder / "manifest.json").unlink()
    assert not cached(folder, key)
    (folder / "build.json").write_text("[]")
    assert not cached(folder, key)


def test_the_key_knows_spec_options_and_overrides() -> None:
    made = _spec()
    keys = [
        build_key(made, Options(), {}),
        build_key(_spec("vspec: 1 \n"), Options(), {}),
        build_key(made, Options(1), {}),
        build_key(made, Options(2, ("fold",)), {}),
        build_key(made, Options(), {"lam": 2}),
        build_key(made, Options(), {"lam": 3}),
        build_key(made, Options(), {}, stablehlo=False),
    ]
    assert len(set(keys)) == len(keys)
    assert build_key(made, Options(), {"a": 1, "b": 2}) == build_key(made, Options(), {"b": 2, "a": 1})


def test_two_builds_are_byte_identical(tmp_path: Path) -> None:
    for name in ("one", "two"):
        _write(tmp_path / name, stablehlo=True)
    for path in sorted((tmp_path / "one").rglob("*")):
        if path.is_file():
            assert path.read_bytes() == (tmp_path / "two" / path.relative_to(tmp_path / "one")).read_bytes(), path.name
    artifacts = list((tmp_path / "one" / "stablehlo").iterdir())
    assert len(artifacts) == 5
    # Nor does an artifact say on whose machine, or where, it was made.
    assert not any(b"/emit/" in a.read_bytes() or str(tmp_path).encode() in a.read_bytes() for a in artifacts)


def test_replacing_keeps_what_is_not_ours(tmp_path: Path) -> None:
    folder = tmp_path / "build"
    _write(folder)
    (folder / "results").mkdir()
    (folder / "results" / "w.npy").write_bytes(b"precious")
    (folder / "notes.txt").write_text("mine")
    key = _write(folder, "vspec: 1\n# changed\n")
    assert cached(folder, key)
    assert (folder / "results" / "w.npy").read_bytes() == b"precious"
    assert (folder / "notes.txt").read_text() == "mine"
    assert [p.name for p in tmp_path.iterdir()] == ["build"]


def test_what_is_no_build_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.tex").write_text("years")
    with pytest.raises(FileExistsError, match="is no build"):
        _write(tmp_path / "home")
    (tmp_path / "file").write_text("x")
    with pytest.raises(FileExistsError):
        _write(tmp_path / "file")
    (tmp_path / "empty").mkdir()
    _write(tmp_path / "empty")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["empty", "file", "home"]


def test_a_failed_build_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "build"
    key = _write(folder)

    def broken(*_: Any) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(write, "manifest", broken)
    with pytest.raises(OSError, match="no space"):
        _write(folder, "vspec: 1\n# changed\n")
    assert cached(folder, key)
    assert [p.name for p in tmp_path.iterdir()] == ["build"]


def test_a_kill_between_the_renames_is_repaired(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "build"
    _write(folder)
    (folder / "notes.txt").write_text("mine")
    os.rename(folder, tmp_path / ".build.old")
    new = _write(folder, "vspec: 1\n# changed\n")
    assert cached(folder, new)
    assert (folder / "notes.txt").read_text() == "mine"
    assert [p.name for p in tmp_path.iterdir()] == ["build"]
