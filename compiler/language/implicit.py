"""Implicit quantities: `root[s[u]](...)`, `fixed_point[q[i]](...)`, `argmin[y[k]](...)` with their options as keywords.

The unknown is a formal argument of the bodies: an element of a name of its own, with a letter for each axis. Letters of the
surroundings that occur inside are those of a batch of problems.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from vspec.compiler.diagnostics.spans import Span
from vspec.compiler.diagnostics.suggest import did_you_mean
from vspec.compiler.language.constraints import relations_of
from vspec.compiler.language.context import Actual, Context, Env, Unknown
from vspec.compiler.language.expr import Affine, Element, Expr, Implicit, Number, Problem, Sought
from vspec.compiler.language.heads import free_name
from vspec.compiler.language.raw import Keyword, Raw, RawCall, RawElement, RawList, RawName, RawNumber, walk
from vspec.compiler.language.solvers import read_method
from vspec.compiler.language.spec import Definition, MethodCall, Relation
from vspec.compiler.language.subscripts import letter_of, use_letter
from vspec.compiler.language.substitute import elements
from vspec.compiler.language.types import a_dtype, as_real
from vspec.runtime.solvers import EXTREMES, ROOTS, SOLVERS

OPTIONS = ("start", "method", "steps", "gradient", "subject_to")
GRADIENTS = ("implicit", "direct", "iterated", "krylov", "unrolled", "none")


class _Unknown(NamedTuple):
    """An unknown as it is written: its name, its letters as they are in the checked tree, where it stands."""

    label: str
    letters: tuple[str, ...]
    span: Span


def is_implicit(ctx: Context, raw: RawCall, env: Env) -> bool:
    """Whether a call binds unknowns: always for `root` and `fixed_point`; for `argmin` and `argmax` if what is bound is an
    element or a name that the body reads as a value, or if there are options that no reduction has."""
    if raw.name in ROOTS:
        return True
    if raw.name not in EXTREMES or raw.bound is None:
        return False
    return any(word != "by" for word, *_ in raw.keywords) or any(_is_unknown(ctx, b, raw, env) for b in raw.bound)


def _is_unknown(ctx: Context, bound: Raw, raw: RawCall, env: Env) -> bool:
    if not isinstance(bound, RawName):
        return True
    values = {n.name for a in raw.args for n in walk(a) if isinstance(n, RawName)}
    return letter_of(ctx, bound, env) is None and bound.name not in ctx.symbols and bound.name in values


def implicit(ctx: Context, raw: RawCall, env: Env) -> Expr:
    """The implicit quantity, or an element of a hidden definition that is it where it stands inside an expression."""
    whole = env.whole is raw
    names, position = (env.names, env.position) if whole else (1, 0)
    if raw.subscripts is not None:
        help = "its indices are those of its unknown; give it a name under 'define' to read it elsewhere"
        return ctx.error("VS0206", f"the result of '{raw.name}' has no subscripts", raw.span, env, help=help)
    unknowns = _unknowns(ctx, raw, env)
    if unknowns is None:
        return Unknown(span=raw.span)
    if len(unknowns) != names:
        return _wrong_names(ctx, raw, len(unknowns), names if whole else 0, env)
    problem = ctx.problems.get(id(raw)) if names > 1 else _problem(ctx, raw, unknowns, env)
    if problem is None:
        problem = ctx.problems[id(raw)] = _problem(ctx, raw, unknowns, env)
    if isinstance(problem, Unknown):
        return problem
    axes = (*problem.batch, *problem.sought[position].letters)
    result = Implicit(span=raw.span, axes=axes, dtype="real", problem=problem, position=position)
    if whole:
        return result
    name = ctx.hidden_name(raw.name)
    ctx.declare_hidden(Definition(name, axes, result, "real", raw.span, hidden=True))
    return Element(span=raw.span, axes=axes, dtype="real", name=name, subscripts=tuple(Affine(x) for x in axes))


def _wrong_names(ctx: Context, raw: RawCall, unknowns: int, names: int, env: Env) -> Unknown:
    if names == 0:
        message = f"'{raw.name}' with several unknowns is all of the right side of a definition"
    else:
        had = "one name" if names == 1 else f"{names} names"
        message = f"'{raw.name}' has {unknowns} unknown{'s' if unknowns > 1 else ''}, and the left side has {had}"
    return ctx.error(
        "VS0385",
        message,
        raw.name_span,
        env,
        help=f"one name for each unknown: u[i], v[j]: {raw.name}[a[i], b[j]](...)",
    )


# --- unknowns -----------------------------------------------------------------------------------------------------


def _unknowns(ctx: Context, raw: RawCall, env: Env) -> list[_Unknown] | None:
    """The unknowns that are bound; None after a mistake."""
    if not raw.bound:
        ctx.error(
            "VS0386",
            f"'{raw.name}' needs the unknown that it finds",
            raw.name_span,
            env,
            label="no unknown here",
            help=f"write {raw.name}[x](...), or {raw.name}[x[i]](...) for one with an axis",
        )
        return None
    found: list[_Unknown] = []
    for bound in raw.bound:
        unknown = _unknown(ctx, raw, bound, env)
        if unknown is None or not _new(ctx, unknown, found, env):
            return None
        found.append(unknown)
    return found


def _unknown(ctx: Context, raw: RawCall, bound: Raw, env: Env) -> _Unknown | None:
    if isinstance(bound, RawName) and letter_of(ctx, bound, env) is None:
        return _Unknown(bound.name, (), bound.span)
    if not isinstance(bound, RawElement):
        what = f"'{bound.name}' is an index" if isinstance(bound, RawName) else "this is none"
        label = "an index" if isinstance(bound, RawName) else "not a name"
        i = bound.name if isinstance(bound, RawName) else "i"
        ctx.error(
            "VS0386",
            f"'{raw.name}' binds an unknown, and {what}",
            bound.span,
            env,
            label=label,
            help=f"write {raw.name}[x[{i}]](...): a name that is new, with its indices",
        )
        return None
    letters: list[str] = []
    for s in bound.subscripts:
        if not isinstance(s, RawName) or letter_of(ctx, s, env) is None:
            help = "for example s[u]; which elements the bodies read is up to them"
            if isinstance(s, RawName):
                help = ctx.near(s.name, ctx.dims.letters) or f"declare it under 'dims': {s.name}: auto"
            ctx.error(
                "VS0386",
                f"the axes of the unknown '{bound.name}' are indices",
                s.span,
                env,
                label="no index",
                help=help,
            )
            return None
        if s.name in env.times:
            ctx.error(
                "VS0386",
                f"the unknown '{bound.name}' has the index '{s.name}', which is one number in this step",
                s.span,
                env,
                help=f"leave it out: there is one unknown for each '{s.name}'",
            )
            return None
        letter = use_letter(ctx, s.name, s.span, env)
        if letter is None:
            return None
        if letter in letters:
            help = "a second index over the same dim needs a letter of its own: 'i, j: ...' under 'dims'"
            ctx.error("VS0386", f"the unknown '{bound.name}' has the index '{s.name}' twice", s.span, env, help=help)
            return None
        letters.append(letter)
    return _Unknown(bound.name, tuple(letters), bound.name_span)


def _new(ctx: Context, unknown: _Unknown, others: list[_Unknown], env: Env) -> bool:
    """Whether an unknown has a name that nothing else has here."""
    name = unknown.label
    if not free_name(ctx, name, unknown.span):
        return False
    what = ""
    if any(u.label == name for u in others):
        what = "bound twice"
    elif name in env.formals:
        what = "bound outside already" if env.formals[name].unknown else "an argument of the function already"
    elif name in ctx.symbols and not ctx.symbols[name].name.startswith("_"):
        what = f"declared already, line {ctx.symbols[name].span.line}"
    elif name in ctx.functions or name in env.callees:
        what = "a function already"
    elif name in ctx.dims.letters:
        what = "an index already"
    if what:
        help = "an unknown has a name of its own, which is bound inside only"
        ctx.error("VS0386", f"the unknown '{name}' is {what}", unknown.span, env, label="not a new name", help=help)
    return not what


# --- bodies -------------------------------------------------------------------------------------------------------


def _problem(ctx: Context, raw: RawCall, unknowns: list[_Unknown], env: Env) -> Problem | Unknown:
    """The problem with its bodies checked where the unknowns are arguments."""
    formals = dict(env.formals)
    names: list[str] = []
    for unknown in unknowns:
        names.append(ctx.hidden_name(unknown.label))
        slots = tuple((ctx.dims.fresh(ctx.dims.dim_of(x)), ctx.dims.dim_of(x)) for x in unknown.letters)
        axes = tuple(letter for letter, _ in slots)
        subscripts = tuple(Affine(x) for x in axes)
        element = Element(span=unknown.span, axes=axes, dtype="real", name=names[-1], subscripts=subscripts)
        formals[unknown.label] = Actual(len(axes), element, slots, frozenset(axes), True)
    # No binder inside takes a letter of the surroundings: along those there is a problem for each value.
    avoid = env.avoid | frozenset(env.scope.values())
    inside = replace(env, formals=formals, slices=None, avoid=avoid, whole=None, names=1, position=0)
    before = len(ctx.hidden)
    options = _Options(ctx, raw, env, inside)
    wanted = 1 if raw.name in EXTREMES else len(unknowns)
    if len(raw.args) != wanted:
        return _wrong_bodies(ctx, raw, wanted, env)
    found = [ctx.infer(body, inside) for body in raw.args]
    own = {x for unknown in unknowns for x in unknown.letters}
    bodies: list[Expr] = []
    for k, body in enumerate(found):
        checked = _body(ctx, raw, unknowns, k, body, env)
        if checked is not None:
            bodies.append(checked)
    starts = options.starts(unknowns)
    relations = options.relations()
    method = options.method("subject_to" in options.given)
    steps, gradient = options.steps(), options.gradient(method)
    if (
        len(bodies) < wanted
        or starts is None
        or relations is None
        or method is None
        or steps is None
        or gradient is None
    ):
        return Unknown(span=raw.span)
    inner = _carried(ctx, before, names)
    batch = dict.fromkeys(x for e in (*bodies, *starts) for x in e.axes if x not in own)
    batch |= dict.fromkeys(
        x for r in relations for x in (*r.left.axes, *r.right.axes) if x in env.scope.values() and x not in own
    )
    if any(isinstance(e, Unknown) for e in (*bodies, *starts)):
        return Unknown(span=raw.span, axes=(*batch, *unknowns[0].letters), exact=len(unknowns) == 1)
    if not _bind(ctx, raw, unknowns, relations, {*names, *(d.name for d in inner)}, env):
        return Unknown(span=raw.span)
    read = {e.name for x in (*bodies, *(d.body for d in inner)) for e in elements(x)}
    read |= {e.name for r in relations for x in (r.left, r.right) for e in elements(x)}
    for unknown, name in zip(unknowns, names):
        if name not in read:
            help = f"'{raw.name}' needs an expression of '{unknown.label}'"
            message = f"nothing here depends on the unknown '{unknown.label}'"
            return ctx.error("VS0387", message, unknown.span, env, label="never read", help=help)
    sought = tuple(Sought(u.label, name, u.letters, start) for u, name, start in zip(unknowns, names, starts))
    steps = steps or SOLVERS[method.name].steps
    return Problem(raw.name, sought, tuple(bodies), relations, inner, method, steps, gradient, tuple(batch), raw.span)


def _carried(ctx: Context, before: int, names: list[str]) -> tuple[Definition, ...]:
    """The hidden definitions made since then that read an unknown, directly or not; the others stay where they are."""
    made = ctx.hidden[before:]
    del ctx.hidden[before:]
    carried = set(names)
    inner: list[Definition] = []
    for definition in made:
        if any(e.name in carried for e in elements(definition.body)):
            carried.add(definition.name)
            inner.append(definition)
        else:
            ctx.hidden.append(definition)
    return tuple(inner)


def _bind(
    ctx: Context, raw: RawCall, unknowns: list[_Unknown], relations: tuple[Relation, ...], inner: set[str], env: Env
) -> bool:
    """Whether every constraint depends on an unknown; `inner` are the names of the unknowns and of what reads them."""
    shown = "the unknown " if len(unknowns) == 1 else "any of the unknowns "
    shown += ", ".join(f"'{u.label}'" for u in unknowns)
    loose = [r for r in relations if not any(e.name in inner for x in (r.left, r.right) for e in elements(x))]
    for r in loose:
        ctx.error(
            "VS0392",
            f"this constraint of '{raw.name}' does not depend on {shown}",
            r.span,
            env,
            label="holds or fails whatever is chosen",
            help="what data and params must satisfy stands under 'constraints' of the spec",
        )
    return not loose


def _wrong_bodies(ctx: Context, raw: RawCall, wanted: int, env: Env) -> Unknown:
    given = len(raw.args)
    if raw.name in EXTREMES:
        what, help = "one expression", "several goals are one weighted sum of them"
    elif wanted == 1:
        what, help = "one expression", f"write {raw.name}[x[i]](...), with the index i free in the expression"
    else:
        what, help = f"{wanted} expressions, one for each unknown", f"for example {raw.name}[a, b](a + b - 1, a - b)"
    message = f"'{raw.name}' takes {what}, but {given} {'is' if given == 1 else 'are'} given"
    return ctx.error("VS0387", message, raw.span, env, help=help)


def _body(ctx: Context, raw: RawCall, unknowns: list[_Unknown], k: int, body: Expr, env: Env) -> Expr | None:
    """A body as a real number with the letters that it must have; None after a mistake."""
    if isinstance(body, Unknown) and not body.exact:
        return None
    least = raw.name in EXTREMES
    what = f"what '{raw.name}' makes {'small' if raw.name == 'argmin' else 'large'}" if least else "the equation"
    if raw.name == "fixed_point":
        what = "the map"
    own = () if least else unknowns[k].letters
    foreign = next((x for u in unknowns for x in u.letters if x in body.axes and x not in own), None)
    if foreign is not None:
        label = next(u.label for u in unknowns if foreign in u.letters)
        help = f"sum over it: sum[{_written(env, foreign)}](...)"
        if not least:
            help = f"the expression number {k + 1} has the indices of '{unknowns[k].label}'"
        ctx.error(
            "VS0387",
            f"{what} has the index '{_written(env, foreign)}' of the unknown '{label}'",
            body.span,
            env,
            label=f"'{_written(env, foreign)}' is free here",
            help=help,
        )
        return None
    lacking = next((x for x in own if x not in body.axes), None)
    if lacking is not None:
        label = unknowns[k].label
        ctx.error(
            "VS0387",
            f"{what} lacks the index '{_written(env, lacking)}' of the unknown '{label}'",
            body.span,
            env,
            label="one expression for several unknown numbers",
            help=f"there is one for each element of '{label}'",
        )
        return None
    if isinstance(body, Unknown):
        return body
    return _real(ctx, body, what, env)


def _real(ctx: Context, body: Expr, what: str, env: Env) -> Expr | None:
    if body.dtype in ("boolean", "complex"):
        help = "unknowns are real: write two equations, for re(...) and im(...)"
        if body.dtype == "boolean":
            help = "write a == b as a - b"
        ctx.error(
            "VS0390", f"{what} is {a_dtype(body.dtype)}, not a real number", body.span, env, label="not real", help=help
        )
        return None
    return as_real(body)


def _written(env: Env, letter: str) -> str:
    """A letter as the source writes it."""
    return next((source for source, own in env.scope.items() if own == letter), letter)


# --- options ------------------------------------------------------------------------------------------------------


class _Options:
    """The keywords of a binder, each read once; mistakes give None."""

    def __init__(self, ctx: Context, raw: RawCall, env: Env, inside: Env) -> None:
        self.ctx, self.raw, self.env, self.inside = ctx, raw, env, inside
        self.given: dict[str, Keyword] = {}
        self.sound = True
        known = OPTIONS if raw.name in EXTREMES else OPTIONS[:-1]
        for keyword in raw.keywords:
            if keyword.name not in known:
                self.sound = False
                help = did_you_mean(keyword.name, known) or f"there are {', '.join(known)}"
                if keyword.name in OPTIONS:
                    help = "a root under inequalities is a point of 'argmin' with subject_to"
                if keyword.name in ("tol", "atol", "rtol", "maxiter", "max_steps"):
                    help = "steps=100 limits the steps" if "m" in keyword.name else "write method=newton(tol=1e-12)"
                ctx.error("VS0388", f"'{raw.name}' has no option '{keyword.name}'", keyword.span, env, help=help)
            elif keyword.name in self.given:
                self.sound = False
                ctx.error("VS0388", f"'{keyword.name}' is given twice", keyword.span, env)
            else:
                self.given[keyword.name] = keyword

    def starts(self, unknowns: list[_Unknown]) -> list[Expr] | None:
        """Where the search starts: an expression per unknown; 0 where nothing is said."""
        keyword = self.given.get("start")
        if keyword is None:
            return [Number(span=self.raw.span, dtype="real", value=0.0) for _ in unknowns]
        items = keyword.value.items if isinstance(keyword.value, RawList) else (keyword.value,)
        if len(items) != len(unknowns):
            help = "write start=[...], with one expression for each" if len(unknowns) > 1 else "write start=..."
            count = f"{len(items)} expression{'s' if len(items) != 1 else ''}"
            message = f"'start' has {count} for {len(unknowns)} unknown{'s' if len(unknowns) > 1 else ''}"
            self.ctx.error("VS0388", message, keyword.span, self.env, help=help)
            return None
        found: list[Expr] = []
        env = replace(self.env, slices=None, whole=None, names=1, position=0)
        for item, unknown in zip(items, unknowns):
            start = self.ctx.infer(item, env)
            if isinstance(start, Unknown):
                if not start.exact:
                    return None
                found.append(start)
                continue
            other = next((x for u in unknowns for x in u.letters if x in start.axes and x not in unknown.letters), None)
            if other is not None:
                shown = _written(self.env, other)
                message = f"the start of '{unknown.label}' has the index '{shown}', which '{unknown.label}' lacks"
                self.ctx.error("VS0388", message, start.span, self.env, label=f"'{shown}' is free here")
                return None
            real = _real(self.ctx, start, "the start", self.env)
            if real is None:
                return None
            found.append(real)
        return found

    def method(self, constrained: bool) -> MethodCall | None:
        keyword = self.given.get("method")
        return read_method(self.ctx, self.raw, keyword, constrained, self.env) if self.sound else None

    def steps(self) -> int | None:
        """The greatest number of steps; 0 where nothing is said."""
        keyword = self.given.get("steps")
        if keyword is None:
            return 0
        value = keyword.value
        if (
            isinstance(value, RawNumber)
            and isinstance(value.value, int)
            and value.value is not True
            and value.value >= 1
        ):
            return value.value
        message = "'steps' is the greatest number of steps, a whole number"
        self.ctx.error("VS0388", message, keyword.span, self.env, label="at least 1", help="for example steps=100")
        return None

    def gradient(self, method: MethodCall | None) -> str | None:
        """How derivatives pass through."""
        keyword = self.given.get("gradient")
        if keyword is None:
            return "implicit"
        value = keyword.value
        if not isinstance(value, RawName) or value.name not in GRADIENTS:
            near = did_you_mean(value.name, GRADIENTS) if isinstance(value, RawName) else ""
            self.ctx.error(
                "VS0388",
                f"'gradient' says how derivatives pass through: {', '.join(GRADIENTS[:-1])} or {GRADIENTS[-1]}",
                keyword.span,
                self.env,
                help=near or "implicit, the default, is the implicit function theorem",
            )
            return None
        if value.name == "unrolled" and method is not None and not SOLVERS[method.name].unrolls:
            able = ", ".join(s.name for s in SOLVERS.values() if s.unrolls and self.raw.name in s.binders)
            message = f"the steps of '{method.name}' cannot be differentiated"
            help = f"gradient=implicit needs no steps; unrolled goes with {able}"
            if "subject_to" in self.given:
                help = "gradient=implicit needs no steps; under constraints there is no other way"
            self.ctx.error("VS0388", message, keyword.span, self.env, help=help)
            return None
        if (
            value.name == "iterated"
            and method is not None
            and (self.raw.name != "fixed_point" or SOLVERS[method.name].matrix)
        ):
            able = " and ".join(s.name for s in SOLVERS.values() if not s.matrix)
            message = f"'{method.name}' has no map that could be iterated for derivatives"
            if self.raw.name != "fixed_point":
                message = f"a derivative of '{self.raw.name}' is no fixed point"
            help = f"gradient=iterated is for fixed_point with {able}; gradient=krylov asks for products, too"
            self.ctx.error("VS0388", message, keyword.span, self.env, help=help)
            return None
        return value.name

    def relations(self) -> tuple[Relation, ...] | None:
        """The constraints; indices that are not of the surroundings say that one holds for every value."""
        keyword = self.given.get("subject_to")
        if keyword is None:
            return ()
        items = keyword.value.items if isinstance(keyword.value, RawList) else (keyword.value,)
        if not items:
            help = "leave it out, or write subject_to=[a >= 0, ...]"
            self.ctx.error("VS0392", "'subject_to' has no constraint", keyword.span, self.env, help=help)
            return None
        inside = replace(self.inside, open=True)
        found = [relations_of(self.ctx, item, f"the constraint of {self.env.subject}", inside) for item in items]
        relations = [r for some in found if some is not None for r in some]
        return tuple(relations) if all(some is not None for some in found) else None
