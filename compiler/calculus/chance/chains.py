"""Expectations over variables that Markov chains draw: by the current draw of each chain, or by several one after the other.

The density lacks a constant, whose logarithm has the derivative E[dl], l the energy. Its place take the other draws: what is
subtracted from l is the logarithm of the mean over them of exp(l - stop(l)), the value 0 with the derivative of that mean. So the
derivative of an expectation is E[df] + Cov(f, dl), from the covariance over the chains, unbiased where these are independent
and have reached their law; second derivatives are up to a bias that falls with their number. Draws that follow one another are
not independent: where a chain has no others beside it, its own draws take their place, and the bias falls with their number.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from vspec.compiler.calculus.chance.variables import Frames, NoEstimate, Variable, size_of
from vspec.compiler.graph.builder import Builder
from vspec.compiler.graph.kernel import Tree, num, slot
from vspec.compiler.graph.node import Axis, Node, Origin
from vspec.compiler.language.expr import Expectation

X, A, B = slot(0), slot(1), slot(2)
ONE: Tree = ("exp", ("sub", X, A))


def refuse_other_ways(e: Expectation, variables: Sequence[Variable], origin: Origin) -> None:
    """Raises NoEstimate where an expectation over what chains draw is not a mean over their draws."""
    v = next((v for v in variables if v.chain is not None), None)
    if v is None:
        return
    if e.way.word not in ("auto", "samples"):
        tip = "leave 'by' out, or write by=samples(64), which lets each chain go on for so many draws"
        raise NoEstimate(
            "VS0695", f"'{v.name}' is drawn by chains, and its expectations are means over draws", origin, tip
        )
    if e.way.antithetic or e.way.common:
        word = "antithetic" if e.way.antithetic else "common"
        raise NoEstimate(
            "VS0695", f"no draws of the chains of '{v.name}' are {word} ones", origin, "write by=samples(64)"
        )
    if e.op != "E" and len(variables) > 1:
        tip = "the variance of a sum is E[Var] and Var[E], one inside of the other"
        raise NoEstimate("VS0695", f"'{e.op}' over '{v.name}', which chains draw, is over it alone", origin, tip)


def normalised(b: Builder, v: Variable, density: Node, frames: Frames, draws: Sequence[Axis]) -> Node:
    """The log-density of each draw, less what stands for the constant: that of the other chains, of one chain that of its other
    draws. `draws`: the axes along which it has several. Raises NoEstimate without others."""
    joint = {a.name for a in frames.joint(v)}
    over = [a for a in v.plates if a.name in (v.chain or ()) and a.name not in joint and a.name in density.names]
    if all(size_of(b.dims, a) == 1 for a in over):
        over = [*over, *(a for a in draws if a.name in density.names)]
    known = [size_of(b.dims, a) for a in over]
    if all(n == 1 for n in known):
        what = (
            "what is averaged reads several chains at once" if joint & set(v.chain or ()) else "it has one chain alone"
        )
        tip = (
            "write by=samples(64), or give it a further index, free in the energy, that numbers more chains of one law"
        )
        raise NoEstimate("VS0693", f"no other draw of '{v.name}' tells its constant: {what}", v.origin, tip)
    weight = b.map(ONE, [density, b.stop(density)], "real")
    count = number_of(b, over)
    total = b.reduce("sum", weight, [a.name for a in over], {a.name: a.dim for a in over})
    others: Tree = ("log", ("div", ("sub", A, B), ("real", ("sub", slot(3), num(1)))))
    return b.map(("sub", X, others), [density, total, weight, count], "real")


def number_of(b: Builder, axes: Sequence[Axis]) -> Node:
    """The number of elements along axes."""
    count: Node = b.number(1)
    for a in axes:
        n = size_of(b.dims, a)
        if n is not None and count.kind == "const" and count.op == "number":
            count = b.number(count.attrs[0] * n)
        else:
            count = b.map(("mul", X, A), [count, b.number(n) if n is not None else b.size(a.dim)], "integer")
    return count


def pooled(b: Builder, v: Variable, frames: Frames, draws: Sequence[Axis]) -> dict[str, Axis]:
    """For a variance: an axis for each along which chains of one law are numbered, over which all of them are draws of one law;
    what reads several chains at once is one value of all of them. `draws`: the axes along which there are several already.
    Raises NoEstimate where there are fewer than three draws."""
    joint = {a.name for a in frames.joint(v)}
    free = [a for a in v.plates if a.name in (v.chain or ()) and a.name not in joint]
    known = [size_of(b.dims, a) for a in (*draws, *free)]
    if all(n is not None for n in known) and math.prod(n or 1 for n in known) < 3:
        tip = "write by=samples(64), or give it a further index, free in the energy, that numbers chains of one law"
        what = ", and what varies reads several chains at once" if joint & set(v.chain or ()) else ""
        raise NoEstimate("VS0695", f"a variance over '{v.name}' takes at least three draws{what}", v.origin, tip)
    return {a.name: Axis(b.fresh(a.name), a.dim) for a in free}
