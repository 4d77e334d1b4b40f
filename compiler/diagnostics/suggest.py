"""Did-you-mean: the candidate nearest to a name that was not found."""

from __future__ import annotations

from collections.abc import Iterable

# Common words from other systems, so that a user of Stan or SciPy is led to ours even where the spelling is far.
SYNONYMS: dict[str, tuple[str, ...]] = {
    "variables": ("params",),
    "parameters": ("params",),
    "unknowns": ("params",),
    "definitions": ("define",),
    "equations": ("define",),
    "indices": ("dims",),
    "dimensions": ("dims",),
    "axes": ("dims",),
    "loss": ("objectives",),
    "dtype": ("precision", "type"),
    "description": ("doc",),
    "title": ("name",),
    "optimizer": ("method",),
    "optimiser": ("method",),
    "algorithm": ("method",),
    "iterations": ("steps",),
    "max_steps": ("steps",),
    "initial": ("init",),
    "start": ("init",),
    "bounds": ("domain",),
    "expr": ("is",),
    "tol": ("tolerance",),
    "double": ("float64",),
    "single": ("float32",),
    "float": ("real",),
    "int": ("integer",),
    "bool": ("boolean",),
    "ln": ("log",),
    # Keys.
    "unknown": ("params",),
    "variable": ("params",),
    "parameter": ("params",),
    "indexes": ("dims",),
    "sizes": ("dims",),
    "definition": ("define",),
    "let": ("define",),
    "where": ("define",),
    "losses": ("objectives",),
    "cost": ("objectives",),
    "goal": ("objectives",),
    "observations": ("data",),
    "inputs": ("data",),
    "results": ("outputs",),
    "metrics": ("outputs",),
    "report": ("outputs",),
    "tests": ("claims",),
    "assertions": ("claims",),
    "checks": ("claims",),
    "hyperparameters": ("constants",),
    "settings": ("constants",),
    "variants": ("runs",),
    "experiments": ("runs",),
    "stochastic": ("random",),
    "distribution": ("law", "draw"),
    "dimension": ("dims",),
    "defs": ("define",),
    "model": ("define",),
    "desc": ("doc",),
    "summary": ("doc",),
    "params": ("over",),
    "lr": ("method",),
    "learning_rate": ("method",),
    "inital": ("init",),
    "guess": ("init",),
    "64": ("float64",),
    "f64": ("float64",),
    "32": ("float32",),
    "f32": ("float32",),
    "plan": ("solve",),
    "train": ("solve",),
    "include": ("imports",),
    "solver": ("method", "solve"),
    "max_iter": ("steps",),
    "maxiter": ("steps",),
    "iters": ("steps",),
    "value": ("init", "is"),
    "constraint": ("domain", "constraints"),
    "support": ("domain", "in"),
    "file": ("source",),
    "path": ("source",),
    "expression": ("is",),
    "formula": ("is",),
    "condition": ("that",),
    "restarts": ("starts",),
    # Commands.
    "format": ("fmt",),
    "validate": ("check",),
    "lint": ("check",),
    "compile": ("build",),
    "make": ("build",),
    "solve": ("run",),
    "test": ("verify",),
    "create": ("new",),
    "init": ("new",),
    "show": ("explain",),
    "ls": ("list",),
    "softmin": ("softmax",),
    "expectation": ("E",),
    "grad": ("d",),
}


def distance(a: str, b: str, limit: int) -> int:
    """The number of edits (insert, delete, replace, swap neighbours) from `a` to `b`; `limit + 1` when it is more."""
    if abs(len(a) - len(b)) > limit:
        return limit + 1
    before: list[int] = []
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        older, before, row = before, row, [i]
        for j, y in enumerate(b, 1):
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (x != y))
            if i > 1 and j > 1 and x == b[j - 2] and y == a[i - 2]:
                cost = min(cost, older[j - 2] + 1)
            row.append(cost)
        if min(row) > limit:
            return limit + 1
    return row[-1]


def nearest(name: str, candidates: Iterable[str]) -> str | None:
    """The candidate that `name` was probably meant to be, or None when nothing is near.

    A third of the letters may differ (at least one, at most three); a difference in case alone always counts as near.
    For names of one or two letters only a difference in case does: every other letter would be "near".
    """
    pool = sorted(set(candidates) - {name})
    folded = name.casefold()
    for candidate in pool:
        if candidate.casefold() == folded:
            return candidate
    for synonym in SYNONYMS.get(folded, ()):
        if synonym in pool:
            return synonym
    if len(name) < 3:
        return None
    limit = min(3, max(1, len(name) // 3))
    best: tuple[int, str] | None = None
    for candidate in pool:
        if len(candidate) < 2:
            continue
        reach = min(limit, max(1, len(candidate) // 3))
        apart = distance(folded, candidate.casefold(), reach)
        if apart <= reach and (best is None or apart < best[0]):
            best = (apart, candidate)
    if best is not None:
        return best[1]
    # A long name that is cut short or carries one word more: `min_step` for `min_steps_total` is not a misspelling,
    # but `residual_norm` for `residual` may be; offer it only when exactly one candidate qualifies.
    longer = [c for c in pool if len(c) >= 4 and (c.startswith(name + "_") or name.startswith(c + "_"))]
    return longer[0] if len(longer) == 1 else None


def did_you_mean(name: str, candidates: Iterable[str]) -> str:
    """A help line naming the nearest candidate, or the empty string (which `Sink` drops)."""
    found = nearest(name, candidates)
    return f"did you mean '{found}'?" if found is not None else ""
