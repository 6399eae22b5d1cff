"""Slices as PNG images: labels in fixed colours with a transparent background, densities in grey."""

from __future__ import annotations

import colorsys
import io
import struct
import zlib
from functools import cache
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cryomamba.errors import ErrorCode, InvalidRequestError
from cryomamba.models.frames import PreviewFrame

COLOURS: Final = 255
_GOLDEN_RATIO: Final = 0.618033988749895
_AXES: Final = {"z": 0, "y": 1, "x": 2}
_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"


@cache
def palette() -> bytes:
    """Return 256 RGB colours: black for the background, then hues a golden ratio apart.

    Consecutive labels differ clearly, and a label has the same colour in every mask.
    """
    colours = bytearray(3)
    for label in range(COLOURS):
        lightness = (0.55, 0.68, 0.45)[label % 3]
        rgb = colorsys.hls_to_rgb((0.08 + label * _GOLDEN_RATIO) % 1.0, lightness, 0.85)
        colours += bytes(round(part * 255) for part in rgb)
    return bytes(colours)


def slice_png(frame: PreviewFrame, axis: Literal["z", "y", "x"], index: int | None) -> bytes:
    """Render a slice of a preview, one pixel per preview voxel.

    Parameters
    ----------
    frame : PreviewFrame
    axis : {'z', 'y', 'x'}
        Axis perpendicular to the slice; the other two, in ZYX order, are rows and columns of the image.
    index : int or None
        Slice of the *tomogram*; the middle one if None.

    Raises
    ------
    InvalidRequestError
        The tomogram has no such slice.
    """
    along = _AXES[axis]
    size = frame.volume_shape[along]
    wanted = size // 2 if index is None else index
    if wanted >= size:
        raise InvalidRequestError(
            f"The tomogram has no slice {wanted} along {axis}.",
            code=ErrorCode.INVALID_PARAMETERS,
            hint=f"Give an index from 0 to {size - 1}.",
        )
    return section_png(np.asarray(frame.mask.take(wanted // frame.scale[along], axis=along)), None)


def section_png(values: NDArray[Any], limits: tuple[float, float] | None) -> bytes:
    """Render a section of a volume, one pixel per value.

    Parameters
    ----------
    values : ndarray
        Densities, or labels (of an integer type).
    limits : tuple of float or None
        Densities that become black and white; None for labels.
    """
    target = io.BytesIO()
    if limits is None:
        wrapped = np.where(values == 0, 0, (values.astype(np.int32) - 1) % COLOURS + 1).astype(np.uint8)
        image = Image.fromarray(wrapped)
        image.putpalette(palette())
        image.save(target, "PNG", transparency=0, compress_level=1)
    else:
        low, high = limits
        scaled = np.subtract(values, np.float32(low), dtype=np.float32)
        scaled *= np.float32(255 / (high - low))
        np.rint(scaled, out=scaled)
        # What is no number becomes black.
        np.fmax(scaled, 0, out=scaled)
        np.fmin(scaled, 255, out=scaled)
        return grey_png(scaled.astype(np.uint8))
    return target.getvalue()


def grey_png(grey: NDArray[np.uint8]) -> bytes:
    """Return an image of bytes (rows, columns) as PNG, without what finds nothing in noise: filters and repetitions.

    It takes a quarter of the time of the usual way, and the image is smaller. Constant areas are compressed.
    """
    height, width = grey.shape
    # Each row begins with the number of its filter: none.
    lines = np.zeros((height, 1 + width), np.uint8)
    lines[:, 1:] = grey
    deflate = zlib.compressobj(1, zlib.DEFLATED, zlib.MAX_WBITS, zlib.DEF_MEM_LEVEL, zlib.Z_RLE)
    data = deflate.compress(lines.data) + deflate.flush()
    # Eight bits a pixel, of which there is one kind, grey.
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return _SIGNATURE + b"".join(_chunk(*one) for one in ((b"IHDR", header), (b"IDAT", data), (b"IEND", b"")))


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
