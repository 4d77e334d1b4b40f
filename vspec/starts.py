"""The templates of `vspec new`: complete small specs, one file each, with comments that teach."""

from __future__ import annotations

from importlib.resources import files
from string import Template

from vspec.compiler.diagnostics.suggest import did_you_mean
from vspec.faults import refuse

DEFAULT = "regression"
MODELINE = "# yaml-language-server: $schema=vspec.schema.json\n"


def templates() -> dict[str, str]:
    """Name → text, the default first, the others by name."""
    found = {
        p.name.removesuffix(".yaml"): p
        for p in files("vspec").joinpath("templates").iterdir()
        if p.name.endswith(".yaml")
    }
    names = sorted(found, key=lambda name: (name != DEFAULT, name))
    return {name: found[name].read_text(encoding="utf-8") for name in names}


def summaries() -> list[tuple[str, str]]:
    """The templates with what each is about."""
    from vspec.compiler.source.document import Scalar
    from vspec.compiler.source.load import parse_document

    listed = []
    for name, text in templates().items():
        doc = parse_document(text, name).root.get("doc")
        listed.append((name, doc.text if isinstance(doc, Scalar) else ""))
    return listed


def start(template: str, name: str, file: str, modeline: bool = False) -> str:
    """A template as a spec called `name`, to be written to `file`.

    Raises:
        SpecError: VS0832, there is no such template.
    """
    known = templates()
    if template not in known:
        tip = did_you_mean(template, known) or f"there are {', '.join(known)}"
        raise refuse("VS0832", f"there is no template '{template}'", tip)
    return (MODELINE if modeline else "") + Template(known[template]).substitute(name=name, file=file)
