"""What a service tells systemd, if systemd started it: that it is ready, and that it still lives.

The protocol is the one of sd_notify(3) and sd_watchdog_enabled(3): datagrams to the socket that the environment names.
Where there is none, nothing is sent.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from typing import Final

READY: Final = "READY=1"
ALIVE: Final = "WATCHDOG=1"


def tell(state: str) -> None:
    """Send a state, such as :data:`READY`, to systemd; one that does not listen is none of the service's troubles."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if address[:1] not in {"/", "@"}:
        return
    # A name in Linux's abstract namespace begins with a zero byte.
    path = f"\0{address[1:]}" if address.startswith("@") else address
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.setblocking(False)  # noqa: FBT003 (its only parameter)
        notify.sendto(state.encode(), path)


def watchdog_s() -> float | None:
    """Return the seconds of silence after which systemd restarts this process; None where it does not watch it."""
    if os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    try:
        return int(os.environ["WATCHDOG_USEC"]) / 1e6 or None
    except (KeyError, ValueError):
        return None


async def stay_alive() -> None:
    """Give a sign of life twice in the time that systemd allows, for ever, as long as the event loop turns."""
    allowed_s = watchdog_s()
    while allowed_s is not None:
        tell(ALIVE)
        await asyncio.sleep(allowed_s / 2)
