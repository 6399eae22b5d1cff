"""A Zarr store on a web server, for reading."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Iterable, Mapping
from functools import partial
from http import HTTPStatus
from typing import Final, NoReturn

import httpx
from zarr.abc.store import ByteRequest, OffsetByteRequest, RangeByteRequest, Store, SuffixByteRequest
from zarr.core.buffer import Buffer, BufferPrototype, default_buffer_prototype

from cryomamba.errors import AccessError, ErrorCode, UnavailableError, VolumeError
from cryomamba.volumes.images.repeated_requests import asked_again

TIMEOUT_S: Final = 60.0
METADATA_NBYTES_MAX: Final = 64 << 20
"""Of one metadata document; those of images have some kB."""
CHUNK_NBYTES_MAX: Final = 2 << 30
"""Of one chunk or shard, or the part of it that was asked for."""
_METADATA: Final = ("zarr.json", ".zarray", ".zattrs", ".zgroup", ".zmetadata")
# Object stores answer 403 for a key that is not there if the bucket cannot be listed.
_MISSING: Final = (HTTPStatus.NOT_FOUND, HTTPStatus.FORBIDDEN)

_NO_LISTING: Final = "the keys of a web server cannot be listed"


class HttpStore(Store):
    """Reads keys below an address; nothing can be written or listed.

    Parameters
    ----------
    url : str
        Of the image, up to ``.ome.zarr``.
    headers : mapping
        Sent with each request.
    patience_s : float or None
        For computing: for so long, a server that does not answer is asked again, and a chunk that is missing is an
        error. None for viewers, which ask once and show zeros.
    """

    supports_writes = False
    supports_deletes = False
    supports_listing = False

    def __init__(self, url: str, headers: Mapping[str, str], patience_s: float | None = None) -> None:
        super().__init__(read_only=True)
        self._patience_s = patience_s
        self.url = url.rstrip("/")
        self._client = httpx.Client(headers=dict(headers), timeout=TIMEOUT_S, follow_redirects=True)

    async def get(self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None) -> Buffer | None:
        """Return a key's bytes; None if there is no such key.

        Raises
        ------
        VolumeError
            The server does not answer, or answers with an error.
        """
        headers = {} if byte_range is None else {"Range": _range(byte_range)}
        try:
            # A client for threads serves all loops; zarr has one of its own.
            response, content = await asyncio.to_thread(self._fetch_again, key, headers)
        except httpx.HTTPError as error:
            kind = VolumeError if self._patience_s is None else UnavailableError
            raise kind(
                f"{self.url} cannot be read: {error}", hint="Check the address and the network, then open it again."
            ) from error
        if response.status_code == HTTPStatus.UNAUTHORIZED:
            raise AccessError(
                f"{self.url} needs a token.",
                code=ErrorCode.UNAUTHORIZED,
                hint="Connect to that server first, or use a link that needs none.",
            )
        if response.status_code in _MISSING and (self._patience_s is None or _is_metadata(key)):
            return None
        if response.is_error:
            raise VolumeError(
                f"{self.url} cannot be read: the server answered {response.status_code}.",
                code=ErrorCode.VOLUME_UNREADABLE,
                hint="Try again later, or ask whoever runs that server.",
            )
        if byte_range is not None and response.status_code != HTTPStatus.PARTIAL_CONTENT:
            content = _part(content, byte_range)
        return prototype.buffer.from_bytes(content)

    def _fetch_again(self, key: str, headers: Mapping[str, str]) -> tuple[httpx.Response, bytes]:
        """Do the same as :meth:`_fetch`, several times if the server is busy or away."""
        return asked_again(partial(self._fetch, key, headers), self._patience_s or 0.0)

    def _fetch(self, key: str, headers: Mapping[str, str]) -> tuple[httpx.Response, bytes]:
        """Return a response and its body, which is empty if the status is an error.

        Raises
        ------
        VolumeError
            The body is larger than anything that a key can hold.
        """
        limit = METADATA_NBYTES_MAX if _is_metadata(key) else CHUNK_NBYTES_MAX
        with self._client.stream("GET", f"{self.url}/{key}", headers=dict(headers)) as response:
            content = io.BytesIO()
            if response.is_success:
                for piece in response.iter_bytes():
                    content.write(piece)
                    if content.tell() > limit:
                        raise VolumeError(
                            f"{self.url} cannot be read: '{key}' has more than {limit:,} bytes.",
                            hint="Check the address. The image is damaged, or was made to fill the memory.",
                        )
            return response, content.getvalue()

    async def get_partial_values(
        self, prototype: BufferPrototype, key_ranges: Iterable[tuple[str, ByteRequest | None]]
    ) -> list[Buffer | None]:
        """Return parts of several keys."""
        return list(await asyncio.gather(*(self.get(key, prototype, part) for key, part in key_ranges)))

    async def exists(self, key: str) -> bool:
        """Whether there is such a key."""
        return await self.get(key, default_buffer_prototype()) is not None

    async def set(self, key: str, value: Buffer) -> NoReturn:  # noqa: ARG002 (the names are zarr's)
        """Refuse to write."""
        raise PermissionError(f"{self.url} is read only")

    async def delete(self, key: str) -> NoReturn:  # noqa: ARG002
        """Refuse to delete."""
        raise PermissionError(f"{self.url} is read only")

    # These three are abstract in zarr's class, and zarr asks `supports_listing` before it calls one.

    def list(self) -> AsyncIterator[str]:
        """Refuse to list: web servers have no listing that all share."""
        raise NotImplementedError(_NO_LISTING)

    def list_prefix(self, prefix: str) -> AsyncIterator[str]:
        """Refuse to list."""
        raise NotImplementedError(_NO_LISTING)

    def list_dir(self, prefix: str) -> AsyncIterator[str]:
        """Refuse to list."""
        raise NotImplementedError(_NO_LISTING)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()
        super().close()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, HttpStore) and other.url == self.url

    def __hash__(self) -> int:
        return hash(self.url)


def _is_metadata(key: str) -> bool:
    return key.rpartition("/")[2] in _METADATA


def _range(part: ByteRequest) -> str:
    match part:
        case RangeByteRequest():
            return f"bytes={part.start}-{part.end - 1}"
        case OffsetByteRequest():
            return f"bytes={part.offset}-"
        case SuffixByteRequest():
            return f"bytes=-{part.suffix}"


def _part(content: bytes, part: ByteRequest) -> bytes:
    match part:
        case RangeByteRequest():
            return content[part.start : part.end]
        case OffsetByteRequest():
            return content[part.offset :]
        case SuffixByteRequest():
            return content[-part.suffix :]
