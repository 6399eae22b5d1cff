"""Preview frames for HTTP and WebSocket: what goes in comes out, and odd bytes are an error."""

from __future__ import annotations

import json
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cryomamba.errors import ProtocolError
from cryomamba.models.frames import PreviewFrame
from cryomamba.wire.buffers import CODECS, Codec
from cryomamba.wire.envelope import EnvelopeFactory
from cryomamba.wire.messages import PREVIEW
from cryomamba.wire.preview import encode_frame
from cryomamba.wire.webframe import decode_web_frame, encode_web_frame


def web_frame(codec: Codec = "raw") -> tuple[PreviewFrame, bytes]:
    mask = np.arange(60, dtype=np.uint8).reshape(3, 4, 5) % 4
    frame = PreviewFrame(
        job_id="a-job",
        mask=mask,
        scale=(2, 2, 3),
        volume_shape=(6, 8, 15),
        voxel_size_A=(10.0, 10.0, 8.5),
        progress=0.25,
        engine="demo",
        labels={1: "membrane", 2: "µ"},
        attempt=2,
        coarse=True,
        seq=1,
        ts=1_700_000_000.5,
    )
    body, spec, part = encode_frame(frame, codec=codec)
    envelope = EnvelopeFactory("w").envelope(
        PREVIEW, body, ts=frame.ts, topic=b"t", job="a-job", attempt=2, buffers=(spec,)
    )
    return frame, encode_web_frame(envelope, part)


@pytest.mark.parametrize("codec", CODECS)
def test_a_frame_comes_out_as_it_went_in(codec: Codec) -> None:
    """Every field and voxel, whatever the codec; the payload is the bus's own."""
    frame, raw = web_frame(codec)
    found = decode_web_frame(raw)
    np.testing.assert_array_equal(found.mask, frame.mask)
    for name in ("job_id", "scale", "volume_shape", "voxel_size_A", "progress", "engine", "labels", "attempt"):
        assert getattr(found, name) == getattr(frame, name), name
    assert (found.final, found.coarse, found.seq, found.ts) == (False, True, 1, frame.ts)


def test_the_layout_is_the_documented_one() -> None:
    """Length, JSON padded with blanks, payload at a multiple of eight."""
    _, raw = web_frame()
    (length,) = struct.unpack_from("<I", raw)
    header = json.loads(raw[4 : 4 + length])
    assert (4 + length) % 8 == 0
    assert header["buffer"]["nbytes"] == len(raw) - 4 - length == 15
    assert header["timestamp"] == "2023-11-14T22:13:20.500000Z"
    assert header["volume_shape"] == [6, 8, 15]


@given(st.binary(max_size=200))
def test_random_bytes_are_an_error(raw: bytes) -> None:
    """Never another exception, never an allocation beyond them."""
    with pytest.raises(ProtocolError):
        decode_web_frame(raw)


@given(st.data())
def test_a_damaged_frame_is_an_error_or_harmless(data: st.DataObject) -> None:
    """One byte changed anywhere."""
    _, raw = web_frame("deflate")
    place = data.draw(st.integers(0, len(raw) - 1))
    damaged = raw[:place] + bytes([raw[place] ^ data.draw(st.integers(1, 255))]) + raw[place + 1 :]
    try:
        found = decode_web_frame(damaged)
    except ProtocolError:
        return
    assert found.mask.shape == (3, 4, 5)
