"""The codes of stages, VS0367 to VS0379: what a stage moves, how often, until when, and in which batches."""

from __future__ import annotations

from vspec.compiler.diagnostics.code import Code

_LOSS = "params:\n  w: {init: 1}\nobjectives:\n  loss: w**2\n"

STAGES: tuple[Code, ...] = (
    Code(
        "VS0367",
        "a count of steps outside of stages",
        "'step' and 'steps' have a value while a stage runs. What is computed before or after, such as an init or an output, "
        "reads neither, and no definition that does.",
        "outputs:\n  a: 1/(step + 1)\n",
    ),
    Code(
        "VS0368",
        "an option that means nothing in this stage",
        "Each kind of stage has its own options. Several starts are compared by an objective, so that 'minimize' and "
        "'maximize' have them alone, and not inside a repetition; what moves is said once.",
        _LOSS + "solve: {evaluate: loss, steps: 3}\n",
    ),
    Code(
        "VS0369",
        "an assignment to something other than a param",
        "'update' and 'descend' give values to params, or to a stack of params. Constants and data stay as they are; a "
        "definition follows from what it reads.",
        "constants: {c: 1}\nsolve:\n  update: {c: c + 1}\n  steps: 5\n",
    ),
    Code(
        "VS0370",
        "a param that is moved twice in one step",
        "In one step a param gets one new value: from one assignment of a mapping, from one method, or on one side of a "
        "saddle. A list of mappings under 'update' assigns one after the other.",
        "params:\n  x: {init: 0}\nobjectives:\n  L: x**2\nsolve: {saddle: L, min: x, max: x, method: sgd(0.1)}\n",
    ),
    Code(
        "VS0371",
        "an 'until' that is no condition",
        "A stage ends when its 'until' is true, so that it is a comparison or another condition, without free indices.",
        _LOSS + "solve: {minimize: loss, until: loss}\n",
    ),
    Code(
        "VS0372",
        "a count that is no whole number known before the stage",
        "Steps, epochs, rounds, starts, sizes of batches and whole arguments of methods are whole numbers, or whole "
        "expressions of constants, data and sizes. They are worked out once, before the first step.",
        "constants: {k: 2.5}\n" + _LOSS + "solve: {minimize: loss, steps: k}\n",
    ),
    Code(
        "VS0373",
        "a batch of nothing, or too large a one",
        "A batch takes some of the values of an index of data, or of params. Its size is at most that of the index, and "
        "only a stage that has batches counts epochs.",
        _LOSS + "solve: {minimize: loss, epochs: 5}\n",
    ),
    Code(
        "VS0374",
        "something that needs all of a batched index",
        "In a stage with batches an index ranges over some of its values. What depends on params and needs all of them, or "
        "their neighbours, has no value there; sums and means are estimates.",
        "dims: {n: 9}\ndata:\n  x[n]: real\nparams:\n  w: {init: 1}\nobjectives:\n  loss: max[n](w*x[n])\n"
        "solve: {minimize: loss, method: adam(0.1), batch: {n: 3}}\n",
    ),
    Code(
        "VS0375",
        "an argument of a method that is no number",
        "An argument of a method may be an expression; it is one number then, worked out at every step.",
        _LOSS + 'solve: {minimize: loss, method: "adam(lr=w > 0)"}\n',
    ),
    Code(
        "VS0376",
        "a name of a stage that it cannot have",
        "The name of a stage is a word that is not reserved, and no two stages have the same one: claims refer to it.",
        _LOSS + "solve:\n  - {name: a, minimize: loss}\n  - {name: a, evaluate: loss}\n",
    ),
    Code(
        "VS0377",
        "a method that cannot do what the stage asks for",
        "Methods that compare values of an objective can neither follow a saddle nor directions that are given. Where there "
        "is no method for all kinds of stages, the stage names one; of several params each has one. A method that looks ahead in "
        "all params at once takes no other beside it.",
        "params:\n  x: {init: 0}\n  y: {init: 0}\nobjectives:\n  L: x*y\nsolve: {saddle: L, min: x, max: y, method: lbfgs}\n",
    ),
    Code(
        "VS0378",
        "a dim that cannot be split over devices",
        "'shard' names for an index of data, constants or params the axis of a mesh of devices over which its values are split, "
        "each dim once. The axis is a name of your own, to which --mesh gives its number of devices.",
        "dims: {n: 4}\ndata:\n  y[n]: real\nshard: {m: data}\n",
    ),
    Code(
        "VS0379",
        "a value of another type than the param",
        "What is assigned to a real param is a number; a condition becomes one by real(...).",
        'params:\n  w: {init: 1}\nsolve:\n  update: {w: "w > 0"}\n  steps: 5\n',
    ),
)
