"""Text of the adjoints of loops: a function of the operands that are asked for, `jax.vjp` of it, and the call of its pullback."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from vspec.compiler.emit.implicit import emit_problem
from vspec.compiler.emit.layout import Value, arranged
from vspec.compiler.emit.scans import Operand, tupled, write_loop
from vspec.compiler.emit.scope import Line, Scope
from vspec.compiler.emit.text import name
from vspec.compiler.graph.node import AnyRegion, Pull, Region, Solve, innermost


@dataclass(frozen=True, slots=True)
class Pulled:
    """What stands written of an adjoint: its results by position, which of them the function returns, the name of what takes
    cotangents of those, the names of the function's arguments."""

    values: list[Value]
    returned: list[int]
    pull: str
    parameters: list[str]


def opened(
    scope: Scope, pull: Pull, operands: Sequence[Operand], reads: Collection[int], wishes: Mapping[int, str]
) -> Pulled:
    """Writes the function and `jax.vjp` of it. `reads`: further results that the caller wants the values of.

    The operands that are not wanted reach the function as a closure: no derivative is taken with respect to them.
    """
    names = scope.function.names
    label = region_name(pull)
    run = names.reserve(f"{label}_of")
    inner = Scope(scope.function, {}, scope.indent + 4, scope)
    inner.differentiated = True
    seen = list(operands)
    parameters, primals = [], []
    for k in pull.wanted:
        wish = operands[k].value.text.code
        parameters.append(names.reserve(f"{wish}_" if wish.isidentifier() else f"{label}_{k}"))
        text = arranged(operands[k].value, operands[k].names)
        primals.append(scope.array(Value(text, operands[k].names), operands[k].dtype).code)
        seen[k] = operands[k]._replace(value=Value(name(parameters[-1]), operands[k].names))
    returned = sorted({*pull.given, *reads})
    if isinstance(pull.inner, Solve):
        results = emit_problem(inner, pull.inner, seen, {}, 0)
    elif isinstance(pull.inner, Region):
        results = write_loop(inner, pull.inner, seen, returned, {}, 0)
    else:
        assert isinstance(pull.inner, Pull)
        again = opened(inner, pull.inner, seen[: pull.inner.arity], (), {})
        results = pulled_back(inner, pull.inner, again, seen)
    scope.line("", "")
    arguments = ", ".join(f"{p}: Array" for p in parameters)
    kind = "Array" if len(returned) == 1 else f"tuple[{', '.join(['Array'] * len(returned))}]"
    scope.line(f"def {run}({arguments}) -> {kind}:", "")
    scope.lines += inner.lines
    scope.lines.append(Line(inner.indent, "return", ", ".join(results[k].text.code for k in returned)))
    scope.line("", "")
    back = names.reserve(f"{label}_pull")
    values = list(results)
    targets = []
    for k in returned:
        if k in reads:
            target = wishes.get(k) or names.reserve(results[k].text.code)
            values[k] = Value(name(target), results[k].layout)
            targets.append(target)
        else:
            targets.append("_")
    left = tupled(targets) if reads else "_"
    scope.line(f"{left}, {back}", f"jax.vjp({run}, {', '.join(primals)})")
    return Pulled(values, returned, back, parameters)


def pulled_back(scope: Scope, pull: Pull, found: Pulled, operands: Sequence[Operand]) -> list[Value]:
    """Writes the call with the cotangents, mapped over the batch axes: one value per wanted operand."""
    names = scope.function.names
    batch = tuple(a.name for a in pull.batch)
    given: dict[int, str] = {}
    for k, operand in zip(pull.given, operands[pull.arity :], strict=True):
        want = (*batch, *found.values[k].layout)
        if set(want) != set(operand.names):
            want = operand.names
        given[k] = scope.array(Value(arranged(operand.value, want), want), operand.dtype).code
    cotangents = []
    for k in found.returned:
        zero = f"jnp.zeros_like({found.values[k].text.code})"
        if batch and k not in given:
            zero = f"jnp.zeros({scope.shape(pull.batch)} + {found.values[k].text.code}.shape)"
        cotangents.append(given.get(k, zero))
    mapped = found.pull
    for _ in batch:
        mapped = f"jax.vmap({mapped})"
    targets = [names.reserve(f"{p.rstrip('_')}_bar") for p in found.parameters]
    left = f"({targets[0]},)" if len(targets) == 1 else ", ".join(targets)
    scope.line(left, f"{mapped}({tupled(cotangents)})")
    return [Value(name(t), (*batch, *operands[k].names)) for t, k in zip(targets, pull.wanted, strict=True)]


def region_name(region: AnyRegion) -> str:
    """What a loop is called after its states."""
    return innermost(region).name or "loop"
