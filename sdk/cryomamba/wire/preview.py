"""Encoding preview frames as messages and decoding them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from cryomamba.errors import ErrorCode, ProtocolError
from cryomamba.geometry import Shape, Spacing
from cryomamba.models.frames import PreviewFrame
from cryomamba.wire.buffers import BufferSpec, Codec, decode_labels, encode_labels
from cryomamba.wire.constants import PREVIEW_WIRE_MAX_BYTES
from cryomamba.wire.envelope import Envelope
from cryomamba.wire.messages import PREVIEW

_LABELS_MAX = 256
_VOXEL_MAX_A = 1e9


def preview_body(frame: PreviewFrame) -> dict[str, Any]:
    """Return the envelope body that describes a frame."""
    return {
        "axes": "zyx",
        "shape": list(frame.volume_shape),
        "scale": list(frame.scale),
        "voxel_size_A": list(frame.voxel_size_A),
        "progress": frame.progress,
        "engine": frame.engine,
        "labels": {str(number): name for number, name in frame.labels.items()},
        "attempt": frame.attempt,
        "final": frame.final,
        "coarse": frame.coarse,
    }


def encode_frame(frame: PreviewFrame, *, codec: Codec) -> tuple[dict[str, Any], BufferSpec, bytes]:
    """Encode a frame as body, buffer description and payload.

    Raises
    ------
    ProtocolError
        The payload would be larger than 1 MiB; choose a larger factor.
    """
    spec, part = encode_labels(frame.mask, codec=codec)
    if len(part) > PREVIEW_WIRE_MAX_BYTES:
        raise ProtocolError("A preview frame is larger than 1 MiB.", code=ErrorCode.TOO_LARGE)
    return preview_body(frame), spec, part


def decode_frame(envelope: Envelope, part: bytes | memoryview) -> PreviewFrame:
    """Decode a frame, whatever the bytes are.

    Raises
    ------
    ProtocolError
        Header and payload do not make a frame.
    """
    return replace(decode_header(envelope), mask=decode_labels(envelope.buffers[0], part))


def decode_header(envelope: Envelope) -> PreviewFrame:
    """Check all fields of a frame's header, and return the frame with an empty mask; the payload is not decoded.

    Raises
    ------
    ProtocolError
        The header is not that of a frame.
    """
    if envelope.type != PREVIEW or envelope.job is None or len(envelope.buffers) != 1:
        raise ProtocolError("The message is not a preview frame.")
    body, spec = envelope.body, envelope.buffers[0]
    scale, volume_shape = _whole3(body.get("scale")), _whole3(body.get("shape"))
    expected = tuple(-(-size // factor) for size, factor in zip(volume_shape, scale, strict=True))
    if body.get("axes") != "zyx" or spec.shape != expected:
        raise ProtocolError("A preview's shape does not fit its tomogram and factor.")
    return PreviewFrame(
        job_id=envelope.job,
        mask=np.empty((0, 0, 0), np.uint8),
        scale=scale,
        volume_shape=volume_shape,
        voxel_size_A=_spacing(body.get("voxel_size_A")),
        progress=_fraction(body.get("progress")),
        engine=str(body.get("engine", ""))[:64],
        labels=_names(body.get("labels", {})),
        attempt=envelope.attempt or 0,
        final=body.get("final") is True,
        coarse=body.get("coarse") is True,
        seq=envelope.seq,
        ts=envelope.ts,
    )


def _whole3(value: object) -> Shape:
    ok = isinstance(value, list) and len(value) == 3
    if not ok or not all(isinstance(n, int) and not isinstance(n, bool) and n > 0 for n in value):  # type: ignore[attr-defined]
        raise ProtocolError("A preview's shape or factor is not three positive integers.")
    return tuple(value)  # type: ignore[arg-type,return-value]


def _spacing(value: object) -> Spacing:
    ok = isinstance(value, list) and len(value) == 3
    if not ok or not all(isinstance(n, int | float) and 0 < n <= _VOXEL_MAX_A for n in value):  # type: ignore[attr-defined]
        raise ProtocolError("A preview's voxel size is not three positive numbers.")
    z, y, x = (float(n) for n in value)  # type: ignore[attr-defined]
    return z, y, x


def _fraction(value: object) -> float:
    if not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ProtocolError("A preview's progress is not a number from 0 to 1.")
    return float(value)


def _names(value: object) -> dict[int, str]:
    if not isinstance(value, dict) or len(value) > _LABELS_MAX:
        raise ProtocolError("A preview's label names are not a small map.")
    try:
        return {int(number): str(name)[:64] for number, name in value.items()}
    except ValueError:
        raise ProtocolError("A preview's label names are not keyed by numbers.") from None
