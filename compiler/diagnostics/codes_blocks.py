"""VS0275 to VS0279: reductions that are taken in parts."""

from __future__ import annotations

from vspec.compiler.diagnostics.code import Code

BLOCKS: tuple[Code, ...] = (
    Code(
        "VS0275",
        "there is nothing to take in parts",
        "'by=blocks(n)' computes what is reduced for n values of an index at a time, so that it need not be in memory whole. "
        "Data, constants and params are there as they are, and complex values are reduced as a whole.",
        "dims: {n: 10}\ndata:\n  x[n]: {}\ndefine:\n  s: sum[n](x[n], by=blocks(4))\noutputs: {s: s}\n",
    ),
)
