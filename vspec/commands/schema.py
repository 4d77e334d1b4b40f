"""`vspec schema`: the JSON Schemas, for editors and other tools."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path

import click

from vspec import output
from vspec.faults import OK
from vspec.files import replace_file
from vspec.options import format_option

SCHEMAS = {
    "spec": "vspec.schema.json",
    "manifest": "manifest.schema.json",
    "run": "run.schema.json",
    "output": "output.schema.json",
}


@click.command(short_help="Print or write a JSON Schema, for editors and tools.")
@click.argument("kind", type=click.Choice(list(SCHEMAS)), default="spec", metavar="[spec|manifest|run|output]")
@click.option("--out", metavar="FILE", help="Write the schema to a file, in the place of one that is there.")
@format_option
def schema(kind: str, out: str | None, format_: str) -> int:
    """Print the JSON Schema of specs, from which editors complete and check YAML and show what each key means.

    'manifest' is that of a program's manifest.json, 'run' that of the run.json of results, 'output' that of what commands
    say with --format json.

    \b
    Example:
      vspec schema --out vspec.schema.json
      # and as the first line of a spec:
      # yaml-language-server: $schema=vspec.schema.json

    With --format json: {"kind", "schema": {...}}, or with --out {"kind", "path"}
    """
    text = (files("vspec.schemas") / SCHEMAS[kind]).read_text(encoding="utf-8")
    if out is not None:
        replace_file(Path(out), text)
    if format_ == "json":
        output.reply("schema", OK, kind=kind, **({"path": out} if out is not None else {"schema": json.loads(text)}))
    elif out is not None:
        output.say(f"{out}: written")
    else:
        output.say(text.rstrip("\n"))
    return OK
