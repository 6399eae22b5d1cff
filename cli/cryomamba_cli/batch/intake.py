"""The intake of a session: which tomograms there are, and which of them are complete, done before, or broken."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cryomamba.printable import file_text
from cryomamba_cli.batch.inspection import inspect_files
from cryomamba_cli.batch.plan import Options, Plan
from cryomamba_cli.batch.record import TomogramRecord, made_from, matching_record
from cryomamba_cli.batch.results import SessionResults
from cryomamba_cli.batch.retries import INTERRUPTIONS, interrupted_too_often
from cryomamba_cli.batch.session import Files, Session, Sighting, State, Tomogram


@dataclass(slots=True)
class Intake:
    """Looks for tomograms, and decides about each what its files and the results of earlier runs allow.

    Attributes
    ----------
    session : Session
    results : SessionResults
    look : callable
        Returns the tomograms that there are now; may raise OSError.
    plan : callable
        Returns how a tomogram is segmented.
    options : Options
    files_of : callable
        Returns of how many files a tomogram is: one, or two half-tomograms.
    interrupted : dict of str to int
        How often the program was ended during each tomogram.
    unreadable : str
        Why the folder cannot be listed; empty if it can.
    """

    session: Session
    results: SessionResults
    look: Callable[[], Mapping[Path, Sighting]]
    plan: Callable[[Path], Plan]
    options: Options
    files_of: Callable[[Path, Files], int] = lambda *_: 1
    interrupted: dict[str, int] = field(default_factory=dict)
    unreadable: str = ""
    _own_results: dict[Path, Sighting] = field(default_factory=dict)

    def see(self, now: float) -> None:
        """Look which tomograms there are."""
        try:
            found = self.look()
        except OSError as error:
            # Nothing is known of the tomograms then, so that none is taken for removed.
            problem = f"The folder cannot be listed: {error.filename}: {error.strerror}. Retrying."
            if problem != self.unreadable:
                self.results.display.note(problem)
            self.unreadable = problem
            return
        self.unreadable = ""
        if self.session.see({path: one for path, one in found.items() if not self._is_known_result(path, one)}, now):
            self.results.report.changed()
        self.results.number()
        for one in self.session:
            one.interruptions += self.interrupted.pop(file_text(one.path), 0)

    def _is_known_result(self, path: Path, sighting: Sighting) -> bool:
        known = self._own_results.get(path)
        return known is not None and known.files == sighting.files

    def inspect(self, now: float, stopping: Callable[[], bool]) -> None:
        """Decide about the tomograms whose files have not changed for long enough."""
        for one in self.session.to_inspect(now):
            if stopping():
                return
            plan = self.plan(one.path)
            record = None if self.options.force else matching_record(plan.task, plan.recipe)
            if plan.conflict is not None:
                self.session.decided(one.path, State.FAILED)
                self.results.fail(one, plan.conflict)
            elif record is not None and made_from(record, one.files) and self._counts(record):
                self._accept(one, record)
            elif one.interruptions >= INTERRUPTIONS:
                self.session.decided(one.path, State.FAILED)
                self.results.fail(one, interrupted_too_often(one.interruptions))
            else:
                self._check(one, now)

    def _counts(self, record: TomogramRecord) -> bool:
        return record.state == "done" or not self.options.retry_failed

    def _accept(self, one: Tomogram, record: TomogramRecord) -> None:
        """Take the record of an earlier run for that of a tomogram."""
        state = State.FAILED if record.state == "failed" else State.DONE if self.options.watched else State.SKIPPED
        self.session.decided(one.path, state)
        self.results.end(one, record, silent=self.options.watched)

    def _check(self, one: Tomogram, now: float) -> None:
        """Read the headers of a tomogram's files."""
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
            self.results.report.changed()
        self.session.inspected(one.path, now, problem)
        if one.state is State.FAILED and found.error is not None:
            self.results.fail(one, found.error)
