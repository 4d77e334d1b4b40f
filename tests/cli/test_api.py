"""The Python API: `vspec.check`, `build`, `load`, `run`, `verify`, `compile`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import vspec
from tests.cli.conftest import LINE, WRONG


def test_every_public_name_is_there() -> None:
    for name in vspec.__all__:
        assert getattr(vspec, name) is not None
    assert set(dir(vspec)) == set(vspec.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        vspec.nothing  # type: ignore[attr-defined]  # noqa: B018


def test_check_a_path_a_name_and_a_text(line: Path) -> None:
    assert set(vspec.check(line).params) == {"slope", "offset"}
    assert set(vspec.check(LINE).params) == {"slope", "offset"}
    assert vspec.check("logistic").name == "logistic"
    assert vspec.check(LINE, {"lam": 3}).constants["lam"].value == 3


def test_check_raises_with_the_place() -> None:
    with pytest.raises(vspec.SpecError) as caught:
        vspec.check(WRONG)
    (found,) = caught.value.diagnostics
    assert found.span is not None
    assert found.span.line == 7
    with pytest.raises(vspec.SpecError, match="VS0821"):
        vspec.check("no such spec")


def test_build_and_load(line: Path, tmp_path: Path) -> None:
    built = vspec.build(line, tmp_path / "out", stablehlo=False)
    program = vspec.load(built.directory)
    bound = program.bind()
    assert float(program.call("loss", {"slope": 0.0, "offset": 0.0}, bound)) == pytest.approx(42)


def test_build_refuses_a_pass_that_is_not_known(line: Path, tmp_path: Path) -> None:
    with pytest.raises(vspec.SpecError, match="VS0822"):
        vspec.build(line, tmp_path / "out", disable=["no_such_pass"])


def test_compile_keeps_no_files(line: Path, tmp_path: Path) -> None:
    program = vspec.compile(line, level=0)
    assert program.name == "line"
    assert program.directory == line.parent
    bound = program.bind({"x": np.arange(3.0), "y": np.ones(3)}, {"lam": 0.0})
    assert float(program.call("loss", {"slope": 0.0, "offset": 0.0}, bound)) == pytest.approx(1.5)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["line.yaml"]


def test_run_a_spec_a_folder_and_a_program(line: Path, tmp_path: Path) -> None:
    folder = vspec.build(line, tmp_path / "out", stablehlo=False).directory
    for what in (line, folder, vspec.load(folder)):
        result = vspec.run(what, constants={"lam": 0.0})
        assert result.holds
        assert result.params["slope"] == pytest.approx(2)
        assert result.out is None
    assert vspec.run(line, overrides={"lam": 1000.0}).holds is False
    with pytest.raises(vspec.DataError):
        vspec.run(folder, data={"x": np.ones((2, 2))})


def test_data_is_found_beside_the_spec(line: Path, tmp_path: Path) -> None:
    (tmp_path / "points.csv").write_text("a,b\n0,1\n1,4\n2,7\n")
    text = LINE.replace("{value: [0, 1, 2, 3]}", "{source: points.csv, column: a}")
    line.write_text(text.replace("{value: [1, 3, 5, 7]}", "{source: points.csv, column: b}"))
    assert vspec.run(line, constants={"lam": 0.0}).params["slope"] == pytest.approx(3)
    assert vspec.compile(line).bind().sizes["n"] == 3
    assert all(claim.holds for claim in vspec.verify(line))


def test_verify(line: Path) -> None:
    stationary, steep = vspec.verify(line)
    assert (stationary.holds, steep.holds) == (True, True)
    assert steep.reported == "about 2"
    (line.parent / "other.yaml").write_text(LINE)
    assert len(vspec.verify(line.parent)) == 4
