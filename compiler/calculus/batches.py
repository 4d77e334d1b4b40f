"""Lowering of what a stage computes on batches: the same formulas over dims of their own, whose sizes are open.

A batched dim n has a second dim beside it, the size of the batch; arguments that carry n are read along it, whatever the size.
Names that depend on data and constants alone come as prepared arrays, computed from all of the data by the lowering of the
whole spec, so that a batch is a share of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial

from vspec.compiler.calculus.levels import state_reads, with_twins
from vspec.compiler.calculus.loops import enter
from vspec.compiler.calculus.lower import Lowering
from vspec.compiler.calculus.parts import names
from vspec.compiler.graph.graph import Entry, Result
from vspec.compiler.graph.node import Axis, Kind, Node, Origin, topological
from vspec.compiler.graph.whole import values_of
from vspec.compiler.language.batches import Batch
from vspec.compiler.language.bodies import of_stage
from vspec.compiler.language.spec import Definition, Dim, Spec, Stage
from vspec.compiler.language.substitute import letters_of

DOC = "What depends on data and constants only, computed once per run."


@dataclass
class Batches:
    """The lowerings of all stages with batches, and what they have prepared.

    `inputs` are the arguments of the program by name, to which those of batches are added; `prepared` has the values of
    prepared arrays, `dims` the batched dim for each dim of a batch.
    """

    spec: Spec
    full: Lowering
    inputs: dict[str, Node]
    prepared: dict[str, Node] = field(default_factory=dict)
    dims: dict[str, str] = field(default_factory=dict)

    def of(self, stage: Stage, label: str) -> tuple[Lowering, Stage]:
        """The lowering of a stage with batches, and the stage with formulas for it; `until` stays as it is."""
        batch = Batch(self.spec, stage, label)
        low = self._lowering(batch)
        changed: Stage = replace(batch.exact(replace(stage, until=None), label), until=stage.until)
        equations = [
            batch.exact(e, e.names[0])
            for e in self.spec.equations
            if set(e.names) & batch.names and set(e.names) & batch.varying
        ]
        objectives = {n: batch.exact(o.body, n) for n, o in self.spec.objectives.items() if n in batch.names}
        self._fixed(batch, low)
        low.definitions = {e.name: e for e in equations if isinstance(e, Definition)} | {
            n: d
            for n, d in self.full.definitions.items()
            if n not in batch.varying and batch.letters.isdisjoint(letters_of(d.body))
        }
        for name, body in objectives.items():
            low.postpone(name, body, (), "real")
        own = (b.expr for b in of_stage(changed, label) if b.kind != "until")
        reads = with_twins(state_reads(equations, [*objectives.values(), *own]), self.spec.random.values())
        low.random = self.spec.random
        for e in equations:
            enter(low, e, reads)
        return low, changed

    def entry(self) -> dict[str, Entry]:
        """The entry that prepares, if something is prepared."""
        results = tuple(Result((name,), node) for name, node in self.prepared.items())
        return {"prepare": Entry("prepare", "prepare", results, doc=DOC)} if results else {}

    # --- arguments ------------------------------------------------------------------------------------------------

    def _lowering(self, batch: Batch) -> Lowering:
        full = self.full
        own = {dim: self._dim(dim) for dim in batch.stage.batch}
        letters = {x: own.get(dim, dim) for x, dim in self.spec.letters.items()}
        dims: dict[str, Dim] = {**self.spec.dims, **{new: self.spec.dims[dim] for dim, new in own.items()}}
        low = Lowering(full.b, letters, dims, full.file)
        low.whole = {new: dim for dim, new in own.items()}
        low.sides, low.variables, low.ordinals = full.sides, full.variables, full.ordinals
        low.vectors = full.vectors
        low.keys, low.lengths, low.forms = full.keys, full.lengths, full.forms
        low.choices, low.text, low.paired = full.choices, full.text, full.paired
        for role, group in (("param", self.spec.params), ("data", self.spec.data), ("constant", self.spec.constants)):
            for name, item in group.items():
                if any(self.spec.letters[x] in own for x in item.letters):
                    axes = [low.axis(x) for x in item.letters]
                    with low.b.at(Origin(name, item.span.line, item.span.column, file=self.spec.file(item.span))):
                        low.argument(name, self._input(low, name, role, axes, item.dtype))
                else:
                    low.values |= {k: full.values[k] for k in (name, *names(name)) if k in full.values}
        low.values |= {name: x for name, x in self.inputs.items() if x.op == "counter"}
        return low

    def _dim(self, dim: str) -> str:
        """The dim of batches of a dim; its size is open."""
        known = next((new for new, old in self.dims.items() if old == dim), None)
        if known is None:
            known = f"{dim}_batch"
            while known in self.full.b.dims:
                known += "_"
            self.dims[known] = dim
            self.full.b.dims[known] = None
        return known

    def _input(self, low: Lowering, name: str, role: str, axes: list[Axis], dtype: str) -> Node:
        """An argument of the entries of batches; those of one shape share it."""
        key = f"{name}@{','.join(a.dim for a in axes)}"
        if key not in self.inputs:
            node = low.b.input(name, role, axes, dtype)
            # Beside the argument of the same name, so that signatures keep the order of the spec.
            items = list(self.inputs.items())
            at = next((k for k, (other, _) in enumerate(items) if other == name), -1) + 1
            after = at or next((k for k, (_, x) in enumerate(items) if x.op not in ("param", "prepared")), len(items))
            items.insert(after, (key, node))
            self.inputs.clear()
            self.inputs.update(items)
        return self.inputs[key]

    # --- what is fixed ----------------------------------------------------------------------------------------------

    def _fixed(self, batch: Batch, low: Lowering) -> None:
        """Makes the names that depend on data and constants alone known, each once it is asked for."""
        full = self.full
        for made in batch.made:
            full.postpone(made.name, made.body, made.letters, made.dtype)
        equations = {n: e for e in self.spec.equations for n in e.names}
        for name in [n for n in equations if n in batch.names and n not in batch.varying] + [
            d.name for d in batch.made
        ]:
            for key in (name, *names(name)):
                if key in full.finals:
                    final, time = full.finals[key]
                    low.finals[key] = (self._once(low, f"{key}_end", final), time)
                if key in full.values or key in full.pending:
                    low.pending.setdefault(key, partial(self._known, low, key))

    def _known(self, low: Lowering, key: str) -> Node:
        return self._once(low, key, self.full.get(key))

    def _once(self, low: Lowering, key: str, node: Node) -> Node:
        """A value of the whole spec on the batch: itself where it has nothing to do with what is batched, else prepared."""
        batched = set(low.whole.values())
        read = [n for n in topological([node]) if n.kind is Kind.INPUT or n is node]
        if not any(a.dim in batched for n in read for a in n.axes):
            return node
        name = next((n for n, known in self.prepared.items() if known is node), None)
        if name is None:
            name = wish = key.replace(".", "_").lstrip("_")
            k = 2
            while name in self.prepared or name in self.inputs:
                name, k = f"{wish}_{k}", k + 1
            self.prepared[name] = node
        own = {old: new for new, old in low.whole.items()}
        axes = [Axis(a.name, own.get(a.dim, a.dim)) for a in node.axes]
        with low.b.at(node.origin):
            found = self._input(low, name, "prepared", axes, node.dtype)
        values = values_of(low.b, node)
        if values is not None:
            low.b.few[found.uid] = values
        return found
