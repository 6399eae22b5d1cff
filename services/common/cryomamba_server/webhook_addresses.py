"""Where webhooks may go: public addresses with TLS, and the networks that the operator allows.

Whoever registers a webhook makes the server send requests; without these checks, also to services that only its own
network can reach, such as the metadata of a cloud machine (CWE-918).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final, Literal
from urllib.parse import urlsplit

from cryomamba.errors import ErrorCode, InvalidRequestError

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

HTTPS_PORT: Final = 443
# Below are mail, name service and others, for which a request is a way to do harm.
FIRST_FREE_PORT: Final = 1024
_DEFAULT_PORTS: Final = {"http": 80, "https": HTTPS_PORT}
# Global unicast (RFC 4291), without what carries an IPv4 address (Teredo, 6to4) or is for protocols and documentation.
_IPV6_PUBLIC: Final = IPv6Network("2000::/3")
_IPV6_SPECIAL: Final = tuple(map(IPv6Network, ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")))
# Older versions of Python call some of these global.
# The last one is where a machine in Azure reaches its host.
_IPV4_SPECIAL: Final = tuple(
    map(IPv4Network, ("100.64.0.0/10", "192.0.0.0/24", "192.88.99.0/24", "198.18.0.0/15", "168.63.129.16/32"))
)


@dataclass(frozen=True, slots=True)
class WebhookAddress:
    """The part of a webhook's URL to which a connection is made; `host` as written, without brackets."""

    scheme: Literal["http", "https"]
    host: str
    port: int

    @property
    def netloc(self) -> str:
        """Host and port as in the header ``Host``."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def plain(self) -> bool:
        """Whether it is what every server may send to: TLS, on a port for it."""
        return self.scheme == "https" and (self.port == HTTPS_PORT or self.port >= FIRST_FREE_PORT)


@dataclass(frozen=True, slots=True)
class WebhookPolicy:
    """Which addresses may be reached: public ones, and those in `networks`, there also with http and on any port."""

    networks: tuple[Network, ...] = ()

    def check_url(self, url: str) -> WebhookAddress:
        """Check all of a URL that needs no resolution of names.

        Raises
        ------
        InvalidRequestError
            ``url_forbidden``.
        """
        address = parse_webhook_url(url)
        if not self.networks and not address.plain:
            raise forbidden_url("Webhooks are sent with https, to port 443 or a port from 1024 on.")
        try:
            literal = ip_address(address.host)
        except ValueError:
            return address
        self.check_resolved(address, [literal])
        return address

    def check_resolved(self, address: WebhookAddress, found: Sequence[Address]) -> None:
        """Check the addresses of a host: one that is not allowed forbids all, since any of them may be chosen.

        Raises
        ------
        InvalidRequestError
            ``url_forbidden``; the message does not repeat the addresses, which may be a secret of the network.
        """
        if all(self._is_allowed(one) for one in found):
            return
        if not all(self._is_allowed(one) or is_public(one) for one in found):
            raise forbidden_url("The host of the URL has an address that is not public.")
        if not address.plain:
            raise forbidden_url("Webhooks are sent with https, to port 443 or a port from 1024 on.")

    def _is_allowed(self, address: Address) -> bool:
        return _is_in(_unmapped(address), self.networks)


def parse_webhook_url(url: str) -> WebhookAddress:
    """Return scheme, host and port of a URL.

    Raises
    ------
    InvalidRequestError
        ``url_forbidden``: it is malformed, or has a user name, a password or a fragment.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise forbidden_url("This is not a URL.") from None
    host = parts.hostname or ""
    if parts.scheme not in _DEFAULT_PORTS or not host or port == 0 or "\\" in url or "%" in host:
        raise forbidden_url("This is not a URL.")
    if "@" in parts.netloc:
        raise forbidden_url("The URL has a user name or a password.")
    if "#" in url:
        raise forbidden_url("The URL has a fragment, which is never sent.")
    scheme: Literal["http", "https"] = "https" if parts.scheme == "https" else "http"
    return WebhookAddress(scheme, host, port or _DEFAULT_PORTS[scheme])


def is_public(address: Address) -> bool:
    """Whether everybody on the Internet can reach an address, so that it is no secret of this server's network."""
    address = _unmapped(address)
    if isinstance(address, IPv6Address):
        return address in _IPV6_PUBLIC and not _is_in(address, _IPV6_SPECIAL)
    return address.is_global and not address.is_multicast and not _is_in(address, _IPV4_SPECIAL)


def _unmapped(address: Address) -> Address:
    """Return the IPv4 address that the system connects to for an IPv4-mapped one."""
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def _is_in(address: Address, networks: Iterable[Network]) -> bool:
    return any(address.version == network.version and address in network for network in networks)


def forbidden_url(problem: str) -> InvalidRequestError:
    """Return the error for a URL to which no webhook is sent."""
    return InvalidRequestError(
        problem,
        code=ErrorCode.URL_FORBIDDEN,
        hint="Give a URL such as https://example.org/hook. Whoever runs the server can allow other networks with "
        "CRYOMAMBA_WEBHOOK_NETWORKS.",
    )
