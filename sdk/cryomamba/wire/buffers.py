"""Payload buffers: label arrays packed to few bits, compressed, with a checksum and a description."""

from __future__ import annotations

import math
import zlib
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal, cast, get_args

import numpy as np
import numpy.typing as npt
import zstandard

from cryomamba.errors import ProtocolError
from cryomamba.wire.constants import PAYLOAD_MAX_BYTES

Codec = Literal["raw", "deflate", "zstd"]
CODECS: Final[tuple[Codec, ...]] = get_args(Codec)
BITS: Final = (1, 2, 4, 8, 16)
_DIMENSIONS_MAX = 4


@dataclass(frozen=True, slots=True)
class BufferSpec:
    """The description of one payload part.

    Attributes
    ----------
    dtype : str
        ``uint8`` or ``uint16`` for labels, ``bytes`` for opaque data.
    shape : tuple of int
        Shape of the array, C order; for ``bytes`` the length.
    bits : int
        Bits per element on the wire: 1, 2, 4, 8 or 16. Below 8, the first element is in the lowest bits of the first
        byte.
    codec : {'raw', 'deflate', 'zstd'}
        How the packed bytes are compressed; ``deflate`` is a zlib stream (RFC 1950), what a browser calls "deflate".
    nbytes : int
        Length of the packed bytes before compression.
    checksum : int
        CRC-32 of the part as it is on the wire.
    """

    dtype: str
    shape: tuple[int, ...]
    bits: int
    codec: Codec
    nbytes: int
    checksum: int

    def to_wire(self) -> dict[str, Any]:
        """Return the fields as plain msgpack types."""
        return {**asdict(self), "shape": list(self.shape)}

    @classmethod
    def from_wire(cls, fields: object) -> BufferSpec:
        """Check a received description and return it.

        Raises
        ------
        ProtocolError
            A field is missing, of another type, or beyond what is allowed; nothing has been allocated by then.
        """
        if not isinstance(fields, dict):
            raise ProtocolError("A buffer description is not a map.")
        dtype, codec, bits = fields.get("dtype"), fields.get("codec"), fields.get("bits")
        shape, nbytes, checksum = fields.get("shape"), fields.get("nbytes"), fields.get("checksum")
        # Tuples, because a received value may not be hashable.
        if dtype not in ("uint8", "uint16", "bytes") or codec not in CODECS or not _is_size(bits) or bits not in BITS:
            raise ProtocolError("A buffer is of a type, packing or codec that is not allowed.")
        if not isinstance(shape, list) or len(shape) > _DIMENSIONS_MAX or not all(_is_size(n) for n in shape):
            raise ProtocolError("A buffer's shape is not a short list of sizes.")
        if not _is_size(nbytes) or not isinstance(checksum, int) or isinstance(checksum, bool):
            raise ProtocolError("A buffer's size or checksum is not an integer.")
        if nbytes != packed_nbytes(tuple(shape), bits):
            raise ProtocolError("A buffer's size does not fit its shape.")
        return cls(str(dtype), tuple(shape), bits, cast("Codec", codec), nbytes, checksum)


def _is_size(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= PAYLOAD_MAX_BYTES


def packed_nbytes(shape: tuple[int, ...], bits: int) -> int:
    """Return how many bytes an array takes when packed to `bits` per element, rows running on without padding."""
    return (math.prod(shape) * bits + 7) // 8


def bits_for(highest: int) -> int:
    """Return the fewest bits (1, 2, 4, 8, 16) that hold labels 0 to `highest`."""
    for bits in BITS:
        if highest < 1 << bits:
            return bits
    raise ProtocolError(f"Label {highest} does not fit into 16 bits.")


def pack_labels(labels: npt.NDArray[np.unsignedinteger[Any]], bits: int) -> bytes:
    """Pack a label array (any shape, C order) to `bits` per element; 16 bits are little-endian."""
    flat = np.ascontiguousarray(labels).reshape(-1)
    if bits == 16:
        return flat.astype("<u2", copy=False).tobytes()
    flat = flat.astype(np.uint8, copy=False)
    if bits == 8:
        return flat.tobytes()
    if bits == 1:
        return np.packbits(flat, bitorder="little").tobytes()
    per_byte = 8 // bits
    padded = np.zeros(-(-flat.size // per_byte) * per_byte, np.uint8)
    padded[: flat.size] = flat
    packed = np.zeros(padded.size // per_byte, np.uint8)
    for place in range(per_byte):
        packed |= padded[place::per_byte] << np.uint8(place * bits)
    return packed.tobytes()


def unpack_labels(raw: bytes, shape: tuple[int, ...], bits: int) -> npt.NDArray[np.uint8] | npt.NDArray[np.uint16]:
    """Undo :func:`pack_labels`; the array is new and writable."""
    count = math.prod(shape)
    if bits == 16:
        return np.frombuffer(raw, "<u2").astype(np.uint16).reshape(shape)
    packed = np.frombuffer(raw, np.uint8)
    if bits == 8:
        return packed.copy().reshape(shape)
    if bits == 1:
        return np.unpackbits(packed, count=count, bitorder="little").reshape(shape)
    per_byte = 8 // bits
    flat = np.empty(packed.size * per_byte, np.uint8)
    for place in range(per_byte):
        flat[place::per_byte] = (packed >> np.uint8(place * bits)) & np.uint8((1 << bits) - 1)
    return flat[:count].reshape(shape).copy()


def encode_labels(
    labels: npt.NDArray[np.unsignedinteger[Any]], *, codec: Codec, highest: int | None = None
) -> tuple[BufferSpec, bytes]:
    """Pack, compress and describe a label array.

    Parameters
    ----------
    labels : ndarray of uint8 or uint16
    codec : {'raw', 'deflate', 'zstd'}
    highest : int, optional
        The highest label that may occur; looked up in the array if not given.

    Returns
    -------
    BufferSpec, bytes
        The description and a fresh part that shares no memory with `labels`.
    """
    top = int(labels.max(initial=0)) if highest is None else highest
    bits = bits_for(top)
    packed = pack_labels(labels, bits)
    part = _compress(packed, codec)
    dtype = "uint16" if bits == 16 else "uint8"
    return BufferSpec(dtype, tuple(labels.shape), bits, codec, len(packed), zlib.crc32(part)), part


def decode_labels(spec: BufferSpec, part: bytes | memoryview) -> npt.NDArray[np.uint8] | npt.NDArray[np.uint16]:
    """Check a part against its description, then decompress and unpack it.

    Raises
    ------
    ProtocolError
        The part is too long, damaged, or unpacks to another size than described.
    """
    if spec.dtype == "bytes":
        raise ProtocolError("The payload is not a label array.")
    packed = decode_bytes(spec, part)
    return unpack_labels(packed, spec.shape, spec.bits)


def encode_bytes(data: bytes) -> tuple[BufferSpec, bytes]:
    """Describe opaque bytes (a chunk of a file) as a raw payload."""
    return BufferSpec("bytes", (len(data),), 8, "raw", len(data), zlib.crc32(data)), data


def decode_bytes(spec: BufferSpec, part: bytes | memoryview) -> bytes:
    """Check a part against its description and return the bytes before compression.

    Raises
    ------
    ProtocolError
        The part is too long, damaged, or decompresses to another size than described.
    """
    if len(part) > PAYLOAD_MAX_BYTES:
        raise ProtocolError("A payload is larger than allowed.")
    if zlib.crc32(part) != spec.checksum:
        raise ProtocolError("A payload was damaged in transit.")
    data = _decompress(part, spec)
    if len(data) != spec.nbytes:
        raise ProtocolError("A payload does not have the described size.")
    return data


def _compress(packed: bytes, codec: Codec) -> bytes:
    match codec:
        case "raw":
            return packed
        case "deflate":
            return zlib.compress(packed, level=1)
        case "zstd":
            return zstandard.ZstdCompressor(level=1).compress(packed)


def _decompress(part: bytes | memoryview, spec: BufferSpec) -> bytes:
    # One byte more than described: enough to see that a part is too long without decompressing all of it.
    try:
        match spec.codec:
            case "raw":
                return bytes(part)
            case "deflate":
                return zlib.decompressobj().decompress(part, spec.nbytes + 1)
            case "zstd":
                reader = zstandard.ZstdDecompressor(max_window_size=1 << 27).stream_reader(bytes(part))
                return bytes(reader.read(spec.nbytes + 1))
    except (zlib.error, zstandard.ZstdError):
        raise ProtocolError("A payload cannot be decompressed.") from None
