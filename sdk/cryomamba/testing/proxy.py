"""A TCP proxy that can cut, delay or swallow what it forwards."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import Counter
from typing import Self

_CHUNK = 64 * 1024


class FaultProxy:
    """Forwards a free loopback port to a target, with faults on demand; a context manager. Runs in its own thread.

    Parameters
    ----------
    host, port : str, int
        The target.

    Attributes
    ----------
    delay_s : float
        Every chunk of data is delayed by this many seconds, in both directions.
    black_hole : bool
        Data is read and discarded while connections stay open, as when a cable is pulled. :meth:`restore` closes
        the connections that have lost data, because TCP never skips a byte.
    port : int
        Where the proxy listens on 127.0.0.1, once started.
    counts : Counter of str
        How often each fault took effect: chunks ``delayed`` and ``swallowed``, connections ``cut`` and ``refused``.
    """

    def __init__(self, host: str, port: int) -> None:
        self.target = (host, port)
        self.delay_s = 0.0
        self.black_hole = False
        self.port = 0
        self.counts: Counter[str] = Counter()
        self._refusing = False
        self._writers: set[asyncio.StreamWriter] = set()
        self._lossy: set[asyncio.StreamWriter] = set()
        self._black_holed: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._stopping: asyncio.Event | None = None
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),), daemon=True)

    def start(self) -> Self:
        """Start to listen."""
        self._thread.start()
        self._ready.wait()
        return self

    def cut(self) -> None:
        """Close every connection and refuse new ones until :meth:`restore`."""
        self._refusing = True
        self._loop.call_soon_threadsafe(self._drop)

    def black_hole_open_connections(self) -> None:
        """Discard from now on what the open connections carry, and close none of them; new connections work.

        A restarted stateful firewall does this: only the heartbeats of either end can find out.
        """
        self._loop.call_soon_threadsafe(self._black_holed.update, self._writers)

    def restore(self) -> None:
        """End all faults but those of :meth:`black_hole_open_connections`."""
        self._refusing = False
        self.black_hole = False
        self.delay_s = 0.0
        self._loop.call_soon_threadsafe(self._drop_lossy)

    def stop(self) -> None:
        """Close every connection and stop listening."""
        if self._stopping is not None:
            self._loop.call_soon_threadsafe(self._stopping.set)
            self._thread.join()
            self._loop.close()
            self._stopping = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    async def _serve(self) -> None:
        self._stopping = asyncio.Event()
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stopping.wait()
        server.close()
        self._drop()
        current = asyncio.current_task()
        tasks = [task for task in asyncio.all_tasks() if task is not current]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _drop(self) -> None:
        for writer in self._writers:
            writer.transport.abort()
            self.counts["cut"] += 1

    def _drop_lossy(self) -> None:
        for writer in self._lossy:
            writer.transport.abort()
        self._lossy.clear()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._refusing:
            self.counts["refused"] += 1
            writer.transport.abort()
            return
        self._writers.add(writer)
        try:
            target_reader, target_writer = await asyncio.open_connection(*self.target)
        except OSError:
            writer.transport.abort()
            self._writers.discard(writer)
            return
        self._writers.add(target_writer)
        try:
            await asyncio.gather(self._pump(reader, target_writer), self._pump(target_reader, writer))
        finally:
            for one in (writer, target_writer):
                self._writers.discard(one)
                self._lossy.discard(one)
                self._black_holed.discard(one)
                one.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(_CHUNK):
                if self.delay_s:
                    self.counts["delayed"] += 1
                    await asyncio.sleep(self.delay_s)
                if self._is_lossy(writer):
                    self.counts["swallowed"] += 1
                else:
                    writer.write(data)
                    await writer.drain()
            # A black hole swallows the end of a connection like its data.
            if not self._is_lossy(writer):
                writer.close()

    def _is_lossy(self, writer: asyncio.StreamWriter) -> bool:
        if self.black_hole:
            self._lossy.add(writer)
        return writer in self._lossy or writer in self._black_holed
