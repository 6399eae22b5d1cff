"""What the broker counts, and how often it says so in the log."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass


@dataclass(slots=True)
class Counters:
    """Numbers since the start.

    Attributes
    ----------
    requests : int
        Requests that were executed.
    repeated : int
        Requests that came again and were not executed again.
    refused : int
        Requests that were answered with an error.
    malformed : int
        Messages on any socket that are not of the protocol.
    undelivered : int
        Replies for peers that were gone or did not read.
    frames, frames_stale : int
        Preview frames passed on, and those of attempts that are over.
    syncs : int
        Late joiners that were sent the present state.
    events : int
        Published changes of state.
    """

    requests: int = 0
    repeated: int = 0
    refused: int = 0
    malformed: int = 0
    undelivered: int = 0
    frames: int = 0
    frames_stale: int = 0
    syncs: int = 0
    events: int = 0

    def __str__(self) -> str:
        return ", ".join(f"{name} {count}" for name, count in asdict(self).items())


class Throttle:
    """Lets one log line through per interval and says how many were left out.

    Parameters
    ----------
    logger : logging.Logger
    interval_s : float
    clock : callable
        Steady seconds.
    """

    def __init__(
        self, logger: logging.Logger, *, interval_s: float = 5.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._logger = logger
        self._interval_s = interval_s
        self._clock = clock
        self._next = float("-inf")
        self._left_out = 0

    def warning(self, message: str, *values: object) -> None:
        """Log a warning, or count it."""
        now = self._clock()
        if now < self._next:
            self._left_out += 1
            return
        suffix = f" ({self._left_out} more since the last line)" if self._left_out else ""
        self._logger.warning("%s%s", message % values, suffix)
        self._next, self._left_out = now + self._interval_s, 0
