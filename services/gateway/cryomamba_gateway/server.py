"""Runs the gateway: binds its socket, starts uvicorn, announces the address, and shuts down."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import logging
import os
import socket
import ssl
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final, cast

import uvicorn
from fastapi import FastAPI

from cryomamba.endpoints import announce, check_bus_url, is_loopback_host, require_loopback
from cryomamba.errors import InvalidRequestError, UnavailableError
from cryomamba.settings import Settings
from cryomamba_gateway.access.connections import REQUEST_S, Connections, Listener
from cryomamba_gateway.app import create_app
from cryomamba_gateway.bus_connection import is_chosen_later, known_endpoints
from cryomamba_gateway.limits import HEADERS_MAX_BYTES
from cryomamba_gateway.live.websocket_session import MESSAGE_MAX_BYTES
from cryomamba_gateway.uvicorn_protocol import HttpProtocol, WebSocketProtocol
from cryomamba_server.signing import UrlSigner
from cryomamba_server.systemd import READY, notify_systemd
from cryomamba_server.tokens import TokenStore

STUCK_MS: Final = 20_000
GRACE_S: Final = 1
PING_S: Final = 20.0
# As many as may open at once without the kernel dropping one, which its client would repeat only after a second.
BACKLOG: Final = 2048
ACCEPTS_AT_ONCE: Final = 8

logger = logging.getLogger(__name__)


class Server(uvicorn.Server):
    """A uvicorn server that does not wait for stuck clients at shutdown, and leaves signals to the program.

    Attributes
    ----------
    listening : asyncio.Event
        Set once connections are accepted.
    """

    def __init__(self, config: uvicorn.Config, connections: Connections) -> None:
        super().__init__(config)
        self._connections = connections
        self.listening = asyncio.Event()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Do not install signal handlers."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and raise an error where uvicorn would exit the process."""
        try:
            await super().startup(sockets)
        except SystemExit:
            raise UnavailableError("The gateway could not start.", retryable=False) from None
        for listener in sockets or ():
            # asyncio uses one number for two things: this queue, and how many connections it accepts in one turn.
            listener.listen(BACKLOG)
        self.listening.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Shut down gracefully, then end the remaining connections."""
        await super().shutdown(sockets)
        self._connections.evict_all()
        # An aborted transport closes its socket in the loop's next turn.
        await asyncio.sleep(0)


def listen(host: str, port: int, *, guarded: bool = False) -> Listener:
    """Return a listening socket.

    Parameters
    ----------
    host, port : str, int
    guarded : bool
        Whether callers need a token; otherwise only a loopback address is allowed.

    Raises
    ------
    InvalidRequestError
        Other machines can reach the address, and there is no token key; or the port is in use or not allowed.
    UnavailableError
        This machine has no such address at the moment.
    """
    if not guarded:
        require_loopback(host, variable="CRYOMAMBA_GATEWAY_HOST", keys="cryomamba tokens create NAME")
    bare = host.strip("[]")
    try:
        family, _, _, _, address = socket.getaddrinfo(bare, port, type=socket.SOCK_STREAM)[0]
        listener = Listener(family, socket.SOCK_STREAM)
        try:
            if os.name == "posix":
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            # asyncio sets this only on its own sockets; without it every small response waits 40 ms for an ACK.
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            # Accepted connections inherit it: the kernel drops one whose peer acknowledges nothing for this time.
            if hasattr(socket, "TCP_USER_TIMEOUT"):
                listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, STUCK_MS)
            listener.bind(address)
            listener.listen(BACKLOG)
        except OSError:
            listener.close()
            raise
    except OSError as error:
        message = f"The gateway cannot listen on {host}:{port}: {error.strerror or error}."
        if error.errno in {errno.EADDRINUSE, errno.EACCES}:
            raise InvalidRequestError(
                message, hint="Stop the program that uses the port, or choose another one with CRYOMAMBA_GATEWAY_PORT."
            ) from None
        raise UnavailableError(message, hint="Check the network and CRYOMAMBA_GATEWAY_HOST.", retryable=False) from None
    listener.setblocking(False)  # noqa: FBT003 (its only parameter)
    return listener


def require_tokens_for_names(names: Collection[str], *, guarded: bool) -> None:
    """Refuse to run behind the name of a reverse proxy without tokens, open to the world.

    Raises
    ------
    InvalidRequestError
        A name is configured and there is no token key.
    """
    if names and not guarded:
        raise InvalidRequestError(
            f"Anybody could use this gateway as '{next(iter(names))}' (CRYOMAMBA_GATEWAY_HOSTS).",
            hint="Create a token first, with 'cryomamba tokens create NAME'; then everybody needs one.",
        )


def url_of(listener: socket.socket, *, tls: bool = False) -> str:
    """Return the URL for clients."""
    host, port = listener.getsockname()[:2]
    scheme = "https" if tls else "http"
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def certificate(settings: Settings) -> ssl.SSLContext | None:
    """Return the TLS context; None if no certificate is configured.

    Raises
    ------
    InvalidRequestError
        The files are missing or do not match.
    """
    if settings.gateway_certfile is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(settings.gateway_certfile, settings.gateway_keyfile)
    except OSError as error:
        raise InvalidRequestError(
            f"The certificate cannot be used: {error.strerror or error}.",
            hint="CRYOMAMBA_GATEWAY_CERTFILE and CRYOMAMBA_GATEWAY_KEYFILE must be matching PEM files.",
        ) from None
    return context


@contextmanager
def announced(path: Path, url: str) -> Iterator[None]:
    """Keep a file with the gateway's URL while it runs; without the file if the disk is full."""
    text = json.dumps({"url": url, "pid": os.getpid()})
    try:
        announce(path, text)
    except (OSError, UnavailableError) as error:
        logger.warning("%s could not be written, so local programs cannot find this gateway: %s", path, error)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            if path.read_text(encoding="utf-8") == text:
                path.unlink()


def _config(app: FastAPI, connections: Connections, tls: ssl.SSLContext | None) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        # Any callable that returns a protocol; uvicorn's annotation allows only classes.
        http=cast("Any", partial(HttpProtocol, connections=connections)),
        ws=WebSocketProtocol,
        ssl_context_factory=None if tls is None else lambda _config, _default: tls,
        ws_max_size=MESSAGE_MAX_BYTES,
        ws_per_message_deflate=False,
        ws_ping_interval=PING_S,
        ws_ping_timeout=PING_S,
        lifespan="on",
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        # Longer than clients keep idle connections: closing at the same moment would lose a request.
        timeout_keep_alive=int(REQUEST_S),
        backlog=ACCEPTS_AT_ONCE,
        timeout_graceful_shutdown=GRACE_S,
        h11_max_incomplete_event_size=HEADERS_MAX_BYTES,
    )


async def serve(
    settings: Settings, stop: asyncio.Event, *, ready: asyncio.Future[str] | None = None, start_reader: bool = False
) -> None:
    """Run the gateway until `stop` is set.

    Parameters
    ----------
    settings : Settings
    stop : asyncio.Event
    ready : Future of str, optional
        Receives the URL once the gateway accepts connections.
    start_reader : bool
        Whether the process that reads volumes is started now, not with the first volume.

    Raises
    ------
    CryoMambaError
        The configuration is invalid, or the address cannot be used.
    """
    for endpoint in known_endpoints(settings).model_dump().values():
        if not is_chosen_later(endpoint):
            check_bus_url(endpoint)
    tls = certificate(settings)
    tokens = TokenStore(settings.keys)
    tokens.require_private()
    # An unwritable data directory is reported here in a sentence; later it would be the framework's traceback.
    await asyncio.to_thread(UrlSigner, settings.keys)
    require_tokens_for_names(settings.gateway_hosts, guarded=tokens.enabled)
    listener = listen(settings.gateway_host, settings.gateway_port, guarded=tokens.enabled)
    if not (tls or is_loopback_host(settings.gateway_host)):
        logger.warning("Tokens are sent unencrypted: configure a certificate, or put a TLS proxy in front.")
    logging.getLogger("uvicorn.error").addFilter(is_relevant)
    app = create_app(settings)
    connections: Connections = app.state.gateway.connections
    listener.on_accept = connections.add
    server = Server(_config(app, connections, tls), connections)
    url = url_of(listener, tls=bool(tls))
    running = asyncio.create_task(server.serve([listener]), name="gateway")
    try:
        if await _first(running, server.listening):
            with announced(settings.gateway_file, url):
                logger.info("The gateway listens on %s.", url)
                notify_systemd(READY)
                if ready is not None:
                    ready.set_result(url)
                if start_reader:
                    app.state.gateway.reader.start()
                await _first(running, stop)
    finally:
        server.should_exit = True
        with contextlib.closing(listener):
            await running
        logger.info("The gateway has ended.")


def is_relevant(record: logging.LogRecord) -> bool:
    """Whether to log a record: a request that was cancelled at shutdown is no defect."""
    return not (record.exc_info and isinstance(record.exc_info[1], asyncio.CancelledError))


async def _first(running: asyncio.Task[None], event: asyncio.Event) -> bool:
    """Wait for an event while a task runs; return False if the task ended first."""
    waiting: asyncio.Task[Any] = asyncio.create_task(event.wait())
    await asyncio.wait({running, waiting}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    return event.is_set()
