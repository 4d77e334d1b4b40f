"""VS0913, VS0914: draws without a seed, and tolerances that single precision does not reach."""

from __future__ import annotations

import re
from collections.abc import Iterator

from vspec.compiler.language.domains import number_of
from vspec.compiler.language.expr import Expr, Pointwise
from vspec.compiler.language.lint.report import Report
from vspec.compiler.language.lint.walk import bare
from vspec.compiler.language.spec import Draw, Spec, labelled
from vspec.compiler.language.substitute import nodes

# float32 keeps about seven digits (its rounding unit is 6e-8). A tolerance for a gradient or a difference of quantities
# near one cannot be below that; a claim may well be about something small, such as a square, and is left more room.
STOP = 1e-8
CLAIM = 1e-9

_HELP = "write 'precision: float64', or a larger tolerance"


def seeds(spec: Spec, report: Report) -> None:
    """Data that are drawn anew with every seed of a run."""
    for data in spec.data.values():
        # Frequencies of a network start with the seed of the run, as weights do.
        if isinstance(data.default, Draw) and data.default.seed is None and "." not in data.name:
            report.warn("VS0913", f"'{data.name}' is drawn with the seed of the run", data.span,
                        label="has no seed of its own", help="for the same data in every run add a seed, such as seed: 1",
                        pedantic=True)  # fmt: skip


def precision(spec: Spec, report: Report) -> None:
    """Tolerances that float32 cannot meet."""
    if spec.precision != "float32":
        return
    for method in (m for _, stage in labelled(spec.plan) for m in stage.methods):
        tol = method.arguments.get("tol")
        if isinstance(tol, float) and 0 < tol < STOP and re.search(r"\d", report.quote(method.span)):
            report.warn("VS0914", f"{method.name} is to stop at {tol:g}, which float32 hardly ever reaches", method.span,
                        label="float32 has about seven digits", help=_HELP)  # fmt: skip
    for claim in spec.claims.values():
        if claim.tolerance is not None and 0 < claim.tolerance < STOP:
            report.warn("VS0914", f"the sides of '{claim.name}' may differ by {claim.tolerance:g}, less than float32 "
                        "rounds by", claim.span, label="float32 has about seven digits", help=_HELP)  # fmt: skip
        for node, bound in _bounds(claim.that):
            report.warn("VS0914", f"the claim '{claim.name}' asks for {bound:g}, less than float32 rounds by", node.span,
                        label="float32 has about seven digits", help=_HELP)  # fmt: skip


def _bounds(expr: Expr | None) -> Iterator[tuple[Expr, float]]:
    """The tiny numbers that a claim wants something to stay below."""
    for node in nodes(expr) if expr is not None else ():
        if isinstance(node, Pointwise) and node.op in ("lt", "le", "gt", "ge"):
            small = bare(node.args[1] if node.op in ("lt", "le") else node.args[0])
            value = number_of(small)
            if value is not None and 0 < value < CLAIM:
                yield small, float(value)
