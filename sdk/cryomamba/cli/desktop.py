"""``desktop``: the viewer, which another package brings."""

from __future__ import annotations

import sys
from typing import Final

import typer

from cryomamba.errors import ErrorCode, InvalidRequestError

PROGRAMS: Final = "cryomamba.programs"


def desktop(context: typer.Context) -> None:
    """Open the desktop (napari). What follows is handed on: files to open, --server URL."""
    from importlib.metadata import entry_points

    found = entry_points(group=PROGRAMS, name="desktop")
    if not found:
        raise _missing("no installed package offers it")
    try:
        program = next(iter(found)).load()
    except (ImportError, AttributeError) as error:
        raise _missing(str(error)) from error
    sys.argv = ["cryomamba desktop", *context.args]
    raise typer.Exit(program() or 0)


def _missing(why: str) -> InvalidRequestError:
    return InvalidRequestError(
        f"The desktop cannot be opened: {why}.",
        code=ErrorCode.UNAVAILABLE,
        hint="Install it with: pip install 'cryomamba[desktop]' (in a source checkout: make desktop).",
    )
