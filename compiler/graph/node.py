"""The nodes of the dataflow graph: pure operations on arrays whose axes have names.

A node's `axes` name its dimensions in order; operands meet by axis name, so that a map over `[n, i]` and `[i]` needs no
broadcasting rule. Two axes of one node never share a name. An axis belongs to a dim; the sizes of dims are in `Graph.dims`.

| kind     | op                          | inputs        | attrs                                       | value |
|----------|-----------------------------|---------------|---------------------------------------------|-------|
| INPUT    | param data constant prepared| -             | (name,)                                     | an argument of the program |
| CONST    | number, array               | -             | (value,) number or nested tuples            | a build-time constant |
| CONST    | size                        | -             | (dim,)                                      | the size of a dim, a scalar integer |
| INDEX    | value                       | -             | ()                                          | 0, 1, 2, ... along its one axis |
| INDEX    | delta                       | -             | ()                                          | 1 where its two axes agree, else 0 (boolean promoted to real) |
| INDEX    | part                        | -             | (base dim,)                                 | which of the base dim's values the configuration along its first axis gives to the place along its second; the first place is the most significant digit |
| INDEX    | pair                        | -             | (dim, which)                                | the lower (0) or the higher (1) position of each pair of positions of a dim, along its one axis: (0, 1), (0, 2), ..., (1, 2), ... |
| MAP      | ""                          | slot operands | (kernel,)                                   | the kernel at each point of `axes`, the union of the operands' axes |
| REDUCE   | sum prod max min logsumexp argmax argmin any all | one | (over,) tuple of axis names      | removes the axes `over`; a second attribute says how it is asked to be taken: ('whole',) or ('blocks', rows) |
| CONTRACT | sum                         | two or more   | ()                                          | sum of the product of the inputs over all axes not in `axes` |
| REINDEX  | ""                          | one           | (targets,) one axis name per input axis     | out[axes] = in[targets]: renames, transposes, takes diagonals (a name twice), broadcasts (an axis of `axes` not among targets) |
| WINDOW   | affine                      | one           | (axis, new axis name, scale, offset)        | out[.., s, ..] = in[.., scale*s + offset, ..]; scale is not 0 |
| WINDOW   | shift                       | one           | (axis, offset, mode)                        | out[.., x, ..] = in[.., x + offset, ..], beyond the ends the other end ('periodic') or 0 ('zero') |
| WINDOW   | flip                        | one           | (axis,)                                     | the axis in reverse |
| WINDOW   | at                          | one           | (axis, position)                            | out = in[.., position, ..]; the axis goes; a negative position counts from the end |
| GATHER   | ""                          | array, index  | (axis,)                                     | out[rest, index axes] = in[.., index, ..]; shared axes are aligned |
| SCATTER  | affine                      | one           | (axis, new Axis, scale, offset)             | the adjoint of WINDOW affine: zeros but for the window |
| SCATTER  | at                          | one           | (new Axis, position)                        | the adjoint of WINDOW at |
| SCATTER  | gather                      | values, index | (new Axis,)                                 | out[new, axes] = sum of values over index axes not in `axes`, where index == new |
| CUMULATE | sum prod                    | one           | (axis, reverse)                             | the running sum or product along the axis, the element itself included; from the end if `reverse` |
| CUMULATE | linear                      | factors, terms| (axis, reverse)                             | y[k] = factors[k]*y[k - 1] + terms[k] along the axis, where y[-1] = 0; mirrored if `reverse`. Factors may lack the axis |
| CUMULATE | pivots                      | q, d          | (axis, reverse)                             | p[k] = d[k] - q[k]/p[k - 1] along the axis, where p[-1] = 1 and q[0] is 0 |
| CUMULATE | argsort                     | one           | (axis, reverse)                             | the positions of the elements along the axis in ascending order, equal ones as they stand; `reverse` is False |
| CUMULATE | softmax                     | one           | (axes, False)                               | exp(x) over its sum along the axes; made of the logarithm of that sum where text is written (`emit/softmax.py`) |
| CONCAT   | stack                       | parts         | (new Axis, group of axis names per part)    | out[.., new, ..]: the parts one after the other, each with its group raveled (C order), its other axes batch |
| CONCAT   | part                        | one           | (axis, dims of every group, k, group)       | the adjoint of stack: the k-th stretch of `axis`, unraveled into the axes `group` |
| LINALG   | see `linalg.py`             | operands      | (core axis names per operand, core of result) | batched over the other axes |
| CALL     | see `call.py`               | operands      | (core axis names per operand, core of result, function) | a function that the graph does not look into, batched over the other axes |
| RANDOM   | key                         | key           | (ordinal,)                                  | the key folded with the number of a draw; keys have the dtype 'key' |
| RANDOM   | fold                        | key, index    | ()                                          | the key folded with an integer, one for each element of it |
| RANDOM   | see `draws.py`              | key, arguments| ()                                          | independent draws of a standard law over `axes`; those of the key come first, the last argument of `categorical` has one axis more |
| REGION   | scan, solve, vjp, blocks, either | operands | (Region, Solve, Pull, Blocks or Either,)    | a tuple, read by ITEM |
| ITEM     | ""                          | region        | (position,)                                 | one result of a region |
| STOP     | ""                          | one           | ()                                          | its input, through which no derivative flows |
| STOP     | lu cholesky cholesky_or_lu definite likely | one | ()                                        | its input, a matrix to be factored in this way, or known or likely to be positive definite; gone after the pass `structure` |
| STOP     | hold                        | one           | ()                                          | its input, by which derivatives are taken; gone after lowering |
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, MutableMapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, ClassVar, NamedTuple, TypeVar


class Axis(NamedTuple):
    """A named axis and the dim it ranges over."""

    name: str
    dim: str


class Kind(str):
    """The closed set of node kinds. No enumeration: passes ask for kinds all the time, and a member of one takes four times as
    long to read as an attribute."""

    __slots__ = ()

    INPUT: ClassVar[Kind]
    CONST: ClassVar[Kind]
    INDEX: ClassVar[Kind]
    MAP: ClassVar[Kind]
    REDUCE: ClassVar[Kind]
    CONTRACT: ClassVar[Kind]
    REINDEX: ClassVar[Kind]
    WINDOW: ClassVar[Kind]
    GATHER: ClassVar[Kind]
    SCATTER: ClassVar[Kind]
    CUMULATE: ClassVar[Kind]
    CONCAT: ClassVar[Kind]
    LINALG: ClassVar[Kind]
    RANDOM: ClassVar[Kind]
    CALL: ClassVar[Kind]
    REGION: ClassVar[Kind]
    ITEM: ClassVar[Kind]
    STOP: ClassVar[Kind]


KINDS: tuple[Kind, ...] = tuple(Kind(name.lower()) for name in Kind.__annotations__)
for _kind in KINDS:
    setattr(Kind, _kind.upper(), _kind)


class Origin(NamedTuple):
    """Where a node comes from: the definition it computes ('' for a helper), the spec's line and column, a word on how.

    `role`: 'value' for the node that the name stands for, 'part' for one on the way to it, 'gradient', 'hessian', 'tangent' or
    'adjoint' for derivatives. `file`: where the line stands, if it is not the spec itself.
    """

    name: str = ""
    line: int = 0
    column: int = 0
    role: str = "value"
    file: str = ""


T = TypeVar("T")

_uids = itertools.count()


def next_uid() -> int:
    """The next number in the order of creation."""
    return next(_uids)


NOWHERE = Origin()


@dataclass(frozen=True, slots=True, eq=False, init=False)
class Node:
    """One operation. Identity is equality; the intern pass merges equal ones. `uid` grows in order of creation,
    and an input is always created before its reader. `names` are those of the axes."""

    kind: Kind
    op: str
    inputs: tuple[Node, ...]
    axes: tuple[Axis, ...]
    dtype: str
    attrs: tuple[Any, ...] = ()
    origin: Origin = NOWHERE
    uid: int = 0
    names: tuple[str, ...] = field(init=False)

    # Thousands are made in a build, and the names of each are read several times. The setters of its slots are what a frozen
    # object is filled by at the least cost.
    def __init__(
        self,
        kind: Kind,
        op: str,
        inputs: tuple[Node, ...],
        axes: tuple[Axis, ...],
        dtype: str,
        attrs: tuple[Any, ...] = (),
        origin: Origin = NOWHERE,
        uid: int | None = None,
    ) -> None:
        set_kind, set_op, set_inputs, set_axes, set_dtype, set_attrs, set_origin, set_uid, set_names = _SETTERS
        set_kind(self, kind)
        set_op(self, op)
        set_inputs(self, inputs)
        set_axes(self, axes)
        set_dtype(self, dtype)
        set_attrs(self, attrs)
        set_origin(self, origin)
        set_uid(self, next(_uids) if uid is None else uid)
        set_names(self, tuple([a[0] for a in axes]))

    @property
    def definition(self) -> str:
        """The name that stands for this very node in the spec, or ''."""
        return self.origin.name if self.origin.role == "value" else ""

    def axis(self, name: str) -> Axis:
        """The axis of that name; KeyError if there is none."""
        for a in self.axes:
            if a.name == name:
                return a
        raise KeyError(name)

    def __repr__(self) -> str:
        label = f"{self.kind}.{self.op}" if self.op else str(self.kind)
        return f"<{self.uid} {label} {self.origin.name}[{', '.join(self.names)}]>"


_SETTERS: tuple[Callable[[Node, Any], None], ...] = tuple(Node.__dict__[f.name].__set__ for f in fields(Node))


@dataclass(frozen=True, slots=True, eq=False)
class Products:
    """Steps of a loop by products with kernels that are kept from step to step: exponentials of exponents at one point.

    `kernels` and `references` are arguments of the steps: the kernels, and the terms of their exponents where they were made.
    `terms` are these terms after a step as the loop has it, of the loop's arguments; `made` are the kernels, of references and of what
    is captured; `body` are the next states by products, `moved` the terms there, and `fine` says whether these steps lose nothing that
    counts to underflow.
    Where `bytes`, a number times the sizes of dims, is more than memory allows, there are no kernels.
    """

    kernels: tuple[Node, ...]
    references: tuple[Node, ...]
    terms: tuple[Node, ...]
    made: tuple[Node, ...]
    body: tuple[Node, ...]
    moved: tuple[Node, ...]
    fine: Node
    bytes: tuple[int, tuple[str, ...]]

    @property
    def roots(self) -> tuple[Node, ...]:
        """What is computed."""
        return (*self.terms, *self.made, *self.quick)

    @property
    def quick(self) -> tuple[Node, ...]:
        """What a step by products computes."""
        return (*self.body, *self.moved, self.fine)

    @property
    def arguments(self) -> tuple[Node, ...]:
        """The arguments that the loop itself lacks."""
        return (*self.kernels, *self.references)

    def with_roots(self, new: Callable[[Node], Node]) -> Products:
        """The same with other nodes."""
        terms, made, body, moved = (tuple(map(new, part)) for part in (self.terms, self.made, self.body, self.moved))
        return replace(self, terms=terms, made=made, body=body, moved=moved, fine=new(self.fine))


@dataclass(frozen=True, slots=True, eq=False)
class Region:
    """The loop of a `scan`: a sub-graph with arguments of its own.

    The REGION node's inputs are `len(carry)` initial states followed by one operand per `captured` argument.
    For each step t = 0 .. length - 1 the body maps (carry, captured, index t) to the next carry.

    `until`, a condition over some of the axes that every state has, is a further root of the body: from the first step at which
    it holds, the states keep their values, for each point of its axes by itself. `adjoint` says what the derivative of the loop
    keeps: 'stored' or 'checkpointed'; no derivative goes through one of 'none'. `products`: another way to take its steps.

    Results (one ITEM each): per state k, the final value (`("final", k)`) or the trajectory with the initial state
    in front (`("path", k)`), whose first axis is `axis` and has length + 1 slices. `results` lists which are made.
    """

    name: str
    axis: Axis
    length: Node
    index: Node
    carry: tuple[Node, ...]
    captured: tuple[Node, ...]
    body: tuple[Node, ...]
    results: tuple[tuple[str, int], ...]
    until: Node | None = None
    adjoint: str = "stored"
    products: Products | None = None

    @property
    def steps(self) -> tuple[Node, ...]:
        """What a step computes: the next states, and the condition at which they stay as they are."""
        return self.body if self.until is None else (*self.body, self.until)

    @property
    def roots(self) -> tuple[Node, ...]:
        """What the body computes, in either way to take a step."""
        return self.steps if self.products is None else (*self.steps, *self.products.roots)

    @property
    def arguments(self) -> tuple[Node, ...]:
        """The arguments of the sub-graph."""
        more = () if self.products is None else self.products.arguments
        return (*self.carry, *self.captured, self.index, *more)


class Role(NamedTuple):
    """What a node of a problem's body is: `value` (what is made least or greatest), `equation` number `row` (an entry of the
    gradient of the value, under constraints of the Lagrangian, or what is to be 0), `map` number `row` (what the unknown is to
    be equal to), `gap` number `row` (the left side of a constraint less the right one), `slope` of equation or gap `row` by
    unknown `column`, whose axes are called `letters` there."""

    kind: str
    row: int = 0
    column: int = 0
    letters: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Solve:
    """Equations, or a value to be made least or greatest, solved for unknowns: a sub-graph for one problem.

    The REGION node's inputs are one start per unknown, then one operand per `captured` argument. Each of them may have some of
    the axes `batch`, which the arguments of the sub-graph lack: there is a problem for each of their values.
    Results (one ITEM each): the unknowns, `[batch, axes of the unknown]`; then the largest absolute equation that is left, the
    steps taken and whether the method converged, `[batch]`. Unknowns that were not found are NaN.

    `op`: root, fixed_point, argmin or argmax. `body` has a node for each of `roles`. `options` are the keywords of the method.
    `gradient`: how derivatives pass through: unrolled, none, or by the implicit function theorem with its linear system in one
    way (direct, iterated, krylov) or the one of least cost (implicit). `op` is linear where such a system is what is solved: the
    unknowns are their own image under an affine map, or 0 is what a product with the matrix less the right side is.

    `relations` are those of the constraints, `eq` or `le`; the last unknowns are their multipliers, one array for each. There
    is a gap for each of these instead of an equation, and slopes are by the other unknowns only.
    """

    name: str
    op: str
    unknowns: tuple[Node, ...]
    captured: tuple[Node, ...]
    batch: tuple[Axis, ...]
    body: tuple[Node, ...]
    roles: tuple[Role, ...]
    method: str
    options: tuple[tuple[str, Any], ...]
    steps: int
    gradient: str
    relations: tuple[str, ...] = ()

    @property
    def arguments(self) -> tuple[Node, ...]:
        """The arguments of the sub-graph."""
        return (*self.unknowns, *self.captured)

    @property
    def linear(self) -> bool:
        """Whether this is the linear system of a derivative, which the spec does not name."""
        return self.op == "linear"

    @property
    def sought(self) -> int:
        """How many unknowns are no multipliers."""
        return len(self.unknowns) - len(self.relations)

    @property
    def roots(self) -> tuple[Node, ...]:
        """What the body computes."""
        return self.body

    def of(self, kind: str) -> tuple[Node, ...]:
        """The nodes of the body of one kind, in order."""
        return tuple(n for n, role in zip(self.body, self.roles, strict=True) if role.kind == kind)


# What an implicit quantity tells beside its unknowns, in the order of its further results.
REPORT: tuple[tuple[str, str], ...] = (("residual", "real"), ("steps", "integer"), ("converged", "boolean"))


@dataclass(frozen=True, slots=True, eq=False)
class Pull:
    """The vector-Jacobian product of a region's function, taken by JAX (`jax.vjp`).

    The REGION node with op `vjp` has the inputs of `inner` followed by one cotangent per position of `given` (the results of
    `inner` that have one; the others are zero). Its results are the cotangents of the operands in `wanted`, with the axes
    `batch` in front: each given cotangent has them in front too, and the product is mapped over them (`jax.vmap`).
    """

    inner: AnyRegion
    arity: int
    given: tuple[int, ...]
    wanted: tuple[int, ...]
    batch: tuple[Axis, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Blocks:
    """Reductions over arrays that are too large to be held: a sub-graph for some of the rows along one dim at a time.

    `axis` is the axis of rows in the sub-graph; its dim stands for the rows that are taken at once, `dim` for all of them. The
    REGION node's inputs are one operand per `captured` argument; an argument that has an axis of the dim of `axis` is a stretch
    of its operand from the row `first` on, `cut` says along which position (None: the whole operand).

    `body` has one node per result and `joins` says how the results of stretches become one: `stack` (one after the other along
    their axis of rows), `sum prod max min any all logsumexp` (two become one by the operation), `argmax argmin` (a position;
    the element that stands there is the next result), `best` (that element), or `weighted` (a sum whose weights are normalised
    by the exponential of the next result, a `logsumexp`).

    `row`: the bytes that one row takes while it is computed, as a number times the sizes of dims; `memory` and `chunk` are what
    all rows may take before they are taken in parts, and what a part takes; `rows` is the number asked for, if one is.
    """

    name: str
    axis: Axis
    dim: str
    first: Node
    captured: tuple[Node, ...]
    cut: tuple[int | None, ...]
    body: tuple[Node, ...]
    joins: tuple[str, ...]
    row: tuple[int, tuple[str, ...]]
    memory: int
    chunk: int
    rows: int | None = None

    @property
    def arguments(self) -> tuple[Node, ...]:
        """The arguments of the sub-graph."""
        return (*self.captured, self.first)

    @property
    def roots(self) -> tuple[Node, ...]:
        """What the body computes."""
        return self.body


@dataclass(frozen=True, slots=True, eq=False)
class Either:
    """One of two ways to compute an array: a sub-graph for each, of which a run executes one.

    The REGION node's inputs are a condition without axes, then one operand per `captured` argument. `body` has the way that is taken
    where the condition holds and the other one; both have the axes of the one result. Where there is one way only, there is no
    condition. Matrix products in either are taken with all digits of the precision, whatever a device does by itself.
    """

    name: str
    captured: tuple[Node, ...]
    body: tuple[Node, ...]

    @property
    def arguments(self) -> tuple[Node, ...]:
        """The arguments of both sub-graphs."""
        return self.captured

    @property
    def roots(self) -> tuple[Node, ...]:
        """What is computed, one of them in a run."""
        return self.body


AnyRegion = Region | Solve | Pull | Blocks | Either


def innermost(region: AnyRegion) -> Region | Solve | Blocks | Either:
    """The loop or problem of which a region is the derivative, of whatever order."""
    while isinstance(region, Pull):
        region = region.inner
    return region


def from_inputs(node: Node, known: MutableMapping[int, T], of: Callable[[Node], T]) -> T:
    """What `of` makes of a node once it is `known`, by uid, of its inputs. Each node is looked at once. Iterative."""
    stack = [node]
    while stack:
        top = stack[-1]
        waiting = [x for x in top.inputs if x.uid not in known] if top.uid not in known else []
        if waiting:
            stack += waiting
            continue
        stack.pop()
        if top.uid not in known:
            known[top.uid] = of(top)
    return known[node.uid]


def topological(roots: Iterable[Node]) -> list[Node]:
    """All nodes that the roots need, each after its inputs, in order of creation among equals. Iterative."""
    found: dict[int, Node] = {}
    stack = list(roots)
    while stack:
        node = stack.pop()
        uid = node.uid
        if uid not in found:
            found[uid] = node
            if node.inputs:
                stack.extend(node.inputs)
    # An input is always older than its reader, so creation order is a topological order.
    return [found[uid] for uid in sorted(found)]


def region_nodes(region: Region | Solve | Blocks | Either) -> Iterator[Node]:
    """The nodes of a region's body in topological order."""
    yield from topological(region.roots)
