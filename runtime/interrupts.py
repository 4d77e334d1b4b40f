"""Ctrl-C and SIGTERM while a run computes: the first asks it to stop where it can go on later, the second ends it at once."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

EXIT = 130
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Asked:
    """Whether someone asked the run to stop."""

    def __init__(self) -> None:
        self.yes = False

    def __bool__(self) -> bool:
        return self.yes


@contextmanager
def watching(tell: Callable[[str], None]) -> Iterator[Asked]:
    """While it is entered, a first signal is taken for a wish, at once told, and a second ends the process.

    Compiled code runs without Python, which sees a signal only when a chunk is done. So a thread listens where the system itself
    writes the number of a signal. In a thread other than the main one, and for signals that are ignored, nothing is changed.
    """
    asked = Asked()
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return
    mine = [s for s in _SIGNALS if signal.getsignal(s) not in (signal.SIG_IGN, None)]
    reading, writing = os.pipe()
    os.set_blocking(writing, False)

    def handle(number: int, frame: FrameType | None) -> None:
        asked.yes = True

    def listen() -> None:
        while found := os.read(reading, 1):
            if found[0] not in mine:
                continue  # the end, or another signal that Python handles
            if not told:
                asked.yes = True
                told.append(True)
                tell("stopping when this chunk of steps is done, with a checkpoint; once more to end at once")
                continue
            with suppress(OSError):
                if sys.stderr.isatty():
                    os.write(2, b"\x1b[?25h")  # a progress bar had hidden the cursor
                os.write(2, b"ended at once\n")
            os._exit(EXIT)
        os.close(reading)

    told: list[bool] = []
    before = {s: signal.signal(s, handle) for s in mine}
    waking = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    listener = threading.Thread(target=listen, name="vspec-signals", daemon=True)
    listener.start()
    try:
        yield asked
    finally:
        signal.set_wakeup_fd(waking)
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(writing)
        listener.join(timeout=1)
