"""`vspec new`: templates that run as they stand, names, and files that are not overwritten."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from tests.cli.conftest import Vspec
from vspec import api
from vspec.compiler.format.format import format_text
from vspec.compiler.pipeline import check_text
from vspec.starts import DEFAULT, templates

TEMPLATES = tuple(templates())


def test_there_is_one_for_each_kind_of_problem(vspec: Vspec) -> None:
    assert TEMPLATES[0] == DEFAULT == "regression"
    assert {"bare", "classification", "energy", "gaussian-process", "pde", "regression"} <= set(TEMPLATES)
    listed = vspec("new", "--list", "--format", "json").json["templates"]
    assert [item["name"] for item in listed] == list(TEMPLATES)
    assert all(item["doc"].endswith(".") for item in listed)
    assert vspec("new", "--list").out.startswith("regression ")


@pytest.mark.parametrize("template", TEMPLATES)
def test_each_checks_and_its_claims_hold(template: str, vspec: Vspec, tmp_path: Path) -> None:
    assert vspec("new", "mine", "--template", template).code == 0
    path = tmp_path / "mine.yaml"
    text = path.read_text(encoding="utf-8")
    assert "\nname: mine\n" in text
    assert "$" not in text
    assert text.count("#") >= 3, "comments teach"
    spec, diagnostics = check_text(text, str(path))
    assert diagnostics == ()
    assert spec is not None
    assert spec.claims
    claims = api.verify(path)
    assert [c.name for c in claims if not c.holds] == []


@pytest.mark.parametrize("template", TEMPLATES)
def test_each_is_formatted(template: str) -> None:
    text = templates()[template]
    assert format_text(text, template) == text, "run: vspec fmt vspec/templates"


def test_the_default_builds(vspec: Vspec) -> None:
    assert vspec("new", "fit").out == "fit.yaml: written; next: vspec check fit.yaml\n"
    assert vspec("build", "fit.yaml", "--no-stablehlo").code == 0


@pytest.mark.parametrize(
    ("given", "path"),
    [("fit", "fit.yaml"), ("fit.yaml", "fit.yaml"), ("fit.yml", "fit.yml"), ("sub/a.b-c", "sub/a.b-c.yaml")],
)
def test_names_and_paths(given: str, path: str, vspec: Vspec, tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    result = vspec("new", given, "--template", "bare", "--format", "json")
    assert (result.json["path"], result.json["template"]) == (path, "bare")
    assert vspec("check", path).code == 0
    absolute = tmp_path / "sub" / "absolute"
    assert vspec("new", absolute, "--format", "json").json["path"] == f"{absolute}.yaml"


@pytest.mark.parametrize("name", ["my fit", "", ".", "..", ".yaml", "sub/", "-", "a\nb", "é", "x" * 101, "a\0b", "_a"])
def test_names_that_no_spec_can_have(name: str, vspec: Vspec, tmp_path: Path) -> None:
    assert vspec("new", "--format", "json", "--", name).codes == ["VS0833"]
    assert list(tmp_path.iterdir()) == []


def test_a_bad_name_comes_with_a_good_one(vspec: Vspec) -> None:
    assert "did you mean 'my-fit'?" in vspec("new", "my fit").err
    assert "missing argument 'NAME|FILE'" in vspec("new").err


def test_a_template_that_is_not_there(vspec: Vspec, tmp_path: Path) -> None:
    result = vspec("new", "fit", "--template", "clasification")
    assert result.code == 2
    assert result.err.startswith("error[VS0832]")
    assert "did you mean 'classification'?" in result.err
    assert "there are regression, bare, " in vspec("new", "fit", "--template", "zzz").err
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_overwritten_unless_forced(vspec: Vspec, tmp_path: Path) -> None:
    path = tmp_path / "fit.yaml"
    path.write_text("mine")
    path.chmod(0o600)
    assert vspec("new", "fit", "--format", "json").codes == ["VS0830"]
    assert path.read_text() == "mine"
    assert vspec("new", "fit", "--force").code == 0
    assert path.read_text().startswith("vspec: 1\nname: fit\n")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert vspec("new", "other", "--force").code == 0
    assert vspec("new", "no/such/folder/fit", "--format", "json").codes == ["VS0826"]
    (tmp_path / "folder.yaml").mkdir()
    assert vspec("new", "folder", "--force", "--format", "json").codes == ["VS0826"]


def test_a_first_line_for_editors(vspec: Vspec, tmp_path: Path) -> None:
    result = vspec("new", "fit", "--schema")
    assert "vspec schema --out vspec.schema.json" in result.out
    assert (
        (tmp_path / "fit.yaml").read_text().startswith("# yaml-language-server: $schema=vspec.schema.json\nvspec: 1\n")
    )
