"""Text of decompositions: what is read of the eigen- or singular value decomposition of one matrix comes from one call."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from vspec.compiler.emit.layout import Layout, Value, arranged
from vspec.compiler.emit.scope import Scope, defined_name
from vspec.compiler.emit.text import name
from vspec.compiler.graph.node import Kind, Node


@dataclass(frozen=True, slots=True)
class Family:
    """The parts of a decomposition, in the order in which the call returns them."""

    call: str
    options: str
    parts: tuple[str, ...]
    names: tuple[str, ...]
    values: str
    alone: str


EIGEN = Family(
    "jnp.linalg.eigh", "", ("eigvalsh", "eigh"), ("eigenvalues", "eigenvectors"), "eigvalsh", "jnp.linalg.eigvalsh"
)
SINGULAR = Family(
    "jnp.linalg.svd",
    ", full_matrices=False",
    ("svd_left", "svdvals", "svd_right"),
    ("left", "singular_values", "right"),
    "svdvals",
    "jnp.linalg.svdvals",
)
FAMILIES: Mapping[str, Family] = {op: family for family in (EIGEN, SINGULAR) for op in family.parts}

Key = tuple[str, int, Layout]
"""The call, the matrix under all its renames, and its rows and columns by the names there."""


def matrix_key(node: Node) -> tuple[Key, dict[str, str]]:
    """What is decomposed, and the node's names for the axes of that."""
    (x,), (core,) = node.inputs, node.attrs[0]
    own = {n: n for n in x.names}
    while x.kind is Kind.REINDEX:
        targets: Layout = x.attrs[0]
        if len(set(targets)) != len(targets) or len(targets) != len(x.axes):
            break
        inner = dict(zip(x.inputs[0].names, targets, strict=True))
        own = {n: own[t] for n, t in inner.items()}
        x = x.inputs[0]
    back = {shown: base for base, shown in own.items()}
    return (FAMILIES[node.op].call, x.uid, tuple(back[n] for n in core)), own


def gather_parts(nodes: Iterable[Node]) -> dict[Key, dict[str, Node]]:
    """What the nodes read of each decomposition: by matrix, then by part."""
    found: dict[Key, dict[str, Node]] = {}
    for node in nodes:
        if node.kind is Kind.LINALG and node.op in FAMILIES:
            found.setdefault(matrix_key(node)[0], {})[node.op] = node
    return found


def emit_decomposition(scope: Scope, node: Node) -> Value:
    """One part of a decomposition: a name of the line that has all parts, written where the first of them is visited."""
    family = FAMILIES[node.op]
    key, own = matrix_key(node)
    done = scope.decomposed(key)
    if done is None:
        value = scope.whole(node.inputs[0])
        rows, columns = node.attrs[0][0]
        batch = tuple(a for a in value.layout if a not in (rows, columns))
        text = arranged(value, (*batch, rows, columns)).code
        wanted = scope.parts.get(key, {node.op: node})
        if set(wanted) == {family.values}:
            return Value(name(f"{family.alone}({text})"), (*batch, *node.attrs[1]))
        back = {shown: base for base, shown in own.items()}
        done = (tuple(back[a] for a in batch), _write(scope, family, text, wanted))
        scope.decompositions[key] = done
    batch, names = done
    result: Layout = node.attrs[1]
    # The right singular vectors are the rows of what the call returns.
    core = result[::-1] if node.op == "svd_right" else result
    return Value(name(names[node.op]), (*(own[a] for a in batch), *core))


def _write(scope: Scope, family: Family, text: str, wanted: Mapping[str, Node]) -> dict[str, str]:
    """The line of the call; the name of each part that is read."""
    names: dict[str, str] = {}
    shown = []
    for part, plain in zip(family.parts, family.names, strict=True):
        found = wanted.get(part)
        if found is None:
            shown.append("_")
            continue
        wish = defined_name(found) or plain
        names[part] = scope.function.names.reserve(f"{wish}_t" if part == "svd_right" else wish)
        shown.append(names[part])
    first = next(iter(wanted.values()))
    scope.line(
        ", ".join(shown), f"{family.call}({text}{family.options})", scope.comment(first, ()).removeprefix("[]").strip()
    )
    return names
