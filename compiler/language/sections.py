"""The sections that declare things: dims, constants, data, params, functions."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vspec.compiler.diagnostics.spans import Span
from vspec.compiler.diagnostics.suggest import did_you_mean
from vspec.compiler.language import inline
from vspec.compiler.language.calls import parse_call
from vspec.compiler.language.context import Context, Env, Function, Unknown
from vspec.compiler.language.expr import Expr, Number, Pointwise, SizeOf
from vspec.compiler.language.graph import components
from vspec.compiler.language.heads import declare, parse_function_head, parse_head
from vspec.compiler.language.infer import infer
from vspec.compiler.language.literals import literal
from vspec.compiler.language.operators import RESERVED
from vspec.compiler.language.parse import parse_expression
from vspec.compiler.language.raw import Raw, RawCall, RawName, RawNumber, RawOp, walk
from vspec.compiler.language.spec import Constant, Data, Dim, Draw, Param, Source
from vspec.compiler.language.types import as_real
from vspec.compiler.source.document import Mapping as Node
from vspec.compiler.source.document import Scalar, Sequence, Value

LAWS: Mapping[str, tuple[str, ...]] = {
    "uniform": ("low", "high"),
    "normal": ("mean", "scale"),
    "bernoulli": ("p",),
    "exponential": ("scale",),
    "poisson": ("rate",),
    "integers": ("low", "high"),
}
_LAW_DEFAULTS: Mapping[str, tuple[float, ...]] = {"uniform": (0.0, 1.0), "normal": (0.0, 1.0), "exponential": (1.0,)}
_PLANNED_DOMAINS = ("simplex", "box", "unit", "psd", "orthogonal", "integer", "unit_interval", "sphere")
_INITIALISERS = frozenset(
    {"glorot_uniform", "glorot_normal", "he_normal", "he_uniform", "lecun_normal", "orthogonal_init"}
)


def entries(node: Value | None) -> list[tuple[Scalar, Value]]:
    """The entries of a section; none if it is absent or not a mapping (the structure check has said so)."""
    return list(node.entries) if isinstance(node, Node) else []


# --- dims -------------------------------------------------------------------------------------------------------


def read_dims(ctx: Context, node: Value | None, overrides: Mapping[str, Any]) -> set[str]:
    """Enter the dims and their letters; the names among `overrides` that were dims."""
    sizes: dict[str, tuple[Raw, Span]] = {}
    used: set[str] = set()
    for key, value in entries(node):
        letters = _dim_letters(ctx, key)
        if not letters:
            continue
        name = letters[0]
        for letter in letters:
            ctx.dims.letters[letter] = name
        size: int | None = None
        given = [x for x in letters if x in overrides]
        if given:
            used.update(given)
            size = _overridden_size(ctx, given[0], overrides[given[0]], key.span)
        else:
            source = _dim_size(ctx, value)
            if isinstance(source, int):
                size = source
            elif source is not None:
                sizes[name] = (source, value.span)
        ctx.dims.dims[name] = Dim(name, letters, size, key.span)
    order: dict[str, tuple[str, ...]] = {}
    for name, (raw, _) in sizes.items():
        order[name] = tuple(
            ctx.dims.letters[x.name]
            for x in walk(raw)
            if isinstance(x, RawName) and ctx.dims.letters.get(x.name) in sizes
        )
    for group in components(list(order), lambda n: order[n]):
        name = group[0]
        raw, span = sizes[name]
        if len(group) > 1 or name in order[name]:
            ctx.error(
                "VS0221", f"the size of the dim '{name}' depends on itself", span, label=" → ".join((*group, name))
            )
            continue
        expr = _size_expression(ctx, raw)
        if expr is None:
            continue
        number = _number(ctx, expr)
        if number is not None and number < 1:
            ctx.error("VS0221", f"the dim '{name}' has size {number}", span, label="a size is at least 1")
            continue
        old = ctx.dims.dims[name]
        ctx.dims.dims[name] = Dim(name, old.letters, expr if number is None else number, old.span)
    return used


def _dim_letters(ctx: Context, key: Scalar) -> tuple[str, ...]:
    letters: list[str] = []
    for found in re.finditer(r"[^,]+", key.text):
        letter = found.group().strip()
        start = found.start() + len(found.group()) - len(found.group().lstrip())
        span = key.locate(start, start + max(len(letter), 1))
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", letter):
            ctx.error(
                "VS0220",
                f"'{letter}' cannot be an index letter",
                span,
                help="letters and digits, starting with a letter: i, j2",
            )
        elif letter in RESERVED:
            what = {"d": "the derivative", "E": "the expectation"}.get(letter, "a built-in")
            ctx.error(
                "VS0205", f"'{letter}' is reserved: it is {what} of the language", span, label="choose another letter"
            )
        elif letter in ctx.dims.letters or letter in letters:
            ctx.error("VS0225", f"the index letter '{letter}' is declared twice", span, label="again here")
        else:
            letters.append(letter)
    return tuple(letters)


def _dim_size(ctx: Context, value: Value) -> int | Raw | None:
    if isinstance(value, Node):
        for key, _ in value.entries:
            if key.text in ("configurations", "of"):
                ctx.planned("VS0409", "configuration dims", key.span)
                return None
            if key.text in ("from", "to"):
                ctx.planned("VS0409", "dims with coordinates", key.span)
                return None
            if key.text == "boundary":
                ctx.planned("VS0423", "boundary conditions of a dim", key.span)
                return None
        inner = value.get("size")
        return _dim_size(ctx, inner) if inner is not None else None
    if isinstance(value, Sequence):
        ctx.error("VS0221", "a size is one number", value.span)
        return None
    if isinstance(value.value, bool) or isinstance(value.value, float):
        ctx.error("VS0221", f"a size is a whole number, not {value.text}", value.span)
        return None
    if isinstance(value.value, int):
        if value.value < 1:
            ctx.error("VS0221", f"the size is {value.value}", value.span, label="a size is at least 1")
            return None
        return value.value
    if value.text.strip() == "auto":
        return None
    return parse_expression(value, ctx.sink)


def _overridden_size(ctx: Context, name: str, value: Any, span: Span) -> int | None:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 1:
        return value
    ctx.error(
        "VS0329", f"the dim '{name}' cannot be set to {value!r}", span, label="a size is a whole number, at least 1"
    )
    return None


def _size_expression(ctx: Context, raw: Raw) -> Expr | None:
    if isinstance(raw, RawNumber) and isinstance(raw.value, int) and not isinstance(raw.value, bool):
        return Number(span=raw.span, dtype="integer", value=raw.value)
    if isinstance(raw, RawName) and raw.name in ctx.dims.letters:
        return SizeOf(span=raw.span, dtype="integer", letter=raw.name)
    if isinstance(raw, RawCall) and raw.name == "size" and len(raw.args) == 1:
        return _size_expression(ctx, raw.args[0])
    if isinstance(raw, RawOp) and raw.op in ("add", "sub", "mul", "floordiv", "neg"):
        args = [_size_expression(ctx, a) for a in raw.args]
        known = tuple(a for a in args if a is not None)
        return Pointwise(span=raw.span, dtype="integer", op=raw.op, args=known) if len(known) == len(args) else None
    if isinstance(raw, RawName):
        ctx.error(
            "VS0221",
            f"the size names '{raw.name}', which is not an index",
            raw.span,
            label="no dim has this letter",
            help=did_you_mean(raw.name, ctx.dims.letters)
            or "a size is a number, auto, or whole arithmetic on other dims: 2*n + 1",
        )
    else:
        ctx.error(
            "VS0221",
            "a size is a number, auto, or whole arithmetic on other dims",
            raw.span,
            help="for example 2*n + 1, or n//2",
        )
    return None


def _number(ctx: Context, expr: Expr) -> int | None:
    if isinstance(expr, Number):
        return int(expr.value)
    if isinstance(expr, SizeOf):
        return ctx.dims.size(ctx.dims.dim_of(expr.letter))
    if not isinstance(expr, Pointwise):
        return None
    values = [_number(ctx, a) for a in expr.args]
    if any(v is None for v in values):
        return None
    numbers = [v for v in values if v is not None]
    if expr.op == "floordiv":
        return numbers[0] // numbers[1] if numbers[1] else None
    left, right = numbers[0], numbers[-1]
    return {"add": left + right, "sub": left - right, "mul": left * right, "neg": -left}[expr.op]


# --- constants, data --------------------------------------------------------------------------------------------


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
    if isinstance(old[0], tuple) or isinstance(value, list | tuple):
        ctx.planned("VS0329", "overriding an array", span) if isinstance(old[0], tuple) else ctx.error(
            "VS0329", f"the constant '{name}' is one number, but the override is an array", span
        )
        return None
    if isinstance(value, bool) != isinstance(old[0], bool) or not isinstance(value, int | float | bool):
        ctx.error("VS0329", f"the constant '{name}' cannot be set to {value!r}", span, label=f"it is {old[0]!r} here")
        return None
    if isinstance(value, bool):
        return value, "boolean"
    if old[1] == "real" or isinstance(value, float):
        return float(value), "real"
    return value, "integer"


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
            if kind.text not in ("real", "integer", "boolean"):
                ctx.error(
                    "VS0326",
                    f"'{kind.text}' is not a type of data",
                    kind.span,
                    help=did_you_mean(kind.text, ("real", "integer", "boolean")) or "types are real, integer, boolean",
                )
                continue
            dtype = kind.text
        symbol.dtype = dtype
        values = _values(ctx, options.node.get("in")) if options is not None else None
        if options is not None and (given := options.node.get("value")) is not None:
            result = literal(ctx, symbol, given, "value", dtype)
            default = result[0] if result is not None else None
        found[symbol.name] = Data(symbol.name, symbol.letters, dtype, default, values, key.span)
    return found


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
    column, shuffle = options.scalar("column"), options.scalar("shuffle")
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
    return Source(uri.text, column.text if column is not None else None, span, seed if isinstance(seed, int) else None)


def _draw(ctx: Context, options: _Entry) -> Draw | None:
    node = options.scalar("draw")
    assert node is not None
    call = parse_call(ctx, node)
    if call is None:
        return None
    if call.name not in LAWS:
        ctx.error(
            "VS0320",
            f"data cannot be drawn from '{call.name}'",
            call.name_span,
            label="unknown law",
            help=did_you_mean(call.name, LAWS) or f"the laws are {', '.join(LAWS)}",
        )
        return None
    names = LAWS[call.name]
    bound: dict[str, float] = {}
    for position, (keyword, value, span) in enumerate(call.arguments):
        name = keyword if keyword is not None else names[position] if position < len(names) else None
        if name is None or name not in names or name in bound:
            ctx.error(
                "VS0320",
                f"'{call.name}' takes {', '.join(names)}",
                span,
                label="one argument too many" if name is None else "",
            )
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
    defaults = dict(zip(names, _LAW_DEFAULTS.get(call.name, ())))
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


# --- params, functions ------------------------------------------------------------------------------------------


def declare_params(ctx: Context, node: Value | None) -> list[tuple[Scalar, Node, str]]:
    """Enter the params; their inits are checked once all names are known."""
    found: list[tuple[Scalar, Node, str]] = []
    for key, value in entries(node):
        head = parse_head(ctx, key)
        symbol = declare(ctx, head, "param") if head is not None else None
        if symbol is None:
            continue
        symbol.dtype = "real"
        if isinstance(value, Node):
            found.append((key, value, symbol.name))
        else:
            ctx.error(
                "VS0326",
                f"the param '{symbol.name}' needs its options",
                value.span,
                help=f"write {{init: {_text(value)}}}",
            )
    return found


def _text(value: Value) -> str:
    return value.text if isinstance(value, Scalar) else "0"


def read_params(ctx: Context, declared: list[tuple[Scalar, Node, str]]) -> dict[str, Param]:
    """The params with checked inits and domains."""
    found: dict[str, Param] = {}
    for key, node, name in declared:
        symbol = ctx.symbols[name]
        domain = _domain(ctx, node.get("domain"))
        init = node.get("init")
        if not isinstance(init, Scalar):
            at = init.span if init is not None else key.span
            ctx.error("VS0326", f"the param '{name}' needs an init", at, help="for example {init: 0}")
            continue
        raw = parse_expression(init, ctx.sink)
        if raw is None:
            continue
        if isinstance(raw, RawName) and raw.name in _INITIALISERS and raw.name not in ctx.symbols:
            ctx.planned(
                "VS0420",
                f"named initialisers ('{raw.name}')",
                raw.span,
                help="write an expression, for example 0.1*sin(index(i))",
            )
            continue
        env = Env(
            subject=f"the init of '{name}'",
            scope={x: x for x in symbol.letters},
            reads=frozenset({"constant", "data"}),
        )
        body = infer(ctx, raw, env)
        if isinstance(body, Unknown) or domain is None:
            continue
        if domain == "positive" and isinstance(body, Number) and body.value <= 0:
            ctx.error(
                "VS0327",
                f"the init of '{name}' is {init.text}, outside of its domain",
                init.span,
                label="the domain is positive",
                help="start at a number above 0",
            )
            continue
        found[name] = Param(name, symbol.letters, "real", as_real(body), domain, key.span)
    return found


def _domain(ctx: Context, node: Value | None) -> str | None:
    if node is None:
        return "real"
    text = node.text.strip() if isinstance(node, Scalar) else ""
    if text in ("real", "positive"):
        return text
    word = re.match(r"\w*", text)
    name = word.group() if word else ""
    if name in _PLANNED_DOMAINS:
        ctx.planned("VS0411", f"the domain '{name}'", node.span)
    else:
        ctx.error(
            "VS0321",
            f"unknown domain '{text}'",
            node.span,
            help=did_you_mean(name, ("real", "positive", *_PLANNED_DOMAINS)) or "domains are real and positive",
        )
    return None


def read_functions(ctx: Context, node: Value | None) -> dict[str, tuple[str, ...]]:
    """Declare the functions. Gives for each the functions that its body calls."""
    bodies: dict[str, Function] = {}
    for key, value in entries(node):
        head = parse_function_head(ctx, key)
        if head is None:
            continue
        name, formals, span = head
        if name in RESERVED:
            ctx.error(
                "VS0205", f"'{name}' is reserved: it is a built-in of the language", span, label="choose another name"
            )
            continue
        if name in ctx.symbols or name in ctx.functions or name in ctx.dims.letters:
            ctx.error("VS0204", f"'{name}' is declared twice", span, label="again here")
            continue
        body = parse_expression(value, ctx.sink) if isinstance(value, Scalar) else None
        if not isinstance(value, Scalar):
            ctx.error("VS0326", f"the body of '{name}' is an expression", value.span)
        function = Function(name, formals, body, span)
        inline.prepare(function)
        ctx.functions[name] = bodies[name] = function
    calls = {
        name: tuple(x.name for x in walk(f.body) if isinstance(x, RawCall) and x.name in bodies)
        if f.body is not None
        else ()
        for name, f in bodies.items()
    }
    for group in components(list(bodies), lambda n: calls[n]):
        if len(group) > 1 or group[0] in calls[group[0]]:
            first = bodies[group[0]]
            chain = " → ".join((*group, group[0]))
            ctx.error(
                "VS0222",
                f"the function '{first.name}' calls itself",
                first.span,
                label=chain,
                help="write a recurrence under 'define'",
            )
            for name in group:
                bodies[name].sound = False
                bodies[name].body = None
    return calls


def check_functions(ctx: Context, order: dict[str, tuple[str, ...]]) -> None:
    """Check each body where it is declared, callees first."""
    for group in components(list(order), lambda n: order[n]):
        for name in group:
            inline.check_body(ctx, ctx.functions[name], infer)
