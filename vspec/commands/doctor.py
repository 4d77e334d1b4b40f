"""`vspec doctor`: versions, devices and a tiny computation, to see whether an installation is whole."""

from __future__ import annotations

import platform
import sys
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed
from typing import Any

import click

from vspec import output
from vspec.faults import OK, WRONG
from vspec.options import format_option

# Everything vspec needs, then what it can use.
REQUIRED = (
    *("vspec", "jax", "jaxlib", "numpy", "sympy", "networkx", "pyyaml", "jsonschema", "flatbuffers", "click", "rich"),
    *("optax", "optimistix", "lineax", "opt_einsum", "matplotlib"),
)
OPTIONAL = ("scikit-learn",)


@click.command(short_help="Show versions and devices, and whether all is well.")
@format_option
def doctor(format_: str) -> int:
    """Show versions, devices, and whether 64-bit numbers and program export work. Exits with 2 if something is missing.

    \b
    Example:
      vspec doctor

    With --format json: {"python", "platform", "versions": {...}, "devices": [...], "checks": {name: text}, "problems": [...]}
    """
    versions = {name: _version(name) for name in (*REQUIRED, *OPTIONAL)}
    problems = [f"the package '{name}' is not installed" for name in REQUIRED if versions[name] is None]
    devices: list[str] = []
    checks: dict[str, str] = {}
    if versions["jax"] is not None:
        try:
            devices, checks = _jax()
        except Exception as error:  # whatever is wrong with the installation is what doctor is there to tell
            problems.append(f"JAX does not work: {type(error).__name__}: {error}")
    code = WRONG if problems else OK
    facts: dict[str, Any] = {"python": sys.version.split()[0], "platform": platform.platform()}
    if format_ == "json":
        output.reply("doctor", code, **facts, versions=versions, devices=devices, checks=checks, problems=problems)
        return code
    rows = [*facts.items(), *((name, found or "not installed") for name, found in versions.items())]
    rows += [("devices", ", ".join(devices) or "none"), *checks.items()]
    output.say(output.columns([(str(k), str(v)) for k, v in rows], indent=""))
    for problem in problems:
        output.note(f"problem: {problem}")
    output.say("\nall is well" if not problems else f"\n{len(problems)} problem(s)")
    return code


def _version(name: str) -> str | None:
    try:
        return installed(name)
    except PackageNotFoundError:
        return None


def _jax() -> tuple[list[str], dict[str, str]]:
    """The devices, and what a tiny program in float64 does on the first of them."""
    import jax
    import jax.numpy as jnp
    from jax import export

    config: Any = jax.config
    config.update("jax_enable_x64", True)
    third = jax.jit(lambda x: x / 3)(jnp.asarray(1.0, dtype=jnp.float64))
    wide = third.dtype == jnp.float64 and abs(float(third) * 3 - 1) < 1e-15
    exported: Any = export.export(jax.jit(jnp.sin), platforms=["cpu", "cuda", "tpu"])(third)
    checks = {"float64": "works" if wide else "does not work", "export": f"works ({len(exported.serialize())} bytes)"}
    return [str(d) for d in jax.devices()], checks
