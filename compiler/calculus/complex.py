"""Complex arithmetic in real numbers: a complex quantity is a pair of kernel trees, its real and its imaginary part.

Nothing after this module knows complex numbers but the kernels that split arguments (`re`, `im`) and join results
(`complex`), so that derivatives, SymPy and the passes see reals alone. The forms are chosen so that they neither overflow
nor cancel where the true value is a number (Kahan 1987, "Branch cuts for complex elementary functions"; Smith 1962,
"Algorithm 116: complex division"), and so that their derivatives are those of the holomorphic function, also on its branch
cut and where the imaginary part is exactly zero.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from vspec.compiler.graph.builder import Builder
from vspec.compiler.graph.kernel import Tree, num, walk
from vspec.compiler.graph.node import Node

ZERO: Tree = num(0)
ONE: Tree = num(1)

# A tree of at most this many cheap operations may be written twice; a larger one becomes a node.
CHEAP = frozenset({"x", "num", "add", "sub", "mul", "neg", "real"})
SHORT = 4

# Parts larger than this become nodes of their own: SymPy's time grows faster than the kernel.
LONG = 16


@dataclass(frozen=True, slots=True)
class Pair:
    """The real and the imaginary part, trees over the same slots. A part that is the number 0 is not there at all."""

    re: Tree
    im: Tree = ZERO

    @property
    def real(self) -> bool:
        """Whether the imaginary part is not there."""
        return is_zero(self.im)

    @property
    def imaginary(self) -> bool:
        """Whether the real part is not there."""
        return is_zero(self.re)


def constant(z: Pair) -> complex | None:
    """The value of a pair of numbers, None where a part is not a number."""
    if z.re[0] != "num" or z.im[0] != "num":
        return None
    return complex(float(z.re[1]), float(z.im[1]))


def operations(tree: Tree) -> int:
    """The number of operations of a tree."""
    return sum(1 for t in walk(tree) if t[0] not in ("x", "num"))


# --- trees that leave out what is not there ----------------------------------------------------------------------------


def is_zero(a: Tree) -> bool:
    """Whether a tree is the number 0."""
    return a[0] == "num" and a[1] == 0  # type: ignore[no-any-return]


def add(a: Tree, b: Tree) -> Tree:
    """a + b."""
    return b if is_zero(a) else a if is_zero(b) else ("add", a, b)


def sub(a: Tree, b: Tree) -> Tree:
    """a - b."""
    return neg(b) if is_zero(a) else a if is_zero(b) else ("sub", a, b)


def neg(a: Tree) -> Tree:
    """-a."""
    if a[0] == "num":
        return a if is_zero(a) else num(-a[1])
    return a[1] if a[0] == "neg" else ("neg", a)  # type: ignore[no-any-return]


def mul(a: Tree, b: Tree) -> Tree:
    """a*b."""
    if is_zero(a) or is_zero(b):
        return ZERO
    for x, y in ((a, b), (b, a)):
        if x[0] == "num" and x[1] == 1:
            return y
        if x[0] == "num" and x[1] == -1:
            return neg(y)
    return ("mul", a, b)


def div(a: Tree, b: Tree) -> Tree:
    """a/b."""
    return ZERO if is_zero(a) and not is_zero(b) else a if b[0] == "num" and b[1] == 1 else ("div", a, b)


def square(a: Tree) -> Tree:
    """a**2."""
    return ZERO if is_zero(a) else ("pow", a, num(2))


def where(c: Tree, a: Tree, b: Tree) -> Tree:
    """a where c holds, else b."""
    return a if a == b else ("where", c, a, b)


def both(a: Pair, b: Pair) -> tuple[Tree, Tree]:
    """Whether the real parts and whether the imaginary parts agree."""
    return ("eq", a.re, b.re), ("eq", a.im, b.im)


class Arithmetic:
    """Operations on pairs over the operands `leaves`; what is needed more than once becomes an operand itself."""

    def __init__(self, b: Builder, leaves: list[Node], leaf: Callable[[Node, list[Node]], Tree]) -> None:
        self.b = b
        self.leaves = leaves
        self.leaf = leaf

    def share(self, tree: Tree, dtype: str = "real", most: int = SHORT) -> Tree:
        """The tree in a form that may be written twice."""
        if operations(tree) <= most and all(t[0] in CHEAP for t in walk(tree)):
            return tree
        return self.leaf(self.b.map(tree, list(self.leaves), dtype), self.leaves)

    def shared(self, z: Pair) -> Pair:
        """Both parts in forms that may be written twice."""
        return Pair(self.share(z.re), self.share(z.im))

    def shortened(self, z: Pair) -> Pair:
        """The pair with parts of its own where they have become long."""
        parts = [self.share(t, most=-1) if operations(t) > LONG else t for t in (z.re, z.im)]
        return Pair(*parts)

    # --- field operations -------------------------------------------------------------------------------------------

    def add(self, z: Pair, w: Pair) -> Pair:
        """z + w."""
        return Pair(add(z.re, w.re), add(z.im, w.im))

    def sub(self, z: Pair, w: Pair) -> Pair:
        """z - w."""
        return Pair(sub(z.re, w.re), sub(z.im, w.im))

    def neg(self, z: Pair) -> Pair:
        """-z."""
        return Pair(neg(z.re), neg(z.im))

    def conj(self, z: Pair) -> Pair:
        """The conjugate."""
        return Pair(z.re, neg(z.im))

    def mul(self, z: Pair, w: Pair) -> Pair:
        """z*w."""
        z, w = self.shared(z), self.shared(w)
        return Pair(sub(mul(z.re, w.re), mul(z.im, w.im)), add(mul(z.re, w.im), mul(z.im, w.re)))

    def square(self, z: Pair) -> Pair:
        """z*z."""
        z = self.shared(z)
        return Pair(sub(square(z.re), square(z.im)), mul(num(2), mul(z.re, z.im)))

    def div(self, z: Pair, w: Pair) -> Pair:
        """z/w by Smith's method: the smaller part of w is divided by the larger, so that no square overflows."""
        if w.real:
            below = self.share(w.re)
            return Pair(div(z.re, below), div(z.im, below))
        if w.imaginary:
            below = self.share(w.im)
            return Pair(div(z.im, below), neg(div(z.re, below)))
        z, w = self.shared(z), self.shared(w)
        wide = self.share(("ge", ("abs", w.re), ("abs", w.im)), "boolean")
        large, small = self.share(where(wide, w.re, w.im)), self.share(where(wide, w.im, w.re))
        ratio = self.share(div(small, large))
        below = self.share(add(large, mul(small, ratio)))
        re = where(wide, add(z.re, mul(z.im, ratio)), add(mul(z.re, ratio), z.im))
        im = where(wide, sub(z.im, mul(z.re, ratio)), sub(mul(z.im, ratio), z.re))
        return Pair(div(re, below), div(im, below))

    def power(self, z: Pair, k: int) -> Pair:
        """z**k for a whole k, by repeated squaring."""
        if z.real:
            return Pair(("pow", z.re, num(k)))
        if k < 0:
            return self.div(Pair(ONE), self.power(z, -k))
        result = Pair(ONE)
        while k:
            if k % 2:
                result = self.mul(result, z)
            k //= 2
            if k:
                z = self.shared(self.square(z))
        return result

    def pow(self, z: Pair, w: Pair) -> Pair:
        """exp(w*log(z)) with the principal logarithm; a real power of 0 is that of a real 0."""
        angle = self.share(self.arg(z))
        if w.real:
            w = self.shared(w)
            return self.polar(("pow", self.abs(z), w.re), mul(w.re, angle))
        return self.exp(self.mul(w, Pair(("log", self.abs(z)), angle)))

    def choose(self, condition: Tree, z: Pair, w: Pair) -> Pair:
        """z where the condition holds, else w."""
        condition = self.share(condition, "boolean")
        return Pair(where(condition, z.re, w.re), where(condition, z.im, w.im))

    # --- real functions ---------------------------------------------------------------------------------------------

    def re(self, z: Pair) -> Tree:
        """The real part."""
        return z.re

    def im(self, z: Pair) -> Tree:
        """The imaginary part."""
        return z.im

    def norm(self, z: Pair) -> Tree:
        """abs(z)**2."""
        return add(square(z.re), square(z.im))

    def abs(self, z: Pair) -> Tree:
        """The modulus, without overflow; its derivative at 0 is 0."""
        if z.real or z.imaginary:
            return ("abs", z.re if z.real else z.im)
        return ("hypot", z.re, z.im)

    def arg(self, z: Pair) -> Tree:
        """The angle, from -pi to pi."""
        if z.real:
            return where(("lt", z.re, ZERO), num(math.pi), ZERO)
        return ("atan2", z.im, z.re)

    # --- elementary functions ---------------------------------------------------------------------------------------

    def polar(self, modulus: Tree, angle: Tree) -> Pair:
        """modulus*exp(1j*angle)."""
        if is_zero(angle):
            return Pair(modulus)
        modulus, angle = self.share(modulus), self.share(angle)
        return Pair(mul(modulus, ("cos", angle)), mul(modulus, ("sin", angle)))

    def exp(self, z: Pair) -> Pair:
        """The exponential."""
        return self.polar(ONE if z.imaginary else ("exp", z.re), z.im)

    def log(self, z: Pair) -> Pair:
        """The principal logarithm."""
        z = self.shared(z)
        return Pair(("log", self.abs(z)), self.arg(z))

    def sqrt(self, z: Pair) -> Pair:
        """The principal square root: the larger part first, the other from their product, so that nothing cancels."""
        z = self.shared(z)
        right = self.share(("ge", z.re, ZERO), "boolean")
        if z.real:
            # Each root is taken of a positive number only, as the branch that is not taken has a derivative, too.
            first, second = (("sqrt", where(right, *pair)) for pair in ((z.re, ONE), (ONE, neg(z.re))))
            return Pair(where(right, first, num(0.0)), where(right, num(0.0), second))
        modulus = self.share(self.abs(z))
        # abs(z.re) would have a kink where z is imaginary.
        half = ("div", ("add", modulus, where(right, z.re, neg(z.re))), num(2))
        large = self.share(("sqrt", half))
        side = self.share(("copysign", num(1.0), z.im))
        small = self.share(div(z.im, mul(num(2), where(("eq", large, ZERO), num(1.0), large))))
        return Pair(where(right, large, mul(side, small)), where(right, small, mul(side, large)))

    def sin(self, z: Pair) -> Pair:
        """sin(x)cosh(y) + i cos(x)sinh(y)."""
        x, y = self.share(z.re), self.share(z.im)
        return Pair(mul(_sin(x), _cosh(y)), mul(_cos(x), _sinh(y)))

    def cos(self, z: Pair) -> Pair:
        """cos(x)cosh(y) - i sin(x)sinh(y)."""
        x, y = self.share(z.re), self.share(z.im)
        return Pair(mul(_cos(x), _cosh(y)), neg(mul(_sin(x), _sinh(y))))

    def sinh(self, z: Pair) -> Pair:
        """sinh(x)cos(y) + i cosh(x)sin(y)."""
        x, y = self.share(z.re), self.share(z.im)
        return Pair(mul(_sinh(x), _cos(y)), mul(_cosh(x), _sin(y)))

    def cosh(self, z: Pair) -> Pair:
        """cosh(x)cos(y) + i sinh(x)sin(y)."""
        x, y = self.share(z.re), self.share(z.im)
        return Pair(mul(_cosh(x), _cos(y)), mul(_sinh(x), _sin(y)))

    def tanh(self, z: Pair) -> Pair:
        """(sinh(x)cosh(x) + i sin(y)cos(y))/(sinh(x)**2 + cos(y)**2), above and below divided by cosh(x)**2."""
        if z.real:
            return Pair(("tanh", z.re))
        t = ZERO if z.imaginary else self.share(("tanh", z.re))
        y = self.share(z.im)
        slope = ONE if z.imaginary else self.share(("sub", ONE, square(t)))
        sin, cos = self.share(("sin", y)), self.share(("cos", y))
        below = self.share(add(square(t), mul(square(cos), slope)))
        return Pair(div(t, below), div(mul(mul(sin, cos), slope), below))

    def tan(self, z: Pair) -> Pair:
        """-i tanh(iz)."""
        t = self.tanh(Pair(neg(z.im), z.re))
        return Pair(t.im, neg(t.re))


def _sin(a: Tree) -> Tree:
    return ZERO if is_zero(a) else ("sin", a)


def _cos(a: Tree) -> Tree:
    return ONE if is_zero(a) else ("cos", a)


def _sinh(a: Tree) -> Tree:
    return ZERO if is_zero(a) else ("sinh", a)


def _cosh(a: Tree) -> Tree:
    return ONE if is_zero(a) else ("cosh", a)
