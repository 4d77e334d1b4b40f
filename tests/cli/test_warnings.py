"""Warnings on the command line and in the Python API."""

from __future__ import annotations

from pathlib import Path

import pytest

import vspec as package
from tests.cli.conftest import LINE, Vspec

ODD = LINE.replace("  lam: 0.5\n", "  lam: 0.5\n  unused: 1\n").replace(
    "  slope: slope\n", "  slope: slope\n  logarithm: log(slope)\n"
)


@pytest.fixture
def odd(tmp_path: Path) -> Path:
    """A spec with a default and a pedantic warning."""
    path = tmp_path / "odd.yaml"
    path.write_text(ODD, encoding="utf-8")
    return path


def test_warnings_are_shown_and_do_no_harm(vspec: Vspec, odd: Path) -> None:
    result = vspec("check", odd)
    assert (result.code, result.out) == (0, f"{odd}: no errors\n")
    assert result.err.startswith("warning[VS0901]: the constant 'unused' is never used\n")
    assert result.err.endswith("\n1 warning\n")


def test_pedantic(vspec: Vspec, odd: Path) -> None:
    result = vspec("check", "--pedantic", odd, "--format", "json")
    assert result.codes == ["VS0901", "VS0904"]
    assert {d["severity"] for d in result.json["diagnostics"]} == {"warning"}
    assert vspec("check", "--pedantic", odd).err.endswith("\n2 warnings\n")


def test_errors_and_warnings_are_counted(vspec: Vspec, odd: Path, wrong: Path) -> None:
    result = vspec("check", wrong, odd)
    assert result.code == 2
    assert result.err.endswith("\n1 error, 1 warning\n")


@pytest.mark.parametrize("flag", [("-W", "error"), ("--warnings", "error")])
def test_warnings_as_errors(flag: tuple[str, str], vspec: Vspec, odd: Path, line: Path) -> None:
    result = vspec("check", odd, *flag)
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith("error[VS0901]")
    assert vspec("check", line, *flag, "--pedantic").code == 0
    assert vspec("check", odd, "-W", "error", "--format", "json").json["specs"][0]["ok"] is False


def test_a_build_with_warnings_as_errors_writes_nothing(vspec: Vspec, odd: Path, tmp_path: Path) -> None:
    out = tmp_path / "made"
    assert vspec("build", odd, "-W", "error", "--out", out).code == 2
    assert not out.exists()
    result = vspec("build", odd, "--out", out, "--no-stablehlo")
    assert result.code == 0
    assert "warning[VS0901]" in result.err
    # Warnings belong to the spec, not to the work: they are shown again for a program that is up to date.
    again = vspec("build", odd, "--out", out, "--no-stablehlo", "--pedantic", "--format", "json")
    assert again.json["cached"] is True
    assert again.codes == ["VS0901", "VS0904"]
    assert vspec("build", odd, "--out", out, "--no-stablehlo", "-W", "none").err == ""


def test_a_run_with_warnings_as_errors(vspec: Vspec, odd: Path) -> None:
    assert vspec("run", odd, "-W", "error").code == 2


def test_none(vspec: Vspec, odd: Path) -> None:
    assert vspec("check", odd, "--pedantic", "-W", "none").err == ""


def test_the_python_api(odd: Path) -> None:
    assert [d.code for d in package.warnings(odd)] == ["VS0901"]
    assert [d.code for d in package.warnings(ODD, pedantic=True)] == ["VS0901", "VS0904"]
    assert package.warnings(LINE, pedantic=True) == ()
    assert package.check(odd).name == "line"
    with pytest.raises(package.SpecError):
        package.warnings("vspec: 1\nname: x\nsolve: {minimize: y}\n")
