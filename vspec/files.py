"""Writing files: as a whole or not at all."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path

from vspec.faults import refuse


def replace_file(path: Path, text: str) -> None:
    """Put `text`, as UTF-8 and with its own line ends, in the place of a file, whose mode stays; a link stays a link.

    A reader sees the old file or the new one, never a part.

    Raises:
        SpecError: VS0826, the file cannot be written; the old one is untouched.
    """
    temporary = ""
    try:
        target = Path(os.path.realpath(path))
        handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".tmp")
        with os.fdopen(handle, "wb") as out:
            out.write(text.encode("utf-8"))
            out.flush()
            os.fsync(out.fileno())
        os.chmod(temporary, _mode(target))
        os.replace(temporary, target)
    except (OSError, ValueError) as error:
        if temporary:
            with suppress(OSError):
                os.unlink(temporary)
        raise cannot_write(path, error) from None


def create_file(path: Path, text: str) -> None:
    """Write a file that must not be there yet.

    Raises:
        SpecError: VS0830, there is one already; VS0826, it cannot be written.
    """
    try:
        with path.open("x", encoding="utf-8", newline="") as out:
            out.write(text)
    except FileExistsError:
        raise refuse(
            "VS0830", f"'{path}' is already there", "choose another name, or write over it with --force"
        ) from None
    except (OSError, ValueError) as error:
        raise cannot_write(path, error) from None


def cannot_write(path: Path, error: Exception) -> Exception:
    """The refusal of a file that cannot be written."""
    return refuse("VS0826", f"'{path}' cannot be written: {getattr(error, 'strerror', None) or error}")


def _mode(path: Path) -> int:
    """The mode of a file; for one that is not there, what the process gives new files."""
    try:
        return path.stat().st_mode & 0o7777
    except FileNotFoundError:
        mask = os.umask(0)
        os.umask(mask)
        return 0o666 & ~mask
