"""Where a number first is not finite in the evaluation of a function: the operation, its operands, and the line it stands on.

The function is traced and evaluated operation by operation, and then looked at from its end: from a result that is not finite to
an operand that is not, until all operands are finite. What is not finite but has no part in the result, such as the branch of a
`where` that is not taken, is so never blamed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import Literal, jaxpr_as_fun
from jax.extend.source_info_util import summarize

LONGEST = 100_000
"""Steps of a loop that are looked at one by one."""

_INLINED = ("jit", "pjit", "closed_call", "core_call", "custom_jvp_call", "custom_vjp_call", "remat2", "checkpoint")


@dataclass(frozen=True, slots=True)
class Origin:
    """Where it begins.

    Attributes:
        operation: JAX's name of the operation.
        line: the line of the file that was looked for, or None.
        result: what it gave.
        operands: what it was given, all of it finite.
        step: of an operation in a loop, the steps before it.
        output: which of the results of the function it reached.
    """

    operation: str
    line: int | None
    result: np.ndarray[Any, Any]
    operands: tuple[np.ndarray[Any, Any], ...]
    step: int | None
    output: int

    @property
    def place(self) -> tuple[int, ...]:
        """The position of the first entry that is not finite."""
        bad = ~np.isfinite(self.result)
        return tuple(int(k) for k in np.unravel_index(int(np.argmax(bad)), bad.shape))

    def told(self) -> str:
        """What happens there, for people: 'log of -0.5 is nan'."""
        at = self.place
        value = self.result[at]
        shown = [f"{x[_at(x, at, self.result.shape)]:.4g}" for x in self.operands if _aligned(x, self.result)]
        form = _FORMS.get(self.operation)
        if form is not None and len(shown) == len(self.operands) == form.count("{}"):
            said = f"{form.format(*shown)} is {value:.4g}"
        else:
            said = f"{_NAMES.get(self.operation, self.operation)} gives {value:.4g}"
        ranges = [f"{np.min(x):.4g} to {np.max(x):.4g}" for x in self.operands if x.size > 1 and x.dtype.kind in "fiu"]
        over = f" (operand{'s' if len(ranges) > 1 else ''} from {' and '.join(ranges)})" if ranges else ""
        return said + over


_FORMS: Mapping[str, str] = {
    "log": "log of {}",
    "log1p": "log1p of {}",
    "sqrt": "the square root of {}",
    "rsqrt": "1/sqrt of {}",
    "exp": "exp of {}",
    "div": "{} / {}",
    "mul": "{} * {}",
    "add": "{} + {}",
    "add_any": "{} + {}",
    "sub": "{} - {}",
    "pow": "{} to the power {}",
    "integer_pow": "a power of {}",
    "tan": "tan of {}",
    "atanh": "atanh of {}",
    "acosh": "acosh of {}",
    "asin": "asin of {}",
    "acos": "acos of {}",
    "lgamma": "lgamma of {}",
    "digamma": "digamma of {}",
}
_NAMES: Mapping[str, str] = {
    "reduce_sum": "a sum",
    "dot_general": "a sum of products",
    "reduce_prod": "a product",
    "cumsum": "a running sum",
    "cumprod": "a running product",
    "cholesky": "the Cholesky factor",
    "scan": "a recurrence",
    "while": "a loop",
}


@dataclass(slots=True)
class _Value:
    """An array of the evaluation, and the operation that gave it."""

    array: Any
    maker: _Operation | None = None

    @property
    def bad(self) -> bool:
        x = self.array
        return _is_number(x) and not bool(np.all(np.isfinite(np.asarray(x))))


@dataclass(slots=True)
class _Operation:
    equation: Any
    operands: list[_Value]
    line: int | None


def origin(function: Callable[..., Any], arguments: Sequence[Any], file: str | None) -> Origin | None:
    """Where the first result of a function that is not finite begins to be so.

    Args:
        function: a function of arrays, which JAX can trace.
        arguments: its arguments.
        file: the file whose lines are told.

    Returns:
        The origin; None where all results are finite, or an argument is not.
    """
    closed = jax.make_jaxpr(function)(*arguments)
    results = _run(closed, [_Value(x) for x in jax.tree.leaves(tuple(arguments))], file, None)
    for k, value in enumerate(results):
        if value.bad:
            found = _backward(value, file)
            return None if found is None else Origin(*found, k)
    return None


def _run(closed: Any, arguments: list[_Value], file: str | None, outer: int | None) -> list[_Value]:
    """The results of a traced function with all operations on the way; `outer`: the line that calls it."""
    env: dict[Any, _Value] = dict(zip(closed.jaxpr.constvars, map(_Value, closed.consts), strict=True))
    env.update(zip(closed.jaxpr.invars, arguments, strict=True))

    def read(atom: Any) -> _Value:
        return _Value(atom.val) if isinstance(atom, Literal) else env[atom]

    for equation in closed.jaxpr.eqns:
        operands = [read(atom) for atom in equation.invars]
        line = outer if outer is not None else _line(equation, file)
        inner = _inner(equation, operands)
        if inner is not None:
            # What is only called is traced once, and may tell the line of another call; a branch stands on lines of its own.
            results = _run(*inner, file, None if equation.primitive.name == "cond" else line)
        else:
            operation = _Operation(equation, operands, line)
            given = _bind(equation, [v.array for v in operands])
            results = [_Value(x, operation) for x in given]
        env.update(zip(equation.outvars, results, strict=True))
    return [read(atom) for atom in closed.jaxpr.outvars]


def _inner(equation: Any, operands: list[_Value]) -> tuple[Any, list[_Value]] | None:
    """What an operation calls that is only a call, or the branch that is taken."""
    name, params = equation.primitive.name, equation.params
    if name in _INLINED:
        called = next((params[k] for k in ("jaxpr", "call_jaxpr", "fun_jaxpr") if k in params), None)
        if called is not None and hasattr(called, "consts"):
            return called, operands
    if name == "cond":
        index = int(np.clip(int(operands[0].array), 0, len(params["branches"]) - 1))
        return params["branches"][index], operands[1:]
    return None


def _bind(equation: Any, values: Sequence[Any]) -> list[Any]:
    params = equation.primitive.get_bind_params(equation.params)
    found = equation.primitive.bind(*values, **params)
    return [*found] if equation.primitive.multiple_results else [found]


def _backward(value: _Value, file: str | None) -> tuple[str, int | None, Any, tuple[Any, ...], int | None] | None:
    """From a value that is not finite to the operation whose operands all are."""
    while value.maker is not None:
        operation = value.maker
        before = _cause(operation, value)
        if before is None:
            name = operation.equation.primitive.name
            if name in ("scan", "while"):
                inside = _in_loop(operation, file)
                if inside is not None:
                    return inside
            shown = tuple(np.asarray(v.array) for v in operation.operands if _is_number(v.array))
            return name, operation.line, np.asarray(value.array), shown, None
        value = before
    return None


def _cause(operation: _Operation, value: _Value) -> _Value | None:
    """The operand that is behind what is not finite, if one is not finite itself."""
    operands = operation.operands
    if operation.equation.primitive.name == "select_n":
        which, *cases = (np.asarray(v.array) for v in operands)
        bad = ~np.isfinite(np.asarray(value.array))
        for k, case in enumerate(cases):
            taken = np.broadcast_to(which.astype(int) == k, bad.shape)
            if np.any(bad & taken & ~np.isfinite(case)):
                return operands[k + 1]
    return next((v for v in operands if v.bad), None)


def _in_loop(
    operation: _Operation, file: str | None
) -> tuple[str, int | None, Any, tuple[Any, ...], int | None] | None:
    """The origin in the first step of a loop in which something is not finite."""
    params, values = operation.equation.params, [v.array for v in operation.operands]
    if operation.equation.primitive.name == "scan":
        body, fixed, states = params["jaxpr"], params["num_consts"], params["num_carry"]
        length = params["length"]
        order = range(length - 1, -1, -1) if params["reverse"] else range(length)
    else:
        body, skipped, fixed = params["body_jaxpr"], params["cond_nconsts"], params["body_nconsts"]
        values, states, order = values[skipped:], len(values) - skipped - fixed, range(LONGEST)
    constants, state, columns = values[:fixed], values[fixed : fixed + states], values[fixed + states :]
    step = jax.jit(jaxpr_as_fun(body))
    for count, k in enumerate(order):
        if count >= LONGEST:
            break
        given = [*constants, *state, *(x[k] for x in columns)]
        found = step(*given)
        if any(_Value(x).bad for x in found):
            for value in _run(body, [_Value(x) for x in given], file, None):
                if value.bad and (inside := _backward(value, file)) is not None:
                    name, line, result, operands, deeper = inside
                    return name, line or operation.line, result, operands, count if deeper is None else deeper
            return None
        state = found[:states]
    return None


def _line(equation: Any, file: str | None) -> int | None:
    """The line of the file on which an operation stands, if it stands there."""
    found = re.match(r"(.*?):(\d+)(?::\d+)? \(", summarize(equation.source_info))
    return int(found[2]) if found and found[1] == file else None


def _is_number(x: Any) -> bool:
    return hasattr(x, "dtype") and bool(jnp.issubdtype(x.dtype, jnp.inexact))


def _aligned(x: np.ndarray[Any, Any], result: np.ndarray[Any, Any]) -> bool:
    return x.shape in ((), result.shape)


def _at(x: np.ndarray[Any, Any], place: tuple[int, ...], shape: tuple[int, ...]) -> tuple[int, ...]:
    return place if x.shape == shape else ()


__all__ = ["Origin", "origin"]
