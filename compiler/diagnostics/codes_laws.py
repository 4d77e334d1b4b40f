"""VS0680 to VS0689: laws, their densities, entropies and divergences."""

from __future__ import annotations

from vspec.compiler.diagnostics.code import Code

LAWS: tuple[Code, ...] = (
    Code(
        "VS0680",
        "a value that a law cannot have",
        "logpdf(law, x) takes a real number x, of 'categorical' a position, which is a whole number. Where x is of the right "
        "type and the law does not have it (0 of 'pareto', 2 of 'bernoulli'), the result is -inf and no mistake.",
        "dims: {k: 3}\ndata:\n  p[k]: real\n  x: real\ndefine:\n  y: logpdf(categorical(p[:]), x)\n",
    ),
)
