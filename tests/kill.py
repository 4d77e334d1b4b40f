"""Kills runs at random moments, goes on with them, and compares their ends with that of a run which nobody disturbed.

    python -m tests.kill 50

Each run is killed with SIGKILL, gone on with and killed again, until it ends before its moment comes; then the next run begins.
"""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tests.runtime.endings import SPEC

TIMED = {"timings", "seconds", "compile_seconds", "started", "ended", "resumed", "command", "settings"}
"""What of run.json tells of times, of the command line, and of the interruptions themselves."""


@dataclass
class Tally:
    """How it went: kills, runs that ended, and of the kills those with a checkpoint to go on from."""

    kills: int = 0
    runs: int = 0
    resumed: int = 0


def spec(length: int, stages: int) -> str:
    """The spec of the tests, with as many of its stages, that many times as long."""
    head, tail = SPEC.index("  - "), SPEC.index("outputs:")
    plan = "".join(f"  - {part}" for part in re.split(r"^  - ", SPEC[head:tail], flags=re.MULTILINE)[1 : stages + 1])
    text = SPEC[:head] + plan + SPEC[tail:]
    text = text.replace("epochs: 100", f"epochs: {100 * length}").replace("repeat: 100", f"repeat: {100 * length}")
    return text.replace("every: 40", f"every: {40 * length}").replace("every: epoch", f"every: {3 * length}")


def build(folder: Path, length: int, stages: int = 3) -> Path:
    """The program that is run, built once."""
    (folder / "kept.yaml").write_text(spec(length, stages), encoding="utf-8")
    _vspec(folder, "build", "kept.yaml", "--out", "program", "--no-stablehlo").wait()
    assert (folder / "program" / "manifest.json").is_file()
    return folder


def start(folder: Path, out: str, every: str) -> subprocess.Popen[str]:
    """A run, or the rest of one."""
    return _vspec(folder, "run", "program", "--seed", "3", "--out", out, "--resume", "--checkpoint-every", every)


def _vspec(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "vspec", *arguments]
    env = {**os.environ, "JAX_PLATFORMS": "cpu"}
    return subprocess.Popen(command, cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def whole(folder: Path) -> float:
    """Runs undisturbed, into `whole`; the seconds that its steps take."""
    process = start(folder, "whole", "never")
    said = process.communicate()[0]
    assert process.returncode == 0, said
    return float(json.loads((folder / "whole" / "run.json").read_text())["facts"]["seconds"])


def kill(folder: Path, kills: int, seconds: float, rng: random.Random, say: Any = print) -> Tally:
    """Kills as often as told; `seconds` are those that the steps of a run take undisturbed. Raises `AssertionError`."""
    tally = Tally()
    out = folder / "killed"
    while tally.kills < kills:
        process = start(folder, out.name, f"{rng.uniform(0.02, 0.3):.2f}")
        if rng.random() < 0.8:  # most moments are those in which it computes, the others any
            least = size = _size(out)
            while process.poll() is None and size <= least:
                time.sleep(0.005)
                size = _size(out)
                least = min(least, size)
            moment = rng.uniform(0, seconds)
        else:
            moment = rng.uniform(0, 3 * seconds + 3)
        try:
            process.wait(moment)
        except subprocess.TimeoutExpired:
            process.kill()
        said = process.communicate()[0]
        assert "damaged" not in said, said
        assert "Traceback" not in said, said
        if process.returncode == 0:
            tally.runs += 1
            compare(folder / "whole", out)
            assert [p.name for p in folder.glob(".killed*")] == [], "nothing stays beside a folder that is whole"
            shutil.rmtree(out)
        else:
            assert process.returncode < 0, said
            tally.kills += 1
            tally.resumed += any((out / "checkpoints").glob("[0-9]*"))
            say(f"kill {tally.kills}: {_place(out)}", flush=True)
    while True:
        process = start(folder, out.name, "never")
        said = process.communicate()[0]
        assert process.returncode == 0, said
        assert "damaged" not in said, said
        compare(folder / "whole", out)
        tally.runs += 1
        return tally


def _size(out: Path) -> int:
    try:
        return (out / "metrics.jsonl").stat().st_size
    except OSError:
        return 0


def _place(out: Path) -> str:
    rows = (out / "metrics.jsonl").read_text().splitlines() if (out / "metrics.jsonl").is_file() else []
    kept = sorted(p.name for p in (out / "checkpoints").glob("*"))
    return f"after {rows[-1] if rows else 'nothing'}; {', '.join(kept)}"


def compare(whole: Path, killed: Path) -> None:
    """Whether two results are the same to the last bit, times apart. Raises `AssertionError`."""
    files = {str(p.relative_to(whole)) for p in whole.rglob("*") if p.is_file()}
    assert files == {str(p.relative_to(killed)) for p in killed.rglob("*") if p.is_file()}
    for name in files - {"run.json"}:
        if name.endswith(".npz"):
            with np.load(whole / name) as ours, np.load(killed / name) as theirs:
                assert ours.files == theirs.files
                for key in ours.files:
                    assert ours[key].dtype == theirs[key].dtype
                    assert ours[key].tobytes() == theirs[key].tobytes(), f"{name}: {key}"
        else:
            assert (whole / name).read_bytes() == (killed / name).read_bytes(), name
    ours, theirs = (_untimed(json.loads((folder / "run.json").read_text())) for folder in (whole, killed))
    assert ours == theirs


def _untimed(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _untimed(v) for k, v in value.items() if k not in TIMED}
    return [*map(_untimed, value)] if isinstance(value, list) else value


def main() -> None:
    """As many kills as the command line says."""
    kills, seed = int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0
    with tempfile.TemporaryDirectory() as folder:
        build(Path(folder), 400)
        seconds = whole(Path(folder))
        print(f"undisturbed its steps take {seconds:.1f} s", flush=True)
        tally = kill(Path(folder), kills, seconds, random.Random(seed))
        print(
            f"{tally.kills} kills, {tally.resumed} of them with a checkpoint to go on from, in {tally.runs} runs: "
            "each ended as if nobody had disturbed it"
        )


if __name__ == "__main__":
    main()
