"""Specs by path or by name, and the ones that come with vspec."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from vspec.compiler.diagnostics.suggest import nearest
from vspec.faults import refuse

SUFFIXES = (".yaml", ".yml")


def library_root() -> Path:
    """The folder of the specs that come with vspec."""
    import vspec.specs

    return Path(next(iter(vspec.specs.__path__)))


def library() -> dict[str, Path]:
    """The specs that come with vspec: `problems/logistic` → its file."""
    root = library_root()
    return {p.relative_to(root).with_suffix("").as_posix(): near_path(p) for p in specs_below(root)}


def specs_below(folder: Path) -> list[Path]:
    """Every YAML file in a folder and below it, built programs and hidden folders left out."""
    found = []
    for here, folders, names in os.walk(folder):
        if "manifest.json" in names:
            folders.clear()
            continue
        folders[:] = sorted(f for f in folders if not f.startswith(".") and f != "__pycache__")
        found += [Path(here, name) for name in sorted(names) if name.endswith(SUFFIXES) and not name.startswith(".")]
    return found


def find_spec(name: str) -> Path:
    """The file of a spec given by its path, or by the name of one that comes with vspec.

    Raises:
        SpecError: there is neither (VS0101 for what looks like a path, VS0821 for what looks like a name).
    """
    path = Path(name)
    if _exists(path) and not path.is_dir():
        return path
    known = library()
    if found := _by_name(name, known):
        return found
    if path.is_dir():
        raise refuse("VS0101", f"'{name}' is a directory, not a spec", "name one of the .yaml files in it")
    if path.suffix in SUFFIXES or path.is_absolute() or name.startswith("."):
        raise refuse(
            "VS0101", f"there is no file '{name}'", _nearby(path), "'vspec list' names the specs that come with vspec"
        )
    short = {key.rsplit("/", 1)[-1]: key for key in known}
    guess = nearest(name, [*known, *short])
    tip = f"did you mean '{guess}'?" if guess else _nearby(path)
    raise refuse(
        "VS0821", f"there is no file and no spec '{name}'", tip, "'vspec list' names the specs that come with vspec"
    )


def find_specs(names: Iterable[str]) -> list[Path]:
    """The files of several specs or folders of them, each once, in order. Raises SpecError, also for an empty folder."""
    found: list[Path] = []
    for name in names:
        path = Path(name)
        shipped = library_root() / name
        if (
            not path.is_dir()
            and not _exists(path)
            and not path.is_absolute()
            and ".." not in path.parts
            and shipped.is_dir()
        ):
            path = near_path(shipped)
        if not path.is_dir():
            found.append(find_spec(name))
            continue
        below = specs_below(path)
        if not below:
            raise refuse("VS0829", f"there is no spec in the folder '{name}' or below it")
        found += below
    return list(dict.fromkeys(found))


def near_path(path: Path) -> Path:
    """`path` relative to the current folder if it lies below that, so that messages stay short."""
    try:
        return path.relative_to(Path.cwd())
    except (ValueError, OSError):
        return path


def _by_name(name: str, known: dict[str, Path]) -> Path | None:
    key = name.removesuffix(".yaml").removesuffix(".yml")
    if key in known:
        return known[key]
    ends = [path for full, path in known.items() if full.endswith("/" + key)]
    return ends[0] if len(ends) == 1 else None


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # a name that no file can have
        return False


def _nearby(path: Path) -> str:
    try:
        guess = nearest(path.name, [p.name for p in path.parent.iterdir() if p.suffix in SUFFIXES])
    except (OSError, ValueError):
        return ""
    return f"did you mean '{path.with_name(guess)}'?" if guess else ""
