"""Connections of callers who have not said who they are. Pure: how one is shown out is handed in."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

IPV6_PREFIX: Final = 64


def neighbourhood(address: str) -> str:
    """Return what counts as one address: of IPv6 a network of 64 bits, since one subscriber has at least one."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if found.version == 4:
        return str(found)
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.ip_network((found, IPV6_PREFIX), strict=False))


@dataclass(frozen=True, slots=True, eq=False)
class UnauthenticatedConnection:
    """A connection that waits; what `evict` does ends it."""

    address: str
    evict: Callable[[], None]


class UnauthenticatedConnections:
    """So many at once, and so many of one address: for a new one, the one that has waited longest is shown out.

    Who means well says at once who they are and is gone from here; who comes to hold places pushes out their own kind.

    Parameters
    ----------
    most, per_address : int
    """

    def __init__(self, most: int, per_address: int) -> None:
        self._most = most
        self._per_address = per_address
        # Dictionaries keep the order in which guests came.
        self._guests: dict[UnauthenticatedConnection, None] = {}
        self._of_address: dict[str, dict[UnauthenticatedConnection, None]] = {}

    def __len__(self) -> int:
        return len(self._guests)

    def enter(self, address: str, evict: Callable[[], None]) -> UnauthenticatedConnection:
        """Let one in, and another out if it is full."""
        address = neighbourhood(address)
        theirs = self._of_address.get(address, {})
        if len(theirs) >= self._per_address:
            self._show_out(next(iter(theirs)))
        elif len(self._guests) >= self._most:
            self._show_out(next(iter(self._guests)))
        guest = UnauthenticatedConnection(address, evict)
        self._guests[guest] = None
        self._of_address.setdefault(address, {})[guest] = None
        return guest

    def leave(self, guest: UnauthenticatedConnection) -> None:
        """Forget one who has said who they are, or has gone; twice is no error."""
        if guest not in self._guests:
            return
        del self._guests[guest]
        theirs = self._of_address[guest.address]
        del theirs[guest]
        if not theirs:
            del self._of_address[guest.address]

    @contextmanager
    def waiting(self, address: str, evict: Callable[[], None]) -> Iterator[None]:
        """Be in the lobby meanwhile."""
        guest = self.enter(address, evict)
        try:
            yield
        finally:
            self.leave(guest)

    def _show_out(self, guest: UnauthenticatedConnection) -> None:
        self.leave(guest)
        guest.evict()
