"""Emitted programs where nothing but JAX can be imported."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import vspec

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "examples" / "standalone"

# In isolated mode no variable of the environment and no folder of the caller adds to the path, and whoever imports one of these
# is told that it is not there, as in an environment without it.
BARE = """
import runpy, sys

HIDDEN = {"vspec", "sympy", "networkx", "optax", "optimistix", "lineax", "diffrax", "equinox", "orbax", "yaml", "click", "rich",
          "jsonschema", "pyarrow", "joblib", "sklearn", "matplotlib"}

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in HIDDEN:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Blocker())
script, *sys.argv[1:] = sys.argv[1:]
runpy.run_path(script, run_name="__main__")
assert not {name.split(".")[0] for name in sys.modules} & HIDDEN
"""

# The balance of a curve: the program solves for it, with a solver of the runtime.
IMPLICIT = """\
vspec: 1
name: balance
dims: {n: auto}
data:
  a[n]: real
params:
  b: {init: 1}
define:
  y[n]: root[s[n]](s[n]**3 + s[n] - a[n]*b, start=0)
objectives:
  loss: mean[n]((y[n] - 1)**2)
solve: {minimize: loss, method: newton}
"""

USE_IMPLICIT = """
import importlib.util, sys
from pathlib import Path
import jax.numpy as jnp
from jax import export
folder = Path(sys.argv[1])
found = importlib.util.spec_from_file_location("program", folder / "program.py")
try:
    found.loader.exec_module(importlib.util.module_from_spec(found))
except ModuleNotFoundError as error:
    print("missing", error.name.split(".")[0])
loss = export.deserialize(bytearray((folder / "stablehlo" / "loss.bin").read_bytes())).call
gradient = export.deserialize(bytearray((folder / "stablehlo" / "loss_gradient.bin").read_bytes())).call
b = jnp.float32(1.0)
for a in (jnp.asarray([1.0, 2.0, 3.0]), jnp.asarray([1.0, 2.0, 3.0, 4.0, 5.0])):
    b = jnp.float32(1.0)
    for _ in range(60):
        slope = gradient(b, a)
        b = b - 0.5 * (slope["b"] if isinstance(slope, dict) else slope)
    print("loss", float(loss(b, a)), "slope", float(jnp.abs(slope["b"] if isinstance(slope, dict) else slope)))
"""


def bare(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """A script where only JAX can be imported."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("JAX_")} | {"JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-I", "-c", BARE, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env=env)


def test_the_example_needs_jax_only(tmp_path: Path) -> None:
    built = vspec.build(FOLDER / "logistic.yaml", tmp_path / "program")
    done = bare(FOLDER / "standalone.py", built.directory)
    assert done.returncode == 0, done.stderr[-2000:]
    found = re.findall(r"(\d+) rows, (\d+) features: loss ([\d.]+) -> ([\d.]+), accuracy ([\d.]+)", done.stdout)
    assert [row[:2] for row in found] == [("200", "5"), ("1000", "12")]
    for _, _, start, end, accuracy in found:
        assert float(start) == pytest.approx(0.6931, abs=1e-4)
        assert float(end) < 0.55
        assert float(accuracy) > 0.85


def test_artifacts_of_implicit_quantities_need_jax_only(tmp_path: Path) -> None:
    """Their `program.py` needs the runtime, and says so; the artifacts do not."""
    spec = tmp_path / "balance.yaml"
    spec.write_text(IMPLICIT)
    built = vspec.build(spec, tmp_path / "program")
    assert "vspec.runtime" in (built.directory / "program.py").read_text()
    script = tmp_path / "use.py"
    script.write_text(USE_IMPLICIT)
    done = bare(script, built.directory)
    assert done.returncode == 0, done.stderr[-2000:]
    first, *rest = done.stdout.splitlines()
    assert first == "missing vspec"
    assert len(rest) == 2
    for line in rest:
        assert float(line.split()[-1]) < 1e-3, line


def test_what_is_hidden_is_hidden(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text("import vspec\n")
    done = bare(script)
    assert done.returncode != 0
    assert "No module named 'vspec'" in done.stderr


def test_the_readme_names_what_is_there() -> None:
    text = (FOLDER / "README.md").read_text()
    for name in ("logistic.yaml", "standalone.py"):
        assert f"examples/standalone/{name}" in text
        assert (FOLDER / name).is_file()
