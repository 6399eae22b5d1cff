"""Previews for JSON clients: raw labels in base64, downsampled further if they would be too long."""

from __future__ import annotations

import base64
import math
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from cryomamba.client.bus_subscriber import BusMessage
from cryomamba.client.bus_watch import decode_message
from cryomamba.geometry import Shape
from cryomamba.wire.webframe import frame_header

# The whole message stays below 1 MiB, the default limit of WebSocket clients.
BASE64_MAX_BYTES: Final = 1024 * 1024 - 16 * 1024
_NOT_IN_DATA: Final = ("type", "job_id", "seq", "timestamp", "buffer")

Mask = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]


def preview_data(found: BusMessage) -> dict[str, Any]:
    """Return the fields of a JSON preview: those of the frame, and the labels raw and in C order.

    On the bus, labels are packed to a few bits; as bytes they may be eight times as long. A mask that would be too long
    is downsampled by another integer factor, which is included in `scale`.

    Raises
    ------
    ProtocolError
        The message is not a preview.
    """
    frame = decode_message(found)
    header = frame_header(found.envelope)
    for name in _NOT_IN_DATA:
        del header[name]
    mask, factors = shrunk(frame.mask, BASE64_MAX_BYTES * 3 // 4)
    raw = mask.astype(mask.dtype.newbyteorder("<"), copy=False).tobytes()
    return header | {
        "shape": list(mask.shape),
        "scale": [scale * factor for scale, factor in zip(frame.scale, factors, strict=True)],
        "dtype": str(mask.dtype),
        "payload": base64.b64encode(raw).decode("ascii"),
    }


def shrunk(mask: Mask, max_bytes: int) -> tuple[Mask, Shape]:
    """Downsample a mask to at most `max_bytes`; return it with the factor along each axis, ZYX.

    A voxel has the highest label of the voxels that it covers, so that thin structures do not vanish; the last voxel
    along an axis may cover fewer. The factor is the same for all axes, or an axis' length if that is shorter.
    """
    factor = 1
    while math.prod(-(-size // factor) for size in mask.shape) * mask.itemsize > max_bytes:
        factor += 1
    z, y, x = (min(factor, size) for size in mask.shape)
    for axis, step in enumerate((z, y, x)):
        if step > 1:
            mask = _maximum(mask, axis, step)
    return mask, (z, y, x)


def _maximum(mask: Mask, axis: int, step: int) -> Mask:
    # A hundred times as fast as maximum.reduceat, which also holds the GIL.
    small = mask[(slice(None),) * axis + (slice(0, None, step),)].copy()
    for offset in range(1, step):
        others = mask[(slice(None),) * axis + (slice(offset, None, step),)]
        there = small[tuple(map(slice, others.shape))]
        np.maximum(there, others, out=there)
    return small
