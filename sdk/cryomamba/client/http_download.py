"""Reading a file from a gateway: a download that breaks is resumed where it broke."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from typing import Final

import httpx

from cryomamba.client.backoff import pauses
from cryomamba.client.http_errors import error_of, unreachable
from cryomamba.errors import ConflictError

RESUMES_MAX: Final = 8


class HttpDownload:
    """One file on its way from a gateway.

    Parameters
    ----------
    client : httpx.AsyncClient
    path : str
    """

    def __init__(self, client: httpx.AsyncClient, path: str) -> None:
        self._client = client
        self._path = path
        self._received = 0
        self._etag: str | None = None
        self._complete = False

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """Yield the file from its beginning, over as many connections as it takes.

        Raises
        ------
        ConflictError
            The file changed meanwhile.
        UnavailableError
            Several connections in a row brought nothing.
        """
        waits = pauses(0.1, 2.0)
        failures = 0
        while not self._complete:
            before = self._received
            try:
                async with contextlib.aclosing(self._rest()) as chunks:
                    async for chunk in chunks:
                        yield chunk
            except httpx.TransportError as error:
                failures = 1 if self._received > before else failures + 1
                if failures > RESUMES_MAX:
                    raise unreachable(str(self._client.base_url), error) from None
                await asyncio.sleep(next(waits))

    async def _rest(self) -> AsyncGenerator[bytes, None]:
        async with self._client.stream("GET", self._path, headers=self._headers()) as reply:
            if reply.status_code >= 400:
                await reply.aread()
                raise error_of(reply)
            skip = self._begin(reply)
            async for chunk in reply.aiter_raw():
                fresh = chunk[skip:] if skip else chunk
                skip = max(0, skip - len(chunk))
                if fresh:
                    self._received += len(fresh)
                    yield fresh
        self._complete = True

    def _headers(self) -> dict[str, str]:
        headers = {"Accept-Encoding": "identity"}
        if self._received:
            headers["Range"] = f"bytes={self._received}-"
        if self._received and self._etag:
            headers["If-Range"] = self._etag
        return headers

    def _begin(self, reply: httpx.Response) -> int:
        """Check that it is still the same file, and return how many of the reply's first bytes are here already."""
        etag = reply.headers.get("ETag")
        if self._received and etag != self._etag:
            raise ConflictError("The file changed during the download.", hint="Download it again.", retryable=True)
        self._etag = etag
        return 0 if reply.status_code == httpx.codes.PARTIAL_CONTENT else self._received
