"""``gc``: what a server may forget."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from cryomamba_cli import output

if TYPE_CHECKING:
    from cryomamba_server.retention import Leftover


def gc(
    days: Annotated[
        float | None,
        typer.Option(
            "--days",
            min=0,
            metavar="N",
            help="What ended or was sent more than N days ago may go; CRYOMAMBA_KEEP_DAYS unless given.",
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Remove what is shown.")] = False,
) -> None:
    """Show what this machine's server need not keep; with --yes, remove it.

    That is: jobs that ended long ago with their files, uploaded files that no job needs, files without a job, and work
    that was left unfinished.
    """
    import asyncio

    from cryomamba.settings import load_settings
    from cryomamba_server.retention import find_leftovers, remove_leftovers

    settings = load_settings()
    found = asyncio.run(find_leftovers(settings, days=settings.keep_days if days is None else days))
    if not found:
        output.note("There is nothing to remove.")
        return
    output.table(("KIND", "ID", "SIZE", "SINCE", "NAME"), [_row(leftover) for leftover in found])
    total = output.nbytes(sum(leftover.nbytes for leftover in found))
    if yes:
        removed = asyncio.run(remove_leftovers(settings, found))
        output.note(f"{removed} of {len(found)} removed, {total}.")
    else:
        output.note(f"{len(found)} may go, {total}. Nothing was removed; 'cryomamba gc --yes' does it.")


def _row(leftover: Leftover) -> tuple[str, ...]:
    from cryomamba_cli.jobs import local_time

    since, name = "", ""
    if leftover.record is not None and leftover.record.completed_at is not None:
        since, name = local_time(leftover.record.completed_at), leftover.record.name or leftover.record.volume.name
    elif leftover.file is not None:
        since, name = local_time(leftover.file.created_at), leftover.file.filename
    return leftover.kind, leftover.name, output.nbytes(leftover.nbytes), since, name
