"""The section `constraints`: equations and inequalities between numbers, for every value of the indices on their left."""

from __future__ import annotations

from vspec.compiler.diagnostics.spans import Span
from vspec.compiler.language.context import Context, Env, Unknown
from vspec.compiler.language.entries import entries
from vspec.compiler.language.heads import parse_head, plain_letters
from vspec.compiler.language.parse import parse_expression
from vspec.compiler.language.raw import Raw, RawOp
from vspec.compiler.language.spec import Constraint, Relation
from vspec.compiler.language.types import a_dtype, as_real
from vspec.compiler.source.document import Scalar, Value

_SIGNS = {"eq": "==", "le": "<=", "ge": ">=", "lt": "<", "gt": ">", "ne": "!="}


def read_constraints(ctx: Context, node: Value | None) -> dict[str, Constraint]:
    """The constraints with both sides of each relation checked."""
    found: dict[str, Constraint] = {}
    places: dict[str, Span] = {}
    for key, value in entries(node):
        head = parse_head(ctx, key)
        letters = plain_letters(ctx, head) if head is not None else None
        if head is None or letters is None:
            continue
        if head.name in places:
            ctx.error(
                "VS0204",
                f"the constraint '{head.name}' is declared twice",
                head.span,
                label="again here",
                help=f"the first stands on line {places[head.name].line}",
            )
            continue
        places[head.name] = head.span
        if not isinstance(value, Scalar):
            ctx.error("VS0326", f"the constraint '{head.name}' is an expression", value.span)
            continue
        raw = parse_expression(value, ctx.sink)
        env = Env(subject=f"the constraint '{head.name}'", scope={x: x for x in letters})
        relations = relations_of(ctx, raw, env.subject, env) if raw is not None else None
        if relations is not None:
            found[head.name] = Constraint(head.name, letters, relations, " ".join(value.text.split()), head.span)
    return found


def relations_of(ctx: Context, raw: Raw, subject: str, env: Env) -> tuple[Relation, ...] | None:
    """The relations that an expression joins, both sides checked; None after a mistake. `subject` is what messages call it."""
    found: list[Relation] = []
    sound = True
    for part in _conjuncts(raw):
        if not isinstance(part, RawOp) or part.op not in _SIGNS:
            ctx.error(
                "VS0355",
                f"{subject} is no equation or inequality",
                part.span,
                env,
                label="nothing is compared here",
                help="write a == b, a <= b, or a <= b <= c",
            )
            return None
        if part.op in ("lt", "gt", "ne"):
            sign = _SIGNS[part.op]
            instead = {"lt": "write <=", "gt": "write >="}.get(part.op, "write == or <=")
            ctx.error(
                "VS0356",
                f"{subject} is strict: {sign} leaves out the boundary",
                part.span,
                env,
                label="a solution may lie on the boundary",
                help=f"{instead}; a margin is part of the expression, for example x >= 1e-3",
            )
            sound = False
            continue
        sides = [ctx.infer(side, env) for side in part.args]
        if any(isinstance(s, Unknown) for s in sides):
            sound = False
            continue
        other = next((s for s in sides if s.dtype not in ("real", "integer")), None)
        if other is not None:
            ctx.error("VS0355", f"{subject} compares numbers, and this is {a_dtype(other.dtype)}", other.span, env)
            sound = False
            continue
        left, right = (as_real(s) for s in (sides if part.op != "ge" else reversed(sides)))
        found.append(Relation("eq" if part.op == "eq" else "le", left, right, part.span))
    return tuple(found) if sound else None


def _conjuncts(raw: Raw) -> list[Raw]:
    if isinstance(raw, RawOp) and raw.op == "and":
        return [part for arg in raw.args for part in _conjuncts(arg)]
    return [raw]
