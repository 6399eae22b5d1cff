"""The synchronous client: the asynchronous one on an event loop in a thread of its own.

Every method is the asynchronous one's, with its parameters and documentation, and blocks until it is done. So it works
in scripts, in threads, and in notebooks, whose thread has a running event loop.
"""

from __future__ import annotations

import functools
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from types import AsyncGeneratorType
from typing import Any, Concatenate, Generic, ParamSpec, Self, TypeVar, Unpack

from cryomamba.client.async_client import AsyncClient, aconnect
from cryomamba.client.job import AsyncJob, JobFields
from cryomamba.client.loop_thread import LoopThread
from cryomamba.models.job_filter import JobConditions
from cryomamba.models.jobs import JobRecord

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Blocking(Generic[T_co]):
    """Something asynchronous, used from other threads than that of its event loop.

    Attributes
    ----------
    target : object
        The asynchronous counterpart.
    thread : LoopThread
        Where it runs.
    """

    def __init__(self, target: T_co, thread: LoopThread) -> None:
        self.target = target
        self.thread = thread


def blocking(method: Callable[Concatenate[T, P], Coroutine[Any, Any, R]]) -> Callable[Concatenate[Blocking[T], P], R]:
    """Return the blocking form of a method."""

    @functools.wraps(method)
    def call(self: Blocking[T], /, *args: P.args, **kwargs: P.kwargs) -> R:
        return self.thread.run(method(self.target, *args, **kwargs))

    return call


def blocking_job(
    method: Callable[Concatenate[T, P], Coroutine[Any, Any, AsyncJob]],
) -> Callable[Concatenate[Blocking[T], P], Job]:
    """Return the blocking form of a method that returns the handle of a job."""

    @functools.wraps(method)
    def call(self: Blocking[T], /, *args: P.args, **kwargs: P.kwargs) -> Job:
        job = self.thread.run(method(self.target, *args, **kwargs))
        return self if isinstance(self, Job) and job is self.target else Job(job, self.thread)

    return call


def iterating(
    method: Callable[Concatenate[T, P], AsyncGenerator[R, None]],
) -> Callable[Concatenate[Blocking[T], P], Iterator[R]]:
    """Return the blocking form of an asynchronous generator."""

    @functools.wraps(method)
    def call(self: Blocking[T], /, *args: P.args, **kwargs: P.kwargs) -> Iterator[R]:
        items = method(self.target, *args, **kwargs)
        try:
            while True:
                # Not anext's StopAsyncIteration: a future cannot carry it.
                found = self.thread.run(_next(items))
                if not found:
                    return
                yield found[0]
        finally:
            self.thread.run(_close(items))

    return call


class Job(Blocking[AsyncJob], JobFields):
    """A job on a server; see :class:`~cryomamba.client.AsyncJob`. May be used from several threads at once."""

    @property
    def record(self) -> JobRecord:
        """The whole record of the job."""
        return self.target.record

    refresh = blocking_job(AsyncJob.refresh)
    wait = blocking_job(AsyncJob.wait)
    cancel = blocking_job(AsyncJob.cancel)
    retry = blocking_job(AsyncJob.retry)
    watch = iterating(AsyncJob.watch)
    preview = blocking(AsyncJob.preview)
    download = blocking(AsyncJob.download)
    statistics = blocking(AsyncJob.statistics)

    def _repr_html_(self) -> str:
        try:
            return self.thread.run(self.target.show())
        except RuntimeError:
            # The client is closed.
            return self.target.html()


class Client(Blocking[AsyncClient]):
    """A client for scripts, threads and notebooks; every method is :class:`~cryomamba.client.AsyncClient`'s.

    May be used from several threads at once; callbacks run in the client's own thread. Close it, or use it as ``with``.
    """

    def __init__(self, client: AsyncClient, thread: LoopThread) -> None:
        super().__init__(client, thread)
        self._closed = False

    @property
    def url(self) -> str:
        """The address of the server."""
        return self.target.url

    @property
    def transport_name(self) -> str:
        """How it is connected: ``http`` through a gateway, ``bus`` directly to the broker."""
        return self.target.transport.name

    info = blocking(AsyncClient.info)
    engines = blocking(AsyncClient.engines)
    latency = blocking(AsyncClient.latency)
    submit = blocking_job(AsyncClient.submit)
    threshold = blocking_job(AsyncClient.threshold)
    upload = blocking(AsyncClient.upload)
    files = blocking(AsyncClient.files)
    delete = blocking(AsyncClient.delete)
    job = blocking_job(AsyncClient.job)
    record = blocking(AsyncClient.record)
    cancel = blocking(AsyncClient.cancel)
    retry = blocking(AsyncClient.retry)
    focus = blocking(AsyncClient.focus)
    set_strokes = blocking(AsyncClient.set_strokes)
    revise = blocking(AsyncClient.revise)
    preview = blocking(AsyncClient.preview)
    download = blocking(AsyncClient.download)
    watch = iterating(AsyncClient.watch)
    watch_all = iterating(AsyncClient.watch_all)
    models = blocking(AsyncClient.models)
    model = blocking(AsyncClient.model)
    add_model = blocking(AsyncClient.add_model)
    remove_model = blocking(AsyncClient.remove_model)
    accept_licence = blocking(AsyncClient.accept_licence)
    add_webhook = blocking(AsyncClient.add_webhook)
    webhooks = blocking(AsyncClient.webhooks)
    webhook = blocking(AsyncClient.webhook)
    delete_webhook = blocking(AsyncClient.delete_webhook)
    test_webhook = blocking(AsyncClient.test_webhook)
    webhook_deliveries = blocking(AsyncClient.webhook_deliveries)
    workers = blocking(AsyncClient.workers)
    drain_worker = blocking(AsyncClient.drain_worker)
    resume_worker = blocking(AsyncClient.resume_worker)
    remove_worker = blocking(AsyncClient.remove_worker)

    def jobs(self, *, limit: int = 50, **conditions: Unpack[JobConditions]) -> list[Job]:
        """Return up to `limit` jobs, newest first, those that meet all conditions of :meth:`AsyncClient.jobs`."""
        jobs = self.thread.run(self.target.jobs(limit=limit, **conditions))
        return [Job(job, self.thread) for job in jobs]

    def close(self) -> None:
        """Close every socket and end the thread; closing twice is not an error."""
        if self._closed:
            return
        self._closed = True
        self.thread.run(self.target.close())
        self.thread.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def connect(url: str | None = None, *, token: str | None = None) -> Client:
    """Return a client of a server; the synchronous form of :func:`~cryomamba.client.aconnect`.

    Parameters
    ----------
    url : str, optional
        ``http://…`` for a gateway, ``tcp://…`` or ``ipc://…`` for a direct connection to the broker. Without it: the
        variable ``CRYOMAMBA_SERVER``, the broker of this data directory, or the gateway of this machine.
    token : str, optional
        For a gateway that requires one; ``CRYOMAMBA_TOKEN`` if not given.
    """
    thread = LoopThread()
    try:
        return Client(thread.run(aconnect(url, token=token)), thread)
    except BaseException:
        thread.stop()
        raise


async def _next(items: AsyncGenerator[R, None]) -> tuple[R] | None:
    async for item in items:
        return (item,)
    return None


async def _close(items: AsyncGenerator[R, None]) -> None:
    # After a second signal, a step may still be running; it was cancelled and ends the generator.
    if not (isinstance(items, AsyncGeneratorType) and items.ag_running):
        await items.aclose()
