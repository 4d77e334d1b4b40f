"""Shared by the tests of the command line: a runner, small specs, and programs that are built once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from jsonschema import Draft202012Validator

from vspec.cli import main

ROOT = Path(__file__).parents[2]
REPLIES = Draft202012Validator(json.loads((ROOT / "schemas" / "output.schema.json").read_text(encoding="utf-8")))

LINE = """\
vspec: 1
name: line
doc: A line through points.
precision: float64
dims:
  n: auto
constants:
  lam: 0.5
data:
  x[n]: {value: [0, 1, 2, 3]}
  y[n]: {value: [1, 3, 5, 7]}
params:
  slope: {init: 0}
  offset: {init: 0}
define:
  residual[n]: y[n] - (slope*x[n] + offset)
objectives:
  loss: sum[n](residual[n]**2)/2 + lam/2*slope**2
solve:
  minimize: loss
  method: newton(tol=1e-12)
outputs:
  slope: slope
  residual[n]: residual[n]
claims:
  stationary: abs(d(loss, slope)) < 1e-8
  steep:
    that: slope > 1.5
    reported: about 2
"""

WRONG = """\
vspec: 1
name: wrong
dims: {n: 3}
params:
  w[n]: {init: 0}
objectives:
  loss: sum[n](w[m]**2)
solve: {minimize: loss}
"""


@dataclass(frozen=True)
class Result:
    """What a command gave."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """The JSON object on stdout."""
        found = json.loads(self.out)
        assert isinstance(found, dict)
        assert {"command", "ok", "exit_code", "diagnostics"} <= set(found)
        assert found["exit_code"] == self.code
        assert found["ok"] == (self.code == 0)
        REPLIES.validate(found)
        return found

    @property
    def codes(self) -> list[str]:
        """The diagnostic codes in the JSON object."""
        return [d["code"] for d in self.json["diagnostics"]]


Vspec = Callable[..., Result]


@pytest.fixture
def vspec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Vspec:
    """Runs a command in this process, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("VSPEC_DEBUG", raising=False)

    def invoke(*arguments: str | Path) -> Result:
        found = CliRunner().invoke(main, [str(a) for a in arguments], prog_name="vspec")
        return Result(found.exit_code, found.stdout, found.stderr)

    return invoke


def shell(*arguments: str | Path, cwd: Path | None = None, **environment: str) -> Result:
    """Runs a command in a process of its own."""
    command = [sys.executable, "-m", "vspec", *(str(a) for a in arguments)]
    env = {**os.environ, **environment}
    found = subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=env, timeout=300)
    return Result(found.returncode, found.stdout, found.stderr)


@pytest.fixture
def line(tmp_path: Path) -> Path:
    """A small spec that is right."""
    path = tmp_path / "line.yaml"
    path.write_text(LINE, encoding="utf-8")
    return path


@pytest.fixture
def wrong(tmp_path: Path) -> Path:
    """A small spec with one mistake, on line 7."""
    path = tmp_path / "wrong.yaml"
    path.write_text(WRONG, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built program of `LINE`."""
    folder = tmp_path_factory.mktemp("program")
    spec = folder / "line.yaml"
    spec.write_text(LINE, encoding="utf-8")
    out = folder / "line"
    found = CliRunner().invoke(main, ["build", str(spec), "--out", str(out), "--no-stablehlo"])
    assert found.exit_code == 0, found.output
    return out
