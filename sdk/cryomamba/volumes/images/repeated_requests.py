"""Requests that are made again when a server is busy, is being restarted, or cannot be reached for a while."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Final

import httpx

Answer = tuple[httpx.Response, bytes]

_FIRST_PAUSE_S: Final = 0.2
_LONGEST_PAUSE_S: Final = 5.0
_BUSY: Final = (
    HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.BAD_GATEWAY,
    HTTPStatus.SERVICE_UNAVAILABLE,
    HTTPStatus.GATEWAY_TIMEOUT,
)


def asked_again(ask: Callable[[], Answer], patience_s: float) -> Answer:
    """Return the first answer that is final, or the last one; blocks while it waits.

    Parameters
    ----------
    ask : callable
        Returns a response and its body.
    patience_s : float
        After so many seconds nothing is asked again.

    Raises
    ------
    httpx.HTTPError
        There was no answer at the last time.
    """
    until, pause_s = time.monotonic() + patience_s, _FIRST_PAUSE_S
    while True:
        # Not all workers of a cluster at the same moment.
        wait_s = pause_s * random.uniform(0.5, 1.0)  # noqa: S311 (no secret)  # nosec B311
        last = time.monotonic() + wait_s > until
        try:
            answer = ask()
        except httpx.TransportError:
            if last:
                raise
        else:
            if last or answer[0].status_code not in _BUSY:
                return answer
            wait_s = max(wait_s, _asked_to_wait_s(answer[0]))
        time.sleep(min(wait_s, max(until - time.monotonic(), 0.0)))
        pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)


def _asked_to_wait_s(response: httpx.Response) -> float:
    """Return for how long a server wants to be left alone; 0 if it does not say that in seconds."""
    value = response.headers.get("Retry-After", "")
    return float(value) if value.isascii() and value.isdigit() else 0.0
