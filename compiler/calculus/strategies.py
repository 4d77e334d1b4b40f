"""How derivatives are taken: the ways there are for each, what they cost, and which is chosen.

Second derivatives by elements of one array, alone or in a weighted sum, can be taken together with the value and the first
derivatives in one forward sweep (`laplacian.py`), or sweep by sweep (`derive.py`). Where the formula is small both are made and
their operations counted, equal nodes once; where it is large the sweeps are estimated, so that the work stays linear.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from vspec.compiler.calculus.pairs import Factor, Request, along, variable, weighted
from vspec.compiler.calculus.special import NoDerivative, NoWay
from vspec.compiler.diagnostics.spans import Span
from vspec.compiler.graph.builder import Builder
from vspec.compiler.graph.cost import Sizes, flops, size
from vspec.compiler.graph.kernel import num, slot
from vspec.compiler.graph.node import Node, topological
from vspec.compiler.graph.strategy import Candidate, Choice
from vspec.compiler.language.bodies import bodies
from vspec.compiler.language.expr import AUTO, Affine, Derivative, Element, Expr, Number, Pointwise, Reduction
from vspec.compiler.language.spec import Definition, Spec
from vspec.compiler.language.substitute import nodes, subscript_axes, substitute
from vspec.compiler.language.types import union

if TYPE_CHECKING:
    from vspec.compiler.calculus.lower import Lowering

TOGETHER = "laplacian"

Label = tuple[str, str]

# Derivatives of a higher order are taken sweep by sweep.
HIGHEST = 6

# Up to this many nodes both ways are made and compared by what they cost.
COMPARED = 600


def swept(e: Derivative, sweeps: Sequence[tuple[str, dict[str, float]]]) -> tuple[Expr, Choice]:
    """What was chosen for a derivative that is taken sweep by sweep: the mode of each, and what all would cost in one mode."""
    chosen = _runs(sweeps)
    total = {name: sum(costs[name] for _, costs in sweeps) for name in _common(sweeps)}
    total.setdefault(chosen, sum(costs[mode] for mode, costs in sweeps))
    among = [Candidate(name, cost) for name, cost in total.items()]
    because = "asked for" if e.by != AUTO else "least cost" if len(among) > 1 else "the only way"
    return e, Choice("derivative", "", e.span.line, chosen, tuple(among), because)


def _runs(sweeps: Sequence[tuple[str, dict[str, float]]]) -> str:
    modes = [mode for mode, _ in sweeps]
    return ", then ".join(m for k, m in enumerate(modes) if k == 0 or modes[k - 1] != m) or "no sweep"


def _common(sweeps: Sequence[tuple[str, dict[str, float]]]) -> list[str]:
    return [name for name in ("reverse", "forward") if sweeps and all(name in costs for _, costs in sweeps)]


# --- second derivatives -----------------------------------------------------------------------------------------------


def several(low: Lowering, e: Derivative) -> Node | None:
    """A derivative of second or higher order outside of a sum, taken together; None where it is taken sweep by sweep."""
    if len(e.wrt) == 1 and e.by == AUTO and e.dtype == "real" and (labels(low.text, e)[0] in low.paired):
        shared = _shared(low, e)
        if shared is not None:
            return shared
    whole, e = e, flattened(low, e)
    return _chosen(low, e, whole, [], []) if pairable(e) else None


def _shared(low: Lowering, e: Derivative) -> Node | None:
    """A first derivative as the sweep for second ones by the same variable takes it; None where that does not lead there."""
    v = variable(low, e.wrt[0])
    try:
        found = along(low, low.lower(e.body), v) if v is not None else None
    except NoDerivative:
        return None
    if found is not None:
        _record(low, e, e, "forward", (Candidate("forward", 0.0),), "second derivatives take it on their way")
    return found


def labels(text: Callable[[Span], str], e: Derivative) -> list[Label]:
    """What a derivative is of, as its text, and the name of each variable."""
    body = e.body.name if isinstance(e.body, Element) else " ".join(text(e.body.span).split())
    return [(body, w.name) for w in e.wrt]


def pairs_of(spec: Spec, text: Callable[[Span], str]) -> frozenset[Label]:
    """What a spec takes second derivatives of, and by what."""
    bodies_of = {d.name: d.body for d in spec.equations if isinstance(d, Definition)}
    found: set[Label] = set()
    for body in bodies(spec):
        for e in nodes(body.expr):
            if not isinstance(e, Derivative) or e.by.word not in ("auto", TOGETHER) or e.dtype != "real":
                continue
            inner = bodies_of.get(e.body.name) if isinstance(e.body, Element) else e.body
            if isinstance(inner, Derivative):
                first = labels(text, inner)
                found.update(label for label in first if any(w.name == label[1] for w in e.wrt))
            keys = [_key(w) for w in e.wrt]
            found.update(label for label, key in zip(labels(text, e), keys, strict=True) if keys.count(key) > 1)
    return frozenset(found)


def summed(low: Lowering, e: Reduction) -> Node | None:
    """A sum over letters that asks for second derivatives, these taken together; None where it has none or they are not.

    A body of several addends is summed addend by addend, so that each may be taken in its own way.
    """
    addends = list(_addends(e.body, 1))
    asked = [_asked(low, body) for _, body in addends]
    if all(found is None for found in asked):
        return None
    parts: list[Node] = []
    plain: list[tuple[int, Expr]] = []
    for (sign, body), found in zip(addends, asked, strict=True):
        made = None
        if found is not None:
            derivative, rest = found
            made = _chosen(low, derivative, e, rest, list(e.letters))
        if made is None:
            plain.append((sign, body))
        else:
            parts.append(made if sign > 0 else low.b.neg(made))
    if not parts:
        return None
    if plain:
        signed = [x if sign > 0 else _pointwise("neg", x) for sign, x in plain]
        body = signed[0] if len(signed) == 1 else _pointwise("add", *signed)
        parts.append(low.sum(low.lower(body), e.letters))
    return low.b.add(parts)


def _pointwise(op: str, *args: Expr) -> Expr:
    made: Expr = args[0]
    if len(args) == 1:
        return Pointwise(span=made.span, axes=made.axes, dtype="real", op=op, args=args)
    for x in args[1:]:
        made = Pointwise(span=made.span, axes=union((made, x)), dtype="real", op=op, args=(made, x))
    return made


def _addends(e: Expr, sign: int) -> Iterator[tuple[int, Expr]]:
    if isinstance(e, Pointwise) and e.op in ("add", "sub", "neg") and e.dtype == "real":
        for k, x in enumerate(e.args):
            yield from _addends(x, -sign if e.op == "neg" or (e.op == "sub" and k == 1) else sign)
    else:
        yield sign, e


def _factors(e: Expr) -> Iterator[tuple[bool, Expr]]:
    """The factors of a product, each with whether it is divided by; a sign is a factor of -1."""
    if isinstance(e, Pointwise) and e.op == "mul":
        for x in e.args:
            yield from _factors(x)
    elif isinstance(e, Pointwise) and e.op == "neg":
        yield False, Number(span=e.span, dtype="real", value=-1.0)
        yield from _factors(e.args[0])
    elif isinstance(e, Pointwise) and e.op == "div":
        yield from _factors(e.args[0])
        yield True, e.args[1]
    else:
        yield False, e


def _asked(low: Lowering, body: Expr) -> tuple[Derivative, list[tuple[bool, Expr]]] | None:
    """The second derivative among the factors of an addend, and the others; None if there is not just one."""
    factors = list(_factors(body))
    found: list[tuple[int, Derivative]] = []
    for k, (below, x) in enumerate(factors):
        derivative = _as_derivative(low, x)
        if derivative is not None and not below:
            derivative = flattened(low, derivative)
            if pairable(derivative):
                found.append((k, derivative))
    if len(found) != 1:
        return None
    at, derivative = found[0]
    return derivative, [f for k, f in enumerate(factors) if k != at]


def _as_derivative(low: Lowering, e: Expr) -> Derivative | None:
    """The expression as a derivative: itself, or the one that a name with plain subscripts stands for."""
    if isinstance(e, Derivative):
        return e
    if not isinstance(e, Element) or low.dropped.get(e.name) or e.name in low.slices or e.name in low.finals:
        return None
    found = low.definitions.get(e.name)
    if not isinstance(found, Definition) or not isinstance(found.body, Derivative) or e.name in low.variables:
        return None
    plain = [s.letter for s in e.subscripts if isinstance(s, Affine) and s.plain]
    same = len(plain) == len(set(plain)) == len(found.letters) and not found.body.by.numbers
    if not same or any(low.letters[x] != low.letters[y] for x, y in zip(plain, found.letters, strict=True)):
        return None
    if any(x in low.bound for x in (*plain, *found.letters)):
        return None
    by = {old: s for old, s in zip(found.letters, e.subscripts, strict=True) if s != Affine(old)}
    if not by:
        return found.body
    body = found.body
    # The derivative itself is of plain elements, so that no letter inside of it can be bound.
    if not isinstance(body.body, Element) or not set(subscript_axes(tuple(by.values()))).isdisjoint(body.axes):
        return None
    moved = substitute(body, by)
    return moved if isinstance(moved, Derivative) else None


def flattened(low: Lowering, e: Derivative) -> Derivative:
    """A derivative of a derivative as one by all of the variables, the inner ones first, since they go from left to right."""
    while True:
        inner = _as_derivative(low, e.body)
        if inner is None or inner.dtype == "complex" or (inner.by != AUTO and inner.by != e.by):
            return e
        e = replace(e, body=inner.body, wrt=(*inner.wrt, *e.wrt))


def pairable(e: Derivative) -> bool:
    """Whether a derivative is of second or higher order, real, and not asked for in another way; one of very high order, whose
    passes within passes multiply, only if it is asked for so."""
    asked = e.by.word == TOGETHER
    return e.dtype == "real" and len(e.wrt) >= 2 and (asked or (e.by == AUTO and len(e.wrt) <= HIGHEST))


def _key(w: Element) -> tuple[object, ...]:
    return (w.name, w.subscripts)


def paired(e: Derivative) -> tuple[list[tuple[Element, Element]], list[Element]]:
    """The variables of a derivative in pairs, equal ones first, and one that is left over if they are odd in number."""
    pairs: list[tuple[Element, Element]] = []
    single: list[Element] = []
    for w in e.wrt:
        match = next((x for x in single if _key(x) == _key(w)), None)
        if match is None:
            single.append(w)
        else:
            single.remove(match)
            pairs.append((match, w))
    while len(single) > 1:
        pairs.append((single.pop(0), single.pop(0)))
    return pairs, single


def _rows(e: Derivative, pair: tuple[Element, Element]) -> list[set[str]]:
    """The letters of both variables that the value lacks."""
    return [set(w.axes) - set(e.body.axes) for w in pair]


def _worthwhile(e: Derivative, bound: Sequence[str]) -> bool:
    """Whether a pass together may pay: no pair asks for a block of a Hessian, which has an entry for each two rows."""
    return all(one == two or (one | two) <= set(bound) for one, two in (_rows(e, p) for p in paired(e)[0]))


def _chosen(
    low: Lowering, e: Derivative, whole: Expr, rest: Sequence[tuple[bool, Expr]], bound: list[str]
) -> Node | None:
    """The sum over `bound` of a derivative times other factors, in the way that is asked for or costs least.

    None where it cannot be taken together; raises NoWay where that is asked for.
    """
    asked = e.by.word == TOGETHER
    if not asked and not _worthwhile(e, bound):
        return None
    value = low.lower(e.body)
    factors = [_factor(low, below, x) for below, x in rest]
    try:
        together = _together(low, e, value, factors, list(bound))
    except NoDerivative:
        if asked:
            raise
        return None
    if together is None:
        if asked:
            what = "'by=laplacian' needs variables with plain subscripts, and nothing that mixes the indices of a batch"
            raise NoWay(what, low.b.origin)
        return None
    between = len(topological([together]))
    low.b.sweeps.clear()
    if asked or between > COMPARED:
        among = (Candidate(TOGETHER, *cost(low.b, together)),)
        because = "asked for" if asked else "the formula is large, and this way visits it once"
        _record(low, e, whole, TOGETHER, among, because)
        return together
    apart = low._stepped(e, value)
    name = _runs(low.b.sweeps)
    stepped = low.sum(low.b.mul([*(f.node for f in factors), apart]), tuple(bound)) if bound else apart
    costs = {TOGETHER: cost(low.b, together), name: cost(low.b, stepped)}
    chosen = min(costs, key=lambda n: (costs[n], n != TOGETHER))
    _record(low, e, whole, chosen, tuple(Candidate(n, *c) for n, c in costs.items()), "least cost")
    return together if chosen == TOGETHER else stepped


def _factor(low: Lowering, below: bool, x: Expr) -> Factor:
    node = low.lower(x)
    if below:
        return Factor(low.b.map(("div", num(1.0), slot(0)), [node], "real"))
    return Factor(node if node.dtype == "real" else low.b.map(("real", slot(0)), [node], "real"))


def _together(low: Lowering, e: Derivative, value: Node, factors: Sequence[Factor], bound: list[str]) -> Node | None:
    """Pair by pair in forward sweeps, the innermost first; the last one takes the factors along. What is left over follows."""
    pairs, single = paired(e)
    left = list(factors)
    for k, pair in enumerate(pairs):
        own = set().union(*_rows(e, pair))
        later = {x for p in pairs[k + 1 :] for w in p for x in w.axes} | {x for w in single for x in w.axes}
        last = k == len(pairs) - 1 and not single
        used = {x for f in left for x in f.letters} if not last else set()
        mine = [x for x in bound if last or (x in own and x not in later and x not in used)]
        first, second = (variable(low, w) for w in pair)
        if first is None or second is None:
            return None
        request = Request(value, first, second, left if last else [], list(mine))
        found = weighted(low, request)
        if found is None:
            return None
        value = found
        bound = [x for x in bound if x not in mine or x in request.bound]
        left = [] if last else left
    for w in single:
        value = low._by(value, w, "auto" if e.by == AUTO else "forward")
    value = low.b.mul([*(f.node for f in left), value])
    return low.sum(value, tuple(bound)) if bound else value


def _record(low: Lowering, e: Derivative, whole: Expr, chosen: str, among: tuple[Candidate, ...], because: str) -> None:
    low.derivatives += len(e.wrt)
    low.noted(e, chosen)
    low.choices.append((whole, Choice("derivative", "", whole.span.line, chosen, among, because)))


def cost(b: Builder, root: Node) -> tuple[float, float]:
    """Operations and bytes of a node with all that it needs, equal nodes once; sums of products count as contractions."""
    sizes = Sizes(b.dims)
    nodes = topological([root])
    classes = b.classes.all(nodes)
    seen: set[int] = set()
    total = moved = 0.0
    for n in nodes:
        known = classes.faces[n.uid][0]
        if known not in seen:
            seen.add(known)
            total += flops(n, sizes)
            moved += size(n, sizes, "float32")
    return total, moved
