"""Which data of a compiled spec a run may read by chunks, and what needs the others whole."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from vspec.output import columns

if TYPE_CHECKING:
    from vspec.compiler.pipeline import Compiled


def whole_uses(compiled: Compiled, level: int, disable: Collection[str]) -> dict[str, str | None]:
    """Data → why a run needs all of it at once; None if it may read batches of its rows only."""
    from vspec.compiler.emit.manifest import Options, manifest
    from vspec.runtime.whole import whole_use

    made = manifest(compiled.spec, compiled.graph, compiled.emitted, Options(level, tuple(disable)))
    return {name: whole_use(made, name) for name in made["data"]}


def rows_text(uses: Mapping[str, str | None]) -> str:
    """These uses as text; nothing where no data may be read by chunks."""
    if all(uses.values()):
        return ""
    lines = [(name, "by chunks" if why is None else f"whole: {why}") for name, why in uses.items()]
    return "\ndata that are larger than memory are read\n" + columns(lines)
