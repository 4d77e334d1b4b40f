"""Which arrays of products have what is summed at one end: those of three and more axes that several products of matrices read.

Such a product reads its operand as a matrix. Where the axes that are summed stand together at one end, this is the same array;
where they do not, XLA turns it around, for each of its readers by itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from vspec.compiler.emit.layout import Layout
from vspec.compiler.graph.node import Kind, Node
from vspec.compiler.graph.orders import told
from vspec.compiler.graph.strategy import Choice


def at_ends(nodes: Sequence[Node], choices: list[Choice]) -> dict[int, Layout]:
    """The order of axes by node, for outer products that nothing but products read, where one order suits all of these.
    `choices` gets a row for each."""
    read = _read(nodes)
    found: dict[int, Layout] = {}
    for n in nodes:
        sums = read.get(n.uid)
        if n.kind is Kind.MAP and sums and len(sums) > 1 and all(len(x.axes) < len(n.axes) for x in n.inputs):
            order = _order(n.names, sums)
            if order is not None and order != n.names:
                found[n.uid] = order
                choices += told(n, [n.axis(a) for a in order], (), "products read it as one matrix")
    return found


def _read(nodes: Iterable[Node]) -> dict[int, list[frozenset[str]]]:
    """The axes that products sum of each array, by their names there; without arrays that anything else reads."""
    found: dict[int, list[frozenset[str]]] = {}
    others: set[int] = set()
    for node in nodes:
        for x in node.inputs:
            array, names = x, {n: n for n in x.names}
            while array.kind is Kind.REINDEX and len(set(array.attrs[0])) == len(array.axes) == len(
                array.inputs[0].axes
            ):
                names = {n: names[t] for n, t in zip(array.inputs[0].names, array.attrs[0], strict=True)}
                array = array.inputs[0]
            if node.kind is Kind.CONTRACT and len(node.inputs) == 2:
                summed = frozenset(n for n, reader in names.items() if reader not in node.names)
                found.setdefault(array.uid, []).append(summed)
            elif node.kind is not Kind.REINDEX:
                others.add(array.uid)
    return {uid: sums for uid, sums in found.items() if uid not in others}


def _order(names: Layout, sums: Sequence[frozenset[str]]) -> Layout | None:
    """The names in an order that has each of the sums first or last: their own if that does, None if none is found."""
    candidates = [names]
    for s in sums:
        inside, outside = (tuple(n for n in names if (n in s) is within) for within in (True, False))
        candidates += [(*inside, *outside), (*outside, *inside)]
    for order in candidates:
        if all(s in (frozenset(order[: len(s)]), frozenset(order[len(order) - len(s) :])) for s in sums):
            return order
    return None
