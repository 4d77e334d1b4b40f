"""Dimensions: letters, sizes, and whether a subscript stays inside an axis."""

from __future__ import annotations

from dataclasses import dataclass, field

from vspec.compiler.diagnostics.spans import Span
from vspec.compiler.language.expr import Expr, Number, Pointwise, SizeOf
from vspec.compiler.language.spec import Dim
from vspec.compiler.source.document import Scalar

Linear = dict[str, int]
"""A size as a sum of whole multiples of dims' sizes; the key "" is the constant."""

UNKNOWN = "?"
"""The dim of an axis about which nothing can be said (after a mistake, or of a formal argument)."""


ROWS = "_rows"
"""What the dim and letter of an axis of rows start with, where it is no dim of the spec; their number follows."""


def shown(letter: str) -> str:
    """A letter as a message shows it: rows by their numbers, `0..3`."""
    return f"0..{int(letter.removeprefix(ROWS)) - 1}" if letter.startswith(ROWS) else letter


@dataclass(slots=True)
class Dims:
    """The dims of one spec while it is checked; letters are added as slices need them.

    `ends` are the texts of `from` and `to`, read once the constants are known.
    """

    dims: dict[str, Dim] = field(default_factory=dict)
    letters: dict[str, str] = field(default_factory=dict)
    linear: dict[str, Linear] = field(default_factory=dict)
    ends: dict[str, tuple[Scalar, Scalar]] = field(default_factory=dict)
    _next: int = 1

    def fresh(self, dim: str) -> str:
        """A new letter over `dim`."""
        letter = f"_{self._next}"
        self._next += 1
        self.letters[letter] = dim
        return letter

    def dim_of(self, letter: str) -> str:
        """The dim that a letter ranges over."""
        return self.letters.get(letter, UNKNOWN)

    def size(self, dim: str) -> int | None:
        """The size if it is a number now."""
        found = self.dims.get(dim)
        return found.size if found is not None and isinstance(found.size, int) else None

    def sizes(self, dim: str) -> Linear:
        """The size in terms of the sizes that are open."""
        if dim not in self.linear:
            found = self.dims.get(dim)
            size = found.size if found is not None else None
            if isinstance(size, int):
                self.linear[dim] = {"": size}
            else:
                form = self._form(size) if isinstance(size, Expr) else None
                self.linear[dim] = form if form is not None else {dim: 1}
        return self.linear[dim]

    def _form(self, size: Expr) -> Linear | None:
        if isinstance(size, Number) and isinstance(size.value, int):
            return {"": size.value}
        if isinstance(size, SizeOf):
            return self.sizes(self.dim_of(size.letter))
        if isinstance(size, Pointwise):
            forms = [self._form(a) for a in size.args]
            known = [f for f in forms if f is not None]
            if len(known) < len(forms):
                return None
            if size.op == "neg":
                return scaled(known[0], -1)
            if size.op == "add":
                return added(known[0], known[1])
            if size.op == "sub":
                return added(known[0], scaled(known[1], -1))
            if size.op == "mul":
                for factor, other in (known, reversed(known)):
                    if set(factor) <= {""}:
                        return scaled(other, factor.get("", 0))
        return None

    def boundary(self, dim: str) -> str:
        """What a shifted subscript beyond an end of the dim's axes reads; 'error' where nothing is said."""
        found = self.dims.get(dim)
        return found.boundary if found is not None else "error"

    def same(self, left: str, right: str) -> bool:
        """Whether two dims surely have one size."""
        if left == right or UNKNOWN in (left, right):
            return True
        return not added(self.sizes(left), scaled(self.sizes(right), -1))

    def show(self, dim: str) -> str:
        """The dim with its size, for a message: `i (size 64)`."""
        found = self.dims.get(dim)
        if found is None:
            return dim
        if dim.startswith(ROWS):
            return f"{found.size} rows"
        if isinstance(found.size, int):
            return f"'{dim}' (size {found.size})"
        return f"'{dim}' ({'auto' if found.size is None else 'size open until run'})"

    def misfit(self, letter: str, scale: int, offset: Linear, axis: str, short: bool) -> str | None:
        """Why `scale*letter + offset` may leave an axis over the dim `axis`, or None if it surely stays inside.

        Args:
            letter: the index.
            scale: not 0.
            offset: any.
            axis: the dim of the axis.
            short: the letter stops one before its last value (inside a recurrence's step).
        """
        own = self.dim_of(letter)
        if UNKNOWN in (own, axis):
            return None
        final = added(self.sizes(own), {"": -2 if short else -1})
        other = added(scaled(final, scale), offset)
        low, high = (offset, other) if scale > 0 else (other, offset)
        slack = added(added(self.sizes(axis), {"": -1}), scaled(high, -1))
        if surely(low) and surely(slack):
            return None
        if not surely(low) and set(low) <= {""}:
            where = str(final.get("", 0)) if scale < 0 else "0"
            return f"at {letter} = {where} the subscript is {low.get('', 0)}"
        if set(slack) <= {""} and slack.get("", 0) < 0:
            if set(high) <= {""} and set(self.sizes(axis)) <= {""}:
                return f"it reaches {high.get('', 0)}, but the last position is {self.sizes(axis).get('', 0) - 1}"
            return f"it runs {-slack.get('', 0)} past the end"
        if own != axis and scale == 1 and not offset:
            return f"'{letter}' ranges over the dim {self.show(own)}, the axis over {self.show(axis)}"
        if own == axis:
            return "whether it stays inside depends on a size that is open until run"
        return f"nothing relates the sizes of {self.show(own)} and {self.show(axis)}"


@dataclass(slots=True)
class Slot:
    """One whole axis taken by a function: the letter it gets when the first element with a `:` is met."""

    letter: str | None = None
    dim: str = UNKNOWN
    span: Span | None = None


def surely(form: Linear) -> bool:
    """Whether a form is not negative, whatever the open sizes are: each of them is at least 1."""
    return all(v >= 0 for k, v in form.items() if k) and sum(form.values()) >= 0


def added(a: Linear, b: Linear) -> Linear:
    """The sum of two sizes."""
    total = {k: a.get(k, 0) + b.get(k, 0) for k in {**a, **b}}
    return {k: v for k, v in total.items() if v}


def scaled(a: Linear, by: int) -> Linear:
    """A whole multiple of a size."""
    return {k: v * by for k, v in a.items() if v * by}
