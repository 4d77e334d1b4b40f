"""Mathematics from checked expressions: every kind, in three notations, with as few parentheses as will do."""

from __future__ import annotations

import operator
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.report.expressions import SPAN, d, n, p, r, v
from vspec.compiler.language.expr import (
    Affine,
    Along,
    At,
    Block,
    Coord,
    Delta,
    Element,
    Expr,
    Gather,
    IndexValue,
    Linalg,
    Number,
    Part,
    Pointwise,
    SizeOf,
    Spacing,
    Stop,
)
from vspec.compiler.language.operators import ALONG, LINALG, POINTWISE, REDUCTIONS
from vspec.compiler.language.spec import Dim
from vspec.compiler.report.math import Printer, latex, mathml, unicode
from vspec.compiler.report.notation import Unicode

a, b, c, x = v("a"), v("b"), v("c"), v("x", "i")
K, y = v("K", "_1", "_2"), v("y", "_2")
SOLVE = Linalg(
    span=SPAN, axes=("n",), op="solve", blocks=(Block(K, ("_1", "_2")), Block(y, ("_2",))), subscripts=(Affine("n"),)
)


PARENTHESES = [
    (p("add", a, p("mul", b, c)), "a + b·c"),
    (p("mul", p("add", a, b), c), "(a + b)·c"),
    (p("sub", a, p("sub", b, c)), "a − (b − c)"),
    (p("sub", p("sub", a, b), c), "a − b − c"),
    (p("add", a, p("add", b, c)), "a + b + c"),
    (p("sub", a, p("add", b, c)), "a − (b + c)"),
    (p("div", a, p("mul", b, c)), "a/(b·c)"),
    (p("div", p("mul", a, b), c), "a·b/c"),
    (p("div", p("add", a, b), p("pow", c, 2)), "(a + b)/c²"),
    (p("neg", p("add", a, b)), "−(a + b)"),
    (p("neg", p("mul", a, b)), "−a·b"),
    (p("mul", p("neg", a), b), "−a·b"),
    (p("mul", a, p("neg", b)), "a·(−b)"),
    (p("add", a, p("neg", b)), "a + (−b)"),
    (p("neg", p("neg", a)), "−(−a)"),
    (p("conj", a), "a*"),
    (p("mul", p("conj", p("add", a, b)), a), "(a + b)*·a"),
    (p("pow", p("conj", a), 2), "(a*)²"),
    (p("re", p("mul", n(1j), a)), "Re(i·a)"),
    (p("add", a, p("mul", n(-0.5j), b)), "a + (−0.5·i·b)"),
    (p("exp", n(-1j)), "exp(−i)"),
    (p("im", p("arg", a)), "Im(arg(a))"),
    (p("pow", p("neg", a), 2), "(−a)²"),
    (p("neg", p("pow", a, 2)), "−a²"),
    (p("pow", p("pow", a, 2), 3), "(a²)³"),
    (p("pow", a, p("add", b, 1)), "a^(b + 1)"),
    (p("pow", a, -2), "a⁻²"),
    (p("mul", r("sum", "i", x), c), "(∑ᵢ xᵢ)·c"),
    (p("mul", c, r("sum", "i", x)), "c·∑ᵢ xᵢ"),
    (p("add", r("sum", "i", x), c), "∑ᵢ xᵢ + c"),
    (r("sum", "i", p("add", x, c)), "∑ᵢ (xᵢ + c)"),
    (r("sum", "i", p("mul", c, x)), "∑ᵢ c·xᵢ"),
    (r("sum", "i", p("neg", x)), "∑ᵢ (−xᵢ)"),
    (p("neg", r("sum", "i", x)), "−∑ᵢ xᵢ"),
    (p("mul", p("neg", r("sum", "i", x)), c), "(−∑ᵢ xᵢ)·c"),
    (p("div", r("sum", "i", x), c), "(∑ᵢ xᵢ)/c"),
    (p("pow", r("sum", "i", x), 2), "(∑ᵢ xᵢ)²"),
    (p("mul", p("mul", a, r("sum", "i", x)), b), "(a·∑ᵢ xᵢ)·b"),
    (p("lt", p("add", a, b), c), "a + b < c"),
    (p("and", p("lt", a, b), p("or", p("gt", a, c), p("eq", b, c))), "a < b ∧ (a > c ∨ b = c)"),
    (p("not", p("lt", a, b)), "¬(a < b)"),
    (p("sqrt", p("add", a, b)), "√(a + b)"),
    (p("sqrt", a), "√a"),
    (p("mul", n(2), n(-1.5)), "2·(−1.5)"),
    (p("where", p("gt", a, 0), 1, p("where", p("lt", a, 0), -1, 0)), "{1 if a > 0; −1 if a < 0; 0 otherwise}"),
    (p("real", p("gt", a, 0)), "[a > 0]"),
    (p("mul", d(p("mul", a, b), a), c), "(∂/∂a (a·b))·c"),
]


@pytest.mark.parametrize(("e", "text"), PARENTHESES, ids=[text for _, text in PARENTHESES])
def test_minimal_parentheses(e: Expr, text: str) -> None:
    assert unicode(e) == text


KINDS = [
    (n(1e-8), "10⁻⁸", "10^{-8}"),
    (n(2.5e-9), "2.5·10⁻⁹", r"2.5 \cdot 10^{-9}"),
    (n(3.141592653589793), "π", r"\pi"),
    (n(float("inf")), "∞", r"\infty"),
    (n(16.0), "16", "16"),
    (v("lam"), "λ", r"\lambda"),
    (v("margin", "n"), "marginₙ", r"\mathrm{margin}_{n}"),
    (v("s", Affine("t", 1, 1), "p", "i"), "sₜ₊₁,ₚ,ᵢ", "s_{t + 1, p, i}"),
    (v("u", Affine("i", 2, -1)), "u₂ᵢ₋₁", "u_{2i - 1}"),
    (v("s", At(-1), "i"), "s₋₁,ᵢ", "s_{-1, i}"),
    (v("T", Gather(v("z", "n")), "i"), "T[zₙ, i]", "T_{z_{n}, i}"),
    (v("X", "q", "i"), "X[q, i]", "X_{q, i}"),
    (p("div", p("add", a, b), c), "(a + b)/c", r"\frac{a + b}{c}"),
    (p("abs", a), "|a|", r"\left|a\right|"),
    (p("maximum", a, b), "max(a, b)", r"\max\left(a, b\right)"),
    (p("sigmoid", p("neg", a)), "sigmoid(−a)", r"\operatorname{sigmoid}\left(-a\right)"),
    (p("ndtr", a), "Φ(a)", r"\Phi\left(a\right)"),
    (p("log_ndtr", a), "log(Φ(a))", r"\log\left(\Phi\left(a\right)\right)"),
    (p("betaln", a, b), "log(B(a, b))", r"\log\left(B\left(a, b\right)\right)"),
    (p("gammainc", a, x), "P(a, xᵢ)", r"P\left(a, x_{i}\right)"),
    (p("gammaincc", a, x), "Q(a, xᵢ)", r"Q\left(a, x_{i}\right)"),
    (p("erfinv", a), "erf⁻¹(a)", r"\operatorname{erf}^{-1}\left(a\right)"),
    (p("i0e", a), "e^(−|a|)·I₀(a)", r"e^{-\left|a\right|} \, I_{0}\left(a\right)"),
    (p("asinh", a), "arsinh(a)", r"\operatorname{arsinh}\left(a\right)"),
    (p("integer", a), "trunc(a)", r"\operatorname{trunc}\left(a\right)"),
    (p("integer", p("gt", a, 0)), "[a > 0]", r"\left[a > 0\right]"),
    (r("max", "i", x), "maxᵢ(xᵢ)", r"\max_{i}\left(x_{i}\right)"),
    (
        r("mean", "i", p("real", p("gt", x, 0))),
        "meanᵢ([xᵢ > 0])",
        r"\operatorname*{mean}_{i}\left(\left[x_{i} > 0\right]\right)",
    ),
    (r("all", "i", p("gt", x, 0)), "∀ᵢ (xᵢ > 0)", r"\forall_{i} \left(x_{i} > 0\right)"),
    (r("norm", "i", x), "‖xᵢ‖ᵢ", r"\left\|x_{i}\right\|_{i}"),
    (
        Along(span=SPAN, axes=("i",), op="softmax", letter="i", body=x),
        "softmaxᵢ(xᵢ)",
        r"\operatorname*{softmax}_{i}\left(x_{i}\right)",
    ),
    (d(v("loss"), v("w", "i")), "∂loss/∂wᵢ", r"\frac{\partial \mathrm{loss}}{\partial w_{i}}"),
    (
        d(v("loss"), v("w", "i"), v("w", "j")),
        "∂²loss/(∂wᵢ∂wⱼ)",
        r"\frac{\partial^{2} \mathrm{loss}}{\partial w_{i} \, \partial w_{j}}",
    ),
    (d(v("u"), v("x", "i"), v("x", "i")), "∂²u/∂xᵢ²", r"\frac{\partial^{2} u}{\partial x_{i}^{2}}"),
    (SOLVE, "(K⁻¹ y)ₙ", r"\left(K^{-1} \, y\right)_{n}"),
    (
        Delta(span=SPAN, left=IndexValue(span=SPAN, letter="i"), right=IndexValue(span=SPAN, letter="j")),
        "δᵢⱼ",
        r"\delta_{i, j}",
    ),
    (IndexValue(span=SPAN, letter="i"), "i", "i"),
    (SizeOf(span=SPAN, letter="n"), "size(n)", r"\operatorname{size}\left(n\right)"),
    (v("u", Affine("i", -1, 9)), "u₉₋ᵢ", "u_{9 - i}"),
    (v("u", Affine("i", -2)), "u₋₂ᵢ", "u_{-2i}"),
    (v("u", Affine("i", -1, -1, (("i", 1),))), "u[size(i) − i − 1]", r"u_{\operatorname{size}\left(i\right) - i - 1}"),
    (v("u", Affine("i", 1, 1, (), "periodic")), "uᵢ₊₁", "u_{i + 1}"),
    (Spacing(span=SPAN, letter="i"), "spacing(i)", r"\operatorname{spacing}\left(i\right)"),
    (
        Part(span=SPAN, letter="n", place=Affine("i", 1, 1)),
        "part(n, i + 1)",
        r"\operatorname{part}\left(n, i + 1\right)",
    ),
    (Coord(span=SPAN, letter="i"), "coord(i)", r"\operatorname{coord}\left(i\right)"),
    (Stop(span=SPAN, body=a), "stop(a)", r"\operatorname{stop}\left(a\right)"),
]


@pytest.mark.parametrize(("e", "text", "tex"), KINDS, ids=[text for _, text, _ in KINDS])
def test_every_kind(e: Expr, text: str, tex: str) -> None:
    assert unicode(e) == text
    assert latex(e) == tex
    assert ET.fromstring(mathml(e)).tag.endswith("math")


def every_operation() -> list[Expr]:
    """One expression per entry of the language's tables."""
    one = [
        p(op.name, *([p("gt", a, b)] if op.name in ("and", "or", "not") else [a]) * op.least)
        for op in POINTWISE.values()
    ]
    matrices = [
        Linalg(
            span=SPAN,
            op=op.name,
            blocks=tuple(
                Block(v(f"M{k}", *("_1", "_2")[: len(core)]), ("_1", "_2")[: len(core)])
                for k, core in enumerate(op.operands)
            ),
            subscripts=tuple(Affine(x) for x in ("i", "j")[: len(op.result)]),
        )
        for op in LINALG.values()
    ]
    along = [Along(span=SPAN, axes=("i",), op=op, letter="i", body=x) for op in ALONG]
    return [*one, *matrices, *along, *(r(op, "i", x) for op in REDUCTIONS)]


def test_every_operation_of_the_tables_prints_in_every_notation() -> None:
    for e in every_operation():
        assert unicode(e)
        tex = latex(e)
        assert tex.count("{") == tex.count("}")
        assert tex.count(r"\left") == tex.count(r"\right")
        ET.fromstring(mathml(e))


def test_matrices_that_are_not_one_name() -> None:
    transposed = Block(v("A", "_2", "_1"), ("_1", "_2"))
    batched = Block(v("A", "b", "_1", "_2"), ("_1", "_2"))
    formula = Block(p("add", v("A", "_1", "_2"), v("B", "_1", "_2")), ("_1", "_2"))
    shown = Printer(Unicode(), letters={"n": "n", "m": "n", "_1": "n", "_2": "n"})
    text = [shown.expression(Linalg(span=SPAN, op="logdet", blocks=(x,))) for x in (transposed, batched, formula)]
    assert text == ["log(|det(Aᵀ)|)", "log(|det(A[b, :, :])|)", "log(|det([Aₙₘ + Bₙₘ]ₙₘ)|)"]


def test_letters_that_the_compiler_made_take_one_of_their_dim() -> None:
    shown = Printer(Unicode(), letters={"i": "i", "_1": "i", "_2": "i"})
    body = p("mul", v("w", "i"), r("sum", ("_1",), v("w", "_1")))  # type: ignore[arg-type]
    assert shown.expression(body) == "wᵢ·∑ᵢ′ wᵢ′"


def test_names_that_would_look_alike_stay_as_they_are() -> None:
    both = Printer(Unicode(), names=["eps", "epsilon", "lam"])
    assert both.expression(p("add", p("add", v("eps"), v("epsilon")), v("lam"))) == "eps + epsilon + λ"


def test_bounds_of_sums() -> None:
    dims = {"i": Dim("i", ("i",), 10, SPAN), "n": Dim("n", ("n",), None, SPAN)}
    shown = Printer(Unicode(), letters={"i": "i", "n": "n"}, dims=dims, bounds=True)
    assert shown.expression(r("sum", "ni", v("X", "n", "i"))) == "∑ₙ ∑ᵢ₌₀⁹ Xₙᵢ"


NAMED = {"a": Fraction(7, 10), "b": Fraction(-13, 10), "c": Fraction(21, 10)}
PYTHON = str.maketrans({"·": "*", "−": "-", "²": "**2", "³": "**3"})


def arithmetic() -> st.SearchStrategy[Expr]:
    """Trees of arithmetic, comparisons and conditions over three names and a few numbers."""
    leaves: st.SearchStrategy[Expr] = st.sampled_from([v(x) for x in NAMED]) | st.sampled_from([n(2), n(-3), n(0.5)])
    return st.recursive(
        leaves,
        lambda x: st.one_of(
            st.builds(p, st.sampled_from(["add", "sub", "mul", "div"]), x, x),
            st.builds(lambda e: p("neg", e), x),
            st.builds(lambda e, k: p("pow", e, k), x, st.sampled_from([2, 3])),
        ),
        max_leaves=12,
    )


def value(e: Expr) -> Fraction:
    """The exact value of such a tree, by its structure."""
    if isinstance(e, Number):
        return Fraction(e.value)
    if isinstance(e, Element):
        return NAMED[e.name]
    assert isinstance(e, Pointwise)
    args = [value(x) for x in e.args]
    operations: dict[str, Callable[[Fraction, Fraction], Fraction]] = {
        "add": operator.add,
        "sub": operator.sub,
        "mul": operator.mul,
        "div": operator.truediv,
        "pow": operator.pow,
    }
    return -args[0] if e.op == "neg" else operations[e.op](*args)


@given(arithmetic())
def test_what_is_read_is_what_was_meant(e: Expr) -> None:
    try:
        meant = value(e)
    except ZeroDivisionError:
        return
    # Numbers become exact fractions, exponents stay whole.
    text = re.sub(r"(?<![.\d])(\d+(?:\.\d+)?)", r'Fraction("\1")', unicode(e).translate(PYTHON).replace("**", "^"))
    text = re.sub(r'\^Fraction\("(\d)"\)', r"**\1", text)
    assert eval(text, {"__builtins__": {}, "Fraction": Fraction}, dict(NAMED)) == meant
