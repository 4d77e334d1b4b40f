"""Runs that are stopped by signals, by a full disk, by a folder that may not be written to, or that meet another run."""

import errno
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from jsonschema import Draft202012Validator

from tests.runtime.endings import same
from tests.runtime.plans import derivatives, roles, stage
from tests.runtime.plans import program as program_of
from vspec.runtime import ArtifactError, NumericsError, Program, RunResult
from vspec.runtime.errors import RunInterruptedError
from vspec.runtime.folder import Lock, RunFolder
from vspec.runtime.run import run
from vspec.runtime.stages import Event

STEPS = 40000


@pytest.fixture(scope="module")
def program() -> Program:
    """Many short steps in a hundred chunks."""

    def loss(w, c):  # type: ignore[no-untyped-def]
        return (w - c) ** 2 + 0.1 * w**4

    plan = [stage("minimize", ("adam", {"lr": 1e-4}), names=["loss"], over=["w"], steps=STEPS, entries=roles("loss"))]
    made = program_of(plan, derivatives(loss, ["w"]), {"w": []}, constants={"c": 3.0}, outputs={})
    made.manifest["program"] = {"file": "program.py", "sha256": "0" * 64}  # type: ignore[index]
    return made


@pytest.fixture(scope="module")
def undisturbed(program: Program) -> RunResult:
    """The run that all others should end like."""
    return run(program, params={"w": 0.0})


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    before = {s: signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)}
    # A job in the background of a shell inherits that interrupts are ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    found = {s: signal.getsignal(s) for s in before}
    for number, handler in before.items():
        signal.signal(number, handler)
    assert found == {**before, signal.SIGINT: signal.default_int_handler}, "a run gives the handlers back"


def at_report(number: int, act: Callable[[], object]) -> Callable[[Event], None]:
    """A callback that does something at one report."""
    count = 0

    def tell(_: Event) -> None:
        nonlocal count
        count += 1
        if count == number:
            act()

    return tell


def full(*_: Any, **__: Any) -> Any:
    """What writing to a full disk does."""
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_and_stops(
    number: signal.Signals, program: Program, undisturbed: RunResult, tmp_path: Path
) -> None:
    out = tmp_path / "made"
    said: list[str] = []
    with pytest.raises(RunInterruptedError) as caught:
        run(
            program,
            params={"w": 0.0},
            out=out,
            progress=at_report(30, lambda: os.kill(os.getpid(), number)),
            say=said.append,
        )
    assert (caught.value.code, caught.value.exit_code) == ("VS0840", 130)
    facts = json.loads((out / "run.json").read_text())
    assert facts["status"] == "interrupted"
    assert 0 < facts["steps"] < STEPS
    assert (
        f"interrupted after {facts['steps']} steps; saved in '{out / 'checkpoints' / '000001'}'" in caught.value.message
    )
    assert any("stopping when this chunk of steps is done" in text for text in said)
    result = run(program, params={"w": 0.0}, out=out, resume=True)
    same(result, undisturbed)
    again = json.loads((out / "run.json").read_text())
    assert again["started"] == facts["started"] < again["resumed"][0]["at"] < again["ended"]
    assert again["resumed"][0]["steps"] == facts["steps"]


def test_without_a_folder_an_interrupt_is_pythons(program: Program) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(program, params={"w": 0.0}, progress=at_report(3, lambda: os.kill(os.getpid(), signal.SIGINT)))


def test_in_another_thread_signals_are_left_alone(program: Program, undisturbed: RunResult, tmp_path: Path) -> None:
    found: list[RunResult] = []
    thread = threading.Thread(target=lambda: found.append(run(program, params={"w": 0.0}, out=tmp_path / "made")))
    thread.start()
    thread.join()
    same(found[0], undisturbed)


def test_a_second_signal_ends_at_once(tmp_path: Path) -> None:
    """Even in the midst of compiled code, of which Python sees nothing."""
    code = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)
from vspec.runtime.interrupts import watching
with watching(lambda text: print(text, flush=True)) as asked:
    print("ready", flush=True)
    for _ in range(3000):
        if asked: break
        time.sleep(0.01)
    import ctypes
    ctypes.CDLL(None).sleep(60)  # like compiled code, it lets other threads run, and no handler of Python
"""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        assert "once more to end at once" in process.stdout.readline()
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        process.wait(timeout=20)
        assert process.stderr is not None
        assert process.stderr.read() == "ended at once\n"
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 130


def test_a_full_disk_does_not_end_a_run(
    program: Program, undisturbed: RunResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr("vspec.runtime.checkpoints._save_arrays", full)
    out = tmp_path / "made"
    result = run(program, params={"w": 0.0}, out=out, checkpoint_every="1 steps", say=said.append)
    same(result, undisturbed)
    assert said == [
        f"no checkpoint can be written to '{out / 'checkpoints'}': No space left on device; the run goes on"
    ], "and it is told once"


def test_metrics_that_cannot_be_written_are_written_at_the_end(
    program: Program, undisturbed: RunResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    rows = 0

    def once(row: Any) -> str:
        nonlocal rows
        rows += 1
        return str(full() if rows == 5 else json.dumps(row) + "\n")

    monkeypatch.setattr("vspec.runtime.metrics.line", once)
    out = tmp_path / "made"
    result = run(program, params={"w": 0.0}, out=out, say=said.append)
    same(result, undisturbed)
    assert said == [f"'{out / 'metrics.jsonl'}' cannot be written: No space left on device; the run goes on"]
    assert [json.loads(text) for text in (out / "metrics.jsonl").read_text().splitlines()] == result.metrics
    assert len(result.metrics) > 50


def test_an_interrupt_on_a_full_disk_says_what_is_left(
    program: Program, undisturbed: RunResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "made"

    def act() -> None:
        while not list((out / "checkpoints").glob("[0-9]*")):
            time.sleep(0.01)
        monkeypatch.setattr("vspec.runtime.checkpoints._save_arrays", full)
        os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(RunInterruptedError) as caught:
        run(
            program,
            params={"w": 0.0},
            out=out,
            checkpoint_every="1 steps",
            progress=at_report(30, act),
            say=lambda _: None,
        )
    assert caught.value.code == "VS0841"
    assert "No space left on device" in caught.value.message
    monkeypatch.undo()
    left = max((out / "checkpoints").glob("[0-9]*"))
    assert caught.value.help == f"the checkpoint '{left}' is from before"
    same(run(program, params={"w": 0.0}, out=out, resume=True), undisturbed)


def test_a_limit_of_the_system_on_files(program: Program, tmp_path: Path) -> None:
    """What the system refuses, not a stand-in for it: no file may grow beyond a few bytes."""
    code = f"""
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
from vspec.runtime.checkpoints import Checkpoints, interval
from pathlib import Path
import numpy as np
said = []
made = Checkpoints(Path({str(tmp_path)!r}) / "checkpoints", interval("1 steps"), said.append)
made.begin(1, lambda: {{"x": np.arange(100.0)}}, dict)
made.wait()
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
made.begin(2, lambda: {{"x": np.random.default_rng(0).normal(size=100000)}}, dict)
made.wait()
print(len(said), made.written.name, made.failure is not None, sorted(p.name for p in made.folder.iterdir()))
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert found.stdout == "1 000001 True ['000001']\n", found.stderr


def test_results_that_cannot_be_written_go_elsewhere(
    program: Program, undisturbed: RunResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, elsewhere = tmp_path / "made", tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(elsewhere))
    monkeypatch.setattr(RunFolder, "exchange", full)
    with pytest.raises(ArtifactError) as caught:
        run(program, params={"w": 0.0}, out=out)
    assert caught.value.code == "VS0846"
    (folder,) = elsewhere.iterdir()
    assert f"they are in '{folder}' instead" in caught.value.message
    with np.load(folder / "params.npz") as params:
        assert params["w"].tobytes() == undisturbed.params["w"].tobytes()
    assert json.loads((folder / "run.json").read_text())["status"] == "ended"
    same(caught.value.result, undisturbed)


def test_a_folder_that_cannot_be_written_is_refused_before_anything_runs(
    program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("mine")
    for out in (tmp_path / "file" / "made", Path("/proc/made")):
        with pytest.raises(ArtifactError) as caught:
            run(program, params={"w": 0.0}, out=out, progress=lambda _: pytest.fail("it ran"))
        assert caught.value.code == "VS0808"
    monkeypatch.setattr(RunFolder, "aside", full)
    with pytest.raises(ArtifactError, match="No space left"):
        run(program, params={"w": 0.0}, out=tmp_path / "made", progress=lambda _: pytest.fail("it ran"))
    assert not (tmp_path / "made").exists()
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_two_runs_into_one_folder(program: Program, tmp_path: Path) -> None:
    out = tmp_path / "made"

    def second() -> None:
        with pytest.raises(ArtifactError) as caught:
            run(program, params={"w": 0.0}, out=out)
        assert caught.value.code == "VS0843"
        assert f"process {os.getpid()} on {socket.gethostname()}" in caught.value.message

    run(program, params={"w": 0.0}, out=out, progress=at_report(5, second))
    run(program, params={"w": 0.0}, out=out)
    assert [p.name for p in tmp_path.iterdir()] == ["made"]


def test_locks_that_are_left_behind(tmp_path: Path) -> None:
    path = tmp_path / ".made.lock"
    for left in ({"pid": 2**22 + 1, "host": socket.gethostname()}, {"pid": 1, "host": "elsewhere"}, "half writt"):
        path.write_text(left if isinstance(left, str) else json.dumps(left))
        os.utime(path, (1e9, 1e9))
        lock = Lock(tmp_path / "made")
        assert json.loads(path.read_text()) == {"pid": os.getpid(), "host": socket.gethostname()}
        lock.release()
        assert not path.exists()
    path.write_text(json.dumps({"pid": 1, "host": "elsewhere"}))
    with pytest.raises(ArtifactError, match="process 1 on elsewhere"):
        Lock(tmp_path / "made")
    assert path.exists()


@pytest.mark.parametrize("place", ["previous", "old"])
def test_a_process_that_died_while_it_exchanged_folders(place: str, program: Program, tmp_path: Path) -> None:
    out = tmp_path / "made"
    run(program, params={"w": 0.0}, out=out)
    aside = tmp_path / ".made.vspec-aside-x1"
    aside.mkdir()
    out.rename(aside / place)
    other = tmp_path / ".made.b.vspec-aside-x2"
    other.mkdir()
    RunFolder(out).close()
    assert (out / "params.npz").is_file(), "the earlier results are back"
    assert sorted(p.name for p in tmp_path.iterdir()) == [other.name, "made"], "what is another folder's is left"


def test_run_json_fits_its_schema_however_a_run_ends(program: Program, tmp_path: Path) -> None:
    schema = json.loads((Path(__file__).parents[2] / "schemas" / "run.schema.json").read_text())
    Draft202012Validator.check_schema(schema)
    fits = Draft202012Validator(schema)
    out, found = tmp_path / "made", {}

    def look() -> None:
        found["running"] = json.loads((out / "run.json").read_text())
        os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(RunInterruptedError):
        run(program, params={"w": 0.0}, out=out, progress=at_report(5, look), say=lambda _: None)
    found["interrupted"] = json.loads((out / "run.json").read_text())
    run(program, params={"w": 0.0}, out=out, resume=True, command=["vspec", "run", "made"])
    found["ended"] = json.loads((out / "run.json").read_text())
    with pytest.raises(NumericsError):
        run(program, params={"w": 0.0}, constants={"c": 1e300}, out=out)
    found["failed"] = json.loads((out / "run.json").read_text())
    for status, said in found.items():
        assert said["status"] == status
        # The program of this test was not made from a spec.
        fits.validate({**said, "spec": None})
    assert not fits.is_valid({**found["ended"], "spec": None, "status": "failed"})
    assert not fits.is_valid({**found["running"], "spec": None, "other": 1})


def test_metrics_are_a_table_too(program: Program, tmp_path: Path) -> None:
    from pyarrow import parquet

    result = run(program, params={"w": 0.0}, out=tmp_path / "made")
    table = parquet.read_table(tmp_path / "made" / "metrics.parquet")
    assert table.column_names[:3] == ["stage", "start", "step"]
    found = [{k: v for k, v in row.items() if v is not None} for row in table.to_pylist()]
    assert found == result.metrics
