"""`vspec new`: a small complete spec to start from."""

from __future__ import annotations

import re
from pathlib import Path

import click

from vspec import output, starts
from vspec.faults import OK, refuse
from vspec.files import create_file, replace_file
from vspec.locate import SUFFIXES
from vspec.options import format_option


@click.command(short_help="Write a small spec to start from.")
@click.argument("name", required=False, metavar="NAME|FILE")
@click.option("--template", default=starts.DEFAULT, show_default=True, metavar="NAME", help="What to start from.")
@click.option("--list", "list_", is_flag=True, help="List the templates, and write nothing.")
@click.option("--schema", is_flag=True, help="With a first line that lets editors find the schema.")
@click.option("--force", is_flag=True, help="Write over a file that is there.")
@format_option
def new(name: str | None, template: str, list_: bool, schema: bool, force: bool, format_: str) -> int:
    """Write a small, complete spec to start from; it runs as it stands, and its comments explain it.

    NAME becomes NAME.yaml; a path that ends in .yaml or .yml stays as it is. Never writes over a file without --force.

    \b
    Example:
      vspec new fit && vspec run fit.yaml
      vspec new digits --template classification
      vspec new --list

    With --format json: {"path", "template", ...}, or with --list {"templates": [{"name", "doc"}], ...}
    """
    if list_:
        return show_templates(format_)
    if name is None:
        raise click.UsageError("missing argument 'NAME|FILE'", click.get_current_context())
    path = spec_path(name)
    text = starts.start(template, path.stem, str(path), schema)
    if force:
        replace_file(path, text)
    else:
        create_file(path, text)
    if format_ == "json":
        output.reply("new", OK, path=str(path), template=template)
        return OK
    output.say(f"{path}: written; next: vspec check {path}")
    if schema:
        output.say(f"and for the editor: vspec schema --out {path.with_name('vspec.schema.json')}")
    return OK


def show_templates(format_: str) -> int:
    """The templates with what each is about."""
    listed = starts.summaries()
    if format_ == "json":
        output.reply("new", OK, templates=[{"name": name, "doc": doc} for name, doc in listed])
    else:
        output.say(output.columns(listed, indent=""))
    return OK


def spec_path(name: str) -> Path:
    """Where the spec is to be written. The name of the file becomes that of the spec.

    Raises:
        SpecError: VS0833, no spec can have this name.
    """
    folder, _, last = name.rpartition("/")
    ending = next((s for s in SUFFIXES if last.endswith(s)), "")
    stem = last.removesuffix(ending)
    if not re.fullmatch(identifier(), stem):
        near = re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("-._")[:100]
        tip = (
            f"did you mean '{near}'?"
            if near and near != stem
            else "a name such as 'fit', or a path such as 'specs/fit.yaml'"
        )
        raise refuse("VS0833", f"no spec can be called '{stem}'", tip)
    return Path(folder + "/" if folder or name.startswith("/") else "", stem + (ending or SUFFIXES[0]))


def identifier() -> str:
    """The pattern of names, as the schema has it."""
    from vspec.compiler.source.structure import schema

    return str(schema()["$defs"]["identifier"]["pattern"])
