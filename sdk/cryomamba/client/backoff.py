"""How long to wait between two tries."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator


def pauses(first_s: float, longest_s: float, *, within_s: float = float("inf"), jitter: float = 0.0) -> Iterator[float]:
    """Yield the pauses between tries: doubling from the first to the longest, until the time is up.

    Parameters
    ----------
    first_s, longest_s : float
        Seconds.
    within_s : float
        No pause is yielded that would end more than this many seconds after the first call.
    jitter : float
        Each pause is changed by up to this fraction, so that the clients of a restarted server do not come at once.
    """
    until = time.monotonic() + within_s
    pause = first_s
    while True:
        spread = pause * random.uniform(1 - jitter, 1 + jitter)  # noqa: S311 (no secret)  # nosec B311
        if time.monotonic() + spread > until:
            return
        yield spread
        pause = min(pause * 2, longest_s)
