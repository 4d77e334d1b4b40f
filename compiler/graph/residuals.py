"""What a reverse sweep through a loop keeps of the way there: values that its derivative reads, as a sum of products of sizes.

An estimate from the form of the step. A derivative reads the other factors of a product, a value or two for each function that is
not linear, and nothing for what is linear; what is the same in every step is kept once, and not counted. `stored` keeps this for
each step; `checkpointed` (`emit/helpers.py`) keeps the states at the starts of about the square root of as many stretches, those
of one stretch, and what one step needs. The derivative of a sweep keeps as much for the way there, for its slopes, and for the
way back, and what each of its own cotangents gives the first way: as much again, for each of those it is mapped over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from math import isqrt
from typing import Any, NamedTuple

from vspec.compiler.graph.kernel import Tree, slots
from vspec.compiler.graph.node import (
    AnyRegion,
    Axis,
    Blocks,
    Either,
    Kind,
    Node,
    Pull,
    Region,
    Solve,
    innermost,
    region_nodes,
)

# JAX keeps two factors of their slopes.
DOUBLE = frozenset({"tanh", "sigmoid"})
LINEAR = frozenset({"add", "sub", "neg", "real", "re", "im", "complex"})
# Their derivative is zero wherever there is one.
FLAT = frozenset({"sign", "floor", "ceil", "round", "integer", "lt", "le", "gt", "ge", "eq", "ne", "and", "or", "not"})


class Factor(NamedTuple):
    """The size of a dim (`size`), the steps of a loop over it (`steps`, one less), or about their square root (`root`)."""

    dim: str
    form: str = "size"

    @property
    def shown(self) -> str:
        """As an expression of a spec."""
        return {
            "size": f"size({self.dim})",
            "steps": f"(size({self.dim}) - 1)",
            "root": f"sqrt(size({self.dim}) - 1)",
        }[self.form]


Monomial = tuple[Factor, ...]


@dataclass(frozen=True, slots=True)
class Count:
    """A sum of products of sizes with whole coefficients."""

    terms: Mapping[Monomial, int] = field(default_factory=dict)

    def __add__(self, other: Count) -> Count:
        terms = dict(self.terms)
        for key, k in other.terms.items():
            terms[key] = terms.get(key, 0) + k
        return Count(terms)

    def times(self, number: int, *factors: Factor) -> Count:
        """The sum multiplied."""
        return Count({tuple(sorted((*key, *factors))): number * k for key, k in self.terms.items()})

    def value(self, size: Callable[[str], int]) -> int:
        """The number, where a function gives the sizes."""
        total = 0
        for key, k in self.terms.items():
            for f in key:
                n = size(f.dim)
                k *= n if f.form == "size" else max(n - 1, 0) if f.form == "steps" else isqrt(max(n - 1, 0))
            total += k
        return total

    @property
    def dims(self) -> frozenset[str]:
        """The dims whose sizes it reads."""
        return frozenset(f.dim for key in self.terms for f in key)

    @property
    def shown(self) -> str:
        """As an expression of a spec; a factor of all terms stands in front."""
        terms = {key: k for key, k in self.terms.items() if k}
        if not terms:
            return "0"
        common = [f for f in sorted({f for key in terms for f in key}) if all(f in key for key in terms)]
        front = "*".join(f.shown for f in common)
        if front and len(terms) > 1:
            return f"{front}*({_sum({_without(key, common): k for key, k in terms.items()})})"
        return _sum(terms)


def _without(key: Monomial, common: Iterable[Factor]) -> Monomial:
    """A product divided by some of its factors."""
    left = list(key)
    for f in common:
        left.remove(f)
    return tuple(left)


def _sum(terms: Mapping[Monomial, int]) -> str:
    parts = []
    for key, k in sorted(terms.items(), key=lambda t: (-len(t[0]), t[0])):
        parts.append("*".join([*([str(k)] if k != 1 or not key else []), *(f.shown for f in key)]))
    return " + ".join(parts)


Width = Callable[[str], int]
"""Bytes of one element of a dtype."""


def kept(pull: Pull, width: Width) -> Count:
    """The bytes that the sweep of a `vjp` node keeps, steps of the loop and all; nothing of a problem that is solved."""
    wanted, batches = set[int](), list[tuple[Axis, ...]]()
    region: AnyRegion = pull
    while isinstance(region, Pull):
        wanted |= {*region.wanted}
        batches.append(region.batch)
        region = region.inner
    if not isinstance(region, Region):
        return Count()
    arity = len(region.carry) + len(region.captured)
    total = loop(region, frozenset(k for k in wanted if k < arity), width)
    for batch in reversed(batches[:-1]):
        total = total.times(3) + total.times(1, *(Factor(a.dim) for a in batch))
    return total


def loop(region: Region, active: frozenset[int], width: Width) -> Count:
    """The bytes of a sweep through a loop by the operands at the positions `active`."""
    step = _step(region, active)
    one = _bytes(step.values, width)
    dim = region.axis.dim
    if region.adjoint != "checkpointed":
        return one.times(1, Factor(dim, "steps"))
    states = _bytes({k: Value(c.axes, c.dtype) for k, c in enumerate(region.carry)}, width)
    return states.times(2, Factor(dim, "root")) + states + one


# --- what one step keeps ------------------------------------------------------------------------------------------


class Value(NamedTuple):
    """A value that is kept, `times` a number of steps of loops inside of the step."""

    axes: tuple[Axis, ...]
    dtype: str
    times: Monomial = ()
    number: int = 1


@dataclass(slots=True)
class _Kept:
    """Values by what they are, so that none counts twice; `same`: arguments from outside that are read, too."""

    values: dict[Any, Value] = field(default_factory=dict)
    same: set[int] = field(default_factory=set)


def _bytes(values: Mapping[Any, Value], width: Width) -> Count:
    total = Count()
    for v in values.values():
        total += Count({tuple(sorted((*v.times, *(Factor(a.dim) for a in v.axes)))): v.number * width(v.dtype)})
    return total


@lru_cache(maxsize=1024)
def _step(region: Region, active: frozenset[int]) -> _Kept:
    """What the derivative of one step by the operands `active` reads."""
    count = len(region.carry)
    moving = {k for k in active if k < count}
    nodes = list(region_nodes(region))
    while True:
        bent = {c.uid for k, c in enumerate(region.carry) if k in moving}
        bent |= {c.uid for k, c in enumerate(region.captured, count) if k in active}
        bent = {u for u in bent if _differentiable(region, u)}
        for n in nodes:
            if (
                n.dtype in ("real", "complex", "tuple")
                and any(x.uid in bent for x in n.inputs)
                and n.kind is not Kind.STOP
            ):
                bent.add(n.uid)
        more = {k for k, n in enumerate(region.body) if n.uid in bent} - moving
        if not more:
            break
        moving |= more
    changing = {n.uid for n in (*region.carry, region.index)}
    for n in nodes:
        if n.kind is Kind.RANDOM or any(x.uid in changing for x in n.inputs):
            changing.add(n.uid)
    found = _Kept()
    outside = {n.uid: k for k, n in enumerate(region.captured)}

    def keep(key: Any, axes: Iterable[Axis], read: Iterable[Node], dtype: str = "real") -> None:
        read = [_plain(n) for n in read]
        if any(n.uid in changing for n in read):
            found.values.setdefault(key, Value(tuple({a.name: a for a in axes}.values()), dtype))
        else:
            found.same.update(outside[n.uid] for n in read if n.uid in outside)

    def whole(n: Node) -> None:
        n = _plain(n)
        keep(("x", n.uid), n.axes, [n], n.dtype)

    for n in nodes:
        if n.uid not in bent:
            continue
        if n.kind is Kind.MAP:
            _kernel(n, bent, keep)
        elif n.kind is Kind.CONTRACT:
            for k, x in enumerate(n.inputs):
                if x.uid in bent:
                    for other in (*n.inputs[:k], *n.inputs[k + 1 :]):
                        whole(other)
        elif n.kind is Kind.REDUCE and n.op != "sum":
            keep((n.op, n.uid), n.inputs[0].axes, n.inputs)
        elif n.kind in (Kind.GATHER, Kind.SCATTER) and len(n.inputs) > 1:
            whole(n.inputs[1])
        elif n.kind in (Kind.LINALG, Kind.CALL) or (n.kind is Kind.CUMULATE and n.op != "sum"):
            for x in (*n.inputs, n):
                whole(x)
        elif n.kind is Kind.REGION:
            _region(n, bent, changing, found, whole)
    if region.until is not None:
        keep(("until", region.until.uid), region.until.axes, [region.until], "boolean")
    return found


def _differentiable(region: Region, uid: int) -> bool:
    return any(a.uid == uid and a.dtype in ("real", "complex") for a in region.arguments)


def _plain(n: Node) -> Node:
    """The node under renames, which copy nothing."""
    while n.kind is Kind.REINDEX:
        n = n.inputs[0]
    return n


def _kernel(n: Node, bent: set[int], keep: Callable[..., None]) -> None:
    """What the derivative of a kernel reads: by the other factors in products, else a number per function and point."""
    inputs = n.inputs
    active = frozenset(k for k, x in enumerate(inputs) if x.uid in bent)

    def named(tree: Tree) -> Tree:
        if tree[0] == "x":
            return ("x", _plain(inputs[tree[1]]).uid)
        return tree if tree[0] == "num" else (tree[0], *(named(c) for c in tree[1:]))

    def save(key: Any, trees: Iterable[Tree], dtype: str = "real") -> None:
        read = [inputs[k] for t in trees for k in sorted(slots(t))]
        if read:
            keep(key, [a for x in read for a in x.axes], read, dtype)

    stack: list[Tree] = [n.attrs[0].tree]
    while stack:
        tree = stack.pop()
        if tree[0] in ("x", "num") or not slots(tree) & active or tree[0] in FLAT:
            continue
        children = tree[1:]
        stack.extend(children)
        moved = [c for c in children if slots(c) & active]
        if tree[0] in LINEAR:
            continue
        if tree[0] == "where":
            save(named(children[0]), [children[0]], "boolean")
        elif tree[0] == "mul":
            for k, c in enumerate(children):
                if slots(c) & active:
                    for other in (*children[:k], *children[k + 1 :]):
                        save(named(other), [other])
        elif tree[0] == "div":
            save(named(children[1]), [children[1]])
            if slots(children[1]) & active:
                save(named(children[0]), [children[0]])
                save(("div", named(children[1])), [children[1]])
        elif tree[0] == "log":
            save(named(children[0]), children)
        else:
            for c in moved:
                for k in range(2 if tree[0] in DOUBLE else 1):
                    save((tree[0], children.index(c), k, named(tree)), children)


def _region(n: Node, bent: set[int], changing: set[int], found: _Kept, whole: Callable[[Node], None]) -> None:
    """What the derivative of a step reads of a loop in it, or of a problem that it solves."""
    region = n.attrs[0]
    active = frozenset(k for k, x in enumerate(n.inputs) if x.uid in bent)
    inner = innermost(region)
    if isinstance(inner, Solve):
        for x in n.inputs:
            whole(x)
        for k, u in enumerate(inner.unknowns):
            found.values["solved", n.uid, k] = Value((*inner.batch, *u.axes), "real")
        return
    if isinstance(inner, Blocks | Either):
        # Rows are computed once more on the way back.
        for x in n.inputs:
            whole(x)
        return
    twice = 2 if isinstance(region, Pull) else 1
    count = len(inner.carry)
    step = _step(inner, frozenset(k for k in active if k < count + len(inner.captured)))
    steps = Factor(inner.axis.dim, "steps")
    states = {("state", k): Value(c.axes, c.dtype) for k, c in enumerate(inner.carry)}
    if inner.adjoint == "checkpointed":
        root = Factor(inner.axis.dim, "root")
        parts = [(states, (root,), 2), (states, (), 1), (step.values, (), 1)]
    else:
        parts = [(step.values, (steps,), 1)]
    for part, (values, times, number) in enumerate(parts):
        for key, v in values.items():
            size = v._replace(times=(*v.times, *times), number=v.number * number * twice)
            found.values[n.uid, part, key] = size
    for k in step.same:
        if n.inputs[count + k].uid in changing:
            whole(n.inputs[count + k])


__all__ = ["Count", "Factor", "kept", "loop"]
