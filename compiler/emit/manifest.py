"""The manifest of a program: signatures, plan, hashes, versions, as `docs/contracts.md` has them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import PurePath
from typing import Any

from vspec.compiler.diagnostics.spans import Span
from vspec.compiler.emit.counts import node_counts
from vspec.compiler.emit.entry import Argument, EmittedEntry
from vspec.compiler.emit.implicit import TOLERANCE
from vspec.compiler.emit.python import Emitted
from vspec.compiler.emit.rowwise import preparations
from vspec.compiler.graph.graph import Graph
from vspec.compiler.graph.node import Axis
from vspec.compiler.graph.tuning import Tuning
from vspec.compiler.language.coordinates import value_of
from vspec.compiler.language.expr import Element, Expr, Linalg, Number, Pointwise, SizeOf
from vspec.compiler.language.operators import LINALG
from vspec.compiler.language.ranges import Ranges
from vspec.compiler.language.spec import Count, Dim, Draw, MethodCall, Param, Source, Spec, Stage
from vspec.compiler.language.substitute import parts

PROGRAM = "program.py"
PACKAGES = ("vspec", "jax", "sympy", "networkx")


@dataclass(frozen=True, slots=True)
class Options:
    """How a spec was compiled: the optimisation level, the passes that were switched off, how the machine is used, and the
    sizes that were assumed of open dims, if not the nominal ones."""

    level: int = 2
    disabled: tuple[str, ...] = ()
    tuning: Tuning = field(default_factory=Tuning)
    assumed: tuple[tuple[str, int], ...] = ()

    @property
    def record(self) -> dict[str, Any]:
        """As the manifest has them."""
        t = self.tuning
        used = {"memory": t.memory, "chunk": t.chunk, "matmul_precision": t.matmul, "donate": t.donate}
        supposed = {"assumed": dict(self.assumed)} if self.assumed else {}
        return {"level": self.level, "disabled": list(self.disabled), **used, **supposed}


@cache
def versions() -> Mapping[str, str]:
    """The versions of what decides the text of a program."""
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "unknown"
    return found


def manifest(
    spec: Spec, graph: Graph, emitted: Emitted, options: Options, artifacts: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The manifest as JSON values. `artifacts`: records of exported entries, each with its file and hash."""
    ranges = Ranges(spec)
    plan = _plan(spec.plan, iter(graph.notes.get("plan", ())))
    return {
        "manifest": 1,
        "name": spec.name,
        "run": spec.run,
        "doc": spec.doc,
        "spec": {"file": PurePath(spec.path).name or "spec.yaml", "sha256": spec.sha256 or sha256(spec.text)},
        "imports": {PurePath(path).name: digest for path, digest in sorted(spec.parts.items())},
        "program": {"file": PROGRAM, "sha256": sha256(emitted.text)},
        "artifacts": dict(artifacts or {}),
        "versions": dict(versions()),
        "options": options.record,
        "precision": spec.precision,
        **({"externs": sorted({e.place for e in spec.externs.values()})} if spec.externs else {}),
        "dims": {
            d.name: {
                "letters": list(d.letters),
                "size": _size(d.size),
                **_least(d),
                **_coordinates(spec, d),
                "line": _line(spec, d.span),
            }
            for d in spec.dims.values()
        },
        "constants": {
            c.name: {
                **_array(spec, c.letters, c.dtype, c.span),
                "value": _json(c.value),
                **_indexed(ranges, c.name),
            }
            for c in spec.constants.values()
        },
        "data": {
            d.name: {
                **_array(spec, d.letters, d.dtype, d.span),
                "in": _json(d.values),
                "default": _default(d.default),
                **_indexed(ranges, d.name),
            }
            for d in spec.data.values()
        },
        "params": {p.name: _param(spec, p) for p in spec.params.values()},
        "entries": {e.name: _entry(e, graph) | _searches(e, graph) for e in emitted.entries},
        "constraints": _constraint_records(spec),
        "shard": {dim: {"axis": s.axis, "line": _line(spec, s.span)} for dim, s in spec.shard.items()},
        "tall": tall_matrices(spec),
        "plan": plan,
        "nodes": node_counts(spec, graph, plan),
        "outputs": _outputs(spec, emitted),
        "compared": [] if spec.comparison is None else list(spec.comparison.claims),
        "facts": {
            f.name: {**_array(spec, f.letters, f.dtype, f.span), "run": f.run, "path": list(f.path)}
            for f in spec.facts.values()
        },
        "claims": {name: _json(record) for name, record in graph.notes.get("claims", {}).items()},
    }


def tall_matrices(spec: Spec) -> list[dict[str, Any]]:
    """Matrices whose rows must not be fewer than their columns, where only the data tell: binding checks them."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    stack: list[Any] = [spec.equations, spec.objectives, spec.plan, spec.outputs, spec.claims]
    while stack:
        x = stack.pop()
        if isinstance(x, Linalg) and x.op in LINALG and LINALG[x.op].tall:
            rows, columns = (spec.letters[n] for n in x.blocks[0].core)
            sizes = [spec.dims[d].size for d in (rows, columns)]
            if rows != columns and not all(isinstance(size, int) for size in sizes):
                record = {"rows": rows, "columns": columns, "of": x.op, "line": x.span.line}
                known = found.setdefault((rows, columns), record)
                if (record["line"], record["of"]) < (known["line"], known["of"]):
                    found[rows, columns] = record
        if isinstance(x, Mapping):
            stack.extend(x.values())
        elif isinstance(x, tuple):
            stack.extend(x)
        elif is_dataclass(x) and not isinstance(x, Span):
            stack.extend(getattr(x, f.name) for f in fields(x))
    return [found[key] for key in sorted(found)]


def sha256(content: str | bytes) -> str:
    """The SHA-256 of a text or of bytes, in hexadecimal."""
    return hashlib.sha256(content.encode() if isinstance(content, str) else content).hexdigest()


def _array(spec: Spec, letters: Sequence[str], dtype: str, span: Span) -> dict[str, Any]:
    return {"axes": [spec.letters[x] for x in letters], "dtype": dtype, "line": _line(spec, span)}


def _param(spec: Spec, p: Param) -> dict[str, Any]:
    record = {**_array(spec, p.letters, p.dtype, p.span), **_domain(p)}
    return {**record, "carried": True} if p.carried else record


def _domain(p: Param) -> dict[str, Any]:
    """The kind of a domain and, where it holds over some of the param's axes, their positions."""
    record: dict[str, Any] = {"domain": p.domain.kind}
    if p.domain.letters:
        record["over"] = [p.letters.index(x) for x in p.domain.letters]
    return record


def _constraint_records(spec: Spec) -> dict[str, Any]:
    return {
        c.part(k): {
            "relation": relation.op,
            "text": c.text,
            "axes": [spec.letters[x] for x in c.letters],
            "line": _line(spec, relation.span),
        }
        for c in spec.constraints.values()
        for k, relation in enumerate(c.relations)
    }


def _line(spec: Spec, span: Span) -> int | None:
    """The line of the spec, or None for what stands in a file that it imports."""
    return None if spec.file(span) else span.line


def _indexed(ranges: Ranges, name: str) -> dict[str, Any]:
    """The dims along which the values are positions, if there are any."""
    dims = ranges.tightest(name)
    return {"indexes": list(dims)} if dims else {}


def _size(size: int | Expr | None) -> int | str | None:
    return _formula(size)[0] if isinstance(size, Expr) else size


def _least(dim: Dim) -> dict[str, int]:
    """The fewest values, where one is too few: coordinates that run from one end to the other have two."""
    return {"least": 2} if dim.low is not None and dim.boundary != "periodic" else {}


def _within(e: Expr) -> Iterator[Expr]:
    yield e
    for part in parts(e):
        yield from _within(part)


def _coordinates(spec: Spec, dim: Dim) -> dict[str, Any]:
    """The ends of a dim's coordinates where they are numbers, and the constants that they are made of."""
    if dim.low is None or dim.high is None:
        return {}

    def size_of(letter: str) -> int | None:
        size = spec.dims[spec.letters[letter]].size
        return size if isinstance(size, int) else None

    low, high = (value_of(e, spec.constants, size_of) for e in (dim.low, dim.high))
    if low is None or high is None:
        return {}
    names = sorted({x.name for e in (dim.low, dim.high) for x in _within(e) if isinstance(x, Element)})
    return {
        "coordinates": {"from": low, "to": high, "periodic": dim.boundary == "periodic", "constants": names},
    }


_SIGNS = {"add": ("+", 1), "sub": ("-", 1), "mul": ("*", 2), "floordiv": ("//", 2)}


def _formula(e: Expr) -> tuple[str, int]:
    """A size as text (`2*n + 1`) and how tightly it binds."""
    if isinstance(e, Number) and not isinstance(e.value, complex):
        return str(e.value), 4 if e.value >= 0 else 3
    if isinstance(e, SizeOf):
        return e.letter, 4
    if isinstance(e, Pointwise) and e.op == "neg":
        inside, prec = _formula(e.args[0])
        return f"-{inside if prec > 3 else f'({inside})'}", 3
    if isinstance(e, Pointwise) and e.op == "pow":
        (base, a), (exponent, b) = map(_formula, e.args)
        return f"{base if a > 3 else f'({base})'}**{exponent if b > 3 else f'({exponent})'}", 3
    if isinstance(e, Pointwise) and e.op in _SIGNS:
        sign, prec = _SIGNS[e.op]
        (left, a), *rest = (_formula(x) for x in e.args)
        parts = [left if a >= prec else f"({left})", *(right if b > prec else f"({right})" for right, b in rest)]
        return (f" {sign} " if prec == 1 or sign == "//" else sign).join(parts), prec
    raise ValueError(f"no size is made by {e!r}")


def _default(default: Any) -> dict[str, Any] | None:
    if default is None:
        return None
    if isinstance(default, Source):
        return {
            "source": default.uri,
            "column": _json(default.column),
            "rows": _json(default.rows),
            "shuffle": default.shuffle,
        }
    if isinstance(default, Draw):
        return {"draw": {"law": default.law, "arguments": list(default.arguments), "seed": default.seed}}
    return {"value": _json(default)}


def _entry(entry: EmittedEntry, graph: Graph) -> dict[str, Any]:
    """The record of an entry; an axis of a batch is one of the dim that is batched."""
    batches = graph.notes.get("batches", {})
    made = preparations(graph) if entry.kind == "prepare" else {}

    def axes(of: Sequence[Axis]) -> list[str]:
        return [batches.get(a.dim, a.dim) for a in of]

    return {
        "kind": entry.kind,
        "function": entry.function,
        "of": entry.of or None,
        "results": [
            {"name": r.name, "axes": axes(r.axes), "dtype": r.dtype, **made.get(r.name, {})} for r in entry.results
        ],
        "arguments": [_argument(a, axes(a.axes), batches) for a in entry.arguments],
    }


def _searches(entry: EmittedEntry, graph: Graph) -> dict[str, Any]:
    """What an entry has to do with searches for implicit quantities: which entry tells how those that it makes went, which it
    makes in the steps of recurrences, and, if it is the one that tells, of which problems."""
    notes = graph.notes.get("searches", {})
    record: dict[str, Any] = {}
    if entry.name in notes.get("entries", {}):
        record["solves"] = notes["entries"][entry.name]
    if entry.name in notes.get("inside", {}):
        record["inside"] = notes["inside"][entry.name]
    if entry.name in notes.get("problems", {}):
        problems = notes["problems"][entry.name]
        tol = TOLERANCE[graph.precision]
        record["problems"] = {k: {**p, "tol": tol if p["tol"] is None else p["tol"]} for k, p in problems.items()}
    return record


def _argument(a: Argument, axes: list[str], batches: Mapping[str, str]) -> dict[str, Any]:
    record: dict[str, Any] = {"name": a.name, "role": a.role, "axes": axes, "dtype": a.dtype}
    if a.role == "size" and a.name in batches:
        record |= {"dim": batches[a.name], "batch": True}
    # The order of arguments is that of the signature, so that the Python name matters only to who calls by keyword.
    return record if a.parameter == a.name else {**record, "parameter": a.parameter}


def _plan(stages: Iterable[Stage], roles: Iterator[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The records of stages; `roles` has what each of them calls, repetitions before what is in them."""
    return [_stage(stage, next(roles, {}), roles) for stage in stages]


def _stage(stage: Stage, calls: Mapping[str, Any], roles: Iterator[Mapping[str, Any]]) -> dict[str, Any]:
    record: dict[str, Any] = {
        "kind": stage.kind,
        "name": stage.name,
        "line": stage.span.line,
        "names": list(stage.names),
        "over": list(stage.over),
        "methods": [_call(m) | {"over": list(m.over)} for m in stage.methods],
        "entries": dict(calls.get("entries", {})),
        "steps": _known(stage.steps),
        "epochs": _known(stage.epochs),
        "starts": _known(stage.starts),
        "batch": {dim: _known(size) for dim, size in stage.batch.items()},
        "average": stage.average,
        "counts": calls.get("counts"),
        "schedule": calls.get("schedule"),
        "until": calls.get("until"),
        "update": list(calls.get("update", ())),
        "directions": calls.get("directions"),
        "step": calls.get("step"),
        "constraints": _kept(stage, calls),
    }
    if calls.get("structure") is not None:
        record["structure"] = calls["structure"]
    if calls.get("pattern") is not None:
        record["pattern"] = calls["pattern"]
    if calls.get("factors") is not None:
        record["factors"] = calls["factors"]
    if stage.kind == "saddle":
        record |= {"min": list(stage.min), "max": list(stage.max)}
    if stage.kind == "repeat":
        record |= {"rounds": _known(stage.rounds), "stages": _plan(stage.stages, roles)}
    return record


def _call(call: MethodCall) -> dict[str, Any]:
    """A method or a way to keep constraints; arguments that are expressions are null, and listed."""
    record = {"name": call.name, "arguments": _json(call.arguments)}
    return record | {"schedule": list(call.schedule), "counts": list(call.counts)}


def _kept(stage: Stage, calls: Mapping[str, Any]) -> dict[str, Any] | None:
    """How a stage keeps constraints and domains, and what it is subject to."""
    if stage.constraints is None:
        return None
    record = _call(stage.constraints)
    subject: dict[str, dict[str, Any]] = {}
    for s in stage.subject:
        subject[s.name] = {"over": list(s.over)}
        if s.form is not None:
            subject[s.name] |= {"form": s.form, "disjoint": s.disjoint}
    return record | {"subject": subject, "form": calls.get("form", "general")}


def _known(count: Count | None) -> int | None:
    return count if isinstance(count, int) else None


def _outputs(spec: Spec, emitted: Emitted) -> dict[str, Any]:
    """Axes and dtypes are those of the emitted results where there are such."""
    results = {r.path[0]: r for e in emitted.entries if e.kind == "outputs" for r in e.results if r.path}
    records = {}
    for name, output in spec.outputs.items():
        found = results.get(name)
        if found is not None:
            axes, dtype = [a.dim for a in found.axes], found.dtype
        else:
            axes, dtype = [spec.letters[x] for x in output.letters], output.body.dtype
        records[name] = {"axes": axes, "dtype": dtype, "plot": _plot(output.plot), "line": output.span.line}
        if output.every is not None:
            records[name]["every"] = output.every
    return records


def _plot(plot: Any) -> Any:
    if isinstance(plot, tuple | list):
        kind, *sizes = plot
        return {kind: list(sizes)}
    return _json(plot)


def _json(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _json(v) for k, v in value.items()}
    if isinstance(value, tuple | list):
        return [_json(v) for v in value]
    if isinstance(value, complex):
        # JSON has no complex numbers: they are text, as Python writes them.
        return str(value).strip("()")
    return value
