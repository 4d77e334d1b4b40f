"""The one walk over the expressions of a spec misses none, and what rests on it holds wherever an expression may stand."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any

from tests.language.helpers import codes, good
from vspec.compiler.language.bodies import bodies
from vspec.compiler.language.expr import Expr
from vspec.compiler.language.spec import Spec

EVERYTHING = """
dims: {i: 3, t: 4}
constants: {top: 2.0}
params:
  x[i]: {init: 1 + index(i), domain: "box(0, 2*top)"}
  y: {init: 3}
define:
  z[i]: exp(x[i])
  s[0]: y
  e[t]: s[t]**2
  s[t + 1]: s[t] - 0.1*e[t]
objectives:
  loss: sum[i](z[i]) + s[-1]
constraints:
  chain: 0 <= y <= top
  each[i]: x[i] == z[i]/3
solve:
  - {name: one, minimize: loss, over: {y: adam(top*step)}, update: {"x[i]": "x[i]/2"}, steps: 2*size(i), constraints: projection}
  - repeat: 3
    stages:
      - {descend: {y: late}, method: adam(0.1), let: {late: y/steps}}
      - {update: [{y: y/2}, {y: y - 1}]}
    until: step > 1
outputs:
  w[i]: z[i] + 1
claims:
  small: loss < 100
  same: {identity: "z[i] == exp(x[i])", tolerance: 1e-12}
"""


def expressions(value: Any) -> Iterator[Expr]:
    """Every outermost expression below a value, whatever field it stands in."""
    if isinstance(value, Expr):
        yield value
    elif isinstance(value, tuple | list):
        for item in value:
            yield from expressions(item)
    elif isinstance(value, dict):
        yield from expressions(list(value.values()))
    elif is_dataclass(value):
        for f in fields(value):
            yield from expressions(getattr(value, f.name))


def test_no_expression_of_a_spec_is_missed() -> None:
    spec = good(EVERYTHING)
    # The sizes and the ends of dims are read when the dims are, before there are values.
    groups = [getattr(spec, f.name) for f in fields(Spec) if f.name not in ("dims", "letters")]
    all_of_them = {id(e): e for group in groups for e in expressions(dict(group) if hasattr(group, "items") else group)}
    walked = [b.expr for b in bodies(spec)]
    assert {id(e) for e in walked} == all_of_them.keys()
    assert {b.kind for b in bodies(spec)} == {
        "param", "bound", "definition", "init", "step", "objective", "constraint", "output", "claim",
        "count", "schedule", "direction", "update", "until",
    }  # fmt: skip


def test_only_what_stands_in_a_step_has_a_loop() -> None:
    spec = good(EVERYTHING)
    assert [(b.kind, b.name) for b in bodies(spec) if b.loops] == [("definition", "e"), ("step", "s")]


def test_orders_of_derivatives_are_counted_in_constraints() -> None:
    text = "params:\n  a: {init: 1.5}\n  x: {init: 0.7}\nconstraints:\n  k: d(gammainc(a, x), a, a) <= 1\n"
    assert codes(text + "outputs:\n  g: a\n") == ["VS0330"]
