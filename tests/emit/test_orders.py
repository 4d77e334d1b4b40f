"""Arrays are made in the order of the arguments, and slender products along their long axis; values stay what they are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vspec
from tests.support.traced import equations
from vspec.compiler import pipeline
from vspec.compiler.graph.node import Axis
from vspec.compiler.graph.orders import ranked, ranks

SPEC = """\
vspec: 1
name: classes
precision: float64
dims: {n: 90, i: 5, a: 40, k: 3}
data:
  x[n, i]: real
  label[n]: {type: integer}
params:
  U[i, a]: {init: 0}
  W[a, k]: {init: 0}
  w[k]: {init: 0}
define:
  f[n, a]: tanh(sum[i](x[n, i]*U[i, a]))
  logp[n, k]: log_softmax[k](sum[a](f[n, a]*W[a, k]) + w[k])
objectives:
  loss: -mean[n](logp[n, label[n]])
outputs:
  mixed[i, a, k]: d(loss, U[i, a], w[k])
solve: {minimize: loss, method: adam(lr=0.1), steps: 1}
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    folder = tmp_path_factory.mktemp("classes")
    (folder / "classes.yaml").write_text(SPEC, encoding="utf-8")
    with jax.enable_x64(True):
        yield vspec.load(pipeline.build(folder / "classes.yaml", folder / "out", stablehlo=False).directory)


def known() -> dict[str, Any]:
    """Values for all names."""
    rng = np.random.default_rng(2)
    shapes = {"U": (5, 40), "W": (40, 3), "w": (3,)}
    params = {n: jnp.asarray(rng.normal(size=s)) for n, s in shapes.items()}
    return {"x": jnp.asarray(rng.normal(size=(90, 5))), "label": jnp.asarray(rng.integers(0, 3, 90)), **params}


def loss(p: dict[str, Any], x: Any, label: Any) -> Any:
    """As it is written."""
    logp = jax.nn.log_softmax(jnp.tanh(x @ p["U"]) @ p["W"] + p["w"])
    return -jnp.mean(logp[jnp.arange(90), label])


def arguments(program: Any, entry: str) -> list[Any]:
    """What an entry takes, with what is prepared."""
    values = known()
    values |= program.prepare(*(values[a.name] for a in program.entries["prepare"].arguments))
    return [values[a.name] for a in program.entries[entry].arguments]


def names(program: Any) -> list[str]:
    """What the gradient takes."""
    return [a.name for a in program.entries["loss_gradient"].arguments]


def test_values_and_derivatives_are_those_of_jax(program: Any) -> None:
    values = known()
    x, label = values.pop("x"), values.pop("label")
    value, gradient = program.loss_value_and_gradient(*arguments(program, "loss_value_and_gradient"))
    np.testing.assert_allclose(value, loss(values, x, label), rtol=1e-12)
    for name, want in jax.jit(jax.grad(loss))(values, x, label).items():
        np.testing.assert_allclose(gradient[name], want, rtol=1e-9, atol=1e-12, err_msg=name)
    mixed = program.outputs(*arguments(program, "outputs"))["mixed"]
    want = jax.jit(jax.hessian(loss))(values, x, label)["U"]["w"]
    np.testing.assert_allclose(mixed, want, rtol=1e-9, atol=1e-12)


def test_what_is_prepared_has_the_order_of_the_arguments(program: Any) -> None:
    shapes = [x.shape for n, x in zip(names(program), arguments(program, "loss_gradient"), strict=True) if "prep" in n]
    assert sorted(shapes) == [(90,), (90, 3)]


def test_examples_stand_first_in_every_step(program: Any) -> None:
    jaxpr = jax.make_jaxpr(program.loss_value_and_gradient)(*arguments(program, "loss_value_and_gradient"))
    # A product may read its operand the other way around.
    found = {tuple(v.aval.shape) for e in equations(jaxpr.jaxpr) if e.primitive.name != "transpose" for v in e.outvars}
    assert {(90, 40), (90, 3)} <= found
    assert not {(40, 90), (3, 90)} & found


def test_a_slender_product_has_its_long_axis_last(program: Any) -> None:
    jaxpr = jax.make_jaxpr(program.loss_value_and_gradient)(*arguments(program, "loss_value_and_gradient"))
    products = [tuple(e.outvars[0].aval.shape) for e in equations(jaxpr.jaxpr) if e.primitive.name == "dot_general"]
    assert (3, 40) in products
    assert (40, 3) not in products


def test_ranks_follow_the_arrays_and_put_what_they_do_not_have_last() -> None:
    n, i, k = (Axis(x, x) for x in "nik")
    place = ranks([(n, i), (i, k)])
    assert ranked((k, i, n), place) == (n, i, k)
    assert ranked((k, Axis("z", "z"), n), place) == (n, k, Axis("z", "z"))
    # Of two arrays that contradict one another the first one counts.
    assert ranked((i, n), ranks([(n, i), (i, n)])) == (n, i)


TENSORS = """\
vspec: 1
name: tensors
precision: float64
dims: {n: 50, i: 3, a: 8, b: 7}
data:
  J[n, i, b]: real
  s[n, a]: real
  V[i, a, b]: real
outputs:
  over_rows[a, i, b]: sum[n](J[n, i, b]*s[n, a])
  over_two[n, a]: sum[i, b](J[n, i, b]*V[i, a, b])
  over_last[n, i, a]: sum[b](J[n, i, b]*V[0, a, b])
"""


def test_products_of_tensors_turn_none_of_them_around(tmp_path: Path) -> None:
    (tmp_path / "tensors.yaml").write_text(TENSORS, encoding="utf-8")
    rng = np.random.default_rng(1)
    with jax.enable_x64(True):
        program = vspec.load(pipeline.build(tmp_path / "tensors.yaml", tmp_path / "out", stablehlo=False).directory)
        given = {"J": rng.normal(size=(50, 3, 7)), "s": rng.normal(size=(50, 8)), "V": rng.normal(size=(3, 8, 7))}
        named = [jnp.asarray(given[a.name]) for a in program.entries["outputs"].arguments]
        found = program.outputs(*named)
        jaxpr = jax.make_jaxpr(program.outputs)(*named).jaxpr
    J, s, V = given["J"], given["s"], given["V"]
    np.testing.assert_allclose(found["over_rows"], np.einsum("nib,na->aib", J, s), rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(found["over_two"], np.einsum("nib,iab->na", J, V), rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(found["over_last"], np.einsum("nib,ab->nia", J, V[0]), rtol=1e-12, atol=1e-13)
    made = list(equations(jaxpr))
    assert all(e.invars[0].aval.size < J.size for e in made if e.primitive.name == "transpose")
    products = [e for e in made if e.primitive.name == "dot_general"]
    assert len(products) == 3
    # Over rows both operands are matrices, the narrow one on the left.
    assert [v.aval.shape for e in products for v in e.invars if v.aval.ndim == 2][:2] == [(8, 50), (50, 21)]
    # Two axes are summed in the order in which the tensor has them.
    (two,) = (e for e in products if set(e.outvars[0].aval.shape) == {50, 8})
    assert (1, 2) in two.params["dimension_numbers"][0]
