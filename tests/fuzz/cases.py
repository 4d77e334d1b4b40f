"""One case of the fuzzer: a mutated spec, and everything that must hold of what the compiler says about it."""

from __future__ import annotations

import ast
import json
import re
import signal
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from tests.fuzz.mutate import mutate
from vspec.compiler.diagnostics.codes import CODES
from vspec.compiler.diagnostics.diagnostic import Diagnostic, SpecError
from vspec.compiler.diagnostics.policy import Policy
from vspec.compiler.diagnostics.render import in_order, render_text, to_json
from vspec.compiler.diagnostics.spans import Span
from vspec.compiler.language.spec import Spec
from vspec.compiler.pipeline import check_text, compile_spec

ROOT = Path(__file__).parents[2]
SHIPPED = tuple(sorted((ROOT / "specs").rglob("*.yaml")))
BAD = tuple(sorted((ROOT / "tests" / "bad").glob("*.yaml")))

CHECK_SECONDS = 2.0
COMPILE_SECONDS = 20.0
NAME = "fuzz.yaml"
PEDANTIC = Policy(pedantic=True)
# What only the calculus can tell: a tower of powers is short, and its second derivative is not; an objective is no sum of
# squares, and its terms have no proximal map; a way that is asked for leads to no result; a law has no such estimator, or a draw
# no second derivative. No other mistake may be left to the build.
AT_BUILD = frozenset({"VS0259", "VS0264", "VS0268", "VS0271", "VS0330", "VS0348", "VS0349"})
AT_BUILD |= {"VS0364", "VS0391", "VS0397", "VS0693", "VS0695", "VS0726"}


@dataclass(frozen=True)
class Failure:
    """What went wrong with one text. `kind` is short and the same for texts that fail in the same way."""

    text: str
    kind: str
    detail: str


class OverTimeError(BaseException):
    """A case took too long. Not an Exception, so that nothing in between can swallow it."""


@contextmanager
def limit(seconds: float) -> Iterator[None]:
    """Stop after so many seconds of processor time; what others do on the machine does not count."""

    def stop(_: int, frame: FrameType | None) -> None:
        raise OverTimeError

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def texts(paths: Sequence[Path]) -> list[str]:
    """The specs that mutations start from."""
    return [path.read_text(encoding="utf-8") for path in paths]


def mutant(sources: Sequence[str], seed: int) -> str:
    """The case of a seed: the source is chosen by it, too."""
    return mutate(sources[seed % len(sources)], seed)


def examine(text: str, compiled: bool) -> Failure | None:
    """Check a text, and compile it if it is right and `compiled` is asked for; the first thing that fails."""
    found: list[Spec] = []
    failure = _guarded(text, "check", CHECK_SECONDS, lambda: _check(text, found))
    if failure is not None or not found or not compiled:
        return failure
    for level in (2, 0):
        failure = _guarded(text, f"-O{level}", COMPILE_SECONDS, lambda: _compile(found[0], level))  # noqa: B023
        if failure is not None:
            return failure
    return None


def _guarded(text: str, stage: str, seconds: float, run: Callable[[], None]) -> Failure | None:
    try:
        with limit(seconds):
            run()
    except OverTimeError:
        return Failure(text, f"{stage}: over {seconds:g} s", traceback.format_exc(limit=-6))
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        ours = next((f for f in reversed(frames) if "compiler" in f.filename), frames[-1])
        where = f"{Path(ours.filename).parent.name}/{Path(ours.filename).name}:{ours.lineno}"
        words = str(error).split("\n")[0][:80]
        if not isinstance(error, AssertionError):
            words = re.sub(r"\d+|'[^']*'", "_", words)
        return Failure(text, f"{stage}: {type(error).__name__} at {where}: {words}", traceback.format_exc(limit=-8))
    return None


def _check(text: str, found: list[Spec]) -> None:
    spec, diagnostics = check_text(text, NAME, policy=PEDANTIC)
    wrong = any(d.severity == "error" for d in diagnostics)
    assert (spec is None) == wrong, "a spec beside errors, or neither a spec nor an error"
    _sound(text, diagnostics)
    ordered = in_order(diagnostics)
    for color in (False, True):
        shown = render_text(ordered, {NAME: text}, color=color)
        assert bool(shown) == bool(diagnostics)
        assert all(ord(c) >= 32 or c in "\n\x1b" for c in shown), "a control character is shown"
        shown.encode()
    json.dumps(to_json(ordered), allow_nan=False)
    if spec is not None:
        found.append(spec)


def _sound(text: str, diagnostics: Iterable[Diagnostic]) -> None:
    """What holds of every diagnostic, whoever says it."""
    lines = text.removeprefix("\ufeff").replace("\r\n", "\n").split("\n")
    for d in diagnostics:
        assert d.code in CODES, f"{d.code} is not registered"
        assert d.message, f"{d.code}: the message is empty"
        assert "\n" not in d.message, f"{d.code}: the message has several lines"
        assert len(d.message) < 2000, f"{d.code}: the message is too long"
        if d.span is not None:
            assert inside(d.span, lines), f"{d.code}: the span lies outside of the file"


def inside(span: Span, lines: Sequence[str]) -> bool:
    """Whether a span lies in the file. The place after the last character of a line belongs to it."""
    return (
        span.file == NAME
        and 1 <= span.line <= span.end_line <= len(lines)
        and 1 <= span.column <= len(lines[span.line - 1]) + 1
        and 1 <= span.end_column <= len(lines[span.end_line - 1]) + 2
        and (span.line, span.column) < (span.end_line, span.end_column)
    )


def _compile(spec: Spec, level: int) -> None:
    try:
        compiled = compile_spec(spec, level=level)
    except SpecError as error:
        said = error.diagnostics
        if not {d.code for d in said} <= AT_BUILD:
            raise
        assert all(d.span is not None for d in said), "what is refused at build has no place"
        _sound(spec.text, said)
        return
    ast.parse(compiled.emitted.text)


def minimised(failure: Failure, compiled: bool, seconds: float = 20.0) -> Failure:
    """A smaller text that fails in the same way: lines, then stretches of characters are left out as long as it does."""
    best = failure
    end = time.monotonic() + seconds
    for pieces, glue in ((_lines, "\n"), (_characters, "")):
        size = max(len(pieces(best.text)) // 2, 1)
        while size and time.monotonic() < end:
            at = 0
            while at < len(parts := pieces(best.text)) and time.monotonic() < end:
                smaller = examine(glue.join(parts[:at] + parts[at + size :]), compiled)
                if smaller is not None and smaller.kind == best.kind:
                    best = smaller
                else:
                    at += size
            size //= 2
    return best


def _lines(text: str) -> list[str]:
    return text.split("\n")


def _characters(text: str) -> list[str]:
    return list(text)
