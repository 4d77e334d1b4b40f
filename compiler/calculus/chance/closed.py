"""Closed forms: the expectation of one kernel over one variable, given all others.

A polynomial is expanded around the mean: E[p(v)] is the sum over k of its k-th derivative there over k! times the k-th central
moment, so that squares of differences stay squares. Under a normal law a polynomial times exp(a v + c) is that of a normal law
that is shifted by a*scale**2, and cosines and sines of a v + c are damped by exp(-a**2 scale**2/2).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import sympy as sp

from vspec.compiler.calculus.chance.moments import CENTRAL, LOGARITHMS, MEANS
from vspec.compiler.calculus.chance.truncated import with_moments
from vspec.compiler.calculus.chance.variables import Variable, reached
from vspec.compiler.calculus.chance.vectors import (
    Affine,
    coupled,
    may_be_integrated,
    merged,
    moments_of,
    reads_of,
    second_degree,
    shares,
)
from vspec.compiler.calculus.functions import v_real
from vspec.compiler.calculus.scalar import CLASSES, NotRealError, to_sympy, to_tree
from vspec.compiler.graph.builder import Builder
from vspec.compiler.graph.instantiate import NotSeparate
from vspec.compiler.graph.kernel import Tree, slot, substitute
from vspec.compiler.graph.node import Kind, Node, topological

MOST_OPS = 120
MOST_DEGREE = 8


def integrated(b: Builder, c: Node, v: Variable, arguments: Sequence[Node]) -> Node | None:
    """E[c] over the law of a variable, whose arguments are given by its parameters; None where no closed form is found."""
    if v.sample.law not in MEANS and not v.event:
        return None
    if v.sample.law == "truncated_normal":
        arguments = with_moments(b, arguments, MOST_DEGREE)
    found = _elementwise(b, c, v, arguments) if not v.event else None
    return found if found is not None else _by_moments(b, c, v, arguments)


def _by_moments(b: Builder, c: Node, v: Variable, arguments: Sequence[Node]) -> Node | None:
    """The same for affine functions of several elements, by their means and covariances."""
    reads = reads_of(c, v, MOST_OPS) if v.node.dtype == "real" else None
    moments = moments_of(b, v, arguments) if reads is not None else None
    if reads is None or moments is None:
        return None
    affine = Affine(b, v, moments)
    own = [_symbol(k) for k in reads.own]
    nodes = {_symbol(k): reads.atoms[k] for k in reads.own}
    # What symbols stand for is made once it is known to be needed.
    later: list[Callable[[], Node | None]] = []

    def symbol(make: Callable[[], Node | None]) -> Any:
        later.append(make)
        return _symbol(len(reads.atoms) + len(later) - 1)

    means = {x: symbol(partial(affine.mean, nodes[x])) for x in own}
    pairs = [(x, y) for k, x in enumerate(own) for y in own[k:]]
    cov = {(x, y): symbol(partial(affine.cov, nodes[x], nodes[y])) for x, y in pairs}
    try:
        expr = _plain(to_sympy(reads.tree), reads.own)
        result = second_degree(expr, own, means, cov)
        if result is None and moments.normal:
            expr = merged(expr, own, means, cov)
            result = coupled(expr, own, cov, MOST_DEGREE) if may_be_integrated(expr, own) else None
            for x in own:
                result = None if result is None else _over(result, x, "normal", (means[x], sp.sqrt(cov[x, x])))
        elif result is None and len(own) == 1 and v.sample.law == "dirichlet":
            shapes = shares(b, v, nodes[own[0]], affine, arguments[0])
            result = _over(expr, own[0], "beta", [symbol(partial(lambda x: x, x)) for x in shapes]) if shapes else None
        if result is None:
            return None
        needed = {int(x.name[1:]) for x in result.free_symbols}
        atoms: list[Node] = [*reads.atoms]
        for k, make in enumerate(later, len(reads.atoms)):
            node = make() if k in needed else b.number(0.0)
            if node is None:
                return None
            atoms.append(node)
        return b.map(to_tree(result), atoms, "real")
    except (NotRealError, NotSeparate, KeyError):
        return None


def _elementwise(b: Builder, c: Node, v: Variable, arguments: Sequence[Node]) -> Node | None:
    """The same where elements are read one by one, or by two indices."""
    found = _flat(c, v)
    if found is None:
        return None
    tree, atoms, places = found
    own = [k for k, x in enumerate(atoms) if x.uid in places]
    if len(own) > 2:
        return None
    names = {k: places[atoms[k].uid] for k in own}
    framed: dict[int, list[int]] = {}
    for k in own:
        # The arguments of the law with the axes that the variable has here.
        rename = dict(zip(v.node.names, names[k], strict=True))
        framed[k] = []
        for x in arguments:
            atoms.append(b.rename(x, {a: n for a, n in rename.items() if a in x.names}))
            framed[k].append(len(atoms) - 1)
    try:
        expr = _plain(to_sympy(tree), own)
        result = _expected(expr, v.sample.law, [(k, framed[k]) for k in own])
        if result is None:
            return None
        node = b.map(to_tree(result), atoms, "real")
        if len(own) == 2:
            more = _diagonal(b, expr, v, own, names, framed, atoms)
            node = None if more is None else b.add([node, more])  # type: ignore[assignment]
    except (NotRealError, KeyError):
        return None
    return node


def _symbol(k: int) -> Any:
    return sp.Symbol(f"x{k}", real=True)


def _flat(c: Node, v: Variable) -> tuple[Tree, list[Node], dict[int, tuple[str, ...]]] | None:
    """The maps between a variable and an expression as one kernel over atoms: the variable, as it is called in each place, and
    what does not depend on it. None where something else lies between."""
    hit = reached([c], {v.node.uid})
    atoms: list[Node] = []
    places: dict[int, tuple[str, ...]] = {}
    trees: dict[int, Tree] = {}
    ops = 0

    def atom(node: Node) -> Tree:
        for k, known in enumerate(atoms):
            if known is node:
                return slot(k)
        atoms.append(node)
        return slot(len(atoms) - 1)

    named: dict[tuple[str, ...], Node] = {}
    for node in topological([c]):
        if node.uid not in hit:
            continue
        if node.uid == v.node.uid or (node.kind is Kind.REINDEX and node.inputs[0].uid == v.node.uid):
            names = v.node.names if node.uid == v.node.uid else node.attrs[0]
            if len(set(names)) != len(names):
                return None
            first = named.setdefault(tuple(names), node)
            trees[node.uid] = atom(first)
            places[first.uid] = tuple(names)
        elif node.kind is Kind.MAP:
            known = {k: trees[x.uid] if x.uid in hit else atom(x) for k, x in enumerate(node.inputs)}
            trees[node.uid] = substitute(node.attrs[0].tree, known)
            ops += node.attrs[0].ops
            if ops > MOST_OPS:
                return None
        else:
            return None
    return trees[c.uid], atoms, places


def _plain(expr: Any, own: Sequence[int]) -> Any:
    """The expression with integer variables as the reals that they are, and a*log(b) written out where it is linear in them."""
    symbols = {_symbol(k) for k in own}
    expr = expr.replace(lambda e: isinstance(e, v_real) and e.args[0] in symbols, lambda e: e.args[0])
    xlogy = CLASSES["xlogy"]
    return expr.replace(
        lambda e: isinstance(e, xlogy) and e.args[0].has(*symbols) and not e.args[1].has(*symbols),
        lambda e: e.args[0] * sp.log(e.args[1]),
    )


def _expected(expr: Any, law: str, variables: Sequence[tuple[int, Sequence[int]]]) -> Any:
    """The expectation over independent variables of one law, one after the other."""
    for k, arguments in variables:
        expr = _over(expr, _symbol(k), law, [_symbol(j) for j in arguments])
        if expr is None:
            return None
    return expr


def _over(expr: Any, x: Any, law: str, a: Sequence[Any]) -> Any:
    total = sp.Integer(0)
    for term in sp.Add.make_args(expr):
        found = _term(term, x, law, a)
        if found is None:
            parts = sp.Add.make_args(sp.expand(term))
            several = [_term(p, x, law, a) for p in parts] if len(parts) > 1 else [None]
            if any(p is None for p in several):
                return None
            found = sp.Add(*several)
        total += found
    return total


def _term(term: Any, x: Any, law: str, a: Sequence[Any]) -> Any:
    if not term.has(x):
        return term
    whole = _polynomial(term, x, law, a)
    if whole is not None:
        return whole
    free: list[Any] = []
    own: list[Any] = []
    for factor in sp.Mul.make_args(term):
        (own if factor.has(x) else free).append(factor)
    coefficient = sp.Mul(*free)
    special = [f for f in own if f.func in (sp.exp, sp.log, sp.cos, sp.sin)]
    rest = sp.Mul(*(f for f in own if f not in special))
    if len(special) != 1:
        return None
    (factor,) = special
    inner = factor.args[0]
    if factor.func is sp.log:
        simple = inner == x and not rest.has(x) and law in LOGARITHMS
        return coefficient * rest * LOGARITHMS[law](CLASSES["digamma"], a) if simple else None
    slope = sp.diff(inner, x)
    if law != "normal" or slope.has(x):
        return None
    mean, scale = a
    if factor.func is sp.exp:
        shifted = _polynomial(rest, x, law, (mean + slope * scale**2, scale))
        return (
            None if shifted is None else coefficient * sp.exp(inner.subs(x, mean) + (slope * scale) ** 2 / 2) * shifted
        )
    if rest.has(x):
        return None
    return coefficient * rest * sp.exp(-((slope * scale) ** 2) / 2) * factor.func(inner.subs(x, mean))


def _polynomial(expr: Any, x: Any, law: str, a: Sequence[Any]) -> Any:
    """The expectation of a polynomial in x, by its derivatives at the mean; None if it is none, or of too high a degree."""
    if not expr.has(x):
        return expr
    if any(f.has(x) for f in expr.atoms(sp.Function)):
        return None
    if any(p.base.has(x) and not (p.exp.is_Integer and p.exp.is_positive) for p in expr.atoms(sp.Pow)):
        return None
    mean = MEANS[law](*a)
    total, derivative, factorial = expr.subs(x, mean), expr, 1
    for order in range(1, MOST_DEGREE + 1):
        derivative = sp.diff(derivative, x)
        factorial *= order
        if derivative == 0:
            return total
        if order > 1:
            moment = CENTRAL[law](order, a)
            if moment is None:
                return None
            total += derivative.subs(x, mean) * moment / factorial
    return total if sp.diff(derivative, x) == 0 else None


def _diagonal(
    b: Builder,
    expr: Any,
    v: Variable,
    own: Sequence[int],
    names: dict[int, tuple[str, ...]],
    framed: dict[int, list[int]],
    atoms: Sequence[Node],
) -> Node | None:
    """What two elements of one variable add where they are the same: E[p(v, v)] less that of two independent ones."""
    first, second = own
    differ = [(x, y) for x, y in zip(names[first], names[second], strict=True) if x != y]
    if len(differ) != 1:
        return None
    ((one, other),) = differ
    same = expr.subs(_symbol(second), _symbol(first))
    for j, k in zip(framed[second], framed[first], strict=True):
        same = same.subs(_symbol(j), _symbol(k))
    together = _over(same, _symbol(first), v.sample.law, [_symbol(j) for j in framed[first]])
    if together is None:
        return None
    apart = _expected(expr, v.sample.law, [(first, framed[first]), (second, framed[second])])
    for j, k in zip(framed[second], framed[first], strict=True):
        apart = apart.subs(_symbol(j), _symbol(k))
    more = sp.simplify(together - apart)
    axes = {a.name: a for x in atoms for a in x.axes}
    return b.mul([b.map(to_tree(more), atoms, "real"), b.delta(axes[one], axes[other])])
