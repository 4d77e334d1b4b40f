"""Identities by proof: what is proved is true at random points, and what is false is not proved."""

from __future__ import annotations

import numpy as np
import pytest
import sympy as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.language.helpers import diagnose, good
from tests.support.effort import examples
from tests.support.evaluate import evaluate_graph
from vspec.compiler.calculus import prove
from vspec.compiler.calculus.program import lower_spec
from vspec.compiler.calculus.prove import proved_identities
from vspec.compiler.passes import STABILISE_RULES, intern

HEAD = """\
dims: {i, j: 4, k: 3, n: auto}
constants: {lam: 2.0, "F[k]": [1, 2, 3]}
data:
  A[i, j]: real
  x[n]: real
params:
  w[i]: {init: 1}
  v[i]: {init: 2}
  s: {init: 1, domain: positive}
define:
  q: sum[i, j](w[i]*A[i, j]*w[j])
  z: logsumexp[i](w[i])
"""

TRUE = (
    "d(lam*sum[i](w[i]**2)/2, w[i]) == lam*w[i]",
    "d(q, w[i]) == sum[j]((A[i, j] + A[j, i])*w[j])",
    "d(q, w[i], w[j]) == d(q, w[j], w[i])",
    "d(z, w[i]) == softmax[i](w[i])",
    "sum[i](softmax[i](w[i])) == 1",
    "sin(s)**2 + cos(s)**2 == 1",
    "sqrt(s**2) == s",
    "log(s**2) == 2*log(s)",
    "sum[i, j](w[i]*v[j]*A[i, j]) == sum[i, j](w[j]*v[i]*A[j, i])",
    "mean[i](w[i]**2) - mean[i](w[i])**2 == var[i](w[i])",
    "sum[i]((w[i] + v[i])**2) == sum[i](w[i]**2) + 2*sum[j](w[j]*v[j]) + sum[i](v[i]**2)",
    "norm[i](w[i])**2 == sum[i](w[i]**2)",
    "sum[n](x[n] + lam) == sum[n](x[n]) + lam*size(n)",
    "sigmoid(w[i]) + sigmoid(-w[i]) == 1",
    "softplus(w[i]) - softplus(-w[i]) == w[i]",
    "w[1] + w[2] == w[2] + w[1]",
    "sum[k](F[k]*sum[i](w[i])) == sum[i](w[i])*sum[k](F[k])",
)

FALSE = (
    "sum[i](w[i])**2 == sum[i](w[i]**2)",
    "sum[i](w[i]*A[i, j]) == sum[i](w[i]*A[j, i])",
    "sum[i, j](w[i]*A[i, j]) == sum[i, j](w[j]*A[i, j])",
    "sqrt(w[i]**2) == w[i]",
    "log(w[i]**2) == 2*log(w[i])",
    "w[1] == w[2]",
    "sum[n](x[n] + lam) == sum[n](x[n]) + lam",
    "d(q, w[i]) == 2*sum[j](A[i, j]*w[j])",
    "max[i](w[i]) == max[i](v[i])",
    "index(i) == index(j)",
)


def proved(identity: str, by: str = "proof") -> bool:
    """Whether the compiler proves it."""
    spec = good(f'{HEAD}claims:\n  c: {{identity: "{identity}", tolerance: 1e-9, by: {by}}}\n')
    return "c" in proved_identities(intern.run(lower_spec(spec, STABILISE_RULES)), spec)


@pytest.mark.parametrize("identity", TRUE)
def test_what_is_true_is_proved(identity: str) -> None:
    assert proved(identity)


@pytest.mark.parametrize("identity", FALSE)
def test_what_is_false_is_not_proved(identity: str) -> None:
    assert not proved(identity)


def test_points_are_no_proof() -> None:
    assert not proved("w[i] + 0 == w[i]", by="points")


@pytest.mark.parametrize("power", ["1000", "999.5"])
def test_a_power_with_too_many_terms_is_not_multiplied_out(power: str) -> None:
    """True, but not by proof, and given up at once."""
    base = "(1 + s + w[0] + w[1])"
    assert not proved(f"{base}**{power}*(1 + s) == {base}**{power} + s*{base}**{power}")
    assert proved("(3 + s)**3 == s**3 + 9*s**2 + 27*s + 27")


def test_the_terms_of_a_power_are_counted() -> None:
    x, y, z = sp.symbols("x y z")
    for expr in ((x + y + z) ** 7, (x + y) ** 3 * (x - z), (x * y + 2) ** sp.Rational(7, 2), (x + y) ** 2 + 1):
        assert len(sp.Add.make_args(sp.expand(expr))) <= prove._terms(expr)
    for power in (-(10**5), 10**9, 1e300, sp.Rational(10**5 + 1, 2)):
        with pytest.raises(prove.TooLong):
            prove.expanded((x + y) ** power)


def test_a_formula_that_is_too_long_is_not_proved(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prove, "LONG", 3)
    assert not proved("sin(s)**2 + cos(s)**2 == 1")


LEAVES = st.sampled_from(["w[i]", "v[i]", "A[i, j]", "A[j, i]", "w[j]", "s", "lam", "2"])


@st.composite
def sides(draw: st.DrawFn, depth: int = 2) -> str:
    """A small expression whose letters are i and j."""
    if depth == 0 or draw(st.booleans()):
        return draw(LEAVES)
    left, right = draw(sides(depth - 1)), draw(sides(depth - 1))
    form = draw(
        st.sampled_from(["({0} + {1})", "({0} - {1})", "{0}*{1}", "sum[i, j](w[i]*w[j]*({0} + {1}))", "abs({0})"])
    )
    return str(form.format(left, right))


@settings(max_examples=examples(40), deadline=None)
@given(st.tuples(sides(), sides()) | sides().map(lambda e: (e, f"1*({e}) + 0*s")))
def test_what_is_proved_is_true(pair: tuple[str, str]) -> None:
    left, right = pair
    text = f'{HEAD}claims:\n  c: {{identity: "{left} == {right}", tolerance: 1e-9, by: proof}}\n'
    spec, _ = diagnose(text)
    if spec is None:  # a sum of what lacks its letters
        return
    graph = lower_spec(spec, STABILISE_RULES)
    rng = np.random.default_rng(0)
    at = {"A": rng.normal(size=(4, 4)), "w": rng.normal(size=4), "v": rng.normal(size=4), "x": rng.normal(size=5)}
    error = evaluate_graph(graph, {**at, "s": np.asarray(1.5), "lam": np.asarray(2.0), "F": np.ones(3)})["claims"]
    true = float(error["c.error",]) < 1e-9
    shown = "c" in proved_identities(intern.run(graph), spec)
    assert true or not shown
    assert shown or right != f"1*({left}) + 0*s"
