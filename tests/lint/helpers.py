"""The warnings about small specs."""

from __future__ import annotations

from vspec.compiler.diagnostics.diagnostic import Diagnostic
from vspec.compiler.diagnostics.policy import Policy
from vspec.compiler.pipeline import check_text

HEAD = "vspec: 1\nname: test\nprecision: float64\n"


def warnings(text: str, pedantic: bool = False, head: str = HEAD) -> tuple[Diagnostic, ...]:
    """The warnings about sections given without their head, which must be right."""
    spec, found = check_text(head + text, "test.yaml", {}, Policy(pedantic))
    assert spec is not None, [(d.code, d.message) for d in found]
    assert {d.severity for d in found} <= {"warning"}
    return found


def warned(text: str, code: str) -> list[str]:
    """At which level a code is given: both, pedantic only, or none."""
    return [level for level in ("default", "pedantic") if code in {d.code for d in warnings(text, level == "pedantic")}]


BOTH, PEDANTIC, NEVER = ["default", "pedantic"], ["pedantic"], []
