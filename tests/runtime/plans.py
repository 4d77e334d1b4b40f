"""Programs for tests of plans, made of Python functions in the place of an emitted module."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any

import jax
import numpy as np

from vspec.runtime.program import Program

Functions = Mapping[str, Callable[..., Any]]


def stage(kind: str, *methods: Any, **fields: Any) -> dict[str, Any]:
    """A record of a plan: `methods` are `(name, arguments)` or `(name, arguments, over)`."""
    made = []
    for name, arguments, *over in methods:
        null = [k for k, v in arguments.items() if v is None]
        made.append({"name": name, "arguments": arguments, "schedule": null, "over": over[0] if over else []})
    return {"kind": kind, "name": None, "line": 7, "names": [], "over": [], "methods": made, **fields}


def program(
    plan: Sequence[Mapping[str, Any]],
    functions: Functions,
    params: Mapping[str, Sequence[str]],
    data: Mapping[str, Sequence[str]] | None = None,
    constants: Mapping[str, float] | None = None,
    kinds: Mapping[str, str] | None = None,
    outputs: Mapping[str, Mapping[str, Any]] | None = None,
    sizes: Mapping[str, int] | None = None,
    domains: Mapping[str, str] | None = None,
    prepared: Mapping[str, Sequence[str]] | None = None,
) -> Program:
    """A program of float64.

    Args:
        plan: the stages.
        functions: the entries by name; the names of their arguments are those of params, data, constants and counters.
        params: param → axes.
        data: data → axes.
        constants: constant → value.
        kinds: entry → its kind; else that of its name, or its own name.
        outputs: output → its record, without axes and dtype.
        sizes: dim → size, where the data do not tell it.
        domains: param → domain, if not real.
        prepared: name → axes of what the entry `prepare` gives.
    """
    data, constants, kinds, domains = data or {}, constants or {}, kinds or {}, domains or {}
    module = ModuleType("made")
    axes = {**params, **data, **(prepared or {})}
    roles = {
        **dict.fromkeys(params, "param"),
        **dict.fromkeys(data, "data"),
        **dict.fromkeys(constants, "constant"),
        **dict.fromkeys(prepared or {}, "prepared"),
        **dict.fromkeys(("step", "steps"), "counter"),
        "key": "key",
    }
    entries = {}
    for name, f in functions.items():
        setattr(module, name, f)
        arguments = [
            {"name": a, "role": roles[a], "axes": list(axes.get(a, ()))} for a in inspect.signature(f).parameters
        ]
        kind = kinds.get(name, name)
        moved = {"update": params, "prepare": prepared or {}}.get(kind, {})
        results = [{"name": p, "axes": list(axes[p])} for p in moved if p in inspect.getsource(f)]
        entries[name] = {"kind": kind, "function": name, "arguments": arguments, "results": results}
    dims = {d for a in axes.values() for d in a}
    records = {name: {"axes": [], "dtype": "real", "plot": None, **r} for name, r in (outputs or {}).items()}
    manifest = {
        "name": "made",
        "precision": "float64",
        "dims": {d: {"letters": [d], "size": (sizes or {}).get(d)} for d in sorted(dims)},
        "constants": {k: {"axes": [], "dtype": "real", "value": v} for k, v in constants.items()},
        "data": {k: {"axes": list(a), "dtype": "real", "default": None} for k, a in data.items()},
        "params": {
            k: {"axes": list(a), "dtype": "real", "domain": domains.get(k, "real"), "line": 3}
            for k, a in params.items()
        },
        "entries": entries,
        "plan": [dict(s) for s in plan],
        "outputs": records,
        "claims": {},
    }
    return Program(manifest, module)


def derivatives(f: Callable[..., Any], over: Sequence[str]) -> dict[str, Callable[..., Any]]:
    """An objective with the entries that methods ask for, by JAX: value, gradient, value with gradient."""
    names = [*inspect.signature(f).parameters]
    places = tuple(names.index(p) for p in over)

    def named(gradients: Any) -> Any:
        return dict(zip(over, gradients, strict=True)) if len(over) > 1 else gradients[0]

    def gradient(*args: Any) -> Any:
        return named(jax.grad(f, places)(*args))

    def value_and_gradient(*args: Any) -> Any:
        value, gradients = jax.value_and_grad(f, places)(*args)
        return value, named(gradients)

    for made in (gradient, value_and_gradient):
        made.__signature__ = inspect.signature(f)  # type: ignore[attr-defined]
    name = f.__name__
    return {name: f, f"{name}_gradient": gradient, f"{name}_value_and_gradient": value_and_gradient}


def roles(name: str) -> dict[str, str]:
    """The field `entries` of a stage for an objective that `derivatives` made."""
    return {
        "value": name,
        "gradient": f"{name}_gradient",
        "value_and_gradient": f"{name}_value_and_gradient",
    }


def close(actual: Any, expected: Any, tol: float = 1e-12) -> None:
    """Equal to rounding."""
    np.testing.assert_allclose(np.asarray(actual), np.asarray(expected), rtol=tol, atol=tol)
