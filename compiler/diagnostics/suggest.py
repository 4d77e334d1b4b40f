"""Did-you-mean: the candidate nearest to a name that was not found."""

from __future__ import annotations

from collections.abc import Iterable

# A word of ours, and the words that people write in its place: users of Stan, SciPy, PyTorch or JAX are led to ours even where
# the spelling is far. Which of several is meant is told by what may stand at the place.
_WORDS: dict[str, str] = {
    "params": "variables vars parameters unknowns weights latents",
    "define": "definitions equations formulas expressions let where intermediate def",
    "dims": "indices index dimensions axes sets coords shapes dimension",
    "constants": "hyperparameters hyperparams settings config options",
    "data": "observed observations datasets dataset",
    "objectives": "loss losses cost objective goals energy",
    "minimize": "loss cost objective optimize optimise minimise",
    "solve": "optimize optimise optimization optimisation train training fit stages plan inference",
    "outputs": "results report metrics returns output plots",
    "claims": "tests checks assertions asserts expectations properties",
    "random": "priors prior distributions",
    "dynamics": "ode odes sde",
    "imports": "import include includes",
    "runs": "experiments variants scenarios",
    "vspec": "version",
    "doc": "description comment docs",
    "name": "title id",
    "functions": "func funcs fns def macros",
    "precision": "dtype",
    "type": "dtype kind",
    "method": "optimizer optimiser algorithm solver",
    "steps": "iterations iters max_steps max_iter maxiter max_iterations n_steps num_steps niter",
    "maximize": "maximise",
    "over": "wrt params parameters",
    "starts": "restarts n_starts",
    "batch": "batch_size minibatch",
    "epochs": "n_epochs",
    "until": "stop_when",
    "init": "initial start initial_value x0 guess default",
    "from": "start low",
    "value": "default values",
    "in": "values range allowed levels choices",
    "domain": "bounds constraint support range",
    "source": "file path url csv",
    "column": "field col columns array",
    "rows": "row slice",
    "draw": "distribution law random",
    "law": "distribution",
    "seed": "random_state rng",
    "shuffle": "permute",
    "is": "expr expression formula value",
    "plot": "figure chart graph",
    "every": "frequency interval",
    "box": "interval bounded",
    "tolerance": "tol atol rtol eps",
    "that": "assert check condition claim",
    "identity": "equal equals equality",
    "reported": "expected paper",
    "smoke": "quick small",
    "seeds": "n_seeds",
    "size": "length len count",
    "to": "stop end high",
    "boundary": "bc periodic",
    "float64": "double",
    "real": "double single float float16 float32 float64 number numeric scalar reals unbounded unconstrained free none",
    "float32": "single float16",
    "integer": "int int32 int64 uint8 long whole",
    "boolean": "bool logical binary",
    "complex": "complex64 complex128",
    "positive": "lower greater",
    "simplex": "probability probabilities stochastic",
    "psd": "covariance cov spd positive_definite cov_matrix",
    "unit": "sphere unit_vector",
    "orthogonal": "rotation",
    "sgd": "gd gradient_descent steepest_descent gradient momentum",
    "lbfgs": "l_bfgs l_bfgs_b lbfgsb quasi_newton",
    "newton": "newton_raphson newton_cg irls",
    "lr": "learning_rate step_size stepsize rate alpha eta",
    "tol": "tolerance gtol ftol",
    "b1": "beta1 beta_1",
    "b2": "beta2 beta_2",
    "eps": "epsilon",
    "memory": "history history_size",
    "damping": "regularization ridge",
    "normal": "gaussian gauss randn standard_normal",
    "uniform": "rand unif",
    "integers": "randint discrete_uniform",
    "bernoulli": "bernouilli coin flip",
    "mean": "mu loc",
    "scale": "sigma std sd stddev",
    "rate": "lam",
    "p": "prob probs",
    "low": "lo minval",
    "high": "hi maxval",
    "images": "imshow heatmap image",
    "bar": "hist histogram bars",
    "line": "curve lines",
    "scatter": "points",
    "field": "quiver",
    "path": "trajectory",
    "log": "ln",
    "softmax": "softmin",
    "E": "expectation",
    "d": "grad",
    "fmt": "format pretty",
    "check": "validate lint",
    "build": "compile make",
    "run": "solve execute",
    "verify": "test",
    "new": "create init",
    "explain": "show",
    "list": "ls",
}


def _synonyms() -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for ours, theirs in _WORDS.items():
        for word in theirs.split():
            found[word] = (*found.get(word, ()), ours)
    return found


SYNONYMS: dict[str, tuple[str, ...]] = _synonyms()


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


def nearest(name: str, candidates: Iterable[str], ours: Iterable[str] | None = None) -> str | None:
    """The candidate that `name` was probably meant to be, or None when nothing is near.

    A third of the letters may differ (at least one, at most three); a difference in case alone always counts as near.
    For names of one or two letters only a difference in case does: every other letter would be "near".

    Args:
        name: what was written.
        candidates: what may stand there.
        ours: those of them that are words of the language, to which words of other systems may lead; all if None. A name
            that a user has chosen means what he wants, whatever other systems call so.
    """
    words = None if ours is None else set(ours)
    pool = sorted(set(candidates) - {name})
    folded = name.casefold()
    for candidate in pool:
        if candidate.casefold() == folded:
            return candidate
    for synonym in SYNONYMS.get(folded, ()):
        if synonym in pool and (words is None or synonym in words):
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
