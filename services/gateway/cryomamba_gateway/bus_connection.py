"""The gateway's connection to the bus: one transport for all requests, replaced when the broker moves."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeVar

from cryomamba.access.keys import KeyFile, key_for
from cryomamba.access.roles import Role
from cryomamba.access.visibility import Visibility
from cryomamba.client import calls
from cryomamba.client.bus_subscriber import BusMessage, Subscription
from cryomamba.client.bus_transport import BusTransport
from cryomamba.client.calls import Call
from cryomamba.endpoints import BusEndpoints, ConnectionFile
from cryomamba.errors import InvalidRequestError, UnavailableError
from cryomamba.models.base import Record
from cryomamba.models.events import ConnectionEvent
from cryomamba.models.jobs import JobRecord
from cryomamba.settings import Settings

T = TypeVar("T")
R = TypeVar("R", bound=Record)

GRACE_S: Final = 1.5
FILE_POLL_S: Final = 0.5

logger = logging.getLogger(__name__)


def known_endpoints(settings: Settings) -> BusEndpoints:
    """Return the broker's endpoints: from the environment, else from its connection file, else the defaults.

    With port 0 in the environment the broker chooses the port, so the connection file decides.
    """
    named = BusEndpoints.from_settings(settings).model_dump()
    try:
        found = ConnectionFile.read(settings.connection_file).endpoints.model_dump()
    except UnavailableError:
        return BusEndpoints(**named)
    fixed = {
        name: endpoint
        for name, endpoint in named.items()
        if f"bus_{name}" in settings.model_fields_set and not is_chosen_later(endpoint)
    }
    return BusEndpoints(**{**found, **fixed})


def is_chosen_later(endpoint: str) -> bool:
    """Whether an endpoint leaves the choice of the port to the broker."""
    return endpoint.startswith("tcp://") and endpoint.endswith((":0", ":*"))


class BusConnection:
    """Requests and subscriptions for all clients of the gateway. For one event loop.

    While the broker cannot be reached, requests fail at once. A restarted broker is found again, also on other ports.

    Parameters
    ----------
    settings : Settings
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._endpoints: BusEndpoints | None = None
        self._key: KeyFile | None = None
        self._transport: BusTransport | None = None
        self._found = asyncio.Event()
        self._up = asyncio.Event()
        self._down = asyncio.Event()
        self._down.set()
        self._lost_at = asyncio.get_running_loop().time()
        self._closed = False
        self._frames: dict[tuple[Visibility, str], asyncio.Future[BusMessage]] = {}
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def connected(self) -> bool:
        """Whether the broker is connected, as far as known."""
        return self._up.is_set()

    @property
    def closed(self) -> bool:
        """Whether the gateway is shutting down."""
        return self._closed

    async def start(self) -> None:
        """Connect, and follow the broker when it moves.

        Raises
        ------
        InvalidRequestError
            A configured endpoint is invalid.
        """
        await self._connect(known_endpoints(self._settings))
        self._tasks = [
            asyncio.create_task(self._follow_state(), name="gateway-connection"),
            asyncio.create_task(self._follow_file(), name="gateway-connection-file"),
        ]

    async def ask(self, visibility: Visibility, request: Callable[[BusTransport], Awaitable[T]]) -> T:
        """Send the broker a request, and give up as soon as the connection is known to be lost.

        Parameters
        ----------
        visibility : Visibility
            On whose behalf; the broker decides what it permits.
        request : callable
            Sends the request with the transport that it is given.

        Raises
        ------
        UnavailableError
            The broker cannot be reached, or did not answer in time (code ``timeout``).
        CryoMambaError
            The broker's own error.
        """
        await self._require_connection()
        answer: asyncio.Future[T] = asyncio.ensure_future(request(self.transport(visibility)))
        lost: asyncio.Future[None] = asyncio.ensure_future(self._until_lost())
        waited: set[asyncio.Future[Any]] = {answer, lost}
        try:
            await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
            if answer.done() and not answer.cancelled():
                return answer.result()
            raise self._unavailable()
        finally:
            for task in waited:
                task.cancel()
            await asyncio.gather(*waited, return_exceptions=True)

    async def call(self, visibility: Visibility, call: Call[R]) -> R:
        """Make a request on behalf of a caller, as :meth:`ask` does."""
        return await self.ask(visibility, lambda bus: bus.call(call))

    async def last_frame(self, visibility: Visibility, job_id: str) -> BusMessage:
        """Return the newest frame that the broker keeps of a job; concurrent calls of one owner share the answer.

        Raises
        ------
        CryoMambaError
            As :meth:`ask`; ``not_found`` where there is none.
        """
        key = (visibility, job_id)
        answer = self._frames.get(key)
        if answer is None:
            answer = asyncio.ensure_future(self.ask(visibility, lambda bus: bus.last_frame(job_id)))
            self._frames[key] = answer
            answer.add_done_callback(partial(self._answered, key))
        return await asyncio.shield(answer)

    def _answered(self, key: tuple[Visibility, str], answer: asyncio.Future[BusMessage]) -> None:
        del self._frames[key]
        # The callers may have gone; an exception that nobody retrieves would be logged as a defect.
        if not answer.cancelled():
            answer.exception()

    async def _require_connection(self) -> None:
        """Wait briefly for a connection that was just lost; one that was lost longer ago is an error at once."""
        left = self._lost_at + GRACE_S - asyncio.get_running_loop().time()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(left, 0.0)):
                await self._up.wait()
        if not self.connected:
            raise self._unavailable()

    async def _until_lost(self) -> None:
        while True:
            await self._down.wait()
            try:
                async with asyncio.timeout(GRACE_S):
                    await self._up.wait()
            except TimeoutError:
                return

    @staticmethod
    def _unavailable() -> UnavailableError:
        return UnavailableError(
            "The server is not available: its broker cannot be reached.",
            hint="Try again later, or ask whoever runs the server. The gateway reconnects by itself.",
        )

    async def subscribe(self, job_id: str, *, previews: bool) -> Subscription:
        """Subscribe to a job; the subscription is closed when the broker has moved, so subscribe again then."""
        return await self._current.subscribe(job_id, previews=previews)

    def transport(self, visibility: Visibility) -> BusTransport:
        """Return the present transport to the broker, for requests on behalf of a caller.

        Raises
        ------
        UnavailableError
            The broker's endpoints are not known yet.
        """
        return self._current.on_behalf_of(visibility)

    @property
    def epoch(self) -> int:
        """The random number of the broker's start, as its newest answer had it; 0 before the first."""
        return (self._transport and self._transport.requester.broker_epoch) or 0

    @property
    def _current(self) -> BusTransport:
        if self._transport is None:
            raise self._unavailable()
        return self._transport

    async def _follow_state(self) -> None:
        while True:
            await self._found.wait()
            subscriber = await self._current.subscriber()
            subscription = subscriber.subscribe_connection()
            self._update(subscriber.connection)
            while (received := await subscription.queue.get()) is not None:
                if isinstance(received[0], ConnectionEvent):
                    self._update(received[0])

    def _update(self, event: ConnectionEvent) -> None:
        if event.status == "lost" and self.connected:
            self._up.clear()
            self._down.set()
            self._lost_at = asyncio.get_running_loop().time()
            logger.warning("The connection to the broker was lost.")
        elif event.status != "lost" and not self.connected:
            self._down.clear()
            self._up.set()
            logger.info("Connected to the broker at %s.", self._current.url)

    async def _follow_file(self) -> None:
        seen: tuple[int, int] | None = None
        while True:
            await asyncio.sleep(FILE_POLL_S)
            stamp = self._file_stamp()
            # A removed file changes nothing: the broker has ended and may return at the same endpoints.
            if stamp not in {None, seen}:
                seen = stamp
                try:
                    await self._connect(known_endpoints(self._settings))
                except InvalidRequestError as error:
                    # A key file that cannot be read now may be repaired; it is read again when the broker restarts.
                    logger.error("The gateway cannot connect to the broker: %s", error)

    def _file_stamp(self) -> tuple[int, int] | None:
        try:
            found = self._settings.connection_file.stat()
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns

    async def _connect(self, endpoints: BusEndpoints) -> None:
        key = key_for(self._settings, Role.ADMIN)
        if (endpoints, key) == (self._endpoints, self._key) or is_chosen_later(endpoints.jobs):
            return
        logger.info("Connecting to the broker at %s.", endpoints.jobs)
        previous, self._transport = self._transport, BusTransport(endpoints.jobs, endpoints=endpoints, key=key)
        self._endpoints, self._key = endpoints, key
        self._found.set()
        self._update(ConnectionEvent("lost", "The broker has moved."))
        if previous is not None:
            await previous.close()

    async def close(self) -> None:
        """Close the sockets; the queues of subscriptions are closed as well."""
        self._closed = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._transport is not None:
            await self._transport.close()


@dataclass(frozen=True, slots=True)
class VisibleJobs:
    """The jobs visible to a caller, as a source for a :class:`~cryomamba.client.job_follower.JobFollower`."""

    bus: BusConnection
    visibility: Visibility

    async def subscribe(self, job_id: str, *, previews: bool) -> Subscription:
        """Subscribe to a job; its messages are used only after :meth:`record` has succeeded."""
        return await self.bus.subscribe(job_id, previews=previews)

    async def record(self, job_id: str) -> JobRecord:
        """Return the current record of a job."""
        return await self.bus.call(self.visibility, calls.get_job(job_id))

    async def last_frame(self, job_id: str) -> BusMessage:
        """Return the newest frame that the broker keeps of a job."""
        return await self.bus.last_frame(self.visibility, job_id)
