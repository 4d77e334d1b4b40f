"""Wrong specs and what the compiler says about them: one small spec in `bad/` for each mistake, its message beside it.

Specs that are right but odd are among them; all warnings are looked for.

`VSPEC_UPDATE_GOLDEN=1 pytest tests/test_bad.py` writes the messages anew; read the difference before committing it.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.diagnose import diagnosed
from vspec.compiler.diagnostics.render import in_order, render_text

FOLDER = Path(__file__).parent / "bad"
CASES = sorted(FOLDER.glob("*.yaml"))
UPDATE = os.environ.get("VSPEC_UPDATE_GOLDEN") == "1"


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_message(case: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(FOLDER)  # imports are relative to the spec
    text = case.read_text(encoding="utf-8")
    diagnostics = diagnosed(text, case.name)
    code = case.stem.split("-")[0]
    assert code in {d.code for d in diagnostics}, f"{case.name} should trigger {code}"
    files = {d.span.file for d in diagnostics if d.span is not None}
    found = render_text(in_order(diagnostics), {f: Path(f).read_text(encoding="utf-8") for f in files})
    golden = case.with_suffix(".txt")
    if UPDATE:
        golden.write_text(found, encoding="utf-8")
    assert golden.exists(), "run with VSPEC_UPDATE_GOLDEN=1 to write the expected message"
    assert found == golden.read_text(encoding="utf-8")


def test_every_message_has_its_spec() -> None:
    assert {p.stem for p in FOLDER.glob("*.txt")} == {p.stem for p in CASES}
