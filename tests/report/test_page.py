"""Pieces of pages: everything is escaped, every tag closes, formulas read back from the graph are those of the spec."""

from html.parser import HTMLParser
from pathlib import Path

import pytest

import vspec
from vspec.compiler.pipeline import Compiled, check_text, compile_spec
from vspec.compiler.report import page
from vspec.compiler.report.derivation import Derived, derivation
from vspec.runtime.pages import html, notebook
from vspec.runtime.pages.charts import Curve, chart, logarithmic, thinned

SPEC = """
vspec: 1
name: ridge
doc: Least squares <script>alert(1)</script> & more.
precision: float64
dims: {n: 6, i: 2}
constants: {lam: 0.5}
data:
  X[n, i]: {draw: "normal(0, 1)", seed: 1}
  y[n]: {draw: "normal(0, 1)", seed: 2}
params:
  w[i]: {init: 0}
define:
  r[n]: sum[i](X[n, i]*w[i]) - y[n]
objectives:
  loss: sum[n](r[n]**2)/2 + lam*sum[i](w[i]**2)
solve: {minimize: loss, method: newton(tol=1e-10)}
"""


class Checked(HTMLParser):
    """Collects what is wrong with a piece of HTML: tags that do not close, ids that occur twice, links that lead nowhere."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.wrong: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.tags: list[str] = []
        self.feed(text)
        self.close()
        self.wrong += [f"{t} does not close" for t in self.open]
        self.wrong += [f"{i} occurs twice" for i in set(self.ids) if self.ids.count(i) > 1]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in html.VOID:
            self.open.append(tag)
        for key, value in attrs:
            if key == "id":
                self.ids.append(str(value))
            if key in ("href", "src"):
                self.links.append(str(value))
            if key.startswith("on"):
                self.wrong.append(f"{tag} has {key}")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        # In drawings an element may be empty as it stands, elsewhere HTML takes it for one that is open.
        if "svg" not in self.open:
            self.wrong.append(f"{tag} closes itself")

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.wrong.append(f"{tag} closes what is not open")


def compiled(text: str) -> Compiled:
    spec, diagnostics = check_text(text, "ridge.yaml")
    assert spec is not None, diagnostics
    return compile_spec(spec)


@pytest.fixture(scope="module")
def ridge() -> Compiled:
    return compiled(SPEC)


def formulas(found: list[Derived], entry: str) -> dict[str, str]:
    (derived,) = [d for d in found if d.name == entry]
    return {s.target: s.formula for s in derived.steps}


# --- elements -----------------------------------------------------------------------------------------------------


def test_text_is_escaped_and_html_is_not() -> None:
    made = html.tag("p", "<b>", html.tag("b", "&"), title='"<', class_="x", hidden=None, open=True)
    assert made == '<p title="&quot;&lt;" class="x" open>&lt;b&gt;<b>&amp;</b></p>'


def test_a_section_without_content_is_nothing() -> None:
    assert html.section("a", "A", None, []) == ""
    assert html.section("a", "A", "b") == '<section id="a"><h2>A</h2>b</section>'


def test_columns_of_numbers_stand_right() -> None:
    made = html.table(["a", "b"], [["x", "1"]], [1])
    assert '<td class="num">1</td>' in made
    assert "<td>x</td>" in made


# --- charts -------------------------------------------------------------------------------------------------------


def test_a_logarithmic_scale_is_for_positive_values_far_apart() -> None:
    assert logarithmic([1.0, 1e3])
    assert not logarithmic([1.0, 2.0])
    assert not logarithmic([-1.0, 1e3])


def test_a_chart_tells_its_figures_and_leaves_gaps() -> None:
    made = chart([Curve([0, 1, 2, 3], [4.0, float("nan"), 2.0, 1.0], "a")], "step", "value")
    assert not Checked(made).wrong
    assert "a, step 0: value = 4" in made
    assert "step 1:" not in made
    assert made.count("<path") == 2


def test_a_chart_of_nothing_is_nothing() -> None:
    assert chart([Curve([0.0], [float("inf")])], "step", "value") == ""


def test_a_constant_curve_has_a_chart() -> None:
    assert "<path" in chart([Curve([0, 1], [0.0, 0.0])], "step", "value")


def test_thinning_keeps_peaks() -> None:
    values = [0.0] * 10_000
    values[4321] = 7.0
    kept = thinned(values, 100)
    assert len(kept) <= 102
    assert 4321 in kept


# --- derivation ---------------------------------------------------------------------------------------------------


def test_the_formula_of_each_line_is_read_back(ridge: Compiled) -> None:
    found = derivation(ridge, "unicode")
    value = formulas(found, "loss")
    assert value["r"] == "rₙ = ∑ᵢ Xₙᵢ·wᵢ − yₙ"
    gradient = formulas(found, "loss_gradient")
    assert any("∑ₙ" in f and "Xₙᵢ" in f for f in gradient.values())


def test_each_formula_names_its_line_of_the_program_and_of_the_spec(ridge: Compiled) -> None:
    program = ridge.emitted.text.splitlines()
    steps = [s for d in derivation(ridge, "unicode") for s in d.steps if s.target]
    assert steps
    for s in steps:
        assert s.program_line is not None
        assert program[s.program_line - 1].lstrip().startswith(f"{s.target} = ")
    (r,) = {(s.line, s.formula) for s in steps if s.target == "r"}
    assert SPEC.splitlines()[r[0] - 1].lstrip().startswith("r[n]:")


def test_an_entry_says_of_what_it_is_the_derivative(ridge: Compiled) -> None:
    found = {d.name: d for d in derivation(ridge, "unicode")}
    both = [*found["loss_gradient"].results, *(s.formula for s in found["loss_gradient"].steps)]
    assert any(f.startswith("∂loss/∂wᵢ = ") for f in both)


# --- pieces -------------------------------------------------------------------------------------------------------


def test_pieces_of_a_page_are_whole(ridge: Compiled) -> None:
    made = html.inside(
        [
            page.mathematics(ridge.spec),
            page.derived(ridge),
            page.graph(ridge),
            page.compiled_passes(ridge),
            page.listing(ridge.spec.text, "L", "spec"),
            page.listing(ridge.emitted.text, "P", "program"),
        ]
    )
    checked = Checked(made)
    assert not checked.wrong
    assert {f"#{i}" for i in checked.ids} >= set(checked.links)
    assert {"math", "svg"} <= set(checked.tags)
    assert "script" not in checked.tags


def test_a_large_graph_is_drawn_by_its_definitions() -> None:
    more = "".join(f"  a{k}[n]: sin({'r' if k == 0 else f'a{k - 1}'}[n] + {k})*tanh(y[n] + {k})\n" for k in range(60))
    text = SPEC.replace("objectives:", f"{more}objectives:").replace("sum[n](r[n]**2)", "sum[n](a59[n]**2)")
    made = page.graph(compiled(text))
    assert "drawn by the definition" in made or "too many for a drawing" in made
    assert not Checked(made).wrong


# --- notebooks ----------------------------------------------------------------------------------------------------


def test_a_spec_shows_its_mathematics() -> None:
    made = vspec.check(SPEC)._repr_html_()  # type: ignore[attr-defined]
    checked = Checked(made)
    assert not checked.wrong
    assert not checked.ids
    assert "math" in checked.tags
    assert "script" not in checked.tags
    assert "Least squares &lt;script&gt;" in made


def test_programs_and_results_show_themselves(tmp_path: Path) -> None:
    (tmp_path / "ridge.yaml").write_text(SPEC + "outputs:\n  best: loss\nclaims:\n  small: loss < 100\n")
    program = vspec.compile(tmp_path / "ridge.yaml")
    shown = program._repr_html_()
    checked = Checked(shown)
    assert not checked.wrong
    assert not checked.ids
    assert {"math", "svg"} <= set(checked.tags)
    assert "loss_gradient" in shown
    result = vspec.run(program)
    shown = result._repr_html_()
    checked = Checked(shown)
    assert not checked.wrong
    assert not checked.ids
    assert not [link for link in checked.links if link.startswith("#")]
    assert "the claim holds" in shown
    assert "svg" in checked.tags


def test_a_program_shows_its_entries_without_the_compiler(tmp_path: Path) -> None:
    (tmp_path / "ridge.yaml").write_text(SPEC)
    program = vspec.compile(tmp_path / "ridge.yaml")
    shown = notebook.program_html(program)
    assert not Checked(shown).wrong
    assert "loss_gradient" in shown
    program.texts = {}
    assert "No mathematics: " in program._repr_html_()
