"""Runs: how their sections override those of the spec, and what claims read of them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.language.helpers import codes, definition, diagnose, good, show, shown
from vspec.compiler.language.spec import Draw, Source, Spec

BASE = """\
dims:
  n: 4
  x, y: {size: 8, from: 0, to: 1, boundary: zero}
constants: {b: 1.0, c: 2.0}
data:
  u[n]: {source: a.csv, column: u, rows: [0, 4], type: real}
params:
  w[n]: {init: 1, domain: positive}
  v: {init: 0}
functions:
  f(a): a + b
define:
  s[n]: f(w[n])*u[n]
objectives:
  loss: sum[n](s[n]**2) + v**2
constraints:
  low: v >= 0
outputs:
  J: {is: loss}
  P[n]: {is: "w[n]", plot: bar}
"""


def run(text: str) -> Spec:
    """The one run of `BASE` that overrides this."""
    indented = "".join(f"    {line}\n" for line in text.splitlines())
    return good(f"{BASE}runs:\n  r:\n{indented}").runs["r"]


def test_an_empty_run_is_the_spec_itself() -> None:
    spec = good(
        BASE + "runs: {base: {}, other: {constants: {b: 2.0}}}\nclaims:\n  a: loss > 1\n  c: base.J < other.J\n"
    )
    assert spec.same == {"base"}
    assert list(spec.runs) == ["base", "other"]
    assert spec.runs["base"].equations == spec.equations
    assert spec.runs["base"].run == "base"
    assert spec.runs["base"].claims == {}
    assert spec.run == ""


def test_constants_and_functions_by_name() -> None:
    spec = run("constants: {b: 3.0}\nfunctions:\n  f(a): a*c\n")
    assert spec.constants["b"].value == 3.0
    assert spec.constants["c"].value == 2.0
    assert "c" in shown(spec, "s")


def test_a_dim_is_named_by_any_of_its_letters_and_keeps_the_rest() -> None:
    spec = run("dims: {y: 16, k: 3}\n")
    dim = spec.dims[spec.letters["y"]]
    assert dim.letters == ("x", "y")
    assert dim.size == 16
    assert dim.boundary == "zero"
    assert dim.high is not None
    assert spec.dims["k"].size == 3


def test_other_options_of_a_dim() -> None:
    spec = run("dims:\n  x: {boundary: periodic, size: 9}\n")
    assert spec.dims["x"].boundary == "periodic"
    assert spec.dims["x"].low is not None
    spec = run("dims:\n  x, y: {configurations: n, of: k}\n  k: 2\n")
    assert spec.dims["x"].configures == ("n", "k")
    assert spec.dims["x"].low is None


@pytest.mark.parametrize(
    ("text", "default"),
    [
        ("{source: b.csv}", Source("b.csv", "u", (0, 4))),
        ("{source: b.csv, column: k}", Source("b.csv", "k", (0, 4))),
        ('{draw: "normal(0, 1)", seed: 3}', Draw("normal", (0.0, 1.0), 3)),
        ("{value: [1, 2, 3, 4]}", (1, 2, 3, 4)),
        ("integer", Source("a.csv", "u", (0, 4))),
    ],
)
def test_data_keep_the_options_that_still_apply(text: str, default: Any) -> None:
    spec = run(f"data:\n  u[n]: {text}\n")
    assert spec.data["u"].default == default
    assert spec.data["u"].dtype == ("integer" if text == "integer" else "real")


def test_params_and_outputs_keep_their_options() -> None:
    spec = run("params:\n  w[n]: {init: 2}\noutputs:\n  P[n]: 2*w[n]\n  K: v + b\n")
    assert spec.params["w"].domain.kind == "positive"
    assert show(spec.params["w"].init) == "2"
    assert spec.outputs["P"].plot == "bar"
    assert list(spec.outputs) == ["J", "P", "K"]


def test_equations_objectives_and_constraints_by_name() -> None:
    spec = run(
        "define:\n  s[n]: w[n]\n  extra: v\nobjectives: {second: extra**2}\nconstraints: {low: v >= -1, high: v <= 1}\n"
    )
    assert shown(spec, "s") == "w[n]"
    assert set(spec.objectives) == {"loss", "second"}
    assert list(spec.constraints) == ["low", "high"]
    assert definition(spec, "extra").letters == ()


def test_all_lines_of_a_recurrence_are_replaced_together() -> None:
    text = 'dims: {t: 5}\ndefine:\n  s[0]: 1.0\n  s[t + 1]: s[t]/2\noutputs: {a: "s[-1]"}\n'
    spec = good(text + "runs:\n  r:\n    define:\n      s[0]: 2.0\n      s[t + 1]: s[t]/3\n  whole:\n    define: {s: 1.0}\n"
                "    outputs: {a: s}\n")  # fmt: skip
    (recurrence,) = spec.runs["r"].equations
    assert recurrence.states[0].init.value == 2.0  # type: ignore[union-attr]
    assert definition(spec.runs["whole"], "s").letters == ()


def test_solve_and_precision_are_replaced_whole() -> None:
    text = BASE.replace("constraints:\n  low: v >= 0\n", "") + "solve: {minimize: loss, over: w, steps: 3}\n"
    spec = good(text + "runs:\n  r:\n    precision: float64\n    solve: {minimize: loss, over: v, method: newton}\n")
    (stage,) = spec.runs["r"].plan
    assert stage.over == ("v",)
    assert stage.steps is None
    assert (spec.precision, spec.runs["r"].precision) == ("float32", "float64")


def test_what_a_run_overrides_wrongly_is_said_once_and_where_it_stands() -> None:
    _, found = diagnose(BASE + "runs:\n  a: {constants: {b: 2.0}}\n  r:\n    define: {s: missing}\n")
    reader, writer = found
    assert reader.span is not None
    assert writer.span is not None
    assert (reader.code, reader.span.line, reader.help[-1]) == ("VS0206", 17, "in the run 'r', line 25")
    assert (writer.code, writer.span.line) == ("VS0201", 26)
    assert not any("in the run" in h for h in writer.help)


def test_mistakes_of_the_spec_are_not_said_again_for_each_run() -> None:
    _, found = diagnose("define: {s: missing}\nconstants: {b: 1}\nruns: {a: {}, c: {constants: {b: 2}}}\n")
    assert [d.code for d in found] == ["VS0201"]


def test_settings_reach_runs() -> None:
    spec = good(BASE + "runs: {r: {dims: {k: 3}, constants: {b: 2.0}, outputs: {a: size(k)}}}\n", {"k": 5, "b": 7.0})
    assert spec.runs["r"].dims["k"].size == 5
    assert spec.runs["r"].constants["b"].value == spec.constants["b"].value == 7.0
    assert "k" not in spec.dims
    assert codes(BASE + "runs: {r: {}}\n", {"nothing": 5}) == ["VS0319"]


def test_settings_of_stages() -> None:
    text = "params: {w: {init: 1}}\nobjectives: {loss: w**2}\n"
    plan = "solve:\n  - {minimize: loss, steps: 100, starts: 4}\n  - {minimize: loss, method: newton}\n"
    spec = good(f"{text}{plan}runs:\n  r:\n    solve: {{minimize: loss, steps: 50}}\n", {"steps": 3, "starts": 1})
    assert [s.steps for s in spec.plan] == [3, None]
    assert [s.starts for s in spec.plan] == [1, 1]
    assert [s.steps for s in spec.runs["r"].plan] == [3]
    assert codes(text + "solve: {minimize: loss}\n", {"steps": 3}) == ["VS0319"]
    assert codes(text + plan, {"steps": 0}) == ["VS0328", "VS0328"][:1]


# --- claims -------------------------------------------------------------------------------------------------------------

FITS = """\
dims: {n: 4}
constants: {b: 1.0, "F[n]": [1, 2, 3, 4]}
params:
  w[n]: {init: 1}
objectives: {loss: "sum[n]((w[n] - b)**2)"}
solve: {minimize: loss, steps: 5}
outputs:
  J: loss
  P[n]: w[n]
runs:
  base: {}
  steep: {constants: {b: 3.0}}
  long: {dims: {n: 6}, constants: {"F[n]": [1, 2, 3, 4, 5, 6]}}
claims:
"""


def test_claims_are_about_the_spec_or_compare_runs() -> None:
    spec = good(FITS + "  own: J < 1 and run.steps < 9\n  over: base.J < steep.J\n  last: loss < 2\n")
    assert list(spec.claims) == ["own", "last"]
    assert spec.comparison is not None
    assert list(spec.comparison.claims) == ["over"]
    assert list(spec.every_claim) == ["own", "over", "last"]
    assert spec.claims["own"].facts == ("run.steps",)
    assert spec.facts["run.steps"].path == ("steps",)
    over = spec.comparison.claims["over"]
    assert (over.runs, over.facts) == (("base", "steep"), ("base.J", "steep.J"))
    assert show(over.that) == "lt(base.J, steep.J)" if over.that is not None else False


def test_arrays_of_runs_have_the_axes_of_their_outputs() -> None:
    spec = good(
        FITS + "  c: max[n](abs(base.P[n] - steep.P[n])) < 1 and sum[n](F[n]) > 1 and base.P[3] > 0\n"
    ).comparison
    assert spec is not None
    assert spec.facts["base.P"].letters == ("n",)
    assert spec.dims["n"].size == 4


def test_a_run_with_another_size_has_letters_of_its_own() -> None:
    spec = good(FITS + "  c: sum[n](long.P[n]) > 1 and long.P[5] > 0\n  d: sum[n](base.P[n]) > 1\n").comparison
    assert spec is not None
    assert spec.facts["long.P"].letters == ("long_n",)
    assert spec.facts["base.P"].letters == ("n",)
    assert (spec.dims["long_n"].size, spec.dims["n"].size) == (6, 4)
    assert codes(FITS + "  c: max[n](long.P[n] - base.P[n]) < 1\n") == ["VS0244"]


def test_functions_in_comparisons() -> None:
    text = FITS.replace("params:", "functions:\n  gap(x, y): abs(x - y)/b\nparams:", 1)
    spec = good(text + "  c: gap(base.J, long.J) < 1\n").comparison
    assert spec is not None
    assert list(spec.constants) == ["b", "F"]


def test_node_counts() -> None:
    spec = good(FITS + "  a: nodes(solve, linalg) == 0\n  b: nodes(steep, derivative) >= 1\n")
    assert spec.facts["nodes.solve.linalg"].path == ("nodes", "solve", "linalg")
    assert spec.comparison is not None
    assert spec.comparison.facts["nodes.steep.solve.derivative"].run == "steep"


def test_seeds_and_what_is_required_of_them() -> None:
    spec = good(
        FITS + "  a: {that: J < 1, seeds: 3}\n  b: {that: J < 1, seeds: 5, require: 4 of 5}\n"
        "  c: {that: J < 1 and J > -1, seeds: 2, require: mean}\n  d: {identity: J == loss*1, tolerance: 1e-3, by: proof}\n"
    )
    claims = spec.claims
    assert [(claims[c].seeds, claims[c].require) for c in "abc"] == [(3, "all"), (5, 4), (2, "mean")]
    assert claims["d"].by == "proof"


def test_the_quick_size_sets_constants_dims_and_options_of_stages() -> None:
    spec = good(FITS + "  a: {that: J < 1, smoke: {b: 2.0, n: 3, steps: 2}}\n")
    assert spec.claims["a"].smoke == {"b": 2.0, "n": 3, "steps": 2}
