"""One task of an array: the loop of a batch over a few tomograms, in a part of the work folder of its own."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING

from cryomamba.errors import JobFailedError
from cryomamba_cli.batch.display import TextDisplay
from cryomamba_cli.batch.plan import Options, Plan
from cryomamba_cli.batch.record import recipe_of
from cryomamba_cli.batch.rows import Row
from cryomamba_cli.batch.run_session import Source, counts_text, session_loop
from cryomamba_cli.batch.runners import InProcessRunner
from cryomamba_cli.batch.session import Session, State
from cryomamba_cli.batch.tomogram_list import listed
from cryomamba_cli.batch.work_folder import WorkFolder
from cryomamba_cli.signals import Interrupted, interruptible
from cryomamba_cli.slurm.folders import results_of
from cryomamba_cli.slurm.submission import Submission

if TYPE_CHECKING:
    from cryomamba.engines.info import EngineInfo


class NoReport:
    """Writes no report: that of a submission is written when all its tasks have ended."""

    def update(self, rows: Callable[[], list[Row]], *, final: bool = False) -> None:
        """Do nothing."""

    def changed(self) -> None:
        """Do nothing."""


def run_task(folder: Path, submission: Submission, info: EngineInfo, number: int, processes: int) -> None:
    """Segment the tomograms of a task; those that are done are skipped.

    Parameters
    ----------
    folder : Path
        That of the submission.
    submission : Submission
    info : EngineInfo
        Its engine.
    number : int
        Of the task, from 1.
    processes : int
        For each tomogram.

    Raises
    ------
    JobFailedError
        A tomogram failed.
    Interrupted
        SLURM ends the task; the tomogram that was segmented has no result.
    ConflictError
        Another program works with these results.
    """
    tasks = submission.segmented(info, number)
    plans = {name: Plan(task, recipe_of(task, info.parameters)) for name, task in tasks.items()}
    found = {name: listed([task.tomogram])[task.tomogram] for name, task in tasks.items()}
    session, display = Session(), TextDisplay()
    with ExitStack() as stack:
        work = stack.enter_context(WorkFolder(results_of(folder), f"{folder.name}-{number}"))
        stack.enter_context(closing(display))
        interrupts = stack.enter_context(interruptible())
        loop = session_loop(
            session,
            Source(lambda: found, plans.__getitem__),
            Options(force=submission.force, pictures=submission.pictures),
            work,
            InProcessRunner(processes),
            1,
            display,
            NoReport(),
        )
        try:
            with interrupts.deferred():
                loop.run(interrupts.pending)
        except Interrupted:
            display.note(f"Interrupted: {counts_text(session)}. Submit the same command again to continue.")
            raise
        work.remove()
    failed = session.counts()[State.FAILED]
    if failed:
        raise JobFailedError(f"{failed} of {len(session)} tomograms failed.")
