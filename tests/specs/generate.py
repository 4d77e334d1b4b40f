"""Random well-typed specs as text, by Hypothesis: index notation with shared letters, derivatives anywhere."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

HEAD = """\
vspec: 1
name: generated
precision: float64
dims:
  n, m: {size: 3, boundary: zero}
  i, j: {size: 2, from: -1, to: a, boundary: periodic}
  t: 4
constants:
  a: 0.7
  F[i]: [0.5, -1.5]
data:
  X[n, i]: real
  y[n]: real
  z[n]: {type: integer, in: [0, 1]}
params:
  w[i]: {init: 0.3}
  B[i, j]: {init: 0.1}
  c: {init: 0.2}
"""

UNARY = ("sin({})", "tanh({})", "sigmoid({})", "softplus({})", "exp(-({})**2)", "log(1 + exp({}))", "sqrt(1 + ({})**2)")
UNARY += ("log_ndtr({})", "asinh({})", "ndtr({})", "erfc({})")
BINARY = ("({}) + ({})", "({})*({})", "({}) - 0.5*({})", "({})/(2 + sin({}))", "(({}) if ({}) > 0.1 else 0.3)")
OWN = {"n": "y[n]", "m": "y[m]", "i": "w[i]", "j": "w[j]"}
OTHER = {"n": "m", "m": "n", "i": "j", "j": "i"}


@st.composite
def expression(draw: Any, free: frozenset[str], depth: int = 3, names: tuple[str, ...] = ()) -> str:
    """An expression whose free letters are among `free`; `names` are definitions over [n] that it may read."""
    leaves = ["c", "a", "0.5"]
    leaves += [f"{name}[{x}]" for name in ("w", "F") for x in ("i", "j") if x in free]
    leaves += [f"y[{x}]" for x in ("n", "m") if x in free]
    leaves += [f"w[z[{x}]]" for x in ("n", "m") if x in free]
    leaves += [f"X[{p}, {q}]" for p in ("n", "m") for q in ("i", "j") if p in free and q in free]
    leaves += [f"y[{x} - 1]" for x in ("n", "m") if x in free]
    leaves += [f"w[{x} + 1]*coord({x})" for x in ("i", "j") if x in free]
    leaves += [f"X[2 - {p}, 2*{q} - 1]" for p in ("n", "m") for q in ("i", "j") if p in free and q in free]
    leaves += [f"X[{p}, 1]" for p in ("n", "m") if p in free]
    leaves += [f"B[{p}, {q}]" for p in ("i", "j") for q in ("i", "j") if p in free and q in free]
    leaves += [f"delta[{p}, {OTHER[p]}]" for p in ("n", "i") if {p, OTHER[p]} <= free]
    leaves += [f"{name}[{x}]" for name in names for x in ("n", "m") if x in free]
    if depth == 0:
        return draw(st.sampled_from(leaves))
    kind = draw(
        st.sampled_from(
            ["leaf", "unary", "binary", "binary", "sum", "reduce", "derivative", "softmax", "solve", "along", "select"]
        )
    )

    def sub(letters: frozenset[str], at: int = depth - 1) -> str:
        return draw(expression(letters, at, names))

    if kind == "unary":
        return draw(st.sampled_from(UNARY)).format(sub(free))
    if kind == "binary":
        return draw(st.sampled_from(BINARY)).format(sub(free), sub(free))
    if kind in ("sum", "reduce"):
        letter = draw(st.sampled_from([x for x in "nmij" if x not in free] or ["t"]))
        op = "sum" if kind == "sum" else draw(st.sampled_from(["mean", "max", "logsumexp", "var", "prod", "median"]))
        # The checker refuses a reduction of what does not depend on its index.
        return f"{op}[{letter}]({sub(free | {letter})} + 0.3*{OWN[letter]})" if letter != "t" else sub(free)
    if kind == "softmax" and free & {"n", "i"}:
        letter = sorted(free & {"n", "i"})[0]
        return f"softmax[{letter}]({sub(free)} + 0.3*{OWN[letter]})"
    if kind == "along" and free:
        letter = draw(st.sampled_from(sorted(free)))
        op = draw(st.sampled_from(["cumsum", "cumprod", "sort"]))
        return f"{op}[{letter}]({sub(free)} + 0.3*{OWN[letter]})"
    if kind == "select" and free & {"i", "j"} and not free & {"n", "m"}:
        letter = min(free & {"i", "j"})
        return f"sum[n](delta[z[n], {letter}]*({sub(free | {'n'})}))"
    if kind == "select" and free & {"n", "m"} and not free & {"i", "j"}:
        letter = min(free & {"n", "m"})
        return f"sum[i](delta[z[{letter}], i]*({sub(free | {'i'})}))"
    if kind == "derivative":
        letter = sorted(free & {"i", "j"})
        wrt = f"w[{letter[0]}]" if letter else "c"
        if free & {"n", "m"} and draw(st.booleans()):
            wrt = f"y[{min(free & {'n', 'm'})}]"
        return f"d({sub(free, min(depth - 1, 2))}, {wrt})"
    if kind == "solve" and "i" in free:
        return f"solve(M[:, :], w[:])[i]*({sub(free)})"
    return draw(st.sampled_from(leaves))


@st.composite
def spec(draw: Any) -> str:
    """A whole spec: two definitions, a recurrence, an objective with its Hessian, an update, outputs with derivatives."""
    first = draw(expression(frozenset("n")))
    second = draw(expression(frozenset("n"), 2, ("first",)))
    step = draw(expression(frozenset("n"), 1))
    loss = draw(expression(frozenset(), 3, ("first", "second")))
    shown = draw(expression(frozenset("ni"), 3, ("first", "second")))
    lines = [
        "define:",
        "  M[i, j]: 3*delta[i, j] + 0.3*tanh(B[i, j])",
        f"  first[n]: {first}",
        f"  second[n]: {second}",
        f"  s[0, n]: {draw(expression(frozenset('n'), 1))}",
        f"  s[t + 1, n]: 0.5*tanh(s[t, n]) + 0.3*sin({step})",
        "objectives:",
        f"  loss: {loss} + sum[i](w[i]**2) + c**2 + 0.1*sum[i, j](B[i, j]**2) + mean[n](s[-1, n])",
        "solve:",
        "  - {minimize: loss, over: [w, c], method: newton}" if draw(st.booleans()) else "  - {minimize: loss}",
        "  - update:",
        f"      - w[i]: {draw(expression(frozenset('i'), 2))}",
        f"        c: {draw(expression(frozenset(), 2))} + g",
        f"      - B[i, j]: B[i, j]*g + {draw(expression(frozenset('ij'), 2))}",
        "    let:",
        f"      g: sin(step)/steps + {draw(expression(frozenset(), 1))}",
        f"    until: {draw(expression(frozenset(), 2))} < g",
        "    steps: size(n)",
        "outputs:",
        f"  shown[n, i]: {shown}",
        "  hessian[i, j]: d(loss, w[i], w[j])",
        "  laplacian: sum[i](d(loss, w[i], w[i]))",
        "  diagonal[n]: d(first[n], y[n])",
    ]
    return HEAD + "\n".join(lines) + "\n"
