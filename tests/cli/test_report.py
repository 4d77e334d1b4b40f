"""`vspec report`: the page of a run, made from what its results keep, by itself and in a browser."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.cli.conftest import Result, Vspec
from tests.report.test_page import Checked
from vspec.reporting import POLICY
from vspec.runtime.kept import FOLDER

EVIL = "<script>alert(1)</script>"
SPEC = f"""
vspec: 1
name: walk
doc: "Down a valley {EVIL} \\"quoted\\" $x$ & more"
precision: float64
dims: {{i: 2, n: 5}}
imports: {{lib: [slope]}}
constants: {{lam: 2.0}}  # {EVIL}
data:
  X[n, i]: {{draw: "normal(0, 1)", seed: 1}}
params:
  w[i]: {{init: 1}}
objectives:
  loss: sum[i](slope(w[i], lam)) + sum[n, i]((X[n, i] - w[i])**2)
solve: {{minimize: loss, method: sgd(lr=0.02), steps: 20}}
outputs:
  track[i]: {{is: "w[i]", every: 2, plot: path}}
  points[n, i]: {{is: "X[n, i]", plot: scatter}}
  best: loss
claims:
  low: {{that: "loss < 100", reported: "{EVIL} 7"}}
  wrong: loss < -1
  bounded: {{that: "w[0]**2 < 1e6", smoke: {{}}}}
"""
LIB = "vspec: 1\nname: lib\nfunctions:\n  slope(a, b): b*a**2\n"
CHROMIUM = next((p for n in ("chromium", "chromium-browser", "google-chrome") if (p := shutil.which(n))), None)


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of a run whose spec and program are gone."""
    from click.testing import CliRunner

    from vspec.cli import main

    folder = tmp_path_factory.mktemp("report")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        (folder / "walk.yaml").write_text(SPEC)
        (folder / "lib.yaml").write_text(LIB)
        found = CliRunner().invoke(main, ["run", "walk.yaml", "--format", "json"], prog_name="vspec")
        assert found.exit_code == 1, found.output
    for gone in ("walk.yaml", "lib.yaml"):
        (folder / gone).unlink()
    shutil.rmtree(folder / "build")
    return folder / "results" / "walk"


@pytest.fixture
def results(ran: Path, tmp_path: Path) -> Path:
    """A copy of these results, to be spoilt."""
    return Path(shutil.copytree(ran, tmp_path / "results" / "walk"))


@pytest.fixture(scope="module")
def page(ran: Path) -> str:
    from vspec.reporting import report
    from vspec.runtime.pages.folder import read

    made = report(read(ran))
    assert made.complete, made.missing
    assert not made.missing
    return made.html


def made(vspec: Vspec, *arguments: str) -> Result:
    return vspec("report", *arguments, "--format", "json")


# --- the page -----------------------------------------------------------------------------------------------------


def test_the_page_is_whole_and_stands_alone(page: str) -> None:
    checked = Checked(page)
    assert not checked.wrong
    assert page.startswith("<!doctype html>")
    anchors = [link for link in checked.links if link.startswith("#")]
    assert {f"#{i}" for i in checked.ids} >= set(anchors)
    assert all(link.startswith(("#", "data:image/png;base64,")) for link in checked.links)
    assert not {"script", "link", "iframe", "object", "embed", "form", "base"} & set(checked.tags)
    assert f'content="{POLICY}"'.replace("'", "&#x27;") in page
    assert "width=device-width" in page


def test_markup_in_a_spec_is_text(page: str) -> None:
    assert EVIL not in page
    assert page.count("&lt;script&gt;") >= 3


def test_the_page_has_everything(page: str) -> None:
    sections = re.findall(r'<section id="(\w+)">', page)
    assert sections == [
        "claims",
        "results",
        "convergence",
        "mathematics",
        "derivation",
        "graph",
        "spec",
        "program",
        "run",
    ]
    assert "2 of 3 claims hold" in page
    assert page.count("<math ") > 5
    assert "∂" in page
    assert 'id="plot0-' in page
    assert 'id="plot1-' in page
    assert ">lib.yaml</code>" in page
    assert "program.py:" in page
    assert "sgd" in page


def test_the_page_is_the_same_each_time(ran: Path, page: str) -> None:
    from vspec.reporting import report
    from vspec.runtime.pages.folder import read

    assert report(read(ran)).html == page


# --- the command --------------------------------------------------------------------------------------------------


def test_the_page_goes_into_the_results_folder(vspec: Vspec, results: Path) -> None:
    found = made(vspec, "results/walk")
    assert found.code == 0
    assert found.json["complete"]
    assert found.json["page"] == "results/walk/report.html"
    assert found.json["missing"] == []
    assert (results / "report.html").read_text().startswith("<!doctype html>")
    assert not list(results.glob(".report*"))


def test_a_run_is_named_by_its_folder_below_results(vspec: Vspec, results: Path) -> None:
    found = vspec("report", "walk", "--out", "pages/walk.html")
    assert found.code == 0, found.err
    assert found.out == "page: pages/walk.html\n"
    assert Path("pages/walk.html").is_file()


def test_a_run_is_named_by_its_spec(vspec: Vspec, results: Path) -> None:
    Path("other.yaml").write_text(SPEC.replace("imports: {lib: [slope]}", "functions: {'slope(a, b)': b*a**2}"))
    assert made(vspec, "other.yaml").json["results"] == "results/walk"


def test_what_is_not_there_is_refused(vspec: Vspec, results: Path, tmp_path: Path) -> None:
    assert made(vspec, "wakl").codes == ["VS0851"]
    assert "did you mean 'walk'?" in made(vspec, "wakl").json["diagnostics"][0]["help"]
    (tmp_path / "empty").mkdir()
    assert made(vspec, "empty").codes == ["VS0850"]
    (results / "run.json").write_text("[")
    assert made(vspec, "walk").codes == ["VS0850"]


def test_a_page_that_cannot_be_written_is_an_error(vspec: Vspec, results: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert made(vspec, "walk", "--out", "file/page.html").codes == ["VS0826"]


# --- less than everything -----------------------------------------------------------------------------------------


def test_what_is_damaged_is_left_out_and_said(vspec: Vspec, results: Path) -> None:
    (results / "outputs.npz").write_bytes(b"PK\x03\x04 no archive")
    (results / "params.npz").unlink()
    (results / "metrics.jsonl").write_text('{"stage": 0, "step": 0, "value": 3.5}\n{"stage": 0, "st')
    found = made(vspec, "walk")
    assert found.code == 0
    assert [m.split(" ")[0] for m in found.json["missing"]] == ["params.npz", "outputs.npz"]
    page = (results / "report.html").read_text()
    assert not Checked(page).wrong
    assert "step 0: value = 3.5" in page


def test_another_program_than_that_of_the_run_is_not_shown(vspec: Vspec, results: Path) -> None:
    manifest = json.loads((results / FOLDER / "manifest.json").read_text())
    manifest["program"]["sha256"] = "0" * 64
    (results / FOLDER / "manifest.json").write_text(json.dumps(manifest))
    found = made(vspec, "walk")
    assert not found.json["complete"]
    (why,) = found.json["missing"]
    assert "another program" in why
    page = (results / "report.html").read_text()
    checked = Checked(page)
    assert not checked.wrong
    assert {f"#{i}" for i in checked.ids} >= {link for link in checked.links if link.startswith("#")}
    assert "<math " in page
    assert 'href="#P' in page


def test_claims_that_compare_runs_are_named(vspec: Vspec, results: Path) -> None:
    manifest = json.loads((results / FOLDER / "manifest.json").read_text())
    manifest["compared"] = ["faster"]
    (results / FOLDER / "manifest.json").write_text(json.dumps(manifest))
    assert made(vspec, "walk").json["complete"]
    assert "judges what compares runs: faster." in (results / "report.html").read_text()


def test_results_without_a_program_still_have_a_page(vspec: Vspec, results: Path) -> None:
    shutil.rmtree(results / FOLDER)
    found = made(vspec, "walk")
    assert found.json["missing"] == ["the results keep nothing of their program"]
    page = (results / "report.html").read_text()
    checked = Checked(page)
    assert not checked.wrong
    assert "img" in checked.tags
    assert "2 of 3 claims hold" in page


def test_texts_cannot_lead_outside(vspec: Vspec, results: Path, tmp_path: Path) -> None:
    report = json.loads((results / FOLDER / "report.json").read_text())
    report["imports"] = {"/" + "x" * 8 + "/lib.yaml": LIB, "../lib.yaml": LIB}
    (results / FOLDER / "report.json").write_text(json.dumps(report))
    found = made(vspec, "walk")
    assert found.code == 0
    assert not found.json["complete"]
    assert not Path("/" + "x" * 8).exists()


@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium to look at the page with")
def test_a_browser_shows_the_page_without_complaint(page: str, tmp_path: Path) -> None:
    assert CHROMIUM is not None
    # A frame as narrow as a phone; a script around it reads how wide the page in it is.
    (tmp_path / "page.html").write_text(page)
    (tmp_path / "phone.html").write_text(
        '<!doctype html><body><iframe src="page.html" style="width:360px;height:800px;border:0"></iframe><script>'
        "document.querySelector('iframe').onload = (e) => { const d = e.target.contentDocument;"
        "const e0 = d.documentElement;"
        "document.title = `${e0.scrollWidth} ${e0.clientWidth} ${d.querySelectorAll('math').length}`;"
        "}</script>"
    )
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
    command += [
        "--enable-logging=stderr",
        "--log-level=0",
        "--allow-file-access-from-files",
        f"--user-data-dir={tmp_path / 'profile'}",
        "--virtual-time-budget=3000",
    ]
    found = subprocess.run(
        [*command, "--dump-dom", f"file://{tmp_path}/phone.html"], capture_output=True, text=True, timeout=60
    )
    title = re.search(r"<title>(\d+) (\d+) (\d+)</title>", found.stdout)
    assert title is not None, found.stderr[-2000:]
    wide, room, formulas = map(int, title.groups())
    assert room == 360
    assert wide <= room
    assert formulas > 5
    assert "CONSOLE" not in found.stderr


# --- runs that have not ended -------------------------------------------------------------------------------------


def test_a_run_that_failed_tells_why(vspec: Vspec, tmp_path: Path) -> None:
    text = SPEC.replace("imports: {lib: [slope]}", "functions: {'slope(a, b)': b*a**2}").replace("lr=0.02", "lr=1e200")
    (tmp_path / "walk.yaml").write_text(text)
    assert vspec("run", "walk.yaml").code == 4
    shutil.rmtree(tmp_path / "build")
    found = made(vspec, "walk")
    assert found.code == 0
    assert found.json["complete"]
    (why,) = found.json["missing"]
    assert why.startswith("the run is failed")
    page = Path("results/walk/report.html").read_text()
    assert not Checked(page).wrong
    assert re.search(r"VS06\d\d: ", page)
    assert "<math " in page


@pytest.mark.parametrize("status", ["running", "interrupted"])
def test_a_run_that_goes_on_or_was_stopped_has_a_page(vspec: Vspec, results: Path, status: str) -> None:
    facts = json.loads((results / "run.json").read_text())
    for key in ("claims", "constraints", "facts", "stages", "histories", "timings"):
        facts.pop(key)
    (results / "run.json").write_text(json.dumps({**facts, "status": status, "steps": 12}))
    for gone in ("params.npz", "outputs.npz"):
        (results / gone).unlink()
    assert made(vspec, "walk").code == 0
    page = (results / "report.html").read_text()
    assert not Checked(page).wrong
    assert f"{status} after 12 steps" in page
    assert "claims hold" not in page
    assert "step 10: value" in page
