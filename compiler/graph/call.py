"""Functions of CALL nodes, which the graph does not look into.

A CALL node's attrs are `(cores, result, function)`: as for LINALG nodes, the names of the axes that each operand is to have
for the function, and of those of its result. Every other axis of an operand is a batch axis, aligned by name: there is a call
for each of its values.

What a function is does not depend on the names of axes. Derivatives are functions again, so that they can be taken to every
order: `Pulled` and `Pushed` have the operands of the function followed by a cotangent or a tangent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

EIGEN = 12
"""Operations of the eigenvalues and eigenvectors of a symmetric matrix, for each cube of its rows."""


@dataclass(frozen=True, slots=True)
class Convolution:
    """y[p, k] = sum over u and i of x[strides*p + u, i] w[u, i, k], with as many axes p and u as there are strides; the
    operands are x[.., i] and w[.., i, k], and nothing lies beyond the ends of x."""

    strides: tuple[int, ...]

    @property
    def word(self) -> str:
        """What the operation is called."""
        return "convolution"


@dataclass(frozen=True, slots=True)
class Banded:
    """What a banded matrix A[r, c] is asked for: 'solve', x with A x = b, or 'logdet', log |det A|.

    The operands are the diagonals A[r, r + k] over the rows for k = -below, .., above, then for 'solve' the right side b. The
    matrix is eliminated row by row, without exchanges. Where a diagonal leaves the matrix it may have any value.
    """

    what: str
    below: int
    above: int

    @property
    def word(self) -> str:
        """What the operation is called."""
        return f"banded_{self.what}"


@dataclass(frozen=True, slots=True)
class Toeplitz:
    """What a positive definite matrix A[r, c] = a[|r - c|] is asked for: 'solve', x with A x = b, or 'logdet', log det A.

    The operands are its first column and, for 'solve', the right side b.
    """

    what: str

    @property
    def word(self) -> str:
        """What the operation is called."""
        return f"toeplitz_{self.what}"


@dataclass(frozen=True, slots=True)
class Grid:
    """What a Kronecker product of symmetric matrices plus a multiple of the unit matrix is asked for: 'solve', x with A x = b, or
    'logdet', log |det A|.

    The operands are the matrices, the multiple and, for 'solve', the right side b; b and x have an axis for each matrix.
    """

    what: str
    factors: int

    @property
    def word(self) -> str:
        """What the operation is called."""
        return f"grid_{self.what}"


@dataclass(frozen=True, slots=True)
class External:
    """A function from outside of the spec: its name there, where it stands, how many arguments it has. Behind these come the
    weights of a module of Equinox, in the order of `weights`, the expressions by which a module has them."""

    name: str
    module: str
    attribute: str
    kind: str
    weights: tuple[str, ...]
    arguments: int

    @property
    def word(self) -> str:
        """What the operation is called."""
        return self.name


@dataclass(frozen=True, slots=True)
class Start:
    """The value of a weight of a module that is made with the key that is its operand."""

    function: External
    weight: int

    @property
    def word(self) -> str:
        """What the operation is called."""
        return "start"


@dataclass(frozen=True, slots=True)
class Mapped:
    """A function mapped over further axes, which stand in front of the axes of its operands and of its result: for each of
    them, the outermost first, which operands have it."""

    function: Function
    over: tuple[tuple[bool, ...], ...]

    @property
    def word(self) -> str:
        """What the operation is called."""
        return self.function.word


@dataclass(frozen=True, slots=True)
class Pulled:
    """The adjoint of an operand of a function, from its operands and the adjoint of its value."""

    function: Function
    operand: int

    @property
    def word(self) -> str:
        """What the operation is called."""
        return self.function.word


@dataclass(frozen=True, slots=True)
class Pushed:
    """The tangent of the value of a function, from its operands and the tangent of one of them."""

    function: Function
    operand: int

    @property
    def word(self) -> str:
        """What the operation is called."""
        return self.function.word


Function = Convolution | Banded | Toeplitz | Grid | External | Start | Mapped | Pulled | Pushed


def base(f: Function) -> Convolution | Banded | Toeplitz | Grid | External | Start:
    """What a derivative, of whatever order, is one of."""
    while isinstance(f, Mapped | Pulled | Pushed):
        f = f.function
    return f


def order(f: Function) -> int:
    """Of which order a derivative is."""
    found = 0
    while isinstance(f, Mapped | Pulled | Pushed):
        found += not isinstance(f, Mapped)
        f = f.function
    return found


def linear(f: Function, k: int, operands: int) -> bool:
    """Whether a function of so many operands is linear in operand k."""
    if isinstance(f, Banded | Toeplitz | Grid):
        return f.what == "solve" and k == operands - 1
    if isinstance(f, Convolution | External | Start):
        return isinstance(f, Convolution)
    if isinstance(f, Mapped):
        return linear(f.function, k, operands)
    if k == operands - 1:
        return True
    return k != f.operand and linear(f.function, k, operands - 1)


def depends(f: Function, k: int, operands: int) -> bool:
    """Whether a function of so many operands depends on operand k."""
    if isinstance(f, Convolution | Banded | Toeplitz | Grid | External | Start):
        return not isinstance(f, Start)
    if isinstance(f, Mapped):
        return depends(f.function, k, operands)
    if k == operands - 1:
        return True
    if k == f.operand and linear(f.function, k, operands - 1):
        return False
    return depends(f.function, k, operands - 1)


def operations(f: Function, shapes: Sequence[Sequence[int]], result: int) -> int:
    """About how many operations a call takes, given the sizes of its operands' axes and how many elements its value has."""
    if isinstance(f, Mapped):
        times = 1
        inner = [list(shape) for shape in shapes]
        for has in f.over:
            size = next(shape[0] for shape, own in zip(inner, has, strict=True) if own)
            times *= size
            inner = [shape[1:] if own else shape for shape, own in zip(inner, has, strict=True)]
        return times * operations(f.function, inner, max(1, result // times))
    if isinstance(f, Pulled):
        # The way there, and about twice as much for the way back; what is linear needs no way there.
        value = prod(shapes[-1])
        once = operations(f.function, shapes[:-1], value)
        return once if linear(f.function, f.operand, len(shapes) - 1) else 3 * once
    if isinstance(f, Pushed):
        return 2 * operations(f.function, shapes[:-1], result)
    if isinstance(f, Banded):
        return shapes[0][0] * (2 * f.below * (f.above + 1) + 2 * (f.below + f.above + 1))
    if isinstance(f, Toeplitz):
        return (8 if f.what == "solve" else 4) * shapes[0][0] ** 2
    if isinstance(f, Grid):
        sizes = [shape[0] for shape in shapes[: f.factors]]
        whole = prod(sizes)
        return sum(EIGEN * n**3 + (4 * n * whole if f.what == "solve" else 0) for n in sizes) + 3 * whole
    if isinstance(f, External | Start):
        # Nobody knows; a network takes about two for each weight and argument.
        return 2 * sum(prod(shape) for shape in shapes) + result
    # Each element of the value is a sum over the offsets and entries of the window.
    return 2 * result * prod(shapes[1][:-1])
