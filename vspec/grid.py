"""`--grid lam=0.1,1,log(1e-3,1e-1,5)` as values, and the points of a grid."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from vspec.faults import refuse

LIMIT = 1000
"""The most points of a sweep, unless more are asked for."""

_CALL = re.compile(r"(\w+)\s*\((.*)\)", re.DOTALL)
_FORMS = "write --grid name=0.1,1,10 or name=lin(0,1,5) or name=log(1e-3,1e-1,5)"

Grid = Mapping[str, Sequence[Any]]


def read_grid(texts: Iterable[str]) -> dict[str, tuple[Any, ...]]:
    """`["lam=0.1,1", "lr=log(1e-3, 1e-1, 3)"]` as name → values. Raises SpecError VS0880, VS0882."""
    found: dict[str, tuple[Any, ...]] = {}
    for text in texts:
        name, sign, listed = text.partition("=")
        name = name.strip()
        if not sign or not name:
            raise refuse("VS0880", f"'{text}' names no values", _FORMS)
        if name in found:
            raise refuse("VS0880", f"'{name}' has two grids", f"put all of its values into one: --grid {name}=1,2,3")
        values = [value for item in _split(text, listed) for value in _values(text, item)]
        if not values:
            raise refuse("VS0882", f"the grid of '{name}' has no values", _FORMS)
        found[name] = tuple(dict.fromkeys(values))
    return found


def _split(text: str, listed: str) -> list[str]:
    """The items between commas that are not inside of brackets."""
    items, depth = [""], 0
    for c in listed:
        depth += (c == "(") - (c == ")")
        if depth < 0 or depth > 1:
            break
        if c == "," and depth == 0:
            items.append("")
        else:
            items[-1] += c
    if depth != 0:
        raise refuse("VS0880", f"the brackets in '{text}' do not match", _FORMS)
    items = [x.strip() for x in items]
    if items == [""]:
        return []
    if "" in items:
        raise refuse("VS0880", f"'{text}' has two commas without a value between them", _FORMS)
    return items


def _values(text: str, item: str) -> list[Any]:
    call = _CALL.fullmatch(item)
    if call is None:
        return [_number(text, item)]
    name, arguments = call[1], [x.strip() for x in call[2].split(",")]
    if name not in ("lin", "log"):
        raise refuse("VS0880", f"'{text}': there is no '{name}' of values", _FORMS)
    if len(arguments) != 3:
        raise refuse("VS0880", f"'{text}': {name} takes the first value, the last one and how many", _FORMS)
    first, last, count = (_number(text, x) for x in arguments)
    if not isinstance(count, int) or count < 1:
        raise refuse("VS0880", f"'{text}': {arguments[2]} is no number of values", f"such as {name}(1, 10, 5)")
    if count > 10**6:
        raise refuse("VS0883", f"'{text}' asks for {count} values", "fewer say as much")
    if name == "log" and (first <= 0 or last <= 0):
        raise refuse("VS0880", f"'{text}': log goes from one positive number to another", "use lin beside 0")
    if count == 1:
        return [float(first)]
    if name == "log":
        between = [first * (last / first) ** (k / (count - 1)) for k in range(1, count - 1)]
    else:
        between = [first + k * (last - first) / (count - 1) for k in range(1, count - 1)]
    # Without the last digits, which are rounding: 0.1 is 0.1.
    return [float(first), *(float(f"{x:.12g}") for x in between), float(last)]


def _number(text: str, item: str) -> Any:
    for read in (int, float):
        try:
            value = read(item)
        except ValueError:
            continue
        if math.isfinite(value):
            return value
    raise refuse("VS0880", f"'{item}' in '{text}' is not a number", _FORMS)


def points(grid: Grid, seeds: Sequence[int], limit: int) -> list[tuple[dict[str, Any], int]]:
    """Every combination of values with every seed, seeds fastest.

    Raises:
        SpecError: VS0882, there is nothing to sweep; VS0883, there are more points than the limit.
    """
    empty = next((name for name, values in grid.items() if not len(values)), None)
    if empty is not None:
        raise refuse("VS0882", f"the grid of '{empty}' has no values", _FORMS)
    if not seeds or (not grid and len(seeds) < 2):
        raise refuse("VS0882", "there is nothing to sweep", "give a grid (--grid lam=0.1,1,10) or several --seeds")
    count = math.prod(len(values) for values in grid.values()) * len(seeds)
    if count > limit:
        factors = " x ".join(f"{len(v)} of {n}" for n, v in [*grid.items(), ("seed", seeds)])
        raise refuse(
            "VS0883", f"the sweep has {count} points ({factors}), more than {limit}", f"allow them: --limit {count}"
        )
    names = list(grid)
    return [
        (dict(zip(names, values, strict=True)), seed) for values in itertools.product(*grid.values()) for seed in seeds
    ]
