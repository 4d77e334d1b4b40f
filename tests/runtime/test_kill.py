"""Kill -9 at random moments: what is gone on with ends as if nobody had disturbed it. `python -m tests.kill 50` is longer."""

import json
import random
from pathlib import Path

from jsonschema import Draft202012Validator

from tests.kill import build, kill, whole

SCHEMA = Path(__file__).parents[2] / "schemas" / "run.schema.json"


def test_three_kills(tmp_path: Path) -> None:
    build(tmp_path, 200, stages=1)
    seconds = whole(tmp_path)
    said: list[str] = []
    tally = kill(tmp_path, 3, seconds, random.Random(11), lambda text, flush: said.append(text))
    assert (tally.kills, tally.runs >= 1) == (3, True)
    facts = json.loads((tmp_path / "killed" / "run.json").read_text())
    Draft202012Validator(json.loads(SCHEMA.read_text())).validate(facts)
    assert facts["command"][:3] == ["vspec", "run", "program"]
