"""``desktop``: launch the napari app."""

from __future__ import annotations

import sys

import typer

from cryomamba.errors import ErrorCode, InvalidRequestError


def desktop(context: typer.Context) -> None:
    """Launch the napari app. Remaining arguments are passed to it: files to open, --server URL."""
    try:
        from napari_cryomamba.__main__ import main
    except ImportError as error:
        raise InvalidRequestError(
            f"The napari app is not installed: {error!s}.",
            code=ErrorCode.UNAVAILABLE,
            hint="Install it with: pip install 'cryomamba[desktop]' (in a source checkout: make desktop).",
        ) from error
    sys.argv = ["cryomamba desktop", *context.args]
    raise typer.Exit(main())
