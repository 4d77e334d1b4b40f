"""Checked spec → graph of the whole program: every entry that the plan, the outputs and the claims need."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from functools import lru_cache, partial
from typing import Any

from vspec.compiler.calculus.batches import Batches
from vspec.compiler.calculus.chance.variables import NoEstimate
from vspec.compiler.calculus.constrained import difference, parts
from vspec.compiler.calculus.known import facts_of
from vspec.compiler.calculus.levels import state_reads, with_twins
from vspec.compiler.calculus.loops import enter
from vspec.compiler.calculus.lower import Lowering
from vspec.compiler.calculus.moving import moving
from vspec.compiler.calculus.parts import joined
from vspec.compiler.calculus.plan import plan_entries
from vspec.compiler.calculus.solves import solve_entries
from vspec.compiler.calculus.special import NoAdjoint, NoDerivative, NoWay
from vspec.compiler.calculus.strategies import pairs_of
from vspec.compiler.diagnostics.diagnostic import Diagnostic, SpecError
from vspec.compiler.diagnostics.spans import Span
from vspec.compiler.graph.builder import Builder, Rule
from vspec.compiler.graph.graph import Entry, Graph, Result
from vspec.compiler.graph.kernel import slot
from vspec.compiler.graph.linalg import NotStructured
from vspec.compiler.graph.node import Kind, Node, Origin, topological
from vspec.compiler.graph.rewrite import Sweep, rewrite
from vspec.compiler.graph.strategy import with_choices
from vspec.compiler.graph.tuning import Tuning
from vspec.compiler.graph.whole import decided
from vspec.compiler.language.bodies import bodies
from vspec.compiler.language.claims import conjuncts
from vspec.compiler.language.draws import ordinals
from vspec.compiler.language.expr import Derivative, Expr, Pointwise
from vspec.compiler.language.operators import COUNTERS
from vspec.compiler.language.ranges import Ranges
from vspec.compiler.language.spec import Claim, Spec
from vspec.compiler.language.substitute import elements, nodes

RELATIONS = {"lt": "<", "le": "<=", "gt": ">", "ge": ">=", "eq": "==", "ne": "!="}
TURNED = {"lt": "gt", "le": "ge", "gt": "lt", "ge": "le", "eq": "eq", "ne": "ne"}


def lower_spec(spec: Spec, rules: Iterable[Rule] = (), tuning: Tuning | None = None) -> Graph:
    """The graph of a spec before any pass. `rules` are local rewrites that apply before differentiation; `tuning` says what
    arrays may take of memory.

    Raises SpecError where a derivative has no formula; the checker refuses what it sees of these before.
    """
    try:
        return _lower_spec(spec, rules, tuning or Tuning())
    except NoWay as e:
        raise _refused(spec, "VS0259", e.what, e.origin, "this derivative", (OTHERWISE,)) from None
    except NotStructured as e:
        raise _refused(spec, "VS0271", e.what, e.origin, "this matrix", (e.tip, OTHERWISE)) from None
    except NoEstimate as e:
        raise _refused(spec, e.code, e.what, e.origin, "", (e.tip,) if e.tip else ()) from None
    except NoAdjoint as e:
        names = " and ".join(f"'{n}'" for n in e.what.split("_"))
        tips = (
            "declare it 'adjoint: stored', or 'checkpointed' to keep less in memory",
            "stop(...) around what reads it keeps the derivative out",
        )
        message = f"a derivative goes back through the steps of {names}, which have 'adjoint: none'"
        raise _refused(spec, "VS0397", message, e.origin, "this recurrence", tips) from None
    except NoDerivative as e:
        raise _refused(spec, "VS0330", f"{e.what} has no formula", e.origin) from None


OTHERWISE = "leave 'by' out, and the way that costs least is taken"


def _refused(
    spec: Spec, code: str, message: str, origin: Origin | None, label: str = "", tips: tuple[str, ...] = ()
) -> SpecError:
    """What the calculus has no way to do, said where it is asked for."""
    line, column = (origin.line, origin.column) if origin is not None and origin.line else (1, 1)
    return SpecError([Diagnostic(code, message, Span(spec.path, line, column, line, column + 1), label, tips)])


def _lower_spec(spec: Spec, rules: Iterable[Rule], tuning: Tuning) -> Graph:
    sizes = {name: d.size if isinstance(d.size, int) else None for name, d in spec.dims.items()}
    b = Builder(sizes, (decided, *rules))
    low = Lowering(b, spec.letters, spec.dims, spec.file)
    low.memory = tuning.memory
    inputs = enter_equations(spec, low)
    entries: dict[str, Entry] = {}
    if spec.params:
        entries["initial"] = _initial(spec, low, inputs)
    if any(p.domain.lower is not None for p in spec.params.values()):
        entries["bounds"] = _bounds(spec, low)
    batches = Batches(spec, low, inputs)
    roles = plan_entries(spec, low, entries, batches)
    _outputs(spec, low, entries)
    if spec.constraints:
        entries["constraints"] = _constraints(spec, low)
    records = _claims(spec, low, entries)
    entries = batches.entry() | entries
    solves, searches = solve_entries(b, entries)
    entries |= solves
    notes = {
        "claims": records,
        "derivatives": low.derivatives,
        "plan": roles,
        "moving": moving(spec, roles),
        "batches": batches.dims,
        "forms": low.forms,
        "searches": searches,
        "facts": facts_of(spec),
        "singles": frozenset(low.singles),
    }
    inputs |= low.vectors
    inputs |= low.multipliers
    inputs |= low.kernels
    if low.keys:
        inputs[free_name("key", inputs)] = low.key()
    if low.lengths:
        inputs[free_name("lr", inputs)] = low.lengths[0]
    graph = released(Graph(tuple(entries.values()), dict(b.dims), inputs, spec.precision, notes, b.classes))
    made = [replace(c, what=excerpt(spec, e.span), file=spec.file(e.span)) for e, c in low.choices]
    return with_choices(graph, [*made, *b.choices])


def enter_equations(spec: Spec, low: Lowering) -> dict[str, Node]:
    """Makes the dims, arguments and equations of a spec known to a lowering. Gives the arguments by name."""
    ranges = Ranges(spec)
    low.sides, low.definitions = ranges.sides, ranges.definitions
    for name, d in spec.dims.items():
        if isinstance(d.size, Expr):
            low.b.dims[name] = low.value(d.size)
    low.variables = differentiated(spec)
    low.text = partial(excerpt, spec)
    low.paired = pairs_of(spec, low.text)
    low.ordinals = ordinals(spec)
    low.random = spec.random
    inputs = _inputs(spec, low)
    reads = with_twins(state_reads(spec.equations, (b.expr for b in bodies(spec) if not b.loops)), spec.random.values())
    for name, objective in spec.objectives.items():
        # A definition may read an objective (to differentiate it, say) and an objective reads definitions.
        low.pending[name] = partial(low.value, objective.body, name, ())
    for equation in spec.equations:
        enter(low, equation, reads)
    return inputs


def released(graph: Graph) -> Graph:
    """The graph without what kept definitions apart for the sake of derivatives by them."""
    return rewrite(graph, lambda b, node, old: node.inputs[0] if node.kind is Kind.STOP and node.op == "hold" else node)


def free_name(wish: str, taken: Collection[str]) -> str:
    """The name, with underscores behind it as long as it is taken."""
    while wish in taken:
        wish += "_"
    return wish


def _inputs(spec: Spec, low: Lowering) -> dict[str, Node]:
    inputs: dict[str, Node] = {}
    groups = (("param", spec.params), ("data", spec.data), ("constant", spec.constants), ("fact", spec.facts))
    for role, group in groups:
        for name, item in group.items():
            axes = [low.axis(x) for x in item.letters]
            with low.b.at(Origin(name, item.span.line, item.span.column, file=spec.file(item.span))):
                inputs[name] = low.b.input(name, role, axes, item.dtype)
            low.argument(name, inputs[name])
    read = {e.name for b in bodies(spec) for e in elements(b.expr)}
    for name in COUNTERS:
        if name in read:
            inputs[name] = low.values[name] = low.b.input(name, "counter", (), "integer")
    return inputs


def _initial(spec: Spec, low: Lowering, inputs: Mapping[str, Node]) -> Entry:
    """The start of every param; where one reads another, it reads its start."""
    starts: dict[str, Node] = {}
    for name, p in spec.params.items():
        if p.dtype == "complex":
            starts[name] = joined(low, low.part_values(p.init, "", p.letters))
            continue
        node = low.value(p.init, "", p.letters)
        if node.dtype != "real" and p.dtype == "real":
            node = low.b.map(("real", slot(0)), [node], "real")
        starts[name] = node
    names = {inputs[name].uid: name for name in starts}
    sweep = Sweep(low.b, lambda b, node, old: node)
    waiting = dict(starts)
    while waiting:
        # The checker has refused circles.
        for name, node in list(waiting.items()):
            if not any(names.get(n.uid) in waiting for n in topological([node])):
                sweep.run([node])
                starts[name] = low.b.order(sweep.new[node.uid], node.axes)
                sweep.new[inputs[name].uid] = starts[name]
                del waiting[name]
    results = [Result((name,), node) for name, node in starts.items()]
    return Entry("initial", "initial", tuple(results), doc="The params' initial values.")


def _bounds(spec: Spec, low: Lowering) -> Entry:
    """The ends of every box: numbers, or arrays with the axes of the param."""
    results = []
    for name, p in spec.params.items():
        for side, bound in (("lower", p.domain.lower), ("upper", p.domain.upper)):
            if bound is not None:
                node = low.value(bound)
                axes = [low.axis(x) for x in p.letters] if node.axes else []
                results.append(Result((name, side), low.b.order(node, axes)))
    return Entry("bounds", "bounds", tuple(results), doc="Where the boxes of the params end.")


def _constraints(spec: Spec, low: Lowering) -> Entry:
    """Left minus right of every relation: 0 where an equation holds, at most 0 where an inequality does."""
    results = [Result((part,), difference(low, relation)) for part, relation in parts(spec)]
    return Entry("constraints", "constraints", tuple(results), doc="By how much the constraints are violated.")


def _outputs(spec: Spec, low: Lowering, entries: dict[str, Entry]) -> None:
    results = []
    for name, out in spec.outputs.items():
        results.append(Result((name,), low.value(out.body, name, out.letters)))
    if results:
        entries["outputs"] = Entry("outputs", "outputs", tuple(results), doc="What the spec asks to see.")


def _claims(spec: Spec, low: Lowering, entries: dict[str, Entry]) -> dict[str, Any]:
    """The entry `claims`, or one for each claim where they compare runs, and what the manifest says about each."""
    results: list[Result] = []
    records: dict[str, Any] = {}
    for name, claim in spec.claims.items():
        record: dict[str, Any] = {
            "text": claim.text,
            "reported": claim.reported,
            "line": claim.span.line,
            "seeds": claim.seeds,
            "require": claim.require,
            "runs": list(claim.runs),
            "facts": list(claim.facts),
        }
        found: list[Result] = []
        if claim.that is not None:
            record |= {"kind": "that", "holds": name, "measures": []}
            found.append(Result((name,), low.value(claim.that)))
            joined_by_and = conjuncts(claim.that)
            for k, part in enumerate(joined_by_and):
                if isinstance(part, Pointwise) and part.op in RELATIONS and not part.axes:
                    left, op, right = _compared(spec, part)
                    keys = (f"{name}.left{k}", f"{name}.right{k}")
                    found += [Result((keys[0],), low.value(left)), Result((keys[1],), low.value(right))]
                    record["measures"].append(
                        {
                            "text": excerpt(spec, left.span),
                            "relation": RELATIONS[op],
                            "bound": excerpt(spec, right.span),
                            "left": keys[0],
                            "right": keys[1],
                        }
                    )
                elif len(joined_by_and) > 1:
                    found.append(Result((f"{name}.part{k}",), low.value(part)))
                    said = {"text": excerpt(spec, part.span), "holds": f"{name}.part{k}"}
                    record.setdefault("conditions", []).append(said)
        else:
            record |= {"kind": "identity", "error": f"{name}.error", "tolerance": claim.tolerance, "by": claim.by}
            found.append(Result((f"{name}.error",), _discrepancy(low, claim)))
        records[name] = record
        if claim.runs:
            entries[name] = Entry(name, "comparison", tuple(found), name, f"What the claim '{name}' compares.")
        else:
            results += found
    if results:
        entries["claims"] = Entry("claims", "claims", tuple(results), doc="What the claims compare.")
    return records


def _compared(spec: Spec, part: Pointwise) -> tuple[Expr, str, Expr]:
    """What a comparison measures, how, and its bound: `0.9 <= a`, as in a chain, bounds a from below."""
    left, right = part.args

    def known(e: Expr) -> bool:
        return all(x.name in spec.constants for x in elements(e))

    if known(left) and not known(right):
        return right, TURNED[part.op], left
    return left, part.op, right


def _discrepancy(low: Lowering, claim: Claim) -> Node:
    """The largest absolute difference of the two sides of an identity."""
    if claim.left is None or claim.right is None:
        raise ValueError(f"claim {claim.name} is no identity")
    if "complex" in (claim.left.dtype, claim.right.dtype):
        sides = [*low.part_values(claim.left), *low.part_values(claim.right)]
        gap = low.b.map(("hypot", ("sub", slot(0), slot(2)), ("sub", slot(1), slot(3))), sides, "real")
    else:
        left, right = low.value(claim.left), low.value(claim.right)
        gap = low.b.map(("abs", ("sub", slot(0), slot(1))), [left, right], "real")
    if gap.kind == "const":
        return low.b.number(float(gap.attrs[0]))
    return low.b.reduce("max", gap, gap.names) if gap.names else gap


@lru_cache(maxsize=4)
def _lines(text: str) -> tuple[str, ...]:
    """The lines of a text, split once for all that quote it."""
    return tuple(text.splitlines())


def excerpt(spec: Spec, span: Span) -> str:
    """The spec's text under a span, on one line."""
    lines = list(_lines(spec.text)[span.line - 1 : span.end_line])
    if not lines:
        return ""
    lines[-1] = lines[-1][: span.end_column - 1]
    lines[0] = lines[0][span.column - 1 :]
    return " ".join(line.strip() for line in lines)


def differentiated(spec: Spec) -> frozenset[str]:
    """The names by which some derivative of a spec is taken."""
    return frozenset(w.name for b in bodies(spec) for d in nodes(b.expr) if isinstance(d, Derivative) for w in d.wrt)
