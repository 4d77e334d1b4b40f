"""The codes of warnings: VS0901 to VS0949. A spec with warnings is right and is compiled; it may not say what is meant."""

from __future__ import annotations

from vspec.compiler.diagnostics.code import Code

_HEAD = "vspec: 1\nname: x\n"

WARNINGS: tuple[Code, ...] = (
    Code(
        "VS0901",
        "declared and never used",
        "Nothing that the spec computes reads the name: no objective, no output, no claim, no stage, and nothing that they "
        "read. What only an unused name reads is not reported again. Often another name was meant where this one should "
        "have stood. With --pedantic, second letters of a dim and arguments of functions are looked at, too. A spec without "
        "objectives, outputs and stages is there to be read by others, and gets no such warning.",
        _HEAD + "constants: {a: 1, b: 2}\noutputs: {c: a}\n",
    ),
    Code(
        "VS0902",
        "an objective does not depend on a param",
        "A stage optimises the param, but its objective does not read it, neither itself nor through definitions. The "
        "derivative is zero, and the param stays where it starts.",
        _HEAD + "params:\n  a: {init: 1}\n  b: {init: 1}\nobjectives: {loss: a**2}\nsolve: {minimize: loss}\n"
        "outputs: {c: a + b}\n",
    ),
    Code(
        "VS0903",
        "an index that does nothing",
        "The left side lists an index that the right side lacks, so that all values along it are the same; usually the "
        "right side sums over an index too many. An expression that lacks an index meets others as it is, so that "
        "nothing need be spread out. Numbers, constants and starts of recurrences are exempt; right sides without a "
        "reduction are reported with --pedantic only. The same code stands for a sum over two letters of one dim in which "
        "each summand depends on one of the two: sum[n, m](x[n] - x[m]).",
        _HEAD + "dims: {n, i: 3}\nparams:\n  w[i]: {init: 1}\ndefine:\n  y[n]: sum[i](w[i]**2)\n"
        "objectives: {loss: 'sum[n](y[n])'}\n",
    ),
    Code(
        "VS0904",
        "outside of the domain of a function",
        "The logarithm is of positive numbers, roots and fractional powers are of numbers that are not negative, and "
        "nothing is divided by 0. By default only what is surely wrong is reported. With --pedantic so is whatever "
        "cannot be shown to be right from literals, constants, domains of params, the values that data may take, and "
        "conditions such as 'log(x) if x > 0 else 0'.",
        _HEAD + "params: {w: {init: 1}}\nobjectives: {loss: log(-exp(w))}\n",
    ),
    Code(
        "VS0905",
        "reals compared exactly",
        "Rounding changes the last digits of a computed number, so that == and != between reals hold or fail by chance. "
        "Integers, signs, rounded numbers and data from a list of values are exempt. Reported with --pedantic.",
        _HEAD + "data:\n  x: real\noutputs: {c: 1 if exp(x) == 1 else 0}\n",
    ),
    Code(
        "VS0906",
        "names that are easily confused",
        "Two names differ in their capitals only, or a name is one letter away from a built-in function. Names of one "
        "letter are exempt, since papers write x and X. Reported with --pedantic.",
        _HEAD + "constants: {rate: 1, Rate: 2}\noutputs: {c: rate + Rate}\n",
    ),
    Code(
        "VS0908",
        "a claim that says nothing",
        "The claim holds, or fails, whatever the run gives: both sides are the same expression, both are numbers, or the "
        "sides cannot meet, as in sum[i](w[i]**2) < 0. A claim that reals are exactly equal is left to rounding; allow for a "
        "difference. Claims that hold by the signs of their sides alone are reported with --pedantic: they still notice "
        "what is not a number.",
        _HEAD + "outputs: {c: 1}\nclaims: {small: 1 < 2}\n",
    ),
    Code(
        "VS0909",
        "a diagonal outside of a sum",
        "W[i, i] is the diagonal of W with the free index i. A repeated index is never summed over by itself, as it would be "
        "by Einstein's convention. Reported with --pedantic.",
        _HEAD + "dims: {i: 2}\ndata:\n  W[i, i2]: real\noutputs:\n  c[i]: W[i, i]\n".replace("{i: 2}", "{'i, i2': 2}"),
    ),
    Code(
        "VS0911",
        "a derivative that is zero",
        "The expression does not read what the derivative is taken by, neither itself nor through definitions. A frequent "
        "cause is a derivative by a definition that the expression does not read: d(loss, h) is zero where loss reads "
        "the params of h but not h.",
        _HEAD + "params:\n  a: {init: 1}\n  b: {init: 1}\noutputs: {c: 'd(a**2, b)'}\n",
    ),
    Code(
        "VS0912",
        "a derivative that is zero almost everywhere",
        "All ways from the expression to what it is differentiated by go through steps: comparisons, sign, rounding, "
        "positions such as argmax, integers, or stop(...), through which no derivative flows. A method that follows the "
        "derivative does not move.",
        _HEAD + "params: {w: {init: 1}}\nobjectives: {loss: round(w)**2}\nsolve: {minimize: loss}\n",
    ),
    Code(
        "VS0913",
        "a draw without a seed",
        "The data are drawn with the seed of the run, and are others for each seed. Data that belong to the problem should "
        "be the same in every run and need a seed of their own. Reported with --pedantic.",
        _HEAD + "dims: {n: 3}\ndata:\n  x[n]: {draw: 'normal(0, 1)'}\noutputs: {c: 'mean[n](x[n])'}\n",
    ),
    Code(
        "VS0914",
        "a tolerance that float32 does not reach",
        "Real quantities are float32 unless the spec says 'precision: float64', and float32 has about seven digits. A "
        "gradient, or the difference of two quantities near one, hardly ever gets below 1e-7, so that a method runs to its "
        "last step and a claim fails.",
        _HEAD + "params: {w: {init: 1}}\nobjectives: {loss: w**2}\nsolve: {minimize: loss, method: lbfgs(tol=1e-12)}\n",
    ),
    Code(
        "VS0915",
        "a comment that allows nothing",
        "A comment such as '# vspec: allow VS0904' silences the warnings it names, on its line or on the entry below it. "
        "It names each of them, several separated by commas; a reason may follow after a colon. Errors cannot be allowed.",
        _HEAD + "# vspec: allow\noutputs: {c: 1}\n",
    ),
    Code(
        "VS0916",
        "a comment that is of no use",
        "The comment allows a warning that is not given here, at least not any more. Reported with --pedantic, since only "
        "then every warning is looked for.",
        _HEAD + "outputs: {c: 1}  # vspec: allow VS0904\n",
    ),
    Code(
        "VS0917",
        "an output or a claim that rests on one draw",
        "Without 'by' an expectation that has no closed form and no few values to sum over is one draw in each step. A "
        "method that takes many steps averages them, but an output or a claim is evaluated once, and is as far off as a "
        "draw is. Take many: by=samples(1000). Where the objective has the expectation, too, write that for the output "
        "anew. Whether there is a closed form is found by the build, which then gives the warning; 'vspec check' gives it "
        "where the variable has the estimator reparam, score or measure_valued. Histories, draws of chains, and sums and "
        "means of an expectation over one of its indices are exempt.",
        _HEAD + "random:\n  z: {law: 'normal(0, 1)', estimator: reparam}\noutputs: {c: 'E[z](z**2)'}\n",
    ),
)
