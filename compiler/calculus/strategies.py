"""How derivatives are taken: which way was chosen among those there are, and what each costs."""

from __future__ import annotations

from collections.abc import Sequence

from vspec.compiler.graph.strategy import Candidate, Choice
from vspec.compiler.language.expr import AUTO, Derivative, Expr


def swept(e: Derivative, sweeps: Sequence[tuple[str, dict[str, float]]]) -> tuple[Expr, Choice]:
    """What was chosen for a derivative that is taken sweep by sweep: the mode of each, and what all would cost in one mode."""
    modes = [mode for mode, _ in sweeps]
    runs = [m for k, m in enumerate(modes) if k == 0 or modes[k - 1] != m]
    chosen = ", then ".join(runs) or "no sweep"
    total = {name: sum(costs[name] for _, costs in sweeps) for name in _common(sweeps)}
    total.setdefault(chosen, sum(costs[mode] for mode, costs in sweeps))
    among = [Candidate(name, flops) for name, flops in total.items()]
    because = "asked for" if e.by != AUTO else "least cost" if len(among) > 1 else "the only way"
    return e, Choice("derivative", "", e.span.line, chosen, tuple(among), because)


def _common(sweeps: Sequence[tuple[str, dict[str, float]]]) -> list[str]:
    return [name for name in ("reverse", "forward") if sweeps and all(name in costs for _, costs in sweeps)]
