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


def counting(console: Any, title: str, *figures: str) -> Any:
    """Rich's bars of things that are counted, with what has passed and what is left; gone when they are done.

    `title` and `figures` are texts of Rich before the bar and after the count, which may have fields of the task.
    """
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn(title),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        *(TextColumn(text) for text in figures),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=console, transient=True)


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
    tasks: dict[tuple[int, int], Any] = {}
    parts: dict[tuple[int, int], dict[tuple[int, ...], str]] = {}
    with counting(console, "{task.description}", "{task.fields[figures]}", "{task.fields[pace]}") as bars:

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
