"""``upload``: send a tomogram to a server, so that jobs can use it by its file id."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from cryomamba_cli import output
from cryomamba_cli.options import Json, Server
from cryomamba_cli.reporter import stderr_reporter
from cryomamba_cli.signals import Interrupted, interruptible


def upload(
    file: Annotated[Path, typer.Argument(metavar="IN.mrc", help="Tomogram to upload.")],
    parallel: Annotated[
        int, typer.Option("--parallel", min=1, max=16, help="Number of parts sent at the same time.")
    ] = 4,
    server: Server = None,
    json: Json = False,
) -> None:
    """Upload a tomogram to a server and print its file id.

    Run the command again to resume an interrupted upload. A file that the server already has is not sent again.
    'cryomamba segment --server http://…' uploads a tomogram by itself where necessary.
    """
    import cryomamba
    from cryomamba.client.address import local_gateway

    with stderr_reporter(json=json) as display, interruptible(), cryomamba.connect(server or local_gateway()) as client:
        # A server that is away is named at once; one that goes away during the upload is waited for.
        client.info()
        try:
            record = client.upload(
                file,
                progress=partial(display.transfer, file.name),
                reading=partial(display.transfer, f"reading {file.name}"),
                parallel=parallel,
            )
        except Interrupted:
            display.note("Interrupted. Run the same command again to continue the upload.")
            raise
    output.result(record, record.file_id, json=json)
