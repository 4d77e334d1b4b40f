"""Estimates of the expectation of one expression, whose derivatives estimate the derivatives of the expectation.

Each variable has a strategy of its own; they compose. What is made is a value whose derivatives, taken by the ordinary calculus,
are unbiased: an enumerated variable is an axis with weights, a reparameterised one a function of noise; for a score function
the value is multiplied by exp(l - stop(l)), l the log-density of the draw (the value 1 with the derivative of l: Foerster et al.
2018); a measure-valued variable adds (p - stop(p))*c*(f(v+) - f(v-)), the value 0 with the derivative of the law. Only
variables on which the expression depends take part, and of their elements only those that it reads (Rao-Blackwellisation).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from vspec.compiler.calculus.chance import measures
from vspec.compiler.calculus.chance.chains import normalised, number_of, pooled
from vspec.compiler.calculus.chance.noise import Repeated
from vspec.compiler.calculus.chance.paths import has_path, path
from vspec.compiler.calculus.chance.supports import Values, enumerated, laid_out
from vspec.compiler.calculus.chance.variables import Frames, NoEstimate, Variable, new_axis, reached, size_of
from vspec.compiler.calculus.draws import RULES, core_of, form_of, in_place, key_of
from vspec.compiler.graph.instantiate import instantiated
from vspec.compiler.graph.kernel import Tree, num, slot
from vspec.compiler.graph.node import Axis, Node, from_inputs, topological
from vspec.compiler.language.draws import draws_of
from vspec.compiler.language.expectations import TRACKED
from vspec.compiler.language.expr import Expectation, Expr
from vspec.compiler.language.transitions import trail_name

if TYPE_CHECKING:
    from vspec.compiler.calculus.lower import Lowering

DRAWN = ("reparam", "score", "measure_valued")
X, A, B = slot(0), slot(1), slot(2)
ONE: Tree = ("exp", ("sub", X, A))


@dataclass(frozen=True)
class Weight:
    """The weights of the values of a variable, along an axis; `by` is the variable."""

    by: Variable
    axis: Axis
    node: Node


@dataclass
class Play:
    """Values for variables: what stands in the place of each draw (by uid), weights, log-densities of draws, noise."""

    values: dict[int, Node] = field(default_factory=dict)
    weights: list[Weight] = field(default_factory=list)
    logs: dict[str, Node] = field(default_factory=dict)
    noise: dict[str, tuple[Repeated, list[Node]]] = field(default_factory=dict)

    def copy(self) -> Play:
        """Another that goes on from here."""
        return Play(dict(self.values), list(self.weights), dict(self.logs), dict(self.noise))


def trail_of(low: Lowering, v: Variable, count: int, draws: Axis) -> Node:
    """So many draws of a variable that chains draw, one after the other along an axis."""
    with low.outside():
        node = low.get(f"{trail_name(v.name, count)}.draws")
    first = next(a for a in node.axes if a.name not in v.node.names)
    taken = low.b.window(node, first.name, draws, 1, 0)
    return low.b.stop(taken)


class Estimator:
    """Estimates for one expectation. `repeats`: the axes of independent draws."""

    def __init__(self, low: Lowering, e: Expectation, variables: Sequence[Variable]) -> None:
        self.low, self.b, self.e = low, low.b, e
        self.variables = list(variables)
        self.own = {v.node.uid: frozenset([v.name]) for v in variables}
        self.depends: dict[int, frozenset[str]] = {}
        # What was made for a part of the expectation and serves the next one: values of variables, by their law's arguments and
        # the strategy, and nodes at values, by what stands for the variables below them.
        self.given: dict[tuple[object, ...], tuple[Node, Repeated]] = {}
        self.listed: dict[tuple[object, ...], Values] = {}
        self.made: dict[tuple[int, ...], Node] = {}
        self.repeats: tuple[Axis, ...] = ()
        # The draws of chains one after the other, and by which axes those of several chains are draws of one law.
        self.trails: dict[str, Node] = {}
        self.pools: dict[str, Axis] = {}
        self.pair: Axis | None = None
        way = e.way
        if way.word in ("samples", TRACKED) and way.count is not None and way.count > 1:
            count = way.count
            if way.antithetic:
                count //= 2
                self.pair = new_axis(self.b, "side", "sides", 2)
            draws = new_axis(self.b, "draw", "draws", count)
            self.repeats = (draws, *([self.pair] if self.pair is not None else []))
            self.trails = {v.name: trail_of(low, v, count, draws) for v in variables if v.chain is not None}
        self.keys: dict[str, Node] = {}
        self.over = tuple(low.lower(x) for x in way.over) if way.over is not None else None

    # --- the estimate ---------------------------------------------------------------------------------------------

    def relevant(self, c: Node) -> list[Variable]:
        """The variables on which an expression depends, themselves or by others."""
        names = self.names(c)
        return [v for v in self.variables if v.name in names]

    def names(self, c: Node) -> frozenset[str]:
        """The names of these variables. Each node is looked at once."""

        def of(node: Node) -> frozenset[str]:
            return self.own.get(node.uid, frozenset()).union(*(self.depends[x.uid] for x in node.inputs))

        return from_inputs(c, self.depends, of)

    def estimate(self, c: Node, variables: Sequence[Variable], chosen: Mapping[str, str]) -> Node:
        """The estimate of E[c], with the axes of c or fewer. `chosen`: the strategy of each variable."""
        return _One(self, c, variables, chosen).total()

    def logarithm(self, c: Node, variables: Sequence[Variable], chosen: Mapping[str, str]) -> Node | None:
        """The logarithm of the estimate of E[exp(c)]; None where that is no mean of exponentials."""
        return _One(self, c, variables, chosen).logarithm()

    def covariance(
        self, f: Node, g: Node, both: Node, variables: Sequence[Variable], chosen: Mapping[str, str]
    ) -> Node:
        """The unbiased covariance of the values of two nodes over the draws; `both` reads what either reads.

        It is the mean over pairs of different draws of (f - f')(g - g')/2; a score meets it once for each of the two.
        """
        b, way = self.b, self.e.way
        chained = next((v for v in variables if v.chain is not None), None)
        if chained is not None:
            return self._by_chains(f, g, both, chained, chosen)
        count = way.count or 1
        if count < 2 or way.antithetic:
            what = "independent draws" if way.antithetic else "at least two draws"
            raise NoEstimate("VS0695", f"a variance that is estimated takes {what}", b.origin, "write by=samples(64)")
        for v in variables:
            if chosen[v.name] not in ("reparam", "score"):
                message = (
                    f"a variance is estimated by reparam or score, and '{v.name}' has the estimator {chosen[v.name]}"
                )
                raise NoEstimate("VS0695", message, v.origin)
            if v.estimator.baseline != "none" and chosen[v.name] == "score":
                raise NoEstimate("VS0695", f"no baseline of '{v.name}' is independent of its pairs of draws", v.origin)
        play = _One(self, both, variables, chosen).play(Play(), variables)
        each = self._pairs([self.at(x, play.values) for x in (f, g)], num(float(count)), [])
        if play.logs:
            log = b.add(list(play.logs.values()))
            twice: Tree = ("mul", ("sub", ("mul", num(2.0), ONE), num(1.0)), B)
            each = b.map(twice, [log, b.stop(log), each], "real")
        return self.mean(each)

    def _by_chains(self, f: Node, g: Node, both: Node, v: Variable, chosen: Mapping[str, str]) -> Node:
        """The same over the draws of all chains of one law, as many as there are of each.

        The score of a draw is less the mean of those of all others, the other one of a pair among them, which leaves
        (n - 2)/(n - 1) of what it should be.
        """
        b = self.b
        one = _One(self, both, [v], chosen)
        self.pools = pooled(b, v, one.frames, self.repeats)
        self.repeats = (*self.repeats, *self.pools.values())
        play = one.play(Play(), [v])
        count = number_of(b, self.repeats)
        each = self._pairs([self.at(x, play.values) for x in (f, g)], ("real", slot(6)), [count])
        log = play.logs[v.name]
        factor: Tree = ("div", ("real", ("sub", slot(3), num(1))), ("real", ("sub", slot(3), num(2))))
        twice: Tree = ("mul", ("add", num(1.0), ("mul", num(2.0), factor, ("sub", ONE, num(1.0)))), B)
        return self.mean(b.map(twice, [log, b.stop(log), each, count], "real"))

    def _pairs(self, values: Sequence[Node], count: Tree, more: Sequence[Node]) -> Node:
        """For each draw the mean over the others of half the product of the differences of two values. `count`: the number of
        draws, of slots after the sixth."""
        b = self.b
        axes = [a.name for a in self.repeats]
        dims = {a.name: a.dim for a in self.repeats}
        product = b.mul(values)
        totals = [b.reduce("sum", x, axes, dims) for x in (*values, product)]
        pairs: Tree = (
            "div",
            ("add", ("mul", count, X), ("neg", ("mul", A, slot(4))), ("neg", ("mul", B, slot(3))), slot(5)),
            ("mul", num(2.0), ("sub", count, num(1.0))),
        )
        return b.map(pairs, [product, *values, *totals, *more], "real")

    def at(self, x: Node, values: Mapping[int, Node]) -> Node:
        """A node where other nodes stand in the place of variables. What several parts read is made once."""
        variables = {v.name: v.node.uid for v in self.variables}
        known = dict(values)
        keys: dict[int, tuple[int, ...]] = {}
        for node in topological([x]):
            below = [variables[n] for n in sorted(self.names(node))]
            places = [y for uid in below if uid in values for y in (uid, values[uid].uid)]
            if places and node.uid not in values:
                keys[node.uid] = (node.uid, *places)
                if keys[node.uid] in self.made:
                    known[node.uid] = self.made[keys[node.uid]]
        new = instantiated(self.b, [x], known)
        self.made |= {key: new[uid] for uid, key in keys.items() if uid in new}
        return new[x.uid]

    def key(self, v: Variable) -> Node:
        """The key of the draws of a variable."""
        if v.name not in self.keys:
            self.keys[v.name] = key_of(self.low, draws_of(self.e, v.name), self.e.times)
        return self.keys[v.name]

    def mean(self, x: Node) -> Node:
        """The mean over the repetitions, of a node that may lack their axes."""
        own = [a for a in self.repeats if a.name in x.names]
        if not own:
            return x
        count = self.count(own)
        total = self.b.reduce("sum", x, [a.name for a in own])
        return self.b.map(("div", X, ("real", A)), [total, count], "real")

    def count(self, axes: Sequence[Axis]) -> Node:
        """The number of elements along axes."""
        return number_of(self.b, axes)


class _One:
    """The estimate of one expression."""

    def __init__(self, of: Estimator, c: Node, variables: Sequence[Variable], chosen: Mapping[str, str]) -> None:
        self.of, self.b, self.c = of, of.b, c
        self.variables = list(variables)
        self.chosen = chosen
        self.frames = Frames.around(c, variables)

    def total(self) -> Node:
        """The estimate: the mean over the draws of the sum over what is enumerated."""
        b = self.b
        play = self.play(Play(), self.variables)
        cost = self._at(self.c, play)
        terms = [self._weighted(self._scored(cost, list(play.logs.values())), play.weights)]
        for k, v in enumerate(self.variables):
            before = [w for w in play.weights if w.by in self.variables[:k]]
            if self.chosen[v.name] == "measure_valued":
                terms += [self._weighted(x, before) for x in self._measured(v, k, play, cost)]
            if v.name in play.logs and v.estimator.baseline != "none" and v.chain is None:
                base = self._baseline(v, k, cost, play)
                held = b.map(
                    ("mul", ("sub", num(1.0), ONE), B), [play.logs[v.name], b.stop(play.logs[v.name]), base], "real"
                )
                terms.append(self._weighted(held, before))
        return b.add([self.of.mean(t) for t in terms])

    def logarithm(self) -> Node | None:
        """The logarithm of the mean of exp(c) over the draws, a score being added to c."""
        b = self.b
        for v in self.variables:
            word = self.chosen[v.name]
            if word not in ("reparam", "score") or (word == "score" and v.estimator.baseline != "none"):
                return None
        play = self.play(Play(), self.variables)
        scores = [b.map(("sub", X, A), [log, b.stop(log)], "real") for log in play.logs.values()]
        each = b.add([self._at(self.c, play), *scores])
        own = [a for a in self.of.repeats if a.name in each.names]
        if not own:
            return each
        total = b.reduce("logsumexp", each, [a.name for a in own])
        return b.map(("sub", X, ("log", ("real", A))), [total, self.of.count(own)], "real")

    # --- values -----------------------------------------------------------------------------------------------------

    def play(self, start: Play, variables: Sequence[Variable]) -> Play:
        """Gives each variable that has no value yet one, by its strategy."""
        play = start.copy()
        for v in variables:
            if v.node.uid not in play.values:
                self._give(v, play)
        return play

    def _give(self, v: Variable, play: Play) -> None:
        with self.b.at(v.origin._replace(role="part")):
            self._given(v, play)

    def _given(self, v: Variable, play: Play) -> None:
        if v.chain is not None:
            self._chained(v, play)
            return
        if v.walk:
            self._walked(v, play)
            return
        arguments = [self._at(x, play) for x in v.arguments]
        strategy = self.chosen[v.name]
        if strategy in ("enumerate", "quadrature"):
            found = self._listed(v, arguments)
            self._set(v, found.value, play)
            log = self._density(v, play) if found.dense else None
            factor = self._framed(v, found.factor)
            weight = factor if log is None else self.b.map(("mul", X, ("exp", A)), [factor, log], "real")
            play.weights.append(Weight(v, found.axis, weight))
            return
        place = (v.name, v.node.uid, strategy, *(x.uid for x in arguments))
        if place not in self.of.given:
            self.of.given[place] = self._drawn(v, arguments)
        value, noise = self.of.given[place]
        self._set(v, value, play)
        play.noise[v.name] = noise, in_place(self.b, v.sample, arguments)
        if strategy == "score":
            log = self._density(v, play)
            if log is None:
                message = f"the law '{v.sample.law}' of '{v.name}' has no density for a score function"
                raise NoEstimate("VS0693", message, v.origin)
            play.logs[v.name] = log

    def _drawn(self, v: Variable, arguments: Sequence[Node]) -> tuple[Node, Repeated]:
        """Draws of a variable, with the noise that they are made of."""
        strategy = self.chosen[v.name]
        given = in_place(self.b, v.sample, arguments)
        if strategy != "reparam":
            given = [self.b.stop(x) if x.dtype == "real" else x for x in given]
        noise = Repeated(self.b, v, self.of.key(v), self.of.repeats, self.of.pair, core_of(v.sample))
        if strategy == "reparam":
            if not has_path(v.sample.law):
                message = f"a draw of the law '{v.sample.law}' of '{v.name}' is no function of its arguments"
                raise NoEstimate("VS0693", message, v.origin, "its estimators are score and enumerate")
            value = path(self.b, form_of(v.sample), noise, *given)
        else:
            value = RULES[form_of(v.sample)](noise, *given)
            value = self.b.stop(value) if value.dtype == "real" else value
        return self._ordered(v, value), noise

    def _chained(self, v: Variable, play: Play) -> None:
        """The current draws of chains."""
        pools = self.of.pools
        drawn = self.of.trails.get(v.name, v.node)
        self._set(v, self.b.rename(drawn, {a: x.name for a, x in pools.items()}) if pools else drawn, play)
        assert v.density is not None
        draws = [*self.of.repeats, *pools.values()]
        log = normalised(self.b, v, self._at(v.density, play), self.frames, draws)
        play.logs[v.name] = self._framed(v, log, joint=True)

    def _walked(self, v: Variable, play: Play) -> None:
        """The noise of a variable that a recurrence draws."""
        noise = Repeated(self.b, v, self.of.key(v), self.of.repeats, self.of.pair, ())
        self._set(v, RULES[v.sample.law](noise, *v.arguments), play)
        if v.log is not None:
            log = self._at(v.log, play)
            own = self.frames.of[v.name]
            over = [a for a in v.plates if a.name in log.names and a.name not in own]
            log = self.b.reduce("sum", log, [a.name for a in over]) if over else log
            play.logs[v.name] = self.b.rename(log, {a: n for a, n in own.items() if a in log.names})

    def _listed(self, v: Variable, arguments: Sequence[Node]) -> Values:
        joint = self.frames.joint(v)
        place = (v.name, v.node.uid, self.chosen[v.name], *(a.name for a in joint), *(x.uid for x in arguments))
        if place not in self.of.listed:
            if self.chosen[v.name] == "enumerate":
                found = enumerated(self.b, v, joint)
            else:
                over = self.of.over
                ends = (over[0], over[1]) if over is not None else None
                found = laid_out(self.b, v, arguments, self.of.e.way.count or 0, ends, joint)
            self.of.listed[place] = replace(found, value=self._ordered(v, found.value))
        return self.of.listed[place]

    def _ordered(self, v: Variable, value: Node) -> Node:
        """What stands in the place of a draw, with its axes in their order but for those along which it is constant."""
        own = [a for a in v.node.axes if a.name in value.names]
        more = [a for a in value.axes if a.name not in v.node.names]
        return self.b.order(value, (*more, *own))

    def _set(self, v: Variable, value: Node, play: Play) -> None:
        """Has a node stand in the place of a draw."""
        play.values[v.node.uid] = self._ordered(v, value)

    def _at(self, x: Node, play: Play) -> Node:
        return self.of.at(x, play.values)

    def _density(self, v: Variable, play: Play) -> Node | None:
        """The log-density of what a variable is, of all its elements that one value of the expression reads."""
        return None if v.density is None else self._framed(v, self._at(v.density, play), joint=True)

    def _framed(self, v: Variable, x: Node, joint: bool = False) -> Node:
        """A node over the axes of a variable as the expression calls them, summed over those that it mixes if `joint`."""
        own = self.frames.of[v.name]
        if joint:
            dims = {a.name: a.dim for a in v.plates}
            over = [a.name for a in v.plates if a.name not in own]
            x = self.b.reduce("sum", x, over, dims) if over else x
        return self.b.rename(x, {a: n for a, n in own.items() if a in x.names})

    # --- terms --------------------------------------------------------------------------------------------------------

    def _scored(self, cost: Node, logs: Sequence[Node]) -> Node:
        if not logs:
            return cost
        log = self.b.add(logs)
        return self.b.map(("mul", ONE, B), [log, self.b.stop(log), cost], "real")

    def _weighted(self, x: Node, weights: Sequence[Weight]) -> Node:
        """The sum over the axes of the weights."""
        if not weights:
            return x
        product = self.b.mul([*(w.node for w in weights), x])
        return self.b.reduce("sum", product, [w.axis.name for w in weights], {w.axis.name: w.axis.dim for w in weights})

    def _measured(self, v: Variable, k: int, play: Play, cost: Node) -> list[Node]:
        """For each parameter of a law, what has the derivative of the expectation by it, and the value 0."""
        rule = measures.RULES.get(v.sample.law)
        if rule is None:
            message = f"no measure-valued derivative of the law '{v.sample.law}' is known here"
            listed = ", ".join(measures.RULES)
            raise NoEstimate(
                "VS0693", message, v.origin, f"there are those of {listed}; else reparam, score or enumerate"
            )
        # Enumerated variables that come after are summed here as they are in the branches.
        of = self._weighted(cost, [w for w in play.weights if w.by in self.variables[k + 1 :]])
        noise, given = play.noise[v.name]
        value = play.values[v.node.uid]
        held = [self.b.stop(x) if x.dtype == "real" else x for x in given]
        found = []
        for n, branch in enumerate(rule(self.b, noise, value, *held)):
            parameter = given[_position(held, branch.parameter, n)]
            found.append(self._branch(v, k, play, replace(branch, parameter=parameter), of))
        return found

    def _branch(self, v: Variable, k: int, play: Play, branch: measures.Branch, cost: Node) -> Node:
        b = self.b
        before = self.variables[:k]
        start = Play({u.node.uid: play.values[u.node.uid] for u in before})
        value = play.values[v.node.uid]
        joint = self.frames.joint(v)
        turns = {a.name: Axis(b.fresh(a.name), a.dim) for a in joint}

        def changed(part: Node) -> Node:
            # One element at a time takes the other value.
            if not joint:
                return part
            tests: list[Tree] = []
            nodes: list[Node] = [part, value]
            for a in joint:
                nodes += [b.index(a), b.index(turns[a.name])]
                tests.append(("eq", slot(len(nodes) - 2), slot(len(nodes) - 1)))
            test = tests[0]
            for other in tests[1:]:
                test = ("and", test, other)
            return b.map(("where", test, X, A), nodes, value.dtype)

        sides = []
        for part in (branch.plus, branch.minus):
            inside = start.copy()
            self._set(v, value if part is None else changed(part), inside)
            after = self.play(inside, self.variables[k + 1 :])
            sides.append(self._weighted(self._at(self.c, after), after.weights))
        names = {**self.frames.of[v.name], **{a: t.name for a, t in turns.items()}}
        parameter, constant = (
            b.rename(x, {a: n for a, n in names.items() if a in x.names}) for x in (branch.parameter, branch.constant)
        )
        tree: Tree = ("measure", X, A, ("mul", B, ("sub", slot(3), slot(4))), slot(5))
        held = [b.stop(x) for x in (parameter, constant, *sides)]
        zero = b.map(tree, [parameter, *held, cost], "real")
        over = (*turns.values(), *branch.over)
        return b.reduce("sum", zero, [t.name for t in over], {t.name: t.dim for t in over})

    def _baseline(self, v: Variable, k: int, cost: Node, play: Play) -> Node:
        """What is subtracted from the expression before it meets the score of a variable; no derivative flows through it."""
        b, baseline = self.b, v.estimator.baseline
        if isinstance(baseline, Expr):
            node = self.of.low.lower(baseline)
            after = {u.node.uid for u in self.variables[k:]}
            if node.uid in reached([node], after):
                raise NoEstimate("VS0693", f"the baseline of '{v.name}' depends on it, which is a bias", v.origin)
            return b.stop(self._framed(v, self._at(node, play)))
        later = [w for w in play.weights if w.by not in self.variables[:k]]
        each = b.stop(self._weighted(cost, later))
        drawn = [u for u in self.variables if self.chosen[u.name] in DRAWN]
        shared = self.frames.shared(drawn)
        axes = [*self.of.repeats, *(a for a in self.c.axes if a.name in shared)]
        known = [size_of(b.dims, a) for a in axes]
        if all(n == 1 for n in known):
            tip = "take more than one draw: by=samples(16)"
            raise NoEstimate(
                "VS0693", f"there is no other draw for the leave-one-out baseline of '{v.name}'", v.origin, tip
            )
        total = b.reduce("sum", each, [a.name for a in axes], {a.name: a.dim for a in axes})
        return b.stop(
            b.map(("div", ("sub", X, A), ("real", ("sub", B, num(1)))), [total, each, self.of.count(axes)], "real")
        )


def _position(held: Sequence[Node], parameter: Node, n: int) -> int:
    return next((k for k, x in enumerate(held) if x is parameter), n)
