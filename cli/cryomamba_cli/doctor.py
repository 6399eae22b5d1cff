"""``doctor``: is this machine in order, and what to do where it is not."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from cryomamba_cli import output
from cryomamba_cli.options import Json
from cryomamba_server.exit_codes import ExitCode


def doctor(
    server: Annotated[
        str | None, typer.Option("--server", "-s", metavar="URL", help="Look at this server as well.")
    ] = None,
    json: Json = False,
) -> None:
    """Look at versions, extras, disk, services, engines and GPU, and say what to do about what is missing."""
    from cryomamba_server.diagnostics import examine

    findings = examine(server)
    if json:
        output.document([asdict(finding) for finding in findings])
    else:
        for finding in findings:
            output.say(f"{finding.level:<5}{finding.what}: {finding.message}")
            if finding.hint and finding.level != "ok":
                output.say(f"     → {finding.hint}")
    if any(finding.level == "fail" for finding in findings):
        raise typer.Exit(ExitCode.JOB_FAILED)
