"""`vspec new`: a small complete spec to start from."""

from __future__ import annotations

import re
from pathlib import Path

import click

from vspec import output
from vspec.faults import OK, refuse
from vspec.options import format_option

TEMPLATE = """\
vspec: 1
name: {name}
doc: A line through points, by least squares with a penalty on the slope.
precision: float64
dims:
  n: 20                        # an index letter and its size; 'auto' takes the size from the data
constants:
  lam: 0.1                     # vspec run {file} --set lam=1
data:
  x[n]: {{draw: "uniform(0, 1)", seed: 1}}      # or {{source: table.csv, column: x}}
  noise[n]: {{draw: "normal(0, 0.1)", seed: 2}}
params:
  slope: {{init: 0}}
  offset: {{init: 0}}
define:
  y[n]: 2*x[n] + 1 + noise[n]
  residual[n]: y[n] - (slope*x[n] + offset)
objectives:
  loss: sum[n](residual[n]**2)/2 + lam/2*slope**2
solve:
  minimize: loss
  method: newton(tol=1e-10)
outputs:
  slope: slope
  offset: offset
claims:
  stationary: abs(d(loss, slope)) < 1e-8
"""


@click.command(short_help="Write a small spec to start from.")
@click.argument("file", metavar="FILE")
@format_option
def new(file: str, format_: str) -> int:
    """Write a small, complete spec to start from. Never writes over a file.

    \b
    Example:
      vspec new fit.yaml && vspec run fit.yaml

    With --format json: {"path": ..., ...}
    """
    path = Path(file)
    if path.suffix not in (".yaml", ".yml"):
        path = path.with_name(path.name + ".yaml")
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", path.stem).strip("-._") or "problem"
    try:
        with path.open("x", encoding="utf-8") as out:
            out.write(TEMPLATE.format(name=name, file=path))
    except FileExistsError:
        raise refuse("VS0830", f"'{path}' is already there", "choose another name") from None
    except (OSError, ValueError) as error:
        raise refuse("VS0826", f"'{path}' cannot be written: {getattr(error, 'strerror', None) or error}") from None
    if format_ == "json":
        output.reply("new", OK, path=str(path))
    else:
        output.say(f"{path}: written; next: vspec check {path}")
    return OK
