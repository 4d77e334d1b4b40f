"""For each code of a run, an input that leads to it: a command, or the lines of a spec. The runtime itself needs none."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

_FIT = "params: {w: {init: 1}}\nobjectives:\n"

RUN_EXAMPLES: Mapping[str, str] = MappingProxyType(
    {
        "VS0501": "dims: {n: auto}\ndata:\n  x[n]: real\n",
        "VS0502": "vspec run fit.yaml --data z=points.csv:x",
        "VS0503": "data:\n  x[n]: {source: points.xlsx}\n",
        "VS0504": "data:\n  x[n]: {source: points.csv, column: hieght}\n",
        "VS0505": "data:\n  x[n]: {source: matrix.npy}\n",
        "VS0506": "dims: {n: 10}\ndata:\n  x[n]: {source: nine_rows.csv, column: x}\n",
        "VS0507": "data:\n  label[n]: {type: integer, source: points.csv, column: height}\n",
        "VS0508": "vspec run fit.yaml --data x=with_gaps.csv:x",
        "VS0509": "data:\n  y[n]: {in: [-1, 1], source: zeros_and_ones.csv, column: y}\n",
        "VS0510": "vspec run fit.yaml --set lam=inf",
        "VS0511": "data:\n  x[n]: {source: ../../elsewhere/points.csv, column: x}\n",
        "VS0512": "data:\n  x[n]: {source: objects.npy}\n",
        "VS0513": "dims: {n: auto}\ndefine:\n  ones[n]: 1\n",
        "VS0514": "data:\n  x[n, i]: {source: 'sklearn:digit', column: data}\n",
        "VS0515": "data:\n  x[n]: {source: ten_rows.csv, column: x, rows: [0, 20]}\n",
        "VS0516": "data:\n  x[n]: {draw: 'integers(3, 3)', seed: 1}\n",
        "VS0518": "vspec run table.yaml --data z=positions.csv:z\n",
        "VS0519": _FIT
        + "  loss: w**2\nconstants: {k: 2}\nsolve: {minimize: loss, steps: k}\n# vspec run fit.yaml --set k=2.5\n",
        "VS0520": "dims: {n: auto}\ndata:\n  x[n]: {source: ten_rows.csv, column: x}\nsolve: {minimize: loss, batch: {n: 20}}\n",
        "VS0517": "vspec.run('fit.yaml', params={'w': [1.0, 2.0]})  # where w has three entries\n",
        "VS0521": "data:\n  x[n]: {source: points.zarr}  # where zarr is not installed\n",
        "VS0522": "data:\n  x[n]: {source: with_nulls.parquet, column: x}\n",
        "VS0523": "vspec.run('fit.yaml', data={'x': {1.0, 2.0}})\n",
        "VS0524": "vspec run fit.yaml --memory lots",
        "VS0525": "vspec run fit.yaml --memory 1MB  # with an output that is made of all of x\n",
        "VS0526": "vspec run fit.yaml --memory 1GB  # with a Parquet file that is larger than the free disk\n",
        "VS0527": "bound = program.bind({'x': 'x.npy'}, memory='1MB')\nprogram.call('loss', params, bound)\n",
        "VS0601": _FIT + "  loss: log(w - 2)\n",
        "VS0602": _FIT + "  loss: -exp(w)\nsolve: {minimize: loss, method: sgd(lr=10), steps: 100}\n",
        "VS0603": "params: {w: {init: 0}}\nobjectives:\n  loss: sqrt(w)\n",
        "VS0604": "constants: {start: -1.0}\nparams:\n  w: {init: start, domain: positive}\n",
        "VS0605": "params: {w: {init: 1}}\nsolve:\n  update: {w: log(w - 1)}\n  steps: 10\n",
        "VS0610": _FIT
        + "  loss: w**2\nconstraints:\n  low: w <= 1\n  high: w >= 2\nsolve: {minimize: loss, method: newton}\n",
        "VS0611": _FIT + "  loss: w**2\nconstraints:\n  c: log(w - 2) <= 0\nsolve: {minimize: loss, method: newton}\n",
        "VS0615": "params: {b: {init: 1}}\ndefine:\n  r: root[y](y**2 + b, start=1)  # there is none where b > 0\nobjectives:\n"
        "  loss: (r - 2)**2\n",
        "VS0630": "vspec run lasso.yaml --set lam=-1    # with lam*sum[i](abs(w[i])) and proximal_gradient()",
        "VS0631": "data:\n  A[n, i]: {draw: 'uniform(0, 1)', seed: 0}\nparams:\n  w[i]: {init: 0}\nobjectives:\n"
        "  loss: sum[n](sum[i](A[n, i]*w[i])**2) - w[0]  # fewer n than i\n",
        "VS0801": "vspec run build/fit    # after program.py was edited by hand",
        "VS0802": "vspec run build    # the folder above the program",
        "VS0803": "vspec run build/fit    # after manifest.json was edited by hand",
        "VS0804": "vspec run build/fit    # built by another version of vspec",
        "VS0805": "vspec run build/fit    # after program.py was removed",
        "VS0806": "vspec.load('build/fit').call('no_such_entry', params, bound)\n",
        "VS0807": "vspec run build/fit    # built by a later version, with a method that this one lacks",
        "VS0808": "vspec run fit.yaml --out ~    # a folder with other files in it",
        "VS0809": "vspec run fit.yaml --run corse    # where the run is called 'coarse'",
        "VS0850": "vspec report build/fit    # the program, not what it gave",
        "VS0860": "vspec run fit.yaml --mesh data:8",
        "VS0861": "vspec run fit.yaml --mesh date=8    # where the spec says shard: {n: data}",
        "VS0862": "vspec run fit.yaml --mesh data=16    # on a machine with eight devices",
        "VS0863": "vspec run fit.yaml --mesh data=8    # with 100 rows",
        "VS0866": "vspec run fit.yaml --distributed    # without shard: {n: data} in it",
        "VS0864": "shard: {n: data}\nsolve: {minimize: loss, batch: {n: 100}}\n# vspec run fit.yaml --mesh data=8\n",
        "VS0884": "vspec sweep fit.yaml --grid lam=1,2 --resume  # fit.yaml was edited since",
        "VS0885": "vspec sweep fit.yaml --grid lam=1,2  # after one that was interrupted",
        "VS0840": "vspec run fit.yaml    # and Ctrl-C while it runs",
        "VS0841": "vspec run fit.yaml    # and Ctrl-C while it runs, on a full disk",
        "VS0842": "vspec run fit.yaml --seed 1 --resume    # after a run with --seed 0 was interrupted",
        "VS0843": "vspec run fit.yaml & vspec run fit.yaml",
        "VS0844": "vspec run fit.yaml --resume    # after files in results/fit/checkpoints were edited",
        "VS0845": "vspec run fit.yaml --checkpoint-every often",
        "VS0846": "vspec run fit.yaml    # on a disk that becomes full while it runs",
        "VS0847": "vspec.run('fit.yaml', resume=True)  # without out=\n",
    }
)
