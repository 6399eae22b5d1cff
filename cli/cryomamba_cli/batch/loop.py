"""The loop of a session: takes tomograms in, starts and collects the work, and keeps the report up to date.

Everything but the work on single tomograms happens in one thread, that of :meth:`SessionLoop.run`.
"""

from __future__ import annotations

import queue
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

from cryomamba.errors import CryoMambaError, JobFailedError, UnavailableError
from cryomamba.models.events import Event, ProgressEvent
from cryomamba.models.jobs import Progress
from cryomamba_cli.batch.intake import Intake
from cryomamba_cli.batch.plan import Options
from cryomamba_cli.batch.record import TomogramRecord
from cryomamba_cli.batch.results import SessionResults
from cryomamba_cli.batch.retries import pause_s
from cryomamba_cli.batch.session import State, Tomogram
from cryomamba_cli.batch.tomogram_run import Outcome, Runner, TomogramRun

_TICK_S: Final = 0.2
"""How soon a signal, a result or a postponed tomogram is noticed."""

Message = tuple[Path, Progress | Outcome | TomogramRecord]
"""What another thread reports of a tomogram: its progress, how its work ended, or that its end was announced."""


@dataclass(slots=True)
class SessionLoop:
    """The loop of a session.

    Attributes
    ----------
    intake : Intake
    results : SessionResults
        Its `announced` puts records into `messages`.
    messages : queue of tuple
    runner : Runner
    slots : int
        Tomograms at once.
    options : Options
    """

    intake: Intake
    results: SessionResults
    messages: queue.SimpleQueue[Message]
    runner: Runner
    slots: int
    options: Options
    _running: int = field(default=0, init=False)

    def run(self, stopping: Callable[[], bool]) -> None:
        """Process tomograms until all have ended or `stopping` returns True; then running ones are interrupted."""
        results, session = self.results, self.results.session
        self.intake.interrupted = results.work.recover()
        with ThreadPoolExecutor(self.slots, thread_name_prefix="tomogram") as pool:
            self._process(pool, stopping)
            while self._running:
                self._collect(_TICK_S)
        if results.notifier is not None:
            results.notifier.close(finish=not stopping())
            self._collect(0.0)
        session.stop()
        results.report.update(results.rows, final=True)

    def _process(self, pool: ThreadPoolExecutor, stopping: Callable[[], bool]) -> None:
        next_look = 0.0
        while not stopping():
            now = time.monotonic()
            if now >= next_look:
                self.intake.see(now)
                next_look = now + self.options.poll_s
            self.intake.inspect(now, stopping)
            self._start(pool, stopping)
            self.results.report.update(self.results.rows)
            if self.options.once and self.results.session.ended and not self.intake.unreadable:
                return
            self._collect(min(_TICK_S, max(next_look - now, 0.0)))

    def _start(self, pool: ThreadPoolExecutor, stopping: Callable[[], bool]) -> None:
        for one in self.results.session.start(self.slots - self._running, time.monotonic()):
            self._running += 1
            self.results.begin(one)
            pool.submit(self._work, self._run_of(one), stopping)

    def _run_of(self, one: Tomogram) -> TomogramRun:
        plan = self.results.plan(one.path)
        return TomogramRun(
            path=one.path,
            task=plan.task,
            recipe=plan.recipe,
            inputs=tuple(one.files) or (one.path,),
            work=self.results.work,
            runner=self.runner,
            pictures=self.options.pictures,
            notify=self.results.notifier is not None,
            force=self.options.force,
            interruptions=one.interruptions,
            keep_failure=partial(self._is_final, tries=one.tries),
        )

    def _work(self, run: TomogramRun, stopping: Callable[[], bool]) -> None:
        """Run in a thread of the pool; what happens is handed to the loop's thread."""

        def on_event(event: Event) -> None:
            if isinstance(event, ProgressEvent):
                self.messages.put((run.path, event.progress))

        outcome = Outcome(State.FAILED, None, JobFailedError("The segmentation of this tomogram could not be started."))
        try:
            outcome = run.run(on_event, stopping)
        except OSError as error:
            outcome = Outcome(State.FAILED, None, UnavailableError(f"The segmentation could not be started: {error}."))
        finally:
            self.messages.put((run.path, outcome))

    def _collect(self, timeout_s: float) -> None:
        """Take in what happens, until the time is over or another tomogram can be started."""
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                path, message = self.messages.get(timeout=max(deadline - time.monotonic(), 0.0))
            except queue.Empty:
                break
            match message:
                case Progress():
                    self.results.progress(path, message)
                case TomogramRecord():
                    self.results.replace(path, message)
                case Outcome():
                    self._running -= 1
                    self._take(self.results.session[path], message)
                    if self._running < self.slots:
                        break
        self.results.show_progress()

    def _take(self, one: Tomogram, outcome: Outcome) -> None:
        session = self.results.session
        if outcome.state is State.INTERRUPTED:
            session.end(one.path, State.INTERRUPTED)
        elif outcome.record is None and outcome.error is not None:
            self._postpone(one, outcome.error)
        elif outcome.record is not None:
            is_earlier = outcome.state is State.SKIPPED and self.options.watched
            if session.end(one.path, State.DONE if is_earlier else outcome.state):
                self.results.end(one, outcome.record)
        self.results.report.changed()

    def _postpone(self, one: Tomogram, error: CryoMambaError) -> None:
        session, pause = self.results.session, self._pause_s(error, one.tries)
        if pause is None:
            # The run itself could not begin.
            if session.end(one.path, State.FAILED):
                self.results.fail(one, error)
            return
        session.postpone(one.path, f"{error} Retrying in {pause:.0f} s.", time.monotonic() + pause)
        self.results.show(one)

    def _pause_s(self, error: CryoMambaError, tries: int) -> float | None:
        return pause_s(error, tries) if self.options.watched else None

    def _is_final(self, error: CryoMambaError, tries: int) -> bool:
        return self._pause_s(error, tries) is None
