"""``doctor``: check the installation."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from cryomamba_cli import output
from cryomamba_cli.options import Json
from cryomamba_server.exit_codes import ExitCode


def doctor(
    server: Annotated[str | None, typer.Option("--server", "-s", metavar="URL", help="Check this server too.")] = None,
    json: Json = False,
) -> None:
    """Check versions, extras, disk, services, engines and GPU, with hints on how to fix problems."""
    from cryomamba_server.diagnostics import run_checks

    results = run_checks(server)
    if json:
        output.document([asdict(result) for result in results])
    else:
        for result in results:
            output.say(f"{result.level:<5}{result.what}: {result.message}")
            if result.hint and result.level != "ok":
                output.say(f"     → {result.hint}")
    if any(result.level == "fail" for result in results):
        raise typer.Exit(ExitCode.JOB_FAILED)
