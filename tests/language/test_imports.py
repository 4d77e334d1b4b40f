"""Imports: names of other specs with what they read, renamed, matched by letter, located in their own files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vspec
from tests.language.helpers import definition, show
from vspec.compiler.diagnostics.diagnostic import SpecError
from vspec.compiler.pipeline import check

LIB = """
vspec: 1
name: lib
dims:
  n: auto
  k: 3
constants:
  c[k]: [1.0, 2.0, 3.0]
  beta: 0.5
data:
  x[n]: {value: [0.5, 1.5, -1.0]}
params:
  w: {init: beta}
functions:
  weigh(v[:]): sum[k](c[k]*v[k])
  twice(a): weigh(c[:])*a
define:
  energy[n]: beta*x[n]**2 + w
  total: sum[n](energy[n]) + twice(1)
  s[0]: 1
  s[k + 1]: s[k]*beta
objectives:
  loss: total**2
"""


def write(folder: Path, **files: str) -> Path:
    """Files of a folder; the path of the one called main."""
    for name, text in files.items():
        head = "" if text.lstrip().startswith("vspec") else f"vspec: 1\nname: {name}\n"
        path = folder / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(head + text, encoding="utf-8")
    return folder / "main.yaml"


def codes(path: Path) -> list[str]:
    with pytest.raises(SpecError) as caught:
        check(path)
    return [d.code for d in caught.value.diagnostics]


def outputs(path: Path, **arguments: Any) -> dict[str, Any]:
    return {name: np.asarray(value) for name, value in vspec.run(path, **arguments).outputs.items()}


def test_a_definition_brings_what_it_reads(tmp_path: Path) -> None:
    main = write(tmp_path, lib=LIB, main="imports:\n  lib.yaml: [total]\ndefine:\n  y: 2*total\noutputs:\n  y: y\n")
    spec, _ = check(main)
    assert list(spec.constants) == ["lib_beta", "lib_c"]
    assert list(spec.data) == ["lib_x"]
    assert list(spec.params) == ["lib_w"]
    assert spec.letters["n"] == "n"
    assert {q.name for q in spec.equations if hasattr(q, "name")} == {"total", "lib_energy", "y"}
    expected = 2 * (sum(0.5 * x**2 + 0.5 for x in (0.5, 1.5, -1.0)) + 14)
    assert outputs(main)["y"] == pytest.approx(expected)
    assert outputs(main, constants={"lib_beta": 1.0})["y"] == pytest.approx(2 * (3.5 + 3 + 14))


def test_other_names(tmp_path: Path) -> None:
    text = "imports:\n  lib: {energy: E0, beta: strength}\ndims:\n  n: 3\ndefine:\n  y: sum[n](E0[n])*strength\n"
    spec, _ = check(write(tmp_path, lib=LIB, main=text))
    assert show(definition(spec, "y").body) == "mul(sum[n](E0[n]), strength)"
    assert list(spec.constants) == ["strength"]


def test_letters_meet_by_name_or_as_the_import_says(tmp_path: Path) -> None:
    text = "imports:\n  lib: {energy: energy, n: m}\ndims:\n  m: 3\n  n: 2\ndefine:\n  y: sum[m](energy[m])\n"
    spec, _ = check(write(tmp_path, lib=LIB, main=text))
    assert spec.data["lib_x"].letters == ("m",)
    text = "imports:\n  lib: [c]\ndims:\n  k: 4\ndefine:\n  y: sum[k](c[k])\n"
    assert codes(write(tmp_path, main=text)) == ["VS0365"]


def test_letters_of_functions_are_their_own(tmp_path: Path) -> None:
    text = """imports:
  std/kernels: [rbf]
  lib: [weigh]
dims:
  i: 2
  k: 5
  n, m: 4
data:
  X[n, k]: {draw: "normal(0, 1)", seed: 1}
  v[i]: {value: [1.0, 2.0]}
define:
  K[n, m]: rbf(X[n, :], X[m, :], 1.0)
outputs:
  K[n, m]: K[n, m]
"""
    main = write(tmp_path, lib=LIB, main=text)
    found = vspec.run(main)
    assert found.outputs["K"].shape == (4, 4)
    x = np.random.default_rng(1).standard_normal((4, 5))
    expected = np.exp(-np.sum((x[:, None] - x[None]) ** 2, axis=-1) / 2)
    np.testing.assert_allclose(found.outputs["K"], expected, rtol=1e-6)


def test_recurrences_and_objectives(tmp_path: Path) -> None:
    main = write(tmp_path, lib=LIB, main="imports:\n  lib: [s, loss]\noutputs:\n  last: s[-1]\n  loss: loss\n")
    found = outputs(main)
    assert found["last"] == pytest.approx(0.25)
    assert found["loss"] == pytest.approx((sum(0.5 * x**2 + 0.5 for x in (0.5, 1.5, -1.0)) + 14) ** 2)


def test_what_two_imports_share_exists_once(tmp_path: Path) -> None:
    left = "imports:\n  lib: [energy]\ndims:\n  n: auto\ndefine:\n  a: sum[n](energy[n])\n"
    right = "imports:\n  lib: [total]\ndefine:\n  b: 3*total\n"
    main = write(
        tmp_path, lib=LIB, left=left, right=right, main="imports:\n  left: [a]\n  right: [b]\noutputs:\n  y: a + b\n"
    )
    spec, _ = check(main)
    assert len(spec.data) == 1
    assert len(spec.params) == 1
    energy = sum(0.5 * x**2 + 0.5 for x in (0.5, 1.5, -1.0))
    assert outputs(main)["y"] == pytest.approx(energy + 3 * (energy + 14))


def test_names_that_are_taken_get_a_number(tmp_path: Path) -> None:
    text = "imports:\n  lib: [total]\nconstants:\n  lib_beta: 3.0\ndefine:\n  y: total*lib_beta\n"
    spec, _ = check(write(tmp_path, lib=LIB, main=text))
    assert {"lib_beta", "lib_beta2"} <= spec.constants.keys()
    assert spec.constants["lib_beta"].value == 3.0


def test_mistakes_stand_in_their_own_file(tmp_path: Path) -> None:
    lib = "define:\n  good: 1\n  bad: good + unknown\n"
    main = write(tmp_path, lib=lib, main="imports:\n  lib: [bad]\ndefine:\n  y: bad\n")
    with pytest.raises(SpecError) as caught:
        check(main)
    (found,) = caught.value.diagnostics
    assert found.span is not None
    assert (found.code, Path(found.span.file).name, found.span.line, found.span.column) == ("VS0201", "lib.yaml", 5, 15)


def test_mistakes_that_are_not_imported_do_not_matter(tmp_path: Path) -> None:
    lib = "define:\n  good: 1\n  bad: good + unknown\nsolve: {minimize: nothing}\n"
    check(write(tmp_path, lib=lib, main="imports:\n  lib: [good]\ndefine:\n  y: good\n"))


def test_a_file_that_is_no_spec(tmp_path: Path) -> None:
    main = write(tmp_path, lib="parms:\n  a: 1\n", main="imports:\n  lib: [a]\n")
    assert codes(main) == ["VS0130"]


def test_circles(tmp_path: Path) -> None:
    a, b = "imports:\n  b: [y]\ndefine:\n  x: y\n", "imports:\n  a: [x]\ndefine:\n  y: x\n"
    assert "VS0361" in codes(write(tmp_path, a=a, b=b, main="imports:\n  a: [x]\n"))


def test_one_name_for_one_thing(tmp_path: Path) -> None:
    assert codes(write(tmp_path, lib=LIB, main="imports:\n  lib: {beta: a}\n  ./lib: {beta: b}\n")) == ["VS0363"]
    assert codes(write(tmp_path, lib=LIB, main="imports:\n  lib: {beta: n}\ndims:\n  n: 4\n")) == ["VS0363"]


def test_imports_stay_in_the_folder(tmp_path: Path) -> None:
    (tmp_path / "lib.yaml").write_text(LIB.lstrip(), encoding="utf-8")
    main = write(tmp_path / "inner", main="imports:\n  ../lib: [beta]\ndefine:\n  y: beta\n")
    assert codes(main) == ["VS0366"]
    spec, _ = check(main, allow_outside=True)
    assert "beta" in spec.constants
    link = tmp_path / "inner" / "link.yaml"
    link.symlink_to(tmp_path / "lib.yaml")
    main.write_text("vspec: 1\nname: main\nimports:\n  link: [beta]\n", encoding="utf-8")
    assert codes(main) == ["VS0366"]


def test_sources_of_imported_data_stay_where_they_are(tmp_path: Path) -> None:
    lib = "dims:\n  n: auto\ndata:\n  x[n]: {source: x.csv, column: a}\ndefine:\n  y: sum[n](x[n])\n"
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "x.csv").write_text("a\n1\n2\n", encoding="utf-8")
    write(tmp_path / "parts", lib=lib)
    main = write(tmp_path, main="imports:\n  parts/lib: [y]\noutputs:\n  z: 2*y\n")
    assert outputs(main)["z"] == pytest.approx(6.0)


def test_a_build_is_stale_when_an_import_changes(tmp_path: Path) -> None:
    main = write(tmp_path, lib=LIB, main="imports:\n  lib: [beta]\noutputs:\n  y: beta\n")
    out = tmp_path / "built"
    assert not vspec.build(main, out, stablehlo=False).cached
    assert vspec.build(main, out, stablehlo=False).cached
    write(tmp_path, lib=LIB.replace("beta: 0.5", "beta: 0.75"))
    assert not vspec.build(main, out, stablehlo=False).cached
    text = (out / "program.py").read_text(encoding="utf-8")
    assert "main.yaml" in text


def test_comments_name_the_file(tmp_path: Path) -> None:
    text = "imports:\n  lib: [energy]\ndims:\n  n: 3\noutputs:\n  y[n]: energy[n]\n  z: sum[n](energy[n])\n"
    vspec.build(write(tmp_path, lib=LIB, main=text), tmp_path / "built", stablehlo=False)
    text = (tmp_path / "built" / "program.py").read_text(encoding="utf-8")
    (line,) = (x for x in text.splitlines() if x.strip().startswith("energy = "))
    assert line.endswith("lib.yaml:18")


def test_a_dim_of_configurations_brings_what_it_is_made_of(tmp_path: Path) -> None:
    lib = (
        "dims:\n  v: 2\n  k: 3\n  c: {configurations: v, of: k}\n"
        "define:\n  ones[c]: sum[k](part(c, k))\n  most: max[c](ones[c])\n"
    )
    main = write(tmp_path, lib=lib, main="imports:\n  lib: [most]\noutputs:\n  y: most\n")
    spec, _ = check(main)
    assert spec.dims["v"].size == 2
    assert outputs(main)["y"] == 3
