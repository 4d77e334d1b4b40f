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
    if os.path.isfile(path):
        return path
    known = library()
    if found := _by_name(name, known):
        return found
    if os.path.isdir(path):
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
        folder = _folder(name)
        if folder is None:
            found.append(find_spec(name))
        elif below := specs_below(folder):
            found += below
        else:
            raise refuse("VS0829", f"there is no spec in the folder '{name}' or below it")
    return list(dict.fromkeys(found))


def own_specs(names: Iterable[str]) -> list[Path]:
    """The files of several paths or folders, each once: never a spec that comes with vspec, which is not the caller's.

    Raises:
        SpecError: a path leads to no file (VS0101), or a folder has no spec (VS0829).
    """
    found: list[Path] = []
    for name in names:
        path = Path(name)
        if os.path.isdir(path):
            below = specs_below(path)
            if not below:
                raise refuse("VS0829", f"there is no spec in the folder '{name}' or below it")
            found += below
        elif os.path.isfile(path):
            found.append(path)
        else:
            raise refuse("VS0101", f"there is no file '{name}'", _nearby(path))
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


def _folder(name: str) -> Path | None:
    """The folder of that name, here or among the specs that come with vspec (`problems`)."""
    if os.path.isdir(name):
        return Path(name)
    if not name or os.path.isabs(name) or ".." in Path(name).parts or os.path.exists(name):
        return None
    shipped = library_root() / name
    return near_path(shipped) if os.path.isdir(shipped) else None


def _nearby(path: Path) -> str:
    try:
        guess = nearest(path.name, [p.name for p in path.parent.iterdir() if p.suffix in SUFFIXES])
    except (OSError, ValueError):
        return ""
    return f"did you mean '{path.with_name(guess)}'?" if guess else ""
