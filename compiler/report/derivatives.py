"""How each derivative of a spec is taken: by a reverse or a forward sweep, along a diagonal, through a loop by JAX.

The spec is lowered once more while every new node is watched: the role of a node says which sweep made it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from vspec.compiler.calculus.derive import derivative, gradients
from vspec.compiler.calculus.lower import Lowering
from vspec.compiler.calculus.needs import real_params
from vspec.compiler.calculus.program import enter_equations
from vspec.compiler.calculus.strategies import several
from vspec.compiler.graph.builder import Builder
from vspec.compiler.graph.node import Axis, Kind, Node
from vspec.compiler.language.bodies import OF_STAGES, bodies
from vspec.compiler.language.expr import Affine, Derivative
from vspec.compiler.language.spec import Spec, Stage, as_named, labelled
from vspec.compiler.report.formulas import printer
from vspec.runtime.registry import needs

REVERSE = "reverse sweep"
FORWARD = "forward sweep"
TOGETHER = "one forward sweep with value, first and second derivatives together"


@dataclass(frozen=True, slots=True)
class Taken:
    """One derivative: what was asked for, at which line of the spec (or of an imported `file`), and how each step was taken."""

    what: str
    line: int
    how: tuple[str, ...]
    file: str = ""


class Recorder(Lowering):
    """A lowering that notes how derivatives come about."""

    def __init__(self, spec: Spec) -> None:
        sizes = {name: d.size if isinstance(d.size, int) else None for name, d in spec.dims.items()}
        super().__init__(Builder(sizes, (self._watch,)), spec.letters, spec.dims, spec.file)
        self.printer = printer(spec)
        self.taken: list[Taken] = []
        self._made: list[Node] = []

    def _watch(self, b: Builder, node: Node) -> None:
        self._made.append(node)

    @contextmanager
    def sweep(self, hows: list[str], shared: tuple[str, ...] = ()) -> Iterator[None]:
        """What is made inside is one step of a derivative; `shared` letters ask for a diagonal."""
        before, self._made = self._made, []
        try:
            yield
        finally:
            hows.append(describe(self._made, shared))
            self._made = before + self._made

    def noted(self, e: Derivative, chosen: str) -> None:
        how = TOGETHER if chosen == "laplacian" else " sweep, then ".join(chosen.split(", then ")) + " sweep"
        self.taken.append(Taken(self.printer.expression(e), e.span.line, (how,), self.file(e.span)))

    def _derivative(self, e: Derivative) -> tuple[Node, ...]:
        together = several(self, e)
        if together is not None:
            return (together,)
        nodes = self._differentiated(e)
        hows: list[str] = []
        for wrt in e.wrt:
            letters = {s.letter for s in wrt.subscripts if isinstance(s, Affine)}
            shared = tuple(x for x in nodes[0].names if x in letters)
            with self.sweep(hows, shared):
                nodes = self._step(nodes, wrt, e.by.word)
            self.derivatives += 1
        self.taken.append(Taken(self.printer.expression(e), e.span.line, tuple(hows), self.file(e.span)))
        return nodes


def describe(made: list[Node], shared: tuple[str, ...]) -> str:
    """One step in words, from the nodes that it made."""
    roles = {n.origin.role for n in made}
    if any(n.kind is Kind.REGION and n.op == "vjp" for n in made):
        text = f"{REVERSE}, through the loop by JAX"
    elif "adjoint" in roles:
        text = REVERSE
    elif "tangent" in roles:
        text = FORWARD
    else:
        text = "no sweep needed"
    seconds = {a.name.split("~")[0] for n in made for a in n.axes if "~" in a.name}
    formed = [x for x in shared if x in seconds]
    proved = [x for x in shared if x not in seconds]
    if formed:
        text += f", diagonal in {', '.join(formed)} of a Jacobian that was formed"
    if proved:
        text += f", diagonal in {', '.join(proved)} without forming the Jacobian"
    return text


def derivatives_of(spec: Spec) -> list[Taken]:
    """Every derivative that the spec writes and that its plan's methods ask for, in the order of the spec."""
    low = Recorder(spec)
    enter_equations(spec, low)
    for _, stage in labelled(spec.plan):
        if stage.optimises:
            low.taken += _asked(spec, low, stage)
    for body in bodies(spec):
        if body.kind == "output":
            low.values.setdefault(body.name, low.value(body.expr, body.name, body.letters))
        elif body.kind in (*OF_STAGES, "constraint", "claim"):
            low.value(body.expr)
    return list(dict.fromkeys(low.taken))


def _asked(spec: Spec, low: Recorder, stage: Stage) -> list[Taken]:
    """The gradient and, where the method needs it, the Hessian of a stage's objective."""
    (name,) = stage.names
    value = low.get(name)
    params = [spec.params[p] for p in stage.over]
    hows: list[str] = []
    with low.sweep(hows):
        slopes = gradients(low.b, value, list(real_params(low, params).values()))
    line = stage.span.line
    shown = {p.name: low.printer.element(p.name, p.letters) for p in params}
    wrt = ", ".join(shown.get(name, name) for name in as_named(stage.over))
    found = [Taken(f"gradient of {name} by {wrt}", line, (f"one {hows[0]}",))]
    asked = {need for m in stage.methods for need in needs(m.name, m.arguments)}
    if asked & {"hvp", "sparse"}:
        found.append(Taken(f"Hessian of {name} by {wrt} times a vector", line, (hows[0], "one forward sweep")))
    if not asked & {"hessian", "structure", "factored"}:
        return found
    slope_of = dict(zip(real_params(low, params), slopes, strict=True))
    for k, p in enumerate(params):
        for q in params[k:]:
            steps = [hows[0]]
            with low.sweep(steps):
                for key in real_params(low, [p]):
                    for x in real_params(low, [q]).values():
                        derivative(low.b, slope_of[key], x, [Axis(low.b.fresh(a.name), a.dim) for a in x.axes])
            pair = low.printer.element(p.name, p.letters)
            pair = f"{pair} twice" if q is p else f"{pair} and {low.printer.element(q.name, q.letters)}"
            found.append(Taken(f"Hessian of {name} by {pair}", line, tuple(steps)))
    return found


__all__ = ["Recorder", "Taken", "derivatives_of", "describe"]
