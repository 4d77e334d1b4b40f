"""Text of regions: loops (`scans.py`), loops over rows (`blocks.py`), choices (`either.py`), problems (`implicit.py`) and
adjoints (`pulls.py`), and of what is read of them."""

from __future__ import annotations

from vspec.compiler.emit.blocks import emit_blocks
from vspec.compiler.emit.either import emit_either
from vspec.compiler.emit.implicit import emit_problem
from vspec.compiler.emit.layout import Value
from vspec.compiler.emit.pulls import opened, pulled_back
from vspec.compiler.emit.scans import Operand, write_loop
from vspec.compiler.emit.scope import Scope
from vspec.compiler.emit.text import Text
from vspec.compiler.graph.node import AnyRegion, Blocks, Either, Node, Region, Solve


def emit_region(scope: Scope, node: Node) -> Value:
    """Writes the loop or its adjoint. ITEM nodes read the results from `scope.results`."""
    region: AnyRegion = node.attrs[0]
    reads = scope.reads.get(node.uid, set())
    wishes = {position: wish for (uid, position), wish in scope.items.items() if uid == node.uid}
    if isinstance(region, Solve):
        # The function of the unknowns reads its operands in every step.
        operands = [operand(scope, x, k >= len(region.unknowns)) for k, x in enumerate(node.inputs)]
        scope.results[node.uid] = emit_problem(scope, region, operands, wishes, node.origin.line)
    elif isinstance(region, Region):
        carried = len(region.carry)
        # What the loop only starts from needs no name; what its body reads would be computed in every step.
        operands = [operand(scope, x, k >= carried or node.uid in scope.shared) for k, x in enumerate(node.inputs)]
        adjoint = scope.shared.get(node.uid)
        if adjoint is not None:
            # The adjoint needs the same steps: one pass gives the values and what their derivative needs.
            scope.opened[adjoint.uid] = opened(scope, adjoint.attrs[0], operands, reads, wishes)
            scope.results[node.uid] = scope.opened[adjoint.uid].values
        else:
            scope.results[node.uid] = write_loop(scope, region, operands, reads, wishes, node.origin.line)
    elif isinstance(region, Blocks):
        operands = [operand(scope, x, True) for x in node.inputs]
        scope.results[node.uid] = emit_blocks(scope, node, operands, reads, wishes)
    elif isinstance(region, Either):
        operands = [operand(scope, x, True) for x in node.inputs]
        scope.results[node.uid] = emit_either(scope, node, operands, wishes.get(0, ""))
    else:
        operands = [operand(scope, x, k < region.arity) for k, x in enumerate(node.inputs)]
        found = scope.opened.get(node.uid) or opened(scope, region, operands[: region.arity], set(), {})
        scope.results[node.uid] = pulled_back(scope, region, found, operands)
    # The region itself is never read, only its items.
    return Value(Text("None"), ())


def emit_item(scope: Scope, node: Node) -> Value:
    """One result of a region: a name already."""
    value = scope.results[node.inputs[0].uid][node.attrs[0]]
    return Value(value.text, value.layout if set(value.layout) == set(node.names) else node.names)


def operand(scope: Scope, node: Node, named: bool) -> Operand:
    """An operand of a region as it stands in the text."""
    return Operand(scope.named(node) if named else scope.whole(node), node.axes, node.dtype)
