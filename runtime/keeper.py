"""What a run keeps in its folder while it computes: checkpoints, metrics, and what is said of it in run.json."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from vspec.runtime import kept, results
from vspec.runtime.checkpoints import Checkpoints, Interval, latest
from vspec.runtime.errors import ArtifactError, NumericsError, RunError, RunInterruptedError
from vspec.runtime.fingerprint import Fingerprint, check_same
from vspec.runtime.folder import LAST_GOOD, RunFolder, unwritable
from vspec.runtime.interrupts import Asked
from vspec.runtime.metrics import Metrics
from vspec.runtime.program import Program
from vspec.runtime.stages.position import Position, as_state, from_state, stacked

Say = Callable[[str], None]


class Keeper:
    """The folder of one run, from its first step to its results."""

    def __init__(
        self,
        folder: RunFolder,
        every: Interval,
        fingerprint: Fingerprint,
        metrics: Metrics,
        said: Mapping[str, Any],
        say: Say,
    ) -> None:
        """`said`: what run.json says from the beginning on."""
        self.folder = folder
        self.fingerprint = fingerprint
        self.metrics = metrics
        self.say = say
        self.every = every
        self.said: dict[str, Any] = {"status": "running", **said, "started": now(), "ended": None, "resumed": []}
        self.asked = Asked()

    def begin(self, resume: bool) -> Position | None:
        """Where to go on from; None at the start.

        Raises:
            ArtifactError: VS0808, the folder cannot be written; VS0842, `resume` of another run; VS0844, damaged checkpoints.
        """
        before = self.folder.said()
        ended = before.get("status", "ended") == "ended"
        found = None
        if resume and not ended:
            found = latest(self.folder.checkpoints, self.say)
        if found is None:
            if resume:
                self.say("there is nothing to go on from: the run begins at its start")
            elif not ended and any(self.folder.checkpoints.glob("[0-9]*")):
                kept = self.folder.path / "previous"
                self.say(f"the run that was interrupted stays in '{kept}' until this one ends well")
            self.folder.begin(self.said)
        else:
            check_same(found.facts["fingerprint"], self.fingerprint.all)
            self.said["started"] = found.facts["started"]
            self.said["resumed"] = [*found.facts["resumed"], {"at": now(), "steps": found.facts["steps"]}]
            self.metrics.rows[:] = found.facts["metrics"]
            try:
                self.folder.say(self.said)
            except OSError as error:
                raise unwritable(self.folder.path, error) from None
        self.metrics.open(self.folder.path / "metrics.jsonl")
        self.checkpoints = Checkpoints(self.folder.checkpoints, self.every, self.say)
        if found is None:
            return None
        self.checkpoints.steps = found.facts["steps"]
        return from_state(found.state)

    def guard(self, steps: int, make: Callable[[], Position]) -> None:
        """Between chunks: saves what is due. Raises `RunInterruptedError` if someone asked to stop."""
        self.folder.lock.touch()
        if self.asked:
            self._stop(steps, make())
        elif self.checkpoints.due(steps):
            self._save(steps, make())

    def _save(self, steps: int, position: Position) -> None:
        state = as_state(position)
        rows = [*self.metrics.rows]
        said = {"started": self.said["started"], "resumed": [*self.said["resumed"]], "steps": steps, "metrics": rows}
        self.checkpoints.begin(
            steps, lambda: stacked(state), lambda: {**said, "written": now(), "fingerprint": self.fingerprint.all}
        )

    def _stop(self, steps: int, position: Position) -> None:
        self.checkpoints.wait()
        self._save(steps, position)
        self.checkpoints.wait()
        self._end({"status": "interrupted", "steps": steps})
        failure = self.checkpoints.failure
        if failure is None:
            raise RunInterruptedError(
                "VS0840", f"interrupted after {steps} steps; saved in '{self.checkpoints.written}'"
            )
        last = self.checkpoints.written
        tip = f"the checkpoint '{last}' is from before" if last is not None else ""
        raise RunInterruptedError("VS0841", f"interrupted after {steps} steps, which cannot be saved: {failure}", tip)

    def failed(self, error: RunError) -> RunError:
        """Keeps the last good params of a run that failed; gives the error, which says where they are."""
        self.checkpoints.wait()
        said = {"code": error.code, "message": error.message, "line": error.line}
        self._end({"status": "failed", "error": said})
        if not isinstance(error, NumericsError) or error.last_good is None:
            return error
        path = self.folder.path / LAST_GOOD
        try:
            _save_params(path, error.last_good)
        except OSError as problem:
            self.say(f"'{path}' cannot be written: {problem.strerror or problem}")
            return error
        tip = f"the last params with finite values are in '{path}'"
        made = NumericsError(error.code, error.message, f"{error.help}; {tip}" if error.help else tip, error.line)
        made.last_good = error.last_good
        return made

    def _end(self, more: Mapping[str, Any]) -> None:
        """The last words of a run that has no results."""
        self.metrics.close()
        with suppress(OSError):
            self.folder.say({**self.said, **more, "data": self.fingerprint.data, "ended": now()})

    def finish(
        self,
        program: Program,
        said: Mapping[str, Any],
        params: Mapping[str, Any],
        outputs: Mapping[str, Any],
        histories: Mapping[str, Any],
        keep_checkpoints: bool,
    ) -> Path:
        """Write the results of a run that ended.

        Raises:
            ArtifactError: VS0846, they are in a temporary folder instead; VS0808, they could not be written there either.
        """
        self.checkpoints.wait()
        self.metrics.close()
        whole = {**self.said, "status": "ended", "ended": now(), "data": self.fingerprint.data, **said}
        made = (program.manifest, whole, params, outputs, self.metrics.rows, histories, kept.texts(program))
        try:
            return results.write(self.folder, *made, keep_checkpoints)
        except OSError as error:
            wrong = unwritable(self.folder.path, error)
        instead = Path(tempfile.gettempdir())
        try:
            instead = Path(tempfile.mkdtemp(prefix=f"vspec-{self.folder.path.name}-"))
            results.fill(instead, *made)
        except OSError:
            shutil.rmtree(instead, ignore_errors=True) if instead.name.startswith("vspec-") else None
            last = self.checkpoints.written
            raise ArtifactError(
                wrong.code, f"{wrong.message}; nor to '{tempfile.gettempdir()}'", f"go on from '{last}'" if last else ""
            ) from None
        raise ArtifactError(
            "VS0846", f"{wrong.message}; they are in '{instead}' instead", "copy them to where there is room"
        )

    def close(self) -> None:
        """Others may use the folder now."""
        self.checkpoints.wait()
        self.metrics.close()
        self.folder.close()


def now() -> str:
    """The time in UTC, as ISO 8601 has it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _save_params(path: Path, params: Mapping[str, Any]) -> None:
    """An npz file, whole or not at all. Raises `OSError`."""
    arrays: dict[str, Any] = {k: np.asarray(x) for k, x in params.items()}
    new = path.with_name(f".{path.name}")
    try:
        with new.open("wb") as out:
            np.savez(out, **arrays)
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)
