"""Under which names the gateway may be asked for: a web page whose name was rebound to this address is not let in."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Collection
from urllib.parse import urlsplit


def own_names(host: str, configured: Collection[str]) -> frozenset[str]:
    """Return the names under which this gateway is reached."""
    return frozenset({"localhost", socket.gethostname().lower(), host.lower().strip("[]"), *configured})


def host_allowed(header: str | None, names: Collection[str]) -> bool:
    """Whether the ``Host`` of a request is one of the names, or an address, which no page can take for its own."""
    if not header:
        return False
    try:
        name = urlsplit(f"//{header}").hostname or ""
    except ValueError:
        return False
    if name.lower() in names:
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
