"""Text of draws: keys folded with numbers, and the samplers of `jax.random`.

A key with axes (one for each step of a recurrence) is mapped over: the draws of each are those of its step.
"""

from __future__ import annotations

from collections.abc import Sequence

from vspec.compiler.emit.layout import Layout, Value, aligned, arranged
from vspec.compiler.emit.scope import Scope
from vspec.compiler.emit.text import Text, name
from vspec.compiler.graph.node import Axis, Node

# How each sampler is called: 'shape' where the shape comes right behind the key, else how it is given after the arguments.
FIRST = frozenset(
    {"normal", "uniform", "exponential", "laplace", "logistic", "gumbel", "cauchy", "rademacher", "randint"}
)
# Samplers whose result has a dtype of its own, and those that take none.
LOOSE = frozenset({"bernoulli", "categorical"})
# Samplers of `vspec.runtime.samplers`.
OWN = frozenset({"von_mises", "poisson"})


def emit_key(scope: Scope, node: Node) -> Value:
    """The key of one draw."""
    key = scope.value(node.inputs[0])
    return Value(name(f"jax.random.fold_in({key.text.code}, {node.attrs[0]})"), ())


def emit_fold(scope: Scope, node: Node) -> Value:
    """A key folded with the time, or one for each time."""
    key, index = (scope.value(x) for x in node.inputs)
    function = "jax.random.fold_in"
    for _ in index.layout:
        function = f"jax.vmap({function}, (None, 0))"
    for _ in key.layout:
        function = f"jax.vmap({function}, (0, None))"
    layout = (*key.layout, *index.layout)
    return Value(name(f"{function}({key.text.code}, {index.text.code})"), layout)


def emit_draw(scope: Scope, node: Node) -> Value:
    """Independent draws over the axes of the node."""
    key, *arguments = (scope.value(x) for x in node.inputs)
    mapped = key.layout
    inner = tuple(a for a in node.axes if a.name not in mapped)
    layout = tuple(a.name for a in inner)
    texts: list[Text] = []
    over: list[tuple[bool, ...]] = []
    for x, value in zip(node.inputs[1:], arguments, strict=True):
        core = tuple(a for a in value.layout if a not in node.names)
        if core and set(x.names) != set(value.layout):
            value = scope.whole(x)
            core = tuple(a for a in value.layout if a not in node.names)
        outer = tuple(a for a in mapped if a in value.layout)
        wanted = tuple(a for a in (*layout, *core) if a in value.layout)
        texts.append(_placed(value, (*outer, *wanted), (*outer, *layout, *core)))
        over.append(tuple(a in outer for a in mapped))
    if not mapped:
        return Value(_called(scope, node, key.text, texts, inner), layout)
    names = scope.function.names
    parameters = [names.reserve("k"), *(names.reserve("a") for _ in texts)]
    call = _called(scope, node, name(parameters[0]), [name(p) for p in parameters[1:]], inner)
    function = f"lambda {', '.join(parameters)}: {call.code}"
    for depth in reversed(range(len(mapped))):
        axes = ["0", *("0" if flags[depth] else "None" for flags in over)]
        function = f"jax.vmap({function})" if len(axes) == 1 else f"jax.vmap({function}, ({', '.join(axes)}))"
    return Value(name(f"{function}({', '.join([key.text.code, *(t.code for t in texts)])})"), (*mapped, *layout))


def _placed(value: Value, wanted: Layout, among: Layout) -> Text:
    """The text with its axes in order, of size one where it lacks one of `among` behind its first."""
    text = arranged(value, wanted)
    return aligned(Value(text, wanted), among) if wanted else text


def _called(scope: Scope, node: Node, key: Text, arguments: Sequence[Text], axes: Sequence[Axis]) -> Text:
    shape = scope.shape(axes)
    given = [key.code]
    if node.op in FIRST:
        given += [shape] if axes or arguments else []
        given += [a.code for a in arguments]
    elif node.op == "categorical":
        given += [*(a.code for a in arguments), *([f"shape={shape}"] if axes else [])]
    else:
        given += [*(a.code for a in arguments), *([shape] if axes else [])]
    real = node.op in ("binomial",) or node.dtype == "real"
    if node.op not in LOOSE and scope.graph.precision != "float64":
        given.append(f"dtype={scope.dtype('real' if real else node.dtype)}")
    module = "samplers" if node.op in OWN else "jax.random"
    code = f"{module}.{node.op}({', '.join(given)})"
    if node.op in ("binomial", "bernoulli") or (node.op == "categorical" and scope.graph.precision == "float64"):
        code = f"{code}.astype({scope.dtype('integer')})"
    return name(code)
