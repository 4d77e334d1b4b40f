"""Checks that what is known of the values in subscripts are positions of their axes."""

from __future__ import annotations

from vspec.compiler.language.context import Context
from vspec.compiler.language.ranges import Position, Ranges, values_of
from vspec.compiler.language.spec import Spec


def check_positions(ctx: Context, spec: Spec) -> None:
    """Report subscripts that are outside of their axis for all their values, and listed values that are (VS0335)."""
    ranges = Ranges(spec)
    for p in ranges.positions:
        source = ranges.source(p.index)
        if source is not None:
            _known(ctx, ranges, p, source)
        elif ranges.outside(p.index, p.dim):
            size = ranges.dims.size(p.dim)
            ctx.error(
                "VS0335",
                f"this subscript of '{p.name}' is outside of its axis for every value it has",
                p.index.span,
                label=f"the axis has size {size}" if size is not None else "",
                help=_run(size),
            )


def _known(ctx: Context, ranges: Ranges, p: Position, source: str) -> None:
    size = ranges.dims.size(p.dim)
    for value, where in values_of(ranges.spec, source):
        if value >= 0 and (size is None or value < size):
            continue
        declared = ranges.spec.data.get(source) or ranges.spec.constants[source]
        ctx.error(
            "VS0335",
            f"'{source}' {where} {value} (line {declared.span.line}), which is no position of '{p.name}' here",
            p.index.span,
            label=f"the axis has size {size}" if size is not None else "",
            help=_run(size),
        )
        return


def _run(size: int | None) -> str:
    last = f"to {size - 1}" if size is not None else "to the size less one"
    return f"positions in a computed subscript run from 0 {last}; none counts from the end"
