"""Text of decompositions: what is read of the eigen- or singular value decomposition of one matrix comes from one call.

Likewise systems with one matrix or its transpose, its inverse and the logarithm of its determinant share an LU factorisation, or
that of Cholesky if the matrix is positive definite.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from vspec.compiler.emit.calls import pull_key
from vspec.compiler.emit.layout import Layout, Value, arranged
from vspec.compiler.emit.scope import Scope, defined_name
from vspec.compiler.emit.text import name
from vspec.compiler.graph.linalg import unrenamed
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

FACTORED = tuple(f"{op}{how}" for how in ("", "_pd", "_tried") for op in ("solve", "logdet", "inv"))

# How a matrix is factored, by the last word of the operation.
CALLS = {"pd": "cho_factor", "tried": "symmetric_factor"}

Key = tuple[str, int, Layout]
"""The call, the matrix under all its renames, and its rows and columns by the names there."""


def matrix_key(node: Node) -> tuple[Key, dict[str, str]]:
    """What is decomposed, and the node's names for the axes of that."""
    (core,) = node.attrs[0]
    x, own = unrenamed(node.inputs[0])
    back = {shown: base for base, shown in own.items()}
    return (FAMILIES[node.op].call, x.uid, tuple(back[n] for n in core)), own


def is_cholesky(x: Node) -> bool:
    """Whether a matrix is a Cholesky factor or the transpose of one: then nothing needs to be factored."""
    matrix, _ = unrenamed(x)
    return matrix.kind is Kind.LINALG and matrix.op == "cholesky"


def factor_key(node: Node) -> tuple[Key, dict[str, str]]:
    """What is factored, the same for a matrix and its transpose, and the node's names for the axes of that."""
    matrix, own = unrenamed(node.inputs[0])
    back = {shown: base for base, shown in own.items()}
    call = CALLS.get(node.op.rpartition("_")[2], "lu_factor")
    return (call, matrix.uid, tuple(sorted(back[n] for n in node.attrs[0][0]))), own


def gather_parts(nodes: Iterable[Node]) -> dict[Any, dict[str, Node]]:
    """What the nodes read of each decomposition: by matrix, then by part; of each call, the adjoints by operand."""
    found: dict[Any, dict[str, Node]] = {}
    for node in nodes:
        if node.kind is Kind.LINALG and node.op in FAMILIES:
            found.setdefault(matrix_key(node)[0], {})[node.op] = node
        elif node.kind is Kind.LINALG and node.op in FACTORED and not is_cholesky(node.inputs[0]):
            found.setdefault(factor_key(node)[0], {})[str(node.uid)] = node
        elif (key := pull_key(node)) is not None:
            found.setdefault(key, {})[str(node.attrs[2].operand)] = node
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


@dataclass(frozen=True, slots=True)
class Factors:
    """A factorisation that is written: its name, the layout of what was factored in the names of the node at hand, and whether
    it is that of Cholesky."""

    name: str
    layout: Layout
    cholesky: bool

    @property
    def batch(self) -> Layout:
        """The axes in front of rows and columns."""
        return self.layout[:-2]


def factors(scope: Scope, node: Node) -> Factors | None:
    """The factorisation that a node shares with others; None if it is the only one to need it.

    It is made of the matrix as it is stored, whichever of the matrix and its transpose is asked for first.
    """
    if is_cholesky(node.inputs[0]):
        return None
    key, own = factor_key(node)
    done = scope.decomposed(key)
    if done is None:
        cholesky = key[0] == "cho_factor"
        if len(scope.parts.get(key, ())) < 2 and key[0] == "lu_factor":
            return None
        core = node.attrs[0][0]
        value = scope.value(node.inputs[0])
        if not {*core} <= {*value.layout}:
            value = scope.whole(node.inputs[0])
        layout = (*(a for a in value.layout if a not in core), *(a for a in value.layout if a in core))
        target = scope.function.names.reserve("chol" if cholesky else "lu")
        text = f"{key[0]}({arranged(value, layout).code}{', lower=True' if cholesky else ''})"
        scope.line(target, text, scope.comment(node, ()).removeprefix("[]").strip())
        back = {shown: base for base, shown in own.items()}
        done = scope.decompositions[key] = (tuple(back[a] for a in layout), {"factors": target})
    layout, names = done
    return Factors(names["factors"], tuple(own[a] for a in layout), key[0] == "cho_factor")
