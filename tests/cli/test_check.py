"""`vspec check`, and how specs are found."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import LINE, Vspec, shell

HEAVY = (
    "jax",
    "jaxlib",
    "sympy",
    "networkx",
    "rich",
    "matplotlib",
    "optax",
    "numpy",
    "ruamel",
    "vspec.compiler.format",
)


def test_a_right_spec(vspec: Vspec, line: Path) -> None:
    result = vspec("check", line)
    assert (result.code, result.err) == (0, "")
    assert result.out == f"{line}: no errors\n"


def test_a_wrong_spec_is_shown_with_its_line(vspec: Vspec, wrong: Path) -> None:
    result = vspec("check", wrong)
    assert result.code == 2
    assert result.out == ""
    assert f"--> {wrong}:7:" in result.err
    assert "loss: sum[n](w[m]**2)" in result.err
    assert "^" in result.err


def test_json(vspec: Vspec, line: Path, wrong: Path) -> None:
    result = vspec("check", line, wrong, "--format", "json")
    assert result.code == 2
    assert result.err == ""
    first, second = result.json["specs"]
    assert first == {"path": str(line), "ok": True, "name": "line", "doc": "A line through points."}
    assert second == {"path": str(wrong), "ok": False, "name": None, "doc": None}
    (found,) = result.json["diagnostics"]
    assert (found["file"], found["line"], found["severity"]) == (str(wrong), 7, "error")


def test_folders_and_names(vspec: Vspec, line: Path) -> None:
    assert vspec("check", line.parent).out == f"{line}: no errors\n"
    paths = [s["path"] for s in vspec("check", "problems", "logistic", "--format", "json").json["specs"]]
    assert len(paths) == len(set(paths)) >= 3
    assert vspec("check", "problems/logistic.yaml").code == 0


def test_settings(vspec: Vspec, line: Path) -> None:
    assert vspec("check", line, "--set", "lam=2").code == 0
    result = vspec("check", line, "--set", "lum=2")
    assert result.code == 2
    assert "did you mean 'lam'?" in result.err


@pytest.mark.parametrize("setting", ["lam", "=2", "lam=", "lam=big", "lam=[1,", "lam={}", 'lam="2"', "lam=null"])
def test_settings_that_cannot_be_read(setting: str, vspec: Vspec, line: Path) -> None:
    assert vspec("check", line, "--set", setting, "--format", "json").codes == ["VS0823"]


def test_files_that_are_not_there(vspec: Vspec, line: Path) -> None:
    assert vspec("check", "lime.yaml", "--format", "json").codes == ["VS0101"]
    assert "did you mean 'line.yaml'?" in vspec("check", "lime.yaml").err
    assert vspec("check", "problms/logistic", "--format", "json").codes == ["VS0821"]
    assert "did you mean 'problems/logistic'?" in vspec("check", "problms/logistic").err
    assert vspec("check", "logistik").err.count("did you mean 'logistic'?") == 1
    assert vspec("check", "x" * 5000).code == 2
    assert vspec("check", "a\0b").code == 2


def test_folders_that_are_no_spec(vspec: Vspec, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert vspec("check", "empty", "--format", "json").codes == ["VS0829"]
    assert vspec("build", "empty", "--format", "json").codes == ["VS0101"]


@pytest.mark.parametrize(
    "content",
    [b"", b"a: [1", b"\xff\xfe", b"- 1\n", b"vspec: 1\n\tname: x\n", b"!!python/object/apply:os.system [ls]\n"],
)
def test_files_that_are_no_spec(content: bytes, vspec: Vspec, tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_bytes(content)
    result = vspec("check", "bad.yaml", "--format", "json")
    assert result.code == 2
    assert result.codes
    assert all(code.startswith("VS01") for code in result.codes)


def test_built_programs_are_not_taken_for_specs(vspec: Vspec, line: Path, tmp_path: Path) -> None:
    built = tmp_path / "build" / "line"
    built.mkdir(parents=True)
    (built / "manifest.json").write_text("{}")
    (built / "spec.yaml").write_text(LINE)
    paths = [s["path"] for s in vspec("check", tmp_path, "--format", "json").json["specs"]]
    assert paths == [str(line)]


def test_check_imports_nothing_heavy(line: Path) -> None:
    code = (
        "import sys; from vspec.cli import main\n"
        f"try: main(['check', {str(line)!r}])\n"
        "except SystemExit as e: assert not e.code, e.code\n"
        f"print([m for m in {HEAVY} if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.splitlines()[-1] == "[]"


def test_formatting_imports_nothing_heavy(line: Path) -> None:
    code = (
        "import sys; from vspec.cli import main\n"
        f"try: main(['fmt', '--check', {str(line)!r}])\n"
        "except SystemExit as e: assert not e.code, e.code\n"
        f"print([m for m in {HEAVY[:-1]} if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.splitlines()[-1] == "[]"


def test_check_answers_within_half_a_second(line: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    # As on any machine whose Python keeps bytecode.
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    monkeypatch.setenv("PYTHONPYCACHEPREFIX", str(tmp_path / "bytecode"))
    shell("check", line)  # writes the bytecode
    seconds = []
    for _ in range(5):
        # Processor time: what else the machine does must not count.
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert shell("check", line).code == 0
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds.append(after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime)
    assert min(seconds) < 0.5, seconds


def test_importing_vspec_is_quick_and_imports_nothing_of_ours() -> None:
    code = (
        "import sys, time; start = time.perf_counter(); import vspec; seconds = time.perf_counter() - start\n"
        f"print([m for m in sys.modules if m.startswith('vspec.') or m in {(*HEAVY, 'yaml', 'click')}], seconds)"
    )
    best = 1.0
    for _ in range(3):
        found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        modules, seconds = found.stdout.rsplit(" ", 1)
        assert modules == "[]"
        best = min(best, float(seconds))
    assert best < 0.03
