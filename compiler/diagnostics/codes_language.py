"""The codes of the language stage: VS02xx names, axes, types; VS03xx functions, methods, solve; VS04xx reserved."""

from __future__ import annotations

from vspec.compiler.diagnostics.code import Code

LANGUAGE: tuple[Code, ...] = (
    Code(
        "VS0203",
        "an index is free on the right but not on the left",
        "Every index that is free on the right of a definition must be listed on its left, since the definition "
        "has one value for each of its values. Either add the index to the left, or bind it on the right with a "
        "reduction such as sum[k](...). Often it is a misspelt index.",
        "define:\n  margin[n]: y[n]*sum[i](X[n, i]*w[k])\n",
    ),
)
