"""How often a function is differentiated by an argument, and a refusal where that derivative has no formula.

`gammainc(a, x)` and `gammaincc(a, x)` have a first derivative in `a` that programs can compute, and no second. What is asked
for shows only in the whole spec: derivatives nest, reach through definitions, and a method may ask for a gradient or a Hessian.
So this runs last, over all that the spec computes, with the list of what each expression is differentiated by.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from vspec.compiler.diagnostics.diagnostic import Sink
from vspec.compiler.language.bodies import bodies, homes
from vspec.compiler.language.expr import Derivative, Element, Expr, Implicit, Pointwise, Stop
from vspec.compiler.language.spec import Definition, Recurrence, Spec, labelled
from vspec.compiler.language.substitute import nodes, parts
from vspec.runtime.registry import needs
from vspec.runtime.solvers import EXTREMES

# Functions without a second derivative in their first argument.
ONCE = frozenset({"gammainc", "gammaincc"})

Variables = frozenset[str]
Loops = tuple[tuple[Recurrence, int], ...]


def refuse_orders(sink: Sink, spec: Spec) -> None:
    """An error at each call that is differentiated more often than there are formulas for."""
    check = _Orders(sink, spec)
    check.queue.extend(Visit(b.expr, loops=tuple((r, 0) for r in b.loops)) for b in bodies(spec))
    if not any(isinstance(e, Pointwise) and e.op in ONCE for visit in check.queue for e in nodes(visit.body)):
        return
    for _, stage in labelled(spec.plan):
        if stage.optimises:
            order = (
                2
                if any(
                    {"hessian", "hvp", "structure", "sparse", "factored"} & set(needs(m.name, m.arguments))
                    for m in stage.methods
                )
                else 1
            )
            body = spec.objectives[stage.names[0]].body
            check.queue.append(Visit(body, (frozenset(stage.over),) * order))
    check.run()


@dataclass(frozen=True, slots=True)
class Visit:
    """An expression to look at: what it is differentiated by, and the loops it is in, the outermost first, each with the
    number of those of `by` that stand around it."""

    body: Expr
    by: tuple[Variables, ...] = ()
    loops: Loops = ()

    @property
    def around(self) -> int:
        """How many of `by` stand around the innermost loop."""
        return self.loops[-1][1] if self.loops else 0


class _Orders:
    def __init__(self, sink: Sink, spec: Spec) -> None:
        self.sink = sink
        self.spec = spec
        self.definitions: dict[str, Expr] = {n: o.body for n, o in spec.objectives.items()}
        self.loops: dict[str, Recurrence] = {}
        for equation in spec.equations:
            if isinstance(equation, Definition):
                self.definitions[equation.name] = equation.body
            else:
                self.loops.update((s.name, r) for r in equation.loops for s in r.states)
                self.definitions.update((d.name, d.body) for d in equation.every_definition)
        self.homes = homes(spec.equations)
        self.queue: list[Visit] = []
        self.seen: set[tuple[str, tuple[Variables, ...], tuple[tuple[int, int], ...]]] = set()

    def depends(self, e: Expr, by: Variables, loops: Collection[Recurrence]) -> bool:
        """Whether a derivative by some of the variables reaches the expression; one taken in the steps of loops, not by way
        of their states, which are given there."""
        stack, names = [e], set[str]()
        while stack:
            top = stack.pop()
            if isinstance(top, Stop) or top.dtype not in ("real", "complex"):
                continue
            if not isinstance(top, Element):
                stack.extend([top.body] if isinstance(top, Derivative) else parts(top))
            elif top.name in by:
                return True
            elif top.name not in names:
                names.add(top.name)
                if top.name in self.definitions:
                    stack.append(self.definitions[top.name])
                elif top.name in self.loops and not any(self.loops[top.name] is r for r in loops):
                    stack.extend(self.loops[top.name].bodies)
        return False

    def run(self) -> None:
        """Looks at what waits, and at what that leads to."""
        while self.queue:
            visit = self.queue.pop()
            stack = [(visit.body, visit.by)]
            while stack:
                top, by = stack.pop()
                if isinstance(top, Stop) or top.dtype not in ("real", "complex"):
                    by = ()
                if isinstance(top, Derivative):
                    stack.append((top.body, (*by, *(frozenset({w.name}) for w in top.wrt))))
                    continue
                if isinstance(top, Implicit):
                    stack.extend(self._solved(top, by))
                    continue
                if isinstance(top, Element):
                    self._element(top, by, visit)
                elif isinstance(top, Pointwise) and top.op in ONCE:
                    self._call(top, by, visit)
                stack.extend((p, by) for p in parts(top))

    def _solved(self, e: Implicit, by: tuple[Variables, ...]) -> Iterator[tuple[Expr, tuple[Variables, ...]]]:
        """The parts of an implicit quantity: its bodies are differentiated by the unknowns, once more those of an extreme."""
        problem = e.problem
        names = frozenset(u.name for u in problem.sought)
        inner = tuple(v | names for v in by) if by and problem.gradient != "none" else (names,)
        if problem.op in EXTREMES:
            inner = (names, *inner)
        self.definitions.update((d.name, d.body) for d in problem.inner)
        yield from ((u.start, ()) for u in problem.sought)
        yield from ((body, inner) for body in problem.bodies)
        yield from ((side, inner) for r in problem.relations for side in (r.left, r.right))

    def _element(self, e: Element, by: tuple[Variables, ...], visit: Visit) -> None:
        loop = self.loops.get(e.name)
        running = next((around for r, around in visit.loops if r is loop), None)
        if running is not None:
            # What is differentiated in the step takes the states as they are.
            by = by[:running]
        kept = [(k, v) for k, v in enumerate(by) if e.name not in v]
        inner = tuple(v for _, v in kept)
        # The loops that run where the name gets its value, and those of the derivatives kept that stand around each.
        home = {id(r) for r in self.homes.get(e.name, ())}
        loops = tuple((r, sum(1 for k, _ in kept if k < around)) for r, around in visit.loops if id(r) in home)
        if loop is not None and running is None:
            loops = (*loops, (loop, len(inner)))
        key = (e.name, inner, tuple((id(r), around) for r, around in loops))
        if not inner or key in self.seen:
            return
        self.seen.add(key)
        if e.name in self.definitions:
            self.queue.append(Visit(self.definitions[e.name], inner, loops))
        elif loop is not None:
            self.queue.extend(Visit(body, inner, loops) for body in loop.bodies)

    def _call(self, e: Pointwise, by: tuple[Variables, ...], visit: Visit) -> None:
        def reached(a: Expr, k: int) -> bool:
            return self.depends(a, by[k], [r for r, around in visit.loops if k >= around])

        hits = sum(reached(e.args[0], k) for k in range(len(by)))
        reach = [any(reached(a, k) for a in e.args) for k in range(len(by))]
        # Loops are differentiated by JAX, which has no rule for the derivative in the first argument.
        looped = any(reach[: visit.around]) and sum(reach) > 1 and hits > 0
        if hits < 2 and not looped:
            return
        how = "differentiated twice by its first argument"
        if hits < 2:
            how = "in a recurrence, differentiated by its first argument and once more"
        self.sink.error(
            "VS0330",
            f"'{e.op}' is {how}, for which there is no formula",
            e.args[0].span,
            label="this argument",
            help="a method that asks for the gradient alone needs one derivative; stop(...) holds an argument fixed",
        )
