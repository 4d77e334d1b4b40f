"""Entropies, divergences and moments of laws against SciPy: sums over the values of discrete laws, quadrature for others."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.language.helpers import codes, good
from tests.support.laws import SCALAR, Case
from tests.support.program import Emission
from vspec.compiler.language import divergences
from vspec.compiler.language.divergences import closed_pairs
from vspec.compiler.language.law_moments import ENTROPIES, MOMENTS

CASES = {case.name: case for case in SCALAR}
BY_LAW = {law: [c for c in SCALAR if c.law == law] for law in dict.fromkeys(c.law for c in SCALAR)}
PAIRS = [(q.name, p.name) for q in SCALAR for law in closed_pairs(q.law) for p in BY_LAW[law]]
ROUNDING = {"rtol": 1e-7, "atol": 1e-8}


def written(case: Case, prefix: str) -> tuple[list[str], str]:
    """The data that hold the arguments of a law, and the law over the index n."""
    data, inner = [], []
    for p, values in case.parameters.items():
        kind = "real" if np.asarray(values).dtype.kind == "f" else "integer"
        deep = np.ndim(values) == 2
        name = f"{prefix}_{case.name.replace('.', '_')}_{p}"
        data.append(f"{name}[n{', k' if deep else ''}]: {kind}")
        argument = f"{name}[n{', :' if deep else ''}]"
        inner.append(f"{p}={argument}" if p == case.name.partition(".")[2] else argument)
    return data, f"{case.law}({', '.join(inner)})" if inner else case.law


def arguments(case: Case, prefix: str) -> dict[str, Any]:
    """The arguments, those of the second law of a pair another point's."""
    own = f"{prefix}_{case.name.replace('.', '_')}"
    rolled = {p: np.roll(np.asarray(v), 1 if prefix == "p" else 0, axis=0) for p, v in case.parameters.items()}
    if case.law in ("binomial",):
        # Two binomials have a divergence for one number of trials.
        rolled["n"] = np.asarray(case.parameters["n"])
    return {f"{own}_{p}": v for p, v in rolled.items()}


def at(case: Case, n: int, prefix: str = "q") -> Any:
    """SciPy's distribution of a law at a point."""
    return case.scipy(*(v[n] for v in arguments(case, prefix).values()))


STEPS = np.linspace(-4.5, 4.5, 1153)


def nodes(a: float, b: float) -> tuple[Any, Any]:
    """Points and weights of the double exponential rule (Takahasi, Mori 1974) from a to b, either of which may be infinite."""
    inner, slope = np.pi / 2 * np.sinh(STEPS), np.pi / 2 * np.cosh(STEPS) * (STEPS[1] - STEPS[0])
    if np.isfinite(a) and np.isfinite(b):
        share = 1 / (1 + np.exp(-2 * inner))
        return np.where(inner < 0, a + (b - a) * share, b - (b - a) / (1 + np.exp(2 * inner))), (
            (b - a) * slope / (2 * np.cosh(inner) ** 2)
        )
    if np.isfinite(a) or np.isfinite(b):
        far = np.exp(inner)
        return (a + far, far * slope) if np.isfinite(a) else (b - far, far * slope)
    return np.sinh(inner), np.cosh(inner) * slope


def expected(case: Case, law: Any, f: Any, kinks: tuple[float, ...] = ()) -> float:
    """The expectation of f under a law, by summation, or by quadrature from kink to kink."""
    if case.integer:
        values = np.arange(law.ppf(1e-18), law.ppf(1 - 1e-15) + 40)
        mass = law.pmf(values)
        return float(np.sum(np.where(mass > 0, mass * f(np.where(mass > 0, values, values[0])), 0)))
    a, b = (-np.pi, np.pi) if case.law == "von_mises" else law.support()
    total = 0.0
    for left, right in itertools.pairwise((a, *sorted(x for x in {*kinks} if a < x < b), b)):
        x, weights = nodes(left, right)
        density = law.pdf(x)
        sound = (density > 1e-40) & np.isfinite(density)
        x = np.where(sound, x, law.median())
        total += float(np.sum(np.where(sound, density * weights, 0) * f(x)))
    return total


def kinks(*cases: tuple[Case, str], n: int) -> tuple[float, ...]:
    """Where densities may have a kink."""
    found = [arguments(case, prefix) for case, prefix in cases]
    return tuple(float(v[n]) for some in found for p, v in some.items() if p.endswith(("location", "mode")))


# Laws of vectors have tests of their own.
OF_NUMBERS = [form for form in ENTROPIES if form in CASES]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What one program says of all laws and pairs of them."""
    data: dict[str, None] = {}
    lines, given = [], {}
    for name in OF_NUMBERS:
        some, law = written(CASES[name], "q")
        data |= dict.fromkeys(some)
        lines.append(f"  entropy_{name.replace('.', '_')}[n]: entropy({law})\n")
        given |= arguments(CASES[name], "q")
    for q, p in PAIRS:
        one, left = written(CASES[q], "q")
        two, right = written(CASES[p], "p")
        if q.partition(".")[0] == "binomial":
            two, right = [x for x in two if "_n[" not in x], right.replace("p_binomial_n", "q_binomial_n")
        data |= dict.fromkeys((*one, *two))
        lines.append(f"  {q.replace('.', '_')}_to_{p.replace('.', '_')}[n]: KL({left}, {right})\n")
        given |= arguments(CASES[q], "q") | arguments(CASES[p], "p")
    text = "precision: float64\ndims: {n: 3, k: 4}\ndata:\n" + "".join(f"  {x}\n" for x in data)
    text += "outputs:\n" + "".join(lines)
    emission = Emission(good(text), 2, tmp_path_factory.mktemp("divergences") / "divergences.py")
    return {k: np.asarray(v) for k, v in emission.call("outputs", given).items()}


@pytest.mark.parametrize("name", OF_NUMBERS)
def test_entropies(name: str, found: dict[str, Any]) -> None:
    case = CASES[name]
    for n in range(3):
        law = at(case, n)
        log = law.logpmf if case.integer else law.logpdf
        np.testing.assert_allclose(
            found[f"entropy_{name.replace('.', '_')}"][n],
            expected(case, law, lambda x, f=log: -f(x), kinks((case, "q"), n=n)),
            **ROUNDING,
        )


@pytest.mark.parametrize(("one", "two"), PAIRS, ids=lambda x: str(x))
def test_divergences(one: str, two: str, found: dict[str, Any]) -> None:
    case, other = CASES[one], CASES[two]
    for n in range(3):
        q, p = at(case, n), at(other, n, "p")
        inside = p.support()[0] <= q.support()[0] and q.support()[1] <= p.support()[1]
        got = found[f"{one.replace('.', '_')}_to_{two.replace('.', '_')}"][n]
        tail = {"student_t": "degrees", "pareto": "shape"}.get(one)
        heavy = tail is not None and two in ("normal", "gamma", "exponential")
        if not inside or (heavy and case.parameters[tail][n] <= (2 if two == "normal" else 1)):
            assert got == np.inf
            continue
        first, second = (q.logpmf, p.logpmf) if case.integer else (q.logpdf, p.logpdf)
        breaks = kinks((case, "q"), (other, "p"), n=n)
        want = expected(case, q, lambda x, f=first, g=second: f(x) - g(x), breaks)
        np.testing.assert_allclose(got, want, **ROUNDING)
    if one == two and one not in ("uniform", "integers", "pareto", "rademacher"):
        assert np.all(found[f"{one.replace('.', '_')}_to_{two.replace('.', '_')}"] > 0)


def test_uniform_laws_in_one_another(tmp_path: Path) -> None:
    text = "precision: float64\noutputs:\n  a: KL(uniform(0.25, 0.75), uniform(0, 1))\n  b: KL(integers(1, 3), integers(0, 8))\n"
    found = Emission(good(text), 2, tmp_path / "uniform.py").call("outputs", {})
    np.testing.assert_allclose([found["a"], found["b"]], np.log([2, 4]), rtol=1e-15)


@pytest.mark.parametrize("moment", ["mean", "variance", "log_mean"])
def test_moments(moment: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # No expression has them by themselves, so that here a spec asks for entropies and is given them.
    monkeypatch.setattr(divergences, "MOMENTS", {"entropy": MOMENTS[moment]})
    data: dict[str, None] = {}
    lines, given = [], {}
    for name in MOMENTS[moment]:
        some, law = written(CASES[name], "q")
        data |= dict.fromkeys(some)
        lines.append(f"  {name.replace('.', '_')}[n]: entropy({law})\n")
        given |= arguments(CASES[name], "q")
    text = "precision: float64\ndims: {n: 3, k: 4}\ndata:\n" + "".join(f"  {x}\n" for x in data)
    found = Emission(good(text + "outputs:\n" + "".join(lines)), 2, tmp_path / "moments.py").call("outputs", given)
    for name in MOMENTS[moment]:
        case, got = CASES[name], np.asarray(found[name.replace(".", "_")])
        for n in range(3):
            law = at(case, n)
            if name == "student_t" and case.parameters["degrees"][n] <= (1 if moment == "mean" else 2):
                assert not np.isfinite(got[n])
            elif moment == "log_mean":
                np.testing.assert_allclose(got[n], expected(case, law, np.log), **ROUNDING, err_msg=name)
            else:
                want = law.mean() if moment == "mean" else law.var()
                np.testing.assert_allclose(got[n], want, rtol=1e-9, atol=1e-12, err_msg=name)


def test_what_has_no_closed_form_is_refused() -> None:
    assert codes("define:\n  a: entropy(poisson(3))\n") == ["VS0681"]
    assert codes("define:\n  a: KL(cauchy(0, 1), normal(0, 1))\n") == ["VS0682"]
    assert codes("define:\n  a: KL(binomial(3, 0.2), binomial(4, 0.2))\n") == ["VS0682"]
    sizes = "dims: {k: 3, j: 4}\nconstants:\n  p[k]: [1, 2, 3]\n  q[j]: [1, 2, 3, 4]\n"
    assert codes(sizes + "define:\n  a: KL(categorical(p[:]), categorical(q[:]))\n") == ["VS0683"]


def test_laws_that_read_shifted_elements_are_read_at_other_places(tmp_path: Path) -> None:
    """The law of z[n, k] reads said[n, k + 1] and said[n, 2*k + 2]: at k + 1, at 1, at a position that is looked up."""
    text = """precision: float64
dims: {n: 3, k: 3, o: 7, m: 2}
data:
  said[n, o]: real
  which[n]: {value: [2, 0, 1], type: integer}
random:
  z[n, k]: normal(said[n, k + 1], exp(said[n, 2*k + 2]))
outputs:
  every[n, k]: KL(z[n, k], normal(0, 1))
  next[n, m]: KL(z[n, m + 1], normal(0, 1))
  one[n]: KL(z[n, 1], normal(0, 1))
  found[n]: KL(z[n, which[n]], normal(0, 1))
"""
    said = np.random.default_rng(2).normal(size=(3, 7))
    found = Emission(good(text), 2, tmp_path / "program.py").call("outputs", {"said": said, "which": [2, 0, 1]})
    k = np.arange(3)
    mean, scale = said[:, k + 1], np.exp(said[:, 2 * k + 2])
    kl = -np.log(scale) + (scale**2 + mean**2) / 2 - 0.5
    np.testing.assert_allclose(found["every"], kl, rtol=1e-12)
    np.testing.assert_allclose(found["next"], kl[:, 1:], rtol=1e-12)
    np.testing.assert_allclose(found["one"], kl[:, 1], rtol=1e-12)
    np.testing.assert_allclose(found["found"], kl[k, [2, 0, 1]], rtol=1e-12)
