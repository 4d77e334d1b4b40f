"""Reading sections of the document."""

from __future__ import annotations

from vspec.compiler.source.document import Mapping as Node
from vspec.compiler.source.document import Scalar, Value


def entries(node: Value | None) -> list[tuple[Scalar, Value]]:
    """The entries of a section; none if it is absent or not a mapping (the structure check has said so)."""
    return list(node.entries) if isinstance(node, Node) else []
