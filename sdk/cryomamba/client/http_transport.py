"""The transport through a gateway: requests over HTTP, watching over a WebSocket."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import ipaddress
import time
import uuid
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import quote, urlsplit, urlunsplit

import httpx
from pydantic import ValidationError

from cryomamba._version import __version__
from cryomamba.client.http_watch import watch_all, watch_job
from cryomamba.client.upload import Upload
from cryomamba.errors import (
    ConflictError,
    CryoMambaError,
    ErrorCode,
    InvalidRequestError,
    ProtocolError,
    UnavailableError,
    error_from_payload,
    no_such_job,
)
from cryomamba.models.base import Record
from cryomamba.models.events import Event
from cryomamba.models.files import FileRecord
from cryomamba.models.frames import PreviewFrame
from cryomamba.models.jobs import JobPage, JobRecord, JobState, SubmitRequest
from cryomamba.models.server import ServerInfo
from cryomamba.wire.webframe import decode_web_frame

R = TypeVar("R", bound=Record)

RETRY_S: Final = 3.0
RESUMES_MAX: Final = 8
REVISE_S: Final = 120.0
_TIMEOUT: Final = httpx.Timeout(30.0, connect=5.0)
_KEY_MAX: Final = 200


class HttpTransport:
    """A :class:`~cryomamba.client.transport.Transport` over HTTP and WebSocket.

    A request that cannot reach the gateway is sent again for a few seconds; all of them may be repeated safely.

    Parameters
    ----------
    url : str
        ``http://HOST:PORT`` or ``https://HOST``, with a path if the gateway is behind one.
    token : str, optional
        The bearer token that the gateway wants, if it wants one.

    Raises
    ------
    InvalidRequestError
        The address is not one of a gateway.
    """

    name = "http"

    def __init__(self, url: str, *, token: str | None = None) -> None:
        self.url = check_http_url(url)
        self._access = {} if token is None else {"Authorization": f"Bearer {check_token(token)}"}
        self._local = is_on_this_machine(self.url)
        # A proxy of the environment is never meant for this machine.
        self._client = httpx.AsyncClient(
            base_url=self.url,
            timeout=_TIMEOUT,
            trust_env=not self._local,
            headers={"User-Agent": f"cryomamba/{__version__}", **self._access},
        )

    async def info(self) -> ServerInfo:
        """Ask who is there."""
        return _parsed(ServerInfo, await self._ask("GET", "/v1/server/info"))

    async def submit(self, request: SubmitRequest) -> JobRecord:
        """Hand in a job."""
        body = request.model_dump(mode="json", exclude={"client_key", "owner"})
        key = request.client_key or uuid.uuid4().hex
        reply = await self._ask("POST", "/v1/jobs", json=body, headers={"Idempotency-Key": header_key(key)})
        return _parsed(JobRecord, reply)

    async def get(self, job_id: str) -> JobRecord:
        """Return a job."""
        return _parsed(JobRecord, await self._ask("GET", job_path(job_id)))

    async def page(self, *, state: JobState | None, limit: int, cursor: str | None) -> JobPage:
        """Return one page of the listing."""
        wanted = {"state": state, "limit": limit, "cursor": cursor}
        params = {name: str(value) for name, value in wanted.items() if value is not None}
        return _parsed(JobPage, await self._ask("GET", "/v1/jobs", params=params))

    async def cancel(self, job_id: str) -> JobRecord:
        """Cancel a job."""
        return _parsed(JobRecord, await self._ask("DELETE", job_path(job_id)))

    async def retry(self, job_id: str) -> JobRecord:
        """Put a failed or cancelled job back into the queue."""
        return _parsed(JobRecord, await self._ask("POST", f"{job_path(job_id)}/retry", again=False))

    async def focus(self, job_id: str, position: tuple[float, float, float]) -> None:
        """Say where the person looks."""
        await self._ask("PUT", f"{job_path(job_id)}/focus", json={"position": list(position)})

    async def preview(self, job_id: str) -> PreviewFrame:
        """Return the newest frame."""
        return decode_web_frame((await self._ask("GET", f"{job_path(job_id)}/preview")).content)

    async def latency(self) -> float:
        """Return the seconds that a small question takes."""
        started = time.perf_counter()
        await self._ask("GET", "/v1/healthz")
        return time.perf_counter() - started

    async def watch(self, job_id: str | None, *, previews: bool) -> AsyncGenerator[Event, None]:
        """Follow a job to its end, or the states of all jobs."""
        if job_id is None:
            events = watch_all(self._socket_url("/v1/ws"), proxy=not self._local, headers=self._access)
        else:
            await self.get(job_id)
            address = self._socket_url(f"/v1/ws/jobs/{job_id}") + ("" if previews else "?previews=false")
            events = watch_job(address, job_id, previews=previews, proxy=not self._local, headers=self._access)
        async with contextlib.aclosing(events) as following:
            async for event in following:
                yield event

    def _socket_url(self, path: str) -> str:
        parts = urlsplit(self.url)
        scheme = "wss" if parts.scheme == "https" else "ws"
        return urlunsplit(parts._replace(scheme=scheme, path=parts.path + path))

    async def upload(
        self,
        path: Path,
        *,
        progress: Callable[[int, int], None] | None,
        reading: Callable[[int, int], None] | None,
        parallel: int,
        keep: bool,
    ) -> FileRecord:
        """Send a file, or what is missing of it."""
        return await Upload(self._ask, path, progress=progress, reading=reading, parallel=parallel, keep=keep).run()

    async def send_revision(
        self, job_id: str, path: Path, *, note: str, progress: Callable[[int, int], None] | None
    ) -> JobRecord:
        """Send a mask, and make it a revision; the upload goes again, unless it was there before."""
        upload = Upload(self._ask, path, progress=progress, keep=False)
        record = await upload.run()
        body = {"file_id": record.file_id, "note": note}
        reply = await self._ask("PUT", f"{job_path(job_id)}/revisions", json=body, timeout=REVISE_S)
        if upload.fresh:
            with contextlib.suppress(CryoMambaError):
                await self._ask("DELETE", f"/v1/files/{record.file_id}")
        return _parsed(JobRecord, reply)

    async def artifact(self, job_id: str, name: str) -> AsyncGenerator[bytes, None]:
        """Read a finished file in pieces; a broken download goes on where it broke."""
        path = f"{job_path(job_id)}/artifacts/{quote(name, safe='')}"
        download = _Download()
        pauses = _pauses()
        failures = 0
        while not download.complete:
            before = download.done
            try:
                async with contextlib.aclosing(self._pieces(path, download)) as pieces:
                    async for piece in pieces:
                        yield piece
            except httpx.TransportError as error:
                failures = 1 if download.done > before else failures + 1
                if failures > RESUMES_MAX:
                    raise self._unreachable(error) from None
                await asyncio.sleep(next(pauses))

    async def _pieces(self, path: str, download: _Download) -> AsyncGenerator[bytes, None]:
        async with self._client.stream("GET", path, headers=download.headers()) as reply:
            if reply.status_code >= 400:
                await reply.aread()
                raise _error_of(reply)
            skip = download.begin(reply)
            async for piece in reply.aiter_raw():
                fresh = piece[skip:] if skip else piece
                skip = max(0, skip - len(piece))
                if fresh:
                    download.done += len(fresh)
                    yield fresh
        download.complete = True

    async def _ask(self, method: str, path: str, *, again: bool = True, **more: Any) -> httpx.Response:  # noqa: ANN401
        until = time.monotonic() + RETRY_S
        pauses = _pauses()
        while True:
            try:
                reply = await self._client.request(method, path, **more)
            except httpx.TransportError as error:
                pause = next(pauses)
                if not _may_repeat(error, again=again) or time.monotonic() + pause > until:
                    raise self._unreachable(error) from None
                await asyncio.sleep(pause)
                continue
            if reply.status_code >= 400:
                raise _error_of(reply)
            return reply

    def _unreachable(self, error: httpx.TransportError) -> UnavailableError:
        if isinstance(error, httpx.TimeoutException) and not isinstance(error, httpx.ConnectTimeout):
            return UnavailableError(
                f"The gateway at {self.url} did not answer in time.",
                code=ErrorCode.TIMEOUT,
                hint="It may be busy; try again in a moment.",
            )
        return UnavailableError(
            f"No gateway answers at {self.url}.",
            hint="Check that the services run ('honcho start') and that address and port are the gateway's.",
        )

    async def close(self) -> None:
        """Give every socket back."""
        await self._client.aclose()


class _Download:
    """How far a download is, and which file it is of."""

    def __init__(self) -> None:
        self.done = 0
        self.etag: str | None = None
        self.complete = False

    def headers(self) -> dict[str, str]:
        wanted = {"Accept-Encoding": "identity"}
        if self.done:
            wanted["Range"] = f"bytes={self.done}-"
        if self.done and self.etag:
            wanted["If-Range"] = self.etag
        return wanted

    def begin(self, reply: httpx.Response) -> int:
        """Take notice of an answer and return how many of its first bytes are here already."""
        etag = reply.headers.get("ETag")
        if self.done and etag != self.etag:
            raise ConflictError("The file changed while it was downloaded.", hint="Download it again.", retryable=True)
        self.etag = etag
        return 0 if reply.status_code == httpx.codes.PARTIAL_CONTENT else self.done


def check_http_url(url: str) -> str:
    """Return the address of a gateway without a slash at its end, or say what is wrong with it.

    Raises
    ------
    InvalidRequestError
        The text is not such an address.
    """
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise InvalidRequestError(
            f"'{url}' is not an address of a gateway.",
            hint="Write http://HOST:PORT, for example http://127.0.0.1:8000.",
        )
    return url.rstrip("/")


def check_token(token: str) -> str:
    """Return a token without the white space that copying brings along.

    Raises
    ------
    InvalidRequestError
        It cannot be one; the message does not tell what it is.
    """
    plain = token.strip()
    if not plain or not plain.isascii() or not plain.isprintable() or " " in plain:
        raise InvalidRequestError(
            "The token is not one.", hint="CRYOMAMBA_TOKEN must be what 'cryomamba tokens create' printed."
        )
    return plain


def is_on_this_machine(url: str) -> bool:
    """Whether an address is a loopback one."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def header_key(key: str) -> str:
    """Return a client key as a header can carry it: as it is, or as its hash."""
    plain = len(key) <= _KEY_MAX and key.isascii() and key.isprintable() and " " not in key
    return key if plain else hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def job_path(job_id: str) -> str:
    """Return the path of a job.

    Raises
    ------
    NotFoundError
        No job can have this id.
    """
    if not job_id or len(job_id) > 64 or not job_id.replace("-", "").isalnum() or not job_id.isascii():
        raise no_such_job(job_id)
    return f"/v1/jobs/{job_id}"


def _pauses() -> Iterator[float]:
    pause = 0.1
    while True:
        yield pause
        pause = min(pause * 2, 2.0)


def _may_repeat(error: httpx.TransportError, *, again: bool) -> bool:
    """Whether a request may be sent once more: always if it never left, and if it changes nothing twice."""
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
        return True
    return again and not isinstance(error, httpx.TimeoutException | httpx.UnsupportedProtocol)


def _error_of(reply: httpx.Response) -> CryoMambaError:
    try:
        payload = reply.json()
    except ValueError:
        payload = None
    if isinstance(payload, Mapping) and "code" in payload and "message" in payload:
        error = error_from_payload(payload)
        if payload.get("request_id"):
            error.details["request_id"] = str(payload["request_id"])
        return error
    if reply.status_code in {502, 503, 504}:
        return UnavailableError(
            f"Something before the gateway answered with status {reply.status_code}.",
            hint="A reverse proxy may be there while the gateway is not; try again in a moment.",
        )
    return ProtocolError(
        f"The answer with status {reply.status_code} is not one of a CryoMamba gateway.",
        hint="Check that the address is the gateway's.",
    )


def _parsed(model: type[R], reply: httpx.Response) -> R:
    try:
        return model.model_validate_json(reply.content)
    except ValidationError:
        raise ProtocolError(
            "The gateway's answer is not what this client expects.",
            hint="Check that the address is a gateway's, and install the same release of CryoMamba on both sides.",
        ) from None
