"""Preview frames for HTTP and WebSocket: a JSON header before the bus's own payload.

The layout, which a browser reads with ``DataView``, ``JSON.parse`` and ``DecompressionStream``:

====================  ===============================================================
bytes                 what
====================  ===============================================================
0 … 3                 length *n* of the header, unsigned, little-endian
4 … 4 + n             the header: JSON in UTF-8, blanks at its end
4 + n … end           the payload as on the bus: labels packed to bits, compressed as
                      the header's ``buffer.codec`` says
====================  ===============================================================

Blanks pad the header so that the payload begins at a multiple of 8 bytes.
"""

from __future__ import annotations

import json
import struct
from datetime import UTC, datetime
from typing import Any, Final

from cryomamba.errors import ProtocolError
from cryomamba.models.frames import PreviewFrame
from cryomamba.wire.buffers import BufferSpec
from cryomamba.wire.constants import HEADER_MAX_BYTES
from cryomamba.wire.envelope import Envelope, is_time
from cryomamba.wire.messages import PREVIEW
from cryomamba.wire.preview import decode_frame, decode_header, preview_body

SUBPROTOCOL: Final = "cryomamba.frames.v1"
MEDIA_TYPE: Final = "application/vnd.cryomamba.frame"

_LENGTH = struct.Struct("<I")
_ALIGNMENT = 8


def frame_header(envelope: Envelope) -> dict[str, Any]:
    """Return the header fields of a preview message; ``volume_shape`` is the tomogram's, ``buffer.shape`` the mask's.

    Raises
    ------
    ProtocolError
        The message is not a preview.
    """
    body = preview_body(decode_header(envelope))
    return {
        "type": PREVIEW,
        "job_id": envelope.job,
        "seq": envelope.seq,
        "ts": envelope.ts,
        "timestamp": datetime.fromtimestamp(envelope.ts, UTC).isoformat().replace("+00:00", "Z"),
        "volume_shape": body.pop("shape"),
        **body,
        "buffer": envelope.buffers[0].to_wire(),
    }


def encode_web_frame(envelope: Envelope, payload: bytes | memoryview) -> bytes:
    """Prepend the header to the payload of a preview message, which is not re-encoded.

    Raises
    ------
    ProtocolError
        The message is not a preview.
    """
    header = json.dumps(frame_header(envelope), separators=(",", ":"), allow_nan=False).encode()
    header += b" " * (-(_LENGTH.size + len(header)) % _ALIGNMENT)
    return b"".join((_LENGTH.pack(len(header)), header, payload))


def decode_web_frame(raw: bytes) -> PreviewFrame:
    """Decode a frame, whatever the bytes are.

    Raises
    ------
    ProtocolError
        The bytes are not a frame in this layout.
    """
    if len(raw) < _LENGTH.size:
        raise ProtocolError("A preview frame is shorter than its first field.")
    (length,) = _LENGTH.unpack_from(raw)
    start = _LENGTH.size + length
    if length > HEADER_MAX_BYTES or start > len(raw):
        raise ProtocolError("A preview frame's header is longer than the frame.")
    try:
        header = json.loads(raw[_LENGTH.size : start])
    except (ValueError, RecursionError):
        raise ProtocolError("A preview frame's header is not JSON.") from None
    if not isinstance(header, dict):
        raise ProtocolError("A preview frame's header is not a map.")
    return decode_frame(_envelope(header), memoryview(raw)[start:])


def _envelope(header: dict[str, Any]) -> Envelope:
    job, attempt, seq, ts = (header.get(name) for name in ("job_id", "attempt", "seq", "ts"))
    if not isinstance(job, str) or not is_time(ts):
        raise ProtocolError("A preview frame has no job id or no time.")
    if not all(isinstance(number, int) and not isinstance(number, bool) for number in (attempt, seq)):
        raise ProtocolError("A preview frame's numbers are not integers.")
    return Envelope(
        type=PREVIEW,
        id="",
        src="",
        epoch=0,
        seq=int(seq or 0),
        ts=float(ts),
        job=job,
        attempt=int(attempt or 0),
        body={**header, "shape": header.get("volume_shape")},
        buffers=(BufferSpec.from_wire(header.get("buffer")),),
    )
