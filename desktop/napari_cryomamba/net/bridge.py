"""Between the network thread and Qt: calls go there, messages and results come back as queued signals."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass, field
from typing import Any, TypeVar

from qtpy.QtCore import QObject, Qt, Signal

from cryomamba.client import AsyncClient
from cryomamba.client.loop_thread import LoopThread
from cryomamba.errors import CryoMambaError, InternalError
from napari_cryomamba.models.frames import FrameStore
from napari_cryomamba.models.notifications import Notification
from napari_cryomamba.net.messages import NotificationPosted
from napari_cryomamba.net.session import Session

T = TypeVar("T")

CLOSE_S = 5.0

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class WaitingRequest:
    """A request whose answer has not come; `started` by the monotonic clock."""

    context: str
    future: Future[Any]
    started: float = field(default_factory=time.monotonic)


class Bridge(QObject):
    """Owns the network thread, and emits its messages in order. Methods belong to the GUI thread and return at once.

    Attributes
    ----------
    waiting : list of WaitingRequest
        Those that a person may be waiting for, oldest first.
    """

    message_received = Signal(object)
    waiting_changed = Signal()
    _finished = Signal(object)

    def __init__(self, frames: FrameStore, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._thread: LoopThread | None = LoopThread("cryomamba-desktop")
        self._session = Session(self.message_received.emit, frames)
        self.waiting: list[WaitingRequest] = []
        # Queued even from our own thread, so that no result overtakes the call it belongs to.
        self._finished.connect(self._on_finished, Qt.ConnectionType.QueuedConnection)

    def open(self, url: str, token: str | None = None, job_ids: Sequence[str] = ()) -> None:
        """Connect to this server instead; `job_ids` are jobs to ask for, however old they are."""
        self._start(self._session.open(url, token, job_ids), "Connecting")

    def reconnect_now(self) -> None:
        """Try to connect at once."""
        self._call(self._session.reconnect_now)

    def watch(self, job_id: str) -> None:
        """Subscribe to the previews of a job."""
        self._call(self._session.watch, job_id)

    def unwatch(self, job_id: str) -> None:
        """Unsubscribe."""
        self._call(self._session.unwatch, job_id)

    def request(
        self,
        context: str,
        call: Callable[[AsyncClient], Coroutine[Any, Any, T]],
        done: Callable[[T], None] | None = None,
        failed: Callable[[CryoMambaError], None] | None = None,
    ) -> Future[T] | None:
        """Send a request to the server.

        Parameters
        ----------
        context : str
            What is being done, for people: ``Submitting the job``.
        call : callable
            Takes the client and returns a coroutine; runs in the network thread.
        done : callable, optional
            Gets the result, in the GUI thread.
        failed : callable, optional
            Gets the error, in the GUI thread; without it the error becomes a notification.

        Returns
        -------
        Future or None
            Cancel it to call neither `done` nor `failed`. None once the bridge is closed.
        """
        future = self._start(self._request(call), context, done, failed)
        if future is not None and context:
            self.waiting.append(WaitingRequest(context, future))
            self.waiting_changed.emit()
        return future

    async def _request(self, call: Callable[[AsyncClient], Coroutine[Any, Any, T]]) -> T:
        return await call(self._session.client)

    def close(self) -> None:
        """End the session and the thread; closing twice is no error."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        try:
            asyncio.run_coroutine_threadsafe(self._session.close(), thread.loop).result(CLOSE_S)
        except TimeoutError:
            logger.warning("The connection did not close within %.0f s.", CLOSE_S)
        finally:
            thread.stop()

    def _call(self, function: Callable[..., None], *arguments: object) -> None:
        if self._thread is not None:
            self._thread.loop.call_soon_threadsafe(function, *arguments)

    def _start(
        self,
        coroutine: Coroutine[Any, Any, T],
        context: str,
        done: Callable[[T], None] | None = None,
        failed: Callable[[CryoMambaError], None] | None = None,
    ) -> Future[T] | None:
        if self._thread is None:
            coroutine.close()
            return None
        future = asyncio.run_coroutine_threadsafe(coroutine, self._thread.loop)
        future.add_done_callback(lambda ended: self._finished.emit((ended, context, done, failed)))
        return future

    def _on_finished(self, finished: tuple[Future[Any], str, Callable[[Any], None] | None, Any]) -> None:
        future, context, done, failed = finished
        self.waiting = [request for request in self.waiting if request.future is not future]
        self.waiting_changed.emit()
        if self._thread is None:
            return
        try:
            result = future.result()
        except (CancelledError, asyncio.CancelledError):
            return
        except CryoMambaError as error:
            if failed is not None:
                failed(error)
            else:
                self.message_received.emit(NotificationPosted(Notification.of_error(error, context=context)))
        except OSError as error:
            failure = InternalError(f"A file could not be written: {error.strerror}.")
            self.message_received.emit(NotificationPosted(Notification.of_error(failure, context=context)))
        else:
            if done is not None:
                done(result)
