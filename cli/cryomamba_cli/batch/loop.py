"""The loop of a session: looks at the folder, starts and collects the work, and keeps the report up to date.

Everything but the work on single tomograms happens in one thread, that of :meth:`SessionLoop.run`.
"""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol

from cryomamba.errors import CryoMambaError, ErrorCode, JobFailedError, UnavailableError
from cryomamba.models.events import Event, ProgressEvent
from cryomamba.models.jobs import Progress
from cryomamba.printable import file_text
from cryomamba_cli.batch.display import Display
from cryomamba_cli.batch.inspection import inspect_files
from cryomamba_cli.batch.record import PENDING, FileFacts, TomogramRecord, made_from, matching_record
from cryomamba_cli.batch.rows import Row
from cryomamba_cli.batch.session import Files, Session, Sighting, State, Tomogram
from cryomamba_cli.batch.tomogram_run import Outcome, Runner, TomogramRun, failure_record
from cryomamba_cli.batch.work_folder import WorkFolder
from cryomamba_cli.segmentation_task import Task

_TICK_S: Final = 0.2
"""How soon a signal, a result or a postponed tomogram is noticed."""
_TRIES: Final = 3
"""Tries of a tomogram whose error may pass, other than that of a server that is away or a full disk."""
_FIRST_PAUSE_S: Final = 5.0
_LONGEST_PAUSE_S: Final = 300.0
_INTERRUPTIONS: Final = 5
"""So often the program may be ended while it works on one tomogram, before that is taken as its fault."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How a tomogram is segmented.

    Attributes
    ----------
    task : Task
    recipe : mapping
        See :func:`~cryomamba_cli.batch.record.recipe_of`.
    conflict : CryoMambaError or None
        Why it cannot be: its results would replace those of another tomogram.
    """

    task: Task
    recipe: Mapping[str, Any]
    conflict: CryoMambaError | None = None


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


@dataclass(frozen=True, slots=True)
class Options:
    """How a session behaves.

    Attributes
    ----------
    poll_s : float
        Seconds between two looks at the folder.
    once : bool
        Whether to return when every tomogram has ended.
    watched : bool
        Whether results of earlier runs belong to the session, errors that may pass are waited out, and masks of
        CryoMamba are left out.
    force : bool
        Repeat what was done before, and overwrite files of others.
    retry_failed : bool
        Whether tomograms that failed in an earlier run are tried again.
    pictures : bool
    server : bool
        Whether a tomogram may be one that only a server has.
    """

    poll_s: float = 2.0
    once: bool = True
    watched: bool = False
    force: bool = False
    retry_failed: bool = True
    pictures: bool = False
    server: bool = False


@dataclass(slots=True)
class SessionLoop:
    """The loop of a session.

    Attributes
    ----------
    session : Session
    look : callable
        Returns the tomograms that there are now; may raise OSError.
    plan : callable
        Returns how a tomogram is segmented.
    work : WorkFolder
    runner : Runner
    slots : int
        Tomograms at once.
    options : Options
    display : Display
    report : Report
    notifier : Notifier or None
    files_of : callable
        Returns of how many files a tomogram is: one, or two half-tomograms.
    """

    session: Session
    look: Callable[[], Mapping[Path, Sighting]]
    plan: Callable[[Path], Plan]
    work: WorkFolder
    runner: Runner
    slots: int
    options: Options
    display: Display
    report: Report
    notifier: Notifier | None = None
    files_of: Callable[[Path, Files], int] = lambda *_: 1
    _records: dict[Path, TomogramRecord] = field(default_factory=dict)
    _progress: dict[Path, Progress] = field(default_factory=dict)
    _numbers: dict[Path, int] = field(default_factory=dict)
    _own_results: dict[Path, Sighting] = field(default_factory=dict)
    _interrupted: dict[str, int] = field(default_factory=dict)
    _events: queue.SimpleQueue[tuple[Path, Progress | Outcome | TomogramRecord]] = field(
        default_factory=queue.SimpleQueue
    )
    _running: int = 0
    _unreadable: str = ""

    def run(self, stopping: Callable[[], bool]) -> None:
        """Process tomograms until all have ended or `stopping` returns True; then running ones are interrupted."""
        self._interrupted = self.work.recover()
        next_look = 0.0
        with ThreadPoolExecutor(self.slots, thread_name_prefix="tomogram") as pool:
            while not stopping():
                now = time.monotonic()
                if now >= next_look:
                    self._look(now)
                    next_look = now + self.options.poll_s
                self._inspect(now, stopping)
                self._start(pool, stopping)
                self.report.update(self.rows)
                if self.options.once and self.session.ended and not self._unreadable:
                    break
                self._collect(min(_TICK_S, max(next_look - now, 0.0)))
            while self._running:
                self._collect(_TICK_S)
        if self.notifier is not None:
            self.notifier.close(finish=not stopping())
            self._collect(0.0)
        self.session.stop()
        self.report.update(self.rows, final=True)

    def rows(self) -> list[Row]:
        """Return all tomograms, as they are now."""
        return [self._row(one) for one in self.session]

    def _look(self, now: float) -> None:
        try:
            found = self.look()
        except OSError as error:
            # Nothing is known of the tomograms then, so that none is taken for removed.
            problem = f"The folder cannot be listed: {error.filename}: {error.strerror}. It is tried again."
            if problem != self._unreadable:
                self.display.note(problem)
            self._unreadable = problem
            return
        self._unreadable = ""
        if self.session.see({path: one for path, one in found.items() if not self._is_known_result(path, one)}, now):
            self.report.changed()
        for one in self.session:
            if one.path not in self._numbers:
                self._numbers[one.path] = len(self._numbers) + 1
                one.interruptions = self._interrupted.pop(file_text(one.path), 0)

    def _is_known_result(self, path: Path, sighting: Sighting) -> bool:
        known = self._own_results.get(path)
        return known is not None and known.files == sighting.files

    def _inspect(self, now: float, stopping: Callable[[], bool]) -> None:
        for one in self.session.to_inspect(now):
            if stopping():
                return
            plan = self.plan(one.path)
            if plan.conflict is not None:
                self._fail(one, plan, plan.conflict)
                continue
            record = None if self.options.force else matching_record(plan.task, plan.recipe)
            if record is not None and made_from(record, one.files) and self._counts(record):
                self._decide(one, plan, record)
            elif one.interruptions >= _INTERRUPTIONS:
                self._fail(one, plan, _interrupted_too_often(one.interruptions))
            else:
                self._check(one, plan, now)

    def _counts(self, record: TomogramRecord) -> bool:
        return record.state == "done" or not self.options.retry_failed

    def _decide(self, one: Tomogram, plan: Plan, record: TomogramRecord) -> None:
        state = State.FAILED if record.state == "failed" else State.DONE if self.options.watched else State.SKIPPED
        self.session.decided(one.path, state)
        self._records[one.path] = record
        # The program may have been killed between the record and the end of its work.
        self.work.end(one.path)
        self._notify(one, plan, record)
        self.report.changed()
        if not self.options.watched:
            self.display.changed(self._row(one), len(self.session))

    def _check(self, one: Tomogram, plan: Plan, now: float) -> None:
        if not one.files and self.options.server:
            self.session.inspected(one.path, now)
            return
        found = inspect_files(one.files or [one.path], self.files_of(one.path, one.files))
        if found.own_result and self.options.watched:
            self._own_results[one.path] = Sighting(one.files)
            self.session.forget(one.path)
            return
        problem = "" if found.error is None else str(found.error)
        if problem != one.problem:
            self.report.changed()
        self.session.inspected(one.path, now, problem)
        if one.state is State.FAILED and found.error is not None:
            self._ended(one, plan, self._failure(one, plan, found.error))

    def _fail(self, one: Tomogram, plan: Plan, error: CryoMambaError) -> None:
        self.session.decided(one.path, State.FAILED)
        self._ended(one, plan, self._failure(one, plan, error))

    def _failure(self, one: Tomogram, plan: Plan, error: CryoMambaError) -> TomogramRecord:
        inputs = tuple(
            FileFacts(name=file_text(path.name), size_bytes=state.size_bytes, mtime_ns=state.mtime_ns)
            for path, state in one.files.items()
        )
        # The record of a tomogram whose mask would replace another one's would replace that one's record.
        scratch = self.work.scratch if plan.conflict is None else None
        notify = self.notifier is not None and scratch is not None
        return failure_record(one.path, plan.task, plan.recipe, inputs, error, scratch=scratch, notify=notify)

    def _start(self, pool: ThreadPoolExecutor, stopping: Callable[[], bool]) -> None:
        for one in self.session.start(self.slots - self._running, time.monotonic()):
            plan = self.plan(one.path)
            self._records.pop(one.path, None)
            self._progress.pop(one.path, None)
            run = TomogramRun(
                path=one.path,
                task=plan.task,
                recipe=plan.recipe,
                inputs=tuple(one.files) or (one.path,),
                work=self.work,
                runner=self.runner,
                pictures=self.options.pictures,
                notify=self.notifier is not None,
                force=self.options.force,
                interruptions=one.interruptions,
                keep_failure=partial(self._is_final, tries=one.tries),
            )
            self._running += 1
            self.display.changed(self._row(one), len(self.session))
            self.report.changed()
            pool.submit(self._work, run, stopping)

    def _work(self, run: TomogramRun, stopping: Callable[[], bool]) -> None:
        """Run in a thread of the pool; what happens is handed to the loop's thread."""

        def on_event(event: Event) -> None:
            if isinstance(event, ProgressEvent):
                self._events.put((run.path, event.progress))

        outcome = Outcome(State.FAILED, None, JobFailedError("The work on this tomogram could not begin."))
        try:
            outcome = run.run(on_event, stopping)
        except OSError as error:
            outcome = Outcome(State.FAILED, None, UnavailableError(f"The work could not begin: {error}."))
        finally:
            self._events.put((run.path, outcome))

    def _collect(self, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                path, event = self._events.get(timeout=max(deadline - time.monotonic(), 0.0))
            except queue.Empty:
                break
            if isinstance(event, Progress):
                self._progress[path] = event
                continue
            if isinstance(event, TomogramRecord):
                if path in self._records:
                    self._records[path] = event
                    self.report.changed()
                continue
            self._running -= 1
            self._take(self.session[path], event)
            if self._running < self.slots:
                break
        running = [self._row(one) for one in self.session if one.state is State.RUNNING]
        if running:
            ended = sum(one.state.final for one in self.session)
            self.display.progress(running, ended, len(self.session))

    def _take(self, one: Tomogram, outcome: Outcome) -> None:
        if outcome.state is State.INTERRUPTED:
            self.session.end(one.path, State.INTERRUPTED)
        elif outcome.record is None and outcome.error is not None:
            self._postpone(one, outcome.error)
        elif outcome.record is not None:
            skipped = State.DONE if self.options.watched else State.SKIPPED
            state = skipped if outcome.state is State.SKIPPED else outcome.state
            if self.session.end(one.path, state):
                self._ended(one, self.plan(one.path), outcome.record)
        self.report.changed()

    def _postpone(self, one: Tomogram, error: CryoMambaError) -> None:
        pause_s = self._pause(error, one.tries)
        if pause_s is None:
            # The run itself could not begin.
            if self.session.end(one.path, State.FAILED):
                plan = self.plan(one.path)
                self._ended(one, plan, self._failure(one, plan, error))
            return
        self.session.postpone(one.path, f"{error} It is tried again in {pause_s:.0f} s.", time.monotonic() + pause_s)
        self.display.changed(self._row(one), len(self.session))

    def _pause(self, error: CryoMambaError, tries: int) -> float | None:
        """Return after how many seconds a tomogram is tried again; None if the error is final."""
        passes = error.retryable or error.code is ErrorCode.VOLUME_CHANGED
        endless = isinstance(error, UnavailableError)
        if not self.options.watched or not passes or (tries + 1 >= _TRIES and not endless):
            return None
        return float(min(_FIRST_PAUSE_S * 2**tries, _LONGEST_PAUSE_S))

    def _is_final(self, error: CryoMambaError, tries: int) -> bool:
        return self._pause(error, tries) is None

    def _ended(self, one: Tomogram, plan: Plan, record: TomogramRecord) -> None:
        self._records[one.path] = record
        self.work.end(one.path)
        self.display.changed(self._row(one), len(self.session))
        self.report.changed()
        self._notify(one, plan, record)

    def _notify(self, one: Tomogram, plan: Plan, record: TomogramRecord) -> None:
        if self.notifier is not None and record.notification == PENDING:
            self.notifier.notify(one.path, plan.task.mask, record, lambda path, done: self._events.put((path, done)))

    def _row(self, one: Tomogram) -> Row:
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
        )


def _interrupted_too_often(count: int) -> CryoMambaError:
    return JobFailedError(
        f"The program was ended {count} times while it worked on this tomogram.",
        hint="Memory may be too small for it: try it alone, with fewer processes (CRYOMAMBA_PROCESSES).",
    )
