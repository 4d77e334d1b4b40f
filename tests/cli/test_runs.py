"""Runs in programs, `vspec run --run`, and `vspec verify` over runs, seeds and quick sizes."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

import vspec as api
from tests.cli.conftest import Vspec
from vspec.commands.verify import show_spec
from vspec.runtime.errors import ArtifactError
from vspec.runtime.program import comparison
from vspec.runtime.stages import Event
from vspec.verification import Verified, verify_spec
from vspec.watch import watching

HEAD = """\
vspec: 1
name: fits
precision: float64
dims: {n: 40}
constants: {lam: 1.0, noise: 0.5}
data:
  e[n]: {draw: "normal(0, 1)"}
params:
  m: {init: 0}
define:
  y[n]: 2 + noise*e[n]
objectives:
  loss: sum[n]((y[n] - m)**2)/2 + lam*m**2/2
solve: {minimize: loss, method: newton}
outputs:
  error: abs(m - 2)
  m: m
  residual[n]: y[n] - m
runs:
  ridge: {}
  plain: {constants: {lam: 0.0}}
  few: {dims: {n: 8}, constants: {lam: 0.0}}
  walk:
    solve: {minimize: loss, method: sgd(0.01), steps: 200}
"""

CLAIMS = """\
claims:
  shrinks: plain.m > ridge.m
  same_way: max[n](abs(plain.residual[n] + plain.m - ridge.residual[n] - ridge.m)) < 1e-12
  stationary: abs(d(loss, m)) < 1e-9
  slow: {that: walk.steps > 10*ridge.steps, reported: many more}
  few_values: few.residual[7] < 10
  near: {that: error < 0.3, seeds: 4, smoke: {n: 20}}
  usual: {that: error < 0.12, seeds: 4, require: 3 of 4}
  typical: {that: error < 0.15, seeds: 4, require: mean}
  gradient_only: nodes(walk, linalg) == 0
"""


@pytest.fixture
def fits(tmp_path: Path) -> Path:
    """A spec with runs."""
    path = tmp_path / "fits.yaml"
    path.write_text(HEAD + CLAIMS, encoding="utf-8")
    return path


def written(folder: Path, claims: str, name: str = "own") -> Path:
    """The spec with other claims."""
    path = folder / f"{name}.yaml"
    path.write_text(HEAD + claims, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def verified(tmp_path_factory: pytest.TempPathFactory) -> Verified:
    """The spec, verified once."""
    return verify_spec(written(tmp_path_factory.mktemp("verified"), CLAIMS))


def test_every_claim_is_judged_in_the_order_of_the_file(verified: Verified) -> None:
    claims = {c.name: c for c in verified.claims}
    assert list(claims) == [line.split(":")[0].strip() for line in CLAIMS.splitlines()[1:]]
    assert all(c.holds for c in claims.values()), [(n, c.measured) for n, c in claims.items() if not c.holds]
    assert claims["shrinks"].where == "over plain, ridge"
    assert claims["stationary"].where == "at the solution"
    assert claims["slow"].reported == "many more"
    assert claims["gradient_only"].figures == (0,)


def test_every_run_is_made_once(verified: Verified) -> None:
    made = [(r.run, r.seed) for r in verified.runs]
    assert sorted(made) == [("", 0), ("", 1), ("", 2), ("", 3), ("few", 0), ("plain", 0), ("walk", 0)]


def test_seeds_and_what_is_required_of_them(verified: Verified) -> None:
    claims = {c.name: c for c in verified.claims}
    assert [s["seed"] for s in claims["near"].seeds] == [0, 1, 2, 3]
    assert claims["near"].measured.endswith("4 of 4 seeds hold")
    held = sum(s["holds"] for s in claims["usual"].seeds)
    assert claims["usual"].measured.endswith(f"{held} of 4 seeds hold")
    assert claims["typical"].measured.startswith("mean ")
    mean = sum(s["figures"][0] for s in claims["typical"].seeds) / 4
    assert claims["typical"].figures == (pytest.approx(mean),)


def test_the_tables(verified: Verified, capsys: pytest.CaptureFixture[str]) -> None:
    show_spec(Path("fits.yaml"), verified, (), 1.0, timings=False)
    shown = capsys.readouterr().out
    rows = [line.split() for line in shown.splitlines() if line.startswith((" ridge ", " plain ", " few ", " walk "))]
    assert [row[0] for row in rows] == ["plain", "ridge", "walk", "few", "ridge", "ridge", "ridge"]
    assert " seed " in shown
    assert " reported" in shown


def test_quick_sizes_are_runs_of_their_own(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        "claims:\n  a: {that: walk.m > 0, smoke: {steps: 3, n: 10}}\n"
        "  b: {that: walk.m > ridge.m - 2, smoke: {steps: 3, n: 10}}\n"
        "  c: {that: error < 1, smoke: {n: 10}}\n  d: nodes(solve, linalg) == 0\n",
    )
    found = verify_spec(path, smoke=True)
    assert all(c.holds for c in found.claims)
    assert [(r.run, dict(r.settings), r.steps) for r in found.runs] == [
        ("walk", {"steps": 3, "n": 10}, 3),
        ("", {"steps": 3, "n": 10}, 1),
        ("", {"n": 10}, 1),
    ]


def test_claims_that_fail(tmp_path: Path) -> None:
    path = written(tmp_path, "claims:\n  a: few.m > 9\n  b: {that: few.error < 0.01, seeds: 3}\n")
    found = verify_spec(path, seed=5)
    assert [c.holds for c in found.claims] == [False, False]
    assert [r.seed for r in found.runs] == [5, 6, 7]


def test_timings_fail_only_where_that_is_asked_for(vspec: Vspec, tmp_path: Path) -> None:
    path = written(tmp_path, "claims:\n  b: run.seconds < 0\n")
    result = vspec("verify", path)
    assert result.code == 0
    assert "fails with 'vspec verify --timings' only" in result.out
    (spec,) = vspec("verify", path, "--timings", "--format", "json").json["specs"]
    assert (spec["exit_code"], [(c["holds"], c["timed"]) for c in spec["claims"]]) == (1, [(False, True)])


def test_runs_that_fail_say_where(vspec: Vspec, tmp_path: Path) -> None:
    path = written(tmp_path, "claims:\n  a: few.m > 0\n").read_text(encoding="utf-8")
    text = path.replace("few: {dims: {n: 8}, constants: {lam: 0.0}}", "few: {objectives: {loss: log(m - 1)}}")
    (tmp_path / "own.yaml").write_text(text, encoding="utf-8")
    result = vspec("verify", tmp_path / "own.yaml")
    assert result.code == 4
    assert "VS0601" in result.err


def test_arrays_of_runs_that_do_not_fit(vspec: Vspec, tmp_path: Path) -> None:
    text = HEAD.replace("dims: {n: 40}", "dims: {n: auto}").replace('{draw: "normal(0, 1)"}', "{value: [0, 1, 2]}")
    text = text.replace("few: {dims: {n: 8}, constants: {lam: 0.0}}", 'few: {data: {"e[n]": {value: [0, 1]}}}')
    (tmp_path / "own.yaml").write_text(text + "claims:\n  a: max[n](few.residual[n] - ridge.residual[n]) < 1\n")
    result = vspec("verify", tmp_path / "own.yaml")
    assert result.code == 3
    assert "VS0506" in result.err
    assert "'few.residual'" in result.err


def test_programs_hold_their_runs(vspec: Vspec, fits: Path, tmp_path: Path) -> None:
    assert vspec("build", fits, "--no-stablehlo").code == 0
    folder = tmp_path / "build" / "fits"
    manifest = json.loads((folder / "manifest.json").read_text())
    assert set(manifest["runs"]) == {"ridge", "plain", "few", "walk"}
    assert manifest["runs"]["ridge"] is None
    assert manifest["compared"] == ["shrinks", "same_way", "slow", "few_values", "gradient_only"]
    assert api.load(folder, "ridge").manifest == manifest
    few = api.load(folder, "few")
    assert (few.run, few.bind().sizes["n"]) == ("few", 8)
    assert few.manifest["claims"] == {}
    compares = comparison(api.load(folder))
    assert compares is not None
    assert set(compares.entries) == set(manifest["compared"])
    with pytest.raises(ArtifactError, match="VS0809"):
        api.load(folder, "fee")
    (folder / "runs" / "few" / "manifest.json").write_text("{}")
    with pytest.raises(ArtifactError, match="VS0801"):
        api.load(folder, "few")
    assert "built in" in vspec("build", fits, "--no-stablehlo").out


def test_a_run_by_itself(vspec: Vspec, fits: Path, tmp_path: Path) -> None:
    found = vspec("run", fits, "--run", "few", "--format", "json").json
    assert (found["run"], found["directory"], found["results"]) == ("few", "build/fits-few", "results/fits-few")
    assert found["outputs"]["residual"] == [8]
    assert found["claims"] == []
    assert json.loads((tmp_path / "results" / "fits-few" / "run.json").read_text())["run"] == "few"
    result = vspec("run", fits, "--run", "ridge")
    assert "judges what compares runs: shrinks, same_way, slow" in result.out
    unknown = vspec("run", fits, "--run", "wallk")
    assert (unknown.code, "did you mean 'walk'?" in unknown.err) == (2, True)
    assert vspec("run", "build/fits-few", "--run", "few").code == 0


def test_the_python_api(fits: Path) -> None:
    program = api.compile(fits, run="walk")
    assert program.run == "walk"
    facts = api.run(program).facts
    assert facts["steps"] == 200
    assert facts["seconds"] > 0
    with pytest.raises(api.SpecError, match="VS0809"):
        api.run(fits, run="none")


def test_progress_is_shown_on_a_terminal_only() -> None:
    for terminal in (True, False):
        told = io.StringIO()
        with watching(Console(file=told, force_terminal=terminal, width=100)) as begin:
            begin("fits.yaml", "run few, seed 1")(Event(0, "minimize", "loss", 0, 1, 3, 10, 0.5, 0.1))
        assert ("run few, seed 1" in told.getvalue()) == terminal
        assert ("step 3 of 10" in told.getvalue()) == terminal
