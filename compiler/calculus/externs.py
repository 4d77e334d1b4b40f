"""Calls of functions from outside of the spec: nodes that nothing looks into."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vspec.compiler.graph.call import External, Start
from vspec.compiler.graph.node import Axis, Kind, Node
from vspec.compiler.language.expr import Foreign

if TYPE_CHECKING:
    from vspec.compiler.calculus.lower import Lowering


def foreign(low: Lowering, e: Foreign) -> Node:
    """The node of a call; or of a weight as a module has it that is made with the run's key."""
    b, source = low.b, e.source
    paths = tuple(path for path, _ in source.leaves)
    function = External(source.name, source.module, source.attribute, source.kind, paths, source.arguments)
    result = [Axis(b.fresh(x), low.letters[x]) for x in e.results]
    if e.leaf is not None:
        # One key for all weights: a module is made once.
        key = b.make(Kind.RANDOM, "key", (low.key(),), (), "key", (low.ordinal(("extern", source.name)),))
        made = b.call(Start(function, e.leaf), [key], [()], result)
    else:
        operands, cores = [], []
        for block in e.blocks:
            x = low.with_axes(low.lower(block.body), block.core)
            # Axes of two operands are never one axis, whatever their letters.
            names = {letter: b.fresh(letter) for letter in block.core}
            operands.append(b.rename(x, names))
            cores.append(tuple(names[letter] for letter in block.core))
        made = b.call(function, operands, cores, result)
    batch = made.axes[: len(made.axes) - len(result)]
    return low.read(made, [a.name for a in batch], e.subscripts)
