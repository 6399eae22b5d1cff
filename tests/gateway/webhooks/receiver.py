"""A server that takes messages as other people's servers do: on a real socket, and checked by their library."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from standardwebhooks import Webhook

from cryomamba.testing import DEADLINE_S

HEAD_MAX = 64 * 1024


@dataclass(frozen=True)
class Received:
    """A request as it came."""

    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def message(self) -> dict[str, Any]:
        found = json.loads(self.body)
        assert isinstance(found, dict)
        return found

    def verify(self, secret: str) -> dict[str, Any]:
        """Check the signature with the library of the Standard Webhooks initiative, and return the message."""
        verified = Webhook(secret).verify(self.body, self.headers)
        assert verified == self.message
        return self.message


class Receiver:
    """Answers with the given statuses in turn, then with 204, and remembers what came.

    Attributes
    ----------
    answers : list of str
        Status lines without the version, and further headers, such as ``"503 Busy\\r\\nRetry-After: 2"``; ``"hang"``
        never answers.
    """

    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)
        self.received: list[Received] = []
        self.names: list[str | None] = []
        self.port = 0
        self._news = asyncio.Condition()
        self._gone = asyncio.Event()

    def url(self, path: str = "/hook", *, host: str = "127.0.0.1", scheme: str = "http") -> str:
        return f"{scheme}://{host}:{self.port}{path}"

    async def wait_for(self, count: int) -> list[Received]:
        """Wait until so many messages have come in all."""
        async with asyncio.timeout(DEADLINE_S), self._news:
            await self._news.wait_for(lambda: len(self.received) >= count)
        return self.received

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            first, *lines = head.rstrip("\r\n").split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
            body = await reader.readexactly(int(headers["content-length"]))
            answer = self.answers.pop(0) if self.answers else "204 No Content"
            async with self._news:
                self.received.append(Received(first.split(" ")[1], headers, body))
                self._news.notify_all()
            if answer == "hang":
                await self._gone.wait()
            else:
                writer.write(f"HTTP/1.1 {answer}\r\nContent-Length: 0\r\n\r\n".encode())
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    @asynccontextmanager
    async def listening(self, *, port: int = 0, tls: ssl.SSLContext | None = None) -> AsyncIterator[Receiver]:
        """Listen on loopback, until the block ends."""
        if tls is not None:
            tls.sni_callback = self._note_name()
        server = await asyncio.start_server(self._serve, "127.0.0.1", port, ssl=tls, limit=HEAD_MAX)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            self._gone.set()
            server.close()
            await server.wait_closed()

    def _note_name(self) -> Callable[[ssl.SSLObject, str | None, ssl.SSLContext], None]:
        def note(_socket: ssl.SSLObject, name: str | None, _context: ssl.SSLContext) -> None:
            self.names.append(name)

        return note
