"""Rate limits for each token: requests per minute, and connections at once. Pure; the caller passes the time."""

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
    """What a token has left of its rate.

    Attributes
    ----------
    limit, remaining : int
        Requests per minute, and how many may follow at once.
    reset_s : int
        Seconds until the full rate is available again.
    retry_after_s : int
        Seconds until the next request is allowed; 0 if this one is.
    """

    limit: int
    remaining: int
    reset_s: int
    retry_after_s: int

    def headers(self) -> dict[str, str]:
        """Return the response headers for it."""
        return {
            "X-RateLimit-Limit": str(self.limit),
            "X-RateLimit-Remaining": str(self.remaining),
            "X-RateLimit-Reset": str(self.reset_s),
        }


class RequestRate:
    """A token bucket for each caller: a burst of as many requests as a minute allows, then an even rate.

    Parameters
    ----------
    per_minute : int
    """

    def __init__(self, per_minute: int) -> None:
        self._limit = per_minute
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def count(self, caller: str, now: float, *, cost: float = 1.0) -> Allowance:
        """Count a request; `now` is in seconds of a monotonic clock, `cost` is what part of a request it counts as."""
        level, then = self._buckets.pop(caller, (float(self._limit), now))
        level = min(self._limit, level + (now - then) * self._limit / 60)
        allowed = level >= cost
        level -= cost if allowed else 0.0
        self._buckets[caller] = (level, now)
        if len(self._buckets) > TOKENS_KEPT:
            self._buckets.popitem(last=False)
        per_second = self._limit / 60
        return Allowance(
            limit=self._limit,
            remaining=int(level),
            reset_s=math.ceil((self._limit - level) / per_second),
            retry_after_s=0 if allowed else max(1, math.ceil((cost - level) / per_second)),
        )


class ConcurrencyLimit:
    """A limit on how many connections each caller holds at once.

    Parameters
    ----------
    per_caller : int
    """

    def __init__(self, per_caller: int) -> None:
        self._per_caller = per_caller
        self._held: Counter[str] = Counter()

    @contextmanager
    def acquire(self, caller: str) -> Iterator[None]:
        """Hold one connection.

        Raises
        ------
        AccessError
            ``rate_limited``: the caller holds as many as allowed.
        """
        if self._held[caller] >= self._per_caller:
            raise AccessError(
                f"This token already has {self._per_caller} connections open.",
                code=ErrorCode.RATE_LIMITED,
                hint="Close one of them first.",
                retryable=True,
            )
        self._held[caller] += 1
        try:
            yield
        finally:
            self._held[caller] -= 1
            if not self._held[caller]:
                del self._held[caller]
