"""``watch-folder``: segment tomograms as they appear in a folder."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from cryomamba.errors import InvalidRequestError, JobFailedError, UnavailableError
from cryomamba.output_paths import require_outputs
from cryomamba_cli import output
from cryomamba_cli.batch.halves import Halves
from cryomamba_cli.engines import choose, offered
from cryomamba_cli.options import Json, Parameters, Slots, VoxelSize, voxel_size
from cryomamba_cli.parameters import parse
from cryomamba_cli.segment_options import DryRun, EngineName, Scores
from cryomamba_cli.task_template import TaskTemplate

if TYPE_CHECKING:
    from cryomamba.engines.info import EngineInfo
    from cryomamba_cli.batch.notifications import Webhook
    from cryomamba_cli.batch.run_session import Target
    from cryomamba_cli.batch.session import Session, Sighting
    from cryomamba_cli.batch.watched_folder import WatchedFolder

_SERVER_PAUSE_S: Final = 5.0
"""Between two tries to reach a server that is away at the start."""

Folder = Annotated[
    Path, typer.Argument(metavar="DIR", help="Folder in which tomograms appear, also in its subfolders.")
]
OutDir = Annotated[
    Path | None,
    typer.Option(
        "--out-dir", "-o", help="Folder for the results, with the same subfolders; beside the tomograms if not given."
    ),
]
ComputeServer = Annotated[
    str | None, typer.Option("--server", "-s", metavar="URL", help="Segment on this server instead of this machine.")
]
Formats = Annotated[
    list[str] | None,
    typer.Option("--format", metavar="EXTENSION", help="Also write results in this format; as for 'segment'."),
]
Poll = Annotated[
    float, typer.Option("--poll", min=0.05, metavar="SECONDS", help="Interval between scans of the folder.")
]
Stable = Annotated[
    float,
    typer.Option(
        "--stable",
        min=0.0,
        metavar="SECONDS",
        help="Time for which a file must stay unchanged before it counts as complete. Its header must also describe as "
        "many voxels as it has. A file that was renamed into place is taken at once.",
    ),
]
Stalled = Annotated[
    float,
    typer.Option(
        "--stalled",
        min=0.0,
        metavar="SECONDS",
        help="Time without a change after which a file that is incomplete, or is not a tomogram, is reported as "
        "failed.",
    ),
]
Once = Annotated[
    bool, typer.Option("--once", help="Exit once all tomograms in the folder are done, for example for cron.")
]
RetryFailed = Annotated[
    bool,
    typer.Option(
        "--retry-failed", help="Also retry tomograms that failed in an earlier run and have not changed since."
    ),
]
Pictures = Annotated[
    bool, typer.Option("--pictures/--no-pictures", help="Draw a picture and a short movie of each mask.")
]
RulesFile = Annotated[
    Path | None,
    typer.Option(
        "--rules",
        metavar="FILE.toml",
        help="TOML file with rules that assign engines and parameters to tomograms; see the guide.",
    ),
]
HalvesOption = Annotated[
    Halves,
    typer.Option(
        "--halves",
        help="How half-tomograms (EVN and ODD in their names) are segmented: their mean, one of them, or each.",
    ),
]
Command = Annotated[
    str | None,
    typer.Option(
        "--command",
        metavar="COMMAND",
        help="Command to run for each tomogram that is done or has failed, with its record as JSON on standard input; "
        "{name}, {state}, {mask} and {record} (its path) are replaced.",
    ),
]
WebhookUrl = Annotated[
    str | None,
    typer.Option(
        "--webhook",
        metavar="URL",
        help="URL to which the record of each tomogram is sent when it is done or has failed.",
    ),
]
WebhookSecret = Annotated[
    Path | None,
    typer.Option(
        "--webhook-secret",
        metavar="FILE",
        help="Sign these messages with the secret in this file, by the Standard Webhooks specification. A file "
        "that does not exist is created.",
    ),
]


def watch_folder(
    folder: Folder,
    out_dir: OutDir = None,
    engine: EngineName = None,
    param: Parameters = None,
    size: VoxelSize = None,
    server: ComputeServer = None,
    slots: Slots = None,
    scores: Scores = False,
    formats: Formats = None,
    pictures: Pictures = True,
    rules: RulesFile = None,
    halves: HalvesOption = Halves.SEPARATE,
    command: Command = None,
    webhook: WebhookUrl = None,
    webhook_secret: WebhookSecret = None,
    poll: Poll = 2.0,
    stable: Stable = 10.0,
    stalled: Stalled = 600.0,
    once: Once = False,
    retry_failed: RetryFailed = False,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Segment tomograms as they appear in a folder, until Ctrl-C or SIGTERM.

    The folder is listed again and again, so this also works on network file systems. Tomograms that were segmented
    before with the same content and parameters are skipped, so the command can be stopped, killed and started again at
    any time. Results appear under their names when they are complete; report.html and summary.csv list all tomograms.
    """
    # Not at the start: what a batch needs takes long to import.
    from cryomamba_cli.batch.folder_scan import FolderScanner
    from cryomamba_cli.batch.notifications import split_command
    from cryomamba_cli.batch.plan import Options
    from cryomamba_cli.batch.planning import FolderPlanner, Method
    from cryomamba_cli.batch.rules import Rules, read_rules
    from cryomamba_cli.batch.run_session import Source, run_session
    from cryomamba_cli.batch.session import Session
    from cryomamba_cli.batch.watched_folder import UniquePlans, WatchedFolder
    from cryomamba_cli.segment_batch import print_planned

    require_folder(folder)
    if command is not None:
        split_command(command)
    announced = _webhook(webhook, webhook_secret)
    rule_file = Rules() if rules is None else read_rules(rules)
    engines = engines_when_there(server)
    info = choose(engines, engine)
    params = parse(param or (), info.parameters, owner=info.name)
    template = TaskTemplate(info, params, voxel_size(size), scores=scores, formats=tuple(formats or ()))
    method = Method(template, halves)
    results = out_dir or folder
    planner = FolderPlanner(folder, results, method, rule_file, engines, check_parameters=server is None)
    watched = WatchedFolder(FolderScanner(folder, out_dir, _report_unreadable), folder, stable, planner.group)
    if dry_run:
        plans = UniquePlans(folder, planner.plan)
        print_planned([plans.plan(path) for path in sorted(watched.look())], server=server is not None, json=json)
        return
    target = _target(folder, results, server, slots, command, announced, json=json)
    source = Source(lambda: _alive(watched), UniquePlans(folder, planner.plan).plan, planner.files_of)
    options = Options(poll_s=poll, once=once, watched=True, retry_failed=retry_failed, pictures=pictures)
    session = Session(stable_s=stable, stalled_s=stalled)
    text = f"Watching '{folder}': {{}} at a time with {info.name}, results in '{target.results}'. Ctrl-C ends it."
    run_session(session, source, target, options, lambda count: _ready(text.format(count)))
    _end(session, target)


def _webhook(url: str | None, secret: Path | None) -> Webhook | None:
    from cryomamba_cli.batch.notifications import Webhook
    from cryomamba_server.webhook_signing import read_or_make_webhook_secret

    if url is None:
        if secret is not None:
            raise InvalidRequestError("A secret was given, but no webhook.", hint="Add --webhook URL.")
        return None
    return Webhook(url, None if secret is None else read_or_make_webhook_secret(secret))


def _target(
    folder: Path,
    results: Path,
    server: str | None,
    slots: int | None,
    command: str | None,
    webhook: Webhook | None,
    *,
    json: bool,
) -> Target:
    """Return where the results go, after a check that they can."""
    from cryomamba_cli.batch.report import REPORT, SUMMARY
    from cryomamba_cli.batch.run_session import Target

    require_outputs([results / SUMMARY, results / REPORT], replace=True, folder=results)
    title = f"Tomograms in {folder.absolute().name}"
    return Target(results, title, server, slots, command=command, webhook=webhook, json=json)


def _end(session: Session, target: Target) -> None:
    """Print how a session ended; that tomograms failed is an error."""
    from cryomamba_cli.batch.report import REPORT
    from cryomamba_cli.batch.run_session import print_counts

    failed = print_counts(session, target.results, json=target.json)
    if failed:
        raise JobFailedError(
            f"{failed} of {len(session)} tomograms failed.", hint=f"See '{target.results / REPORT}' for the reasons."
        )


def engines_when_there(server: str | None) -> Sequence[EngineInfo]:
    """Return the engines of a server, which is waited for, or of this environment for None.

    Raises
    ------
    CryoMambaError
        The server refuses.
    """
    announced = ""
    while True:
        try:
            found = offered(server)
        except UnavailableError as error:
            if server is None:
                raise
            found, problem = [], str(error)
        else:
            problem = "The server has no worker yet."
        # A server that starts answers before its first worker has connected and said which engines there are.
        if found or server is None:
            return found
        if problem != announced:
            output.note(f"{problem} Retrying every {_SERVER_PAUSE_S:.0f} s.")
        announced = problem
        time.sleep(_SERVER_PAUSE_S)


def require_folder(folder: Path) -> None:
    """Refuse a folder that does not exist.

    Raises
    ------
    InvalidRequestError
    """
    if not folder.is_dir():
        raise InvalidRequestError(
            f"'{folder}' is not a folder.",
            hint="Give the folder into which tomograms are written; create it if needed.",
        )


def _ready(message: str) -> None:
    from cryomamba_server.systemd import READY, notify_systemd

    output.note(message)
    notify_systemd(READY)


def _alive(watched: WatchedFolder) -> Mapping[Path, Sighting]:
    from cryomamba_server.systemd import ALIVE, notify_systemd

    notify_systemd(ALIVE)
    return watched.look()


def _report_unreadable(folder: Path, error: OSError) -> None:
    output.note(f"'{folder}' cannot be listed: {error.strerror}; its tomograms are left out.")
