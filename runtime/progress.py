"""Shows a run's progress on the terminal; says nothing where there is none."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from vspec.runtime.stages import Event

Callback = Callable[[Event], None]


def quiet(event: Event) -> None:
    """Shows nothing."""


@contextmanager
def terminal(console: Any = None) -> Iterator[Callback]:
    """A callback that moves a Rich progress bar on stderr; `quiet` where stderr is not a terminal."""
    from rich.console import Console

    console = console or Console(stderr=True)
    if not console.is_terminal:
        yield quiet
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn("{task.fields[figures]}"),
        TimeElapsedColumn(),
    )
    tasks: dict[tuple[int, int], Any] = {}
    with Progress(*columns, console=console, transient=True) as bars:

        def show(event: Event) -> None:
            key = (event.stage, event.start)
            figures = f"{event.value:.6g}  |g| {event.gradient:.1e}"
            if key not in tasks:
                start = f" (start {event.start + 1} of {event.starts})" if event.starts > 1 else ""
                for task in tasks.values():
                    bars.update(task, visible=False)
                label = f"{event.kind} {event.name}{start}"
                tasks[key] = bars.add_task(label, total=event.steps, figures=figures)
            bars.update(tasks[key], completed=event.step, figures=figures)

        yield show
