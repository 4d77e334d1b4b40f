"""The tables of the language: every built-in operation with its arity, its types and one sentence of documentation.

The checker reads them, and the reference pages are generated from them, so that neither can fall behind the other.
"""

from __future__ import annotations

import keyword
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal, TypeVar

from vspec.compiler.language.architectures import ARCHITECTURES

Rule = Literal["real", "same", "compare", "logic", "choose", "cast", "whole", "part"]
"""How the result's dtype follows from the arguments:

`real` takes numbers as reals and gives a real; `same` keeps integers integer and is real otherwise; `compare` takes
numbers and gives a boolean; `logic` takes and gives booleans; `choose` is `where`; `cast` is `real`, `whole` is `integer`; `part`
takes a number and gives a real that says something about it as a complex number.
"""

Complex = Literal["", "complex", "real"]
"""What an operation gives for complex arguments; with the empty one, the default, it refuses them."""


@dataclass(frozen=True, slots=True)
class Operator:
    """An elementwise operation. `most` is None where any number of arguments from `least` on is allowed."""

    name: str
    least: int
    most: int | None
    rule: Rule
    doc: str
    symbol: str = ""
    callable: bool = True
    complex: Complex = ""


@dataclass(frozen=True, slots=True)
class Reducer:
    """A reduction `name[i](e)`. `takes` and `gives` are dtypes; `same` keeps integers integer.

    `several`: whether it binds more than one index. `level`: whether it takes a second argument, a number from 0 to 1.
    """

    name: str
    takes: Literal["real", "same", "boolean"]
    gives: Literal["real", "same", "boolean", "integer"]
    doc: str
    several: bool = True
    level: bool = False

    @property
    def written(self) -> str:
        """How it is called."""
        return f"{self.name}[i](e{', q' if self.level else ''})"

    complex: Complex = ""


@dataclass(frozen=True, slots=True)
class Map:
    """An operation along one axis that keeps the index, `name[i](e)`. `gives`: its dtype; `same` keeps integers integer."""

    name: str
    gives: Literal["real", "same", "integer"]
    doc: str
    complex: Complex = ""


@dataclass(frozen=True, slots=True)
class Algebra:
    """A function of whole axes. `operands`: names of the sizes of each operand's slices; `result`: of the result's axes.

    Equal names must be equal sizes: `solve` takes `A[:, :]` of sizes n, n and `b[:]` of size n. `tall`: the matrix may
    not have fewer rows than columns.
    """

    name: str
    operands: tuple[tuple[str, ...], ...]
    result: tuple[str, ...]
    example: str
    doc: str
    tall: bool = False
    complex: Complex = ""


T = TypeVar("T", Operator, Reducer, Map, Algebra)


def _table(entries: Iterable[T], complex: Mapping[str, Complex] = MappingProxyType({})) -> Mapping[str, T]:
    """The entries by name; `complex` says which of them take complex arguments."""
    found = {e.name: replace(e, complex=complex[e.name]) if e.name in complex else e for e in entries}
    if not complex.keys() <= found.keys():
        raise ValueError(f"no such operations: {sorted(complex.keys() - found.keys())}")
    return MappingProxyType(found)


POINTWISE: Mapping[str, Operator] = _table(
    (
        Operator("add", 2, 2, "same", "The sum of two numbers.", "a + b", False),
        Operator("sub", 2, 2, "same", "The difference of two numbers.", "a - b", False),
        Operator("mul", 2, 2, "same", "The product of two numbers.", "a*b", False),
        Operator("div", 2, 2, "real", "The quotient of two numbers, always real.", "a/b", False),
        Operator(
            "pow",
            2,
            2,
            "same",
            "A number raised to a power; real unless the exponent is a whole literal.",
            "a**b",
            False,
        ),
        Operator("mod", 2, 2, "same", "The remainder of the division, with the sign of the divisor.", "a % b", False),
        Operator("floordiv", 2, 2, "same", "The quotient rounded down.", "a//b", False),
        Operator("neg", 1, 1, "same", "The number with its sign changed.", "-a", False),
        Operator("lt", 2, 2, "compare", "True where the left is less than the right.", "a < b", False),
        Operator("le", 2, 2, "compare", "True where the left is at most the right.", "a <= b", False),
        Operator("gt", 2, 2, "compare", "True where the left is greater than the right.", "a > b", False),
        Operator("ge", 2, 2, "compare", "True where the left is at least the right.", "a >= b", False),
        Operator("eq", 2, 2, "compare", "True where both sides are equal.", "a == b", False),
        Operator("ne", 2, 2, "compare", "True where the sides differ.", "a != b", False),
        Operator("and", 2, 2, "logic", "True where both conditions hold.", "a and b", False),
        Operator("or", 2, 2, "logic", "True where at least one condition holds.", "a or b", False),
        Operator("not", 1, 1, "logic", "True where the condition does not hold.", "not a", False),
        Operator("where", 3, 3, "choose", "The second where the condition holds, else the third.", "a if c else b"),
        Operator("real", 1, 1, "cast", "A boolean (as 0 or 1) or an integer as a real number."),
        Operator(
            "integer",
            1,
            1,
            "whole",
            "A condition as 0 or 1, or a real number cut to a whole one, toward zero; no derivative.",
        ),
        Operator("exp", 1, 1, "real", "The exponential."),
        Operator("log", 1, 1, "real", "The natural logarithm."),
        Operator("log1p", 1, 1, "real", "log(1 + a), accurate for small a."),
        Operator("expm1", 1, 1, "real", "exp(a) - 1, accurate for small a."),
        Operator("sqrt", 1, 1, "real", "The square root."),
        Operator("abs", 1, 1, "same", "The absolute value; its derivative at 0 is taken as 0."),
        Operator("sign", 1, 1, "same", "-1, 0 or 1, by the sign of the argument."),
        Operator("sin", 1, 1, "real", "The sine of an angle in radians."),
        Operator("cos", 1, 1, "real", "The cosine of an angle in radians."),
        Operator("tan", 1, 1, "real", "The tangent of an angle in radians."),
        Operator("asin", 1, 1, "real", "The angle in [-pi/2, pi/2] whose sine is the argument."),
        Operator("acos", 1, 1, "real", "The angle in [0, pi] whose cosine is the argument."),
        Operator("atan", 1, 1, "real", "The angle in (-pi/2, pi/2) whose tangent is the argument."),
        Operator("atan2", 2, 2, "real", "The angle of the point (x, y), written atan2(y, x)."),
        Operator("sinh", 1, 1, "real", "The hyperbolic sine."),
        Operator("cosh", 1, 1, "real", "The hyperbolic cosine."),
        Operator("tanh", 1, 1, "real", "The hyperbolic tangent."),
        Operator("asinh", 1, 1, "real", "The number whose hyperbolic sine is the argument."),
        Operator("acosh", 1, 1, "real", "The number from 0 on whose hyperbolic cosine is the argument, from 1 on."),
        Operator("atanh", 1, 1, "real", "The number whose hyperbolic tangent is the argument, between -1 and 1."),
        Operator("sigmoid", 1, 1, "real", "1/(1 + exp(-a)), safe for large arguments."),
        Operator("log_sigmoid", 1, 1, "real", "log(sigmoid(a)), safe for large arguments."),
        Operator("softplus", 1, 1, "real", "log(1 + exp(a)), safe for large arguments."),
        Operator("relu", 1, 1, "real", "The argument where it is positive, else 0."),
        Operator("erf", 1, 1, "real", "The error function."),
        Operator("erfc", 1, 1, "real", "1 - erf(a), accurate for large a."),
        Operator("erfinv", 1, 1, "real", "The number whose error function is the argument, between -1 and 1."),
        Operator("ndtr", 1, 1, "real", "The standard normal distribution function, accurate in both tails."),
        Operator("log_ndtr", 1, 1, "real", "log(ndtr(a)), safe for large arguments."),
        Operator("lgamma", 1, 1, "real", "The logarithm of the absolute value of the gamma function."),
        Operator("digamma", 1, 1, "real", "The derivative of lgamma."),
        Operator("betaln", 2, 2, "real", "The logarithm of the beta function of two positive numbers."),
        Operator(
            "gammainc", 2, 2, "real", "The regularised lower incomplete gamma function P(a, b): of order a, up to b."
        ),
        Operator("gammaincc", 2, 2, "real", "The regularised upper incomplete gamma function, 1 - gammainc(a, b)."),
        Operator("i0e", 1, 1, "real", "exp(-abs(a)) times the modified Bessel function of order 0."),
        Operator("i1e", 1, 1, "real", "exp(-abs(a)) times the modified Bessel function of order 1."),
        Operator("floor", 1, 1, "real", "The largest whole number that is not greater."),
        Operator("ceil", 1, 1, "real", "The smallest whole number that is not less."),
        Operator("round", 1, 1, "real", "The nearest whole number; halves go to the even one."),
        Operator("maximum", 2, None, "same", "The greatest of its arguments; max(a, b) is the same.", "max(a, b)"),
        Operator("minimum", 2, None, "same", "The least of its arguments; min(a, b) is the same.", "min(a, b)"),
        Operator("clip", 3, 3, "same", "The first argument, limited to lie between the second and the third."),
        Operator("square", 1, 1, "same", "The argument times itself."),
        Operator("xlogy", 2, 2, "real", "a*log(b), and 0 where a is 0."),
        Operator("re", 1, 1, "part", "The real part of a complex number."),
        Operator("im", 1, 1, "part", "The imaginary part of a complex number."),
        Operator("conj", 1, 1, "same", "The complex conjugate."),
        Operator("arg", 1, 1, "part", "The angle of a complex number, from -pi to pi."),
    ),
    complex={
        **dict.fromkeys(("add", "sub", "mul", "div", "pow", "neg", "square", "where", "conj"), "complex"),
        **dict.fromkeys(("exp", "log", "sqrt", "sin", "cos", "tan", "sinh", "cosh", "tanh"), "complex"),
        **dict.fromkeys(("re", "im", "arg", "abs", "eq", "ne"), "real"),
    },
)

REDUCTIONS: Mapping[str, Reducer] = _table(
    (
        Reducer("sum", "same", "same", "The sum over the bound indices."),
        Reducer("prod", "same", "same", "The product over the bound indices."),
        Reducer("mean", "real", "real", "The average over the bound indices; of a condition, how often it holds."),
        Reducer("max", "same", "same", "The greatest value over the bound indices."),
        Reducer("min", "same", "same", "The least value over the bound indices."),
        Reducer("argmax", "same", "integer", "The position of the greatest value, the first if several.", False),
        Reducer("argmin", "same", "integer", "The position of the least value, the first if several.", False),
        Reducer("logsumexp", "real", "real", "log of the sum of exponentials, safe for large values."),
        Reducer("any", "boolean", "boolean", "True if the condition holds for at least one index."),
        Reducer("all", "boolean", "boolean", "True if the condition holds for every index."),
        Reducer("norm", "real", "real", "The square root of the sum of squares over the bound indices."),
        Reducer("var", "real", "real", "The mean squared deviation from the mean over the bound indices."),
        Reducer("median", "real", "real", "The middle value, or the mean of the two in the middle.", False),
        Reducer(
            "quantile",
            "real",
            "real",
            "The value below which the share q of the values lies, linear between neighbours in order.",
            False,
            True,
        ),
    ),
    complex={"sum": "complex", "prod": "complex", "mean": "complex", "norm": "real", "var": "real"},
)

ALONG: Mapping[str, Map] = _table(
    (
        Map("softmax", "real", "exp(e) divided by its sum over the index, safe for large values."),
        Map("log_softmax", "real", "The logarithm of softmax, safe for large values."),
        Map("cumsum", "same", "The running sum along the index, the element itself included."),
        Map("cumprod", "same", "The running product along the index, the element itself included."),
        Map("sort", "same", "The values in ascending order; the index counts the rank, from 0."),
        Map("argsort", "integer", "The positions of the values in ascending order, equal ones as they stand."),
    )
)

LINALG: Mapping[str, Algebra] = _table(
    (
        Algebra("solve", (("n", "n"), ("n",)), ("n",), "solve(A[:, :], b[:])[i]", "The x with A x = b."),
        Algebra(
            "triangular_solve",
            (("n", "n"), ("n",)),
            ("n",),
            "triangular_solve(L[:, :], b[:])[i]",
            "The x with L x = b for a lower-triangular L; entries above the diagonal are not read.",
        ),
        Algebra(
            "cholesky",
            (("n", "n"),),
            ("n", "n"),
            "cholesky(A[:, :])[i, j]",
            "The lower-triangular L with L L' = A, for a symmetric positive-definite A.",
        ),
        Algebra(
            "inv", (("n", "n"),), ("n", "n"), "inv(A[:, :])[i, j]", "The inverse matrix; prefer solve where it will do."
        ),
        Algebra("det", (("n", "n"),), (), "det(A[:, :])", "The determinant."),
        Algebra(
            "logdet", (("n", "n"),), (), "logdet(A[:, :])", "The logarithm of the absolute value of the determinant."
        ),
        Algebra("trace", (("n", "n"),), (), "trace(A[:, :])", "The sum of the diagonal."),
        Algebra("expm", (("n", "n"),), ("n", "n"), "expm(A[:, :])[i, j]", "The exponential of a matrix."),
        Algebra(
            "eigvalsh",
            (("n", "n"),),
            ("n",),
            "eigvalsh(A[:, :])[k]",
            "The eigenvalues of the symmetric matrix (A + A')/2, ascending.",
        ),
        Algebra(
            "eigh",
            (("n", "n"),),
            ("n", "n"),
            "eigh(A[:, :])[i, k]",
            "The orthonormal eigenvectors of (A + A')/2: column k belongs to eigvalsh(A[:, :])[k].",
        ),
        Algebra(
            "svdvals",
            (("n", "m"),),
            ("m",),
            "svdvals(A[:, :])[k]",
            "The singular values, descending, of a matrix with at least as many rows as columns.",
            True,
        ),
        Algebra(
            "svd_left",
            (("n", "m"),),
            ("n", "m"),
            "svd_left(A[:, :])[i, k]",
            "The left singular vectors U of A = U S V': column k belongs to svdvals(A[:, :])[k].",
            True,
        ),
        Algebra(
            "svd_right",
            (("n", "m"),),
            ("m", "m"),
            "svd_right(A[:, :])[j, k]",
            "The right singular vectors V of A = U S V': column k belongs to svdvals(A[:, :])[k].",
            True,
        ),
    ),
    complex=dict.fromkeys(("solve", "inv", "trace"), "complex"),
)

CONSTANTS: Mapping[str, float] = MappingProxyType({"pi": 3.141592653589793, "inf": float("inf")})

STRUCTURAL: Mapping[str, str] = MappingProxyType(
    {
        "d": "d(e, x[i], ...): the derivative of e with respect to each of the elements, from left to right.",
        "delta": "delta[i, j]: 1 where both agree, else 0.",
        "index": "index(i): the value of the index, from 0.",
        "size": "size(i): the number of values the index takes.",
        "coord": "coord(x): the coordinate that the index stands for, on a dim with from and to.",
        "stack": "stack(a, W[:, :], ...): all entries of whole named arrays along one axis, alone on the right of a "
        "definition with one index.",
        "spacing": "spacing(x): the distance between neighbouring coordinates.",
        "part": "part(s, i): the value that the configuration s gives to i, on a dim of configurations.",
        "sample": "sample(law): a fresh draw from a law, such as normal(0, 1), for every value of the indices around it.",
        "logpdf": "logpdf(law, x): the logarithm of the density of a law at x; of a discrete law, of the probability of x.",
        "acceptance": "acceptance(x[w]): of what Markov chains draw, the share of the transitions of this step that were taken.",
        "entropy": "entropy(law): the entropy of a law, in nats.",
        "KL": "KL(law, law): the Kullback-Leibler divergence of the first law from the second, in nats.",
        "stop": "stop(e): the value of e, through which no derivative flows.",
        "nodes": "nodes(solve, linalg): in claims, how many nodes of a kind were compiled for a plan or a stage.",
    }
)

# What binds unknowns; `argmin` and `argmax` of an index are reductions.
BINDERS: Mapping[str, str] = MappingProxyType(
    {
        "root": "root[u[i]](e): the u at which e, which has the index i, is 0 for every i.",
        "fixed_point": "fixed_point[u[i]](e): the u that is equal to e for every i.",
        "argmin": "argmin[u[i]](e): the u at which the number e is least, under the inequalities of subject_to.",
        "argmax": "argmax[u[i]](e): the u at which the number e is greatest, under the inequalities of subject_to.",
    }
)

# Elementwise functions that an expression calls by name; `max` and `min` with plain parentheses are among them.
FUNCTIONS: Mapping[str, Operator] = MappingProxyType(
    {name: op for name, op in POINTWISE.items() if op.callable}
    | {"max": POINTWISE["maximum"], "min": POINTWISE["minimum"]}
)

# What the design has and the compiler does not yet: name → (code, what it is called in a message).
# What averages over random variables, bound in brackets.
EXPECTATIONS = ("E", "Var", "Cov")

PLANNED: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "integral": ("VS0407", "integrals"),
    }
)


# Whole numbers that a stage counts; what reads one has a value only while a stage runs.
COUNTERS: Mapping[str, str] = MappingProxyType(
    {
        "step": "The step that the stage is about to take, from 0; in a repetition, the round.",
        "steps": "The number of steps that the stage takes.",
    }
)

WORDS = frozenset({"run", "true", "false", "True", "False", "None", "real", "integer", "boolean", "complex", "auto"})

BUILTINS: frozenset[str] = frozenset(
    set(FUNCTIONS)
    | set(REDUCTIONS)
    | set(ALONG)
    | set(LINALG)
    | set(BINDERS)
    | set(CONSTANTS)
    | set(STRUCTURAL)
    | set(PLANNED)
    | set(EXPECTATIONS)
    | set(COUNTERS)
    | set(ARCHITECTURES)
)

# Python's soft keywords stay free: they mean nothing to us nor to the emitted program.
# `entropy` is only ever called with a law; papers name objectives so.
RESERVED: frozenset[str] = (BUILTINS - {"entropy"}) | WORDS | frozenset(keyword.kwlist)
