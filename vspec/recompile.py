"""Compiles a program once more from the texts that it was made of, to tell what the compiler did: same spec, same bytes."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vspec.compiler.diagnostics.diagnostic import SpecError
from vspec.compiler.diagnostics.policy import Policy
from vspec.permission import extern_allowed

if TYPE_CHECKING:
    from vspec.compiler.graph.tuning import Tuning
    from vspec.compiler.language.spec import Spec
    from vspec.compiler.pipeline import Compiled

OTHER = "this version of vspec makes another program of the spec than the one that ran"


class NotAgain(Exception):  # noqa: N818 (an answer, which the page shows)
    """The program cannot be compiled again; the message says why, for people."""


def recompiled(texts: Mapping[str, str]) -> Compiled:
    """What the compiler makes of the spec: the very program of the texts.

    Args:
        texts: the files of the program by name, as `vspec.runtime.kept` reads them.

    Raises:
        NotAgain: the spec is not there, it cannot be compiled, or another program comes out.
    """
    from vspec.compiler.emit.manifest import sha256
    from vspec.compiler.graph.assumed import assuming
    from vspec.compiler.pipeline import compile_spec

    manifest = _json(texts, "manifest.json")
    spec = rechecked(texts)
    options = manifest.get("options") or {}
    try:
        with assuming(options.get("assumed") or {}):
            compiled = compile_spec(
                spec,
                level=int(options.get("level", 2)),
                disable=tuple(options.get("disabled") or ()),
                tuning=_tuning(options),
            )
    except (SpecError, ValueError, TypeError) as error:
        raise NotAgain(f"the spec cannot be compiled: {error}") from None
    if sha256(compiled.emitted.text) != (manifest.get("program") or {}).get("sha256"):
        raise NotAgain(OTHER)
    return compiled


def _tuning(options: Mapping[str, Any]) -> Tuning:
    """How the program was told to use the machine."""
    from vspec.compiler.graph.tuning import Tuning

    default = Tuning()
    return Tuning(
        options.get("memory", default.memory),
        int(options.get("chunk", default.chunk)),
        matmul=str(options.get("matmul_precision", default.matmul)),
        donate=bool(options.get("donate", default.donate)),
    )


def rechecked(texts: Mapping[str, str]) -> Spec:
    """The checked spec of the texts, of the run that they are of. Raises NotAgain."""
    from vspec.compiler.pipeline import check

    manifest, report = _json(texts, "manifest.json"), _json(texts, "report.json")
    text = texts.get("spec.yaml")
    if not text:
        raise NotAgain("the spec was not kept")
    imports = {str(k): str(v) for k, v in (report.get("imports") or {}).items()}
    with tempfile.TemporaryDirectory(prefix="vspec-") as folder:
        root = Path(folder).resolve()
        # Imports from outside of the spec's folder need folders above it.
        above = max((Path(name).parts.count("..") for name in imports), default=0)
        place = root.joinpath(*["spec"] * above) if above else root
        name = Path(str((manifest.get("spec") or {}).get("file") or "spec.yaml")).name or "spec.yaml"
        try:
            for file, content in {name: text, **imports}.items():
                path = (place / file).resolve()
                if not path.is_relative_to(root):
                    raise NotAgain(f"the import '{file}' is outside of what was kept")
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(content, encoding="utf-8")
            spec, _ = check(
                str(place / name),
                report.get("overrides") or {},
                Policy(mode="none"),
                allow_outside=above > 0,
                allow_extern=extern_allowed(),
            )
        except (SpecError, OSError, ValueError) as error:
            # An error may show lines of the file that it is about.
            shown = f": {error}" if above == 0 else ""
            raise NotAgain(f"the spec cannot be checked{shown}") from None
        other = next((p for p in spec.parts if not Path(p).resolve().is_relative_to(root)), None)
        if other is not None:
            raise NotAgain(f"the spec imports '{other}', which was not kept")
    run = str(manifest.get("run") or "")
    if run and run not in spec.runs:
        raise NotAgain(f"the spec has no run '{run}'")
    return spec.runs[run] if run else spec


def _json(texts: Mapping[str, str], name: str) -> dict[str, Any]:
    try:
        found = json.loads(texts.get(name, "{}"))
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
