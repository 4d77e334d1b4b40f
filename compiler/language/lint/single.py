"""VS0917: outputs and claims that rest on one draw of what they average.

Which expectations are left to a draw is known once the calculus has looked for closed forms, so that the build says most of them
(`pipeline.build`). Those over variables whose estimator is written down are seen by the checker alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from vspec.compiler.language.bodies import of_equation
from vspec.compiler.language.expr import Affine, Element, Expectation, Expr, Reduction
from vspec.compiler.language.lint.report import Report
from vspec.compiler.language.spec import Spec
from vspec.compiler.language.substitute import elements, parts

DRAWN = ("reparam", "score", "measure_valued")
_AVERAGES = ("sum", "mean")
Equations = Mapping[str, Sequence[tuple[tuple[str, ...], Expr]]]


def single_draws(spec: Spec, report: Report, left: Callable[[Expectation], bool] | None = None) -> None:
    """Warns of expectations outside of stages that are one draw. `left`: whether an expectation is left to one; None takes
    those that surely are, whatever closed forms there may be."""
    surely = left or (lambda e: _surely(spec, known, e))
    known: dict[str, list[tuple[tuple[str, ...], Expr]]] = {}
    for equation in spec.equations:
        for body in of_equation(equation):
            known.setdefault(body.name, []).append((body.letters, body.expr))
    known |= {o.name: [((), o.body)] for o in spec.objectives.values()}
    tops = [("output", o.name, e) for o in spec.outputs.values() if o.every is None for e in (o.body,)]
    for claim in spec.claims.values():
        tops += [("claim", claim.name, e) for e in (claim.that, claim.left, claim.right) if e is not None]
    seen: set[tuple[str, int, frozenset[str]]] = set()
    for kind, name, top in tops:
        for e in _reached(top, frozenset(), known, seen):
            if not surely(e) or e.span.file not in ("", spec.path):
                continue
            drawn = " and ".join(f"'{n.removeprefix('_')}'" for n in e.names)
            report.warn("VS0917", f"the {kind} '{name}' rests on one draw of {drawn}", e.span, label="one draw",
                        help="what is evaluated once wants more of them: by=samples(1000)")  # fmt: skip


def _reached(
    top: Expr, spread: frozenset[str], known: Equations, seen: set[tuple[str, int, frozenset[str]]]
) -> Iterator[Expectation]:
    """The expectations that an expression reads and does not average over copies. `spread`: the letters over which sums or means
    are taken around it. What stands inside of another expectation is that one's."""
    stack = [(top, spread)]
    while stack:
        e, around = stack.pop()
        if isinstance(e, Expectation):
            if not around & set(e.axes):
                yield e
            continue
        if isinstance(e, Reduction) and e.op in _AVERAGES:
            around |= set(e.letters)
        if isinstance(e, Element):
            for k, (letters, body) in enumerate(known.get(e.name, ())):
                pairs = zip(letters, e.subscripts, strict=False)
                inside = frozenset(x for x, s in pairs if isinstance(s, Affine) and s.letter in around)
                if (e.name, k, inside) not in seen:
                    seen.add((e.name, k, inside))
                    stack.append((body, inside))
        stack += [(x, around) for x in parts(e)]


def _surely(spec: Spec, known: Equations, e: Expectation) -> bool:
    """Whether an expectation is drawn, whatever is averaged, since a variable that it reads asks for that."""
    asked = {n for n in e.names if n in spec.random and spec.random[n].estimator.word in DRAWN}
    asked = {n for n in asked if spec.random[n].chain is None}
    if e.way.word != "auto" or not asked:
        return False
    stack, seen = [*e.bodies], set[str]()
    while stack:
        for x in elements(stack.pop()):
            if x.name in asked:
                return True
            if x.name not in seen:
                seen.add(x.name)
                stack += [body for _, body in known.get(x.name, ())]
    return False
