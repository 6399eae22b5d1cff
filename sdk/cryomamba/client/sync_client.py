"""The synchronous client: the asynchronous one on an event loop in a thread of its own."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from cryomamba.client.async_client import AsyncClient, aconnect
from cryomamba.geometry import Shape, Spacing
from cryomamba.models.events import Event
from cryomamba.models.files import FileRecord
from cryomamba.models.frames import PreviewFrame
from cryomamba.models.jobs import JobPage, JobRecord, JobState, PreviewOptions
from cryomamba.models.server import ServerInfo

T = TypeVar("T")

_CANCEL_S = 5.0


class LoopThread:
    """An event loop in a daemon thread; :meth:`run` may be called from any other thread."""

    def __init__(self, name: str = "cryomamba-client") -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name=name, daemon=True)
        self._thread.start()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine over there and wait for it; Ctrl-C here cancels it there."""
        future = asyncio.run_coroutine_threadsafe(coroutine, self.loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            # What was cut short is on its way out: a generator in the middle of a step could not be closed.
            asyncio.run_coroutine_threadsafe(_until_cancelled_end(), self.loop).result()
            raise

    def stop(self) -> None:
        """End loop and thread."""
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()


def connect(url: str | None = None, *, token: str | None = None) -> Client:
    """Connect to a server; the synchronous form of :func:`~cryomamba.client.aconnect`.

    Parameters
    ----------
    url : str, optional
        ``http://…`` for a gateway, ``tcp://…`` or ``ipc://…`` straight to the bus. Without it: the variable
        ``CRYOMAMBA_SERVER``, the broker of this home, or the gateway of this machine.
    token : str, optional
        For a gateway that wants one; ``CRYOMAMBA_TOKEN`` if not given.
    """
    thread = LoopThread()
    try:
        return Client(thread.run(aconnect(url, token=token)), thread)
    except BaseException:
        thread.stop()
        raise


class Client:
    """The client for scripts and threads; every method is :class:`~cryomamba.client.AsyncClient`'s, waited for.

    May be used from several threads at once. Close it, or use it as ``with``.
    """

    def __init__(self, client: AsyncClient, thread: LoopThread) -> None:
        self._client = client
        self._thread = thread
        self._closed = False

    @property
    def url(self) -> str:
        """Where it is connected to."""
        return self._client.url

    @property
    def transport_name(self) -> str:
        """How it is connected: ``http`` through a gateway, ``bus`` straight to it."""
        return self._client.transport.name

    def info(self) -> ServerInfo:
        """Return version, status, engines and workers of the server."""
        return self._thread.run(self._client.info())

    def submit(
        self,
        volume: str | os.PathLike[str] | None = None,
        *,
        shape: Shape | None = None,
        file_id: str | None = None,
        voxel_size_A: Spacing | None = None,
        engine: str | None = None,
        params: Mapping[str, Any] | None = None,
        preview: PreviewOptions | None = None,
        name: str = "",
        priority: int = 0,
        client_key: str | None = None,
    ) -> JobRecord:
        """Hand in a job."""
        return self._thread.run(
            self._client.submit(
                volume,
                shape=shape,
                file_id=file_id,
                voxel_size_A=voxel_size_A,
                engine=engine,
                params=params,
                preview=preview,
                name=name,
                priority=priority,
                client_key=client_key,
            )
        )

    def upload(
        self,
        path: str | os.PathLike[str],
        *,
        progress: Callable[[int, int], None] | None = None,
        reading: Callable[[int, int], None] | None = None,
        parallel: int = 4,
        keep: bool = True,
    ) -> FileRecord:
        """Send a tomogram to the gateway; `progress` and `reading` are called in the client's own thread."""
        sending = self._client.upload(path, progress=progress, reading=reading, parallel=parallel, keep=keep)
        return self._thread.run(sending)

    def revise(
        self,
        job_id: str,
        mask: str | os.PathLike[str],
        *,
        note: str = "",
        progress: Callable[[int, int], None] | None = None,
    ) -> JobRecord:
        """Keep a corrected mask with its job; see :meth:`~cryomamba.client.AsyncClient.revise`."""
        return self._thread.run(self._client.revise(job_id, mask, note=note, progress=progress))

    def threshold(
        self,
        job_id: str,
        high: int,
        *,
        low: int | None = None,
        min_volume_nm3: float = 0.0,
        preview: PreviewOptions | None = None,
        name: str = "",
        client_key: str | None = None,
    ) -> JobRecord:
        """Cut the scores of a finished job anew; see :meth:`~cryomamba.client.AsyncClient.threshold`."""
        return self._thread.run(
            self._client.threshold(
                job_id,
                high,
                low=low,
                min_volume_nm3=min_volume_nm3,
                preview=preview,
                name=name,
                client_key=client_key,
            )
        )

    def get(self, job_id: str) -> JobRecord:
        """Return a job as it stands."""
        return self._thread.run(self._client.get(job_id))

    def page(self, *, state: JobState | None = None, limit: int = 50, cursor: str | None = None) -> JobPage:
        """Return one page of the jobs, newest first."""
        return self._thread.run(self._client.page(state=state, limit=limit, cursor=cursor))

    def list(self, *, state: JobState | None = None, limit: int = 50) -> list[JobRecord]:
        """Return up to `limit` jobs, newest first."""
        return self._thread.run(self._client.list(state=state, limit=limit))

    def cancel(self, job_id: str) -> JobRecord:
        """Cancel a job."""
        return self._thread.run(self._client.cancel(job_id))

    def retry(self, job_id: str) -> JobRecord:
        """Put a failed or cancelled job back into the queue."""
        return self._thread.run(self._client.retry(job_id))

    def focus(self, job_id: str, position: tuple[float, float, float]) -> None:
        """Say at which tomogram voxel (z, y, x) the person looks."""
        self._thread.run(self._client.focus(job_id, position))

    def watch(self, job_id: str, *, previews: bool = True) -> Iterator[Event]:
        """Follow a job to its end; see :meth:`~cryomamba.client.AsyncClient.watch`."""
        return self._iterate(self._client.watch(job_id, previews=previews))

    def watch_all(self) -> Iterator[Event]:
        """Follow the states and progress of all jobs, for ever."""
        return self._iterate(self._client.watch_all())

    def _iterate(self, events: AsyncGenerator[Event, None]) -> Iterator[Event]:
        try:
            while True:
                event = self._thread.run(_next_or_none(events))
                if event is None:
                    return
                yield event
        finally:
            self._thread.run(_aclose(events))

    def wait(self, job_id: str) -> JobRecord:
        """Wait until a job is final and return it; raise if it failed or was cancelled."""
        return self._thread.run(self._client.wait(job_id))

    def preview(self, job_id: str) -> PreviewFrame:
        """Return the newest preview of a job."""
        return self._thread.run(self._client.preview(job_id))

    def download(
        self,
        job_id: str,
        name: str = "mask.mrc",
        to: str | os.PathLike[str] | None = None,
        *,
        progress: Callable[[int, int], None] | None = None,
    ) -> Path:
        """Fetch a finished file; `progress` is called in the client's thread."""
        return self._thread.run(self._client.download(job_id, name, to, progress=progress))

    def latency(self) -> float:
        """Return the seconds that one small question takes."""
        return self._thread.run(self._client.latency())

    def close(self) -> None:
        """Give every socket and the thread back; closing twice is no error."""
        if self._closed:
            return
        self._closed = True
        self._thread.run(self._client.close())
        self._thread.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


async def _until_cancelled_end() -> None:
    leaving = [task for task in asyncio.all_tasks() if task.cancelling()]
    if leaving:
        await asyncio.wait(leaving, timeout=_CANCEL_S)


async def _next_or_none(events: AsyncGenerator[Event, None]) -> Event | None:
    return await anext(events, None)


async def _aclose(events: AsyncGenerator[Event, None]) -> None:
    await events.aclose()
