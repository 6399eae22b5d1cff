"""The states of the tomograms of a session."""

from __future__ import annotations

from math import inf
from pathlib import Path

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from cryomamba_cli.batch.session import FileState, Session, Sighting, State

A, B = Path("a.mrc"), Path("b.mrc")


def seen(size: int = 10, *, complete: bool = False) -> Sighting:
    return Sighting({A: FileState(size, size, 1)}, complete)


def waiting(session: Session, now: float = 0.0) -> None:
    session.see({A: seen(complete=True)}, now)
    session.inspected(A, now)


def test_a_growing_file_is_not_inspected() -> None:
    """Each change begins the time without a change again."""
    session = Session(stable_s=10)
    for now, size in ((0, 10), (8, 20), (16, 30)):
        session.see({A: seen(size)}, now)
        assert session.to_inspect(now + 7) == []
    session.see({A: seen(30)}, 20)
    assert [one.path for one in session.to_inspect(26)] == [A]


def test_a_file_that_was_renamed_into_place_is_inspected_at_once() -> None:
    """So is one that was seen before it was known to be complete."""
    session = Session(stable_s=10)
    session.see({A: seen(complete=True), B: seen()}, 0)
    assert [one.path for one in session.to_inspect(0)] == [A]
    session.see({A: seen(complete=True), B: seen(complete=True)}, 1)
    assert [one.path for one in session.to_inspect(1)] == [A, B]


def test_an_incomplete_file_has_failed_after_a_while() -> None:
    """Until then it stays and says why; when it changes, it begins again."""
    session = Session(stable_s=1, stalled_s=100)
    session.see({A: seen(complete=True)}, 0)
    session.inspected(A, 0, "truncated")
    assert (session[A].state, session[A].problem) == (State.ARRIVING, "truncated")
    session.inspected(A, 98, "truncated")
    assert session[A].state is State.ARRIVING
    session.inspected(A, 99, "truncated")
    assert session[A].state is State.FAILED
    assert session.ended
    session.see({A: seen(20)}, 100)
    assert (session[A].state, session[A].problem) == (State.ARRIVING, "")


def test_a_change_while_running_discards_the_result() -> None:
    """The tomogram is inspected and run again."""
    session = Session()
    waiting(session)
    assert [one.path for one in session.start(1, 0)] == [A]
    session.see({A: seen(20)}, 1)
    assert session[A].state is State.RUNNING
    assert not session.end(A, State.DONE)
    assert session[A].state is State.ARRIVING
    session.inspected(A, 2)
    session.start(1, 2)
    assert session.end(A, State.DONE)


def test_interrupted_tomograms_come_last() -> None:
    """One during which the program was ended does not hold up the others; one to be tried later waits for its time."""
    session = Session()
    waiting(session)
    session.see({A: seen(), B: seen(complete=True)}, 0)
    session.inspected(B, 0)
    session[A].interruptions = 1
    assert [one.path for one in session.start(1, 0)] == [B]
    session.postpone(B, "the server is away", until=50)
    assert [one.path for one in session.start(5, 10)] == [A]
    assert session.start(5, 49) == []
    assert [one.path for one in session.start(5, 50)] == [B]


def test_files_that_vanish() -> None:
    """Before they are started they are forgotten; after that their results stay."""
    session = Session()
    waiting(session)
    session.see({}, 1)
    assert len(session) == 0
    waiting(session)
    session.start(1, 0)
    session.see({}, 1)
    assert session.end(A, State.DONE)
    assert session.counts() == {State.DONE: 1}


def test_illegal_transitions_are_refused() -> None:
    """The end of a tomogram that does not run is a defect of the caller."""
    session = Session()
    waiting(session)
    with pytest.raises(ValueError, match="waiting, not running"):
        session.end(A, State.DONE)


class SessionMachine(RuleBasedStateMachine):
    """Any order of events: files that have not changed are run to an end once, and a result is that of its files."""

    def __init__(self) -> None:
        super().__init__()
        self.session = Session(stable_s=2, stalled_s=5)
        self.now = 0.0
        self.files: dict[Path, Sighting] = {}
        self.results: dict[Path, Sighting] = {}

    @rule(path=st.sampled_from([A, B]), size=st.integers(1, 5), complete=st.booleans())
    def write(self, path: Path, size: int, complete: bool) -> None:
        self.files[path] = Sighting({path: FileState(size, int(self.now), 1)}, complete)

    @rule(path=st.sampled_from([A, B]))
    def remove(self, path: Path) -> None:
        self.files.pop(path, None)

    @rule(seconds=st.integers(0, 4))
    def look(self, seconds: int) -> None:
        self.now += seconds
        for one in self.session:
            if one.path in self.files and one.files != self.files[one.path].files:
                self.results.pop(one.path, None)
        self.session.see(dict(self.files), self.now)

    @rule(problem=st.sampled_from(["", "", "truncated"]))
    def inspect(self, problem: str) -> None:
        for one in self.session.to_inspect(self.now):
            assert one.unchanged_since == -inf or self.now - one.unchanged_since >= 2
            self.session.inspected(one.path, self.now, problem)

    @rule()
    def start(self) -> None:
        free = 1 - self.session.counts()[State.RUNNING]
        for one in self.session.start(free, self.now):
            assert one.path not in self.results

    @precondition(lambda self: self.session.counts()[State.RUNNING])
    @rule(state=st.sampled_from([State.DONE, State.FAILED]), later=st.booleans())
    def end(self, state: State, later: bool) -> None:
        one = next(one for one in self.session if one.state is State.RUNNING)
        if later:
            self.session.postpone(one.path, "away", self.now + 1)
        elif self.session.end(one.path, state):
            self.results[one.path] = Sighting(one.files)

    @invariant()
    def one_runs_at_a_time(self) -> None:
        assert self.session.counts()[State.RUNNING] <= 1

    @invariant()
    def a_result_is_that_of_the_files_that_were_seen(self) -> None:
        for one in self.session:
            if one.state is State.DONE:
                assert self.results[one.path].files == one.files


TestSessionMachine = SessionMachine.TestCase
