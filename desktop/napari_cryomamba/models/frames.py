"""The newest preview of each job, handed from the threads that receive them to the GUI thread."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace

from cryomamba.models.frames import PreviewFrame


@dataclass(frozen=True, slots=True)
class PreviewStatistics:
    """Counts of a preview stream.

    Attributes
    ----------
    received, shown : int
        Frames that arrived and frames that were drawn.
    skipped : int
        Frames that a newer one replaced before they were drawn, on either side of the network.
    created_at_s : float or None
        When the shown frame was made: seconds since 1970, on the sender's clock.
    """

    received: int = 0
    shown: int = 0
    skipped: int = 0
    created_at_s: float | None = None

    def age_s(self, now: float) -> float | None:
        """Return the age of the shown frame; 0 if the sender's clock is ahead of ours."""
        return None if self.created_at_s is None else max(now - self.created_at_s, 0.0)

    def text(self, now: float) -> str:
        """Return a line for people."""
        age = self.age_s(now)
        if age is None:
            return "No preview yet"
        since = f"{age:.1f} s" if age < 10 else f"{age:.0f} s" if age < 120 else f"{age / 60:.0f} min"
        return f"Preview {since} old · {self.shown} shown · {self.skipped} skipped"


class LatestFrame:
    """A queue of one frame: a newer one replaces it, so the GUI is never more than one behind. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._frame: PreviewFrame | None = None
        self._statistics = PreviewStatistics()

    def put(self, frame: PreviewFrame, *, skipped: int = 0) -> bool:
        """Store a frame.

        Parameters
        ----------
        skipped : int
            Frames that were dropped on the way here.

        Returns
        -------
        bool
            Whether the queue was empty, so that the GUI must be woken; otherwise a wake-up is already on its way.
        """
        with self._lock:
            empty = self._frame is None
            now = self._statistics
            self._statistics = replace(
                now, received=now.received + 1, skipped=now.skipped + skipped + (0 if empty else 1)
            )
            self._frame = frame
            return empty

    def take(self) -> PreviewFrame | None:
        """Remove and return the frame, to draw it; None if there is none."""
        with self._lock:
            frame, self._frame = self._frame, None
            if frame is not None:
                now = self._statistics
                self._statistics = replace(now, shown=now.shown + 1, created_at_s=frame.ts or now.created_at_s)
            return frame

    @property
    def statistics(self) -> PreviewStatistics:
        """The counts so far."""
        with self._lock:
            return self._statistics


class FrameStore:
    """The :class:`LatestFrame` of every job, made when it is first asked for. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._frames: dict[str, LatestFrame] = {}

    def __getitem__(self, job_id: str) -> LatestFrame:
        with self._lock:
            return self._frames.setdefault(job_id, LatestFrame())
