"""VS0238 to VS0248: runs, and claims that read them."""

from __future__ import annotations

from vspec.compiler.diagnostics.code import Code

_FIT = "params: {w: {init: 1}}\nobjectives: {loss: w**2}\nsolve: {minimize: loss, steps: 5}\noutputs: {J: loss}\n"

RUNS: tuple[Code, ...] = (
    Code(
        "VS0238",
        "a run cannot have this name",
        "Claims read what a run gives by its name and a dot, so that a run has an identifier that is not reserved. 'run' is the "
        "spec itself.",
        _FIT + "runs:\n  run: {}\n",
    ),
    Code(
        "VS0239",
        "letters of two dims in a run",
        "A run gives a dim another size by naming one of its letters, or all of them. It cannot make one dim of two.",
        "dims: {i: 3, j: 4}\nruns:\n  a:\n    dims:\n      i, j: 5\n",
    ),
    Code(
        "VS0240",
        "no such run",
        "What stands before a dot in a claim is a run that is declared under 'runs', or 'run', the spec as it stands.",
        _FIT + "runs: {fine: {}}\nclaims:\n  a: finer.J < 1\n",
    ),
    Code(
        "VS0241",
        "a run does not give this",
        "A run gives its outputs, and the facts 'steps' and 'seconds'; a stage that has a name gives 'steps'. Of the spec "
        "itself, 'run.steps' and 'run.seconds' are facts, and outputs are read as they are.",
        _FIT + "runs: {fine: {}}\nclaims:\n  a: fine.error < 1\n",
    ),
    Code(
        "VS0242",
        "a fact of a run outside of the claims",
        "What a run gives is known once it is done. Claims read it; formulas that the run computes cannot.",
        _FIT + "runs: {fine: {}}\ndefine:\n  y: fine.J\n",
    ),
    Code(
        "VS0243",
        "a claim over runs reads what is of no run",
        "A claim that reads a run by its name compares runs: each quantity in it is an output or a fact of a run that it names, "
        "or a constant. The spec as it stands gets a name by a run that overrides nothing.",
        _FIT + "runs: {fine: {}}\nclaims:\n  a: fine.J < loss\n",
    ),
    Code(
        "VS0244",
        "runs that disagree in what a claim reads",
        "An index of a claim goes over one number of values, and a constant has one value. Where runs differ in them, compare "
        "outputs without the index, and report the constant as an output.",
        "dims: {n: 4}\nparams:\n  w[n]: {init: 1}\noutputs:\n  P[n]: w[n]\n"
        "runs: {a: {}, b: {dims: {n: 8}}}\nclaims:\n  c: max[n](a.P[n] - b.P[n]) < 1\n",
    ),
    Code(
        "VS0245",
        "node counts are wrong",
        "'nodes(WHERE, KIND)' counts the nodes of a kind that were compiled for a plan: of 'solve', of a stage that has a name, "
        "or of a run.",
        _FIT + "claims:\n  a: nodes(solve, hessian) == 0\n",
    ),
    Code(
        "VS0246",
        "'require' is wrong",
        "A claim over several seeds requires 'all' of them, '4 of 5', where 5 is their number, or the 'mean': then both sides of "
        "each comparison are averaged over the seeds.",
        _FIT + "claims:\n  a: {that: J < 1, seeds: 3, require: 5 of 3}\n",
    ),
    Code(
        "VS0247",
        "runs that are the same at the quick size",
        "A claim compares runs that differ in what its 'smoke' sets: at the quick size there would be nothing to compare.",
        "constants: {b: 1}\nparams: {w: {init: 1}}\noutputs: {J: b*w}\nruns: {a: {}, c: {constants: {b: 2}}}\n"
        "claims:\n  x: {that: a.J < c.J, smoke: {b: 1}}\n",
    ),
    Code(
        "VS0248",
        "an identity cannot be shown so",
        "Both sides of an identity are formulas that agree at any point. It is shown at the solution and at random points, or by "
        "a proof: both sides are simplified to the same. Runs are compared by conditions.",
        "constants: {b: 1.0}\nclaims:\n  a: {identity: b*2 == b + b, tolerance: 1e-6, by: magic}\n",
    ),
)
