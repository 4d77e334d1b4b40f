"""Functions of whole axes: `solve(A[:, :], b[:])[i]` and its like."""

from __future__ import annotations

from vspec.compiler.language.context import Context, Env, Unknown
from vspec.compiler.language.dims import UNKNOWN, Slot, added, scaled
from vspec.compiler.language.evaluation import EVALUATED, read_by
from vspec.compiler.language.expr import (
    AUTO,
    Block,
    By,
    Expr,
    Linalg,
)
from vspec.compiler.language.lookup import arity
from vspec.compiler.language.operators import (
    LINALG,
)
from vspec.compiler.language.raw import RawCall
from vspec.compiler.language.subscripts import Subscripting
from vspec.compiler.language.substitute import linalg_axes
from vspec.compiler.language.types import as_real, widest


def linalg(ctx: Context, raw: RawCall, env: Env) -> Expr:
    op = LINALG[raw.name]
    by = read_by(ctx, raw, EVALUATED[raw.name], env) if raw.name in EVALUATED else AUTO
    if len(raw.args) != len(op.operands):
        return arity(ctx, raw, str(len(op.operands)), len(op.operands), f"for example {op.example}", env)
    sizes: dict[str, str] = {}
    blocks: list[Block] = []
    sound = True
    for arg, names in zip(raw.args, op.operands):
        slots = tuple(Slot() for _ in names)
        body = ctx.infer(arg, env.taking(slots))
        if isinstance(body, Unknown) and not body.exact:
            sound = False
            continue
        if any(s.letter is None for s in slots):
            sound = False
            want = "one ':'" if len(names) == 1 else f"{len(names)} ':'"
            ctx.error(
                "VS0213",
                f"'{raw.name}' takes whole axes here: {want} wanted",
                arg.span,
                env,
                help=f"for example {op.example}",
            )
            continue
        for name, slot in zip(names, slots):
            if not ctx.dims.same(sizes.setdefault(name, slot.dim), slot.dim):
                sound = False
                ctx.error(
                    "VS0213",
                    f"'{raw.name}' needs axes of one size here, but they are over {ctx.dims.show(sizes[name])} "
                    f"and {ctx.dims.show(slot.dim)}",
                    slot.span or arg.span,
                    env,
                    label=f"over {ctx.dims.show(slot.dim)}",
                    help=f"for example {op.example}",
                )
        if op.tall and _wide(ctx, raw, slots, env):
            sound = False
        core = tuple(s.letter for s in slots if s.letter is not None)
        blocks.append(Block(as_real(body), core))
    given = raw.subscripts or ()
    if len(given) != len(op.result):
        if not op.result:
            return ctx.error("VS0206", f"'{raw.name}' gives one number and has no subscripts", raw.span, env)
        plural = "s" if len(op.result) > 1 else ""
        return ctx.error(
            "VS0206",
            f"the result of '{raw.name}' has {len(op.result)} subscript{plural}, but {len(given) or 'none'} given",
            raw.span,
            env,
            help=f"for example {op.example}",
        )
    reader = Subscripting(ctx, env, f"the result of '{raw.name}'")
    found = [reader.read(s, sizes.get(name, UNKNOWN)) for s, name in zip(given, op.result)]
    if not sound or not reader.complete(raw.span) or any(s is None for s in found):
        return Unknown(span=raw.span)
    kept = tuple(s for s in found if s is not None)
    axes = linalg_axes(tuple(blocks), kept)
    if any(isinstance(b.body, Unknown) for b in blocks):
        return Unknown(span=raw.span, axes=axes, exact=True)
    dtype = widest(tuple(b.body for b in blocks))
    if dtype == "complex" and not op.complex:
        able = ", ".join(name for name, other in LINALG.items() if other.complex)
        at = next(b.body.span for b in blocks if b.body.dtype == "complex")
        return ctx.error(
            "VS0354",
            f"'{raw.name}' is not for complex matrices",
            at,
            env,
            label="this is complex",
            help=f"complex matrices have {able}",
        )
    if by is None:
        return Unknown(span=raw.span, axes=axes, exact=True)
    if dtype == "complex" and by not in (AUTO, By("lu")):
        return ctx.error(
            "VS0272",
            f"complex matrices have no other way than 'lu', and 'by={by.word}' asks for one",
            raw.span,
            env,
            help="leave 'by' out",
        )
    return Linalg(span=raw.span, axes=axes, dtype=dtype, op=raw.name, blocks=tuple(blocks), subscripts=kept, by=by)


def _wide(ctx: Context, raw: RawCall, slots: tuple[Slot, ...], env: Env) -> bool:
    """Refuse a matrix that surely has fewer rows than columns; where sizes are open, binding the data checks them."""
    rows, columns = slots
    if UNKNOWN in (rows.dim, columns.dim):
        return False
    more = added(ctx.dims.sizes(rows.dim), scaled(ctx.dims.sizes(columns.dim), -1))
    if not set(more) <= {""} or more.get("", 0) >= 0:
        return False
    ctx.error(
        "VS0332",
        f"'{raw.name}' needs at least as many rows as columns, but the rows are {ctx.dims.show(rows.dim)} "
        f"and the columns {ctx.dims.show(columns.dim)}",
        columns.span or raw.span,
        env,
        label=f"columns over {ctx.dims.show(columns.dim)}",
        help="transpose it under 'define', as in At[j, i]: A[i, j]; svd_left and svd_right then change places",
    )
    return True
