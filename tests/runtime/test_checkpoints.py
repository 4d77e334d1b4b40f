"""Checkpoints: what is kept, when it is whole, and that a run which goes on from one ends like one that was never stopped."""

import errno
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.runtime.endings import SPEC, same, until
from tests.runtime.plans import derivatives, roles, stage
from tests.runtime.plans import program as program_of
from vspec.runtime import ArtifactError, Program, RunResult
from vspec.runtime.checkpoints import DEFAULT, NEVER, Interval, _save_arrays, interval
from vspec.runtime.codec import packed, unpacked
from vspec.runtime.run import run

ADAM = {"lr": 0.1, "b1": 0.9, "b2": 0.999, "eps": 1e-8, "clip": 0, "tol": 0}
EVERY = {"where": {"every": 7}, "other": {"every": 5}}


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Program:
    """Stages with batches, draws, memories, rounds, starts, a mean and histories."""
    import vspec

    path = tmp_path_factory.mktemp("spec") / "kept.yaml"
    path.write_text(SPEC, encoding="utf-8")
    return vspec.compile(path)


@pytest.fixture(scope="module")
def undisturbed(program: Program, tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    """The run that all others should end like."""
    return run(program, out=tmp_path_factory.mktemp("whole") / "kept", seed=3, checkpoint_every="never")


@pytest.fixture
def broken(program: Program, tmp_path: Path) -> Callable[..., Path]:
    """`broken(reports)`: the folder of a run that died in the midst, after so many reports or a few more, with a checkpoint."""

    def make(reports: int, least: int = 1, **more: Any) -> Path:
        out = tmp_path / "kept"
        with pytest.raises(ZeroDivisionError):
            run(program, out=out, seed=3, progress=until(out, reports, least), checkpoint_every="1 steps", **more)
        assert json.loads((out / "run.json").read_text())["status"] == "running"
        return out

    return make


@pytest.mark.parametrize("reports", [3, 20, 31, 33, 150, -7, -4, -1])
def test_a_run_goes_on_exactly(
    reports: int, program: Program, undisturbed: RunResult, broken: Callable[..., Path]
) -> None:
    out = broken(reports if reports > 0 else len(undisturbed.metrics) + reports)
    result = run(program, out=out, seed=3, resume=True, checkpoint_every="never")
    same(result, undisturbed)
    said = json.loads((out / "run.json").read_text())
    assert said["status"] == "ended"
    assert [r["steps"] > 0 for r in said["resumed"]] == [True]
    assert not (out / "checkpoints").exists()
    assert (out / "metrics.jsonl").read_bytes() == (undisturbed.out / "metrics.jsonl").read_bytes()


def test_a_run_may_go_on_several_times(program: Program, undisturbed: RunResult, broken: Callable[..., Path]) -> None:
    for reports in (20, 40, 150):
        out = broken(reports, resume=True)
    result = run(program, out=out, seed=3, resume=True)
    same(result, undisturbed)
    taken = [r["steps"] for r in json.loads((out / "run.json").read_text())["resumed"]]
    assert len(taken) == 3
    assert taken == sorted(taken)


def test_metrics_are_there_while_it_runs(program: Program, broken: Callable[..., Path]) -> None:
    out = broken(50)
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert len(rows) >= 50
    assert rows[0]["step"] == 0


def test_a_damaged_checkpoint_is_passed_over(
    program: Program, undisturbed: RunResult, broken: Callable[..., Path]
) -> None:
    out = broken(60, 2)
    older, newest = sorted((out / "checkpoints").glob("[0-9]*"))
    whole = json.loads((older / "state.json").read_text())["facts"]["steps"]
    file = max((p for p in (newest / "arrays").rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    (out / "checkpoints" / ".000099.part").mkdir()
    said: list[str] = []
    result = run(program, out=out, seed=3, resume=True, say=said.append)
    assert len(said) == 1
    assert f"the checkpoint '{newest}' is damaged" in said[0]
    same(result, undisturbed)
    assert json.loads((out / "run.json").read_text())["resumed"][0]["steps"] == whole


@pytest.mark.parametrize("harm", ["hashes.json", "state.json", "arrays"])
def test_what_is_not_whole_is_never_taken(harm: str, program: Program, broken: Callable[..., Path]) -> None:
    out = broken(10)
    for path in (out / "checkpoints").glob("[0-9]*"):
        if harm == "arrays":
            shutil.rmtree(path / harm)
        else:
            (path / harm).write_text((path / harm).read_text()[:-2])
    with pytest.raises(ArtifactError) as caught:
        run(program, out=out, seed=3, resume=True, say=lambda _: None)
    assert caught.value.code == "VS0844"
    assert list((out / "checkpoints").iterdir()), "they are left for someone who knows more"


def test_another_run_is_refused(program: Program, broken: Callable[..., Path]) -> None:
    out = broken(10)
    y = np.ones(24)
    for change, message in (
        ({"seed": 4}, "seed was 3, and is 4"),
        ({"constants": {"lam": 2.0}}, "constants 'lam' differs"),
        ({"data": {"y": y}}, "data 'y' differs"),
        ({"params": {"c": 1.0}}, "the start of 'c' differs"),
    ):
        with pytest.raises(ArtifactError) as caught:
            run(program, out=out, resume=True, **{"seed": 3, **change})
        assert caught.value.code == "VS0842"
        assert message in caught.value.message
    other = Program({**program.manifest, "doc": "another"}, program.module)
    with pytest.raises(ArtifactError, match="the spec or how it was built differs"):
        run(other, out=out, resume=True, seed=3)
    assert (out / "checkpoints").is_dir()


def test_versions_and_device_are_part_of_it(
    program: Program, broken: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = broken(10)
    monkeypatch.setattr("vspec.runtime.fingerprint.versions", lambda: {"jax": "0.0.1"})
    with pytest.raises(ArtifactError, match=r"versions 'jax' was .*, and is 0\.0\.1"):
        run(program, out=out, seed=3, resume=True)


def test_only_the_last_checkpoints_stay(program: Program, broken: Callable[..., Path]) -> None:
    out = broken(60, 2)
    assert len(list((out / "checkpoints").iterdir())) == 2
    run(program, out=out, seed=3, resume=True, keep_checkpoints=True)
    assert len(list((out / "checkpoints").glob("[0-9]*"))) == 2
    found = {p.suffix for p in (out / "checkpoints").rglob("*") if p.is_file()}
    assert not found & {".pkl", ".pickle"}


def test_a_run_that_begins_anew_keeps_what_was_there(
    program: Program, broken: Callable[..., Path], tmp_path: Path
) -> None:
    out = broken(30, 2)
    said: list[str] = []
    with pytest.raises(ZeroDivisionError):
        run(program, out=out, seed=5, progress=until(None, 3), say=said.append)
    assert said == [f"the run that was interrupted stays in '{out / 'previous'}' until this one ends well"]
    assert len(list((out / "previous" / "checkpoints").glob("[0-9]*"))) == 2
    with pytest.raises(ZeroDivisionError):
        run(program, out=out, seed=5, progress=until(None, 3))
    assert (out / "previous" / "checkpoints").is_dir(), "what has nothing to lose takes nobody's place"
    run(program, out=out, seed=5)
    assert not (out / "previous").exists()
    assert [p.name for p in tmp_path.glob(".*")] == []


def test_without_anything_to_go_on_from_it_begins(program: Program, undisturbed: RunResult, tmp_path: Path) -> None:
    said: list[str] = []
    result = run(program, out=tmp_path / "new", seed=3, resume=True, say=said.append)
    assert said == ["there is nothing to go on from: the run begins at its start"]
    same(result, undisturbed)
    with pytest.raises(ArtifactError) as caught:
        run(program, resume=True)
    assert caught.value.code == "VS0847"


def test_short_runs_write_no_checkpoint(program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vspec.runtime.checkpoints.Checkpoints.begin", lambda *_: pytest.fail("one was begun"))
    run(program, out=tmp_path / "short", seed=3)


def test_chunks_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where Python looks at a run has no part in what the run computes: draws, `until`, histories, means, methods."""

    def add(b, key):  # type: ignore[no-untyped-def]
        return {"b": b + jax.random.normal(key)}

    def enough(b, step):  # type: ignore[no-untyped-def]
        return (step > 60) & (b > 3)

    def loss(a, b):  # type: ignore[no-untyped-def]
        return jnp.sum((a - b) ** 2 * jnp.exp(a))

    def outputs(a, b):  # type: ignore[no-untyped-def]
        return {"where": a + b, "other": a - b}

    functions = {**derivatives(loss, ["a"]), "add": add, "enough": enough, "outputs": outputs}
    plan = [
        stage("update", update=["add"], steps=500, until="enough", average=0.9),
        stage("minimize", ("adam", ADAM), names=["loss"], over=["a"], steps=130, entries=roles("loss"), average=0.3),
    ]
    made = program_of(plan, functions, {"a": [], "b": []}, kinds={"add": "update"}, outputs=EVERY)
    given = {"a": 0.5, "b": 0.0}
    whole = run(made, params=given)
    assert whole.stages[0].reason == "until"
    assert len(whole.histories["where"]) > 20
    for steps in (1, 7, 1000):
        monkeypatch.setattr("vspec.runtime.stages.histories.Recorder.chunk", lambda self, wanted, n=steps: n)
        same(run(made, params=given), whole, metrics=False)


@pytest.mark.parametrize(
    ("given", "found"),
    [
        (None, DEFAULT),
        (30, Interval(30.0, None, True)),
        ("0.5", Interval(0.5, None, True)),
        ("90s", Interval(90.0, None, True)),
        ("5m", Interval(300.0, None, True)),
        ("2 h", Interval(7200.0, None, True)),
        ("1000 steps", Interval(None, 1000, True)),
        ("1step", Interval(None, 1, True)),
        ("never", NEVER),
    ],
)
def test_intervals(given: Any, found: Interval) -> None:
    assert interval(given) == found


@pytest.mark.parametrize("given", ["", "often", "-3", "5 d", "0s", "1.5 steps", "nan", "1e3"])
def test_intervals_that_are_none(given: str) -> None:
    with pytest.raises(ArtifactError) as caught:
        interval(given)
    assert caught.value.code == "VS0845"


def test_nests_of_arrays_come_back_exactly() -> None:
    nest = {
        "a": [1, 2.5, None, True, "text", float("nan"), float("-inf"), 1e-320],
        "b": (np.arange(3), np.float32(0.1), np.empty((0, 2), np.int32), np.array([1 + 2j]), np.array(True)),
        "array": {"key": jax.random.key(3), "dict": {}, "list": ()},
    }
    skeleton, arrays = packed(nest)
    found = unpacked(json.loads(json.dumps(skeleton)), arrays)
    assert repr(found["a"]) == repr(nest["a"])
    for x, y in zip(found["b"], nest["b"], strict=True):
        assert (x.dtype, x.shape) == (y.dtype, np.shape(y))
        assert x.tobytes() == np.asarray(y).tobytes()
    assert found["array"]["key"].dtype == nest["array"]["key"].dtype
    assert jax.random.bits(found["array"]["key"]) == jax.random.bits(nest["array"]["key"])
    assert (found["array"]["dict"], found["array"]["list"]) == ({}, ())


@pytest.mark.parametrize("wrong", [{"array": 5}, {"array": -1}, {"pickle": "x"}, {"dict": 3}, [1], {"array": "0"}])
def test_what_no_checkpoint_holds_is_refused(wrong: Any) -> None:
    with pytest.raises(ValueError, match="not what a checkpoint holds"):
        unpacked(wrong, [np.zeros(1)])
    with pytest.raises(TypeError):
        packed({"f": print})
    with pytest.raises(TypeError):
        packed({1: 2})


def test_a_full_disk_is_seen_before_anything_is_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("vspec.runtime.checkpoints.shutil.disk_usage", lambda path: SimpleNamespace(free=1000))
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
        _save_arrays(tmp_path / "arrays", [np.zeros(3)])
    assert not [*tmp_path.iterdir()]
