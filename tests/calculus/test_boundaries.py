"""Shifted, strided and reversed reads under every boundary: NumPy's own padding says what lies beyond the ends."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.calculus.jax_reference import evaluate_all
from tests.support.effort import examples
from tests.support.evaluate import evaluate_graph
from tests.support.program import Emission
from vspec.compiler.calculus.program import lower_spec
from vspec.compiler.graph.node import Kind, topological
from vspec.compiler.passes import run_passes
from vspec.compiler.pipeline import check_text, compile_spec

PADS = {"periodic": "wrap", "zero": "constant", "reflect": "reflect"}


@dataclass(frozen=True)
class Case:
    """`u[scale*letter + offset]` on an axis of `size` values; the letter is x, or y over a dim of its own."""

    mode: str
    size: int
    open: bool
    letter: str
    count: int
    scale: int
    offset: int
    other: int

    @property
    def subscript(self) -> str:
        return f"{self.scale}*{self.letter} + {self.offset}"

    def spec(self) -> str:
        size, count = ("auto" if self.open else self.size), self.count
        x, y = self.letter, ("z" if self.letter == "x" else "w")
        lines = [
            "vspec: 1",
            "name: reads",
            "precision: float64",
            "dims:",
            f"  x, z: {{size: {size}, boundary: {self.mode}}}",
            f"  y, w: {count}",
            "data:",
            "  u[x]: real",
            f"  v[{x}]: real",
            "define:",
            f"  r[{x}]: u[{self.subscript}]",
            f"  e: sum[{x}](sin(v[{x}]*r[{x}]) + r[{x}]**2*v[{x}])",
            "outputs:",
            f"  r[{x}]: r[{x}]",
            f"  jacobian[{x}, z]: d(sin(r[{x}])*v[{x}], u[z])",
            "  gradient[x]: d(e, u[x])",
            "  hessian[x, z]: d(e, u[x], u[z])",
            "  curvature[x]: d(e, u[x], u[x])",
            f"  mixed[x, {y}]: d(e, u[x], v[{y}])",
        ]
        if self.letter == "x":
            lines += [
                "  diagonal[x]: d(sin(r[x])*u[x], u[x])",
                f"  beside[x]: d(sin(r[x])*u[x], u[x + {self.other}])",
            ]
        return "\n".join(lines) + "\n"

    def read(self, u: Any, subscript: tuple[int, int] | None = None) -> Any:
        """The values that are read, by NumPy's padding of the positions."""
        scale, offset = subscript or (self.scale, self.offset)
        count = self.size if self.letter == "x" else self.count
        reach = abs(scale) * count + abs(offset)
        where = reach + scale * np.arange(count) + offset
        # The index 0 stands for nothing, so that the padding's own zeros are told from position 0.
        positions = np.pad(np.arange(1, self.size + 1), reach, mode=PADS[self.mode])[where]
        return jnp.where(positions > 0, u[positions - 1], 0.0)

    def truth(self, u: Any, v: Any) -> dict[str, Any]:
        found: dict[str, Any] = jax.jit(self.differentiated)(u, v)
        return found

    def differentiated(self, u: Any, v: Any) -> dict[str, Any]:
        def energy(u: Any, v: Any) -> Any:
            r = self.read(u)
            return jnp.sum(jnp.sin(v * r) + r**2 * v)

        found = {
            "r": self.read(u),
            "jacobian": jax.jacobian(lambda u: jnp.sin(self.read(u)) * v)(u),
            "gradient": jax.grad(energy)(u, v),
            "hessian": jax.hessian(energy)(u, v),
            "curvature": jnp.diagonal(jax.hessian(energy)(u, v)),
            "mixed": jax.jacobian(jax.grad(energy), 1)(u, v),
        }
        if self.letter == "x":
            whole = jax.jacobian(lambda u: jnp.sin(self.read(u)) * u)(u)
            found["diagonal"] = jnp.diagonal(whole)
            # A derivative by what is read: each row at the position that its own read has, nothing beyond a zero end.
            found["beside"] = jnp.stack([self.read(row, (1, self.other))[x] for x, row in enumerate(whole)])
        return found

    def values(self) -> dict[str, Any]:
        rng = np.random.default_rng(self.size + 10 * self.count)
        return {"u": rng.normal(size=self.size), "v": rng.normal(size=self.size if self.letter == "x" else self.count)}


@st.composite
def cases(draw: Any) -> Case:
    return Case(
        mode=draw(st.sampled_from(sorted(PADS))),
        size=draw(st.integers(1, 5)),
        open=draw(st.booleans()),
        letter=draw(st.sampled_from("xxy")),
        count=draw(st.integers(1, 5)),
        scale=draw(st.sampled_from([1, 1, 1, 2, -1, -2, 3])),
        offset=draw(st.integers(-9, 9)),
        other=draw(st.integers(-3, 3)),
    )


def close(ours: Any, theirs: Any, what: str) -> None:
    theirs = np.asarray(theirs, float)
    assert np.shape(ours) == theirs.shape, what
    scale = max(1.0, float(np.max(np.abs(theirs), initial=0.0)))
    np.testing.assert_allclose(np.asarray(ours, float), theirs, atol=1e-10 * scale, rtol=1e-10, err_msg=what)


@settings(max_examples=examples(60), deadline=None, suppress_health_check=list(HealthCheck))
@given(cases())
def test_reads_and_their_derivatives_to_second_order(case: Case) -> None:
    spec, found = check_text(case.spec(), "reads.yaml")
    if spec is None:
        # A plain letter of another dim is no shift: it has to fit.
        assert case.letter == "y"
        assert (case.scale, case.offset) == (1, 0)
        assert {d.code for d in found} == {"VS0208"}
        return
    values, truth = case.values(), case.truth(**case.values())
    graph = lower_spec(spec)
    sizes = {"x": case.size, "y": case.count}
    given_ = {n.uid: values[name] for name, n in graph.inputs.items()}
    (outputs,) = graph.entries
    arrays = evaluate_all([r.node for r in outputs.results], given_, sizes)
    for r, array in zip(outputs.results, arrays, strict=True):
        close(array, truth[str(r.path[0])], f"{case} {r.path}")
    optimised, _ = run_passes(graph, 2, ())
    for entry in evaluate_graph(optimised, values).values():
        for path, array in entry.items():
            close(array, truth[str(path[0])], f"{case} -O2 {path}")


EMITTED = [
    Case("periodic", 5, False, "x", 3, 1, 1, 1),
    Case("periodic", 5, True, "x", 3, 1, -7, 2),
    Case("zero", 5, False, "x", 3, 1, 2, -1),
    Case("zero", 3, True, "x", 3, 1, -4, 1),
    Case("reflect", 5, False, "x", 3, 1, -2, 1),
    Case("reflect", 4, True, "x", 3, 2, -3, -1),
    Case("zero", 4, False, "y", 5, 2, -3, 0),
    Case("periodic", 4, False, "x", 5, -1, 0, 1),
]


@pytest.mark.parametrize("case", EMITTED, ids=str)
@pytest.mark.parametrize("level", [0, 2])
def test_emitted_programs_read_the_same(case: Case, level: int, tmp_path: Path) -> None:
    spec, _ = check_text(case.spec(), "reads.yaml")
    assert spec is not None
    outputs = Emission(spec, level, tmp_path / "program.py").call("outputs", case.values())
    for name, array in case.truth(**case.values()).items():
        close(outputs[name], array, f"{case} {name}")


STENCIL = """\
vspec: 1
name: stencil
precision: float64
dims:
  x, y: {size: 64, boundary: MODE}
params:
  u[x]: {init: "sin(index(x))"}
define:
  e: sum[x]((u[x + 1] - u[x])**2)
outputs:
  gradient[x]: d(e, u[x])
"""


@pytest.mark.parametrize("mode", ["periodic", "zero"])
def test_the_gradient_of_a_dirichlet_energy_is_a_stencil(mode: str, tmp_path: Path) -> None:
    """No array has two axes, nothing is gathered or scattered: the adjoint of a shift is a shift."""
    spec, _ = check_text(STENCIL.replace("MODE", mode), "stencil.yaml")
    assert spec is not None
    graph = compile_spec(spec).graph
    (outputs,) = [e for e in graph.entries if e.kind == "outputs"]
    nodes = topological([r.node for r in outputs.results])
    assert all(len(n.axes) <= 1 for n in nodes)
    assert not any(n.kind in (Kind.GATHER, Kind.SCATTER) for n in nodes)
    assert sum(n.kind is Kind.WINDOW and n.op == "shift" for n in nodes) == 2
    u = np.random.default_rng(0).normal(size=64)
    ours = Emission(spec, 2, tmp_path / "program.py").call("outputs", {"u": u})["gradient"]
    before, after = np.roll(u, 1), np.roll(u, -1)
    laplacian = 2 * u - before - after
    if mode == "zero":
        laplacian[0], laplacian[-1] = u[0] - u[1], 2 * u[-1] - u[-2]
    close(ours, 2 * laplacian, mode)


def test_a_letter_through_a_shift_is_mixed() -> None:
    """The diagonal of a shifted read is formed from the Jacobian, never by one sweep along the letter."""
    text = (
        STENCIL.replace("MODE", "periodic") + "  own[x]: d(u[x + 1]*u[x], u[x])\n  next_[x]: d(u[x + 1]**2, u[x + 1])\n"
    )
    spec, _ = check_text(text, "stencil.yaml")
    assert spec is not None
    graph = lower_spec(spec)
    u = np.random.default_rng(1).normal(size=64)
    found = evaluate_graph(graph, {"u": u})["outputs"]
    close(found[("own",)], np.roll(u, -1), "d(u[x + 1]*u[x], u[x])")
    close(found[("next_",)], 2 * np.roll(u, -1), "d(u[x + 1]**2, u[x + 1])")


def test_a_step_of_a_partial_differential_equation(tmp_path: Path) -> None:
    text = """\
vspec: 1
name: heat
precision: float64
dims:
  t: 6
  x, y: {size: 16, from: 0, to: L, boundary: periodic}
constants:
  L: 2.0
  D: 0.3
data:
  start[x]: real
define:
  u[0, x]: start[x]
  u[t + 1, x]: u[t, x] + 0.01*D*(u[t, x - 1] - 2*u[t, x] + u[t, x + 1])/spacing(x)**2 + 0.001*u[t, 2*x - 1]
  end: sum[x](u[-1, x]**2*cos(coord(x)))
outputs:
  u[t, x]: u[t, x]
  gradient[x]: d(end, start[x])
  hessian[x, y]: d(end, start[x], start[y])
  by_length: d(end, L)
"""
    spec, found = check_text(text, "heat.yaml")
    assert spec is not None, found
    start = np.random.default_rng(2).normal(size=16)

    def path(start: Any, length: Any) -> Any:
        h, states = length / 16, [start]
        for _ in range(5):
            u = states[-1]
            lap = (jnp.roll(u, 1) - 2 * u + jnp.roll(u, -1)) / h**2
            states.append(u + 0.01 * 0.3 * lap + 0.001 * u[(2 * np.arange(16) - 1) % 16])
        return jnp.stack(states)

    def end(start: Any, length: Any) -> Any:
        return jnp.sum(path(start, length)[-1] ** 2 * jnp.cos(jnp.arange(16) * length / 16))

    values = {"start": start, "L": 2.0, "D": 0.3}
    for level in (0, 2):
        ours = Emission(spec, level, tmp_path / f"program_{level}.py").call("outputs", values)
        close(ours["u"], path(start, 2.0), "u")
        close(ours["gradient"], jax.jit(jax.grad(end))(start, 2.0), "gradient")
        close(ours["hessian"], jax.jit(jax.hessian(end))(start, 2.0), "hessian")
        close(ours["by_length"], jax.jit(jax.grad(end, 1))(start, 2.0), "by_length")


def test_an_argument_beyond_the_ends_is_zero_as_an_array(tmp_path: Path) -> None:
    """A function that reads its argument beyond the ends reads 0 there, not what the formula is at a value of 0."""
    text = """\
vspec: 1
name: argument
precision: float64
dims: {x: {size: 4, boundary: zero}, i: {size: 4, boundary: periodic}, k: 4}
functions:
  next_x(a[:]): sum[x](a[x + 1]*(index(x) + 1))
  next_i(a[:]): sum[i](a[i + 1]*(index(i) + 1))
data:
  u[x]: real
  v[k]: real
  w[i]: real
outputs:
  a: next_x(exp(u[:]))
  b: next_i(w[:]*v[:])
"""
    spec, found = check_text(text, "argument.yaml")
    assert spec is not None, found
    u, v, w = np.random.default_rng(3).normal(size=(3, 4))
    ours = Emission(spec, 2, tmp_path / "program.py").call("outputs", {"u": u, "v": v, "w": w})
    weights = np.arange(1, 5)
    close(ours["a"], np.sum(np.append(np.exp(u)[1:], 0) * weights), "zero")
    close(ours["b"], np.sum(np.roll(w * v, -1) * weights), "periodic")


def test_the_logarithm_of_a_shifted_exponential_is_that_of_zero_beyond_the_end() -> None:
    text = """\
vspec: 1
name: logarithm
precision: float64
dims: {x: {size: 4, boundary: zero}, z: {size: 4, boundary: reflect}}
data:
  u[x]: real
  v[z]: real
define:
  p[x]: exp(u[x])
  q[z]: exp(v[z])
outputs:
  a[x]: log(p[x + 1])
  b[z]: log(q[2*z - 1])
  s[x]: log(p[2*x])
"""
    spec, _ = check_text(text, "logarithm.yaml")
    assert spec is not None
    u, v = np.random.default_rng(4).normal(size=(2, 4))
    found = evaluate_graph(compile_spec(spec).graph, {"u": u, "v": v})["outputs"]
    np.testing.assert_allclose(found[("a",)], np.append(u[1:], -np.inf))
    np.testing.assert_allclose(found[("b",)], v[[1, 1, 3, 1]])
    np.testing.assert_allclose(found[("s",)], [u[0], u[2], -np.inf, -np.inf])
