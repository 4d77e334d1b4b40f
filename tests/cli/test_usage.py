"""The command line as such: help, wrong usage, exit codes, errors of our own."""

from __future__ import annotations

import importlib
import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

import vspec.locate
from tests.cli.conftest import Vspec, shell
from vspec.cli import COMMANDS, main
from vspec.runtime.errors import DataError, NumericsError


def command(name: str) -> click.Command:
    module = COMMANDS[name][0]
    found = getattr(importlib.import_module(f"vspec.commands.{module}"), module)
    assert isinstance(found, click.Command)
    return found


def test_help_lists_every_command_without_importing_any() -> None:
    code = (
        "import sys; from vspec.cli import main\n"
        "try: main(['--help'], prog_name='vspec')\n"
        "except SystemExit: pass\n"
        "print([m for m in sys.modules if m.startswith('vspec.commands.') or m in ('jax', 'sympy', 'rich', 'numpy')])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert all(name in found.stdout for name in COMMANDS)
    assert found.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_an_example_and_a_format(name: str, vspec: Vspec) -> None:
    result = vspec(name, "--help")
    assert result.code == 0
    assert "Example:" in result.out
    assert f"vspec {name}" in result.out.split("Example:")[1]
    assert "--format [text|json]" in result.out
    assert command(name).name == name
    assert command(name).short_help == COMMANDS[name][1]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["chek"], "did you mean 'check'?"),
        (["check"], "missing argument 'SPEC...'"),
        (["check", "--fromat", "json", "logistic"], "did you mean '--format'?"),
        (["check", "logistic", "--format", "yaml"], "'yaml' is not one of"),
        (["check", "logistic", "--format", "jsn"], "did you mean 'json'?"),
        (["schema", "outputs"], "did you mean 'output'?"),
        (["format", "logistic"], "did you mean 'fmt'?"),
        (["compile", "logistic"], "did you mean 'build'?"),
        (["test", "logistic"], "did you mean 'verify'?"),
        (["fmt", "--chek", "a.yaml"], "did you mean '--check'?"),
        (["new", "a", "--templte", "bare"], "did you mean '--template'?"),
        (["build", "logistic", "-O7"], "0<=x<=2"),
        (["run", "logistic", "--seed", "x"], "'x' is not a valid integer"),
        (["run", "logistic", "--seed", "-1"], "x>=0"),
        (["build", "logistic", "extra"], "unexpected extra argument (extra)"),
        (["--nothing"], "no such option"),
    ],
)
def test_wrong_usage_is_coded_and_says_what_to_do(arguments: list[str], says: str, vspec: Vspec) -> None:
    result = vspec(*arguments)
    assert result.code == 2
    assert result.out == ""
    assert result.err.startswith("error[VS0820]: ")
    assert says in result.err
    assert "--help'" in result.err


def test_wrong_usage_in_json(vspec: Vspec) -> None:
    result = vspec("check", "--format", "json")
    assert result.code == 2
    assert result.codes == ["VS0820"]
    assert result.json["command"] == "check"
    assert vspec("check", "--format=json").codes == ["VS0820"]


def test_no_arguments_shows_the_help(vspec: Vspec) -> None:
    result = vspec()
    assert "Commands:" in result.out + result.err
    assert result.code in (0, 2)


def test_version(vspec: Vspec) -> None:
    assert vspec("--version").out.startswith("vspec 0.")


def fail(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise error

    monkeypatch.setattr("vspec.commands.listing.specs", broken)


def test_an_error_of_ours_is_short_and_asks_for_a_report(vspec: Vspec, monkeypatch: pytest.MonkeyPatch) -> None:
    fail(KeyError("lost"), monkeypatch)
    result = vspec("list")
    assert result.code == 70
    assert result.err.startswith("error[VS0999]: internal error: KeyError: 'lost'")
    assert "report it" in result.err
    assert "Traceback" not in result.err
    assert vspec("list", "--format", "json").codes == ["VS0999"]


def test_the_traceback_is_shown_on_request(vspec: Vspec, monkeypatch: pytest.MonkeyPatch) -> None:
    fail(KeyError("lost"), monkeypatch)
    monkeypatch.setenv("VSPEC_DEBUG", "1")
    result = vspec("list")
    assert result.code == 70
    assert "Traceback" in result.err


@pytest.mark.parametrize(
    ("error", "code", "says"),
    [
        (DataError("VS0505", "too many axes", "declare one", 3), 3, "error[VS0505]: too many axes"),
        (NumericsError("VS0601", "not finite"), 4, "error[VS0601]: not finite"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (ModuleNotFoundError("No module named 'optax'", name="optax"), 2, "error[VS0827]: the package 'optax'"),
    ],
)
def test_exit_codes(error: BaseException, code: int, says: str, vspec: Vspec, monkeypatch: pytest.MonkeyPatch) -> None:
    fail(error, monkeypatch)
    result = vspec("list")
    assert result.code == code
    assert says in result.err


def test_a_reader_that_goes_away_is_no_error() -> None:
    # More output than a pipe holds, so that the writer meets the closed end.
    script = f"{sys.executable} -m vspec schema | head -c 1; echo ${{PIPESTATUS[0]}}"
    found = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=60)
    assert "Traceback" not in found.stderr
    assert "VS0999" not in found.stderr


def test_python_dash_m_is_the_command() -> None:
    result = shell("chek")
    assert result.code == 2
    assert "did you mean 'check'?" in result.err


def test_colour_only_where_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "\x1b[" not in shell("check", "nope", NO_COLOR="1", FORCE_COLOR="").err
    assert "\x1b[1;31m" in shell("check", "nope", FORCE_COLOR="1", NO_COLOR="").err


def test_calling_it_without_standing_alone_lets_errors_through() -> None:
    with pytest.raises(click.UsageError):
        main.main(["chek"], standalone_mode=False)
    assert CliRunner().invoke(main, ["list"]).exit_code == 0
    assert vspec.locate.library()
