"""The method of an implicit quantity, `newton(tol=1e-12)`: a call of the table of solvers with literal keywords."""

from __future__ import annotations

from typing import Any

from vspec.compiler.diagnostics.spans import Span
from vspec.compiler.diagnostics.suggest import did_you_mean
from vspec.compiler.language.context import Context, Env
from vspec.compiler.language.raw import Keyword, Raw, RawCall, RawName, RawNumber
from vspec.compiler.language.spec import MethodCall
from vspec.runtime.solvers import CONSTRAINED, DEFAULTS, SOLVERS, Solver


def read_method(ctx: Context, raw: RawCall, given: Keyword | None, constrained: bool, env: Env) -> MethodCall | None:
    """The method that a binder names, or its default; None after a mistake."""
    if given is None:
        solver = SOLVERS[CONSTRAINED if constrained else DEFAULTS[raw.name]]
        return MethodCall(solver.name, {k.name: k.default for k in solver.keywords}, raw.span)
    value = given.value
    if not isinstance(value, RawCall | RawName) or (isinstance(value, RawCall) and value.bound is not None):
        help = "for example method=newton(tol=1e-12)"
        ctx.error("VS0326", "a method is a name with its arguments", value.span, env, help=help)
        return None
    able = [s.name for s in SOLVERS.values() if raw.name in s.binders and s.constrained == constrained]
    found = SOLVERS.get(value.name)
    if found is None or raw.name not in found.binders:
        what = "no method" if found is None else f"a method for {' and '.join(found.binders)}"
        ctx.error(
            "VS0389",
            f"'{value.name}' is {what}, not one for '{raw.name}'"
            if found
            else f"'{raw.name}' has no method '{value.name}'",
            value.span,
            env,
            help=did_you_mean(value.name, able) or f"there are {', '.join(able)}",
        )
        return None
    if found.constrained != constrained:
        what = "is for problems with constraints" if found.constrained else "keeps no constraints"
        help = f"under constraints there is {', '.join(able)}"
        if found.constrained:
            help = f"without subject_to=[...] there is {', '.join(able)}"
        ctx.error("VS0389", f"the method '{value.name}' {what}", value.span, env, help=help)
        return None
    arguments = _arguments(ctx, found, value, env)
    return MethodCall(found.name, arguments, value.span) if arguments is not None else None


def _arguments(ctx: Context, solver: Solver, call: Raw, env: Env) -> dict[str, Any] | None:
    """The keywords with their values, defaults filled in; None after a mistake."""
    names = [k.name for k in solver.keywords]
    signature = f"its signature is {shown(solver)}"
    given: dict[str, Any] = {}
    pairs: list[tuple[str | None, Raw, Span]] = []
    if isinstance(call, RawCall):
        pairs = [(None, a, a.span) for a in call.args] + [(k.name, k.value, k.span) for k in call.keywords]
    sound = True
    for position, (name, value, span) in enumerate(pairs):
        if name is None and position < len(names):
            name = names[position]
        if name is None or name not in names or name in given:
            sound = False
            most = f"{len(names)} argument{'s' if len(names) > 1 else ''}"
            what = f"has no keyword '{name}'" if name is not None else f"takes at most {most}"
            code = "VS0312" if name is not None else "VS0314"
            if name in given:
                what, code = f"has '{name}' twice", "VS0314"
            near = did_you_mean(name, names) if name is not None and name not in given else ""
            if name in ("steps", "maxiter", "max_steps"):
                near = "the number of steps is an option of the binder: steps=100"
            ctx.error(code, f"'{solver.name}' {what}", span, env, help=[near, signature])
            continue
        want = solver.keywords[names.index(name)]
        number = value.value if isinstance(value, RawNumber) and not isinstance(value.value, complex) else None
        if want.type is float and isinstance(number, int) and not isinstance(number, bool):
            number = float(number)
        if number is None or not isinstance(number, want.type) or isinstance(number, bool) or number < 0:
            sound = False
            kind = "a positive number" if want.type is float else "a whole number"
            ctx.error(
                "VS0313",
                f"'{name}' of '{solver.name}' is {kind}, written as a literal",
                span,
                env,
                label=want.doc,
                help=signature,
            )
            continue
        given[name] = number
    return {k.name: given.get(k.name, k.default) for k in solver.keywords} if sound else None


def shown(solver: Solver) -> str:
    """The signature: `anderson(tol, memory=5, damping=1.0)`."""
    return (
        f"{solver.name}({', '.join(k.name if k.default is None else f'{k.name}={k.default}' for k in solver.keywords)})"
    )
