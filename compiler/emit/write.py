"""The program directory on disk: written aside and renamed into place, found again by what it was made from."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from vspec.compiler.emit.manifest import PROGRAM, Options, manifest, sha256, versions
from vspec.compiler.emit.python import Emitted
from vspec.compiler.graph.graph import Graph
from vspec.compiler.language.spec import Spec

MANIFEST, SPEC, REPORT, STAMP, ARTIFACTS = "manifest.json", "spec.yaml", "report.json", "build.json", "stablehlo"
RUNS, COMPARISON, VARIANTS = "runs", "comparison", "variants"
OWN = frozenset({PROGRAM, MANIFEST, SPEC, REPORT, STAMP, ARTIFACTS, RUNS, COMPARISON, VARIANTS, "__pycache__"})


@dataclass(frozen=True, slots=True)
class Part:
    """A program to be written: the spec's own, that of one of its runs, or the one that compares them.

    `variants` are programs of the same spec for other sizes, each with its name and the sizes of open dims that it is meant
    for; `usual` are the sizes that this one is meant for.
    """

    spec: Spec
    graph: Graph
    emitted: Emitted
    report: Mapping[str, Any]
    usual: Mapping[str, int] = field(default_factory=dict)
    variants: tuple[tuple[str, Mapping[str, int], Part], ...] = ()


def build_key(
    spec: Spec, options: Options, overrides: Mapping[str, Any], stablehlo: bool = True, parts: str = "all"
) -> str:
    """The key of a build: a hash of everything that decides its files; `parts` says which programs are in it."""
    decisive = {
        "spec": sha256(spec.text or spec.sha256),
        "imports": {Path(path).name: digest for path, digest in sorted(spec.parts.items())},
        "file": Path(spec.path).name,
        "name": spec.name,
        "compiler": compiler_hash(),
        "versions": dict(versions()),
        **options.record,
        "disabled": sorted(options.disabled),
        "overrides": {k: repr(v) for k, v in sorted(overrides.items())},
        "stablehlo": stablehlo,
        "parts": parts,
    }
    return sha256(json.dumps(decisive, sort_keys=True))


@cache
def compiler_hash() -> str:
    """A hash of the compiler's sources, so that a change of the compiler is a change of the key."""
    compiler = Path(__file__).resolve().parents[1]
    files = sorted(compiler.rglob("*.py"))
    # The calculus asks the table of methods what each needs.
    from vspec.runtime import registry

    files.append(Path(registry.__file__))
    return sha256("".join(f"{f.name} {sha256(f.read_bytes())}\n" for f in files))


def cached(directory: Path, key: str) -> bool:
    """Whether the directory holds the build of that key, every file as it was written."""
    try:
        stamp = json.loads((directory / STAMP).read_text(encoding="utf-8"))
        return stamp["key"] == key and all(
            sha256((directory / file).read_bytes()) == digest for file, digest in stamp["files"].items()
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def write_program(
    directory: Path,
    part: Part,
    options: Options,
    key: str,
    stablehlo: bool = True,
    runs: Mapping[str, Part | None] = MappingProxyType({}),
    comparison: Part | None = None,
) -> None:
    """Writes a program directory, replacing an older build of it; files in it that are none of ours stay.

    `runs` are the programs of the spec's runs, None where one is the program itself; `comparison` judges the claims
    that compare them.

    Raises FileExistsError where `directory` holds something that is no build, other OSErrors where it cannot write.
    """
    directory = Path(os.path.abspath(directory))
    directory.parent.mkdir(parents=True, exist_ok=True)
    _recover(directory)
    if directory.is_symlink():
        directory = directory.resolve()
    if directory.exists() and (not directory.is_dir() or (any(directory.iterdir()) and not _is_build(directory))):
        raise FileExistsError(f"{directory} exists and is no build of vspec: not replaced")
    aside = Path(tempfile.mkdtemp(prefix=f".{directory.name}.new-", dir=directory.parent))
    try:
        aside.chmod(0o755)
        _fill(aside, part, options, key, stablehlo, runs, comparison)
        _swap(aside, directory)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _is_build(directory: Path) -> bool:
    return (directory / MANIFEST).is_file() or (directory / STAMP).is_file()


def _fill(
    aside: Path,
    part: Part,
    options: Options,
    key: str,
    stablehlo: bool,
    runs: Mapping[str, Part | None],
    comparison: Part | None,
) -> None:
    hashes: dict[str, str] = {}

    def put(file: str, content: str | bytes) -> str:
        data = content.encode() if isinstance(content, str) else content
        path = aside / file
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as out:
            out.write(data)
            out.flush()
            os.fsync(out.fileno())
        hashes[file] = sha256(data)
        return hashes[file]

    def inner(folder: str, part: Part) -> dict[str, str]:
        file = f"{folder}/{MANIFEST}"
        return {"file": file, "sha256": _program(aside / folder, part, options, stablehlo, put, f"{folder}/")}

    more = {
        "runs": {name: None if run is None else inner(f"{RUNS}/{name}", run) for name, run in runs.items()},
        "comparison": None if comparison is None else inner(COMPARISON, comparison),
    }
    _program(aside, part, options, stablehlo, put, "", more)
    put(STAMP, _dumps({"key": key, "files": dict(hashes)}))


def _program(
    folder: Path,
    part: Part,
    options: Options,
    stablehlo: bool,
    put: Callable[[str, str | bytes], str],
    prefix: str,
    more: Mapping[str, Any] = MappingProxyType({}),
) -> str:
    """Writes the files of one program under `prefix`; the hash of its manifest. `more` goes into the manifest."""
    spec, graph, emitted = part.spec, part.graph, part.emitted
    put(prefix + PROGRAM, emitted.text)
    put(prefix + SPEC, spec.text)
    artifacts: dict[str, Any] = {}
    skipped: dict[str, str] = {}
    if stablehlo:
        from vspec.compiler.emit.stablehlo import Artifact, export_all

        for name, result in export_all(folder / PROGRAM, emitted.entries, spec, graph.dims).items():
            if isinstance(result, Artifact):
                file = f"{ARTIFACTS}/{name}.bin"
                digest = put(prefix + file, result.content)
                artifacts[name] = {
                    "file": file,
                    "sha256": digest,
                    "platforms": list(result.platforms),
                    "symbolic": list(result.symbolic),
                }
            else:
                skipped[name] = result.reason
    others = []
    for name, sizes, variant in part.variants:
        own = replace(options, assumed=tuple(sizes.items()))
        inner = f"{VARIANTS}/{name}"
        digest = _program(folder / inner, variant, own, False, put, f"{prefix}{inner}/")
        others.append({"name": name, "sizes": dict(sizes), "file": f"{inner}/{MANIFEST}", "sha256": digest})
    if others:
        more = {**more, "sizes": dict(part.usual), "variants": others}
    record = {**part.report, "stablehlo": {"exported": sorted(artifacts), "skipped": skipped}}
    digest = put(prefix + MANIFEST, _dumps({**manifest(spec, graph, emitted, options, artifacts), **more}))
    put(prefix + REPORT, _dumps(record))
    return digest


def _dumps(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def _old(directory: Path) -> Path:
    return directory.parent / f".{directory.name}.old"


def _swap(new: Path, directory: Path) -> None:
    """Puts `new` in the place of `directory`. A kill in between leaves the old build aside, where `_recover` finds it."""
    old = _old(directory)
    if directory.exists():
        os.rename(directory, old)
    try:
        os.rename(new, directory)
    except OSError:
        if old.exists():
            os.rename(old, directory)
        raise
    _sync(directory.parent)
    _keep_strangers(old, directory)


def _recover(directory: Path) -> None:
    """Finishes what a killed build left: the old build goes back if it was not replaced, else its remains go."""
    old = _old(directory)
    if not old.exists():
        return
    if not directory.exists():
        os.rename(old, directory)
    else:
        _keep_strangers(old, directory)


def _keep_strangers(old: Path, directory: Path) -> None:
    """Moves results and notes that live beside a build into its successor, then removes the old build."""
    if not old.exists():
        return
    for path in sorted(old.iterdir()):
        if path.name not in OWN and not (directory / path.name).exists():
            os.rename(path, directory / path.name)
    shutil.rmtree(old, ignore_errors=True)


def _sync(directory: Path) -> None:
    """Makes a rename last through a power failure, where the system can."""
    try:
        handle = os.open(directory, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    except OSError:
        pass
    finally:
        os.close(handle)
