"""``gc``: delete expired jobs and uploads."""

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
            help="Days after which ended jobs and uploads expire; CRYOMAMBA_KEEP_DAYS if not given.",
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Delete what is listed.")] = False,
) -> None:
    """Delete expired jobs and uploads (dry run unless --yes).

    This covers ended jobs with their files, uploads that no remaining job uses, files without a job, and unfinished
    files of interrupted jobs. The broker must be running.
    """
    import asyncio

    from cryomamba.settings import load_settings
    from cryomamba_server.retention import find_leftovers, remove_leftovers

    settings = load_settings()
    found = asyncio.run(find_leftovers(settings, days=settings.keep_days if days is None else days))
    if not found:
        output.note("Nothing to delete.")
        return
    output.table(("KIND", "ID", "SIZE", "SINCE", "NAME"), [_row(leftover) for leftover in found])
    total = output.nbytes(sum(leftover.nbytes for leftover in found))
    if yes:
        from cryomamba_server.audit import audit_command

        removed = asyncio.run(remove_leftovers(settings, found))
        for leftover in (one for one in found if one.kind == "upload"):
            # The broker enters the jobs.
            audit_command(settings.audit_file, "file.delete", file_id=leftover.name)
        output.note(f"Deleted {removed} of {len(found)} items ({total}).")
    else:
        output.note(f"{len(found)} items ({total}) can be deleted. This was a dry run; add --yes to delete them.")


def _row(leftover: Leftover) -> tuple[str, ...]:
    from cryomamba_cli.jobs import local_time

    since, name = "", ""
    if leftover.record is not None and leftover.record.completed_at is not None:
        since, name = local_time(leftover.record.completed_at), leftover.record.name or leftover.record.volume.name
    elif leftover.file is not None:
        since, name = local_time(leftover.file.created_at), leftover.file.filename
    return leftover.kind, leftover.name, output.nbytes(leftover.nbytes), since, name
