"""`vspec list`: what comes with vspec."""

from __future__ import annotations

import click

from vspec import output, registries
from vspec.compiler.diagnostics.diagnostic import SpecError
from vspec.faults import OK
from vspec.locate import library
from vspec.options import format_option


@click.command("list", short_help="List shipped specs, methods, networks, passes or functions.")
@click.option("--methods", "what", flag_value="methods", help="The methods that solve a stage.")
@click.option("--networks", "what", flag_value="networks", help="The networks that a function may be.")
@click.option("--passes", "what", flag_value="passes", help="The optimisation passes, in order.")
@click.option("--functions", "what", flag_value="functions", help="The functions that expressions may call.")
@format_option
def listing(what: str | None, format_: str) -> int:
    """List the specs that come with vspec; every command takes them by name.

    \b
    Example:
      vspec list
      vspec run problems/logistic

    With --format json: {"kind": "specs", "items": [{"name", "doc"}], ...}; specs also have "path".
    """
    kind = what or "specs"
    items = specs() if kind == "specs" else [{"name": n, "doc": d} for n, d in getattr(registries, kind)()]
    if format_ == "json":
        output.reply("list", OK, kind=kind, items=items)
    else:
        output.say(output.columns([(item["name"], item["doc"]) for item in items], indent=""))
    return OK


def specs() -> list[dict[str, str]]:
    """The shipped specs with their doc lines."""
    from vspec.compiler.source.document import Scalar
    from vspec.compiler.source.load import load_document

    listed = []
    for name, path in library().items():
        try:
            node = load_document(str(path)).root.get("doc")
        except SpecError:
            node = None  # `vspec check` says what is wrong with it
        doc = " ".join(node.text.split()) if isinstance(node, Scalar) else ""
        listed.append({"name": name, "doc": doc, "path": str(path)})
    return listed
