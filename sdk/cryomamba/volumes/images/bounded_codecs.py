"""Decompression of Zarr chunks that ends where a chunk is full, so a small file cannot fill the memory."""

from __future__ import annotations

import asyncio
import bz2
import dataclasses
import gzip
import io
import lzma
import math
import zlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, Self

import numpy as np
import zarr
import zstandard
from zarr.abc.codec import BytesBytesCodec
from zarr.codecs import BytesCodec, ShardingCodec, TransposeCodec
from zarr.core.array_spec import ArraySpec
from zarr.core.buffer import Buffer
from zarr.registry import get_numcodec

from cryomamba.errors import ErrorCode, VolumeError

Config = Mapping[str, Any]
Decoder = Callable[[Config, memoryview, int], Any]

_SAME_SIZE: Final = {"adler32", "bitround", "crc32", "crc32c", "fletcher32", "jenkins_lookup3", "shuffle"}
# Types before and after encoding.
_DTYPES: Final = {
    "astype": ("decode_dtype", "encode_dtype"),
    "delta": ("dtype", "astype"),
    "fixedscaleoffset": ("dtype", "astype"),
    "quantize": ("dtype", "astype"),
}
# What a checksum or a compressor adds to bytes that it cannot shrink.
_ADDED_NBYTES: Final = 1 << 16
_ADDED_SHARE: Final = 64
_XZ_NBYTES_MAX: Final = 256 << 20
"""Memory of an xz decoder; that of its highest preset needs 65 MiB."""
_INDEX_ENTRY_NBYTES: Final = 16


def bounded(array: zarr.Array[Any], name: str, nbytes_max: int) -> zarr.Array[Any]:
    """Return the same array, with decoders that stop at the size of a chunk.

    Parameters
    ----------
    array : zarr.Array
        Of version 2 or 3, open for reading.
    name : str
        Of the image, for messages.
    nbytes_max : int
        The largest chunk.

    Raises
    ------
    VolumeError
        ``volume_unsupported``: a chunk is larger, or a codec is none of those whose output can be bounded.
    """
    original = array.async_array
    metadata: Any = original.metadata
    if metadata.zarr_format == 2:
        nbytes = _checked_nbytes(metadata.chunks, metadata.dtype.to_native_dtype(), name, nbytes_max)
        *filters, compressor = _bounded_decoders([*(metadata.filters or ()), metadata.compressor], nbytes, name)
        limited = dataclasses.replace(metadata, filters=tuple(filters) or None, compressor=compressor)
    else:
        codecs = _bounded_codecs(metadata.codecs, metadata.chunk_grid.chunk_shape, metadata.dtype, name, nbytes_max)
        limited = dataclasses.replace(metadata, codecs=codecs)
    return zarr.Array(zarr.AsyncArray(limited, original.store_path))


def _checked_nbytes(chunk: Iterable[int], dtype: np.dtype[Any], name: str, nbytes_max: int) -> int:
    sides = [int(side) for side in chunk]
    nbytes = math.prod(sides) * dtype.itemsize
    if min(sides, default=0) < 1 or nbytes > nbytes_max:
        raise VolumeError(
            f"{name} has chunks of {' × '.join(str(side) for side in sides)} voxels.",
            code=ErrorCode.VOLUME_UNSUPPORTED,
            hint=f"Save it with chunks of at most {nbytes_max >> 30} GiB, for example of 128 × 128 × 128 voxels.",
        )
    return nbytes


def _bounded_decoders(codecs: list[Any], nbytes: int, name: str) -> list[Any]:
    """Return filters and compressor of version 2, in the order of encoding, each with the limit of what it decodes."""
    decoders: list[Any] = []
    for codec in codecs:
        if codec is None:
            decoders.append(None)
            continue
        config = dict(codec.get_config())
        decoders.append(BoundedDecoder(codec, config, nbytes, name) if _expands(config, name) else codec)
        nbytes = _encoded_nbytes(config, nbytes)
    return decoders


def _bounded_codecs(
    codecs: Iterable[Any],
    chunk: tuple[int, ...],
    dtype: Any,  # noqa: ANN401
    name: str,
    nbytes_max: int,
) -> list[Any]:
    """Return the codecs of version 3 with their limits; those of a shard have that of its inner chunks."""
    codecs = list(codecs)
    sharded = any(isinstance(codec, ShardingCodec) for codec in codecs)
    native = dtype.to_native_dtype() if hasattr(dtype, "to_native_dtype") else np.dtype(dtype)
    nbytes = math.prod(chunk) * native.itemsize if sharded else _checked_nbytes(chunk, native, name, nbytes_max)
    found: list[Any] = []
    for codec in codecs:
        if isinstance(codec, (BytesCodec, TransposeCodec)):
            found.append(codec)
        elif isinstance(codec, ShardingCodec):
            inner = _bounded_codecs(codec.codecs, codec.chunk_shape, dtype, name, nbytes_max)
            index = _bounded_index(codec.index_codecs, name)
            found.append(dataclasses.replace(codec, codecs=tuple(inner), index_codecs=index))
            count = math.prod(-(-whole // part) for whole, part in zip(chunk, codec.chunk_shape, strict=True))
            nbytes = min(nbytes + count * _INDEX_ENTRY_NBYTES, nbytes_max)
        else:
            described = codec.to_dict()
            config = {"id": described["name"].removeprefix("numcodecs."), **described.get("configuration", {})}
            wrapped = _expands(config, name)
            found.append(BoundedCodec(codec, config, nbytes, name) if wrapped else codec)
            nbytes = _encoded_nbytes(config, nbytes)
    return found


def _bounded_index(codecs: Iterable[Any], name: str) -> tuple[Any, ...]:
    """Return the codecs of a shard's index, which keep its size as the specification requires."""
    for codec in codecs:
        if not isinstance(codec, BytesCodec) and codec.to_dict()["name"] != "crc32c":
            raise _unsupported(name, str(codec.to_dict()["name"]))
    return tuple(codecs)


def _expands(config: Config, name: str) -> bool:
    """Whether decoding can give more bytes than the codec's configuration foretells.

    Raises
    ------
    VolumeError
        The codec is not known, or makes other things than numbers.
    """
    codec = config["id"]
    if codec in _DECODERS:
        return True
    if codec in _SAME_SIZE or codec == "packbits":
        return False
    if codec in _DTYPES and all(_is_number(config.get(key)) for key in _DTYPES[codec]):
        return False
    raise _unsupported(name, str(codec))


def _unsupported(name: str, codec: str) -> VolumeError:
    known = ", ".join(sorted({*_DECODERS, *_DTYPES, *_SAME_SIZE, "packbits"}))
    return VolumeError(
        f"{name} is encoded with '{codec}', which is not supported.",
        code=ErrorCode.VOLUME_UNSUPPORTED,
        hint=f"Save it with one of these codecs: {known}.",
    )


def _is_number(dtype: object) -> bool:
    return dtype is None or np.dtype(str(dtype)).kind in "biufc"


def _encoded_nbytes(config: Config, nbytes: int) -> int:
    """Return how many bytes are stored for a chunk at most."""
    names = _DTYPES.get(config["id"])
    if names is not None:
        before, after = (config.get(name) for name in names)
        if before is not None and after is not None:
            nbytes = nbytes // np.dtype(before).itemsize * np.dtype(after).itemsize
    return nbytes + nbytes // _ADDED_SHARE + _ADDED_NBYTES


def _decode(config: Config, data: Any, limit: int, name: str) -> Any:  # noqa: ANN401
    """Decompress at most `limit` bytes.

    Raises
    ------
    VolumeError
        There are more.
    """
    decoded = _DECODERS[config["id"]](config, memoryview(data).cast("B"), limit)
    if decoded is None or memoryview(decoded).nbytes > limit:
        raise VolumeError(
            f"{name} cannot be read: a chunk decompresses to more than its {limit:,} bytes.",
            hint="The file is damaged, or was made to fill the memory. Get it again from a source that you trust.",
        )
    return decoded


def _zlib(_config: Config, data: memoryview, limit: int) -> bytes:
    decompressor = zlib.decompressobj()
    return _complete(decompressor.decompress(data, limit + 1), limit, decompressor.eof)


def _complete(decoded: bytes, limit: int, eof: bool) -> bytes:
    if len(decoded) <= limit and not eof:
        raise EOFError("a compressed chunk ends too early")
    return decoded


def _gzip(_config: Config, data: memoryview, limit: int) -> bytes:
    with gzip.GzipFile(fileobj=io.BytesIO(data)) as stream:
        return stream.read(limit + 1)


def _bz2(_config: Config, data: memoryview, limit: int) -> bytes:
    with bz2.BZ2File(io.BytesIO(data)) as stream:
        return stream.read(limit + 1)


def _lzma(config: Config, data: memoryview, limit: int) -> bytes:
    # Filters in the metadata could ask for a dictionary of any size; the formats with a header need none.
    if config.get("filters") is not None:
        raise ValueError("LZMA with filters is not supported")
    decompressor = lzma.LZMADecompressor(memlimit=_XZ_NBYTES_MAX)
    return _complete(decompressor.decompress(data, limit + 1), limit, decompressor.eof)


def _zstd(_config: Config, data: memoryview, limit: int) -> bytes:
    with zstandard.ZstdDecompressor().stream_reader(data, read_across_frames=True) as stream:
        parts, left = [], limit + 1
        while left and (part := stream.read(min(left, 1 << 24))):
            parts.append(part)
            left -= len(part)
        return b"".join(parts)


def _of_header(at: int) -> Decoder:
    """Return a decoder for a format whose header has the decompressed size, as 32 bits at that place."""

    def decode(config: Config, data: memoryview, limit: int) -> Any:  # noqa: ANN401
        if int.from_bytes(data[at : at + 4], "little") > limit:
            return None
        # Decoding takes everything else from the header.
        return get_numcodec({"id": config["id"]}).decode(data)

    return decode


_DECODERS: Final[Mapping[str, Decoder]] = {
    "blosc": _of_header(4),
    "bz2": _bz2,
    "gzip": _gzip,
    "lz4": _of_header(0),
    "lzma": _lzma,
    "zlib": _zlib,
    "zstd": _zstd,
}


class BoundedDecoder:
    """A codec of version 2 that decodes at most so many bytes.

    Parameters
    ----------
    codec : numcodecs.abc.Codec
    config : dict
        Its configuration.
    limit : int
        In bytes.
    name : str
        Of the image, for messages.
    """

    codec_id = "cryomamba_bounded"

    def __init__(self, codec: Any, config: dict[str, Any], limit: int, name: str) -> None:  # noqa: ANN401
        self._codec, self._config, self._limit, self._name = codec, config, limit, name

    def decode(self, buf: Any, out: Any = None) -> Any:  # noqa: ANN401, ARG002 (numcodecs' names)
        """Decompress.

        Raises
        ------
        VolumeError
            The result is too large.
        """
        return _decode(self._config, buf, self._limit, self._name)

    def encode(self, buf: Any) -> Any:  # noqa: ANN401
        """Compress."""
        return self._codec.encode(buf)

    def get_config(self) -> dict[str, Any]:
        """Return the configuration of the codec."""
        return self._config

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Refuse: a limit is no configuration."""
        raise NotImplementedError


@dataclasses.dataclass(frozen=True, eq=False)
class BoundedCodec(BytesBytesCodec):
    """A codec of version 3 that decodes at most so many bytes.

    Attributes
    ----------
    inner : zarr.abc.codec.BytesBytesCodec
    config : dict
        Its configuration, with its name as ``id``.
    limit : int
        In bytes.
    name : str
        Of the image, for messages.
    """

    inner: Any
    config: dict[str, Any]
    limit: int
    name: str
    is_fixed_size = False

    async def _decode_single(self, chunk_bytes: Buffer, chunk_spec: ArraySpec) -> Buffer:
        return await asyncio.to_thread(self._decoded, chunk_bytes, chunk_spec)

    def _decoded(self, chunk_bytes: Buffer, chunk_spec: ArraySpec) -> Buffer:
        decoded = _decode(self.config, chunk_bytes.as_numpy_array(), self.limit, self.name)
        return chunk_spec.prototype.buffer.from_bytes(decoded)

    async def _encode_single(self, chunk_bytes: Buffer, chunk_spec: ArraySpec) -> Buffer | None:
        raise NotImplementedError  # images are only read

    def to_dict(self) -> dict[str, Any]:
        """Return what the metadata have."""
        return dict(self.inner.to_dict())

    def compute_encoded_size(self, _input_byte_length: int, _chunk_spec: ArraySpec) -> int:
        """Refuse: it depends on the bytes."""
        raise NotImplementedError
