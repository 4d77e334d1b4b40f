"""Whole specs, generated: the emitted program at -O0 and -O2 against the language's meaning with JAX's AD, in float64."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings

from tests.specs.generate import spec
from tests.support.effort import examples
from tests.support.meaning import Meaning
from tests.support.program import Emission
from vspec.compiler.language.expr import Pointwise
from vspec.compiler.pipeline import check_text

VALUES: dict[str, Any] = {
    "a": 0.7,
    "F": np.array([0.5, -1.5]),
    "X": np.array([[0.3, -1.2], [0.8, 0.1], [-0.5, 0.9]]),
    "y": np.array([0.4, -0.7, 1.1]),
    "z": np.array([0, 1, 1]),
    "w": np.array([0.6, -0.4]),
    "B": np.array([[0.2, -0.3], [0.5, 0.1]]),
    "c": np.array(0.35),
    "step": np.array(2),
    "steps": np.array(3),
}


def close(ours: Any, theirs: Any, what: str) -> None:
    theirs = np.asarray(theirs, float)
    scale = max(1.0, float(np.max(np.abs(theirs), initial=0.0)))
    np.testing.assert_allclose(np.asarray(ours, float), theirs, atol=1e-8 * scale, rtol=1e-8, err_msg=what)


@settings(max_examples=examples(8), deadline=None, suppress_health_check=list(HealthCheck))
@given(spec())
def test_emitted_programs_mean_what_the_spec_says(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    checked, diagnostics = check_text(text, "generated.yaml")
    assert checked is not None, "\n".join(d.message for d in diagnostics)
    meaning = Meaning(checked, VALUES)
    truth = meaning.outputs()
    assume(all(np.all(np.isfinite(v)) and np.max(np.abs(v)) < 1e6 for v in truth.values()))
    over = checked.plan[0].over
    stage = checked.plan[1]
    updates = [a for group in stage.updates for a in group]
    new = jax.jit(lambda: {a.name: meaning.array(a.body, a.letters) for a in updates})()
    assume(all(np.all(np.isfinite(v)) and np.max(np.abs(v)) < 1e6 for v in new.values()))
    assert isinstance(stage.until, Pointwise)
    sides = [meaning.array(side, ()) for side in stage.until.args]

    def loss(params: dict[str, Any]) -> Any:
        return Meaning(checked, {**VALUES, **params}).name("loss")

    at = {name: VALUES[name] * 1.0 for name in over}
    value, slopes = jax.jit(jax.value_and_grad(loss))(at)
    hessian = jax.jit(jax.hessian(loss))
    folder: Path = tmp_path_factory.mktemp("generated")
    for level in (0, 2):
        program = Emission(checked, level, folder / f"program_{level}.py")
        outputs = program.call("outputs", VALUES)
        for name, meant in truth.items():
            close(outputs[name], meant, f"-O{level} {name}\n{text}")
        close(program.call("loss", VALUES), value, f"-O{level} loss\n{text}")
        gradient = program.call("loss_gradient", VALUES)
        for name in over:
            close(gradient[name], slopes[name], f"-O{level} d loss/d {name}\n{text}")
        calls = program.compiled.graph.notes["plan"][1]
        for entry in calls["update"]:
            for name, found in program.call(entry, VALUES).items():
                close(found, new[name], f"-O{level} new {name}\n{text}")
        if abs(sides[0] - sides[1]) > 1e-6:
            assert bool(program.call(calls["until"], VALUES)) == bool(sides[0] < sides[1])
        if "loss_hessian" in program.entries:
            blocks = program.call("loss_hessian", VALUES)
            curvature = hessian(at)
            for p in over:
                for q in over:
                    close(blocks[p][q], curvature[p][q], f"-O{level} hessian {p} {q}\n{text}")
