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


@contextmanager
def terminal(console: Any = None) -> Iterator[Callback]:
    """A callback that moves a Rich progress bar on stderr; `quiet` where stderr is not a terminal.

    A `repeat` has one bar, which counts its rounds, with the figures of the stages inside beside it.
    """
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
                tasks[key] = bars.add_task(event.label, total=event.steps, figures=text)
            bars.update(tasks[key], completed=event.step, figures=text)

        yield show
