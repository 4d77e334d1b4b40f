"""Presentation MathML (the core that browsers draw)."""

from __future__ import annotations

from collections.abc import Sequence
from xml.sax.saxutils import escape

from vspec.compiler.report.notation import FENCES, GREEK, SIGNS, Notation


def row(*parts: str) -> str:
    """The parts beside each other, as one piece."""
    return f"<mrow>{''.join(parts)}</mrow>"


def sign(text: str) -> str:
    """An operator."""
    return f"<mo>{escape(text)}</mo>"


def listed(parts: Sequence[str]) -> str:
    """The parts with commas between them, as one piece."""
    return parts[0] if len(parts) == 1 else row(sign(",").join(parts))


class MathML(Notation):
    """`<mrow><mi>x</mi><mo>+</mo><mn>1</mn></mrow>`; `math` wraps it for a page."""

    stacked = True

    def number(self, text: str) -> str:
        return f"<mi>{text}</mi>" if text in ("∞", "π") else f"<mn>{escape(text)}</mn>"

    def name(self, name: str, greek: bool) -> str:
        return f"<mi>{escape(GREEK.get(name, name) if greek else name)}</mi>"

    def letter(self, text: str) -> str:
        return f"<mi>{escape(text)}</mi>"

    def word(self, text: str) -> str:
        return f"<mi>{escape(text)}</mi>"

    def sub(self, base: str, subscripts: Sequence[str]) -> str:
        return f"<msub>{base}{listed(subscripts)}</msub>"

    def power(self, base: str, exponent: str) -> str:
        return f"<msup>{base}{exponent}</msup>"

    def conjugate(self, x: str) -> str:
        return f"<msup>{x}{sign('*')}</msup>"

    def fraction(self, top: str, bottom: str) -> str:
        return f"<mfrac>{top}{bottom}</mfrac>"

    def root(self, x: str) -> str:
        return f"<msqrt>{x}</msqrt>"

    def infix(self, op: str, left: str, right: str) -> str:
        return row(left, sign(SIGNS[op][0]), right)

    def prefix(self, op: str, x: str) -> str:
        return row(sign(SIGNS[op][0]), x)

    def fence(self, kind: str, x: str) -> str:
        left, right = FENCES[kind]
        return row(sign(left), x, sign(right))

    def call(self, function: str, arguments: Sequence[str]) -> str:
        return row(function, sign("("), sign(",").join(arguments), sign(")"))

    def big(self, op: str, letters: Sequence[str], upper: str, body: str) -> str:
        head = sign(SIGNS[op][0])
        if upper:
            lower = row(letters[0], sign("="), "<mn>0</mn>")
            return row(f"<munderover>{head}{lower}{upper}</munderover>", body)
        return row(f"<munder>{head}{listed(letters)}</munder>", body)

    def bound(self, word: str, letters: Sequence[str]) -> str:
        return f"<munder>{word}{listed(letters)}</munder>"

    def cases(self, rows: Sequence[tuple[str, str]], otherwise: str) -> str:
        lines = [(value, f"<mtext>if\u00a0</mtext>{when}") for value, when in rows]
        lines.append((otherwise, "<mtext>otherwise</mtext>"))
        cells = "".join(f"<mtr><mtd>{value}</mtd><mtd>{when}</mtd></mtr>" for value, when in lines)
        return row(sign("{"), f"<mtable>{cells}</mtable>")

    def partial(self, body: str, variables: Sequence[tuple[str, int]], apart: bool) -> str:
        order = sum(n for _, n in variables)
        head = sign("∂") if order == 1 else f"<msup>{sign('∂')}<mn>{order}</mn></msup>"
        below = row(*(sign("∂") + (v if n == 1 else f"<msup>{v}<mn>{n}</mn></msup>") for v, n in variables))
        if apart:
            return row(f"<mfrac>{head}{below}</mfrac>", body)
        return f"<mfrac>{row(head, body)}{below}</mfrac>"

    def equation(self, left: str, right: str) -> str:
        return row(left, sign("="), right)
