"""What is said where a number is not finite: the definition, its line, the entry, and what happens there."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vspec
from vspec.runtime import NumericsError
from vspec.runtime.nonfinite import origin

HERE = __file__


def masked(x, y):  # type: ignore[no-untyped-def]
    a = jnp.where(y > 0, jnp.log(y), 0.0)  # NaN in a branch that is not taken
    b = jnp.sqrt(x - 1)  # the line
    return jnp.sum(a + b)


def recurrence(x):  # type: ignore[no-untyped-def]
    def step(s, t):  # type: ignore[no-untyped-def]
        s = s - t
        return jnp.log(s), s  # the line

    return jax.lax.scan(step, x, jnp.ones(5, x.dtype))[0]


def backward(x):  # type: ignore[no-untyped-def]
    def step(s, t):  # type: ignore[no-untyped-def]
        return s / t, s  # the line

    return jax.lax.scan(step, x, jnp.array([1.0, 0.0, 2.0], x.dtype), reverse=True)[0]


def loop(x):  # type: ignore[no-untyped-def]
    def step(s):  # type: ignore[no-untyped-def]
        return jnp.sqrt(s[0]) - 1.0, s[1] + 1  # the line

    return jax.lax.while_loop(lambda s: s[1] < 10, step, (x, 0))[0]


def branch(x):  # type: ignore[no-untyped-def]
    def other(y):  # type: ignore[no-untyped-def]
        return 1 / y  # the line

    return jax.lax.cond(x > 1, jnp.exp, other, x)


def product(x):  # type: ignore[no-untyped-def]
    y = x * 0
    return jnp.sum(y) * jnp.exp(1e3 * (1 + jnp.max(y)))  # the line


@pytest.mark.parametrize(
    ("function", "arguments", "told", "place", "step"),
    [
        (
            masked,
            ([2.0, 3.0, 0.5], [1.0, -1.0, 2.0]),
            "the square root of -0.5 is nan (operand from -0.5 to 2)",
            (2,),
            None,
        ),
        (recurrence, (4.0,), "log of -3.317 is nan", (), 2),
        (backward, (1.0,), "0.5 / 0 is inf", (), 1),
        (loop, (4.0,), "the square root of -1 is nan", (), 3),
        (branch, (0.0,), "1 / 0 is inf", (), None),
        (product, ([2.0, 3.0],), "exp of 1000 is inf", (), None),
    ],
)
def test_origins(function, arguments, told, place, step) -> None:  # type: ignore[no-untyped-def]
    found = origin(function, [jnp.asarray(x, jnp.float32) for x in arguments], HERE)
    assert found is not None
    assert (found.told(), found.place, found.step) == (told, place, step)
    assert found.line is not None
    assert "# the line" in Path(HERE).read_text(encoding="utf-8").split("\n")[found.line - 1]


def test_derivatives_have_origins_too() -> None:
    found = origin(jax.grad(lambda x: jnp.sum(jnp.sqrt(x))), [jnp.array([1.0, 0.0])], HERE)
    assert found is not None
    assert (found.place, found.told()) == ((1,), "0.5 / 0 is inf (operand from 0 to 1)")


def test_what_is_finite_has_none() -> None:
    assert origin(masked, [jnp.array([2.0]), jnp.array([-1.0])], HERE) is None
    assert origin(jnp.sum, [jnp.array([jnp.nan])], HERE) is None, "an argument that is not finite is no operation"


SPEC = """\
vspec: 1
name: blow
precision: float64
dims: {n: 5, i: 2}
constants: {shift: 1.0}
data:
  x[n, i]: {value: [[1, 0], [0, 1], [1, 1], [-3, 0], [0, 2]]}
params:
  w[i]: {init: 1}
define:
  margin[n]: sum[i](x[n, i]*w[i])
  scale[n]: sqrt(margin[n] + shift)
  safe[n]: log(margin[n]) if margin[n] > 0 else 0
objectives:
  loss: sum[n](scale[n]) + sum[n](safe[n])
solve:
  minimize: loss
  method: sgd(lr=0.3)
  steps: 50
"""


def failing(tmp_path: Path, *changes: tuple[str, str], **given: float) -> NumericsError:
    text = SPEC
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    (tmp_path / "blow.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(NumericsError) as caught:
        vspec.run(tmp_path / "blow.yaml", out=tmp_path / "results", constants=given)
    return caught.value


def test_a_definition_is_named_at_the_start(tmp_path: Path) -> None:
    error = failing(tmp_path)
    assert (error.code, error.line) == ("VS0601", 12)
    assert (
        "it begins in 'scale' on line 12 at n = 3: the square root of -2 is nan (operand from -2 to 3)" in error.message
    )
    said = json.loads((tmp_path / "results" / "run.json").read_text())
    assert (said["status"], said["error"]["line"]) == ("failed", 12)
    assert not (tmp_path / "results" / "last-good.npz").exists(), "nothing was good"


def test_a_definition_is_named_in_the_step_that_fails(tmp_path: Path) -> None:
    error = failing(tmp_path, shift=4.0)
    assert (error.code, error.line) == ("VS0602", 12)
    assert "it begins in 'scale' on line 12 at n = " in error.message
    assert str(tmp_path / "results" / "last-good.npz") in error.help
    with np.load(tmp_path / "results" / "last-good.npz") as kept:
        w = kept["w"]
    np.testing.assert_array_equal(w, error.last_good["w"])  # type: ignore[index]
    margin = np.array([[1, 0], [0, 1], [1, 1], [-3, 0], [0, 2]]) @ w
    assert np.all(margin + 4 >= 0), "all definitions are finite there"
    rows = [json.loads(text) for text in (tmp_path / "results" / "metrics.jsonl").read_text().splitlines()]
    assert rows[0]["step"] == 0


def test_a_derivative_is_told_from_a_definition(tmp_path: Path) -> None:
    error = failing(tmp_path, ("w[i]: {init: 1}", "w[i]: {init: 0}"), shift=0.0)
    assert error.code == "VS0603"
    assert "it begins in a derivative of '" in error.message
    assert "is inf" in error.message


def test_an_update_is_traced_too(tmp_path: Path) -> None:
    old = SPEC[SPEC.index("solve:") :]
    error = failing(tmp_path, (old, "solve:\n  update:\n    w[i]: log(w[i])*2\n  steps: 5\n"))
    assert (error.code, error.line) == ("VS0605", 18)
    assert "at i = 0: log of" in error.message
    assert error.last_good is not None
