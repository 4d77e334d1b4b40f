"""The entries of the scaling form of block coordinate descent, and whether a stage takes it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from vspec.compiler.calculus.structure.scaling import Scaling
from vspec.compiler.diagnostics.diagnostic import Diagnostic, SpecError
from vspec.compiler.graph.cost import Sizes, flops, width
from vspec.compiler.graph.graph import Entry, Result
from vspec.compiler.graph.node import Node, topological
from vspec.compiler.graph.strategy import Candidate, Choice
from vspec.compiler.language.expr import Element, Number
from vspec.compiler.language.spec import MethodCall, Stage, labelled
from vspec.runtime.registry import scaled_roles

if TYPE_CHECKING:
    from vspec.compiler.calculus.needs import Request

# How many sweeps a stage is taken to have that does not say so, and in how many the kernel is made anew.
_SWEEPS, _ANEW = 1000, 5
_TIP = "form=log computes them from the exponents; form=auto, the default, takes what there is"

Blocks = Sequence[tuple[str, ...]]


def scaling_entries(r: Request, stage: Stage, call: MethodCall, blocks: Blocks) -> None:
    """The entries of the scaling form, where the stage takes it. Raises SpecError VS0268 where it is asked for in vain."""
    wanted = call.arguments["form"]["name"]
    kernel_role, roles = scaled_roles(stage.kind, blocks)
    if wanted == "log" or kernel_role in r.made:
        return
    low, b = r.low, r.low.b
    updates = [[x.node for x in r.made[f"{stage.kind}.{'.'.join(names)}"].results] for names in blocks]
    moving = [[low.values[p] for p in names] for names in blocks]
    with b.at(r.origin("part")):
        scaling = Scaling(b, [x for xs in moving for x in xs], f"{r.base}{r.tag}")
        found = scaling.collect([v for vs in updates for v in vs], r.value)
    reason = _reason(stage, found)
    if reason:
        if wanted == "scaling":
            raise SpecError([Diagnostic("VS0268", f"this sweep has no scaling form: {reason}", call.span, "", (_TIP,))])
        return
    with b.at(r.origin("part")):
        made = [scaling.update(vs) for vs in updates]
        value = scaling.value(r.value, moving[-1], made[-1])
        absorbed = scaling.absorbed()
    sizes = Sizes(b.dims, (a.dim for xs in moving for x in xs for a in x.axes))
    fixed = [r.value] if value is None else []
    plain = _work(sizes, scaling, [*(v for vs in updates for v in vs), r.value])
    ends = [(m.drift(b), m.share(b)) for m in made]
    nodes = [n for m, e in zip(made, ends, strict=True) for n in (*m.values, *e)] + (
        [value] if value is not None else fixed
    )
    scaled = _work(sizes, scaling, nodes)
    sweeps = _sweeps(r, stage)
    anew = min(sweeps, _ANEW) * (plain + _work(sizes, scaling, absorbed.values()))
    among = (Candidate("scaling", scaled + anew / sweeps), Candidate("log", plain))
    kept = sum(width("real", r.spec.precision) * sizes.count(n.axes) for n in scaling.arguments.values())
    chosen, because = "scaling", "asked for" if wanted == "scaling" else "least cost"
    if wanted == "auto" and r.low.memory is not None and kept > r.low.memory:
        chosen, because = "log", "the kernel would take too much memory"
    elif wanted == "auto" and among[0].flops >= among[1].flops:
        chosen = "log"
    listed = ", ".join(f"[{', '.join(names)}]" for names in blocks)
    b.choices.append(Choice("sweep", f"exact minima by {listed} of {r.name}", stage.span.line, chosen, among, because))
    if chosen == "log":
        return
    low.kernels |= scaling.arguments
    r.scalings[kernel_role] = scaling
    results = tuple(Result((name,), node) for name, node in absorbed.items())
    doc = f"What sweeps for {r.name} keep: exponentials, and the terms of their exponents."
    r.made[kernel_role] = Entry(f"{r.base}_kernel{r.tag}", "kernel", results, r.name, doc)
    for names, role, m, (drift, share) in zip(blocks, roles, made, ends, strict=True):
        rows = [Result(("point", p), node) for p, node in zip(names, m.values, strict=True)]
        rows += [Result(("drift",), drift), Result(("share",), share)]
        if m is made[-1] and value is not None:
            rows.append(Result(("value",), value))
        what = "smallest" if stage.kind == "minimize" else "largest"
        doc = f"The {', '.join(names)} at which {r.name} is {what}, by products with what is kept."
        r.made[role] = Entry(f"{r.base}_scaled_{'_'.join(names)}{r.tag}", "update", tuple(rows), r.name, doc)


def scaled_until(r: Request, stage: Stage, condition: Node, name: str) -> Entry | None:
    """Whether a stage ends, read off the kernel that its sweeps keep; None where it has none, or that saves nothing."""
    (call, *others) = stage.methods
    blocks = call.arguments.get("blocks")
    if others or call.name != "block_coordinate":
        return None
    listed = tuple(tuple(names) for names in blocks) if blocks else tuple((p,) for p in stage.over)
    scaling = r.scalings.get(scaled_roles(stage.kind, listed)[0])
    if scaling is None:
        return None
    b = r.low.b
    with b.at(r.origin("part")):
        sums = [*scaling.sums([condition]), *scaling.totals([condition])]
        if not sums:
            return None
        made = scaling.update([condition], sorted(sums, key=lambda n: n.uid))
        ends = (made.drift(b), made.share(b))
    sizes = Sizes(b.dims, (a.dim for k in scaling.kernels for a in k.axes))
    if _work(sizes, scaling, [*made.values, *ends]) >= _work(sizes, scaling, [condition]):
        return None
    results = [Result((key,), n) for key, n in zip(("reached", "drift", "share"), (*made.values, *ends), strict=True)]
    return Entry(name, "update", tuple(results), r.name, "Whether the stage ends, by products with what sweeps keep.")


def _reason(stage: Stage, found: bool) -> str:
    """Why there is no scaling form."""
    if stage.batch:
        return "its objective is another one for each batch"
    if len(stage.methods) > 1 or stage.constraints is not None:
        return "other methods or constraints act in the same step"
    if not found:
        return "not each block has logarithms of sums of exponentials, of a fixed array plus terms with fewer indices"
    return ""


def _work(sizes: Sizes, scaling: Scaling, roots: Iterable[Node]) -> float:
    """The operations of what differs from sweep to sweep."""
    held = {n.uid for n in scaling.arguments.values()}
    changing: set[int] = set()
    total = 0.0
    for n in topological(roots):
        if n.uid in held or scaling.degrees.depends(n) or any(x.uid in changing for x in n.inputs):
            changing.add(n.uid)
            total += flops(n, sizes)
    return total


def _sweeps(r: Request, stage: Stage) -> int:
    """How many sweeps a kernel may serve: the steps of the stage; in a round without steps of its own there is one."""
    if stage.steps is None:
        inside = any(stage in s.stages for _, s in labelled(r.spec.plan))
        return 1 if inside and stage.until is None else _SWEEPS
    steps = stage.steps
    value = steps.value if isinstance(steps, Number) else steps if isinstance(steps, int) else None
    if isinstance(steps, Element) and steps.name in r.spec.constants:
        value = r.spec.constants[steps.name].value
    return max(1, int(value)) if isinstance(value, int | float) else _SWEEPS


__all__ = ["scaled_until", "scaling_entries"]
