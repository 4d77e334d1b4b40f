"""Several processes that run one spec together: how they find each other, and who goes first."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import click

from vspec.faults import refuse

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])

PATIENCE = 120
"""Seconds that a process waits for the others."""


@dataclass(frozen=True, slots=True)
class Processes:
    """What the options say: whether there are several processes, where the first one listens, how many, and which this is."""

    several: bool
    coordinator: str | None
    count: int | None
    number: int | None


def distributed_options(command: F) -> F:
    """`--distributed` with its options, of which each has a variable of the environment."""
    options = (
        click.option(
            "--distributed",
            is_flag=True,
            help="Run together with other processes, each started with this command and its own number.",
        ),
        click.option(
            "--coordinator",
            metavar="HOST:PORT",
            envvar="VSPEC_COORDINATOR",
            help="Where process 0 listens.  [env: VSPEC_COORDINATOR; found by itself on Slurm, MPI and TPUs]",
        ),
        click.option(
            "--processes",
            type=click.IntRange(min=1),
            metavar="COUNT",
            envvar="VSPEC_PROCESSES",
            help="How many processes there are.  [env: VSPEC_PROCESSES]",
        ),
        click.option(
            "--process",
            type=click.IntRange(min=0),
            metavar="NUMBER",
            envvar="VSPEC_PROCESS",
            help="Which one this is, from 0.  [env: VSPEC_PROCESS]",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def join(processes: Processes) -> None:
    """Connect with the other processes; nothing for one alone. Raises SpecError VS0865."""
    given = {"--coordinator": processes.coordinator, "--processes": processes.count, "--process": processes.number}
    if not processes.several:
        return
    missing = [option for option, value in given.items() if value is None]
    if 0 < len(missing) < len(given):
        raise refuse("VS0865", f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing", _HELP)
    if processes.count is not None and processes.number is not None and processes.number >= processes.count:
        raise refuse(
            "VS0865", f"there is no process {processes.number} of {processes.count}: they are counted from 0", _HELP
        )
    import jax

    _own_stdout()
    config: Any = jax.config
    config.update("jax_cpu_collectives_implementation", "gloo")
    logging.getLogger("jax._src.distributed").setLevel(logging.WARNING)
    try:
        jax.distributed.initialize(
            coordinator_address=processes.coordinator,
            num_processes=processes.count,
            process_id=processes.number,
            initialization_timeout=PATIENCE,
        )
    except (RuntimeError, ValueError, OSError) as error:
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise refuse("VS0865", f"the processes did not come together: {reason[0]}", _HELP) from None


def _own_stdout() -> None:
    """Sends to stderr what libraries print: stdout is for results, and those of the first process alone."""
    sys.stdout.flush()
    sys.stdout = os.fdopen(os.dup(1), "w", buffering=1, encoding=sys.stdout.encoding, errors=sys.stdout.errors)
    os.dup2(2, 1)


_HELP = (
    "vspec run SPEC --distributed --coordinator 10.0.0.1:9900 --processes 2 --process 0, and --process 1 on the other"
)


def first() -> bool:
    """Whether this process is the one that speaks and writes."""
    import jax

    return bool(jax.process_index() == 0)


def in_turn(work: Callable[[], T], several: bool) -> T:
    """What `work` gives, the first process before all others: what it writes, they find."""
    if not several:
        return work()
    from jax.experimental.multihost_utils import sync_global_devices

    if not first():
        sync_global_devices("vspec: the first process is done")
        return work()
    try:
        return work()
    finally:
        # Also where it failed: the others then fail alike, instead of waiting.
        sync_global_devices("vspec: the first process is done")
