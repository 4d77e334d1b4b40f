"""Identities by proof: whether the difference of both sides is 0 once it is simplified.

A node becomes a SymPy expression over **atoms**: elements of arguments, sums, and whatever is not a formula of elements, such as
the solution of a linear system. A sum is split into its terms, factors without its indices go in front, and its indices get
names that depend on nothing outside of it, so that two sums of the same are the same atom whatever their letters are. What
remains is scalar algebra, which is SymPy's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from itertools import permutations
from math import comb, prod
from typing import Any

import sympy as sp

from vspec.compiler.calculus.scalar import CLASSES, to_sympy
from vspec.compiler.graph.graph import Graph
from vspec.compiler.graph.kernel import Kernel, walk
from vspec.compiler.graph.node import Axis, Kind, Node
from vspec.compiler.language.spec import Spec

MOST_NODES = 2_000
QUICK, LONG = 300, 3_000
"""The most operations of a difference that is expanded, and, where a proof is asked for, simplified by all means."""

MOST_TERMS = 5_000
"""The most terms of any part of an expression that is expanded."""

Index = Any
"""Where an element stands along an axis: the name of an index, a number, or what is computed of one, as nested tuples."""


class TooLong(Exception):  # noqa: N818 (says why a proof is given up)
    """The formula is longer than a proof is worth."""


def proved_identities(graph: Graph, spec: Spec) -> frozenset[str]:
    """The identities of a spec whose sides are shown to be the same, of those that may be shown by proof.

    Args:
        graph: with equal nodes made one, as the pass `intern` does.
        spec: the checked spec.
    """
    errors = {r.path[0]: r.node for e in graph.entries if e.kind == "claims" for r in e.results}
    found = set()
    for name, claim in spec.claims.items():
        node = errors.get(f"{name}.error")
        if claim.left is not None and claim.by != "points" and node is not None:
            positive = frozenset(p for p, param in spec.params.items() if param.domain.kind == "positive")
            if is_zero(node, Algebra(positive, graph.dims), thorough=claim.by == "proof"):
                found.add(name)
    return frozenset(found)


def is_zero(node: Node, algebra: Algebra, thorough: bool = True) -> bool:
    """Whether a node is shown to be 0 at every point where it has a value; False where this is not known.

    Args:
        node: a real quantity.
        algebra: what is known about arguments and sizes.
        thorough: whether to simplify by all means, which takes longer.
    """
    while node.kind is Kind.REDUCE and node.op == "max":
        node = node.inputs[0]
    try:
        return _vanishes(algebra.form(node, {a.name: a.name for a in node.axes}), thorough)
    except (TooLong, RecursionError, NotImplementedError, ValueError, TypeError, AttributeError):
        # SymPy gives up in many ways; none of them is a proof.
        return False


def _vanishes(gap: Any, thorough: bool) -> bool:
    while isinstance(gap, sp.Abs):
        gap = gap.args[0]
    ops = int(sp.count_ops(gap))
    if ops > (LONG if thorough else QUICK):
        raise TooLong
    ways: tuple[Any, ...] = (expanded,)
    if thorough:
        ways = (expanded, lambda e: sp.cancel(sp.together(e)), sp.simplify)
    return bool(gap.is_zero) or any(bool(way(gap).is_zero) for way in ways)


def expanded(expr: Any) -> Any:
    """The expression multiplied out.

    Raises:
        TooLong: it, or a part of it, would have too many terms.
    """
    _terms(expr)
    return sp.expand(expr)


def _terms(expr: Any) -> int:
    """How many terms an expression has at most once it is multiplied out."""
    parts = [_terms(a) for a in expr.args]
    if expr.is_Add:
        count = sum(parts)
    elif expr.is_Mul:
        count = prod(parts)
    elif expr.is_Pow and expr.exp.is_number and parts[0] > 1:
        # (x1 + ... + xk)^n has a term for each way to write n as k numbers; of a fraction, the whole part is multiplied out.
        whole = int(abs(expr.exp)) if expr.exp.is_real else 0
        count = comb(whole + parts[0] - 1, parts[0] - 1) if whole <= MOST_TERMS else whole
    else:
        count = 1
    if count > MOST_TERMS:
        raise TooLong
    return count


PLAIN: Mapping[str, Any] = {
    "abs": sp.Abs,
    "real": lambda x: x,
    "log1p": lambda x: sp.log(1 + x),
    "expm1": lambda x: sp.exp(x) - 1,
    "sigmoid": lambda x: 1 / (1 + sp.exp(-x)),
    "log_sigmoid": lambda x: -sp.log(1 + sp.exp(-x)),
    "softplus": lambda x: sp.log(1 + sp.exp(x)),
    "hypot": lambda x, y: sp.sqrt(x**2 + y**2),
    "xlogy": lambda x, y: x * sp.log(y),
}
"""Functions that programs compute in a way of their own, as the formulas that they are."""


@cache
def plain(k: Kernel) -> Any:
    """The expression of a kernel with these functions written out."""
    expr = to_sympy(k.tree)
    for op in {t[0] for t in walk(k.tree)} & PLAIN.keys() & CLASSES.keys():
        expr = expr.replace(CLASSES[op], PLAIN[op])
    return expr


def unguarded(expr: Any) -> Any:
    """The expression with the square root of a norm without its guard at 0."""
    where, above, x = CLASSES["where"], CLASSES["gt"], sp.Wild("x")
    if not expr.has(where):
        return expr
    return expr.replace(where(above(x, 0), sp.sqrt(where(above(x, 0), x, 1)), 0), sp.sqrt(x))


@dataclass
class Algebra:
    """Nodes as expressions over atoms; an atom is a symbol whose key says what it stands for."""

    positive: frozenset[str] = frozenset()
    dims: Mapping[str, Any] = field(default_factory=dict)
    atoms: dict[Any, Any] = field(default_factory=dict)
    keys: dict[Any, Any] = field(default_factory=dict)
    heights: dict[Any, int] = field(default_factory=dict)
    forms: dict[Any, Any] = field(default_factory=dict)
    seen: int = 0

    def atom(self, key: Any, height: int = 0, positive: bool | None = None) -> Any:
        """The symbol of a key; `height` is how deeply sums are nested in it."""
        if key not in self.atoms:
            symbol = sp.Symbol(f"a{len(self.atoms)}", real=True, positive=positive)
            self.atoms[key], self.keys[symbol], self.heights[symbol] = symbol, key, height
        return self.atoms[key]

    def form(self, node: Node, at: Mapping[str, Index]) -> Any:
        """The expression of a node's element at these places along its axes."""
        where = tuple(at[a.name] for a in node.axes)
        found = self.forms.get((node.uid, where))
        if found is None:
            self.seen += 1
            if self.seen > MOST_NODES:
                raise TooLong
            found = self.forms[node.uid, where] = self.made(node, at, where)
        return found

    def made(self, node: Node, at: Mapping[str, Index], where: tuple[Index, ...]) -> Any:
        """`form` of a node that is met there for the first time."""
        match node.kind:
            case Kind.INPUT:
                name = node.attrs[0]
                return self.atom(("argument", name, where), positive=True if name in self.positive else None)
            case Kind.CONST if node.op == "number":
                return to_sympy(("num", node.attrs[0]))
            case Kind.CONST if node.op == "size":
                return self.size(node.attrs[0])
            # Kernels that split complex values or join them know no SymPy: a part is an atom.
            case Kind.MAP if all(x.dtype != "complex" for x in (node, *node.inputs)):
                values = {
                    f"x{k}": self.form(x, {a.name: at[a.name] for a in x.axes}) for k, x in enumerate(node.inputs)
                }
                tree = plain(node.attrs[0])
                return unguarded(tree.xreplace({s: values[s.name] for s in tree.free_symbols}))
            case Kind.REINDEX:
                (x,) = node.inputs
                return self.form(x, {a.name: at[target] for a, target in zip(x.axes, node.attrs[0], strict=True)})
            case Kind.STOP:
                return self.form(node.inputs[0], at)
            case Kind.REDUCE if node.op == "sum":
                (x,) = node.inputs
                bound = [a for a in x.axes if a.name in node.attrs[0]]
                return self.sum(bound, lambda inside: self.form(x, {**inside, **_kept(x, at, bound)}))
            case Kind.REDUCE if node.op == "logsumexp":
                (x,) = node.inputs
                bound = [a for a in x.axes if a.name in node.attrs[0]]
                return sp.log(self.sum(bound, lambda inside: sp.exp(self.form(x, {**inside, **_kept(x, at, bound)}))))
            case Kind.CONTRACT:
                bound = list({a.name: a for x in node.inputs for a in x.axes if a.name not in node.names}.values())
                return self.sum(
                    bound,
                    lambda inside: sp.Mul(
                        *(self.form(x, {**_of(x, inside), **_kept(x, at, bound)}) for x in node.inputs)
                    ),
                )
            case Kind.WINDOW if node.op == "at":
                (x,) = node.inputs
                axis, position = node.attrs
                return self.form(x, {**_others(x, at, axis), axis: ("position", position)})
            case Kind.WINDOW if node.op == "affine":
                (x,) = node.inputs
                axis, new, scale, offset = node.attrs
                return self.form(x, {**_others(x, at, axis), axis: ("affine", at[new], scale, offset)})
            case Kind.INDEX if node.op == "delta" and where[0] == where[1]:
                return sp.Integer(1)
        # Whatever else it is: equal nodes are one, so that its identity says what it computes.
        return self.atom(("node", node.uid, where))

    def size(self, dim: str) -> Any:
        """The number of values of a dim."""
        known = self.dims.get(dim)
        return sp.Integer(known) if isinstance(known, int) else self.atom(("size", dim), positive=True)

    def sum(self, bound: list[Axis], body: Any) -> Any:
        """The sum of a body over some axes, term by term."""
        local = {a.name: ("bound", a.name, a.dim, self.seen) for a in bound}
        dims = {token: a.dim for a, token in zip(bound, local.values(), strict=True)}
        total = sp.Integer(0)
        for term in sp.Add.make_args(expanded(body(local))):
            inside = [s for s in term.free_symbols if self.mentions(self.keys[s], dims)]
            factor, rest = term.as_independent(*inside, as_Add=False) if inside else (term, sp.Integer(1))
            used = [token for token in dims if any(self.mentions(self.keys[s], {token: ""}) for s in inside)]
            for token in dims:
                if token not in used:
                    factor *= self.size(dims[token])
            total += factor * (self.summed(used, dims, rest) if used else rest)
        return total

    def summed(self, used: list[Any], dims: Mapping[Any, str], rest: Any) -> Any:
        """The atom of a sum whose body depends on all of its indices: they get the names under which it is first in order."""
        if len(used) > 4:
            raise TooLong
        height = 1 + max((self.heights[s] for s in rest.free_symbols), default=0)
        forms = []
        for order in permutations(used):
            names = {token: ("sum", height, k) for k, token in enumerate(order)}
            renamed = self.renamed(rest, names)
            forms.append((sp.srepr(renamed), tuple(dims[token] for token in order), renamed))
        _, over, least = min(forms, key=lambda f: f[:2])
        return self.atom(("total", over, least), height, True if least.is_positive else None)

    def mentions(self, key: Any, tokens: Mapping[Any, str]) -> bool:
        """Whether what a key stands for depends on some of these indices."""
        if isinstance(key, tuple):
            return key in tokens or any(self.mentions(part, tokens) for part in key)
        if isinstance(key, sp.Basic):
            return any(self.mentions(self.keys[s], tokens) for s in key.free_symbols)
        return False

    def renamed(self, expr: Any, names: Mapping[Any, Any]) -> Any:
        """The expression with other names for indices."""
        changes = {}
        for s in expr.free_symbols:
            if self.mentions(self.keys[s], names):
                changes[s] = self.atom(self._key(self.keys[s], names), self.heights[s], s.is_positive)
        return expr.xreplace(changes)

    def _key(self, key: Any, names: Mapping[Any, Any]) -> Any:
        if isinstance(key, tuple):
            return names[key] if key in names else tuple(self._key(part, names) for part in key)
        return self.renamed(key, names) if isinstance(key, sp.Basic) else key


def _of(x: Node, places: Mapping[str, Index]) -> dict[str, Index]:
    return {a.name: places[a.name] for a in x.axes if a.name in places}


def _kept(x: Node, at: Mapping[str, Index], bound: list[Axis]) -> dict[str, Index]:
    inside = {a.name for a in bound}
    return {a.name: at[a.name] for a in x.axes if a.name not in inside}


def _others(x: Node, at: Mapping[str, Index], axis: str) -> dict[str, Index]:
    return {a.name: at[a.name] for a in x.axes if a.name != axis}
