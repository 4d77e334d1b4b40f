"""Options that several commands share, with one wording each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from vspec.compiler.diagnostics.policy import Policy

F = TypeVar("F", bound=Callable[..., Any])
Decorator = Callable[[F], F]

format_option: Decorator[Any] = click.option(
    "--format",
    "format_",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="Text for people, or one JSON object on stdout for machines.",
)
set_option: Decorator[Any] = click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="NAME=VALUE",
    help="Override a constant or the size of a dim: --set lam=0.5 --set 'f=[1, 2]'.",
)
level_option: Decorator[Any] = click.option(
    "-O",
    "level",
    type=click.IntRange(0, 2),
    default=2,
    show_default=True,
    metavar="LEVEL",
    help="Optimisation level: -O0 only what correctness needs, -O1 the cheap passes, -O2 all.",
)
disable_option: Decorator[Any] = click.option(
    "--disable-pass",
    "disable",
    multiple=True,
    metavar="NAME",
    help="Leave out one pass; 'vspec list --passes' names them.",
)
seed_option: Decorator[Any] = click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Seed of every draw that has none of its own.",
)
outside_option: Decorator[Any] = click.option(
    "--allow-outside", is_flag=True, help="Let the spec import specs and read data outside of its own folder."
)

memory_option: Decorator[Any] = click.option(
    "--memory",
    metavar="SIZE",
    help="What the data may take of memory, such as 500MB or 8GB; beyond it, data that the stages only see batches of are "
    "read by chunks.  [default: a quarter of the machine's]  If given, also what arrays on the way may take, as for build.",
)
memory_of_arrays: Decorator[Any] = click.option(
    "--memory",
    metavar="SIZE",
    help="What the arrays of one reduction may take, such as 500MB or 2GB; beyond it, they are computed some rows at a "
    "time.  [default: 256MB]",
)


def tuning_options(command: F) -> F:
    """`--chunk`, `--matmul-precision` and `--donate`, which `read_tuning` puts together with `--memory`."""
    chunk: Decorator[Any] = click.option(
        "--chunk", metavar="SIZE", help="What the rows that are computed at a time take.  [default: 16MB]"
    )
    matmul: Decorator[Any] = click.option(
        "--matmul-precision",
        "matmul",
        type=click.Choice(["default", "bfloat16", "tensorfloat32", "float32"]),
        default="default",
        show_default=True,
        help="Digits of matrix products: the device's own choice, or at least these.",
    )
    donate: Decorator[Any] = click.option(
        "--donate", is_flag=True, help="The loops of stages give the memory of their state to the next state."
    )
    chosen: F = chunk(matmul(donate(command)))
    return chosen


def warning_options(command: F) -> F:
    """`--pedantic` and `--warnings`, which `read_policy` puts together."""
    pedantic: Decorator[Any] = click.option(
        "--pedantic", is_flag=True, help="Look for what only may be a mistake, too."
    )
    mode: Decorator[Any] = click.option(
        "-W",
        "--warnings",
        "warnings_",
        type=click.Choice(["show", "error", "none"]),
        default="show",
        show_default=True,
        help="Show warnings, take them for errors, or leave them out.",
    )
    chosen: F = pedantic(mode(command))
    return chosen


def read_policy(pedantic: bool, mode: str) -> Policy:
    """What these options ask for."""
    return Policy(pedantic, mode)  # type: ignore[arg-type]
