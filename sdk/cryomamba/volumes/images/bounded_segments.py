"""Decompression of TIFF strips and tiles that is refused before one fills the memory."""

from __future__ import annotations

import importlib.util
import lzma
import math
import zlib
from collections.abc import Callable, Mapping
from typing import Any, Final

from cryomamba.errors import VolumeError

_PIECE_NBYTES: Final = 1 << 20
# Deflate shrinks at most 1032 : 1 and xz some 7000 : 1; what cannot become larger than this needs no check.
_LARGEST_RATIO: Final = 8_000
_HARMLESS_NBYTES: Final = 64 << 20
_ADDED_NBYTES: Final = 1 << 16
_XZ_NBYTES_MAX: Final = 256 << 20


def bound_segments(page: Any, name: str) -> None:  # noqa: ANN401 (tifffile's page)
    """Make tifffile check each strip or tile of a page before it decompresses it.

    The package imagecodecs stops at the size of a segment. Without it tifffile decompresses whatever there is, so the
    segment is decompressed once before, in pieces that are not kept.

    Parameters
    ----------
    page : tifffile.TiffPage or tifffile.TiffFrame
    name : str
        Of the file, for messages.
    """
    keyframe = page.keyframe
    count = _COUNTERS.get(int(keyframe.compression))
    if count is None or isinstance(keyframe.decode, _BoundedDecode) or importlib.util.find_spec("imagecodecs"):
        return
    limit = math.prod(keyframe.chunks) * keyframe.dtype.itemsize + _ADDED_NBYTES
    keyframe.decode = _BoundedDecode(keyframe.decode, count, limit, name)


class _BoundedDecode:
    """Decodes a segment as tifffile does, unless it decompresses to more than its size."""

    def __init__(self, decode: Callable[..., Any], count: Callable[[bytes, int], int], limit: int, name: str) -> None:
        self._decode, self._count, self._limit, self._name = decode, count, limit, name

    def __call__(self, data: bytes | None, index: int, **options: Any) -> Any:  # noqa: ANN401 (tifffile's)
        worst = 0 if data is None else len(data) * _LARGEST_RATIO
        if data is not None and worst > _HARMLESS_NBYTES and self._count(data, self._limit) > self._limit:
            raise VolumeError(
                f"{self._name} cannot be read: a strip or tile decompresses to more than its {self._limit:,} bytes.",
                hint="The file is damaged, or was made to fill the memory. Get it again from a source that you trust.",
            )
        return self._decode(data, index, **options)


def _deflated_nbytes(data: bytes, limit: int) -> int:
    decompressor, count = zlib.decompressobj(), 0
    while data and count <= limit and not decompressor.eof:
        count += len(decompressor.decompress(data, _PIECE_NBYTES))
        data = decompressor.unconsumed_tail
    return count


def _xz_nbytes(data: bytes, limit: int) -> int:
    decompressor, count = lzma.LZMADecompressor(memlimit=_XZ_NBYTES_MAX), 0
    while count <= limit and not decompressor.eof:
        piece = decompressor.decompress(b"" if count else data, _PIECE_NBYTES)
        if not piece:
            break
        count += len(piece)
    return count


# By tifffile's number of the compression: deflate in its three registrations, and LZMA.
_COUNTERS: Final[Mapping[int, Callable[[bytes, int], int]]] = {
    8: _deflated_nbytes,
    32946: _deflated_nbytes,
    50013: _deflated_nbytes,
    34925: _xz_nbytes,
}
