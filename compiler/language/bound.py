"""The sections whose values come from outside: constants and data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vspec.compiler.diagnostics.spans import Span
from vspec.compiler.diagnostics.suggest import did_you_mean
from vspec.compiler.language.calls import parse_call
from vspec.compiler.language.context import Context
from vspec.compiler.language.entries import entries
from vspec.compiler.language.heads import declare, parse_head
from vspec.compiler.language.laws import DATA_LAWS
from vspec.compiler.language.literals import literal
from vspec.compiler.language.spec import Constant, Data, Draw, Source
from vspec.compiler.source.document import Mapping as Node
from vspec.compiler.source.document import Scalar, Sequence, Value

_TYPES = ("real", "integer", "boolean", "complex")


def read_constants(
    ctx: Context, node: Value | None, overrides: Mapping[str, Any]
) -> tuple[dict[str, Constant], set[str]]:
    """The constants with their overrides; the names among `overrides` that were constants."""
    found: dict[str, Constant] = {}
    used: set[str] = set()
    for key, value in entries(node):
        head = parse_head(ctx, key)
        symbol = declare(ctx, head, "constant") if head is not None else None
        if symbol is None:
            continue
        if symbol.name in overrides:
            used.add(symbol.name)
        result = literal(ctx, symbol, value, "constant")
        if result is not None and symbol.name in overrides:
            result = _overridden(ctx, symbol.name, overrides[symbol.name], result, key.span)
        if result is None:
            continue
        data, dtype = result
        symbol.dtype = dtype
        found[symbol.name] = Constant(symbol.name, symbol.letters, dtype, data, key.span)
    return found, used


def _overridden(ctx: Context, name: str, value: Any, old: tuple[Any, Any], span: Span) -> tuple[Any, Any] | None:
    """The value of `--set`, of the kind and shape of the one in the spec; an integer may become a real."""
    leaves: list[Any] = []
    new = _alike(value, old[0], leaves)
    logical = old[1] == "boolean"
    if new is None or any(isinstance(x, bool) != logical for x in leaves):
        kind = "an array of another shape or type" if isinstance(old[0], tuple) else f"{old[0]!r} here"
        ctx.error("VS0329", f"the constant '{name}' cannot be set to {value!r}", span, label=f"it is {kind}")
        return None
    if logical:
        return new, "boolean"
    if old[1] == "real" or any(isinstance(x, float) for x in leaves):
        return _reals(new), "real"
    return new, "integer"


def _alike(value: Any, old: Any, leaves: list[Any]) -> Any:
    """The value as a number or nested tuples of the shape of `old`; None if it has another one."""
    if isinstance(old, tuple):
        if not isinstance(value, list | tuple) or len(value) != len(old):
            return None
        items = [_alike(v, o, leaves) for v, o in zip(value, old)]
        return None if any(i is None for i in items) else tuple(items)
    if not isinstance(value, int | float):
        return None
    leaves.append(value)
    return value


def _reals(value: Any) -> Any:
    return tuple(_reals(v) for v in value) if isinstance(value, tuple) else float(value)


@dataclass(slots=True)
class _Entry:
    """The options of one data entry or param."""

    node: Node

    def scalar(self, key: str) -> Scalar | None:
        found = self.node.get(key)
        return found if isinstance(found, Scalar) else None


def read_data(ctx: Context, node: Value | None) -> dict[str, Data]:
    """The data entries with their types and defaults."""
    found: dict[str, Data] = {}
    for key, value in entries(node):
        head = parse_head(ctx, key)
        symbol = declare(ctx, head, "data") if head is not None else None
        if symbol is None:
            continue
        kind = value if isinstance(value, Scalar) else None
        options = _Entry(value) if isinstance(value, Node) else None
        if options is not None:
            kind = options.scalar("type")
        default: Any = None
        if options is not None and options.scalar("draw") is not None:
            default = _draw(ctx, options)
        elif options is not None and options.scalar("source") is not None:
            default = _source(ctx, options)
        dtype: Any = "integer" if isinstance(default, Draw) and default.law in ("poisson", "integers") else "real"
        if kind is not None:
            if kind.text not in _TYPES:
                ctx.error(
                    "VS0326",
                    f"'{kind.text}' is not a type of data",
                    kind.span,
                    help=did_you_mean(kind.text, _TYPES) or f"types are {', '.join(_TYPES)}",
                )
                continue
            dtype = kind.text
            if dtype == "complex" and options is not None:
                _complex(ctx, symbol.name, options)
        symbol.dtype = dtype
        values = _values(ctx, options.node.get("in")) if options is not None else None
        if options is not None and (given := options.node.get("value")) is not None:
            result = literal(ctx, symbol, given, "value", dtype)
            default = result[0] if result is not None else None
        found[symbol.name] = Data(symbol.name, symbol.letters, dtype, default, values, key.span)
    return found


def _complex(ctx: Context, name: str, options: _Entry) -> None:
    """Refuse the options that are about real numbers."""
    helps = {
        "draw": "draw two reals a and b, and define the complex number a + 1j*b",
        "in": "check a property of it in a claim, such as abs(abs(z) - 1) < 1e-9",
    }
    for key, help in helps.items():
        at = options.node.key(key)
        if at is not None:
            ctx.error("VS0353", f"'{name}' is complex and has no '{key}'", at.span, help=help)


def _values(ctx: Context, node: Value | None) -> tuple[float, ...] | None:
    if node is None:
        return None
    items = list(node) if isinstance(node, Sequence) else [node]
    found: list[float] = []
    for item in items:
        if not isinstance(item, Scalar) or isinstance(item.value, bool) or not isinstance(item.value, int | float):
            ctx.error("VS0326", "'in' lists the numbers that may occur", item.span, help="for example in: [-1, 1]")
            return None
        found.append(item.value)
    return tuple(found)


def _source(ctx: Context, options: _Entry) -> Source | None:
    uri = options.scalar("source")
    assert uri is not None
    shuffle = options.scalar("shuffle")
    rows = options.node.get("rows")
    span: tuple[int, int] | None = None
    if rows is not None:
        numbers = [i.value for i in rows if isinstance(i, Scalar)] if isinstance(rows, Sequence) else []
        whole = [n for n in numbers if isinstance(n, int) and not isinstance(n, bool)]
        if len(whole) != 2 or len(numbers) != 2 or not 0 <= whole[0] < whole[1]:
            ctx.error(
                "VS0326",
                "'rows' is the first row and the one after the last",
                rows.span,
                help="for example rows: [0, 100]",
            )
            return None
        span = (whole[0], whole[1])
    seed = shuffle.value if shuffle is not None else None
    if shuffle is not None and (not isinstance(seed, int) or isinstance(seed, bool)):
        ctx.error("VS0326", "'shuffle' is the seed of the permutation, a whole number", shuffle.span)
        return None
    return Source(uri.text, _columns(options.node.get("column")), span, seed if isinstance(seed, int) else None)


def _columns(node: Value | None) -> str | tuple[str, ...] | None:
    """One name, or a list of them."""
    if isinstance(node, Sequence):
        return tuple(item.text for item in node if isinstance(item, Scalar))
    return node.text if isinstance(node, Scalar) else None


def _draw(ctx: Context, options: _Entry) -> Draw | None:
    node = options.scalar("draw")
    assert node is not None
    call = parse_call(ctx, node, DATA_LAWS)
    if call is None:
        return None
    if call.name not in DATA_LAWS:
        ctx.error(
            "VS0320",
            f"data cannot be drawn from '{call.name}'",
            call.name_span,
            label="unknown law",
            help=did_you_mean(call.name, DATA_LAWS) or f"the laws are {', '.join(DATA_LAWS)}",
        )
        return None
    parameters = DATA_LAWS[call.name].parameters
    names = tuple(p.name for p in parameters)
    bound: dict[str, float] = {}
    for position, (keyword, value, span) in enumerate(call.arguments):
        name = keyword if keyword is not None else names[position] if position < len(names) else None
        if name is None or name not in names or name in bound:
            what = "one argument too many" if name is None else "given twice" if name in bound else "no such argument"
            near = did_you_mean(keyword, names) if keyword is not None and name not in bound else ""
            ctx.error("VS0320", f"'{call.name}' takes {' and '.join(names)}", span, label=what, help=near)
            return None
        if isinstance(value, bool) or not isinstance(value, int | float):
            ctx.error(
                "VS0320",
                f"'{name}' of '{call.name}' is a number",
                span,
                label="data is drawn before anything else is known",
            )
            return None
        bound[name] = value
    defaults = {p.name: float(p.default) for p in parameters if p.default is not None}
    missing = [n for n in names if n not in bound and n not in defaults]
    if missing:
        ctx.error(
            "VS0320", f"'{call.name}' lacks '{missing[0]}'", call.span, help=f"write {call.name}({', '.join(names)})"
        )
        return None
    numbers = {**defaults, **bound}
    if call.name == "bernoulli" and not 0 <= numbers["p"] <= 1:
        ctx.error("VS0320", "the probability of 'bernoulli' lies between 0 and 1", call.span)
        return None
    seed = options.scalar("seed")
    value = seed.value if seed is not None else None
    if seed is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 0):
        ctx.error("VS0326", "'seed' is a whole number, at least 0", seed.span)
        return None
    return Draw(call.name, tuple(numbers[n] for n in names), value if isinstance(value, int) else None)
