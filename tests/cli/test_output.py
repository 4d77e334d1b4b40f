"""What each command says with `--format json` follows the published schema, where it succeeds and where it fails."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from tests.cli.conftest import REPLIES, ROOT, Vspec
from vspec.cli import COMMANDS
from vspec.runtime.errors import NumericsError
from vspec.runtime.stages.events import StageResult

SCHEMA: dict[str, Any] = json.loads((ROOT / "schemas" / "output.schema.json").read_text(encoding="utf-8"))

# For each command arguments with which it succeeds and some with which it fails; {line}, {wrong}, {program} and {done} are paths.
SUCCESSES = {
    "new": ["fit", "--template", "bare"],
    "check": ["{line}"],
    "fmt": ["{line}", "--diff"],
    "build": ["{line}", "--no-stablehlo"],
    "run": ["{program}", "--set", "lam=0"],
    "sweep": ["{program}", "--grid", "lam=0,1"],
    "verify": ["{line}"],
    "report": ["{done}"],
    "explain": ["{line}"],
    "explain-error": ["VS0203"],
    "list": ["--methods"],
    "schema": [],
    "doctor": [],
}
FAILURES = {
    "new": ["no name"],
    "check": ["{line}", "{wrong}"],
    "fmt": ["nothing.yaml"],
    "build": ["{wrong}"],
    "run": ["{line}", "--data", "x=nothing.npy"],
    "sweep": ["{line}", "--grid", "lamda=0,1"],
    "verify": ["{line}", "{wrong}"],
    "report": ["nothing"],
    "explain": ["{wrong}"],
    "explain-error": ["VS1234"],
    "list": ["--nothing"],
    "schema": ["nothing"],
    "doctor": ["--nothing"],
}


def run(vspec: Vspec, command: str, arguments: list[str], **paths: Path) -> dict[str, Any]:
    """The reply of a command; `Result.json` holds it against the schema."""
    return vspec(command, *(a.format(**paths) for a in arguments), "--format", "json").json


@pytest.fixture
def done(tmp_path: Path) -> Path:
    """The results of a run, with next to nothing in them."""
    (tmp_path / "done").mkdir()
    (tmp_path / "done" / "run.json").write_text('{"name": "line"}')
    return tmp_path / "done"


def test_it_is_a_schema_that_knows_every_command() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    assert set(COMMANDS) == set(SUCCESSES) == set(FAILURES)
    assert set(COMMANDS) <= set(SCHEMA["$defs"])
    told = {part["if"]["properties"]["command"]["const"]: part["then"]["$ref"] for part in SCHEMA["allOf"][1:]}
    assert told == {name: f"#/$defs/{name}" for name in COMMANDS}


@pytest.mark.parametrize("command", COMMANDS)
def test_success(command: str, vspec: Vspec, line: Path, wrong: Path, program: Path, done: Path) -> None:
    found = run(vspec, command, SUCCESSES[command], line=line, wrong=wrong, program=program, done=done)
    assert (found["command"], found["ok"]) == (command, True)
    assert set(found) > {"command", "ok", "exit_code", "diagnostics"}


@pytest.mark.parametrize("command", COMMANDS)
def test_failure(command: str, vspec: Vspec, line: Path, wrong: Path, program: Path) -> None:
    found = run(vspec, command, FAILURES[command], line=line, wrong=wrong, program=program)
    assert (found["command"], found["ok"]) == (command, False)
    assert found["diagnostics"]


def test_other_forms(vspec: Vspec, line: Path) -> None:
    assert "templates" in run(vspec, "new", ["--list"])
    assert "path" in run(vspec, "schema", ["output", "--out", "s.json"])
    assert {i["name"] for i in run(vspec, "list", [])["items"]}
    assert len(run(vspec, "explain-error", [])["codes"]) > 100
    assert vspec("chek", "--format", "json").json["command"] == "chek"
    assert vspec("--format", "json").json["command"] == ""
    assert vspec("--format", "json", "check").json["command"] == "check"


def test_claims_that_fail_and_numerics_that_fail(vspec: Vspec, line: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    line.write_text(line.read_text().replace("slope > 1.5", "slope > 5"))
    assert run(vspec, "verify", ["{line}"], line=line)["exit_code"] == 1
    assert run(vspec, "run", ["{line}"], line=line)["exit_code"] == 1

    def broken(*_: object, **__: object) -> None:
        raise NumericsError("VS0601", "not finite", line=3)

    monkeypatch.setattr("vspec.runtime.run.run", broken)
    assert run(vspec, "run", ["{line}"], line=line)["exit_code"] == 4


@pytest.mark.parametrize(
    "change",
    [
        {"exit_code": 5},
        {"ok": False},
        {"diagnostics": [{"code": "VS0101"}]},
        {"surplus": 1},
        {"codes": None},
    ],
)
def test_the_schema_refuses_what_no_command_says(change: dict[str, Any], vspec: Vspec) -> None:
    found = run(vspec, "explain-error", ["203"])
    assert REPLIES.is_valid(found)
    changed = {k: v for k, v in {**found, **change}.items() if v is not None}
    assert not REPLIES.is_valid(changed)


def test_the_schema_has_all_that_is_said_of_a_stage() -> None:
    said = json.loads(json.dumps(StageResult("minimize", ("loss",)).as_dict()))
    assert said.keys() == SCHEMA["$defs"]["stage"]["properties"].keys()
    Draft202012Validator({"$defs": SCHEMA["$defs"], "$ref": "#/$defs/stage"}).validate({**said, "cg": 12})
