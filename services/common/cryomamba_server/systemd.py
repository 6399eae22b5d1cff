"""Notifications to systemd: that a service is ready, and that it is alive.

The protocol is that of sd_notify(3) and sd_watchdog_enabled(3): datagrams to the socket that the environment names.
A service that systemd did not start sends nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
from functools import cache
from typing import Final

READY: Final = "READY=1"
ALIVE: Final = "WATCHDOG=1"


def notify_systemd(state: str) -> None:
    """Send a state, such as :data:`READY`; errors are ignored, because a service works without systemd too."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if address[:1] not in {"/", "@"}:
        return
    # A name in Linux's abstract namespace begins with a zero byte.
    path = f"\0{address[1:]}" if address.startswith("@") else address
    with contextlib.suppress(OSError):
        _send(state.encode(), path)


if sys.platform == "linux":

    def _send(state: bytes, path: str) -> None:
        _connection().sendto(state, path)

    @cache
    def _connection() -> socket.socket:
        """Return the socket of this process, opened once: without a free descriptor the watchdog must still be fed."""
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        connection.setblocking(False)  # noqa: FBT003 (its only parameter)
        return connection

else:

    def _send(state: bytes, path: str) -> None:
        """Send nothing: only Linux has systemd."""


def watchdog_interval_s() -> float | None:
    """Return the seconds of silence after which systemd restarts this process; None if it has no watchdog."""
    if os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    try:
        return int(os.environ["WATCHDOG_USEC"]) / 1e6 or None
    except (KeyError, ValueError):
        return None


async def feed_watchdog() -> None:
    """Notify systemd's watchdog twice per interval, for as long as the event loop runs."""
    interval_s = watchdog_interval_s()
    while interval_s is not None:
        notify_systemd(ALIVE)
        await asyncio.sleep(interval_s / 2)
