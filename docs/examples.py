"""Runs the examples of the pages, so that what they show is what happens.

    python -m docs.examples            says where a page shows something else than what happens, and exits with 1
    python -m docs.examples --write    writes what happens into the pages

On a page, a fenced block after `<!-- file: NAME -->` is a file; a `console` block holds commands after `$ ` with their output;
a `python` block after `<!-- runs: python -->` is run and the `text` block that follows it is what it prints. All blocks of
a page share one empty folder, and its Python blocks one process. A line `...` in an output stands for any lines.
Figures that differ from run to run (seconds, digests, rounding residues) are not compared.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

DOCS = Path(__file__).parent
NAMES = (
    "getting-started",
    "tutorial",
    "from-jax",
    "from-stan",
    "from-sympy",
    "constraints",
    "derivatives",
    "implicit",
    "networks",
    "python",
    "random",
    "data",
    "editor",
    "output",
    "stages",
    "devices",
    "recurrences",
    "runs",
    "running",
    "memory",
    "structure",
    "matrices",
    "report",
    "sweeps",
    "benchmarks",
    "pipelines",
)
PAGES = (DOCS.parent / "README.md", *(DOCS / f"{name}.md" for name in NAMES))

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_MARK = re.compile(r"<!-- (file|runs): (\S+) -->\n\Z")
_CUT = "# --- cut here ---"


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: its language, its text, where the text stands on the page, the mark before it."""

    language: str
    text: str
    start: int
    mark: tuple[str, str]


@dataclass(frozen=True, slots=True)
class Finding:
    """What a page shows and what happens, and where on the page it stands."""

    page: str
    what: str
    start: int
    shown: str
    happens: str

    @property
    def true(self) -> bool:
        """Whether the page tells the truth."""
        return agrees(self.shown, self.happens)


def blocks(text: str) -> Iterator[Block]:
    """The fenced blocks of a page."""
    for m in _FENCE.finditer(text):
        mark = _MARK.search(text[: m.start()])
        yield Block(m[1], m[2], m.start(2), (mark[1], mark[2]) if mark else ("", ""))


def normal(line: str) -> str:
    """A line without what differs from run to run."""
    line = re.sub(r"\b\d+(\.\d+)? (ms|s)\b", "TIME", line)
    line = re.sub(r"\b[0-9a-f]{12,}\b", "DIGEST", line)
    line = re.sub(r"\b\d(\.\d+)?e-(0[6-9]|[1-9]\d)\b(?!\s*$)", "TINY", line)
    return re.sub(r"[─\s]+", " ", line).strip()


def agrees(shown: str, happens: str) -> bool:
    """Whether an output is the one that a page shows, `...` standing for any lines."""
    parts = [re.escape(normal(x)) if x.strip() != "..." else None for x in shown.strip("\n").splitlines()]
    pattern = "".join(r"(?:.*\n)*?" if p is None else rf"{p}\n" for p in parts)
    text = "".join(f"{normal(x)}\n" for x in happens.strip("\n").splitlines())
    return re.fullmatch(pattern, text) is not None


def environment() -> dict[str, str]:
    """The environment of the commands: this Python's `vspec` first on the path, quiet and without colours."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    fixed = {"PATH": path, "JAX_PLATFORMS": "cpu", "NO_COLOR": "1", "COLUMNS": "100", "PYTHONUTF8": "1"}
    return {k: v for k, v in os.environ.items() if k != "JAX_ENABLE_X64"} | fixed


def run(command: Sequence[str], folder: Path) -> str:
    """What a command writes, warnings of JAX about devices left out."""
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        timeout=600,
        check=False,
    )
    return done.stdout


def findings(page: Path) -> list[Finding]:
    """Every output that a page shows, beside what happens."""
    text = page.read_text(encoding="utf-8")
    found: list[Finding] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        scripts: list[Block] = []
        answers: list[Block | None] = []
        for block in blocks(text):
            kind, value = block.mark
            if kind == "file":
                (folder / value).write_text(block.text, encoding="utf-8")
            elif block.language == "console":
                found += _console(page, block, folder)
            elif kind == "runs":
                scripts.append(block)
                answers.append(None)
            elif block.language == "text" and scripts and answers[-1] is None:
                answers[-1] = block
        if scripts:
            found += _python(page, scripts, answers, folder)
    return found


def _console(page: Path, block: Block, folder: Path) -> Iterator[Finding]:
    position = block.start
    command, begin, shown = "", 0, ""
    for line in [*block.text.splitlines(keepends=True), "$ "]:
        if line.startswith("$ "):
            if command:
                yield Finding(page.name, command, begin, shown, run(["sh", "-c", command], folder))
            command, begin, shown = line[2:].strip(), position + len(line), ""
        else:
            shown += line
        position += len(line)


def _python(page: Path, scripts: Sequence[Block], answers: Sequence[Block | None], folder: Path) -> Iterator[Finding]:
    (folder / "example.py").write_text(f"print({_CUT!r})\n".join(b.text for b in scripts), encoding="utf-8")
    printed = run([sys.executable, "example.py"], folder).split(f"{_CUT}\n")
    printed += [""] * (len(scripts) - len(printed))
    for script, answer, text in zip(scripts, answers, printed, strict=True):
        start, shown = (answer.start, answer.text) if answer else (script.start + len(script.text), "")
        yield Finding(page.name, script.text.splitlines()[0], start, shown, text)


def broken(f: Finding) -> bool:
    """Whether a command failed by no fault of the page."""
    return any(sign in f.happens and sign not in f.shown for sign in ("Traceback (most recent", "VS0999"))


def rewritten(text: str, found: Sequence[Finding]) -> str:
    """A page with what happens in the place of what it shows."""
    for f in sorted(found, key=lambda f: -f.start):
        if not f.true:
            lines = "\n".join(x.rstrip() for x in f.happens.strip("\n").splitlines())
            text = text[: f.start] + (lines + "\n" if lines else "") + text[f.start + len(f.shown) :]
    return text


def main(arguments: Sequence[str]) -> int:
    """Check the pages, or write what happens into them."""
    wrong = 0
    for page in PAGES:
        found = findings(page)
        false = [f for f in found if not f.true]
        wrong += len(false)
        if any(broken(f) for f in false):
            print(f"{page.name} is left as it is: a command of it fails inside vspec")
        elif "--write" in arguments and false:
            page.write_text(rewritten(page.read_text(encoding="utf-8"), found), encoding="utf-8")
        for f in false:
            print(f"{f.page}: $ {f.what}\n--- shown\n{f.shown}--- happens\n{f.happens}")
    return 0 if "--write" in arguments else min(wrong, 1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
