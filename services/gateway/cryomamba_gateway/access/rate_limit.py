"""How often one token may ask, and how many connections it may hold. Pure; the clock is handed in."""

from __future__ import annotations

import math
from collections import Counter, OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from cryomamba.errors import AccessError, ErrorCode

TOKENS_KEPT: Final = 10_000


@dataclass(frozen=True, slots=True)
class Allowance:
    """What is left of a token's requests.

    Attributes
    ----------
    limit, remaining : int
        Requests in a minute, and how many may follow at once.
    reset_s : int
        Seconds until all of them may.
    retry_after_s : int
        Seconds until the next may; 0 if this one may.
    """

    limit: int
    remaining: int
    reset_s: int
    retry_after_s: int

    def headers(self) -> dict[str, str]:
        """Return the headers that tell a client."""
        return {
            "X-RateLimit-Limit": str(self.limit),
            "X-RateLimit-Remaining": str(self.remaining),
            "X-RateLimit-Reset": str(self.reset_s),
        }


class RequestRate:
    """A token bucket for each caller: as many requests at once as in a minute, then evenly.

    Parameters
    ----------
    per_minute : int
    """

    def __init__(self, per_minute: int) -> None:
        self._limit = per_minute
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, caller: str, now: float) -> Allowance:
        """Count a request of a caller at a time in steady seconds."""
        level, then = self._buckets.pop(caller, (float(self._limit), now))
        level = min(self._limit, level + (now - then) * self._limit / 60)
        allowed = level >= 1
        level -= allowed
        self._buckets[caller] = (level, now)
        if len(self._buckets) > TOKENS_KEPT:
            self._buckets.popitem(last=False)
        per_second = self._limit / 60
        return Allowance(
            limit=self._limit,
            remaining=int(level),
            reset_s=math.ceil((self._limit - level) / per_second),
            retry_after_s=0 if allowed else max(1, math.ceil((1 - level) / per_second)),
        )


class ConcurrencyLimit:
    """So many at once for each caller."""

    def __init__(self, per_caller: int) -> None:
        self._most = per_caller
        self._taken: Counter[str] = Counter()

    @contextmanager
    def taken(self, caller: str) -> Iterator[None]:
        """Hold a place.

        Raises
        ------
        AccessError
            ``rate_limited``: there is none left.
        """
        if self._taken[caller] >= self._most:
            raise AccessError(
                f"This token holds {self._most} connections already.",
                code=ErrorCode.RATE_LIMITED,
                hint="Close one of them first.",
                retryable=True,
            )
        self._taken[caller] += 1
        try:
            yield
        finally:
            self._taken[caller] -= 1
            if not self._taken[caller]:
                del self._taken[caller]
