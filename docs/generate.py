"""Writes the reference parts of these pages from the tables that the compiler itself reads.

    python -m docs.generate            writes docs/errors.md and the generated parts of other pages
    python -m docs.generate --check    says which are out of date, and exits with 1 if any is

A page keeps its hand-written text; what stands between `<!-- generated: NAME -->` and `<!-- end -->` is replaced.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache, partial
from importlib import resources
from pathlib import Path
from typing import Any

from vspec.codes import all_codes
from vspec.compiler.diagnostics.code import Code
from vspec.compiler.language.domains import DOMAINS
from vspec.compiler.language.operators import ALONG, CONSTANTS, COUNTERS, LINALG, POINTWISE, REDUCTIONS, STRUCTURAL
from vspec.compiler.passes import PASSES
from vspec.runtime.registry import METHODS, Keyword

DOCS = Path(__file__).parent

RANGES = {
    "VS01": "The file: YAML and structure",
    "VS02": "Expressions, names and indices",
    "VS03": "Types, sections, solve",
    "VS04": "Not implemented yet",
    "VS05": "Data that does not fit",
    "VS06": "Numerics",
    "VS07": "Limits and safety",
    "VS08": "Command line, usage, artifacts",
    "VS09": "Warnings",
    "VS0999": "Errors of vspec itself",
}

# Keys that the schema knows because the language is designed with them, and the compiler refuses for now. The tests check a
# spec for each, so that this table follows the compiler.
REFUSED: Mapping[str, Mapping[str, str]] = {
    "sections": {
        "dynamics": "VS0402",
    },
    "stage": {
        **dict.fromkeys(("pareto", "sample"), "VS0405"),
    },
}


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; a bar inside a cell is escaped."""
    lines = [f"| {' | '.join(head)} |", f"|{'|'.join('---' for _ in head)}|"]
    lines += [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows]
    return "\n".join(lines)


def code(text: str) -> str:
    """Text in code quotes; empty text stays empty."""
    return f"`{text}`" if text else ""


def operators() -> str:
    """Operators with a sign of their own."""
    return table(["written", "meaning"], ((code(o.symbol), o.doc) for o in POINTWISE.values() if not o.callable))


def functions() -> str:
    """Elementwise functions."""
    rows = []
    for o in POINTWISE.values():
        if o.callable:
            letters = ", ".join("abcdefgh"[: o.least if o.most is None else o.most])
            written = f"{o.name}({letters}{', ...' if o.most is None else ''})"
            rows.append((code(written) + (f" or {code(o.symbol)}" if o.symbol else ""), o.doc))
    return table(["written", "meaning"], rows)


def reductions() -> str:
    """Reductions."""
    kinds = {"same": "numbers", "real": "numbers", "boolean": "conditions"}
    gives = {"same": "the same", "real": "real", "boolean": "a condition", "integer": "an integer"}
    rows = [(code(r.written), kinds[r.takes], gives[r.gives], r.doc) for r in REDUCTIONS.values()]
    return table(["written", "takes", "gives", "meaning"], rows)


def along() -> str:
    """Operations along an axis."""
    return table(["written", "meaning"], ((code(f"{m.name}[i](e)"), m.doc) for m in ALONG.values()))


def linalg() -> str:
    """Functions of whole axes."""
    return table(["written", "meaning"], ((code(a.example), a.doc) for a in LINALG.values()))


def structural() -> str:
    """Built-ins with a rule of their own, and constants."""
    rows = [(code(form), meaning) for form, meaning in (text.split(": ", 1) for text in STRUCTURAL.values())]
    rows += [(code(name), meaning) for name, meaning in COUNTERS.items()]
    rows += [(code(name), f"The constant {value!r}.") for name, value in CONSTANTS.items()]
    return table(["written", "meaning"], rows)


def domains() -> str:
    """The domains of params."""
    return table(["written", "meaning"], ((code(d.example), d.doc) for d in DOMAINS.values()))


def methods() -> str:
    """The methods of a stage, each with its keywords."""
    parts = []
    for m in METHODS.values():
        parts.append(f"#### `{m.signature}`\n\n{m.doc} Comes from {m.source}.\n")
        parts.append(table(["keyword", "type", "default", "meaning"], (_keyword(k) for k in m.keywords)) + "\n")
    return "\n".join(parts).rstrip()


def _keyword(k: Keyword) -> tuple[str, str, str, str]:
    return (code(k.name), k.type.__name__, "required" if k.required else code(k.default_shown), k.doc)


@cache
def schema() -> Any:
    """The JSON Schema of specs."""
    return json.loads((resources.files("vspec.schemas") / "vspec.schema.json").read_text(encoding="utf-8"))


def keys(part: str) -> str:
    """The keys of one part of a spec, those that are refused for now marked."""
    node = schema() if part == "sections" else schema()["$defs"][part]
    required, refused = node.get("required", ()), REFUSED.get(part, {})
    rows = []
    for name, value in node["properties"].items():
        state = "required" if name in required else f"not yet ({refused[name]})" if name in refused else ""
        rows.append((code(name), value["description"], state))
    return table(["key", "meaning", ""], rows)


def replies() -> str:
    """The fields of each command's reply, from its schema."""
    node = json.loads((resources.files("vspec.schemas") / "output.schema.json").read_text(encoding="utf-8"))
    rows = [("every command", code(name), value["description"]) for name, value in node["properties"].items()]
    for part in node["allOf"]:
        if "command" in part["if"]["properties"]:
            name = part["if"]["properties"]["command"]["const"]
            fields = node["$defs"][name]["properties"].items()
            rows += [(code(f"vspec {name}"), code(field), value["description"]) for field, value in fields]
    return table(["command", "field", "meaning"], rows)


def diagnostic() -> str:
    """The fields of a diagnostic."""
    node = json.loads((resources.files("vspec.schemas") / "output.schema.json").read_text(encoding="utf-8"))
    fields = node["$defs"]["diagnostic"]["properties"].items()
    return table(["field", "meaning"], ((code(name), value["description"]) for name, value in fields))


def passes() -> str:
    """The passes in the order in which they first run."""
    first = {p.name: p for p in reversed(PASSES)}
    rows = [(code(p.name), f"-O{p.level}", p.doc) for p in PASSES if first.pop(p.name, None)]
    return table(["pass", "from", "effect"], rows)


def not_yet() -> str:
    """What the design has and the compiler refuses."""
    prefix = "not implemented yet: "
    rows = [(f"[{c.code}](errors.md#{c.code.lower()})", c.title.removeprefix(prefix)) for c in codes("VS04")]
    return table(["code", "construct"], rows)


def codes(prefix: str) -> list[Code]:
    """The codes that start with a prefix and with no longer one of `RANGES`."""
    longer = tuple(p for p in RANGES if p.startswith(prefix) and p != prefix)
    return [
        c for name, c in all_codes().items() if name.startswith(prefix) and not (longer and name.startswith(longer))
    ]


def errors() -> str:
    """The page of diagnostic codes."""
    lines = [
        "# Diagnostic codes",
        "",
        "Every message carries a code that stays the same between versions. `vspec explain-error CODE` shows the same text.",
        "",
    ]
    for prefix, title in RANGES.items():
        found = codes(prefix)
        if not found:
            continue
        lines += [f"## {title}", ""]
        for c in found:
            lines += [
                f'<a id="{c.code.lower()}"></a>',
                f"### {c.code}: {_prose(c.title)}",
                "",
                _prose(c.explanation),
                "",
            ]
            if c.example:
                fence = "sh" if c.example.startswith("vspec ") else "yaml"
                lines += [f"```{fence}", c.example.rstrip("\n"), "```", ""]
    return "\n".join(lines).rstrip() + "\n"


def _prose(text: str) -> str:
    # Brackets and stars in a sentence are signs, not Markdown; what stands in code quotes is left alone.
    return "".join(
        t if t.startswith("`") else re.sub(r"([<>*_\[\]])", r"\\\1", t) for t in re.split(r"(`[^`]*`)", text)
    )


PARTS: Mapping[str, Callable[[], str]] = {
    "operators": operators,
    "functions": functions,
    "reductions": reductions,
    "along": along,
    "linalg": linalg,
    "structural": structural,
    "domains": domains,
    "methods": methods,
    "passes": passes,
    "replies": replies,
    "diagnostic": diagnostic,
    "not-yet": not_yet,
    **{f"keys {part}": partial(keys, part) for part in ("sections", "dim_options", "data_options", "param")},
    **{f"keys {part}": partial(keys, part) for part in ("stage", "output_options", "claim_options")},
}

_REGION = re.compile(r"(<!-- generated: ([^>]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def fill(text: str, folder: str = "") -> str:
    """A page with its generated parts anew; `folder` is where the other pages are from there.

    Raises KeyError for a part that does not exist.
    """

    def part(m: re.Match[str]) -> str:
        made = PARTS[m[2].strip()]().replace("](errors.md", f"]({folder}errors.md")
        return f"{m[1]}\n{made}\n\n{m[3]}"

    return _REGION.sub(part, text)


def pages() -> dict[Path, str]:
    """Every page that has generated parts, as it should be."""
    found = {DOCS / "errors.md": errors()}
    for path in sorted([*DOCS.glob("*.md"), DOCS.parent / "README.md"]):
        if path.name != "errors.md" and path.exists():
            text = path.read_text(encoding="utf-8")
            if _REGION.search(text):
                found[path] = fill(text, "" if path.parent == DOCS else "docs/")
    return found


def stale() -> list[Path]:
    """The pages that differ from what they should be."""
    return [p for p, text in pages().items() if not p.exists() or p.read_text(encoding="utf-8") != text]


def main(arguments: Sequence[str]) -> int:
    """Write the pages, or check them."""
    old = stale()
    if "--check" in arguments:
        for path in old:
            print(f"{path.name} is out of date: python -m docs.generate")
        return 1 if old else 0
    for path, text in pages().items():
        if path in old:
            path.write_text(text, encoding="utf-8")
            print(f"{path.name}: written")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
