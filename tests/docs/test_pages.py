"""The pages tell the truth: generated parts are up to date, links lead somewhere, refused keys are refused."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from docs import generate
from vspec.compiler.pipeline import check_text

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def test_generated_parts_are_up_to_date() -> None:
    assert [p.name for p in generate.stale()] == [], "run: python -m docs.generate"


def test_every_part_is_on_a_page() -> None:
    text = "".join(p.read_text(encoding="utf-8") for p in PAGES)
    assert [name for name in generate.PARTS if f"<!-- generated: {name} -->" not in text] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```|`[^`\n]*`|\\.|^    [^\n]*", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.M)
    for target, anchor in re.findall(r"\]\(([^)#\s]*)#?([^)\s]*)\)", text):
        if target.startswith("http"):
            continue
        other = (page.parent / target) if target else page
        assert other.exists(), target
        if anchor:
            content = other.read_text(encoding="utf-8")
            heads = {
                re.sub(r"[^\w -]", "", h).strip().lower().replace(" ", "-")
                for h in re.findall(r"^#+ (.*)$", content, re.M)
            }
            assert f'id="{anchor}"' in content or anchor in heads, f"{target}#{anchor}"


SPEC = """\
vspec: 1
name: probe
dims: {dims}
data:
  y[n]: real
params:
  x: {{init: 0}}
define: {define}
objectives:
  loss: sum[n]((x - y[n])**2)
solve: {solve}
outputs:
  best: {output}
claims:
  good: {claim}
{sections}
"""
PLAIN = {
    "dims": "{n: 3, k: 2}",
    "define": "{}",
    "solve": "{minimize: loss}",
    "output": "x",
    "claim": "x < 5",
    "sections": "",
}

# For each key of REFUSED the smallest use of it.
PROBES: dict[str, dict[str, tuple[str, str]]] = {
    "sections": {
        "imports": ("sections", "imports: [other.yaml]"),
        "random": ("sections", "random: {z: 'normal(0, 1)'}"),
        "dynamics": ("sections", "dynamics: {p: {ode: {q: '-q'}, start: {q: 1}, time: {t: [0, 1]}}}"),
        "constraints": ("sections", "constraints: {c: x <= 1}"),
        "runs": ("sections", "runs: {a: {}}"),
        "shard": ("sections", "shard: {n: data}"),
    },
    "dim_options": {
        "from": ("dims", "{n: {size: 3, from: 0, to: 1}}"),
        "to": ("dims", "{n: {size: 3, from: 0, to: 1}}"),
        "boundary": ("dims", "{n: {size: 3, boundary: periodic}}"),
        "configurations": ("dims", "{n: 3, k: 2, s: {configurations: k, of: n}}"),
        "of": ("dims", "{n: 3, k: 2, s: {configurations: k, of: n}}"),
    },
    "definition_options": {"until": ("define", "{'q[0]': 1, 'q[n + 1]': {is: 'q[n]/2', until: 'q[n] < 1'}}")},
    "stage": {
        "saddle": ("solve", "{saddle: loss, min: [x], max: [x]}"),
        "pareto": ("solve", "{pareto: [loss, loss]}"),
        "sample": ("solve", "{sample: [x]}"),
        "descend": ("solve", "{descend: {x: '-x'}}"),
        "update": ("solve", "{update: {x: x/2}}"),
        "repeat": ("solve", "{repeat: 2, stages: [{minimize: loss}]}"),
        **{
            k: ("solve", f"{{minimize: loss, {k}: {v}}}")
            for k, v in (("name", "a"), ("epochs", "5"), ("until", "loss < 1"))
        },
        **{k: ("solve", f"{{minimize: loss, {k}: {v}}}") for k, v in (("batch", "{n: 1}"), ("average", "0.2"))},
        **{
            k: ("solve", f"{{minimize: loss, {k}: {v}}}") for k, v in (("constraints", "projection"), ("let", "{a: x}"))
        },
    },
    "claim_options": {
        "by": ("claim", "{identity: x == x, tolerance: 1e-8, by: proof}"),
        "seeds": ("claim", "{that: x < 5, seeds: 3}"),
        "require": ("claim", "{that: x < 5, seeds: 3, require: all}"),
    },
}
# These stand only beside another refused key.
BESIDE = {("stage", "min"), ("stage", "max"), ("stage", "stages")}


def test_the_probe_itself_is_right() -> None:
    spec, diagnostics = check_text(SPEC.format(**PLAIN), "probe.yaml")
    assert spec is not None
    assert [d for d in diagnostics if d.severity == "error"] == []


@pytest.mark.parametrize(
    ("part", "key"), [(p, k) for p, keys in generate.REFUSED.items() for k in keys if (p, k) not in BESIDE]
)
def test_what_the_pages_call_refused_is_refused(part: str, key: str) -> None:
    section, text = PROBES[part][key]
    _, diagnostics = check_text(SPEC.format(**{**PLAIN, section: text}), "probe.yaml")
    assert generate.REFUSED[part][key] in {d.code for d in diagnostics}
