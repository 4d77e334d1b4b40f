"""Entropies, means, variances and divergences of laws, as texts of the language over their parameters.

A law without an entry has no closed form. In a divergence KL(q, p) the parameters of q are named `q_mean`, those of p `p_mean`.
Formulas: Cover, Thomas, Elements of Information Theory; Gil, Alajaji, Linder, Rényi divergence measures for commonly used
univariate continuous distributions; of Cauchy: Chyzak, Nielsen, A closed-form formula for the KL divergence between Cauchy laws.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from vspec.compiler.language.law_formulas import ENDS, LOW_RANK, Formula

_EULER = "0.5772156649015329"
# The density at both ends over the mass between them; at an end that is infinite it is 0.
_RATIOS = (
    *ENDS,
    ("first", "exp(-left**2/2 - log(2*pi)/2 - mass)"),
    ("last", "exp(-right**2/2 - log(2*pi)/2 - mass)"),
    ("tilt", "(left*first if left > -inf else 0) - (right*last if right < inf else 0)"),
)
_TOTAL = (("total", "sum[k](p[k])"),)
_LOG_TOTAL = (("log_total", "logsumexp[k](logits[k])"),)

ENTROPIES: Mapping[str, Formula] = MappingProxyType(
    {
        "normal": Formula("log(scale) + (1 + log(2*pi))/2"),
        "uniform": Formula("log(high - low)"),
        "bernoulli": Formula("-xlogy(p, p) - xlogy(1 - p, 1 - p)"),
        "bernoulli.logits": Formula("softplus(-size) + size*sigmoid(-size)", (("size", "abs(logits)"),)),
        "rademacher": Formula("log(2)"),
        "exponential": Formula("1 + log(scale)"),
        "laplace": Formula("1 + log(2*scale)"),
        "logistic": Formula("2 + log(scale)"),
        "gumbel": Formula(f"1 + {_EULER} + log(scale)"),
        "cauchy": Formula("log(4*pi*scale)"),
        "half_normal": Formula("log(scale) + (1 + log(pi/2))/2"),
        "half_cauchy": Formula("log(2*pi*scale)"),
        "von_mises": Formula(
            "log(2*pi) + log(i0e(concentration)) + concentration*(1 - i1e(concentration)/i0e(concentration))"
        ),
        "lognormal": Formula("mean + log(scale) + (1 + log(2*pi))/2"),
        "gamma": Formula("shape + log(scale) + lgamma(shape) + (1 - shape)*digamma(shape)"),
        "beta": Formula("betaln(a, b) - (a - 1)*digamma(a) - (b - 1)*digamma(b) + (a + b - 2)*digamma(a + b)"),
        "chisquare": Formula("half + log(2) + lgamma(half) + (1 - half)*digamma(half)", (("half", "degrees/2"),)),
        "student_t": Formula(
            "(degrees + 1)/2*(digamma((degrees + 1)/2) - digamma(degrees/2)) + log(degrees)/2 + betaln(degrees/2, 1/2) "
            "+ log(scale)"
        ),
        "weibull": Formula(f"1 + {_EULER}*(1 - 1/shape) + log(scale) - log(shape)"),
        "pareto": Formula("1 + 1/shape + log(scale) - log(shape)"),
        "rayleigh": Formula(f"1 + {_EULER}/2 + log(scale) - log(2)/2"),
        "triangular": Formula("1/2 + log((high - low)/2)"),
        "truncated_normal": Formula("log(scale) + (1 + log(2*pi))/2 + mass + tilt/2", _RATIOS),
        "geometric": Formula("-log(p) - xlogy((1 - p)/p, 1 - p)"),
        "integers": Formula("log(high - low)"),
        "categorical": Formula("log(total) - sum[k](xlogy(p[k], p[k]))/total", _TOTAL),
        "categorical.logits": Formula(
            "sum[k](exp(logits[k] - log_total)*(log_total - logits[k]) if logits[k] > -inf else 0)", _LOG_TOTAL
        ),
        "multivariate_normal": Formula("size(k)*((1 + log(2*pi))/2) + logdet(cov[:, :])/2"),
        "multivariate_normal.cholesky": Formula("size(k)*((1 + log(2*pi))/2) + sum[k](log(abs(cholesky[k, k])))"),
        "multivariate_normal.precision": Formula("size(k)*((1 + log(2*pi))/2) - logdet(precision[:, :])/2"),
        "multivariate_normal.factor": Formula(
            "size(k)*((1 + log(2*pi))/2) + logdet(cov[:, :])/2", (("cov[k, k_]", LOW_RANK),)
        ),
        "dirichlet": Formula(
            "sum[k](lgamma(alpha[k]) - (alpha[k] - 1)*digamma(alpha[k])) - lgamma(total) "
            "+ (total - size(k))*digamma(total)",
            (("total", "sum[k](alpha[k])"),),
        ),
    }
)

MEANS: Mapping[str, Formula] = MappingProxyType(
    {
        "normal": Formula("mean"),
        "uniform": Formula("(low + high)/2"),
        "bernoulli": Formula("p"),
        "bernoulli.logits": Formula("sigmoid(logits)"),
        "rademacher": Formula("0.0"),
        "exponential": Formula("scale"),
        "laplace": Formula("location"),
        "logistic": Formula("location"),
        "gumbel": Formula(f"location + {_EULER}*scale"),
        "half_normal": Formula("scale*sqrt(2/pi)"),
        "lognormal": Formula("exp(mean + scale**2/2)"),
        "gamma": Formula("shape*scale"),
        "beta": Formula("a/(a + b)"),
        "chisquare": Formula("degrees"),
        "student_t": Formula("location if degrees > 1 else inf - inf"),
        "weibull": Formula("scale*exp(lgamma(1 + 1/shape))"),
        "pareto": Formula("shape*scale/(shape - 1) if shape > 1 else inf"),
        "rayleigh": Formula("scale*sqrt(pi/2)"),
        "triangular": Formula("(low + mode + high)/3"),
        "truncated_normal": Formula("mean + scale*(first - last)", _RATIOS[:-1]),
        "poisson": Formula("rate"),
        "binomial": Formula("n*p"),
        "geometric": Formula("1/p"),
        "integers": Formula("(low + high - 1)/2"),
        "categorical": Formula("sum[k](index(k)*p[k])/total", _TOTAL),
        "categorical.logits": Formula("sum[k](index(k)*exp(logits[k] - log_total))", _LOG_TOTAL),
    }
)

VARIANCES: Mapping[str, Formula] = MappingProxyType(
    {
        "normal": Formula("scale**2"),
        "uniform": Formula("(high - low)**2/12"),
        "bernoulli": Formula("p*(1 - p)"),
        "bernoulli.logits": Formula("sigmoid(logits)*sigmoid(-logits)"),
        "rademacher": Formula("1.0"),
        "exponential": Formula("scale**2"),
        "laplace": Formula("2*scale**2"),
        "logistic": Formula("(pi*scale)**2/3"),
        "gumbel": Formula("(pi*scale)**2/6"),
        "half_normal": Formula("scale**2*(1 - 2/pi)"),
        "lognormal": Formula("expm1(scale**2)*exp(2*mean + scale**2)"),
        "gamma": Formula("shape*scale**2"),
        "beta": Formula("a*b/((a + b)**2*(a + b + 1))"),
        "chisquare": Formula("2*degrees"),
        "student_t": Formula("scale**2*degrees/(degrees - 2) if degrees > 2 else inf"),
        "weibull": Formula("scale**2*(exp(lgamma(1 + 2/shape)) - exp(2*lgamma(1 + 1/shape)))"),
        "pareto": Formula("scale**2*shape/((shape - 1)**2*(shape - 2)) if shape > 2 else inf"),
        "rayleigh": Formula("(2 - pi/2)*scale**2"),
        "triangular": Formula("((low - mode)**2 + (mode - high)**2 + (high - low)**2)/36"),
        "truncated_normal": Formula("scale**2*(1 + tilt - (first - last)**2)", _RATIOS),
        "poisson": Formula("rate"),
        "binomial": Formula("n*p*(1 - p)"),
        "geometric": Formula("(1 - p)/p**2"),
        "integers": Formula("((high - low)**2 - 1)/12"),
        "categorical": Formula(
            "sum[k]((index(k) - average)**2*p[k])/total", (*_TOTAL, ("average", "sum[k_](index(k_)*p[k_])/total"))
        ),
        "categorical.logits": Formula(
            "sum[k]((index(k) - average)**2*exp(logits[k] - log_total))",
            (*_LOG_TOTAL, ("average", "sum[k_](index(k_)*exp(logits[k_] - log_total))")),
        ),
    }
)

# The mean of log(x), of laws whose values are positive.
LOG_MEANS: Mapping[str, Formula] = MappingProxyType(
    {
        "exponential": Formula(f"log(scale) - {_EULER}"),
        "half_normal": Formula(f"log(scale) - ({_EULER} + log(2))/2"),
        "half_cauchy": Formula("log(scale)"),
        "lognormal": Formula("mean"),
        "gamma": Formula("digamma(shape) + log(scale)"),
        "beta": Formula("digamma(a) - digamma(a + b)"),
        "chisquare": Formula("digamma(degrees/2) + log(2)"),
        "weibull": Formula(f"log(scale) - {_EULER}/shape"),
        "pareto": Formula("log(scale) + 1/shape"),
        "rayleigh": Formula(f"log(scale) + (log(2) - {_EULER})/2"),
    }
)

MOMENTS: Mapping[str, Mapping[str, Formula]] = MappingProxyType(
    {"mean": MEANS, "variance": VARIANCES, "log_mean": LOG_MEANS, "entropy": ENTROPIES}
)

_EXPONENTIAL = "log(p_scale) - log(q_scale)"
_BERNOULLI = "xlogy({q}, {q}) - xlogy({q}, {p}) + xlogy(1 - {q}, 1 - {q}) - xlogy(1 - {q}, 1 - {p})".format(
    q="q_p", p="p_p"
)
_RATIO = (("ratio", "q_scale/p_scale"),)
_NORMAL = Formula("(ratio**2 - 1)/2 - log(ratio) + ((q_mean - p_mean)/p_scale)**2/2", _RATIO)

_AWAY = ("away[k]", "q_mean[k] - p_mean[k]")

DIVERGENCES: Mapping[tuple[str, str], Formula] = MappingProxyType(
    {
        ("normal", "normal"): _NORMAL,
        ("lognormal", "lognormal"): _NORMAL,
        ("normal", "laplace"): Formula(
            "log(2*p_scale) + (q_scale*sqrt(2/pi)*exp(-z**2/2) + (q_mean - p_location)*erf(z/sqrt(2)))/p_scale "
            "- log(q_scale) - (1 + log(2*pi))/2",
            (("z", "(q_mean - p_location)/q_scale"),),
        ),
        ("uniform", "uniform"): Formula(
            "log(p_high - p_low) - log(q_high - q_low) if q_low >= p_low and q_high <= p_high else inf"
        ),
        ("integers", "integers"): Formula(
            "log(p_high - p_low) - log(q_high - q_low) if q_low >= p_low and q_high <= p_high else inf"
        ),
        ("bernoulli", "bernoulli"): Formula(_BERNOULLI),
        ("bernoulli.logits", "bernoulli.logits"): Formula(
            "sigmoid(q_logits)*(q_logits - p_logits) + softplus(p_logits) - softplus(q_logits)"
        ),
        ("rademacher", "rademacher"): Formula("0.0"),
        ("binomial", "binomial"): Formula(f"q_n*({_BERNOULLI})"),
        ("poisson", "poisson"): Formula("xlogy(q_rate, q_rate) - xlogy(q_rate, p_rate) + p_rate - q_rate"),
        ("geometric", "geometric"): Formula(
            "log(q_p) - log(p_p) + xlogy((1 - q_p)/q_p, 1 - q_p) - xlogy((1 - q_p)/q_p, 1 - p_p)"
        ),
        ("categorical", "categorical"): Formula(
            "sum[k](xlogy(q_p[k], q_p[k]) - xlogy(q_p[k], p_p[k]))/q_total - log(q_total) + log(p_total)",
            (("q_total", "sum[k](q_p[k])"), ("p_total", "sum[k](p_p[k])")),
        ),
        ("categorical.logits", "categorical.logits"): Formula(
            "sum[k](exp(q_logits[k] - q_total)*(q_logits[k] - q_total - p_logits[k] + p_total) if q_logits[k] > -inf else 0)",
            (("q_total", "logsumexp[k](q_logits[k])"), ("p_total", "logsumexp[k](p_logits[k])")),
        ),
        ("exponential", "exponential"): Formula("ratio - 1 - log(ratio)", _RATIO),
        ("half_normal", "half_normal"): Formula("(ratio**2 - 1)/2 - log(ratio)", _RATIO),
        ("von_mises", "von_mises"): Formula(
            "log(i0e(p_concentration)) - log(i0e(q_concentration)) + p_concentration*(1 - resultant) "
            "- q_concentration*(1 - resultant) + 2*p_concentration*resultant*sin((q_mean - p_mean)/2)**2",
            (("resultant", "i1e(q_concentration)/i0e(q_concentration)"),),
        ),
        ("rayleigh", "rayleigh"): Formula("ratio**2 - 1 - 2*log(ratio)", _RATIO),
        ("gamma", "gamma"): Formula(
            "(q_shape - p_shape)*digamma(q_shape) - lgamma(q_shape) + lgamma(p_shape) - p_shape*log(ratio) "
            "+ q_shape*(ratio - 1)",
            _RATIO,
        ),
        ("chisquare", "chisquare"): Formula(
            "(q_degrees - p_degrees)/2*digamma(q_degrees/2) - lgamma(q_degrees/2) + lgamma(p_degrees/2)"
        ),
        ("beta", "beta"): Formula(
            "betaln(p_a, p_b) - betaln(q_a, q_b) + (q_a - p_a)*digamma(q_a) + (q_b - p_b)*digamma(q_b) "
            "+ (p_a - q_a + p_b - q_b)*digamma(q_a + q_b)"
        ),
        ("laplace", "laplace"): Formula(
            "ratio*exp(-far/q_scale) + far/p_scale - 1 - log(ratio)",
            (*_RATIO, ("far", "abs(q_location - p_location)")),
        ),
        ("cauchy", "cauchy"): Formula(
            "log(((q_scale + p_scale)**2 + (q_location - p_location)**2)/(4*q_scale*p_scale))"
        ),
        ("gumbel", "gumbel"): Formula(
            f"{_EULER}*(ratio - 1) - log(ratio) + exp((p_location - q_location)/p_scale + lgamma(ratio + 1)) - 1 "
            "+ (q_location - p_location)/p_scale",
            _RATIO,
        ),
        ("weibull", "weibull"): Formula(
            f"log(q_shape) - log(p_shape) - p_shape*log(ratio) - {_EULER}*(q_shape - p_shape)/q_shape "
            "+ exp(p_shape*log(ratio) + lgamma(p_shape/q_shape + 1)) - 1",
            _RATIO,
        ),
        ("pareto", "pareto"): Formula(
            "log(q_shape) - log(p_shape) + p_shape*log(q_scale/p_scale) + p_shape/q_shape - 1 if q_scale >= p_scale else inf"
        ),
        ("dirichlet", "dirichlet"): Formula(
            "sum[k](lgamma(p_alpha[k]) - lgamma(q_alpha[k]) + (q_alpha[k] - p_alpha[k])*(digamma(q_alpha[k]) - level)) "
            "+ lgamma(q_total) - lgamma(sum[k](p_alpha[k]))",
            (("q_total", "sum[k](q_alpha[k])"), ("level", "digamma(q_total)")),
        ),
        ("multivariate_normal", "multivariate_normal"): Formula(
            "(sum[k](solve(p_cov[:, :], q_cov[:, k])[k]) + sum[k](away[k]*solve(p_cov[:, :], away[:])[k]) - size(k) "
            "+ logdet(p_cov[:, :]) - logdet(q_cov[:, :]))/2",
            (_AWAY,),
        ),
        ("multivariate_normal.cholesky", "multivariate_normal.cholesky"): Formula(
            "(sum[k, k_](triangular_solve(p_cholesky[:, :], q_lower[:, k])[k_]**2) "
            "+ sum[k](triangular_solve(p_cholesky[:, :], away[:])[k]**2) - size(k))/2 "
            "+ sum[k](log(abs(p_cholesky[k, k])) - log(abs(q_cholesky[k, k])))",
            (_AWAY, ("q_lower[k, k_]", "q_cholesky[k, k_] if index(k_) <= index(k) else 0")),
        ),
        ("multivariate_normal", "multivariate_normal.precision"): Formula(
            "(sum[k, k_](p_precision[k, k_]*(q_cov[k, k_] + away[k]*away[k_])) - size(k) "
            "- logdet(p_precision[:, :]) - logdet(q_cov[:, :]))/2",
            (_AWAY,),
        ),
    }
)

# -E[log p(x)] from moments of a law q of real numbers; of the second kind q has to be of positive numbers.
CROSS: Mapping[str, str] = MappingProxyType(
    {
        "normal": "log(p_scale) + log(2*pi)/2 + (q_variance + (q_mean - p_mean)**2)/(2*p_scale**2)",
    }
)
POSITIVE_CROSS: Mapping[str, str] = MappingProxyType(
    {
        "exponential": "log(p_scale) + q_mean/p_scale",
        "gamma": "lgamma(p_shape) + p_shape*log(p_scale) - (p_shape - 1)*q_log_mean + q_mean/p_scale",
    }
)

_COV = {"mean": "mean[k]"}
_SQUARE = "sum[k__]((cholesky[k, k__]*cholesky[k_, k__]) if index(k__) <= index(k) and index(k__) <= index(k_) else 0)"

# Laws as others, for what the other has a formula for.
SPECIAL_CASES: Mapping[str, tuple[tuple[str, Mapping[str, str]], ...]] = MappingProxyType(
    {
        "bernoulli.logits": (("bernoulli", {"p": "sigmoid(logits)"}),),
        "categorical.logits": (("categorical", {"p": "exp(logits[k] - max[k_](logits[k_]))"}),),
        "exponential": (
            ("gamma", {"shape": "1.0", "scale": "scale"}),
            ("weibull", {"shape": "1.0", "scale": "scale"}),
        ),
        "multivariate_normal.cholesky": (("multivariate_normal", _COV | {"cov": _SQUARE}),),
        "multivariate_normal.precision": (("multivariate_normal", _COV | {"cov": "inv(precision[:, :])[k, k_]"}),),
        "multivariate_normal.factor": (("multivariate_normal", _COV | {"cov": LOW_RANK}),),
        "chisquare": (("gamma", {"shape": "degrees/2", "scale": "2.0"}),),
        "rayleigh": (("weibull", {"shape": "2.0", "scale": "sqrt(2)*scale"}),),
    }
)
