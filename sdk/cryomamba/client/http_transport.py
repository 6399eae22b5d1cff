"""The transport through a gateway: requests over HTTP, watching over a WebSocket."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import quote, urlsplit, urlunsplit

import httpx

from cryomamba._version import __version__
from cryomamba.client import calls
from cryomamba.client.backoff import pauses
from cryomamba.client.calls import Call, job_path
from cryomamba.client.http_download import HttpDownload
from cryomamba.client.http_errors import error_of, may_repeat, unreachable
from cryomamba.client.http_watch import watch_all, watch_job
from cryomamba.client.replies import parse_reply
from cryomamba.client.transport import UploadedFile, client_closed
from cryomamba.client.upload import Upload
from cryomamba.endpoints import check_http_url, is_loopback_host
from cryomamba.errors import CryoMambaError, InvalidRequestError
from cryomamba.models.base import Record
from cryomamba.models.events import ConnectionEvent, Event
from cryomamba.models.frames import PreviewFrame
from cryomamba.wire.trace_context import trace_headers
from cryomamba.wire.webframe import decode_web_frame

R = TypeVar("R", bound=Record)

RETRY_S: Final = 3.0
TIMEOUT_S: Final = 30.0
CONNECT_S: Final = 5.0


class HttpTransport:
    """A :class:`~cryomamba.client.transport.Transport` over HTTP and WebSocket.

    A request that cannot reach the gateway is sent again for a few seconds, if repeating it changes nothing.

    Parameters
    ----------
    url : str
        ``http://HOST:PORT`` or ``https://HOST``, with a path if the gateway is behind one.
    token : str, optional
        The bearer token, if the gateway requires one.

    Raises
    ------
    InvalidRequestError
        The text is not the address of a gateway.
    """

    name = "http"
    takes_files = True

    def __init__(self, url: str, *, token: str | None = None) -> None:
        self.url = check_http_url(url)
        self._authorization = {} if token is None else {"Authorization": f"Bearer {check_token(token)}"}
        # A proxy of the environment is never meant for this machine.
        self._use_proxy = not is_loopback_host(urlsplit(self.url).hostname or "")
        self._answered = False
        self._client = httpx.AsyncClient(
            base_url=self.url,
            timeout=httpx.Timeout(TIMEOUT_S, connect=CONNECT_S),
            trust_env=self._use_proxy,
            headers={"User-Agent": f"cryomamba/{__version__}", **self._authorization},
        )

    async def call(self, call: Call[R]) -> R:
        """Make a request and return the reply."""
        form = call.http
        if form is None:
            raise InvalidRequestError(
                "A gateway does not take this request.",
                hint="Connect directly to the broker, for example tcp://HOST:5560.",
            )
        timeout = httpx.Timeout(max(TIMEOUT_S, call.timeout_s), connect=CONNECT_S)
        options = {"params": dict(form.query), "json": form.json, "headers": dict(form.headers)}
        reply = await self.request(form.method, form.path, repeatable=form.repeatable, timeout=timeout, **options)
        return parse_reply(call.result, reply.content or b"{}")

    async def request(
        self,
        method: str,
        path: str,
        *,
        repeatable: bool = True,
        **options: Any,  # noqa: ANN401 (httpx's own)
    ) -> httpx.Response:
        """Send a request, again while the gateway cannot be reached, and return its reply.

        Parameters
        ----------
        method, path : str
        repeatable : bool
            Whether it may be sent again when the connection breaks before the reply.
        options
            What :meth:`httpx.AsyncClient.request` takes.

        Raises
        ------
        CryoMambaError
            The gateway's own error, or it cannot be reached.
        """
        waits = pauses(0.1, 2.0, within_s=RETRY_S)
        options["headers"] = {**trace_headers(), **options.get("headers", {})}
        while True:
            if self._client.is_closed:
                raise client_closed()
            try:
                reply = await self._client.request(method, path, **options)
            except httpx.TransportError as error:
                pause = next(waits, None) if may_repeat(error, repeatable=repeatable) else None
                if pause is None:
                    raise unreachable(self.url, error) from None
                await asyncio.sleep(pause)
                continue
            if reply.status_code >= 400:
                raise error_of(reply)
            self._answered = True
            return reply

    async def preview(self, job_id: str) -> PreviewFrame:
        """Return the newest frame."""
        return decode_web_frame((await self.request("GET", f"{job_path(job_id)}/preview")).content)

    async def watch(self, job_id: str, *, previews: bool) -> AsyncGenerator[Event, None]:
        """Follow a job to its end; a gateway that has answered before is waited for."""
        try:
            await self.call(calls.get_job(job_id))
        except CryoMambaError as error:
            if not (self._answered and error.retryable):
                raise
            yield ConnectionEvent("lost", error.message)
        address = self._socket_url(f"/v1/ws/jobs/{job_id}") + ("" if previews else "?previews=false")
        events = watch_job(address, job_id, previews=previews, proxy=self._use_proxy, headers=self._authorization)
        async with contextlib.aclosing(events):
            async for event in events:
                yield event

    def watch_all(self) -> AsyncGenerator[Event, None]:
        """Follow the states and progress of all jobs without end."""
        return watch_all(self._socket_url("/v1/ws"), proxy=self._use_proxy, headers=self._authorization)

    def _socket_url(self, path: str) -> str:
        parts = urlsplit(self.url)
        scheme = "wss" if parts.scheme == "https" else "ws"
        return urlunsplit(parts._replace(scheme=scheme, path=parts.path + path))

    async def upload(self, path: Path, **options: Any) -> UploadedFile:  # noqa: ANN401 (as in the protocol)
        """Send the parts of a file that the gateway does not have."""
        return await Upload(self.request, path, **options).run()

    async def send_file(self, path: Path, **options: Any) -> str:  # noqa: ANN401 (as in the protocol)
        """Send the parts of a file, and return the id of the upload."""
        return await Upload(self.request, path, **options).send()

    def artifact(self, job_id: str, name: str) -> AsyncGenerator[bytes, None]:
        """Read a finished file in chunks; a download that breaks is resumed."""
        return HttpDownload(self._client, f"{job_path(job_id)}/artifacts/{quote(name, safe='')}").chunks()

    async def close(self) -> None:
        """Close every socket."""
        await self._client.aclose()


def check_token(token: str) -> str:
    """Return a token without the white space that copying adds.

    Raises
    ------
    InvalidRequestError
        The text cannot be a token; the message does not repeat it.
    """
    plain = token.strip()
    if not plain or not plain.isascii() or not plain.isprintable() or " " in plain:
        raise InvalidRequestError(
            "The token contains spaces or other characters that are not allowed in a token.",
            hint="Use what 'cryomamba tokens create' printed, as an argument or in CRYOMAMBA_TOKEN.",
        )
    return plain
