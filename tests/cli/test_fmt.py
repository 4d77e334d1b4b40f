"""`vspec fmt`: what it writes, what it leaves alone, what it says."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.cli.conftest import LINE, Result, Vspec, shell
from vspec.cli import main

UNTIDY = "name:   line\nvspec: 1\ndefine: {a: 'x+1'} # why\n"
TIDY = f"vspec: 1\nname: line\ndefine: {{a: x + 1}}{' ' * 13}# why\n"


@pytest.fixture
def untidy(tmp_path: Path) -> Path:
    """A file that would change."""
    path = tmp_path / "untidy.yaml"
    path.write_text(UNTIDY, encoding="utf-8")
    return path


def piped(text: str | bytes, *arguments: str) -> Result:
    """`vspec fmt -` with something on stdin."""
    found = CliRunner().invoke(main, ["fmt", "-", *arguments], input=text, prog_name="vspec")
    return Result(found.exit_code, found.stdout, found.stderr)


def test_files_are_formatted_in_their_place(vspec: Vspec, untidy: Path, line: Path) -> None:
    result = vspec("fmt", untidy.parent)
    assert (result.code, result.out) == (0, "")
    assert result.err == f"{untidy}: formatted\n1 file formatted, 1 file unchanged\n"
    assert untidy.read_text() == TIDY
    assert line.read_text() == LINE
    assert vspec("fmt", untidy).err == "1 file unchanged\n"


def test_check_writes_nothing(vspec: Vspec, untidy: Path, line: Path) -> None:
    result = vspec("fmt", "--check", untidy, line)
    assert result.code == 1
    assert result.err == f"{untidy}: would be formatted\n1 file would be formatted, 1 file unchanged\n"
    assert untidy.read_text() == UNTIDY
    assert vspec("fmt", "--check", line).code == 0


def test_diff_shows_and_writes_nothing(vspec: Vspec, untidy: Path) -> None:
    result = vspec("fmt", "--diff", untidy)
    assert result.code == 0
    assert result.out.startswith(f"--- {untidy}\n+++ {untidy}\n@@ -1,3 +1,3 @@\n-name:   line\n vspec: 1\n")
    assert untidy.read_text() == UNTIDY
    assert vspec("fmt", "--diff", "--check", untidy).code == 1


def test_json(vspec: Vspec, untidy: Path, line: Path) -> None:
    found = vspec("fmt", untidy, line, "--check", "--diff", "--format", "json").json
    first, second = found["files"]
    assert (first["path"], first["ok"], first["changed"]) == (str(untidy), True, True)
    assert first["diff"].startswith("---")
    assert second == {"path": str(line), "ok": True, "changed": False, "diff": ""}
    assert piped(UNTIDY, "--format", "json").json["files"] == [
        {"path": "<stdin>", "ok": True, "changed": True, "text": TIDY}
    ]


def test_stdin_goes_to_stdout() -> None:
    assert piped(UNTIDY) == Result(0, TIDY, "")
    assert piped(TIDY) == Result(0, TIDY, "")
    assert piped(UNTIDY, "--check").code == 1
    assert piped(UNTIDY, "--check").out == ""
    assert piped(UNTIDY, "--diff").out.startswith("--- <stdin>")
    assert shell("fmt", "-").code == 2  # nothing comes in


def test_stdin_that_is_no_spec_is_shown_with_its_line() -> None:
    result = piped("a: [1\nb: 2\n")
    assert (result.code, result.out) == (2, "")
    assert "--> <stdin>:1:4" in result.err
    assert "1 | a: [1" in result.err
    assert piped(b"\xff").err.startswith("error[VS0102]")


def test_stdin_beside_files_is_refused(vspec: Vspec, line: Path) -> None:
    assert vspec("fmt", "-", line, "--format", "json").codes == ["VS0831"]


def test_a_spec_need_not_be_right(vspec: Vspec, wrong: Path) -> None:
    wrong.write_text(wrong.read_text().replace("w[m]", "w[ m ]"))
    assert vspec("fmt", wrong).code == 0
    assert "w[m]" in wrong.read_text()


def test_a_file_that_is_no_yaml_is_reported_and_the_others_are_formatted(vspec: Vspec, untidy: Path) -> None:
    bad = untidy.with_name("bad.yaml")
    bad.write_text("a: [1\n")
    result = vspec("fmt", bad, untidy)
    assert result.code == 2
    assert "error[VS0121]" in result.err
    assert "1 file formatted, 1 file could not be read" in result.err
    assert untidy.read_text() == TIDY
    assert bad.read_text() == "a: [1\n"
    assert vspec("fmt", bad, "--format", "json").codes == ["VS0121"]


def test_paths_that_lead_nowhere(vspec: Vspec, untidy: Path) -> None:
    assert "did you mean 'untidy.yaml'?" in vspec("fmt", "untidi.yaml").err
    assert vspec("fmt", "logistic", "--format", "json").codes == ["VS0101"], (
        "a shipped spec is not the user's to change"
    )
    (untidy.parent / "empty").mkdir()
    assert vspec("fmt", "empty", "--format", "json").codes == ["VS0829"]


def test_mode_and_links_stay(vspec: Vspec, untidy: Path) -> None:
    untidy.chmod(0o640)
    link = untidy.with_name("link.yaml")
    link.symlink_to(untidy.name)
    assert vspec("fmt", link).code == 0
    assert link.is_symlink()
    assert untidy.read_text() == TIDY
    assert stat.S_IMODE(untidy.stat().st_mode) == 0o640
    assert sorted(p.name for p in untidy.parent.iterdir()) == ["link.yaml", "untidy.yaml"]


def test_line_ends_stay(vspec: Vspec, untidy: Path) -> None:
    untidy.write_bytes(UNTIDY.replace("\n", "\r\n").encode())
    assert vspec("fmt", untidy).code == 0
    assert untidy.read_bytes() == TIDY.replace("\n", "\r\n").encode()


def test_a_file_that_cannot_be_replaced_is_left_whole(
    vspec: Vspec, untidy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    assert vspec("fmt", untidy, "--format", "json").codes == ["VS0826"]
    assert untidy.read_text() == UNTIDY
    assert [p.name for p in untidy.parent.iterdir()] == ["untidy.yaml"]


def test_a_result_that_would_differ_is_an_error_of_ours(
    vspec: Vspec, untidy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vspec.compiler.format.format.attach", lambda layout: None)
    result = vspec("fmt", untidy, "--format", "json")
    assert (result.code, result.codes) == (70, ["VS0839"])
    assert untidy.read_text() == UNTIDY
