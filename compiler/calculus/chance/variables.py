"""Random variables as the graph has them: the node of a current draw, the arguments of its law, its log-density.

An expectation takes the node of the draw for a placeholder: whatever is computed from it is made again for other values of the
variable, by `instantiate`. Which of its elements an expression reads for one value of an index is told by the graph, too.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from vspec.compiler.calculus.derive import tracked
from vspec.compiler.calculus.draws import arguments_of
from vspec.compiler.graph.builder import Builder
from vspec.compiler.graph.node import Axis, Kind, Node, Origin, topological
from vspec.compiler.language.expr import Expr, Sample
from vspec.compiler.language.spec import Estimator, Links
from vspec.compiler.language.spec import Variable as Declared

if TYPE_CHECKING:
    from vspec.compiler.calculus.lower import Lowering


class NoEstimate(ValueError):  # noqa: N818 (it says what cannot be done)
    """Where an expectation cannot be evaluated as asked. `code`, `what` and `tip` are for a person."""

    def __init__(self, code: str, what: str, origin: Origin, tip: str = "") -> None:
        super().__init__(what)
        self.code, self.what, self.origin, self.tip = code, what, origin, tip


@dataclass(frozen=True, eq=False)
class Variable:
    """A random variable. `node`: its current draw, which stands for its value. `density`: the logarithm of its density there,
    over the axes of the draw but those of an event of its law; None where there is none. `chain`: of one that Markov chains draw,
    the axes along which they have one law; its density lacks a constant. `walk`: whether it is the noise of one that a
    recurrence draws, and `log` the log-density of all of its steps then, where a score needs it. `links`: of one whose paths are
    summed over, with the log-probabilities of the `first` value and of the `steps` that follow, and what was `made` of these."""

    name: str
    node: Node
    sample: Sample
    arguments: tuple[Node, ...]
    density: Node | None
    estimator: Estimator
    chain: tuple[str, ...] | None = None
    walk: bool = False
    log: Node | None = None
    links: Links | None = None
    first: Node | None = None
    steps: Node | None = None
    made: dict[Any, Any] = field(default_factory=dict)

    @property
    def event(self) -> tuple[str, ...]:
        """The axes along which its law is one of vectors."""
        return self.sample.event

    @property
    def plates(self) -> tuple[Axis, ...]:
        """The axes along which it is independent draws of a law."""
        return tuple(a for a in self.node.axes if a.name not in self.event)

    @property
    def origin(self) -> Origin:
        """Where it is declared."""
        node = self.node
        while node.kind is Kind.STOP and not node.origin.line:
            (node,) = node.inputs
        return node.origin


def variables_of(low: Lowering, names: Iterable[str], along: Collection[str] = ()) -> list[Variable]:
    """The variables of these names, each after those on which its law depends; the paths of those in `along` are summed over."""
    found = [_in_step(low, low.random[n]) for n in names if n in low.slices]
    with low.outside():
        for name in (n for n in names if all(n != v.name for v in found)):
            if name in along:
                found.append(_path(low, low.random[name]))
                continue
            if name not in low.chance:
                declared = low.random[name]
                if declared.walk is not None:
                    low.chance[name] = _noise(low, declared)
                    found.append(low.chance[name])
                    continue
                sample = _sample(declared, low.definitions[name].body)
                node = low.get(name)
                arguments = tuple(arguments_of(low, sample))
                density = low.lower(declared.density) if declared.density is not None else None
                chain = declared.chain.replicas if declared.chain is not None else None
                low.chance[name] = Variable(name, node, sample, arguments, density, declared.estimator, chain)
            found.append(low.chance[name])
    return sorted(found, key=lambda v: v.node.uid)


def _in_step(low: Lowering, declared: Declared) -> Variable:
    """A variable that is drawn in the step of a recurrence, as it is in that step."""
    node = low.slices[declared.name]
    key = f"{declared.name}.{node.uid}"
    if key not in low.chance:
        sample = _sample(declared, low.definitions[declared.name].body)
        sample = replace(sample, axes=low.free(sample.axes))
        density = low.lower(declared.density) if declared.density is not None else None
        arguments = tuple(arguments_of(low, sample))
        low.chance[key] = Variable(declared.name, node, sample, arguments, density, declared.estimator)
    return low.chance[key]


def _noise(low: Lowering, declared: Declared) -> Variable:
    """The noise that stands for a variable of a recurrence."""
    walk = declared.walk
    assert walk is not None
    sample = low.definitions[walk.noise].body
    assert isinstance(sample, Sample)
    log = low.get(walk.log) if walk.log else None
    arguments = tuple(arguments_of(low, sample))
    way = declared.estimator
    if way.word not in ("reparam", "score"):
        way = Estimator("reparam" if log is None else "score")
    return Variable(declared.name, low.get(walk.noise), sample, arguments, None, way, walk=True, log=log)


def _path(low: Lowering, declared: Declared) -> Variable:
    """A variable of a recurrence, all of whose paths are summed over."""
    key = f"{declared.name}.path"
    if key not in low.chance:
        b, links = low.b, declared.walk.links if declared.walk is not None else None
        assert links is not None
        node, first, steps = low.get(declared.name), low.get(links.first), low.get(links.moves)
        time = node.axes[links.time]
        sample = Sample(
            span=declared.span,
            axes=declared.letters,
            dtype="integer",
            law="",
            blocks=(),
            instead="",
            times=(),
            place=(),
        )
        # Of all steps together, where there is no other way than to sum over all paths.
        moves = b.scatter_affine(b.rename(steps, {links.steps: f"{time.name}~"}), f"{time.name}~", time, 1, 1)
        density = b.add([b.scatter_at(first, time, 0), moves])
        low.chance[key] = Variable(
            declared.name, node, sample, (), density, declared.estimator, links=links, first=first, steps=steps
        )
    return low.chance[key]


def twins(low: Lowering, variables: Iterable[str]) -> dict[int, Node]:
    """What stands, in an expectation over variables of recurrences, in the place of what is drawn there, by uid."""
    found: dict[int, Node] = {}
    for name in (n for n in variables if n not in low.slices):
        walk = low.random[name].walk
        for old, new in walk.names.items() if walk is not None else ():
            if old in low.values and (new in low.values or new in low.pending):
                found[low.values[old].uid] = low.get(new)
            if old in low.finals and new in low.finals:
                found[low.finals[old][0].uid] = low.finals[new][0]
    return found


def _sample(declared: Declared, body: Expr) -> Sample:
    """The draw that a variable is; of one that chains draw, where they are."""
    if declared.chain is not None:
        return Sample(
            span=declared.span,
            axes=declared.letters,
            dtype="real",
            law="unnormalized",
            blocks=(),
            instead="",
            times=(),
            place=(),
            event=declared.chain.event,
        )
    assert isinstance(body, Sample)
    return body


def reached(roots: Sequence[Node], marks: Collection[int]) -> set[int]:
    """The nodes below the roots that depend on marked ones, by uid."""
    hit: set[int] = set()
    for node in topological(roots):
        if node.uid in marks or any(x.uid in hit for x in node.inputs):
            hit.add(node.uid)
    return hit


@dataclass
class Frames:
    """What the plates of variables are called in an expression that reads them one by one: for each variable, axis → axis.

    An axis is missing where one value of the expression depends on several elements along it.
    """

    of: dict[str, dict[str, str]] = field(default_factory=dict)

    @staticmethod
    def around(c: Node, variables: Sequence[Variable]) -> Frames:
        """The frames of an expression."""
        found = Frames()
        for v in variables:
            hit = reached([c], {v.node.uid})
            nodes = [n for n in topological([c]) if n.uid in hit]
            own: dict[str, str] = {}
            for k, axis in enumerate(v.node.axes):
                # The steps of a path are no copies of each other.
                if axis.name in v.event or (v.links is not None and k == v.links.time):
                    continue
                for letter in c.names:
                    if tracked(c, v.node, k, letter, nodes, loops=True) is not None:
                        own[axis.name] = letter
            several = {x for x in own.values() if list(own.values()).count(x) > 1}
            found.of[v.name] = {a: x for a, x in own.items() if x not in several}
        return found

    def joint(self, v: Variable) -> tuple[Axis, ...]:
        """The plates of a variable along which the expression reads several elements."""
        return tuple(a for a in v.plates if a.name not in self.of[v.name])

    def shared(self, variables: Sequence[Variable]) -> set[str]:
        """The axes of the expression along which it reads each of the variables one by one."""
        axes: list[set[str]] = [set(self.of[v.name].values()) for v in variables]
        return set.intersection(*axes) if axes else set()


def size_of(dims: Mapping[str, int | Node | None], axis: Axis) -> int | None:
    """The size of an axis where it is known at build."""
    known = dims.get(axis.dim)
    return known if isinstance(known, int) else None


def new_axis(b: Builder, wish: str, dim: str, size: int) -> Axis:
    """An axis of that size, over a dim called `dim` or numbered after it."""
    name, k = dim, 2
    while name in b.dims and b.dims[name] != size:
        name, k = f"{dim}_{k}", k + 1
    b.dims[name] = size
    return Axis(b.fresh(wish), name)
