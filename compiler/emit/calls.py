"""Text of CALL nodes: functions that are called as they are, mapped over the axes that are none of theirs.

Adjoints of several operands of one call come from one line.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from vspec.compiler.emit.layout import Layout, Value, arranged
from vspec.compiler.emit.names import identifier
from vspec.compiler.emit.scope import Scope
from vspec.compiler.emit.text import name
from vspec.compiler.graph.call import Banded, Convolution, External, Function, Grid, Pulled, Pushed, Start, Toeplitz
from vspec.compiler.graph.node import Kind, Node

Key = tuple[str, Function, tuple[int, ...], tuple[Layout, ...], Layout]
"""What is differentiated, the operands, their core axes, and those of the batch."""


def function_text(f: Function) -> str:
    """A function as an expression."""
    if isinstance(f, Convolution):
        return f"convolution({', '.join(map(str, f.strides))})"
    if isinstance(f, Banded):
        return f"{f.word}({f.below})"
    if isinstance(f, Toeplitz | Grid):
        return f.word
    if isinstance(f, External | Start):
        return called_name(f.name if isinstance(f, External) else f.function.name)
    if isinstance(f, Pulled):
        return f"pullback({function_text(f.function)}, {f.operand})"
    if isinstance(f, Pushed):
        return f"pushforward({function_text(f.function)}, {f.operand})"
    return mapped(function_text(f.function), f.over)


def called_name(name: str) -> str:
    """What a function from outside is called in the program; no name inside of a function starts so."""
    return f"_{identifier(name)}"


def mapped(text: str, over: Sequence[Sequence[bool]]) -> str:
    """A function mapped over axes that stand in front, the outermost first; for each of them, which operands have it."""
    for has in reversed(over):
        axes = "" if all(has) else f", in_axes=({', '.join('0' if own else 'None' for own in has)})"
        text = f"jax.vmap({text}{axes})"
    return text


def pull_key(node: Node) -> Key | None:
    """What the adjoints that one line gives have in common; None where a node is no adjoint of a call."""
    if node.kind is not Kind.CALL or not isinstance(node.attrs[2], Pulled):
        return None
    cores, result, function = node.attrs
    batch = tuple(n for n in node.names if n not in result)
    return ("pullback", function.function, tuple(x.uid for x in node.inputs), cores, batch)


def emit_call(scope: Scope, node: Node) -> Value:
    """A call; of an adjoint that others are read with, a name of the line that has them all."""
    _, result, function = node.attrs
    batch = tuple(n for n in node.names if n not in result)
    if isinstance(function, Start):
        return _started(scope, node, function)
    key = pull_key(node)
    wanted = dict(scope.parts.get(key, {})) if key is not None else {}
    if key is None or len(wanted) < 2:
        text, axes = _called(scope, node, function_text(function), batch)
        return Value(name(text), (*axes, *result))
    done = scope.decomposed(key)
    if done is None:
        order = sorted(wanted, key=int)
        inner = f"pullback({function_text(key[1])}, {', '.join(order)})"
        text, axes = _called(scope, node, inner, batch)
        target = scope.function.names.reserve(f"{node.op}_bars")
        scope.line(target, text, scope.comment(node, ()).removeprefix("[]").strip())
        names: Mapping[str, str] = {k: f"{target}[{place}]" for place, k in enumerate(order)}
        done = scope.decompositions[key] = (axes, names)
    axes, names = done
    return Value(name(names[str(function.operand)]), (*axes, *result))


def _started(scope: Scope, node: Node, function: Start) -> Value:
    """A weight of a module, which is made in a line of its own."""
    (key,) = node.inputs
    source = function.function
    known = ("start", source.name, key.uid)
    done = scope.decomposed(known)
    if done is None:
        target = scope.function.names.reserve(source.name)
        text = f"{called_name(source.name)}_start({scope.value(key).text.code})"
        scope.line(target, text, scope.comment(node, ()).removeprefix("[]").strip())
        done = scope.decompositions[known] = ((), {"module": target})
    text = f"jnp.asarray({done[1]['module']}[{function.weight}], dtype={scope.dtype('real')})"
    return Value(name(text), node.attrs[1])


def _called(scope: Scope, node: Node, text: str, batch: Sequence[str]) -> tuple[str, Layout]:
    """The text of a call, and the batch axes of its value in their order."""
    cores = node.attrs[0]
    values = []
    for x, core in zip(node.inputs, cores, strict=True):
        value = scope.value(x)
        values.append(value if {*core} <= {*value.layout} else scope.whole(x))
    axes = tuple(n for n in batch if any(n in v.layout for v in values))
    operands = []
    for x, value, core in zip(node.inputs, values, cores, strict=True):
        layout = (*(n for n in axes if n in value.layout), *core)
        operands.append(scope.array(Value(arranged(value, layout), layout), x.dtype).code)
    has = [[n in v.layout for v in values] for n in axes]
    return f"{mapped(text, has)}({', '.join(operands)})", axes
