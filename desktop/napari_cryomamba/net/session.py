"""The connection to one server at a time; asyncio only, no Qt."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from cryomamba.client import AsyncClient, aconnect
from cryomamba.errors import CryoMambaError, NotFoundError, UnavailableError
from cryomamba.models.events import ConnectionEvent, Event, PreviewEvent, ProgressEvent, StateEvent
from napari_cryomamba.models.connection import ConnectionModel, Phase
from napari_cryomamba.models.frames import FrameStore
from napari_cryomamba.models.notifications import Notification
from napari_cryomamba.net.messages import (
    ConnectionChanged,
    FrameReady,
    JobChanged,
    JobProgressed,
    Message,
    NotificationPosted,
)

POLL_S = 3.0
LISTED_JOBS = 100
REQUESTED_JOBS_MAX = 50
_CANCEL_AGAIN_S = 0.2

Connector = Callable[[str, str | None], Coroutine[Any, Any, AsyncClient]]


async def connect(url: str, token: str | None) -> AsyncClient:
    """Make a client for an address."""
    return await aconnect(url, token=token)


class Session:
    """Keeps the connection, follows all jobs, and watches the previews of some. For one event loop.

    Messages go to `post`, in the loop's thread. A watch survives lost connections and restarts of any service, and
    ends with the job.

    Parameters
    ----------
    post : callable
        Takes a :data:`~napari_cryomamba.net.messages.Message`; must not block.
    connector : callable
        Makes a client for an address and a token.
    """

    def __init__(self, post: Callable[[Message], None], frames: FrameStore, *, connector: Connector = connect) -> None:
        self._post, self._frames = post, frames
        self._connector = connector
        self._model = ConnectionModel()
        self._client: AsyncClient | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._watches: dict[str, asyncio.Task[None]] = {}
        self._wake = asyncio.Event()
        self._usable = asyncio.Event()
        self._epoch: int | None = None
        self._opening = asyncio.Lock()
        self._requested: tuple[str, ...] = ()

    @property
    def client(self) -> AsyncClient:
        """The client of the current server.

        Raises
        ------
        UnavailableError
            No server is connected.
        """
        if self._client is None:
            raise UnavailableError("No server is connected.", hint="Enter an address, or use 'Run on this computer'.")
        return self._client

    async def open(self, url: str, token: str | None = None, job_ids: Sequence[str] = ()) -> None:
        """Connect to this server instead, which need not be up yet; `job_ids` are jobs to ask for, however old."""
        async with self._opening:
            await self._disconnect()
            self._requested = tuple(job_ids)[:REQUESTED_JOBS_MAX]
            self._model.open(url)
            self._post_state()
            try:
                self._client = await self._connector(url, token)
            except CryoMambaError as error:
                self._notify(self._model.on_failure(error, now=time.monotonic()))
                return
            self._tasks = [
                asyncio.create_task(self._keep_connected(), name="desktop-connection"),
                asyncio.create_task(self._follow_jobs(), name="desktop-jobs"),
            ]

    async def close(self) -> None:
        """Disconnect; jobs continue on the server."""
        async with self._opening:
            await self._disconnect()
            self._model.close()
            self._post_state()

    def reconnect_now(self) -> None:
        """Try at once instead of waiting."""
        self._wake.set()

    def watch(self, job_id: str) -> None:
        """Follow a job's previews until it ends; doing so twice has no further effect."""
        if job_id not in self._watches or self._watches[job_id].done():
            self._watches[job_id] = asyncio.create_task(self._watch(job_id), name=f"desktop-watch-{job_id}")

    def unwatch(self, job_id: str) -> None:
        """Stop following a job's previews."""
        task = self._watches.pop(job_id, None)
        if task is not None:
            task.cancel()

    async def _disconnect(self) -> None:
        tasks = [*self._tasks, *self._watches.values()]
        self._tasks, self._watches = [], {}
        await _end(tasks)
        self._usable.clear()
        self._epoch = None
        if self._client is not None:
            client, self._client = self._client, None
            await client.close()

    async def _keep_connected(self) -> None:
        while True:
            self._wake.clear()
            try:
                info = await self.client.info()
                latency = await self.client.latency()
            except CryoMambaError as error:
                self._usable.clear()
                self._notify(self._model.on_failure(error, now=time.monotonic()))
            else:
                self._notify(self._model.on_response(info, transport=self.client.transport.name, latency_s=latency))
                if not self._usable.is_set() or self._epoch != info.epoch:
                    self._epoch = info.epoch
                    self._usable.set()
                    await self._list()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._pause()):
                    await self._wake.wait()

    def _pause(self) -> float:
        retry_at = self._model.state.retry_at
        return POLL_S if retry_at is None else max(retry_at - time.monotonic(), 0.0)

    async def _list(self) -> None:
        try:
            listed = [job.record for job in await self.client.jobs(limit=LISTED_JOBS)]
            for record in listed:
                self._post(JobChanged(record))
            for job_id in set(self._requested) - {record.job_id for record in listed}:
                with contextlib.suppress(NotFoundError):
                    self._post(JobChanged(await self.client.record(job_id)))
        except CryoMambaError as error:
            self._notify(self._model.on_failure(error, now=time.monotonic()))

    async def _follow_jobs(self) -> None:
        while True:
            await self._usable.wait()
            with contextlib.suppress(CryoMambaError):
                async with contextlib.aclosing(self.client.watch_all()) as events:
                    async for event in events:
                        self._on_event(event)
            # The other task finds out why, and sets the flag once the server answers again.
            self._usable.clear()
            self._wake.set()

    async def _watch(self, job_id: str) -> None:
        while True:
            await self._usable.wait()
            try:
                async with contextlib.aclosing(self.client.watch(job_id)) as events:
                    async for event in events:
                        self._on_event(event)
                return
            except NotFoundError:
                return
            except CryoMambaError:
                self._usable.clear()
                self._wake.set()

    def _on_event(self, event: Event) -> None:
        match event:
            case PreviewEvent():
                if self._frames[event.job_id].put(event.frame, skipped=event.skipped):
                    self._post(FrameReady(event.job_id))
            case StateEvent():
                self._post(JobChanged(event.record))
            case ProgressEvent():
                self._post(JobProgressed(event.job_id, event.attempt, event.progress))
            case ConnectionEvent(status="lost"):
                if self._model.state.phase.usable:
                    self._notify(self._model.on_connection_lost(event.message, now=time.monotonic()))
                    self._wake.set()
            case ConnectionEvent():
                if self._model.state.phase is not Phase.CONNECTED:
                    self._wake.set()

    def _notify(self, notifications: list[Notification]) -> None:
        self._post_state()
        for notification in notifications:
            self._post(NotificationPosted(notification))

    def _post_state(self) -> None:
        self._post(ConnectionChanged(self._model.state))


async def _end(tasks: list[asyncio.Task[None]]) -> None:
    """Cancel tasks until they have ended; Python 3.11 loses a cancel that meets the end of a ``wait_for``."""
    while left := [task for task in tasks if not task.done()]:
        for task in left:
            task.cancel()
        await asyncio.wait(left, timeout=_CANCEL_AGAIN_S)
