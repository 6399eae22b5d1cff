"""A limit on repeated log lines."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable


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
