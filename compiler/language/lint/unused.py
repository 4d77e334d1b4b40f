"""VS0901: what is declared and never read. Works on the names that the texts of the document mention."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from vspec.compiler.diagnostics.spans import Span
from vspec.compiler.language.architectures import ARCHITECTURES
from vspec.compiler.language.graph import components
from vspec.compiler.language.lint.report import Report
from vspec.compiler.source.document import Mapping, Scalar, Sequence, Value

# An identifier that is not the keyword of an argument, as in adam(lr=0.1).
_WORD = re.compile(r"(?<![\w.])[A-Za-z_]\w*(?!\w)(?!\s*=(?!=))")
_NAME = re.compile(r"\s*([A-Za-z]\w*)")
_DECLARING = {
    "constants": "constant",
    "data": "data entry",
    "params": "param",
    "functions": "function",
    "random": "random variable",
    "define": "definition",
    "objectives": "objective",
}
_HEADS = frozenset({"vspec", "name", "doc", "precision", "imports", "dims", "runs"})
_PURPOSE = ("solve", "objectives", "outputs")
# Options whose texts are no formulas.
_WORDS = frozenset({"doc", "source", "column", "type", "draw", "reported", "plot", "by", "require"})
_ROOT = ""
_TIPS = {
    "definition": "remove it, or report it under 'outputs'",
    "param": "remove it, or use it in an objective",
    "data entry": "remove it, or use it in a formula",
}


@dataclass(slots=True)
class _Entry:
    """A declared name: what it is, where, the names that its texts mention, the letters on its left."""

    kind: str
    span: Span
    reads: set[str] = field(default_factory=set)
    letters: set[str] = field(default_factory=set)


def unused(root: Mapping, report: Report) -> set[str]:
    """Warn of each name that nothing reads, and of none that only such a name reads. Gives all names without a use.

    Objectives, outputs, claims and stages are what a spec is for; so is every section that is not known here. A spec
    without any of them is read by other specs, and all of its names may be of use there.
    """
    if not any(root.get(section) is not None for section in _PURPOSE):
        return set()
    _local(root.get("solve"), report)
    entries, roots = _declared(root, report)
    live = _reached(entries, roots)
    live |= _sizing(entries, live, root)
    live = _reached(entries, live)
    idle = [name for name in entries if name not in live]
    readers: dict[str, list[str]] = {name: [] for name in idle}
    for name in idle:
        for other in sorted(entries[name].reads & readers.keys()):
            readers[other].append(name)
    for group in components(idle, lambda name: readers[name]):
        # What reads one another is one group, and it is said once, where the chain of readers begins.
        if all(reader in group for name in group for reader in readers[name]):
            _warn(report, entries, group[0], live)
    return set(idle)


def _local(stages: Value | None, report: Report) -> None:
    """Definitions of a stage that neither it nor the stages in it read."""
    for stage in stages.items if isinstance(stages, Sequence) else (stages,):
        if not isinstance(stage, Mapping):
            continue
        own = stage.get("let")
        if isinstance(own, Mapping):
            read = {word for key, value in stage.entries if key.text != "let" for word in _mentions(value)}
            read |= {word for _, value in own.entries for word in _mentions(value)}
            named = [(m.group(1), key) for key, _ in own.entries if (m := _NAME.match(key.text))]
            for name, key in {name: key for name, key in reversed(named) if name not in read}.items():
                message = f"the definition '{name}' of this stage is never used"
                report.warn("VS0901", message, key.span, label="nothing reads it", help="remove it")
        _local(stage.get("stages"), report)


def _warn(report: Report, entries: dict[str, _Entry], name: str, live: set[str]) -> None:
    entry = entries[name]
    if entry.kind == "index":
        others = [x for x in entry.letters if x != name]
        used = [x for x in others if x in live]
        if used:
            # A second letter is often declared together with the first, for later.
            report.warn("VS0901", f"the index '{name}' is never used", entry.span, label="nothing ranges over it",
                        help=f"remove it; '{used[0]}' is another letter of this dim", pedantic=True)  # fmt: skip
        elif name == min(entry.letters, key=lambda x: entries[x].span):
            report.warn("VS0901", f"the dim '{name}' is never used", entry.span, label="nothing ranges over it",
                        help="remove it")  # fmt: skip
        return
    message = f"the {entry.kind} '{name}' is never used"
    report.warn("VS0901", message, entry.span, label="nothing reads it", help=_TIPS.get(entry.kind, "remove it"))


def _declared(root: Mapping, report: Report) -> tuple[dict[str, _Entry], set[str]]:
    entries: dict[str, _Entry] = {}
    roots: set[str] = set()
    _sections(root, entries, roots, report)
    runs = root.get("runs")
    for _, run in runs.entries if isinstance(runs, Mapping) else ():
        # What a run overrides is read if the spec or any of its runs reads it.
        if isinstance(run, Mapping):
            _sections(run, entries, roots, report)
    return entries, roots


def _sections(root: Mapping, entries: dict[str, _Entry], roots: set[str], report: Report) -> None:
    for section, value in root.entries:
        if section.text == "dims" and isinstance(value, Mapping):
            for key, size in value.entries:
                _dim(entries, key, size)
        elif section.text in _DECLARING and isinstance(value, Mapping):
            kind = _DECLARING[section.text]
            for key, inner in value.entries:
                names = _declare(entries, kind, key, inner)
                if kind == "objective":
                    roots.update(names)
                if kind == "function":
                    _formals(entries[names[0]], key, inner, report) if names else None
        elif section.text not in _HEADS:
            roots |= _mentions(value)


def _dim(entries: dict[str, _Entry], key: Scalar, size: Value) -> None:
    found = list(re.finditer(r"[A-Za-z]\w*", key.text))
    letters = {m.group() for m in found}
    for m in found:
        entry = entries.setdefault(m.group(), _Entry("index", key.locate(m.start(), m.end())))
        entry.reads |= _mentions(size)
        entry.letters |= letters


def _declare(entries: dict[str, _Entry], kind: str, key: Scalar, value: Value) -> list[str]:
    """Enter what a line declares; a name of several lines (a recurrence) has the words of all of them."""
    outside = re.sub(r"\[[^\]]*\]|\(.*", "", key.text)
    names = [_known(key, m.group(1)) for piece in outside.split(",") if (m := _NAME.match(piece))]
    words = _mentions(value)
    letters = {_known(key, w) for m in re.findall(r"\[([^\]]*)\]", key.text) for w in _WORD.findall(m)}
    for name in names:
        entry = entries.setdefault(name, _Entry(kind, key.span))
        # Unknowns that are found together are of use together.
        entry.reads |= words | letters | set(names) - {name}
        entry.letters |= letters
    return names


def _formals(entry: _Entry, key: Scalar, value: Value, report: Report) -> None:
    """What a function's arguments are called is no read of anything else; an argument without a use is one, perhaps."""
    found = re.search(r"\(([^()]*)\)", key.text)
    if found is None:
        return
    used = {word for text in _formulas(value) for word in _WORD.findall(text.text)}
    # A network reads all of its inputs.
    whole = isinstance(value, Scalar) and (call := _NAME.match(value.text)) is not None and call[1] in ARCHITECTURES
    for m in _WORD.finditer(re.sub(r"\[[^\]]*\]", lambda s: " " * len(s.group()), found[1])):
        entry.reads.discard(m.group())
        if m.group() not in used and not whole:
            start = found.start(1) + m.start()
            report.warn("VS0901", f"the argument '{m.group()}' is never used", key.locate(start, start + len(m.group())),
                        label="the body does not read it", pedantic=True)  # fmt: skip


def _mentions(value: Value) -> set[str]:
    """The identifiers in the formulas of a value, keys included."""
    return {_known(text, word) for text in _formulas(value) for word in _WORD.findall(text.text)}


def _known(text: Scalar, word: str) -> str:
    """The name under which a word of an imported text is known here."""
    return (text.names or {}).get(word, word)


def _formulas(value: Value) -> Iterator[Scalar]:
    if isinstance(value, Scalar):
        if isinstance(value.value, str):
            yield value
    elif isinstance(value, Sequence):
        for item in value.items:
            yield from _formulas(item)
    else:
        for key, inner in value.entries:
            # The quick size of a claim sets constants and dims, which is no use of them.
            if key.text not in _WORDS and key.text != "smoke":
                yield key
                yield from _formulas(inner)


def _reached(entries: dict[str, _Entry], roots: set[str]) -> set[str]:
    live: set[str] = set()
    stack = sorted(roots & entries.keys())
    while stack:
        name = stack.pop()
        if name not in live:
            live.add(name)
            stack.extend(entries[name].reads & entries.keys())
    return live


def _sizing(entries: dict[str, _Entry], live: set[str], root: Mapping) -> set[str]:
    """Data that no formula reads, but from whose shape a dim gets its size."""
    dims = root.get("dims")
    open_ = {
        word
        for key, size in (dims.entries if isinstance(dims, Mapping) else ())
        if isinstance(size, Scalar) and size.text.strip() == "auto"
        for word in re.findall(r"[A-Za-z]\w*", key.text)
        if entries[word].letters & live
    }
    kinds = ("data entry", "constant")
    sized = {x for n in live if entries[n].kind in kinds for x in entries[n].letters}
    sized = {y for x in sized & entries.keys() for y in entries[x].letters}
    return {n for n, e in entries.items() if e.kind == "data entry" and e.letters & (open_ - sized)}
