"""Starts, steers and ends the compute process, and notices when it dies."""

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
from cryomamba.masks.strokes import Strokes
from cryomamba.settings import Settings
from cryomamba.wire.buffers import Codec
from cryomamba_inference import compute_main as child
from cryomamba_inference.pipe import Message, MessagePipe
from cryomamba_server.process_lifetime import uninterrupted_start

log = logging.getLogger(__name__)

_JOIN_S = 2.0


class ComputeProcess:
    """The spawned process that runs engines; belongs to one event loop.

    Create it in the main thread: on Linux the process ends with the thread that started it.

    Parameters
    ----------
    on_message : callable
        Called in the event loop with each message about the running job (``progress``, ``preview``, ``done``,
        ``failed``), and with ``{"type": "exited"}`` when the process has ended.

    Attributes
    ----------
    ready : Future
        The available engines, once everything is imported; None if the process ended before that.
    jobs : int
        Number of jobs started so far.
    pid : int or None
        Process id.
    exit_code : int or None
        Exit status once the process has ended; negative: the number of the signal that ended it.
    """

    def __init__(self, settings: Settings, codec: Codec, on_message: Callable[[Message], None]) -> None:
        self._on_message = on_message
        self._loop = asyncio.get_running_loop()
        self.ready: asyncio.Future[tuple[EngineInfo, ...] | None] = self._loop.create_future()
        self._exited = asyncio.Event()
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe(duplex=True)
        # As JSON, the token would be asterisks.
        fields = {**settings.model_dump(mode="json"), "token": settings.token}
        arguments = (theirs, os.getpid(), fields, codec)
        self._process: SpawnProcess = context.Process(target=child.main, args=arguments, name="cryomamba-engine")
        with uninterrupted_start():
            self._process.start()
        theirs.close()
        self.pid = self._process.pid
        self.exit_code: int | None = None
        self._pipe = MessagePipe(ours)
        self._reader = threading.Thread(target=self._receive, name="compute-messages", daemon=True)
        self._reader.start()
        self.jobs = 0

    @property
    def alive(self) -> bool:
        """Whether the process is running."""
        return not self._exited.is_set()

    def run(self, job: Message) -> None:
        """Start a job."""
        self.jobs += 1
        self._send("run", **job)

    def cancel(self) -> None:
        """Cancel the job at its next tile."""
        self._send("cancel")

    def set_focus(self, position: tuple[float, float, float]) -> None:
        """Process the tiles around a voxel (z, y, x) first."""
        self._send("focus", position=list(position))

    def set_strokes(self, strokes: Strokes, changes: int) -> None:
        """Train on other strokes; `changes` counts how often they have changed."""
        self._send("strokes", strokes=strokes.model_dump(mode="json"), changes=changes)

    async def end(self) -> None:
        """Kill the process and wait until it has ended; idempotent."""
        if self.alive:
            self._process.kill()
        await self._exited.wait()
        self._reader.join()

    def _send(self, type_: str, **fields: object) -> None:
        # The end of the process is reported by the reader thread.
        with contextlib.suppress(OSError):
            self._pipe.send(type_, **fields)

    def _receive(self) -> None:
        """Receive messages in a thread of its own: a process that stalls in the middle of one blocks nothing else."""
        while True:
            try:
                message = self._pipe.receive()
            except (EOFError, OSError):
                break
            except ProtocolError as error:
                log.error("%s", error)
                self._process.kill()
                break
            if not self._call_in_loop(self._handle, message):
                break
        self._process.join(_JOIN_S)
        if self._process.exitcode is None:  # it has closed the pipe and goes on
            self._process.kill()
            self._process.join()
        self._pipe.close()
        self._call_in_loop(self._on_exit)

    def _call_in_loop(self, function: Callable[..., None], *arguments: object) -> bool:
        try:
            self._loop.call_soon_threadsafe(function, *arguments)
        except RuntimeError:
            return False
        return True

    def _handle(self, message: Message) -> None:
        if message["type"] != "ready":
            self._on_message(message)
        elif not self.ready.done():
            self.ready.set_result(tuple(EngineInfo.model_validate(info) for info in message["engines"]))

    def _on_exit(self) -> None:
        self.exit_code = self._process.exitcode
        # Else two descriptors stay open until the garbage collector comes, which in a service may take days.
        self._process.close()
        self._exited.set()
        if not self.ready.done():
            self.ready.set_result(None)
        self._on_message({"type": "exited"})
