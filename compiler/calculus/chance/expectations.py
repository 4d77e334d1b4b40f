"""`E[z](e)`: taken apart by linearity, so that each part meets only the variables on which it depends.

Sums, differences and multiples of what is averaged become those of averages, down to parts that are no such thing. A part that
depends on no variable leaves the expectation; one with a closed form is integrated; the others are estimated (`estimators.py`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from vspec.compiler.calculus.chance.along import NotAlong, summed_along
from vspec.compiler.calculus.chance.chains import refuse_other_ways
from vspec.compiler.calculus.chance.closed import integrated
from vspec.compiler.calculus.chance.estimators import DRAWN, Estimator
from vspec.compiler.calculus.chance.paths import has_path
from vspec.compiler.calculus.chance.positions import at_positions
from vspec.compiler.calculus.chance.supports import MOST_CONFIGURATIONS, configurations, count_of
from vspec.compiler.calculus.chance.tracked import tracked
from vspec.compiler.calculus.chance.variables import Frames, NoEstimate, Variable, reached, twins, variables_of
from vspec.compiler.calculus.draws import in_place
from vspec.compiler.graph.instantiate import NotSeparate, instantiate, rebuilt
from vspec.compiler.graph.kernel import Tree, slot, slots, substitute, walk
from vspec.compiler.graph.node import Kind, Node, Origin, topological
from vspec.compiler.graph.strategy import Choice
from vspec.compiler.language.expectations import TRACKED
from vspec.compiler.language.expr import Expectation, Expr

if TYPE_CHECKING:
    from vspec.compiler.calculus.lower import Lowering

# Up to so many values a variable without an estimator of its own is summed over rather than drawn.
FEW = 4096
X, A = slot(0), slot(1)


def expectation(low: Lowering, e: Expectation) -> Node:
    """The node of an expectation, a variance or a covariance. Raises NoEstimate where it cannot be evaluated as asked."""
    try:
        return _expectation(low, e)
    except NotSeparate as error:
        tip = "read the variable where its draws are not mixed with others"
        raise NoEstimate(
            "VS0695", f"what is averaged is not one for each draw: {error.what}", low.b.origin, tip
        ) from None


def _expectation(low: Lowering, e: Expectation) -> Node:
    along = [n for n in e.names if _summable(low, e, n)]
    while True:
        try:
            return _evaluated(low, e, along)
        except _Paths as error:
            # Draws are left where there are some, and nobody asked for the sum.
            walk = low.random[error.name].walk
            if (
                e.way.word != "auto"
                or walk is None
                or not walk.noise
                or low.random[error.name].estimator.word != "auto"
            ):
                raise
            along.remove(error.name)


def _summable(low: Lowering, e: Expectation, name: str) -> bool:
    """Whether the paths of a variable of a recurrence are summed over, if that is possible."""
    declared = low.random[name]
    if name in low.slices or declared.walk is None or declared.walk.links is None or e.way.word == TRACKED:
        return False
    word, own = e.way.word, declared.estimator.word
    exact = word in ("enumerate", "analytic") or own in ("enumerate", "analytic")
    return exact or not declared.walk.noise or (word == "auto" and own == "auto")


def _evaluated(low: Lowering, e: Expectation, along: Sequence[str]) -> Node:
    """The expectation, in which the paths of the variables `along` are summed over."""
    variables = variables_of(low, e.names, along)
    refuse_other_ways(e, variables, low.b.origin)
    bodies = [low.lower(x) for x in e.bodies]
    bodies = _paths_read(low, bodies, variables)
    instead = twins(low, [n for n in e.names if n not in along])
    if instead:
        bodies = instantiate(low.b, bodies, instead)
        variables = [_of_twins(low, v, instead) for v in variables]
    _entangled(low, e, bodies, variables)
    average = _Average(low, e, variables)
    kept: tuple[str, ...] = ()
    if e.way.word == TRACKED:
        found, kept = tracked(low, e, bodies[0], average.of, average.logarithm)
    elif e.op == "E":
        found = average.of(bodies[0])
    else:
        found = average.covariance(bodies[0], bodies[-1])
    chosen = ", ".join(
        [*(f"{n.removeprefix('_')}: {' and '.join(words)}" for n, words in average.chosen.items()), *kept]
    )
    if chosen:
        reasons = [why for words in average.chosen.values() for why in words.values()]
        chains = {v.name for v in variables if v.chain is not None}
        if e.way.word == "auto" and any(
            w in DRAWN for n, words in average.chosen.items() if n not in chains for w in words
        ):
            low.singles.add(e.place)
            reasons.append("one draw at a time, for by=samples(n) takes more")
        because = "; ".join(dict.fromkeys(reasons))
        low.choices.append((e, Choice("expectation", "", e.span.line, chosen, because=because)))
    return found


def _paths_read(low: Lowering, bodies: list[Node], variables: Sequence[Variable]) -> list[Node]:
    """What is averaged, where the last value of a path is read as one of it."""
    ends = {}
    for v in variables:
        if v.links is not None and v.name in low.finals:
            last = low.finals[v.name][0]
            ends[last.uid] = low.b.at_position(v.node, v.node.names[v.links.time], -1)
    return instantiate(low.b, bodies, ends) if ends else bodies


def _of_twins(low: Lowering, v: Variable, instead: dict[int, Node]) -> Variable:
    """A variable whose law reads what a recurrence draws."""
    known = [x for x in (v.density, v.first, v.steps) if x is not None]
    new = instantiate(low.b, [*v.arguments, *known], instead)
    arguments, rest = (
        tuple(new[: len(v.arguments)]),
        dict(zip((x.uid for x in known), new[len(v.arguments) :], strict=True)),
    )
    density, first, steps = (rest[x.uid] if x is not None else None for x in (v.density, v.first, v.steps))
    made: dict[Any, Any] = {}
    return replace(v, arguments=arguments, density=density, first=first, steps=steps, made=made)


def _entangled(low: Lowering, e: Expectation, bodies: Sequence[Node], variables: Sequence[Variable]) -> None:
    """Refuses variables that are not averaged over and depend on ones that are."""
    marks = {v.node.uid for v in variables}
    hit = reached(bodies, marks)
    others = {low.values[n].uid: n for n in low.random if n not in e.names and n in low.values}
    for node in topological(bodies):
        if node.uid in others and node.uid in hit and node.uid not in marks:
            name = others[node.uid]
            message = f"'{name}' depends on what is averaged here, and is not averaged itself"
            raise NoEstimate("VS0695", message, low.b.origin, f"write {e.op}[{', '.join((*e.names, name))}](...)")


class _Average:
    """Averages parts of an expression. `chosen`: the strategies of each variable so far, each with why."""

    def __init__(self, low: Lowering, e: Expectation, variables: Sequence[Variable]) -> None:
        self.low, self.b, self.e = low, low.b, e
        self.variables = variables
        self.marks = {v.node.uid for v in variables}
        self.estimator = Estimator(low, e, variables)
        self.done: dict[int, Node] = {}
        self.chosen: dict[str, dict[str, str]] = {}
        # Whether all of it is one part: a baseline that is given is one of all of it.
        ways = [v.estimator for v in variables] if e.way.word in ("auto", "samples") else []
        self.whole = any(x.word == "score" and isinstance(x.baseline, Expr) for x in ways)
        # Whether what would have to be estimated is refused.
        self.exact = False
        # Why the last sum over paths did not go along the steps, by the name of the variable.
        self.unless: dict[str, str] = {}

    def random(self, node: Node) -> bool:
        """Whether a node depends on the variables."""
        return bool(self.estimator.names(node))

    def of(self, node: Node) -> Node:
        """The average of a node, with its axes."""
        if not self.random(node):
            return node
        if self.whole:
            return self.part(node)
        if node.uid not in self.done:
            with self.b.at(node.origin):
                self.done[node.uid] = self.b.order(self._of(node), node.axes)
        return self.done[node.uid]

    def _of(self, node: Node) -> Node:
        b = self.b
        if node.uid in self.marks:
            return self.part(node)
        if node.kind is Kind.MAP:
            return self._map(node)
        if node.kind is Kind.REDUCE and node.op == "sum":
            (x,) = node.inputs
            return b.reduce("sum", self.of(x), node.attrs[0], {a.name: a.dim for a in x.axes})
        if node.kind is Kind.CONTRACT:
            random = [x for x in node.inputs if self.random(x)]
            if len(random) == 1:
                return b.contract([self.of(x) for x in node.inputs], node.axes)
            product = b.mul(node.inputs)
            over = [a for a in product.axes if a.name not in node.names]
            return b.reduce("sum", self.of(product), [a.name for a in over], {a.name: a.dim for a in over})
        if node.kind in (Kind.REINDEX, Kind.WINDOW, Kind.CONCAT) or (node.kind is Kind.STOP and node.op == "hold"):
            return rebuilt(b, node, [self.of(x) for x in node.inputs])
        if node.kind is Kind.GATHER and not self.random(node.inputs[1]):
            return rebuilt(b, node, [self.of(node.inputs[0]), node.inputs[1]])
        return self.part(node)

    def _map(self, node: Node) -> Node:
        """A sum of averages: what depends on the same variables stays together."""
        b = self.b
        apart: list[Node] = []
        together: dict[frozenset[str], list[Node]] = {}
        whole, inputs = _without_logarithms(node)
        for factors, tree in self._terms(whole, inputs):
            if tree[0] == "x":
                one: Node = self.of(inputs[tree[1]])
                apart.append(self._times(factors, one, inputs))
                continue
            same = not factors and tree is node.attrs[0].tree and node.dtype == "real"
            part = node if same else b.map(self._product(factors, tree), inputs, "real")
            known = self.closed(part) if self.random(part) else part
            if known is not None:
                apart.append(self.of(known))
            else:
                together.setdefault(self.estimator.names(part), []).append(part)
        apart += [self.part(b.add(parts)) for parts in together.values()]
        return b.add(apart)

    def _times(self, factors: Sequence[Tree], x: Node, inputs: Sequence[Node]) -> Node:
        if not factors:
            return x if x.dtype == "real" else self.b.map(("real", X), [x], "real")
        tree = self._product(factors, slot(len(inputs)))
        return self.b.map(tree, [*inputs, x], "real")

    def _product(self, factors: Sequence[Tree], tree: Tree) -> Tree:
        for f in factors:
            tree = ("neg", tree) if f == ("neg",) else ("div", tree, f[1]) if f[0] == "per" else ("mul", f, tree)
        return tree

    def _terms(self, tree: Tree, inputs: Sequence[Node]) -> list[tuple[tuple[Tree, ...], Tree]]:
        """The kernel as a sum: for each term, factors that depend on no variable, outermost last, and the rest."""

        def random(t: Tree) -> bool:
            return any(self.random(inputs[k]) for k in slots(t))

        op = tree[0]
        if not random(tree) or op == "x":
            return [((), tree)]
        if op == "add":
            return [term for child in tree[1:] for term in self._terms(child, inputs)]
        if op in ("sub", "neg"):
            first = self._terms(tree[1], inputs) if op == "sub" else []
            return [*first, *(((*f, ("neg",)), t) for f, t in self._terms(tree[-1], inputs))]
        if op == "real":
            return self._terms(tree[1], inputs) if _number_valued(tree[1], inputs) else [((), tree)]
        if op == "mul":
            rest = [c for c in tree[1:] if random(c)]
            if len(rest) == 1:
                known = [c for c in tree[1:] if c is not rest[0]]
                return [((*f, *known), t) for f, t in self._terms(rest[0], inputs)]
        if op == "div" and not random(tree[2]):
            return [((*f, ("per", tree[2])), t) for f, t in self._terms(tree[1], inputs)]
        return [((), tree)]

    def logarithm(self, node: Node) -> Node | None:
        """The logarithm of the average of exp(node) by draws; None where it is not a mean of exponentials."""
        variables = self.estimator.relevant(node)
        if self.whole:
            return None
        return self.estimator.logarithm(node, variables, self.strategies(node, variables))

    # --- parts --------------------------------------------------------------------------------------------------------

    def part(self, c: Node) -> Node:
        """The average of what is no sum."""
        known = None if self.whole else self.closed(c)
        if known is not None:
            return self.of(known)
        return self._estimated(c)

    def closed(self, c: Node) -> Node | None:
        """The expectation of a part over one of its variables, given the others, in closed form; None if there is none."""
        variables = self.estimator.relevant(c)
        # Paths first: sums over steps may be none after the others.
        for k, v in sorted(enumerate(variables), key=lambda item: (item[1].links is None, -item[0])):
            later = [x for u in variables[k + 1 :] for x in u.arguments]
            if v.links is not None:
                if reached(later, {v.node.uid}) & {x.uid for x in later}:
                    continue
                try:
                    along = summed_along(self.low, c, v)
                except NotAlong as error:
                    self.unless[v.name] = error.what
                    continue
                self._note(v, "enumerate", "sums along the steps")
                return along
            if self.e.way.word not in ("auto", "samples", "analytic"):
                continue
            # A closed form of a sum over all values is that sum.
            summed = v.estimator.word == "enumerate" and count_of(self.b, v) is not None
            fits = summed or v.estimator.word in ("auto", "analytic")
            if not fits or reached(later, {v.node.uid}) & {x.uid for x in later}:
                continue
            found = integrated(self.b, c, v, in_place(self.b, v.sample, v.arguments))
            if found is not None:
                self._note(v, "analytic", "a closed form")
                return found
        return None

    def _note(self, v: Variable, word: str, why: str) -> None:
        words = self.chosen.setdefault(v.name, {})
        words.setdefault(word, why)

    def _estimated(self, c: Node) -> Node:
        variables = self.estimator.relevant(c)
        chosen, c, variables = self._narrowed(c, variables) or (self.strategies(c, variables), c, variables)
        if self.exact and any(word in DRAWN for word in chosen.values()):
            raise _Inexact
        return self.estimator.estimate(c, variables, chosen)

    def _narrowed(self, c: Node, variables: list[Variable]) -> tuple[dict[str, str], Node, list[Variable]] | None:
        """The same by the elements that are read alone, with the strategies; None where all are read, or several are drawn."""
        part, elements = at_positions(self.b, c, variables)
        if part is c and all(v in variables for v in elements):
            return None
        before = {name: dict(words) for name, words in self.chosen.items()}
        chosen = self.strategies(part, elements)
        names = [v.name for v in variables]
        frames = Frames.around(part, elements)
        summed = [configurations(self.b, v, frames.joint(v)) for v in elements if chosen[v.name] == "enumerate"]
        few = all(n is not None for n in summed) and math.prod(n or 1 for n in summed) <= FEW
        # Several draws of one variable have one key.
        apart = all(v.name in names or chosen[v.name] not in DRAWN for v in elements)
        if few and apart and not self.whole:
            return chosen, part, elements
        self.chosen = before
        return None

    def strategies(self, c: Node, variables: Sequence[Variable]) -> dict[str, str]:
        """How each variable on which a part depends is treated there."""
        found = {}
        frames = Frames.around(c, variables)
        for v in variables:
            word, why = self._strategy(v, frames)
            found[v.name] = word
            self._note(v, word, why)
        return found

    def _strategy(self, v: Variable, frames: Frames) -> tuple[str, str]:
        if v.chain is not None:
            return "score", "the covariance with the energy over the chains"
        word = self.e.way.word
        if v.links is not None:
            return self._together(v, frames)
        if v.walk and word not in ("auto", "samples", TRACKED):
            tip = "write by=samples(64), or leave 'by' out"
            raise NoEstimate(
                "VS0695",
                f"an expectation over '{v.name}', which is drawn step by step, is by draws",
                self.b.origin,
                tip,
            )
        if word == "quadrature" and count_of(self.b, v) is not None:
            # Of a mixture it is a rule for each of the components.
            return "enumerate", "finitely many values beside a rule"
        if word in ("enumerate", "quadrature"):
            return word, "asked for"
        if v.estimator.word not in ("auto", "analytic"):
            asked = not v.walk or self.low.random[v.name].estimator.word == v.estimator.word
            return v.estimator.word, "asked for" if asked else "by draws of its paths"
        if word == "analytic" or v.estimator.word == "analytic":
            total = configurations(self.b, v, frames.joint(v)) if count_of(self.b, v) is not None else None
            if total is not None and total <= FEW:
                return "enumerate", f"the closed form of {total} values is their sum"
            tip = "leave it to the compiler: by=auto"
            raise NoEstimate(
                "VS0695", f"no closed form is known for the part that depends on '{v.name}'", self.b.origin, tip
            )
        if word == "auto" and count_of(self.b, v) is not None:
            total = configurations(self.b, v, frames.joint(v))
            if total is not None and total <= FEW:
                return "enumerate", f"{total} values"
        if v.node.dtype == "real" and has_path(v.sample.law):
            return "reparam", "a function of noise"
        return "score", "neither few values nor a function of noise"

    def _together(self, v: Variable, frames: Frames) -> tuple[str, str]:
        """How the paths of a variable are summed over where that does not go along the steps."""
        total = configurations(self.b, v, frames.joint(v))
        if total is not None and total <= (MOST_CONFIGURATIONS if self.e.way.word == "enumerate" else FEW):
            return "enumerate", f"{total} paths"
        why = self.unless.get(v.name, "the law of another variable reads it")
        message = (
            f"what is averaged over the paths of '{v.name}' is no product of sums and products over its steps: {why}"
        )
        if total is not None:
            message += f"; there are {total} paths"
        raise _Paths(v.name, message, self.b.origin)

    def covariance(self, f: Node, g: Node) -> Node:
        """The covariance of two nodes: the average of the product of their deviations, by draws the unbiased one of a sample."""
        before = dict(self.done), {name: dict(words) for name, words in self.chosen.items()}
        self.exact = True
        try:
            # A deviation has the mean 0, so that nothing flows back through the means.
            deviations = [self.b.map(("sub", X, A), [x, self.of(x)], "real") for x in (f, g)]
            return self.of(self.b.mul(deviations))
        except _Inexact:
            self.done, self.chosen = before
        finally:
            self.exact = False
        both = self.b.add([f, g])
        variables = self.estimator.relevant(both)
        chosen = self.strategies(both, variables)
        return self.estimator.covariance(f, g, both, variables, chosen)


class _Paths(NoEstimate):
    """The paths of a variable are too many. `name` is the variable's."""

    def __init__(self, name: str, what: str, origin: Origin) -> None:
        tip = "write it as sums and products over steps, or estimate it by draws: by=samples(1000)"
        super().__init__("VS0695", what, origin, tip)
        self.name = name


class _Inexact(Exception):  # noqa: N818 (it leads to another way)
    """A part has no exact value."""


def _without_logarithms(node: Node) -> tuple[Tree, Sequence[Node]]:
    """The kernel of a map and its operands, with log(exp(x)) as x, so that every level of optimisation integrates the same."""
    inputs = list(node.inputs)

    def of(tree: Tree) -> Tree:
        if tree[0] in ("x", "num"):
            return tree
        if tree[0] != "log":
            return (tree[0], *(of(t) for t in tree[1:]))
        inner = tree[1]
        known = inputs[inner[1]] if inner[0] == "x" else None
        if known is not None and known.kind is Kind.MAP:
            to = {k: slot(len(inputs) + k) for k in range(len(known.inputs))}
            inner = substitute(known.attrs[0].tree, to)
            if inner[0] == "exp":
                inputs.extend(known.inputs)
        return of(inner[1]) if inner[0] == "exp" else ("log", of(tree[1]))

    if not any(t[0] == "log" for t in walk(node.attrs[0].tree)):
        return node.attrs[0].tree, inputs
    return of(node.attrs[0].tree), inputs


def _number_valued(tree: Tree, inputs: Sequence[Node]) -> bool:
    return tree[0] == "x" and inputs[tree[1]].dtype == "integer"
