"""Shared by the tests of the examples: where they are, and an environment in which `vspec` and `python` are these."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).parents[2] / "examples"


def environment() -> dict[str, str]:
    """This Python first on the path, one device, no colours."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    return {**os.environ, "PATH": path, "JAX_PLATFORMS": "cpu", "NO_COLOR": "1", "PYTHONUTF8": "1"}


def run(*command: str | Path, folder: Path) -> str:
    """What a command writes; it must succeed."""
    done = subprocess.run(
        [str(c) for c in command],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
