"""Commands and outputs on the pages are what happens."""

from __future__ import annotations

from pathlib import Path

import pytest

from docs import examples


@pytest.mark.parametrize("page", examples.PAGES, ids=lambda p: p.name)
def test_the_examples_of_a_page_are_true(page: Path) -> None:
    found = examples.findings(page)
    assert found, "a page without examples need not be listed"
    wrong = [f"$ {f.what}\n--- shown\n{f.shown}\n--- happens\n{f.happens}" for f in found if not f.true]
    assert wrong == [], "run: python -m docs.examples --write"


def test_what_differs_from_run_to_run_is_not_compared() -> None:
    assert examples.agrees("done in 0.31 s\n", "done in 12.8 s\n")
    assert examples.agrees("a  3.1e-15  < 1e-8\n", "a  2.8e-14  < 1e-8\n")
    assert not examples.agrees("a  3.1e-15  < 1e-8\n", "a  3.1e-15  < 1e-7\n")
    assert examples.agrees("first\n...\nlast\n", "first\nanything\nat all\nlast\n")
    assert not examples.agrees("first\nlast\n", "first\nanything\nlast\n")
