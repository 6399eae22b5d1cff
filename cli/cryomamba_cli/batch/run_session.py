"""Run a session from a command: signals, the lock on the folder of the results, and what is said at the end."""

from __future__ import annotations

import queue
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

from cryomamba_cli import output
from cryomamba_cli.batch.display import Display, session_display
from cryomamba_cli.batch.intake import Intake
from cryomamba_cli.batch.loop import Message, SessionLoop
from cryomamba_cli.batch.notifications import Notifier, Webhook
from cryomamba_cli.batch.open_runner import open_runner
from cryomamba_cli.batch.plan import Options, Plan
from cryomamba_cli.batch.report import REPORT, SUMMARY, ReportFiles
from cryomamba_cli.batch.results import Report, SessionResults
from cryomamba_cli.batch.session import Files, Session, Sighting, State
from cryomamba_cli.batch.tomogram_run import Runner
from cryomamba_cli.batch.work_folder import WorkFolder
from cryomamba_cli.signals import Interrupted, interruptible


@dataclass(frozen=True, slots=True)
class Source:
    """Where the tomograms of a session come from.

    Attributes
    ----------
    look : callable
        Returns the tomograms that there are now; may raise OSError.
    plan : callable
        Returns how a tomogram is segmented.
    files_of : callable
        Returns of how many files a tomogram is: one, or two half-tomograms.
    """

    look: Callable[[], Mapping[Path, Sighting]]
    plan: Callable[[Path], Plan]
    files_of: Callable[[Path, Files], int] = lambda *_: 1


@dataclass(frozen=True, slots=True)
class Target:
    """Where a session segments, and where its results go.

    Attributes
    ----------
    results : Path
        Existing folder of the results.
    title : str
        Of the report.
    server : str or None
    slots, tomograms : int or None
        As for :func:`~cryomamba_cli.batch.open_runner.open_runner`.
    command : str or None
    webhook : Webhook or None
        As for :class:`~cryomamba_cli.batch.notifications.Notifier`.
    json : bool
        Whether to print lines of JSON.
    dask : str or None
        As for :func:`~cryomamba_cli.batch.open_runner.open_runner`.
    """

    results: Path
    title: str
    server: str | None = None
    slots: int | None = None
    tomograms: int | None = None
    command: str | None = None
    webhook: Webhook | None = None
    json: bool = False
    dask: str | None = None


def run_session(
    session: Session, source: Source, target: Target, options: Options, began: Callable[[int], None] = lambda _: None
) -> None:
    """Run a session to its end.

    Parameters
    ----------
    session : Session
    source : Source
    target : Target
    options : Options
    began : callable
        Called with the number of tomograms at once when the folder is locked and the server was reached.

    Raises
    ------
    Interrupted
        A signal has arrived; what was running is interrupted, and the report says so.
    ConflictError
        Another session writes to the same folder.
    """
    with ExitStack() as stack:
        work = stack.enter_context(WorkFolder(target.results))
        opened = open_runner(
            target.server, target.slots, target.tomograms, cancels=not options.watched, dask=target.dask
        )
        runner, slots = stack.enter_context(opened)
        display = stack.enter_context(closing(session_display(json=target.json, bar=options.once)))
        interrupts = stack.enter_context(interruptible())
        report = ReportFiles(target.results, work.scratch, target.title)
        announces = target.command is not None or target.webhook is not None
        notifier = Notifier(target.command, target.webhook, work.scratch) if announces else None
        loop = session_loop(session, source, options, work, runner, slots, display, report, notifier)
        began(slots)
        try:
            with interrupts.deferred():
                loop.run(interrupts.pending)
        except Interrupted:
            display.note(f"Interrupted: {counts_text(session)}. Run the same command again to continue.")
            display.note(f"Report: {target.results / REPORT}")
            raise


def session_loop(
    session: Session,
    source: Source,
    options: Options,
    work: WorkFolder,
    runner: Runner,
    slots: int,
    display: Display,
    report: Report,
    notifier: Notifier | None = None,
) -> SessionLoop:
    """Return the loop of a session that segments `slots` tomograms at once."""
    messages: queue.SimpleQueue[Message] = queue.SimpleQueue()
    results = SessionResults(
        session, source.plan, work, display, report, notifier, lambda path, record: messages.put((path, record))
    )
    intake = Intake(session, results, source.look, source.plan, options, source.files_of)
    return SessionLoop(intake, results, messages, runner, slots, options)


def counts_text(session: Session) -> str:
    """Return how many tomograms are in each state, as text."""
    counts = session.counts()
    words = {State.WAITING: "not started", State.ARRIVING: "not complete yet"}
    found = [f"{counts[state]} {words.get(state, state)}" for state in State if counts[state]]
    return ", ".join(found) or "no tomograms"


def print_counts(session: Session, results: Path, *, json: bool) -> int:
    """Print how a batch ended, and return how many tomograms failed."""
    counts = session.counts()
    ended = {str(state): counts[state] for state in (State.DONE, State.SKIPPED, State.FAILED)}
    report, summary = results / REPORT, results / SUMMARY
    if json:
        output.line(
            {"type": "summary", "job_id": None, "data": {**ended, "table": str(summary), "report": str(report)}}
        )
    else:
        output.note(", ".join(f"{count} {state}" for state, count in ended.items()))
        output.say(str(summary))
        output.say(str(report))
    return ended[State.FAILED]
