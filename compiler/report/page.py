"""The sections of a page that tell what the compiler made of a spec: mathematics, derivation, graph, passes, listings.

Each takes a checked or a compiled spec and returns a piece of HTML; MathML and SVG stand in it as they are, all other text
is escaped.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from vspec.compiler.graph.graph import Graph
from vspec.compiler.language.spec import Spec
from vspec.compiler.report.derivation import Derived, Step, derivation
from vspec.compiler.report.explain import explain_arguments, explain_dims
from vspec.compiler.report.formulas import equations, printer
from vspec.compiler.report.overview import overview
from vspec.compiler.report.plan import plan_lines
from vspec.compiler.report.strategies import strategies as chosen_strategies
from vspec.compiler.report.table import passes_table, quantity
from vspec.runtime.pages.html import Child, Html, folded, fragment, inside, link, note, table, tag

if TYPE_CHECKING:
    from vspec.compiler.pipeline import Compiled

OPEN_ENTRIES = frozenset({"objective", "gradient"})


def math(body: str) -> Html:
    """A formula that MathML has written, in the size of a display."""
    return Html(f'<math xmlns="http://www.w3.org/1998/Math/MathML" displaystyle="true">{body}</math>')


def mathematics(spec: Spec, linked: bool = True) -> Html:
    """Dimensions, arguments, the equations, objectives and constraints as formulas, and the plan in words."""
    own = PurePath(spec.path).name
    formulas = [
        tag("tr", tag("td", math(e.formula)), tag("td", _where(e.line, e.file, linked), class_="where"))
        for e in equations(spec, "mathml")
    ]
    dims: list[list[Child]] = [[", ".join(d["letters"]), d["size"]] for d in explain_dims(spec)]
    p = printer(spec, "mathml")
    letters = {n: x.letters for group in (spec.params, spec.data, spec.constants) for n, x in group.items()}
    arguments: list[list[Child]] = [
        [
            math(p.element(a["name"], letters[a["name"]])),
            tag("code", a["name"]),
            a["role"],
            a["note"],
            _where(a["line"], "" if a["file"] == own else a["file"], linked),
        ]
        for a in explain_arguments(spec)
    ]
    heads = ["symbol", "name", "is", "", "spec"]
    kept = [k for k in range(len(heads)) if any(row[k] for row in arguments)]
    plan = [tag("li", line.strip(), style=f"margin-left:{_depth(line):g}em") for line in plan_lines(spec)]
    return inside(
        [
            _formulas(formulas) if formulas else None,
            tag("h3", "Symbols") if arguments or dims else None,
            table([heads[k] for k in kept], [[row[k] for k in kept] for row in arguments]) if arguments else None,
            table(["index", "size"], dims) if dims else None,
            [tag("h3", "Plan"), tag("ul", plan)] if plan else None,
        ]
    )


def _formulas(rows: Sequence[Child]) -> Html:
    made = tag("table", tag("tbody", rows), role="presentation")
    return tag("div", made, class_="formulas", tabindex="0", role="region", aria_label="formulas")


def _where(line: int, file: str, linked: bool) -> Child:
    if not line:
        return None
    if file:
        return f"{file}:{line}"
    return link(f"L{line}", f"line {line}") if linked else f"line {line}"


def _depth(line: str) -> float:
    return 0.6 * (len(line) - len(line.lstrip()))


# --- derivation ---------------------------------------------------------------------------------------------------


def derived(compiled: Compiled, linked: bool = True) -> Html:
    """Each entry of the program: the formula of every line of it, with its places in the spec and in the program."""
    found = derivation(compiled)
    made = [_entry(d, linked) for d in found if d.steps]
    if not made:
        return Html("")
    said = (
        "Each formula is the value of one line of the program, read back from the graph after all passes. "
        "Names that end in _bar are adjoints of a reverse sweep, in _dot tangents of a forward sweep."
    )
    return inside([note(said), made])


def _entry(d: Derived, linked: bool) -> Html:
    rows = [_step(s, linked) for s in d.steps]
    title = inside([tag("code", d.name), tag("span", f" {d.doc or d.kind.replace('_', ' ')}", class_="soft")])
    results = [tag("tr", tag("td", math(r)), tag("td")) for r in d.results]
    meaning = [tag("h4", "what it returns"), _formulas(results)] if results else None
    return folded(title, meaning, _formulas(rows), open=d.kind in OPEN_ENTRIES)


def _step(s: Step, linked: bool) -> Html:
    formula: Child = inside([tag("code", s.target), ": ", s.formula]) if s.words else math(s.formula)
    role = tag("span", s.role, class_="note") if s.role else None
    program: Child = None
    if s.program_line is not None:
        program = (
            link(f"P{s.program_line}", f"program.py:{s.program_line}") if linked else f"program.py:{s.program_line}"
        )
    places = [_where(s.line, s.file, linked), program]
    return tag("tr", tag("td", formula), tag("td", role), *(tag("td", p, class_="where") for p in places))


# --- graph --------------------------------------------------------------------------------------------------------


def graph(compiled: Compiled) -> Html:
    """The graph before and after the passes: a drawing of each, and how many nodes of each kind there are."""
    before, after = compiled.before, compiled.graph
    return inside(
        [
            _kinds(before, after),
            folded("After the passes", drawing(after), open=True),
            folded("Before the passes", drawing(before)),
        ]
    )


def drawing(found: Graph) -> Html:
    """A graph as SVG in a box that scrolls; of a large one, its definitions in the place of nodes."""
    picture, said = overview(found)
    if not picture:
        return note(said)
    box = tag("div", Html(picture), class_="drawing", tabindex="0", role="region", aria_label="graph")
    return inside([note(said), box])


def _kinds(before: Graph, after: Graph) -> Html:
    counts = [Counter(str(n.kind) for n in g.nodes) for g in (before, after)]
    kinds = sorted(counts[0] | counts[1], key=lambda k: -counts[0][k])
    rows: list[list[Child]] = [[k, str(counts[0][k]), str(counts[1][k])] for k in kinds]
    rows.append([tag("strong", "together"), *(tag("strong", str(c.total())) for c in counts)])
    return table(["kind of node", "before", "after"], rows, (1, 2), "Nodes")


def passes(rows: Sequence[Mapping[str, Any]]) -> Html:
    """What each pass did: nodes, operations, bytes moved, the peak of memory. `rows` as report.json has them."""
    if not rows:
        return Html("")
    columns = ("nodes", "flops", "bytes", "peak_bytes")

    def cells(name: Child, before: Mapping[str, Any], after: Mapping[str, Any], seconds: float) -> list[Child]:
        return [name, *(_change(before[c][0], after[c][1], c == "nodes") for c in columns), f"{1000 * seconds:.1f}"]

    made = [cells(r["pass"], r, r, r["seconds"]) for r in rows]
    made.append(cells(tag("strong", "together"), rows[0], rows[-1], sum(r["seconds"] for r in rows)))
    said = "Sizes that only the data tell count as nominal ones: the figures compare, they do not predict seconds."
    head = ["pass", "nodes", "operations", "bytes moved", "peak bytes", "ms"]
    return inside([table(head, made, range(1, 6), "Passes"), note(said)])


def strategies(compiled: Compiled) -> Html:
    """What was chosen where there are several ways, and what each costs."""
    rows = chosen_strategies(compiled)
    if not rows:
        return Html("")
    made: list[list[Child]] = [
        [r["kind"], tag("code", r["what"]), r["chosen"], r["because"], _costs(r), f"{r['file']}:{r['line']}"]
        for r in rows
    ]
    return table(["", "what", "chosen", "because", "operations", "spec"], made, (), "Strategies")


def _costs(row: Mapping[str, Any]) -> str:
    return ", ".join(f"{x['name']} {quantity(x['flops'])}" for x in row["among"])


def _change(before: float, after: float, whole: bool) -> Child:
    def said(value: float) -> str:
        return str(int(value)) if whole else quantity(value)

    if said(before) == said(after):
        return tag("span", said(after), class_="soft")
    return inside([tag("span", f"{said(before)} → ", class_="soft"), said(after)])


def compiled_passes(compiled: Compiled) -> Html:
    """`passes` of a spec that has just been compiled."""
    return passes(passes_table(compiled.passes))


# --- texts --------------------------------------------------------------------------------------------------------


def listing(text: str, prefix: str, name: str) -> Html:
    """A text with numbered lines, each an anchor: `L12` where the prefix is L."""
    lines = text.removesuffix("\n").split("\n")
    items = [
        tag("li", link(f"{prefix}{k}", str(k)), tag("code", line or " "), id=f"{prefix}{k}")
        for k, line in enumerate(lines, 1)
    ]
    return tag("div", tag("ol", items), class_="listing", tabindex="0", role="region", aria_label=name)


# --- notebooks ----------------------------------------------------------------------------------------------------


def spec_html(spec: Spec) -> Html:
    """A checked spec as a notebook shows it: its name, its sentence, its mathematics."""
    return fragment(_title(spec), mathematics(spec, linked=False))


def compiled_html(compiled: Compiled) -> Html:
    """What a program was made from, as a notebook shows it: mathematics, derivation and graph."""
    return fragment(_title(compiled.spec), *compiled_parts(compiled))


def compiled_parts(compiled: Compiled) -> list[Html]:
    """Mathematics, derivation and graph, each folded."""
    return [
        folded("Mathematics", mathematics(compiled.spec, linked=False), open=True),
        folded("Derivation", derived(compiled, linked=False)),
        folded("Graph", drawing(compiled.graph), strategies(compiled), compiled_passes(compiled)),
    ]


def _title(spec: Spec) -> Html:
    name = f"{spec.name}, run {spec.run}" if spec.run else spec.name
    return inside([tag("h3", name), tag("p", " ".join(spec.doc.split())) if spec.doc else None])
