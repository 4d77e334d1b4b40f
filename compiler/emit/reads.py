"""What the nodes of one function read of its loops."""

from __future__ import annotations

from collections.abc import Sequence

from vspec.compiler.emit.scope import Scope
from vspec.compiler.graph.node import Kind, Node, Pull


def gather_loops(scope: Scope, nodes: Sequence[Node]) -> None:
    """Notes the results that are read of each region, and the loops whose one adjoint computes them anyway."""
    adjoints: dict[tuple[int, tuple[int, ...]], list[Node]] = {}
    for n in nodes:
        if n.kind is Kind.ITEM:
            scope.reads.setdefault(n.inputs[0].uid, set()).add(n.attrs[0])
        elif n.kind is Kind.REGION and n.op == "either" and len(n.attrs[0].body) > 1:
            scope.wishes.setdefault(n.inputs[0].uid, "fine")
        elif n.kind is Kind.REGION and n.op == "vjp":
            pull: Pull = n.attrs[0]
            adjoints.setdefault((id(pull.inner), _uids(n.inputs[: pull.arity])), []).append(n)
    for n in nodes:
        if n.kind is Kind.REGION and n.op == "scan":
            region, found = n.attrs[0], adjoints.get((id(n.attrs[0]), _uids(n.inputs)), [])
            read = [region.results[k][1] for k in scope.reads.get(n.uid, ())]
            # An integer has no cotangent that could be zero.
            if len(found) == 1 and all(region.carry[k].dtype == "real" for k in read):
                scope.shared[n.uid] = found[0]


def _uids(nodes: Sequence[Node]) -> tuple[int, ...]:
    return tuple(x.uid for x in nodes)
