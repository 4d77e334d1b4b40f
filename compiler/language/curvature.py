"""What of its Hessian a method may be asked to keep, given what a stage moves and how."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from vspec.compiler.language.context import Context
from vspec.compiler.language.spec import MethodCall, Param, Stage

BY_TERMS = ("structured", "sparsified", "factored")
ELEMENTWISE = frozenset({"real", "positive", "box"})
"""The domains whose coordinates belong to one element each."""


def check_hessians(ctx: Context, stage: Stage, params: Mapping[str, Param]) -> None:
    """Records where a method cannot keep its Hessian as it is told to (VS0263, VS0264)."""
    for m in stage.methods if stage.optimises else ():
        kept = m.arguments.get("hessian")
        if kept is None:
            continue
        name, linear = kept["name"], m.arguments["linear"]["name"]
        if linear == "cholesky" and name in ("sparsified", "products"):
            ctx.error(
                "VS0263",
                f"there is no matrix to factorise where '{m.name}' keeps {_said(name)}",
                m.span,
                help="write linear=cg, or another hessian=",
            )
        elif name in (*BY_TERMS, "sparse"):
            why = _why_not(stage, m, params, ELEMENTWISE if name == "sparse" else {"real"})
            if why:
                ctx.error(
                    "VS0264", f"'{m.name}' cannot keep a {name} Hessian here: {why}", m.span, help="write hessian=auto"
                )


def _said(name: str) -> str:
    return "products with vectors" if name == "products" else "a sparsified Hessian"


def _why_not(stage: Stage, m: MethodCall, params: Mapping[str, Param], domains: Collection[str]) -> str:
    if stage.constraints is not None:
        return f"the stage keeps constraints by {stage.constraints.name}"
    if stage.batch:
        return "the stage sees batches"
    for p in m.over or stage.over:
        known = params.get(p)
        if known is not None and known.dtype != "real":
            return f"'{p}' is complex"
        if known is not None and known.domain.kind not in domains:
            return f"'{p}' moves in coordinates of its domain '{known.domain.kind}'"
    return ""
