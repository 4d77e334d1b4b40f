"""The suite: every kernel as vspec emits it, as most write it in JAX, as an expert does, and as a library has it.

The sides are timed in turn in one run, so that ratios hold where absolute times do not. One row per kernel, plain data, so that
results of two commits can be compared.
"""

from __future__ import annotations

import math
import os
import platform
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax

from benchmarks import kernels
from benchmarks.kernels.kernel import Case, Kernel, Side, agree, case, entries
from benchmarks.machine import Machine, measured
from benchmarks.timing import Timing, interleaved, ratio, uncertainty
from vspec.compiler import pipeline
from vspec.compiler.graph.cost import Sizes, entry_cost

REPETITIONS = 21
ENOUGH = 1.0
"""Seconds of a kernel that has more rounds than these."""
MEASURED = {"small": (256, 8, 2), "sizes": (1024, 128, 5), "large": (4096, 2048, 5)}
"""By the sizes of kernels: rows of the matrices whose product is timed, megabytes of what is copied, and how often."""
TARGETS = {"expert": 0.95, "idiomatic": 3.0, "peer": 1.0, "share": 0.25}
"""What is to be reached: ratio to the expert and to a peer on every kernel, the geometric mean against idiomatic JAX, and the
most that our own compiler may take of XLA's time."""

Row = dict[str, Any]
Results = dict[str, Any]


def rows(
    names: Iterable[str],
    sizes: str = "sizes",
    told: Callable[[str, int], None] = lambda name, done: None,
) -> Results:
    """The results of some kernels; `told` hears which one begins, and how many are done.

    Args:
        sizes: the field of kernels that has them: `sizes`, `small` (with few repetitions) or `large`.
    """
    load = os.getloadavg()[0]
    machine = measured(*MEASURED[sizes])
    quick = sizes == "small"
    imported()
    found: list[Row] = []
    for name in names:
        told(name, len(found))
        kernel = kernels.ALL[name]
        found.append(measure(kernel, machine, getattr(kernel, sizes), 3 if quick else REPETITIONS))
    return {
        "suite": 1,
        "quick": quick,
        "large": sizes == "large",
        "jax": jax.__version__,
        "device": jax.devices()[0].device_kind,
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "load": [load, os.getloadavg()[0]],
        "machine": {"gemm": machine.gemm, "copy": machine.copy},
        "rows": found,
        "means": means(found),
    }


def imported() -> None:
    """Compiles a spec of two lines, so that imports are no part of what is measured."""
    text = "vspec: 1\nname: two\nparams:\n  x: {init: 1}\nobjectives:\n  loss: x**2\nsolve: {minimize: loss}\n"
    spec, _ = pipeline.check_text(text, "two.yaml")
    assert spec is not None
    pipeline.compile_spec(spec)


def measure(kernel: Kernel, machine: Machine, sizes: Mapping[str, int], repetitions: int) -> Row:
    """One row. Raises AssertionError if the sides do not agree."""
    one = case(kernel, sizes)
    # Every side is compiled by itself, from nothing.
    jax.clear_caches()
    costs = {name: compiled(side) for name, side in one.sides.items()}
    agree(one)
    least = 2e-3 if repetitions > 5 else 1e-4
    first, enough = dict.fromkeys(one.sides, 0.0), ENOUGH if repetitions > 5 else 0.0
    timings = interleaved(one.sides, repetitions, least, first, enough)
    others = {name: t for name, t in timings.items() if name != "ours"}
    flops, moved = work(one)
    precision = one.program.precision
    # What is compared is the whole spec on both sides. Small runs, which only show that all works, compile no other entries.
    whole = entries(one.program, one.values).values() if repetitions > 5 else [one.sides["ours"]]
    build, xla = sum(one.seconds.values()), sum(compiled(entry)["xla"] for entry in whole)
    alone = costs["ours"]["xla"]
    row: Row = {
        "kernel": kernel.name,
        "title": kernel.doc,
        "precision": precision,
        "sizes": dict(sizes),
        "flops": flops,
        "bytes": moved,
        "limit": machine.limit(flops, moved, precision),
        "sides": {name: timed(timings[name]) | costs[name] for name in one.sides},
        "ratios": {name: ratio(t, timings["ours"]) for name, t in others.items()},
        "errors": {name: uncertainty(t, timings["ours"]) for name, t in others.items()},
        "peer": None if kernel.peer is None else {"library": kernel.peer.library, "missing": one.missing.get("peer")},
        "build": {**one.seconds, "total": build, "xla": xla, "share": build / xla, "alone": build / alone},
    }
    return row | {"missed": missed(row)}


def timed(t: Timing) -> dict[str, float]:
    """A timing as data, in seconds."""
    return {"median": t.median, "low": t.low, "high": t.high}


def compiled(side: Side) -> dict[str, float]:
    """Seconds of tracing and of XLA, and the bytes that the program needs beside its arguments."""
    start = time.perf_counter()
    lowered = side.function.lower(*side.arguments)
    traced = time.perf_counter()
    program = lowered.compile()
    done = time.perf_counter()
    memory = program.memory_analysis()
    needed = 0 if memory is None else memory.temp_size_in_bytes + memory.output_size_in_bytes
    return {"trace": traced - start, "xla": done - traced, "memory": needed}


def work(one: Case) -> tuple[float, float]:
    """The operations of our graph for the entry, and the bytes of its arguments and results, each moved once."""
    graph = one.compiled.graph
    sizes = Sizes.of(graph)
    (entry,) = (e for e in graph.entries if e.name == one.kernel.entry)
    flops = entry_cost([r.node for r in entry.results], sizes, graph.precision).flops
    side = one.sides["ours"]
    moved = sum(x.nbytes for x in jax.tree.leaves((side.arguments, side())))
    return flops, moved


def missed(row: Row) -> list[str]:
    """The targets that a row does not reach."""
    ratios = row["ratios"]
    short = [name for name in ("expert", "peer") if name in ratios and ratios[name] < TARGETS[name]]
    return [*short, *(["share"] if row["build"]["share"] > TARGETS["share"] else [])]


def means(found: list[Row]) -> dict[str, float]:
    """Geometric means of the ratios to each kind of side."""
    result = {}
    for name in ("idiomatic", "expert", "peer"):
        ratios = [r["ratios"][name] for r in found if name in r["ratios"]]
        if ratios:
            result[name] = math.exp(sum(map(math.log, ratios)) / len(ratios))
    return result
