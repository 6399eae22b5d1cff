"""How much a command prints beside its result: ``--quiet`` and ``--verbose``, which every command has."""

from __future__ import annotations

import logging
import sys
from contextvars import ContextVar
from enum import IntEnum
from typing import TYPE_CHECKING, Annotated, Final

import typer
import typer.main

from cryomamba.printable import printable
from cryomamba_cli.configuration_file import applied

if TYPE_CHECKING:
    from typer._click.core import Command

_PACKAGES: Final = ("cryomamba", "cryomamba_cli", "cryomamba_inference", "cryomamba_server", "napari_cryomamba")
_handlers: Final[list[logging.Handler]] = []


class Verbosity(IntEnum):
    """How much is printed."""

    QUIET = -1
    NORMAL = 0
    VERBOSE = 1


verbosity: ContextVar[Verbosity] = ContextVar("verbosity", default=Verbosity.NORMAL)
"""That of the running command."""


def is_quiet() -> bool:
    """Return whether only results and errors are printed."""
    return verbosity.get() is Verbosity.QUIET


def is_verbose() -> bool:
    """Return whether log lines and tracebacks are printed too."""
    return verbosity.get() is Verbosity.VERBOSE


def add_options(command: Command) -> None:
    """Give a command the options ``--quiet`` and ``--verbose``."""
    carrier = typer.Typer(add_completion=False)
    carrier.command()(_carrier)
    command.params += [one for one in typer.main.get_command(carrier).params if one.name in {"quiet", "verbose"}]


def _quiet(value: bool) -> bool:
    if value:
        verbosity.set(Verbosity.QUIET)
    return value


def _verbose(value: bool) -> bool:
    if value:
        verbosity.set(Verbosity.VERBOSE)
        _show_logging()
        for name, path in applied.get().sources.items():
            typer.echo(printable(f"{name}: set in {path}"), err=True)
    return value


def _carrier(
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", callback=_quiet, expose_value=False, help="Print only results and errors.")
    ] = False,
    verbose: Annotated[
        bool,
        typer.Option(
            "--verbose",
            "-v",
            callback=_verbose,
            expose_value=False,
            help="Also print log lines, where defaults come from, and tracebacks of errors.",
        ),
    ] = False,
) -> None:
    """Have the options that every command gets."""


def _show_logging() -> None:
    """Print the log lines of this program on stderr."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(name)s: %(message)s"))
    _handlers.append(handler)
    for name in _PACKAGES:
        logger = logging.getLogger(name)
        logger.addHandler(handler)
        logger.setLevel(logging.DEBUG)


def hide_logging() -> None:
    """Undo what ``--verbose`` has set, for a process that runs several commands."""
    while _handlers:
        handler = _handlers.pop()
        for name in _PACKAGES:
            logger = logging.getLogger(name)
            logger.removeHandler(handler)
            logger.setLevel(logging.NOTSET)
