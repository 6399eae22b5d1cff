"""``revise``: a corrected mask, kept with the job that made the first one."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from cryomamba_cli import output
from cryomamba_cli.jobs import resolve
from cryomamba_cli.options import Job, Json, Server
from cryomamba_cli.reporter import stderr_reporter
from cryomamba_cli.signals import interruptible


def revise(
    job: Job,
    mask: Annotated[Path, typer.Argument(metavar="MASK.mrc", help="The corrected mask.")],
    note: Annotated[str, typer.Option("--note", help="What was changed, for people.")] = "",
    server: Server = None,
    json: Json = False,
) -> None:
    """Keep a corrected mask with its job, beside the mask that the engine made, and print the name it has there.

    The mask must have the tomogram's shape. The same content again is not kept twice.
    """
    import cryomamba

    display = stderr_reporter(json=json)
    try:
        with interruptible(), cryomamba.connect(server) as client:
            record = client.revise(
                resolve(client, job), mask.absolute(), note=note, progress=partial(display.transfer, mask.name)
            )
    finally:
        display.close()
    if json:
        output.document(record)
    else:
        output.say(record.revisions[-1].name)
