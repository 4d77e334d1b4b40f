"""Stages: what moves, how often, until when; names that a stage alone sees; counts, schedules and their mistakes."""

from __future__ import annotations

import pytest

from tests.language.helpers import codes, definition, diagnose, good, show
from vspec.compiler.language.expr import Expr
from vspec.compiler.language.spec import MethodCall, Stage, labelled

SPEC = """
dims: {n: auto, i: 3, p: auto}
constants: {k: 4, eta: 0.1, half: 2.5}
data:
  X[n, i]: real
params:
  w[i]: {init: 0}
  c: {init: 0}
  z[n]: {init: 0}
define:
  theta[p]: stack(w[:], c)
  mixed[p]: stack(w[:], eta)
  weight: (step + 1)**0.5
  r[n]: sum[i](X[n, i]*w[i]) - z[n]
objectives:
  loss: sum[n](r[n]**2) + (c - 1)**2
"""


def stages(solve: str) -> list[tuple[str, Stage]]:
    """Every stage of a plan with its label."""
    return list(labelled(good(SPEC + solve).plan))


def only(solve: str) -> Stage:
    """The one stage of a plan."""
    ((_, stage),) = stages(solve)
    return stage


def message(solve: str) -> str:
    """The only mistake of a plan: its code and what it says."""
    spec, found = diagnose(SPEC + solve)
    assert spec is None
    (error,) = [d for d in found if d.severity == "error"]
    return f"{error.code} {error.message}"


# --- what moves ---------------------------------------------------------------------------------------------------


def test_one_method_moves_all_and_a_mapping_gives_each_its_own() -> None:
    stage = only("solve: {minimize: loss, over: [c, w], method: sgd(0.2)}\n")
    assert [(m.name, m.over) for m in stage.methods] == [("sgd", ("c", "w"))]
    stage = only("solve: {minimize: loss, over: {w: adam(0.1), c: sgd(0.2)}}\n")
    assert stage.over == ("w", "c")
    assert [(m.name, m.over, m.arguments["lr"]) for m in stage.methods] == [("adam", ("w",), 0.1), ("sgd", ("c",), 0.2)]


def test_a_stack_stands_for_its_parts() -> None:
    assert only("solve: {minimize: loss, over: theta}\n").over == ("w", "c")
    assert only("solve: {minimize: loss, over: {theta: sgd(0.1)}}\n").methods[0].over == ("w", "c")
    stage = only("solve: {update: {'theta[p]': 'theta[p]/2'}, steps: 3}\n")
    assert stage.updates[0][0].params == ("w", "c")
    assert message("solve: {update: {'mixed[p]': 'mixed[p]/2'}, steps: 3}\n").startswith(
        "VS0369 'mixed' is a definition"
    )


def test_a_saddle_goes_down_and_up() -> None:
    stage = only("solve: {saddle: loss, min: [w, z], max: c, method: sgd(0.1)}\n")
    assert (stage.names, stage.min, stage.max, stage.over) == (("loss",), ("w", "z"), ("c",), ("w", "z", "c"))
    stage = only("solve: {saddle: loss, min: [w, z], max: c, method: extragradient}\n")
    assert stage.methods[0].over == ("w", "z", "c")
    stage = only("solve: {saddle: loss, min: w, max: c, over: {w: sgd(0.1), c: adam(0.2)}}\n")
    assert [m.over for m in stage.methods] == [("w",), ("c",)]


def test_directions_are_given_one_by_one() -> None:
    stage = only("solve: {descend: {'w[i]': '2*d(loss, w[i])', c: c - 1}, method: adam(0.1), steps: 5}\n")
    assert stage.over == ("w", "c")
    assert [show(a.body) for a in stage.directions] == ["mul(2, d(loss, w[i]))", "sub(c, 1)"]


def test_updates_are_simultaneous_in_a_mapping_and_sequential_in_a_list() -> None:
    stage = only("solve: {update: {c: c + 1, 'z[n]': 'r[n]'}, steps: 2}\n")
    assert [[a.name for a in group] for group in stage.updates] == [["c", "z"]]
    stage = only("solve: {update: [{c: c + 1}, {c: 2*c, 'z[n]': 'c*r[n]'}], steps: 2}\n")
    assert [[a.name for a in group] for group in stage.updates] == [["c"], ["c", "z"]]


def test_an_update_stands_beside_what_moves_other_params() -> None:
    stage = only("solve: {minimize: loss, over: w, update: {'z[n]': 'r[n]'}, method: sgd(0.1), steps: 4}\n")
    assert (stage.kind, stage.over, stage.updates[0][0].name) == ("minimize", ("w",), "z")
    assert message("solve: {minimize: loss, over: z, update: {'z[n]': 'r[n]'}}\n").startswith("VS0370 'z' is moved")


# --- how often ----------------------------------------------------------------------------------------------------


def test_counts_are_numbers_or_whole_expressions() -> None:
    stage = only("solve: {minimize: loss, method: sgd(0.1), steps: 2*k + size(i), starts: k}\n")
    assert {name: e if isinstance(e, int) else show(e) for name, e in stage.counts.items()} == {
        "steps": "add(mul(2, k), size(i))",
        "starts": "k",
    }


@pytest.mark.parametrize(
    ("solve", "start"),
    [
        ("solve: {minimize: loss, steps: half}\n", "VS0372 'steps' is a whole number, and this is a real number"),
        ("solve: {minimize: loss, steps: 0}\n", "VS0328"),
        ("solve: {minimize: loss, steps: integer(c)}\n", "VS0372 'steps' reads the param 'c'"),
        ("solve: {minimize: loss, steps: 'integer(r[0])'}\n", "VS0372 'steps' reads the param 'w' through 'r'"),
        ("solve: {minimize: loss, steps: step}\n", "VS0367"),
        ("solve: {minimize: loss, method: lbfgs(memory=half)}\n", "VS0372 'memory' of 'lbfgs'"),
    ],
)
def test_counts_are_known_before_the_stage(solve: str, start: str) -> None:
    assert message(solve).startswith(start)


def test_a_repetition_has_stages_of_its_own() -> None:
    found = stages(
        "solve:\n  - {evaluate: loss}\n  - name: outer\n    repeat: k\n    until: step > 2\n    stages:\n"
        "      - {minimize: loss, over: w, method: sgd(0.1)}\n      - {name: up, update: {c: c + 1}}\n"
    )
    assert [label for label, _ in found] == ["stage_1", "outer", "outer_1", "up"]
    outer = found[1][1]
    assert isinstance(outer.rounds, Expr)
    assert outer.until is not None
    assert [s.kind for s in outer.stages] == ["minimize", "update"]


# --- expressions --------------------------------------------------------------------------------------------------


def _method(text: str) -> MethodCall:
    return only(f'solve: {{minimize: loss, over: w, method: "{text}", steps: 9}}\n').methods[0]


def test_arguments_of_methods_may_be_expressions() -> None:
    call = _method("adam(eta*(1 - step/steps), b1=0.5)")
    assert (call.arguments["lr"], call.arguments["b1"]) == (None, 0.5)
    assert {k: show(e) for k, e in call.schedule.items()} == {"lr": "mul(eta, sub(1, div(real(step), real(steps))))"}
    call = _method("lbfgs(memory=2*k)")
    assert (call.arguments["memory"], {k: show(e) for k, e in call.counts.items()}) == (None, {"memory": "mul(2, k)"})


def test_a_function_of_the_step_is_a_schedule() -> None:
    cosine = "functions:\n  cosine(peak): peak*(1 + cos(pi*step/steps))/2\n"
    spec = good(SPEC + cosine + "solve: {minimize: loss, over: w, method: sgd(cosine(eta)), steps: 9}\n")
    assert "cos" in show(spec.plan[0].methods[0].schedule["lr"])


def test_counters_are_read_wherever_a_stage_runs() -> None:
    good(
        SPEC + "solve:\n  minimize: loss\n  over: w\n  method: sgd(eta/weight)\n  until: step > k and weight > 2\n"
        "  update: {c: c + step/steps}\n  let: {late: step > 3}\n  steps: 9\n"
    )


@pytest.mark.parametrize(
    "text",
    [
        "outputs:\n  a: weight\n",
        "outputs:\n  a: 1/steps\n",
        "claims:\n  a: weight > 0\n",
        "constraints:\n  a: c <= weight\n",
        "solve: {minimize: loss, method: lbfgs(memory=steps)}\n",
    ],
)
def test_counters_are_read_nowhere_else(text: str) -> None:
    assert codes(SPEC + text) == ["VS0367"]


def test_an_init_reads_no_counter() -> None:
    assert codes("params:\n  w: {init: step}\n") == ["VS0322"]
    assert codes("constants: {step: 1}\n") == ["VS0205"]


def test_let_defines_names_that_the_stage_alone_sees() -> None:
    text = "solve:\n  - {update: {c: g}, let: {g: c/2}}\n  - {update: {c: g}, let: {h: c/3, g: h + 1}}\n"
    spec = good(SPEC + text)
    first, second = spec.plan
    assert (first.let, second.let) == (("g",), ("h", "g_2"))
    assert show(second.updates[0][0].body) == "g_2"
    assert show(definition(spec, "g").body) == "div(c, 2)"
    assert show(definition(spec, "g_2").body) == "add(h, 1)"
    assert codes(SPEC + text + "outputs:\n  a: g\n") == ["VS0201"]
    assert codes(SPEC + "solve: {update: {c: weight}, let: {weight: 1}, steps: 2}\n") == ["VS0204"]


def test_a_local_definition_may_be_minimised() -> None:
    stage = only("solve: {minimize: own, over: w, let: {own: loss/weight}}\n")
    assert stage.names == ("own",)


def test_local_recurrences_are_numbered_whole() -> None:
    text = (
        "solve:\n  - {update: {c: 's[-1]'}, let: {'s[0]': c, 's[t + 1]': 's[t]/2'}}\n"
        "  - {update: {c: 's[-1]'}, let: {'s[0]': 1, 'e[t]': '2*s[t]', 's[t + 1]': 'e[t] + 1'}}\n"
    )
    spec = good("dims: {t: 5}\nparams:\n  c: {init: 1}\n" + text)
    assert [set(s.let) for s in spec.plan] == [{"s"}, {"s_2", "e"}]
    assert show(spec.plan[1].updates[0][0].body) == "s_2[-1]"


# --- mistakes -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("solve", "start"),
    [
        ("solve: {evaluate: loss, steps: 3}\n", "VS0368 'steps' means nothing in a stage with 'evaluate'"),
        ("solve: {saddle: loss, min: w, max: c, method: sgd(0.1), starts: 3}\n", "VS0368 'starts'"),
        ("solve: {repeat: 3, stages: [{minimize: loss, starts: 2}]}\n", "VS0368 'starts' means nothing inside"),
        ("solve: {saddle: loss, min: w, max: c, over: [w, c], method: sgd(0.1)}\n", "VS0368 'min' and 'max' say"),
        ("solve: {minimize: loss, over: {w: sgd(0.1)}, method: sgd(0.2)}\n", "VS0368 'over' gives each param"),
        ("solve: {update: {k: k + 1}, steps: 2}\n", "VS0369 'k' is a constant"),
        ("solve: {update: {'X[n, i]': 0}, steps: 2}\n", "VS0369 'X' is data"),
        ("solve: {update: {u: 1}, steps: 2}\n", "VS0369 unknown param 'u'"),
        ("solve: {update: {w: 1}, steps: 2}\n", "VS0206 'w' has 1 index"),
        ("solve: {update: {'w[n]': 1}, steps: 2}\n", "VS0206 the index 'n' is of another dim"),
        ("solve: {update: {'theta[p]': 0, c: 1}, steps: 2}\n", "VS0370 'c' gets two values"),
        ("solve: {saddle: loss, min: [w, c], max: c, method: sgd(0.1)}\n", "VS0370 'c' goes both"),
        ("solve: {minimize: loss, until: c}\n", "VS0371 'until' is a real number"),
        ("solve: {minimize: loss, epochs: 3}\n", "VS0373 epochs count passes"),
        ("solve: {minimize: loss, batch: {m: 3}}\n", "VS0373 unknown index 'm'"),
        ("solve: {minimize: loss, batch: {p: 3}}\n", "VS0373 no data and no param has the index 'p'"),
        ("solve: {minimize: loss, batch: {i: 7}}\n", "VS0373 a batch of 7 is larger"),
        ('solve: {minimize: loss, method: "adam(lr=c > 0)"}\n', "VS0375 'lr' of 'adam' is a number"),
        ("solve: [{name: a, minimize: loss}, {name: a, evaluate: loss}]\n", "VS0376 a second stage"),
        ("solve: {name: d, minimize: loss}\n", "VS0376 'd' cannot name"),
        ("solve: {saddle: loss, min: w, max: c, method: lbfgs}\n", "VS0377 'lbfgs' cannot"),
        ("solve: {saddle: loss, min: w, max: c}\n", "VS0377 a stage with 'saddle'"),
        (
            "solve: {saddle: loss, min: w, max: c, over: {w: extragradient, c: sgd(0.1)}}\n",
            "VS0377 'extragradient' moves",
        ),
        ("solve: {descend: {c: c, 'w[i]': 0}, over: {c: sgd(0.1)}}\n", "VS0377 'over' gives 'w' no method"),
        ("solve: {update: {c: c > 1}, steps: 2}\n", "VS0379 the new value of 'c'"),
        ("solve: {minimize: loss, constraints: project}\n", "VS0311 unknown way"),
        ("solve: {saddle: loss, min: w, method: sgd(0.1)}\n", "VS0328 a saddle names in 'max'"),
    ],
)
def test_mistakes(solve: str, start: str) -> None:
    assert message(solve).startswith(start), message(solve)


# --- batches ------------------------------------------------------------------------------------------------------

BATCHED = """
dims: {n: 9, m: 4, i: 3, t: 5}
data:
  x[n, i]: real
  z[n]: integer
  at[m]: integer
params:
  w[i]: {init: 0}
  h[n]: {init: 0}
define:
  mu[i]: mean[n](x[n, i])
  best: argmax[n](x[n, 0])
  y[n]: sum[i]((x[n, i] - mu[i])*w[i]) + h[n]*best + index(n)/size(n)
"""


def batched(define: str) -> list[str]:
    """The codes of a stage with batches over n whose objective is the mean of a definition `e[n]`."""
    spec, found = diagnose(
        BATCHED + define + "objectives:\n  loss: mean[n](e[n])\n"
        "solve: {minimize: loss, method: sgd(0.1), batch: {n: 3}, epochs: 2}\n"
    )
    assert (spec is None) == any(d.severity == "error" for d in found)
    return [d.code for d in found if d.severity == "error"]


@pytest.mark.parametrize(
    "define",
    [
        "  e[n]: y[n]**2 + norm[n](y[n]) + var[n](y[n])\n",
        "  e[n]: y[n]*sum[n](sort[n](x[n, 1])) + max[n](x[n, 0])\n",
        "  e[n]: y[n]*sum[i](w[i]*delta[index(i), z[n]])\n",
        "  s[0, n]: h[n]\n  s[t + 1, n]: s[t, n]/2 + w[0]\n  e[n]: s[-1, n]\n",
        "  u[n]: x[n, 0]/max[n](x[n, 1])\n  e[n]: d(y[n]**2, h[n])*u[n]\n",
    ],
)
def test_what_a_batch_can_compute(define: str) -> None:
    assert batched(define) == []


@pytest.mark.parametrize(
    "define",
    [
        "  e[n]: max[n](y[n])\n",
        "  e[n]: softmax[n](y[n])\n",
        "  e[n]: h[0]\n",
        "  e[n]: h[z[n]]\n",
        "  e[n]: y[n] + sum[m](h[m])\n",
        "  e[n]: y[n] + sum[n](integer(y[n] > 0))\n",
        "  e[n]: sum[n](h[n]*delta[index(n), 3])*logsumexp[n](y[n])\n",
        "  k[n, i]: y[n]*w[i]\n  e[n]: y[n]*max[n](k[n, 0])\n",
    ],
)
def test_what_needs_all_values_is_refused(define: str) -> None:
    assert batched(define) == ["VS0374"]


def test_a_recurrence_steps_through_all_of_a_batched_index() -> None:
    text = "dims: {n: 9}\ndata:\n  x[n]: real\nparams:\n  w: {init: 1}\ndefine:\n  s[0]: w\n  s[n + 1]: s[n]*x[n]\n"
    text += "objectives:\n  loss: sum[n](s[n])\nsolve: {minimize: loss, method: sgd(0.1), batch: {n: 3}}\n"
    assert codes(text) == ["VS0374"]


@pytest.mark.parametrize(
    ("stage", "tol"),
    [
        ("{minimize: f, method: newton}", 1e-8),
        ("{minimize: f, method: newton, until: 'f < 1e-3'}", 0.0),
        ("{minimize: f, until: 'f < 1e-3'}", 0.0),
        ("{minimize: f, over: {x: newton}, until: 'f < 1e-3'}", 0.0),
        ("{minimize: f, method: newton(tol=1e-4), until: 'f < 1e-3'}", 1e-4),
        ("{repeat: 5, stages: [{minimize: f, method: newton}]}", 1e-8),
        ("{repeat: 5, until: 'f < 1e-3', stages: [{minimize: f, method: newton}]}", 0.0),
        ("{repeat: 5, until: 'f < 1e-3', stages: [{minimize: f, method: newton, steps: 3}]}", 1e-8),
        ("{repeat: 5, until: 'f < 1e-3', stages: [{repeat: 2, stages: [{minimize: f, method: newton}]}]}", 0.0),
    ],
)
def test_a_condition_to_end_takes_the_place_of_a_tolerance(stage: str, tol: float) -> None:
    """Where nobody wrote a tolerance; stages that run to an end of their own in each round keep theirs."""
    spec = good(f"params:\n  x: {{init: 1}}\nobjectives:\n  f: (x - 1)**4\nsolve:\n  {stage}\n")
    (found,) = spec.plan
    while found.stages:
        (found,) = found.stages
    assert found.methods[0].arguments["tol"] == tol
