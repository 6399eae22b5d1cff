"""The newest preview of a job, handed from the network's thread to the GUI, and what became of the others."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace

from cryomamba.models.frames import PreviewFrame


@dataclass(frozen=True, slots=True)
class PreviewStatistics:
    """How a preview stream fares.

    Attributes
    ----------
    received, shown : int
        Frames that came in and frames that were drawn.
    skipped : int
        Frames that a newer one replaced before they were drawn, on either side of the network.
    made_at : float or None
        When the shown frame was made: seconds since 1970, on the sender's clock.
    """

    received: int = 0
    shown: int = 0
    skipped: int = 0
    made_at: float | None = None

    def age_s(self, now: float) -> float | None:
        """Return how old the shown frame is; a sender's clock that runs ahead counts as no age."""
        return None if self.made_at is None else max(now - self.made_at, 0.0)

    def text(self, now: float) -> str:
        """Return a line for people."""
        age = self.age_s(now)
        if age is None:
            return "No preview yet"
        since = f"{age:.1f} s" if age < 10 else f"{age:.0f} s" if age < 120 else f"{age / 60:.0f} min"
        return f"Preview {since} old · {self.shown} shown · {self.skipped} skipped"


class NewestFrame:
    """One place for one frame: a newer one replaces it, so the GUI is never more than one behind. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._frame: PreviewFrame | None = None
        self._statistics = PreviewStatistics()

    def put(self, frame: PreviewFrame, *, skipped: int = 0) -> bool:
        """Leave a frame.

        Parameters
        ----------
        frame : PreviewFrame
        skipped : int
            Frames that were dropped before they came here.

        Returns
        -------
        bool
            Whether the place was empty, so that the GUI has to be woken; otherwise a wake-up is under way.
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
        """Take the frame to draw it; None if it was taken already."""
        with self._lock:
            frame, self._frame = self._frame, None
            if frame is not None:
                self._statistics = replace(
                    self._statistics, shown=self._statistics.shown + 1, made_at=frame.ts or self._statistics.made_at
                )
            return frame

    @property
    def statistics(self) -> PreviewStatistics:
        """How the stream fares so far."""
        with self._lock:
            return self._statistics
