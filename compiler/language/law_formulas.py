"""Log-densities of the laws, as texts of the language over their parameters and the value `x`.

A law that may be given in several ways has a formula for each: `bernoulli` and `bernoulli.logits`. Of a law of vectors x has the
axis of the law's event. Logarithms of discrete laws
are of masses. Formulas: Johnson, Kotz, Balakrishnan, Continuous Univariate Distributions; Johnson, Kemp, Kotz, Univariate
Discrete Distributions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Formula:
    """A text over parameters. `let`: names for parts of it, with their axes, each a text that may read those before.

    `support`: where a density is not 0. The letters of an axis of a parameter are its name, and its name with underscores behind.
    """

    text: str
    let: tuple[tuple[str, str], ...] = ()
    support: str = ""


_Z = (("z", "(x - location)/scale"),)
ENDS = (
    # By symmetry both ends of a tail are taken to the left of the mean, where their distribution functions are exact.
    ("left", "(low - mean)/scale"),
    ("right", "(high - mean)/scale"),
    ("turned", "left > 0"),
    ("below", "log_ndtr(-right if turned else left)"),
    ("above", "log_ndtr(-left if turned else right)"),
    ("mass", "above + log1p(-exp(below - above))"),
)

_AWAY = ("away[k]", "x[k] - mean[k]")
_BY_COV = "-sum[k](away[k]*solve(cov[:, :], away[:])[k])/2 - logdet(cov[:, :])/2 - size(k)*(log(2*pi)/2)"
LOW_RANK = "sum[r](factor[k, r]*factor[k_, r]) + delta[k, k_]*scale[k]**2"

DENSITIES: Mapping[str, Formula] = MappingProxyType(
    {
        "normal": Formula("-((x - mean)/scale)**2/2 - log(scale) - log(2*pi)/2"),
        "uniform": Formula("-log(high - low)", support="x >= low and x <= high"),
        "bernoulli": Formula("xlogy(x, p) + xlogy(1 - x, 1 - p)", support="x == 0 or x == 1"),
        "bernoulli.logits": Formula("x*logits - softplus(logits)", support="x == 0 or x == 1"),
        "rademacher": Formula("-log(2)", support="x == 1 or x == -1"),
        "exponential": Formula("-x/scale - log(scale)", support="x >= 0"),
        "laplace": Formula("-abs(x - location)/scale - log(2*scale)"),
        "logistic": Formula("-z - 2*softplus(-z) - log(scale)", _Z),
        "gumbel": Formula("-z - exp(-z) - log(scale)", _Z),
        "cauchy": Formula("-log1p(((x - location)/scale)**2) - log(pi*scale)"),
        "half_normal": Formula("log(2/pi)/2 - (x/scale)**2/2 - log(scale)", support="x >= 0"),
        "half_cauchy": Formula("log(2/pi) - log1p((x/scale)**2) - log(scale)", support="x >= 0"),
        # 1 - cos of the angle would cancel for small ones.
        "von_mises": Formula(
            "-2*concentration*sin((x - mean)/2)**2 - log(2*pi) - log(i0e(concentration))",
        ),
        "lognormal": Formula("-((log(x) - mean)/scale)**2/2 - log(x) - log(scale) - log(2*pi)/2", support="x > 0"),
        "gamma": Formula("xlogy(shape - 1, x) - x/scale - shape*log(scale) - lgamma(shape)", support="x >= 0"),
        "beta": Formula("xlogy(a - 1, x) + xlogy(b - 1, 1 - x) - betaln(a, b)", support="x >= 0 and x <= 1"),
        "chisquare": Formula("xlogy(degrees/2 - 1, x) - x/2 - degrees/2*log(2) - lgamma(degrees/2)", support="x >= 0"),
        "student_t": Formula(
            "-(degrees + 1)/2*log1p(((x - location)/scale)**2/degrees) - log(scale) - log(degrees)/2 "
            "- betaln(1/2, degrees/2)"
        ),
        "weibull": Formula("log(shape) - log(scale) + xlogy(shape - 1, x/scale) - (x/scale)**shape", support="x >= 0"),
        "pareto": Formula("log(shape) + shape*log(scale) - (shape + 1)*log(x)", support="x >= scale"),
        "rayleigh": Formula("log(x) - 2*log(scale) - (x/scale)**2/2", support="x > 0"),
        "triangular": Formula(
            "log(2) - log(high - low) + (log((x - low)/(mode - low)) if x < mode else "
            "(log((high - x)/(high - mode)) if x > mode else 0))",
            support="x >= low and x <= high",
        ),
        "truncated_normal": Formula(
            "-((x - mean)/scale)**2/2 - log(scale) - log(2*pi)/2 - mass", ENDS, support="x >= low and x <= high"
        ),
        "poisson": Formula("xlogy(x, rate) - rate - lgamma(x + 1)", support="x >= 0"),
        "binomial": Formula(
            "xlogy(x, p) + xlogy(n - x, 1 - p) - betaln(x + 1, n - x + 1) - log(n + 1)", support="x >= 0 and x <= n"
        ),
        "geometric": Formula("log(p) + xlogy(x - 1, 1 - p)", support="x >= 1"),
        "integers": Formula("-log(high - low)", support="x >= low and x < high"),
        "categorical": Formula("log(p[x]) - log(sum[k](p[k]))", support="x >= 0 and x < size(k)"),
        "categorical.logits": Formula("logits[x] - logsumexp[k](logits[k])", support="x >= 0 and x < size(k)"),
        "multivariate_normal": Formula(_BY_COV, (_AWAY,)),
        "multivariate_normal.cholesky": Formula(
            "-sum[k](white[k]**2)/2 - sum[k](log(abs(cholesky[k, k]))) - size(k)*(log(2*pi)/2)",
            (_AWAY, ("white[k]", "triangular_solve(cholesky[:, :], away[:])[k]")),
        ),
        "multivariate_normal.precision": Formula(
            "-sum[k, k_](away[k]*precision[k, k_]*away[k_])/2 + logdet(precision[:, :])/2 - size(k)*(log(2*pi)/2)",
            (_AWAY,),
        ),
        "multivariate_normal.factor": Formula(_BY_COV, (_AWAY, ("cov[k, k_]", LOW_RANK))),
        # As many digits of the sum as single precision keeps.
        "dirichlet": Formula(
            "sum[k](xlogy(alpha[k] - 1, x[k]) - lgamma(alpha[k])) + lgamma(sum[k](alpha[k]))",
            support="all[k](x[k] >= 0) and abs(sum[k](x[k]) - 1) <= 1e-4",
        ),
        "point_mass": Formula("0.0", support="x == location"),
        "unnormalized": Formula("log_density"),
    }
)
