"""Text → raw trees: precedence, places, limits, and that nothing but formulas passes."""

from __future__ import annotations

import sys

import pytest

from vspec.compiler.diagnostics.diagnostic import Sink
from vspec.compiler.diagnostics.spans import Span
from vspec.compiler.language.parse import MAX_DEPTH, parse_expression
from vspec.compiler.language.raw import Raw, RawCall, RawElement, RawName, RawNumber, RawOp, RawSlice, walk
from vspec.compiler.source.document import Scalar


def scalar(text: str) -> Scalar:
    lines = [(1 + text[:k].count("\n"), k - (text.rfind("\n", 0, k) + 1) + 1) for k in range(len(text) + 1)]
    return Scalar(text, text, Span("f", 1, 1, 1, max(len(text), 1) + 1), tuple(lines))


def parsed(text: str) -> Raw:
    sink = Sink()
    raw = parse_expression(scalar(text), sink)
    assert raw is not None, sink.diagnostics
    return raw


def refused(text: str) -> str:
    sink = Sink()
    assert parse_expression(scalar(text), sink) is None
    (diagnostic,) = sink.diagnostics
    return diagnostic.code


def brief(raw: Raw) -> str:
    if isinstance(raw, RawNumber):
        return repr(raw.value)
    if isinstance(raw, RawName):
        return raw.name
    if isinstance(raw, RawSlice):
        return ":"
    if isinstance(raw, RawOp):
        return f"({raw.op} {' '.join(brief(a) for a in raw.args)})"
    if isinstance(raw, RawElement):
        return f"{raw.name}[{','.join(brief(s) for s in raw.subscripts)}]"
    assert isinstance(raw, RawCall)
    bound = f"[{','.join(brief(b) for b in raw.bound)}]" if raw.bound is not None else ""
    after = f"[{','.join(brief(s) for s in raw.subscripts)}]" if raw.subscripts is not None else ""
    return f"{raw.name}{bound}({','.join(brief(a) for a in raw.args)}){after}"


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("a + b*c", "(add a (mul b c))"),
        ("-a**2", "(neg (pow a 2))"),
        ("-2", "-2"),
        ("a**-1", "(pow a -1)"),
        ("a // b % c", "(mod (floordiv a b) c)"),
        ("a if b > 0 else c", "(where (gt b 0) a c)"),
        ("a < b < c", "(and (lt a b) (lt b c))"),
        ("a and b or not c", "(or (and a b) (not c))"),
        ("sum[i, j](W[i, j]*x[j + 1])", "sum[i,j]((mul W[i,j] x[(add j 1)]))"),
        ("solve(A[b, :, :], r[b, :])[i]", "solve(A[b,:,:],r[b,:])[i]"),
        ("T[z[n], -1]", "T[z[n],-1]"),
        ("true", "True"),
        ("1_000 + .5e-3", "(add 1000 0.0005)"),
        ("a +\n  b", "(add a b)"),
    ],
)
def test_trees(text: str, tree: str) -> None:
    assert brief(parsed(text)) == tree


def test_places_over_several_lines() -> None:
    raw = parsed("alpha +\n  beta*gamma")
    names = {n.name: n.span for n in walk(raw) if isinstance(n, RawName)}
    assert names["alpha"] == Span("f", 1, 1, 1, 6)
    assert names["gamma"] == Span("f", 2, 8, 2, 13)
    assert raw.span == Span("f", 1, 1, 2, 13)


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('x')",
        "(lambda: 1)()",
        "[1, 2]",
        "{1: 2}",
        "{1, 2}",
        "[x for x in y]",
        "f'{x}'",
        "(x := 1)",
        "await x",
        "(yield)",
        "*x",
        "f(*x)",
        "None",
        "...",
        "x is y",
        "x in y",
        "~x",
        "x @ y",
        "x << 2",
        "x[1:2]",
        "x[i][j]",
        "(x + 1)[i]",
        "a, b",
        "",
        "   ",
        "a b",
        "a; b",
        "a = b",
        "\x00",
        "a\u202eb",
    ],
)
def test_no_python_but_formulas(text: str) -> None:
    assert refused(text).startswith("VS02")


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("(" * 1000 + "1" + ")" * 1000, "VS0721"),
        ("-" * 5000 + "1", "VS0721"),
        ("not " * 3000 + "x", "VS0721"),
        ("+".join(["x"] * 3000), "VS0721"),
        ("x" * 30_000, "VS0720"),
        ("9**9**9", "VS0722"),
        ("x**(9**9)", "VS0722"),
        ("10**400", "VS0722"),
        ("1" * 5000, "VS0723"),
        ("1e999", "VS0723"),
    ],
)
def test_limits(text: str, code: str) -> None:
    assert refused(text) == code


def test_depth_within_the_limit_passes() -> None:
    assert sys.getrecursionlimit() <= 3000
    parsed("+".join(["x"] * (MAX_DEPTH - 1)))
    parsed("(" * (MAX_DEPTH - 1) + "1" + ")" * (MAX_DEPTH - 1))
