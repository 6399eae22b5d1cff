"""Run a session from a command: signals, the lock on the folder of the results, and what is said at the end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from pathlib import Path

from cryomamba_cli import output
from cryomamba_cli.batch.display import session_display
from cryomamba_cli.batch.loop import Options, Plan, SessionLoop
from cryomamba_cli.batch.notifications import Notifier, Webhook
from cryomamba_cli.batch.open_runner import open_runner
from cryomamba_cli.batch.report import REPORT, SUMMARY, ReportFiles
from cryomamba_cli.batch.session import Files, Session, Sighting, State
from cryomamba_cli.batch.work_folder import WorkFolder
from cryomamba_cli.signals import Interrupted, interruptible


def run_session(
    session: Session,
    look: Callable[[], Mapping[Path, Sighting]],
    plan: Callable[[Path], Plan],
    results: Path,
    options: Options,
    *,
    server: str | None,
    slots: int | None,
    tomograms: int | None,
    title: str,
    json: bool,
    command: str | None = None,
    webhook: Webhook | None = None,
    files_of: Callable[[Path, Files], int] = lambda *_: 1,
    began: Callable[[int], None] = lambda _: None,
) -> Session:
    """Run a session to its end.

    Parameters
    ----------
    session, look, plan, files_of
        As for :class:`~cryomamba_cli.batch.loop.SessionLoop`.
    results : Path
        Existing folder of the results.
    server : str or None
    slots, tomograms : int or None
        As for :func:`~cryomamba_cli.batch.open_runner.open_runner`.
    title : str
        Of the report.
    command : str or None
    webhook : Webhook or None
        As for :class:`~cryomamba_cli.batch.notifications.Notifier`.
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
        work = stack.enter_context(WorkFolder(results))
        runner, slots = stack.enter_context(open_runner(server, slots, tomograms, cancels=not options.watched))
        display = stack.enter_context(closing(session_display(json=json, bar=options.once)))
        interrupts = stack.enter_context(interruptible())
        report = ReportFiles(results, work.scratch, title)
        notifier = None if command is None and webhook is None else Notifier(command, webhook, work.scratch)
        loop = SessionLoop(session, look, plan, work, runner, slots, options, display, report, notifier, files_of)
        began(slots)
        try:
            with interrupts.deferred():
                loop.run(interrupts.pending)
        except Interrupted:
            display.note(f"Interrupted: {counts_text(session)}. Run the same command again to continue.")
            display.note(f"Report: {results / REPORT}")
            raise
    return session


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
