"""The places at which the windows of convolutions stand, once a call has given the input its axes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vspec.compiler.diagnostics.spans import Span
from vspec.compiler.language.context import Context, Env
from vspec.compiler.language.dims import shown

if TYPE_CHECKING:
    from vspec.compiler.language.networks import Network


def room_for(ctx: Context, network: Network, dims: tuple[str, ...], span: Span, env: Env) -> bool:
    """Whether the windows of all layers fit into their inputs, where the sizes of the axes of places are known (VS0253)."""
    if network.architecture.name != "conv":
        return True
    values = network.values
    for dim in dims[:-1]:
        size = ctx.dims.size(dim)
        for n in range(1, len(values["channels"]) + 2):
            if size is None:
                break
            room = size - (1 if values["pad"] == "same" else values["kernel"])
            if room < 0:
                ctx.error(
                    "VS0253",
                    f"the input of layer {n} of '{network.name}' has {size} place{'' if size == 1 else 's'} along "
                    f"{ctx.dims.show(dim)}, and the window {values['kernel']}",
                    span,
                    env,
                    label="the window does not fit",
                    help="a smaller kernel, fewer layers, or pad=same",
                )
                return False
            size = room // values["stride"] + 1
    return True


def places_fit(ctx: Context, network: Network, span: Span, env: Env) -> bool:
    """Whether the result has as many places along its axes as the windows of the last layer stand at (VS0252)."""
    values = network.values
    for own, letter in network.expected:
        given = ctx.dims.dim_of(letter)
        if ctx.dims.same(own, given):
            continue
        size = ctx.dims.size(own)
        what = f"{size} places" if size is not None else "as many places as nothing says before the run"
        ctx.error(
            "VS0252",
            f"the result of '{network.name}' has the index '{shown(letter)}' over {ctx.dims.show(given)}, and its windows "
            f"stand at {what}",
            span,
            env,
            label=f"kernel={values['kernel']}, stride={values['stride']}, pad={values['pad']}",
            help=f"a dim with {size} values" if size is not None else "give the axes of the input sizes under 'dims'",
        )
        return False
    return True
