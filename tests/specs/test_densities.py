"""Log-densities of laws: values against SciPy, first and second derivatives against JAX's of a formula written out, float64."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.language.helpers import codes, good
from tests.support.laws import SCALAR, Case
from tests.support.program import Emission
from vspec.compiler.language.law_formulas import DENSITIES
from vspec.compiler.language.laws import LAWS

WEIGHTS = np.linspace(0.3, 1.7, 25)


def name(case: Case) -> str:
    return case.name.replace(".", "_")


def varied(case: Case) -> list[tuple[str, str]]:
    """What a density is differentiated by: the value and its real parameters, with their subscripts."""
    found = [] if case.integer else [("x", "n")]
    for p, values in case.parameters.items():
        if np.asarray(values).dtype.kind == "f":
            found.append((p, "n, k" if np.ndim(values) == 2 else "n"))
    return found


def declared(case: Case) -> tuple[list[str], list[str], list[str]]:
    """The data, the definitions and the outputs of a spec, for one law: its density, and weighted sums of derivatives."""
    own = name(case)
    kind = "integer" if case.integer else "real"
    data = [f"x_{own}[n]: {kind}", f"y_{own}[m]: {kind}"]
    given = {}
    for p, values in case.parameters.items():
        letters = "n, k" if np.ndim(values) == 2 else "n"
        data.append(f"{p}_{own}[{letters}]: {'real' if np.asarray(values).dtype.kind == 'f' else 'integer'}")
        given[p] = f"{p}_{own}[{letters.replace('k', ':')}]"
    instead = case.name.partition(".")[2]
    inner = ", ".join(f"{p}={a}" if p == instead else a for p, a in given.items())
    law = f"{case.law}({inner})" if inner else case.law
    define = [f"l_{own}[n]: logpdf({law}, x_{own}[n])", f"o_{own}[n]: logpdf({law}, y_{own}[n])"]
    outputs = [f"l_{own}[n]: l_{own}[n]", f"o_{own}[n]: o_{own}[n]"]
    terms, twice = [], []
    for k, (p, at) in enumerate(varied(case)):
        over = "" if at == "n" else "sum[k]"
        terms.append(f"{WEIGHTS[k]}*{over}(d(l_{own}[n], {p}_{own}[{at}]){'*index(k)' if over else ''})")
    for k, ((p, at), (q, to)) in enumerate(itertools.combinations_with_replacement(varied(case), 2)):
        first, second = f"{p}_{own}[{at}]", f"{q}_{own}[{to.replace('k', 'j')}]"
        over = ", ".join([*(["k"] if at != "n" else []), *(["j"] if to != "n" else [])])
        weight = (
            "*index(k)*index(j)"
            if at != "n" and to != "n"
            else "*index(k)"
            if at != "n"
            else "*index(j)"
            if over
            else ""
        )
        inner = f"(d(l_{own}[n], {first}, {second}){weight})"
        twice.append(f"{WEIGHTS[k]}*{f'sum[{over}]' if over else ''}{inner}")
    if terms:
        outputs += [f"g_{own}[n]: {' + '.join(terms)}", f"h_{own}[n]: {' + '.join(twice)}"]
        outputs += [
            f"e_{own}[n]: {' + '.join(terms + twice).replace(f'l_{own}', f'o_{own}').replace(f'x_{own}', f'y_{own}')}"
        ]
    return data, define, outputs


def values(case: Case) -> dict[str, Any]:
    own = name(case)
    outside = case.outside or [0] * 3
    found = {f"x_{own}": np.asarray(case.inside), f"y_{own}": np.asarray(outside)}
    return found | {f"{p}_{own}": np.asarray(v) for p, v in case.parameters.items()}


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What one program says of all laws."""
    parts = [declared(case) for case in SCALAR]
    text = "precision: float64\ndims: {n: 3, m: 3, k, j: 4}\n"
    for key, lines in zip(("data", "define", "outputs"), zip(*parts, strict=True), strict=True):
        text += f"{key}:\n" + "".join(f"  {line}\n" for part in lines for line in part).replace("[m]", "[n]")
    emission = Emission(good(text), 2, tmp_path_factory.mktemp("densities") / "densities.py")
    given: dict[str, Any] = {}
    for case in SCALAR:
        given |= values(case)
    return {k: np.asarray(v) for k, v in emission.call("outputs", given).items()}


def test_every_law_has_a_case() -> None:
    scalar = {form for form in DENSITIES if not LAWS[form.partition(".")[0]].event}
    assert {case.name for case in SCALAR} | {"point_mass", "unnormalized"} == scalar


@pytest.mark.parametrize("case", SCALAR, ids=name)
def test_densities_are_those_of_scipy(case: Case, found: dict[str, Any]) -> None:
    for n, x in enumerate(case.inside):
        law = case.scipy(*(np.asarray(v[n]) for v in case.parameters.values()))
        want = law.logpmf(x) if case.integer else law.logpdf(x)
        np.testing.assert_allclose(found[f"l_{name(case)}"][n], want, rtol=1e-12, atol=1e-13)
    if case.outside:
        assert np.all(found[f"o_{name(case)}"] == -np.inf)


@pytest.mark.parametrize("case", [c for c in SCALAR if varied(c)], ids=name)
def test_derivatives_are_those_of_jax(case: Case, found: dict[str, Any]) -> None:
    own, by = name(case), [p for p, _ in varied(case)]
    for n, x in enumerate(case.inside):
        point = {"x": jnp.asarray(x)} | {p: jnp.asarray(v[n]) for p, v in case.parameters.items()}

        def density(wrt: dict[str, Any], point: dict[str, Any] = point) -> Any:
            return case.density(**(point | wrt))

        wrt = {p: point[p] for p in by}
        first, second = jax.grad(density)(wrt), jax.hessian(density)(wrt)
        count = {p: np.arange(np.size(v)) if np.ndim(v) else np.ones(()) for p, v in wrt.items()}
        want = sum(w * np.sum(count[p] * first[p]) for w, p in zip(WEIGHTS, by, strict=False))
        np.testing.assert_allclose(found[f"g_{own}"][n], want, rtol=1e-9, atol=1e-11)
        pairs = itertools.combinations_with_replacement(by, 2)
        want = sum(
            w * np.sum(np.multiply.outer(count[p], count[q]) * second[p][q])
            for w, (p, q) in zip(WEIGHTS, pairs, strict=False)
        )
        np.testing.assert_allclose(found[f"h_{own}"][n], want, rtol=1e-9, atol=1e-11)
    if case.outside:
        assert np.all(found[f"e_{own}"] == 0)


def test_values_that_a_law_cannot_have_are_refused() -> None:
    text = "dims: {k: 3}\nconstants:\n  p[k]: [1, 2, 3]\n  z: 0.5\ndefine:\n  a: logpdf(categorical(p[:]), z)\n"
    assert codes(text) == ["VS0680"]


def test_points_and_laws_without_a_constant(tmp_path: Path) -> None:
    text = (
        "precision: float64\ndims: {n: 3}\ndata:\n  x[n]: real\ndefine:\n  z[n]: sample(point_mass(x[n]**2))\n"
        "  w[n]: sample(point_mass(3))\noutputs:\n  a[n]: logpdf(point_mass(2), x[n])\n  z[n]: z[n]\n  w[n]: w[n]\n"
        "  b[n]: logpdf(unnormalized(-x[n]**4), x[n])\n  c[n]: d(logpdf(unnormalized(-x[n]**4), x[n]), x[n])\n"
    )
    x = np.asarray([1.0, 2.0, 3.0])
    found = Emission(good(text), 2, tmp_path / "points.py").call("outputs", {"x": x, "key": jax.random.key(0)})
    for name, want in {"a": [-np.inf, 0, -np.inf], "z": x**2, "w": [3, 3, 3], "b": -(x**4), "c": -4 * x**3}.items():
        np.testing.assert_allclose(found[name], want, rtol=1e-14)
    assert codes("define:\n  y: sample(unnormalized(2.0))\n") == ["VS0684"]
