"""The texts that a run's results keep of the program that made them: its source, its spec, its manifest, its build's report.

With them the results tell where they come from when the program's own folder is gone.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vspec.runtime.program import Program

FOLDER = "program"
FILES = ("manifest.json", "program.py", "spec.yaml", "report.json")


def texts(program: Program) -> dict[str, str]:
    """The texts of a program by file name: those of its folder, if that still holds this program, else those it brought."""
    manifest = json.dumps(program.manifest, indent=2, ensure_ascii=False) + "\n"
    if program.texts:
        return dict(program.texts)
    found = read(program.directory) if program.directory is not None else {}
    source = found.get("program.py", "")
    if hashlib.sha256(source.encode()).hexdigest() != program.manifest["program"]["sha256"]:
        found = {}
    return {**found, "manifest.json": manifest}


def read(folder: Path) -> dict[str, str]:
    """The texts in a folder, those that cannot be read left out."""
    found = {}
    for name in FILES:
        try:
            found[name] = (folder / name).read_text(encoding="utf-8")
        except (OSError, ValueError):
            continue
    return found


def write(folder: Path, found: Mapping[str, str]) -> None:
    """Write texts into the folder of results, below `program`."""
    if not found:
        return
    (folder / FOLDER).mkdir(exist_ok=True)
    for name in FILES:
        if name in found:
            (folder / FOLDER / name).write_text(found[name], encoding="utf-8")
