"""The codes of networks: VS0250 to VS0257."""

from __future__ import annotations

from vspec.compiler.diagnostics.code import Code

NETWORKS: tuple[Code, ...] = (
    Code(
        "VS0250",
        "a network in the wrong place",
        "A network such as mlp(hidden=[64]) is all of the body of a function, which has its weights: 'f(x[:]) -> [k]: mlp(...)' "
        "under 'functions'. Expressions call the function.",
        "data: {x: real}\ndefine:\n  y: mlp(hidden=[64])\n",
    ),
    Code(
        "VS0251",
        "an argument of a network that does not fit",
        "Each kind of network has keywords of its own, most of them with a default; 'vspec list --networks' shows them. "
        "Widths are whole numbers or index letters, whose sizes they then are.",
        "functions:\n  f(x[:]): mlp(width=64)\n",
    ),
    Code(
        "VS0252",
        "a result that a network does not have",
        "Some kinds of networks say which axes their result has: 'attention' the first axis of its input and one more, "
        "'fourier_features' two values, of a cosine and a sine, for each frequency.",
        "dims: {k: 8}\nfunctions:\n  f(x[:]) -> [k]: fourier_features(scale=2)\n",
    ),
    Code(
        "VS0253",
        "inputs that a network does not take",
        "Numbers and vectors are joined to one vector, in their order; an array of several axes is an only input. The axes get "
        "their sizes from the first call, and all other calls have axes of the same sizes: the weights are the same.",
        "dims: {i: 3, j: 4}\ndata:\n  x[i]: real\n  y[j]: real\nfunctions:\n  f(a[:]): mlp(hidden=[8])\n"
        "define:\n  z: f(x[:]) + f(y[:])\n",
    ),
    Code(
        "VS0254",
        "a weight of a network by itself",
        "The weights of a network are taken together: a stage moves them by the name of the network, 'over: enc', and "
        "'theta[p]: stack(enc)' is one axis over all of them, which can be read and differentiated by.",
        "dims: {i: 3}\ndata:\n  x[i]: real\nfunctions:\n  f(a[:]): mlp(hidden=[8])\ndefine:\n  z: d(f(x[:]), f.W1[0, 0])\n",
    ),
    Code(
        "VS0255",
        "an activation that is no function of one number",
        "The activation of a network is the name of an elementwise function of one number, or of a function of the spec with "
        "one number as its argument and its result; 'std/activations' has silu, gelu and others.",
        "functions:\n  f(x[:]): mlp(hidden=[8], act=tahn)\n",
    ),
    Code(
        "VS0256",
        "a network that nothing calls",
        "The size of the first weight of a network is that of what a call passes. Where the weights are asked for, in a stack or "
        "under 'over', something has to call the network.",
        "dims: {p: auto}\nfunctions:\n  f(x[:]): mlp(hidden=[8])\ndefine:\n  theta[p]: stack(f)\n",
    ),
    Code(
        "VS0257",
        "a whole number among the axes of a result",
        "A network may have axes without a letter in its result, 'enc(x[:]) -> [2, k]', which are then read at fixed positions "
        "or by a letter of a dim of that size. A formula has a letter for each axis of its result.",
        "dims: {k: 3}\nfunctions:\n  f(a) -> [2, k]: a*index(k)\n",
    ),
)
