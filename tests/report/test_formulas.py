"""The mathematics of the shipped problems, as the compiler read it."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from tests.language.helpers import good
from vspec.compiler.pipeline import check
from vspec.compiler.report.derivatives import derivatives_of
from vspec.compiler.report.formulas import equations

PROBLEMS = Path(__file__).parents[2] / "specs" / "problems"
NAMES = ("logistic", "hopfield", "gp-regression")

READ = {
    "logistic": [
        "Xₙᵢ = (rawₙᵢ − meanₙ(rawₙᵢ))/√varₙ(rawₙᵢ)",
        "yₙ = 2·labelₙ − 1",
        "marginₙ = yₙ·(∑ᵢ Xₙᵢ·wᵢ + c)",
        "loss = ∑ₙ log(1 + exp(−marginₙ)) + λ/2·∑ᵢ wᵢ²",
    ],
    "hopfield": [
        "patternₚᵢ = {1 if imageₚᵢ > 7; −1 otherwise}",
        "s₀ₚᵢ = patternₚᵢ·(1 − 2·flipₚᵢ)",
        "sₜ₊₁,ₚ,ᵢ = sₜₚᵢ − size(i)·∂/∂sₜₚᵢ (−log(∑ₚ′ exp((β·∑ᵢ′ patternₚ′ᵢ′·sₜₚᵢ′)/size(i)))/β + (∑ᵢ′′ sₜₚᵢ′′²)/(2·size(i)))",
        "levelₜₚ = −log(∑ₚ′ exp((β·∑ᵢ patternₚ′ᵢ·sₜₚᵢ)/size(i)))/β + (∑ᵢ sₜₚᵢ²)/(2·size(i))",
    ],
    "gp-regression": [
        "y[n] = (raw[n] − mean[n](raw[n]))/√var[n](raw[n])",
        "K[n, m] = amplitude·exp((−∑[i] ((X[n, i] − X[m, i])/scale[i])²)/2) + noise·δ[n, m]",
        "α[n] = (K⁻¹ y)[n]",
        "predicted[q] = ∑[n] amplitude·exp((−∑[i] ((Xq[q, i] − X[n, i])/scale[i])²)/2)·α[n]",
        "evidence = −(∑[n] y[n]·α[n] + log(|det(K)|) + size(n)·log(2·π))/2",
    ],
}

LATEX = {
    "logistic": r"\mathrm{loss} = \sum_{n} \log\left(1 + \exp\left(-\mathrm{margin}_{n}\right)\right)"
    r" + \frac{\lambda}{2} \, \sum_{i} w_{i}^{2}",
    "hopfield": r"s_{0, p, i} = \mathrm{pattern}_{p, i} \, \left(1 - 2 \, \mathrm{flip}_{p, i}\right)",
    "gp-regression": r"\alpha_{n} = \left(K^{-1} \, y\right)_{n}",
}


@pytest.mark.parametrize("name", NAMES)
def test_the_shipped_problems_read_like_their_papers(name: str) -> None:
    spec, _ = check(PROBLEMS / f"{name}.yaml")
    assert [text for _, _, text, _ in equations(spec)] == READ[name]
    assert LATEX[name] in [text for _, _, text, _ in equations(spec, "latex")]
    for _, _, text, _ in equations(spec, "mathml"):
        ET.fromstring(text)


def test_formulas_know_their_lines() -> None:
    spec, _ = check(PROBLEMS / "logistic.yaml")
    text = (PROBLEMS / "logistic.yaml").read_text().splitlines()
    for name, line, _, _ in equations(spec):
        assert text[line - 1].strip().startswith(name)


def test_an_unknown_style_is_refused() -> None:
    spec, _ = check(PROBLEMS / "logistic.yaml")
    with pytest.raises(ValueError, match="unicode, latex, mathml"):
        equations(spec, "tex")


def test_how_derivatives_were_taken() -> None:
    spec, _ = check(PROBLEMS / "logistic.yaml")
    taken = {t.what: t.how for t in derivatives_of(spec)}
    assert taken["gradient of loss by wᵢ, c"] == ("one reverse sweep",)
    assert taken["Hessian of loss by wᵢ twice"] == ("reverse sweep", "forward sweep")
    assert taken["∂²loss/(∂wᵢ∂wⱼ)"] == ("reverse sweep", "forward sweep")
    hopfield, _ = check(PROBLEMS / "hopfield.yaml")
    (only,) = derivatives_of(hopfield)
    assert only.how == ("reverse sweep, diagonal in p without forming the Jacobian",)


def test_derivatives_in_constraints_are_told() -> None:
    text = "params:\n  x: {init: 0.7}\nconstraints:\n  slope: d(exp(x)*x, x) <= 9\noutputs:\n  g: x\n"
    assert [t.how for t in derivatives_of(good(text))] == [("reverse sweep",)]
