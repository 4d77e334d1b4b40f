"""`vspec build`, `run` and `verify`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tests.cli.conftest import LINE, Vspec, shell


def test_build(vspec: Vspec, line: Path, tmp_path: Path) -> None:
    result = vspec("build", line)
    assert result.code == 0, result.err
    folder = tmp_path / "build" / "line"
    assert {"program.py", "manifest.json", "spec.yaml", "report.json"} <= {p.name for p in folder.iterdir()}
    assert list((folder / "stablehlo").iterdir())
    assert "build/line: built in" in result.out
    again = vspec("build", line)
    assert "is up to date" in again.out
    assert vspec("build", line, "--force", "--format", "json").json["cached"] is False


def test_build_in_json(vspec: Vspec, line: Path) -> None:
    found = vspec("build", line, "--out", "here", "--no-stablehlo", "-O1", "--format", "json").json
    assert found["directory"] == "here"
    assert found["cached"] is False
    assert found["report"]["passes"]
    assert "program.py" in found["files"]
    assert not any("stablehlo" in name for name in found["files"])


def test_an_unknown_pass(vspec: Vspec, line: Path) -> None:
    result = vspec("build", line, "--disable-pass", "simplifi")
    assert result.code == 2
    assert result.err.startswith("error[VS0822]: there is no pass 'simplifi'")
    assert not (line.parent / "build").exists()


def test_a_folder_that_cannot_be_written(vspec: Vspec, line: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    result = vspec("build", line, "--out", "file/program", "--format", "json")
    assert result.codes == ["VS0826"]
    assert (tmp_path / "file").read_text() == "mine"


def test_a_folder_with_other_files_is_left_alone(vspec: Vspec, line: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("years of work")
    assert vspec("build", line, "--out", "mine").code == 2
    assert (tmp_path / "mine" / "thesis.tex").read_text() == "years of work"


def test_a_wrong_spec_builds_nothing(vspec: Vspec, wrong: Path, tmp_path: Path) -> None:
    result = vspec("build", wrong)
    assert result.code == 2
    assert f"--> {wrong}:7:" in result.err
    assert not (tmp_path / "build").exists()


def test_run_a_spec(vspec: Vspec, line: Path, tmp_path: Path) -> None:
    result = vspec("run", line)
    assert result.code == 0, result.err
    assert "stationary" in result.out
    assert "✓" in result.out
    assert "✗" not in result.out
    assert "results: results/line" in result.out
    assert (tmp_path / "results" / "line" / "run.json").is_file()
    with np.load(tmp_path / "results" / "line" / "params.npz") as params:
        assert params["slope"] == pytest.approx(10 / 5.5)


def test_run_a_program(vspec: Vspec, program: Path) -> None:
    found = vspec("run", program, "--out", "here", "--set", "lam=0", "--format", "json").json
    assert found["outputs"]["slope"] == pytest.approx(2)
    assert found["outputs"]["residual"] == [4]
    assert found["results"] == "here"
    assert [c["name"] for c in found["claims"]] == ["stationary", "steep"]
    assert found["stages"][0]["method"] == "newton"
    assert found["timings"]["total"] > 0


def test_a_claim_that_fails(vspec: Vspec, program: Path, line: Path) -> None:
    result = vspec("run", program, "--set", "lam=1000")
    assert result.code == 1
    assert "✗" in result.out
    result = vspec("run", line, "--set", "lam=1000", "--format", "json")
    assert result.code == 1
    assert [c["holds"] for c in result.json["claims"]] == [True, False]
    assert vspec("verify", line, "--set", "lam=1000").code == 1


def test_data_from_files(vspec: Vspec, program: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "points.npz", x=np.arange(5.0), y=3 * np.arange(5.0))
    (tmp_path / "points.csv").write_text("a,b\n0,1\n1,4\n2,7\n")
    given = ["--data", "x=points.npz:x", "--data", "y=points.npz:y", "--set", "lam=0", "--format", "json"]
    assert vspec("run", program, *given).json["outputs"]["slope"] == pytest.approx(3)
    given = ["--data", "x=points.csv:a", "--data", "y=points.csv:b", "--set", "lam=0", "--format", "json"]
    assert vspec("run", program, *given).json["outputs"]["slope"] == pytest.approx(3)


@pytest.mark.parametrize("binding", ["x", "=file.npz", "x=", "x= "])
def test_data_that_cannot_be_read(binding: str, vspec: Vspec, program: Path) -> None:
    assert vspec("run", program, "--data", binding, "--format", "json").codes == ["VS0824"]


@pytest.mark.parametrize("binding", ["z=points.csv:a", "x=nowhere.csv:a", "x=points.csv:c", "x=points.csv:a"])
def test_data_that_does_not_fit(binding: str, vspec: Vspec, program: Path, tmp_path: Path) -> None:
    (tmp_path / "points.csv").write_text("a,b\n0,1\n1,4\n2,7\n")
    result = vspec("run", program, "--data", binding, "--format", "json")
    assert result.code == 3
    assert result.codes[0].startswith("VS05")
    assert not (tmp_path / "results").exists()


def test_an_error_of_a_run_points_at_the_spec(vspec: Vspec, line: Path) -> None:
    result = vspec("run", line, "--data", "x=nowhere.csv:a")
    assert result.code == 3
    result = vspec("run", line, "--set", "lam=2", "--data", "x=[[")
    assert result.code == 3
    line.write_text(LINE.replace("slope: {init: 0}", "slope: {init: 1}").replace("lam/2", "log(lam - 1)/2"))
    result = vspec("run", line)
    assert result.code == 4
    assert f"--> {line}:" in result.err


def test_a_setting_that_is_not_known(vspec: Vspec, line: Path, program: Path) -> None:
    assert vspec("run", line, "--set", "lum=2").code == 2
    assert vspec("run", program, "--set", "lum=2").code in (2, 3)


def test_results_are_never_written_over_other_files(vspec: Vspec, program: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("years of work")
    assert vspec("run", program, "--out", "mine", "--format", "json").codes == ["VS0808"]
    assert (tmp_path / "mine" / "thesis.tex").read_text() == "years of work"


def test_a_folder_that_is_no_program(vspec: Vspec, tmp_path: Path) -> None:
    assert vspec("run", tmp_path, "--format", "json").codes == ["VS0802"]


def test_a_program_that_was_changed(vspec: Vspec, line: Path, tmp_path: Path) -> None:
    assert vspec("build", line, "--no-stablehlo").code == 0
    emitted = tmp_path / "build" / "line" / "program.py"
    emitted.write_text(emitted.read_text() + "\nraise SystemExit(0)\n")
    assert vspec("run", tmp_path / "build" / "line", "--format", "json").codes == ["VS0801"]


def test_the_size_of_a_dim_can_be_set(vspec: Vspec, tmp_path: Path) -> None:
    text = LINE.replace("n: auto", "n: 4").replace("{value: [0, 1, 2, 3]}", '{draw: "uniform(0, 1)", seed: 1}')
    text = text.replace("{value: [1, 3, 5, 7]}", '{draw: "uniform(0, 1)", seed: 2}')
    (tmp_path / "drawn.yaml").write_text(text.replace("slope > 1.5", "slope < 9"))
    result = vspec("run", "drawn.yaml", "--set", "n=7", "--set", "lam=1", "--format", "json")
    assert result.code == 0, result.err
    assert result.json["outputs"]["residual"] == [7]


def test_verify(vspec: Vspec, line: Path, tmp_path: Path) -> None:
    result = vspec("verify", line)
    assert result.code == 0, result.err
    assert "about 2" in result.out
    assert "2 of 2 claims hold in 1 spec" in result.out
    assert sorted(p.name for p in tmp_path.iterdir()) == ["line.yaml"]


def test_verify_goes_on_after_a_failure(vspec: Vspec, line: Path, wrong: Path) -> None:
    result = vspec("verify", line.parent, "--format", "json")
    assert result.code == 2
    good, bad = result.json["specs"]
    assert good["ok"]
    assert [c["holds"] for c in good["claims"]] == [True, True]
    assert (bad["ok"], bad["exit_code"], bad["claims"]) == (False, 2, [])
    assert bad["diagnostics"] == result.json["diagnostics"] != []
    text = vspec("verify", line.parent)
    assert "2 of 2 claims hold in 2 specs; 1 could not be run" in text.out


def test_verify_at_smoke_size(vspec: Vspec, line: Path) -> None:
    claims = LINE.replace("    reported: about 2", "    smoke: {lam: 1000}")
    line.write_text(claims)
    assert vspec("verify", line).code == 0
    result = vspec("verify", line, "--smoke", "--format", "json")
    assert result.code == 1
    assert [(c["name"], c["holds"]) for c in result.json["specs"][0]["claims"]] == [
        ("stationary", True),
        ("steep", False),
    ]


def test_json_has_no_number_that_json_lacks(vspec: Vspec, program: Path) -> None:
    out = vspec("run", program, "--format", "json").out
    json.loads(out, parse_constant=lambda name: pytest.fail(name))


def test_a_whole_run_in_its_own_process(line: Path, tmp_path: Path) -> None:
    result = shell("run", line.name, "--format", "json", cwd=tmp_path)
    assert result.code == 0, result.err
    assert result.err == ""
    assert result.json["outputs"]["slope"] == pytest.approx(10 / 5.5)


def test_an_interrupt_saves_and_says_how_to_go_on(tmp_path: Path) -> None:
    slow = LINE.replace("newton(tol=1e-12)", "sgd(lr=1e-9)\n  steps: 2000000000")
    (tmp_path / "slow.yaml").write_text(slow)
    # A job in the background of a shell inherits that interrupts are ignored, hence the handler.
    code = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from vspec.cli import main; main(['run', 'slow.yaml', '--set', 'lam=1'])"
    )
    command = [sys.executable, "-c", code]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    metrics = tmp_path / "results" / "line" / "metrics.jsonl"
    try:
        for _ in range(600):
            if process.poll() is not None or (metrics.is_file() and metrics.stat().st_size > 200):
                break
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130, err
    assert out == ""
    assert "error[VS0840]: interrupted after " in err
    assert "  = help: go on with: vspec run slow.yaml --set lam=1 --resume" in err
    assert json.loads((metrics.parent / "run.json").read_text())["status"] == "interrupted"
    assert [p.name for p in (metrics.parent / "checkpoints").iterdir()] == ["000001"]


def test_going_on(vspec: Vspec, program: Path, tmp_path: Path) -> None:
    result = vspec("run", program, "--out", "here", "--resume", "--keep-checkpoints")
    assert result.code == 0, result.err
    assert result.err == "there is nothing to go on from: the run begins at its start\n"
    said = json.loads((tmp_path / "here" / "run.json").read_text())
    assert said["status"] == "ended"
    assert vspec("run", program, "--out", "here", "--resume").code == 0, "what has ended may be run once more"
    assert vspec("run", program, "--checkpoint-every", "often", "--format", "json").codes == ["VS0845"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission(vspec: Vspec, line: Path, tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0o500)
    assert vspec("build", line, "--out", "closed/program", "--format", "json").codes == ["VS0826"]
