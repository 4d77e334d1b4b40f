"""What a point gave as one row of plain values, and the columns of the table that rows make."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from vspec.runtime.results import plain
from vspec.runtime.sweep.points import Outcome

OWN = ("seed", "failure", "reason", "steps", "value", "holds", "seconds")
"""Columns that are not the spec's."""

Row = Mapping[str, Any]


def key_of(values: Mapping[str, Any], seed: int) -> str:
    """What a point is called on disk: made of its values and its seed alone, whatever the grid around it is."""
    text = json.dumps([sorted(values.items()), seed])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def row_of(values: Mapping[str, Any], seed: int, outcome: Outcome) -> dict[str, Any]:
    """The row of a point.

    Args:
        values: name → value, of what is swept.
        seed: its seed.
        outcome: what it gave.

    Returns:
        `point`, `seed`, `how`, `error`, `outputs` (numbers; of arrays and complex numbers the shapes), `constraints`, `claims`,
        `holds`, `stages`, `seconds` and `variant`.
    """
    fault = outcome.fault
    found: dict[str, Any] = {
        "point": dict(values),
        "seed": seed,
        "how": outcome.how,
        "error": None,
        "outputs": {n: _shown(x) for n, x in outcome.outputs.items()},
        "constraints": dict(outcome.constraints),
        "claims": [{k: c[k] for k in ("name", "holds", "measured", "bound")} for c in outcome.claims],
        "holds": None if fault is not None else all(c["holds"] or c["timed"] for c in outcome.claims),
        "stages": [_stage(s) for s in outcome.stages if s["reason"] is not None],
        "seconds": outcome.seconds,
        "variant": outcome.variant,
    }
    if fault is not None:
        found["error"] = {
            "code": fault.code,
            "message": fault.message,
            "help": fault.help,
            "line": fault.line,
            "exit_code": fault.exit_code,
        }
    settled: dict[str, Any] = plain(found)
    return settled


def arrays_of(outcome: Outcome) -> dict[str, Any]:
    """The arrays of a point, as one flat mapping: `params/w`, `outputs/curve`."""
    params = {f"params/{n}": np.asarray(x) for n, x in outcome.params.items()}
    return params | {f"outputs/{n}": np.asarray(x) for n, x in outcome.outputs.items()}


def _stage(stage: Mapping[str, Any]) -> dict[str, Any]:
    label = stage["name"] or " ".join([stage["kind"], ", ".join(stage["names"])]).strip()
    return {"label": label, **{k: stage[k] for k in ("reason", "steps", "value")}}


def _shown(x: Any) -> Any:
    array = np.asarray(x)
    return array.item() if array.ndim == 0 and not np.iscomplexobj(array) else list(array.shape)


def swept_column(name: str) -> str:
    """The column of a constant or a size."""
    return f"constants.{name}" if name in OWN else name


def output_column(name: str, swept: Sequence[str]) -> str:
    """The column of an output, whose name may be that of a constant, too."""
    return f"outputs.{name}" if name in OWN or name in swept else name


def table(rows: Sequence[Row], swept: Sequence[str]) -> tuple[list[str], list[list[Any]]]:
    """The columns and the cells of all rows: what is swept, the seed, the error, outputs that are numbers, how it ended.

    `reason`, `steps` and `value` are those of the last stage that ran.
    """
    outputs = scalars(rows)
    columns = [
        *(swept_column(n) for n in swept),
        "seed",
        "failure",
        *(output_column(n, swept) for n in outputs),
        *OWN[2:],
    ]
    cells = []
    for row in rows:
        last = row["stages"][-1] if row["stages"] else {}
        values = [row["outputs"].get(n) for n in outputs]
        cells.append(
            [
                *(row["point"][n] for n in swept),
                row["seed"],
                row["error"]["code"] if row["error"] else None,
                *(_told(v) for v in values),
                *(_told(last.get(k)) for k in ("reason", "steps", "value")),
                row["holds"],
                row["seconds"],
            ]
        )
    return columns, cells


def _told(value: Any) -> Any:
    """A value as it was before it became JSON: `nan` and `inf` are numbers again."""
    return float(value) if value in ("nan", "inf", "-inf") else value


def scalars(rows: Sequence[Row]) -> list[str]:
    """The outputs that are one number wherever they are known."""
    names = list(dict.fromkeys(n for row in rows for n in row["outputs"]))
    return [n for n in names if not any(isinstance(row["outputs"].get(n), list) for row in rows)]


def number(value: Any) -> float:
    """A cell as a number; NaN where it is none. What JSON cannot say is text: `nan`, `inf`."""
    if isinstance(value, (bool, int, float)):
        return float(value)
    try:
        return float(value)
    except (TypeError, ValueError):
        return float("nan")
