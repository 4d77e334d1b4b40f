"""What is installed: every package and data file, in a wheel that works on its own."""

from __future__ import annotations

import os
import shutil
import site
import subprocess
import sys
import tomllib
import venv
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.cli.conftest import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
HOUSE = {"vspec": "vspec", "vspec.compiler": "compiler", "vspec.runtime": "runtime"}


def test_every_package_is_listed() -> None:
    listed = set(PROJECT["tool"]["setuptools"]["packages"])
    found = {"vspec.schemas", "vspec.specs"}
    for package, folder in HOUSE.items():
        for init in (ROOT / folder).rglob("__init__.py"):
            below = init.parent.relative_to(ROOT / folder).parts
            found.add(".".join([package, *below]))
    assert listed == found


def test_constraints_pin_what_is_declared() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = dict(line.lower().replace("_", "-").split("==") for line in lines if line and not line.startswith("#"))
    project = PROJECT["project"]
    for requirement in [
        *project["dependencies"],
        *(r for extra in project["optional-dependencies"].values() for r in extra),
    ]:
        assert requirement.split(">=")[0].lower().replace("_", "-") in pins, requirement


@pytest.mark.skipif(int(version("setuptools").split(".")[0]) < 77, reason="building needs a newer setuptools")
def test_the_wheel_works_on_its_own(tmp_path: Path) -> None:
    source = tmp_path / "source"  # a copy, because setuptools builds beside the sources
    ignore = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for name in ("vspec", "compiler", "runtime", "schemas", "specs"):
        shutil.copytree(ROOT / name, source / name, ignore=ignore)
    for path in ROOT.iterdir():
        if path.is_file():
            shutil.copy(path, source / path.name)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    run([*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", str(tmp_path), str(source)])
    (wheel,) = tmp_path.glob("vspec-*.whl")

    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert "vspec/py.typed" in names
    for path in [
        *(ROOT / "specs").rglob("*.yaml"),
        *(ROOT / "schemas").glob("*.json"),
        *(ROOT / "compiler").rglob("*.py"),
        *(ROOT / "runtime").rglob("*.py"),
    ]:
        assert f"vspec/{path.relative_to(ROOT).as_posix()}" in names

    assert {f"vspec/templates/{p.name}" for p in (ROOT / "vspec" / "templates").glob("*.yaml")} <= names

    # A new environment that sees the packages of this one, but not its editable vspec: what a .pth file adds to the
    # path is not searched for further .pth files.
    folder = tmp_path / "fresh"
    venv.create(folder, with_pip=False, symlinks=True)
    python = folder / "bin" / "python"
    run(
        [
            sys.executable,
            "-m",
            "pip",
            "--python",
            str(python),
            "install",
            "--quiet",
            "--no-deps",
            "--no-index",
            str(wheel),
        ]
    )
    (packages,) = folder.glob("lib/python*/site-packages")
    (packages / "outer.pth").write_text("\n".join(site.getsitepackages()))
    where = run(
        [str(python), "-c", "import vspec, vspec.compiler as c; print(vspec.__file__, c.__file__)"], cwd=tmp_path
    )
    assert where.count(str(packages)) == 2
    script = folder / "bin" / "vspec"
    assert "no errors" in run([str(script), "check", "problems/logistic"], cwd=tmp_path)
    assert "problems/logistic" in run([str(script), "list"], cwd=tmp_path)
    assert "claims hold" in run([str(script), "verify", "problems/logistic"], cwd=tmp_path)


def run(command: list[str], cwd: Path | None = None) -> str:
    """The output of a command that must succeed."""
    env = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    found = subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=env, timeout=300)
    assert found.returncode == 0, found.stderr
    return found.stdout
