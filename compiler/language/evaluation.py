"""`by=word`: which of several ways an expression is evaluated in. The value is the same; `auto`, the default, leaves it to the
compiler, which chooses by cost and says so in the table of strategies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from vspec.compiler.diagnostics.suggest import did_you_mean
from vspec.compiler.language.context import Context, Env
from vspec.compiler.language.expr import AUTO, By
from vspec.compiler.language.raw import Keyword, Raw, RawCall, RawName, RawNumber


@dataclass(frozen=True, slots=True)
class Way:
    """A way of evaluation: the word for it, what it means in a few words, and how many positive integers it takes."""

    name: str
    doc: str
    least: int = 0
    most: int = 0

    @property
    def shown(self) -> str:
        """As a spec writes it."""
        return f"{self.name}({', '.join('n' for _ in range(self.least))})" if self.least else self.name


def ways(*given: Way) -> Mapping[str, Way]:
    """A table of ways; `auto` is one of each."""
    return {w.name: w for w in (Way("auto", "whichever costs least"), *given)}


DERIVATIVE = ways(
    Way("reverse", "each derivative by a sweep from the value to the variables"),
    Way("forward", "each derivative by a sweep from the variables to the value"),
    Way("laplacian", "pairs of derivatives together with the value and first derivatives, in one forward sweep"),
)

MATRIX = ways(
    Way("lu", "an LU factorisation, whatever the matrix"),
    Way("cholesky", "a Cholesky factorisation of a symmetric matrix, which is taken to be positive definite"),
    Way(
        "cholesky_or_lu",
        "a Cholesky factorisation of a symmetric matrix, one of LU where that finds it not positive definite",
    ),
    Way("diagonal", "element by element"),
    Way("triangular", "by substitution"),
    Way("tridiagonal", "elimination of three diagonals row by row, without exchanging rows"),
    Way("banded", "elimination of a few diagonals row by row, without exchanging rows"),
    Way("kronecker", "factor by factor of a Kronecker product"),
    Way(
        "kronecker_shift",
        "eigenvectors of the factors of a symmetric Kronecker product to which a number times the unit matrix is added",
    ),
    Way("block_diagonal", "block by block of a matrix that is zero between them"),
    Way("circulant", "Fourier transforms for a matrix of differences around a circle"),
    Way("toeplitz", "Levinson's recursion for a symmetric positive definite matrix of differences"),
    Way("low_rank", "Woodbury's identity for a diagonal matrix plus products of low rank"),
)

REDUCTION = ways(
    Way("whole", "all at once, with all that is computed on the way in memory"),
    Way("blocks", "so many values of the index at a time", 1, 1),
)
# Logarithms of sums of exponentials may share what they take from step to step of a recurrence.
LOGARITHM = {
    **REDUCTION,
    "scaling": Way("scaling", "products with a kernel of exponentials, which the steps of a recurrence keep"),
}
SUM = {
    **REDUCTION,
    "products": Way("products", "squares of differences from products of matrices, where no digits are lost"),
    "pairs": Way(
        "pairs", "each pair of values of two indices of one dim once, where the other order tells nothing new"
    ),
}
# Reductions whose parts become one by an operation on two results.
JOINED = ("sum", "mean", "prod", "max", "min", "any", "all", "logsumexp", "argmax", "argmin")

# What takes `by=`, by name.
EVALUATED: Mapping[str, Mapping[str, Way]] = {
    "d": DERIVATIVE,
    **dict.fromkeys(("solve", "logdet", "inv"), MATRIX),
    **dict.fromkeys(JOINED, REDUCTION),
    "sum": SUM,
    "logsumexp": LOGARITHM,
}


def read_by(ctx: Context, raw: RawCall, table: Mapping[str, Way], env: Env) -> By | None:
    """The keyword `by` of a call, `AUTO` if it has none; None after a mistake. A call that takes `by` has no other keyword."""
    found: By | None = AUTO
    seen = False
    for keyword in raw.keywords:
        if keyword.name != "by":
            help = "write by=" if did_you_mean(keyword.name, ("by",)) else "its only keyword is 'by'"
            ctx.error("VS0215", f"'{raw.name}' takes no keyword '{keyword.name}'", keyword.span, env, help=help)
            found = None
        elif seen:
            ctx.error("VS0249", "'by' is given twice", keyword.span, env)
            found = None
        else:
            seen = True
            read = _read(ctx, raw.name, keyword, table, env)
            found = read if found is not None else None
    return found


def _read(ctx: Context, name: str, keyword: Keyword, table: Mapping[str, Way], env: Env) -> By | None:
    value = keyword.value
    listed = ", ".join(w.shown for w in table.values())
    word = _word(value)
    if word is None:
        ctx.error("VS0249", "'by' is a word that says how", keyword.span, env, help=f"'{name}' goes by {listed}")
        return None
    way = table.get(word)
    if way is None:
        help = did_you_mean(word, table) or f"'{name}' goes by {listed}"
        ctx.error("VS0249", f"'{name}' is not evaluated by '{word}'", value.span, env, label="no such way", help=help)
        return None
    numbers = value.args if isinstance(value, RawCall) else ()
    given = [n.value for n in numbers if isinstance(n, RawNumber) and type(n.value) is int and n.value > 0]
    if len(given) != len(numbers) or not way.least <= len(given) <= way.most:
        want = "no numbers" if not way.most else "positive integers" if way.most > 1 else "a positive integer"
        ctx.error("VS0249", f"'{word}' takes {want}", value.span, env, help=f"write by={way.shown}")
        return None
    return By(word, tuple(int(n) for n in given))


def _word(value: Raw) -> str | None:
    if isinstance(value, RawName):
        return value.name
    plain = isinstance(value, RawCall) and value.bound is None and not value.keywords and value.subscripts is None
    return value.name if plain and isinstance(value, RawCall) else None
