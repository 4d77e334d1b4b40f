"""Indices in bodies of functions: they range over the axes of the arguments on which they stand."""

from __future__ import annotations

from vspec.compiler.language.context import Context, Env
from vspec.compiler.language.raw import Raw, RawElement, RawName, walk


def argument_dim(letter: str, body: tuple[Raw, ...], env: Env) -> str | None:
    """The dim of the axis of a function's argument on which an index stands in `body`, if there is one."""
    if not env.formals:
        return None
    for node in (n for part in body for n in walk(part)):
        if isinstance(node, RawElement) and node.name in env.formals and not env.formals[node.name].unknown:
            slots = env.formals[node.name].slots
            for raw, (_, dim) in zip(node.subscripts, slots):
                if isinstance(raw, RawName) and raw.name == letter:
                    return dim
    return None


def sized(ctx: Context, letter: str, env: Env) -> str:
    """The letter whose size `size(letter)` is: the one in scope, or in a function one over the axis of its argument."""
    if letter in env.scope:
        return env.scope[letter]
    dim = argument_dim(letter, env.body, env)
    if dim is None or ctx.dims.same(dim, ctx.dims.dim_of(letter)):
        return letter
    found = ctx.dims.dims.get(dim)
    return found.letters[0] if found is not None else letter
