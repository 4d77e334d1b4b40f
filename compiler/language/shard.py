"""The section `shard`: over which axis of a mesh of devices each dim is split."""

from __future__ import annotations

from collections.abc import Iterable

from vspec.compiler.diagnostics.suggest import did_you_mean
from vspec.compiler.language.context import Context
from vspec.compiler.language.entries import entries
from vspec.compiler.language.spec import Constant, Data, Param, Split
from vspec.compiler.source.document import Scalar, Value


def read_shard(ctx: Context, node: Value | None, arrays: Iterable[Constant | Data | Param]) -> dict[str, Split]:
    """Dim → axis of the mesh, in the order of the section; VS0378 for what cannot be split.

    Args:
        ctx: the names of the spec.
        node: the section.
        arrays: what is laid out over devices when it is bound.
    """
    found: dict[str, Split] = {}
    held = {ctx.dims.letters[x] for array in arrays for x in array.letters if x in ctx.dims.letters}
    for key, value in entries(node):
        for letter in (x.strip() for x in key.text.split(",")):
            dim = ctx.dims.letters.get(letter)
            axis = value.text.strip() if isinstance(value, Scalar) else ""
            if dim is None:
                help = did_you_mean(letter, ctx.dims.letters) or "'shard' names index letters: shard: {n: data}"
                ctx.error("VS0378", f"unknown index '{letter}' in 'shard'", key.span, help=help)
            elif dim in found:
                ctx.error("VS0378", f"the dim of '{letter}' is split twice", key.span, label="again here")
            elif not axis.isidentifier():
                ctx.error(
                    "VS0378",
                    f"'{axis}' is no name of an axis of devices",
                    value.span,
                    help="a name is made of letters, digits and underscores: shard: {n: data}",
                )
            elif dim not in held:
                ctx.error(
                    "VS0378",
                    f"nothing has '{letter}' as an index that could be laid out over devices",
                    key.span,
                    label="of no data, constant or param",
                    help="split an index of data or of params; what is computed from them follows",
                )
            else:
                found[dim] = Split(axis, key.span)
    return found
