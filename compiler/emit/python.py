"""Graph → the text of `program.py`: one pure function per entry, and what a caller must know about each."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath

from vspec.compiler.emit.entry import EmittedEntry, emit_entry
from vspec.compiler.emit.externs import definitions, modules
from vspec.compiler.emit.helpers import helpers, words
from vspec.compiler.emit.scalar import MODULES
from vspec.compiler.emit.softmax import with_softmax
from vspec.compiler.emit.text import quoted
from vspec.compiler.graph.graph import Graph
from vspec.compiler.graph.tuning import tuning_of
from vspec.compiler.language.spec import Spec


@dataclass(frozen=True, slots=True)
class Emitted:
    """The program's text and its entries in order."""

    text: str
    entries: tuple[EmittedEntry, ...]


def emit_program(graph: Graph, spec: Spec) -> Emitted:
    """The program of a graph. Same graph, same text."""
    file = PurePath(spec.path).name or "spec.yaml"
    functions, entries = [], []
    graph = with_softmax(graph)
    for entry in graph.entries:
        text, emitted = emit_entry(graph, entry, file)
        functions.append(text)
        entries.append(emitted)
    outside = definitions(spec.externs, file)
    body = "\n\n\n".join([*helpers("\n".join(map(_code, functions))), *outside, *functions])
    head = [_docstring(spec, file), *_imports(body, modules(spec.externs)), *_budget(graph, body)]
    return Emitted("\n".join(head) + "\n\n\n" + body + "\n", tuple(entries))


def _budget(graph: Graph, body: str) -> list[str]:
    """What the loops over rows go by, where there are any: numbers that a reader may change."""
    parts, kernels = "rows_at_once(" in body, "scaled_steps(" in body
    if not parts and not kernels:
        return []
    budget = tuning_of(graph.notes)
    memory = budget.memory or 0
    what = "the arrays of a reduction" if parts else "the kernels of a loop"
    head = ["", f"MEMORY = {memory:_}  # bytes that {what} may take"]
    chunk = f"CHUNK = {min(budget.chunk, memory):_}  # bytes of those that are computed at a time where they would take more"
    return [*head, chunk] if parts else head


def _docstring(spec: Spec, file: str) -> str:
    title = f"{spec.name}: {' '.join(spec.doc.split())}" if spec.doc else spec.name
    digest = f" (sha256 {spec.sha256})" if spec.sha256 else ""
    return quoted(f"{title}\n\nEmitted by vspec from {file}{digest}.\nEdit the spec, not this file.\n")


def _imports(body: str, outside: Sequence[str] = ()) -> list[str]:
    """Only what the text uses; the names are reserved, so that a search finds no strangers. `outside`: what the spec names."""
    named = words(_code(body))
    lines = [""]
    standard = {"Callable": "collections.abc", "Any": "typing"}
    lines += [f"from {m} import {n}" for n, m in standard.items() if n in named]
    lines += [""] if len(lines) > 1 else []
    lines += [*outside, ""] if outside else []
    if "jax." in named:
        lines.append("import jax")
    if "jnp." in named:
        lines.append("import jax.numpy as jnp")
    if "Array" in named:
        lines.append("from jax import Array")
    if "implicit." in named:
        lines.append("from vspec.runtime import implicit")
    if "samplers." in named:
        lines.append("from vspec.runtime import samplers")
    for module, functions in MODULES.items():
        used = [f for f in functions if f"{f}(" in named]
        if used:
            lines.append(f"from {module} import {', '.join(used)}")
    return lines if len(lines) > 1 else []


def _code(text: str) -> str:
    """A text without its comments and one-line strings."""
    return re.sub(r'"[^"\n]*"|#.*', "", text)
