"""Names from other systems that the language writes otherwise: what to write in their place.

A hint is the help line of the message that the name is unknown. The names are not reserved: a spec may declare them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType

_HINTS: tuple[tuple[str, str], ...] = (
    ("len shape numel", "the number of values of an index is size(i)"),
    ("range arange enumerate iota linspace", "an index is a letter, and index(i) its value: 0, 1, 2, ..."),
    ("zip map", "operands meet by letter: a[i]*b[i] goes through both at once"),
    ("dot inner vdot", "write the sum: sum[i](a[i]*b[i])"),
    ("einsum matmul mm bmm tensordot", "write the sum: sum[j](A[i, j]*B[j, k])"),
    ("outer kron", "letters that differ make the outer product: a[i]*b[j]"),
    (
        "transpose swapaxes permute T",
        "operands meet by letter: A[j, i] is the transpose of A[i, j], and needs no function",
    ),
    ("zeros ones full fill", "a number broadcasts over the letters on the left: 'zero[i]: 0' under 'define'"),
    ("zeros_like ones_like full_like", "a number broadcasts over the letters on the left: 'zero[i]: 0' under 'define'"),
    ("eye identity kronecker kroneckerdelta", "the identity matrix is delta[i, j]"),
    ("one_hot onehot", "write delta[z[n], k]: 1 where z[n] is k, else 0"),
    ("diag diagonal diagflat", "the diagonal of A is A[i, i]; a diagonal matrix is v[i]*delta[i, j]"),
    (
        "reshape ravel flatten squeeze unsqueeze expand_dims broadcast_to tile repeat",
        "axes have letters, and operands meet by letter: no shape needs to change",
    ),
    (
        "concatenate concat hstack vstack append",
        "stack(a[:], W[:, :]) makes one axis of whole arrays; rows of one array are written f[0]: ..., f[1]: ...",
    ),
    ("take gather take_along_axis index_select", "an integer array is a subscript: T[z[n], i]"),
    (
        "scatter scatter_add index_add segment_sum bincount histogram",
        "write the sum with a delta: sum[n](delta[z[n], k]*x[n]) adds each x[n] to entry z[n]",
    ),
    (
        "top_k topk partition argpartition nlargest",
        "'order[i]: argsort[i](-x[i])' counts from the greatest; x[order[r]], with r over a smaller dim, are the first of them",
    ),
    ("nearest", "the position of the nearest is argmin[i](abs(x[i] - y))"),
    ("percentile", "levels run from 0 to 1: quantile[i](x[i], 0.95)"),
    ("std stdev sd", "the standard deviation is sqrt(var[i](x[i]))"),
    ("average avg", "write mean[i](x[i])"),
    ("variance", "write var[i](x[i])"),
    ("amax amin", "write max[i](x[i]) or min[i](x[i])"),
    ("product", "write prod[i](x[i])"),
    ("Sum", "write sum[i](x[i])"),
    ("lse log_sum_exp", "write logsumexp[i](x[i])"),
    ("softmin", "write softmax[i](-x[i])"),
    ("log2", "write log(x)/log(2)"),
    ("log10", "write log(x)/log(10)"),
    ("ln", "the natural logarithm is log(x)"),
    ("pow power", "a power is written a**b"),
    ("sqr", "write x**2"),
    ("cbrt", "write x**(1/3)"),
    ("arcsin arccos arctan", "write asin(x), acos(x), atan(x)"),
    ("arctan2", "write atan2(y, x)"),
    ("expit", "write sigmoid(x)"),
    ("logistic", "write sigmoid(x); the law stands in sample(logistic(...)) or in logpdf(logistic(...), x)"),
    ("gammaln loggamma", "write lgamma(x)"),
    ("fabs absolute", "write abs(x)"),
    ("fmod remainder mod", "the remainder is written a % b"),
    ("clamp", "write clip(x, low, high)"),
    ("heaviside indicator", "write real(x > 0)"),
    ("cond select ifelse iif", "write 'a if condition else b'"),
    ("float", "write real(x)"),
    ("int", "floor(x), ceil(x) or round(x) make a whole number; integer data is declared with type: integer"),
    ("tr", "write trace(A[:, :])"),
    ("slogdet", "write logdet(A[:, :]) and sign(det(A[:, :]))"),
    ("log_det", "write logdet(A[:, :])"),
    ("inverse", "write inv(A[:, :])[i, j], or better solve(A[:, :], b[:])[i]"),
    ("linsolve", "write solve(A[:, :], b[:])[i]"),
    ("lstsq", "write solve(G[:, :], Xy[:])[i] with G = X'X and Xy = X'y"),
    ("pinv", "write solve(G[:, :], Xy[:])[i] with G = X'X, or sums over svd_left, svdvals and svd_right"),
    (
        "svd",
        "write svdvals(A[:, :])[k], svd_left(A[:, :])[i, k] and svd_right(A[:, :])[j, k]; they share one decomposition",
    ),
    ("eig", "write eigvalsh(A[:, :])[k] and eigh(A[:, :])[i, k]; only symmetric matrices have decompositions here"),
    ("qr", "R is the transpose of cholesky(G[:, :]) for G = X'X; a least-squares problem is solve(G[:, :], Xy[:])[i]"),
    ("chol", "write cholesky(A[:, :])[i, j]"),
    ("grad gradient diff derivative jacobian nabla pd", "a derivative is written d(e, x[i])"),
    ("hessian", "a Hessian is written d(e, x[i], x[j])"),
    ("laplacian", "a Laplacian is written sum[i](d(u, x[i], x[i]))"),
    ("laplace", "a Laplacian is written sum[i](d(u, x[i], x[i])); the law stands in sample(laplace(...))"),
    ("divergence div", "a divergence is written sum[i](d(v[i], x[i]))"),
    ("stop_gradient detach", "write stop(e)"),
    ("Integral integrate quad", "an integral is written integral[x](e, over=[a, b]) (VS0407, not implemented yet)"),
    ("expectation Expectation", "an expectation is written E[z](e)"),
)


def _table() -> Iterator[tuple[str, str]]:
    for names, hint in _HINTS:
        for name in names.split():
            yield name, hint


FOREIGN: Mapping[str, str] = MappingProxyType(dict(_table()))
