"""Descriptors: how many files and connections this process may have open at once.

Each connection takes one, and so does each open file. A service raises its limit at the start as far as the system
allows, and keeps some for its own files: connections beyond that are closed, so that the next job can still be read.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from typing import Any, Final

from cryomamba.errors import InvalidRequestError
from cryomamba.system_errors import is_out_of_descriptors
from cryomamba_server.throttle import Throttle

if sys.platform != "win32":
    import resource

WANTED: Final = 65_536
RECOMMENDED: Final = 4096
REQUIRED: Final = 192
# A service at rest has about 50 open, and four threads of a broker or gateway open at most a few files each.
RESERVED: Final = 128
_REPORT_S: Final = 60.0

logger = logging.getLogger(__name__)


def descriptor_limit() -> int:
    """Return how many descriptors this process may have open now."""
    if sys.platform == "win32":
        return WANTED
    else:  # noqa: RET505
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        return WANTED if soft == resource.RLIM_INFINITY else soft


def connections_max() -> int:
    """Return how many connections leave the reserve for files free."""
    return max(descriptor_limit() - RESERVED, 1)


def raise_descriptor_limit() -> int:
    """Raise the limit of this process as far as the system allows, up to 65,536, and return it.

    Raises
    ------
    InvalidRequestError
        The system allows so few that the service could not work.
    """
    if sys.platform != "win32":
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = WANTED if hard == resource.RLIM_INFINITY else min(WANTED, hard)
        if soft != resource.RLIM_INFINITY and soft < wanted:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    limit = descriptor_limit()
    if limit < REQUIRED:
        raise InvalidRequestError(
            f"This process may have only {limit} files and connections open; a service needs {REQUIRED}.",
            hint=f"Raise the limit, to {RECOMMENDED} or more: LimitNOFILE in the systemd unit, or 'ulimit -n'.",
        )
    if limit < RECOMMENDED:
        logger.warning(
            "This process may have only %d files and connections open; %d are recommended (LimitNOFILE, ulimit -n).",
            limit,
            RECOMMENDED,
        )
    return limit


def report_exhaustion_rarely(loop: asyncio.AbstractEventLoop) -> None:
    """Log once a minute that a connection could not be accepted for want of descriptors, instead of each time.

    The event loop itself tries again after a second.
    """
    throttle = Throttle(logger, interval_s=_REPORT_S)

    def handle(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if error is not None and is_out_of_descriptors(error):
            throttle.warning("Too many files and connections are open (limit: %d).", descriptor_limit())
        else:
            loop.default_exception_handler(context)

    loop.set_exception_handler(handle)
