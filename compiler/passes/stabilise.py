"""Rewrites formulas into forms that neither overflow nor cancel: log-sum-exp, softplus, log1p, expm1, softmax, xlogy, norms,
tails of distribution functions.

Each rule is exact: the new form has the value of the old one wherever that is defined (and 0 for `0*log(0)`). The rules also
apply while a spec is lowered, before it is differentiated, so that derivatives are those of the stable form.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction

from vspec.compiler.graph.builder import Rule
from vspec.compiler.graph.graph import Graph
from vspec.compiler.graph.kernel import Tree, num, slots
from vspec.compiler.graph.node import Kind, Node
from vspec.compiler.graph.rewrite import apply_rules
from vspec.compiler.passes.logarithms import exponentials, is_sum, logarithm, split
from vspec.compiler.passes.patterns import (
    Factor,
    Scope,
    factors,
    first_of,
    is_num,
    kernel_rule,
    neg,
    number_of,
    product,
    same,
    terms,
    times,
    total,
)

DOC = "Values and gradients are finite at ±1e4 in float32 where the true ones are finite."


def run(graph: Graph) -> Graph:
    """The graph with stable forms throughout."""
    return apply_rules(graph, STABILISE_RULES)


@kernel_rule("div", "pow")
def sigmoid_of_quotient(scope: Scope, tree: Tree) -> Tree | None:
    """1/(1 + exp(-a)) → sigmoid(a); exp(a)/(1 + exp(a)) → sigmoid(a); with higher powers below likewise."""
    parts = factors(tree)
    for k, (below, e) in enumerate(parts):
        a = _one_plus_exp(scope, below) if e < 0 else None
        if a is None:
            continue
        rest = parts[:k] + parts[k + 1 :]
        for j, (above, f) in enumerate(rest):
            # A sum above that holds exp(a) is divided term by term, or it would overflow on its own.
            if f == 1 and e == -1 and above[0] in ("add", "sub") and _mentions(scope, above, a):
                others = rest[:j] + rest[j + 1 :]
                return total([(s, product([(t, 1), *others, (below, -1)])) for s, t in terms(above)])
        hits = 0
        for j, (above, f) in enumerate(rest):
            seen = scope.view(above)
            if seen[0] == "exp" and f > 0 and same(seen[1], a):
                hits = min(f, -e)
                rest[j] = (above, f - hits)
        rest += [(("sigmoid", a), hits), (("sigmoid", neg(a)), -e - hits)]
        return product([f for f in rest if f[1] != 0])
    return None


def _one_plus_exp(scope: Scope, tree: Tree) -> Tree | None:
    parts = terms(scope.view(tree))
    if len(parts) != 2 or any(s < 0 for s, _ in parts):
        return None
    rest = [t for _, t in parts if not is_num(t, 1)]
    seen = scope.view(rest[0]) if len(rest) == 1 else num(0)
    return seen[1] if seen[0] == "exp" else None


def _mentions(scope: Scope, tree: Tree, a: Tree) -> bool:
    views = [scope.view(u) for _, t in terms(tree) for u, _ in factors(t)]
    return any(v[0] == "exp" and same(v[1], a) for v in views)


@kernel_rule("mul", "div", having=("sigmoid",))
def exp_times_sigmoid(scope: Scope, tree: Tree) -> Tree | None:
    """exp(a)*sigmoid(-a) → sigmoid(a)."""
    parts = factors(tree)
    for k, (t, e) in enumerate(parts):
        for j, (u, f) in enumerate(parts):
            if t[0] == "exp" and u[0] == "sigmoid" and e > 0 and f > 0 and same(neg(t[1]), u[1]):
                used = min(e, f)
                parts[k], parts[j] = (t, e - used), (u, f - used)
                return product([*(p for p in parts if p[1] != 0), (("sigmoid", t[1]), used)])
    return None


@kernel_rule("add", "sub", having=("sigmoid",))
def one_minus_sigmoid(scope: Scope, tree: Tree) -> Tree | None:
    """1 - sigmoid(a) → sigmoid(-a)."""
    return _pair(tree, 1, "sigmoid", lambda t: (1, ("sigmoid", neg(t[1]))))


@kernel_rule("add", "sub", having=("erf", "erfc", "ndtr", "gammainc", "gammaincc"))
def one_minus_probability(scope: Scope, tree: Tree) -> Tree | None:
    """1 - erf(a) → erfc(a), 1 + erf(a) → erfc(-a), 1 - erfc(a) → erf(a), 1 - ndtr(a) → ndtr(-a), and 1 - gammainc(a, b) →
    gammaincc(a, b) and back: what is small is computed as such."""
    for op, merged in COMPLEMENTS.items():
        found = _pair(tree, 1, op, merged)
        if found is not None:
            return found
    parts = terms(tree)
    for k, (s, t) in enumerate(parts):
        j = next((i for i, (r, u) in enumerate(parts) if is_num(u, 1) and r == s), None)
        if t[0] == "erf" and slots(t) and j is not None:
            return total([(s, ("erfc", neg(t[1]))), *(p for i, p in enumerate(parts) if i not in (k, j))])
    return None


COMPLEMENTS: dict[str, Callable[[Tree], tuple[int, Tree]]] = {
    "erf": lambda t: (1, ("erfc", t[1])),
    "erfc": lambda t: (1, ("erf", t[1])),
    "ndtr": lambda t: (1, ("ndtr", neg(t[1]))),
    "gammainc": lambda t: (1, ("gammaincc", *t[1:])),
    "gammaincc": lambda t: (1, ("gammainc", *t[1:])),
}


@kernel_rule("add", "sub", having=("exp",))
def exp_minus_one(scope: Scope, tree: Tree) -> Tree | None:
    """exp(a) - 1 → expm1(a), for an a that is not constant."""
    return _pair(tree, 1, "exp", lambda t: (-1, ("expm1", t[1])))


def _pair(tree: Tree, value: int, op: str, merged: object) -> Tree | None:
    """In a sum, `value` and `op(a)` with opposite signs become one term."""
    assert callable(merged)
    parts = terms(tree)
    for k, (s, t) in enumerate(parts):
        if t[0] != op or not slots(t):
            continue
        for j, (r, u) in enumerate(parts):
            if is_num(u, value) and r == -s:
                sign, new = merged(t)
                rest = [p for i, p in enumerate(parts) if i not in (k, j)]
                return total([(r * sign, new), *rest])
    return None


@kernel_rule("mul", "div", having=("exp", "expm1", "sinh"))
def tanh_of_exponentials(scope: Scope, tree: Tree) -> Tree | None:
    """(exp(a) - exp(-a))/(exp(a) + exp(-a)) → tanh(a); expm1(2a)/(exp(2a) + 1) → tanh(a); sinh(a)/cosh(a) → tanh(a)."""
    parts = factors(tree)
    for k, (t, e) in enumerate(parts):
        if e != 1 or t[0] not in ("expm1", "sinh", "sub"):
            continue
        for j, (u, f) in enumerate(parts):
            new = _tanh(scope, t, u, f)
            if new is not None:
                left = f + 1 if f < 0 else f - 1
                rest = [p for i, p in enumerate(parts) if i not in (k, j)]
                return product([*rest, (new, 1), *([(u, left)] if left else [])])
    return None


def _tanh(scope: Scope, t: Tree, u: Tree, f: int) -> Tree | None:
    if t[0] == "sinh":
        return ("tanh", t[1]) if f < 0 and u[0] == "cosh" and same(t[1], u[1]) else None
    if t[0] == "expm1":
        if f > 0 and u[0] == "sigmoid" and same(neg(t[1]), u[1]):
            return ("tanh", ("div", t[1], num(2)))
        a = _one_plus_exp(scope, u) if f < 0 else None
        return ("tanh", ("div", t[1], num(2))) if a is not None and same(a, t[1]) else None
    over, under = terms(t), terms(u)
    if f >= 0 or len(over) != 2 or len(under) != 2 or any(x[0] != "exp" for _, x in (*over, *under)):
        return None
    plus = next((x[1] for s, x in over if s > 0), None)
    minus = next((x[1] for s, x in over if s < 0), None)
    if plus is None or minus is None or any(s < 0 for s, _ in under) or not same(neg(plus), minus):
        return None
    a, b = (x[1] for _, x in under)
    return ("tanh", plus) if (same(a, plus) and same(b, minus)) or (same(a, minus) and same(b, plus)) else None


@kernel_rule("mul", "div", "pow")
def quotient_of_exponentials(scope: Scope, tree: Tree) -> Tree | None:
    """exp(a)/sum(exp(a)) → exp(a - logsumexp(a)), also with weights and when sums of exponentials stand above;
    products and quotients of exponentials over the same axes become one exponential."""
    parts = factors(tree)
    several = sum(scope.head(t) == "exp" and _flat(scope, t) for t, _ in parts) > 1
    if not several and not any(e < 0 and is_sum(scope, t) for t, e in parts):
        return None
    exponents, rest = exponentials(scope, [p for p in parts if _flat(scope, p[0])])
    rest += [p for p in parts if not _flat(scope, p[0])]
    direct = len(exponents) > 1 and several
    shifts: list[tuple[int, Tree]] = []
    kept: list[Factor] = []
    for t, e in rest:
        found = split(scope, t) if e < 0 and is_sum(scope, t) else None
        if found is None:
            kept.append((t, e))
        else:
            shifts += terms(times(e, found[0]))
            kept.append((found[1], e))
    if not shifts:
        return product([*kept, (("exp", total(exponents)), 1)]) if direct else None
    more, kept = exponentials(scope, kept)
    exponents += more
    for k, (t, e) in enumerate(kept):
        if e == 1 and t[0] in ("add", "sub") and any(_has_exp(scope, x) for _, x in terms(t)):
            others = [*kept[:k], *kept[k + 1 :]]
            below = [(s, x) for s, x in (*exponents, *shifts)]
            return total([(s, _scaled(scope, [(x, 1), *others], below)) for s, x in terms(t)])
        pushed = _push(scope, t, [*exponents, *shifts]) if e == 1 else None
        if pushed is not None:
            return product([*kept[:k], (pushed, 1), *kept[k + 1 :]])
    return product([*kept, (("exp", total([*exponents, *shifts])), 1)])


def _flat(scope: Scope, tree: Tree) -> bool:
    """Whether a factor has all axes of the product: an exponential that is broadcast is cheaper left alone."""
    x = scope.operand(tree)
    return x is None or set(x.names) == scope.names


def _has_exp(scope: Scope, tree: Tree) -> bool:
    return any(scope.head(u) == "exp" for u, _ in factors(tree))


def _scaled(scope: Scope, parts: list[Factor], exponent: list[tuple[int, Tree]]) -> Tree:
    own, rest = exponentials(scope, [f for t, e in parts for f in ((u, k * e) for u, k in factors(t))])
    return product([*rest, (("exp", total([*own, *exponent])), 1)])


def _push(scope: Scope, tree: Tree, exponent: list[tuple[int, Tree]]) -> Tree | None:
    """sum(w*exp(a)) times exp(c) → sum(w*exp(a + c)), where the axes summed over are not among those of c."""
    b, x = scope.b, scope.operand(tree)
    if x is None or x.kind is not Kind.REDUCE or x.op != "sum" or x.inputs[0].kind is not Kind.MAP:
        return None
    factor = scope.node(total(exponent))
    names = {n: b.fresh(n, (*x.inputs[0].names, *factor.names)) for n in x.attrs[0] if n in factor.names}
    inputs = [b.rename(i, names) for i in x.inputs[0].inputs]
    inner = Scope(b, inputs)
    own, rest = exponentials(inner, factors(x.inputs[0].attrs[0].tree))
    if not own:
        return None
    body = inner.b.map(product([*rest, (("exp", total([*own, (1, inner.slot(factor))])), 1)]), inner.inputs, "real")
    dims = {names.get(a.name, a.name): a.dim for a in x.inputs[0].axes}
    return scope.slot(b.reduce("sum", body, [names.get(n, n) for n in x.attrs[0]], dims))


@kernel_rule("log")
def log_of_exponentials(scope: Scope, tree: Tree) -> Tree | None:
    """log(sum(exp(a))) → logsumexp(a), log(1 + exp(a)) → softplus(a), log(sigmoid(a)) → -softplus(-a), log(softmax(a)) →
    a - logsumexp(a), log(cosh(a)); in products and quotients with anything else, and with weights of any sign."""
    value, parts = number_of(factors(tree[1]))
    logs: list[tuple[int, Tree]] = []
    rest: list[Factor] = []
    for t, e in parts:
        found = split(scope, t)
        if found is None:
            rest.append((t, e))
            continue
        logs += terms(times(e, found[0]))
        if not is_num(found[1], 1):
            rest.append((found[1], e))
    if not logs:
        whole = logarithm(scope, tree[1])
        return whole.tree if whole is not None and whole.useful else None
    if rest or not value > 0:
        logs.append((1, ("log", product(rest, value))))
    elif value != 1:
        logs.append((1, num(math.log(value))))
    return total(logs)


@kernel_rule("log1p")
def log1p_of_exponential(scope: Scope, tree: Tree) -> Tree | None:
    """log1p(exp(a)) → softplus(a); log1p(-sigmoid(a)) → -softplus(a); log1p(-ndtr(a)) → log_ndtr(-a)."""
    seen = scope.view(neg(tree[1])) if tree[1][0] == "neg" else num(0)
    if seen[0] == "sigmoid":
        return neg(("softplus", seen[1]))
    if seen[0] == "ndtr":
        return ("log_ndtr", neg(seen[1]))
    found = logarithm(scope, tree[1])
    return ("softplus", found.tree) if found is not None and found.useful else None


@kernel_rule("log")
def log_of_one_plus(scope: Scope, tree: Tree) -> Tree | None:
    """log(1 + a) → log1p(a); a is anything that is not a number."""
    parts = terms(tree[1])
    for k, (s, t) in enumerate(parts):
        if s > 0 and is_num(t, 1) and len(parts) > 1:
            rest = parts[:k] + parts[k + 1 :]
            if any(is_num(u) for _, u in rest):
                return None
            return ("log1p", total(rest))
    return None


@kernel_rule("mul", "div", having=("log",))
def x_log_x(scope: Scope, tree: Tree) -> Tree | None:
    """a*log(a) → xlogy(a, a), which is 0 at 0; a*log(a/b) likewise."""
    parts = factors(tree)
    for k, (t, e) in enumerate(parts):
        if e != 1 or t[0] != "log":
            continue
        inside = [u for u, f in factors(t[1]) if f > 0 and not is_num(u)]
        for j, (u, f) in enumerate(parts):
            if f >= 1 and j != k and any(same(u, v) for v in inside):
                rest = [p for i, p in enumerate(parts) if i not in (k, j)]
                return product([*rest, (("xlogy", u, t[1]), 1), *([(u, f - 1)] if f > 1 else [])])
    return None


@kernel_rule("sqrt", "pow")
def safe_norm(scope: Scope, tree: Tree) -> Tree | None:
    """sqrt of a sum of squares: 0 with gradient 0 where all are zero; sqrt(a**2) → abs(a)."""
    half = tree[0] == "sqrt" or tree[2] in (num(0.5), num(Fraction(1, 2)))
    inner = tree[1]
    if not half or not _squares(scope, inner):
        return None
    parts = factors(inner)
    if len(parts) == 1 and parts[0][1] == 2:
        return ("abs", parts[0][0])
    if inner[0] != "x":
        inner = scope.slot(scope.node(inner))
    positive: Tree = ("gt", inner, num(0))
    return ("where", positive, ("sqrt", ("where", positive, inner, num(1.0))), num(0.0))


def _squares(scope: Scope, tree: Tree, depth: int = 4) -> bool:
    """Whether a tree is a square or a sum of squares (times a positive number)."""
    x = scope.operand(tree)
    if x is not None:
        return depth > 0 and _sum_of_squares(scope, x, depth)
    if tree[0] == "add":
        return all(_squares(scope, c, depth) for c in tree[1:])
    everything = factors(tree)
    value, parts = number_of(everything)
    # A mean of squares (a standard deviation, a root mean square) is left as it is written.
    if not value > 0 or not parts or not all(e > 0 for _, e in everything):
        return False
    odd = [t for t, e in parts if e % 2]
    paired = all(sum(1 for u in odd if same(t, u)) % 2 == 0 for t in odd)
    return paired or (len(parts) == 1 and parts[0][0] != tree and _squares(scope, parts[0][0], depth))


def _sum_of_squares(scope: Scope, x: Node, depth: int) -> bool:
    if x.kind is Kind.MAP:
        return _squares(Scope(scope.b, x.inputs), x.attrs[0].tree, depth - 1)
    if x.kind is Kind.REINDEX or (x.kind is Kind.REDUCE and x.op == "sum"):
        return _sum_of_squares(scope, x.inputs[0], depth - 1) if depth > 0 else False
    return x.kind is Kind.CONTRACT and len(x.inputs) == 2 and x.inputs[0] is x.inputs[1]


STABILISE_RULES: tuple[Rule, ...] = (
    first_of(
        exp_minus_one,
        tanh_of_exponentials,
        sigmoid_of_quotient,
        exp_times_sigmoid,
        one_minus_sigmoid,
        one_minus_probability,
        quotient_of_exponentials,
        log_of_exponentials,
        log1p_of_exponential,
        log_of_one_plus,
        x_log_x,
        safe_norm,
    ),
)
