"""The entries of methods that follow the form of an objective, and what is said where the form has none."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from vspec.compiler.calculus.derive import gradients
from vspec.compiler.calculus.structure.blocks import Domain, NoMinimumError, Update, block
from vspec.compiler.calculus.structure.forms import Facts
from vspec.compiler.calculus.structure.pointwise import Bounds
from vspec.compiler.calculus.structure.proximal import NoProxError, proximal
from vspec.compiler.calculus.structure.scaled import scaling_entries
from vspec.compiler.calculus.structure.summands import Summand
from vspec.compiler.calculus.structure.wording import shown
from vspec.compiler.diagnostics.diagnostic import Diagnostic, SpecError
from vspec.compiler.diagnostics.spans import Span
from vspec.compiler.graph.builder import is_number
from vspec.compiler.graph.graph import Entry, Result
from vspec.compiler.graph.kernel import num, slot
from vspec.compiler.graph.node import Node
from vspec.compiler.language.expr import Number
from vspec.compiler.language.spec import MethodCall, Param, Spec, Stage, labelled

if TYPE_CHECKING:
    from vspec.compiler.calculus.needs import Request

LENGTH = "lr"

_OTHERWISE = "gradient methods need no such form: lbfgs(), adam(lr=1e-3)"


def facts(spec: Spec) -> Facts:
    """What a spec says of signs: domains for sure, the values of constants until a run changes them."""
    given = {name for name, p in spec.params.items() if p.domain.kind == "positive"}
    given |= {name for name, d in spec.data.items() if d.values and all(v > 0 for v in d.values)}
    likely = {name for name, c in spec.constants.items() if _all_positive(c.value)}
    return Facts(frozenset(given), frozenset(likely))


def _all_positive(value: object) -> bool:
    if isinstance(value, tuple | list):
        return bool(value) and all(_all_positive(v) for v in value)
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0


def block_entries(r: Request) -> None:
    """For each block of each stage that solves the request's objective by blocks: the values that minimise it."""
    for stage, call in _calls(r, "block_coordinate"):
        for names in blocks_of(call, stage):
            _block_entry(r, stage, call, names)
        scaling_entries(r, stage, call, blocks_of(call, stage))


def _calls(r: Request, method: str) -> Iterator[tuple[Stage, MethodCall]]:
    """The stages that share the request and call a method."""
    for _, stage in labelled(r.spec.plan):
        if stage.names == r.stage.names and stage.over == r.stage.over:
            yield from ((stage, call) for call in stage.methods if call.name == method)


def blocks_of(call: MethodCall, stage: Stage) -> tuple[tuple[str, ...], ...]:
    """The blocks of a call: as it lists them, else one for each param that it moves."""
    given: tuple[tuple[str, ...], ...] = tuple(call.arguments["blocks"])
    return given or tuple((p,) for p in call.over or stage.over)


def block_role(kind: str, names: Sequence[str]) -> str:
    """The role of a block's entry in the plan."""
    return f"{kind}.{'.'.join(names)}"


def _block_entry(r: Request, stage: Stage, call: MethodCall, names: tuple[str, ...]) -> None:
    role = block_role(stage.kind, names)
    if role in r.made:
        return
    low, b = r.low, r.low.b
    params = [r.spec.params[p] for p in names]
    with b.at(r.origin("part")):
        domains = [_domain(r, p, call, "VS0349") for p in params]
        value = r.value if stage.kind == "minimize" else b.neg(r.value)
        try:
            found = block(b, value, [low.values[p] for p in names], domains, facts(r.spec))
        except NoMinimumError as e:
            raise SpecError([_no_minimum(r, call, names, e)]) from None
        results = tuple(Result((p.name,), node) for p, node in zip(params, found.values, strict=True))
    listed = ", ".join(_element(p) for p in params)
    low.forms.append((f"the best [{', '.join(names)}] for {r.name}", stage.span.line, found.said))
    what = "smallest" if stage.kind == "minimize" else "largest"
    doc = f"The {listed} at which {r.name} is {what}, all else given{_how(found)}."
    r.made[role] = Entry(f"{r.base}_block_{'_'.join(names)}{r.tag}", "update", results, r.name, doc)
    assume(r, [c.node for c in found.conditions])


def _how(found: Update) -> str:
    words = {"element": "", "system": ": a linear system", "sweep": ": one sweep, element after element"}
    return next((words[h] for h in found.how if words[h]), "")


def proximal_entries(r: Request) -> None:
    """The smooth part with its gradient, and the proximal map of the other terms."""
    if "prox" in r.made:
        return
    low, b = r.low, r.low.b
    stage, call = next(_calls(r, "proximal_gradient"))
    xs = [low.values[p.name] for p in r.params]
    if not low.lengths:
        low.lengths.append(b.input(LENGTH, "length", (), "real"))
    with b.at(r.origin("part")):
        domains = [_domain(r, p, call, "VS0348") for p in r.params]
        value = r.value if stage.kind == "minimize" else b.neg(r.value)
        try:
            found = proximal(b, value, xs, low.lengths[0], domains, facts(r.spec))
        except NoProxError as e:
            raise SpecError([_no_prox(r, call, e)]) from None
        smooth = found.smooth if stage.kind == "minimize" else b.neg(found.smooth)
        slopes = gradients(b, smooth, xs)
    pairs = list(zip(r.params, slopes, strict=True))
    one = len(pairs) == 1
    both = [Result((0,), smooth), *(Result((1,) if one else (1, p.name), g) for p, g in pairs)]
    r.made["smooth"] = Entry(
        f"{r.base}_smooth{r.tag}", "value_and_gradient", tuple(both), r.name,
        f"The smooth terms of {r.name} and their gradient by {r.wrt}.",
    )  # fmt: skip
    maps = [(p, m) for p, m in zip(r.params, found.maps, strict=True) if m is not None]
    said = tuple(f"{_element(p)} = {shown(m)}" for p, m in maps) or ("the identity: all terms are smooth",)
    low.forms.append((f"the proximal map of {r.name}", stage.span.line, said))
    results = tuple(Result((p.name,), m) for p, m in maps)
    if results:
        terms = " + ".join(written(s) for group in found.terms for s in group)
        of = f" of {terms}" if terms and len(terms) <= 60 else ""
        doc = f"The proximal map{of} at the given point, for the step length {LENGTH}."
        r.made["prox"] = Entry(f"{r.base}_prox{r.tag}", "update", results, r.name, doc)
    assume(r, [c.node for c in found.conditions])


def assume(r: Request, nodes: Sequence[Node]) -> None:
    """What must not be negative for a formula to hold, to be looked at before it is used."""
    known = r.made.get("assume")
    results = {x.path: x for x in known.results} if known is not None else {}
    b = r.low.b
    for node in nodes:
        holds = b.map(("ge", slot(0), num(0)), [node], "boolean")
        if holds.axes:
            holds = b.reduce("all", holds, holds.names)
        path = (f"{shown(node)} >= 0",)
        results.setdefault(path, Result(path, holds))
    if results and (known is None or len(results) > len(known.results)):
        doc = f"Whether the formulas that were derived from {r.name} hold."
        r.made["assume"] = Entry(f"{r.base}_assumed{r.tag}", "assume", tuple(results.values()), r.name, doc)


def _domain(r: Request, p: Param, call: MethodCall, code: str) -> Domain:
    """A param's domain as a formula can respect it. Raises SpecError."""
    if p.dtype == "complex":
        raise SpecError([Diagnostic(code, f"'{call.name}' moves real params, and '{p.name}' is complex", call.span)])
    kind = p.domain.kind
    if kind == "box":
        ends = [None if e is None or _infinite(e) else r.low.value(e) for e in (p.domain.lower, p.domain.upper)]
        return Domain(Bounds(*ends))
    if kind == "positive" and code == "VS0349":
        return Domain(positive=True)
    if kind == "simplex" and code == "VS0349":
        return Domain(simplex=p.domain.letters)
    if kind == "real":
        return Domain()
    message = f"'{call.name}' has no formula that keeps '{p.name}' in its domain '{kind}'"
    help = "'box(0, inf)' has the 0, too, and can be kept" if kind == "positive" else _OTHERWISE
    raise SpecError([Diagnostic(code, message, call.span, "", (help,))])


def _infinite(e: object) -> bool:
    value = e.value if isinstance(e, Number) else 0
    return isinstance(value, float) and value in (float("inf"), float("-inf"))


def _element(p: Param) -> str:
    return f"{p.name}[{', '.join(p.letters)}]" if p.letters else p.name


# --- what is said where there is no formula ---------------------------------------------------------------------------


def written(s: Summand) -> str:
    """A term as it stands in an objective."""
    body = shown(s.body)
    letters = [a.name.split("~")[0] for a in s.over]
    text = f"sum[{', '.join(letters)}]({body})" if letters else body
    return text if s.factor is None or is_number(s.factor, 1) else f"{shown(s.factor)}*{text}"


def located(r: Request, s: Summand | None, call: MethodCall) -> Span:
    origin = s.origin.origin if s is not None else None
    if origin is None or not origin.line or origin.file:
        return call.span
    return Span(r.spec.path, origin.line, origin.column, origin.line, origin.column + 1)


def _no_minimum(r: Request, call: MethodCall, names: Sequence[str], e: NoMinimumError) -> Diagnostic:
    term = f": {written(e.summand)}" if e.summand is not None else ""
    message = f"'{r.name}' has no closed-form minimum by [{', '.join(names)}]{term}"
    help = ["blocks may be smaller: each list is one", _OTHERWISE] if len(names) > 1 else [_OTHERWISE]
    return Diagnostic("VS0349", message, located(r, e.summand, call), e.reason, tuple(help))


def _no_prox(r: Request, call: MethodCall, e: NoProxError) -> Diagnostic:
    message = f"a term of '{r.name}' is not smooth and has no proximal map in closed form: {written(e.summand)}"
    help = (
        "a new param for what stands in the kink, and a constraint that they are equal, make it a term of its own",
        "adam(lr=1e-3) follows a subgradient",
    )
    return Diagnostic("VS0348", message, located(r, e.summand, call), e.reason, help)
