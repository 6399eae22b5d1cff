"""The state of every tomogram of a session. Pure: no file, no clock, no thread.

::

    ARRIVING ──► WAITING ──► RUNNING ──► DONE, FAILED
        ▲  └─────────│──────────│──────► SKIPPED, FAILED
        └────────────┴──────────┴── the files have changed, in any state

A tomogram arrives until its files have not changed for a while and an inspection found nothing wrong with them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from math import inf
from pathlib import Path


class State(StrEnum):
    """The state of a tomogram.

    ``skipped``: an earlier run made the same mask of it. ``interrupted``: the run ended while it was segmented.
    """

    ARRIVING = "arriving"
    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    SKIPPED = "skipped"
    FAILED = "failed"
    INTERRUPTED = "interrupted"

    @property
    def final(self) -> bool:
        """Whether nothing happens to the tomogram any more unless its files change."""
        return self in {State.DONE, State.SKIPPED, State.FAILED, State.INTERRUPTED}


@dataclass(frozen=True, slots=True)
class FileState:
    """Size, date and inode of a file; if one of them is another, the file has changed."""

    size_bytes: int
    mtime_ns: int
    inode: int


Files = Mapping[Path, FileState]
"""The files of one tomogram: one, or two half-tomograms. Empty if only a server has them."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """A tomogram as it was seen in a folder.

    Attributes
    ----------
    files : mapping of Path to FileState
    complete : bool
        Whether its files are known to have stopped changing: they were renamed into place, or are old.
    """

    files: Files
    complete: bool = False


@dataclass(slots=True)
class Tomogram:
    """A tomogram of a session.

    Attributes
    ----------
    path : Path
        Its name in the session.
    files : mapping of Path to FileState
    unchanged_since : float
        Seconds on the session's clock.
    state : State
    problem : str
        Why it is not complete yet, or why it waits to be tried again.
    changed : bool
        Whether its files have changed while it is running, so that the result does not count.
    not_before : float
        When a tomogram that waits may be started.
    interruptions : int
        How often the program was ended while it was running.
    tries : int
        How often it was postponed after an error that may pass.
    """

    path: Path
    files: Files
    unchanged_since: float
    state: State = State.ARRIVING
    problem: str = ""
    changed: bool = False
    not_before: float = -inf
    interruptions: int = 0
    tries: int = 0


class Session:
    """The tomograms of a session, in the order in which they were seen. For one thread.

    Parameters
    ----------
    stable_s : float
        For how long the files of a tomogram must not have changed before it is inspected.
    stalled_s : float
        For how long the files of a tomogram that an inspection found incomplete may stay so before it has failed.
    """

    def __init__(self, *, stable_s: float = 0.0, stalled_s: float = 0.0) -> None:
        self._stable_s = stable_s
        self._stalled_s = stalled_s
        self._tomograms: dict[Path, Tomogram] = {}

    def __iter__(self) -> Iterator[Tomogram]:
        return iter(self._tomograms.values())

    def __len__(self) -> int:
        return len(self._tomograms)

    def __getitem__(self, path: Path) -> Tomogram:
        return self._tomograms[path]

    def counts(self) -> Counter[State]:
        """Return how many tomograms are in each state."""
        return Counter(one.state for one in self)

    @property
    def ended(self) -> bool:
        """Whether every tomogram is in a final state."""
        return all(one.state.final for one in self)

    def see(self, found: Mapping[Path, Sighting], now: float) -> bool:
        """Take in what a folder contains now, and return whether something has changed.

        A tomogram that has changed begins again; one that is gone before it was started is forgotten.
        """
        not_started = {State.ARRIVING, State.WAITING}
        gone = [one.path for one in self if one.path not in found and one.state in not_started]
        for path in gone:
            del self._tomograms[path]
        changed = bool(gone)
        for path, sighting in found.items():
            since = -inf if sighting.complete else now
            known = self._tomograms.get(path)
            if known is None:
                self._tomograms[path] = Tomogram(path, sighting.files, since)
                changed = True
            elif known.files != sighting.files:
                self._change(known, sighting.files, since)
                changed = True
            elif sighting.complete and known.state is State.ARRIVING:
                known.unchanged_since = min(known.unchanged_since, now - self._stable_s)
        return changed

    def _change(self, tomogram: Tomogram, files: Files, since: float) -> None:
        tomogram.files, tomogram.unchanged_since = files, since
        if tomogram.state is State.RUNNING:
            tomogram.changed = True
        else:
            self._begin(tomogram)

    def _begin(self, tomogram: Tomogram) -> None:
        tomogram.state, tomogram.problem, tomogram.changed = State.ARRIVING, "", False
        tomogram.not_before, tomogram.tries = -inf, 0

    def to_inspect(self, now: float) -> list[Tomogram]:
        """Return the tomograms whose files have not changed for long enough to be inspected."""
        return [one for one in self if one.state is State.ARRIVING and now - one.unchanged_since >= self._stable_s]

    def inspected(self, path: Path, now: float, problem: str = "") -> None:
        """Note the outcome of an inspection: a tomogram with a problem stays, and has failed after a while."""
        tomogram = self._require(path, State.ARRIVING)
        tomogram.problem = problem
        if not problem:
            tomogram.state = State.WAITING
            return
        if tomogram.unchanged_since == -inf:
            # Complete by its date, and still wrong: from now on it has the usual time.
            tomogram.unchanged_since = now - self._stable_s
        if now - tomogram.unchanged_since >= self._stalled_s:
            tomogram.state = State.FAILED

    def decided(self, path: Path, state: State) -> None:
        """Note that an inspection found the result of an earlier run: done, skipped or failed."""
        tomogram = self._require(path, State.ARRIVING)
        tomogram.state, tomogram.problem = state, ""

    def forget(self, path: Path) -> None:
        """Leave out a tomogram that is none, until its files change."""
        del self._tomograms[path]

    def start(self, free: int, now: float) -> list[Tomogram]:
        """Start up to `free` tomograms, and return them.

        Those during which the program was ended before come last, so that one that ends it does not hold up the others.
        """
        ready = [one for one in self if one.state is State.WAITING and one.not_before <= now]
        chosen = sorted(ready, key=lambda one: (one.interruptions, one.tries))[: max(free, 0)]
        for one in chosen:
            one.state, one.problem = State.RUNNING, ""
        return chosen

    def end(self, path: Path, state: State) -> bool:
        """Note the end of a run; return whether its result counts, because the files have not changed meanwhile."""
        tomogram = self._require(path, State.RUNNING)
        if tomogram.changed:
            self._begin(tomogram)
            return False
        tomogram.state = state
        return True

    def postpone(self, path: Path, problem: str, until: float) -> None:
        """Put a running tomogram back, to be tried again later."""
        tomogram = self._require(path, State.RUNNING)
        if tomogram.changed:
            self._begin(tomogram)
            return
        tomogram.state, tomogram.problem, tomogram.not_before = State.WAITING, problem, until
        tomogram.tries += 1

    def stop(self) -> None:
        """Note that the program ends: what is running now is interrupted."""
        for one in self:
            if one.state is State.RUNNING:
                one.state = State.INTERRUPTED

    def _require(self, path: Path, state: State) -> Tomogram:
        tomogram = self._tomograms[path]
        if tomogram.state is not state:
            raise ValueError(f"{path} is {tomogram.state}, not {state}")
        return tomogram
