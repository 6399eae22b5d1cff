"""``backup`` and ``restore``: the state of this machine's server in another folder, and back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cryomamba_cli import output


def backup(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where to; a folder of its own, on another disk.")],
) -> None:
    """Back up jobs, finished files, uploads and keys of this machine's server, while it runs.

    Doing it again into the same folder copies what is new. The folder then holds secrets: guard it like the home.
    """
    from cryomamba.settings import load_settings
    from cryomamba_server.backup import back_up

    done = back_up(load_settings(), folder)
    output.note(
        f"{done.manifest.jobs} jobs and {done.manifest.files} files, {output.nbytes(done.manifest.nbytes)}; "
        f"{done.files} files were new, {output.nbytes(done.nbytes)}."
    )


def restore(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="A backup.")],
) -> None:
    """Make a new home of a backup, on this machine or another; CRYOMAMBA_HOME says where."""
    from cryomamba.settings import load_settings
    from cryomamba_server.backup import restore as restore_home

    settings = load_settings()
    done = restore_home(folder, settings)
    made = done.manifest.created_at.astimezone().strftime("%Y-%m-%d %H:%M")
    output.note(
        f"{done.manifest.jobs} jobs and {done.manifest.files} files of {made} are in {settings.home}. "
        "Jobs that were running then are tried again when the services start."
    )
