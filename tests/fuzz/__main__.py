"""`python -m tests.fuzz 100000`: many mutated specs, with a line on how far it is, and the first failures made small.

    python -m tests.fuzz COUNT [--from SEED] [--compile SHARE] [--failures N] [FILE...]

Every case is its seed: `--from 1234` with the count 1 repeats one case. Without files, mutations start from the shipped
specs and from those in tests/bad.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from tests.fuzz.cases import BAD, SHIPPED, Failure, examine, minimised, mutant, texts


def main() -> int:
    """Run; 1 if a case failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Mutated specs through the compiler.")
    parser.add_argument("count", type=int, nargs="?", default=20000, help="how many cases")
    parser.add_argument("files", type=Path, nargs="*", help="specs to start from")
    parser.add_argument("--from", dest="first", type=int, default=0, help="the first seed")
    parser.add_argument("--compile", type=float, default=0.2, help="share of the right ones that are compiled")
    parser.add_argument("--failures", type=int, default=10, help="how many different failures are shown")
    chosen = parser.parse_args()
    # Shipped specs weigh as much as all the small ones together.
    sources = texts(chosen.files or SHIPPED * (len(BAD) // len(SHIPPED) + 1) + BAD)
    found: dict[str, tuple[int, int, Failure]] = {}
    start = time.monotonic()
    for done, seed in enumerate(range(chosen.first, chosen.first + chosen.count), 1):
        text = mutant(sources, seed)
        compiled = seed * 0.6180339887 % 1 < chosen.compile
        failure = examine(text, compiled)
        if failure is not None:
            known = found.get(failure.kind)
            if known is None and len(found) < chosen.failures:
                show(seed, minimised(failure, compiled))
            found[failure.kind] = (seed, known[1] + 1 if known else 1, failure)
        if done % 200 == 0 or done == chosen.count:
            progress(done, chosen.count, len(found), time.monotonic() - start)
    print(file=sys.stderr)
    for kind, (seed, times, _) in sorted(found.items()):
        print(f"{times:6} times, last with seed {seed}: {kind}")
    print(f"{chosen.count} cases, {len(found)} kinds of failures")
    return 1 if found else 0


def show(seed: int, failure: Failure) -> None:
    """One failure: how it failed, the small text, where it happened."""
    print(f"\n--- seed {seed}: {failure.kind}\n{failure.text!r}\n{failure.detail}", flush=True)


def progress(done: int, total: int, failures: int, seconds: float) -> None:
    """A line that is written over itself on a terminal, and now and then elsewhere."""
    if not sys.stderr.isatty() and done % max(total // 10, 200) and done != total:
        return
    full = 30 * done // total
    left = seconds / done * (total - done)
    bar = "#" * full + "." * (30 - full)
    end = "" if sys.stderr.isatty() else "\n"
    print(f"\r[{bar}] {done}/{total}, {failures} kinds of failures, {left:.0f} s left ", end=end, file=sys.stderr)
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
