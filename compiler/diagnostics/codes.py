"""Every code of the compiler with its title and explanation, assembled from one module per range.

    VS01xx  the file: YAML, structure             VS05xx  data that does not fit (exit 3)
    VS02xx  names, indices, axes, types           VS06xx  numerics (exit 4)
    VS03xx  functions, methods, solve             VS07xx  limits and safety
    VS04xx  reserved, not implemented yet         VS08xx  command line, usage, artifacts
                                                  VS09xx  warnings

The runtime explains the codes of a run in its own table, the front door those of the command line; `vspec.codes` joins
them. The stages only name codes; this module is imported by what explains them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from vspec.compiler.diagnostics.code import Code
from vspec.compiler.diagnostics.codes_arrays import ARRAYS
from vspec.compiler.diagnostics.codes_blocks import BLOCKS
from vspec.compiler.diagnostics.codes_chance import CHANCE
from vspec.compiler.diagnostics.codes_evaluation import EVALUATION
from vspec.compiler.diagnostics.codes_externs import EXTERNS
from vspec.compiler.diagnostics.codes_implicit import IMPLICIT
from vspec.compiler.diagnostics.codes_language import LANGUAGE
from vspec.compiler.diagnostics.codes_laws import LAWS
from vspec.compiler.diagnostics.codes_limits import LIMITS
from vspec.compiler.diagnostics.codes_matrices import MATRICES
from vspec.compiler.diagnostics.codes_networks import NETWORKS
from vspec.compiler.diagnostics.codes_runs import RUNS
from vspec.compiler.diagnostics.codes_source import SOURCE
from vspec.compiler.diagnostics.codes_warnings import WARNINGS


def registry(*groups: Iterable[Code]) -> Mapping[str, Code]:
    """The codes by name; a code that is registered twice is a mistake of ours and raises ValueError."""
    found: dict[str, Code] = {}
    for group in groups:
        for code in group:
            if code.code in found:
                raise ValueError(f"{code.code} is registered twice: '{found[code.code].title}' and '{code.title}'")
            found[code.code] = code
    return MappingProxyType(dict(sorted(found.items())))


CODES: Mapping[str, Code] = registry(
    SOURCE,
    LANGUAGE,
    ARRAYS,
    IMPLICIT,
    NETWORKS,
    RUNS,
    EVALUATION,
    BLOCKS,
    MATRICES,
    CHANCE,
    LAWS,
    EXTERNS,
    LIMITS,
    WARNINGS,
)
