"""Shows a run's progress on the terminal; says nothing where there is none."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from vspec.runtime.stages import Event

Callback = Callable[[Event], None]

MOST_PARTS = 3
"""How many stages of a repetition show their figures beside one bar."""


def quiet(event: Event) -> None:
    """Shows nothing."""


def pace(speed: float | None) -> str:
    """Steps per second, for people."""
    return "" if not speed else f"{speed:,.0f} steps/s" if speed >= 10 else f"{speed:.2g} steps/s"


@contextmanager
def terminal(console: Any = None) -> Iterator[Callback]:
    """A callback that moves a Rich progress bar on stderr; `quiet` where stderr is not a terminal.

    A `repeat` has one bar, which counts its rounds, with the figures of the stages inside beside it. Beside a bar are the
    steps per second, the time that has passed, and the time that is left if all steps are taken.
    """
    from rich.console import Console

    console = console or Console(stderr=True)
    if not console.is_terminal:
        yield quiet
        return
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn("{task.fields[figures]}"),
        TextColumn("{task.fields[pace]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    tasks: dict[tuple[int, int], Any] = {}
    parts: dict[tuple[int, int], dict[tuple[int, ...], str]] = {}
    with Progress(*columns, console=console, transient=True) as bars:

        def show(event: Event) -> None:
            key = (event.stage, event.start)
            inside = parts.setdefault(key, {})
            inside[event.part] = event.figures
            shown = [*inside.values()]
            text = "  ".join([*shown[:MOST_PARTS], "..."] if len(shown) > MOST_PARTS else shown)
            if key not in tasks:
                for task in tasks.values():
                    bars.update(task, visible=False)
                # A run that goes on begins where it was left: what was done before says nothing about how fast this one is.
                tasks[key] = bars.add_task(event.label, total=event.steps, completed=event.step, figures=text, pace="")
            task = tasks[key]
            bars.update(
                task, completed=event.step, figures=text, pace=pace(bars.tasks[bars.task_ids.index(task)].speed)
            )

        yield show
