"""Complex numbers: values against NumPy, derivatives against JAX's own complex arithmetic, at -O0 and -O2 in float64."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from tests.support.effort import examples
from tests.support.evaluate import evaluate_graph
from tests.support.meaning import Meaning
from tests.support.program import Emission
from vspec.compiler.graph.kernel import BORDER
from vspec.compiler.graph.node import Kind
from vspec.compiler.graph.rewrite import all_nodes
from vspec.compiler.pipeline import check_text, compile_spec

HEAD = """\
vspec: 1
name: complex
precision: float64
dims:
  i, j, k: 3
data:
  x[i]: real
  p[i]: {type: integer, in: [0, 1, 2]}
  A[i, j]: complex
params:
  z[i]: {init: 1, type: complex}
  w[i]: {init: 1j, type: complex}
  c: {init: 2 - 1j, type: complex}
"""

VALUES: dict[str, Any] = {
    "x": np.array([0.7, -1.2, 0.3]),
    "p": np.array([2, 0, 0]),
    "A": np.array([[2 + 1j, 0.3, -0.2j], [0.1 - 0.5j, 1.5, 0.4], [0.2, -0.3j, 3 - 1j]]),
    "z": np.array([0.6 - 0.4j, -1.1 + 0.3j, 0.2 + 0.9j]),
    "w": np.array([1.3 + 0.2j, 0.4 - 0.7j, -0.8 - 0.5j]),
    "c": np.array(0.9 + 0.35j),
}


def outputs(
    text: str, folder: Path, values: Mapping[str, Any] = VALUES, level: int = 2, head: str = HEAD
) -> dict[str, np.ndarray[Any, Any]]:
    """The outputs of a spec whose last sections are given."""
    spec, diagnostics = check_text(head + text, "complex.yaml")
    assert spec is not None, [d.message for d in diagnostics]
    found = Emission(spec, level, folder / f"program_{level}.py").call("outputs", values)
    return {name: np.asarray(value) for name, value in found.items()}


def one(expression: str, letters: str, folder: Path, values: Mapping[str, Any] = VALUES, level: int = 2) -> Any:
    return outputs(f"outputs:\n  r{letters}: '{expression}'\n", folder, values, level)["r"]


def close(ours: Any, theirs: Any, what: str = "") -> None:
    theirs = np.asarray(theirs)
    scale = max(1.0, float(np.max(np.abs(theirs), initial=0.0)))
    np.testing.assert_allclose(np.asarray(ours), theirs, atol=1e-9 * scale, rtol=1e-9, err_msg=what)


# --- functions --------------------------------------------------------------------------------------------------------

FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "exp(z[i])": np.exp,
    "log(z[i])": np.log,
    "sqrt(z[i])": np.sqrt,
    "sin(z[i])": np.sin,
    "cos(z[i])": np.cos,
    "tan(z[i])": np.tan,
    "sinh(z[i])": np.sinh,
    "cosh(z[i])": np.cosh,
    "tanh(z[i])": np.tanh,
    "square(z[i])": np.square,
    "conj(z[i])": np.conj,
    "-z[i]": np.negative,
    "re(z[i])": np.real,
    "im(z[i])": np.imag,
    "arg(z[i])": np.angle,
    "abs(z[i])": np.abs,
    "abs(z[i])**2": lambda z: np.abs(z) ** 2,
    "abs(z[i])**-4": lambda z: np.abs(z) ** -4.0,
    "z[i]**5": lambda z: z**5,
    "z[i]**-3": lambda z: z**-3.0,
    "z[i]**0": np.ones_like,
    "z[i]**0.5": lambda z: z**0.5,
    "z[i]**(1 - 2j)": lambda z: z ** (1 - 2j),
    "2**z[i]": lambda z: 2**z,
    "(-2 + 0j)**z[i]": lambda z: (-2 + 0j) ** z,
    "1/z[i]": lambda z: 1 / z,
    "(3 + 1j)/z[i]": lambda z: (3 + 1j) / z,
    "z[i]/(2j)": lambda z: z / 2j,
    "2j*z[i] - 0.5": lambda z: 2j * z - 0.5,
}
# All four quadrants, both axes, large and small.
POINTS = np.array([0.6 - 0.4j, -1.1 + 0.3j, 0.2 + 0.9j, -0.3 - 1.4j, 2.0, -1.5, 1j, -2j, 1 + 1j, -3 + 3j, 1e-3 + 2e-4j])
THREE = HEAD.replace("i, j, k: 3", "i, j, k: 11")
WIDE = {"z": POINTS, "w": POINTS, "x": POINTS.real, "p": np.arange(11) % 3, "A": np.eye(11) + 0j, "c": 1j}


@pytest.mark.parametrize("level", [0, 2])
def test_functions_have_numpys_values(tmp_path: Path, level: int) -> None:
    text = "outputs:\n" + "".join(f"  r{k}[i]: '{e}'\n" for k, e in enumerate(FUNCTIONS))
    found = outputs(text, tmp_path, WIDE, level, THREE)
    for k, (e, f) in enumerate(FUNCTIONS.items()):
        with np.errstate(all="ignore"):
            theirs = f(POINTS)
        np.testing.assert_allclose(found[f"r{k}"], theirs, rtol=1e-12, atol=1e-14, err_msg=e)


HOLOMORPHIC = {
    "exp(z[i])": jnp.exp,
    "log(z[i])": jnp.log,
    "sqrt(z[i])": jnp.sqrt,
    "sin(z[i])": jnp.sin,
    "cos(z[i])": jnp.cos,
    "tan(z[i])": jnp.tan,
    "sinh(z[i])": jnp.sinh,
    "cosh(z[i])": jnp.cosh,
    "tanh(z[i])": jnp.tanh,
    "square(z[i])": jnp.square,
    "z[i]**5": lambda z: z**5,
    "z[i]**-3": lambda z: z**-3,
    "z[i]**0.5": lambda z: jnp.exp(0.5 * jnp.log(z)),
    "z[i]**(1 - 2j)": lambda z: jnp.exp((1 - 2j) * jnp.log(z)),
    "2**z[i]": lambda z: jnp.exp(z * np.log(2)),
    "(3 + 1j)/z[i]": lambda z: (3 + 1j) / z,
    "z[i]/(z[i] + 2)": lambda z: z / (z + 2),
}


@pytest.mark.parametrize("level", [0, 2])
def test_holomorphic_functions_have_the_complex_derivative(tmp_path: Path, level: int) -> None:
    """`jax.grad(..., holomorphic=True)`, once and twice, on the axes and on the branch cut, too; d/d conj(z) vanishes."""
    text = "outputs:\n"
    for k, e in enumerate(HOLOMORPHIC):
        text += f"  a{k}[i]: 'd({e}, z[i])'\n  b{k}[i]: 'd({e}, z[i], z[i])'\n  n{k}[i]: 'conj(d(conj({e}), z[i]))'\n"
    found = outputs(text, tmp_path, WIDE, level, THREE)
    for k, (e, f) in enumerate(HOLOMORPHIC.items()):
        slope = jax.grad(f, holomorphic=True)
        first, second = (jax.vmap(g)(POINTS) for g in (slope, jax.grad(slope, holomorphic=True)))
        np.testing.assert_allclose(found[f"a{k}"], first, rtol=1e-9, atol=1e-10, err_msg=e)
        np.testing.assert_allclose(found[f"b{k}"], second, rtol=1e-8, atol=1e-9, err_msg=e)
        largest = np.max(np.abs(first))
        np.testing.assert_allclose(found[f"n{k}"], 0, atol=1e-12 * max(1.0, float(largest)), err_msg=e)


REAL = {
    "abs(z[i])": jnp.abs,
    "abs(z[i])**2": lambda z: jnp.real(z) ** 2 + jnp.imag(z) ** 2,
    "re(z[i]**3)": lambda z: jnp.real(z**3),
    "im(exp(z[i]))": lambda z: jnp.imag(jnp.exp(z)),
    "arg(z[i])": jnp.angle,
    "re(z[i]*conj(w[i]))/abs(w[i])": lambda z: jnp.real(z * jnp.conj(POINTS)) / jnp.abs(POINTS),
}


@pytest.mark.parametrize("level", [0, 2])
def test_real_functions_have_half_the_conjugate_of_jaxs_gradient(tmp_path: Path, level: int) -> None:
    text = "outputs:\n" + "".join(f"  r{k}[i]: 'd({e}, z[i])'\n" for k, e in enumerate(REAL))
    found = outputs(text, tmp_path, WIDE, level, THREE)
    for k, (e, f) in enumerate(REAL.items()):
        # JAX's gradient of a real function is dL/dx - i dL/dy.
        theirs = jax.grad(lambda z, f=f: jnp.sum(f(z)))(jnp.asarray(POINTS)) / 2
        np.testing.assert_allclose(found[f"r{k}"], theirs, rtol=1e-9, atol=1e-10, err_msg=e)


def test_branch_cuts_and_zero(tmp_path: Path) -> None:
    """Signed zeros choose the side of the cut as in NumPy; the modulus has the derivative 0 at 0."""
    edge = np.array([complex(-4.0, 0.0), complex(-4.0, -0.0), 0j])
    values = {**VALUES, "z": edge}
    for level in (0, 2):
        with np.errstate(all="ignore"):
            np.testing.assert_array_equal(one("arg(z[i])", "[i]", tmp_path, values, level), np.angle(edge))
            np.testing.assert_array_equal(one("sqrt(z[i])", "[i]", tmp_path, values, level), np.sqrt(edge))
            np.testing.assert_allclose(one("log(z[i])", "[i]", tmp_path, values, level), np.log(edge))
        assert one("abs(z[i])", "[i]", tmp_path, values, level)[2] == 0
        assert one("d(abs(z[i]), z[i])", "[i]", tmp_path, values, level)[2] == 0
        assert one("d(abs(z[i])**2, z[i])", "[i]", tmp_path, values, level)[2] == 0
        close(one("z[i]**2.5", "[i]", tmp_path, values, level)[2], 0)


@pytest.mark.parametrize("scale", [1e200, 1e-200])
def test_nothing_overflows_that_is_a_number(tmp_path: Path, scale: float) -> None:
    big = VALUES["z"] * scale
    values = {**VALUES, "z": big, "w": VALUES["w"] * scale}
    text = (
        "outputs:\n  q[i]: z[i]/w[i]\n  a[i]: abs(z[i])\n  l[i]: log(z[i])\n  s[i]: sqrt(z[i])\n"
        "  da[i]: d(abs(z[i]), z[i])\n  dq[i]: d(z[i]/w[i], z[i])\n  ds[i]: d(sqrt(z[i]), z[i])\n"
    )
    found = outputs(text, tmp_path, values)
    z, w = VALUES["z"], VALUES["w"]
    np.testing.assert_allclose(found["q"], z / w, rtol=1e-12)
    np.testing.assert_allclose(found["a"], np.abs(z) * scale, rtol=1e-12)
    np.testing.assert_allclose(found["l"], np.log(z) + np.log(scale), rtol=1e-12)
    np.testing.assert_allclose(found["s"], np.sqrt(z) * np.sqrt(scale), rtol=1e-12)
    np.testing.assert_allclose(found["da"], np.conj(z) / np.abs(z) / 2, rtol=1e-12)
    np.testing.assert_allclose(found["dq"], 1 / (w * scale), rtol=1e-12)
    np.testing.assert_allclose(found["ds"], 1 / (2 * np.sqrt(z) * np.sqrt(scale)), rtol=1e-12)


def test_large_arguments_of_tanh(tmp_path: Path) -> None:
    values = {**VALUES, "z": np.array([800 + 1j, -800 + 2j, 1e-9 + 1.5707j])}
    for e in ("tanh(z[i])", "1j*tan(-1j*z[i])"):
        np.testing.assert_allclose(one(e, "[i]", tmp_path, values), np.tanh(values["z"]), rtol=1e-9)
    slope = one("d(tanh(z[i]), z[i])", "[i]", tmp_path, values)
    assert np.all(np.isfinite(slope))
    close(slope[:2], [0, 0])


# --- whole expressions ------------------------------------------------------------------------------------------------

UNARY = (
    "sin({})",
    "tanh(0.3*({}))",
    "exp(-abs({})**2)",
    "conj({})",
    "sqrt(({}) + 4)",
    "log(({}) + 5j)",
    "({})**2",
    "im({})",
)
BINARY = (
    "({}) + ({})",
    "({})*({})",
    "({}) - 0.5j*({})",
    "({})/(3 + abs({}))",
    "({})/(({}) + 6)",
    "(({}) if x[0] > 0.1 else ({}))",
    "where(re({}) > 0.05, 0.3j, {})",
)


@st.composite
def expression(draw: Any, free: frozenset[str], depth: int) -> str:
    """A complex expression whose free letters are among `free`."""
    leaves = ["c", "0.5j", "2", "z[0]"]
    leaves += [f"{name}[{letter}]" for name in ("z", "w", "x") for letter in ("i", "j") if letter in free]
    leaves += [f"z[p[{letter}]]" for letter in ("i", "j") if letter in free]
    leaves += [f"A[{a}, {b}]" for a in ("i", "j") for b in ("i", "j") if {a, b} <= free]
    if depth == 0:
        return draw(st.sampled_from(leaves))
    kind = draw(st.sampled_from(["leaf", "unary", "binary", "binary", "reduce", "derivative", "solve"]))

    def sub(letters: frozenset[str], at: int = depth - 1) -> str:
        return draw(expression(letters, at))

    if kind == "unary":
        return draw(st.sampled_from(UNARY)).format(sub(free))
    if kind == "binary":
        return draw(st.sampled_from(BINARY)).format(sub(free), sub(free))
    if kind == "reduce":
        letter = next((x for x in "ijk" if x not in free), None)
        op = draw(st.sampled_from(["sum", "mean", "prod", "norm", "var"]))
        return sub(free) if letter is None else f"{op}[{letter}]({sub(free | {letter})} + 0.3*z[{letter}])"
    if kind == "derivative":
        letter = sorted(free & {"i", "j"})
        wrt = draw(st.sampled_from([*(f"{n}[{x}]" for n in ("z", "w", "x") for x in letter), "c"]))
        return f"d({sub(free, min(depth - 1, 2))}, {wrt})"
    if kind == "solve" and "i" in free:
        return f"solve(A[:, :], {draw(st.sampled_from('zwx'))}[:])[i]*({sub(free)})"
    return draw(st.sampled_from(leaves))


@st.composite
def system(draw: Any) -> str:
    """A definition and a real loss with its derivatives."""
    return (
        "define:\n"
        f"  first[i]: 0.5j + {draw(expression(frozenset('i'), 2))}\n"
        f"  loss: re({draw(expression(frozenset(), 3))}) + sum[i](abs(first[i])**2)\n"
        "outputs:\n"
        f"  shown[i, j]: {draw(expression(frozenset('ij'), 3))}\n"
        "  slope[i]: d(loss, z[i])\n"
        "  curvature[i, j]: d(loss, z[i], z[j])\n"
        "  mixed[i]: d(loss, w[i], c)\n"
        "  own[i]: d(first[i], z[i])\n"
    )


@settings(max_examples=examples(4), deadline=None, suppress_health_check=list(HealthCheck))
@given(system())
def test_generated_systems_mean_what_they_say(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    text = HEAD + text
    spec, diagnostics = check_text(text, "complex.yaml")
    assert spec is not None, "\n".join(d.message for d in diagnostics) + text
    truth = Meaning(spec, VALUES).outputs()
    assume(all(np.all(np.isfinite(v)) and np.max(np.abs(v)) < 1e6 for v in truth.values()))
    folder = tmp_path_factory.mktemp("complex")
    for level in (0, 2):
        found = Emission(spec, level, folder / f"program_{level}.py").call("outputs", VALUES)
        for name, value in truth.items():
            close(found[name], value, f"-O{level} {name}\n{text}")


def test_the_reference_interpreter_agrees(tmp_path: Path) -> None:
    text = (
        "define:\n  y[i]: z[i]*exp(1j*x[i])/(w[i] + abs(c)) + sum[j](A[i, j]*conj(z[j]))\n"
        "outputs:\n  a[i]: sqrt(y[i])\n  b: prod[i](y[i])\n  g[i]: d(norm[j](y[j]), z[i])\n"
    )
    spec, _ = check_text(HEAD + text, "complex.yaml")
    assert spec is not None
    theirs = evaluate_graph(compile_spec(spec, level=0).graph, VALUES)["outputs"]
    for name, value in outputs(text, tmp_path).items():
        close(value, theirs[(name,)], name)


def test_only_the_border_is_complex() -> None:
    """Arguments, the kernels that split them and those that join results; nothing else in the graph."""
    text = (
        "define:\n  y[i]: sum[j](A[i, j]*z[j])\n  q[t]: exp(1j*w[0]*index(t))\n  s[0]: c\n  s[t + 1]: s[t]*z[0]\n"
        "objectives:\n  loss: re(sum[i](y[i]*conj(z[i]))) + abs(s[-1])\n"
        "solve: {minimize: loss, method: newton}\noutputs:\n  o[i]: d(loss, z[i])\n  r: s[-1]\n  l[t]: q[t]\n"
    )
    spec, diagnostics = check_text(HEAD.replace("i, j, k: 3", "i, j, k: 3\n  t: 4") + text, "complex.yaml")
    assert spec is not None, [d.message for d in diagnostics]
    for level in (0, 2):
        graph = compile_spec(spec, level=level).graph
        # Equal results of several entries may show one node under several names of its axes.
        shown = {x.uid for n in graph.roots for x in ((n, *n.inputs) if n.kind is Kind.REINDEX else (n,))}
        for n in all_nodes(graph):
            if n.dtype == "complex" and n.kind is not Kind.INPUT:
                assert n.kind is Kind.REINDEX or n.attrs[0].tree[0] == "complex", n
                assert n.uid in shown, n
            elif n.kind is Kind.MAP and any(x.dtype == "complex" for x in n.inputs):
                assert n.attrs[0].tree[0] in BORDER


# --- reductions, linear algebra, recurrences --------------------------------------------------------------------------


def test_reductions(tmp_path: Path) -> None:
    z = VALUES["z"]
    text = "outputs:\n" + "".join(f"  r_{op}: {op}[i](z[i])\n" for op in ("sum", "mean", "prod", "norm", "var"))
    for level in (0, 2):
        found = outputs(text, tmp_path, level=level)
        close(found["r_sum"], np.sum(z))
        close(found["r_mean"], np.mean(z))
        close(found["r_prod"], np.prod(z))
        close(found["r_norm"], np.linalg.norm(z))
        close(found["r_var"], np.var(z))
        assert found["r_norm"].dtype == found["r_var"].dtype == np.float64


@pytest.mark.parametrize("size", [5, 17, 40])
def test_products_written_out_and_as_loops(tmp_path: Path, size: int) -> None:
    """Also at a zero, where the derivative is the product of the others."""
    head = HEAD.replace("i, j, k: 3", f"i, j, k: {size}")
    rng = np.random.default_rng(size)
    z = np.exp(0.1 * rng.normal(size=size) + 1j * rng.normal(size=size))
    z[2] = 0
    A = 0.1 * np.outer(z, z + 1)
    values = {"z": z, "w": z, "x": z.real, "p": np.zeros(size, int), "A": A, "c": 1j}
    text = (
        "outputs:\n  r: prod[i](z[i])\n  g[i]: d(prod[j](z[j]), z[i])\n"
        "  b[i]: prod[j](A[i, j] + 1)\n  n: prod[i, j](A[i, j] + 1)\n"
    )
    found = outputs(text, tmp_path, values, head=head)
    close(found["r"], np.prod(z))
    close(found["g"], jax.grad(jnp.prod, holomorphic=True)(jnp.asarray(z)))
    close(found["b"], np.prod(A + 1, axis=1))
    close(found["n"], np.prod(A + 1))


def test_linear_algebra(tmp_path: Path) -> None:
    A, z, x = (VALUES[n] for n in "Azx")
    text = (
        "outputs:\n  s[i]: solve(A[:, :], z[:])[i]\n  r[i]: solve(A[:, :], x[:])[i]\n  m[i]: solve(M[:, :], z[:])[i]\n"
        "  v[i, j]: inv(A[:, :])[i, j]\n  t: trace(A[:, :])\n  e: inv(A[:, :])[0, -1]\n"
        "  b[k, i]: solve(B[k, :, :], z[:])[i]\n"
        "  g[i, j]: d(re(sum[k](conj(w[k])*solve(A[:, :], z[:])[k])), A[i, j])\n"
        "  h[i, j]: d(solve(A[:, :], z[:])[i], z[j])\n"
    )
    define = "define:\n  M[i, j]: 2*delta[i, j] + 0.2*x[i]*x[j]\n  B[k, i, j]: A[i, j] + x[k]*1j*delta[i, j]\n"
    M = 2 * np.eye(3) + 0.2 * np.outer(x, x)
    for level in (0, 2):
        found = outputs(define + text, tmp_path, level=level)
        close(found["s"], np.linalg.solve(A, z))
        close(found["r"], np.linalg.solve(A, x))
        close(found["m"], np.linalg.solve(M, z))
        close(found["v"], np.linalg.inv(A))
        close(found["e"], np.linalg.inv(A)[0, -1])
        close(found["t"], np.trace(A))
        close(found["b"], [np.linalg.solve(A + 1j * t * np.eye(3), z) for t in x])
        close(found["h"], np.linalg.inv(A))
        # d(re(w' A^-1 z)) = -re(w' A^-1 dA A^-1 z).
        left, right = np.linalg.solve(A.T, np.conj(VALUES["w"])), np.linalg.solve(A, z)
        close(found["g"], -np.outer(left, right) / 2)


def test_a_recurrence_becomes_complex_where_its_step_is(tmp_path: Path) -> None:
    head = HEAD.replace("i, j, k: 3", "i, j, k: 3\n  t: 6")
    text = (
        "define:\n  s[0, i]: 1\n  s[t + 1, i]: a[t, i] + 0.1*s[t, i]**2\n  a[t, i]: 1j*z[i]*s[t, i]\n"
        "outputs:\n  path[t, i]: s[t, i]\n  last[i]: s[-1, i]\n  turned[t, i]: a[t, i]\n"
    )
    twice = text + "  g[i]: d(s[-1, i], z[i])\n  h[i]: d(abs(s[-1, i]), z[i], z[i])\n"
    z = VALUES["z"]

    def last(z: Any) -> Any:
        s = jnp.ones_like(z)
        for _ in range(5):
            s = 1j * z * s + 0.1 * s**2
        return s

    path = [np.ones(3, complex)]
    for _ in range(5):
        path.append(1j * z * path[-1] + 0.1 * path[-1] ** 2)
    curved = np.array([jax.hessian(lambda v: jnp.abs(last(v[0] + 1j * v[1])))(jnp.array([y.real, y.imag])) for y in z])
    for level in (0, 2):
        found = outputs(twice if level else text, tmp_path, level=level, head=head)
        close(found["path"], path)
        close(found["last"], path[-1])
        close(found["turned"], 1j * z * np.array(path))
    close(found["g"], jax.vmap(jax.grad(last, holomorphic=True))(z))
    # Twice (d/dx - i d/dy)/2.
    close(found["h"], (curved[:, 0, 0] - curved[:, 1, 1] - 2j * curved[:, 0, 1]) / 4)


def test_functions_conditions_and_definitions_as_variables(tmp_path: Path) -> None:
    text = (
        "functions:\n  density(u): re(u*conj(u))\n  slope(u): d(u**3 + conj(u), u)\n"
        "define:\n  y[i]: z[i] if abs(z[i]) > 1 else conj(z[i])*2j\n  unit: 1j\n  two: 2.0\n"
        "outputs:\n  a[i]: density(y[i])\n  b[i]: density(x[i])\n  c1[i]: slope(y[i])\n  e[i]: d(y[i]**2*x[i], y[i])\n"
        "  same[i]: z[i] == y[i]\n  other[i]: z[i] != y[i]\n  u: d(unit**3, unit)\n  v: d(two**3, two)\n"
        "  r[i]: im(x[i]) + arg(x[i])\n"
    )
    z, x = VALUES["z"], VALUES["x"]
    y = np.where(np.abs(z) > 1, z, np.conj(z) * 2j)
    for level in (0, 2):
        found = outputs(text, tmp_path, level=level)
        close(found["a"], np.abs(y) ** 2)
        close(found["b"], x**2)
        close(found["c1"], 3 * y**2)
        close(found["e"], 2 * y * x)
        np.testing.assert_array_equal(found["same"], z == y)
        np.testing.assert_array_equal(found["other"], z != y)
        close(found["u"], -3)
        close(found["v"], 12)
        close(found["r"], np.angle(x))


def test_derivatives_by_reals_and_stop(tmp_path: Path) -> None:
    text = (
        "outputs:\n  a[i]: d(exp(1j*x[i])*z[i], x[i])\n  b[i]: d(abs(z[i] + x[i])**2, x[i], z[i])\n"
        "  c1[i]: d(stop(z[i])*conj(z[i])*z[i], z[i])\n  e[i, j]: d(z[i]*z[j]*conj(w[j]), z[i])\n"
    )
    z, w, x = (VALUES[n] for n in "zwx")
    found = outputs(text, tmp_path)
    close(found["a"], 1j * np.exp(1j * x) * z)
    close(found["b"], np.ones(3))
    close(found["c1"], z * np.conj(z))
    # The diagonal of the Jacobian: z[j] is another element of the same name where j is i.
    close(found["e"], z[None] * np.conj(w)[None] + np.diag(z * np.conj(w)))


def test_precision_float32_is_complex64(tmp_path: Path) -> None:
    found = outputs(
        "outputs:\n  r[i]: z[i]*w[i] + 1j\n  s: 2j\n  t[i]: 1j\n", tmp_path, head=HEAD.replace("float64", "float32")
    )
    assert {a.dtype for a in found.values()} <= {np.dtype(np.complex64), np.dtype(np.complex128)}
    np.testing.assert_allclose(found["r"], VALUES["z"] * VALUES["w"] + 1j, rtol=1e-6)
    np.testing.assert_array_equal(found["t"], np.full(3, 1j))
