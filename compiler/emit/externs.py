"""Functions from outside of a spec: what is found at their places, whether they fit, and how a program has them.

This is the only part of the compiler that imports what a spec names; whoever calls it has been allowed to.
"""

from __future__ import annotations

import functools
import importlib
import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from vspec.compiler.diagnostics.diagnostic import Diagnostic, SpecError
from vspec.compiler.diagnostics.spans import Span
from vspec.compiler.diagnostics.suggest import did_you_mean
from vspec.compiler.emit.calls import called_name
from vspec.compiler.graph.call import External, Function, Mapped, Pulled, Pushed, base
from vspec.compiler.graph.graph import Graph
from vspec.compiler.graph.node import Kind, Node
from vspec.compiler.graph.rewrite import all_nodes
from vspec.compiler.language.externs import Found, place_of
from vspec.compiler.language.spec import Extern, Spec

NOMINAL = (11, 13, 17, 19, 23, 29, 31)
"""Sizes for dims that are open until run, all different."""


def found_at(places: Iterable[tuple[str, Span]]) -> dict[str, Found]:
    """What stands at places such as `package.module:name`. Raises SpecError (VS0671, VS0672, VS0673) with all mistakes."""
    found: dict[str, Found] = {}
    wrong: list[Diagnostic] = []
    for text, span in places:
        where = place_of(text)
        if where is None or text in found:
            continue
        try:
            found[text] = _found(*where, span)
        except SpecError as error:
            wrong += error.diagnostics
    if wrong:
        raise SpecError(wrong)
    return found


def _refused(code: str, message: str, span: Span, *help: str) -> SpecError:
    return SpecError([Diagnostic(code, message, span, "", tuple(h for h in help if h))])


def _shown(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:200]}" if text else type(error).__name__


def load(module: str, attribute: str, span: Span) -> Any:
    """The object at a place. Raises SpecError (VS0671, VS0672)."""
    try:
        found: Any = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name and (module == error.name or module.startswith(f"{error.name}.")):
            tip = "install it, or put its folder into PYTHONPATH"
            raise _refused("VS0671", f"there is no module '{error.name}'", span, tip) from None
        raise _refused("VS0671", f"'{module}' cannot be imported: {_shown(error)}", span) from None
    except Exception as error:
        raise _refused("VS0671", f"'{module}' cannot be imported: {_shown(error)}", span) from None
    for part in attribute.split("."):
        if not hasattr(found, part):
            near = did_you_mean(part, [n for n in dir(found) if not n.startswith("_")])
            raise _refused("VS0672", f"'{module}' has no '{attribute}'", span, near)
        found = getattr(found, part)
    if not callable(found):
        what = f"'{module}:{attribute}' is {type(found).__name__}, which cannot be called"
        raise _refused("VS0672", what, span, "name a function of arrays")
    return found


def _found(module: str, attribute: str, span: Span) -> Found:
    found = load(module, attribute, span)
    if not _makes_modules(found):
        return Found()
    made = _made(found, module, attribute, span)
    return Found("module", tuple((path, tuple(map(int, leaf.shape))) for path, leaf in _weights(made)))


def _makes_modules(found: Any) -> bool:
    """Whether an object is a class of modules of Equinox, or a partial of one."""
    inner = found.func if isinstance(found, functools.partial) else found
    if not inspect.isclass(inner):
        return False
    import equinox

    return issubclass(inner, equinox.Module)


def _made(found: Callable[..., Any], module: str, attribute: str, span: Span) -> Any:
    import jax

    try:
        made = found(key=jax.random.key(0))
    except Exception as error:
        what = f"'{module}:{attribute}' cannot be made with a key alone: {_shown(error)}"
        tip = f"give the other arguments before: Net = functools.partial({attribute.rpartition('.')[2]}, ...)"
        raise _refused("VS0673", what, span, tip) from None
    if not callable(made):
        raise _refused("VS0673", f"modules of '{module}:{attribute}' cannot be called", span, "give it a __call__")
    return made


def _weights(module: Any) -> list[tuple[str, Any]]:
    """The arrays of real numbers in a module, with the expressions by which it has them."""
    import equinox
    import jax

    arrays = equinox.filter(module, equinox.is_inexact_array)
    return [
        (jax.tree_util.keystr(path).lstrip("."), leaf) for path, leaf in jax.tree_util.tree_leaves_with_path(arrays)
    ]


# --- whether a call fits ----------------------------------------------------------------------------------------


def check_calls(graph: Graph, spec: Spec) -> None:
    """Evaluates every call, and every derivative of one, on shapes alone. Raises SpecError (VS0674, VS0675)."""
    import jax
    import jax.numpy as jnp

    sizes = _sizes(graph)
    config: Any = jax.config
    dtype = jnp.float64 if spec.precision == "float64" and config.jax_enable_x64 else jnp.float32
    shaped: Any = jax.ShapeDtypeStruct
    functions: dict[str, Callable[..., Any]] = {}
    seen: set[Any] = set()
    for node in all_nodes(graph):
        source = base(node.attrs[2]) if node.kind is Kind.CALL else None
        if not isinstance(source, External):
            continue
        cores, result, function = node.attrs
        shapes = tuple(tuple(sizes[x.axis(n).dim] for n in core) for x, core in zip(node.inputs, cores, strict=True))
        if (function, shapes) in seen:
            continue
        seen.add((function, shapes))
        extern = spec.externs[source.name]
        if source.name not in functions:
            functions[source.name] = _callable(extern)
        span = Span(
            spec.path, node.origin.line, max(node.origin.column, 1), node.origin.line, max(node.origin.column, 1) + 1
        )
        given = [shaped(shape, dtype) for shape in shapes]
        want = tuple(sizes[node.axis(n).dim] for n in result)
        _check(
            extern,
            node,
            _composed(function, functions[source.name]),
            given,
            want,
            span if node.origin.line else extern.span,
        )


def _sizes(graph: Graph) -> Mapping[str, int]:
    """The sizes of dims; of those that are open until run, sizes that tell them apart."""
    known = {dim: size for dim, size in graph.dims.items() if isinstance(size, int)}
    free = [n for n in NOMINAL if n not in known.values()]
    open_ = [dim for dim in graph.dims if dim not in known]
    return known | {dim: free[k % len(free)] for k, dim in enumerate(open_)}


def _check(
    extern: Extern, node: Node, function: Callable[..., Any], given: list[Any], want: tuple[int, ...], span: Span
) -> None:
    import jax
    import jax.numpy as jnp

    shapes = ", ".join(str(list(x.shape)) if x.shape else "a number" for x in given[: extern.arguments])
    first = isinstance(node.attrs[2], External)
    try:
        got = jax.eval_shape(function, *given)
    except Exception as error:
        if first:
            what = f"'{extern.place}' fails for {shapes}: {_shown(error)}"
            raise _refused("VS0674", what, span, f"it is declared under 'functions', line {extern.span.line}") from None
        what = f"'{extern.place}' has no derivative: {_shown(error)}"
        raise _refused(
            "VS0675", what, span, "give it a rule by jax.custom_vjp, or do not differentiate through it"
        ) from None
    if not first:
        return
    shape = getattr(got, "shape", None)
    if shape is None:
        raise _refused("VS0674", f"'{extern.place}' gives {type(got).__name__} and not one array", span)
    if tuple(shape) != want or not jnp.issubdtype(got.dtype, jnp.floating):
        shown = f"an array of shape {list(shape)}" if shape else "a number"
        wanted = f"shape {list(want)}" if want else "a number"
        kind = "" if jnp.issubdtype(got.dtype, jnp.floating) else f" of {got.dtype}"
        what = f"'{extern.place}' gives {shown}{kind} for {shapes}, and '{extern.name}' is declared with {wanted}"
        raise _refused("VS0674", what, span, f"its declaration stands in line {extern.span.line}")


def _callable(extern: Extern) -> Callable[..., Any]:
    """The function of arguments and weights."""
    found = load(extern.module, extern.attribute, extern.span)
    if extern.kind == "function":
        return found  # type: ignore[no-any-return]
    import equinox
    import jax

    made = _made(found, extern.module, extern.attribute, extern.span)

    arrays, static = equinox.partition(made, equinox.is_inexact_array)

    def function(*given: Any) -> Any:
        weights = jax.tree.unflatten(jax.tree.structure(arrays), given[extern.arguments :])
        return equinox.combine(weights, static)(*given[: extern.arguments])

    return function


def _composed(f: Function, inner: Callable[..., Any]) -> Callable[..., Any]:
    """A derivative of a function, or the function mapped, as the program has it."""
    import jax

    if isinstance(f, Mapped):
        made = _composed(f.function, inner)
        for has in reversed(f.over):
            made = jax.vmap(made, in_axes=tuple(0 if own else None for own in has))
        return made
    if isinstance(f, Pulled):
        below, k = _composed(f.function, inner), f.operand
        return lambda *given: jax.vjp(below, *given[:-1])[1](given[-1])[k]
    if isinstance(f, Pushed):
        below, k = _composed(f.function, inner), f.operand

        def pushed(*given: Any) -> Any:
            return jax.jvp(lambda x: below(*given[:k], x, *given[k + 1 : -1]), (given[k],), (given[-1],))[1]

        return pushed
    return inner


# --- in the program ---------------------------------------------------------------------------------------------


def modules(externs: Mapping[str, Extern]) -> list[str]:
    """The lines that import what the functions need."""
    if not externs:
        return []
    more = ["import equinox"] if any(e.kind == "module" for e in externs.values()) else []
    return sorted({*more, *(f"import {e.module}" for e in externs.values())})


def definitions(externs: Mapping[str, Extern], file: str) -> list[str]:
    """How the functions of the program call them: by a name of their own, modules as functions of their weights."""
    return [_definition(e, file) for e in externs.values()]


def _definition(e: Extern, file: str) -> str:
    own, place = called_name(e.name), f"{e.module}.{e.attribute}"
    if e.kind == "function":
        return f"{own} = {place}  # {e.name}, {file}:{e.span.line}"
    arguments = [f"x{k}" for k in range(e.arguments)]
    shown = ", ".join(arguments)
    weights = "\n".join(f"    {k}: {path}" for k, (path, _) in enumerate(e.leaves))
    return f'''\
def {own}_start(key: Array) -> list[Array]:
    """The arrays of {e.place} as it is made with this key.

{weights}
    """
    return jax.tree.leaves(equinox.filter({place}(key=key), equinox.is_inexact_array))


{own}_arrays, {own}_rest = equinox.partition({place}(key=jax.random.key(0)), equinox.is_inexact_array)


def {own}({", ".join(f"{a}: Array" for a in arguments)}{", " if arguments else ""}*weights: Array) -> Array:
    """{e.name} ({file}:{e.span.line}): {e.place} with these arrays, called."""
    arrays = jax.tree.unflatten(jax.tree.structure({own}_arrays), weights)
    return equinox.combine(arrays, {own}_rest)({shown})'''
