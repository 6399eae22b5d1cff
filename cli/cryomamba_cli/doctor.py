"""``doctor``: check the installation."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cryomamba.errors import CryoMambaError
from cryomamba.output_paths import require_outputs
from cryomamba_cli import output
from cryomamba_cli.configuration_file import applied, candidates, read_defaults
from cryomamba_cli.options import Force, Json
from cryomamba_server.exit_codes import ExitCode

if TYPE_CHECKING:
    from cryomamba_server.check_result import CheckResult


def doctor(
    context: typer.Context,
    server: Annotated[str | None, typer.Option("--server", "-s", metavar="URL", help="Check this server too.")] = None,
    report: Annotated[
        Path | None,
        typer.Option(
            "--report",
            metavar="FILE.md",
            help="Also write a file for a bug report: the checks, settings and packages, without tokens, keys, and the "
            "names of user and machine.",
        ),
    ] = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Check extras, disk, memory, display, keys, services, models and GPU; each finding has the command that helps."""
    from cryomamba_server.diagnostics import run_checks

    if report is not None:
        require_outputs([report], replace=force)
    results = [*run_checks(server), *_configuration(context)]
    if report is not None:
        from cryomamba.atomic import write_atomically
        from cryomamba_server.bug_report import bug_report

        files = [path for path in candidates() if path.is_file()]
        write_atomically(report, bug_report(results, files).encode())
    if json:
        output.document([asdict(result) for result in results])
    else:
        for result in results:
            output.say(f"{result.level:<5}{result.what}: {result.message}")
            if result.hint and result.level != "ok":
                output.say(f"     → {result.hint}")
        if report is not None:
            output.note(f"The report is in {report}. Read it before you send it.")
    if any(result.level == "fail" for result in results):
        raise typer.Exit(ExitCode.JOB_FAILED)


def _configuration(context: typer.Context) -> list[CheckResult]:
    """Report the configuration files, and what they set."""
    from cryomamba_server.check_result import CheckResult

    try:
        read_defaults(context.find_root().command)
    except CryoMambaError as error:
        return [CheckResult("fail", "configuration", error.message, error.hint)]
    defaults = applied.get()
    if not defaults.files:
        return [
            CheckResult("ok", "configuration", f"no file; these are looked for: {' and '.join(map(str, candidates()))}")
        ]
    return [
        CheckResult(
            "ok",
            "configuration",
            f"{path}: {', '.join(name for name, source in defaults.sources.items() if source == path) or 'nothing'}",
        )
        for path in defaults.files
    ]
