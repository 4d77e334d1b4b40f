"""Second derivatives in one forward sweep: value, first derivatives along rows, and a sum of second ones, together.

For a quantity u and pairs of directions s_r, t_r with weights w_r, every node v between the variables and u gets, beside its
value, the derivatives J_r = Dv[s_r], J'_r = Dv[t_r] and the sum L = sum_r w_r D2v[s_r, t_r]. Through a pointwise f of nodes x_k:

    J = sum_k f_k J(x_k)        L = sum_k f_k L(x_k) + sum_kl f_kl sum_r w_r J_r(x_k) J'_r(x_l)

What is linear passes L on as it is; products and linear algebra follow from the product rule. All are terms with deltas
(`terms.py`), so that a function of each element, or of each particle, keeps the Jacobian of one: deltas are only multiplied
out where something mixes the values along their axes. With the Laplacian's weights this is the forward Laplacian of
Li et al. (2024), "A computational framework for neural network-based variational Monte Carlo with forward Laplacian".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from vspec.compiler.calculus import jvp
from vspec.compiler.calculus.apart import apart
from vspec.compiler.calculus.determinant import cofactors
from vspec.compiler.calculus.linear import inverse_transposed
from vspec.compiler.calculus.scalar import partial, partial_by_value
from vspec.compiler.calculus.special import NoDerivative, NoWay
from vspec.compiler.calculus.sweeps import depends, forward
from vspec.compiler.calculus.terms import Algebra, Term, Terms
from vspec.compiler.calculus.vjp import through_kernel, times
from vspec.compiler.graph.guard import may_be_infinite
from vspec.compiler.graph.kernel import Kernel, Tree, kernel, num, slot, slots, walk
from vspec.compiler.graph.node import Kind, Node

Seeds = Mapping[int, Sequence[Term]]

LINEAR = frozenset({Kind.REINDEX, Kind.WINDOW, Kind.GATHER, Kind.SCATTER, Kind.CONCAT, Kind.STOP})


@dataclass(frozen=True, slots=True)
class Pairing:
    """How pairs of directions are summed: over `rows`, with the weight `weigh` gives at a node (None for 1).

    `first` and `second` say along which directions; `other` renames the rows of first derivatives to those of the second ones,
    where both go along the same directions under other names.
    """

    first: Seeds
    second: Seeds | None
    rows: tuple[str, ...]
    weigh: Callable[[Node], Node | None]
    other: Mapping[str, str]


def second_order(a: Algebra, nodes: Sequence[Node], p: Pairing) -> dict[int, list[Term]]:
    """The sums of second derivatives of nodes, by uid; `nodes` are what a derivative by the seeds flows through.

    Raises NoWay where a loop or a search lies between.
    """
    return _Sweep(a, nodes, p).run()


def first_order(a: Algebra, nodes: Sequence[Node], seeds: Seeds) -> dict[int, list[Term]]:
    """The first derivatives of nodes along the rows of the seeds, as `second_order` takes them on its way: where both are asked
    for, they are the same nodes. Raises NoWay where a loop or a search lies between."""
    return _Sweep(a, nodes, Pairing(seeds, None, (), lambda node: None, {})).run(curved=False)


class _Sweep:
    """One sweep over the nodes, with what it has found of each."""

    def __init__(self, a: Algebra, nodes: Sequence[Node], p: Pairing) -> None:
        self.a = a
        self.b = a.b
        self.nodes = nodes
        self.p = p
        self.one: dict[int, list[Term]] = {uid: list(terms) for uid, terms in p.first.items()}
        self.two: dict[int, list[Term]] = {}
        self.sums: dict[int, list[Term]] = {}
        self.slopes: dict[tuple[int, int], Node] = {}
        if p.second is None:
            self.two = {uid: self._turned(terms) for uid, terms in self.one.items()}
        else:
            self.two = {uid: list(terms) for uid, terms in p.second.items()}

    def run(self, curved: bool = True) -> dict[int, list[Term]]:
        """The sums of second derivatives; first derivatives alone where these are not wanted."""
        for node in self.nodes:
            if node.uid not in self.p.first and (self.p.second is None or node.uid not in self.p.second):
                self._visit(node, curved)
        return self.sums if curved else self.one

    def _visit(self, node: Node, curved: bool) -> None:
        with self.b.at(node.origin._replace(role="tangent")):
            if node.kind not in jvp.RULES:
                raise NoWay("no sweep takes second derivatives through a loop or a search", node.origin)
            whole, parts = self._apart(node)
            for part in parts:
                self._visit(part, curved)
            if curved:
                total = self._moved(whole, self.sums)
                for term in self._curvature(whole):
                    total.add(term)
                self.sums[node.uid] = total.collect(self.b)
            self.one[node.uid] = self._moved(whole, self.one).collect(self.b)
            if self.p.second is not None:
                self.two[node.uid] = self._moved(whole, self.two).collect(self.b)
            elif curved:
                self.two[node.uid] = self._turned(self.one[node.uid])

    def _apart(self, node: Node) -> tuple[Node, list[Node]]:
        if node.kind is not Kind.MAP:
            return node, []
        return apart(self.b, node, [k for k, x in enumerate(node.inputs) if self._varies(x)], functions=True)

    def _varies(self, x: Node) -> bool:
        return bool(self.one.get(x.uid) or self.two.get(x.uid))

    def _turned(self, terms: Sequence[Term]) -> list[Term]:
        """First derivatives with their rows under the names of the second ones."""
        return [self.a.rename(t, self.p.other) for t in terms] if self.p.other else list(terms)

    # --- what is linear -----------------------------------------------------------------------------------------

    def _moved(self, node: Node, known: Mapping[int, Sequence[Term]]) -> Terms:
        """The derivative of a node along those of its inputs that are known."""
        found = Terms()
        for k, operand in enumerate(node.inputs):
            for term in known.get(operand.uid, ()):
                moved = self._through(node, term, k)
                if moved is not None:
                    found.add(moved)
        return found

    def _through(self, node: Node, term: Term, k: int) -> Term | None:
        if node.kind is Kind.MAP:
            return self._map(node, term, k)
        if node.kind is Kind.LINALG and node.op in ("det", "logdet"):
            # Elementwise, so that a matrix whose rows depend on one particle each keeps its deltas.
            ((rows, columns),) = node.attrs[0]
            weights = cofactors(self.a, node) if node.op == "det" else self._inverse(node)
            return self.a.sum(Term(self.b.mul([term.node, weights]), term.pairs), (rows, columns))
        return jvp.RULES[node.kind](self.a, node, term, k)

    def _map(self, node: Node, term: Term, k: int) -> Term | None:
        """Through a kernel. Its slope is a node of its own: all rows, and the sums of second derivatives, read it."""
        try:
            tree = partial_by_value(node.attrs[0], k)
        except NoDerivative as e:
            raise e.at(node.origin) from None
        if tree == num(0):
            return None
        if _branches(tree) or tree[0] in ("num", "x"):
            moved = through_kernel(self.a, node, term.node, k)
            return None if moved is None else Term(moved, term.pairs)
        return Term(self.b.mul([self._slope(node, k, tree), term.node]), term.pairs)

    def _slope(self, node: Node, k: int, tree: Tree) -> Node:
        if (node.uid, k) not in self.slopes:
            self.slopes[node.uid, k] = self.b.map(tree, [*node.inputs, node], "real")
        return self.slopes[node.uid, k]

    # --- what is not --------------------------------------------------------------------------------------------

    def _curvature(self, node: Node) -> list[Term]:
        """The part of the second derivatives of a node that comes from the first ones of its inputs."""
        if node.kind in LINEAR:
            return []
        if node.kind is Kind.MAP:
            return self._curved_map(node)
        if node.kind is Kind.REDUCE:
            if node.op == "sum" or node.op in ("max", "min"):
                return []
            if node.op == "logsumexp":
                return self._curved_logsumexp(node)
        if node.kind is Kind.CONTRACT:
            return self._curved_contract(node)
        if node.kind is Kind.CUMULATE and node.op in ("sum", "argsort"):
            return []
        if node.kind is Kind.LINALG:
            if node.op == "solve":
                return self._curved_solve(node)
            if node.op in ("logdet", "det"):
                return self._curved_determinant(node)
        return self._curved(node)

    def _products(self, left: Sequence[Term], right: Sequence[Term], factors: Sequence[Node] = ()) -> Terms:
        """The products of first derivatives, times factors, before any sum. Deltas are their own squares."""
        found = Terms()
        for x in left:
            for y in right:
                found.add(Term(self.b.mul([*factors, x.node, y.node]), x.pairs | y.pairs))
        return found

    def _summed(self, node: Node, products: Terms, over: Sequence[str] = ()) -> list[Term]:
        """Products summed over the rows with their weight, and over further axes."""
        weight = self.p.weigh(node)
        found = Terms()
        for term in products.collect(self.b):
            whole = term.node if weight is None else self.b.mul([weight, term.node])
            found.add(self.a.sum(Term(whole, term.pairs), (*over, *self.p.rows)))
        return found.collect(self.b)

    def _inner(self, node: Node, k: int, m: int) -> list[Term]:
        """The sum over the rows of the products of the first derivatives of two inputs, in both orders if they are two."""
        left, right = node.inputs[k].uid, node.inputs[m].uid
        products = self._products(self.one.get(left, ()), self.two.get(right, ()))
        if k == m:
            return self._summed(node, products)
        if self.p.second is None and not self.p.other:
            return [Term(self.b.mul([self.b.number(2.0), t.node]), t.pairs) for t in self._summed(node, products)]
        for pairs, found in self._products(self.one.get(right, ()), self.two.get(left, ())).by_pairs.items():
            products.by_pairs.setdefault(pairs, []).extend(found)
        return self._summed(node, products)

    def _varying(self, node: Node) -> list[int]:
        return [k for k, x in enumerate(node.inputs) if self._varies(x)]

    def _curved_map(self, node: Node) -> list[Term]:
        found = []
        varying = self._varying(node)
        for at, k in enumerate(varying):
            for m in varying[at:]:
                tree = curvature(node.attrs[0], k, m)
                if tree == num(0):
                    continue
                operands = [*node.inputs, node]
                terms = self._inner(node, k, m)
                if not _branches(tree):
                    factor = self.b.map(tree, operands, "real")
                    found += [Term(self.b.mul([factor, t.node]), t.pairs) for t in terms]
                    continue
                for t in terms:
                    # Into the branches, so that one which is not taken adds nothing, whatever it is.
                    whole = times(slot(len(operands)), tree, may_be_infinite(t.node))
                    found.append(Term(self.b.map(whole, [*operands, t.node], "real"), t.pairs))
        return found

    def _curved_logsumexp(self, node: Node) -> list[Term]:
        """D2[J, J'] = sum_i p_i J_i J'_i - (sum_i p_i J_i)(sum_i p_i J'_i), p the softmax."""
        (x,), over = node.inputs, node.attrs[0]
        share = self.b.map(("exp", ("sub", slot(0), slot(1))), [x, node], "real")
        inside = self._products(self.one.get(x.uid, ()), self.two.get(x.uid, ()), [share])
        one, two = (
            [t for term in known.get(x.uid, ()) if (t := jvp.RULES[node.kind](self.a, node, term, 0)) is not None]
            for known in (self.one, self.two)
        )
        minus = self.b.number(-1.0)
        return self._summed(node, inside, over) + self._summed(node, self._products(one, two, [minus]))

    def _curved_contract(self, node: Node) -> list[Term]:
        found = []
        inside = list(dict.fromkeys(n for x in node.inputs for n in x.names if n not in node.names))
        varying = self._varying(node)
        for at, k in enumerate(varying):
            for m in varying[at + 1 :]:
                others = [x for j, x in enumerate(node.inputs) if j not in (k, m)]
                products = Terms()
                orders = [(k, m), (m, k)]
                for left, right in orders:
                    one, two = self.one.get(node.inputs[left].uid, ()), self.two.get(node.inputs[right].uid, ())
                    for pairs, nodes in self._products(one, two, others).by_pairs.items():
                        products.by_pairs.setdefault(pairs, []).extend(nodes)
                found += self._summed(node, products, inside)
        return found

    def _curved_solve(self, node: Node) -> list[Term]:
        """X = inv(A) b: D2X[J, J'] = -inv(A) (J(A) J'(X) + J'(A) J(X)), besides what L(A) and L(b) give."""
        matrix = node.inputs[0].uid
        if not self.one.get(matrix) and not self.two.get(matrix):
            return []
        (_, columns), _ = node.attrs[0]
        one, two = (self._moved(node, known).collect(self.b) for known in (self.one, self.two))
        products = Terms()
        for left, right in ((self.one.get(matrix, ()), two), (one, self.two.get(matrix, ()))):
            for pairs, nodes in self._products(left, right).by_pairs.items():
                products.by_pairs.setdefault(pairs, []).extend(nodes)
        found = []
        for term in self._summed(node, products, [columns]):
            moved = jvp.RULES[node.kind](self.a, node, Term(self.b.neg(term.node), term.pairs), 1)
            found += [moved] if moved is not None else []
        return found

    def _curved_determinant(self, node: Node) -> list[Term]:
        """D2 log det[J, J'] = -tr(V J V J'), V the inverse; D2 det = det ((tr V J)(tr V J') - tr(V J V J'))."""
        a, b = self.a, self.b
        (x,) = node.inputs
        ((rows, columns),) = node.attrs[0]
        inverse = self._inverse(node)
        to = {rows: a.fresh(a.axis(rows)).name, columns: a.fresh(a.axis(columns)).name}
        found: list[Term] = []
        for t in self.one.get(x.uid, ()):
            for u in (a.rename(t, to) for t in self.two.get(x.uid, ())):
                if _partner(t, rows) is not None and _partner(t, rows) == _partner(u, to[rows]):
                    # One row depends on one direction, so that V J has one column that is not 0: the trace is a square.
                    back = a.rename(u, {v: k for k, v in to.items()})
                    one, two = (a.sum(Term(b.mul([y.node, inverse]), y.pairs), [columns]) for y in (t, back))
                    found += self._summed(node, self._products([one], [two]), [rows])
                    continue
                # V J over (column, column'), and V J' over (column', column).
                one = a.sum(Term(b.mul([b.rename(inverse, {columns: to[columns]}), t.node]), t.pairs), [rows])
                two = a.sum(Term(b.mul([b.rename(inverse, {rows: to[rows]}), u.node]), u.pairs), [to[rows]])
                found += self._summed(node, self._products([one], [two]), [columns, to[columns]])
        scale = [b.number(-1.0)] if node.op == "logdet" else [b.number(-1.0), node]
        found = [Term(b.mul([*scale, t.node]), t.pairs) for t in found]
        if node.op == "logdet":
            return found
        first, second = (
            [a.sum(Term(b.mul([t.node, inverse]), t.pairs), (rows, columns)) for t in known.get(x.uid, ())]
            for known in (self.one, self.two)
        )
        return found + self._summed(node, self._products(first, second, [node]))

    def _inverse(self, node: Node) -> Node:
        key = (node.uid, -1)
        if key not in self.slopes:
            self.slopes[key] = inverse_transposed(self.a, node)
        return self.slopes[key]

    def _curved(self, node: Node) -> list[Term]:
        """By a forward sweep through the node's own tangent, in which first derivatives are held."""
        a, b = self.a, self.b
        holds: dict[int, list[Term]] = {}
        along: dict[int, list[Term]] = {}
        for k in self._varying(node):
            operand = node.inputs[k]
            for known, into in ((self.one, holds), (self.two, along)):
                settled = [a.settle(t).node for t in known.get(operand.uid, ())]
                if settled:
                    into[operand.uid] = [Term(b.hold(a.spread(b.add(settled), operand.names)))]
        tangent = [t.node for t in self._moved(node, holds).collect(b)]
        if not tangent:
            return []
        operands = [x for x in node.inputs if x.uid in along]
        held = {t.node.uid for terms in (*holds.values(), *along.values()) for t in terms}
        total = b.add(tangent)
        between = depends([total], operands, held)
        if not any(n.uid == total.uid for n in between):
            return []
        for n in between:
            a.see(n.axes)
            for i in n.inputs:
                a.see(i.axes)
        products = Terms()
        for term in forward(a, along, between)[total.uid]:
            products.add(term)
        return self._summed(node, products)


def _partner(t: Term, axis: str) -> str | None:
    """The axis that an axis agrees with by a delta, if there is just one."""
    found = [x if y == axis else y for x, y in t.pairs if axis in (x, y)]
    return found[0] if len(found) == 1 else None


def _branches(tree: Tree) -> bool:
    return any(t[0] == "where" for t in walk(tree))


@cache
def curvature(k: Kernel, first: int, second: int) -> Tree:
    """The second derivative of a kernel by two slots, in which its own value may be read in slot number `k.arity`."""
    slope = partial_by_value(k, first)
    inner = kernel(slope)
    tree = partial(inner, second) if inner.arity > second else num(0)
    if k.arity in slots(slope):
        by_value = partial(inner, k.arity)
        other = partial_by_value(k, second)
        if by_value != num(0) and other != num(0):
            chained = times(other, by_value) if by_value != num(1) else other
            tree = chained if tree == num(0) else ("add", tree, chained)
    return tree


__all__ = ["Pairing", "curvature", "first_order", "second_order"]
