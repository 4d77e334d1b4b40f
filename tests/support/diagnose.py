"""Everything the compiler says of a spec: what the check finds, and of what only the calculus can tell, its message."""

from __future__ import annotations

from vspec.compiler.diagnostics.diagnostic import Diagnostic, SpecError
from vspec.compiler.diagnostics.policy import Policy
from vspec.compiler.pipeline import check_text, compile_spec

# Methods that go by the form of the objective, which is not looked at before the spec is built.
BY_FORM = frozenset({"block_coordinate", "proximal_gradient", "gauss_newton", "levenberg_marquardt"})


def diagnosed(text: str, path: str) -> tuple[Diagnostic, ...]:
    """The diagnostics of a spec, warnings of all kinds included."""
    spec, diagnostics = check_text(text, path, {}, Policy(pedantic=True))
    if any(d.severity == "error" for d in diagnostics):
        assert spec is None
    by_form = spec is not None and any(m.name in BY_FORM for s in spec.plan for m in s.methods)
    # Whether a way that is asked for leads to the result shows only where it is taken.
    if spec is None or not (by_form or any(word in text for word in ("by=", "hessian=", "estimator:"))):
        return diagnostics
    try:
        compile_spec(spec)
    except SpecError as e:
        return (*diagnostics, *e.diagnostics)
    return diagnostics
