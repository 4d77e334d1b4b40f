"""How often a function is differentiated by an argument, and a refusal where that derivative has no formula.

`gammainc(a, x)` and `gammaincc(a, x)` have a first derivative in `a` that programs can compute, and no second. What is asked
for shows only in the whole spec: derivatives nest, reach through definitions, and a method may ask for a gradient or a Hessian.
So this runs last, over all that the spec computes, with the list of what each expression is differentiated by.
"""

from __future__ import annotations

from collections.abc import Iterator

from vspec.compiler.diagnostics.diagnostic import Sink
from vspec.compiler.language.expr import Derivative, Element, Expr, Pointwise, Stop
from vspec.compiler.language.spec import Definition, Recurrence, Spec
from vspec.compiler.language.substitute import parts
from vspec.runtime.registry import METHODS

# Functions without a second derivative in their first argument.
ONCE = frozenset({"gammainc", "gammaincc"})

Variables = frozenset[str]


def refuse_orders(sink: Sink, spec: Spec) -> None:
    """An error at each call that is differentiated more often than there are formulas for."""
    check = _Orders(sink, spec)
    if not any(isinstance(e, Pointwise) and e.op in ONCE for root in check.bodies() for e in _all(root)):
        return
    for body in check.bodies():
        check.queue.append((body, (), 0))
    for stage in spec.plan:
        if stage.kind in ("minimize", "maximize") and stage.method is not None:
            needs = METHODS[stage.method.name].needs
            order = 2 if "hessian" in needs else 1
            body = spec.objectives[stage.names[0]].body
            check.queue.append((body, (frozenset(stage.over),) * order, 0))
    check.run()


def _all(root: Expr) -> Iterator[Expr]:
    stack = [root]
    while stack:
        top = stack.pop()
        yield top
        stack.extend(parts(top))


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
                self.loops.update((s.name, equation) for s in equation.states)
                self.definitions.update((d.name, d.body) for d in equation.inner)
        self.queue: list[tuple[Expr, tuple[Variables, ...], int]] = []
        self.seen: set[tuple[str, tuple[Variables, ...], int]] = set()

    def bodies(self) -> Iterator[Expr]:
        """Everything that the spec computes."""
        for equation in self.spec.equations:
            yield from [equation.body] if isinstance(equation, Definition) else _loop(equation)
        yield from (o.body for o in self.spec.objectives.values())
        yield from (o.body for o in self.spec.outputs.values())
        for claim in self.spec.claims.values():
            yield from (e for e in (claim.that, claim.left, claim.right) if e is not None)

    def depends(self, e: Expr, by: Variables) -> bool:
        """Whether a derivative by some of the variables reaches the expression."""
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
                elif top.name in self.loops:
                    stack.extend(_loop(self.loops[top.name]))
        return False

    def run(self) -> None:
        """Checks what waits, and what that leads to."""
        while self.queue:
            self.visit(*self.queue.pop())

    def visit(self, e: Expr, by: tuple[Variables, ...], outside: int) -> None:
        """Checks an expression that is differentiated by each of `by`, the first `outside` of them around a loop it is in."""
        stack = [(e, by)]
        while stack:
            top, by = stack.pop()
            if isinstance(top, Stop) or top.dtype not in ("real", "complex"):
                by = ()
            if isinstance(top, Derivative):
                stack.append((top.body, (*by, *(frozenset({w.name}) for w in top.wrt))))
                continue
            if isinstance(top, Element):
                self._element(top, by, outside)
            elif isinstance(top, Pointwise) and top.op in ONCE:
                self._call(top, by, outside)
            stack.extend((p, by) for p in parts(top))

    def _element(self, e: Element, by: tuple[Variables, ...], outside: int) -> None:
        kept = tuple((k, v) for k, v in enumerate(by) if e.name not in v)
        inner, around = tuple(v for _, v in kept), sum(1 for k, _ in kept if k < outside)
        if (e.name, inner, around) in self.seen or not inner:
            return
        self.seen.add((e.name, inner, around))
        if e.name in self.definitions:
            self.queue.append((self.definitions[e.name], inner, around))
        elif e.name in self.loops:
            self.queue.extend((body, inner, len(inner)) for body in _loop(self.loops[e.name]))

    def _call(self, e: Pointwise, by: tuple[Variables, ...], outside: int) -> None:
        reach = [any(self.depends(a, v) for a in e.args) for v in by]
        hits = [self.depends(e.args[0], v) for v in by]
        # Loops are differentiated by JAX, which has no rule for the derivative in the first argument.
        looped = any(reach[:outside]) and sum(reach) > 1 and any(hits)
        if sum(hits) < 2 and not looped:
            return
        how = "differentiated twice by its first argument"
        if sum(hits) < 2:
            how = "in a recurrence, differentiated by its first argument and once more"
        self.sink.error(
            "VS0330",
            f"'{e.op}' is {how}, for which there is no formula",
            e.args[0].span,
            label="this argument",
            help="a method that asks for the gradient alone needs one derivative; stop(...) holds an argument fixed",
        )


def _loop(r: Recurrence) -> list[Expr]:
    return [e for s in r.states for e in (s.init, s.step)] + [d.body for d in r.inner]
