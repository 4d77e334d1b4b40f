"""What a name means where it stands."""

from __future__ import annotations

from vspec.compiler.language.context import Context, Env, Symbol
from vspec.compiler.language.expr import (
    Expr,
)
from vspec.compiler.language.raw import RawCall


def lookup(ctx: Context, name: str, env: Env) -> Symbol | None:
    """The symbol that a name means here, or None."""
    if env.results == "first" and name in ctx.outputs:
        return _output(ctx, name)
    symbol = ctx.symbols.get(name)
    if symbol is None and env.results and name in ctx.outputs:
        return _output(ctx, name)
    return symbol


def _output(ctx: Context, name: str) -> Symbol | None:
    # An output that is read becomes a definition of its own, so that it is computed once.
    if name not in ctx.lifted and ctx.on_output is not None:
        ctx.on_output(name)
    return ctx.symbols.get(ctx.lifted.get(name, ""))


def arity(ctx: Context, raw: RawCall, want: str, least: int, doc: str, env: Env) -> Expr:
    noun = "argument" if want in ("1", "at least 1") else "arguments"
    given = len(raw.args)
    return ctx.error(
        "VS0215",
        f"'{raw.name}' takes {want} {noun}, but {given} {'is' if given == 1 else 'are'} given",
        raw.span,
        env,
        help=f"{raw.name}: {doc}" if not doc.startswith((raw.name, "for example")) else doc,
    )
