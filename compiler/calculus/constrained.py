"""Constraints as entries: gaps, their Jacobian, the Lagrangian and the augmented Lagrangian, with multipliers as arguments.

A gap is left minus right of a relation: 0 where an equation holds, at most 0 where an inequality does. In what has
multipliers, `weight` is the factor of the objective, -1 where it is made large; `penalty` is that of the squared gaps.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from vspec.compiler.calculus.derive import derivative, gradients
from vspec.compiler.calculus.lagrangian import gap
from vspec.compiler.calculus.lagrangian import lagrangian as total
from vspec.compiler.calculus.lower import Lowering
from vspec.compiler.calculus.needs import Need, Request, blocks, hessian, whole
from vspec.compiler.graph.builder import is_number
from vspec.compiler.graph.graph import Result
from vspec.compiler.graph.kernel import Tree, num, slot
from vspec.compiler.graph.node import Axis, Node, topological
from vspec.compiler.language.spec import Relation, Spec

WEIGHT = "objective.weight"
PENALTY = "constraints.penalty"


def parts(spec: Spec) -> Iterator[tuple[str, Relation]]:
    """Every relation of a spec under its own name."""
    for c in spec.constraints.values():
        for k, relation in enumerate(c.relations):
            yield c.part(k), relation


def difference(low: Lowering, relation: Relation) -> Node:
    """The gap of a relation of the spec."""
    return gap(low.b, low.value(relation.left), low.value(relation.right))


def multiplier(low: Lowering, name: str, like: Node | None = None) -> Node:
    """The argument for the multiplier of a gap, or for a weight: one for all entries."""
    if name not in low.multipliers:
        low.multipliers[name] = low.b.input(name, "multiplier", () if like is None else like.axes, "real")
    return low.multipliers[name]


def gaps(r: Request) -> dict[str, tuple[str, Node]]:
    """The relations that the stage is subject to: operation and gap by name."""
    subject = {s.name for s in r.stage.subject}
    return {part: (relation.op, difference(r.low, relation)) for part, relation in parts(r.spec) if part in subject}


def jacobian(r: Request) -> None:
    """The derivative of every gap by every real unknown: `[axes of the gap, axes of the unknown]`."""
    if "constraint_jacobian" not in r.made and r.stage.subject:
        results = [Result((part, p), node) for part, row in _rows(r).items() for p, node in row.items()]
        r.entry("constraint_jacobian", results, f"The Jacobian of the constraints by {r.wrt}.")


def lagrangian(r: Request) -> None:
    """The objective with its gradient, the gaps with their Jacobian, and the Hessian of the Lagrangian."""
    if "lagrangian" in r.made:
        return
    if not r.stage.subject:
        # Without constraints it is the objective.
        hessian(r)
        r.facts["form"] = _form(r, [], [x.node for x in r.made["hessian"].results])
        return
    b, found = r.low.b, gaps(r)
    with b.at(r.origin("gradient")):
        weighted = b.mul([multiplier(r.low, WEIGHT), r.value])
        nodes = [node for _, node in found.values()]
        factors = [multiplier(r.low, f"{part}.multiplier", node) for part, (_, node) in found.items()]
        summed = total(b, "argmin", weighted, nodes, factors, [node.names for node in nodes])
        slopes = dict(zip(r.reals, gradients(b, summed, list(r.reals.values())), strict=True))
    rows, curved = _rows(r), blocks(r, slopes)
    results = [
        *r.both,
        *(Result((2, part), node) for part, (_, node) in found.items()),
        *(Result((3, part, p), node) for part, row in rows.items() for p, node in row.items()),
        *(Result((4, p, q), curved[p, q]) for p in r.reals for q in r.reals),
    ]
    r.entry("lagrangian", results, f"{r.name}, the constraints and the Hessian of their Lagrangian by {r.wrt}.")
    r.facts["form"] = _form(r, [n for row in rows.values() for n in row.values()], list(curved.values()))


def augmented(r: Request) -> None:
    """The augmented Lagrangian, alone and with its gradient."""
    if "augmented" in r.made:
        return
    value = _augmented(r)
    r.entry("augmented", [Result((), value)], f"The augmented Lagrangian of {r.name}.")
    slopes = _augmented_slopes(r)
    single = len(r.params) == 1
    gradient = [Result((1,) if single else (1, p.name), whole(r.low, p, slopes)) for p in r.params]
    r.entry(
        "augmented_value_and_gradient",
        [Result((0,), value), *gradient],
        f"The augmented Lagrangian of {r.name} and its gradient by {r.wrt}.",
    )


def augmented_hessian(r: Request) -> None:
    """The augmented Lagrangian with its gradient and its Hessian."""
    augmented(r)
    if "augmented_newton" in r.made:
        return
    both = r.made["augmented_value_and_gradient"].results
    several = len(r.reals) > 1
    found = blocks(r, _augmented_slopes(r))
    results = [*both, *(Result((2, p, q) if several else (2,), n) for (p, q), n in found.items())]
    r.entry(
        "augmented_newton", results, f"The augmented Lagrangian of {r.name}, its gradient and its Hessian by {r.wrt}."
    )


def _augmented(r: Request) -> Node:
    """`weight f + penalty/2 sum((gap + multiplier/penalty)^2)`, of inequalities the positive part of what is squared, less
    the squared multipliers over twice the penalty (Rockafellar 1974)."""
    if "augmented" in r.made:
        return r.made["augmented"].results[0].node
    b, penalty = r.low.b, multiplier(r.low, PENALTY)
    with b.at(r.origin("part")):
        terms = [b.mul([multiplier(r.low, WEIGHT), r.value])]
        for part, (op, node) in gaps(r).items():
            y = multiplier(r.low, f"{part}.multiplier", node)
            shifted: Tree = ("add", slot(0), ("div", slot(1), slot(2)))
            if op == "le":
                shifted = ("maximum", shifted, num(0.0))
            lost = ("div", ("square", slot(1)), ("square", slot(2)))
            square = b.map(("sub", ("square", shifted), lost), [node, y, penalty], "real")
            total = b.reduce("sum", square, square.names)
            terms.append(b.map(("mul", ("div", slot(0), num(2.0)), slot(1)), [penalty, total], "real"))
        return b.add(terms)


def _augmented_slopes(r: Request) -> dict[str, Node]:
    if not r.augmented_slopes:
        with r.low.b.at(r.origin("gradient")):
            slopes = gradients(r.low.b, _augmented(r), list(r.reals.values()))
        r.augmented_slopes.update(zip(r.reals, slopes, strict=True))
    return r.augmented_slopes


def _rows(r: Request) -> dict[str, dict[str, Node]]:
    """The Jacobian of every gap; of a single one by one reverse sweep."""
    b, xs = r.low.b, r.reals
    if not r.rows:
        with b.at(r.origin("gradient")):
            for part, (_, node) in gaps(r).items():
                if node.axes:
                    r.rows[part] = {p: derivative(b, node, x, _letters(r.low, node, x)) for p, x in xs.items()}
                else:
                    r.rows[part] = dict(zip(xs, gradients(b, node, list(xs.values())), strict=True))
    return r.rows


def _letters(low: Lowering, node: Node, x: Node) -> list[Axis]:
    """Letters of their own for the axes of x."""
    taken = set(node.names)
    letters = []
    for a in x.axes:
        name = a.name if a.name not in taken else low.b.fresh(a.name)
        taken.add(name)
        letters.append(Axis(name, a.dim))
    return letters


def _form(r: Request, rows: list[Node], hessian: list[Node]) -> str:
    """`linear` or `quadratic` if the Jacobian and the Hessian do not depend on what moves, else `general`."""
    xs = {x.uid for x in r.reals.values()}
    if any(n.uid in xs for n in topological([*rows, *hessian])):
        return "general"
    return "linear" if all(is_number(n, 0) or _zero(n) for n in hessian) else "quadratic"


def _zero(node: Node) -> bool:
    """Whether a node is 0 everywhere, spread out along axes."""
    while node.kind == "reindex":
        node = node.inputs[0]
    return is_number(node, 0)


NEEDS: Mapping[str, Need] = MappingProxyType(
    {
        "constraint_jacobian": jacobian,
        "lagrangian": lagrangian,
        "augmented": augmented,
        "augmented_hessian": augmented_hessian,
    }
)

__all__ = ["NEEDS", "difference", "gaps", "multiplier", "parts"]
