"""Commands that tell: list, explain-error, schema, doctor, new, explain."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path

import pytest

from tests.cli.conftest import ROOT, Vspec
from vspec.codes import FRONT, all_codes
from vspec.commands.schema import SCHEMAS
from vspec.runtime.codes import CODES as RUN


def test_list_names_the_shipped_specs(vspec: Vspec) -> None:
    items = {item["name"]: item for item in vspec("list", "--format", "json").json["items"]}
    shipped = {p.relative_to(ROOT / "specs").with_suffix("").as_posix() for p in (ROOT / "specs").rglob("*.yaml")}
    assert set(items) == shipped
    assert items["problems/logistic"]["doc"].startswith("L2-regularised")
    assert Path(items["problems/logistic"]["path"]).is_file()
    assert "problems/logistic  " in vspec("list").out


@pytest.mark.parametrize(
    ("kind", "some"),
    [
        ("methods", "newton(tol=1e-08, damping=0.0"),
        ("functions", "softmax[i](e)"),
        ("networks", "mlp(hidden, act=tanh"),
        ("passes", "dead"),
    ],
)
def test_list_registries(kind: str, some: str, vspec: Vspec) -> None:
    found = vspec("list", f"--{kind}", "--format", "json").json
    assert found["kind"] == kind
    assert any(some in item["name"] for item in found["items"])
    assert all(item["doc"] for item in found["items"])


@pytest.mark.parametrize("code", ["VS0203", "vs203", "203", "error[VS0203]"])
def test_explain_error(code: str, vspec: Vspec) -> None:
    result = vspec("explain-error", code)
    assert result.code == 0
    assert result.out.startswith("VS0203: an index is free")
    assert "Example:" in result.out


def test_explain_error_lists_every_code(vspec: Vspec) -> None:
    listed = [c["code"] for c in vspec("explain-error", "--format", "json").json["codes"]]
    assert listed == sorted(set(listed))
    assert {c.code for c in FRONT} | set(RUN) <= set(listed)
    assert all(code.explanation and code.title for code in all_codes().values())


@pytest.mark.parametrize("code", ["VS1234", "nonsense", ""])
def test_explain_error_of_no_code(code: str, vspec: Vspec) -> None:
    assert vspec("explain-error", code, "--format", "json").codes == ["VS0825"]


@pytest.mark.parametrize("kind", SCHEMAS)
def test_schema(kind: str, vspec: Vspec, tmp_path: Path) -> None:
    expected = json.loads((files("vspec.schemas") / SCHEMAS[kind]).read_text(encoding="utf-8"))
    assert json.loads(vspec("schema", kind).out) == expected
    assert vspec("schema", kind, "--format", "json").json["schema"] == expected
    assert vspec("schema", kind, "--out", "s.json").out == "s.json: written\n"
    assert json.loads((tmp_path / "s.json").read_text(encoding="utf-8")) == expected
    assert vspec("schema", kind, "--out", "s.json", "--format", "json").json["path"] == "s.json"


def test_schema_is_that_of_specs_unless_said_otherwise(vspec: Vspec) -> None:
    assert vspec("schema").out == vspec("schema", "spec").out
    result = vspec("schema", "manifst")
    assert result.code == 2
    assert "did you mean 'manifest'?" in result.err
    assert vspec("schema", "--out", "no/such/folder/s.json", "--format", "json").codes == ["VS0826"]


def test_doctor(vspec: Vspec) -> None:
    found = vspec("doctor", "--format", "json").json
    assert found["problems"] == []
    assert found["versions"]["jax"]
    assert found["devices"]
    assert found["checks"]["float64"] == "works"
    assert "all is well" in vspec("doctor").out


def test_doctor_says_what_is_missing(vspec: Vspec, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vspec.commands.doctor.REQUIRED", ("vspec", "jax", "no-such-package"))
    result = vspec("doctor")
    assert result.code == 2
    assert "the package 'no-such-package' is not installed" in result.err


def test_explain(vspec: Vspec, line: Path) -> None:
    result = vspec("explain", line)
    assert result.code == 0, result.err
    assert "loss" in result.out
    found = vspec("explain", line, "--entry", "loss_gradient", "--format", "json").json
    assert found["explanation"]["name"] == "line"
    assert [e["name"] for e in found["explanation"]["entries"]] == ["loss_gradient"]


def test_explain_an_entry_that_is_not_there(vspec: Vspec, line: Path) -> None:
    result = vspec("explain", line, "--entry", "los_gradient")
    assert result.code == 2
    assert "did you mean 'loss_gradient'?" in result.err


def test_an_entry_that_is_not_there(vspec: Vspec, line: Path) -> None:
    result = vspec("explain", line, "--entry", "los")
    assert result.code == 2
    assert result.err.startswith("error[VS0828]: 'line' has no entry 'los'")
    assert "did you mean 'loss'?" in result.err
