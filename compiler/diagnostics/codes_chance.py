"""VS0690 to VS0699: random variables, their estimators, samplers, expectations."""

from __future__ import annotations

from vspec.compiler.diagnostics.code import Code

_WALK = "dims: {w: 8}\nrandom:\n  x[w]: {law: unnormalized(-x[w]**2/2), sampler: SAMPLER}\n"
_Z = "random:\n  z: normal(0, 1)\n"

CHANCE: tuple[Code, ...] = (
    Code(
        "VS0690",
        "a random variable has one law, with a density where one is read",
        "A random variable has one law for all values of its indices; parts with laws of their own are variables of their own. "
        "Some laws can be drawn from but have no density here. acceptance(x) is of a variable that chains draw.",
        "dims: {i: 2}\nrandom:\n  x[0]: normal(0, 1)\n  x[1]: uniform(0, 1)\n",
    ),
    Code(
        "VS0691",
        "this is no estimator",
        "The estimator of a random variable says how a derivative passes through its draws: auto, analytic, reparam, "
        "score(baseline=...), enumerate or measure_valued. A baseline is none, loo (the mean of the other draws) or an "
        "expression that does not depend on the draw.",
        "random:\n  z: {law: 'normal(0, 1)', estimator: reinforce}\n",
    ),
    Code(
        "VS0692",
        "an expectation is over random variables, of real numbers",
        "E[z](e), Var[z](e) and Cov[z](e, f) name the random variables that they average over, whole and without subscripts; "
        "they are declared under 'random'. Other variables keep their current draws.",
        "params:\n  w: {init: 1}\ndefine:\n  y: E[w](w**2)\n",
    ),
    Code(
        "VS0693",
        "this law has no such estimator",
        "Reparameterisation takes a law whose draws are functions of its arguments, a score function one with a density and a "
        "baseline that does not depend on the draw, a measure-valued derivative one whose derivative is known as a difference "
        "of two laws.",
        "params:\n  w: {init: 1}\nrandom:\n  z: {law: 'poisson(exp(w))', estimator: reparam}\n"
        "define:\n  y: d(E[z](1/(1 + z**2)), w)\n",
    ),
    Code(
        "VS0694",
        "no expectation is evaluated in this way",
        "by= says how an expectation is evaluated: samples(n), with the options antithetic and common, quadrature(n), on an "
        "interval with over=[a, b], enumerate, analytic, auto, or tracked(samples=n, rate=r). The number is known at build: a "
        "number, or an expression of constants. A rate is above 0 and at most 1, and may read the step.",
        _Z + "define:\n  y: E[z](z**2, by=montecarlo(100))\n",
    ),
    Code(
        "VS0695",
        "this expectation cannot be evaluated in this way",
        "Summing takes finitely many values, and not too many together; a Gauss rule a law that has one; a closed form "
        "polynomials, exponentials and the like; an estimated variance at least two draws, of chains three. Over what chains "
        "draw there are means over draws alone, by=samples(n) or without 'by'. What depends on a variable that is averaged is "
        "averaged, too.",
        _Z + "define:\n  y: E[z](z**2, by=enumerate)\n",
    ),
    Code(
        "VS0696",
        "this is no sampler",
        "A sampler is a Markov chain with its options by name: a positive step, which may be an expression, and whole numbers "
        "that are known at build: burn, the transitions at the start, thin, those of each step, and leapfrog, the steps of a "
        "trajectory of hmc.",
        _WALK.replace("SAMPLER", "mala(0.1)"),
    ),
    Code(
        "VS0697",
        "this law and the options of its variable do not go together",
        "A sampler draws from a law that is given by its energy, unnormalized(e), and from no law that has independent draws. "
        "Its draws start from the law init and have one estimator: the covariance with the energy, "
        "score(baseline=loo), in which the other chains take the place of the constant that is not known.",
        "random:\n  z: {law: 'normal(0, 1)', sampler: mala(step=0.1)}\n",
    ),
    Code(
        "VS0698",
        "a running mean is one over the steps of a stage",
        "E[z](e, by=tracked(...)) is a running mean of the means of each step's draws. It has a value in the steps of a stage "
        "whose method follows a gradient, or with 'descend' or 'update', and nowhere else; and it is one mean for each value of "
        "the indices of e, not one for each draw of another variable.",
        _Z + "params: {w: {init: 1}}\noutputs:\n  y: E[z](exp(w*z), by=tracked(samples=8, rate=0.1))\n",
    ),
    Code(
        "VS0699",
        "no chain can be run for this energy",
        "The energy of a law names its variable. Its free indices number independent chains: the variable is read there at these "
        "indices alone. It is a function of params, data and constants: a law that changes in each step with "
        "draws is reached by no chain. On batches the test of Metropolis is biased, since the exponential of an unbiased "
        "estimate is: only langevin, which has none, takes them, of energies that are linear in their sums over the batch.",
        "dims: {w: 8}\nrandom:\n  x[w]: {law: unnormalized(-(x[w] - x[0])**2), sampler: mala(step=0.1)}\n",
    ),
)
