"""The transport straight to the bus: requests on one socket, events and previews on two others."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import os
import socket as os_socket
import time
import uuid
from collections.abc import AsyncGenerator, Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Self, TypeVar
from urllib.parse import urlsplit, urlunsplit

from pydantic import ValidationError

from cryomamba.access.visibility import Visibility
from cryomamba.client.bus_requester import BusRequester, Reply
from cryomamba.client.bus_subscriber import BusMessage, BusSubscriber
from cryomamba.client.bus_watch import AllWatch, JobWatch, decode_message
from cryomamba.endpoints import BusEndpoints, check_bus_url
from cryomamba.errors import InvalidRequestError, NotFoundError, ProtocolError, no_such_job
from cryomamba.models.base import Record, Request
from cryomamba.models.events import Event
from cryomamba.models.files import FileRecord
from cryomamba.models.frames import PreviewFrame
from cryomamba.models.jobs import JobPage, JobRecord, JobState, SubmitRequest
from cryomamba.models.server import Activity, ServerInfo
from cryomamba.wire import messages
from cryomamba.wire.buffers import decode_bytes
from cryomamba.wire.requests import (
    ArtifactRead,
    Empty,
    EventPage,
    EventsSince,
    FocusRequest,
    JobRef,
    ListRequest,
    PreviewRead,
    ReviseRequest,
)

if TYPE_CHECKING:
    from cryomamba.access.keys import KeyFile

R = TypeVar("R", bound=Record)

CHUNK_BYTES = 1024 * 1024
EVENTS_S = 10.0
REVISE_S = 120.0
BEYOND_ALL_EVENTS = 2**62


class BusTransport:
    """A :class:`~cryomamba.client.transport.Transport` over ZeroMQ.

    Parameters
    ----------
    url : str
        The broker's jobs socket, ``tcp://HOST:PORT`` or ``ipc://PATH``.
    endpoints : BusEndpoints, optional
        All four sockets, where they are known; otherwise the broker is asked.
    key : KeyFile, optional
        With which to speak; none for an open bus.

    Raises
    ------
    InvalidRequestError
        The address is not one of a bus.
    """

    name = "bus"

    def __init__(self, url: str, *, endpoints: BusEndpoints | None = None, key: KeyFile | None = None) -> None:
        self.url = check_bus_url(url)
        src = f"client-{os_socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self.channel = BusRequester(url, src=src, key=key)
        self.visibility = Visibility.everything() if key is None else key.visibility
        self._key = key
        self._endpoints = endpoints
        # At most one; a list, so that the copies that on_behalf_of() makes share it.
        self._hubs: list[BusSubscriber] = []
        self._hub_lock = asyncio.Lock()

    def on_behalf_of(self, visibility: Visibility) -> Self:
        """Return this transport, sockets shared, for requests that are made for somebody else."""
        other = copy.copy(self)
        other.visibility = visibility
        return other

    async def _request(self, type_: str, body: Request, *, timeout: float = 10.0) -> Reply:  # noqa: ASYNC109 (bounds each request)
        return await self.channel.request(type_, body, timeout=timeout, visibility=self.visibility)

    async def hub(self) -> BusSubscriber:
        """Return the subscriptions' side, connected on first use."""
        async with self._hub_lock:
            if not self._hubs:
                endpoints = self._endpoints or await self._ask_endpoints()
                self._hubs.append(BusSubscriber(endpoints, key=self._key))
            return self._hubs[0]

    async def _ask_endpoints(self) -> BusEndpoints:
        info = await self.info()
        reached = {name: _as_reached(endpoint, self.url) for name, endpoint in info.endpoints.items()}
        return BusEndpoints.model_validate(reached)

    async def info(self) -> ServerInfo:
        """Ask who is there."""
        reply = await self._request("server.info", Empty(), timeout=5.0)
        return _parsed(ServerInfo, reply.body)

    async def activity(self) -> Activity:
        """Ask how busy the server is."""
        return _parsed(Activity, (await self._request("server.activity", Empty(), timeout=5.0)).body)

    async def submit(self, request: SubmitRequest) -> JobRecord:
        """Hand in a job."""
        return await self._job("job.submit", request)

    async def get(self, job_id: str) -> JobRecord:
        """Return a job."""
        return await self._job("job.get", _ref(job_id))

    async def page(self, *, state: JobState | None, limit: int, cursor: str | None) -> JobPage:
        """Return one page of the listing, newest first."""
        query = ListRequest(state=state, limit=limit, cursor=cursor)
        return _parsed(JobPage, (await self._request("job.list", query)).body)

    async def cancel(self, job_id: str) -> JobRecord:
        """Cancel a job."""
        return await self._job("job.cancel", _ref(job_id))

    async def retry(self, job_id: str) -> JobRecord:
        """Put a failed or cancelled job back into the queue."""
        return await self._job("job.retry", _ref(job_id))

    async def delete(self, job_id: str) -> JobRecord:
        """Have the broker forget a job that has ended, and remove its files."""
        return await self._job("job.delete", _ref(job_id))

    async def focus(self, job_id: str, position: tuple[float, float, float]) -> None:
        """Say where the person looks."""
        await self._request("job.focus", FocusRequest(job=_ref(job_id).job, position=position))

    async def _job(self, type_: str, body: JobRef | SubmitRequest) -> JobRecord:
        reply = await self._request(type_, body)
        return _parsed(JobRecord, reply.body)

    async def preview(self, job_id: str) -> PreviewFrame:
        """Return the newest frame that the broker keeps."""
        return decode_message(await self.preview_message(job_id))

    async def preview_message(self, job_id: str) -> BusMessage:
        """Return the newest frame as it was published, for relaying."""
        reply = await self._request("preview.get", PreviewRead(job=_ref(job_id).job))
        # The reply has a number and time of its own; those of the frame are in the body.
        seq, ts = reply.body.get("seq"), reply.body.get("ts")
        if not isinstance(seq, int) or not isinstance(ts, int | float):
            raise ProtocolError("The broker sent a preview without its number and time.")
        envelope = replace(reply.envelope, type=messages.PREVIEW, seq=seq, ts=float(ts))
        return BusMessage(envelope, b"", reply.parts[0] if reply.parts else b"")

    async def revise(self, request: ReviseRequest) -> JobRecord:
        """Have the broker take a revised mask in among the files of its job."""
        return _parsed(JobRecord, (await self._request("job.revise", request, timeout=REVISE_S)).body)

    async def send_revision(
        self, job_id: str, path: Path, *, note: str, progress: Callable[[int, int], None] | None
    ) -> JobRecord:
        """Have the broker copy a mask, which it must be able to read by its path."""
        del progress
        return await self.revise(ReviseRequest(job=_ref(job_id).job, path=str(path), note=note))

    async def upload(
        self,
        path: Path,
        *,
        progress: Callable[[int, int], None] | None,
        reading: Callable[[int, int], None] | None,
        parallel: int,
        keep: bool,
    ) -> FileRecord:
        """Refuse: files go through a gateway."""
        del progress, reading, parallel, keep
        raise InvalidRequestError(
            f"The bus takes no files, so {path.name} cannot be sent.",
            hint="Connect through a gateway (http://HOST:8000), or put the file where the server can read it.",
        )

    async def artifact(self, job_id: str, name: str) -> AsyncGenerator[bytes, None]:
        """Read a finished file in pieces of 1 MiB."""
        record = await self.get(job_id)
        size = next((a.size_bytes for a in record.artifacts if a.name == name), None)
        if size is None:
            listed = ", ".join(a.name for a in record.artifacts) or "none yet"
            raise NotFoundError(f"The job has no file '{name}'.", hint=f"Its files: {listed}.")
        offset = 0
        while offset < size:
            length = min(CHUNK_BYTES, size - offset)
            reply = await self._request(
                "artifact.read", ArtifactRead(job=job_id, name=name, offset=offset, length=length), timeout=30.0
            )
            if not reply.parts or not reply.envelope.buffers:
                raise ProtocolError("The broker sent a piece of a file without its bytes.")
            piece = decode_bytes(reply.envelope.buffers[0], reply.parts[0])
            offset += len(piece)
            yield piece

    async def latency(self) -> float:
        """Return the seconds that a ping takes."""
        started = time.perf_counter()
        await self._request("ping", Empty(), timeout=5.0)
        return time.perf_counter() - started

    async def events_since(self, n: int, *, limit: int = 200) -> EventPage:
        """Return what happened after event number `n`, as far as it fits into one answer."""
        reply = await self._request("events.since", EventsSince(n=n, limit=limit), timeout=EVENTS_S)
        return _parsed(EventPage, reply.body)

    async def last_event(self) -> int:
        """Return the number of the newest event of all jobs."""
        return (await self.events_since(BEYOND_ALL_EVENTS, limit=1)).last

    async def watch(self, job_id: str | None, *, previews: bool) -> AsyncGenerator[Event, None]:
        """Follow a job to its end, or the states of all jobs."""
        follow = AllWatch(self) if job_id is None else JobWatch(self, _ref(job_id).job, previews=previews)
        async with contextlib.aclosing(follow.events()) as events:
            async for event in events:
                yield event

    async def close(self) -> None:
        """Give every socket back."""
        for hub in self._hubs:
            await hub.close()
        await self.channel.close()


def _ref(job_id: str) -> JobRef:
    try:
        return JobRef(job=job_id)
    except ValidationError:
        raise no_such_job(job_id) from None


def _parsed(model: type[R], body: object) -> R:
    try:
        return model.model_validate(body)
    except ValidationError:
        raise ProtocolError(
            "The broker's answer is not what this client expects.",
            hint="Install the same release of CryoMamba on both sides.",
        ) from None


def _as_reached(endpoint: str, url: str) -> str:
    """Take the host of `url` for an endpoint: the broker knows where it bound, not how it is reached."""
    mine, asked = urlsplit(endpoint), urlsplit(url)
    if mine.scheme != "tcp" or asked.scheme != "tcp" or not asked.hostname:
        return endpoint
    host = f"[{asked.hostname}]" if ":" in asked.hostname else asked.hostname
    return urlunsplit(mine._replace(netloc=f"{host}:{mine.port}"))
