"""Between the network's thread and Qt: calls go over there, messages and answers come back as queued signals."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import CancelledError, Future
from typing import Any, TypeVar

from qtpy.QtCore import QObject, Qt

from cryomamba.client import AsyncClient
from cryomamba.client.sync_client import LoopThread
from cryomamba.errors import CryoMambaError, InternalError
from napari_cryomamba.models.frames import NewestFrame
from napari_cryomamba.models.history import Notice
from napari_cryomamba.net.messages import Message, NotificationPosted
from napari_cryomamba.net.session import Session
from napari_cryomamba.signals import Signal

T = TypeVar("T")

CLOSE_S = 5.0

logger = logging.getLogger(__name__)


class Bridge(QObject):
    """Owns the network's thread. Its methods belong to the GUI thread and return at once.

    Signals
    -------
    arrived : Message
        What the session learned, in order.
    """

    arrived = Signal(object)
    _answered = Signal(object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._thread: LoopThread | None = LoopThread("cryomamba-desktop")
        self._session = self._thread.run(self._make_session())
        # Queued even from our own thread, so that no answer overtakes the call it belongs to.
        self._answered.connect(self._deliver, Qt.ConnectionType.QueuedConnection)

    async def _make_session(self) -> Session:
        return Session(self._post)

    def open(self, url: str, token: str | None = None, wanted: Sequence[str] = ()) -> None:
        """Talk to this server from now on; `wanted` are jobs to ask for, however old they are."""
        self._spawn(self._session.open(url, token, wanted), "Connecting")

    def reconnect_now(self) -> None:
        """Try to connect at once."""
        self._call(self._session.reconnect_now)

    def watch(self, job_id: str) -> None:
        """Follow a job's previews."""
        self._call(self._session.watch, job_id)

    def unwatch(self, job_id: str) -> None:
        """Stop following a job's previews."""
        self._call(self._session.unwatch, job_id)

    def frame_place(self, job_id: str) -> NewestFrame:
        """Return where the previews of a job are left."""
        return self._session.frame_place(job_id)

    def ask(
        self,
        context: str,
        question: Callable[[AsyncClient], Coroutine[Any, Any, T]],
        done: Callable[[T], None] | None = None,
        failed: Callable[[CryoMambaError], None] | None = None,
    ) -> Future[T] | None:
        """Ask the server something.

        Parameters
        ----------
        context : str
            What is being done, for people: ``Submitting the job``.
        question : callable
            Takes the client and returns a coroutine; runs in the network's thread.
        done : callable, optional
            Gets the answer, in the GUI thread.
        failed : callable, optional
            Gets the error, in the GUI thread; without it the error goes to the messages.

        Returns
        -------
        Future or None
            To cancel it by; neither `done` nor `failed` is called then. None once the bridge is closed.
        """
        return self._spawn(self._ask(question), context, done, failed)

    async def _ask(self, question: Callable[[AsyncClient], Coroutine[Any, Any, T]]) -> T:
        return await question(self._session.client)

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

    def _spawn(
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
        future.add_done_callback(lambda ended: self._answered.emit((ended, context, done, failed)))
        return future

    def _deliver(self, answer: tuple[Future[Any], str, Callable[[Any], None] | None, Any]) -> None:
        future, context, done, failed = answer
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
                self._post(NotificationPosted(Notice.of_error(error, context=context)))
            return
        except OSError as error:
            self._post(
                NotificationPosted(
                    Notice.of_error(InternalError(f"A file could not be written: {error.strerror}."), context=context)
                )
            )
            return
        if done is not None:
            done(result)

    def _post(self, message: Message) -> None:
        self.arrived.emit(message)
