"""How a running job is steered from outside, and where its events go."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Protocol

from cryomamba.masks.strokes import Strokes
from cryomamba.models.frames import PreviewFrame
from cryomamba.models.jobs import Progress
from cryomamba_inference.failures import cancelled_error

Position = tuple[float, float, float]
_POLL_S = 0.05


class EventSink(Protocol):
    """Receives a job's progress and previews; called in the runner's thread, so it must return quickly."""

    def on_progress(self, progress: Progress) -> None:
        """Handle the latest progress."""

    def on_preview(self, frame: PreviewFrame) -> None:
        """Handle a preview frame; its mask belongs to the receiver."""


class StrokesAdded(Exception):  # noqa: N818 (not an error: the work begins again)
    """There are other strokes than those that the engine was trained on.

    Attributes
    ----------
    strokes : Strokes
    """

    def __init__(self, strokes: Strokes) -> None:
        super().__init__("other strokes")
        self.strokes = strokes


class Control:
    """Cancel, focus and strokes of a job: set from any thread, read by the runner between tiles.

    Parameters
    ----------
    is_cancelled : callable, optional
        A further source of cancellation, polled often in the runner's thread.
    strokes_changes : int
        How often the strokes had changed when the job began.

    Attributes
    ----------
    strokes_changes : int
        Likewise, of the strokes that :meth:`check` has raised last: what the result is of.
    """

    def __init__(self, is_cancelled: Callable[[], bool] | None = None, *, strokes_changes: int = 0) -> None:
        self._cancel = threading.Event()
        self._is_cancelled = is_cancelled
        self._lock = threading.Lock()
        self._focus: Position | None = None
        self._moved = False
        self._strokes: tuple[Strokes, int] | None = None
        self.strokes_changes = strokes_changes

    def cancel(self) -> None:
        """Stop the job at the next tile."""
        self._cancel.set()

    def set_focus(self, position: Position) -> None:
        """Process the tiles around a voxel (z, y, x) first."""
        with self._lock:
            self._focus, self._moved = position, True

    def set_strokes(self, strokes: Strokes, changes: int = 0) -> None:
        """Have the engine train on other strokes and begin again, by the next :meth:`check`."""
        with self._lock:
            self._strokes = strokes, changes

    @property
    def cancelled(self) -> bool:
        """Whether the job was cancelled."""
        if not self._cancel.is_set() and self._is_cancelled is not None and self._is_cancelled():
            self._cancel.set()
        return self._cancel.is_set()

    def check(self) -> None:
        """Raise if the job was cancelled, or if its engine is to train on other strokes.

        Raises
        ------
        JobFailedError
            ``cancelled``.
        StrokesAdded
            Once for the latest strokes.
        """
        if self.cancelled:
            raise cancelled_error()
        with self._lock:
            added, self._strokes = self._strokes, None
        if added is not None:
            strokes, self.strokes_changes = added
            raise StrokesAdded(strokes)

    @property
    def focus(self) -> Position | None:
        """The last focus; None if there was none."""
        with self._lock:
            return self._focus

    def take_focus(self) -> Position | None:
        """Return the focus if it was set since the last call."""
        with self._lock:
            moved, self._moved = self._moved, False
            return self._focus if moved else None

    def wait(self, until: float, meanwhile: Callable[[], None]) -> None:
        """Wait until ``time.monotonic()`` reaches `until`; a cancel ends the wait at once with its error."""
        while (left := until - time.monotonic()) > 0:
            self.check()
            meanwhile()
            self._cancel.wait(min(left, _POLL_S))
        self.check()
