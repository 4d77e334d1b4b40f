"""How large a program may grow while it is derived: a short spec can ask for very much."""

from __future__ import annotations

from vspec.compiler.graph.node import Origin

# 10,000 definitions of an ordinary size stay below a fifth of this.
MAX_NODES = 500_000
# A scalar formula that is longer was not written but derived, and each further derivative multiplies it.
MAX_OPERATIONS = 5_000


class TooLargeError(Exception):
    """A limit is reached; `origin` is the definition that was being worked on."""

    def __init__(self, message: str, origin: Origin) -> None:
        super().__init__(message)
        self.message, self.origin = message, origin
