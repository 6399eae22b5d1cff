"""The results of a session: the record of each tomogram that has ended, kept, shown and announced."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from cryomamba.errors import CryoMambaError
from cryomamba.models.jobs import Progress
from cryomamba.printable import file_text
from cryomamba_cli.batch.display import Display
from cryomamba_cli.batch.plan import Plan
from cryomamba_cli.batch.record import PENDING, FileFacts, TomogramRecord
from cryomamba_cli.batch.rows import Row
from cryomamba_cli.batch.session import Session, State, Tomogram
from cryomamba_cli.batch.tomogram_run import failure_record
from cryomamba_cli.batch.work_folder import WorkFolder


class Report(Protocol):
    """Where the states of a session are shown, and kept."""

    def update(self, rows: Callable[[], list[Row]], *, final: bool = False) -> None:
        """Write the report, unless nothing has changed or it was written a moment ago."""

    def changed(self) -> None:
        """Note that something has changed."""


class Notifier(Protocol):
    """Where the end of a tomogram is announced."""

    def notify(
        self, path: Path, mask: Path, record: TomogramRecord, done: Callable[[Path, TomogramRecord], None]
    ) -> None:
        """Announce it; returns at once. `done` is called later, in any thread, with the record that has the outcome."""

    def close(self, *, finish: bool) -> None:
        """Wait until all is announced; without `finish`, leave what has not begun for the next session."""


@dataclass(slots=True)
class SessionResults:
    """What is known of the tomograms of a session besides their states. For the thread of the session.

    Attributes
    ----------
    session : Session
    plan : callable
        Returns how a tomogram is segmented.
    work : WorkFolder
    display : Display
    report : Report
    notifier : Notifier or None
    announced : callable
        Called in any thread with the path and the record of a tomogram whose command or webhook was run.
    """

    session: Session
    plan: Callable[[Path], Plan]
    work: WorkFolder
    display: Display
    report: Report
    notifier: Notifier | None
    announced: Callable[[Path, TomogramRecord], None]
    _records: dict[Path, TomogramRecord] = field(default_factory=dict)
    _progress: dict[Path, Progress] = field(default_factory=dict)
    _numbers: dict[Path, int] = field(default_factory=dict)

    def row(self, one: Tomogram) -> Row:
        """Return a tomogram as reports and messages show it."""
        task, progress = self.plan(one.path).task, self._progress.get(one.path)
        return Row(
            number=self._numbers[one.path],
            tomogram=str(one.path),
            state=one.state,
            engine=task.engine,
            mask=task.mask,
            record=self._records.get(one.path) if one.state.final else None,
            problem=one.problem,
            fraction=0.0 if progress is None else progress.fraction,
            stage="" if progress is None else progress.stage,
            done_tiles=0 if progress is None else progress.done_tiles,
            total_tiles=0 if progress is None else progress.total_tiles,
        )

    def number(self) -> None:
        """Give tomograms that were not seen before the next numbers."""
        for one in self.session:
            self._numbers.setdefault(one.path, len(self._numbers) + 1)

    def rows(self) -> list[Row]:
        """Return all tomograms, as they are now."""
        return [self.row(one) for one in self.session]

    def begin(self, one: Tomogram) -> None:
        """Show that a tomogram is started; what an earlier run of it gave no longer counts."""
        self._records.pop(one.path, None)
        self._progress.pop(one.path, None)
        self.show(one)

    def progress(self, path: Path, progress: Progress) -> None:
        """Note the progress of a running tomogram."""
        self._progress[path] = progress

    def show(self, one: Tomogram) -> None:
        """Show the new state of a tomogram."""
        self.display.changed(self.row(one), len(self.session))
        self.report.changed()

    def show_progress(self) -> None:
        """Show how far the running tomograms are."""
        running = [self.row(one) for one in self.session if one.state is State.RUNNING]
        if running:
            self.display.progress(running, sum(one.state.final for one in self.session), len(self.session))

    def fail(self, one: Tomogram, error: CryoMambaError) -> None:
        """Keep, show and announce that a tomogram has failed without having been started."""
        self.end(one, self._failure(one, error))

    def end(self, one: Tomogram, record: TomogramRecord, *, silent: bool = False) -> None:
        """Keep and announce the record of a tomogram that has ended, and show it unless `silent`."""
        self._records[one.path] = record
        # The program may have been killed between the record and the end of its work.
        self.work.end(one.path)
        self.report.changed()
        if not silent:
            self.show(one)
        if self.notifier is not None and record.notification == PENDING:
            self.notifier.notify(one.path, self.plan(one.path).task.mask, record, self.announced)

    def replace(self, path: Path, record: TomogramRecord) -> None:
        """Keep the record of a tomogram whose command or webhook was run."""
        if path in self._records:
            self._records[path] = record
            self.report.changed()

    def _failure(self, one: Tomogram, error: CryoMambaError) -> TomogramRecord:
        plan = self.plan(one.path)
        inputs = tuple(
            FileFacts(name=file_text(path.name), size_bytes=state.size_bytes, mtime_ns=state.mtime_ns)
            for path, state in one.files.items()
        )
        # The record of a tomogram whose mask would replace another one's would replace that one's record.
        scratch = self.work.scratch if plan.conflict is None else None
        notify = self.notifier is not None and scratch is not None
        return failure_record(one.path, plan.task, plan.recipe, inputs, error, scratch=scratch, notify=notify)
