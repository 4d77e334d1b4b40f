"""Claims: conditions and identities about the spec's own solution, and conditions that compare runs."""

from __future__ import annotations

import re
from collections.abc import Mapping as Map
from dataclasses import dataclass, field, replace
from typing import Any

from vspec.compiler.diagnostics.spans import Span
from vspec.compiler.diagnostics.suggest import did_you_mean
from vspec.compiler.language.context import Context, Env, Unknown
from vspec.compiler.language.entries import entries
from vspec.compiler.language.expr import Expr, Pointwise
from vspec.compiler.language.facts import check_constants, check_smoke, compares, lettered, with_facts
from vspec.compiler.language.parse import parse_expression
from vspec.compiler.language.raw import Raw, RawOp
from vspec.compiler.language.settings import STAGE_OPTIONS
from vspec.compiler.language.spec import Claim, Constant
from vspec.compiler.language.types import a_dtype
from vspec.compiler.source.document import Mapping, Scalar, Value, plain

WAYS = {"points": "at the solution and at random points", "proof": "by simplifying the difference of both sides"}
"""How an identity may be shown."""


@dataclass(frozen=True, slots=True)
class Options:
    """What stands beside the condition of a claim."""

    reported: str | None = None
    smoke: Map[str, Any] = field(default_factory=dict)
    by: str = ""
    seeds: int = 1
    require: str | int = "all"


@dataclass(frozen=True, slots=True)
class Line:
    """A claim that is parsed and not checked: its name and place, its text, and what stands beside it."""

    name: str
    span: Span
    node: Scalar
    raw: Raw
    options: Options
    identity: bool = False
    tolerance: Value | None = None


def parse_claims(ctx: Context, node: Value | None) -> list[Line]:
    """The claims of the section, parsed; mistakes in their options are recorded."""
    found: list[Line] = []
    for key, value in entries(node):
        name = key.text.strip()
        if isinstance(value, Scalar):
            line = _line(ctx, name, key.span, value, Options())
        elif isinstance(value, Mapping):
            line = _mapping(ctx, name, key.span, value)
        else:
            ctx.error("VS0324", f"the claim '{name}' is a condition", value.span)
            line = None
        if line is not None:
            found.append(line)
    return found


def read_claims(ctx: Context, lines: list[Line]) -> dict[str, Claim]:
    """The claims about the spec's own solution."""
    found: dict[str, Claim] = {}
    for line in lines:
        if line.identity or not compares(ctx, line.raw):
            claim = _identity(ctx, line) if line.identity else _that(ctx, line, line.raw)
            if claim is not None:
                found[line.name] = with_facts(ctx, claim)
            ctx.runs.read.clear()
    return found


def read_comparisons(ctx: Context, lines: list[Line], constants: Map[str, Constant]) -> dict[str, Claim]:
    """The claims that compare runs, in a context made by `facts.comparing`."""
    found: dict[str, Claim] = {}
    for line in lines:
        if line.identity or not compares(ctx, line.raw):
            continue
        raw = lettered(ctx, line.name, line.raw)
        claim = _that(ctx, line, raw) if raw is not None else None
        if claim is not None:
            claim = with_facts(ctx, claim)
            if check_constants(ctx, claim, constants, line.raw) and check_smoke(ctx, claim):
                found[line.name] = claim
        ctx.runs.read.clear()
    return found


def _line(ctx: Context, name: str, span: Span, node: Scalar, options: Options) -> Line | None:
    raw = parse_expression(node, ctx.sink)
    return None if raw is None else Line(name, span, node, raw, options)


def _mapping(ctx: Context, name: str, span: Span, node: Mapping) -> Line | None:
    reported = node.get("reported")
    options = Options(
        reported=reported.text if isinstance(reported, Scalar) else None,
        smoke=_smoke(ctx, node.get("smoke")),
        by=_by(ctx, node.get("by")),
        seeds=_seeds(node.get("seeds")),
        require=_require(ctx, node.get("require"), _seeds(node.get("seeds"))),
    )
    that, identity = node.get("that"), node.get("identity")
    if isinstance(that, Scalar) and identity is None:
        return _line(ctx, name, span, that, options)
    if isinstance(identity, Scalar) and that is None:
        line = _line(ctx, name, span, identity, options)
        return None if line is None else replace(line, identity=True, tolerance=node.get("tolerance"))
    ctx.error(
        "VS0324",
        f"the claim '{name}' has either 'that' or 'identity'",
        span,
        help="that: a condition; identity: a == b",
    )
    return None


# --- options ------------------------------------------------------------------------------------------------------------


def _smoke(ctx: Context, node: Value | None) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in entries(node):
        name = key.text.strip()
        symbol = ctx.symbols.get(name)
        if name in ctx.dims.letters or (symbol is not None and symbol.kind == "constant") or name in ctx.settable:
            found[name] = plain(value)
            continue
        constants = [n for n, s in ctx.symbols.items() if s.kind == "constant"]
        if name in STAGE_OPTIONS:
            message, help = f"no stage has the option '{name}', which the smoke size sets", "remove it"
        else:
            message = f"'{name}' is neither a constant nor a dim"
            listed = f"the smoke size sets constants, dims and the options {', '.join(STAGE_OPTIONS)} of stages"
            help = did_you_mean(name, (*constants, *ctx.dims.letters, *STAGE_OPTIONS)) or listed
        ctx.error("VS0324", message, key.span, help=help)
    return found


def _by(ctx: Context, node: Value | None) -> str:
    if not isinstance(node, Scalar):
        return ""
    way = node.text.strip()
    if way in WAYS:
        return way
    if re.match(r"quadrature\b", way):
        ctx.planned("VS0414", "identities by quadrature", node.span, help="write 'by: points' or 'by: proof'")
        return ""
    help = did_you_mean(way, WAYS) or f"there are {' and '.join(WAYS)}; without 'by', what can is done"
    ctx.error("VS0248", f"an identity is not shown by '{way}'", node.span, label="no way to show it", help=help)
    return ""


def _seeds(node: Value | None) -> int:
    value = node.value if isinstance(node, Scalar) else 1
    return value if isinstance(value, int) else 1


def _require(ctx: Context, node: Value | None, seeds: int) -> str | int:
    """'all', 'mean', or of how many seeds a claim must hold."""
    if not isinstance(node, Scalar):
        return "all"
    words = node.text.strip()
    if words in ("all", "mean"):
        return words
    form = re.fullmatch(r"(\d{1,9}) of (\d{1,9})", words)
    few, many = map(int, form.groups()) if form else (0, 0)
    if form is None:
        message, help = f"'{words}' does not say how many seeds are required", "write all, mean, or 4 of 5"
    elif many != seeds:
        message, help = f"'{words}' counts {many} seeds, and there are {seeds}", f"write {min(few, seeds)} of {seeds}"
    elif not 1 <= few <= many:
        message, help = f"of {many} seeds, {few} cannot be required", f"from 1 to {many} can"
    else:
        return few
    ctx.error("VS0246", message, node.span, help=help)
    return "all"


# --- conditions ---------------------------------------------------------------------------------------------------------


def _that(ctx: Context, line: Line, raw: Raw) -> Claim | None:
    name, options = line.name, line.options
    body = ctx.infer(raw, Env(subject=f"the claim '{name}'", results="first"))
    if isinstance(body, Unknown):
        return None
    if body.dtype != "boolean":
        ctx.error(
            "VS0324",
            f"the claim '{name}' is {a_dtype(body.dtype)}, not a condition",
            body.span,
            label="nothing is claimed about it",
            help="compare it with something, for example < 1e-6",
        )
        return None
    if not _reals(ctx, name, body):
        return None
    if options.require == "mean" and not all(isinstance(c, Pointwise) and c.op in RELATIONS for c in conjuncts(body)):
        ctx.error(
            "VS0246",
            f"the claim '{name}' has no mean over seeds",
            body.span,
            label="a mean is compared by <, <=, >, >=",
            help="write comparisons of numbers, joined by 'and', or 'require: all'",
        )
        return None
    return _claim(line, body, None, None, None)


RELATIONS = ("lt", "le", "gt", "ge", "eq", "ne")


def conjuncts(e: Expr) -> list[Expr]:
    """The parts of a condition that are joined by `and`."""
    if isinstance(e, Pointwise) and e.op == "and":
        return [part for arg in e.args for part in conjuncts(arg)]
    return [e]


def _reals(ctx: Context, name: str, body: Expr) -> bool:
    """Whether what a claim compares are reals, so that the figures can be shown; records the mistake."""
    if not isinstance(body, Pointwise):
        return True
    if body.op == "and":
        return all(_reals(ctx, name, part) for part in body.args)
    found = next((a for a in body.args if a.dtype == "complex"), None)
    if body.op in ("eq", "ne") and found is not None:
        ctx.error(
            "VS0352",
            f"the claim '{name}' compares complex numbers",
            found.span,
            label="this is complex",
            help="bound the distance, abs(a - b) < 1e-9, or claim an identity with a tolerance",
        )
        return False
    return True


def _identity(ctx: Context, line: Line) -> Claim | None:
    name, raw, tolerance = line.name, line.raw, line.tolerance
    if not isinstance(raw, RawOp) or raw.op != "eq":
        ctx.error(
            "VS0324",
            f"the identity '{name}' needs two sides with one == between them",
            raw.span,
            help="an inequality is a claim by itself, without 'identity'",
        )
        return None
    if compares(ctx, raw):
        ctx.error(
            "VS0248",
            f"the identity '{name}' compares runs",
            raw.span,
            label="an identity is about formulas, at any point",
            help="compare runs with 'that': abs(a.J - b.J) < 1e-9",
        )
        return None
    bound = tolerance.value if isinstance(tolerance, Scalar) else None
    if isinstance(bound, bool) or not isinstance(bound, int | float) or bound < 0:
        at = tolerance.span if tolerance is not None else line.span
        ctx.error(
            "VS0325",
            f"the identity '{name}' needs a tolerance",
            at,
            label="the largest difference allowed",
            help="for example tolerance: 1e-8",
        )
        return None
    env = Env(subject=f"the claim '{name}'", open=True, results="first")
    sides: list[Expr] = [ctx.infer(side, env) for side in raw.args]
    if any(isinstance(s, Unknown) for s in sides):
        return None
    return _claim(line, None, sides[0], sides[1], float(bound))


def _claim(line: Line, that: Expr | None, left: Expr | None, right: Expr | None, tolerance: float | None) -> Claim:
    options, text = line.options, " ".join(line.node.text.split())
    return Claim(
        line.name, text, that, left, right, tolerance, options.reported, options.smoke, line.span,
        by=options.by, seeds=options.seeds, require=options.require,
    )  # fmt: skip
