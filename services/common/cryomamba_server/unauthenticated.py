"""A bound on the connections whose caller has not shown a token. Pure: a connection ends itself when it is evicted."""

from __future__ import annotations

import ipaddress
from collections import defaultdict
from collections.abc import Iterator
from typing import Final, Generic, Protocol, TypeVar

IPV6_PREFIX: Final = 64


def client_network(address: str) -> str:
    """Return what counts as one client: an IPv4 address, or the /64 network of an IPv6 address.

    One IPv6 subscriber has at least 2**64 addresses, so counting single ones would bound nothing.
    """
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if found.version == 4:
        return str(found)
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.ip_network((found, IPV6_PREFIX), strict=False))


class Evictable(Protocol):
    """A connection from a network (see :func:`client_network`) that can be ended."""

    @property
    def network(self) -> str:
        """Where it comes from."""
        ...

    def evict(self) -> None:
        """End it."""
        ...


C = TypeVar("C", bound=Evictable)


class UnauthenticatedConnections(Generic[C]):
    """At most `limit` connections, and at most `limit_per_network` from one network; a new one evicts the oldest.

    An honest client sends its token at once and is no longer counted, so an attacker who opens connections only evicts
    the attacker's own.

    Parameters
    ----------
    limit, limit_per_network : int
    """

    def __init__(self, limit: int, limit_per_network: int) -> None:
        self._limit = limit
        self._limit_per_network = limit_per_network
        # Dictionaries keep the order of insertion: the first key is the oldest connection.
        self._all: dict[C, None] = {}
        self._by_network: defaultdict[str, dict[C, None]] = defaultdict(dict)

    def __len__(self) -> int:
        return len(self._all)

    def __iter__(self) -> Iterator[C]:
        """Iterate over a copy, the oldest first."""
        return iter(list(self._all))

    @property
    def oldest(self) -> C | None:
        """The oldest connection of all."""
        return next(iter(self._all), None)

    def next_evicted(self, network: str) -> C | None:
        """Return the connection that one more of a network would evict; None if there is space for it."""
        same_network = self._by_network.get(network, {})
        if len(same_network) >= self._limit_per_network:
            return next(iter(same_network))
        return self.oldest if len(self._all) >= self._limit else None

    def add(self, connection: C) -> None:
        """Count a connection, and evict the oldest one if there are too many: of the same network first."""
        victim = self.next_evicted(connection.network)
        if victim is not None:
            self.evict(victim)
        self.count(connection)

    def count(self, connection: C) -> None:
        """Count a connection as the newest, however many there are."""
        self.discard(connection)
        self._all[connection] = self._by_network[connection.network][connection] = None

    def of_network(self, network: str) -> int:
        """Return how many connections of a network are counted."""
        return len(self._by_network.get(network, {}))

    def discard(self, connection: C) -> None:
        """Stop counting a connection; one that is not counted is ignored."""
        if connection not in self._all:
            return
        del self._all[connection]
        same_network = self._by_network[connection.network]
        del same_network[connection]
        if not same_network:
            del self._by_network[connection.network]

    def evict(self, connection: C) -> None:
        """Stop counting a connection and end it."""
        self.discard(connection)
        connection.evict()
