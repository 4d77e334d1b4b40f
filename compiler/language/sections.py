"""The sections `params` and `functions`."""

from __future__ import annotations

from collections.abc import Mapping

from vspec.compiler.language import inline
from vspec.compiler.language.closed_forms import build
from vspec.compiler.language.context import Context, Env, Function, Unknown
from vspec.compiler.language.domains import number_of, outside, read_domain
from vspec.compiler.language.entries import entries
from vspec.compiler.language.externs import build_extern, extern_of
from vspec.compiler.language.graph import components
from vspec.compiler.language.heads import declare, parse_head
from vspec.compiler.language.initialisers import initialiser
from vspec.compiler.language.networks import network_call, read_network
from vspec.compiler.language.operators import RESERVED
from vspec.compiler.language.parse import parse_expression
from vspec.compiler.language.raw import Raw, RawCall, RawName, walk
from vspec.compiler.language.signatures import parse_signature
from vspec.compiler.language.spec import Param
from vspec.compiler.language.substitute import elements
from vspec.compiler.language.types import as_real
from vspec.compiler.source.document import Mapping as Node
from vspec.compiler.source.document import Scalar, Value


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
            kind = value.get("type")
            if isinstance(kind, Scalar) and kind.text == "complex":
                symbol.dtype = "complex"
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
        domain = read_domain(ctx, node.get("domain"), symbol)
        kind = node.get("type")
        if isinstance(kind, Scalar) and kind.text not in ("real", "complex"):
            ctx.planned("VS0411", f"params of type {kind.text}", kind.span)
        init = node.get("init")
        if not isinstance(init, Scalar):
            at = init.span if init is not None else key.span
            ctx.error("VS0326", f"the param '{name}' needs an init", at, help="for example {init: 0}")
            continue
        raw = parse_expression(init, ctx.sink)
        if raw is None:
            continue
        env = Env(
            subject=f"the init of '{name}'",
            scope={x: x for x in symbol.letters},
            reads=frozenset({"constant", "data", "param"}),
        )
        body = initialiser(ctx, raw, symbol, env) or ctx.infer(raw, env)
        if isinstance(body, Unknown) or domain is None:
            continue
        if domain.kind != "real" and symbol.dtype == "complex":
            option = node.key("domain")
            ctx.error(
                "VS0353",
                f"the param '{name}' is complex and has no domain",
                option.span if option is not None else key.span,
                help="write it as amplitude*exp(1j*phase) with a positive and a real param",
            )
            continue
        if body.dtype == "complex" and symbol.dtype == "real":
            ctx.error(
                "VS0352",
                f"the init of '{name}' is complex, but the param is real",
                body.span,
                label="this is complex",
                help="give the param 'type: complex'",
            )
            continue
        number = number_of(body)
        why = outside(domain, number) if number is not None else ""
        if why:
            start = "start at a number above 0" if domain.kind == "positive" else "start inside of the domain"
            message = f"the init of '{name}' is {init.text}, outside of its domain"
            ctx.error("VS0327", message, init.span, label=why, help=start)
            continue
        found[name] = Param(name, symbol.letters, symbol.dtype or "real", as_real(body), domain, key.span)
    return {} if _circle(ctx, found) else found


def _circle(ctx: Context, params: Mapping[str, Param]) -> bool:
    """Whether inits read each other in a circle; records the mistake."""
    hidden = {d.name: d.body for d in ctx.hidden}
    reads: dict[str, tuple[str, ...]] = {}
    for name, param in params.items():
        seen: dict[str, None] = {}
        stack = [param.init]
        while stack:
            for e in elements(stack.pop()):
                if e.name in hidden and e.name not in seen:
                    stack.append(hidden[e.name])
                seen[e.name] = None
        reads[name] = tuple(n for n in seen if n in params)
    found = False
    for group in components(list(params), lambda n: reads[n]):
        if len(group) > 1 or group[0] in reads[group[0]]:
            found = True
            names = [min(group, key=list(params).index)]
            while len(names) < 2 or names[-1] != names[0]:
                names.append(next(n for n in reads[names[-1]] if n in group and (n not in names or n == names[0])))
            ctx.error(
                "VS0399",
                f"the init of '{names[0]}' reads itself"
                if len(names) == 2
                else f"inits read each other in a circle: {' → '.join(names)}",
                params[names[0]].init.span,
                label="not known before it is known",
            )
    return found


def read_functions(ctx: Context, node: Value | None) -> dict[str, tuple[str, ...]]:
    """Declare the functions. Gives for each the functions that its body calls."""
    bodies: dict[str, Function] = {}
    externs: dict[str, Scalar] = {}
    for key, value in entries(node):
        head = parse_signature(ctx, key)
        if head is None:
            continue
        name, span = head.name, head.span
        if name in RESERVED:
            ctx.error(
                "VS0205", f"'{name}' is reserved: it is a built-in of the language", span, label="choose another name"
            )
            continue
        if name in ctx.symbols or name in ctx.functions or name in ctx.dims.letters:
            ctx.error("VS0204", f"'{name}' is declared twice", span, label="again here")
            continue
        body = parse_expression(value, ctx.sink) if isinstance(value, Scalar) else None
        place = extern_of(value)
        if place is not None:
            externs[name] = place
        elif not isinstance(value, Scalar):
            ctx.error("VS0326", f"the body of '{name}' is an expression", value.span)
        function = Function(name, head.formals, body, span, head.results)
        inline.prepare(function)
        ctx.functions[name] = bodies[name] = function
        if head.numbered is not None and place is None and network_call(body) is None and not _unknown_call(ctx, body):
            ctx.error(
                "VS0257",
                f"only a network has whole numbers among the axes of its result, and '{name}' is a formula",
                head.numbered,
                help="name the axis by a letter of a dim of that size",
            )
            function.body = None
    calls = {name: _named(f, bodies) for name, f in bodies.items()}
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
    for name, place in externs.items():
        if not build_extern(ctx, bodies[name], place):
            bodies[name].sound = False
            ctx.opaque.add(name)
        inline.prepare(bodies[name])
    for function in list(bodies.values()):
        made = network_call(function.body)
        if made is None:
            continue
        function.network = read_network(ctx, function, made)
        if function.network is None or not build(ctx, function):
            function.network, function.body = None, None
            function.sound = False
            ctx.opaque.add(function.name)
    return calls


def _unknown_call(ctx: Context, body: Raw | None) -> bool:
    """Whether a body calls what is nothing at all, which is the mistake then."""
    return body is None or (isinstance(body, RawCall) and body.name not in RESERVED and body.name not in ctx.functions)


def _named(function: Function, among: Mapping[str, Function]) -> tuple[str, ...]:
    """The functions that a body calls or passes on; a function that is passed may be called."""
    own = {f.name for f in function.formals}
    nodes = walk(function.body) if function.body is not None else ()
    return tuple(x.name for x in nodes if isinstance(x, RawCall | RawName) and x.name in among and x.name not in own)


def check_functions(ctx: Context, order: dict[str, tuple[str, ...]]) -> None:
    """Check each body where it is declared, callees first."""
    for group in components(list(order), lambda n: order[n]):
        for name in group:
            inline.check_body(ctx, ctx.functions[name])
