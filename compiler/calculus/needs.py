"""What methods ask of the calculus, made into entries: one function for each need, found in one table."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from math import prod
from types import MappingProxyType
from typing import Any

from vspec.compiler.calculus.curvature import Tied, structure, terms_of
from vspec.compiler.calculus.derive import derivative, directional, gradients, has_loop
from vspec.compiler.calculus.factored import Factors, factored, factors_of
from vspec.compiler.calculus.lower import Lowering
from vspec.compiler.calculus.parts import joined, names
from vspec.compiler.calculus.pattern import Pattern, pattern_of, sparse_choice
from vspec.compiler.calculus.structure.entries import block_entries, proximal_entries
from vspec.compiler.calculus.structure.least_squares import square_entries
from vspec.compiler.calculus.structure.scaling import Scaling
from vspec.compiler.graph.graph import Entry, Result
from vspec.compiler.graph.node import Axis, Node, Origin
from vspec.compiler.language.spec import Param, Spec, Stage


@dataclass
class Request:
    """An objective and the params by which its derivatives are wanted.

    `base` is the name of its value; `tag` tells sets of derivatives of one objective apart. What a need makes is kept here, so
    that the next one finds it: `made` has the entries by the role that the plan knows them by, `facts` what the manifest says of
    them, `structure` what it says of the terms of the Hessian, `pattern` of where it may differ from zero, `rows` and
    `augmented_slopes` the derivatives of constraints (`constrained.py`), `scalings` the scaling forms by the roles of kernels.
    """

    spec: Spec
    low: Lowering
    stage: Stage
    base: str
    tag: str = ""
    made: dict[str, Entry] = field(default_factory=dict)
    facts: dict[str, str] = field(default_factory=dict)
    structure: list[dict[str, Any]] | None = None
    pattern: list[dict[str, Any]] | None = None
    rows: dict[str, dict[str, Node]] = field(default_factory=dict)
    augmented_slopes: dict[str, Node] = field(default_factory=dict)
    scalings: dict[str, Scaling] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The objective, if there is one."""
        return self.stage.names[0] if self.stage.names else ""

    @property
    def params(self) -> tuple[Param, ...]:
        """The params that the stage's methods move."""
        return tuple(self.spec.params[p] for p in self.stage.over)

    @property
    def unknowns(self) -> int | None:
        """How many real numbers the params have, if that is known."""
        total = 0
        for p in self.params:
            sizes = [self.spec.dims[self.spec.letters[x]].size for x in p.letters]
            if not all(isinstance(size, int) for size in sizes):
                return None
            total += prod(size for size in sizes if isinstance(size, int)) * (2 if p.dtype == "complex" else 1)
        return total

    @property
    def wrt(self) -> str:
        """The params with their indices, for a sentence."""
        return ", ".join(f"{p.name}[{', '.join(p.letters)}]" if p.letters else p.name for p in self.params)

    @cached_property
    def value(self) -> Node:
        """The objective itself."""
        return self.low.get(self.name)

    @cached_property
    def reals(self) -> dict[str, Node]:
        """The real unknowns by name."""
        return real_params(self.low, self.params)

    @cached_property
    def slopes(self) -> dict[str, Node]:
        """The derivative by each real unknown."""
        with self.low.b.at(self.origin("gradient")):
            return dict(zip(self.reals, gradients(self.low.b, self.value, list(self.reals.values())), strict=True))

    @cached_property
    def terms(self) -> list[Tied]:
        """The terms that the Hessian is a sum of."""
        return terms_of(self)

    @cached_property
    def factors(self) -> Factors | None:
        """The factors of the Hessian, where its curvature is that of single observations."""
        return factors_of(self)

    @cached_property
    def boxes(self) -> Pattern:
        """Where the Hessian may differ from zero."""
        return pattern_of(self)

    @cached_property
    def gradient(self) -> tuple[Result, ...]:
        """The array by the one param, or a dict by the names of several; by a complex one dL/dx + i dL/dy."""
        single = len(self.params) == 1
        with self.low.b.at(self.origin("gradient")):
            return tuple(Result(() if single else (p.name,), whole(self.low, p, self.slopes)) for p in self.params)

    @property
    def both(self) -> tuple[Result, ...]:
        """The value and then the gradient."""
        return (Result((0,), self.value), *(Result((1, *r.path), r.node) for r in self.gradient))

    def origin(self, role: str) -> Origin:
        """Where derivatives come from: the stage."""
        return Origin("", self.stage.span.line, self.stage.span.column, role)

    def entry(self, kind: str, results: Iterable[Result], doc: str) -> None:
        """Keeps an entry under its kind, which is its role."""
        self.made[kind] = Entry(f"{self.base}_{kind}{self.tag}", kind, tuple(results), self.name, doc)


def value(r: Request) -> None:
    """The objective."""
    if "value" not in r.made:
        r.made["value"] = Entry(r.base, "objective", (Result((), r.value),), r.name)


def gradient(r: Request) -> None:
    """The gradient, alone and with the value."""
    if "gradient" not in r.made:
        r.entry("gradient", r.gradient, f"The gradient of {r.name} by {r.wrt}.")
        r.entry("value_and_gradient", r.both, f"{r.name} and its gradient by {r.wrt}.")


def hessian(r: Request) -> None:
    """The Hessian in blocks, alone and with value and gradient."""
    if "hessian" in r.made:
        return
    several = len(r.reals) > 1
    results = [Result((p, q) if several else (), block) for (p, q), block in blocks(r, r.slopes).items()]
    r.entry("hessian", results, f"The Hessian of {r.name} by {r.wrt}.")
    three = (*r.both, *(Result((2, *x.path), x.node) for x in results))
    r.entry("newton", three, f"{r.name}, its gradient and its Hessian by {r.wrt}.")


def hvp(r: Request) -> None:
    """The Hessian times a vector: the derivative of the gradient along it."""
    if "hvp" in r.made:
        return
    b, low = r.low.b, r.low
    for p in r.params:
        low.vector(p)
    xs, slopes = list(r.reals.values()), list(r.slopes.values())
    keys = [f"{p.name}.vector" for p in r.params]
    pairs = [names(key) if p.dtype == "complex" else (key,) for key, p in zip(keys, r.params, strict=True)]
    vectors = [low.values[key] for parts in pairs for key in parts]
    with b.at(r.origin("hessian")):
        if has_loop(slopes, xs):
            # Loops are differentiated by JAX, in reverse: the product is the gradient of gradient times vector.
            terms = [b.reduce("sum", b.mul([g, v]), g.names) for g, v in zip(slopes, vectors, strict=True)]
            products = gradients(b, b.add(terms), xs)
        else:
            products = directional(b, slopes, xs, vectors)
        found = dict(zip(r.reals, products, strict=True))
        results = [Result(() if len(r.params) == 1 else (p.name,), whole(low, p, found)) for p in r.params]
    r.entry("hvp", results, f"The Hessian of {r.name} by {r.wrt} times a vector.")


def sparse(r: Request) -> None:
    """Products with the Hessian, and where it may differ from zero."""
    if r.pattern is None:
        hvp(r)
        r.pattern = r.boxes.facts
        r.low.b.choices.append(sparse_choice(r))


def blocks(r: Request, slopes: Mapping[str, Node]) -> dict[tuple[str, str], Node]:
    """The symmetric matrix of derivatives of a gradient, in blocks by the real unknowns."""
    found: dict[tuple[str, str], Node] = {}
    for k, (p, slope) in enumerate(slopes.items()):
        for q, x in list(r.reals.items())[k:]:
            with r.low.b.at(r.origin("hessian")):
                block = _block(r.low, slope, x)
                found[p, q] = block
                if q != p:
                    axes = (*block.axes[len(slope.axes) :], *block.axes[: len(slope.axes)])
                    found[q, p] = r.low.b.order(block, axes)
    return {(p, q): found[p, q] for p in slopes for q in slopes}


Need = Callable[[Request], None]

NEEDS: Mapping[str, Need] = MappingProxyType(
    {
        "value": value,
        "gradient": gradient,
        "hessian": hessian,
        "structure": structure,
        "hvp": hvp,
        "sparse": sparse,
        "factored": factored,
        "squares": square_entries,
        "blocks": block_entries,
        "proximal": proximal_entries,
    }
)


def real_params(low: Lowering, params: Iterable[Param]) -> dict[str, Node]:
    """The real unknowns by name: of a complex param its two parts."""
    keys = [key for p in params for key in (names(p.name) if p.dtype == "complex" else (p.name,))]
    return {key: low.values[key] for key in keys}


def whole(low: Lowering, p: Param, slopes: Mapping[str, Node]) -> Node:
    """The gradient by a param; by a complex one dL/dx + i dL/dy, the direction of steepest ascent."""
    if p.dtype != "complex":
        return slopes[p.name]
    re, im = names(p.name)
    return joined(low, (slopes[re], slopes[im]))


def _block(low: Lowering, slope: Node, x: Node) -> Node:
    """d(slope, x) with the axes of the slope and then those of x, under letters of their own."""
    taken = set(slope.names)
    letters = []
    for a in x.axes:
        free = [n for n, dim in low.letters.items() if dim == a.dim and n not in taken and not n.startswith("_")]
        preferred = a.name if a.name not in taken else free[0] if free else low.b.fresh(a.name)
        taken.add(preferred)
        letters.append(Axis(preferred, a.dim))
    return derivative(low.b, slope, x, letters)
