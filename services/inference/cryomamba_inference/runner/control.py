"""What the outside tells a running job, and what it is told."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Protocol

from cryomamba.models.frames import PreviewFrame
from cryomamba.models.jobs import Progress
from cryomamba_inference.failures import cancelled_error

Position = tuple[float, float, float]
_GLANCE_S = 0.05


class Watcher(Protocol):
    """Whoever wants to know how a job goes; called in the runner's thread, so it should be quick."""

    def progress(self, progress: Progress) -> None:
        """Take the newest progress."""

    def preview(self, frame: PreviewFrame) -> None:
        """Take a frame whose mask nobody else holds."""


class Control:
    """Cancel and focus, set by any thread, looked at by the runner between tiles.

    Parameters
    ----------
    asked : callable, optional
        A further way to cancel: asked often, from the runner's thread.
    """

    def __init__(self, asked: Callable[[], bool] | None = None) -> None:
        self._cancel = threading.Event()
        self._asked = asked
        self._lock = threading.Lock()
        self._focus: Position | None = None

    def cancel(self) -> None:
        """Ask the job to stop at the next tile."""
        self._cancel.set()

    def look_at(self, position: Position) -> None:
        """Ask for the tiles around a voxel (z, y, x) to come first."""
        with self._lock:
            self._focus = position

    @property
    def cancelled(self) -> bool:
        """Whether the job should stop."""
        if not self._cancel.is_set() and self._asked is not None and self._asked():
            self._cancel.set()
        return self._cancel.is_set()

    def check(self) -> None:
        """Stop here if the job was cancelled.

        Raises
        ------
        JobFailedError
            ``cancelled``.
        """
        if self.cancelled:
            raise cancelled_error()

    def take_focus(self) -> Position | None:
        """Return a focus that was set since the last call."""
        with self._lock:
            focus, self._focus = self._focus, None
        return focus

    def wait(self, until: float, meanwhile: Callable[[], None]) -> None:
        """Wait until ``time.monotonic()`` reaches `until`; a cancel ends the wait at once with its error."""
        while (left := until - time.monotonic()) > 0:
            self.check()
            meanwhile()
            self._cancel.wait(min(left, _GLANCE_S))
        self.check()
