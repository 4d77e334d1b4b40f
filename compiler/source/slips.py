"""The slips people make when they write formulas in YAML: recognised, located, and answered with what to write."""

from __future__ import annotations

import re
from bisect import bisect_right

import yaml

from vspec.compiler.diagnostics.diagnostic import Diagnostic, SpecError
from vspec.compiler.diagnostics.spans import Span
from vspec.compiler.source.read import refuse
from vspec.compiler.source.scalars import Lines

PAIRS = {"(": ")", "[": "]", "{": "}"}
COMMENT = re.compile(r"[ \t]+#")
BLOCK_STYLE = "or write the entry in block style, on a line of its own"


def balanced(text: str) -> bool:
    """Whether round and square brackets match in number; enough to notice an expression that was cut."""
    return text.count("(") == text.count(")") and text.count("[") == text.count("]")


def place(lines: Lines, offset: int, path: str, width: int = 1) -> Span:
    """The span of `width` characters at an offset of the text."""
    line = bisect_right(lines.starts, offset) - 1
    column = offset - lines.starts[line] + 1
    return Span(path, line + 1, column, line + 1, column + width)


def expression_end(text: str, start: int) -> int:
    """Where the expression that starts at `start` ends: the first `,`, `:`, `}` or `]` outside of its own brackets."""
    closing: list[str] = []
    at = start
    while at < len(text) and at - start < 2000:
        char = text[at]
        if char in PAIRS:
            closing.append(PAIRS[char])
        elif closing and char == closing[-1]:
            closing.pop()
        elif not closing and (char in ",}]\n" or (char == ":" and text[at + 1 : at + 2] in ("", " ", "\n"))):
            break
        at += 1
    return at


def quoted(expression: str) -> str:
    """The expression in quotes, shortened for a message."""
    text = re.sub(r"\s+", " ", expression.strip()).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"' if len(text) <= 100 else f'"{text[:80]} ..."'


def cut_by_comment(lines: Lines, start: int, end: int, path: str) -> Diagnostic | None:
    """An open bracket before a comment: `doc: see (issue #5)` reads as `see (issue`."""
    found = COMMENT.match(lines.text, end)
    value = lines.text[start:end]
    if found is None or (value.count("(") <= value.count(")") and value.count("[") <= value.count("]")):
        return None
    return Diagnostic(
        "VS0116",
        "' #' starts a comment in the middle of an open bracket",
        place(lines, found.end() - 1, path),
        "the value ends before this",
        ("put the whole value between quotes, or close the bracket before the comment",),
    )


def explain(error: yaml.YAMLError, lines: Lines, path: str) -> SpecError:
    """What the parser refused, in our words and with what to write instead."""
    mark = getattr(error, "problem_mark", None)
    if mark is None:
        return refuse("VS0109", "the text is not YAML", Span(path, 1, 1, 1, 2))
    problem = str(getattr(error, "problem", "") or "")
    context = str(getattr(error, "context", "") or "")
    began = getattr(error, "context_mark", None)
    at = lines.offset(mark.line, mark.column)
    start = lines.offset(began.line, began.column) if began is not None else at
    finder = _Finder(lines, path, at, start)
    if "tab" in problem or (lines.text[at : at + 1] == "\t" and "cannot start" in problem):
        return finder.tab()
    if "cannot start any token" in problem:
        return finder.reserved(at)
    if "an alias" in context or "an anchor" in context:
        return finder.reserved(start)
    if "a tag" in context:
        return refuse("VS0110", "tags (words that start with '!') are not allowed in a spec", finder.here(start),
                      help="negation is written 'not'; otherwise remove the tag")  # fmt: skip
    if "unexpected ':'" in problem:
        return refuse("VS0115", "a colon without a blank after it", finder.here(), "no key and no value ends here",
                      "write 'key: value' with a blank after the colon, or put the value between quotes")  # fmt: skip
    if "quoted scalar" in context:
        return finder.quotes(problem)
    if "node content" in problem:
        return finder.nothing()
    if "flow" in context:
        return finder.flow()
    if "block scalar" in context:
        return finder.block_scalar()
    if "mapping values are not allowed" in problem:
        return finder.colon()
    if "could not find expected ':'" in problem:
        return finder.no_colon()
    if "simple key" in context or "block" in context:
        return finder.block()
    if "entries are not allowed" in problem:
        return refuse("VS0109", "a list cannot start on the line of its key", finder.here(),
                      "'-' followed by a blank starts a list", "start the list on the next line; a negative number has "
                      "no blank after its sign")  # fmt: skip
    if "keys are not allowed" in problem:
        return refuse("VS0109", "'?' followed by a blank starts a complex key, which a spec never has", finder.here(),
                      help="put the value between quotes if the '?' belongs to it")  # fmt: skip
    if "directive" in context or "document start" in problem:
        return refuse("VS0109", "a spec has no YAML directives (lines that start with '%')", finder.directive(),
                      help="remove the line")  # fmt: skip
    return refuse("VS0109", "this is not YAML", finder.here(), help="a value with unusual characters needs quotes")


class _Finder:
    """Looks around the place of a parser error for the slip behind it."""

    def __init__(self, lines: Lines, path: str, at: int, start: int) -> None:
        self.lines, self.text, self.path = lines, lines.text, path
        self.at, self.start = at, start

    def here(self, offset: int | None = None, width: int = 1) -> Span:
        """The span at an offset, by default where the parser stopped; the end of the file is its last character."""
        found = self.at if offset is None else offset
        if found >= len(self.text):
            found = max(len(self.text.rstrip()) - 1, 0)
        return place(self.lines, found, self.path, width)

    def line_start(self, offset: int) -> int:
        """The offset of the first character on the line of `offset`."""
        return self.text.rfind("\n", 0, offset) + 1

    def directive(self) -> Span:
        """The first line that starts with '%'."""
        found = re.search(r"^%.*", self.text, re.MULTILINE)
        return self.here(found.start(), len(found.group())) if found else self.here()

    def tab(self) -> SpecError:
        """A tab in the indentation."""
        begin = self.line_start(self.at)
        tab = self.text.find("\t", begin)
        return refuse("VS0107", "a tab stands where YAML wants spaces", self.here(tab if tab >= 0 else self.at),
                      "a tab", "indent with spaces, two per level")  # fmt: skip

    def reserved(self, at: int) -> SpecError:
        """A value that starts with @, `, %, or with * or & and no name after it."""
        return refuse("VS0117", f"a value cannot start with '{self.text[at]}'", self.here(at), "reserved by YAML",
                      "put the whole value between double quotes")  # fmt: skip

    def quotes(self, problem: str) -> SpecError:
        """A quote that is not closed, or a bad escape."""
        if "escape" in problem:
            at = self.text.rfind("\\", 0, self.at + 1)
            shown = self.text[at : at + 2]
            return refuse("VS0119", f"'{shown}' is not an escape that YAML knows", self.here(at, 2),
                          help="write '\\\\' for a backslash, or use single quotes")  # fmt: skip
        quote = "single" if self.text[self.start] == "'" else "double"
        tip = "add the closing quote" + ("; a quote inside is written twice" if quote == "single" else "")
        return refuse("VS0118", f"the {quote} quote is never closed", self.here(self.start), "opened here", tip)

    def nothing(self) -> SpecError:
        """A comma or a closing bracket where a value should stand."""
        char = self.text[self.at : self.at + 1]
        if not char:
            opened = max(self.text.rfind("{"), self.text.rfind("["))
            return refuse(
                "VS0121", "a bracket is still open at the end of the file", self.here(opened), "perhaps this one"
            )
        return refuse("VS0121", f"a value is expected before '{char}'", self.here(), "not expected here",
                      "remove it, or put the value between quotes if it belongs to it")  # fmt: skip

    def flow(self) -> SpecError:
        """Inside {...} or [...]: brackets that need quotes, a second colon, or a bracket that is not closed."""
        opening = self.text[self.start : self.start + 1]
        closing = PAIRS.get(opening, "}")
        char = self.text[self.at : self.at + 1]
        before = self.text[max(self.at - 1, 0)]
        if char in ("[", "{") and before not in "{[,: \n":
            return self.brackets(opening)
        begin = max(self.line_start(self.at), self.start)
        if char == ":" and begin > self.start and not re.search("[:,{]", self.text[begin : self.at]):
            # A new key after a value that went on from the line above: the bracket was meant to be closed there.
            return self.unclosed(opening)
        if char == ":":
            return refuse("VS0115", "a second colon in a value", self.here(), "not expected here",
                          "put the value between quotes, or put a comma before the next key")  # fmt: skip
        token = self.lines.text[self.line_start(self.at) : self.at].rstrip()
        if char not in ("", "]", "}") and token.endswith(("]", "}", '"', "'")):
            return self.trailing()
        if char in ("]", "}"):
            message = f"'{char}' cannot close the '{opening}' of line {self.here(self.start).line}"
            return refuse("VS0121", message, self.here(), f"expected '{closing}'")
        return self.unclosed(opening)

    def unclosed(self, opening: str) -> SpecError:
        """A bracket without its partner."""
        tip = f"add the closing '{PAIRS.get(opening, '}')}', or a comma between two entries"
        return refuse("VS0121", f"'{opening}' is never closed", self.here(self.start), "opened here", tip)

    def brackets(self, opening: str) -> SpecError:
        """`{P[i, j]: e}`, `{is: s[-1, p]}` or `{m: f(a=[x, y])}`."""
        left = self.piece()
        right = expression_end(self.text, left)
        expression = self.text[left:right].strip()
        is_key = self.text[right : right + 1] == ":"
        where = "{...}" if opening == "{" else "[...]"
        thing = "a name with indices" if is_key else "an expression with square brackets"
        tip = f"write {quoted(expression)} in quotes, {BLOCK_STYLE}"
        what = "list" if self.text[self.at] == "[" else "mapping"
        label = f"YAML takes this as the start of a {what}"
        return refuse("VS0113", f"{thing} needs quotes inside {where}", self.here(), label, tip)

    def piece(self) -> int:
        """Where the key or value that holds the place of the error starts, the commas of calls passed over."""
        left, depth, at = self.start + 1, 0, self.start + 1
        while at < self.at:
            char = self.text[at]
            if char in PAIRS:
                depth += 1
            elif char in ")]}":
                depth -= 1
            elif char in "\"'" and at == left:
                at = self.text.find(char, at + 1) % (len(self.text) + 1)
            elif not depth and ((char in ", \n" and at == left) or char == "," or self.text[at : at + 2] == ": "):
                left = at + 1
            at += 1
        return left

    def trailing(self) -> SpecError:
        """Text after a value that YAML took as finished: `[1, 2] + b`, `"x" + y`."""
        begin = self.line_start(self.at)
        end = self.text.find("\n", self.at) % (len(self.text) + 1)
        found = re.match(r"\s*(?:- )?(?:[^:]|:(?! ))*:\s+", self.text[begin:end])
        value = self.text[begin + found.end() : end] if found else self.text[begin:end]
        first = value.strip()[:1]
        what = {"[": "a list", "{": "a mapping", '"': "quoted text", "'": "quoted text"}.get(first, "the value")
        message = f"{what} has ended, but more text follows on the line"
        return refuse("VS0117", message, self.here(), "not expected here",
                      f"put the whole value between {'single' if chr(34) in value else 'double'} quotes")  # fmt: skip

    def block_scalar(self) -> SpecError:
        """A value that starts with | or > but is no block of text."""
        char = self.text[self.start]
        return refuse("VS0117", f"'{char}' at the start of a value begins a block of text on the lines below it",
                      self.here(self.start), "reserved by YAML",
                      "put the whole value between quotes; absolute values are written abs(...)")  # fmt: skip

    def colon(self) -> SpecError:
        """A colon where no key can stand: a second one on the line, or a line that is indented too far."""
        begin = self.line_start(self.at)
        head = self.text[begin : self.at]
        if re.search(r":\s", head):
            return refuse("VS0115", "a value contains ': ', which separates a key from its value", self.here(),
                          "a second colon on this line", "put the value between double quotes")  # fmt: skip
        key = begin + len(head) - len(head.lstrip())
        message = "this line is indented further than the one above, whose key already has a value"
        if not head[: key - begin]:
            message = "the line above is neither 'key: value' nor part of a value"
        return refuse("VS0108", message, self.here(key, max(self.at - key, 1)),
                      help="keys of one mapping stand in one column")  # fmt: skip

    def no_colon(self) -> SpecError:
        """A line that should be `key: value` and has no colon."""
        begin = self.start
        end = self.text.find("\n", begin) % (len(self.text) + 1)
        line = self.text[begin:end].rstrip()
        tip = "write 'key: value', with a blank after the colon"
        if ":" not in line:
            tip += "; a value that goes on over several lines is indented further than its key"
        return refuse("VS0109", "expected 'key: value'", self.here(begin, max(len(line), 1)), "no key here", tip)

    def block(self) -> SpecError:
        """In block style: text after a finished value, or a column that fits nothing."""
        begin = self.line_start(self.at)
        head = self.text[begin : self.at]
        if head.strip():
            return self.trailing()
        end = self.text.find("\n", self.at) % (len(self.text) + 1)
        line = self.text[self.at : end].rstrip()
        if self.text[self.start : self.start + 1] == "-" and not line.startswith("-"):
            return refuse("VS0108", "a key stands among the items of a list", self.here(None, max(len(line), 1)),
                          help="start the line with '- ', or indent it to belong to the item above")  # fmt: skip
        if line.startswith("- "):
            return refuse("VS0108", "a list item stands among the keys of a mapping", self.here(),
                          help="indent the list below the key it belongs to")  # fmt: skip
        if line[:1] in ("}", "]"):
            return refuse("VS0121", f"'{line[0]}' closes nothing", self.here(), help="remove it")
        span = self.here(None, max(len(line), 1))
        return refuse("VS0108", "this line starts in a column that fits no mapping above", span,
                      help="keys of one mapping stand in one column")  # fmt: skip
