"""Expectations over variables that Markov chains draw: their value is the current draw of each chain.

The density lacks a constant, whose logarithm has the derivative E[dl], l the energy. Its place take the other chains: what is
subtracted from l is the logarithm of the mean over them of exp(l - stop(l)), the value 0 with the derivative of that mean. So the
derivative of an expectation is E[df] + Cov(f, dl), from the covariance over the chains, unbiased where these are independent
and have reached their law; second derivatives are up to a bias that falls with their number.
"""

from __future__ import annotations

from collections.abc import Sequence

from vspec.compiler.calculus.chance.variables import Frames, NoEstimate, Variable, size_of
from vspec.compiler.graph.builder import Builder
from vspec.compiler.graph.kernel import Tree, num, slot
from vspec.compiler.graph.node import Node, Origin
from vspec.compiler.language.expr import Expectation

X, A, B = slot(0), slot(1), slot(2)
ONE: Tree = ("exp", ("sub", X, A))


def refuse_other_ways(e: Expectation, variables: Sequence[Variable], origin: Origin) -> None:
    """Raises NoEstimate where an expectation over what chains draw is not the mean over them."""
    v = next((v for v in variables if v.chain is not None), None)
    if v is None:
        return
    if e.way.word != "auto":
        tip = "give the variable an index that numbers chains, and leave out 'by'"
        raise NoEstimate("VS0695", f"the draws of '{v.name}' are those of its chains, one each", origin, tip)
    if e.op != "E":
        tip = f"write it by means over the chains: E[{v.name}](x**2) - E[{v.name}](x)**2"
        raise NoEstimate("VS0695", f"'{e.op}' has no estimate by the chains of '{v.name}'", origin, tip)


def normalised(b: Builder, v: Variable, density: Node, frames: Frames) -> Node:
    """The log-density of each chain, less what stands for the constant: that of the others. Raises NoEstimate without others."""
    joint = {a.name for a in frames.joint(v)}
    over = [a for a in v.plates if a.name in (v.chain or ()) and a.name not in joint]
    known = [size_of(b.dims, a) for a in over]
    if all(n == 1 for n in known):
        what = (
            "what is averaged reads several chains at once" if joint & set(v.chain or ()) else "it has one chain alone"
        )
        tip = "a further index, which is free in the energy and has several values, numbers more chains of one law"
        raise NoEstimate("VS0693", f"no other chain of '{v.name}' tells its constant: {what}", v.origin, tip)
    weight = b.map(ONE, [density, b.stop(density)], "real")
    count: Node = b.number(1)
    for a, n in zip(over, known, strict=True):
        count = b.map(("mul", X, A), [count, b.number(n) if n is not None else b.size(a.dim)], "integer")
    total = b.reduce("sum", weight, [a.name for a in over], {a.name: a.dim for a in over})
    others: Tree = ("log", ("div", ("sub", A, B), ("real", ("sub", slot(3), num(1)))))
    return b.map(("sub", X, others), [density, total, weight, count], "real")
