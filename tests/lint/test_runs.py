"""Warnings see the runs: what only a run reads is used, and what is odd in a run alone is said with its name."""

from __future__ import annotations

from vspec.compiler.diagnostics.diagnostic import Diagnostic
from vspec.compiler.diagnostics.policy import Policy
from vspec.compiler.pipeline import check_text

HEAD = "vspec: 1\nname: x\n"


def warnings(text: str, pedantic: bool = False) -> tuple[Diagnostic, ...]:
    """What is said about a text without errors."""
    spec, found = check_text(HEAD + text, "x.yaml", policy=Policy(pedantic=pedantic))
    assert spec is not None, found
    return found


FIT = """\
constants: {b: 1.0, c: 2.0}
params: {w: {init: 1}}
define: {other: c*w}
objectives: {loss: (w - b)**2}
solve: {minimize: loss, steps: 3}
outputs: {J: loss}
"""


def test_what_only_a_run_reads_is_used() -> None:
    assert [d.code for d in warnings(FIT)] == ["VS0901"]
    assert warnings(FIT + "runs:\n  r: {objectives: {second: other**2}, solve: {minimize: second}}\n") == ()
    assert warnings(FIT + "runs:\n  r: {outputs: {K: other}}\n") == ()


def test_an_override_is_no_use() -> None:
    assert [d.code for d in warnings(FIT + "runs:\n  r: {constants: {c: 3.0}}\n")] == ["VS0901"]
    assert [d.code for d in warnings(FIT + "runs:\n  r: {define: {other: w}}\n")] == ["VS0901"]


def test_what_a_run_adds_and_does_not_use() -> None:
    (found,) = warnings(FIT.replace("{J: loss}", "{J: loss + other}") + "runs:\n  r: {constants: {extra: 3.0}}\n")
    assert found.message == "the constant 'extra' is never used"


def test_what_is_odd_in_a_run_alone() -> None:
    text = FIT.replace("{J: loss}", "{J: loss + other, L: log(b)}")
    above, inside = warnings(text + "runs:\n  r: {constants: {b: -1.0}, outputs: {M: log(-2.0)}}\n")
    assert [(d.code, d.span.line if d.span else 0) for d in (above, inside)] == [("VS0904", 8), ("VS0904", 10)]
    assert above.help[-1] == "in the run 'r', line 10"
    assert not any("in the run" in tip for tip in inside.help)


def test_claims_over_runs_that_say_nothing() -> None:
    text = FIT.replace("{J: loss}", "{J: loss + other}") + "runs: {r: {}, q: {constants: {b: 2.0}}}\nclaims:\n"
    (found,) = warnings(text + "  a: r.J == q.J\n")
    assert (found.code, "exactly" in found.message) == ("VS0908", True)
    (found,) = warnings(text + "  a: r.J < r.J\n")
    assert "always fails" in found.message
    (found,) = warnings(text + "  a: abs(r.J - q.J) < 1e-12\n")
    assert found.code == "VS0914"
    assert warnings(text + "  a: r.J < q.J\n") == ()
