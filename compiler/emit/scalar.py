"""Kernel trees → JAX expressions, with the parentheses that Python's precedence needs and no others."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from vspec.compiler.emit.text import (
    ADD,
    ATOM,
    BIT_AND,
    BIT_OR,
    COMPARE,
    MATMUL,
    MUL,
    NEG,
    POW,
    Text,
    call,
    decimal,
    name,
    negated,
    number,
)
from vspec.compiler.graph.kernel import Tree, walk

DTYPES = {
    "float32": {"real": "jnp.float32", "complex": "jnp.complex64"},
    "float64": {"real": "jnp.float64", "complex": "jnp.complex128"},
}


def dtype_code(dtype: str, precision: str) -> str:
    """A spec dtype as the text of a JAX dtype."""
    return {"integer": "int", "boolean": "bool", **DTYPES[precision]}[dtype]


# Functions of one module each; those without a dot are imported by name.
FUNCTIONS = {
    "exp": "jnp.exp",
    "log": "jnp.log",
    "log1p": "jnp.log1p",
    "expm1": "jnp.expm1",
    "sqrt": "jnp.sqrt",
    "abs": "jnp.abs",
    "sign": "jnp.sign",
    "sin": "jnp.sin",
    "cos": "jnp.cos",
    "tan": "jnp.tan",
    "asin": "jnp.arcsin",
    "acos": "jnp.arccos",
    "atan": "jnp.arctan",
    "atan2": "jnp.arctan2",
    "sinh": "jnp.sinh",
    "cosh": "jnp.cosh",
    "tanh": "jnp.tanh",
    "asinh": "jnp.arcsinh",
    "acosh": "jnp.arccosh",
    "atanh": "jnp.arctanh",
    "floor": "jnp.floor",
    "ceil": "jnp.ceil",
    "round": "jnp.round",
    "maximum": "jnp.maximum",
    "minimum": "jnp.minimum",
    "clip": "jnp.clip",
    "sigmoid": "sigmoid",
    "log_sigmoid": "log_sigmoid",
    "softplus": "softplus",
    "relu": "relu",
    "erf": "erf",
    "erfc": "erfc",
    "lgamma": "gammaln",
    "digamma": "digamma",
    "xlogy": "xlogy",
    "polygamma": "polygamma",
    "copysign": "jnp.copysign",
    "re": "jnp.real",
    "im": "jnp.imag",
    "erfinv": "erfinv",
    "ndtr": "ndtr",
    "log_ndtr": "log_ndtr",
    "ndtr_ratio": "ndtr_ratio",
    "ndtr_excess": "ndtr_excess",
    "betaln": "betaln",
    "gammainc": "gammainc",
    "gammaincc": "gammaincc",
    "gammainc_da": "igamma_grad_a",
    "gamma_slope": "gamma_slope",
    "i0e": "i0e",
    "i1e": "i1e",
    "bessel_ratio": "bessel_ratio",
}
# The modules of the functions that are imported by name.
MODULES = {
    "jax.nn": ("log_sigmoid", "relu", "sigmoid", "softplus"),
    "jax.scipy.linalg": ("cho_factor", "cho_solve", "expm", "lu_factor", "lu_solve", "solve_triangular"),
    "jax.lax": ("erf_inv", "igamma_grad_a", "random_gamma_grad"),
    "jax.scipy.special": (
        "digamma",
        "erf",
        "erfc",
        "gammainc",
        "gammaincc",
        "gammaln",
        "i0e",
        "i1e",
        "logsumexp",
        "ndtr",
        "polygamma",
        "xlogy",
    ),
}
COMPARISONS = {"lt": "<", "le": "<=", "gt": ">", "ge": ">=", "eq": "==", "ne": "!="}
# A base of no more operations than a guard is written twice.
TWICE = 2
LOGIC = {"and": ("&", BIT_AND, "jnp.logical_and"), "or": ("|", BIT_OR, "jnp.logical_or")}


@dataclass(frozen=True, slots=True)
class Context:
    """What a kernel is printed for: the dtype of its value and the program's precision."""

    dtype: str = "real"
    precision: str = "float32"

    @property
    def real(self) -> str:
        """The text of the real dtype."""
        return dtype_code("real", self.precision)


def expression(tree: Tree, operands: Sequence[Text], context: Context | None = None) -> Text:
    """The text of a kernel tree over the texts of its operands. Iterative: a fused kernel may be deep."""
    context = context or Context()
    done: list[Text] = []
    stack: list[tuple[Tree, bool]] = [(tree, False)]
    while stack:
        node, ready = stack.pop()
        op = node[0]
        if op == "x":
            done.append(operands[node[1]])
        elif op == "num":
            done.append(number(node[1], real=node is tree and context.dtype == "real"))
        elif not ready:
            stack.append((node, True))
            stack.extend((child, False) for child in reversed(node[1:]))
        else:
            count = len(node) - 1
            args = done[len(done) - count :]
            del done[len(done) - count :]
            done.append(_operation(op, node[1:], args, context))
    return done[0]


def _operation(op: str, trees: Sequence[Tree], args: list[Text], context: Context) -> Text:
    special = _SPECIAL.get(op)
    if special is not None:
        return special(trees, args, context)
    if op in COMPARISONS:
        a, b = args
        return _infix(f"{a.at(COMPARE + 1)} {COMPARISONS[op]} {b.at(COMPARE + 1)}", COMPARE, args)
    if op in LOGIC:
        sign, prec, function = LOGIC[op]
        if any(a.python for a in args):
            # `&` of Python booleans and arrays is right, of Python numbers it is not.
            joined = args[0]
            for a in args[1:]:
                joined = call(function, joined, a)
            return joined
        return _infix(f" {sign} ".join([args[0].at(prec), *(a.at(prec + 1) for a in args[1:])]), prec, args)
    if op in FUNCTIONS:
        return call(
            FUNCTIONS[op], *_floats(trees, args, context, start=1 if op in ("polygamma", "bessel_ratio") else 0)
        )
    raise ValueError(f"no JAX text for the scalar operation {op!r}")


def _infix(code: str, prec: int, args: Sequence[Text]) -> Text:
    return Text(code, prec, python=all(a.python for a in args), weak=all(a.weak for a in args))


def _floats(trees: Sequence[Tree], args: list[Text], context: Context, start: int = 0) -> list[Text]:
    """Literal arguments as floats: among arguments of a function an integer literal may decide the dtype."""
    if context.dtype == "integer":
        return args
    return [
        number(t[1], real=True) if k >= start and t[0] == "num" and not isinstance(t[1], bool) else a
        for k, (t, a) in enumerate(zip(trees, args, strict=True))
    ]


def _add(trees: Sequence[Tree], args: list[Text], context: Context) -> Text:
    # A sum that starts with a positive term reads better, and addition commutes.
    first = next((k for k, a in enumerate(args) if a.positive is None), 0)
    code = args[first].at(ADD)
    for k, a in enumerate(args):
        if k != first:
            code += f" + {a.at(ADD + 1)}" if a.positive is None else f" - {a.positive.at(ADD + 1)}"
    return _infix(code, ADD, args)


def _sub(trees: Sequence[Tree], args: list[Text], context: Context) -> Text:
    a, b = args
    if b.positive is not None:
        return _infix(f"{a.at(ADD)} + {b.positive.at(ADD + 1)}", ADD, args)
    if a.positive is None and trees[0] in (("num", 0), ("num", 0.0)):
        return negated(b)
    return _infix(f"{a.at(ADD)} - {b.at(ADD + 1)}", ADD, args)


def _neg(trees: Sequence[Tree], args: list[Text], context: Context) -> Text:
    return negated(args[0])


def _mul(trees: Sequence[Tree], args: list[Text], context: Context) -> Text:
    """Products: exact coefficients are multiplied out, signs move to the front, negative powers go below the line."""
    coefficient: int | Fraction = 1
    exact = False
    top: list[Text] = []
    below: list[Text] = []
    negative = False
    for t, a in zip(trees, args, strict=True):
        if t[0] == "num" and isinstance(t[1], int | Fraction) and not isinstance(t[1], bool):
            coefficient, exact = coefficient * t[1], True
        elif t[0] == "pow" and (k := _integer(t[2])) is not None and k < 0:
            # The text of the power is `1 / something`, of which the something is wanted.
            below.append(_reciprocal(a))
        else:
            if a.positive is not None:
                a, negative = a.positive, not negative
            # Numbers lead; a scalar that is not a literal stays where it was written.
            top.insert(0, a) if t[0] == "num" else top.append(a)
    if coefficient < 0:
        coefficient, negative = -coefficient, not negative
    if exact and coefficient != 1:
        coefficient = Fraction(coefficient)
        short = decimal(coefficient)
        if coefficient.denominator == 1 or (short is not None and coefficient.numerator >= 1):
            top.insert(0, number(coefficient.numerator if coefficient.denominator == 1 else coefficient))
        else:
            if coefficient.numerator != 1:
                top.insert(0, number(coefficient.numerator))
            below.append(number(coefficient.denominator))
    if not top:
        top = [number(1, real=not below and context.dtype == "real")]
    code = " * ".join([top[0].at(MUL), *(a.at(MUL + 1) for a in top[1:])])
    if below:
        code += f" / {below[0].at(MUL + 1)}" if len(below) == 1 else f" / ({' * '.join(b.at(MUL) for b in below)})"
    if len(top) == 1 and not below:
        result = top[0]
    else:
        result = _infix(code, MUL, args)
    return negated(result) if negative else result


def _reciprocal(text: Text) -> Text:
    return replace(text, code=text.code.removeprefix("1 / "), prec=POW, positive=None)


def _is_zero(tree: Tree) -> bool:
    return bool(tree[0] == "num" and tree[1] == 0)


def _div(trees: Sequence[Tree], args: list[Text], context: Context) -> Text:
    a, b = args
    if a.python and _is_zero(trees[1]):
        # Python refuses to divide its own numbers by zero.
        return _mul((*trees[:1], ("num", math.inf)), [a, number(math.inf)], context)
    sign = 1
    if a.positive is not None:
        a, sign = a.positive, -sign
    if b.positive is not None:
        b, sign = b.positive, -sign
    result = _infix(f"{a.at(MUL)} / {b.at(MUL + 1)}", MUL, args)
    return result if sign > 0 else negated(result)


def _integer(tree: Tree) -> int | None:
    """The value of a literal that is a whole number and small enough to be meant as one."""
    if tree[0] == "num" and not isinstance(tree[1], bool) and abs(tree[1]) < 64 and int(tree[1]) == tree[1]:
        return int(tree[1])
    return None


def _half(tree: Tree) -> int:
    """k where a literal is k + 1/2, for a negative one -(k + 1/2); else 0."""
    if tree[0] != "num" or isinstance(tree[1], bool) or not 1 < abs(tree[1]) < 8 or tree[1] * 2 != int(tree[1] * 2):
        return 0
    whole = int(abs(tree[1]))
    return 0 if whole == abs(tree[1]) else whole if tree[1] > 0 else -whole


def _power(base: Text, exponent: Text) -> str:
    if base.simple and exponent.simple:
        return f"{base.code}**{exponent.code}"
    return f"{base.at(ATOM)} ** {exponent.at(NEG)}"


def _pow(trees: Sequence[Tree], args: list[Text], context: Context) -> Text:
    base, exponent = args
    k = _integer(trees[1])
    if _is_zero(trees[0]) and trees[1][0] == "num" and trees[1][1] < 0:
        return number(math.inf)
    if all(t[0] == "num" for t in trees) and trees[0][1] < 0 and trees[1][1] != int(trees[1][1]):
        # Python would answer with a complex number.
        return number(math.nan)
    if k is not None:
        if k == 1:
            return base
        if k == -1:
            return _infix(f"1 / {base.at(MUL + 1)}", MUL, args)
        if k < 0:
            return _infix(f"1 / {_power(base, number(-k))}", MUL, args)
        return _infix(_power(base, number(k)), POW, args)
    if trees[1] in (("num", Fraction(1, 2)), ("num", 0.5)):
        return call("jnp.sqrt", base)
    if trees[1] in (("num", Fraction(-1, 2)), ("num", -0.5)):
        return _infix(f"1 / {call('jnp.sqrt', base).code}", MUL, args)
    whole = _half(trees[1])
    if whole and not base.python and sum(t[0] not in ("x", "num") for t in walk(trees[0])) <= TWICE:
        # A root and a product are several times faster than a power.
        root = call("jnp.sqrt", base)
        power = base if abs(whole) == 1 else _infix(_power(base, number(abs(whole))), POW, [base])
        product = _infix(f"{power.at(MUL)} * {root.code}", MUL, args)
        return product if whole > 0 else _infix(f"1 / {product.at(MUL + 1)}", MUL, args)
    return _infix(_power(base, exponent), POW, args)


def _square(trees: Sequence[Tree], args: list[Text], context: Context) -> Text:
    return _infix(_power(args[0], number(2)), POW, args)


def _mod(trees: Sequence[Tree], args: list[Text], context: Context) -> Text:
    a, b = args
    return _infix(f"{_dividend(trees, a)} % {b.at(MUL + 1)}", MATMUL, args)


def _floordiv(trees: Sequence[Tree], args: list[Text], context: Context) -> Text:
    a, b = args
    return _infix(f"{_dividend(trees, a)} // {b.at(MUL + 1)}", MATMUL, args)


def _dividend(trees: Sequence[Tree], text: Text) -> str:
    return f"jnp.asarray({text.code})" if text.python and _is_zero(trees[1]) else text.at(MUL)


def _not(trees: Sequence[Tree], args: list[Text], context: Context) -> Text:
    (a,) = args
    return call("jnp.logical_not", a) if a.python else _infix(f"~{a.at(NEG)}", NEG, args)


def _where(trees: Sequence[Tree], args: list[Text], context: Context) -> Text:
    args = [args[0], *_floats(trees[1:], args[1:], context)]
    branches = tuple(t[1] if t[0] == "num" else None for t in trees[1:])
    if context.dtype == "real" and branches == (1, 0) and not args[0].python:
        return Text(f"{args[0].atom}.astype({context.real})")
    result = replace(call("jnp.where", *args), weak=args[1].weak and args[2].weak)
    if result.weak and context.dtype == "real":
        # Two Python numbers would give JAX's default dtype, which need not be the program's.
        return Text(f"{result.code}.astype({context.real})")
    return result


def _real(trees: Sequence[Tree], args: list[Text], context: Context) -> Text:
    (a,) = args
    if trees[0][0] == "num":
        return number(int(trees[0][1]) if isinstance(trees[0][1], bool) else trees[0][1], real=True)
    if a.python:
        # A size or a scalar constant: arithmetic promotes it as needed, but a truth value is not a number.
        return a if a.prec > COMPARE else Text(f"jnp.asarray({a.code}, dtype={context.real})")
    return Text(f"{a.atom}.astype({context.real})")


def _whole(trees: Sequence[Tree], args: list[Text], context: Context) -> Text:
    (a,) = args
    if trees[0][0] == "num" and math.isfinite(trees[0][1]):
        return number(int(trees[0][1]))
    return Text(f"jnp.asarray({a.code}).astype(int)" if a.python else f"{a.atom}.astype(int)")


def _complex(trees: Sequence[Tree], args: list[Text], context: Context) -> Text:
    """`re + 1j * im`; a part that is zero is left out."""
    re, im = args
    if trees[1] in (("num", 0), ("num", 0.0)):
        return replace(re, weak=True)
    imaginary = _infix(f"1j * {im.at(MUL + 1)}", MUL, [im])
    if trees[0] in (("num", 0), ("num", 0.0)):
        return imaginary
    return _infix(f"{re.at(ADD)} + {imaginary.at(ADD + 1)}", ADD, [re, imaginary])


def _drawn(trees: Sequence[Tree], args: list[Text], context: Context) -> Text:
    # A draw is what it is; only its derivative knows of the shape.
    return _as_wide(args[1], args[0])


def _measured(trees: Sequence[Tree], args: list[Text], context: Context) -> Text:
    return _as_wide(args[1], args[2])


def _as_wide(x: Text, other: Text) -> Text:
    """x with the axes of another array, too, whose values do not matter."""
    return name(f"{call('jnp.broadcast_arrays', x, other).code}[0]")


def _measure(trees: Sequence[Tree], args: list[Text], context: Context) -> Text:
    p, held, c, _ = trees
    return _as_wide(_mul((("sub", p, held), c), [_sub((p, held), args[:2], context), args[2]], context), args[3])


def _hypot(trees: Sequence[Tree], args: list[Text], context: Context) -> Text:
    # JAX's derivatives of jnp.hypot are wrong to second order where both parts are equal; those of the modulus are right.
    return call("jnp.abs", _complex(trees, args, context))


_SPECIAL: dict[str, Callable[[Sequence[Tree], list[Text], Context], Text]] = {
    "add": _add,
    "sub": _sub,
    "neg": _neg,
    "mul": _mul,
    "div": _div,
    "pow": _pow,
    "square": _square,
    "mod": _mod,
    "floordiv": _floordiv,
    "not": _not,
    "where": _where,
    "real": _real,
    "integer": _whole,
    "complex": _complex,
    "hypot": _hypot,
    "gamma_draw": _drawn,
    "measure": _measure,
    "measured": _measured,
}

OPERATIONS: frozenset[str] = frozenset({*_SPECIAL, *COMPARISONS, *LOGIC, *FUNCTIONS})
