"""The command line: a table of commands, each imported when it is used, and one place where errors end."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from itertools import pairwise
from typing import Any

import click

from vspec.faults import INTERRUPTED, PIPE_CLOSED, fault
from vspec.output import note, reply, show

# name → module under vspec.commands, and the line that `vspec --help` shows; the module's command has the name of the
# module. A table, so that help and shell completion import none of them.
COMMANDS: dict[str, tuple[str, str]] = {
    "new": ("new", "Write a small spec to start from."),
    "check": ("check", "Check specs and report every mistake."),
    "fmt": ("fmt", "Write specs in their canonical form."),
    "build": ("build", "Compile a spec into a JAX program."),
    "run": ("run", "Run a spec or a built program and save the results."),
    "sweep": ("sweep", "Run a spec over a grid of constants and seeds."),
    "verify": ("verify", "Run specs and judge their claims."),
    "report": ("report", "Make one HTML page of a run."),
    "explain": ("explain", "Show how a spec is derived and optimised."),
    "explain-error": ("explain_error", "Explain a diagnostic code, or list them all."),
    "list": ("listing", "List shipped specs, methods, networks, passes or functions."),
    "schema": ("schema", "Print or write a JSON Schema, for editors and tools."),
    "doctor": ("doctor", "Show versions and devices, and whether all is well."),
}

EPILOG = """
\b
Example:
  vspec new fit.yaml
  vspec check fit.yaml
  vspec run fit.yaml
\b
Exit codes: 0 success, 1 a claim failed (fmt --check: a file would change),
2 the spec or the usage is wrong, 3 the data does not fit, 4 the numerics
failed, 70 an error of vspec itself, 130 interrupted.
"""


class FrontDoor(click.Group):
    """A group that imports a command when it is used, and turns every exception into a message and an exit code."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the order in which one meets them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, imported now."""
        if cmd_name not in COMMANDS:
            return None
        module = COMMANDS[cmd_name][0]
        command = getattr(import_module(f"vspec.commands.{module}"), module)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands for --help."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; a reader that has gone away (`vspec list | head -1`) is no error of ours."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            # Python flushes stdout once more at exit, and must not fail there.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return PIPE_CLOSED

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        """Run the command line and, standing alone, exit with the code that the command returns."""
        argv = list(sys.argv[1:] if args is None else args)
        extra.setdefault("obj", argv)
        if not standalone_mode:
            return super().main(argv, prog_name, complete_var, standalone_mode=False, **extra)
        try:
            code = super().main(argv, prog_name, complete_var, standalone_mode=False, **extra)
        except Exception as error:
            code = explain(error, argv)
        sys.exit(code if isinstance(code, int) else 0)


def explain(error: BaseException, argv: list[str]) -> int:
    """Say what went wrong, as text or as JSON, and give the exit code."""
    found = fault(error)
    if found.trace:
        note(found.trace)
    if found.exit_code == INTERRUPTED and not found.diagnostics:
        note("interrupted")
    if wants_json(argv):
        reply(named(argv), found.exit_code, found.diagnostics)
    else:
        show(found.diagnostics)
    return found.exit_code


def named(argv: list[str]) -> str:
    """The command among the arguments, as it is written; empty if there is none."""
    words = [word for before, word in zip(["", *argv], argv) if before != "--format" and not word.startswith("-")]
    return words[0] if words else ""


def wants_json(argv: list[str]) -> bool:
    """Whether `--format json` is among the arguments, which may be too wrong to be parsed."""
    return "--format=json" in argv or any(pair == ("--format", "json") for pair in pairwise(argv))


def version(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    """The callback of --version; looks the version up only when it is asked for."""
    if value and not ctx.resilient_parsing:
        from vspec import __version__

        click.echo(f"vspec {__version__}")
        ctx.exit()


@click.group(
    cls=FrontDoor,
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=version, help="Show the version.")
def main() -> None:
    """vspec compiles variational problems: one YAML spec in, one differentiated, optimised JAX program out."""
