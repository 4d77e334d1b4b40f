"""Whether code that a spec only names may run. It may not, unless whoever calls says so."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

_EXTERN: ContextVar[bool] = ContextVar("extern", default=False)


def extern_allowed() -> bool:
    """Whether functions from outside of a spec may be imported and run here."""
    return _EXTERN.get()


@contextmanager
def allow_extern() -> Iterator[None]:
    """Inside of this, specs and programs may use functions from outside, `{extern: module:name}`, which are Python and may do
    anything: use it for specs whose modules you trust.

    Example:
        with vspec.allow_extern():
            result = vspec.run("drag.yaml")
    """
    token = _EXTERN.set(True)
    try:
        yield
    finally:
        _EXTERN.reset(token)


def _callback(context: click.Context, option: click.Parameter, value: bool) -> None:
    if value:
        context.with_resource(allow_extern())


extern_option: Callable[[Any], Any] = click.option(
    "--allow-extern",
    is_flag=True,
    expose_value=False,
    callback=_callback,
    help="Let the spec import and run the functions from outside that it names.",
)
