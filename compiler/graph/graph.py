"""The graph of a whole program: entries over shared nodes, and its networkx view for analyses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from vspec.compiler.graph.classes import Classes
from vspec.compiler.graph.node import Node, topological

if TYPE_CHECKING:
    import networkx as nx


@dataclass(frozen=True, slots=True)
class Result:
    """One result of an entry. `path` says where it stands in what the function returns: `()` is the value itself,
    a string a dict key, an int a tuple position: `(0,)` value, `(1, "w")` gradient, `(2, "w", "c")` block of the Hessian.

    The array has the axes of `node`, in their order.
    """

    path: tuple[str | int, ...]
    node: Node


@dataclass(frozen=True, slots=True)
class Entry:
    """A function of the program: `kind` as in docs/contracts.md, `of` the objective it belongs to, `doc` one sentence."""

    name: str
    kind: str
    results: tuple[Result, ...]
    of: str = ""
    doc: str = ""


@dataclass(frozen=True)
class Graph:
    """All entries of a program; they share nodes, and passes map a Graph to a Graph.

    `dims`: the size of each dim, None where the data decides it, a `Node` where it is an expression of other sizes.
    `inputs` declares every argument: name → INPUT node, in the order params, prepared, data, constants. An argument that a
    stage reads in batches has a second node, over the dim of batches, under a key of its own (`X@n_batch,i`).
    `classes`: which nodes are equal, as far as somebody asked; a graph that is made of another one goes on with its table.
    """

    entries: tuple[Entry, ...]
    dims: Mapping[str, int | Node | None]
    inputs: Mapping[str, Node]
    precision: str = "float32"
    notes: Mapping[str, Any] = field(default_factory=dict)
    classes: Classes = field(default_factory=Classes, compare=False, repr=False)

    @property
    def roots(self) -> tuple[Node, ...]:
        """Every result node of every entry."""
        return tuple(r.node for e in self.entries for r in e.results)

    @cached_property
    def nodes(self) -> tuple[Node, ...]:
        """All nodes, inputs before readers; bodies of regions not included."""
        return tuple(topological(self.roots))

    @cached_property
    def digraph(self) -> nx.MultiDiGraph:
        """The networkx view: an edge from each input to its reader, keyed by operand position."""
        # Drawings and tests want it, builds do not: its import takes as long as all passes of a small spec.
        import networkx as nx

        g = nx.MultiDiGraph()
        g.add_nodes_from(self.nodes)
        g.add_edges_from((x, n, k) for n in self.nodes for k, x in enumerate(n.inputs))
        return g

    def with_entries(self, entries: tuple[Entry, ...]) -> Graph:
        """The same graph with other entries."""
        return replace(self, entries=entries)
