"""Moments of the posteriors of `specs/problems/posteriors`, by long chains of NumPyro's NUTS.

    python -m tests.references.nuts                     # all of them, a few minutes
    python -m tests.references.nuts two-normals         # one

prints and writes, for each quantity that the spec compares, `posteriors/NAME-nuts.csv`: its mean and standard deviation, the
Monte Carlo errors of both, how many independent draws the chains are worth, and split R-hat (Gelman et al., Bayesian Data
Analysis, 2013, 11.4). The same model is written here in NumPyro, with its priors on natural scales, and in the spec with
densities of unconstrained coordinates. The points that the models are about come from `points`, and are written beside it.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from numpyro.diagnostics import effective_sample_size, split_gelman_rubin
from numpyro.infer import MCMC, NUTS

FOLDER = Path(__file__).resolve().parents[2] / "specs" / "problems" / "posteriors"
Array = Any
Draws = Mapping[str, Array]


@dataclass(frozen=True)
class Posterior:
    """A model and what is asked of it.

    Attributes:
        model: in NumPyro; takes the points by name.
        quantities: from draws [chain, draw, ...] by name of site, the rows of the table, each [chain, draw].
        points: made once from a fixed seed, by column; none if they stand in the spec.
        accept: how often NUTS aims to accept, higher where the posterior is narrow in places.
    """

    model: Callable[..., None]
    quantities: Callable[[Draws], dict[str, Array]]
    points: Callable[[], dict[str, Array]] = dict
    accept: float = 0.9


@dataclass(frozen=True)
class Row:
    """What chains say about a quantity."""

    mean: float
    sd: float
    mean_error: float
    sd_error: float
    ess: float
    rhat: float


def schools() -> None:
    """Eight schools (Rubin 1981), not centred."""
    y = jnp.array([28.0, 8, -3, 7, -1, 1, 18, 12])
    sigma = jnp.array([15.0, 10, 16, 11, 9, 11, 10, 18])
    mu = numpyro.sample("mu", dist.Normal(0, 5))
    tau = numpyro.sample("tau", dist.HalfCauchy(5))
    with numpyro.plate("j", 8):
        z = numpyro.sample("z", dist.Normal(0, 1))
        numpyro.sample("y", dist.Normal(mu + tau * z, sigma), obs=y)


def school_quantities(draws: Draws) -> dict[str, Array]:
    """The mean, the logarithm of the spread, the effects."""
    theta = draws["mu"][..., None] + draws["tau"][..., None] * draws["z"]
    effects = {f"theta[{j}]": theta[..., j] for j in range(8)}
    return {"mu": draws["mu"], "log_tau": jnp.log(draws["tau"]), **effects}


def houses() -> dict[str, Array]:
    """Measurements in twelve groups of 2 to 24: in the basement (0) or on the first floor (1)."""
    rng = np.random.default_rng(8)
    group = np.repeat(np.arange(12), [2, 3, 4, 5, 6, 8, 9, 10, 12, 14, 18, 24])
    floor = (rng.random(group.size) < 0.3).astype(int)
    level = 1.4 + 0.35 * rng.standard_normal(12)
    y = level[group] - 0.7 * floor + 0.6 * rng.standard_normal(group.size)
    return {"group": group, "floor": floor, "y": np.round(y, 3)}


def pooling(group: Array, floor: Array, y: Array) -> None:
    """A level for each group around a common one, and one slope."""
    mu = numpyro.sample("mu", dist.Normal(0, 3))
    slope = numpyro.sample("slope", dist.Normal(0, 3))
    tau = numpyro.sample("tau", dist.HalfNormal(1))
    sigma = numpyro.sample("sigma", dist.HalfNormal(1))
    with numpyro.plate("g", 12):
        z = numpyro.sample("z", dist.Normal(0, 1))
    with numpyro.plate("n", len(y)):
        numpyro.sample("y", dist.Normal(mu + tau * z[group] + slope * floor, sigma), obs=y)


def pooling_quantities(draws: Draws) -> dict[str, Array]:
    """Common level, slope, logarithms of both spreads, levels of groups."""
    level = draws["mu"][..., None] + draws["tau"][..., None] * draws["z"]
    levels = {f"level[{g}]": level[..., g] for g in range(12)}
    common = {"mu": draws["mu"], "slope": draws["slope"]}
    return common | {"log_tau": jnp.log(draws["tau"]), "log_sigma": jnp.log(draws["sigma"])} | levels


def clouds() -> dict[str, Array]:
    """Two clouds on a line that overlap somewhat."""
    rng = np.random.default_rng(2)
    first = rng.random(150) < 0.35
    y = np.where(first, -1.5 + 0.7 * rng.standard_normal(150), 1.5 + 1.0 * rng.standard_normal(150))
    return {"y": np.round(y, 3)}


def mixture(y: Array) -> None:
    """Two normal laws whose means are in order; which of them a point is from is summed out."""
    low = numpyro.sample("low", dist.Normal(0, 2))
    gap = numpyro.sample("gap", dist.HalfNormal(4))
    share = numpyro.sample("share", dist.Beta(2, 2))
    scale = numpyro.sample("scale", dist.LogNormal(0, 1).expand([2]).to_event(1))
    parts = dist.Normal(jnp.stack([low, low + gap]), scale)
    with numpyro.plate("n", len(y)):
        numpyro.sample("y", dist.MixtureSameFamily(dist.Categorical(jnp.stack([share, 1 - share])), parts), obs=y)


def mixture_quantities(draws: Draws) -> dict[str, Array]:
    """Means, the share of the first law, logarithms of the scales."""
    low, share, scale = draws["low"], draws["share"], jnp.log(draws["scale"])
    means = {"mean[0]": low, "mean[1]": low + draws["gap"]}
    return means | {"share": share, "log_scale[0]": scale[..., 0], "log_scale[1]": scale[..., 1]}


def answers() -> dict[str, Array]:
    """Yes or no, more often yes with the first of three measurements, which have scales of their own and go together."""
    rng = np.random.default_rng(5)
    shared = rng.standard_normal(60)
    x = np.stack([shared + 0.5 * rng.standard_normal(60), 3 * shared + rng.standard_normal(60), rng.random(60)])
    yes = rng.random(60) < 1 / (1 + np.exp(-(1.2 * x[0] - 0.2 * x[1] - 2 * x[2] + 1)))
    return {"first": np.round(x[0], 3), "second": np.round(x[1], 3), "third": np.round(x[2], 3), "yes": yes.astype(int)}


def logistic(first: Array, second: Array, third: Array, yes: Array) -> None:
    """Weights of a logistic regression."""
    w = numpyro.sample("w", dist.Normal(0, 2.5).expand([4]).to_event(1))
    logits = w[0] + w[1] * first + w[2] * second + w[3] * third
    with numpyro.plate("n", len(yes)):
        numpyro.sample("yes", dist.Bernoulli(logits=logits), obs=yes)


def logistic_quantities(draws: Draws) -> dict[str, Array]:
    """The weights."""
    return {f"w[{k}]": draws["w"][..., k] for k in range(4)}


POSTERIORS = {
    "eight-schools": Posterior(schools, school_quantities, accept=0.98),
    "partial-pooling": Posterior(pooling, pooling_quantities, houses),
    "two-normals": Posterior(mixture, mixture_quantities, clouds),
    "yes-or-no": Posterior(logistic, logistic_quantities, answers),
}


def chains(name: str, draws: int, warmup: int, seed: int = 0) -> dict[str, Array]:
    """The quantities of a posterior, each [chain, draw], of four chains side by side in float64. Raises ArithmeticError where a
    chain diverges in more than a thousandth of its steps."""
    one = POSTERIORS[name]
    with jax.enable_x64(True):
        points = {k: jnp.asarray(v) for k, v in one.points().items()}
        kernel = NUTS(one.model, target_accept_prob=one.accept)
        run = MCMC(
            kernel, num_warmup=warmup, num_samples=draws, num_chains=4, chain_method="vectorized", progress_bar=False
        )
        run.run(jax.random.key(seed), **points)
        diverged = float(np.mean(run.get_extra_fields()["diverging"]))
        if diverged > 1e-3:
            raise ArithmeticError(f"{name}: {diverged:.2%} of the steps diverge")
        return {k: np.asarray(v) for k, v in one.quantities(run.get_samples(group_by_chain=True)).items()}


def summary(x: Array) -> Row:
    """Moments of draws [chain, draw]. The error of the standard deviation is that of the variance by the delta method."""
    mean, sd = float(np.mean(x)), float(np.std(x))
    square = (x - mean) ** 2
    ess = float(effective_sample_size(x))
    spread = float(np.std(square) / np.sqrt(effective_sample_size(square)))
    return Row(mean, sd, sd / float(np.sqrt(ess)), spread / (2 * sd), ess, float(split_gelman_rubin(x)))


def stored(name: str) -> dict[str, Row]:
    """The table of a posterior, by quantity."""
    with (FOLDER / f"{name}-nuts.csv").open(encoding="utf-8", newline="") as file:
        return {r.pop("quantity"): Row(**{k: float(v) for k, v in r.items()}) for r in csv.DictReader(file)}


def write(path: Path, columns: Mapping[str, Any]) -> None:
    """A table with a header line."""
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(columns)
        rows.writerows(zip(*columns.values(), strict=True))


def main(names: list[str]) -> None:
    """Long chains, printed and written."""
    for name in names or POSTERIORS:
        points = POSTERIORS[name].points()
        if points:
            write(FOLDER / f"{name}.csv", points)
        found = {k: summary(x) for k, x in chains(name, draws=50_000, warmup=5_000).items()}
        print(name)
        for k, r in found.items():
            errors = f"({r.mean_error:.5f})  sd {r.sd:.5f} ({r.sd_error:.5f})"
            print(f"  {k:14}{r.mean:10.5f} {errors}  ess {r.ess:.0f}  r-hat {r.rhat:.5f}")
        fields = {f: [f"{getattr(r, f):.6g}" for r in found.values()] for f in Row.__dataclass_fields__}
        write(FOLDER / f"{name}-nuts.csv", {"quantity": list(found), **fields})


if __name__ == "__main__":
    main(sys.argv[1:])
