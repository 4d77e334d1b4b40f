"""VS0902, VS0911, VS0912: objectives and derivatives that do not depend on what they are taken by.

Names are followed, not elements. A path is smooth if a derivative flows along it: not through conditions, rounding,
positions, integers and `stop`. Where an expression stands that is not known here, everything is taken to depend on all.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from vspec.compiler.diagnostics.spans import Span
from vspec.compiler.language.bodies import Body, bodies, equations
from vspec.compiler.language.expr import (
    Delta,
    Derivative,
    Element,
    Expr,
    Gather,
    Implicit,
    Linalg,
    Pointwise,
    Reduction,
    Stack,
    Stop,
)
from vspec.compiler.language.lint.report import Report
from vspec.compiler.language.lint.walk import KNOWN
from vspec.compiler.language.spec import Definition, Recurrence, Spec, Stage, labelled
from vspec.compiler.language.substitute import elements, nodes, parts
from vspec.compiler.source.document import Mapping, Scalar, Sequence, Value

_STEPS = frozenset(
    {"lt", "le", "gt", "ge", "eq", "ne", "and", "or", "not", "floor", "ceil", "round", "sign", "floordiv"}
)
_WORDS = {"ceil": "rounding", "floor": "rounding", "round": "rounding", "floordiv": "rounding", "sign": "sign"}


@dataclass(slots=True)
class _Reads:
    """What an expression reads, and what of it a derivative reaches. `opaque`: something in it is not known here."""

    names: set[str] = field(default_factory=set)
    smooth: set[str] = field(default_factory=set)
    opaque: bool = False


def _reads(expr: Expr) -> _Reads:
    found = _Reads()
    seen: set[tuple[int, bool]] = set()
    stack = [(expr, True)]
    while stack:
        top, smooth = stack.pop()
        if (id(top), smooth) in seen:
            continue
        seen.add((id(top), smooth))
        smooth = smooth and top.dtype in ("real", "complex")
        found.opaque = found.opaque or not isinstance(top, KNOWN)
        if isinstance(top, Element):
            found.names.add(top.name)
            if smooth:
                found.smooth.add(top.name)
        stack.extend(_inner(top, smooth))
    return found


def _inner(expr: Expr, smooth: bool) -> Iterator[tuple[Expr, bool]]:
    """The parts of an expression, each with whether a derivative flows into it."""
    if isinstance(expr, Element):
        yield from ((s.index, False) for s in expr.subscripts if isinstance(s, Gather))
    elif isinstance(expr, Derivative):
        # By what a derivative is taken is no read of it: d(c*t, t) is c.
        yield expr.body, smooth
        yield from ((s.index, False) for w in expr.wrt for s in w.subscripts if isinstance(s, Gather))
    elif isinstance(expr, Linalg):
        yield from ((block.body, smooth) for block in expr.blocks)
        yield from ((s.index, False) for s in expr.subscripts if isinstance(s, Gather))
    elif isinstance(expr, Pointwise) and expr.op == "where":
        yield expr.args[0], False
        yield from ((a, smooth) for a in expr.args[1:])
    else:
        cut = isinstance(expr, Stop | Delta) or (isinstance(expr, Pointwise) and expr.op in _STEPS)
        yield from ((p, smooth and not cut) for p in parts(expr))


class Dependence:
    """Which names depend on which, through definitions, recurrences and objectives."""

    def __init__(self, spec: Spec) -> None:
        self.direct: dict[str, _Reads] = {}
        self.opaque = any(not isinstance(e, Definition | Recurrence) for e in spec.equations)
        self.stacks = {
            e.name: [x.name for b in e.body.blocks for x in elements(b.body)]
            for e in spec.equations
            if isinstance(e, Definition) and isinstance(e.body, Stack)
        }
        for body in equations(spec):
            self._add(body)
            for node in nodes(body.expr):
                for d in node.problem.inner if isinstance(node, Implicit) else ():
                    self._add(Body("definition", d.name, d.letters, d.body, d.span, True))
        for objective in spec.objectives.values():
            if objective.name not in self.direct:
                self._add(Body("objective", objective.name, (), objective.body, objective.span))
        known = {*self.direct, *spec.params, *spec.data, *spec.constants}
        for reads in self.direct.values():
            reads.opaque = reads.opaque or not reads.names <= known
        self._onto: dict[tuple[str, bool], frozenset[str]] = {}

    def _add(self, body: Body) -> None:
        found = _reads(body.expr)
        entry = self.direct.setdefault(body.name, _Reads())
        entry.names |= found.names
        entry.smooth |= found.smooth
        entry.opaque = entry.opaque or found.opaque

    def onto(self, name: str, smooth: bool) -> frozenset[str]:
        """The name itself and all that depend on it, by smooth paths only if asked for."""
        key = (name, smooth)
        if key not in self._onto:
            readers: dict[str, list[str]] = {}
            for reader, reads in self.direct.items():
                for other in reads.smooth if smooth else reads.names:
                    readers.setdefault(other, []).append(reader)
            found = {name}
            # What is opaque may depend on anything, and so may what reads it.
            stack = [name, *(n for n, reads in self.direct.items() if reads.opaque)]
            found.update(stack)
            while stack:
                for reader in readers.get(stack.pop(), ()):
                    if reader not in found:
                        found.add(reader)
                        stack.append(reader)
            self._onto[key] = frozenset(found)
        return self._onto[key]

    def verdict(self, expr: Expr, name: str) -> str:
        """How an expression depends on a name: not ('none'), by steps only ('steps'), or smoothly ('smooth')."""
        if name in self.stacks:
            # A derivative by a stack is one by its parts.
            return max((self.verdict(expr, part) for part in self.stacks[name]), key=_ORDER.__getitem__)
        reads = _reads(expr)
        if self.opaque or reads.opaque:
            return "smooth"
        if reads.names.isdisjoint(self.onto(name, False)):
            return "none"
        return "steps" if reads.smooth.isdisjoint(self.onto(name, True)) else "smooth"


def derivatives(spec: Spec, depends: Dependence, report: Report) -> None:
    """Derivatives that are zero everywhere. One in a function counts only if it is zero at every call."""
    verdicts: dict[Span, list[tuple[str, Derivative, Element]]] = {}
    for body in bodies(spec):
        for node in nodes(body.expr):
            if isinstance(node, Derivative):
                worst = min(((depends.verdict(node.body, w.name), w) for w in node.wrt), key=lambda k: _ORDER[k[0]])
                verdicts.setdefault(node.span, []).append((worst[0], node, worst[1]))
    for span, found in verdicts.items():
        kinds = {kind for kind, _, _ in found}
        _, node, wrt = found[0]
        what, by = report.quote(node.body.span), report.quote(wrt.span)
        if kinds == {"none"}:
            report.warn("VS0911", f"this derivative is zero: {what} does not depend on {by}", span,
                        label="always zero", help=_why_none(spec, wrt.name))  # fmt: skip
        elif kinds <= {"none", "steps"}:
            report.warn("VS0912", f"this derivative is zero almost everywhere: {what} depends on {by} by steps only",
                        span, label=_steps(node.body), help=_HELP)  # fmt: skip


_ORDER = {"none": 0, "steps": 1, "smooth": 2}
_HELP = "put a smooth function in the place of the step, such as sigmoid for a comparison or softmax for argmax"


def _why_none(spec: Spec, name: str) -> str:
    definitions = {e.name for e in spec.equations if isinstance(e, Definition) and not e.hidden}
    if name in definitions:
        return f"only what reads '{name}' itself depends on it; what reads the same params does not"
    return "a derivative is taken by what the expression reads, itself or through definitions"


def _steps(expr: Expr) -> str:
    """Which steps an expression takes, in words."""
    found: dict[str, None] = {}
    for node in nodes(expr):
        if isinstance(node, Pointwise) and node.op in _STEPS:
            found[_WORDS.get(node.op, "a condition")] = None
        elif isinstance(node, Reduction) and node.op in ("argmax", "argmin"):
            found[node.op] = None
        elif isinstance(node, Stop):
            found["stop"] = None
    return f"no derivative flows through {' and '.join(found)}" if found else ""


def objectives(spec: Spec, depends: Dependence, idle: set[str], root: Mapping, report: Report) -> None:
    """Params that a stage optimises and its objective does not depend on."""
    plan = [stage for _, stage in labelled(spec.plan)]
    # What is assigned moves without being part of an objective.
    reached = {p for s in plan for group in (*s.updates, s.directions) for x in group for p in x.params}
    open_: dict[str, Stage] = {}
    for stage in plan:
        objective = spec.objectives.get(stage.names[0]) if stage.optimises else None
        if objective is None:
            continue
        value = Element(span=objective.span, name=objective.name)
        verdicts = {name: depends.verdict(value, name) for name in stage.over}
        # Of a network some weights may be idle, such as the last bias where only derivatives are taken; not all of them.
        moved = {name.partition(".")[0] for name, kind in verdicts.items() if "." in name and kind != "none"}
        said: set[str] = set()
        for name, kind in verdicts.items():
            network = name.partition(".")[0] if "." in name else ""
            if network and (network in moved or network in said) and kind == "none":
                reached.add(name)
                continue
            said.add(network)
            # What a constraint of the stage binds moves for its sake.
            bound = any(name in s.over for s in stage.subject)
            if kind != "none" or bound:
                reached.add(name)
            if kind == "steps" and not bound:
                report.warn("VS0912", f"the objective '{objective.name}' depends on '{name}' by steps only, so that "
                            f"'{name}' is never changed", stage.span, label=f"its derivative by '{name}' is zero",
                            help=_HELP)  # fmt: skip
            elif kind == "none" and not bound and name not in idle:
                if set(stage.over) == set(spec.params):
                    open_.setdefault(name, stage)
                else:
                    _unreached(spec, report, name, stage, _listed(root.get("solve"), name) or stage.span)
    for name, stage in open_.items():
        # A stage over all params may leave some of them to another stage.
        if name not in reached:
            _unreached(spec, report, name, stage, spec.params[name].span)


def _unreached(spec: Spec, report: Report, name: str, stage: Stage, span: Span) -> None:
    what = f"the network '{name.partition('.')[0]}'" if "." in name else f"the param '{name}'"
    report.warn(
        "VS0902",
        f"the objective '{stage.names[0]}' does not depend on {what}",
        span,
        label="stays where it starts",
        help=("use it in the objective, or make it a constant", f"'{stage.kind}' stands on line {stage.span.line}"),
    )


def _listed(node: Value | None, name: str) -> Span | None:
    """Where a stage lists a param."""
    for stage in node.items if isinstance(node, Sequence) else (node,):
        if not isinstance(stage, Mapping):
            continue
        for option in ("over", "min", "max"):
            listed = stage.get(option)
            items = [k for k, _ in listed.entries] if isinstance(listed, Mapping) else [listed]
            for item in listed.items if isinstance(listed, Sequence) else items:
                if isinstance(item, Scalar) and item.text.strip() == name:
                    return item.span
        inner = _listed(stage.get("stages"), name)
        if inner is not None:
            return inner
    return None
