"""Counters of the broker, and a limit on repeated log lines."""

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
        Requests that were received again and not executed again.
    refused : int
        Requests that were answered with an error.
    malformed : int
        Messages on any socket that violate the protocol.
    undelivered : int
        Replies to peers that were disconnected or did not read.
    frames, frames_stale : int
        Preview frames that were forwarded, and those dropped because their attempt has ended.
    syncs : int
        Late joiners that were sent the current state.
    events : int
        Changes of state that were published.
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
    """Logs one line per interval of a steady clock, and how many were suppressed."""

    def __init__(
        self, logger: logging.Logger, *, interval_s: float = 5.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._logger, self._interval_s, self._clock = logger, interval_s, clock
        self._next = float("-inf")
        self._suppressed = 0

    def warning(self, message: str, *values: object) -> None:
        """Log a warning, or count it as suppressed."""
        now = self._clock()
        if now < self._next:
            self._suppressed += 1
            return
        suffix = f" ({self._suppressed} more since the last line)" if self._suppressed else ""
        self._logger.warning("%s%s", message % values, suffix)
        self._next, self._suppressed = now + self._interval_s, 0
