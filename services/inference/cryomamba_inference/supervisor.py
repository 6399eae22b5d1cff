"""The service's hold on its computing child: start, order, listen, end, and know when it is gone."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import multiprocessing
import os
import threading
from collections.abc import Callable
from multiprocessing.context import SpawnProcess

from cryomamba.engines.info import EngineInfo
from cryomamba.errors import ProtocolError
from cryomamba.settings import Settings
from cryomamba.wire.buffers import Codec
from cryomamba_inference import child
from cryomamba_inference.child_process import uninterrupted_start
from cryomamba_inference.pipe import Message, MessagePipe

log = logging.getLogger(__name__)

_JOIN_S = 2.0


class ComputingChild:
    """One spawned process, for one event loop. Messages come to `heard` in the loop's thread.

    Start it from the main thread: on Linux the child ends when the thread that started it ends.

    Parameters
    ----------
    settings : Settings
    codec : str
        How it packs previews.
    heard : callable
        Called with each message of a running job (``progress``, ``preview``, ``done``, ``failed``), and with
        ``{"type": "gone"}`` when the process has ended by itself.

    Attributes
    ----------
    ready : Future
        The engines there are, once everything is imported; None if the process ended before.
    jobs : int
        How many jobs it was given.
    """

    def __init__(self, settings: Settings, codec: Codec, heard: Callable[[Message], None]) -> None:
        self._heard = heard
        self._loop = asyncio.get_running_loop()
        self.ready: asyncio.Future[tuple[EngineInfo, ...] | None] = self._loop.create_future()
        self._ended = asyncio.Event()
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe(duplex=True)
        arguments = (theirs, os.getpid(), settings.model_dump(mode="json"), codec)
        self._process: SpawnProcess = context.Process(target=child.main, args=arguments, name="cryomamba-engine")
        with uninterrupted_start():
            self._process.start()
        theirs.close()
        self._pipe = MessagePipe(ours)
        self._reader = threading.Thread(target=self._read, name="child-messages", daemon=True)
        self._reader.start()
        self.jobs = 0

    @property
    def alive(self) -> bool:
        """Whether the process still listens."""
        return not self._ended.is_set()

    @property
    def pid(self) -> int | None:
        """Its process id."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """How it ended: 0 or above its status, below 0 the signal."""
        return self._process.exitcode

    def run(self, order: Message) -> None:
        """Give it a job."""
        self.jobs += 1
        self._send("run", **order)

    def cancel(self) -> None:
        """Ask it to stop at the next tile."""
        self._send("cancel")

    def look_at(self, position: tuple[float, float, float]) -> None:
        """Tell it where the viewer looks."""
        self._send("focus", position=list(position))

    async def end(self) -> None:
        """End the process at once, and wait until it is gone. Ending twice is no error."""
        if self.alive:
            self._process.kill()
        await self._ended.wait()
        self._reader.join()

    def _send(self, type_: str, **fields: object) -> None:
        # A child that is gone is reported by the reader.
        with contextlib.suppress(OSError):
            self._pipe.send(type_, **fields)

    def _read(self) -> None:
        """Wait for messages in a thread of its own: a child that is stopped in the middle of one blocks nobody else."""
        while True:
            try:
                message = self._pipe.receive()
            except (EOFError, OSError):
                break
            except ProtocolError as error:
                log.error("%s", error)
                self._process.kill()
                break
            if not self._tell(self._take, message):
                break
        self._process.join(_JOIN_S)
        self._pipe.close()
        self._tell(self._gone)

    def _tell(self, what: Callable[..., None], *arguments: object) -> bool:
        try:
            self._loop.call_soon_threadsafe(what, *arguments)
        except RuntimeError:
            # The loop has ended before its child; there is nobody to tell.
            return False
        return True

    def _take(self, message: Message) -> None:
        if message["type"] != "ready":
            self._heard(message)
        elif not self.ready.done():
            self.ready.set_result(tuple(EngineInfo.model_validate(info) for info in message["engines"]))

    def _gone(self) -> None:
        self._ended.set()
        if not self.ready.done():
            self.ready.set_result(None)
        self._heard({"type": "gone"})
