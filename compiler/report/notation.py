"""What a mathematical notation must be able to write, and the plain-text one: Unicode on a single line.

The visitor of `math.py` decides what to write and where parentheses stand; a notation decides how it looks. Pieces are
strings that are already written.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

GREEK = {
    "alpha": "α",
    "beta": "β",
    "gamma": "γ",
    "epsilon": "ε",
    "eps": "ε",
    "zeta": "ζ",
    "eta": "η",
    "theta": "θ",
    "kappa": "κ",
    "lam": "λ",
    "mu": "μ",
    "nu": "ν",
    "xi": "ξ",
    "rho": "ρ",
    "sigma": "σ",
    "tau": "τ",
    "phi": "φ",
    "chi": "χ",
    "psi": "ψ",
    "omega": "ω",
    "Gamma": "Γ",
    "Theta": "Θ",
    "Lambda": "Λ",
    "Xi": "Ξ",
    "Sigma": "Σ",
    "Phi": "Φ",
    "Psi": "Ψ",
    "Omega": "Ω",
}

# Operators in the order (Unicode, LaTeX); MathML writes the Unicode sign.
SIGNS: dict[str, tuple[str, str]] = {
    "add": ("+", "+"),
    "sub": ("−", "-"),
    "mul": ("·", r"\cdot"),
    "mod": ("mod", r"\bmod"),
    "lt": ("<", "<"),
    "le": ("≤", r"\le"),
    "gt": (">", ">"),
    "ge": ("≥", r"\ge"),
    "eq": ("=", "="),
    "ne": ("≠", r"\ne"),
    "and": ("∧", r"\land"),
    "or": ("∨", r"\lor"),
    "neg": ("−", "-"),
    "not": ("¬", r"\lnot"),
    "sum": ("∑", r"\sum"),
    "prod": ("∏", r"\prod"),
    "any": ("∃", r"\exists"),
    "all": ("∀", r"\forall"),
}

FENCES: dict[str, tuple[str, str]] = {
    "round": ("(", ")"),
    "square": ("[", "]"),
    "abs": ("|", "|"),
    "floor": ("⌊", "⌋"),
    "ceil": ("⌈", "⌉"),
    "norm": ("‖", "‖"),
}


class Notation(ABC):
    """How pieces of mathematics look. `stacked`: fractions and roots delimit their parts without parentheses."""

    stacked: ClassVar[bool]

    @abstractmethod
    def number(self, text: str) -> str:
        """Digits, `∞` or `π`."""

    @abstractmethod
    def name(self, name: str, greek: bool) -> str:
        """A name of the spec; `greek`: as its Greek letter if it has one."""

    @abstractmethod
    def letter(self, text: str) -> str:
        """An index letter, with primes where two would look alike."""

    @abstractmethod
    def word(self, text: str) -> str:
        """The name of a function: upright."""

    @abstractmethod
    def sub(self, base: str, subscripts: Sequence[str]) -> str:
        """A base with subscripts; at least one."""

    def raises(self, exponent: str) -> bool:
        """Whether an exponent needs no parentheses, whatever it is."""
        return True

    @abstractmethod
    def power(self, base: str, exponent: str) -> str:
        """A base raised to an exponent."""

    @abstractmethod
    def conjugate(self, x: str) -> str:
        """A complex conjugate, marked behind."""

    @abstractmethod
    def fraction(self, top: str, bottom: str) -> str:
        """A quotient."""

    @abstractmethod
    def root(self, x: str) -> str:
        """A square root."""

    @abstractmethod
    def infix(self, op: str, left: str, right: str) -> str:
        """An operator of `SIGNS` between two operands."""

    @abstractmethod
    def prefix(self, op: str, x: str) -> str:
        """An operator of `SIGNS` before its operand."""

    @abstractmethod
    def fence(self, kind: str, x: str) -> str:
        """A piece in one of `FENCES`."""

    @abstractmethod
    def call(self, function: str, arguments: Sequence[str]) -> str:
        """A function of arguments, in parentheses."""

    @abstractmethod
    def big(self, op: str, letters: Sequence[str], upper: str, body: str) -> str:
        """`∑`, `∏`, `∃` or `∀` over letters. With `upper`, the one letter runs from 0 to there."""

    @abstractmethod
    def bound(self, word: str, letters: Sequence[str]) -> str:
        """A named operator with the letters it binds underneath: `max` over i."""

    @abstractmethod
    def cases(self, rows: Sequence[tuple[str, str]], otherwise: str) -> str:
        """Values with their conditions, and the value where none holds."""

    @abstractmethod
    def partial(self, body: str, variables: Sequence[tuple[str, int]], apart: bool) -> str:
        """The derivative of a body by variables with their orders; `apart`: the body stands behind the fraction."""

    @abstractmethod
    def equation(self, left: str, right: str) -> str:
        """A definition."""


_LOW = dict(zip("0123456789+-−=()aehijklmnoprstuvx", "₀₁₂₃₄₅₆₇₈₉₊₋₋₌₍₎ₐₑₕᵢⱼₖₗₘₙₒₚᵣₛₜᵤᵥₓ", strict=True)) | {"′": "′"}
_HIGH = dict(zip("0123456789+-−inT", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻ⁱⁿᵀ", strict=True))


def lowered(text: str) -> str | None:
    """The text in subscript letters, or None if Unicode lacks one of them."""
    found = [_LOW.get(c) for c in text if c != " "]
    return None if None in found or not found else "".join(c for c in found if c is not None)


def raised(text: str) -> str | None:
    """The text in superscript letters, or None if Unicode lacks one of them."""
    found = [_HIGH.get(c) for c in text if c != " "]
    return None if None in found or not found else "".join(c for c in found if c is not None)


class Unicode(Notation):
    """One line of text: `∑ₙ log(1 + exp(−marginₙ)) + λ/2·∑ᵢ wᵢ²`.

    Unicode has no subscripts for some letters (b, c, d, f, g, q, w, y, z): with `brackets`, all subscripts are written
    as in the spec, `X[q, i]`, so that one text does not mix both styles.
    """

    stacked = False

    def __init__(self, brackets: bool = False) -> None:
        self.brackets = brackets

    def number(self, text: str) -> str:
        return text

    def name(self, name: str, greek: bool) -> str:
        return GREEK.get(name, name) if greek else name

    def letter(self, text: str) -> str:
        return text

    def word(self, text: str) -> str:
        return text

    def sub(self, base: str, subscripts: Sequence[str]) -> str:
        if not self.brackets:
            low = [lowered(s) for s in subscripts]
            if None not in low:
                tight = all(len(s.rstrip("′")) == 1 for s in subscripts) and not base[-1].isdigit()
                return base + ("" if tight else ",").join(s for s in low if s is not None)
        return f"{base}[{', '.join(subscripts)}]"

    def raises(self, exponent: str) -> bool:
        return raised(exponent) is not None

    def power(self, base: str, exponent: str) -> str:
        high = raised(exponent)
        return f"{base}^{exponent}" if high is None else base + high

    def conjugate(self, x: str) -> str:
        return f"{x}*"

    def fraction(self, top: str, bottom: str) -> str:
        return f"{top}/{bottom}"

    def root(self, x: str) -> str:
        return f"√{x}"

    def infix(self, op: str, left: str, right: str) -> str:
        sign = SIGNS[op][0]
        return f"{left}·{right}" if op == "mul" else f"{left} {sign} {right}"

    def prefix(self, op: str, x: str) -> str:
        return SIGNS[op][0] + x

    def fence(self, kind: str, x: str) -> str:
        left, right = FENCES[kind]
        return left + x + right

    def call(self, function: str, arguments: Sequence[str]) -> str:
        return f"{function}({', '.join(arguments)})"

    def big(self, op: str, letters: Sequence[str], upper: str, body: str) -> str:
        sign = SIGNS[op][0]
        if upper:
            (letter,) = letters
            low, high = lowered(f"{letter}=0"), raised(upper)
            if self.brackets or low is None or high is None:
                return f"{sign}[{letter}=0..{upper}] {body}"
            return f"{sign}{low}{high} {body}"
        return f"{self.sub(sign, letters)} {body}"

    def bound(self, word: str, letters: Sequence[str]) -> str:
        return self.sub(word, letters)

    def cases(self, rows: Sequence[tuple[str, str]], otherwise: str) -> str:
        return "{" + "; ".join([*(f"{value} if {when}" for value, when in rows), f"{otherwise} otherwise"]) + "}"

    def partial(self, body: str, variables: Sequence[tuple[str, int]], apart: bool) -> str:
        order = sum(n for _, n in variables)
        sign = "∂" if order == 1 else f"∂{raised(str(order))}"
        below = "".join(f"∂{v}" if n == 1 else f"∂{v}{raised(str(n))}" for v, n in variables)
        if len(variables) > 1:
            below = f"({below})"
        return f"{sign}/{below} {body}" if apart else f"{sign}{body}/{below}"

    def equation(self, left: str, right: str) -> str:
        return f"{left} = {right}"
