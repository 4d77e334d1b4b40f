"""Fixture programs, hand-written after the contract; each test seals (hashes) its copy in a temporary folder."""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import pytest

from vspec.runtime import Program, load

FIXTURES = Path(__file__).parent / "fixtures"

Seal = Callable[..., Path]


@pytest.fixture(autouse=True)
def _precision() -> Iterator[None]:
    """Give every test the process's precision back."""
    before = jax.config.read("jax_enable_x64")
    yield
    jax.config.update("jax_enable_x64", before)


@pytest.fixture
def seal(tmp_path: Path) -> Seal:
    """`seal(name, change, **files)`: a copy of a fixture program, its manifest changed, its hash filled in."""

    def make(name: str, change: Callable[[dict[str, Any]], object] | None = None, source: str | None = None) -> Path:
        folder = tmp_path / f"program-{name}"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(FIXTURES / name, folder)
        if source is not None:
            (folder / "program.py").write_text(source)
        manifest = json.loads((folder / "manifest.json").read_text())
        manifest["program"]["sha256"] = hashlib.sha256((folder / "program.py").read_bytes()).hexdigest()
        if change is not None:
            change(manifest)
        (folder / "manifest.json").write_text(json.dumps(manifest))
        return folder

    return make


@pytest.fixture
def logistic(seal: Seal) -> Program:
    """Logistic regression by newton, float64."""
    return load(seal("logistic"))


@pytest.fixture
def scales(seal: Seal) -> Program:
    """A Gaussian process with positive params by lbfgs, maximised, three starts."""
    return load(seal("scales"))


@pytest.fixture
def recall(seal: Seal) -> Program:
    """Evaluated only, float32, with plots."""
    return load(seal("recall"))
