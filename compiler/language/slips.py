"""What people write by mistake in an expression, found before Python's parser sees it or explained after it refused."""

from __future__ import annotations

import re
from dataclasses import dataclass

_ALLOWED = re.compile(r"[A-Za-z0-9_\s.,+\-*/%()<>=!\[\]:{}@~]")

_CHARACTERS: dict[str, tuple[str, str]] = {
    "^": ("'^' means exclusive or in Python and is not part of the language", "write ** for a power"),
    "&": ("'&' is not an operator of the language", "write 'and'"),
    "|": ("'|' is not an operator of the language", "write 'or'; an absolute value is abs(x)"),
    "!": ("'!' is not an operator of the language", "write 'not', or != for 'differs from'"),
    "?": ("'?' is not an operator of the language", "write: a if condition else b"),
    "$": ("'$' is not part of the language", ""),
    "#": ("'#' is not part of an expression", "write a comment outside the quotes, after a space"),
    ";": ("';' is not part of the language", "one expression per name"),
    "\\": ("'\\' is not part of the language", "an expression may simply run over several lines"),
    "`": ("'`' is not part of the language", ""),
    "×": ("'×' is not an operator of the language", "write *"),
    "·": ("'·' is not an operator of the language", "write *"),
    "−": ("this is the typographic minus sign", "write the hyphen -"),
    "–": ("this is a dash", "write the hyphen -"),
    "÷": ("'÷' is not an operator of the language", "write /"),
    "²": ("'²' is not part of the language", "write **2"),
    "³": ("'³' is not part of the language", "write **3"),
    "√": ("'√' is not part of the language", "write sqrt(x)"),
    "π": ("'π' is not a name of the language", "write pi"),
    "∞": ("'∞' is not a name of the language", "write inf"),
    "Σ": ("'Σ' is not a name of the language", "write sum[i](...)"),
    "∑": ("'∑' is not a name of the language", "write sum[i](...)"),
    "∂": ("'∂' is not an operator of the language", "write d(e, x[i])"),
    "≤": ("'≤' is not an operator of the language", "write <="),
    "≥": ("'≥' is not an operator of the language", "write >="),
    "≠": ("'≠' is not an operator of the language", "write !="),
}

_GREEK = (
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lam mu "
    "nu xi omicron pi rho sigma_ sigma tau upsilon phi chi psi omega"
)
_PAIRS = {")": "(", "]": "[", "}": "{"}
_CLOSING = {opening: closing for closing, opening in _PAIRS.items()}


@dataclass(frozen=True, slots=True)
class Slip:
    """A mistake in the text between two offsets."""

    code: str
    message: str
    start: int
    end: int
    label: str = ""
    help: str = ""


def check_characters(text: str, depth: int) -> Slip | None:
    """The first character that no expression has, or the first bracket without its partner, if any."""
    open_: list[tuple[str, int]] = []
    for at, char in enumerate(text):
        if char in "\"'":
            close = text.find(char, at + 1)
            end = close + 1 if close > 0 else at + 1
            return Slip(
                "VS0235", "a string is not part of the expression language", at, end, help="names stand without quotes"
            )
        if not char.isascii() or not _ALLOWED.match(char):
            if char == "!" and text[at + 1 : at + 2] == "=":
                continue
            return _character(text, at)
        if char in "([{":
            open_.append((char, at))
            if len(open_) > depth:
                return Slip(
                    "VS0721",
                    f"brackets are nested more than {depth} levels deep",
                    at,
                    at + 1,
                    help="give parts of the expression names under 'define'",
                )
        elif char in _PAIRS:
            if not open_:
                return Slip("VS0233", f"'{char}' closes nothing", at, at + 1, f"no '{_PAIRS[char]}' before it")
            opened, where = open_.pop()
            if opened != _PAIRS[char]:
                return Slip(
                    "VS0233",
                    f"'{opened}' is closed by '{char}'",
                    where,
                    at + 1,
                    help=f"close it with '{_CLOSING[opened]}' first",
                )
    if open_:
        opened, where = open_[-1]
        return Slip("VS0233", f"'{opened}' is never closed", where, where + 1, "opened here")
    return None


def _character(text: str, at: int) -> Slip:
    char = text[at]
    end = at + 2 if char in "&|" and text[at + 1 : at + 2] == char else at + 1
    if char in _CHARACTERS:
        message, help = _CHARACTERS[char]
        if end == at + 2:
            message = message.replace(f"'{char}'", f"'{char}{char}'")
        return Slip("VS0231", message, at, end, help=help)
    if "α" <= char <= "ω":
        name = _GREEK.split()[ord(char) - ord("α")]
        return Slip("VS0231", f"'{char}' cannot stand in a name", at, end, "names are ASCII", f"write {name}")
    shown = f"'{char}'" if char.isprintable() else f"the character U+{ord(char):04X}"
    return Slip("VS0231", f"{shown} is not part of the language", at, end, "names and operators are ASCII")


def explain_syntax_error(text: str, offset: int, reason: str) -> Slip:
    """Why Python could not read `text`; `offset` is where it gave up, `reason` what it said."""
    offset = min(max(offset, 0), max(len(text) - 1, 0))
    found = re.search(r"=[<>](?!=)", text)
    if found:
        word = {"=<": "<=", "=>": ">="}[found.group()]
        return Slip("VS0231", f"'{found.group()}' is not an operator", found.start(), found.end(), help=f"write {word}")
    found = re.search(r"(?<![=<>!:+\-*/])=(?!=)", text)
    if found:
        return Slip(
            "VS0232", "'=' is not an operator of an expression", found.start(), found.end(), help="to compare, write =="
        )
    found = re.search(r"[+\-*/]=", text)
    if found:
        return Slip("VS0232", f"'{found.group()}' is not an operator of an expression", found.start(), found.end())
    found = re.search(r"(?<![A-Za-z0-9_.])(\d+\.?\d*)\s*([A-Za-z_]\w*)", text)
    words = ("if", "else", "and", "or", "not", "in", "is", "e", "E", "j")
    based = found is not None and found.group(1) == "0" and found.group(2)[0] in "xXoObB"
    if found and not based and found.group(2) not in words and not re.fullmatch(r"[eE]\d*|[jJ]", found.group(2)):
        return Slip(
            "VS0234",
            "a product needs its sign",
            found.start(),
            found.end(),
            "two factors without a sign between them",
            f"write {found.group(1)}*{found.group(2)}",
        )
    found = re.search(r"[)\]]\s*(?=[A-Za-z0-9_(])(?!\s*(?:if|else|and|or|not|in|is)\b)", text)
    if found:
        return Slip(
            "VS0234",
            "a product needs its sign",
            found.start(),
            found.end() + 1,
            "no sign after this bracket",
            "write *",
        )
    found = re.search(r"([A-Za-z_]\w*|\d)\s+(?!(?:if|else|and|or|not|in|is)\b)([A-Za-z_0-9]\w*)", text)
    if found and found.group(1) not in ("if", "else", "and", "or", "not", "in", "is", "lambda"):
        return Slip(
            "VS0234",
            "two values stand side by side",
            found.start(),
            found.end(),
            "no sign between them",
            "to multiply, write *",
        )
    stripped = text.rstrip()
    if stripped and stripped[-1] in "+-*/%<>=!,":
        return Slip("VS0230", "the expression ends in the middle", len(stripped) - 1, len(stripped), "nothing follows")
    if re.search(r"\bif\b", text) and not re.search(r"\belse\b", text):
        at = re.search(r"\bif\b", text)
        assert at is not None
        return Slip("VS0230", "'if' needs an 'else'", at.start(), at.end(), help="write: a if condition else b")
    return Slip("VS0230", "the expression cannot be read", offset, offset + 1, "it stops making sense here")
