"""LaTeX: what stands between dollar signs, with the commands of amsmath."""

from __future__ import annotations

from collections.abc import Sequence

from vspec.compiler.report.notation import GREEK, SIGNS, Notation

_FENCES = {
    "round": ("(", ")"),
    "square": ("[", "]"),
    "abs": ("|", "|"),
    "floor": (r"\lfloor", r"\rfloor"),
    "ceil": (r"\lceil", r"\rceil"),
    "norm": (r"\|", r"\|"),
}

# Functions that LaTeX has a command for.
_COMMANDS = frozenset({"exp", "log", "sin", "cos", "tan", "sinh", "cosh", "tanh", "det", "max", "min", "arg"})

# Greek letters that the visitor writes itself.
_LETTERS = {"δ": r"\delta", "Γ": r"\Gamma", "ψ": r"\psi", "Φ": r"\Phi"}


class Latex(Notation):
    """`\\sum_{n} \\log\\left(1 + \\exp\\left(-m_{n}\\right)\\right)`."""

    stacked = True

    def number(self, text: str) -> str:
        return {"∞": r"\infty", "π": r"\pi"}.get(text, text.replace("−", "-"))

    def name(self, name: str, greek: bool) -> str:
        if greek and name in GREEK:
            return "\\" + {"lam": "lambda", "eps": "epsilon"}.get(name, name)
        if len(name) == 1:
            return _LETTERS.get(name, name)
        escaped = name.replace("_", r"\_")
        return rf"\mathrm{{{escaped}}}"

    def letter(self, text: str) -> str:
        plain = text.rstrip("′")
        shown = plain if len(plain) == 1 else rf"\mathrm{{{plain}}}".replace("_", r"\_")
        return shown + "'" * (len(text) - len(plain))

    def word(self, text: str) -> str:
        if text in _LETTERS:
            return _LETTERS[text]
        if text in _COMMANDS:
            return "\\" + text
        escaped = text.replace("_", r"\_")
        return rf"\operatorname{{{escaped}}}"

    def sub(self, base: str, subscripts: Sequence[str]) -> str:
        return f"{base}_{{{', '.join(subscripts)}}}"

    def power(self, base: str, exponent: str) -> str:
        return f"{base}^{{{exponent}}}"

    def conjugate(self, x: str) -> str:
        return f"{x}^{{*}}"

    def fraction(self, top: str, bottom: str) -> str:
        return rf"\frac{{{top}}}{{{bottom}}}"

    def root(self, x: str) -> str:
        return rf"\sqrt{{{x}}}"

    def infix(self, op: str, left: str, right: str) -> str:
        if op == "mul":
            # Between a number and what follows a space will do; two numbers need the dot.
            return f"{left} \\cdot {right}" if right[0].isdigit() else f"{left} \\, {right}"
        return f"{left} {SIGNS[op][1]} {right}"

    def prefix(self, op: str, x: str) -> str:
        sign = SIGNS[op][1]
        return f"{sign} {x}" if sign.startswith("\\") else sign + x

    def fence(self, kind: str, x: str) -> str:
        left, right = _FENCES[kind]
        gap = " " if left[-1].isalpha() else ""
        return rf"\left{left}{gap}{x}\right{right}"

    def call(self, function: str, arguments: Sequence[str]) -> str:
        return rf"{function}\left({', '.join(arguments)}\right)"

    def big(self, op: str, letters: Sequence[str], upper: str, body: str) -> str:
        sign = SIGNS[op][1]
        if upper:
            return f"{sign}_{{{letters[0]}=0}}^{{{upper}}} {body}"
        return f"{sign}_{{{', '.join(letters)}}} {body}"

    def bound(self, word: str, letters: Sequence[str]) -> str:
        head = word if word in (r"\max", r"\min") else word.replace(r"\operatorname{", r"\operatorname*{")
        return f"{head}_{{{', '.join(letters)}}}"

    def cases(self, rows: Sequence[tuple[str, str]], otherwise: str) -> str:
        lines = [*(rf"{value} & \text{{if }} {when}" for value, when in rows), rf"{otherwise} & \text{{otherwise}}"]
        return r"\begin{cases} " + r" \\ ".join(lines) + r" \end{cases}"

    def partial(self, body: str, variables: Sequence[tuple[str, int]], apart: bool) -> str:
        order = sum(n for _, n in variables)
        sign = r"\partial" if order == 1 else rf"\partial^{{{order}}}"
        below = r" \, ".join(rf"\partial {v}" if n == 1 else rf"\partial {v}^{{{n}}}" for v, n in variables)
        if apart:
            return rf"\frac{{{sign}}}{{{below}}} {body}"
        return rf"\frac{{{sign} {body}}}{{{below}}}"

    def equation(self, left: str, right: str) -> str:
        return f"{left} = {right}"
