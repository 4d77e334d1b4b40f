"""Derivatives by definitions: whoever reads the name counts, whatever the definition is made of."""

from __future__ import annotations

from pathlib import Path

import pytest

import vspec

SPEC = """\
vspec: 1
name: by-definition
precision: float64
dims:
  i, j, k, p: 3
  t: 4
params:
  A[i, j]: {init: "1 + index(i) + 2*index(j)"}
  x[i]: {init: "1 + index(i)", domain: positive}
define:
  transposed[i, j]: A[j, i]
  factor[i, j]: cholesky(gram[:, :])[i, j]
  gram[i, j]: sum[k](A[i, k]*A[j, k]) + delta[i, j]
  number: 2.0
  alias[i]: x[i]
  unit[i, j]: delta[i, j]
  large[i]: exp(x[i])
  small[i]: log(x[i])
  total: sum[i](x[i]**2)
  s[0, i]: x[i]
  c[t, i]: exp(s[t, i]/10)
  s[t + 1, i]: s[t, i] - 0.1*d(sum[j](log(1 + c[t, j])*c[t, j]), c[t, i])
  end: sum[i](s[-1, i]**2)
solve: {evaluate: [end]}
claims:
"""
CLAIMS = {
    "a rename": ("d(sum[k, p](transposed[k, p]**2*A[k, p]), transposed[i, j])", "2*transposed[i, j]*A[i, j]"),
    "a decomposition": ("d(sum[k, p](factor[k, p]**2), factor[i, j])", "2*factor[i, j]"),
    "a number": ("d(number**2*x[0], number)", "2*number*x[0]"),
    "an alias": ("d(sum[k](alias[k]*x[k]), alias[i])", "x[i]"),
    "a delta": ("d(sum[k, p](unit[k, p]*A[k, p]), unit[i, j])", "A[i, j]"),
    "an exponential": ("d(log(1 + large[i]), large[i])", "1/(1 + large[i])"),
    "exponentials in a sum": ("d(log(sum[k](large[k])), large[i])", "1/sum[k](large[k])"),
    "a logarithm": ("d(exp(small[i]), small[i])", "x[i]"),
    "a square": ("d(sqrt(total), total)", "0.5/sqrt(total)"),
    "through it": ("d(log(sum[k](large[k])), x[i])", "softmax[i](x[i])"),
    "the end of a path": ("d(end, s[-1, i])", "2*s[-1, i]"),
    "a definition in a step": (
        "s[1, i]",
        "x[i] - 0.1*(log(1 + exp(x[i]/10)) + exp(x[i]/10)/(1 + exp(x[i]/10)))",
    ),
}


@pytest.mark.parametrize("level", [0, 2])
def test_derivatives_by_definitions(tmp_path: Path, level: int) -> None:
    lines = [
        f'  {name.replace(" ", "_")}: {{identity: "{left} == {right}", tolerance: 1e-11}}'
        for name, (left, right) in CLAIMS.items()
    ]
    path = tmp_path / "spec.yaml"
    path.write_text(SPEC + "\n".join(lines) + "\n")
    claims = vspec.run(path, level=level, out=tmp_path / "results").claims
    assert len(claims) == len(CLAIMS)
    assert [c.name for c in claims if not c.holds] == []


@pytest.mark.parametrize("level", [0, 2])
def test_derivatives_by_definitions_in_constraints(tmp_path: Path, level: int) -> None:
    path = tmp_path / "held.yaml"
    path.write_text(
        "vspec: 1\nname: held\nprecision: float64\nparams:\n  x: {init: 0.7}\ndefine:\n  z: exp(x)\n  f: log(z)\n"
        "constraints:\n  slope: d(f, z) == 1/z\noutputs:\n  g: x\n"
    )
    program = vspec.load(vspec.build(path, tmp_path / "built", level=level, stablehlo=False).directory)
    bound = program.bind(base=tmp_path)
    gaps = program.call("constraints", program.initial_params(bound), bound)
    assert abs(float(gaps["slope"])) < 1e-15


def test_a_definition_may_read_what_a_step_computes(tmp_path: Path) -> None:
    path = tmp_path / "inner.yaml"
    path.write_text(
        "vspec: 1\nname: inner\nprecision: float64\ndims:\n  t: 5\nparams:\n  x: {init: 0.7}\ndefine:\n  s[0]: x\n"
        "  e[t]: s[t]**2\n  s[t + 1]: s[t] + 0.1*e[t]\n  v: sum[t](e[t])\noutputs:\n  g: v\n"
    )
    program = vspec.load(vspec.build(path, tmp_path / "built", stablehlo=False).directory)
    bound = program.bind(base=tmp_path)
    s, total = 0.7, 0.0
    for _ in range(5):
        total += s**2
        s += 0.1 * s**2
    assert float(program.call("outputs", program.initial_params(bound), bound)["g"]) == pytest.approx(total, rel=1e-14)
