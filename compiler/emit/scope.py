"""The function being written: its lines, the values that have names, and those still waiting to be put into a reader's line."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from vspec.compiler.emit.layout import Layout, Value, aligned, shown
from vspec.compiler.emit.names import Names
from vspec.compiler.emit.scalar import Context, dtype_code
from vspec.compiler.emit.text import ATOM, Text, fitted, name, number, sequence
from vspec.compiler.graph.graph import Graph
from vspec.compiler.graph.kernel import Kernel, walk
from vspec.compiler.graph.linalg import operation
from vspec.compiler.graph.node import Axis, Kind, Node, topological
from vspec.compiler.graph.short import short_sum
from vspec.compiler.graph.strategy import Choice

# The widest code on a line (its comment comes on top), and the longest helper that goes into its reader's line.
WIDTH = 92
INLINE = 48


class EmissionError(Exception):
    """The graph holds something that has no JAX text: a defect of the compiler, not of the spec."""


@dataclass(slots=True)
class Line:
    """One statement: what it assigns, and the comment at its end. `code` is empty for a line made of `target` alone."""

    indent: int
    target: str
    code: str
    comment: str = ""


@dataclass(slots=True)
class Function:
    """What all scopes of one function share: names, and the sizes of dims."""

    graph: Graph
    file: str
    names: Names
    render: Callable[[Scope, Node], Value]
    sizes: dict[str, Text] = field(default_factory=dict)
    size_arguments: list[tuple[str, str]] = field(default_factory=list)
    header: list[Line] = field(default_factory=list)
    arguments: Sequence[tuple[str, Node]] = ()
    counter: str = ""
    columns: list[str] = field(default_factory=list)
    choices: list[Choice] = field(default_factory=list)


class Scope:
    """The body of a function, or of a function inside it.

    `wishes`: names for nodes that the spec did not name; `results`: what a region gave, one value per position;
    `items`: the spec's names for results of regions; `wanted`: orders of axes that readers want, `fast` those that
    loops want; `reads`: the results that are read of each region, `shared` the adjoint of a loop that computes it, too, and
    `opened` what is written of such an adjoint; `parts`: what is read of each matrix decomposition, and
    `decompositions` the layout of the batch axes and the names of the parts of those that are written. `differentiated`:
    whether JAX differentiates what is written here. `leading`: in a stretch of rows, their axis:
    what is made there has it first. `several`: in a function that is mapped over problems, the nodes that differ between them.
    """

    def __init__(
        self, function: Function, uses: Mapping[int, int], indent: int = 4, outer: Scope | None = None
    ) -> None:
        self.function = function
        self.graph = function.graph
        self.uses = uses
        self.indent = indent
        self.outer = outer
        self.lines: list[Line] = []
        self.values: dict[int, Value] = {}
        self.wishes: dict[int, str] = {}
        self.results: dict[int, list[Value]] = {}
        self.items: dict[tuple[int, int], str] = {}
        self.wanted: Mapping[int, Layout] = {}
        self.fast: Mapping[int, Layout] = {}
        self.reads: dict[int, set[int]] = {}
        self.shared: dict[int, Node] = {}
        self.opened: dict[int, Any] = {}
        self.parts: Mapping[Any, Mapping[str, Node]] = {}
        self.decompositions: dict[Any, tuple[Layout, Mapping[str, str]]] = {}
        self.leading: str = ""
        self.several: frozenset[int] = frozenset()
        self.differentiated: bool = outer is not None and outer.differentiated
        self._pending: dict[int, Node] = {}

    # --- values ---------------------------------------------------------------------------------------------------

    def value(self, node: Node) -> Value:
        """The value of a node that has been visited, here or in an enclosing scope."""
        scope: Scope | None = self
        while scope is not None:
            found = scope.values.get(node.uid)
            if found is not None:
                return found
            scope = scope.outer
        raise EmissionError(f"{node!r} is read before it is made")

    def decomposed(self, key: Any) -> tuple[Layout, Mapping[str, str]] | None:
        """A decomposition that is written, here or in an enclosing scope."""
        scope: Scope | None = self
        while scope is not None:
            if key in scope.decompositions:
                return scope.decompositions[key]
            scope = scope.outer
        return None

    def whole(self, node: Node) -> Value:
        """The value with all its axes there."""
        return self.broadcast(self.value(node), node.axes, node.dtype)

    def broadcast(self, value: Value, axes: Sequence[Axis], dtype: str) -> Value:
        """The value with all of `axes`, in their order where some were missing."""
        if len(value.layout) == len(axes):
            return value
        target = tuple(a.name for a in axes)
        shape = self.shape(axes)
        if not value.layout and value.text.weak:
            filled = {"0": "zeros", "0.0": "zeros", "1": "ones", "1.0": "ones"}.get(value.text.code)
            kind = "" if dtype == "real" and self.graph.precision == "float64" else f", dtype={self.dtype(dtype)}"
            if filled is not None:
                return Value(name(f"jnp.{filled}({shape}{kind})"), target)
            return Value(name(f"jnp.full({shape}, {value.text.code}, dtype={self.dtype(dtype)})"), target)
        return Value(name(f"jnp.broadcast_to({aligned(value, target).code}, {shape})"), target)

    def array(self, value: Value, dtype: str) -> Text:
        """The text as an array of the program's dtype, whatever it was."""
        if value.text.python:
            return name(f"jnp.asarray({value.text.code}, dtype={self.dtype(dtype)})")
        if value.text.weak and dtype in ("real", "complex"):
            return name(f"{value.text.atom}.astype({self.dtype(dtype)})")
        return value.text

    def named(self, node: Node) -> Value:
        """The whole value as a name or literal, for readers that use it more than once."""
        value = self.whole(node)
        if value.text.simple:
            return value
        return self.assign(node, value)

    def context(self, dtype: str) -> Context:
        """What a kernel of that dtype is printed for."""
        return Context(dtype, self.graph.precision)

    def dtype(self, dtype: str) -> str:
        """The text of a dtype."""
        return dtype_code(dtype, self.graph.precision)

    # --- sizes ----------------------------------------------------------------------------------------------------

    def size(self, dim: str) -> Text:
        """The size of a dim: a literal, or a local name that is set where the function starts."""
        function = self.function
        found = function.sizes.get(dim)
        if found is not None:
            return found
        known = self.graph.dims.get(dim)
        if isinstance(known, int):
            text = number(known)
        elif isinstance(known, Node):
            text = self.scalar(known)
            if not text.simple:
                function.header.append(Line(4, function.names.reserve(dim), text.code))
                text = replace(text, code=function.header[-1].target, prec=ATOM, positive=None)
        else:
            text = Text("", python=True, weak=True)
            for argument, node in function.arguments:
                position = next((k for k, a in enumerate(node.axes) if a.dim == dim), None)
                if position is not None:
                    text = replace(text, code=function.names.reserve(dim))
                    function.header.append(Line(4, text.code, f"{argument}.shape[{position}]"))
                    break
            else:
                text = replace(text, code=function.names.reserve(dim))
                function.size_arguments.append((dim, text.code))
        function.sizes[dim] = text
        return text

    def scalar(self, node: Node) -> Text:
        """The text of a scalar made of sizes and numbers, which may stand in `Graph.dims` rather than in an entry."""
        for n in topological([node]):
            if n.uid not in self.values:
                self.values[n.uid] = self.function.render(self, n)
        return self.values[node.uid].text

    def shape(self, axes: Sequence[Axis]) -> str:
        """The shape of an array as a tuple."""
        return sequence([self.size(a.dim).code for a in axes])

    # --- lines ----------------------------------------------------------------------------------------------------

    def visit(self, node: Node, keep: bool = False) -> None:
        """Writes a node: gives it a line, or keeps its text for its reader. `keep`: the caller will use the text itself."""
        if node.uid in self.values or self.uses.get(node.uid) == 0:
            return
        render = self.function.render
        value = render(self, node)
        room = WIDTH - self.indent - 12
        if len(value.text.code) > room and self._make_room(node, len(value.text.code) - room):
            value = render(self, node)
        self.values[node.uid] = value
        if value.text.simple or keep or (node.kind is Kind.CONST and node.op != "array"):
            return
        wish = self.wishes.get(node.uid) or defined_name(node)
        if self.uses.get(node.uid, 1) == 1 and not wish and len(value.text.code) <= INLINE:
            self._pending[node.uid] = node
        else:
            self.assign(node, value)

    def _make_room(self, node: Node, excess: int) -> bool:
        """Gives names to the longest unnamed operands until the reader is `excess` characters shorter."""
        waiting = {x.uid: x for x in node.inputs if x.uid in self._pending}
        changed = False
        for x in sorted(waiting.values(), key=lambda x: (-len(self.values[x.uid].text.code), x.uid)):
            length = len(self.values[x.uid].text.code)
            if excess <= 0 or length <= 12:
                break
            self.assign(x, self.values[x.uid])
            excess -= length - 6
            changed = True
        return changed

    def assign(self, node: Node, value: Value) -> Value:
        """A line `name = text`; from here on the node is that name."""
        self._pending.pop(node.uid, None)
        wish = self.wishes.get(node.uid) or defined_name(node) or helper_name(self, node)
        target = self.function.names.reserve(wish)
        self.line(target, value.text.code, self.comment(node, value.layout))
        text = Text(target, python=value.text.python, weak=value.text.weak)
        self.values[node.uid] = Value(text, value.layout)
        return self.values[node.uid]

    def line(self, target: str, code: str, comment: str = "") -> None:
        """Any assignment."""
        self.lines.append(Line(self.indent, target, code, comment))

    def comment(self, node: Node, layout: Layout, line: int = 0) -> str:
        """`[n, i]  logistic.yaml:16`."""
        line = line or node.origin.line
        shape = f"[{', '.join(shown(layout))}]"
        return f"{shape}  {node.origin.file or self.function.file}:{line}" if line else shape


# --- names --------------------------------------------------------------------------------------------------------


_ROLES = {"gradient": "gradient", "hessian": "hessian", "adjoint": "bar", "tangent": "dot"}


def defined_name(node: Node) -> str:
    """The name that the spec gave to what the node computes; '' for a helper."""
    origin = node.origin
    if node.kind in (Kind.INPUT, Kind.REGION) or origin.role in ("part", "adjoint", "tangent") or not origin.name:
        return ""
    return f"{origin.name}_{_ROLES[origin.role]}" if origin.role in _ROLES else origin.name


_WORDS = {
    "add": "total",
    "sub": "difference",
    "neg": "negative",
    "mul": "scaled",
    "div": "ratio",
    "pow": "power",
    "square": "squared",
    "where": "chosen",
    "real": "as_real",
    "contract": "product",
    "reindex": "view",
    "window": "window",
    "gather": "taken",
    "scatter": "spread",
    "const": "table",
    "index": "index",
    "stop": "fixed",
    "random": "drawn",
    "max": "largest",
    "min": "smallest",
    "sum": "total",
    "region": "path",
    "stack": "joined",
    "convolution": "convolved",
    "banded_solve": "solved",
    "banded_logdet": "volume",
    "toeplitz_solve": "solved",
    "toeplitz_logdet": "volume",
    "grid_solve": "solved",
    "grid_logdet": "volume",
}


_ALONG = {
    "sum": "running",
    "prod": "running",
    "linear": "carried",
    "pivots": "pivots",
    "argsort": "order",
    "softmax": "shares",
    "shift": "shifted",
}


def helper_name(scope: Scope, node: Node) -> str:
    """A short name for a value that the spec did not name: `exp_margin`, `margin_bar`, `total`."""
    if node.origin.name and node.origin.role in ("adjoint", "tangent"):
        return f"{node.origin.name}_{_ROLES[node.origin.role]}"
    word: str
    if node.dtype == "key":
        return "draw_key" if node.op == "key" else "step_key"
    if node.kind is Kind.MAP:
        word = node.attrs[0].tree[0]
    elif node.kind in (Kind.REDUCE, Kind.LINALG, Kind.CONCAT, Kind.CALL):
        word = operation(node.op)
    elif node.kind is Kind.CUMULATE or node.op == "shift":
        word = _ALONG[node.op]
    else:
        word = str(node.kind)
    word = _WORDS.get(word, word)
    if len(node.inputs) == 1:
        operand = scope.values.get(node.inputs[0].uid)
        if operand is not None and operand.text.code.isidentifier() and len(operand.text.code) <= 12:
            return f"{word}_{operand.text.code}".rstrip("_")
    return word


# --- use counts ---------------------------------------------------------------------------------------------------


def count_uses(nodes: Sequence[Node], roots: Sequence[Node], dims: Mapping[str, int | Node | None]) -> dict[int, int]:
    """How often the text of each node would appear in those of its readers; 0 for one that is written nowhere."""
    uses: dict[int, int] = {}
    slots: dict[Kernel, dict[int, int]] = {}
    readers: dict[int, int] = {}
    for x in (*roots, *(x for n in nodes for x in n.inputs)):
        readers[x.uid] = readers.get(x.uid, 0) + 1
    # Readers first, so that what nobody reads counts for nothing.
    for n in reversed(nodes):
        if uses.get(n.uid) == 0:
            continue
        short = short_sum(n, dims, n.kind is Kind.REDUCE and readers[n.inputs[0].uid] == 1)
        if short is not None:
            inner = n.inputs[0]
            uses.setdefault(inner.uid, 0)
            for x in short[1]:
                uses[x.uid] = uses.get(x.uid, 0) + 2
        elif n.kind is Kind.MAP:
            k = n.attrs[0]
            counts = slots.get(k)
            if counts is None:
                counts = slots[k] = {}
                for t in walk(k.tree):
                    if t[0] == "x":
                        counts[t[1]] = counts.get(t[1], 0) + 1
            for position, x in enumerate(n.inputs):
                uses[x.uid] = uses.get(x.uid, 0) + counts.get(position, 0)
        else:
            # A loop body would compute an operand's text again in every step.
            weight = 2 if n.kind is Kind.REGION else 1
            for x in n.inputs:
                uses[x.uid] = uses.get(x.uid, 0) + weight
    for r in roots:
        uses[r.uid] = uses.get(r.uid, 0) + 1
    return uses


def formatted(lines: Sequence[Line]) -> list[str]:
    """The lines of a function, their comments in one column where they are not too wide."""
    blocks = []
    for line in lines:
        if not line.code:
            blocks.append(([" " * line.indent + line.target], line.comment))
            continue
        prefix = f"{line.target} = " if line.target else ""
        if line.target == "return":
            prefix = "return "
        blocks.append((fitted(prefix, line.code, "", line.indent, WIDTH), line.comment))
    widths = [len(b[0]) for b, c in blocks if c and len(b) == 1 and len(b[0]) <= 76]
    column = max(widths, default=0) + 2
    out: list[str] = []
    for block, comment in blocks:
        if comment:
            block[-1] = f"{block[-1]:<{column - 2}}  # {comment}"
        out += block
    return [re.sub(r"\s+$", "", line) for line in out]
