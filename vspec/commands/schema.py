"""`vspec schema`: the JSON Schemas, for editors and other tools."""

from __future__ import annotations

import json
from importlib.resources import files

import click

from vspec import output
from vspec.faults import OK
from vspec.options import format_option


@click.command(short_help="Print the JSON Schema of specs or manifests.")
@click.option("--manifest", is_flag=True, help="The schema of a built program's manifest.json instead.")
@format_option
def schema(manifest: bool, format_: str) -> int:
    """Print the JSON Schema of specs, which editors use to complete and check YAML.

    \b
    Example:
      vspec schema > vspec.schema.json
      # and as the first line of a spec:
      # yaml-language-server: $schema=vspec.schema.json

    With --format json: {"schema": {...}, ...}
    """
    name = "manifest.schema.json" if manifest else "vspec.schema.json"
    text = (files("vspec.schemas") / name).read_text(encoding="utf-8")
    if format_ == "json":
        output.reply("schema", OK, schema=json.loads(text))
    else:
        output.say(text.rstrip("\n"))
    return OK
