"""What a build says beside the program: coordinates of dims for plots, and what the program was made of."""

import json
from pathlib import Path

import jsonschema
import pytest

from vspec.compiler.emit.manifest import Options, manifest
from vspec.compiler.pipeline import build, check_text, compile_spec
from vspec.recompile import NotAgain, rechecked, recompiled
from vspec.runtime import kept

SCHEMA = Path(__file__).parents[2] / "schemas" / "manifest.schema.json"
SPEC = """
vspec: 1
name: t
constants: {L: 2}
imports: {parts/lib: [twice]}
dims:
  x: {size: 5, from: -L, to: 2*L}
  y: {size: 4, from: 0, to: 1, boundary: periodic}
  k: 3
  n: 2
data:
  f[x, y, k]: real
params:
  w[n]: {init: 0}
objectives:
  loss: sum[n](twice(w[n])**2) + sum[x, y, k](f[x, y, k])*w[0]
solve: {minimize: loss, method: newton()}
outputs:
  g[x, y]: f[x, y, 0]
"""
LIB = "vspec: 1\nname: lib\nfunctions:\n  twice(a): 2*a\n"


def test_coordinates_are_numbers_with_the_constants_they_are_made_of() -> None:
    text = SPEC.replace("imports: {parts/lib: [twice]}", "functions: {twice(a): 2*a}")
    spec, diagnostics = check_text(text, "t.yaml")
    assert spec is not None, diagnostics
    compiled = compile_spec(spec)
    found = manifest(spec, compiled.graph, compiled.emitted, Options())
    jsonschema.validate(json.loads(json.dumps(found)), json.loads(SCHEMA.read_text()))
    assert found["dims"]["x"]["coordinates"] == {"from": -2.0, "to": 4.0, "periodic": False, "constants": ["L"]}
    assert found["dims"]["y"]["coordinates"] == {"from": 0.0, "to": 1.0, "periodic": True, "constants": []}
    assert "coordinates" not in found["dims"]["k"]


def test_a_program_is_made_again_from_the_texts_of_its_folder(tmp_path: Path) -> None:
    source = tmp_path / "spec"
    (source / "parts").mkdir(parents=True)
    (source / "t.yaml").write_text(SPEC)
    (source / "parts" / "lib.yaml").write_text(LIB)
    made = build(source / "t.yaml", tmp_path / "built", stablehlo=False, overrides={"n": 4, "L": 3})
    texts = kept.read(made.directory)
    (source / "parts" / "lib.yaml").write_text(LIB.replace("2*a", "3*a"))
    report = json.loads(texts["report.json"])
    assert report["overrides"] == {"L": 3, "n": 4}
    assert report["imports"] == {"parts/lib.yaml": LIB}
    assert recompiled(texts).emitted.text == texts["program.py"]


def test_only_files_that_were_kept_are_read_again(tmp_path: Path) -> None:
    """A folder of somebody else names an import above the spec, and with it another file of this machine."""
    (tmp_path / "secret.yaml").write_text(LIB)
    other = tmp_path / "secret"
    texts = {
        "spec.yaml": SPEC.replace("imports: {parts/lib: [twice]}", f"imports: {{{other}: [twice]}}"),
        "manifest.json": json.dumps({"spec": {"file": "t.yaml"}}),
        "report.json": json.dumps({"imports": {"../other.yaml": LIB}}),
    }
    with pytest.raises(NotAgain, match="was not kept"):
        rechecked(texts)
    (tmp_path / "secret.yaml").write_text("no spec, but a password")
    with pytest.raises(NotAgain) as raised:
        rechecked(texts)
    assert "password" not in str(raised.value)
