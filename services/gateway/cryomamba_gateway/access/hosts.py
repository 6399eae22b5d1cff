"""Host names of the gateway, as protection against DNS rebinding."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Collection
from urllib.parse import urlsplit


def own_names(host: str, configured: Collection[str]) -> frozenset[str]:
    """Return the host names of this gateway."""
    return frozenset({"localhost", socket.gethostname().lower(), host.lower().strip("[]"), *configured})


def host_allowed(header: str | None, names: Collection[str]) -> bool:
    """Whether a ``Host`` header is one of the names, or an IP address, which no web page can rebind."""
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
