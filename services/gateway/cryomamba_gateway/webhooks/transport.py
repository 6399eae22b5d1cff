"""The connection of one try to deliver a message, with a bound on what is read of the answer."""

from __future__ import annotations

import ssl
from collections.abc import Iterable
from typing import Final

import httpcore

# Far more than any head of an answer. Without a bound, a receiver could keep the event loop busy until the end of the
# try with interim responses (status 1xx), of which HTTP allows any number.
HEAD_MAX: Final = 16 * 1024


def webhook_connection(origin: httpcore.Origin, tls: ssl.SSLContext) -> httpcore.AsyncHTTPConnection:
    """Return a connection for one request, without a proxy; what comes after :data:`HEAD_MAX` is an error."""
    return httpcore.AsyncHTTPConnection(origin, ssl_context=tls, network_backend=_Backend())


class _Backend(httpcore.AnyIOBackend):
    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 (an argument of httpcore's interface, like those below)
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        return _BoundedStream(await super().connect_tcp(host, port, timeout, local_address, socket_options))


class _BoundedStream(httpcore.AsyncNetworkStream):
    def __init__(self, stream: httpcore.AsyncNetworkStream) -> None:
        self._stream, self._left = stream, HEAD_MAX

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109
        if not self._left:
            raise httpcore.ReadError("The head of the answer is too long.")
        data = await self._stream.read(min(max_bytes, self._left), timeout)
        self._left -= len(data)
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109
        await self._stream.write(buffer, timeout)

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> httpcore.AsyncNetworkStream:
        return _BoundedStream(await self._stream.start_tls(ssl_context, server_hostname, timeout))

    def get_extra_info(self, info: str) -> object:
        return self._stream.get_extra_info(info)
