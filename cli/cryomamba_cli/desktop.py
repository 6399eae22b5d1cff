"""``desktop``: launch the napari app."""

from __future__ import annotations

import sys

import typer


def desktop(context: typer.Context) -> None:
    """Launch the napari app. Remaining arguments are passed to it: files to open, --server URL."""
    from napari_cryomamba.__main__ import main

    sys.argv = ["cryomamba desktop", *context.args]
    raise typer.Exit(main())
