"""`python -m benchmarks [NAME ...]`: all benchmarks, or those named."""

from __future__ import annotations

import sys
import warnings

import jax

from benchmarks import (
    compile_time,
    implicit,
    kernels,
    recurrences,
    solving_constrained,
    solving_smooth,
    structure,
    sweeping,
)
from benchmarks.timing import table


def main(names: list[str]) -> int:
    """Runs and prints; an unknown name exits with 2."""
    jax.config.update("jax_enable_x64", True)
    # Peers are also run with settings that do not suit them, and say so.
    warnings.filterwarnings("ignore", module=r"scipy\.|sklearn\.|genosolver|numpy\.linalg")
    solving = {**structure.ALL, **solving_smooth.ALL, **solving_constrained.ALL}
    others = {**kernels.ALL, **recurrences.ALL, **implicit.ALL, **sweeping.ALL, **solving}
    known = [*compile_time.ALL, *others]
    unknown = [n for n in names if n not in known]
    if unknown:
        print(f"no benchmark called {', '.join(unknown)}; there are {', '.join(known)}", file=sys.stderr)
        return 2
    print(f"jax {jax.__version__} on {jax.devices()[0].device_kind}", flush=True)
    for name in names or known:
        if name in compile_time.ALL:
            print(compile_time.ALL[name](), flush=True)
        else:
            for title, timings in others[name]().items():
                print(table(title, timings), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
