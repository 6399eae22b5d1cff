"""``backup`` and ``restore`` of the data directory."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cryomamba_cli import output


def backup(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Backup folder, preferably on another disk.")],
) -> None:
    """Back up the data directory: jobs, artifacts, uploads and keys. The services may be running.

    A later backup into the same folder copies only what is new. The backup contains secret keys: protect it like the
    data directory.
    """
    from cryomamba.settings import load_settings
    from cryomamba_server.backup import back_up

    done = back_up(load_settings(), folder)
    output.note(
        f"{done.manifest.jobs} jobs and {done.manifest.files} files, {output.nbytes(done.manifest.nbytes)}; "
        f"copied {done.files} new files, {output.nbytes(done.nbytes)}."
    )


def restore(folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Backup folder.")]) -> None:
    """Restore a backup into a new data directory, given by CRYOMAMBA_HOME."""
    from cryomamba.settings import load_settings
    from cryomamba_server.backup import restore as restore_backup

    settings = load_settings()
    done = restore_backup(folder, settings)
    made = done.manifest.created_at.astimezone().strftime("%Y-%m-%d %H:%M")
    output.note(
        f"Restored {done.manifest.jobs} jobs and {done.manifest.files} files of {made} to {settings.home}. "
        "Jobs that were running then are retried when the services start."
    )
