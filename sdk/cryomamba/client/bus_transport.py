"""The transport directly to the broker: requests on one socket, events and previews on two others."""

from __future__ import annotations

import asyncio
import copy
import os
import socket as os_socket
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Self, TypeVar
from urllib.parse import urlsplit, urlunsplit

from cryomamba.access.visibility import Visibility
from cryomamba.client import calls
from cryomamba.client.bus_requester import BusRequester, Reply
from cryomamba.client.bus_subscriber import BusMessage, BusSubscriber, Subscription
from cryomamba.client.bus_watch import AllWatch, JobWatch, decode_message
from cryomamba.client.calls import Call, job_ref
from cryomamba.client.replies import parse_reply
from cryomamba.client.transport import UploadedFile
from cryomamba.endpoints import BusEndpoints, check_bus_url
from cryomamba.errors import InvalidRequestError, NotFoundError, ProtocolError
from cryomamba.models.base import Record, Request
from cryomamba.models.events import Event
from cryomamba.models.frames import PreviewFrame
from cryomamba.models.jobs import JobRecord
from cryomamba.wire import messages
from cryomamba.wire.buffers import decode_bytes
from cryomamba.wire.requests import ArtifactRead, Empty, EventPage, EventsSince, PreviewRead

if TYPE_CHECKING:
    from cryomamba.access.keys import KeyFile

R = TypeVar("R", bound=Record)

CHUNK_BYTES = 1024 * 1024
CHUNK_S = 30.0
EVENTS_S = 10.0
METRICS_S = 5.0
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
        The key of this client; none for an open bus.

    Raises
    ------
    InvalidRequestError
        The text is not the address of a bus.
    """

    name = "bus"
    takes_files = False

    def __init__(self, url: str, *, endpoints: BusEndpoints | None = None, key: KeyFile | None = None) -> None:
        self.url = check_bus_url(url)
        src = f"client-{os_socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self.requester = BusRequester(url, src=src, key=key)
        self.visibility = Visibility.everything() if key is None else key.visibility
        self._endpoints = endpoints
        self._subscriber = _SharedSubscriber(key)

    def on_behalf_of(self, visibility: Visibility) -> Self:
        """Return this transport, sockets shared, for requests on somebody else's behalf."""
        other = copy.copy(self)
        other.visibility = visibility
        return other

    async def call(self, call: Call[R]) -> R:
        """Make a request and return the reply."""
        if call.bus is None:
            raise _gateway_only()
        return parse_reply(call.result, (await self._request(call.bus.message, call.bus.body, call.timeout_s)).body)

    async def _request(self, message: str, body: Request, timeout_s: float) -> Reply:
        return await self.requester.request(message, body, timeout=timeout_s, visibility=self.visibility)

    async def subscriber(self) -> BusSubscriber:
        """Return the side of the subscriptions, connected on first use."""
        return await self._subscriber.get(self._find_endpoints)

    async def _find_endpoints(self) -> BusEndpoints:
        if self._endpoints is not None:
            return self._endpoints
        info = await self.call(calls.server_info())
        reachable = {name: _as_reached(endpoint, self.url) for name, endpoint in info.endpoints.items()}
        return BusEndpoints.model_validate(reachable)

    async def subscribe(self, job_id: str, *, previews: bool) -> Subscription:
        """Subscribe to a job; to be closed by the caller."""
        return (await self.subscriber()).subscribe(job_ref(job_id).job, previews=previews)

    async def subscribe_all(self) -> Subscription:
        """Subscribe to the states and progress of all visible jobs; to be closed by the caller."""
        return (await self.subscriber()).subscribe_all(self.visibility)

    async def record(self, job_id: str) -> JobRecord:
        """Return a job as it stands."""
        return await self.call(calls.get_job(job_id))

    async def preview(self, job_id: str) -> PreviewFrame:
        """Return the newest frame that the broker keeps."""
        return decode_message(await self.last_frame(job_id))

    async def last_frame(self, job_id: str) -> BusMessage:
        """Return the newest frame as it was published, for relaying."""
        reply = await self._request(messages.PREVIEW_GET, PreviewRead(job=job_ref(job_id).job), 10.0)
        # The reply has a number and time of its own; those of the frame are in the body.
        seq, ts = reply.body.get("seq"), reply.body.get("ts")
        if not isinstance(seq, int) or not isinstance(ts, int | float):
            raise ProtocolError("The broker sent a preview without its number and time.")
        envelope = replace(reply.envelope, type=messages.PREVIEW, seq=seq, ts=float(ts))
        return BusMessage(envelope, b"", reply.parts[0] if reply.parts else b"")

    async def upload(self, path: Path, **options: object) -> UploadedFile:
        """Refuse: files go through a gateway."""
        del path, options
        raise _gateway_only()

    async def send_file(self, path: Path, **options: object) -> str:
        """Refuse: files go through a gateway."""
        del path, options
        raise _gateway_only()

    async def artifact(self, job_id: str, name: str) -> AsyncGenerator[bytes, None]:
        """Read a finished file in chunks of 1 MiB."""
        record = await self.record(job_id)
        size = next((a.size_bytes for a in record.artifacts if a.name == name), None)
        if size is None:
            listed = ", ".join(a.name for a in record.artifacts) or "none yet"
            raise NotFoundError(f"The job has no file '{name}'.", hint=f"Its files: {listed}.")
        offset = 0
        while offset < size:
            length = min(CHUNK_BYTES, size - offset)
            read = ArtifactRead(job=job_id, name=name, offset=offset, length=length)
            reply = await self._request(messages.ARTIFACT_READ, read, CHUNK_S)
            if not reply.parts or not reply.envelope.buffers:
                raise ProtocolError("The broker sent a chunk of a file without its bytes.")
            chunk = decode_bytes(reply.envelope.buffers[0], reply.parts[0])
            offset += len(chunk)
            yield chunk

    async def metrics(self) -> bytes:
        """Return the broker's metrics, with those of the workers, in Prometheus' text format."""
        reply = await self._request(messages.SERVER_METRICS, Empty(), METRICS_S)
        if not reply.parts or not reply.envelope.buffers:
            raise ProtocolError("The broker sent its metrics without their text.")
        return decode_bytes(reply.envelope.buffers[0], reply.parts[0])

    async def events_since(self, n: int, *, limit: int = 200) -> EventPage:
        """Return what happened after event number `n`, as far as it fits into one reply."""
        reply = await self._request(messages.EVENTS_SINCE, EventsSince(n=n, limit=limit), EVENTS_S)
        return parse_reply(EventPage, reply.body)

    async def last_event(self) -> int:
        """Return the number of the newest event of all jobs."""
        return (await self.events_since(BEYOND_ALL_EVENTS, limit=1)).last

    def watch(self, job_id: str, *, previews: bool) -> AsyncGenerator[Event, None]:
        """Follow a job to its end; a broker that has answered before is waited for."""
        patient = self.requester.broker_epoch is not None
        return JobWatch(self, job_ref(job_id).job, previews=previews, patient=patient).events()

    def watch_all(self) -> AsyncGenerator[Event, None]:
        """Follow the states and progress of all visible jobs without end."""
        return AllWatch(self).events()

    async def close(self) -> None:
        """Close every socket."""
        await self._subscriber.close()
        await self.requester.close()


class _SharedSubscriber:
    """The subscriber that a transport and its copies for other owners share, connected on first use."""

    def __init__(self, key: KeyFile | None) -> None:
        self._key = key
        self._subscriber: BusSubscriber | None = None
        self._lock = asyncio.Lock()

    async def get(self, find_endpoints: Callable[[], Awaitable[BusEndpoints]]) -> BusSubscriber:
        async with self._lock:
            if self._subscriber is None:
                self._subscriber = BusSubscriber(await find_endpoints(), key=self._key)
            return self._subscriber

    async def close(self) -> None:
        if self._subscriber is not None:
            await self._subscriber.close()


def _gateway_only() -> InvalidRequestError:
    return InvalidRequestError(
        "Files are uploaded to and kept by a gateway; a direct connection to the broker has none.",
        hint="Connect to a gateway (http://HOST:8000), or put the file where the server can read it.",
    )


def _as_reached(endpoint: str, url: str) -> str:
    """Return an endpoint with the host of `url`: the broker reports its own addresses, which may not be reachable."""
    own, asked = urlsplit(endpoint), urlsplit(url)
    if own.scheme != "tcp" or asked.scheme != "tcp" or not asked.hostname:
        return endpoint
    host = f"[{asked.hostname}]" if ":" in asked.hostname else asked.hostname
    return urlunsplit(own._replace(netloc=f"{host}:{own.port}"))
