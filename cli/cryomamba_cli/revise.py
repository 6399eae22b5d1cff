"""``revise``: upload a corrected mask as a revision of a job."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from cryomamba_cli import output
from cryomamba_cli.jobs import resolve
from cryomamba_cli.options import Job, Json, Server
from cryomamba_cli.reporter import stderr_reporter
from cryomamba_cli.signals import Interrupted, interruptible


def revise(
    job: Job,
    mask: Annotated[Path, typer.Argument(metavar="MASK.mrc", help="The corrected mask.")],
    note: Annotated[str, typer.Option("--note", help="Comment on the changes.")] = "",
    server: Server = None,
    json: Json = False,
) -> None:
    """Upload a corrected mask as a revision of a job, and print its name on the server.

    The original mask is kept. The mask must have the shape of the tomogram. Identical content is stored once.
    """
    import cryomamba

    with stderr_reporter(json=json) as display, interruptible(), cryomamba.connect(server) as client:
        progress = partial(display.transfer, mask.name)
        try:
            record = client.revise(resolve(client, job), mask.absolute(), note=note, progress=progress)
        except Interrupted:
            display.note("Interrupted. The job has no new revision.")
            raise
    output.result(record, record.revisions[-1].name, json=json)
