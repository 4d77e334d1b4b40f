"""Progress of long verifications on stderr: which spec, which run, how far, for how long. Silent where there is no terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vspec.runtime.stages import Event

Begin = Callable[[str, str], "Callable[[Event], None]"]


def _silent(event: Event) -> None:
    """Shows nothing."""


@contextmanager
def watching(console: Any = None) -> Iterator[Begin]:
    """A function that is told of each run, by its spec and its name, and gives what the run's progress is told to."""
    from rich.console import Console

    console = console or Console(stderr=True)
    if not console.is_terminal:
        yield lambda spec, run: _silent
        return
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), TextColumn("{task.fields[at]}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as shown:
        task = shown.add_task("", at="", visible=False)

        def begin(spec: str, run: str) -> Callable[[Event], None]:
            shown.reset(task)
            shown.update(task, description=f"{spec}{': ' if run else ''}{run}", at="", visible=True)
            return lambda event: shown.update(
                task, at=f"{event.label}, step {event.step} of {event.steps}, {event.figures}"
            )

        yield begin


__all__ = ["Begin", "watching"]
