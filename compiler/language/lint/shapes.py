"""VS0903, VS0909: indices that a right side lacks, double sums that fall apart, diagonals that nothing sums over.

A sum over two letters of one dim is left alone as a rule: sum[n, m]((x[n] - x[m])**2) and kernels are such sums. Only where
each summand depends on one of the two letters is it surely not what was meant, since it is a difference of single sums.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from vspec.compiler.language.bodies import Body, bodies
from vspec.compiler.language.expr import Affine, Element, Expr, Linalg, Pointwise, Reduction
from vspec.compiler.language.lint.report import Report
from vspec.compiler.language.lint.walk import KNOWN
from vspec.compiler.language.spec import Spec
from vspec.compiler.language.substitute import elements, nodes, parts


def shapes(spec: Spec, report: Report) -> None:
    """Warn of indices that do nothing."""
    sliced = _sliced(spec)
    for body in bodies(spec):
        if body.kind in ("definition", "output") and not body.hidden:
            _lacking(spec, body, sliced, [r.letter for r in body.loops], report)
        for node in nodes(body.expr):
            if isinstance(node, Reduction) and node.op in ("sum", "mean") and len(node.letters) > 1:
                _apart(spec, node, report)
        if report.pedantic:
            _diagonals(body, report)


def _lacking(spec: Spec, body: Body, sliced: set[tuple[str, int]], times: Sequence[str], report: Report) -> None:
    """An index of the left side that the right side lacks, though the right side is no plain number."""
    found = list(nodes(body.expr))
    read = {n.name for n in found if isinstance(n, Element)}
    if read <= spec.constants.keys() or any(not isinstance(n, KNOWN) for n in found):
        return
    for position, letter in enumerate(body.letters):
        if letter in body.expr.axes or letter in times or (body.name, position) in sliced:
            continue
        reductions = [n for n in found if isinstance(n, Reduction)]
        dim = spec.letters.get(letter)
        bound = [x for n in reductions for x in n.letters if spec.letters.get(x) == dim]
        left = f"{body.name}[{', '.join(body.letters)}]"
        fewer = [x for x in body.letters if x != letter]
        tips = [f"write '{body.name}{'[' + ', '.join(fewer) + ']' if fewer else ''}'; what lacks an index is the same for all "
                "its values anyway"]  # fmt: skip
        if bound:
            tips.append(
                f"the right side binds '{bound[0]}', which ranges over the same dim: is '{letter}' meant there?"
            )
        report.warn(
            "VS0903",
            f"'{left}' is the same for every '{letter}'",
            body.span,
            label=f"the right side does not depend on '{letter}'",
            help=tips,
            pedantic=not reductions,
        )
        return


def _sliced(spec: Spec) -> set[tuple[str, int]]:
    """The names with the positions of those axes that a function of whole axes takes: they must be there."""
    found: set[tuple[str, int]] = set()
    for body in bodies(spec):
        for node in nodes(body.expr):
            if isinstance(node, Linalg):
                for block in node.blocks:
                    for e in elements(block.body):
                        found.update((e.name, k) for k, s in enumerate(e.subscripts)
                                     if isinstance(s, Affine) and s.letter in block.core)  # fmt: skip
    return found


def _apart(spec: Spec, node: Reduction, report: Report) -> None:
    """A sum over two letters of one dim whose summands each depend on one of them."""
    letters = [x for x in node.letters if x in spec.letters]
    for k, first in enumerate(letters):
        for second in letters[k + 1 :]:
            if spec.letters[first] != spec.letters[second]:
                continue
            met = [{first, second} & set(term.axes) for term in _terms(node.body)]
            if len(met) > 1 and all(len(m) == 1 for m in met) and {first, second} == set().union(*met):
                report.warn(
                    "VS0903",
                    f"no term of this {node.op} depends on both '{first}' and '{second}'",
                    node.span,
                    label="falls apart into single sums",
                    help=f"use one letter for both, or one {node.op} for each",
                )
                return


def _terms(expr: Expr) -> Iterator[Expr]:
    """What a sum or difference is made of."""
    stack = [expr]
    while stack:
        top = stack.pop()
        if isinstance(top, Pointwise) and top.op in ("add", "sub", "neg", "real"):
            stack.extend(top.args)
        else:
            yield top


def _diagonals(body: Body, report: Report) -> None:
    """A letter that stands twice in one element and that nothing around it sums over."""
    stack: list[tuple[Expr, frozenset[str]]] = [(body.expr, frozenset())]
    seen: set[tuple[int, frozenset[str]]] = set()
    while stack:
        top, bound = stack.pop()
        if (id(top), bound) in seen:
            continue
        seen.add((id(top), bound))
        if isinstance(top, Reduction):
            bound = bound | frozenset(top.letters)
        if isinstance(top, Element):
            plain = [s.letter for s in top.subscripts if isinstance(s, Affine) and (s.scale, s.offset) == (1, 0)]
            for letter in dict.fromkeys(plain):
                if plain.count(letter) > 1 and letter not in bound:
                    report.warn(
                        "VS0909",
                        f"{report.quote(top.span)} is the diagonal: a repeated index is not summed over",
                        top.span,
                        label=f"'{letter}' stands twice",
                        help=f"for the trace write sum[{letter}](...); for all pairs use a second letter of the dim",
                        pedantic=True,
                    )
        stack.extend((p, bound) for p in parts(top))
