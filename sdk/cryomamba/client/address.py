"""From the address of a server to its transport."""

from __future__ import annotations

import os

from cryomamba.client.transport import Transport
from cryomamba.endpoints import BusEndpoints, ConnectionFile, announced_gateway
from cryomamba.errors import InvalidRequestError
from cryomamba.settings import Settings, load_settings

SERVER_VARIABLE = "CRYOMAMBA_SERVER"


def default_server() -> tuple[str, BusEndpoints | None]:
    """Return the default server: ``CRYOMAMBA_SERVER``, the broker of this data directory, or the local gateway."""
    if url := os.environ.get(SERVER_VARIABLE):
        return url, None
    settings = load_settings()
    if settings.connection_file.exists():
        endpoints = ConnectionFile.read(settings.connection_file).endpoints
        return endpoints.jobs, endpoints
    return local_gateway(), None


def local_gateway() -> str:
    """Return ``CRYOMAMBA_SERVER``, or the address of the gateway of this data directory, or of this machine."""
    return os.environ.get(SERVER_VARIABLE) or gateway_of(load_settings())


def gateway_of(settings: Settings) -> str:
    """Return the address that the gateway of a data directory has announced, or that of the settings."""
    return announced_gateway(settings.gateway_file) or f"http://{settings.gateway_host}:{settings.gateway_port}"


def make_transport(url: str | None, token: str | None = None) -> Transport:
    """Return the transport for an address: ``http(s)://`` is a gateway, ``tcp://`` and ``ipc://`` are a bus.

    The token is the argument or ``CRYOMAMBA_TOKEN``; the key is that of ``CRYOMAMBA_KEY`` or of this data directory.

    Raises
    ------
    InvalidRequestError
        The address is neither.
    """
    endpoints = None
    if url is None:
        url, endpoints = default_server()
    scheme = url.partition("://")[0]
    if scheme in {"http", "https"}:
        from cryomamba.client.http_transport import HttpTransport

        found = load_settings().token
        return HttpTransport(url, token=token or (found.get_secret_value() if found is not None else None))
    if scheme in {"tcp", "ipc"}:
        from cryomamba.access.keys import key_for
        from cryomamba.access.roles import Role
        from cryomamba.client.bus_transport import BusTransport

        return BusTransport(url, endpoints=endpoints, key=key_for(load_settings(), Role.ADMIN))
    raise InvalidRequestError(
        f"'{url}' is not an address of a CryoMamba server.",
        hint="Write http://HOST:8000 for a gateway, or tcp://HOST:5560 or ipc://PATH for a broker.",
    )
