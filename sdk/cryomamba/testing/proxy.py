"""A TCP link that can be cut, delayed or turned into a black hole."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import Counter
from types import TracebackType
from typing import Self

_CHUNK = 64 * 1024


class FaultProxy:
    """Forwards a free loopback port to a target, with faults on demand. Runs in a thread of its own.

    Parameters
    ----------
    host, port : str, int
        Where connections are forwarded to.

    Attributes
    ----------
    delay_s : float
        Each piece of data is held back for so long, in both directions.
    black_hole : bool
        Data is read and thrown away; connections stay open, as when a cable is pulled. A connection that has lost
        data is broken by :meth:`mend`, because TCP never skips a byte.
    met : Counter of str
        How often each fault met something: pieces of data ``delayed`` and ``swallowed``, connections ``cut`` and
        ``refused``. A fault on a link that nobody used meets nothing.
    """

    def __init__(self, host: str, port: int) -> None:
        self.target = (host, port)
        self.delay_s = 0.0
        self.black_hole = False
        self.port = 0
        self.met: Counter[str] = Counter()
        self._refusing = False
        self._links: set[asyncio.StreamWriter] = set()
        self._holed: set[asyncio.StreamWriter] = set()
        self._forgotten: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._stopping: asyncio.Event | None = None
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),), daemon=True)

    def start(self) -> Self:
        """Listen; :attr:`port` is then set."""
        self._thread.start()
        self._ready.wait()
        return self

    def cut(self) -> None:
        """Break every connection and refuse new ones until :meth:`mend`."""
        self._refusing = True
        self._loop.call_soon_threadsafe(self._drop)

    def forget(self) -> None:
        """Lose all that connections of now will ever carry, and tell neither end; new ones are good.

        This is what a firewall does that was restarted: only the ends' own heartbeats find out.
        """
        self._loop.call_soon_threadsafe(self._forget)

    def mend(self) -> None:
        """Be a good link again; connections that were forgotten stay so."""
        self._refusing = False
        self.black_hole = False
        self.delay_s = 0.0
        self._loop.call_soon_threadsafe(self._drop_holed)

    def stop(self) -> None:
        """Break every connection and stop listening."""
        if self._stopping is not None:
            self._loop.call_soon_threadsafe(self._stopping.set)
            self._thread.join()
            self._loop.close()
            self._stopping = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
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
        for writer in self._links:
            writer.transport.abort()
            self.met["cut"] += 1

    def _drop_holed(self) -> None:
        for writer in self._holed:
            writer.transport.abort()
        self._holed.clear()

    def _forget(self) -> None:
        self._forgotten |= self._links

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._refusing:
            self.met["refused"] += 1
            writer.transport.abort()
            return
        self._links.add(writer)
        try:
            there_reader, there_writer = await asyncio.open_connection(*self.target)
        except OSError:
            writer.transport.abort()
            self._links.discard(writer)
            return
        self._links.add(there_writer)
        try:
            await asyncio.gather(self._pump(reader, there_writer), self._pump(there_reader, writer))
        finally:
            for end in (writer, there_writer):
                self._links.discard(end)
                self._holed.discard(end)
                self._forgotten.discard(end)
                end.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(_CHUNK):
                if self.delay_s:
                    self.met["delayed"] += 1
                    await asyncio.sleep(self.delay_s)
                if self._loses(writer):
                    self.met["swallowed"] += 1
                else:
                    writer.write(data)
                    await writer.drain()
            # The end of a connection is lost like its data.
            if not self._loses(writer):
                writer.close()

    def _loses(self, writer: asyncio.StreamWriter) -> bool:
        if self.black_hole:
            self._holed.add(writer)
        return writer in self._holed or writer in self._forgotten
