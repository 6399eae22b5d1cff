"""``gc``: what a server may forget."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from cryomamba.cli import output

if TYPE_CHECKING:
    from cryomamba.retention import Leftover


def gc(
    days: Annotated[
        float, typer.Option("--days", min=0, metavar="N", help="Jobs that ended more than N days ago may go.")
    ] = 30.0,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Remove what is shown.")] = False,
) -> None:
    """Show old jobs, files without a job and unfinished work of this machine's server; with --yes, remove them."""
    import asyncio

    from cryomamba.retention import find_leftovers, remove_leftovers
    from cryomamba.settings import load_settings

    settings = load_settings()
    found = asyncio.run(find_leftovers(settings, days=days))
    if not found:
        output.note("There is nothing to remove.")
        return
    output.table(("KIND", "JOB", "SIZE", "ENDED", "NAME"), [_row(leftover) for leftover in found])
    total = output.nbytes(sum(leftover.nbytes for leftover in found))
    if yes:
        removed = asyncio.run(remove_leftovers(settings, found))
        output.note(f"{removed} of {len(found)} removed, {total}.")
    else:
        output.note(f"{len(found)} may go, {total}. Nothing was removed; 'cryomamba gc --yes' does it.")


def _row(leftover: Leftover) -> tuple[str, ...]:
    from cryomamba.cli.jobs import local_time

    record = leftover.record
    ended = "" if record is None or record.completed_at is None else local_time(record.completed_at)
    name = "" if record is None else record.name or record.volume.name
    return leftover.kind, leftover.name, output.nbytes(leftover.nbytes), ended, name
