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
    Code(
        "VS0681",
        "an entropy without a closed form",
        "entropy(law) is a formula of the arguments of the law. Some laws have none; their entropy is an expectation, "
        "which can be estimated from draws.",
        "define:\n  y: entropy(poisson(3))\n",
    ),
    Code(
        "VS0682",
        "a divergence without a closed form",
        "KL(q, p) is a formula of the arguments of both laws, which laws of one family have, and others where the moments of the "
        "first are known. For other pairs it is an expectation under the first law.",
        "define:\n  y: KL(cauchy(0, 1), normal(0, 1))\n",
    ),
    Code(
        "VS0684",
        "a law without independent draws",
        "A law that is given by its density up to a constant can be reached by a Markov chain, and not drawn at once.",
        "define:\n  y: sample(unnormalized(2.0))\n",
    ),
    Code(
        "VS0683",
        "laws of values of different sizes",
        "A divergence is between laws of the same values: positions on axes of one size, vectors of one size.",
        "dims: {k: 3, j: 4}\ndata:\n  p[k]: real\n  q[j]: real\ndefine:\n  y: KL(categorical(p[:]), categorical(q[:]))\n",
    ),
    Code(
        "VS0686",
        "a function that is not undone",
        "A law that is transformed by a function has a density where the inverse of the function is found: where the body is a "
        "chain of monotone operations around its argument, which stands in it once, such as a*exp(v) + b.",
        "functions:\n  f(v): v + exp(v)\ndefine:\n  y: logpdf(transformed(normal(0, 1), f), 2.0)\n",
    ),
    Code(
        "VS0685",
        "a vector runs along an axis of its own",
        "A draw of a law of vectors is all of the right side, and the vector runs along the last index on the left: "
        "z[n, k]: multivariate_normal(m[n, :], cholesky=L[:, :]) is a vector for each n. Where the law of such a variable is "
        "meant, its axis is whole: logpdf(z[n, :]).",
        "dims: {k, i: 3, j: 4}\ndata:\n  m[k]: real\n  S[k, i]: real\nrandom:\n  z[j]: multivariate_normal(m[:], S[:, :])\n",
    ),
)
