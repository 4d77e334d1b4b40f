"""`python -m benchmarks [NAME ...]`: the suite, its kernels one by one, and benchmarks of solvers, sweeps and the compiler."""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

SUITE = "suite"
WIDTH = 200
"""Columns of a file or a pipe: whatever the terminal is like, nothing is cut off there."""


def others() -> dict[str, Callable[[], str]]:
    """The benchmarks beside the suite, each of which gives a text."""
    from benchmarks import (
        compile_time,
        memory,
        recurrences,
        solving_constrained,
        solving_smooth,
        structure,
        sweeping,
        transport,
    )
    from benchmarks.timing import table

    def written(run: Callable[[], Any]) -> Callable[[], str]:
        return lambda: "\n".join(table(title, timings) for title, timings in run().items())

    compared = (recurrences, sweeping, structure, solving_smooth, solving_constrained, transport)
    return {
        **compile_time.ALL,
        **memory.ALL,
        **{name: written(run) for module in compared for name, run in module.ALL.items()},
    }


@click.command(epilog="Example: python -m benchmarks mlp chain --json before.json")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option(
    "--quick", is_flag=True, help="Kernels at small sizes with few repetitions: whether it works, not how fast."
)
@click.option("--large", is_flag=True, help="Kernels at sizes that occupy an accelerator; slow on a CPU.")
@click.option(
    "--json", "data", type=click.Path(dir_okay=False, path_type=Path), help="Where to write the rows of the suite."
)
@click.option(
    "--png", "drawing", type=click.Path(dir_okay=False, path_type=Path), help="Where to draw the ratios of the suite."
)
@click.option(
    "--against",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Rows to compare with, of another commit.",
)
@click.option("--list", "listed", is_flag=True, help="Name all benchmarks and kernels.")
def main(
    names: Sequence[str],
    quick: bool,
    large: bool,
    data: Path | None,
    drawing: Path | None,
    against: Path | None,
    listed: bool,
) -> None:
    """Time emitted programs against hand-written JAX and other libraries, in one run.

    NAME is 'suite', a kernel of the suite, or another benchmark; without names, everything runs. The suite writes
    results/benchmarks/suite.json and suite.png unless told otherwise.
    """
    if quick and large:
        raise click.UsageError("--quick and --large ask for different sizes")
    import jax

    jax.config.update("jax_enable_x64", True)
    # Peers are also run with settings that do not suit them, and say so.
    warnings.filterwarnings("ignore", module=r"scipy\.|sklearn\.|genosolver|numpy\.linalg|ott\.|jaxopt|blackjax")
    from benchmarks import kernels

    beside = others()
    if listed:
        click.echo("\n".join([SUITE, *(f"  {k.name:<22} {k.doc}" for k in kernels.ALL.values()), *beside]))
        return
    unknown = [n for n in names if n not in (SUITE, *kernels.ALL, *beside)]
    if unknown:
        click.echo(f"no benchmark called {', '.join(unknown)}; --list names them", err=True)
        sys.exit(2)
    click.echo(f"jax {jax.__version__} on {jax.devices()[0].device_kind}")
    chosen = [n for n in kernels.ALL if not names or SUITE in names or n in names]
    if chosen:
        folder = Path("results/benchmarks")
        whole = chosen == list(kernels.ALL)
        suite(
            chosen,
            "small" if quick else "large" if large else "sizes",
            data or (folder / "suite.json" if whole else None),
            drawing or (folder / "suite.png" if whole else None),
            against,
        )
    for name in beside if not names else [n for n in names if n in beside]:
        click.echo(beside[name]())


def suite(names: Sequence[str], sizes: str, data: Path | None, drawing: Path | None, against: Path | None) -> None:
    """Runs kernels under a progress bar, then shows and writes what they gave."""
    from benchmarks import shown
    from benchmarks.suite import rows

    console = Console(width=None if sys.stdout.isatty() else WIDTH)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        bar = progress.add_task(names[0], total=len(names))

        def told(name: str, done: int) -> None:
            progress.update(bar, description=name, completed=done)

        results = rows(names, sizes, told)
    console.print(shown.table(results))
    for line in shown.verdict(results):
        console.print(line)
    if against is not None:
        console.print(shown.compared(results, json.loads(against.read_text(encoding="utf-8"))))
    if data is not None:
        data.parent.mkdir(parents=True, exist_ok=True)
        data.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    if drawing is not None:
        shown.picture(results, drawing)
    if data is not None or drawing is not None:
        console.print("written: " + ", ".join(str(p) for p in (data, drawing) if p is not None))


if __name__ == "__main__":
    main()
