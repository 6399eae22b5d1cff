"""The transport straight to the bus: requests on one socket, events and previews on two others."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket as os_socket
import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit, urlunsplit

from pydantic import ValidationError

from cryomamba.client import hub as published
from cryomamba.client.channel import BusChannel
from cryomamba.client.hub import BusHub, BusMessage, Subscription
from cryomamba.client.ledger import Ledger
from cryomamba.endpoints import BusEndpoints, check_bus_url
from cryomamba.errors import InvalidRequestError, NotFoundError, ProtocolError, UnavailableError
from cryomamba.events import Event, LinkEvent, PreviewEvent, ProgressEvent, StateEvent
from cryomamba.files import FileRecord
from cryomamba.records import (
    Activity,
    JobEvent,
    JobPage,
    JobRecord,
    JobState,
    Progress,
    Record,
    ServerInfo,
    SubmitRequest,
)
from cryomamba.wire.buffers import decode_bytes
from cryomamba.wire.preview import PreviewFrame, decode_frame
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
    from cryomamba.access.curve import KeyFile

R = TypeVar("R", bound=Record)

PIECE_BYTES = 1024 * 1024
QUIET_S = 10.0
FINAL_FRAME_S = 0.5
MISSED_S, MISSED_PAUSE_S = 10.0, 0.2
REVISE_S = 120.0


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
        self.channel = BusChannel(url, src=src, key=key)
        self._key = key
        self._endpoints = endpoints
        self._hub: BusHub | None = None
        self._hub_lock = asyncio.Lock()

    async def hub(self) -> BusHub:
        """Return the subscriptions' side, connected on first use."""
        async with self._hub_lock:
            if self._hub is None:
                endpoints = self._endpoints or await self._ask_endpoints()
                self._hub = BusHub(endpoints, key=self._key)
            return self._hub

    async def _ask_endpoints(self) -> BusEndpoints:
        info = await self.info()
        reached = {name: _as_reached(endpoint, self.url) for name, endpoint in info.endpoints.items()}
        return BusEndpoints.model_validate(reached)

    async def info(self) -> ServerInfo:
        """Ask who is there."""
        reply = await self.channel.request("server.info", Empty(), timeout=5.0)
        return _parsed(ServerInfo, reply.body)

    async def activity(self) -> Activity:
        """Ask how busy the server is."""
        return _parsed(Activity, (await self.channel.request("server.activity", Empty(), timeout=5.0)).body)

    async def submit(self, request: SubmitRequest) -> JobRecord:
        """Hand in a job."""
        return await self._job("job.submit", request)

    async def get(self, job_id: str) -> JobRecord:
        """Return a job."""
        return await self._job("job.get", _ref(job_id))

    async def page(
        self, *, state: JobState | None, limit: int, cursor: str | None, owner: str | None = None
    ) -> JobPage:
        """Return one page of the listing, of all jobs or those of one owner."""
        query = ListRequest(state=state, limit=limit, cursor=cursor, owner=owner)
        reply = await self.channel.request("job.list", query)
        return _parsed(JobPage, reply.body)

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
        await self.channel.request("job.focus", FocusRequest(job=_ref(job_id).job, position=position))

    async def _job(self, type_: str, body: JobRef | SubmitRequest) -> JobRecord:
        reply = await self.channel.request(type_, body)
        return _parsed(JobRecord, reply.body)

    async def preview(self, job_id: str) -> PreviewFrame:
        """Return the newest frame that the broker keeps."""
        return decode_message(await self.preview_message(job_id))

    async def preview_message(self, job_id: str) -> BusMessage:
        """Return the newest frame as it was published, for relaying."""
        reply = await self.channel.request("preview.get", PreviewRead(job=_ref(job_id).job))
        # The reply has a number and time of its own; those of the frame are in the body.
        seq, ts = reply.body.get("seq"), reply.body.get("ts")
        if not isinstance(seq, int) or not isinstance(ts, int | float):
            raise ProtocolError("The broker sent a preview without its number and time.")
        envelope = replace(reply.envelope, type=published.PREVIEW, seq=seq, ts=float(ts))
        return BusMessage(envelope, b"", reply.parts[0] if reply.parts else b"")

    async def revise(self, request: ReviseRequest) -> JobRecord:
        """Have the broker take a revised mask in among the files of its job."""
        return _parsed(JobRecord, (await self.channel.request("job.revise", request, timeout=REVISE_S)).body)

    async def send_revision(
        self, job_id: str, path: Path, *, note: str, progress: Callable[[int, int], None] | None
    ) -> JobRecord:
        """Have the broker copy a mask, which it must be able to read by its path."""
        del progress
        return await self.revise(ReviseRequest(job=_ref(job_id).job, path=str(path), note=note))

    async def upload(
        self, path: Path, *, progress: Callable[[int, int], None] | None, parallel: int, keep: bool
    ) -> FileRecord:
        """Refuse: files go through a gateway."""
        del progress, parallel, keep
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
            length = min(PIECE_BYTES, size - offset)
            reply = await self.channel.request(
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
        await self.channel.request("ping", Empty(), timeout=5.0)
        return time.perf_counter() - started

    async def watch(self, job_id: str | None, *, previews: bool) -> AsyncGenerator[Event, None]:
        """Follow a job to its end, or the states of all jobs."""
        follow = self.watch_all() if job_id is None else self._watch_job(job_id, previews=previews)
        async with contextlib.aclosing(follow) as events:
            async for event in events:
                yield event

    async def _watch_job(self, job_id: str, *, previews: bool) -> AsyncGenerator[Event, None]:
        hub = await self.hub()
        subscription = hub.open(_ref(job_id).job, previews=previews)
        ledger = Ledger()
        shown = 0
        finished = False
        try:
            for event in ledger.take(await self.get(job_id)):
                if not ledger.ended:
                    yield event
            while not ledger.ended:
                async for event in self._next(subscription, ledger, job_id):
                    if isinstance(event, PreviewEvent):
                        shown, finished = event.frame.seq, event.frame.final
                    if not (isinstance(event, StateEvent) and event.record.state.final and event.event.state.final):
                        yield event
            if previews and not finished:
                async for event in self._last_preview(subscription, ledger, job_id, after=shown):
                    yield event
            if ledger.record is not None:
                yield StateEvent(ledger.record.history[-1], ledger.record)
        finally:
            hub.close_subscription(subscription)

    async def _next(self, subscription: Subscription, ledger: Ledger, job_id: str) -> AsyncIterator[Event]:
        try:
            # Not wait_for: in Python 3.11 it loses a cancel that meets an arriving message.
            async with asyncio.timeout(QUIET_S):
                got = await subscription.mailbox.get()
        except TimeoutError:
            with contextlib.suppress(UnavailableError):
                for event in ledger.take(await self.get(job_id)):
                    yield event
            return
        if got is None:
            raise UnavailableError("The client was closed while it was watching.")
        message, skipped = got
        if isinstance(message, LinkEvent):
            yield message
            return
        with contextlib.suppress(ProtocolError, ValidationError):
            for event in read_message(message, ledger, skipped):
                yield event

    async def _last_preview(
        self, subscription: Subscription, ledger: Ledger, job_id: str, *, after: int
    ) -> AsyncIterator[Event]:
        """Yield the newest frame that the broker keeps, and the final one if it is a moment behind."""
        frame: PreviewFrame | None = None
        with contextlib.suppress(NotFoundError, UnavailableError, ProtocolError):
            frame = await self.preview(job_id)
        if frame is not None and (frame.final or frame.seq > after):
            yield PreviewEvent(frame)
        completed = ledger.record is not None and ledger.record.state is JobState.COMPLETED
        # No frame at all: the broker was restarted or has forgotten those of an old job, so nothing is on its way.
        if completed and (frame is not None or after) and not (frame is not None and frame.final):
            late = await _final_frame(subscription)
            if late is not None:
                yield PreviewEvent(late)

    async def watch_all(self, *, since: int | None = None) -> AsyncGenerator[Event, None]:
        """Follow the states of all jobs, if asked from the event after number `since` on."""
        hub = await self.hub()
        subscription = hub.open(None, previews=False)
        last = since
        try:
            while True:
                got = await subscription.mailbox.get()
                if got is None:
                    return
                message, _ = got
                if isinstance(message, LinkEvent):
                    yield message
                    continue
                newest = _newest(message)
                if newest is not None and last is not None:
                    async for event in self._missed(last, newest):
                        yield event
                with contextlib.suppress(ProtocolError, ValidationError):
                    for found in read_message(message, None, 0):
                        if not isinstance(found, StateEvent) or last is None or found.event.n > last:
                            yield found
                if newest is not None:
                    last = max(last or 0, newest if message.envelope.type == published.STATE else newest - 1)
        finally:
            hub.close_subscription(subscription)

    async def _missed(self, last: int, newest: int) -> AsyncIterator[Event]:
        """Fetch the events between the last one seen and a newer one that has just come, however long it takes."""
        waited = False
        while newest > last + 1:
            try:
                missed = [state async for state in self._page(last, newest)]
            except UnavailableError as away:
                # Newer messages wait in the mailbox, so that nothing is told out of order or left out.
                yield LinkEvent("lost", f"{away.message} What was missed meanwhile is asked for again.")
                waited = True
                await asyncio.sleep(MISSED_PAUSE_S)
                continue
            if waited:
                yield LinkEvent("connected", "The broker answers again.")
                waited = False
            if not missed:
                return
            for number, state in missed:
                last = number
                if state is not None:
                    yield state

    async def _page(self, last: int, newest: int) -> AsyncIterator[tuple[int, StateEvent | None]]:
        """Yield the numbers of the next events after `last` and before `newest`, with those whose jobs still exist."""
        reply = await self.channel.request("events.since", EventsSince(n=last), timeout=MISSED_S)
        for event in _parsed(EventPage, reply.body).events:
            if event.n < newest:
                try:
                    record = await self.get(event.job_id)
                except NotFoundError:
                    yield event.n, None
                else:
                    yield event.n, StateEvent(event, record)

    async def close(self) -> None:
        """Give every socket back."""
        if self._hub is not None:
            await self._hub.close()
        await self.channel.close()


def read_message(message: BusMessage, ledger: Ledger | None, skipped: int) -> list[Event]:
    """Turn a published message into events; without a ledger every state message counts.

    Raises
    ------
    ProtocolError, pydantic.ValidationError
        The message is malformed.
    """
    envelope = message.envelope
    match envelope.type:
        case published.STATE:
            record = JobRecord.model_validate(envelope.body.get("record"))
            if ledger is not None:
                return ledger.take(record)
            return [StateEvent(JobEvent.model_validate(envelope.body.get("event")), record)]
        case published.PROGRESS:
            progress = Progress.model_validate(envelope.body.get("progress"))
            return [ProgressEvent(envelope.job or "", envelope.attempt or 0, progress)]
        case published.PREVIEW:
            return [PreviewEvent(decode_message(message), skipped)]
        case _:
            return []


def decode_message(message: BusMessage) -> PreviewFrame:
    """Unpack a preview message."""
    return decode_frame(message.envelope, message.payload)


async def _final_frame(subscription: Subscription) -> PreviewFrame | None:
    """Wait a moment for the final frame: frames and states come over different sockets."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(FINAL_FRAME_S):
            while (got := await subscription.mailbox.get()) is not None:
                message = got[0]
                if isinstance(message, BusMessage) and message.envelope.type == published.PREVIEW:
                    with contextlib.suppress(ProtocolError):
                        frame = decode_message(message)
                        if frame.final:
                            return frame
    return None


def _newest(message: BusMessage) -> int | None:
    """Return the number up to which everything before should be known."""
    body = message.envelope.body
    if message.envelope.type == published.HEAD:
        last = body.get("last")
        return last + 1 if isinstance(last, int) else None
    event = body.get("event")
    n = event.get("n") if isinstance(event, dict) else None
    return n if isinstance(n, int) else None


def _ref(job_id: str) -> JobRef:
    try:
        return JobRef(job=job_id)
    except ValidationError:
        raise NotFoundError(
            f"There is no job '{job_id[:64]}'.", hint="'cryomamba jobs' lists those that there are."
        ) from None


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
