"""``upload``: a tomogram to a server, so that jobs can name it by its id."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from cryomamba_cli import output
from cryomamba_cli.options import Json, Server
from cryomamba_cli.reporter import stderr_reporter
from cryomamba_cli.signals import interruptible


def upload(
    file: Annotated[Path, typer.Argument(metavar="IN.mrc", help="The tomogram.")],
    parallel: Annotated[int, typer.Option("--parallel", min=1, max=16, help="Parts at a time.")] = 4,
    server: Server = None,
    json: Json = False,
) -> None:
    """Send a tomogram to a server and print its file id.

    An upload that was interrupted goes on where it was when the command is given again, and a file that the server
    has already is not sent twice. 'cryomamba segment --server http://…' sends what the server cannot see by itself.
    """
    import cryomamba

    display = stderr_reporter(json=json)
    try:
        with interruptible(), cryomamba.connect(server) as client:
            record = client.upload(
                file,
                progress=partial(display.transfer, file.name),
                reading=partial(display.transfer, f"reading {file.name}"),
                parallel=parallel,
            )
    finally:
        display.close()
    if json:
        output.document(record)
    else:
        output.say(record.file_id)
