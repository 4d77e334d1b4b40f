"""Loops of stages that give away the memory of their state: what is compiled says so, and nothing else differs."""

from __future__ import annotations

from pathlib import Path
from weakref import WeakValueDictionary

import jax
import numpy as np
import pytest
from click.testing import CliRunner

import vspec
from vspec.cli import main
from vspec.runtime import executables
from vspec.runtime.errors import NumericsError
from vspec.runtime.program import Program
from vspec.runtime.stages import execute
from vspec.runtime.stages.runner import Runner

TEXT = """
vspec: 1
name: donated
precision: float64
dims: {i: 50}
params:
  w[i]: {init: 1 + index(i)}
objectives:
  loss: sum[i](w[i]**4)
solve: {minimize: loss, method: "adam(LENGTH)", steps: 60}
outputs:
  w[i]: w[i]
"""


def spec(folder: Path, length: str = "0.1", text: str = TEXT) -> Path:
    path = folder / "donated.yaml"
    path.write_text(text.replace("LENGTH", length))
    return path


def runner(program: Program) -> Runner:
    (found,) = (r for r in program.compiled.values() if isinstance(r, Runner))
    return found


@pytest.mark.parametrize("donate", [False, True])
def test_the_compiled_loop_writes_into_its_old_state_if_it_may(donate: bool, tmp_path: Path) -> None:
    program = vspec.compile(spec(tmp_path), donate=donate)
    bound = program.bind()
    start = program.initial_params(bound)
    execute(program, start, bound)
    made = runner(program)
    assert made.donates == donate
    aliases = made._advance.as_text().partition("\n")[0]
    assert ("input_output_alias" in aliases) == donate
    # What the caller has is not given away.
    assert not start["w"].is_deleted()


def test_a_donated_argument_is_marked_in_what_is_lowered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = []
    original = jax.stages.Lowered.compile

    def compile_(self: jax.stages.Lowered, *rest: object, **more: object) -> object:
        texts.append(self.as_text())
        return original(self, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(jax.stages.Lowered, "compile", compile_)
    # What another test compiled is not compiled again.
    monkeypatch.setattr(executables, "_made", WeakValueDictionary())
    program = vspec.compile(spec(tmp_path), donate=True)
    bound = program.bind()
    execute(program, program.initial_params(bound), bound)
    marked = [t for t in texts if "tf.aliasing_output" in t or "jax.buffer_donor" in t]
    assert len(marked) == 1
    assert "stablehlo.while" in marked[0]


def test_runs_are_the_same(tmp_path: Path) -> None:
    ends = []
    for donate in (False, True):
        program = vspec.compile(spec(tmp_path), donate=donate)
        bound = program.bind()
        # Twice, since the second run takes what is compiled and the same start.
        start = program.initial_params(bound)
        ends += [execute(program, start, bound).params["w"] for _ in range(2)]
    for end in ends[1:]:
        np.testing.assert_array_equal(end, ends[0])


def test_a_run_that_diverges_is_explained_as_without(tmp_path: Path) -> None:
    text = TEXT.replace("adam(LENGTH)", "sgd(0.5)")
    said = []
    for donate in (False, True):
        program = vspec.compile(
            spec(tmp_path, text=text.replace("name: donated", f"name: donated{donate:d}")), donate=donate
        )
        bound = program.bind()
        with pytest.raises(NumericsError) as caught:
            execute(program, program.initial_params(bound), bound)
        said.append((caught.value.code, caught.value.message))
    assert said[0] == said[1]


def test_the_manifest_and_the_command_line_have_the_option(tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = CliRunner().invoke(main, ["build", str(spec(tmp_path)), "--out", str(out), "--no-stablehlo", "--donate"])
    assert result.exit_code == 0, result.output
    assert vspec.load(out).manifest["options"]["donate"] is True
    again = vspec.build(spec(tmp_path), out, stablehlo=False)
    assert not again.cached
    assert vspec.load(out).manifest["options"]["donate"] is False
