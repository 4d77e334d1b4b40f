"""Each rule where it must speak, at which level, and where it must be silent."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import pytest

from tests.lint.helpers import BOTH, HEAD, NEVER, PEDANTIC, warned, warnings
from vspec.compiler.language.check import check_document
from vspec.compiler.language.expr import Expr
from vspec.compiler.language.lint import lint
from vspec.compiler.source.load import parse_document

FIT = """\
dims:
  n, m: 5
  i: 3
constants: {lam: 0.1}
data:
  X[n, i]: real
  y[n]: {type: real, in: [-1, 1]}
params:
  w[i]: {init: 0}
  s: {init: 1, domain: positive}
define:
  z[n]: sum[i](X[n, i]*w[i])
"""
SOLVE = """\
objectives:
  loss: sum[n]((z[n] - y[n])**2) + lam*s
solve: {minimize: loss}
"""


def fit(define: str = "", outputs: str = "", rest: str = "") -> str:
    """A whole spec with more definitions, outputs and sections."""
    shown = f"outputs:\n  {outputs}\n" if outputs else ""
    return FIT + (f"  {define}\n" if define else "") + SOLVE + shown + rest


def test_a_spec_without_slips_has_no_warnings() -> None:
    # The letter m is declared and not used.
    assert [(d.code, d.message) for d in warnings(fit(), True)] == [("VS0901", "the index 'm' is never used")]
    assert warnings(fit()) == ()


@pytest.mark.parametrize(
    ("text", "level"),
    [
        (fit("a: 1"), BOTH),
        (fit("a: 1\n  b: a"), BOTH),
        (fit("a: 1", "a: a"), NEVER),
        (fit("a: 1", "b: a"), NEVER),
        (fit("a: 1", rest="claims:\n  c: a > z[0]\n"), NEVER),
        (fit(rest="functions: {f(a): a}"), BOTH),
        (fit("a: f(1)", "a: a", "functions: {f(a): a}"), NEVER),
        (fit("b: f(1)", "b: b", "functions: {f(a): lam}"), PEDANTIC),
        ("outputs: {a: 1}\ndims: {n: 3}\n", BOTH),
        ("outputs: {a: 1}\ndims: {'n, m': 3}\n", BOTH),
        ("outputs: {a: 1}\nconstants: {b: 2}\n", BOTH),
        ("outputs: {a: 1}\nparams: {b: {init: 2}}\n", BOTH),
        ("outputs: {a: 1}\ndata: {b: real}\n", BOTH),
        ("define: {a: 1}\nconstants: {b: 2}\n", NEVER),
        ("objectives: {a: b**2}\nparams: {b: {init: 2}}\n", NEVER),
        # Data that give a dim its size are of use, whether or not a formula reads them.
        ("dims: {n: auto}\ndata: {'x[n]': real}\noutputs: {'a[n]': index(n)}\n", NEVER),
        ("dims: {n: auto}\ndata: {'x[n]': real, 'y[n]': real}\noutputs: {'a[n]': 'y[n]'}\n", BOTH),
        # The quick size of a claim is no use of a constant.
        ("constants: {b: 2}\noutputs: {a: 1}\nclaims: {c: {that: a > 0, smoke: {b: 1}}}\n", BOTH),
        # Words that are no formulas.
        ("define: {lr: 1}\nparams: {p: {init: 0}}\nobjectives: {l: p}\nsolve: {minimize: l, method: adam(lr=0.1)}\n", BOTH),
        ("define: {mean_radius: 1}\ndata: {x: {source: a.csv, column: mean_radius}}\noutputs: {a: x}\n", BOTH),
    ],
)  # fmt: skip
def test_unused(text: str, level: list[str]) -> None:
    text = text.replace("n, m: 5", "n: 5") if text.startswith(FIT) else text
    assert warned(text, "VS0901") == level


def test_a_definition_of_a_stage_without_a_use() -> None:
    text = "params:\n  w: {init: 1}\nsolve:\n  repeat: 3\n  let: {a: w/2, b: 2*w, c: b + 1}\n"
    text += "  stages:\n    - update: {w: a + 1}\n"
    (found,) = [d for d in warnings(text) if d.code == "VS0901"]
    assert "'c' of this stage" in found.message
    assert warned(text.replace("c: b + 1", "c: b").replace("a + 1", "a + c"), "VS0901") == NEVER


def test_derivatives_by_a_stack_go_to_its_parts() -> None:
    text = "dims: {i: 2, p: auto}\nparams:\n  w[i]: {init: 1}\n  c: {init: 1}\ndefine:\n  theta[p]: 'stack(w[:], c)'\n"
    text += "objectives:\n  loss: sum[i](w[i]**2)\nsolve:\n  update:\n    theta[p]: theta[p] - d(loss, theta[p])\n"
    assert warned(text, "VS0911") == NEVER


def test_unused_is_said_once_at_the_root() -> None:
    text = "constants: {k: 1}\ndefine: {a: b, b: c + 1, c: k, x: c}\nfunctions: {f(q): c*q}\noutputs: {o: 1}\n"
    assert [d.message for d in warnings(text)] == [
        "the definition 'a' is never used",
        "the definition 'x' is never used",
        "the function 'f' is never used",
    ]


def test_a_circle_of_unused_states_is_said_once() -> None:
    states = "dims: {t: 4}\ndefine:\n  a[0]: 1.0\n  a[t + 1]: b[t]\n  b[0]: 2.0\n  b[t + 1]: a[t]\noutputs: {c: 1}\n"
    found = warnings(states)
    assert [d.message for d in found] == ["the definition 'a' is never used"]


@pytest.mark.parametrize(
    ("text", "level"),
    [
        (
            "params: {a: {init: 1}, b: {init: 1}}\nobjectives: {l: a**2}\nsolve: {minimize: l}\noutputs: {c: a + b}\n",
            BOTH,
        ),
        (
            "params: {a: {init: 1}, b: {init: 1}}\nobjectives: {l: a**2, k: b**2}\n"
            "solve: [{minimize: l}, {minimize: k}]\n",
            NEVER,
        ),
        (
            "params: {a: {init: 1}, b: {init: 1}, c: {init: 1}}\nobjectives: {l: a**2 + c}\n"
            "solve: {minimize: l, over: [a, b]}\noutputs: {e: b}\n",
            BOTH,
        ),
        (
            "params: {a: {init: 1}, b: {init: 1}}\nobjectives: {l: a**2}\nsolve: {minimize: l, over: [a]}\noutputs: {c: b}\n",
            NEVER,
        ),
        (
            "params: {a: {init: 1}, b: {init: 1}}\ndefine: {c: e, e: 2*b}\nobjectives: {l: a*c}\nsolve: {minimize: l}\n",
            NEVER,
        ),
        # Reported as unused.
        ("params: {a: {init: 1}, b: {init: 1}}\nobjectives: {l: a**2}\nsolve: {minimize: l}\n", NEVER),
        (
            "dims: {t: 3}\nparams: {a: {init: 1}}\ndefine:\n  s[0]: a\n  s[t + 1]: s[t]/2\nobjectives: {l: 's[-1]'}\n"
            "solve: {minimize: l}\n",
            NEVER,
        ),
    ],
)
def test_an_objective_without_a_param(text: str, level: list[str]) -> None:
    assert warned(text, "VS0902") == level


def test_the_place_of_a_param_that_a_stage_lists() -> None:
    text = (
        "params: {a: {init: 1}, b: {init: 1}, c: {init: 1}}\nobjectives: {l: a**2 + c}\n"
        "solve: {minimize: l, over: [a, b]}\noutputs: {e: b}\n"
    )
    (found,) = warnings(text)
    assert found.span is not None
    assert (found.span.line, found.span.column) == (6, 32)


@pytest.mark.parametrize(
    ("define", "level"),
    [
        ("a[n]: sum[i](w[i]**2)", BOTH),
        ("a[n, i]: sum[m](X[m, i])", BOTH),
        ("a[n]: exp(s)", PEDANTIC),
        ("a[n]: 1", NEVER),
        ("a[n]: 2*lam", NEVER),
        ("a[n]: sum[i](X[n, i])", NEVER),
        ("a[n]: z[n] - mean[n](z[n])", NEVER),
        ("a[n]: index(n)", NEVER),
        ("a: sum[n, m](z[n] - y[m])", BOTH),
        ("a: mean[n, m](2*z[n] - y[m] + lam)", NEVER),
        ("a: sum[n, m]((z[n] - y[m])**2)", NEVER),
        ("a: sum[n, m](abs(z[n] - z[m]))", NEVER),
        ("a: sum[n, i](z[n] - w[i])", NEVER),
    ],
)
def test_indices_that_do_nothing(define: str, level: list[str]) -> None:
    name = define.split(":")[0]
    subscripts = name.replace("[n, i]", "[0, 0]").replace("[n]", "[0]")
    assert warned(fit(define, f"b: {subscripts}"), "VS0903") == level


def test_an_index_that_a_function_of_whole_axes_takes_is_needed() -> None:
    text = (
        "dims: {'i, j': 2}\nparams: {a: {init: 1}}\ndata:\n  W[i, j]: real\ndefine:\n  r[i]: sum[j](W[0, j]*a)\n"
        "outputs:\n  x[i]: solve(W[:, :], r[:])[i]\n"
    )
    assert warned(text, "VS0903") == NEVER


def test_part_of_a_step_has_the_letter_of_the_recurrence() -> None:
    text = (
        "dims: {t: 3, i: 2}\nparams:\n  a[i]: {init: 1}\ndefine:\n  s[0]: 1.0\n  s[t + 1]: s[t]*c[t]\n"
        "  c[t]: sum[i](a[i]) + 0*s[t]\noutputs: {o: 's[-1]'}\n"
    )
    assert warned(text, "VS0903") == NEVER


@pytest.mark.parametrize(
    ("expression", "level"),
    [
        # Surely wrong.
        ("log(-exp(lam))", BOTH),
        ("log(-s)", BOTH),
        ("log(0*w[0])", BOTH),
        ("sqrt(-1 - w[0]**2)", BOTH),
        ("(-s)**0.5", BOTH),
        ("1/(w[0] - w[0])", BOTH),
        ("w[0]/0", BOTH),
        ("log1p(-1 - s)", BOTH),
        ("asin(2 + s)", BOTH),
        ("mean[n](1/index(n))", BOTH),
        ("sum[n](log(2*index(n)))", BOTH),
        # Not surely right.
        ("log(w[0])", PEDANTIC),
        ("log(w[0] - lam)", PEDANTIC),
        ("sqrt(w[0])", PEDANTIC),
        ("1/w[0]", PEDANTIC),
        ("w[0]**-1", PEDANTIC),
        ("w[0]**1.5", PEDANTIC),
        ("w[0]**lam", PEDANTIC),
        ("1/sqrt(var[n](z[n]))", PEDANTIC),
        ("acos(w[0])", PEDANTIC),
        ("xlogy(s, w[0])", PEDANTIC),
        ("log(w[0]**2)", PEDANTIC),
        ("1/sum[n](y[n])", PEDANTIC),
        ("log(w[0]) if w[0] >= 0 else 0", PEDANTIC),
        # Right.
        ("log(s)", NEVER),
        ("log(lam)", NEVER),
        ("log(1 + exp(w[0]))", NEVER),
        ("log(sum[n](exp(z[n])))", NEVER),
        ("log(sigmoid(w[0])) + log(softplus(w[0])) + log(mean[n](exp(z[n])))", NEVER),
        ("sum[i](log(softmax[i](w[i])))", NEVER),
        ("log(max(w[0], 1e-9))", NEVER),
        ("log(clip(w[0], 0.1, 0.9))", NEVER),
        ("1/(1 + w[0]**2)", NEVER),
        ("1/(2 + sin(w[0]))", NEVER),
        ("1/size(n) + 1/(index(n) + 1)", NEVER),
        ("sqrt(sum[i](w[i]**2))", NEVER),
        ("sqrt(w[0]*w[0]) + sqrt(abs(w[0])) + sqrt(relu(w[0]))", NEVER),
        ("sqrt(1 - tanh(w[0])**2)", NEVER),
        ("asin(tanh(w[0])) + acos(sin(w[0]))", NEVER),
        ("1/y[0] + log(y[0]**2)", NEVER),
        ("w[0]**2 + w[0]**3 + s**-2 + s**0.5 + s**w[0]", NEVER),
        ("log(w[0]) if w[0] > 0 else 0", NEVER),
        ("0 if w[0] <= 0 else log(w[0])", NEVER),
        ("log(w[0] - lam) if w[0] > lam else 0", NEVER),
        ("1/w[0] if w[0] != 0 else 0", NEVER),
        ("1/w[0] if not (w[0] == 0) else 0", NEVER),
        ("sqrt(w[0]) if w[0] > 0 and s < 1 else 0", NEVER),
        ("0 if w[0] < 0 or w[1] < 0 else sqrt(w[0]) + sqrt(w[1])", NEVER),
        ("(-1)**index(n)", NEVER),
        ("log1p(s) + log1p(exp(w[0]))", NEVER),
        ("index(n)//2 + index(n) % 2", NEVER),
    ],
)
def test_domains(expression: str, level: list[str]) -> None:
    letter = "n" if "index(n) " in expression or expression.endswith("index(n)") else ""
    text = fit(f"a[n]: {expression}" if letter else f"a: {expression}", "b: a[0]" if letter else "b: a")
    assert warned(text, "VS0904") == level


def test_what_is_known_of_definitions_and_states() -> None:
    text = (
        "dims: {t: 4}\nparams: {a: {init: 1}}\ndefine:\n  s[0]: 1.0\n  s[t + 1]: s[t]*exp(a) + 0.5\n"
        "  u[0]: 0.5\n  u[t + 1]: clip(u[t] + a, 0, 1)\n  p: a**2\n  v[0]: 1.0\n  v[t + 1]: v[t] - a\n"
        "outputs:\n  x: log(s[-1]) + sqrt(u[-1]) + sqrt(1 - u[-1]) + sqrt(p)%s\n"
    )
    assert warned(text % " + v[-1]", "VS0904") == NEVER
    assert warned(text % " + log(v[-1])", "VS0904") == PEDANTIC


def test_data_by_how_they_come() -> None:
    text = "dims: {n: 3}\ndata:\n  x[n]: {%s}\noutputs: {a: 'sum[n](log(x[n]))'}\n"
    for options, level in (
        ("value: [1, 2, 3]", NEVER),
        ("value: [0, 2, 3]", PEDANTIC),
        ("value: [-1, -2, -3]", BOTH),
        ("type: real", PEDANTIC),
        ("in: [1, 2]", NEVER),
        ("draw: 'uniform(1, 2)', seed: 1", NEVER),
        ("draw: 'exponential(1)', seed: 1", NEVER),
        ("draw: 'normal(0, 1)', seed: 1", PEDANTIC),
        ("draw: 'poisson(2)', seed: 1", PEDANTIC),
    ):
        assert warned(text % options, "VS0904") == level, options


def test_variables_by_their_laws() -> None:
    text = "params:\n  m: {init: 0}\nrandom:\n  x: %s\noutputs: {a: 'E[x](log(0.5 + x))'}\n"
    for law, level in (
        ("bernoulli(0.3)", NEVER),
        ("poisson(2)", NEVER),
        ("rademacher", PEDANTIC),
        ("normal(m, 1)", PEDANTIC),
    ):
        assert warned(text % law, "VS0904") == level, law


@pytest.mark.parametrize(
    ("condition", "level"),
    [
        ("w[0] == 0.5", PEDANTIC),
        ("w[0] != w[1]", PEDANTIC),
        ("exp(s) == 1", PEDANTIC),
        ("w[0] < 0.5", NEVER),
        ("sign(w[0]) == 1", NEVER),
        ("round(w[0]) == 2", NEVER),
        ("y[0] == 1", NEVER),
        ("argmax[i](w[i]) == 0", NEVER),
        ("q == 1", NEVER),
        ("(w[0] > 0) == (w[1] > 0)", NEVER),
        ("sum[n](real(z[n] > 0)) == 2", NEVER),
    ],
)
def test_reals_compared_exactly(condition: str, level: list[str]) -> None:
    text = fit(f"q: 1.0 if w[0] > 7 else -1.0\n  a: 1 if {condition} else 0", "b: a + q")
    assert warned(text, "VS0905") == level


@pytest.mark.parametrize(
    ("claim", "level"),
    [
        ("1 < 2", BOTH),
        ("2 < 1", BOTH),
        ("true", BOTH),
        ("s < s", BOTH),
        ("s*2 == s*2", BOTH),
        ("sum[i](w[i]**2) < 0", BOTH),
        ("exp(w[0]) == 0", BOTH),
        ("s > 0 and w[0] < 1", PEDANTIC),
        ("mean[n](z[n] > 0) <= 1", PEDANTIC),
        ("w[0] == 0.5", BOTH),
        ("w[0] < 1", NEVER),
        ("mean[n](z[n] > 0) >= 0.9", NEVER),
        ("argmax[i](w[i]) == 1", NEVER),
        ("sum[n](sign(z[n])) == 5", NEVER),
        ("{identity: s == s, tolerance: 1e-3}", BOTH),
        ("{identity: s + lam == lam + s, tolerance: 1e-3}", NEVER),
        ("{identity: 'd(loss, w[i]) == d(loss, w[i])', tolerance: 1e-3}", BOTH),
    ],
)
def test_claims_that_say_nothing(claim: str, level: list[str]) -> None:
    assert warned(fit(rest=f"claims:\n  c: {claim}\n"), "VS0908") == level


@pytest.mark.parametrize(
    ("expression", "level"),
    [("W[n, n]", PEDANTIC), ("sum[n](W[n, n])*z[0]", NEVER), ("sum[m](W[n, m])", NEVER), ("z[n]", NEVER)],
)
def test_diagonals(expression: str, level: list[str]) -> None:
    text = (
        FIT.replace("  y[n]:", "  W[n, m]: real\n  y[n]:") + SOLVE + f"outputs:\n  a[n]: {expression}\n  b: W[0, 1]\n"
    )
    assert warned(text, "VS0909") == level


@pytest.mark.parametrize(
    ("outputs", "code", "level"),
    [
        ("a: d(lam*1.0, w[0])", "VS0911", BOTH),
        ("a[i]: d(s**2, w[i])", "VS0911", BOTH),
        ("a: d(loss, h)", "VS0911", BOTH),
        ("a[i]: d(z[0], w[i])", "VS0911", NEVER),
        ("a: d(h*s, h)", "VS0911", NEVER),
        ("a[i]: d(loss, w[i], s)", "VS0911", NEVER),
        ("a[i]: d(round(w[0]), w[i])", "VS0912", BOTH),
        ("a[i]: d(real(w[0] > 1), w[i])", "VS0912", BOTH),
        ("a[i]: d(1.0 if w[0] > 1 else 2.0, w[i])", "VS0912", BOTH),
        ("a[i]: d(w[argmax[i](w[i])], w[i])", "VS0912", NEVER),
        ("a[i]: d(X[0, argmax[i](w[i])], w[i])", "VS0912", BOTH),
        ("a[i]: d(stop(w[0])**2, w[i])", "VS0912", BOTH),
        ("a[i]: d(w[0]*sign(w[0]), w[i])", "VS0912", NEVER),
        ("a[i]: d(w[0] if w[0] > 1 else 2.0, w[i])", "VS0912", NEVER),
    ],
)
def test_derivatives_that_are_zero(outputs: str, code: str, level: list[str]) -> None:
    assert warned(fit("h: w[0]*2", f"{outputs}\n  hh: h"), code) == level


def test_a_zero_derivative_in_a_function_counts_if_it_is_zero_at_every_call() -> None:
    text = FIT + SOLVE + "functions: {'f(a, b)': 'd(a*b, s)'}\noutputs:\n  p: f(w[0], w[1])\n"
    assert warned(text, "VS0911") == BOTH
    assert warned(text + "  q: f(s, w[1])\n", "VS0911") == NEVER


def test_an_objective_of_steps() -> None:
    text = "params: {a: {init: 1}, b: {init: 1}}\nobjectives: {l: round(a) + b**2}\nsolve: {minimize: l}\n"
    assert warned(text, "VS0912") == BOTH
    assert warned(text.replace("round(a)", "a*round(a)"), "VS0912") == NEVER


def test_draws_without_a_seed() -> None:
    text = "dims: {n: 3}\ndata:\n  x[n]: {draw: 'normal(0, 1)'%s}\noutputs: {a: 'mean[n](x[n])'}\n"
    assert warned(text % "", "VS0913") == PEDANTIC
    assert warned(text % ", seed: 1", "VS0913") == NEVER


@pytest.mark.parametrize(
    ("rest", "given"),
    [
        ("solve: {minimize: l, method: lbfgs(tol=1e-12)}", True),
        ("solve: {minimize: l, method: newton(tol=1e-8)}", False),
        ("solve: {minimize: l, method: newton}", False),
        ("solve: {minimize: l, method: 'lbfgs(tol=0)'}", False),
        ("solve: {minimize: l}\nclaims: {c: a < 1e-12}", True),
        ("solve: {minimize: l}\nclaims: {c: 1e-12 > a}", True),
        ("solve: {minimize: l}\nclaims: {c: a > 1e-12}", False),
        ("solve: {minimize: l}\nclaims: {c: a < 1e-6}", False),
        ("solve: {minimize: l}\nclaims: {c: {identity: a == 2*a, tolerance: 1e-12}}", True),
    ],
)
def test_tolerances_of_single_precision(rest: str, given: bool) -> None:
    text = f"params: {{a: {{init: 1}}}}\nobjectives: {{l: a**2}}\n{rest}\n"
    single = {d.code for d in warnings(text, head="vspec: 1\nname: t\n")}
    assert ("VS0914" in single) == given
    assert "VS0914" not in {d.code for d in warnings(text)}


@pytest.mark.parametrize(
    ("names", "given"),
    [
        (("rate", "Rate"), True),
        (("x", "X"), False),
        (("sigmold", "q"), True),
        (("softpluss", "q"), False),
        (("norms", "q"), False),
        (("floof", "q"), True),
        (("scale", "size_"), False),
    ],
)
def test_names_that_are_easily_confused(names: tuple[str, str], given: bool) -> None:
    a, b = names
    assert warned(f"constants: {{{a}: 1, {b}: 2}}\noutputs: {{c: {a} + {b}}}\n", "VS0906") == (
        PEDANTIC if given else NEVER
    )


def test_time_grows_in_proportion_to_the_spec() -> None:
    def seconds(count: int) -> float:
        lines = [f"  a{k}: a{k - 1} + log(1 + a{k - 1}**2) - d(a{k - 1}, w)" for k in range(1, count)]
        text = (
            HEAD + "params: {w: {init: 1}}\ndefine:\n  a0: w\n" + "\n".join(lines) + f"\noutputs: {{o: a{count - 1}}}\n"
        )
        document = parse_document(text, "test.yaml")
        spec, _ = check_document(document)
        assert spec is not None
        best = 60.0
        for _ in range(3):
            start = time.process_time()
            lint(spec, document, pedantic=True)
            best = min(best, time.process_time() - start)
        return best

    seconds(50)
    assert seconds(3000) < 25 * seconds(300)


def test_an_expression_that_is_not_known_here_silences_the_rules() -> None:
    @dataclass(frozen=True, slots=True)
    class Strange(Expr):
        """What another version may add."""

    text = "params: {a: {init: 1}, b: {init: 1}}\nobjectives: {l: a**2}\nsolve: {minimize: l}\noutputs: {o: 'd(a*a, b) + a'}\n"
    document = parse_document(HEAD + text, "test.yaml")
    spec, _ = check_document(document)
    assert spec is not None
    assert {d.code for d in lint(spec, document)} == {"VS0902", "VS0911"}
    for body in (spec.objectives["l"].body, Strange(span=document.root.span)):
        objective = replace(spec.objectives["l"], body=body)
        changed = replace(spec, objectives={"l": objective})
        assert ("VS0902" in {d.code for d in lint(changed, document)}) == (not isinstance(body, Strange))
