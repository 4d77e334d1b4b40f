"""Domains of params and constraints: what may be declared, and what is refused."""

from __future__ import annotations

import pytest

from tests.language.helpers import codes, good, show
from vspec.compiler.language.spec import Stage

DIMS = "dims:\n  i, j: 3\n  n: 5\nconstants: {hi: 2.0}\ndata:\n  cap[i]: real\n"


@pytest.mark.parametrize(
    ("left", "init", "domain", "kind", "letters"),
    [
        ("w", "1", "real", "real", ()),
        ("w", "1", "positive", "positive", ()),
        ("w", "1", "integer", "integer", ()),
        ("w[i]", "0.5", "box(0, hi*cap[i])", "box", ()),
        ("w", "0.5", "box(-inf, 1)", "box", ()),
        ("w[n, i]", "1/3", "simplex[i]", "simplex", ("i",)),
        ("w[n, i]", "1/15", "'simplex[n, i]'", "simplex", ("n", "i")),
        ("w[i]", "0.5", "unit[i]", "unit", ("i",)),
        ("w[n, i, j]", "delta[i, j]", "psd", "psd", ("i", "j")),
        ("w[n, i]", "delta[n, i]", "orthogonal", "orthogonal", ("n", "i")),
    ],
)
def test_domains(left: str, init: str, domain: str, kind: str, letters: tuple[str, ...]) -> None:
    spec = good(f"{DIMS}params:\n  {left}:\n    init: {init}\n    domain: {domain}\n")
    found = spec.params["w"].domain
    assert (found.kind, found.letters) == (kind, letters)
    assert (found.lower is not None) == (kind == "box")


@pytest.mark.parametrize(
    ("left", "domain", "code"),
    [
        ("w", "postive", "VS0321"),
        ("w", "1 + 2", "VS0321"),
        ("w", "box(0)", "VS0321"),
        ("w", "box", "VS0321"),
        ("w", "box(1, 0)", "VS0321"),
        ("w", "box(0, 1)[0]", "VS0321"),
        ("w", "box(0, y)", "VS0322"),
        ("w", "box(0, v)", "VS0322"),
        ("w[i]", "box(0, cap)", "VS0206"),
        ("w", "box(0, cap[i])", "VS0203"),
        ("w", "box(0, 1 > 0)", "VS0321"),
        ("w[i]", "simplex", "VS0321"),
        ("w[i]", "'simplex[n]'", "VS0321"),
        ("w[i]", "'simplex[i, i]'", "VS0321"),
        ("w[i]", "'simplex[0]'", "VS0321"),
        ("w", "'unit[i]'", "VS0321"),
        ("w[i]", "psd", "VS0321"),
        ("w[n, i]", "psd", "VS0321"),
        ("w[i, n]", "orthogonal", "VS0321"),
        ("w", "positive(1)", "VS0321"),
    ],
)
def test_domains_that_do_not_fit(left: str, domain: str, code: str) -> None:
    text = f"{DIMS}params:\n  v: {{init: 0}}\n  {left}:\n    init: 0.3\n    domain: {domain}\ndefine:\n  y: v\n"
    assert codes(text) == [code]


@pytest.mark.parametrize(
    ("init", "domain"),
    [
        ("0", "positive"),
        ("0.5", "integer"),
        ("3", "box(0, 2)"),
        ("-1", "box(0, inf)"),
        ("2", "simplex[i]"),
        ("-2", "unit[i]"),
    ],
)
def test_inits_outside(init: str, domain: str) -> None:
    assert codes(f"{DIMS}params:\n  w[i]:\n    init: {init}\n    domain: {domain}\n") == ["VS0327"]


PARAMS = DIMS + "params:\n  w[i]: {init: 1}\n  x: {init: 0}\nfunctions:\n  g(a[:]): sum[i](a[i]**2)\n"


def test_constraints() -> None:
    text = "constraints:\n  a: g(w[:]) == hi\n  b[i]: 0 <= w[i] <= cap[i]\n  c: x >= 1 and g(w[:]) <= 3\n"
    found = good(PARAMS + text).constraints
    assert [(r.op, show(r.left), show(r.right)) for r in found["b"].relations] == [
        ("le", "0", "w[i]"),
        ("le", "w[i]", "cap[i]"),
    ]
    assert found["b"].letters == ("i",)
    assert [(r.op, show(r.left)) for r in found["c"].relations] == [
        ("le", "1"),
        ("le", show(found["c"].relations[1].left)),
    ]
    assert [r.op for r in found["a"].relations] == ["eq"]
    assert (found["b"].part(0), found["b"].part(1)) == ("b", "b.1")


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("a: x", "VS0355"),
        ("a: x == 1 or x == 2", "VS0355"),
        ("a: (x > 0) == (x > 1)", "VS0355"),
        ("a: x < 1", "VS0356"),
        ("a: 0 < x <= 1", "VS0356"),
        ("a: x != 1", "VS0356"),
        ("a: w[i] == 1", "VS0203"),
        ("a[k]: x == 1", "VS0202"),
        ("a[i]: x == 1\n  a[j]: x == 2", "VS0204"),
        ("a[0]: x == 1", "VS0220"),
        ("a: y == 1", "VS0201"),
    ],
)
def test_constraints_that_do_not_fit(text: str, code: str) -> None:
    assert codes(f"{PARAMS}constraints:\n  {text}\n") == [code]


SOLVE = "objectives:\n  loss: x**2 + sum[i](w[i]**2)\nsolve: {minimize: loss}\n"


def stage(constraints: str, solve: str, params: str = PARAMS) -> Stage:
    section = f"constraints:\n  {constraints}\n" if constraints else ""
    (found,) = good(params + section + SOLVE.replace("{minimize: loss}", f"{{minimize: loss{solve}}}")).plan
    return found


@pytest.mark.parametrize(
    ("constraints", "solve", "method", "strategy"),
    [
        ("", "", "lbfgs", None),
        ("a: x == 1", "", "newton", "interior_point"),
        ("a: x == 1", ", method: newton", "newton", "interior_point"),
        ("a: x == 1", ", method: lbfgs", "lbfgs", "augmented_lagrangian"),
        ("a: x == 1", ", method: sgd(0.1)", "sgd", "projection"),
        ("a: exp(x) == 1", ", method: sgd(0.1)", "sgd", "augmented_lagrangian"),
        ("a: x == 1", ", over: w", "lbfgs", None),
        ("a: x == 1", ", constraints: penalty, method: newton", "newton", "penalty"),
    ],
)
def test_how_constraints_are_kept(constraints: str, solve: str, method: str, strategy: str | None) -> None:
    found = stage(constraints, solve)
    assert [m.name for m in found.methods] == [method]
    assert (None if found.constraints is None else found.constraints.name) == strategy
    assert bool(found.subject) == (strategy is not None)


@pytest.mark.parametrize(
    ("domain", "solve", "strategy"),
    [
        ("box(0, 1)", "", None),
        ("box(0, 1)", ", method: newton", "interior_point"),
        ("positive", ", method: newton", None),
        ("integer", ", over: w", None),
    ],
)
def test_how_domains_are_kept(domain: str, solve: str, strategy: str | None) -> None:
    params = PARAMS.replace("x: {init: 0}", f"x:\n    init: 1\n    domain: {domain}")
    found = stage("", solve, params)
    assert (None if found.constraints is None else found.constraints.name) == strategy


@pytest.mark.parametrize(
    ("relation", "form"),
    [
        ("x + sum[i](w[i]) == 1", ("affine", True)),
        ("sum[i](w[i]) <= twice*2", ("affine", True)),
        ("twice == 1", ("affine", True)),
        ("w[i] <= cap[i]", ("box", True)),
        ("-w[i]/2 + 1 <= 3*cap[i]", ("box", True)),
        ("w[i] + x <= 1", ("affine", False)),
        ("w[i] == 1", ("affine", True)),
        ("sum[i](w[i]**2) <= 4", ("ball", True)),
        ("3*sum[i]((w[i] - cap[i])**2) + 3*x*x <= 4 - w[0]", ("ball", True)),
        ("4 >= square(w[0] + 1) + (2 - w[1])**2", ("ball", True)),
        ("sum[i](w[i]**2) == 1", ("ball", True)),
        ("w[i]**2 + 2*w[i] <= 4", ("ball", True)),
        ("(w[i] - 1)**2 + x**2 <= 4", ("ball", False)),
        ("norm[i](w[i] - 1) <= 2", ("norm", True)),
        ("sqrt(x**2 + sum[i](w[i]**2)) <= 2", ("norm", True)),
        ("sum[i](w[i]**2) + 2*x**2 <= 4", None),
        ("sum[i](w[i]**2) >= 4", None),
        ("sum[i](index(i)*w[i]**2) <= 4", None),
        ("w[0]**2 + sum[i](w[i]**2) <= 4", None),
        ("w[0]*w[1] <= 1", None),
        ("(x + w[0])**2 <= 1", None),
        ("sum[i](abs(w[i])) <= 1", None),
        ("max(x, 1) <= 3", None),
    ],
)
def test_forms(relation: str, form: tuple[str, bool] | None) -> None:
    text = PARAMS + "define:\n  twice: 2*x\n"
    bound = "sum[i]" in relation or "norm[i]" in relation
    text += f"constraints:\n  {'a' if bound or '[i]' not in relation else 'a[i]'}: {relation}\n"
    solve = "objectives:\n  loss: x**2 + sum[i](w[i]**2)\nsolve: {minimize: loss, method: sgd(0.1), constraints: projection}\n"
    if form is None:
        assert codes(text + solve) == ["VS0381"]
        return
    (found,) = good(text + solve).plan
    assert [(s.form, s.disjoint) for s in found.subject] == [form]
