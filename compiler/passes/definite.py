"""Which matrices are symmetric, and which of these are positive (semi)definite, proved from the form of their entries.

Used are: sums and products entry by entry of positive semidefinite matrices are such (Schur), so are products u[r]*u[c] and
sums of them, exp of them, and exp(-g) of a g that is a sum of |u[r] - u[c]|**p, 0 < p <= 2, or a root of one (Schoenberg). What
is not proved may still be true.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from vspec.compiler.graph.builder import Builder, Hessian
from vspec.compiler.graph.classes import Classes
from vspec.compiler.graph.convex import Convexity
from vspec.compiler.graph.kernel import Tree, num, slot, slots, substitute
from vspec.compiler.graph.linalg import unrenamed
from vspec.compiler.graph.node import Kind, Node, topological
from vspec.compiler.graph.sign import DEPTH, NOTHING, Known, Sign, sign, sign_of
from vspec.compiler.passes.bands import DIAGONAL, band
from vspec.compiler.passes.diagonals import entries
from vspec.compiler.passes.lowrank import summands
from vspec.compiler.passes.patterns import Factor, factors, number_of, product, same, terms
from vspec.compiler.passes.products import Expansion

# How many nodes deep a proof goes.
DEEP = 12


def alike(x: Node, y: Node, to: Mapping[str, str], depth: int = DEEP) -> bool:
    """Whether x, its axes renamed by `to`, has the values of y for all inputs."""
    while x.kind is Kind.REINDEX:
        x, to = x.inputs[0], {n: to[t] for n, t in zip(x.inputs[0].names, x.attrs[0], strict=True)}
    while y.kind is Kind.REINDEX:
        inner = {t: n for n, t in zip(y.inputs[0].names, y.attrs[0], strict=True)}
        if len(inner) != len(y.attrs[0]) or any(to[n] not in inner for n in x.names):
            return False
        y, to = y.inputs[0], {n: inner[to[n]] for n in x.names}
    if x is y and all(to[n] == n for n in x.names):
        return True
    if depth == 0 or (x.kind, x.op, x.dtype) != (y.kind, y.op, y.dtype) or len(x.inputs) != len(y.inputs):
        return False
    if x.kind is Kind.CONST:
        return x.attrs == y.attrs and not x.axes
    if x.kind is Kind.INDEX:
        return x.attrs == y.attrs and {to[n] for n in x.names} == set(y.names) and x.op in ("value", "delta")
    if x.kind is Kind.MAP:
        matched: dict[int, Tree] = {}
        for k, i in enumerate(x.inputs):
            own = {n: to[n] for n in i.names}
            j = next((j for j, o in enumerate(y.inputs) if alike(i, o, own, depth - 1)), None)
            if j is None:
                return False
            matched[k] = slot(j)
        # Operands of y that are equal are one.
        one: dict[int, Tree] = {}
        for k, i in enumerate(y.inputs):
            equal = (j for j in range(k) if {*i.names} == {*y.inputs[j].names})
            one[k] = slot(next((j for j in equal if alike(i, y.inputs[j], {n: n for n in i.names}, depth - 1)), k))
        return same(even(substitute(x.attrs[0].tree, matched)), even(substitute(y.attrs[0].tree, one)))
    if x.kind in (Kind.REDUCE, Kind.CONTRACT):
        bound = [a for i in x.inputs for a in i.axes if a.name not in x.names]
        other = [a for i in y.inputs for a in i.axes if a.name not in y.names]
        if len(bound) != len(other) or any(a.dim != o.dim for a, o in zip(bound, other, strict=True)):
            return False
        inside = {**to, **{a.name: o.name for a, o in zip(bound, other, strict=True)}}
        left = list(y.inputs)
        for i in x.inputs:
            hit = next((o for o in left if alike(i, o, {n: inside[n] for n in i.names}, depth - 1)), None)
            if hit is None:
                return False
            left.remove(hit)
        return True
    return _one_class(x, y, to)


def _one_class(x: Node, y: Node, to: Mapping[str, str]) -> bool:
    """Whether two nodes are equal in structure, under this renaming."""
    classes = Classes()
    for node in topological([x, y]):
        classes.add(node)
    (own, names), (other, shown) = classes.faces[x.uid], classes.faces[y.uid]
    return own == other and classes.sorted(own, tuple(to[n] for n in names)) == shown


def even(tree: Tree) -> Tree:
    """The tree with differences under even functions turned one way."""
    if tree[0] in ("x", "num"):
        return tree
    parts = tuple(even(t) for t in tree[1:])
    squares = tree[0] == "pow" and parts[1][0] == "num" and parts[1][1] in (2, 4, 6, 8)
    if squares or tree[0] in ("square", "abs", "cos", "cosh"):
        parts = (_turned(parts[0]), *parts[1:])
    return (tree[0], *parts)


def _turned(tree: Tree) -> Tree:
    if tree[0] == "sub":
        return ("sub", *sorted(tree[1:], key=repr))
    if tree[0] == "neg":
        return _turned(tree[1])
    if tree[0] in ("div", "mul", "real"):
        return (tree[0], *(_turned(t) for t in tree[1:]))
    return tree


def symmetric(b: Builder, x: Node, r: str, c: str) -> bool:
    """Whether x[r, c] is x[c, r], or that of each of its terms which is not diagonal."""
    swap = {r: c, c: r}

    def same(t: Node) -> bool:
        return hessian(b, t, r, c) is not None or alike(t, t, {n: swap.get(n, n) for n in t.names})

    return same(x) or all(band(t, r, c) == DIAGONAL or same(t) for t in summands(b, x, r, c))


def hessian(b: Builder, x: Node, r: str, c: str) -> Hessian | None:
    """What x[r, c] is the Hessian of, if it is known to be one."""
    matrix, shown = unrenamed(x)
    found = b.hessians.get(matrix.uid)
    same = found is not None and {shown.get(found.rows), shown.get(found.columns)} == {r, c}
    return found if same else None


class Definite:
    """Proofs about the matrices x[r, c]. `known` are the signs of arguments, `psd` those over whose last axes they are psd."""

    def __init__(self, b: Builder, r: str, c: str, known: Known = NOTHING, psd: Collection[str] = ()) -> None:
        self.b, self.r, self.c, self.known, self.psd = b, r, c, known, psd
        self.swap = {r: c, c: r}

    def level(self, x: Node, depth: int = DEEP) -> Sign:
        """POSITIVE for positive definite, NOT_NEGATIVE for positive semidefinite."""
        r, c = self.r, self.c
        if r not in x.names and c not in x.names:
            return min(sign_of(x, DEPTH, self.known), Sign.NOT_NEGATIVE)
        curved = hessian(self.b, x, r, c)
        if curved is not None:
            return Convexity(curved.by, self.known).level(curved.value)
        if depth == 0 or r not in x.names or c not in x.names:
            return Sign.UNKNOWN
        if x.kind is Kind.INDEX and x.op == "delta":
            return Sign.POSITIVE
        if x.kind is Kind.INPUT:
            given = str(x.attrs[0]) in self.psd and {*x.names[-2:]} == {r, c}
            return Sign.NOT_NEGATIVE if given else Sign.UNKNOWN
        if x.kind is Kind.REINDEX:
            inner = {t: n for n, t in zip(x.inputs[0].names, x.attrs[0], strict=True)}
            if len(inner) != len(x.attrs[0]) or r not in inner or c not in inner:
                return Sign.UNKNOWN
            below = Definite(self.b, inner[r], inner[c], self.known, self.psd)
            return below.level(x.inputs[0], depth - 1)
        if x.kind is Kind.STOP:
            return self.level(x.inputs[0], depth - 1)
        if x.kind is Kind.CONTRACT or (x.kind is Kind.REDUCE and x.op == "sum"):
            # A sum of semidefinite matrices over anything else is one.
            if x.dtype == "integer" and x.inputs[0].kind is Kind.MAP:
                (body,) = x.inputs
                return self._product(factors(body.attrs[0].tree), body.inputs, depth - 1)
            p = Expansion(self.b, lambda n: True).run(x)
            parts: list[Factor] = [(num(p.value), 1), *((slot(k), 1) for k in range(len(p.factors)))]
            return self._product(parts, p.factors, depth - 1)
        if x.kind is not Kind.MAP or x.dtype not in ("real", "integer"):
            return Sign.UNKNOWN
        return self.tree(x.attrs[0].tree, x.inputs, depth - 1)

    def tree(self, tree: Tree, inputs: Sequence[Node], depth: int) -> Sign:
        """The same for a kernel over some operands."""
        op = tree[0]
        if op == "x":
            return self.level(inputs[tree[1]], depth)
        if not self._axes(tree, inputs):
            return min(sign(tree, inputs, DEPTH, self.known), Sign.NOT_NEGATIVE)
        if op in ("add", "sub"):
            return self._sum(terms(tree), inputs, depth)
        if op in ("mul", "div", "pow", "square", "neg"):
            return self._product(factors(tree), inputs, depth)
        if op == "real":
            return self.tree(tree[1], inputs, depth)
        if op == "exp":
            return Sign.NOT_NEGATIVE if depth > 0 and self._exponent(tree[1], inputs, depth) else Sign.UNKNOWN
        x = self.b.map(tree, inputs)
        if op == "where" and band(x, self.r, self.c) == DIAGONAL:
            return sign_of(entries(self.b, x, self.r, self.c), DEPTH, self.known)
        return Sign.UNKNOWN

    def _axes(self, tree: Tree, inputs: Sequence[Node]) -> set[str]:
        return {n for k in slots(tree) for n in inputs[k].names} & {self.r, self.c}

    def _sum(self, parts: Sequence[tuple[int, Tree]], inputs: Sequence[Node], depth: int) -> Sign:
        if any(s < 0 for s, _ in parts):
            return Sign.UNKNOWN
        found = [self.tree(t, inputs, depth) for _, t in parts]
        return max(found) if min(found) > Sign.UNKNOWN else Sign.UNKNOWN

    def _product(self, parts: Sequence[Factor], inputs: Sequence[Node], depth: int) -> Sign:
        """Of scalars, of pairs u[r]*u[c], and of matrices, entry by entry."""
        value, rest = number_of(parts)
        if not value > 0:
            return Sign.UNKNOWN
        found = [Sign.POSITIVE]
        matrices: list[Tree] = []
        sides: dict[str, list[Factor]] = {self.r: [], self.c: []}
        for t, e in rest:
            axes = self._axes(t, inputs)
            if not axes:
                found.append(self._scalar(t, e, inputs))
            elif len(axes) == 1:
                sides[axes.pop()].append((t, e))
            elif e < 1:
                return Sign.UNKNOWN
            else:
                matrices.append(t)
                found.append(self.tree(t, inputs, depth))
        every = [f for side in sides.values() for f in side]
        if any(self._diagonal(t, inputs) for t in matrices):
            whole = self.b.map(product(rest, value), inputs, "real")
            return sign_of(entries(self.b, whole, self.r, self.c), DEPTH, self.known)
        if not self._paired(sides[self.r], sides[self.c], inputs):
            return Sign.UNKNOWN
        elif not matrices or any(self._scalar(t, e, inputs) < Sign.POSITIVE for t, e in every):
            # u[r]*u[c] alone has rank one, and where u is zero so is a row.
            found.append(Sign.NOT_NEGATIVE)
        return min(found)

    def _scalar(self, tree: Tree, power: int, inputs: Sequence[Node]) -> Sign:
        """The sign of a power of a factor without rows and columns of its own."""
        own = sign(tree, inputs, DEPTH, self.known)
        if power < 0:
            return Sign.POSITIVE if own is Sign.POSITIVE or power % 2 == 0 else Sign.UNKNOWN
        return max(own, Sign.NOT_NEGATIVE) if power % 2 == 0 else own

    def _diagonal(self, tree: Tree, inputs: Sequence[Node]) -> bool:
        return band(self.b.map(tree, inputs), self.r, self.c) == DIAGONAL

    def _paired(self, rows: list[Factor], columns: list[Factor], inputs: Sequence[Node]) -> bool:
        """Whether the factors over the rows are those over the columns."""
        if len(rows) != len(columns):
            return False
        left = [(self.b.map(t, inputs), e) for t, e in columns]
        for t, e in rows:
            x = self.b.map(t, inputs)
            to = {n: self.swap.get(n, n) for n in x.names}
            hit = next((p for p in left if p[1] == e and alike(x, p[0], to)), None)
            if hit is None:
                return False
            left.remove(hit)
        return True

    def _exponent(self, tree: Tree, inputs: Sequence[Node], depth: int) -> bool:
        """Whether exp of a tree is positive semidefinite: scalars, pairs u[r] + u[c], semidefinite matrices, less distances."""
        sides: dict[str, list[Factor]] = {self.r: [], self.c: []}
        for s, t in terms(tree):
            axes = self._axes(t, inputs)
            if len(axes) == 1:
                sides[axes.pop()].append((t, s))
            elif axes and not (
                self._near(t, inputs, s, depth) or (s > 0 and self.tree(t, inputs, depth - 1) > Sign.UNKNOWN)
            ):
                return False
        return self._paired(sides[self.r], sides[self.c], inputs)

    def _near(self, tree: Tree, inputs: Sequence[Node], s: int, depth: int) -> bool:
        """Whether a signed term is minus a distance of a kind that makes exp of it positive semidefinite."""
        value, rest = number_of(factors(tree))
        if not value * s < 0:
            return False
        distances = 0
        for t, e in rest:
            if self._axes(t, inputs):
                distances += 1
                if not self.distance(t, inputs, e, depth):
                    return False
            elif e % 2 and sign(t, inputs, DEPTH, self.known) is Sign.UNKNOWN:
                return False
        return distances == 1

    def distance(self, tree: Tree, inputs: Sequence[Node], power: int, depth: int) -> bool:
        """Whether tree**power is a sum of |u[r] - u[c]|**p with weights of at least 0, or a root of one."""
        if depth == 0:
            return False
        if tree[0] in ("sub", "abs"):
            inner = tree[1] if tree[0] == "abs" else tree
            least = 1 if tree[0] == "abs" else 2
            return power in (least, 2) and inner[0] == "sub" and self._difference(inner, inputs)
        if tree[0] == "where" and len(tree) == 4 and tree[2][0] == "sqrt" and tree[2][1][0] == "where":
            # The root of a sum of squares that is safe at zero.
            return power in (1, 2) and self.distance(tree[2][1][2], inputs, 1, depth - 1)
        if tree[0] == "real":
            return self.distance(tree[1], inputs, power, depth)
        if tree[0] == "sqrt":
            return power in (1, 2) and self.distance(tree[1], inputs, 1, depth - 1)
        if tree[0] == "add" and power == 1:
            return all(self.distance(t, inputs, 1, depth - 1) for t in tree[1:])
        if tree[0] in ("mul", "div", "pow", "square"):
            value, rest = number_of(factors(tree))
            if power not in (1, 2) or (power == 1 and not value > 0):
                return False
            found = [(t, e * power) for t, e in rest if self._axes(t, inputs)]
            scalars = [(t, e * power) for t, e in rest if not self._axes(t, inputs)]
            fine = all(e % 2 == 0 or sign(t, inputs, DEPTH, self.known) > Sign.UNKNOWN for t, e in scalars)
            return fine and len(found) == 1 and self.distance(found[0][0], inputs, found[0][1], depth - 1)
        if tree[0] == "x":
            x = inputs[tree[1]]
            if x.kind is Kind.REINDEX:
                inner_names = {t: n for n, t in zip(x.inputs[0].names, x.attrs[0], strict=True)}
                if len(inner_names) != len(x.attrs[0]) or not {self.r, self.c} <= {*inner_names}:
                    return False
                below = Definite(self.b, inner_names[self.r], inner_names[self.c], self.known, self.psd)
                return below.distance(slot(0), [x.inputs[0]], power, depth - 1)
            if x.kind is Kind.REDUCE and x.op == "sum" and power == 1:
                return self.distance(slot(0), list(x.inputs), 1, depth - 1)
            if x.kind is Kind.MAP:
                return self.distance(x.attrs[0].tree, x.inputs, power, depth - 1)
        return False

    def _difference(self, tree: Tree, inputs: Sequence[Node]) -> bool:
        left, right = (self.b.map(t, inputs) for t in tree[1:])
        return alike(left, right, {n: self.swap.get(n, n) for n in left.names})
