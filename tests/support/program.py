"""An emitted program without a directory or manifest: for tests that call its functions on arrays."""

from __future__ import annotations

import importlib.util
import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax.numpy as jnp

from vspec.compiler.emit.names import identifier
from vspec.compiler.language.spec import Spec
from vspec.compiler.pipeline import compile_spec


class Emission:
    """Compiles a checked spec at one level, imports the text and calls entries with values by name."""

    def __init__(self, spec: Spec, level: int, path: Path) -> None:
        self.compiled = compile_spec(spec, level=level)
        path.write_text(self.compiled.emitted.text)
        loader = importlib.util.spec_from_file_location(path.stem, path)
        assert loader is not None
        assert loader.loader is not None
        self.module = importlib.util.module_from_spec(loader)
        loader.loader.exec_module(self.module)
        self.entries = {e.name for e in self.compiled.graph.entries}

    def call(self, entry: str, values: Mapping[str, Any]) -> Any:
        """The result of an entry; what is prepared, and what stages hold, is computed first."""
        known = {identifier(k): jnp.asarray(v) for k, v in values.items()}
        if "prepare" in self.entries:
            known |= {identifier(k): v for k, v in self._call("prepare", known).items()}
        wanted = inspect.signature(getattr(self.module, entry)).parameters.keys() - known.keys()
        for hold in (e.name for e in self.compiled.graph.entries if e.kind == "hold" and wanted):
            given = self._call(hold, known)
            if given.keys() & wanted:
                known |= {identifier(k): v for k, v in given.items()}
        return self._call(entry, known)

    def _call(self, entry: str, known: Mapping[str, Any]) -> Any:
        f = getattr(self.module, entry)
        return f(**{name: known[name] for name in inspect.signature(f).parameters})
